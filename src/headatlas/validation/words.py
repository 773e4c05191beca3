"""What a validation says, in Markdown: a verdict first, then every function, failures included."""

import numpy as np
import xarray as xr

from headatlas.findings.wording import names
from headatlas.questions.functions import function_title

UNITS = {"logit_diff": "logits of the difference between answer and foil", "logprob": "nats of log-probability a token"}
ALPHA = 0.05


def markdown(validation: xr.Dataset) -> str:
    """Return the findings of a validation."""
    attrs, k = validation.attrs, int(validation.attrs["k_of_matrix"])
    outcome = str(validation["outcome"].values[0])
    part = validation.sel(k=k, outcome=outcome)
    functions = [str(f) for f in part["function"].values]
    lines = [
        f"# Validation: {attrs['model']}",
        "",
        f"Heads were chosen by {attrs['method']} on some {'tasks' if attrs['by_task'] else 'main questions'} and "
        f"removed together (z replaced by its mean over those) on the others, in {attrs['folds']} folds; "
        f"{attrs['draws']} draws of random heads of the same layers that write about as much. Unit: "
        f"{UNITS.get(outcome, outcome)}. Intervals: 95%, over tasks and, within them, items.",
    ]
    if not attrs["by_task"]:
        lines += [
            "",
            "The set names no tasks: chosen and tested on questions of the same form, which is a weaker test.",
        ]
    lines += [
        "",
        "## In short",
        "",
        *(f"{n}. {line}" for n, line in enumerate(validation_short(validation), start=1)),
        "",
        "## What removing them costs",
        "",
    ]
    lines += [
        f"The {k} most specific heads of each function, removed (rows), on each function's tasks (columns):",
        "",
        f"| removed | {' | '.join(function_title(f) for f in functions)} |",
        "|---" * (len(functions) + 1) + "|",
    ]
    for f in functions:
        row = part["effect"].sel(what="specific", function=f)
        cells = [
            f"**{float(row.sel(measured=g)):.2f}**" if f == g else f"{float(row.sel(measured=g)):.2f}"
            for g in functions
        ]
        lines.append(f"| {function_title(f)} | {' | '.join(cells)} |")
    random = [f"{float(part['effect'].sel(what='random', function=g, measured=g)):.2f}" for g in functions]
    lines.append(f"| random, matched with the column's | {' | '.join(random)} |")
    lines += _answers(validation, functions, k)
    lines += ["", "## Function by function", ""]
    lines += [_function(validation, outcome, f, k) for f in functions]
    return "\n".join(lines) + "\n"


SCORES = {"exact": "exact match", "number": "the number", "f1": "token F1", "judged": "judged right"}


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _answers(validation: xr.Dataset, functions: list[str], k: int) -> list[str]:
    """Return the part on generated answers, if any were."""
    if "answer_as_is" not in validation:
        return []
    lines = [
        "",
        "## What it answers",
        "",
        f"The model's own, greedy answers to some held-out items, {k} heads removed; share of items.",
    ]
    for score in validation["score"].values.tolist():
        part = validation.sel(score=score)
        if np.isnan(part["answer_as_is"].values).all():
            continue
        lines += [
            "",
            f"{_upper(SCORES.get(score, score))}:",
            "",
            "| function | items | as it is | without its specific heads | its most important | random | least | "
            "specific beyond random |",
            "|---|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for f in functions:
            own = part.sel(measured=f)
            base = float(own["answer_as_is"])
            if np.isnan(base):
                continue
            left = {str(w): base - float(own["answer_own_drop"].sel(what=w)) for w in own["what"].values}
            beyond = own.sel(tested="specific")
            low, high = (float(beyond[f"answer_excess_{end}"]) for end in ("low", "high"))
            lines.append(
                f"| {function_title(f)} | {int(own['answer_items'])} | {base:.2f} | {left['specific']:.2f} | "
                f"{left['whole']:.2f} | {left['random']:.2f} | {left['least']:.2f} | "
                f"{float(beyond['answer_excess']):.2f} ({low:.2f} to {high:.2f}) |"
            )
    return lines


def validation_short(validation: xr.Dataset) -> list[str]:
    """Return a validation in a few sentences for someone who reads no more."""
    k = int(validation.attrs["k_of_matrix"])
    part = validation.sel(k=k, outcome=str(validation["outcome"].values[0]))
    functions = [str(f) for f in part["function"].values]
    own = {what: _beyond(part, what, functions) for what in ("specific", "whole")}
    selective = [f for f in functions if float(part["selectivity_low"].sel(tested="specific", function=f)) > 0]
    n = len(functions)
    q = validation["double_q"].transpose("function", "measured").values
    pairs = [(f, g) for i, f in enumerate(functions) for j, g in enumerate(functions) if i < j and q[i, j] < ALPHA]
    total = n * (n - 1) // 2
    worst = _most_hurt(part, functions)
    lines = [
        f"The {k} most specific heads of a function, removed, cost its held-out tasks more than matched random "
        f"heads for {len(own['specific'])} of {n} functions ({_listed(own['specific'])}); the {k} that matter most to "
        f"it, for {len(own['whole'])} ({_listed(own['whole'])}).",
        f"They cost their own function more than any other one for {len(worst)} of {n} ({_listed(worst)}), and "
        "selectively, beyond random heads, with an interval above 0, for "
        f"{len(selective)} ({_listed(selective)}).",
        f"Double dissociation (each one's heads cost its own tasks more than the other's do) is shown for "
        f"{len(pairs)} of {total} pairs of functions at q < {ALPHA}.",
    ]
    if "answer_excess_low" in validation:
        told = validation["answer_excess_low"].sel(score="exact", tested="specific")
        worse = [f for f in functions if float(told.sel(measured=f)) > 0]
        lines.append(
            "In the model's own answers (exact match) the specific heads cost more than random ones for "
            f"{len(worse)} of {n} functions ({_listed(worse)})."
        )
    if failed := [function_title(f) for f in functions if f not in own["specific"]]:
        lines.append(
            f"Not shown: that the map's specific heads of {names(failed)} carry it on tasks that did not choose them."
        )
    return lines


def _beyond(part: xr.Dataset, what: str, functions: list[str]) -> list[str]:
    return [f for f in functions if float(part["excess_low"].sel(tested=what, function=f)) > 0]


def _most_hurt(part: xr.Dataset, functions: list[str]) -> list[str]:
    matrix = part["effect"].sel(what="specific").transpose("function", "measured").values
    return [f for i, f in enumerate(functions) if int(np.argmax(matrix[i])) == i and matrix[i, i] > 0]


def _listed(functions: list[str]) -> str:
    return names([function_title(f) for f in functions]) if functions else "none"


def _function(validation: xr.Dataset, outcome: str, f: str, k: int) -> str:
    """Return a line on one function."""
    own = validation.sel(outcome=outcome, function=f)

    def told(name: str, **where: object) -> str:
        at = own.sel(where)
        return f"{float(at[name]):.2f} ({float(at[name + '_low']):.2f} to {float(at[name + '_high']):.2f})"

    draws = int(validation.attrs["draws"])
    as_much = round(float(own["excess_p"].sel(tested="specific", k=k)) * (1 + draws) - 1)
    curve = "; ".join(
        f"{int(n)} heads {float(own['effect'].sel(what='specific', measured=f, k=n)):.2f} against "
        f"{float(own['effect'].sel(what='random', measured=f, k=n)):.2f}"
        for n in validation["k"].values
    )
    return (
        f"- {function_title(f)} ({int(own['units'])} units, {int(own['items'])} items): beyond random heads "
        f"{told('excess', tested='specific', k=k)}, {as_much} of {draws} draws cost as much; selectivity "
        f"{told('selectivity', tested='specific', k=k)}; the {k} most important heads beyond random "
        f"{told('excess', tested='whole', k=k)}. Own heads against random: {curve}. CPR {told('cpr')}, "
        f"CMD {told('cmd')}."
    )
