"""What all functions share of a method's map, and each function's own part, on one signed colour scale.

It is the heads-importance figure of the atlas's ``general`` and ``specific`` (`stats.split`).
"""

from typing import TYPE_CHECKING

import xarray as xr

from headatlas.errors import InputError
from headatlas.figures.heads_importance import heads_importance
from headatlas.maps import pick_methods
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
    return heads_importance(drawn, method=name, sign=sign or "signed", scale=scale, functions=[GENERAL, *titles])
