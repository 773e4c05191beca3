"""Which heads: the first of an atlas's map, or those that are named.

It does not know what is done to them.
"""

import re

import numpy as np
import xarray as xr

from headatlas._registry import suggest
from headatlas.atlas import methods_of
from headatlas.errors import InputError
from headatlas.interventions.edits import Head

_NAMES = {"whole": ("importance", "q_value"), "specific": ("specific", "q_specific")}


def top_heads(
    atlas: xr.DataTree,
    function: str,
    *,
    k: int | None = None,
    share: float | None = None,
    fdr: float | None = None,
    part: str = "specific",
    method: str | None = None,
) -> tuple[Head, ...]:
    """Return the heads that matter most to a function, the first first.

    Parameters
    ----------
    atlas
        From `measure` or `load_atlas`.
    function
        Its id, e.g. "retrieval".
    k, share, fdr
        One of them: so many heads; so large a share of all; those whose q-value is below it and whose value is above 0.
    part
        "specific": by what a head does for the function beyond its mean over functions. "whole": by its importance.
    method
        A method of the atlas; default the first.

    Raises
    ------
    InputError
        No such function, method or part; none or two of k, share and fdr; more heads than there are.
    """
    if sum(value is not None for value in (k, share, fdr)) != 1:
        raise InputError("Say how many heads by one of k, share and fdr.")
    known = methods_of(atlas)
    name = known[0] if method is None else method
    if name not in known:
        raise InputError(f"The atlas has no method '{name}'.{suggest(name, list(known))}")
    data = atlas[name].to_dataset()
    functions = [str(f) for f in data["function"].values]
    if function not in functions:
        raise InputError(f"The atlas has no function '{function}'.{suggest(function, functions)}")
    if part not in _NAMES:
        raise InputError(f"Unknown part '{part}'. Give specific or whole.")
    values, q = (data[v].sel(function=function).values if v in data else None for v in _NAMES[part])
    if values is None or (fdr is not None and q is None):
        raise InputError(f"The atlas does not say which heads are {part} to a function by {name}. Give another part.")
    flat, heads = np.nan_to_num(values.reshape(-1), nan=-np.inf), values.shape[1]
    order = np.argsort(-flat, kind="stable")
    if fdr is not None and q is not None:
        chosen = [i for i in order if q.reshape(-1)[i] < fdr and flat[i] > 0]
    else:
        n = k if k is not None else max(1, round(float(share or 0) * len(flat)))
        if not 1 <= n <= len(flat):
            raise InputError(f"{n} heads can't be taken of {len(flat)}. Give 1 to {len(flat)}.")
        chosen = list(order[:n])
    return tuple((int(i) // heads, int(i) % heads) for i in chosen)


def parse_heads(text: str) -> tuple[Head, ...]:
    """Return the heads that a text names: "L20H8, L3H5"; raise `InputError` for anything else."""
    found = []
    for word in text.split(","):
        match = re.fullmatch(r"\s*L(\d+)H(\d+)\s*", word, re.IGNORECASE)
        if match is None:
            raise InputError(f"'{word.strip()}' is no head. Write heads as L20H8, with commas.")
        found.append((int(match[1]), int(match[2])))
    return tuple(found)
