"""An atlas as one long table: a row a method, function and head."""

from pathlib import Path

import pandas as pd
import xarray as xr

from headatlas._files import write_text
from headatlas.atlas.tree import as_atlas, methods_of
from headatlas.atlas.variables import HEADS


def to_frame(atlas: xr.DataTree | xr.Dataset, path: str | Path | None = None) -> pd.DataFrame:
    """Return an atlas as a tidy table, and write it as CSV if a path is given.

    Parameters
    ----------
    atlas
        An atlas.
    path
        Where to write it, atomically.

    Returns
    -------
    pandas.DataFrame
        Columns ``method``, ``function``, ``layer``, ``head`` and every variable over heads that some method has
        (``importance``, ``ci_low``, ``q_specific``, ...); NaN where a method has none.

    Raises
    ------
    AtlasError
        It is no atlas.
    RunError
        The file can't be written.
    """
    tree = as_atlas(atlas)
    parts = []
    for name in methods_of(tree):
        part = tree[name].to_dataset()
        own = part[[v for v in part.data_vars if set(part[v].dims) == set(HEADS)]]
        labels = {dim: range(own.sizes[dim]) for dim in HEADS if dim not in own.coords}
        rows = own.assign_coords(labels).transpose(*HEADS).to_dataframe().reset_index()
        rows = rows[[*HEADS, *(str(v) for v in own.data_vars)]]
        rows.insert(0, "method", name)
        parts.append(rows)
    frame = pd.concat(parts, ignore_index=True)
    if path is not None:
        write_text(path, frame.to_csv(index=False))
    return frame
