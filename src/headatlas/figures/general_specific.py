"""What all functions share of a method's map, and each function's own part, on one signed colour scale.

It is the heads-importance figure of the atlas's ``general`` and ``specific`` (`stats.split`).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, pick_methods
from headatlas.atlas.map_numbers import take_maps
from headatlas.errors import InputError
from headatlas.figures.heads_importance import check_scale, draw_maps, items_text
from headatlas.questions.functions import function_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERAL = "Common to all functions"


def general_specific(
    atlas: xr.DataTree | xr.Dataset, *, method: str | None = None, sign: str | None = None, scale: str = "shared"
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
    check_scale(scale)
    tree = as_atlas(atlas)
    (name, *_) = pick_methods(tree, method)
    part = method_part(tree, name)
    if "general" not in part or "specific" not in part:
        raise InputError("This atlas has no general and specific parts. Make one with headatlas map.")
    whole = take_maps(tree, name, sign=sign or "signed")
    titles = [f"{function_title(f)}: own part" for f in whole.functions]
    own = part["specific"].transpose("function", "layer", "head").sel(function=list(whole.functions)).values
    values = np.concatenate([part["general"].transpose("layer", "head").values[None], own])
    maps = replace(whole, functions=(GENERAL, *titles), values=values.astype(np.float64))
    return draw_maps(maps, part, tree[name].attrs, scale=scale, basis=(items_text(part, whole.functions), _tests(part)))


def _tests(part: xr.Dataset) -> str:
    """Return what the atlas says of how sure the parts are."""
    tested = "q_specific" in part and bool(np.isfinite(part["q_specific"]).any())
    return "the parts have no intervals, but q-values in the atlas" if tested else "the parts have no intervals"
