"""From samples of importance to a map with its uncertainty: the one place where anything is averaged.

1. A function's map is the mean of its samples over items and refits.
2. Intervals: main questions and, crossed with them, refits are resampled (pigeonhole bootstrap: Owen 2007,
   https://doi.org/10.1214/07-AOAS122): a sample's weight is its question's count times its refit's. From n
   units, n - 1 are drawn (Rao & Wu 1988), so that a handful of refits does not understate the spread. All
   maps of all draws are one product, weights x samples.
3. p-values: where the method gave a null (the map of a probe that had nothing to find), its values are brought
   to one scale function by function, pooled over heads and functions, and counted: one function's few null maps
   alone could not give a p-value small enough for one head among hundreds. Else the signs of whole main
   questions are flipped (permutation test of "mean zero"). q-values: Benjamini-Hochberg over the heads of a
   function.
4. Derived numbers (a layer's share, depth, similarity of two functions) are computed on the map, and again on
   every draw's map. Their intervals are the estimate +- 1.96 standard deviations of the draws (similarity: on
   Fisher's z), not percentiles: a draw's map carries the sampling noise twice, and absolute values and rank
   correlations shift under noise, so that percentiles would sit beside the estimate.
5. Reliability: random halves of the main questions (and of the refits, if there are two or more) give two
   maps; their rank correlation over heads, averaged over halvings, stepped up in length (Spearman-Brown).

What `sign` does:

============ ==================== ================== ======================
sign         ranked, and compared mass (share, depth) p-value
============ ==================== ================== ======================
"absolute"   abs(importance)      abs(importance)    two-sided
"positive"   importance           positive part      one-sided (above null)
"signed"     importance           abs(importance)    two-sided
============ ==================== ================== ======================

This module does not know models, probes or prompts. It takes main questions as exchangeable.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.stats import false_discovery_control, rankdata

from headatlas.errors import InputError
from headatlas.methods.base import Sign

VERSION = 1
"""Of the statistics here and in `specific`: raise it whenever the same samples give other numbers."""
CHUNK = 256
"""Draws at a time: bounds memory, changes no number."""
PERMUTATIONS = 9_999
"""Sign flips: the smallest p-value, 1e-4, must survive Benjamini-Hochberg over several hundred heads."""
HALVINGS = 50
LEVEL = 0.95


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
        How heads are ranked (see the module's table).
    n_boot
        Bootstrap draws.
    seed
        Of the bootstrap, the sign flips and the halvings. Nothing depends on the order of the samples.

    Returns
    -------
    xarray.Dataset
        importance, ci_low, ci_high, p_value, q_value, rank (function, layer, head); layer_share, depth,
        similarity, each with _low and _high; reliability; probe_accuracy and probe_accuracy_overall with _low
        and _high (NaN where the method predicts nothing). The dimension ``method`` is the caller's to add.

    Raises
    ------
    InputError
        A function has no sample, or `n_boot` is below 2.
    """
    if n_boot < 2:
        raise InputError(f"{n_boot} bootstrap draws make no interval. Give 2 or more (1000 is usual).")
    table = _Table(samples, functions)
    seeds = np.random.SeedSequence(seed).spawn(4)
    importance = table.maps(*(np.ones((1, n)) for n in (table.n_groups, table.n_refits)))[0]
    draws = _bootstrap(table, n_boot, np.random.default_rng(seeds[0]))

    grid = (len(functions), *table.shape)
    dims = ("function", "layer", "head")
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    p_value = _p_values(samples, table, importance, functions, sign, np.random.default_rng(seeds[1]))
    q_value = false_discovery_control(p_value, axis=1)
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
    result["reliability"] = ("function", _reliability(table, sign, np.random.default_rng(seeds[2])))
    return result.merge(_accuracy(samples, functions, n_boot, np.random.default_rng(seeds[3])))


def spearman(a: Float[np.ndarray, "*batch head"], b: Float[np.ndarray, "*batch head"]) -> Float[np.ndarray, "*batch"]:
    """Return the rank correlation of `a` and `b` over their last axis (NaN where one is constant)."""
    x, y = (_standard_ranks(values) for values in (a, b))
    return np.asarray((x * y).sum(-1))


def paired_excess(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    groups: np.ndarray,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return the mean of ``correct_a - correct_b`` and its 95% interval, resampling main questions (NaN if a value is).

    Parameters
    ----------
    correct_a, correct_b
        Right (1) or wrong (0), or a mean over refits, of the same items in the same order, (item,).
    groups
        Main-question id of every item, (item,).
    n_boot, seed
        Bootstrap draws, and their seed.

    Raises
    ------
    InputError
        The arrays are of different lengths, or empty.
    """
    if not len(correct_a) == len(correct_b) == len(groups) or not len(groups):
        raise InputError(
            f"Pairs by item are due, got {len(correct_a)} and {len(correct_b)} values for {len(groups)} items."
        )
    difference = np.asarray(correct_a, np.float64) - np.asarray(correct_b, np.float64)
    return _mean_interval(difference, np.asarray(groups), n_boot, np.random.default_rng(seed))


def function_means(
    samples: xr.Dataset, name: str, functions: Sequence[str]
) -> Float[np.ndarray, "function layer head"]:
    """Return the mean over each function's items of a further variable of `samples`, passing over NaN."""
    values = samples[name].transpose("sample", "layer", "head").values.astype(np.float64)
    with warnings.catch_warnings():  # no item has a value: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.stack([np.nanmean(values[samples["function"].values == f], axis=0) for f in functions])


TOP_SHARE = 0.1
"""Of the heads: what `agreement` compares as top heads."""


def agreement(importance: xr.DataArray, signs: Mapping[str, Sign]) -> xr.Dataset:
    """Compare the methods' maps, function by function.

    Parameters
    ----------
    importance
        (method, function, layer, head).
    signs
        How each method's heads are ranked.

    Returns
    -------
    xarray.Dataset
        ``agreement(method, other_method, function)``, the Spearman correlation over heads (NaN for a constant map);
        ``agreement_top``, the share of the top tenth of the heads that the two have in common; and
        ``agreement_chance``, what two random rankings have in common.
    """
    names = [str(m) for m in importance["method"].values]
    maps = importance.transpose("method", "function", "layer", "head").values
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    order = np.stack([ranked(flat[i], signs[name]) for i, name in enumerate(names)])
    k = max(1, round(TOP_SHARE * flat.shape[-1]))
    # ties are broken by place, alike in every method: a constant map has no top heads of its own
    top = np.zeros(order.shape, bool)
    np.put_along_axis(top, np.argsort(-order, axis=-1, kind="stable")[..., :k], True, axis=-1)
    shared = np.einsum("mfu,nfu->mnf", top.astype(np.float64), top.astype(np.float64)) / k
    dims = ("method", "other_method", "function")
    return xr.Dataset(
        {
            "agreement": (dims, spearman(*np.broadcast_arrays(order[:, None], order[None]))),
            "agreement_top": (dims, shared),
            "agreement_chance": ((), k / flat.shape[-1]),
        },
        coords={"other_method": names},
    )


class _Table:
    """The samples as sums and counts a function and (question, refit) cell: all that weights can tell apart.

    Cells are sorted by the names of question and refit, so the order of samples plays no part.
    """

    def __init__(self, samples: xr.Dataset, functions: Sequence[str]) -> None:
        values = samples["importance"].transpose("sample", "layer", "head").values
        self.shape: tuple[int, int] = values.shape[1:]
        flat = values.reshape(len(values), -1)
        function = samples["function"].values
        groups, self._group = np.unique(samples["group"].values, return_inverse=True)
        refit = samples["refit"].values if "refit" in samples.coords else np.zeros(len(flat), np.int64)
        refits, self._refit = np.unique(refit, return_inverse=True)
        self.n_groups, self.n_refits = len(groups), len(refits)
        self.cells: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
        for name in functions:
            rows = np.flatnonzero(function == name)
            if not len(rows):
                found = ", ".join(sorted(set(function.tolist())))
                raise InputError(f"Function '{name}' has no sample (found: {found}). Leave it out of the map.")
            self.cells.append(self._sum(flat, rows))

    def _sum(self, flat: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the group, refit, count and sum of every cell that `rows` fall in."""
        key, cell = np.unique(self._group[rows] * self.n_refits + self._refit[rows], return_inverse=True)
        # Sums of float64 in the order of a sort by cell, then by value: no trace of the samples' order.
        order = rows[np.lexsort((flat[rows, 0], cell))]
        starts = np.searchsorted(np.sort(cell), np.arange(len(key)))
        total = np.add.reduceat(flat[order].astype(np.float64), starts, axis=0)
        return key // self.n_refits, key % self.n_refits, np.bincount(cell).astype(np.float64), total

    def maps(
        self, group_weight: Float[np.ndarray, "draw group"], refit_weight: Float[np.ndarray, "draw refit"]
    ) -> Float[np.ndarray, "draw function unit"]:
        """Return the weighted mean of every function for every row of weights (NaN: no weight)."""
        result = np.empty((len(group_weight), len(self.cells), self.shape[0] * self.shape[1]))
        for at in range(len(self.cells)):
            result[:, at] = self.map(at, group_weight, refit_weight)
        return result

    def map(self, at: int, group_weight: np.ndarray, refit_weight: np.ndarray) -> Float[np.ndarray, "draw unit"]:
        """Return the weighted mean of the function at place `at` (see `maps`)."""
        group, refit, count, total = self.cells[at]
        weight = group_weight[:, group] * refit_weight[:, refit]
        mass = weight @ count
        with np.errstate(invalid="ignore", divide="ignore"):
            return (weight @ total) / np.where(mass > 0, mass, np.nan)[:, None]


def _chunks(n: int) -> Iterator[int]:
    """Yield sizes of at most `CHUNK` that add up to `n`."""
    for start in range(0, n, CHUNK):
        yield min(CHUNK, n - start)


def resample_counts(draw: np.random.Generator, rows: int, units: int) -> Float[np.ndarray, "row unit"]:
    """Return how often each unit is drawn when `units` - 1 are, with replacement (one unit: always once)."""
    if units == 1:
        return np.ones((rows, 1))
    return draw.multinomial(units - 1, np.full(units, 1 / units), size=rows).astype(np.float64)


def _bootstrap(table: _Table, n_boot: int, draw: np.random.Generator) -> Float[np.ndarray, "draw function unit"]:
    """Return the map of every draw of the pigeonhole bootstrap; NaN where a function was not drawn at all."""
    parts = []
    for size in _chunks(n_boot):
        groups = resample_counts(draw, size, table.n_groups)
        parts.append(table.maps(groups, resample_counts(draw, size, table.n_refits)).astype(np.float32))
    return np.concatenate(parts)


def ranked(maps: np.ndarray, sign: Sign) -> np.ndarray:
    """Return what heads are ranked and maps compared by (see the module's table)."""
    return np.abs(maps) if sign == "absolute" else maps


def _mass(maps: np.ndarray, sign: Sign) -> np.ndarray:
    """Return what shares and depth are taken of (see the module's table)."""
    return np.maximum(maps, 0) if sign == "positive" else np.abs(maps)


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks over the last axis, centred and of length 1, so that a product is a correlation."""
    ranks = rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(-1, keepdims=True))
    return ranks / np.where(length > 0, length, np.nan)


def _p_values(
    samples: xr.Dataset,
    table: _Table,
    importance: Float[np.ndarray, "function unit"],
    functions: Sequence[str],
    sign: Sign,
    draw: np.random.Generator,
) -> Float[np.ndarray, "function unit"]:
    """Return a p-value a head and function, from the method's null or else from sign flips."""
    if "null" not in samples:
        return np.stack([_sign_flip(table, at, importance[at], sign, draw) for at in range(len(functions))])
    null = samples["null"].transpose("null_sample", "layer", "head").values.reshape(samples.sizes["null_sample"], -1)
    pools, observed = [], np.empty_like(importance)
    for at, name in enumerate(functions):
        pool = null[samples["null_function"].values == name].ravel().astype(np.float64)
        if not len(pool):
            raise InputError(f"The null has no value for function '{name}'.")
        centre = pool.mean() if sign == "positive" else 0.0
        spread = np.sqrt(((pool - centre) ** 2).mean()) or 1.0
        pools.append((pool - centre) / spread)
        observed[at] = (importance[at] - centre) / spread
    return _tail(np.concatenate(pools), observed, sign)


def _tail(pool: np.ndarray, observed: np.ndarray, sign: Sign) -> np.ndarray:
    """Return (1 + how many of `pool` are as extreme as `observed`) / (1 + how many there are)."""
    if sign != "positive":
        pool, observed = np.abs(pool), np.abs(observed)
    at_least = len(pool) - np.searchsorted(np.sort(pool), observed, side="left")
    return (1 + at_least) / (1 + len(pool))


def _sign_flip(
    table: _Table, at: int, observed: np.ndarray, sign: Sign, draw: np.random.Generator
) -> Float[np.ndarray, " unit"]:
    """Return the p-value of "this head's mean is zero": signs of whole main questions exchange."""
    group, _, count, total = table.cells[at]
    _, place = np.unique(group, return_inverse=True)
    sums = np.zeros((place.max() + 1, total.shape[1]))
    np.add.at(sums, place, total / count.sum())
    return sign_flip_p(sums, draw, one_sided=sign == "positive", observed=observed)


def sign_flip_p(
    values: Float[np.ndarray, "question unit"],
    draw: np.random.Generator,
    *,
    one_sided: bool = False,
    observed: np.ndarray | None = None,
) -> Float[np.ndarray, " unit"]:
    """Return the p-value of "the sum over main questions is zero": their signs exchange.

    Parameters
    ----------
    values
        One value a main question and head.
    draw
        Draws the `PERMUTATIONS` flips.
    one_sided
        Count sums at least as high, not as far from zero.
    observed
        The sums, where the caller has them.
    """
    total = values.sum(0) if observed is None else observed
    # The margin makes draws that equal the observed value up to rounding (all signs kept) count as such.
    bound = (total if one_sided else np.abs(total)) - 1e-12 * np.abs(values).sum(0)
    beyond = np.zeros(values.shape[1])
    for size in _chunks(PERMUTATIONS):
        flipped = draw.choice(np.array([-1.0, 1.0]), size=(size, len(values))) @ values
        beyond += ((flipped if one_sided else np.abs(flipped)) >= bound).sum(0)
    return (1 + beyond) / (1 + PERMUTATIONS)


def _shares(maps: np.ndarray, shape: tuple[int, int], sign: Sign) -> Float[np.ndarray, "*draw function layer"]:
    """Return every layer's share of the mass; NaN for a map without any."""
    mass = _mass(maps, sign).reshape(*maps.shape[:-1], *shape).sum(-1)
    total = mass.sum(-1, keepdims=True)
    return mass / np.where(total > 0, total, np.nan)


def _depths(shares: Float[np.ndarray, "*draw function layer"]) -> Float[np.ndarray, "*draw function"]:
    """Return the centre of mass over layers, 0 = first, 1 = last (a model of one layer: 0)."""
    return shares @ np.linspace(0, 1, shares.shape[-1]) if shares.shape[-1] > 1 else 0 * shares[..., 0]


def _similarities(maps: np.ndarray, sign: Sign) -> Float[np.ndarray, "*draw function other_function"]:
    """Return the rank correlation over heads of every pair of functions."""
    ranks = _standard_ranks(ranked(maps, sign))
    return np.clip(ranks @ np.swapaxes(ranks, -1, -2), -1, 1)


def _around(estimate: np.ndarray, draws: np.ndarray, bounds: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return estimate +- 1.96 standard deviations of the draws, cut to `bounds`."""
    with warnings.catch_warnings():  # a map without mass has no share and no interval: NaN is the answer
        warnings.simplefilter("ignore", RuntimeWarning)
        reach = 1.96 * np.nanstd(draws, axis=0, ddof=1)
    return np.clip(estimate - reach, *bounds), np.clip(estimate + reach, *bounds)


def _derived(
    importance: Float[np.ndarray, "function unit"],
    draws: Float[np.ndarray, "draw function unit"],
    shape: tuple[int, int],
    sign: Sign,
) -> xr.Dataset:
    """Return layer_share, depth and similarity, each with its interval (step 4 of the module)."""
    share, similarity = _shares(importance, shape, sign), _similarities(importance, sign)
    share_draws = _shares(draws, shape, sign)
    similarity_draws = np.concatenate(
        [_similarities(draws[start : start + CHUNK], sign) for start in range(0, len(draws), CHUNK)]
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


def _reliability(table: _Table, sign: Sign, draw: np.random.Generator) -> Float[np.ndarray, " function"]:
    """Return the stepped-up split-half correlation of every function's map; NaN with one main question."""
    result = np.full(len(table.cells), np.nan)
    for at, (group, *_) in enumerate(table.cells):
        own = np.unique(group)
        if len(own) < 2:
            continue
        halves = np.zeros((2, HALVINGS, table.n_groups))
        refits = np.ones((2, HALVINGS, table.n_refits))
        for row in range(HALVINGS):
            first = draw.permutation(own)[: len(own) // 2]
            halves[0, row, own] = 1
            halves[0, row, first] = 0
            halves[1, row, first] = 1
            if table.n_refits > 1:
                some = draw.permutation(table.n_refits)[: table.n_refits // 2]
                refits[0, row] = 1
                refits[0, row, some] = 0
                refits[1, row] = 1 - refits[0, row]
        one, other = (ranked(table.map(at, halves[k], refits[k]), sign) for k in (0, 1))
        halves_agree = spearman(one, other)
        half = float(np.nanmean(halves_agree)) if np.isfinite(halves_agree).any() else np.nan
        # Below zero the formula runs away to minus infinity; nothing is left to step up.
        result[at] = 2 * half / (1 + half) if half > 0 else half
    return result


def mean_interval(
    values: Float[np.ndarray, " item"], groups: np.ndarray, *, n_boot: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean of `values` and its 95% interval, resampling main questions; NaN where a value is NaN."""
    return _mean_interval(values, groups, n_boot, np.random.default_rng(seed))


def _mean_interval(
    values: Float[np.ndarray, " item"], groups: np.ndarray, n_boot: int, draw: np.random.Generator
) -> tuple[float, float, float]:
    """Return the mean of `values` and its 95% percentile interval, resampling groups."""
    if np.isnan(values).any():
        return (float("nan"),) * 3
    names, place = np.unique(groups, return_inverse=True)
    total, count = np.bincount(place, values), np.bincount(place).astype(np.float64)
    weight = resample_counts(draw, n_boot, len(names))
    means = (weight @ total) / (weight @ count)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(total.sum() / count.sum()), float(low), float(high)


def _accuracy(samples: xr.Dataset, functions: Sequence[str], n_boot: int, draw: np.random.Generator) -> xr.Dataset:
    """Return the held-out accuracy by function and overall; NaN where the method predicts nothing."""
    by_function = np.full((len(functions), 3), np.nan)
    overall = (np.nan,) * 3
    if "correct" in samples:
        correct = samples["correct"].values.astype(np.float64)
        function, group = samples["prediction_function"].values, samples["prediction_group"].values
        overall = _mean_interval(correct, group, n_boot, draw)
        for at, name in enumerate(functions):
            if (own := function == name).any():
                by_function[at] = _mean_interval(correct[own], group[own], n_boot, draw)
    result = xr.Dataset()
    for at, suffix in enumerate(("", "_low", "_high")):
        result[f"probe_accuracy{suffix}"] = ("function", by_function[:, at])
        result[f"probe_accuracy_overall{suffix}"] = ((), overall[at])
    return result
