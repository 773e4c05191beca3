"""Roles once measured: the highest heads, a table, a file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headatlas._files import write_netcdf
from headatlas.errors import AtlasError, InputError
from headatlas.roles.definitions import ROLES

SCHEMA_VERSION = 1


def top_heads(found: xr.Dataset, role: str, k: int = 3) -> list[dict[str, float | int]]:
    """Return the `k` heads with the highest score for `role`: layer, head, value, low, high."""
    if role not in ROLES or role not in found:
        raise InputError(f"No role '{role}' here. Known: {', '.join(name for name in ROLES if name in found)}.")
    values = found[role].values
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), axis=None, kind="stable")[:k]
    cells = [divmod(int(at), values.shape[1]) for at in order if np.isfinite(values.flat[at])]
    return [
        {
            "layer": layer,
            "head": head,
            "value": float(values[layer, head]),
            "low": float(found[f"{role}_low"].values[layer, head]),
            "high": float(found[f"{role}_high"].values[layer, head]),
        }
        for layer, head in cells
    ]


def top_table(found: xr.Dataset, k: int = 3) -> dict[str, Any]:
    """Return every role's definition and its `k` highest heads, and the note, as plain values (for JSON)."""
    about = {"model": json.loads(found.attrs["model"])["name"], "note": found.attrs["note"]}
    rows = {
        name: {
            "title": role.title,
            "definition": role.definition,
            "units": role.units,
            "top": top_heads(found, name, k),
        }
        for name, role in ROLES.items()
        if name in found
    }
    return {**about, "roles": rows}


def roles_text(table: dict[str, Any]) -> str:
    """Return a table of `top_table` as lines: a role's highest heads with their scores and 95% intervals."""
    lines = []
    for row in table["roles"].values():
        places = 1 if row["units"] == "tokens" else 2
        heads = [
            f"L{t['layer']}H{t['head']} {t['value']:.{places}f} [{t['low']:.{places}f}, {t['high']:.{places}f}]"
            for t in row["top"]
        ]
        units = f" ({row['units']})" if row["units"] in ("tokens", "nats") else ""
        lines.append(f"{row['title'] + units:<20} {'  '.join(heads) or 'outside every window'}")
    if table["note"]:
        lines.append(f"Note: {table['note']}.")
    return "\n".join(lines)


def check_new(path: str | Path) -> Path:
    """Return `path`; raise `InputError` if something is there already."""
    path = Path(path)
    if path.exists():
        raise InputError(f"{path} is there already. Give another --out, or move it away.")
    return path


def save_roles(found: xr.Dataset, path: str | Path) -> Path:
    """Write roles as one NetCDF file, atomically.

    Raises
    ------
    InputError
        `path` is there already.
    RunError
        The disk is full or the folder can't be written.
    """
    path = check_new(path)
    return write_netcdf(path, found.assign_attrs(kind="roles", schema_version=SCHEMA_VERSION, complete=1))


def load_roles(path: str | Path) -> xr.Dataset:
    """Read roles written by `save_roles` into memory.

    Raises
    ------
    AtlasError
        No such file, damaged, not roles, or of another schema version.
    """
    path = Path(path)
    if not path.is_file():
        raise AtlasError(f"No roles at {path}. Make them with: headatlas roles MODEL --out {path}")
    try:
        found = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(f"{path} can't be read as NetCDF ({error}). Run headatlas roles again.") from error
    kind = (found.attrs.get("kind"), found.attrs.get("schema_version"), found.attrs.get("complete"))
    if kind != ("roles", SCHEMA_VERSION, 1):
        raise AtlasError(f"{path} holds no roles of schema version {SCHEMA_VERSION}. Run headatlas roles again.")
    return found
