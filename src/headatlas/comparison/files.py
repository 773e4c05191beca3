"""A comparison's files: figure, words, page and numbers, each whole or not at all; the numbers last."""

from pathlib import Path

import xarray as xr

from headatlas._files import write_netcdf, write_text
from headatlas.comparison.words import comparison_text
from headatlas.figures import figures, save_figure

NAME = "compare.nc"


def save_comparison(found: xr.Dataset, folder: str | Path) -> list[Path]:
    """Write ``compare.*`` into `folder`; `RunError` where that fails."""
    folder = Path(folder)
    written = [*save_figure(figures.get("comparison")(found), folder / "compare")]
    written.append(write_text(folder / "compare.md", comparison_text(found)))
    written.append(write_netcdf(folder / NAME, found))
    return written
