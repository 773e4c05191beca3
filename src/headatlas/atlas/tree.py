"""The atlas as a tree: what all methods share at its root, one child a method, a method's samples under it.

    atlas["ablation"]["importance"].sel(function="retrieval")      (layer, head)
    atlas["ablation/samples"]["importance"]                        (sample, layer, head), with sample_function, group, …
    atlas["answer_accuracy"]                                       (function,)

1. `as_atlas` takes such a tree, or a flat Dataset with a dimension ``method`` (an atlas made by hand, or a file of
   schema 1 or 2), and returns the tree, checked.
2. `method_part` gives one method's variables beside those of the root: all that a figure or a sentence reads.

A child says of its method what a reader needs to know (its ``sign``, ``label``, ``kind``): readers look nothing up.
Variables that a method has no numbers for are absent, not NaN. This module does not know how any number was computed.
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from headatlas._registry import suggest
from headatlas.atlas.variables import ABLATES, KIND, LABEL, SCHEMA, SIGN, about
from headatlas.errors import AtlasError, InputError
from headatlas.questions.functions import order_functions
from headatlas.stats.sign import SIGNS, Sign

SAMPLES = "samples"
"""Name of the node under a method that holds its samples."""
ROOT_LABELS = ("function", "item")
"""Dimensions of the root whose names samples have as labels."""

BEFORE = {
    "probe": ("absolute", "mean gradient x projection", "activations"),
    "linear_probe": ("positive", "selectivity (hits minus false alarms, above control)", "activations"),
    "ablation": ("signed", "drop in the answer's log-probability, nats a token", "model"),
    "ablation_zero": ("signed", "drop in the answer's log-probability, nats a token", "model"),
    "ablation_resample": ("signed", "drop in the answer's log-probability, nats a token", "model"),
    "attribution": ("signed", "estimated drop in the answer's log-probability, nats a token", "model"),
    "integrated_gradients": ("signed", "share of the drop in the answer's log-probability, nats a token", "model"),
    "gate_gradient": ("absolute", "gradient of the answer's log-probability by the head's gate, nats a token", "model"),
    "head_gating": ("signed", "facilitation minus interference", "model"),
    "dla": ("signed", "direct contribution to the answer's logit", "model"),
}  # fmt: skip
"""What files of schema 1 and 2 do not say of their methods: sign, label and kind, as they were then."""


def as_atlas(atlas: xr.DataTree | xr.Dataset, where: str = "this Dataset") -> xr.DataTree:
    """Return the tree of an atlas, checked.

    Parameters
    ----------
    atlas
        A tree, or a flat Dataset whose variables have a dimension ``method``.
    where
        What to call it in an error.

    Raises
    ------
    AtlasError
        It is no atlas: `where`, the variable, what was found and what was expected.
    """
    if isinstance(atlas, xr.DataTree):
        return check_atlas(atlas, where)
    return _from_flat(_check_flat(atlas, where), where)


def check_atlas(atlas: xr.DataTree | xr.Dataset, where: str = "this atlas") -> xr.DataTree:
    """Return `atlas` as a tree if it has the table's variables, dimensions and finite importance; raise if not.

    Raises
    ------
    AtlasError
        Naming `where`, the variable, what was found and what was expected.
    """
    if isinstance(atlas, xr.Dataset):
        return as_atlas(atlas, where)
    if not atlas.children:
        found = ", ".join(map(str, atlas.data_vars)) or "none"
        raise AtlasError(f"{where} is no atlas: it has no method with a variable 'importance' (found: {found}).")
    _check_dims(atlas.to_dataset(inherit=False), where)
    for name, child in atlas.children.items():
        part = child.to_dataset()
        inside = f"{where}, method '{name}'"
        if "importance" not in part:
            found = ", ".join(map(str, part.data_vars)) or "none"
            raise AtlasError(f"{inside}: it has no variable 'importance' (found: {found}).")
        _check_dims(part, inside)
        _check_finite(part, inside)
        _unique(part, inside)
    return atlas


def _check_flat(atlas: xr.Dataset, where: str) -> xr.Dataset:
    """Refuse a flat Dataset that no tree can be made of."""
    if "importance" not in atlas:
        found = ", ".join(map(str, atlas.data_vars)) or "none"
        raise AtlasError(f"{where} is no atlas: it has no variable 'importance' (found: {found}).")
    for name, variable in SCHEMA.items():
        own = ("method",) if variable.where == "method" else ()
        expected = (*own, *variable.dims)
        if "one_method" in expected and name in atlas and "one_method" not in atlas[name].dims:  # before schema 3
            expected = tuple("method" if dim == "one_method" else dim for dim in expected)
        if name in atlas and set(atlas[name].dims) != set(expected):
            raise AtlasError(
                f"{where}: '{name}' has dimensions {atlas[name].dims}, expected {expected}. "
                "Rename them with Dataset.rename."
            )
    for dim in ("method", "function", "control"):
        if dim in atlas.dims and dim not in atlas.coords:
            raise AtlasError(f"{where}: dimension '{dim}' has no labels. Add them with Dataset.assign_coords.")
    if not atlas.sizes["method"]:
        raise AtlasError("This atlas holds no method: importance is empty along 'method'.")
    _check_finite(atlas, where)
    return atlas


def _check_dims(part: xr.Dataset, where: str) -> None:
    for name, variable in SCHEMA.items():
        found = part.variables.get(name) if name in part.data_vars else None
        if found is not None and set(found.dims) != set(variable.dims):
            raise AtlasError(
                f"{where}: '{name}' has dimensions {found.dims}, expected {variable.dims}. "
                "Rename them with Dataset.rename."
            )
    for dim in ("function", "control"):
        if dim in part.dims and dim not in part.coords:
            raise AtlasError(f"{where}: dimension '{dim}' has no labels. Add them with Dataset.assign_coords.")


def _check_finite(part: xr.Dataset, where: str) -> None:
    bad = int((~np.isfinite(part["importance"].values)).sum())
    if bad:
        raise AtlasError(f"{where}: importance holds {bad} values that are NaN or infinite; every head needs a number.")


def _unique(part: xr.Dataset, where: str) -> None:
    names = [str(f) for f in np.atleast_1d(part["function"].values)]
    if len(set(names)) < len(names):
        raise AtlasError(f"{where[:1].upper()}{where[1:]} names a function twice. Give each its own label.")


def _from_flat(flat: xr.Dataset, where: str) -> xr.DataTree:
    """Return the tree of a flat Dataset: what has the dimension ``method`` goes into each method's child."""
    _unique(flat, where)
    names = [str(m) for m in flat["method"].values]
    own = [n for n in flat.data_vars if "method" in flat[n].dims and "other_method" not in flat[n].dims]
    root = flat.drop_vars(own)
    old = any("method" in root[n].dims for n in root.data_vars)  # agreement, as it was named before schema 3
    root = root.rename(method="one_method") if old else root.drop_vars("method")
    notes, parameters = (provenance(flat, name) or {} for name in ("notes", "parameters"))
    nodes: dict[str, xr.Dataset] = {"/": root}
    for at, name in enumerate(names):
        part = flat[own].isel(method=at).drop_vars(["method", "one_method", "other_method"], errors="ignore")
        # nothing but NaN: another method's
        empty = [n for n in part.data_vars if part[n].dtype.kind == "f" and part[n].size and part[n].isnull().all()]
        part = part.drop_vars(empty)
        shared = {n: c for n, c in part.coords.items() if n in root.coords}
        part = part.drop_vars(shared)
        sign, label, kind = BEFORE.get(name, ("", "", ""))
        part.attrs = {
            SIGN: sign or _sign_of(flat, name, part),
            LABEL: label,
            KIND: kind,
            ABLATES: int(name.startswith("ablation")),
            "notes": json.dumps(notes.get(name, {})) if isinstance(notes, dict) else "{}",
            "settings": json.dumps(parameters.get(name, {})) if isinstance(parameters, dict) else "{}",
        }
        if "ci_low" in part and (kept := part["ci_low"].attrs.get("interval")):
            part.attrs["interval"] = kept
        nodes[f"/{_node(name)}"] = part
    return xr.DataTree.from_dict(nodes)


def _node(name: str) -> str:
    """Return a name that a node of a tree can have."""
    return name.replace("/", "-") or "unnamed"


def _sign_of(flat: xr.Dataset, method: str, part: xr.Dataset) -> Sign:
    """Return the sign that the attribute ``default_sign`` gives ({method: sign}, or a sign), else what values say."""
    kept: Any = provenance(flat, "default_sign")
    kept = kept.get(method) if isinstance(kept, dict) else kept
    for sign in SIGNS:
        if kept == sign:
            return sign
    return "signed" if bool((part["importance"] < 0).any()) else "positive"


# -- reading ----------------------------------------------------------------------------------------------------


def methods_of(atlas: xr.DataTree) -> tuple[str, ...]:
    """Return the names of the atlas's methods, in the order in which they were run."""
    return tuple(str(name) for name in atlas.children)


def pick_methods(atlas: xr.DataTree, method: str | None) -> tuple[str, ...]:
    """Return the atlas's methods, or just `method`; raise `InputError` if the atlas has no such method."""
    names = methods_of(atlas)
    if method is None:
        return names
    if method not in names:
        raise InputError(f"This atlas has no method '{method}'.{suggest(method, list(names))}")
    return (method,)


def method_part(atlas: xr.DataTree, method: str) -> xr.Dataset:
    """Return one method's variables beside those of the root, the agreement with other methods among them.

    Attributes are the root's; the method's own are in ``atlas[method].attrs``.
    """
    root = atlas.to_dataset(inherit=False)
    if "one_method" in root.dims:
        there = [str(m) for m in root["one_method"].values]
        root = root.isel(one_method=there.index(method)) if method in there else root.drop_dims("one_method")
    own = atlas[method].to_dataset().drop_vars("one_method", errors="ignore")
    return xr.merge([own, root.drop_vars("one_method", errors="ignore")], combine_attrs="drop").assign_attrs(root.attrs)


def as_samples(samples: xr.Dataset) -> xr.Dataset:
    """Return a method's samples as their node holds them: labels that the root's dimensions are named like get another
    name there (``sample_function``, ``sample_item``), since a node can't have two things of one name.
    """
    return samples.rename({name: f"sample_{name}" for name in ROOT_LABELS if name in samples.coords})


def samples_of(atlas: xr.DataTree, method: str) -> xr.Dataset:
    """Return a method's samples as the method gave them, for `stats.reduce` or whatever else is made of them."""
    pick_methods(atlas, method)
    if SAMPLES not in atlas[method].children:
        raise InputError(
            f"This atlas holds no samples of '{method}': it was made by an earlier headatlas or by hand, or loaded "
            "without them."
        )
    found = atlas[method].children[SAMPLES].to_dataset(inherit=False)
    return found.rename({f"sample_{name}": name for name in ROOT_LABELS if f"sample_{name}" in found.coords})


def described(part: xr.Dataset, more: Iterable[tuple[str, str]] = ()) -> xr.Dataset:
    """Give variables the names and units that a notebook shows; `more` names variables that the table has not."""
    extra = dict(more)
    for name in map(str, part.variables):
        text = about(name) or ({"long_name": extra[name]} if name in extra else {})
        part[name].attrs |= text
    return part


def unable_functions(atlas: xr.DataTree | xr.Dataset) -> tuple[str, ...]:
    """Return the functions that the model does not do, in the figure's order: those that ``unable`` marks, and those
    that were asked and have no map.
    """
    root = atlas.to_dataset() if isinstance(atlas, xr.DataTree) else atlas
    functions = [str(f) for f in np.atleast_1d(root["function"].values)] if "function" in root.coords else []
    flags = np.atleast_1d(root["unable"].values).astype(bool) if "unable" in root else [False] * len(functions)
    asked = [str(f) for f in root["asked_function"].values] if "asked_function" in root else []
    found = {f for f, flag in zip(functions, flags, strict=True) if flag} | (set(asked) - set(functions))
    return tuple(f for f in order_functions([*functions, *asked]) if f in found) if found else ()


def absent_functions(atlas: xr.DataTree | xr.Dataset) -> tuple[str, ...]:
    """Return the functions that were asked and have no map, because the model does too few of their tasks."""
    root = atlas.to_dataset() if isinstance(atlas, xr.DataTree) else atlas
    there = {str(f) for f in np.atleast_1d(root["function"].values)}
    return tuple(f for f in unable_functions(atlas) if f not in there)


def provenance(atlas: xr.DataTree | xr.Dataset, name: str, default: Any = None) -> Any:
    """Return a provenance provenance, decoding the JSON that structured values are kept as."""
    value = atlas.attrs.get(name, default)
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def model_facts(atlas: xr.DataTree | xr.Dataset) -> dict[str, Any]:
    """Return what an atlas (or what lies beside it) says of its model: name, weights, …; {} where it says nothing."""
    facts = provenance(atlas, "model")
    return facts if isinstance(facts, dict) else {"name": facts} if facts else {}


def check_weights(atlas: xr.DataTree, name: str, digest: str) -> None:
    """Raise `InputError` where an atlas is of other weights than those of the model of this name and digest."""
    made = model_facts(atlas)
    if made.get("weights") != digest:
        raise InputError(
            f"The atlas is of {made.get('name', 'a model that it does not name')}, and the model is {name}: other "
            "weights. Give that model, or --force to test these heads on this one."
        )
