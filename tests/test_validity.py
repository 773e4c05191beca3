"""Whether a function is one thing, as a reader sees it: findings and the figure, on planted maps."""

import re

import numpy as np
import pytest
import xarray as xr

import headatlas as ha
from headatlas.atlas import as_atlas, load_atlas, save_atlas
from headatlas.errors import InputError
from headatlas.figures import figures
from headatlas.stats import reduce, split, validity

FUNCTIONS = ("knowledge_recall", "retrieval", "inference")
LAYERS, HEADS, TASKS, ITEMS = 6, 8, 5, 12


def samples(*, shared: bool, seed: int = 0) -> xr.Dataset:
    """Return items of five tasks of three functions; heads of a function's own if `shared`, else each task's."""
    draw = np.random.default_rng(seed)
    values, function, task, group = [], [], [], []
    common = draw.normal(0, 0.3, (LAYERS, HEADS))
    for f in FUNCTIONS:
        own = draw.normal(0, 1, (LAYERS, HEADS)) ** 3
        for t in range(TASKS):
            of_task = draw.normal(0, 1, (LAYERS, HEADS)) ** 3
            true = common + (own + 0.5 * of_task if shared else of_task)
            for i in range(ITEMS):
                values.append(true + draw.normal(0, 1.5, true.shape))
                function.append(f)
                task.append(f"{f}_{t}")
                group.append(f"{f}_{t}-{i}")
    coords = {name: ("sample", np.array(v)) for name, v in {"function": function, "task": task, "group": group}.items()}
    return xr.Dataset({"importance": (("sample", "layer", "head"), np.array(values, np.float32))}, coords)


def atlas(*, shared: bool) -> xr.DataTree:
    data = samples(shared=shared)
    names = sorted(set(data["task"].values.tolist()))
    forms = {task: ("question", "completion")[i % 2] for i, task in enumerate(names)}
    part = reduce(data, FUNCTIONS, sign="signed", seed=0).merge(split(data, FUNCTIONS, seed=0))
    part = part.merge(validity(data, FUNCTIONS, {"form": forms}, seed=0))
    part.attrs = {"sign": "signed", "label": "drop", "kind": "model", "ablates": 1}
    root = xr.Dataset(coords={"function": list(FUNCTIONS), "item_task": ("item", data["task"].values)})
    return as_atlas(xr.DataTree.from_dict({"/": root, "/ablation": part}))


@pytest.fixture(scope="module")
def one_thing() -> xr.DataTree:
    return atlas(shared=True)


@pytest.fixture(scope="module")
def many_things() -> xr.DataTree:
    return atlas(shared=False)


def test_functions_that_are_one_thing_are_said_to_be(one_thing):
    found = ha.describe(one_thing)
    within = found.get("validity.within")
    assert within.statement.startswith("Functions say something about heads:")
    assert within.numbers["within_similarity"] > within.numbers["between_similarity"] + 0.2
    assert found.get("validity.functions").numbers["one"] == list(FUNCTIONS)
    assert "form " in found.get("validity.design").statement
    assert re.search(
        r"same function \+0\.\d\d \(p [<=] [\d.]+, \d+ of \d+ tasks exchanged\)", found.get("validity.design").statement
    )
    assert "The function's part stays when the design is taken out." in found.get("validity.design").statement
    assert "names its function in 15 of 15 cases" in found.get("validity.naming").statement
    assert found.get("validity.clusters").numbers["rand"] > 0.8
    page = found.to_markdown()
    assert page.index("### Is a function one thing?") < page.index("### Over the functions")


def test_functions_that_are_not_are_not(many_things):
    found = ha.describe(many_things)
    assert found.get("validity.within").statement.startswith("Functions are not shown to say anything about heads:")
    assert found.get("validity.functions").numbers["one"] == []
    assert "One thing on this model" in found.get("validity.functions").statement
    assert "): none. Not shown to be one thing: " in found.get("validity.functions").statement
    assert found.get("validity.design").statement.endswith(
        " The function's part is not shown when the design is taken out."
    )
    assert found.get("validity.naming").numbers["naming_p"] > 0.05
    assert found.get("validity.clusters").numbers["rand"] < 0.3


def test_what_no_two_tasks_differ_in_alone_is_not_tested(one_thing):
    tree = one_thing.copy()
    part = tree["ablation"].to_dataset()
    part["factor_p"] = part["factor_p"].where(part["factor"] != "form")
    tree["ablation"] = xr.DataTree(part)
    text = ha.describe(tree).get("validity.design").statement
    assert "(not tested: no two tasks differ in it alone)" in text and "nan" not in text


def test_the_figure_shows_tasks_in_the_order_of_their_clusters(one_thing, tmp_path):
    save_atlas(one_thing, tmp_path / "atlas.nc")
    figure = figures.get("task_similarity")(load_atlas(tmp_path, samples=False))
    axis = next(a for a in figure.axes if a.images)
    part = one_thing["ablation"].to_dataset()
    order = np.argsort(part["task_order"].values)
    drawn = np.asarray(axis.images[0].get_array())
    wanted = part["task_similarity"].values[np.ix_(order, order)].copy()
    np.fill_diagonal(wanted, part["task_reliability"].values[order])
    np.testing.assert_allclose(drawn, wanted)
    labels = [t.get_text() for t in axis.get_yticklabels()]
    assert labels == part["task"].values[order].tolist()
    runs = [f for i, f in enumerate(labels) if i == 0 or f.rsplit("_", 1)[0] != labels[i - 1].rsplit("_", 1)[0]]
    assert len(runs) == 3, "the tasks of a function stand together"
    colours = {label.get_text().rsplit("_", 1)[0]: label.get_color() for label in axis.get_yticklabels()}
    assert len(set(colours.values())) == 3
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Knowledge Recall", "Retrieval", "Inference"]
    assert "Clusters against functions: adjusted Rand index" in figure.get_supxlabel()


def test_what_has_no_tasks_has_no_such_figure():
    flat = xr.Dataset(
        {"importance": (("method", "function", "layer", "head"), np.ones((1, 2, 2, 2)))},
        {"method": ["probe"], "function": ["retrieval", "inference"]},
    )
    with pytest.raises(InputError, match="no similarity of tasks: its questions name none"):
        figures.get("task_similarity")(flat)
    assert not [f for f in ha.describe(flat) if f.topic == "validity"]


def test_the_heatmaps_say_in_a_line_what_they_come_to_and_outline_a_functions_own_heads(one_thing, many_things):
    part = one_thing["ablation"].to_dataset()
    own = (part["q_specific"] < 0.05) & (part["specific"] > 0)
    figure = ha.heads_importance(one_thing)
    assert "Tasks of one function share more heads than tasks of different ones" in " ".join(
        figure.get_suptitle().split()
    )
    panels = [axis for axis in figure.axes if axis.get_title()]
    for axis, function in zip(panels, FUNCTIONS, strict=True):
        drawn = {(int(p.get_y()), int(p.get_x())) for p in axis.patches}
        assert drawn == {tuple(at) for at in np.argwhere(own.sel(function=function).values).tolist()}
    assert own.any()
    assert "are not shown to share more heads than" in " ".join(ha.heads_importance(many_things).get_suptitle().split())
