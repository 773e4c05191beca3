"""p-values: signs flipped, tasks exchanged, a null of the method's own; and what lies beyond all draws.

1. Signs of whole units are flipped (permutation test of "mean zero"), or tasks exchanged between a function and the
   others, `PERMUTATIONS` times. p is (1 + how many draws are as extreme) / (1 + how many draws).
2. So a p-value is never below 1 / (1 + `PERMUTATIONS`), which over 1,024 heads survives no correction. Where fewer
   than `RARE` draws are as extreme, the tail is continued: a generalised Pareto distribution is fitted to the largest
   of the draws (Knijnenburg et al. 2009, https://doi.org/10.1093/bioinformatics/btp211), by probability-weighted
   moments (Hosking & Wallis 1987). It is fitted to squares: those of a normal statistic fall off exponentially, so that
   the fit extrapolates well; and its shape is kept at 0 or above, so that it has no end and p is never 0.
3. No p-value is below what all possible flips or exchanges can give.
4. A method's own null is pooled over heads and functions, each function brought to its own scale, and counted and
   continued by the same rules.

5. Exchanged tasks are judged by a moderated t (`exchange_p`). A function has few tasks, and the variance of five values
   is hardly known: Welch's t of 5 tasks against 35 finds three in ten effects of two standard deviations over 270
   heads. But whether a function's tasks spread more than the others can be learned from all heads (empirical Bayes:
   Smyth 2004, https://doi.org/10.2202/1544-6115.1027): eight in ten are found. Every exchange is judged by the same
   rule, so that it is exact whatever the rule gets wrong.

Flips take the units' values as symmetric about zero where there is nothing; exchanges take tasks as exchangeable.
"""

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float

from headatlas.stats.resampling import CHUNK, chunks
from headatlas.stats.sign import Sign

PERMUTATIONS = 9_999
RARE = 10
"""Draws as extreme as the observed value, below which the tail is fitted."""
TAIL = 250
"""Largest draws that the tail is fitted to, at most a `TAIL_SHARE` of them."""
TAIL_SHARE = 0.025
LEARNED = 1_000
"""Heads, at most, that the spread of a function's tasks is learned from: enough, and its cost is bounded."""


def adjusted(p: np.ndarray) -> np.ndarray:
    """Return q-values by Benjamini & Hochberg over the last axis; NaN throughout where a p-value is NaN."""
    from scipy.stats import false_discovery_control

    return np.asarray(false_discovery_control(p, axis=-1)) if np.isfinite(p).all() else np.full_like(p, np.nan)


def sign_flip_p(
    values: Float[np.ndarray, "unit head"],
    draw: np.random.Generator,
    *,
    one_sided: bool = False,
    observed: np.ndarray | None = None,
) -> Float[np.ndarray, " head"]:
    """Return the p-value of "the sum over units is zero": their signs exchange.

    Parameters
    ----------
    values
        One value a unit and head.
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
    signs = np.concatenate(
        [draw.choice(np.array([-1.0, 1.0]), size=(n, len(values))).astype(np.int8) for n in chunks(PERMUTATIONS)]
    )
    beyond = np.zeros(values.shape[1])
    for start in range(0, PERMUTATIONS, CHUNK):
        flipped = signs[start : start + CHUNK].astype(np.float64) @ values
        beyond += ((flipped if one_sided else np.abs(flipped)) >= bound).sum(0)
    p = (1 + beyond) / (1 + PERMUTATIONS)
    moved = (values != 0).sum(0)
    least = 0.5 ** (moved if one_sided else moved - 1)
    for heads in _some(np.flatnonzero((beyond < RARE) & (bound > 0))):
        flipped = signs.astype(np.float64) @ values[:, heads]
        p[heads] = tail_p(
            flipped if one_sided else np.abs(flipped), total[heads] if one_sided else np.abs(total[heads])
        )
    return np.clip(p, np.minimum(least, 1.0), 1.0)


def exchange_p(
    values: Float[np.ndarray, "task head"], own: Bool[np.ndarray, " task"], draw: np.random.Generator
) -> Float[np.ndarray, " head"]:
    """Return the p-value of "a function's tasks differ from the others' by chance": tasks exchange.

    The statistic is Welch's t of the function's tasks against the others, two-sided, each task weighing the same:
    studentised, the test holds also where the two differ in spread (Janssen 1997; Chung & Romano 2013,
    https://doi.org/10.1214/13-AOS1090). What is moderated is the ratio of the two variances (step 5 of the module):
    heads differ in scale by orders of magnitude, but the ratio can be pooled over them. All exchanges are made where
    there are at most `PERMUTATIONS` of them.

    Parameters
    ----------
    values
        One value a task and head.
    own
        Which tasks are the function's: two or more, and two or more not.
    """
    n, k = len(own), int(own.sum())
    if comb(n, k) <= PERMUTATIONS:
        chosen = np.zeros((comb(n, k), n), bool)
        for row, places in zip(chosen, combinations(range(n), k), strict=True):
            row[list(places)] = True
    else:
        chosen = np.argsort(draw.random((PERMUTATIONS, n)), axis=1) < k
    every = len(chosen) == comb(n, k)
    centred = values - values.mean(0)  # the variances below are differences of large sums otherwise
    learn = np.flatnonzero((centred**2).mean(0) > 1e-24 * (values**2).mean(0))
    learn = learn[:: 1 + len(learn) // LEARNED]
    total = np.abs(_moderated(centred, own[None], _prior(centred[:, learn], own[None])))[0]
    beyond, prior = np.zeros(values.shape[1]), np.zeros((len(chosen), 2))
    for start in range(0, len(chosen), CHUNK):
        some = slice(start, start + CHUNK)
        prior[some] = _prior(centred[:, learn], chosen[some])
        beyond += (np.abs(_moderated(centred, chosen[some], prior[some])) >= total * (1 - 1e-9)).sum(0)
    if every:
        return beyond / len(chosen)
    p = (1 + beyond) / (1 + len(chosen))
    for heads in _some(np.flatnonzero((beyond < RARE) & (total > 0))):
        p[heads] = np.minimum(p[heads], tail_p(np.abs(_moderated(centred[:, heads], chosen, prior)), total[heads]))
    return np.clip(p, 1 / comb(n, k), 1.0)


def _two_groups(
    values: Float[np.ndarray, "task head"], own: Bool[np.ndarray, "draw task"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each draw's difference of means, and the variances of its own tasks and of the others, (draw, head)."""
    inside = own.astype(np.float64)
    n, k = own.shape[1], int(own[0].sum())
    both = inside @ np.concatenate([values, values**2], axis=1)
    first, squares = both[:, : values.shape[1]], both[:, values.shape[1] :]
    rest, rest_squares = values.sum(0) - first, (values**2).sum(0) - squares
    variance = (squares - first**2 / k) / (k - 1)
    rest_variance = (rest_squares - rest**2 / (n - k)) / (n - k - 1)
    return first / k - rest / (n - k), np.maximum(variance, 0), np.maximum(rest_variance, 0)


def _moderated(
    values: Float[np.ndarray, "task head"], own: Bool[np.ndarray, "draw task"], prior: Float[np.ndarray, "draw two"]
) -> Float[np.ndarray, "draw head"]:
    """Return the moderated t of each draw's own tasks against the others (0 where neither varies)."""
    n, k = own.shape[1], int(own[0].sum())
    difference, variance, rest = _two_groups(values, own)
    floor = np.maximum(1e-12 * (values**2).mean(0), 1e-300)
    there = variance / k + rest / (n - k) > floor
    rest = np.maximum(rest, floor)
    centre, weight = prior[:, :1], prior[:, 1:]
    spread = ((1 - weight) * variance + weight * centre * rest) / k + rest / (n - k)
    return np.where(there, difference / np.sqrt(np.maximum(spread, floor)), 0.0)


def _prior(values: Float[np.ndarray, "task head"], own: Bool[np.ndarray, "draw task"]) -> Float[np.ndarray, "draw two"]:
    """Return what each draw's ratios of two variances are drawn to, and how far (0 to 1), learned from all heads.

    A head's ratio is taken as a common one that varies over heads as an inverse chi-square does, times an F of the two
    variances' degrees of freedom; mean and variance of the logarithms give both (Smyth 2004, section 6.2).
    """
    from scipy.special import digamma, polygamma

    def bias(d: np.ndarray | int) -> np.ndarray:
        return np.asarray(digamma(d / 2) - np.log(d / 2))

    if values.shape[1] < 2:  # nothing to learn from
        return np.zeros((len(own), 2))
    freedom, rest_freedom = int(own[0].sum()) - 1, int((~own[0]).sum()) - 1
    _, variance, rest = _two_groups(values, own)
    floor = 1e-12 * (values**2).mean(0)
    logs = np.log(np.maximum(variance, floor) / np.maximum(rest, floor))
    excess = logs.var(1, ddof=1) - polygamma(1, freedom / 2) - polygamma(1, rest_freedom / 2)
    excess = np.maximum(excess, 1e-6)
    half = 0.5 + 1 / excess  # half the prior's degrees of freedom: where the trigamma function is the excess
    for _ in range(12):
        trigamma = polygamma(1, half)
        half = half + trigamma * (1 - trigamma / excess) / polygamma(2, half)
    prior = 2 * half
    centre = np.exp(logs.mean(1) - bias(freedom) + bias(rest_freedom) + bias(prior))
    return np.stack([centre, prior / (prior + freedom)], axis=1)


def pooled_p(
    null: dict[str, Float[np.ndarray, " value"]], importance: dict[str, Float[np.ndarray, " head"]], sign: Sign
) -> dict[str, Float[np.ndarray, " head"]]:
    """Return the p-values of every function's heads against a null pooled over heads and functions (step 4)."""
    pools, observed = [], {}
    for function, pool in null.items():
        centre = pool.mean() if sign == "positive" else 0.0
        spread = np.sqrt(((pool - centre) ** 2).mean()) or 1.0
        pools.append((pool - centre) / spread)
        observed[function] = (importance[function] - centre) / spread
    pool = np.concatenate(pools)
    if sign != "positive":
        pool, observed = np.abs(pool), {f: np.abs(values) for f, values in observed.items()}
    ordered = np.sort(pool)
    result = {}
    for function, values in observed.items():
        at_least = len(pool) - np.searchsorted(ordered, values, side="left")
        p = (1 + at_least) / (1 + len(pool))
        rare = np.flatnonzero(at_least < RARE)
        if len(rare) and _tail_size(len(pool)) >= RARE:
            p[rare] = np.minimum(tail_p(np.repeat(pool[:, None], len(rare), 1), values[rare]), p[rare])
        result[function] = p
    return result


def counted_p(
    draws: Float[np.ndarray, "draw number"], observed: Float[np.ndarray, " number"]
) -> Float[np.ndarray, " number"]:
    """Return one-sided p-values of a few numbers, counted: where nothing is corrected for, no tail is continued."""
    margin = 1e-9 * np.abs(observed) + 1e-12  # draws that equal the observed value up to rounding count
    return np.asarray((1 + (draws >= observed - margin).sum(0)) / (1 + len(draws)))


def _some(heads: np.ndarray) -> list[np.ndarray]:
    """Cut a list of heads into lists of at most `CHUNK`: bounds memory."""
    return [heads[start : start + CHUNK] for start in range(0, len(heads), CHUNK)]


def _tail_size(n: int) -> int:
    """Return to how many of `n` draws a tail is fitted."""
    return min(TAIL, int(TAIL_SHARE * n))


def tail_p(draws: Float[np.ndarray, "draw head"], observed: Float[np.ndarray, " head"]) -> Float[np.ndarray, " head"]:
    """Return the chance of a draw as high as `observed`, beyond where draws can be counted (step 2).

    Parameters
    ----------
    draws
        The statistic under the null; what is high is extreme.
    observed
        Its observed values, above most draws.
    """
    k = _tail_size(len(draws))
    top = np.sort(np.partition(np.maximum(draws, 0) ** 2, len(draws) - k - 1, axis=0)[len(draws) - k - 1 :], axis=0)
    threshold, excess = top[0], top[1:] - top[0]
    rank = (np.arange(k) + 0.65) / k  # plotting positions, smallest first
    mean = excess.mean(0)
    moment = ((1 - rank)[:, None] * excess).mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shape = np.clip(np.where(mean > 2 * moment, 2 - mean / (mean - 2 * moment), 0.0), 0.0, 0.9)
        scale = np.where(shape > 0, mean * (1 - shape), mean)
        beyond = np.maximum(observed, 0) ** 2 - threshold
        heavy = np.power(1 + np.maximum(shape, 1e-6) * beyond / scale, -1 / np.maximum(shape, 1e-6))
        light = np.exp(-beyond / scale)
        p = k / len(draws) * np.where(shape > 1e-6, heavy, light)
    return np.where(scale > 0, np.clip(p, 1e-300, 1.0), (1 + (draws >= observed).sum(0)) / (1 + len(draws)))
