"""The roles figure: one small heatmap a role, head by layer, each on a colour scale of its own.

1. Take the roles that are in the Dataset, in their order, with their units (`headatlas.roles`).
2. Each panel's scale runs from 0 to a round number (`heads_importance.choose_scale`): shares, tokens and nats can't
   share one. Under a panel's title stands its highest head.
3. Layers whose window hides what a role asks for hold no number; they are drawn grey.
4. Say under the grid what is drawn: model, sequences, intervals, and what a reader must know (``note``).

Style, axes and saving are those of `heads_importance`. It does not know how roles are measured.
"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from headatlas.atlas.map_numbers import value_places, write_number
from headatlas.errors import InputError
from headatlas.figures.frame import FONT, SMALL, STYLE, model_name, say_below
from headatlas.figures.heads_importance import ColourScale, choose_scale, index_ticks
from headatlas.roles.definitions import ROLES
from headatlas.roles.files import top_heads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 5
UNSEEN = "0.85"
"""Grey for heads without a number."""
UNITS = {"share": "", "1": "", "tokens": " (tokens)", "nats": " (nats)"}


def roles(found: xr.Dataset, *, roles: Sequence[str] | None = None) -> "Figure":
    """Draw every role's map of the heads.

    Parameters
    ----------
    found
        What `headatlas.roles.measure_roles` returned.
    roles
        Which roles, in this order; by default all.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. Save it with `frame.save_figure`.

    Raises
    ------
    InputError
        A role that is not in `found`, or a Dataset without roles.
    """
    import matplotlib
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from headatlas.figures.canvas import Figure

    known = [name for name in ROLES if name in found]
    names = known if roles is None else list(roles)
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        what = f"No role '{wrong[0]}' here" if wrong else "This Dataset holds no roles"
        raise InputError(f"{what}. Known: {', '.join(known or ROLES)}. Measure them with: headatlas roles MODEL.")
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    layers, heads = found.sizes["layer"], found.sizes["head"]
    width = max(4.2, 1.75 * columns + 0.45)
    height = rows * (1.42 * float(np.clip(layers / heads, 0.85, 1.45)) + 0.45) + 0.25
    caption = [line for part in caption_parts(found) for line in textwrap.wrap(part, int(width * 18.5))]
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04, wspace=0.03, hspace=0.03)
        figure = Figure(figsize=(width, height + 0.13 * len(caption)), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for i, (name, axis) in enumerate(zip(names, axes.flat, strict=False)):
            scale, image = _draw_panel(axis, found, name)
            lowest, left = i + columns >= len(names), i % columns == 0
            axis.tick_params(labelbottom=lowest, labelleft=left)
            axis.set_xlabel("Head" if lowest else "", fontsize=FONT, labelpad=2)
            axis.set_ylabel("Layer (0 = input side)" if left else "", fontsize=FONT)
            _colourbar(figure, image, axis, scale)
        say_below(figure, "\n".join(caption))
    return figure


def _draw_panel(axis: "Axes", found: xr.Dataset, name: str) -> tuple[ColourScale, Any]:
    """Draw one role's map. Cell h covers h to h+1; layer 0 is at the bottom."""
    import matplotlib

    values = np.asarray(found[name].transpose("layer", "head").values, dtype=np.float64)
    shown = values[np.isfinite(values)]
    scale = choose_scale(shown if len(shown) else np.zeros(1), "positive", None)
    axis.set_facecolor(UNSEEN)
    colours = matplotlib.colormaps["viridis"].with_extremes(bad=UNSEEN)
    layers, heads = values.shape
    image = axis.imshow(
        np.ma.masked_invalid(values), origin="lower", aspect="auto", interpolation="none",
        extent=(0, heads, 0, layers), cmap=colours, vmin=scale.low, vmax=scale.high,
    )  # fmt: skip
    axis.set_title(ROLES[name].title + UNITS[ROLES[name].units], fontsize=7.5, pad=4 + 1.3 * SMALL, parse_math=False)
    place: dict[str, Any] = {"xy": (0.5, 1), "xytext": (0, 3), "ha": "center", "va": "bottom"}
    axis.annotate(
        highest(found, name), xycoords="axes fraction", textcoords="offset points", fontsize=SMALL, color="0.35",
        parse_math=False, **place,
    )  # fmt: skip
    for one, n in ((axis.xaxis, heads), (axis.yaxis, layers)):
        ticks = index_ticks(n)
        middle = 0.5 if n <= 12 else 0.0
        one.set_ticks([t + middle for t in ticks], [str(t) for t in ticks])
    axis.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2)
    return scale, image


def _colourbar(figure: "Figure", image: Any, axis: "Axes", scale: ColourScale) -> None:
    bar = figure.colorbar(image, ax=axis, extend=scale.extend, extendfrac=0.04, fraction=0.09, aspect=18.0, pad=0.03)
    bar.set_ticks(scale.ticks(), labels=scale.labels())
    bar.ax.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2)
    bar.outline.set_linewidth(0.6)


def highest(found: xr.Dataset, name: str) -> str:
    """Return a role's highest head with its score, or that there is nothing to see."""
    top = top_heads(found, name, 1)
    if not top:
        return "outside every window"
    value = float(top[0]["value"])
    return f"L{top[0]['layer']}H{top[0]['head']} {write_number(value, value_places(abs(value)) if value else 0)}"


def caption_parts(found: xr.Dataset) -> list[str]:
    """Return what the figure says about itself."""
    about = found.attrs
    what = [f"Model: {model_name(found)}", f"{found.sizes['layer']} layers x {found.sizes['head']} heads"]
    if "n_random" in about:
        what.append(
            f"previous, duplicate token and induction on {about['n_random']} sequences of {about['half']} random "
            f"tokens said twice; the rest on {about['n_needles']} needle prompts of {about['needle_length_min']} to "
            f"{about['needle_length_max']} tokens"
        )
    what.append("95% intervals over sequences in the file")
    parts = ["; ".join(what) + "."]
    parts.append(
        "Under each title its highest head. Attention says where a head looks, not what it moves; head order inside a "
        "layer is arbitrary."
    )
    if about.get("note"):
        parts.append(f"Note: {about['note']}.")
    return parts
