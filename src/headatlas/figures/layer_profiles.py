"""In which layers a function's mass lies: a line a function with its 95% interval, beside an even spread."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, pick_methods, unable_functions
from headatlas.atlas.map_numbers import take_maps
from headatlas.errors import InputError
from headatlas.figures.frame import COLOURS, STYLE, literal, model_name, say_below
from headatlas.figures.heads_importance import AT_CHANCE
from headatlas.figures.panels import function_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def layer_profiles(atlas: xr.DataTree | xr.Dataset, *, method: str | None = None) -> "Figure":
    """Draw every function's share of mass by layer.

    Parameters
    ----------
    atlas
        An atlas with ``layer_share``.
    method
        A method of the atlas; by default the first.

    Raises
    ------
    InputError
        No such method, or it has no layer profiles.
    """
    tree = as_atlas(atlas)
    (name, *_) = pick_methods(tree, method)
    part = method_part(tree, name)
    if "layer_share" not in part:
        raise InputError(f"Method '{name}' has no layer profiles in this atlas. Make one with headatlas map.")
    import matplotlib as mpl

    maps = take_maps(tree, name)
    share = part["layer_share"].transpose("function", "layer").sel(function=list(maps.functions))
    unable = set(unable_functions(part))
    with mpl.rc_context(STYLE):
        figure, axes = function_panels(maps.functions, height=1.3, extra=0.6, x="Layer", y="Share of mass")
        for i, (function, axis) in enumerate(zip(maps.functions, axes, strict=True)):
            if "layer_share_low" in part:
                low, high = (part[f"layer_share{end}"].sel(function=function).values for end in ("_low", "_high"))
                axis.fill_between(maps.layers, low, high, color=COLOURS[0], alpha=0.25, linewidth=0)
            axis.plot(maps.layers, share.values[i], color=COLOURS[0], linewidth=1.2)
            axis.axhline(1 / len(maps.layers), color="0.5", linewidth=0.6, linestyle=(0, (3, 3)))
            if function in unable:
                axis.set_title(f"{axis.get_title()}\n({AT_CHANCE})", fontsize=7.5, pad=3, parse_math=False)
            axis.set_ylim(bottom=0)
        peak = [int(maps.layers[int(np.argmax(row))]) for row in share.values]
        say_below(
            figure,
            f"Model: {model_name(part)}; method: {literal(name)}. Share of each map's mass by layer with its 95% "
            f"interval;\ndashed: an even spread. Highest layers: {min(peak)} to {max(peak)}.",
        )
    return figure
