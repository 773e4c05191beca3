"""Heads from the highest down, a panel a function, beside what chance would give rank by rank (`stats.null_order`)."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, pick_methods, samples_of
from headatlas.atlas.map_numbers import take_maps
from headatlas.atlas.variables import LABEL
from headatlas.figures.frame import COLOURS, SMALL, STYLE, literal, model_name, say_below
from headatlas.figures.panels import function_panels
from headatlas.stats.sign import ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 3
"""Heads that are named, a panel."""


def sorted_importance(atlas: xr.DataTree | xr.Dataset, *, method: str | None = None) -> "Figure":
    """Draw every function's heads in order.

    Parameters
    ----------
    atlas
        An atlas with the method's samples.
    method
        A method of the atlas; by default the first.

    Raises
    ------
    InputError
        No such method, or the atlas holds no samples of it.
    """
    import matplotlib as mpl

    from headatlas.stats.null_order import null_order

    tree = as_atlas(atlas)
    (name, *_) = pick_methods(tree, method)
    samples = samples_of(tree, name)
    maps = take_maps(tree, name)
    part = method_part(tree, name)
    low, high = null_order(samples, maps.functions, sign=maps.sign)
    values = ranked(maps.values.reshape(len(maps.functions), -1), maps.sign)
    order = np.argsort(-values, axis=1, kind="stable")
    rank = np.arange(1, values.shape[1] + 1)
    with mpl.rc_context(STYLE):
        figure, axes = function_panels(maps.functions, height=1.4, extra=0.7, x="Rank of the head", y="Importance")
        for i, axis in enumerate(axes):
            axis.fill_between(rank, low[i], high[i], color="0.8", linewidth=0)
            axis.axhline(0, color="0.5", linewidth=0.5)
            axis.plot(rank, values[i, order[i]], color=COLOURS[0], linewidth=1, marker=".", markersize=2.5)
            top = "\n".join(maps.head_name(*divmod(int(at), len(maps.heads))) for at in order[i, :NAMED])
            place: dict[str, Any] = {"ha": "right", "va": "top", "transform": axis.transAxes}
            axis.text(0.97, 0.95, top, fontsize=SMALL * 0.9, color="0.3", **place)
            axis.set_xscale("log")
        lowest, highest = float(values.min()), float(max(values.max(), high.max()))
        axes[0].set_ylim(lowest - 0.05 * (highest - lowest), highest + 0.08 * (highest - lowest))
        null = (
            "the range of refits on shuffled labels"
            if "null" in samples
            else "95% of maps in which every task's effect has the sign of a coin toss"
        )
        label = literal(str(tree[name].attrs.get(LABEL, "")), 80)
        say_below(
            figure,
            f"Model: {model_name(part)}; method: {literal(name)}{f' ({label})' if label else ''}.\n"
            f"Grey, rank by rank: {null}. A band about the whole curve, not a test of one head.",
        )
    return figure
