"""Which heads an experiment edits, and how: the first and last of an atlas's map, and random ones."""

from collections.abc import Collection, Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas._registry import suggest
from headatlas.atlas import methods_of
from headatlas.errors import InputError
from headatlas.interventions import top_heads
from headatlas.interventions.edits import Head, Intervention, Mask, Mean, Scale
from headatlas.models.head_model import HeadModel

PUBLISHED = 1e-4
"""What the published masking multiplies z by."""
BY = ("mean", "zero", "scale")


def method_of(atlas: xr.DataTree, method: str | None) -> str:
    """Return the method of an atlas that is named, else its first; raise `InputError` where it has no such one."""
    known = methods_of(atlas)
    name = method or known[0]
    if name not in known:
        raise InputError(f"The atlas has no method '{name}'.{suggest(name, list(known))}")
    return name


def functions_of(atlas: xr.DataTree, method: str) -> list[str]:
    """Return the functions that a method of an atlas has maps of."""
    return [str(f) for f in atlas[method].to_dataset()["function"].values]


def low_heads(atlas: xr.DataTree, function: str, k: int, *, method: str | None = None) -> tuple[Head, ...]:
    """Return the heads that matter least to a function: those whose importance is nearest 0."""
    data = atlas[method_of(atlas, method)].to_dataset()
    values = np.abs(data["importance"].sel(function=function).values)
    order = np.argsort(np.nan_to_num(values.reshape(-1), nan=np.inf), kind="stable")[:k]
    return tuple((int(i) // values.shape[1], int(i) % values.shape[1]) for i in order)


def random_heads(model: HeadModel, k: int, taken: Collection[Head], draw: np.random.Generator) -> tuple[Head, ...]:
    """Return `k` heads drawn from all that are not `taken`.

    Raises
    ------
    InputError
        There are not so many.
    """
    free = [(a, b) for a in range(model.n_layers) for b in range(model.n_heads) if (a, b) not in set(taken)]
    if len(free) < k:
        raise InputError(f"{k} random heads can't be drawn from {len(free)} that are left. Give a smaller --k.")
    return tuple(sorted(free[i] for i in draw.choice(len(free), k, replace=False)))


def removed(
    heads: Sequence[Head],
    by: str,
    mean: Float[np.ndarray, "layer head head_dim"] | None,
    positions: str,
) -> Intervention:
    """Return what takes heads away: their mean in their place, nothing, or z times `PUBLISHED`."""
    check_by(by)
    if by == "mean":
        assert mean is not None, "a mean is needed"
        return Mean.of(heads, mean, positions=positions)
    return (
        Mask(tuple(heads), positions=positions) if by == "zero" else Scale(tuple(heads), PUBLISHED, positions=positions)
    )


def check_by(by: str) -> None:
    """Raise `InputError` for an unknown way to take heads away."""
    if by not in BY:
        raise InputError(f"Unknown --by '{by}'. Give one of: {', '.join(BY)}.")


def first_heads(atlas: xr.DataTree, function: str, k: int, *, part: str, method: str | None) -> tuple[Head, ...]:
    """Return the first `k` heads of a function's map; `part`: "whole" or "specific"."""
    return top_heads(atlas, function, k=k, part=part, method=method)
