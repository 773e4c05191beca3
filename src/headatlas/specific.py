"""What all functions share of a map, and what is a function's own.

1. The map of function f at head u is M[f, u], the mean over f's items. The general part is g[u], the mean of M[f, u]
   over functions (every function weighing the same); the specific part is s[f, u] = M[f, u] - g[u].
2. Shares: the covariance over heads of the general parts of two random halves of the main questions, and the mean
   over functions of that of the specific parts, are free of the items' noise, which is independent in the halves.
   Their ratio to their sum says how the reproducible variance divides; what is left of the map's variance is noise.
   Intervals: jackknife, leaving out one of 20 blocks of main questions at a time.
3. Reliability of a specific part: the correlation of the halves', stepped up (Spearman-Brown); and how many times the
   items would bring it to 0.9, by the same formula.
4. Heads: a head is called general if the mean of its effect over a main question's functions differs from zero,
   specific to f if its effect on f differs from its mean effect on the same question's other functions; both by
   flipping the signs of whole main questions, q-values by Benjamini-Hochberg over the heads. Nothing shown:
   irrelevant, so far.

Methods that bring a null of their own (probes) are not centred on zero where there is nothing to find: their heads are
not called. This module does not know what the effects are of.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float
from scipy.stats import false_discovery_control

from headatlas.methods.base import Sign
from headatlas.stats import HALVINGS, ranked, sign_flip_p

BLOCKS = 20
TARGET = 0.9
"""Reliability that `items_needed` is for."""


def split(samples: xr.Dataset, functions: Sequence[str], *, sign: Sign, seed: int = 0) -> xr.Dataset:
    """Split the map of `samples` into a general and a specific part.

    Parameters
    ----------
    samples
        What a `Method` returned (see its laws).
    functions
        The functions, in order; each has samples.
    sign
        "absolute" splits the map of absolute values, any other the signed one.
    seed
        Of the halvings and the sign flips. Nothing depends on the order of samples.

    Returns
    -------
    xarray.Dataset
        general (layer, head); specific (function, layer, head); general_share, specific_share (of the reproducible
        variance) and noise_share (of the map's), each with _low and _high; specific_reliability and items_needed
        (function); q_general (layer, head) and q_specific (function, layer, head), NaN where the method has a null of
        its own or a function shares no main question with another.
    """
    sums, counts, shape = _by_question(samples, functions)
    draw = np.random.default_rng(seed)
    whole = _maps(np.ones((1, len(sums)), bool), sums, counts, sign)[0]
    general, specific = _parts(whole)
    halves = _halves(len(sums), draw)
    shares = _shares(halves, sums, counts, sign, whole)
    result = xr.Dataset(
        {
            "general": (("layer", "head"), general.reshape(shape)),
            "specific": (("function", "layer", "head"), specific.reshape(-1, *shape)),
        },
        coords={"function": list(functions)},
    )
    reach = _jackknife(halves, sums, counts, sign, shares)
    for name, value, half_width in zip(("general_share", "specific_share", "noise_share"), shares, reach, strict=True):
        result[name] = ((), np.clip(value, 0, 1))
        result[f"{name}_low"] = ((), np.clip(value - half_width, 0, 1))
        result[f"{name}_high"] = ((), np.clip(value + half_width, 0, 1))
    reliability = _reliability(halves, sums, counts, sign)
    result["specific_reliability"] = ("function", reliability)
    items = np.array([(samples["function"].values == f).sum() for f in functions], float)
    refits = len(np.unique(samples["refit"].values)) if "refit" in samples.coords else 1
    result["items_needed"] = ("function", _items_needed(reliability, items / refits))
    q_general, q_specific = _called(samples, sums, counts, draw)
    result["q_general"] = (("layer", "head"), q_general.reshape(shape))
    result["q_specific"] = (("function", "layer", "head"), q_specific.reshape(-1, *shape))
    return result


def _by_question(
    samples: xr.Dataset, functions: Sequence[str]
) -> tuple[Float[np.ndarray, "question function unit"], Float[np.ndarray, "question function"], tuple[int, ...]]:
    """Return the sum and the number of samples of every main question and function."""
    values = samples["importance"].transpose("sample", "layer", "head").values
    flat = values.reshape(len(values), -1).astype(np.float64)
    names, question = np.unique(samples["group"].values, return_inverse=True)
    place = {f: i for i, f in enumerate(functions)}
    function = np.array([place.get(f, -1) for f in samples["function"].values])
    sums = np.zeros((len(names), len(functions), flat.shape[1]))
    counts = np.zeros((len(names), len(functions)))
    order = np.lexsort((flat[:, 0], function, question))  # no trace of the samples' order
    order = order[function[order] >= 0]
    np.add.at(sums, (question[order], function[order]), flat[order])
    np.add.at(counts, (question[order], function[order]), 1)
    return sums, counts, values.shape[1:]


def _maps(
    keep: Bool[np.ndarray, "draw question"], sums: np.ndarray, counts: np.ndarray, sign: Sign
) -> Float[np.ndarray, "draw function unit"]:
    """Return the maps of some of the main questions, one a row of `keep`; NaN for a function without items."""
    weight = keep.astype(np.float64)
    total = (weight @ sums.reshape(len(sums), -1)).reshape(len(keep), *sums.shape[1:])
    n = weight @ counts
    return ranked(total / np.where(n > 0, n, np.nan)[..., None], sign)


def _parts(maps: Float[np.ndarray, "*draw function unit"]) -> tuple[np.ndarray, np.ndarray]:
    """Return the general part, (*draw, unit), and the specific parts."""
    general = maps.mean(axis=-2)
    return general, maps - general[..., None, :]


def _halves(n: int, draw: np.random.Generator) -> Bool[np.ndarray, "halving question"]:
    """Return random halves of n main questions."""
    halves = np.zeros((HALVINGS, n), bool)
    for row in halves:
        row[draw.permutation(n)[: n // 2]] = True
    return halves


def _covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the covariance over the last axis."""
    return ((a - a.mean(-1, keepdims=True)) * (b - b.mean(-1, keepdims=True))).mean(-1)


def _shares(
    halves: Bool[np.ndarray, "halving question"],
    sums: np.ndarray,
    counts: np.ndarray,
    sign: Sign,
    whole: Float[np.ndarray, "function unit"],
) -> tuple[float, float, float]:
    """Return the shares of general and specific of the reproducible variance, and of noise of the map's.

    A covariance can come out below zero by chance, and a share beyond 0 or 1: cut when all is done, so that the
    interval is not cut with it.
    """
    (g1, s1), (g2, s2) = (_parts(_maps(keep, sums, counts, sign)) for keep in (halves, ~halves))
    usable = ~np.isnan(s1).any((1, 2)) & ~np.isnan(s2).any((1, 2))
    if not usable.any():
        return (float("nan"),) * 3
    general = float(_covariance(g1, g2)[usable].mean())
    specific = float(_covariance(s1, s2)[usable].mean())
    observed = float(whole.var(axis=-1).mean())
    if observed == 0:
        return (float("nan"),) * 3
    both = general + specific
    if both <= 0:  # nothing reproduces: there is nothing to divide
        return float("nan"), float("nan"), 1.0
    return general / both, specific / both, 1 - both / observed


def _jackknife(
    halves: np.ndarray, sums: np.ndarray, counts: np.ndarray, sign: Sign, shares: tuple[float, ...]
) -> Float[np.ndarray, " share"]:
    """Return 1.96 standard errors of the shares: main questions are left out block by block."""
    n = len(sums)
    blocks = min(BLOCKS, n)
    place = np.arange(n) % blocks
    left = []
    for block in range(blocks):
        own = place != block
        whole = _maps(np.ones((1, own.sum()), bool), sums[own], counts[own], sign)[0]
        if np.isnan(whole).any():
            return np.full(len(shares), np.nan)
        left.append(_shares(halves[:, own], sums[own], counts[own], sign, whole))
    values = np.array(left)
    return 1.96 * np.sqrt((blocks - 1) / blocks * ((values - values.mean(0)) ** 2).sum(0))


def _reliability(
    halves: np.ndarray, sums: np.ndarray, counts: np.ndarray, sign: Sign
) -> Float[np.ndarray, " function"]:
    """Return the stepped-up correlation of the specific parts of two halves, the mean over halvings."""
    s1, s2 = (_parts(_maps(keep, sums, counts, sign))[1] for keep in (halves, ~halves))
    with np.errstate(invalid="ignore", divide="ignore"):
        r = _covariance(s1, s2) / np.sqrt(_covariance(s1, s1) * _covariance(s2, s2))
    known = ~np.isnan(r)
    half = np.where(known.any(0), np.where(known, r, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)
    return np.where(half > 0, 2 * half / (1 + half), half)


def _items_needed(reliability: np.ndarray, items: np.ndarray) -> Float[np.ndarray, " function"]:
    """Return how many items would bring a reliability to `TARGET`; infinite where there is none to step up."""
    with np.errstate(divide="ignore", invalid="ignore"):
        times = TARGET / (1 - TARGET) * (1 - reliability) / reliability
    return np.where(reliability > 0, np.ceil(items * times), np.where(np.isnan(reliability), np.nan, np.inf))


def _called(
    samples: xr.Dataset, sums: np.ndarray, counts: np.ndarray, draw: np.random.Generator
) -> tuple[Float[np.ndarray, " unit"], Float[np.ndarray, "function unit"]]:
    """Return the q-values of "no general effect" and of "no effect of its own"."""
    functions, units = sums.shape[1:]
    q_general, q_specific = np.full(units, np.nan), np.full((functions, units), np.nan)
    if "null" in samples:
        return q_general, q_specific
    there = counts > 0
    mean = sums / np.where(there, counts, 1)[..., None]
    n = there.sum(1)
    q_general = _adjusted(sign_flip_p(mean.sum(1) / n[:, None], draw))
    for f in range(functions):
        both = there[:, f] & (n > 1)
        if both.sum() < 2:
            continue
        others = (mean[both].sum(1) - mean[both, f]) / (n[both] - 1)[:, None]
        q_specific[f] = _adjusted(sign_flip_p(mean[both, f] - others, draw))
    return q_general, q_specific


def _adjusted(p: np.ndarray) -> np.ndarray:
    return np.asarray(false_discovery_control(p))
