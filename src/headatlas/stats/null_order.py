"""How high the sorted values of a map would be if no head mattered: the band beside a sorted curve.

1. What each unit (task or main question) adds to a function's map keeps its size and gets a sign by the toss of a coin,
   the same for all heads, so that heads that go together still do. All ways are taken where units are few.
2. Every such map is sorted as the real one is; the band holds 95% of them, rank by rank. Real effects stay in what is
   tossed: where there are any, the band is too wide, never too narrow.
3. A method that brings a null of its own (refits on shuffled labels) has the range of those instead.

The k-th highest value is compared with the k-th highest of each map: a band over heads, not of one head.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.stats.sign import Sign, ranked
from headatlas.stats.table import Table

DRAWS = 400
LEVEL = 0.95


def null_order(
    samples: xr.Dataset, functions: Sequence[str], *, sign: Sign, seed: int = 0
) -> tuple[Float[np.ndarray, "function rank"], Float[np.ndarray, "function rank"]]:
    """Return the lower and upper ends of every function's band, from the highest rank down.

    Parameters
    ----------
    samples
        A method's samples (`atlas.samples_of`).
    functions
        The functions, in order.
    sign
        What orders the heads (`stats.sign`).
    seed
        Draws the signs where there are too many ways.

    Raises
    ------
    InputError
        A function has no sample.
    """
    own = "null" in samples
    table = None if own else Table(samples, functions)
    draw = np.random.default_rng([seed, 7])
    low, high = [], []
    for at, name in enumerate(functions):
        if table is None:
            shown = samples["null"].transpose("null_sample", "layer", "head").values[samples["null_function"] == name]
            maps = shown.reshape(len(shown), -1).astype(np.float64)
        else:
            _, values = table.by_unit(at)
            maps = _signs(len(values), draw) @ values
        ordered = -np.sort(-ranked(maps, sign), axis=1)
        if not len(ordered):
            ordered = np.full((1, maps.shape[1]), np.nan)
        tail = 0.0 if own else (1 - LEVEL) / 2
        low.append(np.quantile(ordered, tail, axis=0))
        high.append(np.quantile(ordered, 1 - tail, axis=0))
    return np.stack(low), np.stack(high)


def _signs(units: int, draw: np.random.Generator) -> Float[np.ndarray, "draw unit"]:
    """Return all ways of giving signs, or `DRAWS` drawn ones."""
    if 2**units <= DRAWS:
        bits = np.arange(2**units)[:, None] >> np.arange(units)[None]
        return 1.0 - 2.0 * (bits & 1)
    return draw.choice(np.array([-1.0, 1.0]), size=(DRAWS, units))
