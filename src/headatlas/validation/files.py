"""A validation's files: numbers, figures and findings, each whole or not at all; the numbers last."""

from pathlib import Path

import xarray as xr

from headatlas._files import write_netcdf, write_text
from headatlas.errors import AtlasError
from headatlas.figures import figures, save_figure
from headatlas.validation.words import markdown

NAME = "validation.nc"


def save_validation(validation: xr.Dataset, folder: Path) -> list[Path]:
    """Write a validation into `folder`: ``dissociation.*``, ``ablation_curves.*``, ``validation.md``, then its numbers.

    Raises
    ------
    RunError
        The folder can't be written, or the disk is full.
    """
    written: list[Path] = []
    for name in ("dissociation", "ablation_curves"):
        written += save_figure(figures.get(name)(validation), folder / name)
    written.append(write_text(folder / "validation.md", markdown(validation)))
    written.append(write_netcdf(folder / NAME, validation))
    return written


def load_validation(path: str | Path) -> xr.Dataset:
    """Read a validation; `path` may be the folder it is in.

    Raises
    ------
    AtlasError
        No such file, or it is no validation.
    """
    path = Path(path) / NAME if Path(path).is_dir() else Path(path)
    try:
        found = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(f"{path} can't be read ({error}). Make one with: headatlas validate ATLAS") from error
    if "effect" not in found:
        raise AtlasError(f"{path} is no validation. Make one with: headatlas validate ATLAS")
    return found
