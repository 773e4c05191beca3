"""Whether a function is one thing: what its tasks' maps have in common, in plain words (`stats.validity`).

Tasks are shuffled over functions. Few tasks can be dealt in few different ways, and p is never below one in as many:
where that is `ALPHA` or more, it is said that so few tasks can't show anything.
"""

from collections import Counter
from collections.abc import Collection
from math import comb, factorial, prod
from typing import Any

import numpy as np

from headatlas.findings.statements import ALPHA, Finding, View
from headatlas.findings.wording import interval, names, percent
from headatlas.questions.functions import function_title

BY_FUNCTION = ("within", "within_corrected", "between", "within_p", "within_q")
OF_FACTORS = ("effect", "p", "exchanged", "least_p")
FACTORS = {"function": "function", "form": "form", "kind": "kind of answer", "lure": "presence of the foil in the text"}


def validity_findings(view: View) -> list[Finding]:
    """Return what the tasks say of the functions; nothing where they can't."""
    if "within_similarity" not in view.data:
        return []
    return [_together(view), *_one_by_one(view), *_factors(view), *_naming(view), *_clusters(view)]


def _finding(view: View, id: str, text: str, numbers: dict[str, Any]) -> Finding:
    return Finding(f"validity.{id}", view.maps.method, "validity", text, numbers)


def _two(value: float) -> str:
    return f"{value:.2f}"


def _p(value: float | None) -> str:
    return "" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def _ways(sizes: Collection[int]) -> int:
    """Return in how many ways tasks can be dealt to functions of so many each; no matter which function is which."""
    return factorial(sum(sizes)) // prod(factorial(n) for n in (*sizes, *Counter(sizes).values()))


def _sizes(view: View) -> Counter[str]:
    """Return how many tasks every function has."""
    return Counter(str(f) for f in view.data["task_function"].values)


def _least(view: View, *, fewest: int = 1) -> float:
    """Return the least p that shuffles can give, of functions of `fewest` tasks or more."""
    return 1 / _ways([size for size in _sizes(view).values() if size >= fewest])


def _at_least(least: float) -> str:
    """Return what is said beside a p that can't be small."""
    return f"; with so few tasks at least {least:.2g}" if least >= ALPHA else ""


def _together(view: View) -> Finding:
    """Say how alike tasks of one function are, beside tasks of different ones."""
    parts = [f"{name}_similarity{kind}" for name in ("within", "between") for kind in ("", "_corrected")]
    ends = [part + end for part in parts for end in ("", "_low", "_high")]
    n: dict[str, Any] = {name: view.number(name) for name in (*ends, "within_p")}
    told = []
    for name, what in (("within", "two tasks of one function"), ("between", "two tasks of different functions")):
        value, low, high = (n[f"{name}_similarity{end}"] for end in ("", "_low", "_high"))
        corrected = n[f"{name}_similarity_corrected"]
        clean = "" if corrected is None else f", {_two(corrected)} without noise"
        told.append(f"of {what} {_two(value)}{interval(low, high, _two)}{clean}")
    more = n["within_p"] is not None and n["within_p"] < ALPHA and n["within_similarity"] > n["between_similarity"]
    sizes = _sizes(view).values()
    n["least_p"] = _least(view)
    if more:
        verdict = "Functions say something about heads: tasks of one function share more than tasks of different ones."
    elif n["least_p"] >= ALPHA:
        verdict = (
            f"So few tasks can't show whether functions say something about heads: {sum(sizes)} tasks can be dealt to "
            f"their functions in {_ways(sizes)} different ways, so that p is at least {n['least_p']:.2g}, whatever the "
            "maps."
        )
    else:
        verdict = (
            "Functions are not shown to say anything about heads: tasks of one function are not shown to share more "
            "than tasks of different ones."
        )
    text = f"{verdict} Similarity of the maps {'; '.join(told)} ({_p(n['within_p'])}, tasks shuffled over functions)."
    return _finding(view, "within", text, n)


def _one_by_one(view: View) -> list[Finding]:
    """Say which functions hang together, and which don't."""
    functions = view.maps.functions
    rows = {f: {name: view.number(f"function_{name}", f) for name in BY_FUNCTION} for f in functions}
    known: dict[str, tuple[float, float, float]] = {}
    for f, row in rows.items():
        within, between, q = row["within"], row["between"], row["within_q"]
        if within is not None and between is not None and q is not None:
            known[f] = within, between, q
    if not known:
        return []

    def listed(some: list[str]) -> str:
        told = []
        for f in sorted(some, key=lambda f: -known[f][0]):
            within, between, q = known[f]
            told.append(f"{function_title(f)} ({within:.2f} against {between:.2f}, {_p(q).replace('p', 'q')})")
        return names(told)

    one = [f for f, (within, between, q) in known.items() if q < ALPHA and within > between]
    rest = [f for f in known if f not in one]
    text = "One thing on this model, by their tasks' maps (similarity with each other, against with those of others): "
    text += f"{listed(one) or 'none'}."
    if rest:
        text += f" Not shown to be one thing: {listed(rest)}."
    sizes = _sizes(view)
    least = {f: 1 / comb(sizes.total(), sizes[f]) for f in rest}
    few = [f for f in rest if least[f] >= ALPHA]
    if few:
        told = names([f"{function_title(f)} (p at least {least[f]:.2g})" for f in few])
        text += f" So few tasks can't show it, whatever the maps: {told}."
    numbers = {"functions": rows, "one": one, "not_shown": rest, "too_few": few}
    return [_finding(view, "functions", text, numbers)]


def _factors(view: View) -> list[Finding]:
    """Say what the design, and not the function, makes alike."""
    if "factor_effect" not in view.data:
        return []
    rows = {
        str(f): {
            name: float(view.data[f"factor_{name}"].values[i]) for name in OF_FACTORS if f"factor_{name}" in view.data
        }
        for i, f in enumerate(view.data["factor"].values)
    }
    tasks = view.data.sizes["task"]

    def tested(row: dict[str, float]) -> str:
        if not np.isfinite(row["p"]):
            return "not tested: no two tasks differ in it alone"
        said = f"{_p(row['p'])}{_at_least(row.get('least_p', 0))}"
        return said + (f", {row['exchanged']:.0f} of {tasks} tasks exchanged" if "exchanged" in row else "")

    told = [
        f"{FACTORS.get(f, f)} {row['effect']:+.2f} ({tested(row)})"
        for f, row in rows.items()
        if np.isfinite(row["effect"])
    ]
    if not told:
        return []
    text = (
        "What makes two tasks' maps alike, the others held fixed (a label is tested by exchanging it among tasks that "
        f"differ in nothing else): same {', same '.join(told)}."
    )
    own = rows.get("function")
    others = [f for f, row in rows.items() if f != "function" and row["p"] < ALPHA and row["effect"] > 0]
    if own and np.isfinite(own["effect"]):
        so_few = "; so few tasks can't show it" if own.get("least_p", 0) >= ALPHA else ""
        text += (
            " The function's part stays when the design is taken out."
            if own["p"] < ALPHA and own["effect"] > 0
            else f" The function's part is not shown when the design is taken out{so_few}."
        )
    return [_finding(view, "design", text, {"factors": rows, "also": others})]


def _naming(view: View) -> list[Finding]:
    """Say how often a left-out task's map names its function."""
    wanted = ("naming_accuracy", "naming_accuracy_low", "naming_accuracy_high", "naming_chance", "naming_p")
    n = {name: view.number(name) for name in wanted}
    value, chance = n["naming_accuracy"], n["naming_chance"]
    if value is None or chance is None:
        return []
    named = [str(t) for t in view.data["task_named"].values]
    counted = sum(1 for t in named if t)
    least = _least(view, fewest=2)
    text = (
        f"A left-out task's map names its function in {round(value * counted)} of {counted} cases"
        f"{interval(n['naming_accuracy_low'], n['naming_accuracy_high'], percent)}; chance is {percent(chance)} "
        f"({_p(n['naming_p'])}{_at_least(least)})."
    )
    return [_finding(view, "naming", text, {**n, "least_p": least, "tasks": counted})]


def _clusters(view: View) -> list[Finding]:
    """Say how far clusters of maps are the functions."""
    rand, p = view.number("cluster_rand"), view.number("cluster_p")
    if rand is None:
        return []
    least = _least(view)
    text = (
        "Clustered by their maps alone, into as many clusters as there are functions, the tasks agree with the "
        f"functions by an adjusted Rand index of {rand:.2f} (1 all, 0 chance; {_p(p)}{_at_least(least)})."
    )
    return [_finding(view, "clusters", text, {"rand": rand, "p": p, "least_p": least})]
