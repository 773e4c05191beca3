"""What figures have in common: their style, text from data drawn literally, and how they are saved.

A figure looks the same under any settings of the user's, and saves to the same bytes each time.
"""

import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from headatlas._files import atomic, write_text
from headatlas._registry import suggest
from headatlas.atlas import provenance
from headatlas.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT, SMALL = 8.0, 7.0
STYLE = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so a figure looks the same everywhere
    "font.size": FONT,
    "text.usetex": False,
    "axes.linewidth": 0.6,
    "axes.unicode_minus": False,
    "axes.grid": False,
    "image.cmap": "viridis",
    "svg.hashsalt": "headatlas",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # journals refuse Type 3
}
"""Settings the figure is built and saved under, so that a user's own style moves nothing."""


def literal(text: object, width: int = 60) -> str:
    """Return text from data as one line that can be drawn: no control characters, no lone surrogates."""
    clean = str(text).encode("utf-8", "replace").decode("utf-8")
    clean = "".join(" " if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in clean)
    clean = " ".join(clean.split())
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def model_name(atlas: xr.DataTree | xr.Dataset) -> str:
    """Return the model's name from the atlas's provenance."""
    model: Any = provenance(atlas, "model")
    if isinstance(model, dict):
        model = next((model[k] for k in ("name", "id", "model") if model.get(k)), None)
    return literal(model) if model else "not named in this atlas"


COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#777777", "#EE8866", "#44BB99", "#222222")
"""Of functions and models: told apart with any colour vision (Tol's bright palette and two of his light one)."""


def say_below(figure: "Figure", text: str) -> None:
    """Write under a figure what it says of itself (`caption_of` reads it)."""
    figure.supxlabel(text, x=0.01, ha="left", fontsize=SMALL, color="0.35", parse_math=False)


WIDTHS = {"column": 3.35, "text": 6.9, "slide": 10.0}
"""Styles for print: widths in inches of a column, of a page's text, and of a slide."""


def caption_of(figure: "Figure") -> str:
    """Return what a figure says of itself over and under its panels, as running text."""
    parts = [figure.get_suptitle(), figure.get_supxlabel()]
    return " ".join(" ".join(part.split()) for part in parts if part)


def sized(figure: "Figure", style: str) -> "Figure":
    """Bring a figure to a width for print; what it says of itself is taken out, for the caption.

    Raises
    ------
    InputError
        An unknown style.
    """
    if style not in WIDTHS:
        raise InputError(f"Unknown style '{style}'.{suggest(style, list(WIDTHS))}")
    for part in (figure._suptitle, figure._supxlabel):  # type: ignore[attr-defined]  # public setters keep the room
        if part is not None:
            part.set_text("")
            part.set_in_layout(False)
    width, height = figure.get_size_inches()
    figure.set_size_inches(WIDTHS[style], height * max(0.7, WIDTHS[style] / width))
    return figure


def save_figure(
    figure: "Figure",
    path_stem: str | Path,
    formats: Iterable[str] = ("png", "pdf", "svg"),
    *,
    style: str | None = None,
    caption: bool = False,
) -> tuple[Path, ...]:
    """Write `figure` as ``<path_stem>.<format>`` for each format, atomically; the same bytes each time.

    Parameters
    ----------
    figure
        What one of the figures returned.
    path_stem
        Path without ending.
    formats
        Endings that matplotlib knows.
    style
        "column", "text" or "slide": bring it to that width (`WIDTHS`), its caption out of the picture.
    caption
        Also write what the figure says of itself as ``<path_stem>.txt``; with a style always.

    Raises
    ------
    InputError
        A format that matplotlib can't write, or an unknown style.
    RunError
        The folder can't be written, or the disk is full.
    """
    formats, stem, paths = tuple(formats), Path(path_stem), []
    known = figure.canvas.get_supported_filetypes()
    for kind in formats:
        if kind not in known:
            raise InputError(f"Can't save a figure as '{kind}'. Known: {', '.join(sorted(known))}.")
    told = caption_of(figure)
    if style is not None:
        sized(figure, style)
    for kind in formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        with atomic(path) as partial:
            _write(figure, partial, kind)
        paths.append(path)
    if told and (caption or style is not None):
        paths.append(write_text(stem.with_name(f"{stem.name}.txt"), told + "\n"))
    return tuple(paths)


def _write(figure: "Figure", path: Path, kind: str) -> None:
    """Write one file, without dates or random ids."""
    import matplotlib

    undated: dict[str, dict[str, str | None]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": "headatlas"},
        "pdf": {"CreationDate": None, "Creator": "headatlas", "Producer": None},
    }
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # a label in a script that DejaVu lacks is drawn as boxes, not refused
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(path, format=kind, dpi=300, metadata=undated.get(kind))
