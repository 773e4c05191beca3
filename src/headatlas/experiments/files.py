"""An experiment's files: numbers, figure and report, each whole or not at all; the numbers last."""

from pathlib import Path

import xarray as xr

from headatlas._files import write_netcdf, write_text
from headatlas.errors import AtlasError
from headatlas.experiments.words import markdown
from headatlas.figures import figures, save_figure


def save_experiment(found: xr.Dataset, folder: Path) -> list[Path]:
    """Write ``NAME.png``, ``.pdf``, ``.svg``, ``.md`` and ``.nc`` into `folder`, NAME being the experiment's.

    Raises
    ------
    RunError
        The folder can't be written, or the disk is full.
    """
    name = str(found.attrs["experiment"])
    written = [*save_figure(figures.get("experiment")(found), folder / name)]
    written.append(write_text(folder / f"{name}.md", markdown(found)))
    written.append(write_netcdf(folder / f"{name}.nc", _plain(found)))
    return written


def _plain(found: xr.Dataset) -> xr.Dataset:
    """Return it with numbers for truth values, which NetCDF has not."""
    return found.assign({name: values.astype("int8") for name, values in found.items() if values.dtype == bool})


def load_experiment(path: str | Path) -> xr.Dataset:
    """Read what `save_experiment` wrote.

    Raises
    ------
    AtlasError
        No such file, or it is no experiment's.
    """
    try:
        found = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(f"{path} can't be read ({error}). Make one with: headatlas experiment") from error
    if "experiment" not in found.attrs:
        raise AtlasError(f"{path} is no experiment's. Make one with: headatlas experiment")
    return found
