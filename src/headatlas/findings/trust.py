"""How far an atlas's numbers carry: statements on its controls, and what it has no numbers for.

1. `reach_findings`: how many items, a probe's accuracy beside what the questions' surface gives away, the maps'
   reliability, and which functions the model does at all. A statement whose numbers are missing is not made.
2. `flagged` and `at_chance` say of a function that the model does not do it (the atlas's ``unable``).
3. `unknowns`: what is missing, as questions that stay open; always among them whether the heads are used.

This module does not know what the maps look like.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headatlas.atlas import CHANCE, unable_functions
from headatlas.atlas.map_numbers import ALPHA, RELIABLE
from headatlas.controls import about_control, is_text
from headatlas.findings.statements import Finding, View, least_p
from headatlas.findings.wording import interval, names, percent, points, span
from headatlas.questions.functions import function_title

ENDS = ("", "_low", "_high")
PROBE = ("probe_accuracy_overall", "probe_accuracy_overall_low", "probe_accuracy_overall_high")
MISSING = (
    ("ci_low", "interval", "How sure a single head's value is: the atlas has no intervals."),
    ("q_value", "chance", "Which heads differ from chance: the atlas has no q-values."),
    ("depth_low", "depth_interval", "How sure the depths are: the atlas has no intervals for them."),
    ("reliability", "reliability", "Whether a second set of questions (or tasks) would rank the heads the same: "
     "the atlas has no reliability."),
    ("control_accuracy_overall", "controls", "Whether wording alone would tell the functions apart: "
     "the atlas has no controls."),
    ("answer_accuracy", "ability", "Whether the model can do these functions: "
     "the atlas has no answer accuracy."),
    ("n_items", "items", "On how many items the maps rest."),
)  # fmt: skip
"""Variable, id and sentence of what can't be said without it."""


FEWEST_ITEMS = 4
"""Of a task, below which its own map says little: halves of one or two items."""


@dataclass(frozen=True)
class Unknown:
    """A question the atlas has no numbers for, and the variables it lacks."""

    id: str
    statement: str
    missing: tuple[str, ...]


def reach_findings(view: View) -> list[Finding]:
    """Return how far the numbers carry."""
    return [*_items(view), *_controls(view), *_reliability(view), *_ability(view)]


def _items(view: View) -> list[Finding]:
    """Return how many items the maps rest on."""
    counts = {f: view.number("n_items", f) for f in view.maps.functions}
    known = [v for v in counts.values() if v is not None]
    if len(known) < len(counts):
        return []
    text = f"The maps rest on {sum(known):.0f} items, {span(known)} a function."
    numbers: dict[str, Any] = {"functions": counts}
    if view.units == "tasks":
        numbers["units"] = units = {f: view.number("n_units", f) for f in view.maps.functions}
        text += _tasks([n for n in units.values() if n is not None], view.maps.mass[0].size)
    text += _limits(view.tasks)
    return [Finding("items", view.maps.method, "reach", text, numbers)]


def _tasks(units: list[float], heads: int) -> str:
    """Return what named tasks mean for intervals and tests, and what so few of them can't say."""
    if not units:
        return ""
    least = least_p(min(units))
    text = f" Intervals and tests rest on {span(units)} tasks a function: items of one task are not independent."
    if least * heads > ALPHA:
        text += (
            f" Flipping the signs of {min(units):.0f} tasks gives no p below {least:.2g}, so few that a head can't be "
            f"called for a function alone among {heads}; whether it is specific is tested by exchanging tasks."
        )
    return text


def _limits(tasks: dict[str, Counter[str]]) -> str:
    """Return what functions of a single task, and tasks of very few items, can't say."""
    text = ""
    if single := [function_title(f) for f, own in tasks.items() if len(own) == 1]:
        text += (
            f" {names(single)} {'has' if len(single) == 1 else 'have'} one task only, so what the map shows may be "
            "that task's and not the function's: nothing here can tell."
        )
    if few := sorted(task for own in tasks.values() for task, n in own.items() if n < FEWEST_ITEMS):
        text += (
            f" {len(few)} {'task has' if len(few) == 1 else 'tasks have'} fewer than {FEWEST_ITEMS} items ({few[0]}"
            f"{', …' if len(few) > 1 else ''}): their own maps say little."
        )
    return text


def _controls(view: View) -> list[Finding]:
    """Return the probe's accuracy beside that of the classifiers that see only the questions' surface."""
    probe, low, high = (view.number(name) for name in PROBE)
    controls = _control_numbers(view)
    known = {c: n for c, n in controls.items() if n["accuracy"] is not None}
    texts = [(n["accuracy"], c) for c, n in known.items() if is_text(c)]
    numbers: dict[str, Any] = {
        **dict(zip(PROBE, (probe, low, high), strict=True)),
        "chance": _commonest(view),
        "controls": controls,
        "strongest_text": max(texts)[1] if texts else None,
    }
    surface = names([f"{_seen(c)} {_with_range(n)}" for c, n in known.items()])
    chance = "" if numbers["chance"] is None else f"always naming the commonest function: {percent(numbers['chance'])}."
    if probe is None:
        if not known:
            return []
        text = f"On this question set the surface alone names the function of held-out items (95% intervals): {surface}"
        text += f"; {chance}" if chance else "."
    else:
        text = f"The probe names the function of {percent(probe)}{interval(low, high, percent)} of held-out items"
        text += f"; {chance}" if chance else "."
        if known:
            text += f" Classifiers that see only the questions' surface (95% intervals): {surface}."
            text += _excess(numbers)
    if unread := [_seen(c) for c in controls if c not in known]:
        text += f" Not measured, since there is no word to read: {names(unread)}."
    return [Finding("controls", view.maps.method, "reach", text, numbers)]


def _commonest(view: View) -> float | None:
    """Return the share of the commonest function: what naming it always gets right."""
    counts = [view.number("n_items", f) for f in view.maps.functions]
    known = [n for n in counts if n is not None]
    return max(known) / sum(known) if known and len(known) == len(counts) else None


def _control_numbers(view: View) -> dict[str, dict[str, Any]]:
    """Return every control's accuracy and the probe's excess over it, with intervals."""
    if "control_accuracy_overall" not in view.data:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for control in (str(c) for c in np.atleast_1d(view.data["control"].values)):
        one = replace(view, data=view.data.sel(control=control))
        found[control] = {"accuracy" + end: one.number("control_accuracy_overall" + end) for end in ENDS}
        found[control] |= {"excess" + end: one.number("excess" + end) for end in ENDS}
    return found


def _seen(control: str) -> str:
    """Return what a control sees, in words."""
    return about_control(control)


def _with_range(numbers: dict[str, Any]) -> str:
    """Return a control's accuracy with its interval."""
    value, low, high = (numbers["accuracy" + end] for end in ENDS)
    return percent(value) + ("" if low is None or high is None else f" ({percent(low)} to {percent(high)})")


def _excess(numbers: dict[str, Any]) -> str:
    """Return sentences on the probe's excess over the strongest text, and over what else it is not shown to beat."""
    controls, strongest = numbers["controls"], numbers["strongest_text"]
    text = ""
    if strongest is not None and (found := controls[strongest])["excess"] is not None:
        low, high = found["excess_low"], found["excess_high"]
        text += f" The excess over {_seen(strongest)}, the strongest of the texts, is {points(found['excess'])}"
        text += f"{interval(low, high, points)}: "
        text += _verdict(low, numbers["probe_accuracy_overall_low"], numbers["chance"], found["accuracy"])
    more = [
        f"{_seen(c)}, {points(n['excess'])}{interval(n['excess_low'], n['excess_high'], points)}"
        for c, n in controls.items()
        if c != strongest and n["excess"] is not None and (n["excess_low"] is None or n["excess_low"] <= 0)
    ]
    return text + (f" No excess is shown over: {'; '.join(more)}." if more else "")


def _verdict(low: float | None, probe_low: float | None, chance: float | None, text_only: float | None) -> str:
    """Return what an excess over the words shows, which is little where neither beats naming one function."""
    weak = chance is not None and probe_low is not None and probe_low <= chance
    if low is None or low <= 0:
        if weak:
            return "no excess is shown, and the probe is not shown to beat chance, so these maps may show nothing."
        return "no excess is shown, so these maps may show wording rather than function."
    if weak:
        return "but the probe is not shown to beat chance, so these maps may show nothing."
    if chance is not None and text_only is not None and text_only < chance:
        return (
            "the probe does better than the words alone, which do worse than chance here (a balanced set's held-out "
            "part lacks what its training part has most of): hold the probe against chance."
        )
    return "the probe does better than the words alone."


def _reliability(view: View) -> list[Finding]:
    """Return how well half of the questions (tasks, where they are named) predicts the other half's map."""
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
        text += f" Below {RELIABLE}, where other {view.units} would order the heads differently: "
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
    unable = [f for f in unable_functions(view.data) if f in known]
    share = span([100 * v for v in known.values()], "%")
    designed = "asked_done" in view.data
    foil = "its designed foil" if designed else "a foil (another passage's answer to a like question)"
    text = (
        f"The model finds the reference answer likelier than {foil} on {share} of a function's "
        f"{'mapped ' if designed else ''}items; chance is {percent(CHANCE)}."
    )
    exact = [v for v in numbers["answer_exact"].values() if v is not None]
    if exact:
        text += f" Its own greedy answer is the reference on {span([100 * v for v in exact], '%')}."
    if unable:
        listed = names([f"{function_title(f)} ({percent(known[f])})" for f in unable])
        text += f" No better than chance: {listed}. The model does not do this, so such maps can't show how it does."
    return [Finding("ability", view.maps.method, "reach", text, {**numbers, "unable": unable})]


def flagged(view: View, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings on single functions, those that the model does not do marked as such."""
    if "unable" not in view.data:
        return list(found)
    out, unable = [], unable_functions(view.data)
    for finding in found:
        text = finding.statement
        if finding.function in unable:
            value, low, high = (view.number("answer_accuracy" + end, finding.function) for end in ENDS)
            text += " The model does not do this, as far as these items show"
            if value is not None:
                text += f": it finds the reference answer likelier than a foil on {percent(value)} of the items"
                text += f"{interval(low, high, percent)}, and chance is {percent(CHANCE)}"
            text += "."
        numbers = {**finding.numbers, "unable": finding.function in unable}
        out.append(replace(finding, statement=text, numbers=numbers))
    return out


def at_chance(functions: Sequence[str]) -> str:
    """Return one line that names the functions the model does not do, or nothing."""
    if not functions:
        return ""
    listed = names([" ".join(function_title(f).split()) for f in functions])
    told = "The model does not do this, as far as these items show, so such maps can't show how it does."
    return f"Model at chance: {listed}. {told}"


def unknowns(view: View, reads: str | None, removing: Sequence[str] = ()) -> tuple[Unknown, ...]:
    """Return what the atlas has no numbers for; `removing` are its methods that remove heads."""
    out = [
        Unknown(id, sentence, (name,))
        for name, id, sentence in MISSING
        if name not in view.data or not np.isfinite(view.data[name].values).any()
    ]
    use = {
        "activations": "Whether the model uses these heads: the method reads activations, and what can be "
        "decoded there need not be used. Removing the heads tests that: "
        + (f"see {names(list(removing))} in this atlas." if removing else "no such run is in this atlas."),
        "model": "Whether the top heads matter together, and more than random ones of the same layers: "
        "no such run is in this atlas.",
    }
    other = "Whether the model uses these heads: how the values were measured is not in this atlas."
    return (*out, Unknown("use", use.get(reads or "", other), ()))
