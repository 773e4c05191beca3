"""Directions to steer by: the difference of two labelled sets of items, head by head, and a control of the same length.

The direction of a head is the difference of the mean z of the two sets, brought to length 1 and multiplied by the
standard deviation of all items' z along it (Li et al. 2023, inference-time intervention, arXiv 2306.03341; so used in
arXiv 2512.10978): a step of ``alpha`` is then as large as items differ anyway. Take the sets from items that nothing is
tested on.
"""

import numpy as np
from jaxtyping import Float

from headatlas.errors import InputError


def steering_direction(
    towards: Float[np.ndarray, "item layer head head_dim"], away: Float[np.ndarray, "other layer head head_dim"]
) -> Float[np.ndarray, "layer head head_dim"]:
    """Return the direction from `away` to `towards` of every head, as long as items spread along it.

    Raises
    ------
    InputError
        A set of fewer than two items, or values that are not finite.
    """
    if min(len(towards), len(away)) < 2:
        raise InputError(f"A direction needs two items or more on either side, got {len(towards)} and {len(away)}.")
    both = np.concatenate([towards, away]).astype(np.float64)
    if not np.isfinite(both).all():
        raise InputError("The items' z holds NaN or infinity. Capture it again, in float32.")
    difference = towards.mean(0, dtype=np.float64) - away.mean(0, dtype=np.float64)
    length = np.linalg.norm(difference, axis=-1, keepdims=True)
    unit = np.divide(difference, length, out=np.zeros_like(difference), where=length > 0)
    spread = np.einsum("ilhd,lhd->ilh", both - both.mean(0), unit).std(0)
    return (unit * spread[..., None]).astype(np.float32)


def random_direction(
    like: Float[np.ndarray, "layer head head_dim"], *, seed: int = 0
) -> Float[np.ndarray, "layer head head_dim"]:
    """Return random directions, each as long as that of `like`: what steering by any direction does."""
    drawn = np.random.default_rng(seed).normal(size=like.shape)
    drawn /= np.linalg.norm(drawn, axis=-1, keepdims=True)
    return (drawn * np.linalg.norm(like, axis=-1, keepdims=True)).astype(np.float32)
