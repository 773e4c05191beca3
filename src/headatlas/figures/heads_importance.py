"""The heads-importance figure: one heatmap a function, head by layer, on one colour scale.

1. Take one method's maps in the figure's order, read with the method's sign (`maps.take_maps`).
2. Choose the colour scale: shared by all panels or one a panel, its upper end a round number; values beyond
   it take the end's colour, the colourbar says so with an arrow and a "+".
3. Draw the panels, layer 0 (the input side) at the bottom as in the published figure, so "up" is "deep". A line
   under a panel's title marks a function that the model does not do (the atlas's ``unable``); one that has no map
   for that is an empty, grey panel.
4. Say under the grid what is drawn: model, method, sign, items, intervals, and what was clipped.

The figure is made for print at its own size (7.2 inches wide for four columns): no text under 7 points. Text
from data is drawn literally, never as mathtext. This module does not know statistics: it draws what it is
given, and the index of a head inside its layer means nothing (the order is arbitrary).
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from headatlas.atlas import absent_functions, as_atlas, method_part, pick_methods, unable_functions
from headatlas.atlas.map_numbers import (
    ALPHA,
    Maps,
    decimals,
    nice,
    specific_heads,
    take_maps,
    value_places,
    write_number,
)
from headatlas.atlas.variables import INTERVAL, LABEL
from headatlas.errors import InputError
from headatlas.figures.frame import FONT, SMALL, STYLE, literal, model_name, say_below
from headatlas.questions.functions import function_title, order_functions
from headatlas.stats.sign import Sign

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TAIL = 0.995
"""Where clipping may start: the quantile of all drawn values."""
HELPS = 3.0
"""Clip only if the largest value is this many times the quantile; else most of the scale would be lost."""
ROUND_OFF = 1.1
"""... or if the largest value is at most a tenth over a round number, which then ends the scale."""
STEPS = (1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
AT_CHANCE = "model at chance"
"""Drawn over the panel of a function that the model does not do."""
ABSENT = "not mapped: the model\ndoes too few of its tasks"
"""Drawn into the grey panel of a function without a map."""
GREY = "0.88"
SIGN_TEXT = {
    "absolute": "absolute values",
    "positive": "positive values (negative ones drawn as 0)",
    "signed": "signed (red supports, blue works against)",
}


@dataclass(frozen=True)
class ColourScale:
    """Where a panel's colours end: `low` to `high`, and which ends have values beyond them."""

    low: float
    high: float
    below: bool
    above: bool

    def beyond(self, shown: Float[np.ndarray, "..."]) -> np.ndarray:
        """Return which values lie beyond the ends (by more than float32 rounds 0.005)."""
        return (shown > self.high + 1e-6 * self.high) | (shown < self.low - 1e-6 * self.high)

    @property
    def extend(self) -> Literal["neither", "min", "max", "both"]:
        """Matplotlib's word for the ends that get an arrow."""
        if self.below:
            return "both" if self.above else "min"
        return "max" if self.above else "neither"

    def ticks(self) -> list[float]:
        """Return evenly spaced ticks with round steps, both ends included."""
        if self.low < 0:
            return [self.low, self.low / 2, 0.0, self.high / 2, self.high]
        for n in (5, 4, 6, 3):
            step = self.high / n
            if abs(nice(step, steps=(1.0, 2.0, 2.5, 5.0), up=True) / step - 1) < 1e-6:
                return [i * step for i in range(n)] + [self.high]
        return [i * self.high / 5 for i in range(5)] + [self.high]

    def labels(self) -> list[str]:
        """Return the ticks' labels; an end with values beyond it says so."""
        ticks = self.ticks()
        places = decimals(ticks, self.high)
        texts = [write_number(t, places) for t in ticks]
        if places is None:
            texts = ["0" if t == 0 else text for t, text in zip(ticks, texts, strict=True)]
        if self.above:
            texts[-1] += "+"
        if self.below:
            texts[0] = "≤ " + texts[0]
        return texts


def choose_scale(shown: Float[np.ndarray, "..."], sign: Sign, clip: float | None) -> ColourScale:
    """Return the colour scale for `shown`; `clip` sets its upper end instead of the rule above."""
    sizes = np.abs(shown)
    largest = float(sizes.max())
    tail = float(np.quantile(sizes, TAIL))
    if clip is not None:
        high = clip
    elif largest == 0:
        high = 1.0
    elif tail > 0 and largest > HELPS * tail:
        high = nice(tail, steps=(1.0, 2.0, 5.0), up=True)
    else:
        below = nice(largest, steps=STEPS, up=False)
        high = below if largest <= ROUND_OFF * below else nice(largest, steps=STEPS, up=True)
    open_scale = ColourScale(-high if sign == "signed" else 0.0, high, False, False)
    beyond = open_scale.beyond(shown)
    return replace(open_scale, below=bool((beyond & (shown < 0)).any()), above=bool((beyond & (shown > 0)).any()))


def index_ticks(n: int) -> list[int]:
    """Return even ticks for an axis of `n` cells: 0 6 12 18 24 for 24 and 28, every cell up to 12."""
    if n <= 12:
        return list(range(n))
    steps = [s * 10**p for p in range(4) for s in (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 64)] + [n]
    exact = [s for k in (4, 5) for s in sorted(set(steps)) if s * k == n]
    step = exact[0] if exact else min(s for s in steps if n / s <= 5)
    return list(range(0, n + 1, step))


def heads_importance(
    atlas: xr.DataTree | xr.Dataset,
    *,
    method: str | None = None,
    sign: str | None = None,
    scale: str = "shared",
    functions: Sequence[str] | None = None,
    clip: float | None = None,
    columns: int | None = None,
) -> "Figure":
    """Draw every function's map of the heads.

    Parameters
    ----------
    atlas
        An atlas, or a flat Dataset of its variables with a dimension ``method``; only ``importance`` is needed.
    method
        Which method to draw; the atlas's first by default.
    sign
        "absolute", "positive" (negative values as 0) or "signed" (diverging colours about zero); by default
        the method's own.
    scale
        "shared": one colour scale and one colourbar; "panel": one each.
    functions
        Which functions, in this order; by default all, in the published figure's order.
    clip
        The scale's upper end, in units of importance. By default a round number: the largest value's, or the
        99.5% quantile's if the largest value is more than three times that quantile.
    columns
        How many panels stand in a row; by default four for eight. Two fit a column of print.

    Returns
    -------
    matplotlib.figure.Figure
        Not attached to pyplot. Save it with `save_figure`.

    Raises
    ------
    InputError
        An unknown method, function, sign or scale, or a clip that is not a positive number.
    AtlasError
        The Dataset is no atlas, or holds no head.
    """
    check_scale(scale, clip)
    if columns is not None and columns < 1:
        raise InputError(f"{columns} panels in a row can't be drawn. Give columns=1 or more.")
    tree = as_atlas(atlas)
    (name, *_) = pick_methods(tree, method)
    maps = take_maps(tree, name, sign=sign, functions=functions)
    part, own = method_part(tree, name), tree[name].attrs
    basis = (items_text(part, maps.functions), _intervals(part, own))
    absent = absent_functions(tree) if functions is None else ()
    specific = specific_heads(part, maps.functions)
    told = verdict(part, maps, specific)
    return draw_maps(
        maps, part, own, scale=scale, clip=clip, basis=basis, absent=absent, outlined=specific, verdict=told,
        columns=columns,
    )  # fmt: skip


def check_scale(scale: str, clip: float | None = None) -> None:
    """Raise `InputError` unless `scale` and `clip` are such as `heads_importance` takes."""
    if scale not in ("shared", "panel"):
        raise InputError(f"Unknown scale '{scale}'. Give 'shared' or 'panel'.")
    if clip is not None and not (np.isfinite(clip) and clip > 0):
        raise InputError(f"A clip of {clip} is no upper end of a scale. Give a positive number, e.g. 0.005.")


def draw_maps(
    maps: Maps,
    part: xr.Dataset,
    own: Mapping[Any, Any],
    *,
    scale: str = "shared",
    clip: float | None = None,
    basis: Sequence[str] = (),
    absent: Sequence[str] = (),
    outlined: Bool[np.ndarray, "function layer head"] | None = None,
    verdict: str = "",
    columns: int | None = None,
) -> "Figure":
    """Draw `maps`, a panel each.

    Parameters
    ----------
    maps
        What is drawn.
    part, own
        Its method's variables and attributes (`atlas.method_part`), for the caption.
    scale, clip
        As in `heads_importance`.
    basis
        What the caption says that they rest on.
    absent
        Functions that get an empty panel, in the figure's order among the others.
    outlined
        Which heads get an outline: those specific to the function.
    verdict
        One line over the grid: what it comes to.
    columns
        Panels in a row.
    """
    import matplotlib
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from headatlas.figures.canvas import Figure

    panels = order_functions([*maps.functions, *absent]) if absent else maps.functions
    if outlined is not None:
        basis = (*basis, f"outlined: heads specific to a function, q < {ALPHA} ({int(outlined.sum())})")
    rows, columns = grid(len(panels)) if columns is None else (-(-len(panels) // columns), columns)
    width, height = figure_size(maps, rows, columns, scale)
    unable = set(unable_functions(part)) - set(absent)
    marked = [f in unable for f in panels]
    height += 0.15 * sum(any(marked[i * columns : (i + 1) * columns]) for i in range(rows))
    n = len(maps.functions)
    scales = (
        [choose_scale(maps.shown, maps.sign, clip)] * n
        if scale == "shared"
        else [choose_scale(one, maps.sign, clip) for one in maps.shown]
    )
    clipped = sum(int(one.beyond(shown).sum()) for one, shown in zip(scales, maps.shown, strict=True))
    caption = [
        line
        for text in caption_parts(part, own, maps, clipped, basis)
        for line in textwrap.wrap(text, max(40, int(width * 18.5)))
    ]
    above = textwrap.wrap(verdict, max(40, int(width * 16.5)))
    with matplotlib.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02)
        figure = Figure(figsize=(width, height + 0.13 * len(caption) + 0.15 * len(above)), layout=layout)
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        _draw_panels(figure, axes, maps, panels, scales, marked, shared=scale == "shared")
        for function, heads in zip(maps.functions, () if outlined is None else outlined, strict=outlined is not None):
            _outline(axes.flat[list(panels).index(function)], heads, maps.sign)
        if above:
            figure.suptitle("\n".join(above), x=0.01, ha="left", fontsize=FONT, parse_math=False)
        say_below(figure, "\n".join(caption))
    return figure


def grid(n: int) -> tuple[int, int]:
    """Return rows and columns for `n` panels: 2 x 4 for eight."""
    columns = n if n <= 4 else 3 if n in (5, 6, 9) else 4 if n <= 16 else 6
    return -(-n // columns), columns


def figure_size(maps: Maps, rows: int, columns: int, scale: str) -> tuple[float, float]:
    """Return width and height in inches, without the caption: panels as tall as their layers ask for."""
    panel = 1.42 if columns <= 4 else 1.15
    if scale == "panel":
        panel += 0.65  # its own colourbar
    ratio = float(np.clip(len(maps.layers) / len(maps.heads), 0.85, 1.45))
    return max(3.4, columns * panel + 1.45), rows * (1.42 * ratio + 0.28) + 0.35


def _draw_panels(
    figure: "Figure",
    axes: np.ndarray,
    maps: Maps,
    panels: Sequence[str],
    scales: Sequence[ColourScale],
    marked: Sequence[bool],
    *,
    shared: bool,
) -> None:
    """Draw each function's panel, hide the places left over, and add the colourbar(s)."""
    n, columns = len(panels), axes.shape[1]
    for axis in axes.flat[n:]:
        axis.set_axis_off()
    image: Any = None
    for at, axis in enumerate(axes.flat[:n]):
        lowest, left = at + columns >= n, at % columns == 0
        width = 17 if columns == 2 and n > 4 else 23 if columns <= 4 else 18
        if panels[at] not in maps.functions:
            _draw_absent(axis, panels[at], width)
            continue
        i = maps.functions.index(panels[at])
        image = _draw_panel(axis, maps, i, scales[i], width=width, marked=marked[at])
        axis.tick_params(labelbottom=lowest, labelleft=left)
        axis.set_xlabel("Head" if lowest else "", fontsize=FONT, labelpad=2)
        axis.set_ylabel("Layer (0 = input side)" if left else "", fontsize=FONT)
        if not shared:
            label = "Heads Importance" if at % columns == columns - 1 or at == n - 1 else ""
            _colourbar(figure, image, axis, scales[i], label, fraction=0.09, aspect=18.0)
    if shared:
        _colourbar(figure, image, list(axes.flat), scales[0], "Heads Importance", fraction=0.035, aspect=36.0)


def verdict(part: xr.Dataset, maps: Maps, specific: Bool[np.ndarray, "function layer head"] | None) -> str:
    """Return in a line what the maps come to, where tasks say it; "" where they don't."""
    if specific is None or "within_similarity" not in part:
        return ""
    counts = {function_title(f): int(heads.sum()) for f, heads in zip(maps.functions, specific, strict=True)}
    own = ", ".join(f"{title} {n}" for title, n in counts.items() if n)
    heads = (
        f"Heads that matter more for one function than for the others: {literal(own, 120)}."
        if own
        else "No head is shown to matter more for one function than for the others."
    )
    within, between, p = (float(part[name]) for name in ("within_similarity", "between_similarity", "within_p"))
    like = "share" if p < ALPHA and within > between else "are not shown to share"
    return (
        f"{heads} Tasks of one function {like} more heads than tasks of different ones "
        f"(similarity {within:.2f} against {between:.2f}, p = {p:.2g})."
    )


def _outline(axis: "Axes", heads: Bool[np.ndarray, "layer head"], sign: Sign) -> None:
    """Draw a frame around each of some heads' cells."""
    from matplotlib.patches import Rectangle

    for layer, head in np.argwhere(heads):
        colour = "black" if sign == "signed" else "white"
        axis.add_patch(Rectangle((head, layer), 1, 1, fill=False, edgecolor=colour, linewidth=0.7))


def _draw_absent(axis: "Axes", function: str, width: int) -> None:
    """Draw the panel of a function without a map."""
    title = "\n".join(textwrap.wrap(panel_title(function), width, max_lines=2, placeholder="…"))
    axis.set_title(title, fontsize=7.5, pad=3, color="0.35", parse_math=False)
    axis.set_facecolor(GREY)
    axis.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)
    axis.text(0.5, 0.5, ABSENT, ha="center", va="center", transform=axis.transAxes, fontsize=SMALL, color="0.35")


def _draw_panel(axis: "Axes", maps: Maps, i: int, scale: ColourScale, *, width: int, marked: bool) -> Any:
    """Draw one function's map. Cell h covers h to h+1, so a tick marks its cell's lower edge.

    A line of the title holds `width` characters.
    """
    n_layers, n_heads = maps.shown.shape[1:]
    image = axis.imshow(
        maps.shown[i],
        origin="lower",
        aspect="auto",
        interpolation="none",
        extent=(0, n_heads, 0, n_layers),
        cmap="RdBu_r" if maps.sign == "signed" else "viridis",
        vmin=scale.low,
        vmax=scale.high,
    )
    title = "\n".join(textwrap.wrap(panel_title(maps.functions[i]), width, max_lines=2, placeholder="…"))
    axis.set_title(title, fontsize=7.5, pad=3 + 1.5 * SMALL * marked, parse_math=False)
    if marked:
        place: dict[str, Any] = {"xy": (0.5, 1), "xytext": (0, 3), "ha": "center", "va": "bottom"}
        look: dict[str, Any] = {"fontsize": SMALL, "style": "italic", "color": "0.35"}
        axis.annotate(AT_CHANCE, xycoords="axes fraction", textcoords="offset points", **place, **look)
    for one, own in ((axis.xaxis, maps.heads), (axis.yaxis, maps.layers)):
        ticks = index_ticks(len(own))
        middle = 0.5 if len(own) <= 12 else 0.0  # few cells: each tick sits on its cell's middle
        labels = [str(own[t] if t < len(own) else own[-1] + 1) for t in ticks]
        one.set_ticks([t + middle for t in ticks], labels)
    axis.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2)
    return image


def panel_title(function: str) -> str:
    """Return a panel's title."""
    return literal(function_title(function), 46)


def _colourbar(
    figure: "Figure", image: Any, axes: Any, scale: ColourScale, label: str, *, fraction: float, aspect: float
) -> None:
    """Add a colourbar whose labels never all read as zero."""
    bar = figure.colorbar(
        image, ax=axes, extend=scale.extend, extendfrac=0.04, fraction=fraction, aspect=aspect, pad=0.02
    )
    bar.set_ticks(scale.ticks(), labels=scale.labels())
    bar.ax.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2)
    bar.outline.set_linewidth(0.6)
    if label:
        bar.set_label(label, fontsize=FONT)


def caption_parts(
    part: xr.Dataset, own: Mapping[Any, Any], maps: Maps, clipped: int, basis: Sequence[str]
) -> list[str]:
    """Return what the figure says about itself: what is drawn, how to read it, what is clipped."""
    label = own.get(LABEL, "")
    what = [
        f"Model: {model_name(part)}",
        f"{len(maps.layers)} layers x {len(maps.heads)} heads",
        f"method: {literal(maps.method)}" + (f" ({literal(label)})" if label else ""),
        SIGN_TEXT[maps.sign] if maps.sign != "positive" or (maps.values < 0).any() else "no value negative",
        *basis,
    ]
    sizes = np.abs(maps.shown)
    i, layer, head = (int(j) for j in np.unravel_index(int(sizes.argmax()), sizes.shape))
    value = float(maps.shown[i, layer, head])
    text = write_number(value, value_places(abs(value))) if value else "all values are zero"
    read = [f"Strongest value: {text} ({maps.head_name(layer, head)}, {panel_title(maps.functions[i])})"]
    if clipped:
        read.append(f"{clipped} of {sizes.size} values beyond the colour scale")
    read.append("head order inside a layer is arbitrary")
    parts = ["; ".join(what) + ".", "; ".join(read) + "."]
    if set(unable_functions(part)) & set(maps.functions):
        parts.append(f'"{AT_CHANCE}": it does not do this, as far as these items show (right answer against a foil).')
    return parts


def items_text(part: xr.Dataset, functions: Sequence[str]) -> str:
    """Return how many items the maps rest on."""
    if "n_items" not in part:
        return "number of items not in this atlas"
    counts = [int(part["n_items"].sel(function=f)) for f in functions]
    spread = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"{sum(counts)} items ({spread} a function)"


def _intervals(part: xr.Dataset, own: Mapping[Any, Any]) -> str:
    """Return which intervals the atlas holds for what is drawn."""
    if "ci_low" not in part or not np.isfinite(part["ci_low"]).any():
        return "no intervals in this atlas"
    kind = own.get(INTERVAL) or part["ci_low"].attrs.get("interval") or "95% bootstrap over main questions and refits"
    return f"intervals in the atlas: {literal(kind, 160)}"
