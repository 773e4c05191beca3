"""What a model does, task by task: which items are mapped, and what is said and drawn of the rest."""

import json

import numpy as np
import pytest

import headatlas as ha
from headatlas.atlas import absent_functions, load_atlas, save_atlas, unable_functions
from headatlas.cli.main import main
from headatlas.errors import RunError
from headatlas.figures.heads_importance import ABSENT
from headatlas.methods.base import Activations
from headatlas.prompts import build_prompts
from headatlas.run.ability import ability
from headatlas.run.jobs import Capture
from tests.saved import save_tiny, small_tokenizer

TASKS = {
    "capital": "knowledge_recall",
    "river": "knowledge_recall",
    "owner": "retrieval",
    "colour": "retrieval",
    "vote": "decision_making",
    "price": "decision_making",
}
ITEMS = 16


def records() -> list[dict]:
    """Six tasks of three functions, 16 items each, with foils."""
    return [
        {
            "id": f"{task}-{i}",
            "steps": [
                {
                    "subquestion": f"The {task} of case {i} is",
                    "answer": f"a{i}",
                    "foil": f"b{i}",
                    "function": function,
                    "task": task,
                    "form": "completion",
                    "kind": "noun",
                }
            ],
        }
        for task, function in TASKS.items()
        for i in range(ITEMS)
    ]


def answered(right: dict[str, int], rows: list[dict] | None = None):
    """Return the prompts and a capture in which the model prefers the answer in so many items of each task."""
    prompts = build_prompts(ha.load_questions(rows or records()), small_tokenizer())
    n, seen, prefers = len(prompts), dict.fromkeys(TASKS, 0), []
    for prompt in prompts:
        seen[prompt.task] += 1
        prefers.append(seen[prompt.task] <= right[prompt.task])
    function = np.array([p.function for p in prompts])
    act = Activations(
        np.zeros((n, 2, 2, 4), np.float32), function, np.array([p.group for p in prompts]),
        ("knowledge_recall", "retrieval", "decision_making"), np.array([p.task for p in prompts]),
    )  # fmt: skip
    return prompts, Capture(act, np.where(prefers, -1.0, -3.0), np.full(n, -2.0), np.array(prefers, float))


def test_tasks_at_chance_are_not_mapped_nor_functions_with_fewer_than_two_done():
    prompts, captured = answered({"capital": 16, "river": 12, "owner": 13, "colour": 14, "vote": 15, "price": 11})
    found = ability(captured, prompts)
    table = found.table.set_index(asked_task="asked_task")
    assert dict(zip(table["asked_task"].values, table["asked_done"].values.tolist(), strict=True)) == {
        "capital": True, "river": True, "owner": True, "colour": True, "vote": True, "price": False,
    }  # fmt: skip
    assert {p.task for p, mapped in zip(prompts, found.mapped, strict=True) if mapped} == {
        "capital", "river", "owner", "colour",
    }, "vote alone is no function"  # fmt: skip
    assert table["asked_accuracy"].sel(asked_task="river") == 0.75
    low, high = (float(table[f"asked_accuracy_{end}"].sel(asked_task="river")) for end in ("low", "high"))
    assert (low, high) == (pytest.approx(0.4762, abs=1e-4), pytest.approx(0.9273, abs=1e-4)), "Clopper and Pearson 1934"
    part = captured.part(found.mapped)
    assert part.activations.functions == ("knowledge_recall", "retrieval")
    assert len(part.logprob) == len(part.activations.z) == 4 * ITEMS
    assert ability(captured, prompts, keep_unable=True).mapped.all()


def test_a_model_that_does_one_function_only_is_refused_with_what_it_does_best():
    prompts, captured = answered({"capital": 16, "river": 12, "owner": 8, "colour": 8, "vote": 9, "price": 7})
    with pytest.raises(
        RunError, match=r"enough tasks: Knowledge Recall\. .*capital 100%, river 75%, vote 56%.*--keep-u"
    ):
        ability(captured, prompts)


def test_a_function_of_a_single_task_needs_that_one_only():
    rows = [r for r in records() if not r["id"].startswith(("river", "price"))]
    prompts, captured = answered({"capital": 16, "owner": 13, "colour": 14, "vote": 4}, rows)
    mapped = ability(captured, prompts).mapped
    assert {p.task for p, kept in zip(prompts, mapped, strict=True) if kept} == {"capital", "owner", "colour"}


def test_drawn_foils_leave_nothing_out():
    rows = records()
    for row in rows:
        del row["steps"][0]["foil"]
    prompts, captured = answered(dict.fromkeys(TASKS, 0), rows)
    found = ability(captured, prompts)
    assert found.mapped.all() and not found.table.data_vars


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """An atlas of a tiny model that is made to do four of the six tasks."""
    from headatlas.run import pipeline

    right = {"capital": 16, "river": 12, "owner": 13, "colour": 14, "vote": 15, "price": 11}
    plain = pipeline.capture

    def made(model, prompts, run):
        found = plain(model, prompts, run)
        _, wanted = answered(right)
        return Capture(found.activations, wanted.logprob, wanted.foil_logprob, wanted.right)

    monkeypatch.setattr(pipeline, "capture", made)
    model = ha.load_model(save_tiny(tmp_path / "tiny"))
    return model, ha.measure(model, ha.load_questions(records()), methods="ablation", template="examples")


def test_what_is_not_mapped_is_shown_everywhere(measured, tmp_path):
    _, atlas = measured
    assert list(atlas["function"].values) == ["knowledge_recall", "retrieval"]
    assert absent_functions(atlas) == unable_functions(atlas) == ("decision_making",)
    save_atlas(atlas, tmp_path / "atlas.nc")
    found = ha.describe(load_atlas(tmp_path))
    assert found.tasks_statement.startswith("The model does 5 of 6 tasks")
    assert "(Knowledge Recall 2 of 2, Retrieval 2 of 2, Decision-making 1 of 2)" in found.tasks_statement
    assert "Not mapped, since the model does too few of their tasks: Decision-making." in found.to_markdown()
    row = next(line for line in found.to_markdown().splitlines() if "| price |" in line)
    assert "| 69% | 41% to 89% | 69% | **no** |" in row
    assert '"task": "price"' in found.to_json()
    vote = next(line for line in found.to_markdown().splitlines() if "| vote |" in line)
    assert vote.endswith("| **no** |"), "done, but its function has no other"
    assert "and does 5 of them; 4 are mapped." in found.to_markdown()
    figure = ha.figures.heads_importance(atlas)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["Knowledge Recall", "Retrieval", "Decision-making"]
    texts = [[t.get_text() for t in axis.texts] for axis in figure.axes if axis.get_title()]
    assert texts == [[], [], [ABSENT]]


def test_the_command_maps_what_a_model_cannot_do_only_when_told(tmp_path, capsys):
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in records()))
    tiny = save_tiny(tmp_path / "tiny")
    command = ["map", str(tiny), "-q", str(path), "--method", "dla", "--items", "6", "--template", "examples", "--out"]
    assert main([*command, str(tmp_path / "a")]) == 1
    assert "A map compares two or more." in capsys.readouterr().err
    assert main([*command, str(tmp_path / "b"), "--keep-unable"]) == 0
    kept = load_atlas(tmp_path / "b")
    assert list(kept["function"].values) == ["knowledge_recall", "retrieval", "decision_making"]
    found = ha.describe(kept)
    assert found.tasks_statement.endswith("The others are mapped as well, as was asked.")
    assert all(row.mapped for row in found.tasks)


def test_only_the_first_items_are_mapped_and_demonstrations_do_not_choose_them(tmp_path, capsys):
    """Prompts stand by demonstrations; the first items are those of the questions' order."""
    rows = records()
    shown = [
        {
            **row,
            "id": f"d{i}-{row['id']}",
            "demonstration": True,
            "steps": [{**row["steps"][0], "subquestion": f"Case {i}"}],
        }
        for row in rows[::16]
        for i in range(6)
    ]
    questions = ha.load_questions([*shown, *rows])
    prompts = build_prompts(questions, small_tokenizer(), shots=2)
    first = {q.id for q in questions.first_items(4).questions}
    mapped = [p.id for p in prompts if p.group in first]
    assert sorted(mapped) == sorted(f"{task}-{i}/0" for task in TASKS for i in range(4))
    assert mapped != sorted(mapped), "they stand by demonstrations"
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*shown, *rows]))
    tiny = save_tiny(tmp_path / "tiny")
    command = ["map", str(tiny), "-q", str(path), "--method", "dla", "--out", str(tmp_path / "a"), "--keep-unable"]
    assert main([*command, "--items", "1"]) == 2
    said = capsys.readouterr().err
    assert "1 item a task can't be halved" in said and "Loading" not in said, "before the model is loaded"
    assert main([*command, "--items", "0"]) == 2
    assert "0 items a task can't be halved" in capsys.readouterr().err
    assert main([*command, "--items", "4"]) == 0
    said = capsys.readouterr().err
    assert "6 tasks of 3 functions; the model is asked 16 items of each; 4 are mapped, of tasks that it does" in said
    atlas = load_atlas(tmp_path / "a")
    assert (atlas["asked_items"] == 16).all() and (atlas["n_items"] == 8).all()
