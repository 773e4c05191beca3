"""One head: its importance for every function by every method, with intervals, and the tasks it matters most for."""

import re
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, methods_of, samples_of
from headatlas.atlas.map_numbers import ALPHA, take_maps
from headatlas.atlas.tree import SAMPLES
from headatlas.atlas.variables import LABEL
from headatlas.errors import InputError
from headatlas.figures.frame import COLOURS, FONT, SMALL, STYLE, literal, model_name, say_below
from headatlas.figures.heads_importance import panel_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASKS = 10


def head_card(atlas: xr.DataTree | xr.Dataset, head: str | tuple[int, int]) -> "Figure":
    """Draw what an atlas knows of one head.

    Parameters
    ----------
    atlas
        An atlas; with samples that name tasks, its tasks too.
    head
        "L20H8", or (20, 8).

    Raises
    ------
    InputError
        No such head.
    """
    import matplotlib as mpl

    from headatlas.figures.canvas import Figure

    tree = as_atlas(atlas)
    names = methods_of(tree)
    first = take_maps(tree, names[0])
    layer, number = _place(head, first.layers, first.heads)
    tasks = next((found for name in names if (found := _tasks(tree, name, layer, number))), None)
    panels = len(names) + (tasks is not None)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.35 * panels + 1.2, 0.2 * len(first.functions) + 1.5), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for at, (name, axis) in enumerate(zip(names, axes, strict=False)):
            _draw_method(axis, tree, name, layer, number, labelled=at == 0)
        if tasks is not None:
            _draw_tasks(axes[-1], *tasks)
        figure.suptitle(f"L{first.layers[layer]}H{first.heads[number]}", fontsize=FONT + 1, x=0.01, ha="left")
        say_below(
            figure,
            f"Model: {model_name(tree)}. Importance of one head with 95% intervals; "
            f"red: specific to the function, q < {ALPHA}.",
        )
    return figure


def _place(head: str | tuple[int, int], layers: tuple[int, ...], heads: tuple[int, ...]) -> tuple[int, int]:
    """Return where a head stands in the maps."""
    named = re.fullmatch(r"L(\d+)H(\d+)", head.strip(), re.IGNORECASE) if isinstance(head, str) else None
    pair = (int(named[1]), int(named[2])) if named else head
    if isinstance(pair, str) or pair[0] not in layers or pair[1] not in heads:
        raise InputError(
            f"No head '{head}' here: layers run from {layers[0]} to {layers[-1]}, heads from {heads[0]} to "
            f"{heads[-1]}. Give e.g. L0H0."
        )
    return layers.index(pair[0]), heads.index(pair[1])


def _draw_method(axis: "Axes", tree: xr.DataTree, name: str, layer: int, head: int, *, labelled: bool) -> None:
    maps, part = take_maps(tree, name), method_part(tree, name)
    at = np.arange(len(maps.functions))
    axis.axvline(0, color="0.6", linewidth=0.6)
    own = part.sel(function=list(maps.functions)).isel(layer=layer, head=head)
    if "ci_low" in own:
        axis.hlines(at, own["ci_low"].values, own["ci_high"].values, color="0.5", linewidth=1)
    shown = (
        (own["q_specific"].values < ALPHA) & (own["specific"].values > 0)
        if "q_specific" in own
        else np.zeros(len(at), bool)
    )
    axis.scatter(maps.values[:, layer, head], at, s=14, c=["#CC3311" if one else "black" for one in shown], zorder=3)
    axis.set_yticks(at, [panel_title(f) for f in maps.functions] if labelled else [""] * len(at), fontsize=SMALL)
    for label in axis.get_yticklabels():
        label.set_parse_math(False)
    axis.invert_yaxis()
    axis.set_title(literal(name, 30), fontsize=FONT, parse_math=False)
    axis.set_xlabel(literal(str(tree[name].attrs.get(LABEL, "")), 42), fontsize=SMALL * 0.9, parse_math=False)
    axis.tick_params(labelsize=SMALL, length=2)


def _tasks(tree: xr.DataTree, name: str, layer: int, head: int) -> tuple[str, list[str], np.ndarray] | None:
    """Return the tasks that the head matters most for by a method, and by how much."""
    from headatlas.stats.tasks import tasks_of

    if SAMPLES not in tree[name].children:
        return None
    functions = take_maps(tree, name).functions
    found = tasks_of(samples_of(tree, name), functions)
    if found is None:
        return None
    values = found.maps().reshape(len(found.names), *found.table.shape)[:, layer, head]
    order = np.argsort(-np.abs(values), kind="stable")[:TASKS]
    return name, [found.names[i] for i in order], values[order]


def _draw_tasks(axis: "Axes", name: str, tasks: list[str], values: np.ndarray) -> None:
    at = np.arange(len(tasks))
    axis.barh(at, values, color=[COLOURS[1] if v > 0 else COLOURS[0] for v in values], height=0.7)
    axis.axvline(0, color="0.6", linewidth=0.6)
    axis.set_yticks(at, [literal(t, 28) for t in tasks], fontsize=SMALL * 0.9)
    for label in axis.get_yticklabels():
        label.set_parse_math(False)
    axis.invert_yaxis()
    axis.set_title(f"tasks, by {literal(name, 20)}", fontsize=FONT, parse_math=False)
    axis.tick_params(labelsize=SMALL, length=2)
