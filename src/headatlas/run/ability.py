"""What the model does at all: its answers to every task, and which items are mapped.

1. A task with designed foils is *done* if the model prefers the answer to the foil more often than chance: the exact
   one-sided test at 5% (12 of 16 items).
2. A function with fewer than two done tasks (or one, where it has only one) is one that the model can't do: none of its
   items are mapped. Of the others, the items of done tasks are.
3. Tasks whose foils were drawn, not designed, and sets without tasks, are mapped whole: a drawn foil says less.

It knows nothing of heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool
from scipy.stats import beta

from headatlas.errors import RunError
from headatlas.prompts import Prompt
from headatlas.questions.functions import function_title, order_functions
from headatlas.run.jobs import Capture

ALPHA = 0.05
FEWEST_TASKS = 2
"""Of a function, below which it is not mapped (where it has as many)."""


@dataclass(frozen=True)
class Ability:
    """What `ability` found: a row a task asked (empty without designed foils), and which items are mapped."""

    table: xr.Dataset
    mapped: Bool[np.ndarray, " item"]


def ability(captured: Capture, prompts: Sequence[Prompt], *, keep_unable: bool = False) -> Ability:
    """Say what the model does, task by task.

    Parameters
    ----------
    captured
        The model's answers.
    prompts
        The items.
    keep_unable
        Map every item, whatever the model does.

    Raises
    ------
    RunError
        The model does fewer than two functions, so that there is nothing to compare.
    """
    items: dict[str, list[int]] = {}
    for at, prompt in enumerate(prompts):
        items.setdefault(prompt.task, []).append(at)
    asked = [task for task, own in items.items() if task and all(prompts[i].designed for i in own)]
    mapped = np.ones(len(prompts), bool)
    if not asked:
        return Ability(xr.Dataset(), mapped)
    table = xr.concat([_row(captured, prompts, task, items[task]) for task in asked], "asked_task")
    if keep_unable:
        return Ability(table, mapped)
    for task, done in zip(asked, table["asked_done"].values, strict=True):
        mapped[items[task]] = done
    tasks_of: dict[str, set[str]] = {}
    done_of: dict[str, set[str]] = {}
    for at, prompt in enumerate(prompts):
        tasks_of.setdefault(prompt.function, set()).add(prompt.task)
        if mapped[at]:
            done_of.setdefault(prompt.function, set()).add(prompt.task)
    able = [f for f, own in tasks_of.items() if len(done_of.get(f, ())) >= min(FEWEST_TASKS, len(own))]
    if len(able) < 2:
        most = table.sortby("asked_accuracy", ascending=False).isel(asked_task=slice(3))
        told = ", ".join(
            f"{t} {a:.0%}" for t, a in zip(most["asked_task"].values, most["asked_accuracy"].values, strict=True)
        )
        which = ", ".join(function_title(f) for f in order_functions(able)) or "none"
        raise RunError(
            f"Functions of which the model does enough tasks: {which}. A map compares two or more. It prefers the "
            f"answer to the foil most often in: {told} (chance 50%). Give a larger model, more --items, or "
            "--keep-unable to map what it can't do as well."
        )
    return Ability(table, mapped & np.isin([p.function for p in prompts], able))


def _row(captured: Capture, prompts: Sequence[Prompt], task: str, own: list[int]) -> xr.Dataset:
    """Return one task's row."""
    n, k = len(own), int((captured.logprob[own] > captured.foil_logprob[own]).sum())
    first = prompts[own[0]]
    values = {
        "asked_function": first.function,
        "asked_form": first.design.get("form", ""),
        "asked_kind": first.design.get("kind", ""),
        "asked_lure": float(np.mean([prompts[i].design.get("lure") == "yes" for i in own])),
        "asked_items": n,
        "asked_accuracy": k / n,
        "asked_accuracy_low": float(beta.ppf(ALPHA / 2, k, n - k + 1)) if k else 0.0,
        "asked_accuracy_high": float(beta.ppf(1 - ALPHA / 2, k + 1, n - k)) if k < n else 1.0,
        "asked_exact": float(captured.right[own].mean()),
        "asked_done": bool(k and beta.ppf(ALPHA, k, n - k + 1) > 0.5),
    }
    return xr.Dataset({name: ("asked_task", [value]) for name, value in values.items()}, {"asked_task": [task]})
