"""Correlations over heads, and what a longer test would have."""

import numpy as np
from jaxtyping import Float


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks over the last axis, centred and of length 1, so that a product is a correlation."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=-1)
    ranks = ranks - ranks.mean(-1, keepdims=True)
    length = np.sqrt((ranks**2).sum(-1, keepdims=True))
    return ranks / np.where(length > 0, length, np.nan)


def spearman(a: Float[np.ndarray, "*batch head"], b: Float[np.ndarray, "*batch head"]) -> Float[np.ndarray, "*batch"]:
    """Return the rank correlation of `a` and `b` over their last axis (NaN where one is constant)."""
    x, y = (standard_ranks(values) for values in (a, b))
    return np.asarray((x * y).sum(-1))


def covariance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the covariance over the last axis."""
    return ((a - a.mean(-1, keepdims=True)) * (b - b.mean(-1, keepdims=True))).mean(-1)


def stepped_up(half: np.ndarray) -> np.ndarray:
    """Return the reliability of the whole from the correlation of its halves (Spearman 1910, Brown 1910).

    Below zero the formula runs away to minus infinity; nothing is left to step up, and the value stays as it is.
    """
    half = np.asarray(half, np.float64)
    return np.where(half > 0, 2 * half / np.where(half > 0, 1 + half, 1), half)


def mean_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN (NaN where nothing is)."""
    known = ~np.isnan(values)
    n = known.sum(0)
    return np.where(n > 0, np.where(known, values, 0).sum(0) / np.maximum(n, 1), np.nan)
