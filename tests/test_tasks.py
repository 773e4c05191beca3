"""Sets that name tasks: read from files, measured with tasks as the unit, said in the findings."""

import json
from pathlib import Path

import numpy as np
import pytest

import headatlas as ha
from headatlas import stats
from headatlas.atlas import samples_of
from headatlas.errors import QuestionError
from tests.saved import save_tiny

FUNCTIONS = ("retrieval", "inference")


def rows(tasks: int = 3, items: int = 4):
    """A step a row; every function has `tasks` tasks."""
    for function in FUNCTIONS:
        for task in range(tasks):
            for item in range(items):
                yield {
                    "question": f"{function} {task}: box {item} is {'red' if item % 2 else 'blue'}.",
                    "subquestion": f"What about box {item}?",
                    "answer": "red" if item % 2 else "blue",
                    "function": function,
                    "task": f"{function} {task}",
                }


@pytest.fixture(params=["jsonl", "csv"])
def file(request, tmp_path: Path) -> Path:
    path = tmp_path / f"tasks.{request.param}"
    if request.param == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    else:
        table = list(rows())
        path.write_text(
            "\n".join([",".join(table[0]), *(",".join(f'"{v}"' for v in row.values()) for row in table)]) + "\n"
        )
    return path


def test_tasks_are_read_converted_and_part_of_the_set(file: Path, tmp_path: Path):
    loaded = ha.load_questions(file)
    assert {s.task for q in loaded.questions for s in q.steps} == {f"{f} {t}" for f in FUNCTIONS for t in range(3)}
    from headatlas.questions.writing import write_jsonl

    write_jsonl(file, tmp_path / "again.jsonl")
    assert ha.load_questions(tmp_path / "again.jsonl").digest == loaded.digest
    without = tmp_path / "without.jsonl"
    without.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "task"}) + "\n" for row in rows()))
    assert ha.load_questions(without).digest != loaded.digest


def test_a_task_of_two_functions_is_refused(tmp_path: Path):
    path = tmp_path / "two.jsonl"
    path.write_text("".join(json.dumps(row | {"task": "colours"}) + "\n" for row in rows()))
    with pytest.raises(QuestionError, match="Task 'colours' of 'two' is named for two functions, retrieval and"):
        ha.load_questions(path)


def test_tasks_are_the_unit_of_every_method(file: Path, tmp_path: Path):
    model = ha.load_model(save_tiny(tmp_path / "tiny"))
    methods = [ha.methods.Probe(refits=1, null_refits=1, epochs=1), ha.methods.LinearProbe(refits=1), "ablation"]
    atlas = ha.measure(model, ha.load_questions(file), methods=methods)
    for name in ("probe", "linear_probe", "ablation"):
        assert (atlas[name]["n_units"] == 3).all(), name
    samples = samples_of(atlas, "ablation")
    own = samples["importance"].values[samples["function"].values == "inference"]
    task = samples["task"].values[samples["function"].values == "inference"]
    by_task = np.mean([own[task == t].mean(0) for t in np.unique(task)], axis=0)
    np.testing.assert_allclose(atlas["ablation"]["importance"].sel(function="inference"), by_task, rtol=1e-5, atol=1e-9)
    again = stats.reduce(samples, FUNCTIONS, sign="signed", seed=0)  # anyone can reduce them again
    np.testing.assert_array_equal(again["ci_low"], atlas["ablation"]["ci_low"])
    np.testing.assert_array_equal(again["q_value"], atlas["ablation"]["q_value"])
    assert atlas["item_task"].values.tolist() == [row["task"] for row in rows()]
    text = ha.describe(atlas).get("items", method="ablation").statement
    assert "Intervals and tests rest on 3 tasks a function: items of one task are not independent." in text
    assert "Flipping the signs of 3 tasks gives no p below 0.25" in text
    page = ha.describe(atlas).to_markdown()
    assert "of the variance over heads that other tasks would reproduce" in page.lower()
    assert "other questions would" not in page, "where tasks are named they are what is drawn anew"


def test_what_a_trained_probes_interval_leaves_out_is_said_wherever_it_is_shown(file: Path, tmp_path: Path):
    model = ha.load_model(save_tiny(tmp_path / "tiny"))
    methods = [ha.methods.Probe(refits=1, null_refits=1, epochs=1), "dla"]
    atlas = ha.measure(model, ha.load_questions(file), methods=methods)
    left_out = "how another training sample would change the probe is not in it"
    sections = ha.describe(atlas).to_markdown().split("## Method ")[1:]
    assert [left_out in section for section in sections] == [True, False]

    def caption(method: str) -> str:
        return " ".join(ha.figures.heads_importance(atlas, method=method).get_supxlabel().split())

    assert left_out in caption("probe") and left_out not in caption("dla")
    assert left_out in atlas["probe"].attrs["interval"]


def test_what_single_tasks_and_tasks_of_few_items_cannot_say_is_said(file: Path, tmp_path: Path):
    model = ha.load_model(save_tiny(tmp_path / "tiny"))
    alone = [row | {"steps": [step | {"task": step["function"]} for step in row["steps"]]} for row in records_of(file)]
    text = ha.describe(ha.measure(model, ha.load_questions(alone), methods="dla")).get("items").statement
    assert "have one task only, so what the map shows may be that task's and not the function's" in text
    assert "items of one task are not independent" not in text, "main questions are the unit"
    page = ha.describe(ha.measure(model, ha.load_questions(file), methods="dla"))
    assert "one task only" not in page.get("items").statement


def records_of(file: Path) -> list[dict]:
    return [question.model_dump() for question in ha.load_questions(file).questions]
