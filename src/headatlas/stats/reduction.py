"""From samples of importance to a map with its uncertainty: `reduce`.

1. A function's map is the mean of its samples over items and refits; where tasks are named, over tasks, each weighing
   the same (`table`).
2. Intervals: units (tasks, or main questions) and, crossed with them, refits are drawn anew (`resampling`). All maps of
   all draws are one product, weights x samples.
3. p-values: from the method's own null where it gives one (the map of a probe that had nothing to find), else by
   flipping the signs of whole units (`nulls`). q-values: Benjamini-Hochberg over the heads of a function.
4. Derived numbers (a layer's share, depth, similarity of two functions) are computed on the map, and again on
   every draw's map. Their intervals are the estimate +- 1.96 standard deviations of the draws (similarity: on
   Fisher's z), not percentiles: a draw's map carries the sampling noise twice, and absolute values and rank
   correlations shift under noise, so that percentiles would sit beside the estimate.
5. Reliability: random halves of the units (and of the refits, if there are two or more) give two maps; their rank
   correlation over heads, averaged over halvings, stepped up in length (Spearman-Brown).

`sign` orders heads and says what is a map's mass (`sign`). Halves and functions are compared by signed values: their
absolute values would agree wherever heads differ in how noisy they are.

This package does not know models, probes or prompts. It takes units as exchangeable.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import rankdata

from headatlas.errors import InputError
from headatlas.stats.correlation import spearman, standard_ranks, stepped_up
from headatlas.stats.nulls import adjusted, pooled_p, sign_flip_p
from headatlas.stats.resampling import CHUNK, bootstrap, drawn_interval, halves, percentiles
from headatlas.stats.sign import Sign, mass, ranked
from headatlas.stats.table import Table, task_of, units_of


def reduce(
    samples: xr.Dataset, functions: Sequence[str], *, sign: Sign, n_boot: int = 1000, seed: int = 0
) -> xr.Dataset:
    """Return the map of `samples` with everything that `atlas.SCHEMA` says of one method.

    Parameters
    ----------
    samples
        What a `Method` returned (see its laws).
    functions
        The functions of the map, in order; each needs at least one sample.
    sign
        How heads are ranked (see `sign`).
    n_boot
        Bootstrap draws.
    seed
        Of the bootstrap, the sign flips and the halvings. Nothing depends on the order of the samples.

    Returns
    -------
    xarray.Dataset
        importance, ci_low, ci_high, p_value, q_value, rank (function, layer, head); layer_share, depth,
        similarity, each with _low and _high; reliability; n_units, how many units the function's intervals rest
        on; probe_accuracy and probe_accuracy_overall with _low
        and _high (NaN where the method predicts nothing). The dimension ``method`` is the caller's to add.

    Raises
    ------
    InputError
        A function has no sample, or `n_boot` is below 2.
    """
    if n_boot < 2:
        raise InputError(f"{n_boot} bootstrap draws make no interval. Give 2 or more (1000 is usual).")
    table = Table(samples, functions)
    seeds = np.random.SeedSequence(seed).spawn(4)
    importance = table.whole()
    draws = bootstrap(table, n_boot, np.random.default_rng(seeds[0]))

    grid = (len(functions), *table.shape)
    dims = ("function", "layer", "head")
    n_units = np.array([len(table.own(at)) for at in range(len(functions))])
    low, high = np.stack([percentiles(importance[at], draws[:, at], int(n)) for at, n in enumerate(n_units)], axis=1)
    p_value = _p_values(samples, table, importance, sign, np.random.default_rng(seeds[1]))
    q_value = adjusted(p_value)
    rank = rankdata(-ranked(importance, sign), method="ordinal", axis=1)
    variables = {
        name: (dims, np.asarray(values, np.float64).reshape(grid))
        for name, values in (
            ("importance", importance), ("ci_low", low), ("ci_high", high),
            ("p_value", p_value), ("q_value", q_value),
        )
    }  # fmt: skip
    variables["rank"] = (dims, rank.astype(np.int64).reshape(grid))
    result = xr.Dataset(variables, coords={"function": list(functions), "other_function": list(functions)})
    result = result.merge(_derived(importance, draws, table.shape, sign))
    result["reliability"] = ("function", _reliability(table, np.random.default_rng(seeds[2])))
    result["n_units"] = ("function", n_units)
    return result.merge(_accuracy(samples, functions, n_boot, np.random.default_rng(seeds[3])))


def function_means(
    samples: xr.Dataset, name: str, functions: Sequence[str]
) -> Float[np.ndarray, "function layer head"]:
    """Return the mean over each function's items (of its tasks' means, where tasks are named) of a further variable of
    `samples`, passing over NaN.
    """
    values = samples[name].transpose("sample", "layer", "head").values.astype(np.float64)
    function, task = samples["function"].values, task_of(samples)
    with warnings.catch_warnings():  # no item has a value: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        found = []
        for f in functions:
            own = function == f
            parts = [own] if task is None else [own & (task == t) for t in np.unique(task[own])]
            means = [np.nanmean(values[part], axis=0) for part in parts]
            found.append(means[0] if len(means) == 1 else np.nanmean(means, axis=0))
        return np.stack(found)


def _p_values(
    samples: xr.Dataset,
    table: Table,
    importance: Float[np.ndarray, "function head"],
    sign: Sign,
    draw: np.random.Generator,
) -> Float[np.ndarray, "function head"]:
    """Return a p-value a head and function, from the method's null or else from sign flips."""
    if "null" not in samples:
        return np.stack(
            [
                sign_flip_p(table.by_unit(at)[1], draw, one_sided=sign == "positive", observed=importance[at])
                for at in range(len(importance))
            ]
        )
    null = samples["null"].transpose("null_sample", "layer", "head").values.reshape(samples.sizes["null_sample"], -1)
    pools = {f: null[samples["null_function"].values == f].ravel().astype(np.float64) for f in table.functions}
    if missing := [f for f, pool in pools.items() if not len(pool)]:
        raise InputError(f"The null has no value for function '{missing[0]}'.")
    found = pooled_p(pools, dict(zip(table.functions, importance, strict=True)), sign)
    return np.stack([found[f] for f in table.functions])


def _shares(maps: np.ndarray, shape: tuple[int, int], sign: Sign) -> Float[np.ndarray, "*draw function layer"]:
    """Return every layer's share of the mass; NaN for a map without any."""
    total_mass = mass(maps, sign).reshape(*maps.shape[:-1], *shape).sum(-1)
    total = total_mass.sum(-1, keepdims=True)
    return total_mass / np.where(total > 0, total, np.nan)


def _depths(shares: Float[np.ndarray, "*draw function layer"]) -> Float[np.ndarray, "*draw function"]:
    """Return the centre of mass over layers, 0 = first, 1 = last (a model of one layer: 0)."""
    return shares @ np.linspace(0, 1, shares.shape[-1]) if shares.shape[-1] > 1 else 0 * shares[..., 0]


def _similarities(maps: np.ndarray) -> Float[np.ndarray, "*draw function other_function"]:
    """Return the rank correlation over heads of every pair of functions."""
    ranks = standard_ranks(maps)
    return np.clip(ranks @ np.swapaxes(ranks, -1, -2), -1, 1)


def _around(estimate: np.ndarray, draws: np.ndarray, bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return estimate +- 1.96 standard deviations of the draws, cut to `bounds`."""
    with warnings.catch_warnings():  # a map without mass has no share and no interval: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        reach = 1.96 * np.nanstd(draws, axis=0, ddof=1)
    return np.clip(estimate - reach, *bounds), np.clip(estimate + reach, *bounds)


def _derived(
    importance: Float[np.ndarray, "function head"],
    draws: Float[np.ndarray, "draw function head"],
    shape: tuple[int, int],
    sign: Sign,
) -> xr.Dataset:
    """Return layer_share, depth and similarity, each with its interval (step 4 of the module)."""
    share, similarity = _shares(importance, shape, sign), _similarities(importance)
    share_draws = _shares(draws, shape, sign)
    similarity_draws = np.concatenate(
        [_similarities(draws[start : start + CHUNK]) for start in range(0, len(draws), CHUNK)]
    )
    near_one = 1 - 1e-9  # a map's similarity to itself is 1, whose Fisher z is infinite
    fisher, fisher_draws = (np.arctanh(np.clip(v, -near_one, near_one)) for v in (similarity, similarity_draws))
    depth, depth_draws = _depths(share), _depths(share_draws)
    values = {
        "layer_share": (("function", "layer"), share, *_around(share, share_draws, (0.0, 1.0))),
        "depth": (("function",), depth, *_around(depth, depth_draws, (0.0, 1.0))),
        "similarity": (
            ("function", "other_function"),
            similarity,
            *(np.tanh(edge) for edge in _around(fisher, fisher_draws, (-np.inf, np.inf))),
        ),
    }
    result = xr.Dataset()
    for name, (dims, *arrays) in values.items():
        for suffix, array in zip(("", "_low", "_high"), arrays, strict=True):
            result[name + suffix] = (dims, np.asarray(array, np.float64))
    return result


def _reliability(table: Table, draw: np.random.Generator) -> Float[np.ndarray, " function"]:
    """Return the stepped-up split-half correlation of every function's map; NaN with one unit."""
    result = np.full(len(table.cells), np.nan)
    for at in range(len(table.cells)):
        if len(table.own(at)) < 2:
            continue
        units, refits = halves(table, draw, strata=[table.own(at)])
        one, other = (table.map(at, units[k], refits[k]) for k in (0, 1))
        halves_agree = spearman(one, other)
        half = float(np.nanmean(halves_agree)) if np.isfinite(halves_agree).any() else np.nan
        result[at] = stepped_up(np.array(half))
    return result


def _accuracy(samples: xr.Dataset, functions: Sequence[str], n_boot: int, draw: np.random.Generator) -> xr.Dataset:
    """Return the held-out accuracy by function and overall; NaN where the method predicts nothing."""
    by_function = np.full((len(functions), 3), np.nan)
    overall = (np.nan,) * 3
    if "correct" in samples:
        correct = samples["correct"].values.astype(np.float64)
        function = samples["prediction_function"].values
        unit = units_of(function, samples["prediction_group"].values, task_of(samples, "prediction_"))
        overall = drawn_interval(correct, unit, n_boot, draw)
        for at, name in enumerate(functions):
            if (own := function == name).any():
                by_function[at] = drawn_interval(correct[own], unit[own], n_boot, draw)
    result = xr.Dataset()
    for at, suffix in enumerate(("", "_low", "_high")):
        result[f"probe_accuracy{suffix}"] = ("function", by_function[:, at])
        result[f"probe_accuracy_overall{suffix}"] = ((), overall[at])
    return result
