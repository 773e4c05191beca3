"""Tasks with demonstrations and designed foils: read, dealt, shown, refused where they can't be."""

import csv
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats.contingency import association

import headatlas as ha
from headatlas.cli.main import main
from headatlas.errors import QuestionError
from headatlas.methods.base import packs_of
from headatlas.prompts import Asking, build_prompts, deal
from headatlas.questions.checks import check_questions, cramers_v
from headatlas.questions.writing import write_jsonl
from tests.saved import small_tokenizer

CITIES = {"Italy": "Rome", "Peru": "Lima", "France": "Paris", "Spain": "Madrid", "Egypt": "Cairo", "Cuba": "Havana"}
NAMES = ("Ann", "Ben", "Eva", "Leo", "Mia", "Tom")


def records(n: int = 6, shown: int = 4) -> list[dict[str, Any]]:
    """Two tasks, each with demonstrations: text to complete about a country, a passage about who has what."""
    found: list[dict[str, Any]] = []
    for i in range(shown + n):
        country, city = list(CITIES.items())[i % 6]
        other = list(CITIES.values())[(i + 1) % 6]
        step = {
            "subquestion": f"({i}) The capital of {country} is",
            "answer": city,
            "foil": other,
            "form": "completion",
        }
        found.append(
            {"id": f"c{i}", "steps": [step | {"function": "knowledge_recall", "task": "capital", "kind": "place"}]}
        )
        one, two = NAMES[i % 6], NAMES[(i + 1) % 6]
        step = {"subquestion": "Who has a cat?", "answer": one, "foil": two, "form": "passage", "kind": "name"}
        passage = f"({i}) {one} has a cat. {two} has a dog."
        found.append({"id": f"r{i}", "question": passage, "steps": [step | {"function": "retrieval", "task": "owner"}]})
    for record in found[: 2 * shown]:
        record["demonstration"] = True
    for record in found:
        record["chain"] = False
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_demonstrations_are_kept_apart_and_never_asked(tmp_path: Path):
    questions = ha.load_questions(records())
    assert [q.id for q in questions.demonstrations] == ["c0", "r0", "c1", "r1", "c2", "r2", "c3", "r3"]
    assert questions.n_steps == 12 and questions.tasks == {"capital": "knowledge_recall", "owner": "retrieval"}
    prompts = build_prompts(questions, small_tokenizer())
    assert {p.id for p in prompts}.isdisjoint(f"{q.id}/0" for q in questions.demonstrations)


def test_items_come_after_demonstrations_of_their_own_task_in_their_own_form():
    tokenizer = small_tokenizer()
    questions = ha.load_questions(records())
    shown = deal(questions, shots=2, seed=0)
    by_id = {q.id: q for q in (*questions.demonstrations, *questions.questions)}
    for prompt in build_prompts(questions, tokenizer, shots=2):
        text = tokenizer.decode(prompt.prefix)
        blocks = text.split("\n\n")
        examples = shown[prompt.id]
        assert len(blocks) == 3 and len(examples) == 2
        for block, question in zip(blocks, (*examples, by_id[prompt.group]), strict=True):
            step = question.steps[0]
            asked = step.subquestion if step.form == "completion" else f"{question.question}\nQ: {step.subquestion}\nA:"
            assert block.strip() == (asked if question.id == prompt.group else f"{asked} {step.answer}")
        assert tokenizer.decode(prompt.answer_tokens).strip() == by_id[prompt.group].steps[0].answer


def test_demonstration_sets_are_dealt_evenly_by_seed_and_share_no_example():
    questions = ha.load_questions(records(n=6, shown=6))
    one, same, other = (deal(questions, shots=2, seed=seed) for seed in (0, 0, 1))
    assert one == same != other
    for task in ("c", "r"):
        sets = [shown for id, shown in one.items() if id.startswith(task)]
        different = set(sets)
        assert len(different) == 3 and all(sets.count(s) == 2 for s in different)
        assert len({q.id for shown in different for q in shown}) == 6
    few = deal(ha.load_questions(records(shown=1)), shots=3, seed=0)
    assert all(len(shown) == 1 for shown in few.values()), "as many as there are"


def test_items_of_one_task_run_together_and_those_of_one_set_share_their_beginning():
    prompts = build_prompts(ha.load_questions(records()), small_tokenizer(), shots=2)
    packs = [[prompts[i] for i in pack] for pack in packs_of(prompts)]
    assert [{p.task for p in pack} for pack in packs] == [{"capital"}, {"owner"}]
    starts = [p.tokens[:20].tobytes() for p in prompts]
    changes = sum(a != b for a, b in pairwise(starts))
    assert changes == len(set(starts)) - 1, "prompts of one set stand together"


def test_a_designed_foil_comes_before_a_drawn_one_and_lures_are_noticed():
    rows = records()
    del rows[-1]["steps"][0]["foil"]
    prompts = {p.id: p for p in build_prompts(ha.load_questions(rows), small_tokenizer())}
    tokenizer = small_tokenizer()
    assert tokenizer.decode(prompts["c4/0"].foil).strip() == "Havana"
    assert prompts["c4/0"].designed and prompts["c4/0"].design == {"form": "completion", "kind": "place", "lure": "no"}
    assert prompts["r4/0"].design["lure"] == "yes"
    drawn = prompts["r9/0"]
    assert not drawn.designed and len(drawn.foil) and "lure" not in drawn.design


def test_no_demonstrations_are_shown_when_none_are_wanted_and_other_templates_show_none():
    tokenizer = small_tokenizer()
    questions = ha.load_questions(records())
    bare = {p.id: tokenizer.decode(p.prefix) for p in build_prompts(questions, tokenizer, shots=0)}
    assert bare["c4/0"].endswith("(4) The capital of Egypt is") and "\n\n" not in bare["c4/0"]
    short = {p.id: tokenizer.decode(p.prefix) for p in build_prompts(questions, tokenizer, template="short")}
    assert "Answer the last question" in short["c4/0"] and "Peru" not in short["c4/0"]


def test_the_template_goes_by_the_set_and_a_chat_template_only_wraps_questions():
    tokenizer = small_tokenizer(chat=True)
    assert Asking().of(ha.load_questions(records()), tokenizer) == Asking("examples", chat=False)
    assert Asking().of(ha.load_questions("controlled", limit=2), tokenizer).chat in (True, False)
    assert Asking(chat=True).of(ha.load_questions(records()), tokenizer).chat is True


def test_tables_name_tasks_foils_and_demonstrations_and_conversion_keeps_them(tmp_path: Path):
    rows = records()
    with (tmp_path / "t.csv").open("w", newline="") as file:
        names = ["id", "question", "subquestion", "answer", "foil", "function", "task", "form", "kind", "demonstration"]
        table = csv.DictWriter(file, names)
        table.writeheader()
        for row in rows:
            flat = {**row["steps"][0], "id": row["id"], "question": row.get("question", "")}
            table.writerow(flat | {"demonstration": "true" if row.get("demonstration") else ""})
    whole = ha.load_questions(rows)
    assert ha.load_questions(tmp_path / "t.csv").digest == whole.digest
    write_jsonl(tmp_path / "t.csv", tmp_path / "t.jsonl")
    assert ha.load_questions(tmp_path / "t.jsonl").digest == whole.digest
    assert ha.load_questions([row["steps"][0] | {"demonstration": row.get("demonstration", False)} for row in rows
                              if "question" not in row]).n_steps == 6  # fmt: skip


def test_the_first_items_of_every_task_can_be_asked_for(tmp_path: Path):
    path = write(tmp_path / "q.jsonl", records())
    few = ha.load_questions(path, items=2)
    assert [q.id for q in few.questions] == ["c4", "r4", "c5", "r5"] and len(few.demonstrations) == 8
    with pytest.raises(QuestionError, match="0 items a task leave no question"):
        ha.load_questions(path, items=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows[-1]["steps"][0].update(foil="  tom"),
            r"steps\.0\.foil.*is the answer: a foil is a wrong answer",
        ),
        (lambda rows: rows[0]["steps"][0].pop("task"), "question"),
        (lambda rows: rows[1]["steps"][0].pop("task"), "a demonstration is shown before the items of its task"),
        (lambda rows: rows[-1]["steps"][0].update(task="capital"), "Task 'capital' .* is named for two functions"),
        (
            lambda rows: rows[-1].update(question=rows[1]["question"]),
            "shows an item's answer before it is asked: question 'r9' is the same as 'r0', and one of them is a",
        ),
    ],
)
def test_sets_that_contradict_themselves_are_refused_in_a_line(change, message, tmp_path: Path):
    rows = records()
    rows[-1]["steps"][0]["answer"] = "Tom"
    change(rows)
    with pytest.raises(QuestionError, match=message):
        ha.load_questions(write(tmp_path / "q.jsonl", rows))


def test_showing_prompts_shows_the_demonstrations(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr("headatlas.models.load.load_tokenizer", lambda *_, **__: small_tokenizer())
    path = write(tmp_path / "q.jsonl", records())
    assert main(["questions", "show", str(path), "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert out.count("The capital of") == 4 and "(4) The capital of Egypt is Cairo" in " ".join(out.split())
    assert "(foil" in out.splitlines()[-1]

    def shown(*options):
        assert main(["questions", "show", str(path), "--limit", "1", *options]) == 0
        return capsys.readouterr().out

    assert shown("--shots", "1").count("The capital of") == 2
    assert len({shown("--shots", "2", "--seed", str(seed)) for seed in range(5)}) > 1, "as map deals them by this seed"


def test_a_prompts_digest_moves_with_its_demonstrations():
    questions = ha.load_questions(records(n=6, shown=6))
    tokens = [
        np.concatenate([p.tokens for p in build_prompts(questions, small_tokenizer(), shots=2, seed=seed)])
        for seed in (0, 1)
    ]
    assert len(tokens[0]) != len(tokens[1]) or (tokens[0] != tokens[1]).any()


def test_a_check_counts_tasks_demonstrations_and_how_far_the_design_is_crossed(tmp_path: Path, capsys):
    path = write(tmp_path / "q.jsonl", records())
    check = check_questions(path)
    assert check.tasks["owner"] == {
        "function": "retrieval", "items": 6, "demonstrations": 4, "form": "passage", "kind": "name", "lures": 6,
    }  # fmt: skip
    assert check.questions == 12 and check.digest == ha.load_questions(path).digest and check.usable
    assert check.crossing == {"form": 1.0, "kind": 1.0, "lure": 1.0}, "each function has a design of its own"
    assert main(["questions", "check", str(path)]) == 0
    assert "function and form: Cramér's V 1.00" in capsys.readouterr().out
    rows = records()
    rows[-1]["question"] = rows[1]["question"]
    rows[-2]["steps"][0]["task"] = "owner"
    check = check_questions(write(tmp_path / "bad.jsonl", rows))
    assert not check.usable and "one of them is a demonstration" in check.leaks[0]
    assert [str(bad) for bad in check.bad] == [
        "task 'owner', field 'task': is named for two functions, retrieval and knowledge_recall."
    ]


def test_cramers_v_is_that_of_two_textbook_tables():
    assert cramers_v(np.array([[10.0, 0], [0, 10]])) == pytest.approx(1)
    assert cramers_v(np.array([[5.0, 5], [10, 10], [2, 2]])) == pytest.approx(0)
    assert cramers_v(np.array([[10.0, 20, 30], [6, 9, 17]])) == pytest.approx(
        association(np.array([[10, 20, 30], [6, 9, 17]]), method="cramer")
    )
