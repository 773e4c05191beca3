"""How far the methods of an atlas rank the same heads: one matrix, a cell a pair of methods.

A cell's colour and first line are the mean over functions of the Spearman correlation over heads; below it, its range
over functions, and the share of the top tenth of the heads that both have.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas
from headatlas.errors import InputError
from headatlas.figures.frame import SMALL, STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def method_agreement(atlas: xr.DataTree | xr.Dataset) -> "Figure":
    """Draw the agreement of an atlas's methods.

    Raises
    ------
    InputError
        The atlas has one method only, or no ``agreement``.
    """
    root = as_atlas(atlas).to_dataset()
    if "agreement" not in root or root.sizes["one_method"] < 2:
        raise InputError("Agreement is between methods, and this atlas has one. Map with --method probe,ablation.")
    import matplotlib as mpl

    from headatlas.figures.canvas import Figure

    methods = [str(m) for m in root["one_method"].values]
    table = root["agreement"].transpose("one_method", "other_method", "function").values
    top = root["agreement_top"].transpose("one_method", "other_method", "function").mean("function").values
    mean = np.nanmean(table, axis=2)
    size = 1.1 * len(methods)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(size + 2.4, size + 1.2), layout="constrained")
        axes = figure.subplots()
        axes.set_facecolor("0.9")  # the diagonal: a method with itself
        image = axes.imshow(np.where(np.eye(len(methods)), np.nan, mean), cmap="RdBu_r", vmin=-1, vmax=1)
        axes.set_xticks(range(len(methods)), methods, rotation=30, ha="right")
        axes.set_yticks(range(len(methods)), methods)
        for i in range(len(methods)):
            for j in range(len(methods)):
                if i == j:
                    continue
                low, high = np.nanmin(table[i, j]), np.nanmax(table[i, j])
                text = f"{mean[i, j]:.2f}\n{low:.2f} to {high:.2f}\ntop: {100 * top[i, j]:.0f}%"
                colour = "white" if abs(mean[i, j]) > 0.6 else "black"
                axes.text(j, i, text, ha="center", va="center", fontsize=SMALL, color=colour)
        figure.colorbar(image, ax=axes, label="Spearman correlation over heads", shrink=0.9)
        chance = float(root["agreement_chance"])
        figure.supxlabel(
            f"Mean and range over functions; share of the top tenth of heads in common (chance {100 * chance:.0f}%)",
            fontsize=SMALL,
        )
    return figure
