"""The published experiments and pruning: on planted models whose truth is known, by hand, and as typed."""

import json
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

import headatlas as ha
from headatlas.atlas import save_atlas
from headatlas.cli.main import main
from headatlas.errors import AtlasError, InputError
from headatlas.experiments import chain, downstream, load_experiment, markdown, masks, prune, save_experiment
from headatlas.experiments.chains import LOW
from headatlas.experiments.outcomes import outcomes
from headatlas.figures import figures
from headatlas.models.load import load_model
from headatlas.prompts import build_prompts
from headatlas.questions.loading import load_questions
from headatlas.questions.schema import Question, QuestionSet, Step
from tests.planted.task_models import two_functions
from tests.saved import save_tiny

ONE_TOKEN = "headatlas.experiments.masking.MORE"


@pytest.fixture(scope="module")
def planted():
    """A model with heads for two functions, six tasks each, and its atlas."""
    p = two_functions(tasks=6)
    return p, ha.measure(p.model, p.questions, methods="ablation(metric=logit_diff)", shots=0)


def own_heads(p, function):
    """The heads that were wired for a function's tasks, the most useful first."""
    gains = np.mean([g for t, g in p.gains.items() if p.functions[t] == function], axis=0)
    return [tuple(int(i) for i in np.unravel_index(at, gains.shape)) for at in np.argsort(-gains, axis=None)]


# -- means and intervals -------------------------------------------------------------------------------------


def test_outcomes_weigh_units_alike_and_pair_changes():
    draw = np.random.default_rng(0)
    unit = np.repeat(["a", "b", "c"], [2, 4, 6])
    values = np.zeros((12, 2, 1))
    values[:, 0, 0] = draw.random(12)
    values[:, 1, 0] = values[:, 0, 0] - 0.1
    found = outcomes(values, np.full(12, "f"), unit, panels=["f", "g"], conditions=["x", "y"], scores=["s"])
    expected = np.mean([values[unit == u, 0, 0].mean() for u in "abc"])
    assert found["value"].sel(panel="f", condition="x").item() == pytest.approx(expected)
    change = found.sel(panel="f", condition="y")
    np.testing.assert_allclose([change[n].item() for n in ("change", "change_low", "change_high")], -0.1)
    assert (change["value_high"] - change["value_low"]).item() > 0.05, "while the values themselves are uncertain"
    assert found["n_items"].sel(panel="g").item() == 0 and np.isnan(found["value"].sel(panel="g")).all()
    single = outcomes(values[:2], np.full(2, "f"), unit[:2], panels=["f"], conditions=["x", "y"], scores=["s"])
    assert np.isnan(single["change_low"]).all(), "one task says nothing of others"


def test_intervals_of_no_change_hold_it():
    """Nothing is changed: at most about one in twenty intervals leaves 0 out, with few tasks of unequal size."""
    draw, outside, trials = np.random.default_rng(1), 0, 150
    unit = np.repeat(np.arange(6), [2, 2, 3, 3, 4, 6]).astype(str)
    for _ in range(trials):
        easy = np.repeat(draw.normal(size=6), [2, 2, 3, 3, 4, 6])
        shift = np.repeat(draw.normal(size=6) * 0.3, [2, 2, 3, 3, 4, 6])  # tasks have effects of their own, around 0
        values = np.stack([easy, easy + shift + draw.normal(size=20) * 0.3], 1)[:, :, None] * 0.1
        found = outcomes(values, np.full(20, "f"), unit, panels=["f"], conditions=["x", "y"], scores=["s"])
        part = found.sel(condition="y", panel="f", score="s")
        outside += not (part["change_low"].item() <= 0 <= part["change_high"].item())
    assert outside <= 0.1 * trials


# -- masks ---------------------------------------------------------------------------------------------------


def test_masks_of_top_random_and_low_heads_are_those_of_plain_passes(planted, monkeypatch):
    monkeypatch.setattr(ONE_TOKEN, 0)  # these models end no answer: it is one token long
    p, atlas = planted
    with pytest.raises(InputError, match="All of these items are among those"):
        masks(p.model, atlas, p.questions)
    found = masks(p.model, atlas, p.questions, k=8, items=3, draws=2, same_items=True)
    part = found.sel(score="exact")
    assert (part["value"].sel(condition="as it is") > 0.9).all()
    assert (part["change"].sel(condition="top") < -0.2).all()
    assert (part["change"].sel(condition="low") == 0).all()
    importance = atlas["ablation"]["importance"]
    prompts = {p_.id: p_ for p_ in build_prompts(p.questions, p.model.tokenizer, shots=0)}
    for function in part["panel"].values.tolist():
        own = importance.sel(function=function).values
        top = [np.unravel_index(i, own.shape) for i in np.argsort(-own, axis=None)[:8]]

        def removed(z, layer, top=top):
            new = z.clone()
            for at, head in top:
                if at == layer:
                    new[:, -1, head] *= 1e-4
            return new

        taken, right = {}, {}
        for prompt in prompts.values():
            if prompt.function == function and taken.setdefault(prompt.task, 0) < 3:
                taken[prompt.task] += 1
                with p.model.edit({i: partial(removed, layer=i) for i in range(4)}), torch.inference_mode():
                    logits = p.model.model(input_ids=torch.from_numpy(prompt.prefix)[None]).logits[0, -1]
                said = p.model.tokenizer.decode(logits.argmax()).casefold()  # exact match is blind to case
                right.setdefault(prompt.task, []).append(float(said == prompt.answer.casefold()))
        expected = np.mean([np.mean(r) for r in right.values()])
        assert part["value"].sel(panel=function, condition="top").item() == pytest.approx(expected)
    assert "Top: exact match changes by" in markdown(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"by": "nonsense"}, "Unknown --by 'nonsense'"),
        ({"k": 20}, "20 random heads can't be drawn"),
        ({"k": 30}, "30 heads can't be taken of 24"),
        ({"draws": 0}, "0 draws of"),
        ({"method": "prob"}, "no method 'prob'"),
        ({"positions": "some"}, "Unknown positions"),
    ],
)
def test_masks_that_make_no_sense_are_refused(planted, given, message):
    p, atlas = planted
    with pytest.raises(InputError, match=message):
        masks(p.model, atlas, p.questions, **{"k": 3, "same_items": True, **given})


# -- chains --------------------------------------------------------------------------------------------------


def chained(n=5):
    """Questions of three steps: two low-order, then one high-order."""

    def steps(i):
        for j, f in enumerate(("retrieval", "knowledge_recall", "inference")):
            yield Step(subquestion=f"What is {f} {i}?", answer=f"ball {j}", function=f)

    asked = [Question(id=f"q{i}", question=f"Anna has {i} red balls.", steps=tuple(steps(i))) for i in range(n)]
    return QuestionSet(tuple(asked), "chains")


@pytest.fixture(scope="module")
def tiny_atlas(tmp_path_factory):
    """(folder, model, atlas file) of a tiny random model, mapped on chains."""
    home = tmp_path_factory.mktemp("chains")
    model = load_model(str(save_tiny(home / "tiny", context=2048)))
    atlas = ha.measure(model, chained(), methods="ablation", keep_unable=True)
    save_atlas(atlas, home / "atlas.nc")
    (home / "chains.jsonl").write_text("\n".join(q.model_dump_json() for q in chained().questions))
    return home, model, atlas


def by_hand(model, question, edit, where, earlier=None):
    """A chain answered step by step with stock `generate`, one prompt at a time."""
    given = []
    for number, step in enumerate(question.steps):
        seen = given if earlier is None else earlier
        steps = [
            s.model_copy(update={"answer": a or "(none)"}) for s, a in zip(question.steps, seen[:number], strict=False)
        ]
        cut = question.model_copy(update={"steps": (*steps, step)})
        prompt = build_prompts(QuestionSet((cut,), "one"), model.tokenizer, template="short")[number].prefix
        if edit is not None and step.function in where:
            with model.edit(edit):
                new = model.generate(prompt, max_new_tokens=6)
        else:
            new = model.generate(prompt, max_new_tokens=6)
        given.append(model.tokenizer.decode(new, skip_special_tokens=True).split("\n")[0].strip())
    return given


def test_each_step_sees_what_was_answered_under_the_same_condition(tiny_atlas, monkeypatch):
    _, model, atlas = tiny_atlas
    texts = {}

    def keep(name, answer, references):
        texts.setdefault(name, []).append(answer)
        return 0.5

    monkeypatch.setattr("headatlas.experiments.chains.score", keep)
    found = chain(model, atlas, chained(), k=2, draws=1, tokens=6, seed=3)
    assert list(found["condition"].values) == [
        "as it is", "low-order heads masked", "random heads masked", "through answers", "in place",
    ]  # fmt: skip
    from headatlas.experiments.heads import first_heads, removed

    low = [f for f in LOW if f in atlas["ablation"]["function"].values]
    heads = sorted({h for f in low for h in first_heads(atlas, f, 2, part="whole", method=None)})
    edit = removed(heads, "scale", None, "answer")
    every, got = {"retrieval", "knowledge_recall", "inference"}, texts["exact"]
    at = 0
    for question in chained().questions:
        plain = by_hand(model, question, None, ())
        expected = [
            plain,
            by_hand(model, question, edit, every),
            None,
            by_hand(model, question, edit, set(LOW)),
            by_hand(model, question, edit, every - set(LOW), plain),
        ]
        for step in range(3):
            for condition, wanted in enumerate(expected):
                if wanted is not None:
                    assert got[at + condition] == wanted[step], (question.id, step, condition)
            at += 5
    assert found["n_items"].sel(panel="low-order steps").values.tolist()[0] == 10


def test_sets_without_chains_are_refused(planted, tiny_atlas):
    p, atlas = planted
    _, model, made = tiny_atlas
    with pytest.raises(InputError, match="No question has a chain of steps"):
        chain(p.model, atlas, p.questions)
    with pytest.raises(InputError, match="show nothing"):
        chain(model, made, chained(), draws=0)


# -- downstream ----------------------------------------------------------------------------------------------


def test_heads_of_the_task_hurt_it_and_what_is_tested_chose_nothing(planted, monkeypatch):
    p, atlas = planted
    found = downstream(p.model, atlas, p.questions, function="retrieval", k=8, tokens=1, alphas=(1.0, 4.0), draws=2,
                       limit=None, seed=1)  # fmt: skip
    part = found.sel(score="exact", panel=p.questions.name)
    assert part["value"].sel(condition="as it is").item() > 0.9
    assert part["change"].sel(condition="heads removed").item() < -0.1
    assert found["swept"].shape == (3, 3) and found["direction"].values[0] == "answer - foil", "it errs too seldom"
    assert found["swept"].sel(alpha=0.0).values.std() == 0
    chosen = found.attrs["alpha_chosen"]
    row = found["swept"].values[0]
    assert chosen == (0.0 if row[1:].max() <= row[0] else found["alpha"].values[1 + row[1:].argmax()])


def test_directions_do_not_see_dev_or_test(tiny_atlas, monkeypatch):
    """Answers of dev and test are changed: the direction stays."""
    _, model, atlas = tiny_atlas
    from headatlas.experiments import steering

    seen = []
    monkeypatch.setattr(
        steering, "steering_direction", lambda a, b: seen.append((a, b)) or np.ones((3, 4, 6), np.float32)
    )
    words = ["red", "blue", "ball", "box"]

    def task(change):
        questions = []
        for split, n in (("train", 12), ("dev", 6), ("test", 8)):
            for i in range(n):
                answer = words[i % 4] if split == "train" or not change else words[(i + 1) % 4]
                step = Step(subquestion=f"Which {split} {i}?", answer=answer, foil="Anna", function="retrieval")
                questions.append(Question(id=f"{split}{i}", question=step.subquestion, steps=(step,), split=split))
        return QuestionSet(tuple(questions), "task")

    for change in (False, True):
        downstream(model, atlas, task(change), function="retrieval", k=2, tokens=2, alphas=(1.0,), draws=1)
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(seen[0][0]) == 12 and len(seen[0][1]) == 12


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"function": "retreival"}, "no function 'retreival'"),
        ({"metric": "bleu"}, "Unknown metric 'bleu'"),
        ({"alphas": (0.0,)}, "Alphas are sizes above 0"),
        ({"limit": 8}, "Too few items"),
    ],
)
def test_downstream_tasks_that_make_no_sense_are_refused(planted, given, message):
    p, atlas = planted
    with pytest.raises(InputError, match=message):
        downstream(p.model, atlas, p.questions, **{"function": "retrieval", "k": 3, "tokens": 1, **given})


# -- pruning -------------------------------------------------------------------------------------------------


def test_heads_that_do_nothing_are_dropped_and_those_that_were_wired_are_kept(planted):
    p, atlas = planted
    found = prune(p.model, atlas, p.questions, keep=0.95, draws=2)
    dropped = {tuple(int(i) for i in at) for at in np.argwhere(found["dropped"].values)}
    idle = {(a, b) for a in range(4) for b in range(6) if all(g[a, b] == 0 for g in p.gains.values())}
    assert len(dropped & idle) >= 0.8 * len(idle)
    kept = found["kept"]
    assert (kept.sel(condition="by the atlas") >= 0.9).all()
    assert kept.sel(condition="by magnitude").min() < 0.9, "decoys write as loudly as what answers"
    with p.model.edit(ha.interventions.Mask(tuple(dropped))):
        captured = p.model.capture(build_prompts(p.questions, p.model.tokenizer, shots=0))
    assert (captured.logprob > captured.foil_logprob).mean() >= 0.9
    text = markdown(found)
    assert f"{len(dropped)} heads dropped by the atlas" in text and "## Heads that can be dropped" in text


def test_shares_that_are_none_are_refused(planted):
    p, atlas = planted
    for keep in (0.0, 1.1):
        with pytest.raises(InputError, match="is no share"):
            prune(p.model, atlas, p.questions, keep=keep)


# -- files, figures, commands --------------------------------------------------------------------------------


def test_files_hold_what_was_found_and_the_figure_draws_it(planted, tmp_path, monkeypatch):
    monkeypatch.setattr(ONE_TOKEN, 0)
    p, atlas = planted
    found = masks(p.model, atlas, p.questions, k=4, items=2, draws=1, same_items=True)
    paths = save_experiment(found, tmp_path)
    assert {path.name for path in paths} == {f"masks.{end}" for end in ("png", "pdf", "svg", "md", "nc")}
    xr.testing.assert_identical(load_experiment(tmp_path / "masks.nc"), found)
    above, below = figures.get("experiment")(found).axes[:2]
    part = found.sel(score="exact")
    for i, condition in enumerate(part["condition"].values):
        np.testing.assert_allclose(above.lines[i].get_ydata(), part["value"].sel(condition=condition))
    np.testing.assert_allclose(below.lines[0].get_ydata(), part["change"].sel(condition="top"))
    with pytest.raises(InputError, match="No score 'bleu'"):
        figures.get("experiment")(found, score="bleu")
    (tmp_path / "other.nc").write_bytes(b"no")
    with pytest.raises(AtlasError, match="headatlas experiment"):
        load_experiment(tmp_path / "other.nc")


def test_the_commands(tiny_atlas, tmp_path, capsys):
    home, _, _ = tiny_atlas
    common = [
        str(home / "atlas.nc"),
        "-q",
        str(home / "chains.jsonl"),
        "--model",
        str(home / "tiny"),
        "--out",
        str(tmp_path),
    ]
    assert main(["experiment", "masks", *common, "--k", "2", "--items", "1", "--draws", "1", "--same-items"]) == 0
    assert main(["experiment", "chain", *common, "--k", "1", "--draws", "1", "--tokens", "3"]) == 0
    first = (tmp_path / "chain.md").read_text()
    assert "Through answers" in first and "## Exact match" in first
    capsys.readouterr()
    assert main(["experiment", "chain", *common, "--k", "1", "--draws", "1", "--tokens", "3"]) == 0
    assert "answering chains" not in capsys.readouterr().err, "what was answered is not answered again"
    assert (tmp_path / "chain.md").read_text() == first
    docs = tmp_path / "gsm.jsonl"
    docs.write_text(
        "\n".join(json.dumps({"question": f"What is {i} + 1?", "answer": f"Add.\n#### {i + 1}"}) for i in range(60))
    )
    asked = [*common[:1], "-q", str(docs), *common[3:]]
    run = ["experiment", "downstream", *asked, "-f", "inference", "--k", "1", "--metric", "number", "--alpha", "1"]
    run += ["--draws", "1", "--tokens", "3"]
    assert main(run) == 0
    assert "Alpha on dev" in (tmp_path / "downstream.md").read_text()
    assert main([*run, "--alpha", "one"]) == 2
    assert "--alpha 'one' are no numbers" in capsys.readouterr().err


# -- benchmarks' records -------------------------------------------------------------------------------------


def test_records_of_benchmarks_are_known_by_their_fields(tmp_path):
    gsm, squad = tmp_path / "gsm8k.jsonl", tmp_path / "squad.jsonl"
    gsm.write_text(json.dumps({"question": "2 and 3?", "answer": "2 + 3 = 5\n#### 1,005"}) + "\n")
    said = {"text": ["Rome", "in Rome", "Rome"], "answer_start": [11, 8, 11]}
    nothing = {"text": [], "answer_start": []}
    rows = [
        {"id": "x1", "title": "T", "context": "Anna is in Rome.", "question": "Where?", "answers": said},
        {"id": "x2", "title": "T", "context": "Anna is in Rome.", "question": "Who is not?", "answers": nothing},
    ]
    squad.write_text("\n".join(map(json.dumps, rows)))
    (worked,) = load_questions(str(gsm)).questions
    assert (worked.passage, worked.steps[0].subquestion, worked.steps[0].answer) == ("", "2 and 3?", "1,005")
    read = load_questions(str(squad))
    (extractive,) = read.questions
    assert (extractive.id, extractive.passage, extractive.steps[0].answer) == ("x1", "Anna is in Rome.", "Rome")
    assert extractive.model_extra["accepted"] == ["Rome", "in Rome"]
    assert read.left_out == {"questions without an answer": 1}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_data_set_of_benchmark_records_keeps_its_splits(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def rows(name, n):
        answers = {"text": ["Rome", "the city"], "answer_start": [0, 1]}
        return [
            {"id": f"{name}{i}", "context": f"{name} {i}", "question": "Where?", "answers": answers} for i in range(n)
        ]

    parts = {name: datasets.Dataset.from_list(rows(name, n)) for name, n in (("train", 3), ("validation", 2))}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "squad"))
    read = load_questions(tmp_path / "squad")
    assert [(q.id, q.split, q.steps[0].answer) for q in read.questions[2:4]] == [
        ("train2", "train", "Rome"),
        ("validation0", "validation", "Rome"),
    ]
    assert read.questions[0].model_extra["accepted"] == ["Rome", "the city"]


@pytest.mark.parametrize(
    ("splits", "sizes"),
    [
        ({"train": 30, "test": 10}, {"train": 20, "dev": 10, "test": 10}),
        ({"train": 20, "validation": 6, "test": 10}, {"train": 20, "dev": 6, "test": 10}),
        ({None: 50}, {"train": 20, "dev": 10, "test": 20}),
    ],
)
def test_splits_are_those_of_the_set_or_dealt(splits, sizes):
    from headatlas.experiments.steering import _deal
    from tests.tiny import random_prompts

    prompts = random_prompts(sum(splits.values()))
    names = [name for name, n in splits.items() for _ in range(n)]
    split = {p.id: name for p, name in zip(prompts, names, strict=True)}
    dealt = _deal(prompts, split, None, 0)
    assert {name: len(own) for name, own in dealt.items()} == sizes
    ids = [p.id for own in dealt.values() for p in own]
    assert len(ids) == len(set(ids))
    if "test" in splits:
        assert {split[p.id] for p in dealt["test"]} == {"test"}
        assert {split[p.id] for p in dealt["dev"]} <= {"train", "validation"}
