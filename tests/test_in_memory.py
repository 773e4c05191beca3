"""Questions that a notebook holds already: the same as the same questions in a file, and the same errors."""

import csv
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import headatlas as ha
from headatlas.errors import QuestionError
from headatlas.questions import Question, Step

STEP: dict[str, Any] = {"subquestion": "Who has hens?", "answer": "Ann", "function": "retrieval"}
QUESTIONS: list[Any] = [
    {"id": "a", "question": "Ann has hens.", "steps": [STEP, {**STEP, "answer": "two"}], "split": "train", "t": 1},
    {"id": "b", "question": "Leo has hens.", "steps": [{**STEP, "answer": "Leo"}], "split": "test"},
]  # fmt: skip
ROWS: list[Any] = [
    {"question": "Ann has hens.", "subquestion": "Who?", "answer": "Ann", "function": "retrieval"},
    {"question": "Ann has hens.", "subquestion": "How many?", "answer": 2, "function": "inference"},
    {"question": "Leo has hens.", "subquestion": "Who?", "answer": "Leo", "function": "retrieval"},
]


def saved(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_list_of_questions_is_what_their_file_is(tmp_path):
    by_file = ha.load_questions(saved(tmp_path / "q.jsonl", QUESTIONS))
    objects = [Question.model_validate(q) for q in QUESTIONS]
    for source in (QUESTIONS, tuple(QUESTIONS), objects, [QUESTIONS[0], objects[1]], by_file.questions):
        loaded = ha.load_questions(source)
        assert loaded.name == "list"
        assert loaded.questions == by_file.questions and loaded.digest == by_file.digest
    assert loaded.questions[0].model_extra == {"t": 1}
    mixed = [{**QUESTIONS[0], "steps": [Step(**STEP)]}]
    assert ha.load_questions(mixed).questions[0].steps == (Step(**STEP),)


def test_rows_of_a_list_or_a_data_frame_are_what_their_table_is(tmp_path):
    path = tmp_path / "rows.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([list(ROWS[0]), *(row.values() for row in ROWS)])
    by_file = ha.load_questions(path)
    for source, name in (
        (ROWS, "list"),
        (pd.DataFrame(ROWS), "table"),
        (pd.DataFrame(ROWS, index=list("xyx")), "table"),
    ):
        loaded = ha.load_questions(source)
        assert loaded.name == name
        assert [q.steps for q in loaded.questions] == [q.steps for q in by_file.questions]
        assert [q.id for q in loaded.questions] == [f"{name}-000001", f"{name}-000002"]
        assert not any(q.chain for q in loaded.questions)


def test_columns_are_mapped_and_cells_are_plain():
    frame = pd.DataFrame(
        {
            "nr": [7, 7, 8],
            "text": ["T", "T", "U"],
            "q": ["Q1?", "Q2?", "Q3?"],
            "target": [np.array([3.0, 1]), np.array(["b"]), ["c"]],
            "part": ["dev", "dev", None],
        }
    )
    columns = {
        "id": "nr",
        "question": "text",
        "subquestion": "q",
        "answer": "target.0",
        "function": "=mine",
        "split": "part",
    }
    for source in (frame, frame.to_dict("records")):
        first, second = ha.load_questions(source, columns=columns).questions
        assert (first.id, first.split, [s.answer for s in first.steps]) == ("7", "dev", ["3", "b"])
        assert (second.id, second.split, second.steps[0].function) == ("8", None, "mine")
    assert ha.load_questions(frame, columns=columns, split="dev").n_steps == 2


def test_split_limit_and_name():
    assert [q.id for q in ha.load_questions(QUESTIONS, split="test").questions] == ["b"]
    assert [q.id for q in ha.load_questions(QUESTIONS, limit=1).questions] == ["a"]
    named = ha.load_questions(ROWS, name="hens")
    assert named.name == "hens" and named.digest == ha.load_questions(ROWS).digest, "a name is a title"
    assert ha.load_questions("controlled", limit=1, name="one").name == "one"
    with pytest.raises(QuestionError, match=r"^'list' has no question of split 'dev'\. Its splits: test, train\.$"):
        ha.load_questions(QUESTIONS, split="dev")
    with pytest.raises(QuestionError, match="A limit of 0 leaves no question"):
        ha.load_questions(QUESTIONS, limit=0)


def changed(rows, number, **cells):
    return [{**row, **(cells if i == number else {})} for i, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "Question set 'list' holds no question"),
        (pd.DataFrame(ROWS[:0]), "Question set 'table' holds no question"),
        (changed(QUESTIONS, 1, question=" "), r"^list, record 2, field 'question': .*is blank"),
        (changed(QUESTIONS, 1, steps=[{**STEP, "function": "retreival"}]),
         r"^list, record 2, field 'steps\.0\.function': unknown function 'retreival'\. Did you mean 'retrieval'"),
        ([Question(id="a", question="T", steps=(Step(**{**STEP, "function": "retreival"}),))],
         r"^list, record 1, field 'steps\.0\.function': unknown function 'retreival'"),
        ([*QUESTIONS, ROWS[0]], r"^list, record 3, field 'id': Field required"),
        ([*QUESTIONS, "c"], r"^list, record 3, field 'the record': .*\(got 'c'\)"),
        ([QUESTIONS[0], QUESTIONS[0]], "Question id 'a' is used more than once in 'list'"),
        (changed(ROWS, 1, answer=""), r"^list, row 2, field 'answer'"),
        (changed(ROWS, 2, answer=float("nan")), r"^list, row 3, field 'answer': .*\(got None\)"),
        (pd.DataFrame(changed(ROWS, 2, function="retreival")), r"^table, row 3, field 'function': unknown function "),
        (pd.DataFrame(changed(ROWS, 1, answer=pd.NA)), r"^table, row 2, field 'answer': .*\(got None\)"),
        (pd.DataFrame(changed(ROWS, 0, answer=pd.NaT)), r"^table, row 1, field 'answer': .*\(got None\)"),
        ([*ROWS, QUESTIONS], r"^list, row 4: expected a dict, a step a row, got list"),
        (pd.DataFrame(ROWS).rename(columns={"answer": "target"}),
         r"^table, row 1: there is no column 'answer' \(map one with --column answer=NAME\)\. Columns: 'question'"),
        (pd.DataFrame(ROWS).rename(columns={"answer": "question"}), "column 'question' is there twice. Rename one"),
        ([{"text": "T", "q": "Q?"}], r"^list, record 1 has neither 'steps' .* nor 'subquestion' .*It has: 'text', "),
        (QUESTIONS[0], r"This is a single record\. Give a list of them: load_questions\(\[record\]\)"),
        (ha.load_questions(ROWS), r"'list' is loaded already\. Give it to measure, or its \.questions here"),
        (7, "Questions can't be read from this .int.. Give a name, a path, a list of dicts or of Question, or a"),
    ],
)  # fmt: skip
def test_errors_name_the_record_and_the_field(source, message):
    with pytest.raises(QuestionError, match=message):
        ha.load_questions(source)


def test_columns_of_what_has_none():
    with pytest.raises(QuestionError, match=r"^list, row 1: expected a dict, a step a row, got Question"):
        ha.load_questions([Question.model_validate(QUESTIONS[0])], columns={"answer": "target"})
