"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from headatlas.errors import RunError

if TYPE_CHECKING:
    import xarray as xr


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes `path` when the block ends well, and is removed when it does not.

    Raises
    ------
    RunError
        The disk is full or the folder can't be written; what stood at `path` before still stands.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise RunError(f"Can't write {path}: {error.strerror or error}. Free space, or give another folder.") from error
    finally:
        with suppress(OSError):  # no folder, no partial file in it
            partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write `text` (UTF-8) to `path` atomically; raises `RunError` as `atomic` does."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")
    return Path(path)


def write_netcdf(path: str | Path, dataset: "xr.Dataset | xr.DataTree") -> Path:
    """Write a Dataset or a tree of them to `path` as NetCDF atomically; raises `RunError` as `atomic` does."""
    # Made in memory: on a full disk the HDF5 library leaves a broken handle that crashes the process.
    content = dataset.to_netcdf(engine="h5netcdf")
    with atomic(path) as partial:
        partial.write_bytes(content)
    return Path(path)
