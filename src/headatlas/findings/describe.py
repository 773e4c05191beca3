"""Findings: what an atlas shows, as sentences with the numbers under them. No prose without a number.

1. For each method, for each function: its peak head, the band of layers that holds its mass, its depth, how
   many heads hold half of the mass, how many lie below a stated threshold or have q < 0.05.
2. Over the functions: how large and how spread the scores are, which maps are alike, which stand apart
   (`maps.contrast`), and which quarters of the layer x head grid are empty.
3. How far that carries: probe beside controls, reliability, whether the model does the function. A function that
   it does not do is marked wherever it is named.
4. What the atlas has no numbers for is left out above and listed as not known.

Statements (`statements`, `reach`) are plain text; `Findings.to_markdown` escapes them, so that labels from
data stay labels. This module measures nothing.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from headatlas.atlas import as_atlas, method_part, pick_methods, provenance, unable_functions
from headatlas.atlas.map_numbers import nice, take_maps, value_places, write_number
from headatlas.atlas.variables import ABLATES, INTERVAL, KIND, LABEL
from headatlas.controls import about_control
from headatlas.errors import InputError
from headatlas.findings.sharing import agreement_findings, parts_findings, stability_findings
from headatlas.findings.short import in_short
from headatlas.findings.statements import Finding as Finding
from headatlas.findings.statements import View, function_finding, map_findings
from headatlas.findings.tasks import AskedTask, asked_tasks, tasks_table, tasks_text
from headatlas.findings.trust import Unknown as Unknown
from headatlas.findings.trust import at_chance, flagged, reach_findings, unknowns
from headatlas.findings.validity import validity_findings
from headatlas.findings.wording import escape, percent, plain, points, round_number
from headatlas.questions.functions import function_title

SIGN_TEXT = {
    "absolute": "absolute values",
    "positive": "the positive part",
    "signed": "ordered by value, mass by absolute value",
}


@dataclass(frozen=True)
class MethodFindings:
    """The findings of one method; `unit` says what one unit of importance is."""

    method: str
    sign: str
    unit: str
    threshold: float
    layers: int
    heads: int
    findings: tuple[Finding, ...]
    unknown: tuple[Unknown, ...]
    units: str = "questions"
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """All findings of an atlas, one section a method. Iterating gives every `Finding`.

    `unable` are the functions that the model does not do; `tasks` what it was asked, where tasks have designed foils;
    `short` a few sentences that say it all to a newcomer.
    """

    model: str
    sections: tuple[MethodFindings, ...]
    unable: tuple[str, ...] = ()
    tasks: tuple[AskedTask, ...] = ()
    tasks_statement: str = ""
    short: tuple[str, ...] = ()

    def __repr__(self) -> str:
        known = sum(len(section.findings) for section in self.sections)
        unknown = sum(len(section.unknown) for section in self.sections)
        methods = ", ".join(section.method for section in self.sections)
        return f"Findings({self.model!r}, {methods!r}: {known} findings, {unknown} things not known)"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def __iter__(self) -> Iterator[Finding]:
        return (finding for section in self.sections for finding in section.findings)

    def get(self, id: str, *, method: str | None = None) -> Finding:
        """Return the finding `id` of `method` (the first by default).

        Raises
        ------
        InputError
            There is none: the numbers it needs are not in the atlas.
        """
        for finding in self:
            if finding.id == id and method in (None, finding.method):
                return finding
        raise InputError(f"No finding '{id}'. There are: {', '.join(sorted({f.id for f in self}))}.")

    def to_json(self) -> str:
        """Return JSON text: the same atlas gives the same text; NaN never occurs (null)."""
        sections = [
            {
                "method": s.method,
                "sign": s.sign,
                "unit": s.unit,
                "threshold": s.threshold,
                "layers": s.layers,
                "heads": s.heads,
                "findings": [vars(f) for f in s.findings],
                "unknown": [vars(u) for u in s.unknown],
                "notes": s.notes,
            }
            for s in self.sections
        ]
        content = plain(
            {"schema": 2, "model": self.model, "unable": self.unable, "short": self.short, "methods": sections}
        )
        if self.tasks:
            content["tasks"] = plain({"statement": self.tasks_statement, "rows": [vars(row) for row in self.tasks]})
        return json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"

    def to_markdown(self) -> str:
        """Return Markdown: tables and the statements. Text from data is escaped."""
        lines = [f"# Findings: {escape(self.model)}", ""]
        if self.unable:
            lines += [escape(at_chance(self.unable)), ""]
        if self.short:
            lines += ["## In short", "", *(f"{n}. {escape(text)}" for n, text in enumerate(self.short, start=1)), ""]
        for section in self.sections:
            lines += _section_markdown(section)
        if self.tasks:
            head, rows = tasks_table(self.tasks)
            lines += ["## What the model was asked", "", escape(self.tasks_statement), ""]
            lines += _rows(head, [[cell if cell.startswith("**") else escape(cell) for cell in row] for row in rows])
        return "\n".join(lines).rstrip() + "\n"


def describe(atlas: xr.DataTree | xr.Dataset, *, method: str | None = None, threshold: float | None = None) -> Findings:
    """Say what an atlas shows.

    Parameters
    ----------
    atlas
        An atlas, or a flat Dataset of its variables with a dimension ``method``; only ``importance`` is needed.
    method
        One method; by default each of the atlas's, in its order.
    threshold
        Below this a head's mass counts as low. By default the largest of 1, 2, 5 times a power of ten that is
        at most half of the method's highest value (0.002 where the highest is 0.005).

    Raises
    ------
    InputError
        No such method, or a threshold that is not a positive number.
    AtlasError
        The Dataset is no atlas.
    """
    atlas = as_atlas(atlas)
    if threshold is not None and not (math.isfinite(threshold) and threshold > 0):
        raise InputError(f"A threshold of {threshold:g} separates nothing. Give a positive number, e.g. 0.002.")
    model: Any = provenance(atlas, "model")
    if isinstance(model, dict):
        model = next((model[k] for k in ("name", "id", "model") if model.get(k)), None)
    sections = tuple(_method_findings(atlas, m, threshold) for m in pick_methods(atlas, method))
    named = str(model) if model else "a model not named in the atlas"
    tasks = asked_tasks(atlas)
    first = sections[0]
    own = atlas[first.method].attrs
    reads, ablates = str(own.get(KIND, "")), bool(own.get(ABLATES))
    short = in_short(first.method, first.unit, reads, ablates, first.findings, tasks, first.units)
    return Findings(named, sections, unable_functions(atlas), tasks, tasks_text(tasks, atlas) if tasks else "", short)


def _method_findings(atlas: xr.DataTree, method: str, threshold: float | None) -> MethodFindings:
    """Return one method's section."""
    maps = take_maps(atlas, method)
    largest = float(maps.mass.max())
    low = threshold or (nice(largest / 2, steps=(1.0, 2.0, 5.0), up=False) if largest else 1.0)
    view = View(method_part(atlas, method), maps, low, value_places(largest))
    each = flagged(view, [function_finding(view, i) for i in range(len(maps.functions))])
    own = atlas[method].attrs
    removing = [str(name) for name, child in atlas.children.items() if child.attrs.get(ABLATES)]
    return MethodFindings(
        method=method,
        sign=maps.sign,
        unit=own.get(LABEL, ""),
        threshold=low,
        layers=len(maps.layers),
        heads=len(maps.heads),
        units=view.units,
        findings=(
            *map_findings(view, each),
            *parts_findings(view),
            *validity_findings(view),
            *stability_findings(view),
            *agreement_findings(view),
            *each,
            *reach_findings(view),
        ),
        unknown=unknowns(view, own.get(KIND) or None, removing),
        notes=_notes(own),
    )


def _notes(own: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what a method says of itself, and what its intervals rest on."""
    notes = json.loads(own.get("notes") or "{}")
    return {**notes, "interval": own[INTERVAL]} if own.get(INTERVAL) else dict(notes)


# -- Markdown ------------------------------------------------------------------------------------------------


def _section_markdown(section: MethodFindings) -> list[str]:
    """Return one method's section as lines of Markdown."""
    unit = f" ({escape(section.unit)})" if section.unit else ""
    lines = [
        f"## Method {escape(section.method)}{unit}",
        "",
        f"{section.layers} layers x {section.heads} heads, layer 0 = input side; read as "
        f"{SIGN_TEXT[section.sign]}. A head is written L6H12: layer 6, head 12.",
        "",
    ]
    if "replaced_by" in section.notes:
        where = {"answer": "where it predicts the answer's tokens", "all": "at every position"}
        at = where.get(section.notes.get("positions", ""), "")
        lines += [f"A head's z is replaced by: {escape(section.notes['replaced_by'])}; {at}.", ""]
    if "interval" in section.notes:
        lines += [f"Intervals: {escape(section.notes['interval'])}.", ""]
    lines += _functions_table([f for f in section.findings if f.topic == "function"], section)
    for topic, heading in (
        ("validity", "Is a function one thing?"),
        ("maps", "Over the functions"),
        ("function", "Function by function"),
        ("reach", "How far these numbers carry"),
    ):
        found = [f for f in section.findings if f.topic == topic]
        if found:
            lines += [f"### {heading}", "", *(f"- {escape(f.statement)}" for f in found), ""]
    for one in section.findings:
        if one.id == "controls":
            lines += _controls_table(one)
        elif one.id == "ability":
            lines += _ability_table(one)
    lines += ["### What is not known", "", *(f"- {escape(u.statement)}" for u in section.unknown), ""]
    return lines


def _rows(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table as lines of Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return [lines[0], "|" + " --- |" * len(head), *lines[1:], ""]


def _functions_table(found: list[Finding], section: MethodFindings) -> list[str]:
    """Return the table over functions."""
    places = value_places(max(f.numbers["largest"] for f in found))
    below = round_number(section.threshold)
    head = ["Function", "Peak head", "Value", "Interval", "Layers", "Their share", "Depth", "Heads for half"]
    head += [f"Below {below}", "q < 0.05"]
    rows = []
    for finding in found:
        n, title = finding.numbers, escape(function_title(finding.function or ""))
        title += " (model at chance)" if n.get("unable") else ""
        if not n["largest"]:
            rows.append([title] + ["-"] * (len(head) - 1))
            continue
        peak, layers, low, high = n["peak"], n["layers"], n["peak"]["low"], n["peak"]["high"]
        known = low is not None and high is not None
        cells = [
            title,
            peak["head"],
            write_number(peak["value"], places),
            f"{write_number(low, places)} to {write_number(high, places)}" if known else "-",
            f"{layers['first']}-{layers['last']}" if layers["p"] < 0.05 else "no band",
            percent(layers["share"]) if layers["p"] < 0.05 else "-",
            f"{n['depth']['centre']:.2f}",
            f"{n['heads_for_half']} of {n['n_heads']}",
            percent(n["below_threshold"]),
            "-" if n["significant"] is None else str(n["significant"]),
        ]
        rows.append(cells)
    return _rows(head, rows)


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)


def _range(low: float | None, high: float | None, write: Callable[[float], str] = percent) -> str:
    return "-" if low is None or high is None else f"{write(low)} to {write(high)}"


def _controls_table(finding: Finding) -> list[str]:
    """Return the table of what tells the functions apart: the probe, and each thing on the questions' surface."""
    n = finding.numbers
    head = ["What is seen", "Held-out accuracy", "Interval", "The probe's excess", "Its interval"]
    rows = [["nothing: the commonest function, always", _share(n["chance"]), "-", "-", "-"]]
    for control, m in n["controls"].items():
        excess = "-" if m["excess"] is None else points(m["excess"])
        rows.append(
            [
                escape(about_control(control)),
                _share(m["accuracy"]),
                _range(m["accuracy_low"], m["accuracy_high"]),
                excess,
                _range(m["excess_low"], m["excess_high"], points),
            ]
        )
    probe, low, high = (n["probe_accuracy_overall" + end] for end in ("", "_low", "_high"))
    if probe is not None:
        rows.append(["activations (the probe)", _share(probe), _range(low, high), "-", "-"])
    return _rows(head, rows)


def _ability_table(finding: Finding) -> list[str]:
    """Return the table of what the model does, function by function."""
    n = finding.numbers
    head = ["Function", "Reference preferred to a foil", "Interval", "Greedy answer is the reference", "Verdict"]
    rows = []
    for function, value in n["answer_accuracy"].items():
        able = "not measured" if value is None else "better than chance"
        rows.append(
            [
                escape(function_title(function)),
                _share(value),
                _range(n["answer_accuracy_low"][function], n["answer_accuracy_high"][function]),
                _share(n["answer_exact"][function]),
                "**the model does not do this**" if function in n["unable"] else able,
            ]
        )
    return _rows(head, rows)
