"""How far an atlas's numbers carry: statements on its controls, and what it has no numbers for.

1. `reach_findings`: how many items, a probe's accuracy beside that of the words alone, the maps' reliability,
   and which functions the model does at all. A statement whose numbers are missing is not made.
2. `unknowns`: what is missing, as questions that stay open; always among them whether the heads are used.

This module does not know what the maps look like.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from headatlas.findings.statements import Finding, View
from headatlas.findings.wording import interval, names, percent, points, span
from headatlas.maps import RELIABLE
from headatlas.questions import function_title

CHANCE = 0.5
"""Share of items in which a model that can't do a function finds the reference answer likelier than a foil."""
MISSING = (
    ("ci_low", "interval", "How sure a single head's value is: the atlas has no intervals."),
    ("q_value", "chance", "Which heads differ from chance: the atlas has no q-values."),
    ("depth_low", "depth_interval", "How sure the depths are: the atlas has no intervals for them."),
    ("reliability", "reliability", "Whether a second set of questions would rank the heads the same: "
     "the atlas has no reliability."),
    ("text_accuracy_overall", "text_baseline", "Whether wording alone would tell the functions apart: "
     "the atlas has no text-only baseline."),
    ("answer_accuracy", "ability", "Whether the model can do these functions: "
     "the atlas has no answer accuracy."),
    ("n_items", "items", "On how many items the maps rest."),
)  # fmt: skip
"""Variable, id and sentence of what can't be said without it."""


@dataclass(frozen=True)
class Unknown:
    """A question the atlas has no numbers for, and the variables it lacks."""

    id: str
    statement: str
    missing: tuple[str, ...]


def reach_findings(view: View) -> list[Finding]:
    """Return how far the numbers carry."""
    return [*_items(view), *_text_baseline(view), *_reliability(view), *_ability(view)]


def _items(view: View) -> list[Finding]:
    """Return how many items the maps rest on."""
    counts = {f: view.number("n_items", f) for f in view.maps.functions}
    known = [v for v in counts.values() if v is not None]
    if len(known) < len(counts):
        return []
    text = f"The maps rest on {sum(known):.0f} items, {span(known)} a function."
    return [Finding("items", view.maps.method, "reach", text, {"functions": counts})]


def _text_baseline(view: View) -> list[Finding]:
    """Return the probe's accuracy beside that of a classifier that sees only the words."""
    keys = ("probe_accuracy_overall", "text_accuracy_overall", "excess_over_text")
    numbers = {n + end: view.number(n + end) for n in keys for end in ("", "_low", "_high")}
    probe, text_only, excess = (numbers[n] for n in keys)
    if probe is None:
        return []

    def with_interval(name: str) -> str:
        value = numbers[name]
        assert value is not None
        return percent(value) + interval(numbers[name + "_low"], numbers[name + "_high"], percent)

    text = f"The probe names the function of {with_interval(keys[0])} of held-out items."
    if text_only is not None:
        text += f" A classifier that sees only the words: {with_interval(keys[1])}."
    counts = [view.number("n_items", f) for f in view.maps.functions]
    known = [n for n in counts if n is not None]
    chance = max(known) / sum(known) if known and len(known) == len(counts) else None
    numbers["chance"] = chance
    if chance is not None:
        text += f" Always naming the commonest function: {percent(chance)}."
    if excess is not None:
        low, high = numbers["excess_over_text_low"], numbers["excess_over_text_high"]
        text += f" The excess over the words is {points(excess)}{interval(low, high, points)}: "
        text += _verdict(low, numbers["probe_accuracy_overall_low"], chance, text_only)
    return [Finding("text_baseline", view.maps.method, "reach", text, numbers)]


def _verdict(low: float | None, probe_low: float | None, chance: float | None, text_only: float | None) -> str:
    """Return what an excess over the words shows, which is little where neither beats naming one function."""
    if low is None or low <= 0:
        return "no excess is shown, so these maps may show wording rather than function."
    if chance is not None and probe_low is not None and probe_low <= chance:
        return "but the probe is not shown to beat chance, so these maps may show nothing."
    if chance is not None and text_only is not None and text_only < chance:
        return (
            "the probe does better than the words alone, which do worse than chance here (a balanced set's held-out "
            "part lacks what its training part has most of): hold the probe against chance."
        )
    return "the probe does better than the words alone."


def _reliability(view: View) -> list[Finding]:
    """Return how well half of the questions predicts the other half's map."""
    values = {f: view.number("reliability", f) for f in view.maps.functions}
    known = {f: v for f, v in values.items() if v is not None}
    if not known:
        return []
    lowest, highest = min(known, key=lambda f: known[f]), max(known, key=lambda f: known[f])
    weak = [f for f, v in known.items() if v < RELIABLE]
    text = (
        f"Split-half reliability runs from {known[lowest]:.2f} ({function_title(lowest)}) to "
        f"{known[highest]:.2f} ({function_title(highest)})."
    )
    if weak:
        text += f" Below {RELIABLE}, where other questions would order the heads differently: "
        text += names([function_title(f) for f in weak]) + "."
    return [Finding("reliability", view.maps.method, "reach", text, {"functions": values, "below": weak})]


def _ability(view: View) -> list[Finding]:
    """Return which functions the model does at all: better than chance at telling the answer from a foil."""
    functions = view.maps.functions
    names_of = (
        "answer_accuracy",
        "answer_accuracy_low",
        "answer_accuracy_high",
        "answer_exact",
        "answer_logprob",
    )
    numbers: dict[str, Any] = {name: {f: view.number(name, f) for f in functions} for name in names_of}
    known = {f: v for f, v in numbers["answer_accuracy"].items() if v is not None}
    if not known:
        return []
    low = {f: numbers["answer_accuracy_low"][f] for f in known}
    unable = [f for f, v in known.items() if (low[f] if low[f] is not None else v) <= CHANCE]
    share = span([100 * v for v in known.values()], "%")
    text = (
        f"The model finds the reference answer likelier than a foil (another passage's answer to a like question) on "
        f"{share} of a function's items; chance is {percent(CHANCE)}."
    )
    exact = [v for v in numbers["answer_exact"].values() if v is not None]
    if exact:
        text += f" Its own greedy answer is the reference on {span([100 * v for v in exact], '%')}."
    if unable:
        listed = names([f"{function_title(f)} ({percent(known[f])})" for f in unable])
        text += f" No better than chance: {listed}. The model does not do this, so such maps can't show how it does."
    return [Finding("ability", view.maps.method, "reach", text, {**numbers, "unable": unable})]


def unknowns(view: View, reads: str | None) -> tuple[Unknown, ...]:
    """Return what the atlas has no numbers for."""
    out = [
        Unknown(id, sentence, (name,))
        for name, id, sentence in MISSING
        if name not in view.data or not np.isfinite(view.data[name].values).any()
    ]
    use = {
        "activations": "Whether the model uses these heads: the method reads activations, and what can be "
        "decoded there need not be used. Removing the heads tests that; no such run is in this atlas.",
        "model": "Whether the top heads matter together, and more than random ones of the same layers: "
        "no such run is in this atlas.",
    }
    other = "Whether the model uses these heads: how the values were measured is not in this atlas."
    return (*out, Unknown("use", use.get(reads or "", other), ()))
