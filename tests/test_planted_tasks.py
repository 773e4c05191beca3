"""Is a function one thing? Asked of whole models whose truth is known: in one, heads do functions; in the other, none.

Questions become prompts, prompts are captured, every head is ablated, and what the atlas and its findings say of the
functions is held against what was wired in (`tests/planted/task_models.py`).
"""

import re
from functools import cache

import numpy as np
import pytest
import xarray as xr

import headatlas as ha
from headatlas.atlas import samples_of
from tests.planted.task_models import FUNCTIONS, Tasks, no_function, two_functions

MODELS = {"two": two_functions, "none": no_function}
SEEDS = range(8)


@cache
def measured(which: str, tasks: int, seed: int) -> tuple[Tasks, xr.DataTree]:
    p = MODELS[which](tasks=tasks, seed=seed)
    return p, ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)


def planted(which: str, tasks: int = 3, seed: int = 0) -> Tasks:
    return measured(which, tasks, seed)[0]


def atlas(which: str, tasks: int = 3, seed: int = 0) -> xr.DataTree:
    return measured(which, tasks, seed)[1]


def said(which: str, tasks: int = 3, seed: int = 0) -> xr.Dataset:
    """Return what the atlas says, with tasks in the order in which they were planted."""
    (part,) = atlas(which, tasks, seed).children.values()
    names = list(planted(which, tasks, seed).gains)
    return part.to_dataset().sel(task=names, other_task=names)


def found(which: str, tasks: int = 3):
    return ha.describe(atlas(which, tasks))


def truth(which: str, tasks: int = 3, seed: int = 0) -> np.ndarray:
    """Return the similarity of every two tasks, by what was wired in."""
    return np.corrcoef([np.sqrt(gain).ravel() for gain in planted(which, tasks, seed).gains.values()])


def blocks(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the values of two tasks of one function, and those of two functions."""
    n = len(matrix) // 2
    one = np.arange(2 * n) // n
    same = one[:, None] == one
    return matrix[same & ~np.eye(2 * n, dtype=bool)], matrix[~same]


every_model = pytest.mark.parametrize(("which", "tasks"), [("two", 3), ("none", 3), ("two", 6), ("none", 6)])


@every_model
def test_the_model_does_its_tasks_with_the_heads_that_were_wired(which, tasks):
    p, tree = planted(which, tasks), atlas(which, tasks)
    assert (tree["asked_accuracy"] == 1).all() and tree["asked_done"].all() and len(tree["asked_task"]) == 2 * tasks
    (method,) = tree.children
    assert "logit difference" in tree[method].attrs["label"]
    samples = samples_of(tree, method)
    assert samples.sizes["sample"] == 2 * tasks * 8
    for task, gain in p.gains.items():
        effect = samples["importance"].values[samples["task"].values == task].mean(0)
        wired = gain > 0
        assert (effect[wired] > 0.6 * gain[wired]).all() and (effect[wired] < 1.15 * gain[wired]).all()
        assert np.abs(effect[~wired]).max() < 0.6 < 0.6 * gain[wired].min()


@every_model
def test_similarities_are_those_that_were_wired_in(which, tasks):
    wired, s = truth(which, tasks), said(which, tasks)
    off = ~np.eye(2 * tasks, dtype=bool)
    plain, corrected = (np.abs(s[f"task_similarity{kind}"].values - wired)[off] for kind in ("", "_corrected"))
    assert plain.max() < 0.3 and corrected.max() < 0.3 and corrected.mean() < 0.9 * plain.mean() < 0.15
    within, between = blocks(wired)
    assert float(s["within_similarity"]) == pytest.approx(within.mean(), abs=0.12)
    assert float(s["between_similarity"]) == pytest.approx(between.mean(), abs=0.12)
    assert (s["task_reliability"] > 0.8).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_two_functions_of_three_tasks_each_are_found(seed):
    s = said("two", seed=seed)
    within, between = blocks(s["task_similarity"].values)
    assert within.min() > 0.6 > 0.3 > between.max(), "two blocks"
    assert s["task_named"].values.tolist() == s["task_function"].values.tolist()
    assert s["naming_accuracy"] == 1 and s["naming_confusion"].values.tolist() == [[3, 0], [0, 3]]
    assert s["cluster_rand"] == 1 and len(set(s["task_cluster"].values[:3])) == 1
    assert float(s["within_similarity_low"]) > float(s["between_similarity"])
    least = 1 / 10  # six tasks are dealt to two functions of three in ten ways
    for name in ("within_p", "naming_p", "cluster_p"):
        assert float(s[name]) == pytest.approx(least), name
    assert sorted(s["function_within_p"].values) == pytest.approx([1 / 20, 1 / 10])
    effect, p = (s[f"factor_{name}"].to_series() for name in ("effect", "p"))
    assert effect["function"] > 0.6 and abs(effect["kind"]) < 0.1
    assert p["function"] == pytest.approx(1 / 4), "three pairs of tasks differ in their function alone"


def test_findings_say_that_three_tasks_each_can_show_nothing():
    """However alike the maps: no reader is told that there is no function."""
    told = found("two")
    within = told.get("validity.within")
    assert within.statement.startswith(
        "So few tasks can't show whether functions say something about heads: 6 tasks can be dealt to their functions "
        "in 10 different ways, so that p is at least 0.1, whatever the maps. Similarity of the maps of two tasks of "
        "one function 0.7"
    )
    assert within.numbers["least_p"] == pytest.approx(0.1)
    functions = told.get("validity.functions")
    assert functions.statement.endswith("Retrieval (p at least 0.05) and Inference (p at least 0.05).")
    assert functions.numbers["one"] == [] and functions.numbers["too_few"] == list(FUNCTIONS)
    naming, clusters = told.get("validity.naming").statement, told.get("validity.clusters").statement
    assert "names its function in 6 of 6 cases" in naming
    assert naming.endswith("(p = 0.100; with so few tasks at least 0.1).")
    assert "adjusted Rand index of 1.00" in clusters
    assert clusters.endswith("p = 0.100; with so few tasks at least 0.1).")
    assert told.get("validity.design").statement.endswith(
        "The function's part is not shown when the design is taken out; so few tasks can't show it."
    )
    short = next(line for line in told.short if line.startswith("Two tasks of one function"))
    assert short.endswith("Retrieval and Inference are not shown to be one thing, which so few tasks can't show.")
    figure = " ".join(ha.heads_importance(atlas("two")).get_suptitle().split())
    assert "Tasks of one function are not shown to share more heads than tasks of different ones" in figure


def test_where_no_head_does_a_function_labels_are_no_better_than_chance():
    """Labels, prompts and what is shared by all are the same: only the heads of the functions are gone."""
    maps = xr.concat([said("none", seed=seed) for seed in SEEDS], "seed", join="override")
    within, between = float(maps["within_similarity"].mean()), float(maps["between_similarity"].mean())
    assert abs(within - between) < 0.06 and within < 0.3
    assert 0.3 < float(maps["within_p"].mean()) < 0.8
    assert abs(float((maps["naming_accuracy"] - maps["naming_chance"]).mean())) < 0.2
    assert abs(float(maps["cluster_rand"].mean())) < 0.3 and (maps["cluster_rand"] < 0.5).all()
    effect = maps["factor_effect"].sel(factor="function")
    assert abs(float(effect.mean())) < 0.06
    right = (maps["task_named"].values == maps["task_function"].values).mean()
    assert right == pytest.approx(float(maps["naming_accuracy"].mean())) and right < 0.7


def test_findings_of_the_model_without_functions_name_none():
    told = found("none")
    assert told.get("validity.within").statement.startswith("So few tasks can't show whether")
    assert told.get("validity.functions").numbers["one"] == []
    counted = re.search(r"names its function in (\d) of 6 cases", told.get("validity.naming").statement)
    assert counted and int(counted[1]) <= 3
    assert told.get("validity.clusters").numbers["rand"] < 0.4


def test_of_six_tasks_each_two_functions_are_shown_and_none_is_not():
    two, none = said("two", 6), said("none", 6)
    for name in ("within_p", "naming_p", "cluster_p"):
        assert float(two[name]) < 0.006, name  # one way in 462
        assert float(none[name]) > 0.3, name
    assert (two["function_within_q"] < 0.01).all() and (none["function_within_q"] > 0.2).all()
    p = two["factor_p"].to_series(), none["factor_p"].to_series()
    assert p[0]["function"] < 0.01 < 0.2 < min(p[0]["kind"], p[1]["function"], p[1]["kind"])
    within, between = blocks(two["task_similarity"].values)
    assert within.min() > 0.6 > 0.3 > between.max()
    assert abs(float(none["within_similarity"] - none["between_similarity"])) < 0.03
    assert two["naming_confusion"].values.tolist() == [[6, 0], [0, 6]] and float(none["naming_accuracy"]) < 0.6
    assert float(two["cluster_rand"]) == 1 and float(none["cluster_rand"]) < 0.2


def test_findings_on_six_tasks_each_say_so():
    two, none = found("two", 6), found("none", 6)
    assert two.get("validity.within").statement.startswith(
        "Functions say something about heads: tasks of one function share more than tasks of different ones."
    )
    assert none.get("validity.within").statement.startswith(
        "Functions are not shown to say anything about heads: tasks of one function are not shown to share more than"
    )
    assert two.get("validity.functions").numbers["one"] == list(FUNCTIONS)
    assert [none.get("validity.functions").numbers[name] for name in ("one", "too_few")] == [[], []]
    assert "The function's part stays when the design is taken out." in two.get("validity.design").statement
    assert none.get("validity.design").statement.endswith("is not shown when the design is taken out.")
    assert "in 12 of 12 cases" in two.get("validity.naming").statement
    assert "so few tasks" not in two.to_markdown() + none.to_markdown()
