"""The atlas: one xarray.Dataset per run, its schema, and how it is saved and loaded.

Dimensions: method, function, layer, head (query heads, 0-indexed; layer 0 is the input side; the order of
heads inside a layer is arbitrary), and control.

Variables (``SCHEMA``). Required:

- ``importance(method, function, layer, head)``: mean importance over items, signed where a sign exists.

Written by every measured run (``stats.reduce``, ``measure``), absent from arrays made by hand:

- ``ci_low``, ``ci_high``: 95% bootstrap interval of importance, resampling main questions and refits.
- ``p_value``, ``q_value``: against the method's null; q by Benjamini-Hochberg over the heads of a function.
- ``rank``: 1 = most important, by the method's default sign.
- ``layer_share(method, function, layer)``: a layer's share of the map's mass (|importance|, or its positive
  part, by the method's default sign), with ``layer_share_low/high``.
- ``depth(method, function)``: centre of that mass, 0 = first layer, 1 = last, with ``depth_low/high``.
- ``similarity(method, function, other_function)``: Spearman correlation of two maps over heads, with
  ``similarity_low/high``.
- ``reliability(method, function)``: split-half rank correlation of the map, Spearman-Brown corrected.
- ``probe_accuracy(method, function)`` and ``probe_accuracy_overall(method)`` with ``_low/_high``: held-out;
  NaN for methods that predict no function.
- ``control_accuracy(control, function)``, ``control_accuracy_overall(control)`` with ``_low/_high``: held-out;
  what tells the functions apart from the questions' surface (``controls.CONTROLS``); NaN for a control that
  has nothing to read.
- ``excess(method, control)`` with ``_low/_high``: probe minus control accuracy, paired by item.
- ``answer_logprob(function)``: mean log-probability a token of the reference answer, nats.
- ``answer_accuracy(function)`` with ``_low/_high``: share of items in which the model finds the reference
  answer likelier, a token, than a foil (another passage's answer to a like question); chance is 0.5.
- ``unable(function)``: whether that interval includes or lies below chance: the model does not do this. False
  where nothing was compared.
- ``answer_exact(function)``: share of items whose whole reference answer is the model's own, greedy answer.
- ``n_items(function)``: how many items.
- ``n_units(method, function)``: on how many units the intervals rest: tasks where they are named, else main questions
  (or, for a method that fits parts of the items, those parts).
- ``general(method, layer, head)``, ``specific(method, function, layer, head)``: the part of a map that all functions
  share, and each function's own; ``general_share``, ``specific_share`` (of the reproducible variance), ``noise_share``
  (method) with ``_low/_high``; ``specific_reliability``, ``items_needed`` (method, function); ``q_general``,
  ``q_specific`` (`stats.split`).
- ``agreement``, ``agreement_top`` (method, other_method, function): Spearman correlation of two methods' maps over
  heads, and the share of their top heads that they have in common (by chance: ``agreement_chance``).
- ``total``, ``kl``, ``logit_diff`` (method, function, layer, head): what ablation reads beside its importance
  (`methods.ablation`); ``magnitude``: the unsigned gradient of a gate; ``facilitation``, ``interference``,
  ``irrelevance``: of fitted gates (`methods.gates`). NaN for other methods.

To select by name write ``.sel({"method": "ablation"})``: ``.sel(method="ablation")`` sets an argument of xarray's own
and selects nothing.

Attributes hold provenance (``PROVENANCE``), one JSON string per structured value, and the completion mark
``complete = 1``, which `save_atlas` writes last.

This module does not know how any number was computed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headatlas._files import write_netcdf
from headatlas.errors import AtlasError

SCHEMA_VERSION = 2
CHANCE = 0.5
"""`answer_accuracy` of a model that can't do a function."""
DIMS = ("method", "function", "layer", "head")
SCHEMA: dict[str, tuple[str, ...]] = {
    "importance": DIMS,
    "ci_low": DIMS,
    "ci_high": DIMS,
    "p_value": DIMS,
    "q_value": DIMS,
    "rank": DIMS,
    "layer_share": ("method", "function", "layer"),
    "layer_share_low": ("method", "function", "layer"),
    "layer_share_high": ("method", "function", "layer"),
    "depth": ("method", "function"),
    "depth_low": ("method", "function"),
    "depth_high": ("method", "function"),
    "similarity": ("method", "function", "other_function"),
    "similarity_low": ("method", "function", "other_function"),
    "similarity_high": ("method", "function", "other_function"),
    "reliability": ("method", "function"),
    "n_units": ("method", "function"),
    "probe_accuracy": ("method", "function"),
    "probe_accuracy_low": ("method", "function"),
    "probe_accuracy_high": ("method", "function"),
    "probe_accuracy_overall": ("method",),
    "probe_accuracy_overall_low": ("method",),
    "probe_accuracy_overall_high": ("method",),
    "control_accuracy": ("control", "function"),
    "control_accuracy_low": ("control", "function"),
    "control_accuracy_high": ("control", "function"),
    "control_accuracy_overall": ("control",),
    "control_accuracy_overall_low": ("control",),
    "control_accuracy_overall_high": ("control",),
    "excess": ("method", "control"),
    "excess_low": ("method", "control"),
    "excess_high": ("method", "control"),
    "answer_logprob": ("function",),
    "answer_accuracy": ("function",),
    "answer_accuracy_low": ("function",),
    "answer_accuracy_high": ("function",),
    "unable": ("function",),
    "answer_exact": ("function",),
    "n_items": ("function",),
    "general": ("method", "layer", "head"),
    "specific": DIMS,
    **{f"{name}_share{end}": ("method",) for name in ("general", "specific", "noise") for end in ("", "_low", "_high")},
    "specific_reliability": ("method", "function"),
    "items_needed": ("method", "function"),
    "q_general": ("method", "layer", "head"),
    "q_specific": DIMS,
    "agreement": ("method", "other_method", "function"),
    "agreement_top": ("method", "other_method", "function"),
    "agreement_chance": (),
    "total": DIMS,
    "kl": DIMS,
    **dict.fromkeys(("logit_diff", "magnitude", "facilitation", "interference", "irrelevance"), DIMS),
}
REQUIRED = ("importance",)
PROVENANCE = ("model", "questions", "template", "methods", "parameters", "seed", "versions", "created")
"""Attributes every measured atlas carries (see `measure.provenance`)."""


def check_atlas(atlas: xr.Dataset, where: str = "this Dataset") -> xr.Dataset:
    """Return `atlas` if it has the schema's variables, dimensions and finite importance; raise if not.

    Raises
    ------
    AtlasError
        Naming `where`, the variable, what was found and what was expected.
    """
    for name in REQUIRED:
        if name not in atlas:
            raise AtlasError(
                f"{where} is no atlas: it has no variable '{name}' "
                f"(found: {', '.join(map(str, atlas.data_vars)) or 'none'})."
            )
    for name, dims in SCHEMA.items():
        if name in atlas and set(atlas[name].dims) != set(dims):
            raise AtlasError(
                f"{where}: '{name}' has dimensions {atlas[name].dims}, expected {dims}. "
                "Rename them with Dataset.rename."
            )
    for dim in ("method", "function", "control"):
        if dim in atlas.dims and dim not in atlas.coords:
            raise AtlasError(f"{where}: dimension '{dim}' has no labels. Add them with Dataset.assign_coords.")
    bad = int((~np.isfinite(atlas["importance"].values)).sum())
    if bad:
        raise AtlasError(f"{where}: importance holds {bad} values that are NaN or infinite; every head needs a number.")
    return atlas


def save_atlas(atlas: xr.Dataset, path: str | Path) -> Path:
    """Write `atlas` as one NetCDF file, atomically: either the whole file appears, or the old one stays.

    Raises
    ------
    RunError
        The disk is full or the folder can't be written.
    """
    check_atlas(atlas)
    return write_netcdf(path, atlas.assign_attrs(schema_version=SCHEMA_VERSION, complete=1))


def load_atlas(path: str | Path) -> xr.Dataset:
    """Read an atlas written by `save_atlas` into memory.

    Raises
    ------
    AtlasError
        No such file, not NetCDF, cut short, of another schema version, or without the completion mark.
    """
    path = Path(path)
    if not path.is_file():
        raise AtlasError(f"No atlas at {path}. Make one with: headatlas map --out {path.parent}")
    try:
        atlas = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(
            f"{path} can't be read as NetCDF ({error}): it is damaged or cut short. Run headatlas map again."
        ) from error
    if atlas.attrs.get("complete") != 1:
        raise AtlasError(
            f"{path} has no completion mark: its run did not end, or it is no atlas. Run headatlas map again."
        )
    if atlas.attrs.get("schema_version") != SCHEMA_VERSION:
        raise AtlasError(
            f"{path} has schema version {atlas.attrs.get('schema_version')}, this headatlas reads "
            f"{SCHEMA_VERSION}. Run headatlas map again."
        )
    return check_atlas(atlas, str(path))


def unable_functions(atlas: xr.Dataset) -> tuple[str, ...]:
    """Return the functions that the model does not do (the variable ``unable``), in the atlas's order."""
    if "unable" not in atlas:
        return ()
    flags = np.atleast_1d(atlas["unable"].values).astype(bool)
    return tuple(str(f) for f in np.atleast_1d(atlas["function"].values)[flags])


def attribute(atlas: xr.Dataset, name: str, default: Any = None) -> Any:
    """Return a provenance attribute, decoding the JSON that structured values are kept as."""
    value = atlas.attrs.get(name, default)
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
