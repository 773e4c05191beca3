"""What figures have in common: their style, text from data drawn literally, and how they are saved.

A figure looks the same under any settings of the user's, and saves to the same bytes each time.
"""

import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from headatlas._files import atomic
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


def save_figure(
    figure: "Figure", path_stem: str | Path, formats: Iterable[str] = ("png", "pdf", "svg")
) -> tuple[Path, ...]:
    """Write `figure` as ``<path_stem>.<format>`` for each format, atomically; the same bytes each time.

    Raises
    ------
    InputError
        A format that matplotlib can't write.
    RunError
        The folder can't be written, or the disk is full.
    """
    formats, stem, paths = tuple(formats), Path(path_stem), []
    known = figure.canvas.get_supported_filetypes()
    for kind in formats:
        if kind not in known:
            raise InputError(f"Can't save a figure as '{kind}'. Known: {', '.join(sorted(known))}.")
    for kind in formats:
        path = stem.with_name(f"{stem.name}.{kind}")
        with atomic(path) as partial:
            _write(figure, partial, kind)
        paths.append(path)
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
