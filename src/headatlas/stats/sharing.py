"""What all functions share of a map, and what is a function's own.

1. The map of function f at head u is M[f, u]. The general part is g[u], the mean of M[f, u] over functions (every
   function weighing the same); the specific part is s[f, u] = M[f, u] - g[u]. Values are signed, whatever the sign the
   map is drawn with.
2. Shares: take two random halves of the units (and of the refits, where there are two or more), and the covariance over
   heads of a map of one half with a map of the other. It is free of noise, which is independent in the halves. Of two
   different functions it is what functions have in common (general: the mean over pairs of functions); of a function
   with itself it is that and the function's own. Functions with nothing in common give a general share of 0, however
   few they are. What is left of the map's variance is noise.
   Intervals: jackknife, leaving out one of 20 blocks of units at a time.
   Where tasks are named (two or more in every function) there are four parts, which add up to 1, of the variance over
   heads of a *task's* map: general (covariance of tasks of different functions), function (of different tasks of one
   function, less that), task (of a task with itself, between halves of its items, less both) and noise (the rest).
   Every function weighs the same, and every task in it. They are signed and not cut: where there is nothing to find
   they scatter about 0. Intervals: jackknife over tasks, within functions. Of methods fitted to the functions (those
   with a null of their own), whose maps of a function's tasks are alike by construction, the parts stay the three.
3. Reliability of a specific part: the correlation of the halves', stepped up (Spearman-Brown); and how many times the
   items would bring it to 0.9, by the same formula.
4. Heads: a head is called general if the mean of its effect over a main question's functions differs from zero,
   specific to f if its effect on f differs from its mean effect on the same question's other functions; both by
   flipping the signs of whole main questions, q-values by Benjamini-Hochberg over the heads. Where tasks are named and
   f has two or more, items of a task are one piece of evidence: general is tested by flipping the signs of tasks,
   specific by exchanging tasks between f and the other functions, each task weighing the same (a function whose tasks
   are not told apart counts as one). Nothing shown: irrelevant, so far.

Methods that bring a null of their own (probes) are not centred on zero where there is nothing to find: their heads are
not called. This module does not know what the effects are of.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.stats.correlation import covariance, mean_known, stepped_up
from headatlas.stats.nulls import adjusted, exchange_p, sign_flip_p
from headatlas.stats.resampling import halves
from headatlas.stats.table import BY_TASK, Table, task_of
from headatlas.stats.tasks import FEWEST, Tasks, block_means, reach, tasks_of

BLOCKS = 20
TARGET = 0.9
"""Reliability that `items_needed` is for."""


def split(samples: xr.Dataset, functions: Sequence[str], *, seed: int = 0) -> xr.Dataset:
    """Split the map of `samples` into a general and a specific part.

    Parameters
    ----------
    samples
        What a `Method` returned (see its laws).
    functions
        The functions, in order; each has samples.
    seed
        Of the halvings and the flips. Nothing depends on the order of samples.

    Returns
    -------
    xarray.Dataset
        general (layer, head); specific (function, layer, head); general_share, specific_share (of the reproducible
        variance) and noise_share (of the map's), or general_share, function_share, task_share and noise_share (of the
        variance of a task's map; step 2 of the module), each with _low and _high; specific_reliability and items_needed
        (function); q_general (layer, head) and q_specific (function, layer, head), NaN where the method has a null of
        its own, a function shares no main question with another, or there are too few tasks.
    """
    table = Table(samples, functions)
    draw = np.random.default_rng(seed)
    whole = table.whole()
    general, specific = _parts(whole)
    units, refits = halves(table, draw)
    tasks = tasks_of(samples, functions)
    grid = table.shape
    result = xr.Dataset(
        {
            "general": (("layer", "head"), general.reshape(grid)),
            "specific": (("function", "layer", "head"), specific.reshape(-1, *grid)),
        },
        coords={"function": list(functions)},
    )
    if tasks is not None and len(functions) > 1 and (tasks.counts(len(functions)) >= FEWEST).all():
        parts = _four_shares(tasks, np.random.default_rng([seed, 4]))
    else:
        parts = _three_shares(table, units, refits)
    for name, ends in parts.items():
        for end, value in zip(("", "_low", "_high"), ends, strict=True):
            result[name + end] = ((), value)
    reliability = _reliability(table, units, refits)
    result["specific_reliability"] = ("function", reliability)
    result["items_needed"] = ("function", _items_needed(reliability, table.items))
    q_general, q_specific = _called(samples, table, draw)
    result["q_general"] = (("layer", "head"), q_general.reshape(grid))
    result["q_specific"] = (("function", "layer", "head"), q_specific.reshape(-1, *grid))
    return result


def _parts(maps: Float[np.ndarray, "*draw function head"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the general part, (*draw, head), and the specific parts."""
    general = maps.mean(axis=-2)
    return general, maps - general[..., None, :]


def _three_shares(table: Table, units: np.ndarray, refits: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Return each share and its interval, where tasks are not told apart."""
    shares = _shares(table, units, refits, np.ones(table.n_units))
    half_widths = _jackknife(table, units, refits, len(shares))
    names = ("general_share", "specific_share", "noise_share")
    ends = [np.clip((v, v - r, v + r), 0, 1) for v, r in zip(shares, half_widths, strict=True)]
    return {name: (float(a), float(b), float(c)) for name, (a, b, c) in zip(names, ends, strict=True)}


def _four_shares(tasks: Tasks, draw: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    """Return each share and its interval, where functions have tasks."""
    common = tasks.common(draw, lambda maps: maps - maps.mean(-1, keepdims=True))
    variance, function = tasks.maps().var(axis=-1), tasks.function

    def shares(keep: np.ndarray) -> np.ndarray:
        return _of_tasks(common[np.ix_(keep, keep)], variance[keep], function[keep])

    whole, half_width = shares(np.ones(len(function), bool)), reach(shares, function)
    names = ("general_share", "function_share", "task_share", "noise_share")
    return {name: (float(v), float(v - r), float(v + r)) for name, v, r in zip(names, whole, half_width, strict=True)}


def _of_tasks(
    common: Float[np.ndarray, "task task"], variance: Float[np.ndarray, " task"], function: np.ndarray
) -> Float[np.ndarray, " share"]:
    """Return the four shares; NaN where nothing varies, or no task has items enough to halve."""
    blocks, within = block_means(common, function)
    member = (function == np.unique(function)[:, None]).astype(np.float64)
    own = mean_known(np.where(member > 0, common.diagonal(), np.nan).T)
    observed = float((member @ variance / member.sum(1)).mean())
    if not observed > 0:
        return np.full(4, np.nan)
    general = blocks[~np.eye(len(blocks), dtype=bool)].mean()
    levels = np.array([general, within.mean(), own.mean(), observed]) / observed
    return np.diff(levels, prepend=0.0)


def _shares(
    table: Table,
    units: Float[np.ndarray, "side halving unit"],
    refits: Float[np.ndarray, "side halving refit"],
    keep: Float[np.ndarray, " unit"],
) -> tuple[float, float, float]:
    """Return the shares of general and specific of the reproducible variance, and of noise of the map's, of the units
    to keep.

    A covariance can come out below zero by chance, and a share beyond 0 or 1: cut when all is done, so that the
    interval is not cut with it.
    """
    whole = table.maps(keep[None], np.ones((1, table.n_refits)))[0]
    one, other = (table.maps(units[side] * keep, refits[side]) for side in (0, 1))
    usable = ~np.isnan(one).any((1, 2)) & ~np.isnan(other).any((1, 2))
    observed = float(whole.var(axis=-1).mean())
    if not usable.any() or not observed > 0:
        return (float("nan"),) * 3
    one, other = (side[usable] - side[usable].mean(-1, keepdims=True) for side in (one, other))
    matrix = np.einsum("hfu,hgu->fg", one, other) / one.shape[0] / one.shape[2]  # function by function
    n = len(matrix)
    both = float(np.trace(matrix) / n)
    general = float((matrix.sum() - np.trace(matrix)) / (n * (n - 1))) if n > 1 else float("nan")
    if both <= 0:  # nothing reproduces: there is nothing to divide
        return float("nan"), float("nan"), 1.0
    return general / both, 1 - general / both, 1 - both / observed


def _jackknife(table: Table, units: np.ndarray, refits: np.ndarray, n_shares: int) -> Float[np.ndarray, " share"]:
    """Return 1.96 standard errors of the shares: units are left out block by block."""
    n = table.n_units
    blocks = min(BLOCKS, n)
    place = np.arange(n) % blocks
    left = []
    for block in range(blocks):
        keep = (place != block).astype(np.float64)
        if np.isnan(table.maps(keep[None], np.ones((1, table.n_refits)))).any():
            return np.full(n_shares, np.nan)
        left.append(_shares(table, units, refits, keep))
    values = np.array(left)
    return 1.96 * np.sqrt((blocks - 1) / blocks * ((values - values.mean(0)) ** 2).sum(0))


def _reliability(table: Table, units: np.ndarray, refits: np.ndarray) -> Float[np.ndarray, " function"]:
    """Return the stepped-up correlation of the specific parts of two halves, the mean over halvings."""
    s1, s2 = (_parts(table.maps(units[side], refits[side]))[1] for side in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = covariance(s1, s2) / np.sqrt(covariance(s1, s1) * covariance(s2, s2))
    return stepped_up(mean_known(r))


def _items_needed(reliability: np.ndarray, items: np.ndarray) -> Float[np.ndarray, " function"]:
    """Return how many items would bring a reliability to `TARGET`; infinite where there is none to step up."""
    with np.errstate(divide="ignore", invalid="ignore"):
        times = TARGET / (1 - TARGET) * (1 - reliability) / reliability
    return np.where(reliability > 0, np.ceil(items * times), np.where(np.isnan(reliability), np.nan, np.inf))


def _called(
    samples: xr.Dataset, table: Table, draw: np.random.Generator
) -> tuple[Float[np.ndarray, " head"], Float[np.ndarray, "function head"]]:
    """Return the q-values of "no general effect" and of "no effect of its own"."""
    functions, heads = len(table.cells), table.shape[0] * table.shape[1]
    q_general, q_specific = np.full(heads, np.nan), np.full((functions, heads), np.nan)
    if "null" in samples:
        return q_general, q_specific
    mean = np.full((table.n_units, functions, heads), np.nan)
    for at in range(functions):
        own, share = table.by_unit(at)
        weight = np.zeros(table.n_units)
        np.add.at(weight, table.cells[at][0].unit, table.cells[at][0].count)
        mean[own, at] = share * (table.cells[at][0].count.sum() / weight[own])[:, None]
    there = ~np.isnan(mean[:, :, 0])
    values = np.where(there[..., None], mean, 0)
    n = there.sum(1)
    q_general = adjusted(sign_flip_p(values.sum(1) / n[:, None], draw))
    rows, function = _by_task(table, mean) if task_of(samples) is not None else (np.zeros((0, heads)), np.zeros(0))
    for f in range(functions):
        shared = there[:, f] & (n > 1)
        own = function == f
        if shared.sum() >= 2:
            others = (values[shared].sum(1) - values[shared, f]) / (n[shared] - 1)[:, None]
            q_specific[f] = adjusted(sign_flip_p(values[shared, f] - others, draw))
        elif own.sum() >= FEWEST and (~own).sum() >= FEWEST:
            q_specific[f] = adjusted(exchange_p(rows, own, draw))
    return q_general, q_specific


def _by_task(
    table: Table, mean: Float[np.ndarray, "unit function head"]
) -> tuple[Float[np.ndarray, "task head"], np.ndarray]:
    """Return the map of every task, and its function's place; of a function without two tasks, its one map."""
    rows, function, whole = [], [], table.whole()
    for at in range(len(table.cells)):
        own = table.own(at)
        told_apart = str(table.units[own[0]]).startswith(BY_TASK)
        rows.append(mean[own, at] if told_apart else whole[at : at + 1])
        function += [at] * len(rows[-1])
    return np.concatenate(rows), np.array(function)
