"""What all functions share of a method's map, and each function's own part, on one signed colour scale.

It is the heads-importance figure of the atlas's ``general`` and ``specific`` (`specific.split`).
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.errors import InputError
from headatlas.figures.heads_importance import draw_maps, items_text
from headatlas.maps import pick_methods, take_maps
from headatlas.questions import function_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERAL = "Common to all functions"


def general_specific(
    atlas: xr.Dataset, *, method: str | None = None, sign: str | None = None, scale: str = "shared"
) -> "Figure":
    """Draw the general part and the functions' own parts of one method's map.

    Parameters
    ----------
    atlas
        An atlas with ``general`` and ``specific``.
    method
        A method of the atlas; by default the first.
    sign, scale
        As in `heads_importance`; the sign is "signed" unless given.

    Raises
    ------
    InputError
        The atlas has no parts, or no such method.
    """
    if "general" not in atlas or "specific" not in atlas:
        raise InputError("This atlas has no general and specific parts. Make one with headatlas map.")
    (name,) = pick_methods(atlas, method)[:1]
    own = atlas.sel({"method": [name]})
    general = own["general"].expand_dims(function=[GENERAL])
    titles = [f"{function_title(str(f))}: own part" for f in atlas["function"].values]
    parts = xr.concat([general, own["specific"].assign_coords(function=titles)], "function")
    drawn = xr.Dataset({"importance": parts.transpose("method", "function", "layer", "head")}, attrs=atlas.attrs)
    if scale not in ("shared", "panel"):
        raise InputError(f"Unknown scale '{scale}'. Give 'shared' or 'panel'.")
    maps = take_maps(drawn, name, sign=sign or "signed", functions=[GENERAL, *titles])
    functions = [str(f) for f in atlas["function"].values]
    return draw_maps(drawn, maps, scale=scale, basis=(items_text(atlas, functions), _tests(own)))


def _tests(own: xr.Dataset) -> str:
    """Return what the atlas says of how sure the parts are."""
    tested = "q_specific" in own and bool(np.isfinite(own["q_specific"]).any())
    return "the parts have no intervals, but q-values in the atlas" if tested else "the parts have no intervals"
