"""What a page holds: an atlas and what lies beside it, as plain values and packed arrays.

1. Every method's maps with intervals and q-values, layer profiles, tasks' maps and similarity, the null band of the
   sorted curve, and each head's most moved items.
2. The functions: what the model does of them, their tasks, the controls.
3. The findings, each with the place on the page that shows it.
4. Validation, roles and examples, where there are any.

What an atlas has no numbers for is absent here. This module measures nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headatlas.atlas import absent_functions, methods_of, model_facts, provenance, samples_of, unable_functions
from headatlas.atlas.map_numbers import take_maps
from headatlas.atlas.tree import SAMPLES
from headatlas.atlas.variables import LABEL
from headatlas.controls import about_control
from headatlas.findings import Finding, describe
from headatlas.questions.functions import function_title, order_functions
from headatlas.report.document import packed, rounded
from headatlas.roles.definitions import ROLES
from headatlas.roles.files import load_roles
from headatlas.run.examples import load_examples
from headatlas.stats.null_order import null_order
from headatlas.stats.sign import ranked
from headatlas.stats.tasks import tasks_of
from headatlas.validation.files import NAME as VALIDATION
from headatlas.validation.files import load_validation
from headatlas.validation.words import validation_short

FILE = ("schema_version", "complete")
"""Attributes of the file, not of the run."""
TOP_ITEMS = 3
"""Of every head and function."""
ARRAYS = {
    "importance": "importance", "low": "ci_low", "high": "ci_high", "p": "p_value", "q": "q_value",
    "specific": "specific", "q_specific": "q_specific", "stability": "stability",
}  # fmt: skip
"""The page's name of a map (function, layer, head) and the atlas's."""


@dataclass(frozen=True)
class Beside:
    """What lies beside an atlas: each None where there is none."""

    validation: xr.Dataset | None = None
    roles: xr.Dataset | None = None
    examples: xr.Dataset | None = None


def beside(folder: str | Path, weights: str | None = None) -> Beside:
    """Read what lies in an atlas's folder beside it.

    Parameters
    ----------
    folder
        The folder.
    weights
        Digest of the atlas's model: roles and examples of other weights are left out.

    Raises
    ------
    AtlasError
        A file that is damaged.
    """
    folder = Path(folder)
    validation = load_validation(folder) if (folder / VALIDATION).is_file() else None
    found = load_roles(folder / "roles.nc") if (folder / "roles.nc").is_file() else None
    shown = load_examples(folder)
    return Beside(
        validation if _of(validation, weights) else None,
        found if _of(found, weights) else None,
        shown if _of(shown, weights) else None,
    )


def _of(found: xr.Dataset | None, weights: str | None) -> bool:
    """Return whether a Dataset is of these weights (or does not say, or nobody asks)."""
    if found is None:
        return False
    said = found.attrs.get("weights") or model_facts(found).get("weights")
    return weights is None or said is None or said == weights


def content(atlas: xr.DataTree, others: Beside | None = None) -> dict[str, Any]:
    """Return all that a page of `atlas` shows.

    Raises
    ------
    AtlasError
        It is no atlas, or holds no head.
    """
    others = others or Beside()
    methods = methods_of(atlas)
    maps = take_maps(atlas, methods[0])
    found = describe(atlas)
    root = atlas.to_dataset(inherit=False)
    return {
        "page": "atlas",
        "model": str(found.model),
        "kv_heads": model_facts(atlas).get("kv_heads"),
        "layers": list(maps.layers),
        "heads": list(maps.heads),
        "functions": _functions(atlas, root, maps.functions),
        "absent": [{"id": f, "title": function_title(f)} for f in absent_functions(atlas)],
        "methods": [_method(atlas, m, maps.functions) for m in methods],
        "asked": _asked(root),
        "items": _items(root, others.examples),
        "examples": _examples(others.examples),
        "agreement": _agreement(root, maps.functions),
        "validation": _validation(others.validation),
        "roles": _roles(others.roles, maps.layers, maps.heads),
        "findings": _findings(found),
        "provenance": _provenance(atlas),
    }


def _get(data: xr.Dataset, name: str, *at: int) -> float | None:
    """Return one number of a variable, None where there is none."""
    return float(data[name].values[at]) if name in data else None


def _interval(data: xr.Dataset, name: str, *at: int) -> list[float | None] | None:
    return [_get(data, name + end, *at) for end in ("", "_low", "_high")] if name in data else None


def _functions(atlas: xr.DataTree, root: xr.Dataset, functions: Sequence[str]) -> list[dict[str, Any]]:
    unable = set(unable_functions(atlas))
    known = [str(f) for f in root["function"].values] if "function" in root.coords else []
    rows = []
    for name in functions:
        at = known.index(name) if name in known else None
        row: dict[str, Any] = {"id": name, "title": function_title(name), "unable": name in unable}
        if at is not None:
            row |= {
                "items": _get(root, "n_items", at),
                "accuracy": _interval(root, "answer_accuracy", at),
                "exact": _get(root, "answer_exact", at),
            }
            if "control_accuracy" in root:
                row["controls"] = [
                    {"name": about_control(str(c)), "accuracy": _interval(root, "control_accuracy", i, at)}
                    for i, c in enumerate(root["control"].values)
                ]
        rows.append(row)
    return rows


def _method(atlas: xr.DataTree, method: str, functions: Sequence[str]) -> dict[str, Any]:
    """Return one method's maps and what is said of them."""
    part = atlas[method].to_dataset()
    own = atlas[method].attrs
    known = [str(f) for f in np.atleast_1d(part["function"].values)]
    rows = [known.index(f) for f in functions]
    maps = take_maps(atlas, method)
    found: dict[str, Any] = {
        "id": method,
        "label": str(own.get(LABEL, "")),
        "sign": maps.sign,
        "maps": {},
    }
    for name, variable in ARRAYS.items():
        if variable in part:
            found["maps"][name] = packed(part[variable].transpose("function", "layer", "head").values[rows])
    if "general" in part:
        found["maps"]["general"] = packed(part["general"].transpose("layer", "head").values)
    if "layer_share" in part:
        found["layers"] = {
            end or "_value": packed(part[f"layer_share{end}"].transpose("function", "layer").values[rows])
            for end in ("", "_low", "_high")
            if f"layer_share{end}" in part
        }
    if "probe_accuracy" in part:
        found["probe_accuracy"] = [_interval(part, "probe_accuracy", i) for i in rows]
    if SAMPLES in atlas[method].children:
        samples = samples_of(atlas, method)
        low, high = null_order(samples, functions, sign=maps.sign)
        found["null"] = {"low": packed(low), "high": packed(high), "own": "null" in samples}
        found["top_items"] = _top_items(atlas, samples, functions, maps.sign)
        found["tasks"] = _tasks(part, samples, functions)
    return found


def _top_items(atlas: xr.DataTree, samples: xr.Dataset, functions: Sequence[str], sign: Any) -> dict[str, Any] | None:
    """Return every head's most moved items of every function: their places among the items, and by how much."""
    item = _items_of(atlas, samples)
    if item is None:
        return None
    values = samples["importance"].transpose("sample", "layer", "head").values
    values = values.reshape(len(values), -1).astype(np.float64)
    function = samples["function"].values
    shape = (len(functions), values.shape[1], TOP_ITEMS)
    places, moved = np.full(shape, -1, np.int32), np.full(shape, np.nan, np.float32)
    for at, name in enumerate(functions):
        own = np.flatnonzero(function == name)
        ids, cell = np.unique(item[own], return_inverse=True)
        total = np.zeros((len(ids), values.shape[1]))
        np.add.at(total, cell, values[own])
        mean = total / np.bincount(cell)[:, None]
        order = np.argsort(-ranked(mean, sign), axis=0, kind="stable")[:TOP_ITEMS]
        k = len(order)
        places[at, :, :k] = ids[order].T
        moved[at, :, :k] = np.take_along_axis(mean, order, 0).T
    return {"item": packed(places, "int32"), "value": packed(moved)}


def _items_of(atlas: xr.DataTree, samples: xr.Dataset) -> np.ndarray | None:
    """Return which of the atlas's items every sample speaks of, None where that is not known."""
    if "item" not in atlas.coords:
        return None
    if "item" in samples.coords:
        return np.asarray(samples["item"].values).astype(np.int64)
    same = (
        samples.sizes["sample"] == atlas.sizes["item"] and (samples["group"].values == atlas["item_group"].values).all()
    )
    return np.arange(samples.sizes["sample"]) if same else None


def _tasks(part: xr.Dataset, samples: xr.Dataset, functions: Sequence[str]) -> dict[str, Any] | None:
    """Return the tasks' maps, and their similarity where it was measured."""
    tasks = tasks_of(samples, functions)
    if tasks is None:
        return None
    found: dict[str, Any] = {
        "names": list(tasks.names),
        "function": tasks.function.tolist(),
        "maps": rounded(tasks.maps()),
    }
    if "task_similarity" in part:
        there = [str(t) for t in part["task"].values]
        own = [str(f) for f in part["task_function"].values]
        found["similar"] = {
            "names": there,
            "function": own,
            "order": np.argsort(part["task_order"].values).tolist(),
            "reliability": part["task_reliability"].values.tolist(),
            "matrix": packed(part["task_similarity"].transpose("task", "other_task").values),
            "within": _interval(part, "within_similarity"),
            "between": _interval(part, "between_similarity"),
            "p": _get(part, "within_p"),
        }
    return found


def _asked(root: xr.Dataset) -> list[dict[str, Any]]:
    """Return the tasks that were asked, in the order of the functions."""
    if "asked_task" not in root.coords:
        return []
    rows = []
    for at, task in enumerate(root["asked_task"].values):
        row: dict[str, Any] = {"task": str(task)}
        for name in ("function", "form", "kind"):
            row[name] = str(root[f"asked_{name}"].values[at]) if f"asked_{name}" in root else ""
        row["accuracy"] = _interval(root, "asked_accuracy", at)
        row["items"] = _get(root, "asked_items", at)
        row["exact"] = _get(root, "asked_exact", at)
        row["done"] = bool(root["asked_done"].values[at]) if "asked_done" in root else None
        rows.append(row)
    order = order_functions(row["function"] for row in rows)
    return sorted(rows, key=lambda row: (order.index(row["function"]), -(row["accuracy"] or [0])[0], row["task"]))


def _items(root: xr.Dataset, examples: xr.Dataset | None) -> list[dict[str, Any]]:
    """Return the mapped items, with their texts where they are known."""
    if "item" not in root.coords:
        return []
    texts: dict[str, tuple[str, str, str]] = {}
    if examples is not None:
        columns = [examples[name].values for name in ("item", "item_text", "item_answer", "item_foil")]
        texts = {str(i): (str(t), str(a), str(f)) for i, t, a, f in zip(*columns, strict=True)}
    task = [str(t) for t in root["item_task"].values] if "item_task" in root.coords else [""] * root.sizes["item"]
    rows = []
    for name, own in zip(map(str, root["item"].values), task, strict=True):
        text, answer, foil = texts.get(name, ("", "", ""))
        rows.append({"id": name, "task": own, "text": text, "answer": answer, "foil": foil})
    return rows


def _examples(examples: xr.Dataset | None) -> dict[str, Any] | None:
    """Return the examples; attention in 255ths, token by token."""
    if examples is None:
        return None
    names = ("example_task", "example_function", "text", "passage", "answer", "foil", "says")
    columns = [[str(v) for v in examples[name].values] for name in names]
    keys = ("task", "function", "text", "passage", "answer", "foil", "says")
    rows = [
        {
            "id": str(example),
            **dict(zip(keys, row, strict=True)),
            "tokens": _cut([str(t) for t in tokens]),
            "predicts": [int(p) for p in predicts if p >= 0],
        }
        for example, row, tokens, predicts in zip(
            examples["example"].values, zip(*columns, strict=True), examples["token"].values,
            examples["predicts"].values, strict=True,
        )
    ]  # fmt: skip
    found: dict[str, Any] = {"rows": rows, "note": str(examples.attrs.get("note", ""))}
    if "attention" in examples:
        shown = np.nan_to_num(examples["attention"].transpose("example", "place", "seen", "key").values, nan=0.0)
        found["attention"] = packed(np.rint(np.clip(shown.astype(np.float32), 0, 1) * 255), "uint8")
        found["seen"] = [
            [int(a), int(b)] for a, b in zip(examples["seen_layer"].values, examples["seen_head"].values, strict=True)
        ]
    return found


def _cut(tokens: list[str]) -> list[str]:
    """Return an example's tokens without the empty ones after its end."""
    last = max((at for at, token in enumerate(tokens) if token), default=-1)
    return tokens[: last + 1]


def _agreement(root: xr.Dataset, functions: Sequence[str]) -> dict[str, Any] | None:
    if "agreement" not in root or "one_method" not in root.dims or root.sizes["one_method"] < 2:
        return None
    known = [str(f) for f in root["function"].values]
    rows = [known.index(f) for f in functions]
    dims = ("one_method", "other_method", "function")
    return {
        "methods": [str(m) for m in root["one_method"].values],
        "values": root["agreement"].transpose(*dims).values[:, :, rows],
        "top": root["agreement_top"].transpose(*dims).values[:, :, rows] if "agreement_top" in root else None,
        "chance": _get(root, "agreement_chance"),
    }


def _validation(found: xr.Dataset | None) -> dict[str, Any] | None:
    """Return what removing heads together cost."""
    if found is None:
        return None
    functions = [str(f) for f in found["function"].values]
    dims = ("what", "function", "measured", "k")
    kept: dict[str, Any] = {
        "functions": [{"id": f, "title": function_title(f)} for f in functions],
        "what": [str(w) for w in found["what"].values],
        "ks": found["k"].values.tolist(),
        "k": int(found.attrs.get("k_of_matrix", found["k"].values[0])),
    }
    for end in ("", "_low", "_high"):
        kept[f"effect{end}"] = packed(found[f"effect{end}"].isel(outcome=0).transpose(*dims).values)
    kept["double_q"] = found["double_q"].transpose("function", "measured").values
    kept["short"] = validation_short(found)
    return kept


def _roles(found: xr.Dataset | None, layers: Sequence[int], heads: Sequence[int]) -> list[dict[str, Any]]:
    if found is None or (found.sizes["layer"], found.sizes["head"]) != (len(layers), len(heads)):
        return []
    return [
        {
            "id": name, "title": role.title, "definition": role.definition, "source": role.source, "units": role.units,
            "values": packed(found[name].transpose("layer", "head").values),
            "low": packed(found[f"{name}_low"].transpose("layer", "head").values),
            "high": packed(found[f"{name}_high"].transpose("layer", "head").values),
        }
        for name, role in ROLES.items() if name in found
    ]  # fmt: skip


def _findings(found: Any) -> dict[str, Any]:
    return {
        "short": list(found.short),
        "tasks": found.tasks_statement,
        "sections": [
            {
                "method": section.method,
                "unit": section.unit,
                "findings": [
                    {"id": f.id, "topic": f.topic, "text": f.statement, "view": view_of(f)} for f in section.findings
                ],
                "unknown": [u.statement for u in section.unknown],
            }
            for section in found.sections
        ],
    }


def view_of(finding: Finding) -> dict[str, str]:
    """Return the state of the page that shows what a finding says: keys of the address's fragment."""
    of = {"m": finding.method}
    if finding.topic == "function":
        return {"v": "functions", "f": finding.function or "", **of}
    if finding.topic == "validity":
        return {"v": "tasks", **of}
    if finding.id == "agreement":
        return {"v": "methods", **of}
    if finding.topic == "reach":
        return {"v": "functions", **of}
    return {"v": "maps", "w": "specific" if finding.id == "parts" else "importance", **of}


def _provenance(atlas: xr.DataTree) -> list[list[str]]:
    """Return what an atlas says of how it was made, as rows of name and text."""
    rows: list[list[str]] = []
    for name in (n for n in map(str, atlas.attrs) if n not in FILE):
        value = provenance(atlas, name)
        if isinstance(value, dict):
            rows += [[f"{name}: {key}", str(inner)] for key, inner in value.items()]
        else:
            rows.append([name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)])
    return rows
