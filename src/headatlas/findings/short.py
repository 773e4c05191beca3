"""The first thing a reader sees: what was found, in a few sentences for someone who never met any of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from headatlas.atlas.map_numbers import value_places, write_number
from headatlas.findings.statements import ALPHA, Finding
from headatlas.findings.tasks import AskedTask
from headatlas.findings.trust import RELIABLE
from headatlas.findings.wording import names
from headatlas.questions.functions import function_title

MEANS = {
    "ablation": "a head counts as important for a function as far as the model's answers to its tasks get worse "
    "without it",
    "model": "a head counts as important for a function as far as the model's answers to its tasks depend on it",
    "activations": "a head counts as important for a function as far as the function can be told from what the head "
    "writes, which need not mean that the model uses it",
}
"""What importance means, by what a method reads."""


def in_short(
    method: str, label: str, reads: str, ablates: bool, found: Sequence[Finding], tasks: Sequence[AskedTask], units: str
) -> tuple[str, ...]:
    """Return up to five sentences on an atlas's first method, each with its numbers; only what it has numbers for."""
    by_id = {finding.id: finding.numbers for finding in found}
    each = [finding for finding in found if finding.topic == "function"]
    return tuple(
        sentence
        for sentence in (
            _asked(tasks),
            _strongest(method, label, reads, ablates, each),
            _specific(by_id.get("parts", {})),
            _one_thing(by_id.get("validity.within", {}), by_id.get("validity.functions", {})),
            _sure(by_id.get("reliability", {}), units),
        )
        if sentence
    )


def _asked(tasks: Sequence[AskedTask]) -> str:
    if not tasks:
        return ""
    functions = len({task.function for task in tasks})
    done = sum(task.done for task in tasks)
    able = {task.function for task in tasks if task.done}
    only = all(task.mapped == task.done for task in tasks)
    mapped = "only those are mapped" if only else f"{sum(task.mapped for task in tasks)} are mapped"
    out = functions - len(able)
    lost = f" ({out} function{'s are' if out > 1 else ' is'} out of its reach altogether)" if out else ""
    return (
        f"The model was asked {len(tasks)} small tasks that call for {functions} functions, and does {done} of "
        f"them{lost}; {mapped}."
    )


def _strongest(method: str, label: str, reads: str, ablates: bool, each: Sequence[Finding]) -> str:
    known = [f for f in each if f.numbers.get("largest")]
    if not known:
        return ""
    top = max(known, key=lambda f: float(f.numbers["largest"]))
    peak: Mapping[str, Any] = top.numbers["peak"]
    means = MEANS.get("ablation" if ablates else reads, "what its importance means is not in this atlas")
    value = float(peak["value"])
    return (
        f"By the method {method}, {means}: the strongest is {peak['head']} (layer, head) for "
        f"{function_title(top.function or '')}, at {write_number(value, value_places(abs(value)))}"
        f"{f' ({label})' if label else ''}."
    )


def _specific(parts: Mapping[str, Any]) -> str:
    heads = parts.get("specific_heads")
    if heads is None:
        return ""
    own = {f: len(some) for f, some in heads.items() if some}
    if not own:
        return f"No head is shown to matter more for one function than for the others (q < {ALPHA})."
    told = names([f"{n} for {function_title(f)}" for f, n in sorted(own.items(), key=lambda row: -row[1])])
    return f"Heads that matter more for one function than for the others, tested over tasks (q < {ALPHA}): {told}."


def _one_thing(within: Mapping[str, Any], functions: Mapping[str, Any]) -> str:
    if not within:
        return ""
    w, b = within["within_similarity"], within["between_similarity"]
    one = [function_title(f) for f in functions.get("one", ())]
    rest = [function_title(f) for f in functions.get("not_shown", ())]
    text = (
        f"Two tasks of one function depend on like heads with a similarity of {w:.2f}, tasks of different ones {b:.2f}"
    )
    if one:
        text += f"; {names(one)} {'is' if len(one) == 1 else 'are'} one thing on this model in that sense"
    if rest:
        text += f"{', but' if one else ';'} {names(rest)} {'is' if len(rest) == 1 else 'are'} not shown to be"
        text += "" if one else " one thing"
        text += ", which so few tasks can't show" if set(functions["not_shown"]) == set(functions["too_few"]) else ""
    return text + "."


def _sure(reliability: Mapping[str, Any], units: str) -> str:
    values = {f: v for f, v in reliability.get("functions", {}).items() if v is not None}
    if not values:
        return ""
    low, high = min(values.values()), max(values.values())
    weak = names([function_title(f) for f in reliability.get("below", ())])
    text = f"With other {units} the maps would come out alike with a correlation of "
    text += f"{low:.2f} to {high:.2f}"
    return text + (f"; below {RELIABLE}, {weak} should be read with care." if weak else ".")
