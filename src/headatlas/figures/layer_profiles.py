"""In which layers a function's mass lies: a line a function with its 95% interval, beside an even spread."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, pick_methods, unable_functions
from headatlas.atlas.map_numbers import take_maps
from headatlas.errors import InputError
from headatlas.figures.frame import FONT, SMALL, STYLE, literal, model_name
from headatlas.figures.heads_importance import AT_CHANCE, grid, panel_title
from headatlas.figures.task_similarity import COLOURS

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

    from headatlas.figures.canvas import Figure

    maps = take_maps(tree, name)
    share = part["layer_share"].transpose("function", "layer").sel(function=list(maps.functions))
    unable = set(unable_functions(part))
    rows, columns = grid(len(maps.functions))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(max(3.4, 1.75 * columns), 1.3 * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(maps.functions) :]:
            axis.set_axis_off()
        for i, (function, axis) in enumerate(zip(maps.functions, axes.flat, strict=False)):
            colour = COLOURS[0]
            if "layer_share_low" in part:
                low, high = (part[f"layer_share{end}"].sel(function=function).values for end in ("_low", "_high"))
                axis.fill_between(maps.layers, low, high, color=colour, alpha=0.25, linewidth=0)
            axis.plot(maps.layers, share.values[i], color=colour, linewidth=1.2)
            axis.axhline(1 / len(maps.layers), color="0.5", linewidth=0.6, linestyle=(0, (3, 3)))
            title = panel_title(function) + (f"\n({AT_CHANCE})" if function in unable else "")
            axis.set_title(title, fontsize=7.5, pad=3, parse_math=False)
            axis.tick_params(labelsize=SMALL, length=2)
            axis.set_ylim(bottom=0)
            if i + columns >= len(maps.functions):
                axis.set_xlabel("Layer", fontsize=FONT)
            if i % columns == 0:
                axis.set_ylabel("Share of mass", fontsize=FONT)
        peak = [int(maps.layers[int(np.argmax(row))]) for row in share.values]
        figure.supxlabel(
            f"Model: {model_name(part)}; method: {literal(name)}. Share of each map's mass by layer with its 95% "
            f"interval;\ndashed: an even spread. Highest layers: {min(peak)} to {max(peak)}.",
            x=0.01, ha="left", fontsize=SMALL, color="0.35", parse_math=False,
        )  # fmt: skip
    return figure
