"""What `questions check` says of a set, against sets made to have each fault."""

import json

import pytest

from headatlas.questions.checks import MOST_STEPS, check_questions
from headatlas.questions.functions import FUNCTIONS
from headatlas.questions.loading import load_questions
from headatlas.questions.reading import Reading

WORDS = dict(zip(FUNCTIONS, ("ox", "cat", "dog", "hen", "fox", "bee", "ant", "owl"), strict=True))


def record(i, *, functions=tuple(FUNCTIONS), split=None, passage=None, ask="What of the {word}?", answer="yes"):
    steps = [{"subquestion": ask.format(word=WORDS.get(f, f), i=i), "answer": answer, "function": f} for f in functions]
    named = {} if split is None else {"split": split}
    return {"id": f"q{i}", "question": passage or f"Passage {i}.", "steps": steps, **named}


def write(path, records):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
    return path


def test_every_bad_record_is_listed_with_line_and_field(tmp_path):
    bad = record(3)
    bad["steps"][1]["answer"] = " "
    bad["steps"][2]["function"] = "math_calculatoin"
    path = write(tmp_path / "q.jsonl", [record(1), "{", bad, record(4), {"id": "x", "steps": []}, record(1)])
    check = check_questions(path)
    assert [(b.line, b.field) for b in check.bad] == [
        (2, ""),
        (3, "steps.1.answer"),
        (5, "question"),
        (5, "steps"),
        (None, "id"),
    ]
    assert not check.usable
    del bad["steps"][1]
    twice = check_questions(write(tmp_path / "q.jsonl", [bad]))
    assert [(b.line, b.field) for b in twice.bad] == [(1, "steps.1.function")]
    assert "Did you mean 'math_calculation'?" in twice.bad[0].message


def test_counts_by_function_and_split(tmp_path):
    two = ("retrieval", "inference")
    records = [record(i, functions=two if i % 3 else two[:1], split="test" if i < 4 else "train") for i in range(12)]
    path = write(tmp_path / "q.jsonl", records)
    check = check_questions(path)
    assert (check.questions, check.steps) == (12, 20)
    assert check.functions == {"retrieval": 12, "inference": 8}
    assert check.splits == {
        "test": {"questions": 4, "steps": 6, "functions": {"retrieval": 4, "inference": 2}},
        "train": {"questions": 8, "steps": 14, "functions": {"retrieval": 8, "inference": 6}},
    }
    assert check.digest == load_questions(path).digest
    assert check_questions(path, Reading(split="test")).functions == {"retrieval": 4, "inference": 2}
    assert check_questions(path, Reading(limit=5)).questions == 5


def test_duplicates_and_leaks_are_named(tmp_path):
    records = [
        record(1, split="train"),
        record(2, split="train", passage="passage  1."),
        record(3, split="test", passage="PASSAGE 1."),
        record(4, split="test", functions=("retrieval", "retrieval")),
    ]
    check = check_questions(write(tmp_path / "q.jsonl", records))
    assert check.leaks == ["'q3' of split 'test' is the same main question as 'q1' of split 'train'"]
    assert check.duplicates[0] == "main question 'q2' is the same text as 'q1'"
    assert "step 'q4/1' asks the same as 'q4/0'" in check.duplicates
    assert not check.usable


def test_controls_find_what_gives_the_function_away(tmp_path):
    """Each control is 1 where its surface names the function, and near chance where it says nothing."""
    by_word = check_questions(write(tmp_path / "q.jsonl", [record(i) for i in range(30)]))
    assert set(by_word.controls) == {"subquestion", "passage", "answer", "position", "length"}
    assert by_word.controls["subquestion"] == by_word.controls["position"] == 1
    for blind in ("passage", "answer", "length"):
        assert by_word.controls[blind] <= 0.2
    assert by_word.commonest == 1 / 8
    low, high = by_word.intervals["subquestion"]
    assert high == 1 and low == pytest.approx(0.025 ** (1 / 30)), "thirty questions, all right: the exact interval"
    functions = tuple(FUNCTIONS)
    turned = [record(i, functions=functions[i % 8 :] + functions[: i % 8], ask="What?") for i in range(40)]
    same = check_questions(write(tmp_path / "q.jsonl", turned))
    assert max(same.controls.values()) <= 0.2


def test_without_enough_for_controls_the_reason_is_told(tmp_path):
    check = check_questions(write(tmp_path / "q.jsonl", [record(1), record(2)]))
    assert check.controls == {}
    assert "held-out folds need at least" in check.note
    assert check.usable
    assert check_questions("controlled", controls=False).controls == {}


@pytest.mark.slower
def test_controls_of_a_large_set_are_fitted_on_a_random_part(tmp_path):
    n = MOST_STEPS // 2 + 500
    records = [record(i, functions=("a", "b") if i < n // 2 else ("a", "c")) for i in range(n)]
    path = write(tmp_path / "q.jsonl", records)
    check = check_questions(path)
    assert check.steps == 2 * n
    assert check.control_steps == MOST_STEPS
    assert check.controls["subquestion"] == 1  # words name the labels
    assert check.commonest == 0.5
    assert check_questions(path).controls == check.controls


def test_the_built_in_set_keeps_under_its_bars():
    check = check_questions("controlled")
    assert check.usable
    assert check.duplicates == check.leaks == check.bad == []
    assert set(check.splits) == {"train", "test"}
    bars = {"subquestion": 0.40, "passage": 0.15, "answer": 0.25, "position": 0.20, "length": 0.20}
    for name, bar in bars.items():
        assert check.controls[name] <= bar, name


def test_what_cogqa_gives_away(cogqa):
    check = check_questions(cogqa)
    assert check.steps == 2683
    assert sum(check.left_out.values()) == 6
    assert check.controls["subquestion"] == pytest.approx(0.66, abs=0.03)
    assert check.controls["passage"] == pytest.approx(0.41, abs=0.03)
    assert check.controls["answer"] == pytest.approx(0.56, abs=0.03)
