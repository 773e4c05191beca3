"""Question files read or refused, as a person who wrote one by hand would meet it."""

import json

import pytest

from headatlas.errors import QuestionError
from headatlas.questions.functions import FUNCTIONS
from headatlas.questions.loading import load_questions
from headatlas.questions.schema import QuestionSet


def record(id="q1", *, function="retrieval", answer="Leo", **more):
    steps = [{"subquestion": "Who will bring the sack?", "answer": answer, "function": function}]
    return {"id": id, "question": "Leo will bring a sack.", "answer": "Leo", "steps": steps, **more}


def write(path, *records):
    lines = [r if isinstance(r, str) else json.dumps(r, ensure_ascii=False) for r in records]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def cogqa_record(*skills, answer="Leo"):
    return {
        "question": "Leo will bring a sack. What weighs it?",
        "answer": "2 kg",
        "generated": [
            {"subquestion": f"Part {i}?", "answer": answer, "cognitive_skill": s} for i, s in enumerate(skills)
        ],
    }


def test_json_lines_are_read_in_order(tmp_path):
    path = write(
        tmp_path / "mine.jsonl",
        record("b", topic="farm", split="test"),
        "",
        record("a", function="math_calculation", answer="zwölf  ", chain=False),
    )
    questions = load_questions(path)
    assert questions.name == "mine"
    assert [q.id for q in questions.questions] == ["b", "a"]
    assert [q.chain for q in questions.questions] == [True, False]
    assert questions.questions[0].model_extra == {"topic": "farm"}
    assert questions.questions[1].steps[0].answer == "zwölf"
    assert questions.functions == ("retrieval", "math_calculation")
    assert questions.counts() == {"retrieval": 1, "math_calculation": 1}
    assert questions.n_steps == 2
    assert questions.left_out == {}


def test_a_byte_order_mark_is_no_error(tmp_path):
    lines, cogqa = tmp_path / "windows.jsonl", tmp_path / "windows.json"
    lines.write_bytes(b"\xef\xbb\xbf" + json.dumps(record()).encode())
    cogqa.write_bytes(b"\xef\xbb\xbf" + json.dumps([cogqa_record("Retrieval")]).encode())
    assert load_questions(lines).n_steps == load_questions(cogqa).n_steps == 1


@pytest.mark.parametrize("wrapped", [False, True])
def test_both_shapes_of_cogqa(tmp_path, wrapped):
    records = [
        cogqa_record("Retrieval", "Math Calculation", "Induction"),
        cogqa_record("Decision-making", "Induction", "Lexical Knowledge"),
        cogqa_record("Induction"),
    ]
    path = tmp_path / "cogqa.json"
    path.write_text(json.dumps([[r] for r in records] if wrapped else records))
    questions = load_questions(path)
    assert [[s.function for s in q.steps] for q in questions.questions] == [
        ["retrieval", "math_calculation"],
        ["decision_making"],
    ]
    assert all(q.chain for q in questions.questions)
    assert questions.left_out == {
        "steps with the stray label 'Induction'": 3,
        "steps with the stray label 'Lexical Knowledge'": 1,
        "questions without a step of the eight functions": 1,
    }
    assert load_questions(path, limit=1).n_steps == 2


def test_the_released_cogqa(cogqa):
    questions = load_questions(cogqa)
    assert len(questions.questions) == 572
    assert questions.n_steps == 2683
    assert questions.left_out == {
        "steps with the stray label 'Induction'": 3,
        "steps with the stray label 'Self-Evaluation'": 1,
        "steps with the stray label 'Task Comprehension'": 1,
        "steps with the stray label 'Lexical Knowledge'": 1,
    }
    assert questions.counts() == {
        "knowledge_recall": 422, "retrieval": 533, "logical_reasoning": 230, "decision_making": 144,
        "semantic_understanding": 304, "syntactic_understanding": 182,
        "inference": 285, "math_calculation": 583,
    }  # fmt: skip
    assert questions.functions == tuple(FUNCTIONS)


def test_numbers_as_cogqa_answers_are_text_and_null_is_refused(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps([cogqa_record("Retrieval", answer=12)]))
    assert load_questions(path).questions[0].steps[0].answer == "12"
    path.write_text(json.dumps([cogqa_record("Retrieval"), cogqa_record("Inference", answer=None)]))
    with pytest.raises(QuestionError, match=r"c\.json, record 2, field 'steps\.0\.answer'.*string.*got None"):
        load_questions(path)


def test_own_functions_are_welcome(tmp_path):
    path = write(tmp_path / "own.jsonl", record("1", function="irony"), record("2"), record("3", function="analogy"))
    assert load_questions(path).functions == ("retrieval", "analogy", "irony")


@pytest.mark.parametrize(
    ("label", "meant"),
    [
        ("Decision-making", "decision_making"),
        ("math_calculaton", "math_calculation"),
        ("Retreival", "retrieval"),
        ("knowledge recall", "knowledge_recall"),
    ],
)
def test_a_misspelt_function_is_refused_with_the_right_one(tmp_path, label, meant):
    path = write(tmp_path / "q.jsonl", record("1"), record("2", function=label))
    with pytest.raises(QuestionError) as error:
        load_questions(path)
    assert f"{path}, line 2, field 'steps.0.function': unknown function '{label}'" in str(error.value)
    assert f"Did you mean '{meant}'?" in str(error.value)


BAD_LINES = [
    ('{"id": "x", "question": ', "line 2, column 24: not JSON"),
    (record(answer=""), r"line 2, field 'steps\.0\.answer': String should have at least 1 character"),
    (record(answer="  \t"), r"line 2, field 'steps\.0\.answer': .*is blank"),
    ({**record(), "question": " "}, "line 2, field 'question': .*is blank"),
    ({**record(), "steps": []}, "line 2, field 'steps': .*at least 1 item"),
    ({**record(), "id": 7}, r"line 2, field 'id': Input should be a valid string \(got 7\)"),
    ({"id": "x", "steps": record()["steps"]}, "line 2, field 'question': Field required"),
    (
        {**record(), "steps": [{**record()["steps"][0], "skill": "x"}]},
        r"line 2, field 'steps\.0\.skill': Extra inputs",
    ),
    ("[1, 2]", "line 2, field 'the record'"),
    (record("first"), "Question id 'first' is used more than once in 'q'"),
]


@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_bad_line_is_refused_with_file_line_and_field(tmp_path, line, message):
    path = write(tmp_path / "q.jsonl", record("first"), line)
    with pytest.raises(QuestionError, match=message) as error:
        load_questions(path)
    assert "\n" not in str(error.value)
    assert "used more than once" in str(error.value) or str(error.value).startswith(f"{path}, line 2")


def test_not_utf8_is_refused_where_it_is(tmp_path):
    lines, cogqa = tmp_path / "q.jsonl", tmp_path / "c.json"
    lines.write_bytes(json.dumps(record()).encode() + b"\n" + '{"id": "Zürich"}'.encode("latin-1"))
    with pytest.raises(QuestionError, match=r"q\.jsonl, line 2: not UTF-8 .* at byte 9"):
        load_questions(lines)
    cogqa.write_bytes('[{"question": "Zürich"}]'.encode("latin-1"))
    with pytest.raises(QuestionError, match=r"c\.json: not UTF-8 .* Save it as UTF-8"):
        load_questions(cogqa)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"question": "q",\n oops}]', "line 2, column 2: not JSON"),
        ('{"question": "q"}', "expected a list of CogQA records, got dict"),
        ("[]", "expected a list of CogQA records"),
        ('[{"question": "q"}]', r"record 1: expected \{question, answer, generated: .* got \['question'\]"),
        ('[[{"question": "q", "generated": [{"answer": "a"}]}]]', "has no cognitive_skill, subquestion"),
        (json.dumps([cogqa_record("Induction")]), "holds no question with a usable step"),
    ],
)
def test_bad_cogqa_files(tmp_path, text, message):
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(QuestionError, match=message):
        load_questions(path)


def test_what_is_no_question_file(tmp_path):
    with pytest.raises(QuestionError, match=r"'nope.jsonl' is neither a named set nor a file"):
        load_questions("nope.jsonl")
    with pytest.raises(QuestionError, match="Did you mean 'builtin'"):
        load_questions("builtins")
    with pytest.raises(QuestionError, match="is a folder"):
        load_questions(tmp_path)
    (tmp_path / "q.txt").write_text("hello")
    with pytest.raises(QuestionError, match=r"q\.txt: can't tell its format"):
        load_questions(tmp_path / "q.txt")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(QuestionError, match="'empty' holds no question"):
        load_questions(tmp_path / "empty.jsonl")


def test_limit(tmp_path):
    path = write(tmp_path / "q.jsonl", *(record(str(i)) for i in range(4)))
    assert [q.id for q in load_questions(path, limit=2).questions] == ["0", "1"]
    assert len(load_questions(path, limit=99).questions) == 4
    for limit in (0, -3):
        with pytest.raises(QuestionError, match=f"A limit of {limit} leaves no question"):
            load_questions(path, limit=limit)


def test_the_digest_follows_what_prompts_are_made_of(tmp_path):
    def digest(*records):
        return load_questions(write(tmp_path / "q.jsonl", *records)).digest

    plain = digest(record("1"), record("2"))
    assert digest(record("1", topic="farm", split="test"), {**record("2"), "answer": "x"}) == plain
    questions = load_questions(tmp_path / "q.jsonl")
    assert QuestionSet(questions.questions, "other name", {"x": 1}).digest == plain
    changed = [
        digest(record("2"), record("1")),
        digest(record("1"), record("3")),
        digest(record("1"), record("2", chain=False)),
        digest(record("1"), record("2", answer="Leon")),
        digest(record("1"), record("2", function="inference")),
        digest(record("1"), {**record("2"), "question": "Leo will bring two sacks."}),
    ]
    assert len({plain, *changed}) == 1 + len(changed)
