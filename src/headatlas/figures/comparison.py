"""Several models compared: which tasks share heads in each, how far that agrees, and where functions lie in depth.

1. Above, every model's task-by-task similarity, tasks in one order for all (by function, then along the compromise's
   first axis), so that the eye can compare them.
2. Below, all pairs of tasks: how alike in one model against how alike in another (the first two); then one picture of
   the tasks, every model's point of a task joined to the others'; then each model's mean layer profile by depth.

It measures nothing.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from headatlas.errors import InputError
from headatlas.figures.frame import COLOURS, FONT, SMALL, STYLE, literal
from headatlas.questions.functions import function_title, order_functions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST = 4
"""Models whose matrices are drawn."""


def comparison(found: xr.Dataset) -> "Figure":
    """Draw a comparison.

    Parameters
    ----------
    found
        What `headatlas.comparison.compare` returned.

    Raises
    ------
    InputError
        The atlases have fewer than three tasks in common.
    """
    if "similarity" not in found:
        raise InputError("These atlases have fewer than three tasks in common: there is nothing to draw.")
    import matplotlib as mpl
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    from headatlas.figures.canvas import Figure

    models = [str(a) for a in found["atlas"].values]
    own = [str(f) for f in found["task_function"].values]
    shown = order_functions(own)
    colour = {f: COLOURS[i % len(COLOURS)] for i, f in enumerate(shown)}
    with mpl.rc_context(STYLE):
        n = min(MOST, len(models))
        figure = Figure(figsize=(7.2, 2.6 + 7.2 / max(2, n)), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[7.0 / max(2, n), 2.6])
        above, below = parts
        _matrices(above, found, models[:n], own, colour)
        axes = below.subplots(1, 3)
        _pairs(axes[0], found, models, own)
        _places(axes[1], found, own, colour)
        _depths(axes[2], found, models)
        handles: list = [Patch(color=colour[f], label=literal(function_title(f), 40)) for f in shown]
        handles += [
            Line2D([], [], marker=MARKS[i % len(MARKS)], linestyle="", color="0.3", label=literal(m, 40))
            for i, m in enumerate(models)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=SMALL, frameon=False)
    return figure


def _matrices(above: Any, found: xr.Dataset, models: list[str], own: list[str], colour: dict[str, str]) -> None:
    """Draw every model's similarities on one scale; functions in colour along the edges."""
    from matplotlib.patches import Rectangle

    matrices = found["similarity"].values[: len(models)]
    off = ~np.eye(len(own), dtype=bool)
    top = max(0.1, float(np.quantile(np.abs(matrices[:, off]), 0.99)))
    axes = above.subplots(1, len(models), squeeze=False)[0]
    image: Any = None
    for axis, model, matrix in zip(axes, models, matrices, strict=True):
        image = axis.imshow(matrix, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="none")
        axis.set_title(literal(model, 40), fontsize=FONT, parse_math=False)
        axis.set_xticks([])
        axis.set_yticks([])
        for at, f in enumerate(own):
            axis.add_patch(Rectangle((at - 0.5, len(own) - 0.5), 1, 1.2, color=colour[f], clip_on=False, linewidth=0))
            axis.add_patch(Rectangle((-1.7, at - 0.5), 1.2, 1, color=colour[f], clip_on=False, linewidth=0))
    above.colorbar(image, ax=list(axes), label="Similarity of two tasks' maps", shrink=0.8, extend="both")


def _pairs(axis: "Axes", found: xr.Dataset, models: list[str], own: list[str]) -> None:
    """Draw all pairs of tasks, by the first model and the second."""
    i, j = np.triu_indices(len(own), 1)
    x, y = (found["similarity"].values[m][i, j] for m in (0, 1))
    same = np.array(own)[i] == np.array(own)[j]
    for which, tone, label in ((~same, "0.6", "different functions"), (same, "#CC3311", "one function")):
        axis.plot(x[which], y[which], ".", color=tone, markersize=2.5, label=label)
    axis.set_xlabel(f"similarity in {literal(models[0], 22)}", fontsize=SMALL, parse_math=False)
    axis.set_ylabel(f"in {literal(models[1], 22)}", fontsize=SMALL, parse_math=False)
    value = float(found["agreement"].values[0, 0])
    axis.set_title(f"Pairs of tasks: r = {value:.2f}", fontsize=FONT)
    axis.legend(fontsize=SMALL * 0.9, frameon=False, loc="upper left", markerscale=2)
    axis.tick_params(labelsize=SMALL)


def _places(axis: "Axes", found: xr.Dataset, own: list[str], colour: dict[str, str]) -> None:
    """Draw every model's tasks, a task's points joined."""
    places = found["place"].values
    for at, f in enumerate(own):
        axis.plot(places[:, at, 0], places[:, at, 1], "-", color=colour[f], linewidth=0.5, alpha=0.6)
    for m, model in enumerate(places):
        axis.scatter(
            model[:, 0], model[:, 1], s=9, marker=MARKS[m % len(MARKS)], c=[colour[f] for f in own], linewidths=0
        )
    share = found["axis_share"].values
    axis.set_title(f"Tasks in one picture ({share.sum():.0%})", fontsize=FONT)
    axis.set_xticks([])
    axis.set_yticks([])


def _depths(axis: "Axes", found: xr.Dataset, models: list[str]) -> None:
    """Draw every model's mean layer profile."""
    for m, model in enumerate(models):
        axis.plot(
            found["depth"],
            found["profile"].values[m].mean(0),
            color=COLOURS[m % len(COLOURS)],
            label=literal(model, 24),
        )
    axis.set_ylim(0)
    axis.set_title("Share of mass, mean over functions", fontsize=FONT)
    axis.set_xlabel("relative depth", fontsize=SMALL)
    axis.legend(fontsize=SMALL * 0.9, frameon=False)
    axis.tick_params(labelsize=SMALL)
