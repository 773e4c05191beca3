"""What an experiment's conditions do: a column a function (or kind of step), a dot a condition; below, the changes.

Where alpha was swept, a panel beside it shows dev; where heads were dropped, a map of them.
"""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from headatlas.errors import InputError
from headatlas.figures.frame import SMALL, STYLE, literal
from headatlas.questions.functions import function_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#444444", "#c1272d", "#0072b2", "#e69f00", "#009e73", "#8856a7")
LABELS = {
    "exact": "exact match", "number": "right number", "f1": "token F1", "prefers": "answer before foil",
    "chosen": "answer, not foil",
}  # fmt: skip


def experiment(found: xr.Dataset, *, score: str | None = None) -> "Figure":
    """Draw an experiment.

    Parameters
    ----------
    found
        From one of `headatlas.experiments`.
    score
        Which; by default the one that the experiment is read by.

    Raises
    ------
    InputError
        No experiment, or no such score.
    """
    import matplotlib as mpl

    from headatlas.figures.canvas import Figure

    if "value" not in found or "condition" not in found.dims:
        raise InputError("This is no experiment's. Make one with: headatlas experiment")
    known = found["score"].values.tolist()
    name = str(found.attrs.get("read_by", known[0])) if score is None else score
    if name not in known:
        raise InputError(f"No score '{name}' was taken. Known: {', '.join(known)}.")
    part = found.sel(score=name)
    panels = [p for p in part["panel"].values.tolist() if int(part["n_items"].sel(panel=p)) > 0]
    conditions = part["condition"].values.tolist()
    more = [key for key in ("swept", "dropped") if key in found]
    with mpl.rc_context(STYLE):
        width = 1.6 + max(len(panels) * (0.24 * len(conditions) + 0.3), 2.6)
        figure = Figure(figsize=(width + 2.6 * len(more), 4.4), layout="constrained")
        ratios = [width - 0.6, *([2.4] * len(more))]
        grid = figure.add_gridspec(2, len(ratios), width_ratios=ratios, height_ratios=[1.1, 1])
        above, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
        step = 0.8 / len(conditions)
        for i, condition in enumerate(conditions):
            own = part.sel(condition=condition, panel=panels)
            x = np.arange(len(panels)) + (i - (len(conditions) - 1) / 2) * step
            style: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "markersize": 4}
            above.plot(x, own["value"].values, "o", label=condition, **style)
            if i:
                below.vlines(
                    x, own["change_low"].values, own["change_high"].values, color=style["color"], linewidth=1.2
                )
                below.plot(x, own["change"].values, "o", **style)
        highest = float(np.nanmax(part["value"].sel(panel=panels).values))
        above.set_ylim(-0.03, 1.03 if highest > 0.5 else max(0.1, 1.2 * highest))
        above.set_xticks(range(len(panels)), [])
        above.set_ylabel(f"Share: {LABELS.get(name, literal(name))}")
        below.axhline(0, color="#444444", linewidth=0.6)
        below.set_xticks(range(len(panels)), [literal(function_title(p), 30) for p in panels], rotation=20, ha="right",
                         rotation_mode="anchor")  # fmt: skip
        below.set_ylabel("Change")
        for axis in (above, below):
            axis.set_xlim(-0.6, len(panels) - 0.4)
            axis.spines[["top", "right"]].set_visible(False)
        figure.legend(
            loc="outside upper center",
            ncols=max(1, min(len(conditions), int(figure.get_figwidth() / 1.5))),
            frameon=False,
            fontsize=SMALL,
        )
        for column, key in enumerate(more, start=1):
            (_swept if key == "swept" else _dropped)(figure.add_subplot(grid[:, column]), found)
        told = f"{literal(found.attrs['title'], 200)}. Model: {literal(found.attrs['model'])}; "
        told += f"{literal(found.attrs['about'], 400)}. Bars: 95% intervals of the change, paired by item."
        lines = textwrap.wrap(told, int(figure.get_figwidth() * 19))
        figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=SMALL, color="#555555")
    return figure


def _swept(axis: Any, found: xr.Dataset) -> None:
    """Draw the sweep of alpha on dev."""
    for i, name in enumerate(found["direction"].values.tolist()):
        style = {"color": COLOURS[1], "label": name} if i == 0 else {"color": "#999999", "linewidth": 0.8}
        axis.plot(range(found.sizes["alpha"]), found["swept"].sel(direction=name).values, marker=".", **style)
    axis.set_xticks(range(found.sizes["alpha"]), [f"{a:g}" for a in found["alpha"].values])
    axis.set_xlabel("Alpha (grey: random directions)")
    axis.set_ylabel(f"{LABELS.get(str(found.attrs['metric']), 'score')}, dev")
    axis.legend(frameon=False, fontsize=SMALL)
    axis.spines[["top", "right"]].set_visible(False)


def _dropped(axis: Any, found: xr.Dataset) -> None:
    """Draw which heads were dropped."""
    axis.imshow(found["dropped"].values, cmap="Greys", vmin=0, vmax=1.4, aspect="auto")
    axis.set_xlabel("Head")
    axis.set_ylabel("Layer")
    axis.set_title(f"{int(found['dropped'].sum())} heads dropped", fontsize=SMALL)
