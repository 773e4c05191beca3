"""How alike the maps of tasks are: one matrix over tasks, clustered, functions in colour.

Tasks stand in the order of the tree of clusters, so that tasks with like maps are neighbours; if functions were one
thing each, their colours would stand together. The diagonal is a task's reliability: as alike as its map is to itself.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, pick_methods
from headatlas.errors import InputError
from headatlas.figures.frame import COLOURS, SMALL, STYLE, literal, model_name, say_below
from headatlas.questions.functions import function_title, order_functions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def task_similarity(atlas: xr.DataTree | xr.Dataset, *, method: str | None = None) -> "Figure":
    """Draw the similarity of every two tasks' maps.

    Parameters
    ----------
    atlas
        An atlas with ``task_similarity``.
    method
        A method of the atlas; by default the first that has it.

    Raises
    ------
    InputError
        No such method, or it has no similarity of tasks.
    """
    tree = as_atlas(atlas)
    name = next((m for m in pick_methods(tree, method) if "task_similarity" in tree[m]), None)
    if name is None:
        raise InputError(
            "This atlas has no similarity of tasks: its questions name none, or fewer than two functions have two."
        )
    import matplotlib as mpl
    from matplotlib.patches import Patch, Rectangle

    from headatlas.figures.canvas import Figure

    part = method_part(tree, name)
    part = part.isel(task=np.argsort(part["task_order"].values), other_task=np.argsort(part["task_order"].values))
    matrix = part["task_similarity"].transpose("task", "other_task").values.copy()
    np.fill_diagonal(matrix, part["task_reliability"].values)
    tasks, function = [str(t) for t in part["task"].values], [str(f) for f in part["task_function"].values]
    shown = order_functions(function)
    colour = {f: COLOURS[i % len(COLOURS)] for i, f in enumerate(shown)}
    n = len(tasks)
    size = max(2.4, 0.125 * n)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(size + 3.1, size + 1.2), layout="constrained")
        axis = figure.subplots()
        top = max(0.1, float(np.nanquantile(np.abs(matrix), 0.99)))
        image = axis.imshow(matrix, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="none")
        axis.set_xticks([])
        axis.set_yticks(range(n), [literal(t, 34) for t in tasks], fontsize=SMALL * 0.9)
        for at, (label, f) in enumerate(zip(axis.get_yticklabels(), function, strict=True)):
            label.set_color(colour[f])
            label.set_parse_math(False)
            axis.add_patch(Rectangle((at - 0.5, n - 0.5), 1, 1.2, color=colour[f], clip_on=False, linewidth=0))
            axis.add_patch(Rectangle((n - 0.5, at - 0.5), 1.2, 1, color=colour[f], clip_on=False, linewidth=0))
        axis.tick_params(length=0)
        bar = figure.colorbar(
            image, ax=axis, label="Similarity of two tasks' maps", shrink=0.7, pad=0.04, extend="both"
        )
        bar.ax.tick_params(labelsize=SMALL)
        figure.legend(
            handles=[Patch(color=colour[f], label=literal(function_title(f), 40)) for f in shown],
            loc="outside upper center", ncols=min(4, len(shown)), fontsize=SMALL, frameon=False,
        )  # fmt: skip
        say_below(figure, "\n".join(_caption(part, name)))
    return figure


def _caption(part: xr.Dataset, method: str) -> list[str]:
    """Return what the figure says of itself."""
    wanted = ("within_similarity", "between_similarity", "within_p", "cluster_rand", "cluster_p")
    value = {name: float(part[name]) for name in wanted if name in part}
    lines = [f"Model: {model_name(part)}; method: {literal(method)}; diagonal: a task's split-half reliability."]
    if "within_similarity" in value:
        within, between, p = (value[name] for name in wanted[:3])
        lines.append(f"Two tasks of one function: {within:.2f}; of different functions: {between:.2f} (p = {p:.2g}).")
    if "cluster_rand" in value:
        rand, p = value["cluster_rand"], value["cluster_p"]
        lines.append(f"Clusters against functions: adjusted Rand index {rand:.2f} (p = {p:.2g}).")
    return lines
