"""Drawing units anew: bootstrap, halves, and intervals of means.

1. From n units, n - 1 are drawn with replacement (Rao & Wu 1988, https://doi.org/10.2307/2288945): the spread of the
   draws is then that of the mean, however few the units. Refits are drawn so too, crossed with the units (pigeonhole
   bootstrap: Owen 2007, https://doi.org/10.1214/07-AOAS122).
2. A function that has m of a stratum's n units gets about m of the draws, some more and some fewer; its draws are
   brought to the spread that m - 1 draws of its own m would have.
3. Percentiles of few units fall short of what they promise, as the normal quantile does of Student's. Intervals of
   fewer than `FEW` units are widened about the estimate by the ratio of the two (from there on it is under 5%).
4. A mean of right and wrong answers that is 0 or 1 in every unit has no spread to resample: its interval is the exact
   one (Clopper & Pearson 1934) of as many independent answers as there are units.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from headatlas.errors import InputError
from headatlas.stats.table import Table

CHUNK = 256
"""Draws at a time: bounds memory, changes no number."""
HALVINGS = 50
LEVEL = 0.95
FEW = 30
"""Units below which percentiles are widened."""


def chunks(n: int) -> Iterator[int]:
    """Yield sizes of at most `CHUNK` that add up to `n`."""
    for start in range(0, n, CHUNK):
        yield min(CHUNK, n - start)


def resample_counts(draw: np.random.Generator, rows: int, units: int) -> Float[np.ndarray, "row unit"]:
    """Return how often each unit is drawn when `units` - 1 are, with replacement (one unit: always once)."""
    if units == 1:
        return np.ones((rows, 1))
    return draw.multinomial(units - 1, np.full(units, 1 / units), size=rows).astype(np.float64)


def shares(draw: np.random.Generator, rows: int, units: int) -> Float[np.ndarray, "row unit"]:
    """Return the share of each unit in every resample."""
    counts = resample_counts(draw, rows, units)
    return counts / counts.sum(1, keepdims=True)


def two_level(
    unit: np.ndarray, draw: np.random.Generator, rows: int
) -> tuple[Float[np.ndarray, "one_and_rows item"], int]:
    """Return the weight of every item in the mean over units of their items' means (row 0) and in its resamples, of
    units and, within them, of items; and how many units there are.
    """
    names, place = np.unique(unit, return_inverse=True)
    of_units = shares(draw, rows, len(names))
    weights = np.zeros((1 + rows, len(unit)))
    for t in range(len(names)):
        own = np.flatnonzero(place == t)
        weights[0, own] = 1 / len(names) / len(own)
        weights[1:, own] = of_units[:, t : t + 1] * shares(draw, rows, len(own))
    return weights, len(names)


def bootstrap(table: Table, n_boot: int, draw: np.random.Generator) -> Float[np.ndarray, "draw function head"]:
    """Return the map of every draw of units and refits; NaN where a function was not drawn at all."""
    strata = table.strata()
    whole = table.whole()
    spread = [_spread(table, at, strata) for at in range(len(table.cells))]
    parts = []
    for size in chunks(n_boot):
        units = np.ones((size, table.n_units))
        for stratum in strata:
            units[:, stratum] = resample_counts(draw, size, len(stratum))
        maps = table.maps(units, resample_counts(draw, size, table.n_refits))
        for at, factor in enumerate(spread):
            if factor != 1:
                maps[:, at] = whole[at] + factor * (maps[:, at] - whole[at])
        parts.append(maps.astype(np.float32))
    return np.concatenate(parts)


def _spread(table: Table, at: int, strata: list[np.ndarray]) -> float:
    """Return what brings the draws of a function's map to the spread of its own units' mean (step 2)."""
    from scipy.stats import binom

    own = table.own(at)
    m, n = len(own), next(len(stratum) for stratum in strata if own[0] in stratum)
    if m == n or m < 2:
        return 1.0
    drawn = np.arange(1, n)
    chance = binom.pmf(drawn, n - 1, m / n)
    return float(1 / np.sqrt((m - 1) * (chance / drawn).sum() / chance.sum()))


def widening(units: int) -> float:
    """Return by how much percentiles of so many units fall short: Student's quantile over the normal one."""
    from scipy.stats import norm, t

    few = 1 < units < FEW
    return float(t.ppf(0.5 + LEVEL / 2, units - 1) / norm.ppf(0.5 + LEVEL / 2)) if few else 1.0


def percentiles(
    estimate: Float[np.ndarray, " head"], draws: Float[np.ndarray, "draw head"], units: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the draws' percentiles about `estimate`, widened for few units."""
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    wider = widening(units)
    if wider == 1:
        return low, high
    return estimate + wider * (low - estimate), estimate + wider * (high - estimate)


def halves(
    table: Table,
    draw: np.random.Generator,
    *,
    strata: Sequence[np.ndarray] | None = None,
    rows: int = HALVINGS,
) -> tuple[Float[np.ndarray, "side halving unit"], Float[np.ndarray, "side halving refit"]]:
    """Return weights of two random halves of the units, stratum by stratum, and of the refits (one refit: in both).

    `strata` are the table's, or the units of one function (`Table.own`), which then has units on both sides.
    """
    units = np.zeros((2, rows, table.n_units))
    refits = np.ones((2, rows, table.n_refits))
    strata = table.strata() if strata is None else strata
    for row in range(rows):
        for stratum in strata:
            order = stratum[draw.permutation(len(stratum))]
            units[0, row, order[: len(order) // 2]] = 1
            units[1, row, order[len(order) // 2 :]] = 1
        if table.n_refits > 1:
            refits[0, row] = 0
            refits[0, row, draw.permutation(table.n_refits)[: table.n_refits // 2]] = 1
            refits[1, row] = 1 - refits[0, row]
    return units, refits


def mean_interval(
    values: Float[np.ndarray, " item"], units: np.ndarray, *, n_boot: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean of `values` and its 95% interval, resampling units; NaN where a value is NaN.

    Parameters
    ----------
    values
        One value an item, e.g. right (1) or wrong (0).
    units
        What is drawn anew: the item's main question or task (`table.units_of`).
    n_boot, seed
        Draws, and their seed.
    """
    return drawn_interval(values, units, n_boot, np.random.default_rng(seed))


def drawn_interval(
    values: Float[np.ndarray, " item"],
    units: np.ndarray,
    n_boot: int,
    draw: np.random.Generator,
    ends: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float, float]:
    """Do as `mean_interval` with a generator of draws; `ends` are the least and the largest value there can be."""
    if np.isnan(values).any():
        return (float("nan"),) * 3
    names, place = np.unique(units, return_inverse=True)
    total, count = np.bincount(place, values), np.bincount(place).astype(np.float64)
    weight = resample_counts(draw, n_boot, len(names))
    means = (weight @ total) / (weight @ count)
    mean = float(total.sum() / count.sum())
    if (total / count == mean).all() and mean in ends:  # nothing to resample: all right, or all wrong
        share = (mean - ends[0]) / (ends[1] - ends[0])
        low, high = (ends[0] + (ends[1] - ends[0]) * end for end in exact_interval(share, len(names)))
        return mean, float(low), float(high)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return mean, float(low), float(high)


def exact_interval(share: float, n: int) -> tuple[float, float]:
    """Return the exact interval of a share of `n` independent answers (Clopper & Pearson 1934)."""
    from scipy.stats import beta

    right = round(share * n)
    tail = (1 - LEVEL) / 2
    low = float(beta.ppf(tail, right, n - right + 1)) if right > 0 else 0.0
    return low, float(beta.ppf(1 - tail, right + 1, n - right)) if right < n else 1.0


def paired_excess(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    units: np.ndarray,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return the mean of ``correct_a - correct_b`` and its 95% interval, resampling units (NaN if a value is).

    Parameters
    ----------
    correct_a, correct_b
        Right (1) or wrong (0), or a mean over refits, of the same items in the same order, (item,).
    units
        What is drawn anew of every item: its main question or task, (item,).
    n_boot, seed
        Bootstrap draws, and their seed.

    Raises
    ------
    InputError
        The arrays are of different lengths, or empty.
    """
    if not len(correct_a) == len(correct_b) == len(units) or not len(units):
        raise InputError(
            f"Pairs by item are due, got {len(correct_a)} and {len(correct_b)} values for {len(units)} items."
        )
    difference = np.asarray(correct_a, np.float64) - np.asarray(correct_b, np.float64)
    return drawn_interval(difference, np.asarray(units), n_boot, np.random.default_rng(seed), ends=(-1.0, 1.0))
