"""Building questions through an endpoint: what comes out of which sources and replies."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from tests.built import QUESTIONS, answers_of, build, make, read, report_of, requests_of, run, timeless
from tests.faulty_server import FaultyServer, healthy, steps_of

from headatlas.building.agreement import agreement, answers_agree
from headatlas.building.passes import DEFINITIONS
from headatlas.building.replies import find_list
from headatlas.building.source import read_source
from headatlas.errors import QuestionError, RunError
from headatlas.questions.functions import FUNCTIONS
from headatlas.questions.loading import load_questions

# -- what comes out -------------------------------------------------------------------------------------


def test_a_build_makes_a_question_set_that_loads(source, out):
    with FaultyServer() as server:
        code, stdout, err = build(source, server, out)
    assert code == 0, err
    loaded = load_questions(out)
    assert [(q.id, q.question) for q in loaded.questions] == [(f"q{i}", q) for i, q in enumerate(QUESTIONS)]
    for q in loaded.questions:
        assert q.chain is True
        assert [s.model_dump() for s in q.steps] == steps_of(q.question)
    assert {p.name for p in out.parent.iterdir()} == {"steps.jsonl", "steps.journal", "steps.report.json"}
    assert stdout.splitlines()[0] == f"8 of 8 questions, {loaded.n_steps} steps"
    assert "requests: 16 sent, 16 answered; tokens: 8000 in, 1600 out" in stdout
    for word in ("decompose", "verify", f"Wrote {out}"):
        assert word in err


def test_every_question_says_where_it_comes_from(source, out):
    with FaultyServer() as server:
        assert build(source, server, out, "--verify-model", "judge")[0] == 0
        url = server.url
    journal = {row["request"]: row for row in answers_of(out)}
    for record in read(out):
        origin = record["provenance"]
        assert (origin["model"], origin["served_by"], origin["endpoint"]) == ("m", "m-as-served", url)
        assert (origin["requests_sent"], origin["repairs"], origin["shape"]) == (1, 0, "json_schema")
        assert origin["tokens"] == {"prompt": 500, "completion": 100, "estimated": 0}
        assert origin["when"].endswith("+00:00")
        assert json.loads(journal[origin["request"]]["content"])["steps"] == record["steps"]
        assert journal[origin["request"]]["about"] == f"decompose {record['id']}"
        second = origin["verification"]
        assert (second["model"], second["served_by"]) == ("judge", "judge-as-served")
        assert journal[second["request"]]["about"] == f"verify {record['id']}"
        assert second["prompt"] != origin["prompt"]


def test_the_second_judgement_is_independent_and_counted(source, out):
    with FaultyServer() as server:
        code, stdout, _ = build(source, server, out)
        second = [b for b in server.requests if "Subquestions:" in b["messages"][1]["content"]]
    assert code == 0 and len(second) == len(QUESTIONS)
    for body in second:
        assert not re.search(r"\d parts", json.dumps(body["messages"])), "no answer of the first judgement is shown"
        listed = [line for line in body["messages"][0]["content"].splitlines() if line.startswith("- ")]
        functions = [line[2:].split(":")[0] for line in listed if line[2:].split(":")[0] in FUNCTIONS]
        assert functions == list(reversed(DEFINITIONS)), "all functions, and none singled out"
    n = sum(len(steps_of(q)) for q in QUESTIONS)
    found = report_of(out)["agreement"]
    assert found["steps"] == n
    assert found["functions"] == pytest.approx((n - 2) / n, abs=1e-4), "two questions are tricky"
    assert found["answers"] == pytest.approx((n - 1) / n, abs=1e-4), "one is doubtful; 30 and 30.0 are the same"
    assert sum(count for *_, count in found["confusions"]) == 2
    assert 0.8 < found["kappa"] < found["functions"]
    assert "second judgement (m, the same model: an upper bound)" in stdout
    assert f"same function {found['functions']:.0%} (kappa {found['kappa']:.2f})" in stdout
    disputed = [s for r in read(out) for s in r["provenance"]["verification"]["steps"] if not s["function_agrees"]]
    assert len(disputed) == 2 and all(s["answer_agrees"] for s in disputed)


def test_keep_agreed_drops_what_is_not_confirmed_and_says_so(source, out):
    with FaultyServer() as server:
        code, stdout, _ = build(source, server, out, "--keep", "agreed")
        n = sum(len(steps_of(q)) for q in QUESTIONS)
        assert code == 0
        assert load_questions(out).n_steps == n - 2
        assert report_of(out)["steps"] | {"by_function": 0} == {
            "built": n, "written": n - 2, "dropped": 2, "by_function": 0,
        }  # fmt: skip
        assert "dropped: 2 steps whose function the second judgement does not confirm" in stdout
        assert build(source, server, out)[0] == 0
        assert load_questions(out).n_steps == n, "the same build, kept whole"
        assert len(server.requests) == 16, "and nothing was asked for it"


def test_without_verification_half_is_asked(source, out):
    with FaultyServer() as server:
        code, stdout, _ = build(source, server, out, "--no-verify")
        assert code == 0 and len(server.requests) == 8
        assert "not verified" in stdout and report_of(out)["agreement"] is None
        assert build(source, server, out)[0] == 0
        assert len(server.requests) == 16, "verifying later asks for the judgements only"


def test_the_number_of_workers_changes_nothing(source, tmp_path):
    made = []
    for workers in (1, 8):
        with FaultyServer(fault=lambda number, body: time.sleep(0.01 * (7 - number % 8))) as server:
            path = tmp_path / str(workers) / "steps.jsonl"
            assert build(source, server, path, "--workers", workers)[0] == 0
            report = report_of(path)
            report.pop("endpoint")
            made.append((timeless(read(path)), report))
    assert made[0] == made[1]


def test_reference_answers_are_shown_to_the_first_judgement_only(tmp_path, out):
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps({"question": "How many?", "answer": 4711, "steps": "ignored"}))
    with FaultyServer() as server:
        assert build(path, server, out)[0] == 0
        first, second = (json.dumps(body["messages"]) for body in server.requests)
    assert "4711" in first and "4711" not in second and "ignored" not in first
    (record,) = read(out)
    assert (record["id"], record["answer"]) == ("s-0001", "4711")


def test_own_functions(one, out, tmp_path):
    def reply(body):
        number = {"number": 1} if "Subquestions:" in body["messages"][1]["content"] else {"subquestion": "Which?"}
        return json.dumps({"steps": [{**number, "function": "Colour naming", "answer": "red"}]})

    path = tmp_path / "functions.json"
    path.write_text('{"colour_naming": "say which colour a thing has.", "smelling": "say what a thing smells of."}')
    with FaultyServer(reply=reply) as server:
        code, _, err = build(one, server, out, "--functions", path)
        assert code == 0, err
        body = server.requests[0]
    assert "- smelling: say what a thing smells of." in body["messages"][0]["content"]
    assert "knowledge_recall" not in json.dumps(body)
    assert load_questions(out).functions == ("colour_naming",)
    report = report_of(out)
    assert report["functions"] == json.loads(path.read_text())
    assert report["agreement"]["kappa"] is None, "one label only: chance agreement is 1"


def test_json_for_scripts(one, out):
    with FaultyServer() as server:
        code, stdout, _ = build(one, server, out, "--json")
    assert code == 0 and json.loads(stdout) == report_of(out)


def test_the_definitions_are_of_the_eight_functions():
    assert DEFINITIONS.keys() == FUNCTIONS.keys()
    assert all(text.endswith(".") and "\n" not in text for text in DEFINITIONS.values())


# -- what the endpoint takes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refuses", "shape", "asked"),
    [(("json_schema",), "json_object", 3), (("json_schema", "json_object"), "plain", 4), ((), "json_schema", 2)],
)
def test_a_smaller_form_of_request_where_the_server_refuses(one, out, refuses, shape, asked):
    def takes(body):
        form = body.get("response_format", {}).get("type")
        return f"response_format {form} is not supported" if form in refuses else None

    with FaultyServer(takes=takes) as server:
        make(server, one, out)
        assert len(server.requests) == asked, "tried once, then known"
        assert read(out)[0]["provenance"]["shape"] == shape
        out.unlink()
        one.write_text("\n".join(QUESTIONS))
        make(server, one, out)
        assert len(server.requests) == asked + 2 * 7, "known in the next run, too"


def test_the_schema_that_is_sent_names_the_functions(one, out):
    with FaultyServer() as server:
        make(server, one, out)
    form = server.requests[0]["response_format"]["json_schema"]
    assert form["strict"] is True
    entry = form["schema"]["properties"]["steps"]["items"]
    assert entry["properties"]["function"]["enum"] == list(FUNCTIONS)
    assert entry["required"] == ["subquestion", "function", "answer"]
    assert entry["additionalProperties"] is False


def test_parameters_are_renamed_or_left_out_where_the_server_says_so(one, out):
    def takes(body):
        if "max_tokens" in body:
            return "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return "'temperature' does not support 0" if "temperature" in body else None

    with FaultyServer(takes=takes) as server:
        make(server, one, out, allowance=777)
    last = server.requests[-1]
    assert len(server.requests) == 4
    assert last["max_completion_tokens"] == 777 and "temperature" not in last
    assert last["response_format"]["type"] == "json_schema", "the form that counts is not given up for these"


STEP = '{"subquestion": "What?", "function": "Math Calculation", "answer": 42, "confidence": 0.9}'


@pytest.mark.parametrize(
    "text",
    [
        f'{{"steps": [{STEP}]}}',
        f'Sure! Here you are:\n```json\n{{"steps": [{STEP}]}}\n```\nAnything else?',
        f'<think>maybe {{"steps": []}} or {{</think>{{"steps": [{STEP}]}}',
        f'The form is {{"steps": [{{"subquestion": "..."}}]}}, so: {{"steps": [{STEP}]}} {{braces}}',
    ],
)
def test_json_is_found_in_talk(text, one, out):
    assert find_list(text) == [json.loads(STEP)]
    with FaultyServer(reply=lambda body: text) as server:
        make(server, one, out, verify=False)
    (step,) = read(out)[0]["steps"]
    assert step == {"subquestion": "What?", "answer": "42", "function": "math_calculation"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("no json", "The reply holds no whole JSON object"),
        ("no steps", 'has no list \\"steps\\"'),
        ("bad schema", 'Entry 1 of steps: \\"answer\\" must be text, it is missing.'),
        ("bad label", 'Entry 1 of steps: unknown function \\"guessing\\". Use one of: knowledge_recall'),
        ("cut", "The reply was cut off at 2000 tokens: be shorter."),
    ],
)
def test_a_reply_that_breaks_the_schema_is_sent_back_with_the_error(one, out, fault, told):
    with FaultyServer([fault]) as server:
        make(server, one, out)
        again = json.dumps(server.requests[1]["messages"])
    assert len(server.requests) == 3
    assert told in again
    assert [m["role"] for m in server.requests[1]["messages"]] == ["system", "user", "assistant", "user"]
    origin = read(out)[0]["provenance"]
    assert (origin["repairs"], origin["requests_sent"]) == (1, 2)
    assert origin["tokens"] == {"prompt": 1000, "completion": 200, "estimated": 0}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "has 0 entries; give 1 to 12"),
        ([{"subquestion": f"{i}?", "function": "retrieval", "answer": "x"} for i in range(13)], "has 13 entries"),
        ([{"subquestion": "A b?", "function": "retrieval", "answer": "x"}] * 2, "Entry 2 of steps asks the same as"),
        (["text"], "Entry 1 of steps is no object with subquestion, function, answer"),
        ([{"subquestion": " ", "function": "retrieval", "answer": "x"}], '"subquestion" must be text, it is blank'),
        ([{"subquestion": "A?", "function": "retrieval", "answer": True}], '"answer" must be text, it is bool'),
    ],
)
def test_what_is_no_decomposition(one, out, rows, told):
    with (
        FaultyServer(reply=lambda body: json.dumps({"steps": rows})) as server,
        pytest.raises(RunError, match="None of the 1 questions could be built; 'one-0001'") as caught,
    ):
        make(server, one, out, repairs=0)
    assert told in str(caught.value)
    assert not out.exists()


def test_a_model_that_never_keeps_to_the_schema_is_told_of_and_not_dropped_in_silence(source, out):
    def fault(number, body):
        return "no json" if QUESTIONS[2] in body["messages"][1]["content"] else None

    with FaultyServer(fault=fault) as server:
        code, stdout, _ = build(source, server, out)
        assert code == 0
        assert [r["id"] for r in read(out)] == [f"q{i}" for i in range(8) if i != 2]
        assert stdout.startswith("7 of 8 questions")
        assert "failed: q2 (decompose, unusable): no usable reply in 3 replies, the last: The reply holds no" in stdout
        (failure,) = report_of(out)["failures"]
        assert (failure["id"], failure["kind"]) == ("q2", "unusable")
        before = len(server.requests)
        assert before == 3 + 7 * 2
        assert build(source, server, out)[0] == 0
        assert len(server.requests) == before, "its answers are known: not asked again"
        assert build(source, server, out, "--repairs", 3)[0] == 0
        assert len(server.requests) == before + 1, "one more repair goes on from there"


def test_a_judgement_that_fails_is_told_of_and_its_steps_are_kept(source, out):
    def fault(number, body):
        text = body["messages"][1]["content"]
        return "no json" if "Subquestions" in text and QUESTIONS[2] in text else None

    with FaultyServer(fault=fault) as server:
        assert build(source, server, out)[0] == 0
        record = read(out)[2]
        assert record["id"] == "q2" and record["provenance"]["verification"] is None
        report = report_of(out)
        assert [f["stage"] for f in report["failures"]] == ["verify"]
        assert report["agreement"]["steps"] == report["steps"]["built"] - len(record["steps"])
        assert build(source, server, out, "--keep", "agreed")[0] == 0
        assert "q2" not in [r["id"] for r in read(out)], "not confirmed"


def test_half_characters_reach_no_file(one, out):
    def reply(body):
        return f"\ud800 {healthy(body)}"

    with FaultyServer(["surrogate"], reply=reply) as server:
        make(server, one, out)
        assert "Your reply, field 'steps.0.subquestion'" in server.requests[1]["messages"][-1]["content"]
    for path in (out, out.with_suffix(".report.json")):
        path.read_bytes().decode()
    json.dumps(requests_of(out), ensure_ascii=False).encode()
    assert read(out)[0]["steps"] == steps_of(QUESTIONS[0])


def test_half_characters_of_a_judge_are_sent_back(one, out):
    def reply(body):
        judged = "Subquestions:" in body["messages"][1]["content"] and len(body["messages"]) == 2
        return healthy(body).replace("parts", "\\ud800") if judged else healthy(body)

    with FaultyServer(reply=reply) as server:
        make(server, one, out)
        assert "Your reply, field 'steps.0.answer'" in server.requests[2]["messages"][-1]["content"]
    assert read(out)[0]["provenance"]["verification"]["repairs"] == 1


# -- sources --------------------------------------------------------------------------------------------


def test_text_and_json_lines_are_read(tmp_path):
    text = tmp_path / "My Bench.txt"
    text.write_bytes("\ufeffHow many?\r\n\r\n  Why \u2028 then?  \n".encode())
    assert [(q.id, q.question) for q in read_source(text)] == [
        ("my_bench-0001", "How many?"), ("my_bench-0002", "Why \u2028 then?"),
    ]  # fmt: skip
    lines = tmp_path / "b.jsonl"
    lines.write_text('{"question": "A?", "answer": null}\n{"id": 7, "question": "B?", "answer": 1.5, "steps": [1]}')
    assert [(q.id, q.question, q.answer) for q in read_source(lines)] == [("b-0001", "A?", ""), ("7", "B?", "1.5")]
    assert len(read_source(lines, limit=1)) == 1


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl", b'{"question": "A?"}\nnope', r"a\.jsonl, line 2, column 1: not JSON"),
        ("a.jsonl", b"[1]", r"line 1: expected an object, got list"),
        ("a.jsonl", b'{"prompt": "A?"}', r"line 1, field 'question': missing \(the record has prompt\)"),
        ("a.jsonl", b'{"question": ["A?"]}', r"field 'question': expected text, got list"),
        ("a.jsonl", b'{"question": "  "}', r"field 'question': is blank"),
        ("a.jsonl", b'{"question": ""}', r"field 'question': is blank"),
        ("a.jsonl", b'{"question": null}', r"field 'question': expected text, got NoneType"),
        ("a.jsonl", b'{"question": "\\ud800"}', r"field 'question': holds half a surrogate pair"),
        ("a.jsonl", b'{"question": "A", "id": "x"}\n{"question": "B", "id": "X"}', r"line 2, field 'id': 'X' is"),
        ("a.jsonl", b'{"question": "A", "answer": true}', r"field 'answer': expected text, got bool"),
        ("a.jsonl", b"[" * 100_000, r"line 1: nested too deeply|line 1, column \d+: not JSON"),
        ("a.txt", b"\xff\xfe", r"a\.txt, line 1: not UTF-8 .* Save it as UTF-8"),
        ("a.txt", b"\n \n", r"holds no question\. Give a \.jsonl file with"),
        ("a.csv", b"question\nA?", r"ends in '\.csv'\. Give a \.jsonl file with"),
    ],
)  # fmt: skip
def test_sources_that_are_refused(tmp_path, name, data, message):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(QuestionError, match=message):
        read_source(path)


def test_a_source_that_is_not_there(tmp_path):
    with pytest.raises(QuestionError, match=r"Source '.*none\.txt' is no file\. Give a"):
        read_source(tmp_path / "none.txt")
    with pytest.raises(QuestionError, match="is a folder"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "not JSON"),
        ('["a"]', "expected an object with two functions or more"),
        ('{"a": "b"}', "expected an object with two functions or more"),
        ('{"a": "b", "c": ""}', "'c': the definition must be text"),
        ('{"inferense": "b", "c": "d"}', "unknown function 'inferense'. Did you mean 'inference'?"),
        (None, "No such file"),
    ],
)
def test_functions_that_are_refused(one, out, tmp_path, text, message):
    path = tmp_path / "functions.json"
    if text is not None:
        path.write_text(text)
    with FaultyServer() as server:
        code, _, err = build(one, server, out, "--functions", path)
    assert code == 2 and message in err


# -- agreement ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paris", "paris.", True), ("the cat", "Cat", True), ("Paris", "London", False), ("ＡＢＣ", "abc", True),
        ("38", "38 apples", True), ("38 apples", "38 pears", False), ("1,000", "1000.0", True),
        ("$5", "5 dollars", True),
        ("3", "three", True), ("1/2", "0.5", True), ("-2", "2", False), ("12", "21", False), ("3-4", "3 to 4", True),
        ("L9H6", "l9h6", True), ("5", "5 of 6", False), ("yes", "Yes, it does", True), ("no", "yes", False),
        ("factual", "not factual", False), ("", "x", False), ("1/0", "1/0", True), ("9" * 5000, "9" * 5000, True),
    ],
)  # fmt: skip
def test_answers_agree(one, other, same):
    assert answers_agree(one, other) is same
    assert answers_agree(other, one) is same


def test_kappa_is_cohens():
    pairs = [("a", "a")] * 20 + [("a", "b")] * 5 + [("b", "a")] * 10 + [("b", "b")] * 15
    found = agreement(pairs, [True] * 25 + [False] * 25)
    assert (found["functions"], found["kappa"], found["answers"]) == (0.7, 0.4, 0.5)
    assert found["by_function"] == {"a": {"steps": 25, "confirmed": 20}, "b": {"steps": 25, "confirmed": 15}}
    assert found["confusions"] == [["b", "a", 10], ["a", "b", 5]]
    assert agreement([], []) == {
        "steps": 0, "functions": None, "kappa": None, "answers": None, "by_function": {}, "confusions": [],
    }  # fmt: skip


def test_help_is_quick_and_loads_no_client():
    script = (
        "import sys\nfrom headatlas.cli.main import main\nmain(['questions', 'build', '--help'])\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--max-spend" in done.stdout and "openai" not in done.stdout.splitlines()[-1].split()


# -- a real server --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The built-in model behind ``transformers serve``: (base address, model name)."""
    from headatlas.models.load import builtin_file, converted

    folder = converted(builtin_file("smollm2-135m"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("served") / "log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder), "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--device", "cpu"], stdout=file, stderr=file, env=environment
        )
    try:
        for _ in range(90):
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            assert process.poll() is None, log.read_text()
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1", str(folder)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slower
def test_transformers_serve_is_asked_and_its_answers_are_judged_honestly(served, tmp_path):
    url, model = served
    source = tmp_path / "two.jsonl"
    source.write_text('{"question": "Tom has 2 apples and buys 3. How many has he?"}\n{"question": "Is ice cold?"}\n')
    out = tmp_path / "steps.jsonl"
    command = ["questions", "build", source, "--endpoint", url, "--model", model, "--out", out]
    options = ["--max-tokens", 120, "--repairs", 1, "--workers", 1, "--functions", tmp_path / "functions.json"]
    (tmp_path / "functions.json").write_text('{"recall": "know it", "counting": "count it"}')
    code, _, err = run(*command, *options)
    rows, answers = requests_of(out), answers_of(out)
    assert 2 <= len(answers) <= 8 and not [row for row in rows if row["fault"]]
    for row in answers:
        assert row["content"] and row["served_by"].startswith(model)
        assert row["prompt"] > 100 and 0 < row["completion"] <= 120
        assert row["estimated"] == 0
    if code == 0:  # a model this small mostly talks; where it keeps to the schema, what it said is kept
        built = load_questions(out)
        report = report_of(out)
        failed = {f["id"] for f in report["failures"] if f["stage"] == "decompose"}
        assert len(built.questions) + len(failed) == 2
        assert set(built.functions) <= {"recall", "counting"}
    else:
        assert code == 1 and not out.exists()
        assert "None of the 2 questions could be built; 'two-0001': no usable reply in 2 replies" in err
    assert run(*command, *options)[0] == code
    assert requests_of(out) == rows, "nothing asked twice"

    wrong = run("questions", "build", source, "--endpoint", url, "--model", "gpt-9", "--out", tmp_path / "w.jsonl")
    assert wrong[0] == 1 and "Server is pinned to" in wrong[2]
