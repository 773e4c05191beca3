"""A map put to the test: on planted models whose truth is known, by simulation where there is none, and as typed."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

import headatlas as ha
from headatlas.atlas import load_atlas, save_atlas
from headatlas.cli.main import main
from headatlas.errors import AtlasError, InputError
from headatlas.figures import figures
from headatlas.models.groups import knocked_out
from headatlas.validation import Design, load_validation, markdown, save_validation, validate
from headatlas.validation.answered import asked_items
from headatlas.validation.choosing import chosen, folds_of, maps_of, matched
from headatlas.validation.setting import Setting, setting
from headatlas.validation.summary import summary
from tests.planted.task_models import no_function, two_functions
from tests.saved import save_tiny
from tests.test_tasks import rows

SMALL = Design(ks=(1, 3, 6), draws=12)


# -- choosing ------------------------------------------------------------------------------------------------


def test_folds_keep_tasks_whole_and_deal_every_functions_evenly():
    function = np.repeat(["a", "b", "c"], [21, 15, 6])
    unit = np.array([f"{f}{i // 3}" for f in "abc" for i in range({"a": 21, "b": 15, "c": 6}[f])])
    for seed in range(5):
        fold = folds_of(function, unit, folds=2, seed=seed)
        for u in set(unit):
            assert len(set(fold[unit == u])) == 1
        for f in "abc":
            counts = [len(set(unit[(function == f) & (fold == k)])) for k in (0, 1)]
            assert abs(counts[0] - counts[1]) <= 1
    assert len({tuple(folds_of(function, unit, folds=2, seed=s)) for s in range(5)}) > 1
    with pytest.raises(InputError, match=r"Function 'c' has 2 task.* 3 parts need 3 or more"):
        folds_of(function, unit, folds=3, seed=0)


def test_random_heads_are_of_the_layers_of_the_chosen_write_as_much_and_are_none_of_them():
    draw = np.random.default_rng(0)
    written = np.exp(draw.normal(size=(6, 8)) * 2)
    heads = [(0, 1), (3, 2), (3, 5), (5, 0), (5, 7)]
    drawn = [matched(heads, written, np.random.default_rng(i)) for i in range(200)]
    for one in drawn:
        assert len(set(one)) == 5 and not set(one) & set(heads)
        assert sorted(layer for layer, _ in one) == [0, 3, 3, 5, 5]
    ratio = [
        abs(np.log(written[b] / written[a])) for one in drawn for a, b in zip(sorted(heads), sorted(one), strict=True)
    ]
    any_pair = [abs(np.log(written[5, i] / written[5, j])) for i in range(8) for j in range(8) if i != j]
    assert np.mean(ratio) < np.mean(any_pair)
    whole_layer = [(2, h) for h in range(8)]
    layers = {layer for layer, _ in matched(whole_layer, written, draw)}
    assert layers <= {0, 1, 3, 4, 5}, "where a layer has none left, the nearest"


def test_what_is_chosen_does_not_depend_on_what_is_tested():
    draw = np.random.default_rng(0)
    effects, function = draw.normal(size=(24, 4, 5)), np.repeat(["a", "b"], 12)
    unit = np.array([f"{f}{i // 3}" for f in "ab" for i in range(12)])
    fold = folds_of(function, unit, folds=2, seed=0)

    def choose(effects):
        train = fold != 0
        return chosen(maps_of(effects[train], function[train], unit[train], ["a", "b"]), np.ones((4, 5)), SMALL, fold=0)

    changed = effects.copy()
    changed[fold == 0] += 100 * draw.normal(size=changed[fold == 0].shape)
    assert choose(changed) == choose(effects)
    found = choose(effects)
    maps = maps_of(effects[fold != 0], function[fold != 0], unit[fold != 0], ["a", "b"])
    at = tuple(int(i) for i in np.unravel_index(np.argmax(maps[0] - maps[1]), (4, 5)))
    assert found["specific", 0, 1, 0] == [at]
    assert len(found["all", 0, 0, 0]) == 20 and len(found["kept", 0, 3, 0]) == 17
    assert set(found["kept", 0, 3, 0]) == set(found["all", 0, 0, 0]) - set(found["whole", 0, 3, 0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ks": (3, 1)}, "must rise"),
        ({"ks": ()}, "must rise"),
        ({"ks": (0, 1)}, "must rise"),
        ({"draws": 1}, "test nothing"),
        ({"folds": 1}, "test nothing"),
    ],
)
def test_designs_that_test_nothing_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        Design(**given)
    with pytest.raises(InputError, match="Give --k of 9 at most"):
        Design(ks=(10,)).check(18)


# -- planted models ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """(what was wired, its validation) of a model with two functions and of one with none; six tasks a function."""
    found = {}
    for name, make in (("two", two_functions), ("none", no_function)):
        p = make(tasks=6)
        atlas = ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)
        found[name] = p, validate(p.model, atlas, p.questions, design=SMALL)
    return found


def test_heads_of_a_function_cost_its_held_out_tasks_and_no_others(planted):
    p, found = planted["two"]
    own = found.sel(outcome="logit_diff", what="specific", k=3)["effect"].transpose("function", "measured").values
    wired = {
        f: np.mean([g for t, g in p.gains.items() if p.functions[t] == f], axis=0) for f in found["function"].values
    }
    a, b = (wired[f] for f in found["function"].values)
    shared = [float(np.sort((one - other).ravel())[-3:].sum()) for one, other in ((a, b), (b, a))]
    np.testing.assert_allclose(np.diagonal(own), shared, rtol=0.35)
    assert np.abs(own[[0, 1], [1, 0]]).max() < 0.15 * min(shared)
    assert (found["excess_low"].sel(outcome="logit_diff", tested="specific", k=3) > 0).all()
    assert (found["selectivity_low"].sel(outcome="logit_diff", tested="specific", k=3) > 0).all()
    assert (found["excess_p"].sel(outcome="logit_diff", tested="specific", k=3) == 1 / 13).all()
    q = found["double_q"].transpose("function", "measured").values
    assert q[0, 1] == q[1, 0] < 0.05 and (np.diagonal(q) == 1).all()
    text = markdown(found)
    assert "for 2 of 2 functions" in text and "shown for 1 of 1 pairs" in text and "Not shown" not in text


def test_where_no_head_does_a_function_none_is_said_to(planted):
    _, found = planted["none"]
    assert not (found["selectivity_low"].sel(outcome="logit_diff", tested="specific", k=3) > 0).any()
    assert found["double_q"].values.min() > 0.05
    assert "shown for 0 of 1 pairs" in markdown(found) and "Not shown" in markdown(found)


def test_curves_end_where_they_must_and_kept_heads_spare_what_they_do(planted):
    _, found = planted["two"]
    own = found.sel(outcome="logit_diff")
    faith = own["faithfulness"].transpose("function", "k").values
    assert (np.diff(faith, axis=1) > 0).all() and faith[:, -1].min() > 0.8, "six heads do nearly all"
    assert (own["cpr"] > 0.8).all() and (own["cmd"] < 0.2).all()
    assert (own["deletion_area_low"].sel(tested="whole") > 0).all()


def test_rows_are_those_of_the_groups_removed_by_hand(planted):
    """The matrix's own-diagonal once more, from the model itself, by what the docs say is done."""
    p, found = planted["two"]
    atlas = ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)
    from headatlas.run.jobs import capture
    from headatlas.work.job import Run

    given = setting(p.model, atlas, p.questions)
    fold = folds_of(given.function, given.unit, folds=2, seed=0)
    z = capture(p.model, given.prompts, Run({"answers": "reference"})).activations.z
    import torch

    means, effect = {}, []
    for name in given.functions[:1]:
        for k in (0, 1):
            train = fold != k
            maps = maps_of(given.effects[train], given.function[train], given.unit[train], given.functions)
            heads = chosen(maps, np.ones(maps.shape[1:]), SMALL, fold=k)["specific", 0, 3, 0]
            means[k] = np.mean([z[train & (given.function == f)].mean(0) for f in given.functions], axis=0)
            for unit in sorted(set(given.unit[(fold == k) & (given.function == name)])):
                own = [q for q, u in zip(given.prompts, given.unit, strict=True) if u == unit]
                drop = knocked_out(p.model, own, [heads], torch.from_numpy(means[k]), metrics=("logit_diff",))
                effect.append(drop.mean())
    stored = found["effect"].sel(outcome="logit_diff", what="specific", k=3).transpose("function", "measured").values
    assert np.mean(effect) == pytest.approx(stored[0, 0], rel=1e-4)


# -- simulation ----------------------------------------------------------------------------------------------


def null_summary(seed, *, functions=4, tasks=6, items=8, by_item=False):
    """The summary of rows in which no group of heads means anything: every condition has tasks' and items' noise."""
    draw = np.random.default_rng(seed)
    design = Design(ks=(2,), draws=10, seed=seed)
    names = [f"f{i}" for i in range(functions)]
    function = np.repeat(names, tasks * items)
    unit = np.array([f"{f}-{t}" for f in names for t in range(tasks) for _ in range(items)])
    conditions = list(chosen(draw.normal(size=(functions, 3, 4)), np.ones((3, 4)), design, fold=0))
    scale = np.exp(draw.normal(size=len(function)))[:, None]  # items of unequal noise
    effects = scale * draw.normal(size=(len(function), len(conditions)))
    place = np.unique(unit, return_inverse=True)[1]
    effects += 2 * draw.normal(size=(place.max() + 1, len(conditions)))[place]
    unit = np.arange(len(unit)).astype(str) if by_item else unit
    given = Setting([], function, unit, True, tuple(names), np.zeros((len(function), 3, 4)))
    return summary(effects[..., None], conditions, given, design, ("logprob",))


def test_a_function_of_two_tasks_widens_its_own_intervals_only():
    from headatlas.validation.summary import _put

    draw = np.random.default_rng(0)
    values = np.concatenate([np.zeros((1, 2, 3, 1)), draw.normal(size=(4000, 2, 3, 1))])
    found = xr.Dataset()
    _put(found, "x", ("outcome", "function", "k"), values, np.array([2, 7, 40]))
    half = ((found["x_high"] - found["x_low"]) / 2).transpose("function", "outcome", "k").values
    np.testing.assert_allclose(half.mean((1, 2)), [12.7, 2.447, 1.96], rtol=0.06)  # Student's quantiles
    other = xr.Dataset()
    _put(other, "y", ("function", "measured", "k"), values, np.array([2, 7, 40]))
    by_task = ((other["y_high"] - other["y_low"]) / 2).mean(("function", "k")).values
    np.testing.assert_allclose(by_task, [12.7, 2.447, 1.96], rtol=0.06)


@pytest.mark.parametrize("tasks", [4, 7])
def test_nothing_is_found_where_there_is_nothing(tasks):
    found = [null_summary(seed, tasks=tasks) for seed in range(60)]

    def called(name):
        return np.mean([(one[name + "_low"].sel(tested="specific") > 0).values for one in found])

    # 240 functions: 2.5% and less than 2.6 standard errors of tasks that are correlated within a set
    assert called("excess") <= 0.06 and called("selectivity") <= 0.06
    assert np.mean([one["double_q"].values.min() < 0.05 for one in found]) <= 0.05


def test_taking_items_for_units_would_call_what_is_not_there():
    """The same rows with every item a unit of its own: what two levels are for."""
    called = {}
    for by_item in (False, True):
        found = [null_summary(seed, by_item=by_item)["effect_low"].sel(what="specific") > 0 for seed in range(20)]
        called[by_item] = np.mean([one.values for one in found])
    assert called[False] <= 0.06 and called[True] >= 0.12, "19% where 2.5% are due"


# -- files and the command -----------------------------------------------------------------------------------


def test_files_hold_what_was_found_and_figures_draw_it(planted, tmp_path):
    _, found = planted["two"]
    found = found.assign_attrs(model="planted")
    written = save_validation(found, tmp_path)
    assert written[-1].name == "validation.nc" and len(written) == 8
    xr.testing.assert_allclose(load_validation(tmp_path), found)
    figure = figures.get("dissociation")(found, k=3)
    texts = [t.get_text() for t in figure.axes[0].texts]
    matrix = found["effect"].sel(what="specific", k=3, outcome="logit_diff").transpose("function", "measured").values
    assert texts[:4] == [f"{v:.2f}" for v in matrix.ravel()]
    lines = figures.get("ablation_curves")(found).axes[0].get_lines()
    own = found["effect"].sel(what="specific", outcome="logit_diff").isel(function=0, measured=0).values
    np.testing.assert_allclose(lines[0].get_ydata(), [0, *own])
    with pytest.raises(InputError, match=r"No k 4 was measured. Known: 1, 3, 6"):
        figures.get("dissociation")(found, k=4)
    with pytest.raises(AtlasError, match="Make one with: headatlas validate"):
        load_validation(tmp_path / "validation.md")


def write_tasks(path):
    import json

    foil = {"red": "blue", "blue": "red"}
    path.write_text("".join(json.dumps(r | {"foil": foil[r["answer"]]}) + "\n" for r in rows(tasks=4, items=4)))
    return path


@pytest.mark.slower
def test_the_command_from_an_atlas_to_its_files_and_what_it_refuses(tmp_path, capsys):
    model, other = save_tiny(tmp_path / "tiny"), save_tiny(tmp_path / "other", seed=1)
    asked, atlas = write_tasks(tmp_path / "tasks.jsonl"), tmp_path / "atlas"
    run = ["map", str(model), "-q", str(asked), "--method", "ablation", "--keep-unable", "--out", str(atlas)]
    assert main(run) == 0
    capsys.readouterr()
    command = ["validate", str(atlas), "-q", str(asked), "--model", str(model), "--k", "1,3", "--draws", "3"]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert str(atlas / "validation.nc") in shown.out and "removed, cost its held-out tasks more" in shown.err
    before = load_validation(atlas)
    assert main(command) == 0, "again: from the rows that are there"
    xr.testing.assert_identical(load_validation(atlas), before)
    capsys.readouterr()
    for change, message in (
        (["--model", str(other)], "The atlas is of tiny, and the model is other: other weights"),
        (["--k", "7"], "7 heads of 12 can't be matched by as many others. Give --k of 6 at most"),
        (["--k", "a"], "--k 'a' are no numbers"),
        (["--method", "probe"], "probe"),
        (["--folds", "5"], "has 4 task(s) or main question(s)"),
        (["-q", "controlled"], "these questions are others"),
    ):
        assert main([*command, *change]) == 2, change
        said = capsys.readouterr().err.splitlines()[-1]
        assert message in said and said.startswith("headatlas: "), said
    assert main([*command, "--model", str(other), "--force", "--out", str(tmp_path / "forced")]) == 0
    tree = load_atlas(atlas)
    tree.attrs["template"] = tree.attrs["template"].replace("reference", "generated")
    save_atlas(tree, tmp_path / "generated.nc")
    assert main(["validate", str(tmp_path / "generated.nc"), *command[2:]]) == 2
    assert "Only maps of reference answers" in capsys.readouterr().err


# -- what it answers itself ------------------------------------------------------------------------------------


def test_generated_answers_are_those_of_the_model_with_the_heads_removed_by_hand(planted, monkeypatch):
    """Exact match as it is, without its own and without the other function's heads, one stock forward pass each."""
    monkeypatch.setattr("headatlas.validation.answered.MORE", 0)  # these models end no answer: it is one token long
    p, _ = planted["two"]
    eight = Design(ks=(1, 8), draws=12)
    atlas = ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)
    found = validate(p.model, atlas, p.questions, design=eight)
    given = setting(p.model, atlas, p.questions)
    fold = folds_of(given.function, given.unit, folds=2, seed=0)
    z = p.model.capture(given.prompts).z
    asked = asked_items(given.unit, eight.answers)
    right = {"as it is": np.full(len(asked), np.nan), 0: np.full(len(asked), np.nan), 1: np.full(len(asked), np.nan)}
    for at, i in enumerate(asked.tolist()):
        train = fold != fold[i]
        maps = maps_of(given.effects[train], given.function[train], given.unit[train], given.functions)
        mean = np.mean([z[train & (given.function == f)].mean(0) for f in given.functions], axis=0)
        prompt = given.prompts[i]
        for case in right:
            sets = chosen(maps, np.ones(maps.shape[1:]), eight, fold=0)
            heads = () if case == "as it is" else sets["specific", case, 8, 0]

            def replace(z, heads, layer, mean=mean):
                new = z.clone()
                for at, head in heads:
                    if at == layer:
                        new[:, -1, head] = torch.from_numpy(mean[layer, head]).to(new.dtype)
                return new

            edits = {layer: partial(replace, heads=heads, layer=layer) for layer in range(p.model.n_layers)}
            with p.model.edit(edits), torch.inference_mode():
                logits = p.model.model(input_ids=torch.from_numpy(prompt.prefix)[None]).logits[0, -1]
            right[case][at] = float(logits.argmax()) == prompt.answer_tokens[0]
    of_function = given.function[asked]
    score = found.sel(score="exact")
    for name in given.functions:
        own = of_function == name
        assert score["answer_as_is"].sel(measured=name).item() == pytest.approx(right["as it is"][own].mean())
        for f, other in enumerate(given.functions):
            drop = (right["as it is"] - right[f])[own].mean()
            assert score["answer_drop"].sel(function=other, measured=name).item() == pytest.approx(drop)
    assert (score["answer_as_is"] > 0.9).all() and (score["answer_own_drop"].sel(what="whole") > 0.2).all()
    text = markdown(found)
    assert "## What it answers" in text and "Exact match:" in text and "The number:" not in text


def test_where_no_answers_are_asked_for_none_are_given(planted):
    p, _ = planted["two"]
    atlas = ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)
    found = validate(p.model, atlas, p.questions, design=replace(SMALL, answers=0))
    assert "answer_as_is" not in found and "What it answers" not in markdown(found)


def test_a_judge_is_asked_of_every_distinct_answer(planted):
    p, _ = planted["two"]
    atlas = ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)
    asked = []

    def judge(question, reference, answer):
        asked.append((question, answer))
        return float(answer == reference)

    found = validate(p.model, atlas, p.questions, design=replace(SMALL, answers=1), judge=judge)
    exact, judged = (found["answer_as_is"].sel(score=name).values for name in ("exact", "judged"))
    np.testing.assert_array_equal(exact, judged)
    assert len(asked) == len(set(asked)) and "Judged right:" in markdown(found)


def test_a_killed_validation_goes_on_where_it_was(planted, tmp_path, monkeypatch):
    p, _ = planted["two"]
    atlas = ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)
    monkeypatch.setattr("headatlas.work.store.ROWS", 8)
    whole = validate(p.model, atlas, p.questions, design=SMALL)
    calls = []

    def killed(*args, **options):
        calls.append(len(args[1]))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return knocked_out(*args, **options)

    monkeypatch.setattr("headatlas.validation.experiment.knocked_out", killed)
    with pytest.raises(KeyboardInterrupt):
        validate(p.model, atlas, p.questions, design=SMALL, store=tmp_path)
    before = len(calls)
    found = validate(p.model, atlas, p.questions, design=SMALL, store=tmp_path)
    xr.testing.assert_identical(found, whole)
    again = len(calls)
    validate(p.model, atlas, p.questions, design=SMALL, store=tmp_path)
    assert len(calls) == again, "what is done is not done again"
    assert sum(calls[before:again]) < 96, "and of the rest only what was not kept"
