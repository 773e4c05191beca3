"""Labels of the user's own, end to end: questions, atlas with controls, figure, findings, command line.

The questions are planted: the subquestion's words give the function away, its passage and place do not. The
model is random, so it is at chance; functions whose foil it is made to dislike are not.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from headatlas import stats
from headatlas.atlas import load_atlas, save_atlas
from headatlas.controls import control_predictions, controls
from headatlas.figures import heads_importance
from headatlas.findings import describe
from headatlas.methods.linear_probe import LinearProbe
from headatlas.methods.probe import Probe
from headatlas.models.load import load_model
from headatlas.questions.functions import order_functions
from headatlas.questions.loading import load_questions
from headatlas.questions.schema import Question, QuestionSet
from headatlas.run.jobs import labels
from headatlas.run.pipeline import measure, plan
from tests.saved import save_tiny
from tests.test_cli import run

OWN = {
    3: ["theory of mind", "negation", "code_reading"],
    12: [f"skill {i}" for i in range(10)] + ["retrieval", "a label too long for one line of a small panel"],
}
TITLES = {
    3: ["Code reading", "Negation", "Theory of mind"],
    12: ["Retrieval", "A label too long for one line of a small…", "Skill 0", *(f"Skill {i}" for i in range(1, 10))],
}
CHEAP = (Probe(refits=2, null_refits=1, epochs=2), LinearProbe(shuffles=2))


def planted(functions: list[str], *, n: int = 7, seed: int = 0) -> QuestionSet:
    """Questions with one step a function, in a new order each."""
    rng = np.random.default_rng(seed)
    questions = []
    for q in range(n):
        steps = [
            {"subquestion": f"Which sign{functions.index(f)}s here?", "answer": f"{rng.integers(9)} {'ab'[q % 2]}",
             "function": f}
            for f in rng.permutation(functions).tolist()
        ]  # fmt: skip
        record = {"id": f"q{q}", "question": f"Anna has {q} apples.", "steps": steps, "chain": False}
        questions.append(Question.model_validate(record))
    return QuestionSet(tuple(questions), "planted")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save_tiny(tmp_path_factory.mktemp("model") / "tiny")), dtype="float32")


@pytest.fixture(scope="module", params=[3, 12])
def mapped(request, model) -> tuple[int, QuestionSet, xr.DataTree]:
    questions = planted(OWN[request.param])
    return request.param, questions, measure(model, questions, methods=CHEAP)


def test_the_atlas_holds_every_control_as_computed_by_hand(mapped, model) -> None:
    n, questions, atlas = mapped
    assert [dict(child["importance"].sizes) for child in atlas.children.values()] == [
        {"function": n, "layer": 3, "head": 4}
    ] * 2
    assert atlas["control"].values.tolist() == list(controls)
    prompts = plan(model, questions).prompts
    function, group = labels(prompts)
    found = control_predictions(prompts, function, group, seed=0)
    for control, correct in found.items():
        one = atlas.to_dataset().sel(control=control)
        mean, low, high = stats.mean_interval(correct, group, seed=0)
        assert float(one["control_accuracy_overall"]) == pytest.approx(mean) == pytest.approx(correct.mean())
        assert float(one["control_accuracy_overall_low"]) == pytest.approx(low)
        assert float(one["control_accuracy_overall_high"]) == pytest.approx(high)
        for f in atlas["function"].values:
            mean = correct[function == f].mean()
            assert float(one["control_accuracy"].sel(function=f)) == pytest.approx(mean)
        # every item is predicted equally often, so the paired difference is the difference of the means
        for child in atlas.children.values():
            expected, own = (
                float(child["probe_accuracy_overall"]) - correct.mean(),
                child.to_dataset().sel(control=control),
            )
            np.testing.assert_allclose(own["excess"], expected)
            assert float(own["excess_low"]) <= expected <= float(own["excess_high"])
    assert found["subquestion"].mean() == 1.0 and found["position"].mean() < 0.6
    assert not any(str(name).startswith("text_") for name in atlas.data_vars)


def test_a_function_is_unable_where_chance_is_in_its_interval(mapped) -> None:
    _, _, atlas = mapped
    low = atlas["answer_accuracy_low"]
    assert atlas["unable"].dtype == bool
    np.testing.assert_array_equal(atlas["unable"], low <= 0.5)
    assert int(atlas["unable"].sum()) > 0, "a random model is at chance"


def test_the_figure_has_own_titles_and_a_fitting_grid(mapped) -> None:
    n, _, atlas = mapped
    panels = [axis for axis in heads_importance(atlas).figure.axes if axis.images]
    assert len(panels) == n
    spec = panels[0].get_subplotspec().get_gridspec()
    assert (spec.nrows, spec.ncols) == {3: (1, 3), 12: (3, 4)}[n]
    titles = [axis.get_title().replace("\n", " ") for axis in panels]
    assert titles == TITLES[n]
    unable = atlas["unable"].sel(function=list(order_functions(atlas["function"].values.tolist()))).values
    assert [[t.get_text() for t in axis.texts] for axis in panels] == [["model at chance"] * int(u) for u in unable]


def test_the_findings_name_own_labels_and_controls(mapped, tmp_path: Path) -> None:
    n, _, atlas = mapped
    found = describe(load_atlas(save_atlas(atlas, tmp_path / "atlas.nc")))
    statement = found.get("controls").statement
    assert "the subquestion's words 100%" in statement
    assert "points): no excess is shown, " in statement
    assert ("may show nothing" in statement) != ("may show wording rather than function" in statement)
    assert f"always naming the commonest function: {100 / n:.0f}%" in statement
    content = json.loads(found.to_json())
    assert content["unable"] == [f for f, u in zip(atlas["function"].values, atlas["unable"].values, strict=True) if u]
    assert sum(f["topic"] == "function" for f in content["methods"][0]["findings"]) == n
    text = found.to_markdown()
    assert text.count("**the model does not do this**") == 2 * len(content["unable"])  # once a method
    assert "| Negation" in text if n == 3 else "| Skill 9" in text


def test_a_question_set_without_words_is_mapped_all_the_same(model) -> None:
    questions = planted(OWN[3])
    mute = tuple(
        q.model_copy(update={"steps": tuple(s.model_copy(update={"subquestion": "?!"}) for s in q.steps)})
        for q in questions.questions
    )
    atlas = measure(model, replace(questions, questions=mute), methods=CHEAP[1:])
    assert np.isnan(atlas["control_accuracy_overall"].sel(control="subquestion"))
    for child in atlas.children.values():
        assert np.isnan(child["excess"].sel(control="subquestion"))
        assert np.isfinite(child["excess"].drop_sel(control="subquestion")).all()
    assert "no word to read: the subquestion's words." in describe(atlas).get("controls").statement


def test_the_command_line_names_what_the_model_does_not_do(tmp_path: Path) -> None:
    save_tiny(tmp_path / "tiny")
    file = tmp_path / "own.jsonl"
    file.write_text("\n".join(q.model_dump_json() for q in planted(OWN[3]).questions))
    assert load_questions(file).functions == ("code_reading", "negation", "theory of mind")
    code, _, err = run(
        "map", "--model", tmp_path / "tiny", "--questions", file, "--method", "linear_probe", "--out", tmp_path / "out"
    )
    assert code == 0, err
    assert "controls" in err
    unable = json.loads((tmp_path / "out/findings.json").read_text())["unable"]
    last = err.splitlines()[-1]
    assert unable and last.startswith("Model at chance: ") and last.endswith("so such maps can't show how it does.")
    assert last in run("findings", tmp_path / "out")[1].splitlines()
    assert last.count("Negation") == ("negation" in unable)
