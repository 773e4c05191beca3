"""Statements on what the functions share of a map, and on what other methods say of the same heads.

1. `parts_findings`: how the reproducible variance divides into a general and the functions' own parts; which heads are
   called general or specific; how reliable the specific parts are, and how many items would make them so.
2. `stability_findings`: heads that a sparse model of what groups cost finds on most halves of a function's tasks.
3. `agreement_findings`: rank correlation and shared top heads with every other method of the atlas.

A statement whose numbers are missing is not made.
"""

from typing import Any

import numpy as np

from headatlas.atlas.map_numbers import ALPHA, specific_heads
from headatlas.findings.statements import Finding, View
from headatlas.findings.wording import interval, names, percent, span
from headatlas.questions.functions import function_title

MOST_NAMED = 5
"""Heads that are named one by one."""
STABLE = 0.75
"""Share of halves from which a head is stable: what the number of heads that enter is set for (methods.knockouts)."""


def parts_findings(view: View) -> list[Finding]:
    """Return how a method's maps divide into a general and specific parts."""
    shares = {
        f"{name}_share{end}": view.number(f"{name}_share{end}")
        for name in ("general", "specific", "function", "task", "noise")
        for end in ("", "_low", "_high")
    }
    text = _four_shares(shares) if shares["function_share"] is not None else _three_shares(shares, view.units)
    if not text:
        return []
    called = _called(view)
    if called:
        text += _called_text(view, called)
    reliability = {f: view.number("specific_reliability", f) for f in view.maps.functions}
    needed = {f: view.number("items_needed", f) for f in view.maps.functions}
    known = {f: r for f, r in reliability.items() if r is not None}
    if known:
        low, high = min(known, key=lambda f: known[f]), max(known, key=lambda f: known[f])
        text += (
            f" Split-half reliability of the functions' own parts runs from {known[low]:.2f} ({function_title(low)}) "
            f"to {known[high]:.2f} ({function_title(high)})"
        )
        items = [n for n in needed.values() if n is not None and np.isfinite(n)]
        more = ", in as many more tasks" if view.units == "tasks" else ""
        text += f"; 0.9 would take {span(items)} items of a function{more}" if items else ""
        lost = [function_title(f) for f, r in known.items() if r <= 0]
        text += f" ({names(lost)}: nothing reproduces, so no number of items is known to do)." if lost else "."
    numbers = {**shares, **called, "specific_reliability": reliability, "items_needed": needed}
    return [Finding("parts", view.maps.method, "maps", text, numbers)]


def _three_shares(shares: dict[str, float | None], units: str) -> str:
    """Say how maps divide where no tasks are named."""
    general, own, noise = (shares[f"{name}_share"] for name in ("general", "specific", "noise"))
    if general is None or own is None or noise is None:
        return ""
    return (
        f"Of the variance over heads that other {units} would reproduce, {percent(general)}"
        f"{interval(shares['general_share_low'], shares['general_share_high'], percent)} is common to all functions "
        f"and {percent(own)} the functions' own; {percent(noise)} of the maps' variance is noise."
    )


def _four_shares(shares: dict[str, float | None]) -> str:
    """Say how the map of a task divides: what all tasks, its function's tasks, and it alone have, and noise."""
    told = []
    for name, what in (
        ("general", "common to all functions"),
        ("function", "common to the tasks of its function"),
        ("task", "the task's own"),
        ("noise", "noise"),
    ):
        value, low, high = (shares[f"{name}_share{end}"] for end in ("", "_low", "_high"))
        if value is not None:
            told.append(f"{percent(value)}{interval(low, high, percent)} is {what}")
    return f"Of the variance over heads of a single task's map, {names(told)}."


def _called(view: View) -> dict[str, Any]:
    """Return the heads called general and specific, largest effect first; empty where heads are not called."""
    if "q_general" not in view.data or not np.isfinite(view.data["q_general"].values).all():
        return {}

    def largest(found: np.ndarray, size: np.ndarray) -> list[str]:
        heads = sorted(np.argwhere(found).tolist(), key=lambda at: -abs(size[at[0], at[1]]))
        return [view.maps.head_name(layer, head) for layer, head in heads]

    q, size = (view.data[name].transpose("layer", "head").values for name in ("q_general", "general"))
    general = largest(q < ALPHA, size)
    own = view.data["specific"].sel(function=list(view.maps.functions)).transpose("function", "layer", "head").values
    found = specific_heads(view.data, view.maps.functions)
    specific = {f: [] if found is None else largest(found[i], own[i]) for i, f in enumerate(view.maps.functions)}
    some = set(general).union(*specific.values())
    return {"general_heads": general, "specific_heads": specific, "neither": view.maps.mass[0].size - len(some)}


def _called_text(view: View, called: dict[str, Any]) -> str:
    def listed(heads: list[str]) -> str:
        return f"{len(heads)} ({', '.join(heads[:MOST_NAMED])}{', …' if len(heads) > MOST_NAMED else ''})"

    general, specific = called["general_heads"], called["specific_heads"]
    text = f" At q < 0.05, {listed(general) if general else 'no'} heads matter for the functions in general"
    own = [f"{function_title(f)} {listed(heads)}" for f, heads in specific.items() if heads]
    text += f"; specific to a function: {'; '.join(own)}" if own else "; none is shown to be specific to a function"
    return f"{text}; {called['neither']} of {view.maps.mass[0].size} show neither."


def stability_findings(view: View) -> list[Finding]:
    """Return which heads are found on most random halves of each function's tasks."""
    if "stability" not in view.data:
        return []
    stable: dict[str, list[str]] = {}
    for f in view.maps.functions:
        values = view.data["stability"].sel({"function": f}).transpose("layer", "head").values
        places = sorted(zip(*np.nonzero(values >= STABLE), strict=True), key=lambda at: -values[at])
        stable[f] = [f"L{layer}H{head}" for layer, head in places]
    parts = [
        f"{function_title(f)} {len(own)} ({', '.join(own[:MOST_NAMED])}{', …' if len(own) > MOST_NAMED else ''})"
        for f, own in stable.items()
        if own
    ]
    none = [function_title(f) for f, own in stable.items() if not own]
    text = f"Stable, found on {percent(STABLE)} and more of random halves of the {view.units} (where there is nothing, "
    text += f"one head is expected at most): {'; '.join(parts) or 'none'}"
    text += f"; none for {names(none)}." if none and parts else "."
    return [Finding("stability", view.maps.method, "maps", text, {"stable": stable, "share": STABLE})]


def agreement_findings(view: View) -> list[Finding]:
    """Return how far the other methods of the atlas rank the same heads."""
    if "agreement" not in view.data:
        return []
    others = [str(m) for m in view.data["other_method"].values if str(m) != view.maps.method]
    chance = view.number("agreement_chance")
    rows: dict[str, Any] = {}
    parts = []
    for other in others:
        table = view.data.sel({"other_method": other})
        rho = {f: float(table["agreement"].sel({"function": f})) for f in view.maps.functions}
        top = float(table["agreement_top"].mean())
        known = [r for r in rho.values() if np.isfinite(r)]
        rows[other] = {"spearman": {f: r if np.isfinite(r) else None for f, r in rho.items()}, "top_shared": top}
        if known:
            parts.append(
                f"with {other} the mean Spearman correlation over heads is {np.mean(known):.2f} ({min(known):.2f} to "
                f"{max(known):.2f} by function), and {percent(top)} of the top tenth of the heads are the same"
            )
    if not parts:
        return []
    text = f"Agreement of methods: {'; '.join(parts)}"
    text += f" (chance: {percent(chance)})." if chance is not None else "."
    return [Finding("agreement", view.maps.method, "maps", text, {"methods": rows, "chance": chance})]
