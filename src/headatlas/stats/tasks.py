"""The map of every task, and what its halves have in common: what all statements about tasks are made of.

1. A task's items are its main questions, and its map is the mean of its samples (`table`, read with tasks in the place
   of functions). A task is named by its function too: the same name under two functions is two tasks.
2. Items are halved at random, again and again (refits too, where there are two or more); main questions that several
   tasks share are on the same side for all of them. A product of one half's map with the other's is free of noise,
   which is independent in the halves: of two tasks it is what they have in common, of a task with itself what another
   sample of its items would show again.

A method that brings a null of its own was fitted to the functions: what it says of the tasks of one function is alike
because it was told so. It has no tasks here. This module does not know what is said about tasks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from headatlas.stats.resampling import HALVINGS, LEVEL, halves
from headatlas.stats.table import Table, task_of

FEWEST = 2
"""Tasks of a function, below which nothing can be said of what its tasks have in common."""
AT_ONCE = 8_000_000
"""Values of halves' maps that are held at a time: bounds memory."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of the functions of a map.

    Attributes
    ----------
    names
        The tasks' names, by function and then by name.
    function
        The place of every task's function, (task,).
    table
        The samples, with tasks in the place of functions.
    """

    names: tuple[str, ...]
    function: Int[np.ndarray, " task"]
    table: Table

    def counts(self, functions: int) -> Int[np.ndarray, " function"]:
        """Return how many tasks each of so many functions has."""
        return np.bincount(self.function, minlength=functions)

    def maps(self) -> Float[np.ndarray, "task head"]:
        """Return the tasks' maps."""
        return self.table.whole()

    def apart(self) -> bool:
        """Return whether no two tasks share a main question, nor refits their noise."""
        held = np.concatenate([self.table.own(at) for at in range(len(self.names))])
        return len(np.unique(held)) == len(held) and self.table.n_refits == 1

    def common(
        self, draw: np.random.Generator, scale: Callable[[np.ndarray], np.ndarray] = lambda maps: maps
    ) -> Float[np.ndarray, "task task"]:
        """Return the mean over heads of the product of every two tasks' maps, of one half with the other (step 2).

        `scale` is done to halves' maps, (halving, task, head), before. Both ways round and over all halvings, the mean
        of those in which both have items; NaN where there are none.
        """
        units, refits = halves(self.table, draw)
        n, heads = len(self.names), self.table.shape[0] * self.table.shape[1]
        total, known = np.zeros((n, n)), np.zeros((n, n))
        step = max(1, AT_ONCE // (2 * n * heads))
        for start in range(0, HALVINGS, step):
            rows = slice(start, start + step)
            sides = [scale(self.table.maps(units[side, rows], refits[side, rows])) for side in (0, 1)]
            for one, other in zip(*sides, strict=True):
                there, there_too = (~np.isnan(side[:, 0]) for side in (one, other))
                total += np.where(there[:, None], one, 0) @ np.where(there_too[:, None], other, 0).T / heads
                known += np.outer(there, there_too)
        total, known = total + total.T, known + known.T
        return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def tasks_of(samples: xr.Dataset, functions: Sequence[str]) -> Tasks | None:
    """Return the tasks of `functions`; None where samples name none, or the method was fitted to the functions."""
    task = task_of(samples)
    if task is None or "null" in samples:
        return None
    function = samples["function"].values
    names: list[str] = []
    place: list[int] = []
    label = np.full(len(task), "", dtype=object)
    for at, name in enumerate(functions):
        own = function == name
        for one in sorted({str(t) for t in task[own]} - {""}):
            label[own & (task == one)] = str(len(names))
            names.append(one)
            place.append(at)
    if not names:
        return None
    rows = np.flatnonzero(label != "")
    inside = samples.isel(sample=rows).drop_vars(["task", "function"])
    inside = inside.assign_coords(function=("sample", label[rows].astype(str)))
    return Tasks(tuple(names), np.array(place), Table(inside, [str(i) for i in range(len(names))]))


def block_means(
    matrix: Float[np.ndarray, "task task"], function: Int[np.ndarray, " task"]
) -> tuple[Float[np.ndarray, "function function"], Float[np.ndarray, " function"]]:
    """Return the mean over the pairs of tasks of two functions, and over those of two tasks of one function.

    What is NaN is passed over; a function of one task has no pair (NaN). Functions are those that have tasks.
    """
    member = (function == np.unique(function)[:, None]).astype(np.float64)
    there = ~np.isnan(matrix)
    known = np.where(there, matrix, 0)

    def mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    off = ~np.eye(len(function), dtype=bool)
    within = (((member @ (m * off)) * member).sum(1) for m in (known, there))
    return mean(member @ known @ member.T, member @ there @ member.T), mean(*within)


def reach(
    numbers: Callable[[Bool[np.ndarray, " task"]], Float[np.ndarray, " number"]], function: Int[np.ndarray, " task"]
) -> Float[np.ndarray, " number"]:
    """Return how far 95% intervals of numbers reach to either side: jackknife, with Student's quantile.

    Tasks are left out in turn, within functions: the functions are given, their tasks drawn. Where a function has only
    two tasks, nothing is known of how what they have in common scatters; functions are left out then, which makes
    intervals wider. With two functions there is none (NaN).

    Parameters
    ----------
    numbers
        What the numbers are of the tasks to keep.
    function
        The place of every task's function.
    """
    from scipy.stats import t

    kinds, count = np.unique(function, return_counts=True)
    variance, freedom = np.array(np.nan), len(kinds) - 1
    if (count > FEWEST).all():
        left = np.array([numbers(keep) for keep in ~np.eye(len(function), dtype=bool)])
        parts = [left[function == kind] for kind in kinds]
        variance = np.sum([(len(p) - 1) / len(p) * ((p - p.mean(0)) ** 2).sum(0) for p in parts], axis=0)
        freedom = len(function) - len(kinds)
    elif len(kinds) > 2:
        left = np.array([numbers(function != kind) for kind in kinds])
        variance = freedom / len(kinds) * ((left - left.mean(0)) ** 2).sum(0)
    whole = numbers(np.ones(len(function), bool))
    return np.broadcast_to(t.ppf(0.5 + LEVEL / 2, freedom) * np.sqrt(variance), whole.shape)
