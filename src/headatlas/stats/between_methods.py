"""How far methods agree on the same heads: `agreement`."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from headatlas.stats.correlation import spearman
from headatlas.stats.sign import Sign, ranked

TOP_SHARE = 0.1
"""Of the heads: what `agreement` compares as top heads."""


def agreement(importance: Mapping[str, xr.DataArray], signs: Mapping[str, Sign]) -> xr.Dataset:
    """Compare the methods' maps, function by function.

    Parameters
    ----------
    importance
        Method -> its map, (function, layer, head).
    signs
        How each method's heads are ranked.

    Returns
    -------
    xarray.Dataset
        ``agreement(one_method, other_method, function)``, the Spearman correlation over heads of the signed values (NaN
        for a constant map); ``agreement_top``, the share of the top tenth of the heads, ranked by each method's own
        sign, that the two have in common; and ``agreement_chance``, what two random rankings have in common. Heads
        that are noisy rank high by absolute value under any method: two such methods share top heads for that alone.
    """
    names = list(importance)
    maps = [importance[name].transpose("function", "layer", "head").values for name in names]
    flat = np.stack([m.reshape(len(m), -1) for m in maps]).astype(np.float64)
    order = np.stack([ranked(flat[i], signs[name]) for i, name in enumerate(names)])
    k = max(1, round(TOP_SHARE * flat.shape[-1]))
    # ties are broken by place, alike in every method: a constant map has no top heads of its own
    top = np.zeros(order.shape, bool)
    np.put_along_axis(top, np.argsort(-order, axis=-1, kind="stable")[..., :k], True, axis=-1)
    shared = np.einsum("mfu,nfu->mnf", top.astype(np.float64), top.astype(np.float64)) / k
    dims = ("one_method", "other_method", "function")  # not "method", an argument of xarray's sel
    return xr.Dataset(
        {
            "agreement": (dims, spearman(*np.broadcast_arrays(flat[:, None], flat[None]))),
            "agreement_top": (dims, shared),
            "agreement_chance": ((), k / flat.shape[-1]),
        },
        coords={"one_method": names, "other_method": names},
    )
