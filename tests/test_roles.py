"""Roles: heads whose roles are known, needles, intervals, files, the command and the figure."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

from headatlas.cli.main import main
from headatlas.errors import AtlasError, InputError, StoreError
from headatlas.figures import figures, save_figure
from headatlas.figures.roles import UNSEEN, roles
from headatlas.models.patterns import Patterns
from headatlas.questions.loading import load_questions
from headatlas.questions.schema import Question, QuestionSet, Step
from headatlas.roles.definitions import ROLES
from headatlas.roles.files import load_roles, save_roles, top_heads
from headatlas.roles.needles import build_needles, find_needle, split_sentences
from headatlas.roles.scores import bootstrap, discard_rows, measure_roles, random_sequences
from tests.planted.roles_models import OPENING, PLANTED, planted_model, planted_questions

SMALL = {"n_random": 6, "half": 40, "sentences": 6, "n_boot": 50}


def test_intervals_resample_sequences_and_leave_out_what_saw_nothing():
    draw = np.random.default_rng(0)
    samples = draw.normal(3, 1, (40, 2, 3))
    samples[:, 1, 2] = np.nan
    samples[:5, 0, 0] = np.nan
    mean, low, high = bootstrap(samples, 2000, np.random.default_rng(1))
    np.testing.assert_allclose(mean[0, 0], samples[5:, 0, 0].mean(), rtol=1e-6)
    assert np.isnan([mean[1, 2], low[1, 2], high[1, 2]]).all()
    width = 2 * 1.96 * samples[:, 0, 1].std() / 40**0.5
    assert high[0, 1] - low[0, 1] == pytest.approx(width, rel=0.1)
    assert (low[0] < mean[0]).all() and (mean[0] < high[0]).all()


# -- needles ----------------------------------------------------------------------------------------------------


def test_needles_stand_where_they_say_and_nowhere_else(tokenizer):
    questions = load_questions("controlled", limit=40)
    needles = build_needles(questions, tokenizer, n=20, sentences=6, seed=3)
    passages = {q.id: q.question for q in questions.questions}
    depths = set()
    assert len(needles) == 20
    for needle in needles:
        prompt = needle.prompt
        text = tokenizer.decode(prompt.tokens[slice(*needle.span)]).strip()
        step = Step(subquestion=prompt.subquestion, answer=prompt.answer, function="retrieval")
        assert text == find_needle(passages[prompt.group.removesuffix("/needle")], step)
        sentences = split_sentences(prompt.passage)
        depths.add(sentences.index(text))
        assert len(sentences) == 6
        assert not any(prompt.answer.lower() in s.lower().split() for s in sentences if s != text)
        for position, keys in needle.wanted.items():
            assert len(keys) and (needle.span[0] <= keys).all() and (keys < needle.span[1]).all()
            assert (prompt.tokens[keys] == prompt.tokens[position + 1]).all()
            assert position in prompt.predicting
    assert 0 not in depths and len(depths) > 3


def test_needles_repeat_with_their_seed(tokenizer):
    questions = load_questions("controlled", limit=30)
    one, same, other = (build_needles(questions, tokenizer, n=5, seed=s) for s in (0, 0, 1))
    assert [n.prompt.tokens.tolist() for n in one] == [n.prompt.tokens.tolist() for n in same]
    assert [n.prompt.tokens.tolist() for n in one] != [n.prompt.tokens.tolist() for n in other]


def test_questions_without_a_needle_are_refused(tokenizer):
    step = Step(subquestion="What is the capital of France?", answer="Paris", function="retrieval")
    questions = QuestionSet((Question(id="a", question="Where is it?", steps=(step,)),), "mine")
    with pytest.raises(InputError, match=r"'mine' gives no needle item: none of its 1 retrieval steps"):
        build_needles(questions, tokenizer)


def test_a_needle_is_the_one_sentence_that_fits():
    step = Step(subquestion="Who feeds the hens?", answer="Ben", function="retrieval")
    assert (
        find_needle("A day out: Ben is here. Also, Ben feeds the hens. Benno feeds hens.", step)
        == "Ben feeds the hens."
    )
    assert find_needle("Ben feeds the hens. Ben sees hens. Ben feeds all hens.", step) is None, "two fit alike"
    assert find_needle("Nobody is here.", step) is None


# -- roles of known heads ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    model = planted_model()
    return model, measure_roles(model, questions=planted_questions(), **SMALL)


@pytest.mark.parametrize("role", PLANTED)
def test_a_planted_head_has_its_role_and_no_other_head_has(planted, role):
    _, found = planted
    values, own = found[role].values, PLANTED[role]
    others = np.delete(values.ravel(), own[0] * values.shape[1] + own[1])
    assert values[own] > 0.95
    assert others.max() < 0.2, "its AUROC over heads is 1"
    top = top_heads(found, role, 1)[0]
    assert (top["layer"], top["head"]) == own
    assert top["low"] <= top["value"] <= top["high"]


def test_planted_heads_spread_as_they_were_made(planted):
    _, found = planted
    even_heads = [(0, 0), (0, 3), (1, 2)]
    for head in even_heads:
        assert found["normalised_entropy"].values[head] == pytest.approx(1, abs=1e-3)
    assert found["span"].values[PLANTED["previous_token"]] == pytest.approx(1, abs=0.1)
    assert found["local_share"].values[PLANTED["previous_token"]] > 0.95
    assert found["entropy"].values[PLANTED["first_token_sink"]] < 0.05
    assert found["global_share"].values[0, 0] > 0.4
    assert found.attrs["needle_copied"] == 1 and found.attrs["note"] == ""


def test_random_sequences_are_two_equal_halves_of_different_ordinary_tokens(planted):
    model, _ = planted
    needles = build_needles(planted_questions(), model.tokenizer, sentences=6)
    sequences = random_sequences(model, needles, n=5, half=30, seed=0)
    opening = model.tokenizer.convert_tokens_to_ids(OPENING)
    for sequence in sequences:
        assert sequence[0] == opening and len(sequence) == 61
        np.testing.assert_array_equal(sequence[1:31], sequence[31:])
        assert len(set(sequence.tolist())) == 31
        assert not set(sequence[1:].tolist()) & set(model.tokenizer.all_special_ids)
    with pytest.raises(InputError, match=r"half=100000: planted-roles has \d+ ordinary tokens .*Give half=\d+ or less"):
        random_sequences(model, needles, n=2, half=100000, seed=0)


def test_the_same_seed_gives_the_same_roles_and_attributes_say_what_they_are(planted):
    model, found = planted
    again = measure_roles(model, questions=planted_questions(), **SMALL)
    xr.testing.assert_equal(found, again)
    other = measure_roles(model, questions=planted_questions(), **SMALL, seed=1)
    assert (found["entropy"] != other["entropy"]).any()
    for name, role in ROLES.items():
        about = found[name].attrs
        assert about["definition"] == role.definition and about["source"] == role.source
        assert about["n_sequences"] == (6 if role.on == "random" else 12)
        assert found[name].dims == found[f"{name}_low"].dims == ("layer", "head")
    assert json.loads(found.attrs["model"])["name"] == "planted-roles"
    assert found.attrs["random_length"] == 81


def test_numbers_that_leave_nothing_are_refused(planted):
    model, _ = planted
    with pytest.raises(InputError, match=r"n_random=1 leaves nothing to measure\. Give 2 or more"):
        measure_roles(model, questions=planted_questions(), n_random=1)


def test_a_model_that_does_not_retrieve_is_said_to(planted, monkeypatch):
    model, _ = planted
    with torch.no_grad():
        weight = model.model.lm_head.weight
        before = weight.clone()
        weight.neg_()
    found = measure_roles(model, questions=planted_questions(), **SMALL)
    with torch.no_grad():
        weight.copy_(before)
    assert "would write only 0% of the answers' tokens" in found.attrs["note"]


def test_a_fallback_is_told(planted, monkeypatch):
    model, found = planted
    monkeypatch.setattr(type(model.model), "_supports_attention_backend", False)
    whole = measure_roles(model, questions=planted_questions(), **SMALL)
    assert (
        "patterns taken whole, in eager mode, one sequence at a time: LlamaForCausalLM computes" in whole.attrs["note"]
    )
    for name in ROLES:
        np.testing.assert_allclose(whole[name], found[name], atol=1e-5)


# -- a killed run continues ------------------------------------------------------------------------------------


@pytest.fixture
def killed(planted, monkeypatch, tmp_path):
    """A store in which a run was stopped in the middle of the needles, and a way to count batches."""
    model, _ = planted
    batches = []
    stream = Patterns.stream

    def counted(self, texts, take, **more):
        batches.append(len(texts))
        if len(batches) == 12:
            raise KeyboardInterrupt
        return stream(self, texts, take, **more)

    monkeypatch.setattr(Patterns, "stream", counted)
    monkeypatch.setattr(Patterns, "parts", lambda self, lengths: (range(i, i + 1) for i in range(len(lengths))))
    with pytest.raises(KeyboardInterrupt):
        measure_roles(model, questions=planted_questions(), **SMALL, store=tmp_path / "rows")
    return batches


def test_a_killed_run_continues_and_gives_what_an_uninterrupted_one_does(planted, killed, tmp_path):
    model, _ = planted
    told = []
    made = {"questions": planted_questions(), **SMALL}
    found = measure_roles(model, **made, store=tmp_path / "rows", report=lambda *row: told.append(row))
    assert len(killed) == 12 + 12, "random tokens were done, of the needles no chunk of 8"
    assert {stage for stage, _, _ in told} == {"needles"}
    measure_roles(model, **made, store=tmp_path / "rows")
    assert len(killed) == 12 + 12, "all is there"
    xr.testing.assert_equal(found, measure_roles(model, **made))


def test_rows_of_another_run_are_refused_until_they_are_discarded(planted, killed, tmp_path):
    model, _ = planted
    made = {"questions": planted_questions(), **SMALL, "store": tmp_path / "rows"}
    with pytest.raises(
        StoreError,
        match=r"belongs to another run: seed, sequences differ .*Give another --out, or --fresh with map",
    ):
        measure_roles(model, **made, seed=1)
    (tmp_path / "rows" / "mine.txt").write_text("kept")
    discard_rows(tmp_path / "rows")
    assert [file.name for file in (tmp_path / "rows").iterdir()] == ["mine.txt"]
    measure_roles(model, **made, seed=1)


def test_layers_whose_window_shows_nothing_are_nan_through_a_store(planted, monkeypatch, tmp_path):
    model, _ = planted
    monkeypatch.setattr(type(model), "window", lambda self, layer: 5)
    found = measure_roles(model, questions=planted_questions(), **SMALL, store=tmp_path)
    assert np.isnan(found["induction"]).all() and np.isnan(found["induction_low"]).all()
    assert np.isfinite(found["previous_token"]).all() and np.isfinite(found["entropy"]).all()


# -- files, command line, figure --------------------------------------------------------------------------------


def test_roles_are_saved_whole_and_never_over_another_file(planted, tmp_path):
    _, found = planted
    path = save_roles(found, tmp_path / "roles.nc")
    xr.testing.assert_equal(load_roles(path), found)
    assert load_roles(path)["induction"].attrs == found["induction"].attrs
    with pytest.raises(InputError, match=r"roles\.nc is there already\. Give another --out"):
        save_roles(found, path)
    assert [p.name for p in tmp_path.iterdir()] == ["roles.nc"]


def test_files_that_hold_no_roles_are_refused(tmp_path):
    with pytest.raises(AtlasError, match="No roles at"):
        load_roles(tmp_path / "none.nc")
    bad = tmp_path / "bad.nc"
    bad.write_bytes(b"nothing")
    with pytest.raises(AtlasError, match="can't be read as NetCDF"):
        load_roles(bad)
    xr.Dataset({"importance": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(AtlasError, match="holds no roles of schema version 1"):
        load_roles(tmp_path / "other.nc")


@pytest.fixture
def short(planted, monkeypatch):
    """Have the command line load the planted model and measure little."""
    model, _ = planted
    monkeypatch.setattr("headatlas.models.load.load_model", lambda *_, **__: model)
    plain = measure_roles
    monkeypatch.setattr(
        "headatlas.roles.scores.measure_roles",
        lambda model, **more: plain(model, questions=planted_questions(), **SMALL, **more),
    )


def test_the_command_prints_the_heads_and_writes_the_file(short, tmp_path, capsys):
    out, drawn = tmp_path / "r.nc", tmp_path / "r.png"
    assert main(["roles", "planted", "--out", str(out), "--figure", str(drawn)]) == 0
    text = capsys.readouterr().out
    assert "Induction            L1H3 0.9" in text and "Retrieval            L1H1 1.00 [1.00, 1.00]" in text
    assert load_roles(out).sizes == {"layer": 2, "head": 4}
    assert drawn.read_bytes()[:4] == b"\x89PNG"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r.nc", "r.png"], "rows are gone once roles are whole"
    assert main(["roles", "planted", "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_stopped_command_continues_and_starts_over_when_told(short, killed, tmp_path, capsys):
    out = tmp_path / "r.nc"
    (tmp_path / "rows").rename(tmp_path / "r.nc.rows")
    assert main(["roles", "planted", "--out", str(out), "--seed", "1"]) == 2
    assert "or --fresh with map and roles" in capsys.readouterr().err
    assert main(["roles", "planted", "--out", str(out), "--seed", "1", "--fresh"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["r.nc"]


def test_the_command_prints_json(short, tmp_path, capsys):
    assert main(["roles", "planted", "--out", str(tmp_path / "r.nc"), "--json", "--top", "1"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert list(table["roles"]) == list(ROLES)
    (head,) = table["roles"]["previous_token"]["top"]
    assert (head["layer"], head["head"]) == PLANTED["previous_token"] and head["value"] > 0.95


def test_the_figure_draws_every_role(planted):
    _, found = planted
    assert figures.get("roles").draw is roles
    figure = roles(found)
    panels = [a for a in figure.axes if a.images]
    assert len(panels) == len(ROLES)
    for (name, role), axis in zip(ROLES.items(), panels, strict=True):
        np.testing.assert_allclose(np.asarray(axis.images[0].get_array()), found[name].values, rtol=1e-6)
        assert axis.images[0].origin == "lower"
        assert axis.get_title().startswith(role.title)
        low, high = axis.images[0].get_clim()
        assert low == 0 and high >= found[name].values.max() / 1.1
    under = [t.get_text() for t in panels[2].texts]
    assert len(under) == 1 and under[0].startswith("L1H3 0.9")
    assert "planted-roles" in figure._supxlabel.get_text() and "head order" in figure._supxlabel.get_text()


def test_heads_that_see_nothing_are_grey_and_never_the_highest(planted, tmp_path):
    _, found = planted
    found = found.copy(deep=True)
    found["induction"].values[1] = np.nan
    found["retrieval"].values[:] = np.nan
    figure = roles(found, roles=["retrieval", "induction"])
    first, second = [a for a in figure.axes if a.images]
    assert np.ma.getmaskarray(first.images[0].get_array()).all()
    assert first.texts[0].get_text() == "outside every window"
    assert np.ma.getmaskarray(second.images[0].get_array())[1].all()
    assert second.texts[0].get_text().startswith("L0H")
    grey = int(float(UNSEEN) * 255)
    assert second.images[0].cmap(np.ma.masked)[0] == pytest.approx(grey / 255, abs=0.01)
    save_figure(figure, tmp_path / "roles", ["png"])


def test_the_figure_refuses_what_is_not_there(planted):
    _, found = planted
    with pytest.raises(InputError, match=r"No role 'inducton' here\. Known: previous_token, "):
        roles(found, roles=["inducton"])
    with pytest.raises(InputError, match="holds no roles"):
        roles(xr.Dataset())


@pytest.mark.slow
def test_the_default_model_has_induction_heads_after_previous_token_heads(smollm):
    found = measure_roles(smollm, n_random=4, n_needles=3)
    top = top_heads(found, "induction", 1)[0]
    assert top["value"] > 0.7 and top["layer"] > found["previous_token"].argmax(...)["layer"].item()
