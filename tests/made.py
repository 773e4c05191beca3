"""An atlas with all that a page shows, made of random numbers: small or as large as models get, names of any kind."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from headatlas.questions.functions import FUNCTIONS
from headatlas.report import Beside
from headatlas.validation import Design
from headatlas.validation.choosing import chosen
from headatlas.validation.setting import Setting
from headatlas.validation.summary import summary

METHODS = {"ablation": ("signed", "model"), "probe": ("absolute", "activations")}


def made_atlas(
    *,
    layers: int = 6,
    heads: int = 4,
    methods: tuple[str, ...] = ("ablation", "probe"),
    functions: tuple[str, ...] = tuple(FUNCTIONS),
    tasks: int = 3,
    items: int = 4,
    seed: int = 0,
    named: Callable[[str], str] = str,
) -> xr.DataTree:
    """Return an atlas; `named` turns names of tasks, items, methods' labels and the model into others."""
    draw = np.random.default_rng(seed)
    task = [named(f"{f[:5]}-{t}") for f in functions for t in range(tasks)]
    of_task = np.repeat(functions, tasks)
    item = [f"{t}/{i}" for t in task for i in range(items)]
    item_task, item_function = np.repeat(task, items), np.repeat(of_task, items)
    root = xr.Dataset(
        {
            "answer_accuracy": ("function", draw.uniform(0.7, 0.9, len(functions))),
            "answer_accuracy_low": ("function", draw.uniform(0.5, 0.7, len(functions))),
            "answer_accuracy_high": ("function", draw.uniform(0.9, 1, len(functions))),
            "unable": ("function", np.arange(len(functions)) == 3),
            "n_items": ("function", np.full(len(functions), tasks * items)),
            "item_logprob": ("item", draw.normal(-1, 0.3, len(item))),
            "item_foil_logprob": ("item", draw.normal(-2, 0.3, len(item))),
            "control_accuracy": (("control", "function"), draw.uniform(0, 0.5, (2, len(functions)))),
            "control_accuracy_low": (("control", "function"), np.zeros((2, len(functions)))),
            "control_accuracy_high": (("control", "function"), np.full((2, len(functions)), 0.6)),
            "asked_function": ("asked_task", of_task),
            "asked_form": ("asked_task", np.full(len(task), "question")),
            "asked_kind": ("asked_task", [named("name")] * len(task)),
            "asked_lure": ("asked_task", np.zeros(len(task))),
            "asked_items": ("asked_task", np.full(len(task), items)),
            "asked_accuracy": ("asked_task", draw.uniform(0.5, 1, len(task))),
            "asked_accuracy_low": ("asked_task", np.full(len(task), 0.4)),
            "asked_accuracy_high": ("asked_task", np.full(len(task), 1.0)),
            "asked_exact": ("asked_task", draw.uniform(0, 1, len(task))),
            "asked_done": ("asked_task", np.arange(len(task)) % 5 != 4),
        },
        coords={
            "function": list(functions), "item": item, "item_function": ("item", item_function),
            "item_group": ("item", item), "item_task": ("item", item_task), "control": ["subquestion", "length"],
            "asked_task": task, "layer": np.arange(layers), "head": np.arange(heads),
        },
        attrs={
            "model": f'{{"name": {_quoted(named("made-model"))}, "kv_heads": {max(1, heads // 2)}, "weights": "w"}}',
            "seed": 0, "created": named("2026-01-01"),
        },
    )  # fmt: skip
    if len(methods) > 1:
        shape = (len(methods), len(methods), len(functions))
        root = root.assign_coords(one_method=list(methods), other_method=list(methods))
        root["agreement"] = (("one_method", "other_method", "function"), draw.uniform(-0.2, 0.8, shape))
        root["agreement_top"] = (("one_method", "other_method", "function"), draw.uniform(0, 0.6, shape))
        root["agreement_chance"] = 0.1
    nodes: dict[str, xr.Dataset] = {"/": root}
    for name in methods:
        sign, kind = METHODS.get(name, ("signed", "model"))
        nodes[f"/{name}"], nodes[f"/{name}/samples"] = _method(
            draw, functions, task, of_task, item_task, item_function, item, (layers, heads)
        )
        nodes[f"/{name}"].attrs = {
            "sign": sign, "kind": kind, "label": named("drop, logits"), "ablates": int(kind == "model"), "notes": "{}",
        }  # fmt: skip
    return xr.DataTree.from_dict(nodes)


def _quoted(text: str) -> str:
    import json

    return json.dumps(text)


def _method(
    draw: np.random.Generator,
    functions: tuple[str, ...],
    task: list[str],
    of_task: np.ndarray,
    item_task: np.ndarray,
    item_function: np.ndarray,
    item: list[str],
    shape: tuple[int, int],
) -> tuple[xr.Dataset, xr.Dataset]:
    dims, n = ("function", "layer", "head"), len(functions)
    tasks = (
        draw.normal(0, 0.3, (len(task), *shape)) + draw.normal(0, 0.5, (n, *shape))[np.repeat(range(n), len(task) // n)]
    )
    values = tasks[np.repeat(np.arange(len(task)), len(item) // len(task))] + draw.normal(0, 0.2, (len(item), *shape))
    maps = np.stack([tasks[of_task == f].mean(0) for f in functions])
    size = (n, *shape)
    similar = np.clip(draw.normal(0.2, 0.2, (len(task), len(task))), -1, 1)
    part = xr.Dataset(
        {
            "importance": (dims, maps),
            "ci_low": (dims, maps - 0.3),
            "ci_high": (dims, maps + 0.3),
            "q_value": (dims, draw.uniform(0, 1, size)),
            "p_value": (dims, draw.uniform(0, 1, size)),
            "specific": (dims, maps - maps.mean(0)),
            "q_specific": (dims, draw.uniform(0, 1, size) ** 2),
            "general": (("layer", "head"), maps.mean(0)),
            "layer_share": (("function", "layer"), draw.dirichlet(np.ones(shape[0]), n)),
            "task_similarity": (("task", "other_task"), (similar + similar.T) / 2),
            "task_reliability": ("task", np.full(len(task), 0.8)),
            "task_function": ("task", of_task),
            "task_order": ("task", np.arange(len(task))[::-1]),
            "task_cluster": ("task", np.arange(len(task)) % n),
            "task_named": ("task", of_task),
        },
        coords={"task": task, "other_task": task},
    )
    part["layer_share_low"], part["layer_share_high"] = part["layer_share"] / 2, part["layer_share"] * 1.5
    for name, value in (("within_similarity", 0.3), ("between_similarity", 0.1)):
        for end, by in (("", 0), ("_low", -0.05), ("_high", 0.05)):
            part[name + end] = value + by
    part["within_p"] = 0.001
    samples = xr.Dataset(
        {"importance": (("sample", "layer", "head"), values.astype(np.float32))},
        coords={
            "sample_function": ("sample", item_function), "group": ("sample", item), "task": ("sample", item_task),
        },
    )  # fmt: skip
    return part, samples


def made_beside(atlas: xr.DataTree, *, named: Callable[[str], str] = str, seed: int = 0) -> Beside:
    """Return a validation and examples that could lie beside such an atlas."""
    return Beside(made_validation(atlas, seed=seed), None, made_examples(atlas, named=named, seed=seed))


def made_validation(atlas: xr.DataTree, *, seed: int = 0) -> xr.Dataset:
    """Return a validation of random effects, by the summary that real ones go through."""
    draw = np.random.default_rng(seed)
    functions = [str(f) for f in atlas["function"].values]
    design = Design(ks=(1, 2, 3), draws=4, seed=seed, answers=0)
    function = np.asarray(atlas["item_function"].values)
    unit = np.asarray(atlas["item_task"].values)
    shape = (6, 4)
    conditions = list(chosen(draw.normal(size=(len(functions), *shape)), np.ones(shape), design, fold=0))
    given = Setting([], function, unit, True, tuple(functions), np.zeros((len(function), *shape)))
    effects = draw.normal(size=(len(function), len(conditions), 1))
    found = summary(effects, conditions, given, design, ("logit_diff",))
    attrs: dict[str, Any] = {"model": "m", "method": "ablation", "by_task": 1, "folds": 2, "draws": 4, "weights": "w"}
    return found.assign_attrs(**attrs)


def made_examples(atlas: xr.DataTree, *, named: Callable[[str], str] = str, seed: int = 0) -> xr.Dataset:
    """Return an example a task, with the attention of a few heads."""
    draw = np.random.default_rng(seed)
    task = [str(t) for t in atlas["asked_task"].values]
    n, keys, seen = len(task), 9, 5
    token = np.empty((n, keys), object)
    token[:] = [named("<s>"), *(f" word{k}" for k in range(keys - 1))]
    attention = draw.dirichlet(np.ones(keys - 1), (n, 1, seen)).astype(np.float16)
    attention = np.concatenate([attention, np.full((n, 1, seen, 1), np.nan, np.float16)], 3)

    def texts(*several: str) -> np.ndarray:
        found = np.empty(len(several), object)
        found[:] = several
        return found

    item = [str(i) for i in atlas["item"].values]
    columns = {
        name: ("example", texts(*[named(f"{name} {i}") for i in range(n)]))
        for name in ("text", "passage", "answer", "foil", "says")
    }
    return xr.Dataset(
        {
            **columns,
            "token": (("example", "key"), token),
            "predicts": (("example", "place"), np.full((n, 1), keys - 1, np.int32)),
            "attention": (("example", "place", "seen", "key"), attention),
            "item_text": ("item", texts(*[named(f"text of {i}") for i in item])),
            "item_answer": ("item", texts(*["yes"] * len(item))),
            "item_foil": ("item", texts(*["no"] * len(item))),
        },
        coords={
            "example": [f"{t}/0" for t in task], "example_task": ("example", texts(*task)),
            "example_function": ("example", texts(*map(str, atlas["asked_function"].values))), "item": item,
            "seen_layer": ("seen", [0, 1, 2, 3, 5]), "seen_head": ("seen", [0, 1, 2, 3, 3]),
        },
        attrs={"note": "", "weights": "w"},
    )  # fmt: skip
