"""Atlases of several models compared: by simulation where nothing, something or the design is in common; as typed."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import headatlas as ha
from headatlas.cli.main import main
from headatlas.comparison import comparison_text
from headatlas.comparison.across import compare
from headatlas.comparison.words import comparison_short
from headatlas.errors import InputError
from headatlas.figures import figures
from headatlas.report import save_comparison_page
from headatlas.stats.between_models import heads_compared, layers_compared, placed, similarity, task_agreement
from headatlas.stats.tasks import tasks_of
from tests.made import made_atlas
from tests.test_page import browser as browser
from tests.test_page import opener

FUNCTIONS = ("a", "b", "c", "d")
PER = 6
FUNCTION = np.repeat(FUNCTIONS, PER)
FORM = np.tile(["x", "y", "z"], len(FUNCTION) // 3)
KIND = np.tile(["p", "p", "q", "q"], len(FUNCTION) // 4)
DESIGN = {"form": FORM, "kind": KIND}


def heads_of(draw, latent, heads):
    """Return tasks' true maps in a model of so many heads: each direction of `latent` (task, direction) gets heads."""
    return latent @ draw.normal(size=(latent.shape[1], heads))


def model_samples(draw, maps, *, items=6, noise=1.0):
    """Return samples of tasks with these maps, items and heads of unequal noise; some heads matter to all tasks."""
    tasks, heads = maps.shape
    general = 0.5 * draw.normal(size=heads)
    size = noise * np.exp(0.7 * draw.normal(size=heads))
    values = np.repeat(maps + general, items, axis=0)
    values = values + draw.normal(size=(tasks * items, heads)) * size * np.exp(
        0.4 * draw.normal(size=(tasks * items, 1))
    )
    task = np.repeat([f"t{i:02}" for i in range(tasks)], items)  # tasks come sorted by name
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), values.reshape(len(values), -1, 4))},
        coords={
            "function": ("sample", np.repeat(FUNCTION, items)), "task": ("sample", task),
            "group": ("sample", [f"q{i}" for i in range(len(task))]),
        },
    )  # fmt: skip


def indicator(labels):
    return (labels[:, None] == np.unique(labels)).astype(float)


def agreed(draw, latents, *, seed, heads=(80, 48), **more):
    """Return the agreement of two models, each of heads and noise of its own."""
    rows = np.arange(len(FUNCTION))
    tasks = [
        tasks_of(model_samples(draw, heads_of(draw, latent, h), **more), FUNCTIONS)
        for latent, h in zip(latents, heads, strict=True)
    ]
    return task_agreement(*tasks, (rows, rows), FUNCTION, DESIGN, seed=seed)


def own(draw, n=5):
    """Return directions of one model only."""
    return draw.normal(size=(len(FUNCTION), n))


@pytest.mark.slower
@pytest.mark.parametrize("common", ["nothing", "functions", "design"])
def test_what_is_not_in_common_is_not_called(common):
    """Both models have structure of their own; in common they have nothing, their functions, or forms and kinds."""
    shared = {
        "nothing": np.zeros((24, 0)),
        "functions": 2 * indicator(FUNCTION),
        "design": 1.5 * np.hstack([indicator(FORM), indicator(KIND), indicator(FUNCTION)]),
    }[common]
    held = {"nothing": ("all", "across", "design"), "functions": ("across", "design"), "design": ("design",)}[common]
    calls = {way: [] for way in ("all", "across", "design")}
    for seed in range(80):
        draw = np.random.default_rng([seed, 5])
        found = agreed(draw, [np.hstack([shared, own(draw)]) for _ in range(2)], seed=seed)
        for way, agreement in found.items():
            calls[way].append(agreement.p < 0.05)
    for way in held:
        assert np.mean(calls[way]) <= 0.125, (way, np.mean(calls[way]))  # 5% of 80 sets: above 10 with chance 0.004
    print(common, {w: np.mean(c) for w, c in calls.items()})
    for way in set(calls) - set(held):
        assert np.mean(calls[way]) > 0.6, "and what is in common is found"


@pytest.mark.slower
def test_what_is_in_common_is_found_and_its_size_is_right_without_noise():
    raw, clean, truth, p = [], [], [], []
    for seed in range(30):
        draw = np.random.default_rng([seed, 6])
        both = draw.normal(size=(24, 4))
        latents = [np.hstack([both, 0.6 * own(draw, 3)]) for _ in range(2)]
        state = draw.bit_generator.state
        found = agreed(draw, latents, seed=seed, heads=(120, 120), noise=4.0)["all"]
        draw.bit_generator.state = state
        exact = agreed(draw, latents, seed=seed, heads=(120, 120), noise=1e-6)["all"]
        raw.append(found.correlation), clean.append(found.corrected), truth.append(exact.correlation), p.append(found.p)
    assert np.mean(np.array(p) < 0.05) > 0.9
    assert np.mean(raw) < np.mean(truth) - 0.08, "noise hides some of it"
    assert abs(np.mean(clean) - np.mean(truth)) < 0.05, (np.mean(clean), np.mean(truth))


def test_the_agreement_is_mantels():
    """Against the plain loop: every pair, every exchange."""
    draw = np.random.default_rng(0)
    latents = [own(draw), own(draw)]
    tasks = [tasks_of(model_samples(draw, heads_of(draw, latent, 24)), FUNCTIONS) for latent in latents]
    rows = np.arange(24)
    found = task_agreement(*tasks, (rows, rows), FUNCTION, DESIGN)
    x, y = (similarity(t, rows) for t in tasks)
    i, j = np.triu_indices(24, 1)
    assert found["all"].correlation == pytest.approx(np.corrcoef(x[i, j], y[i, j])[0, 1]) and found["all"].pairs == 276
    apart = FUNCTION[i] != FUNCTION[j]
    assert found["across"].correlation == pytest.approx(np.corrcoef(x[i, j][apart], y[i, j][apart])[0, 1])
    shared = [tuple(label[a] == label[b] for label in (FUNCTION, FORM, KIND)) for a, b in zip(i, j, strict=True)]
    left = [
        v - np.array([np.mean([w for w, t in zip(v, shared, strict=True) if t == s]) for s in shared])
        for v in (x[i, j], y[i, j])
    ]
    assert found["design"].correlation == pytest.approx(np.corrcoef(*left)[0, 1])
    drawn = []
    for _ in range(2000):
        order = draw.permutation(24)
        drawn.append(np.corrcoef(x[i, j], y[order][:, order][i, j])[0, 1])
    assert found["all"].p == pytest.approx(np.mean(np.array(drawn) >= found["all"].correlation), abs=0.04)
    few = task_agreement(*tasks, (rows[:4], rows[:4]), FUNCTION[:4], DESIGN)
    assert np.isnan(few["all"].p) and few["all"].pairs == 0


def layered(draw, layers, heads, centre, *, tasks=6, items=5):
    """Samples of one function whose mass lies about a relative depth."""
    depth = np.arange(layers) / (layers - 1)
    size = np.exp(-0.5 * ((depth - centre) / 0.12) ** 2)
    effects = np.repeat(np.abs(draw.normal(size=(tasks, layers, heads))) * size[:, None], items, axis=0)
    effects = effects + 0.02 * draw.normal(size=effects.shape)
    n = tasks * items
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), effects)},
        coords={
            "function": ("sample", ["a"] * n), "task": ("sample", np.repeat([f"t{i}" for i in range(tasks)], items)),
            "group": ("sample", [f"g{i}" for i in range(n)]),
        },
    )  # fmt: skip


def test_depth_is_compared_at_relative_depth_whatever_the_number_of_layers():
    same, moved = [], []
    for seed in range(40):
        draw = np.random.default_rng(seed)
        found = layers_compared(
            layered(draw, 12, 6, 0.5), layered(draw, 30, 9, 0.5), ["a"], ("signed", "signed"), seed=seed
        )
        assert float(found["layer_agreement"][0]) > 0.8
        same.append(float(found["depth_change_low"][0]) <= 0 <= float(found["depth_change_high"][0]))
        found = layers_compared(
            layered(draw, 12, 6, 0.35), layered(draw, 30, 9, 0.65), ["a"], ("signed", "signed"), seed=seed
        )
        moved.append(float(found["depth_change_low"][0]) > 0.1)
        assert float(found["layer_agreement"][0]) < 0.2
    assert np.mean(same) >= 0.9 and all(moved)


def test_heads_of_models_of_one_shape_are_compared_one_by_one():
    draw = np.random.default_rng(0)
    maps = draw.normal(size=(2, 10, 10))
    found = heads_compared(maps, maps, ("signed", "signed"))
    assert (found["overlap"] == 1).all() and (found["overlap_p"] < 1e-9).all() and float(found["overlap_chance"]) == 0.1
    chance = [
        float(
            heads_compared(draw.normal(size=(1, 10, 10)), draw.normal(size=(1, 10, 10)), ("signed", "signed"))[
                "overlap"
            ][0]
        )
        for _ in range(300)
    ]
    assert np.mean(chance) == pytest.approx(0.1, abs=0.02)


def test_one_picture_puts_tasks_that_share_heads_together_in_every_model():
    draw = np.random.default_rng(0)
    latents = [np.hstack([2 * indicator(FUNCTION), 0.3 * own(draw)]) for _ in range(3)]
    tasks = [tasks_of(model_samples(draw, heads_of(draw, latent, 120), noise=0.2), FUNCTIONS) for latent in latents]
    matrices = np.stack([similarity(t, np.arange(24)) for t in tasks])
    places, share = placed(matrices)
    np.testing.assert_allclose(placed(np.stack([matrices[0]] * 2))[0][0], placed(np.stack([matrices[0]] * 2))[0][1])
    assert share[0] >= share[1] > 0 and share.sum() <= 1
    for model in places:
        distance = np.linalg.norm(model[:, None] - model[None], axis=-1)
        same = FUNCTION[:, None] == FUNCTION[None]
        assert distance[same].mean() < 0.6 * distance[~same].mean()


# -- atlases ------------------------------------------------------------------------------------------------------


def test_atlases_are_named_compared_and_told_of(tmp_path):
    one, other = made_atlas(tasks=4), made_atlas(tasks=4, layers=9, heads=8, seed=1)
    found = compare([one, other])
    assert [str(a) for a in found["atlas"].values] == ["made-model", "made-model (2)"]
    assert found.attrs["method"] == "ablation" and int(found["common_tasks"][0]) == 32
    assert "overlap" not in found, "shapes differ: heads are not compared"
    short = comparison_short(found)
    value, p = float(found["agreement"][0, 0]), float(found["agreement_p"][0, 0])
    assert f"{value:.2f}" in short[0] and (("not shown" in short[0]) == (p >= 0.05))
    text = comparison_text(found)
    assert text.count("\n| made-model and made-model (2) |") == 3 + 8
    image = figures.get("comparison")(found)
    drawn = image.subfigs[0].axes[1].images[0].get_array()
    order = np.lexsort(
        (
            found["place"].values[:, :, 0].mean(0),
            [list(dict.fromkeys(found["task_function"].values)).index(f) for f in found["task_function"].values],
        )
    )
    np.testing.assert_array_equal(np.sort(drawn, axis=None), np.sort(found["similarity"].values[1], axis=None))
    assert len(order) == drawn.shape[0]
    x, y = image.subfigs[1].axes[0].lines[0].get_data()
    apart = found["task_function"].values[:, None] != found["task_function"].values[None]
    i, j = np.triu_indices(32, 1)
    np.testing.assert_array_equal(x, found["similarity"].values[0][i, j][apart[i, j]])
    np.testing.assert_array_equal(y, found["similarity"].values[1][i, j][apart[i, j]])


def test_the_same_atlas_twice_agrees_wholly():
    one = made_atlas(tasks=4)
    found = compare({"a": one, "b": one, "c": made_atlas(tasks=4, seed=2)})
    assert found.sizes["pair"] == 3 and float(found["agreement"][0, 0]) == pytest.approx(1)
    assert (found["overlap"][0] == 1).all() and (found["depth_change"][0] == 0).all()
    assert "a and b have as many layers and heads: of their top tenth they have 100% to 100% in common" in " ".join(
        comparison_short(found)
    )


def test_what_cannot_be_compared_is_refused():
    one = made_atlas()
    with pytest.raises(InputError, match=r"1 atlas can't be compared\. Give two or more"):
        compare([one])
    with pytest.raises(InputError, match=r"do not all have method 'dla': made-model has ablation, probe; .*ablation"):
        compare([one, made_atlas(methods=("ablation",))], method="dla")
    with pytest.raises(InputError, match="have no function in common"):
        compare([made_atlas(functions=("retrieval", "inference")), made_atlas(functions=("mine", "yours"))])
    bare = xr.DataTree.from_dict({"/": one.to_dataset(), "/ablation": one["ablation"].to_dataset()})
    with pytest.raises(InputError, match="Not all of these atlases hold samples of 'ablation'"):
        compare([one, bare])
    few = compare(
        [
            made_atlas(functions=("retrieval", "inference"), tasks=1),
            made_atlas(functions=("retrieval", "inference"), tasks=1),
        ]
    )
    assert "have 2 tasks in common, too few" in comparison_short(few)[0]
    with pytest.raises(InputError, match="fewer than three tasks in common"):
        figures.get("comparison")(few)


def test_the_command_and_what_it_refuses(tmp_path, capsys):
    for name, seed in (("one", 0), ("two", 1)):
        ha.save_atlas(made_atlas(tasks=3, seed=seed), tmp_path / name / "atlas.nc")
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["compare", f"first={one}", two, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        f"compare.{kind}" for kind in ("html", "md", "nc", "png", "pdf", "svg")
    }
    assert "1. " in printed.err and "first and made-model" in printed.err
    assert main(["compare", one]) == 2 and "Give two or more" in capsys.readouterr().err
    assert main(["compare", f"a={one}", f"a={two}"]) == 2 and "Two atlases are named 'a'" in capsys.readouterr().err
    assert main(["compare", one, str(tmp_path / "three")]) == 2 and "No atlas at" in capsys.readouterr().err


def test_the_page_of_a_comparison(browser, tmp_path):
    hostile = "</script><img src=x onerror=alert(1)>\u202e"
    found = compare(
        {f"one{hostile}": made_atlas(tasks=3), "two": made_atlas(tasks=3, seed=1), "three": made_atlas(tasks=3, seed=2)}
    )
    file = save_comparison_page(found, tmp_path / "compare.html")
    using = opener(browser, file)
    opened = next(using)
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = opened(width=width, color_scheme=scheme)
        assert page.locator("#matrices svg").count() == 3 and page.locator("img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator(".verdict li").count() == len(comparison_short(found))
    with page.expect_download() as got:
        page.get_by_label("Download table agreement as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(got.value.path()).read_text())))
    assert len(rows) == 9
    np.testing.assert_allclose(
        [float(r["correlation"]) for r in rows], found["agreement"].values.reshape(-1), rtol=1e-5
    )
    with pytest.raises(StopIteration):
        next(using)
