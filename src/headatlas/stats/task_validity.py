"""Is a function one thing? What the maps of a function's tasks have in common, and other tasks' have not: `validity`.

1. Every task's map is brought to the scale of signed square roots, centred over heads and of length 1; the
   *similarity* of two tasks is the product, a correlation. By simulation, ranks name left-out tasks best where effects
   are in all heads, but mostly order noise where they are in few; plain values follow the few largest heads. Square
   roots are best or near it in both, and so they were on the first battery of tasks.
2. A task's *reliability* is the similarity of maps of random halves of its items, stepped up (Spearman-Brown). Two
   tasks' similarity is *corrected* for noise by dividing that of their halves by the root of the product of what halves
   of each have in common: both are of maps that are equally noisy, and the noise is independent. Means are corrected by
   the mean of those roots, so that no unreliable task runs away with them; a task whose reliability is below
   `LEAST_RELIABLE` has no corrected similarities. (Noise rounds the square root off near 0: corrected similarities lie
   between those of square roots and of plain values, within 0.03 of the first by simulation.)
3. Means over pairs of tasks within functions (every function weighing the same) and between (every two functions); the
   mean difference of a function's within and its tasks' with all others is tested by shuffling tasks over functions
   (sizes kept), for all functions and each: in all ways where tasks are seven or fewer. Few tasks can't say much: six
   of two functions are dealt in ten ways, so that no p is below 0.1. Intervals: jackknife over tasks (`tasks.reach`).
4. The same with form, kind of answer and so on held fixed: regression of matrices (`matrices`).
5. Left-out tasks named by their map (`naming`). The interval of the accuracy is the exact one of as many independent
   answers as there are tasks.
6. Tasks are clustered by similarity, corrected where it can be (Ward), into as many clusters as there are functions;
   the adjusted Rand index says how far clusters are functions (1 all, 0 chance), tested by shuffling.

p-values are counted, never below 1 / 10,000: none of them has thousands of heads to survive.

The similarity is the plain one: what all tasks have in common is in it, within and between functions alike, and
differences, regression and shuffling take it away. Only naming takes the mean off, and says why.

This module does not know what the tasks are, nor draws. It says nothing of methods that were fitted to the functions
(`tasks`): the maps of a function's tasks are alike there because the method was told.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from headatlas.stats.correlation import mean_known, stepped_up
from headatlas.stats.matrices import permutations, regression
from headatlas.stats.naming import named
from headatlas.stats.nulls import adjusted, counted_p
from headatlas.stats.resampling import CHUNK, exact_interval
from headatlas.stats.tasks import FEWEST, Tasks, block_means, reach, tasks_of

LEAST_RELIABLE = 0.1
"""Reliability below which a similarity is not divided by it."""


def validity(
    samples: xr.Dataset,
    functions: Sequence[str],
    labels: Mapping[str, Mapping[str, str]] | None = None,
    *,
    seed: int = 0,
) -> xr.Dataset:
    """Say how far the maps of a function's tasks are alike, beyond what all tasks are.

    Parameters
    ----------
    samples
        What a `Method` returned (see its laws), naming tasks.
    functions
        The functions, in order.
    labels
        Factor ("form", "kind", "lure", …) -> task -> its label. A factor that does not label every task is left out.
    seed
        Of the halvings and the permutations. Nothing depends on the order of samples.

    Returns
    -------
    xarray.Dataset
        Empty where fewer than two functions have two tasks or more, or the method was fitted to the functions. Else
        over (task, other_task): task_similarity, task_similarity_corrected; over task: task_function,
        task_reliability, task_named (what its function is named; empty for the one task of a function), task_cluster,
        task_order (its place among the leaves of the tree); over function: function_within,
        function_within_corrected, function_between, function_within_p and _q (NaN of a function of one task); without
        dimension: within_similarity, between_similarity, both also _corrected, each with _low and _high, within_p,
        naming_accuracy with _low and _high, naming_chance, naming_p, cluster_rand, cluster_p; naming_confusion
        (function, other_function), how many tasks of the one were named after the other. Over factor, "function" and
        those of `labels`, if there are any: factor_effect, factor_p, factor_overlap, factor_exchanged, factor_least_p.
    """
    tasks = tasks_of(samples, functions)
    if tasks is None or (tasks.counts(len(functions)) >= FEWEST).sum() < 2:
        return xr.Dataset()
    draw = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)]
    similarity, half, reliability = _similarity(tasks, draw[0])
    order = permutations(draw[1], len(tasks.names))
    corrected = _corrected(half, reliability)
    parts = [
        _means(similarity, half, tasks.function),
        _by_function(similarity, half, tasks.function, len(functions), order),
        _factors(similarity, tasks, labels or {}, order),
        _named_tasks(similarity, tasks, functions, draw[2]),
        _clusters(np.where(np.isnan(corrected), similarity, corrected), tasks.function, order),
    ]
    result = xr.Dataset(
        {
            "task_function": ("task", np.array(functions)[tasks.function]),
            "task_reliability": ("task", reliability),
            "task_similarity": (("task", "other_task"), similarity),
            "task_similarity_corrected": (("task", "other_task"), corrected),
        },
        coords={
            "task": list(tasks.names),
            "other_task": list(tasks.names),
            "function": list(functions),
            "other_function": list(functions),
        },
    )
    return result.merge(xr.merge(parts, join="outer", compat="no_conflicts"), join="exact")


# -- how alike two tasks are --------------------------------------------------------------------------------------


def scaled(maps: Float[np.ndarray, "*map head"]) -> Float[np.ndarray, "*map head"]:
    """Return maps whose products are similarities (step 1): signed square roots, centred and of length 1."""
    roots = np.sign(maps) * np.sqrt(np.abs(maps))
    roots = roots - roots.mean(-1, keepdims=True)
    length = np.sqrt((roots**2).sum(-1, keepdims=True))
    return np.where(length == 0, 0.0, roots / np.where(length == 0, 1.0, length))


def _similarity(
    tasks: Tasks, draw: np.random.Generator
) -> tuple[Float[np.ndarray, "task task"], Float[np.ndarray, "task task"], Float[np.ndarray, " task"]]:
    """Return the similarities, 1 on the diagonal; those of halves' maps, also of a task with itself; and reliabilities.

    Where tasks share main questions (or refits) they share their noise: there, what halves without a question in
    common have in common is stepped up as reliabilities are.
    """
    heads = tasks.table.shape[0] * tasks.table.shape[1]
    half = tasks.common(draw, lambda maps: np.sqrt(heads) * scaled(maps))
    reliability = stepped_up(half.diagonal())
    if tasks.apart():
        maps = scaled(tasks.maps())
        similarity = maps @ maps.T
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            longer = np.sqrt(np.where(half.diagonal() > 0, reliability / half.diagonal(), 1))
        similarity = np.nan_to_num(half) * np.outer(longer, longer)
    similarity = np.clip((similarity + similarity.T) / 2, -1, 1)
    np.fill_diagonal(similarity, 1)
    return similarity, half, reliability


def _roots(half: Float[np.ndarray, "task task"]) -> Float[np.ndarray, "task task"]:
    """Return what halves' similarities are divided by: 0 where nothing of a task reproduces."""
    own = np.sqrt(np.maximum(np.nan_to_num(half.diagonal()), 0))
    return np.outer(own, own)


def _corrected(half: np.ndarray, reliability: np.ndarray) -> Float[np.ndarray, "task task"]:
    """Return the matrix without noise: NaN for tasks that are not reliable, 1 on the diagonal of the others."""
    known = reliability >= LEAST_RELIABLE
    known = known[:, None] & known
    return np.where(known, np.clip(half / np.where(known, _roots(half), 1), -1, 1), np.nan)


# -- within and between functions ---------------------------------------------------------------------------------


def _means(similarity: np.ndarray, half: np.ndarray, function: np.ndarray) -> xr.Dataset:
    """Return the means over functions and over pairs of functions, as they are and corrected, with intervals."""
    roots = _roots(half)

    def means(keep: np.ndarray) -> np.ndarray:
        found = []
        for matrix in (similarity, half, roots):
            blocks, within = block_means(matrix[np.ix_(keep, keep)], function[keep])
            found.append((mean_known(within), blocks[~np.eye(len(blocks), dtype=bool)].mean()))
        plain, halves_, root = np.array(found)
        return np.concatenate([plain, halves_ / np.where(root >= LEAST_RELIABLE, root, np.nan)])

    whole, half_width = means(np.ones(len(function), bool)), reach(means, function)
    names = ("within_similarity", "between_similarity", "within_similarity_corrected", "between_similarity_corrected")
    result = xr.Dataset()
    for name, value, r in zip(names, whole, half_width, strict=True):
        for end, at in (("", value), ("_low", value - r), ("_high", value + r)):
            result[name + end] = ((), float(at))
    return result


def _by_function(
    similarity: np.ndarray, half: np.ndarray, function: np.ndarray, functions: int, order: np.ndarray
) -> xr.Dataset:
    """Return every function's mean within and with the others, and what shuffled tasks say of their difference."""
    kinds, count = np.unique(function, return_counts=True)
    n, tested = len(function), count >= FEWEST
    off = similarity - np.diag(similarity.diagonal())
    pairs, others = np.maximum(count * (count - 1), 1), count * (n - count)

    def contrasts(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        member = (function[chosen][..., None] == kinds).astype(np.float64)
        within = (member * np.matmul(off, member)).sum(1)
        between = (member * off.sum(1)[:, None]).sum(1) - within
        return within / pairs, between / others

    drawn = [contrasts(order[start : start + CHUNK]) for start in range(0, len(order), CHUNK)]
    within, between = contrasts(np.arange(n)[None])

    def differences(within: np.ndarray, between: np.ndarray) -> np.ndarray:
        each = (within - between)[:, tested]
        return np.concatenate([each, each.mean(1, keepdims=True)], axis=1)

    p = counted_p(np.concatenate([differences(*one) for one in drawn]), differences(within, between)[0])
    halves_, root = (block_means(matrix, function)[1] for matrix in (half, _roots(half)))
    result = xr.Dataset({"within_p": ((), float(p[-1]))})
    for name, values, where in (
        ("function_within", within[0], tested),
        ("function_within_corrected", halves_ / np.where(root >= LEAST_RELIABLE, root, np.nan), tested),
        ("function_between", between[0], count > 0),
        ("function_within_p", _placed(p[:-1], tested), tested),
        ("function_within_q", _placed(adjusted(p[:-1]), tested), tested),
    ):
        whole = np.full(functions, np.nan)
        whole[kinds[where]] = values[where]
        result[name] = ("function", whole)
    return result


def _placed(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the values at their places, NaN elsewhere."""
    result = np.full(len(where), np.nan)
    result[where] = values
    return result


# -- what else tasks share ----------------------------------------------------------------------------------------


def _factors(
    similarity: np.ndarray, tasks: Tasks, labels: Mapping[str, Mapping[str, str]], order: np.ndarray
) -> xr.Dataset:
    """Return what each factor explains of the similarities; empty where no factor beside the function is known."""
    known = {
        factor: np.array([str(by_task[name]) for name in tasks.names])
        for factor, by_task in labels.items()
        if all(name in by_task for name in tasks.names)
    }
    found = regression(similarity, {"function": tasks.function.astype(str), **known}, order)
    if not set(found) - {"function"}:
        return xr.Dataset()
    return xr.Dataset(
        {
            "factor_effect": ("factor", [one.effect for one in found.values()]),
            "factor_p": ("factor", [one.p for one in found.values()]),
            "factor_overlap": ("factor", [one.overlap for one in found.values()]),
            "factor_exchanged": ("factor", [one.exchanged for one in found.values()]),
            "factor_least_p": ("factor", [one.least_p for one in found.values()]),
        },
        coords={"factor": list(found)},
    )


# -- naming and clustering ----------------------------------------------------------------------------------------


def _named_tasks(
    similarity: np.ndarray, tasks: Tasks, functions: Sequence[str], draw: np.random.Generator
) -> xr.Dataset:
    """Return how often a left-out task's function is named by its map, among functions of two tasks or more."""
    count = tasks.counts(len(functions))
    rows = np.flatnonzero(count[tasks.function] >= FEWEST)
    kinds, place = np.unique(tasks.function[rows], return_inverse=True)
    matrix, n = similarity[np.ix_(rows, rows)], len(rows)
    order = np.concatenate([np.arange(n)[None], permutations(draw, n)])
    found = named(matrix, place, order)
    right = (found == place[order]).mean(1)
    name = found[0]
    chance = float(right[1:].mean())
    p = counted_p(right[1:, None], right[:1])
    low, high = exact_interval(float(right[0]), n)
    confusion = np.zeros((len(functions), len(functions)), np.int64)
    np.add.at(confusion, (kinds[place], kinds[name]), 1)
    called = np.full(len(tasks.names), "", dtype=object)
    called[rows] = np.array(functions, dtype=object)[kinds[name]]
    return xr.Dataset(
        {
            "naming_accuracy": ((), float(right[0])),
            "naming_accuracy_low": ((), low),
            "naming_accuracy_high": ((), high),
            "naming_chance": ((), chance),
            "naming_p": ((), float(p[0])),
            "naming_confusion": (("function", "other_function"), confusion),
            "task_named": ("task", called.astype(str)),
        }
    )


def _clusters(likeness: np.ndarray, function: np.ndarray, order: np.ndarray) -> xr.Dataset:
    """Return the clusters, the leaves' order, and how far clusters are functions.

    Of correlations, sqrt(2 (1 - r)) is the distance of maps of length 1, which is what Ward's rule is about. Tasks come
    to it in an order that is drawn: equal distances are joined in the order they come in, and tasks are sorted by
    function.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    shuffled = order[0]
    back = np.argsort(shuffled)
    distance = np.sqrt(2 * (1 - likeness[np.ix_(shuffled, shuffled)]))
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "ward", optimal_ordering=True)
    _, place = np.unique(function, return_inverse=True)
    cluster = fcluster(tree, place.max() + 1, "maxclust")[back] - 1
    leaf = np.empty(len(place), np.int64)
    leaf[shuffled[leaves_list(tree)]] = np.arange(len(place))
    rand = np.concatenate(
        [_rand(cluster, place[order[start : start + CHUNK]]) for start in range(0, len(order), CHUNK)]
    )
    observed = _rand(cluster, place[None])
    p = counted_p(rand[:, None], observed)
    return xr.Dataset(
        {
            "task_cluster": ("task", cluster.astype(np.int64)),
            "task_order": ("task", leaf),
            "cluster_rand": ((), float(observed[0])),
            "cluster_p": ((), float(p[0])),
        }
    )


def _rand(cluster: Int[np.ndarray, " task"], labels: Int[np.ndarray, "draw task"]) -> Float[np.ndarray, " draw"]:
    """Return the adjusted Rand index of clusters and every row of labels (Hubert & Arabie 1985)."""
    inside = (cluster[:, None] == np.arange(cluster.max() + 1)).astype(np.float64)
    member = (labels[..., None] == np.arange(labels.max() + 1)).astype(np.float64)

    def pairs(count: np.ndarray) -> np.ndarray:
        return np.asarray((count * (count - 1) / 2).sum(-1))

    together = pairs(np.matmul(inside.T, member).reshape(len(labels), -1))
    one, other = pairs(inside.sum(0)), pairs(member.sum(1))
    expected = one * other / (len(cluster) * (len(cluster) - 1) / 2)
    most = (one + other) / 2
    return np.where(most > expected, (together - expected) / np.where(most > expected, most - expected, 1), 0.0)
