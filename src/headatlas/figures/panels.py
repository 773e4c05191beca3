"""A small panel a function, all on the same axes: what layer profiles and sorted heads have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from headatlas.figures.frame import FONT, SMALL
from headatlas.figures.heads_importance import grid, panel_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def function_panels(
    functions: Sequence[str], *, height: float, extra: float, x: str, y: str
) -> "tuple[Figure, list[Axes]]":
    """Return a figure and its panels, titled and labelled; a row of them is `height` inches tall, `extra` is added."""
    from headatlas.figures.canvas import Figure

    rows, columns = grid(len(functions))
    figure = Figure(figsize=(max(3.4, 1.75 * columns), height * rows + extra), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flat)
    for axis in axes[len(functions) :]:
        axis.set_axis_off()
    for i, (function, axis) in enumerate(zip(functions, axes, strict=False)):
        axis.set_title(panel_title(function), fontsize=7.5, pad=3, parse_math=False)
        axis.tick_params(labelsize=SMALL, length=2)
        if i + columns >= len(functions):
            axis.set_xlabel(x, fontsize=FONT)
        if i % columns == 0:
            axis.set_ylabel(y, fontsize=FONT)
    return figure, axes[: len(functions)]
