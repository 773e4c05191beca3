"""Atlases -> what they have in common: which tasks share heads, and where functions lie in depth.

Heads of two models can't be matched. What can be compared is which *tasks* share heads, and how deep the heads of a
function lie. The numbers are those of `stats.between_models`, pair by pair of atlases. It measures no model.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import xarray as xr

from headatlas.atlas import as_atlas, method_part, methods_of, model_facts, samples_of
from headatlas.atlas.tree import SAMPLES
from headatlas.atlas.variables import LABEL, SIGN
from headatlas.errors import InputError
from headatlas.questions.functions import order_functions
from headatlas.stats.between_models import heads_compared, layers_compared, placed, similarity, task_agreement
from headatlas.stats.tasks import Tasks, tasks_of

WAYS = ("all", "across", "design")
DESIGN = {"form": "asked_form", "kind": "asked_kind"}


def compare(
    atlases: Mapping[str, xr.DataTree | xr.Dataset] | Sequence[xr.DataTree | xr.Dataset],
    *,
    method: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Say how far atlases agree.

    Parameters
    ----------
    atlases
        Two or more, by name or in a row (then named after their models). With samples.
    method
        Whose maps; by default the first method of the first atlas that all have.
    seed
        Of exchanges and resampling.

    Returns
    -------
    xarray.Dataset
        Over pair of atlases (``pair_one``, ``pair_other``) and ``way`` ("all", "across" functions, beyond "design"):
        ``agreement``, ``agreement_corrected``, ``agreement_p``, ``agreement_pairs``, and ``common_tasks``; over pair
        and function: ``layer_agreement``, ``depth_change`` with _low and _high and, for atlases of one shape,
        ``overlap``, ``overlap_p``, ``head_agreement`` (NaN for others); over atlas and function: ``within``,
        ``between``, ``within_q`` and, by relative depth, ``profile``; over the tasks that all have (by function,
        then place): ``task_function``, ``similarity`` (atlas, task, other_task), ``place`` (atlas, task, axis),
        ``axis_share``.

    Raises
    ------
    InputError
        Fewer than two atlases, no method that all have, no samples, or no function in common.
    """
    given = _named(atlases)
    name = _method(given, method)
    parts = {model: method_part(atlas, name) for model, atlas in given.items()}
    samples = {model: samples_of(atlas, name) for model, atlas in given.items()}
    sets = [set(map(str, part["function"].values)) for part in parts.values()]
    functions = list(order_functions(set.intersection(*sets)))
    if not functions:
        raise InputError("These atlases have no function in common: " + "; ".join(
            f"{model} has {', '.join(sorted(s))}" for model, s in zip(given, sets, strict=True)) + ".")  # fmt: skip
    tasks = {model: tasks_of(samples[model], functions) for model in given}
    names = list(given)
    pairs = list(combinations(range(len(names)), 2))
    signs = {model: given[model][name].attrs.get(SIGN, "signed") for model in given}
    found = xr.Dataset(
        coords={
            "atlas": names, "function": functions, "way": list(WAYS),
            "pair_one": ("pair", [names[i] for i, _ in pairs]), "pair_other": ("pair", [names[j] for _, j in pairs]),
        }
    )  # fmt: skip
    _agreements(found, given, tasks, names, pairs, seed)
    _layers(found, parts, samples, signs, names, pairs, functions, seed)
    for variable, own in (
        ("within", "function_within"),
        ("between", "function_between"),
        ("within_q", "function_within_q"),
    ):
        rows = [
            parts[m][own].sel(function=functions).values if own in parts[m] else np.full(len(functions), np.nan)
            for m in names
        ]
        found[variable] = (("atlas", "function"), np.array(rows, np.float64))
    _pictures(found, tasks, names)
    return found.assign_attrs(
        kind="comparison", method=name, label=str(given[names[0]][name].attrs.get(LABEL, "")), seed=seed,
        models=json.dumps({m: model_facts(given[m]) for m in names}),
    )  # fmt: skip


def _named(
    atlases: Mapping[str, xr.DataTree | xr.Dataset] | Sequence[xr.DataTree | xr.Dataset],
) -> dict[str, xr.DataTree]:
    """Return atlases by name, a number behind a name that comes twice."""
    if isinstance(atlases, Mapping):
        given = {str(name): as_atlas(atlas) for name, atlas in atlases.items()}
    else:
        given = {}
        for atlas in map(as_atlas, atlases):
            base = name = str(model_facts(atlas).get("name") or "atlas")
            n = 1
            while name in given:
                n += 1
                name = f"{base} ({n})"
            given[name] = atlas
    if len(given) < 2:
        raise InputError(f"{len(given)} atlas can't be compared. Give two or more.")
    return given


def _method(given: Mapping[str, xr.DataTree], method: str | None) -> str:
    """Return the method whose maps are compared."""
    shared = [m for m in methods_of(next(iter(given.values()))) if all(m in methods_of(a) for a in given.values())]
    if not shared or (method is not None and method not in shared):
        told = "; ".join(f"{model} has {', '.join(methods_of(atlas))}" for model, atlas in given.items())
        wanted = f"method '{method}'" if method else "a method"
        raise InputError(f"These atlases do not all have {wanted}: {told}.")
    usable = [m for m in shared if all(SAMPLES in a[m].children for a in given.values())]
    chosen = method or (usable[0] if usable else shared[0])
    if chosen not in usable:
        raise InputError(f"Not all of these atlases hold samples of '{chosen}'. Run headatlas map again.")
    return chosen


def _agreements(
    found: xr.Dataset,
    given: Mapping[str, xr.DataTree],
    tasks: Mapping[str, Tasks | None],
    names: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    seed: int,
) -> None:
    """Put in how alike every two atlases' similarities of tasks are."""
    values = np.full((4, len(pairs), len(WAYS)), np.nan)
    common = np.zeros(len(pairs), np.int64)
    for at, (i, j) in enumerate(pairs):
        one, other = tasks[names[i]], tasks[names[j]]
        if one is None or other is None:
            continue
        rows, function, labels = _common([one, other])
        common[at] = len(labels)
        design = _design([given[names[k]] for k in (i, j)], labels)
        agreed = task_agreement(one, other, (rows[0], rows[1]), function, design, seed=seed)
        for w, way in enumerate(WAYS):
            if way in agreed:
                a = agreed[way]
                values[:, at, w] = a.correlation, a.corrected, a.p, a.pairs
    for name, row in zip(("agreement", "agreement_corrected", "agreement_p", "agreement_pairs"), values, strict=True):
        found[name] = (("pair", "way"), row)
    found["common_tasks"] = ("pair", common)


def _common(several: Sequence[Tasks]) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Return where the tasks that all have stand in each, and their functions and names."""
    keys = [list(zip(t.function.tolist(), t.names, strict=True)) for t in several]
    shared = [key for key in keys[0] if all(key in own for own in keys[1:])]
    rows = [np.array([own.index(key) for key in shared], np.int64) for own in keys]
    return rows, np.array([f for f, _ in shared], np.int64), [name for _, name in shared]


def _design(atlases: Sequence[xr.DataTree], tasks: Sequence[str]) -> dict[str, np.ndarray] | None:
    """Return form and kind of the tasks, from the first atlas that says."""
    for atlas in atlases:
        root = atlas.to_dataset(inherit=False)
        if all(name in root for name in DESIGN.values()):
            place = {str(t): i for i, t in enumerate(root["asked_task"].values)}
            if all(t in place for t in tasks):
                at = [place[t] for t in tasks]
                return {factor: root[name].values[at].astype(str) for factor, name in DESIGN.items()}
    return None


def _layers(
    found: xr.Dataset,
    parts: Mapping[str, xr.Dataset],
    samples: Mapping[str, xr.Dataset],
    signs: Mapping[str, str],
    names: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    functions: Sequence[str],
    seed: int,
) -> None:
    """Put in where functions lie in depth, and heads one by one where shapes are the same."""
    rows = []
    shown: dict[int, np.ndarray] = {}
    for i, j in pairs:
        one, other = names[i], names[j]
        both: tuple = (signs[one], signs[other])
        row = layers_compared(samples[one], samples[other], functions, both, seed=seed)
        shown |= {i: row["profile"].values[0], j: row["profile"].values[1]}
        row = row.drop_dims("model")
        maps = [
            parts[m]["importance"].sel(function=list(functions)).transpose("function", "layer", "head").values
            for m in (one, other)
        ]
        if maps[0].shape == maps[1].shape:
            row = row.merge(heads_compared(maps[0], maps[1], both))
        rows.append(row)
    joined = xr.concat(rows, dim="pair", data_vars="all", join="outer", coords="minimal", compat="override")
    for name in joined.data_vars:
        found[str(name)] = joined[name]
    found["profile"] = (("atlas", "function", "depth"), np.stack([shown[i] for i in range(len(names))]))
    found.coords["depth"] = joined["depth"]


def _pictures(found: xr.Dataset, tasks: Mapping[str, Tasks | None], names: Sequence[str]) -> None:
    """Put in the similarities of the tasks that all atlases have, and these tasks' places in one picture.

    Tasks come by function, then along the picture's first axis: figure and page show them in this order.
    """
    known = [t for t in (tasks[m] for m in names) if t is not None]
    if len(known) < len(names):
        return
    rows, function, labels = _common(known)
    if len(labels) < 3:
        return
    functions = [str(f) for f in found["function"].values]
    matrices = np.stack([similarity(t, at) for t, at in zip(known, rows, strict=True)])
    places, share = placed(matrices)
    order = np.lexsort((places[:, :, 0].mean(0), function))
    labels = [labels[at] for at in order]
    found["similarity"] = (("atlas", "task", "other_task"), matrices[:, order][:, :, order])
    found["place"] = (("atlas", "task", "axis"), places[:, order])
    found["axis_share"] = ("axis", share)
    found["task_function"] = ("task", np.array(functions)[function[order]])
    found.coords["task"], found.coords["other_task"] = labels, labels
