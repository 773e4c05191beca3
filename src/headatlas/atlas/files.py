"""An atlas in one NetCDF file: saved whole or not at all, loaded only if it is whole.

A method is a group of the file, its samples a group under that; anything that reads NetCDF can open it. The attribute
``complete`` is the completion mark. Files of schema 1 and 2, which are flat, load as trees. This module does not know
what the numbers mean.
"""

from pathlib import Path

import h5netcdf
import xarray as xr
from xarray.backends import H5NetCDFStore

from headatlas._files import write_netcdf
from headatlas.atlas.tree import as_atlas, check_atlas
from headatlas.errors import AtlasError

SCHEMA_VERSION = 3
FLAT = (1, 2)
"""Schemas whose files are one flat Dataset."""


def save_atlas(atlas: xr.DataTree | xr.Dataset, path: str | Path) -> Path:
    """Write `atlas` as one NetCDF file, atomically: either the whole file appears, or the old one stays.

    Raises
    ------
    AtlasError
        It is no atlas.
    RunError
        The disk is full or the folder can't be written.
    """
    tree = as_atlas(atlas).copy()
    tree.attrs = {**tree.attrs, "schema_version": SCHEMA_VERSION, "complete": 1}
    return write_netcdf(path, tree)


def load_atlas(path: str | Path, *, samples: bool = True) -> xr.DataTree:
    """Read an atlas written by `save_atlas` into memory; `path` may be the folder it is in.

    Parameters
    ----------
    path
        The file or its folder.
    samples
        Whether the methods' samples come too; without them a file of ten thousand items loads in half the time, and
        all but `samples_of` works.

    Raises
    ------
    AtlasError
        No such file, not NetCDF, cut short, of another schema version, or without the completion mark.
    """
    path = Path(path)
    path = path / "atlas.nc" if path.is_dir() else path
    if not path.is_file():
        raise AtlasError(f"No atlas at {path}. Make one with: headatlas map --out {path.parent}")
    try:
        atlas = xr.load_datatree(path, engine="h5netcdf") if samples else _without_samples(path)
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(
            f"{path} can't be read as NetCDF ({error}): it is damaged or cut short. Run headatlas map again."
        ) from error
    if atlas.attrs.get("complete") != 1:
        raise AtlasError(
            f"{path} has no completion mark: its run did not end, or it is no atlas. Run headatlas map again."
        )
    version = atlas.attrs.get("schema_version")
    if version in FLAT:
        return as_atlas(atlas.to_dataset(), str(path))
    if version != SCHEMA_VERSION:
        raise AtlasError(
            f"{path} has schema version {version}, this headatlas reads 1 to {SCHEMA_VERSION}. "
            "Run headatlas map again, or install the headatlas that wrote it."
        )
    return check_atlas(atlas, str(path))


def _without_samples(path: Path) -> xr.DataTree:
    """Read the root and the methods' own groups."""
    with h5netcdf.File(path, "r", decode_vlen_strings=True) as file:
        groups = {"/": file, **{f"/{name}": group for name, group in file.groups.items()}}
        return xr.DataTree.from_dict(
            {name: xr.open_dataset(H5NetCDFStore(group)).load() for name, group in groups.items()}
        )
