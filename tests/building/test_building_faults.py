"""Building questions through an endpoint that fails, costs money and must not learn more than it has to.

What every fault does, caps, the key: requests are counted by the server.
"""

import json
import socket
import sys

import pytest
from tests.built import QUESTIONS, Naps, build, make, read, report_of, requests_of, run
from tests.faulty_server import BODIES, STATUSES, FaultyServer, healthy, steps_of

from headatlas.building import Builder, Caps, Patience
from headatlas.building.endpoint import GONE, is_exposed
from headatlas.building.faults import retry_after
from headatlas.errors import RunError

KEY = "sk-very-secret-0123456789"


# -- faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["429", "408", "500", "503", "hang", "drop", *BODIES])
def test_a_passing_fault_is_asked_again(one, out, fault):
    naps = Naps()
    with FaultyServer([fault]) as server:
        make(server, one, out, sleep=naps, patience=Patience(timeout=0.4 if fault == "hang" else 5.0))
        assert len(server.requests) == 3, "the client retries nothing on its own"
    assert len(naps.seconds) == 1
    (record,) = read(out)
    assert record["steps"] == steps_of(QUESTIONS[0])
    assert record["provenance"]["requests_sent"] == 2
    report = report_of(out)
    kind = {"hang": "timeout", "drop": "connection"}.get(fault, "garbage" if fault in BODIES else fault)
    assert report["requests"] == {"sent": 3, "answered": 2, "faults": {kind: 1}}
    lost = kind in ("timeout", "connection", "garbage")
    assert report["tokens"]["estimated"] == lost, "an answer that was lost may be billed; a refusal is not"
    assert report["status"] == "complete"


def test_pauses_are_as_long_as_the_endpoint_asks_for_or_double(one, out):
    naps, told = Naps(), []
    with FaultyServer(["429", "500", "500", "500", "429 at once"]) as server:
        make(server, one, out, sleep=naps, say=told.append)
    asked, *growing, at_once = naps.seconds
    assert 7 <= asked <= 7.7 and at_once == 0
    for seconds, full in zip(growing, (2, 4, 8), strict=True):
        assert full / 2 <= seconds <= full, "jitter takes off at most half"
    assert told[0].startswith("429 (Rate limit reached): asking again in 7 s (attempt 2)") or "8 s" in told[0]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5), ({"retry-after-ms": "300", "retry-after": "9"}, 0.3), ({"retry-after": "-4"}, 0),
        ({"retry-after": "soon"}, None), ({"retry-after": "nan"}, None), ({}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert retry_after(headers) == seconds


def test_what_stays_without_answer_is_told_of_and_asked_again_by_the_same_command(source, out):
    poisoned = [True]

    def fault(number, body):
        return "503" if poisoned[0] and QUESTIONS[5] in body["messages"][1]["content"] else None

    with FaultyServer(fault=fault) as server:
        code, stdout, err = build(source, server, out, "--attempts", 2)
        assert code == 1
        assert "1 request got no answer ('q5': no answer after 2 attempts, the last: 503 (loading)" in err
        assert "The same command asks again for what is missing." in err
        assert "failed: q5 (decompose, unanswered)" in stdout
        assert len(read(out)) == 7 and report_of(out)["status"] == "incomplete"
        before = len(server.requests)
        poisoned[0] = False
        assert build(source, server, out, "--attempts", 2)[0] == 0
        assert len(server.requests) == before + 2, "its decomposition and its judgement"
    assert len(read(out)) == 8 and report_of(out)["status"] == "complete"


def test_an_endpoint_that_is_not_there_is_not_asked_for_ever(source, out):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    naps = Naps()
    builder = Builder(endpoint=url, model="m", workers=2, patience=Patience(attempts=3))
    with pytest.raises(
        RunError, match=r"answers nothing: 3 requests in a row, no answer after 3 attempts.*connection.*So far 0 of 8"
    ):
        builder(source, out, sleep=naps)
    assert len(naps.seconds) <= 8, "three or four questions of eight"
    assert not out.exists()
    sent = [row for row in requests_of(out) if row["fault"]]
    assert {row["prompt"] for row in sent} == {0}, "nothing was sent, so nothing is billed"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", r"refused access: 401 \(Incorrect API key provided\)\. OPENAI_API_KEY is not set\. Type: export"),
        ("403", r"refused access: 403 \(Not for you\)"),
        ("404", r"Nothing at http://127\.0\.0\.1:\d+/v1 for model 'm': 404 .*Check --model, and --endpoint"),
        ("429 no credit", r"no credit left: 429 \(You exceeded your quota\)"),
        ("429 an hour", r"asks to wait 3600 s: 429"),
    ],
)
def test_what_waiting_does_not_mend_stops_the_run_at_once(source, out, fault, message):
    with FaultyServer(fault=lambda number, body: fault) as server, pytest.raises(RunError, match=message) as caught:
        make(server, source, out)
    assert len(server.requests) == 1, "the others wait until one knows how to ask"
    assert "So far 0 of 8 questions are decomposed and 0 verified. Every answer is kept in" in str(caught.value)


def test_a_refused_question_is_told_of_and_the_others_are_built(source, out):
    def fault(number, body):
        return "400" if QUESTIONS[4] in body["messages"][1]["content"] else None

    with FaultyServer(fault=fault) as server:
        code, stdout, _ = build(source, server, out)
    assert code == 0
    assert "failed: q4 (decompose, refused): the endpoint refuses it: 400 (This prompt is not to my taste)" in stdout
    assert {r["provenance"]["shape"] for r in read(out)} == {"json_schema"}, "not taken for a refusal of the form"


def test_an_endpoint_that_refuses_all_stops_the_run(source, out):
    with (
        FaultyServer(fault=lambda number, body: "400") as server,
        pytest.raises(RunError, match="answers nothing: 3 requests in a row, the endpoint refuses it: 400"),
    ):
        make(server, source, out, workers=1)
    assert len(server.requests) == 9, "three questions in three forms"


def test_one_bad_question_after_the_other_is_no_reason_to_stop(source, out):
    """Refusals say something about the endpoint only where it never answered."""

    def fault(number, body):
        return "400" if any(q in body["messages"][1]["content"] for q in QUESTIONS[2:7]) else None

    with FaultyServer(fault=fault) as server:
        for _ in range(2):
            code, stdout, _ = build(source, server, out, "--workers", 1)
            assert code == 0 and stdout.startswith("3 of 8 questions") and stdout.count("failed: ") == 5


def test_an_endpoint_that_goes_away_is_given_up(tmp_path, out):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"Question {i}?\n" for i in range(40)))
    with (
        FaultyServer(fault=lambda number, body: "503" if number > 4 else None) as server,
        pytest.raises(RunError, match=rf"answers nothing: {GONE} requests in a row, no answer after 2 attempts"),
    ):
        make(server, path, out, workers=1, patience=Patience(attempts=2))
    assert len(server.requests) == 5 + 2 * GONE


def test_a_router_without_a_server_for_the_form_is_asked_in_another(one, out, monkeypatch):
    monkeypatch.setitem(STATUSES, "404", (404, {}, {"error": {"message": "No endpoints found that support this"}}))
    with FaultyServer(["404"]) as server:
        make(server, one, out)
    assert read(out)[0]["provenance"]["shape"] == "json_object"


# -- caps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
def test_the_cap_on_requests_is_exact_and_the_build_goes_on_under_a_higher_one(source, out, workers):
    with FaultyServer(["500", "ok", "bad label", "500"]) as server:
        options = {"workers": workers}
        with pytest.raises(RunError, match=r"Stopped at --max-requests 7\. So far \d of 8 questions are decomposed"):
            make(server, source, out, caps=Caps(max_requests=7), **options)
        assert len(server.requests) == 7
        assert not out.exists() and out.with_suffix(".journal").exists()
        with pytest.raises(RunError, match="Stopped at --max-requests 7"):
            make(server, source, out, caps=Caps(max_requests=7), **options)
        assert len(server.requests) == 7, "a restart gets no new budget"
        make(server, source, out, caps=Caps(max_requests=19), **options)
        assert len(server.requests) == 19, "16 questions and judgements, 2 faults, 1 repair: nothing twice"
    assert len(read(out)) == 8


def test_a_cap_ends_the_command_with_what_to_type(source, out):
    with FaultyServer() as server:
        code, stdout, err = build(source, server, out, "--max-requests", 3, "--workers", 1)
    assert (code, stdout) == (1, "")
    assert err.splitlines()[-1] == (
        "headatlas: Stopped at --max-requests 3. So far 3 of 8 questions are decomposed and 0 verified. Every answer "
        f"is kept in {out.with_suffix('.journal')}: the same command asks only for what is missing."
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_spend_never_passes_its_cap(source, out, workers):
    caps = Caps(max_spend=0.02, price_in=1.0, price_out=4.0)
    with FaultyServer() as server:
        with pytest.raises(
            RunError, match=r"Stopped before --max-spend 0\.02: 0\.0\d+ USD are spent, and the next req"
        ):
            make(server, source, out, caps=caps, workers=workers, allowance=1000)
        spent = len(server.requests) * (500 * 1.0 + 100 * 4.0) / 1e6
        assert 0.01 < spent <= 0.02, "it stops where the next one could pass it, not long before"
        make(server, source, out, caps=Caps(max_spend=1.0, price_in=1.0, price_out=4.0), workers=workers)
        assert len(server.requests) == 16
    assert report_of(out)["spend_usd"] == pytest.approx(16 * 900 / 1e6)


def test_usage_that_is_not_reported_counts_in_full_and_is_said(one, out):
    with FaultyServer(usage=False) as server:
        code, stdout, _ = build(one, server, out, "--price-in", 1, "--price-out", 1, "--max-tokens", 300)
    assert code == 0
    tokens = report_of(out)["tokens"]
    assert tokens["estimated"] == 2 and tokens["completion"] == 600
    assert tokens["prompt"] > sum(len(m["content"]) for b in server.requests for m in b["messages"])
    assert "usage not reported for 2 of the requests: counted at its upper bound" in stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-spend", 1], "--max-spend needs the endpoint's prices: give --price-in and --price-out as well."),
        (["--price-in", 1], "Give both --price-in and --price-out"),
        (["--max-requests", 0], "--max-requests 0 allows no request. Give 1 or more."),
        (["--max-spend", -1, "--price-in", 1, "--price-out", 1], "--max-spend -1.0 is no sum of money"),
        (["--keep", "some"], "Unknown --keep 'some'. Give all or agreed."),
        (["--keep", "agreed", "--no-verify"], "--keep agreed needs the second judgement. Leave out --no-verify."),
        (["--verify-model", "x", "--no-verify"], "--verify-model needs the second judgement."),
        (["--workers", 0], "--workers 0 is too few. Give 1 or more."),
        (["--repairs", -1], "--repairs -1 is too few. Give 0 or more."),
        (["--attempts", 0], "--attempts 0 asks nothing. Give 1 or more."),
        (["--timeout", 0], "--timeout 0 waits for nothing. Give seconds above 0."),
        (["--max-tokens", 2], "--max-tokens 2 holds no reply. Give some hundreds."),
        (["--limit", 0], "A limit of 0 leaves no question. Give --limit 1 or more."),
        (["--model", " "], "--model is empty."),
        (["--out", "steps.json"], "--out steps.json must end in .jsonl, as question sets do."),
        (["--key-env", "NO_SUCH_KEY"], "The environment variable NO_SUCH_KEY is not set. Type: export NO_SUCH_KEY=..."),
    ],
)
def test_bad_options_are_refused_before_anything_is_asked(one, out, options, message):
    with FaultyServer() as server:
        code, stdout, err = build(one, server, out, *options)
        assert (code, stdout, server.requests) == (2, "", [])
    assert message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("localhost:8000/v1", "is not http:// or https://"),
        ("ftp://host/v1", "is not http:// or https://"),
        ("http:///v1", "is not http:// or https://"),
        (f"https://user:{KEY}@host/v1", "holds a user or password"),
        (f"https://{KEY}@host/v1", "holds a user or password"),
        (f"https://host/v1?key={KEY}", "something after '?' or '#'"),
        ("http://host:99999/v1", "is no URL"),
    ],
)
def test_addresses_that_are_refused(one, out, url, message):
    code, _, err = run("questions", "build", one, "--endpoint", url, "--model", "m", "--out", out)
    assert code == 2 and message in err and "Give an address such as http://localhost:8000/v1" in err
    assert KEY not in err
    assert not out.parent.exists()


def test_an_address_may_be_given_whole(one, out):
    with FaultyServer() as server:
        url = f"{server.url}/chat/completions/"
        assert run("questions", "build", one, "--endpoint", url, "--model", "m", "--out", out)[0] == 0
    assert read(out)[0]["provenance"]["endpoint"] == server.url


# -- the key --------------------------------------------------------------------------------------------


def test_the_key_goes_to_the_endpoint_and_nowhere_else(source, out, monkeypatch):
    """The server says it wherever it can: in answers, in the model's name, in errors, in garbage."""
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")

    def reply(body):
        made = json.loads(healthy(body))
        made["steps"][0]["answer"] = f"the key is {KEY}"
        return f"{KEY} {json.dumps(made)}"

    def fault(number, body):
        server.requests[number]["model"] = f"served with {KEY}"
        return {1: "leaky 500", 2: "leaky garbage", 5: "leaky 400"}.get(number)

    with FaultyServer(reply=reply, fault=fault) as server:
        monkeypatch.setitem(
            STATUSES, "leaky 500",
            (500, {"Retry-After": "0"}, {"error": {"message": f"Bearer {KEY} broke me"}}),
        )  # fmt: skip
        monkeypatch.setitem(STATUSES, "leaky 400", (400, {}, {"error": f"{KEY} is odd"}))
        monkeypatch.setitem(BODIES, "leaky garbage", b"x" * 50 + KEY.encode())
        code, stdout, err = build(source, server, out, "--key-env", "MY_KEY")
        assert code == 0, err
        assert {h["authorization"] for h in server.headers} == {f"Bearer {KEY}"}
        monkeypatch.setitem(STATUSES, "401", (401, {}, {"error": f"bad key {KEY}"}))
        server.fault = lambda number, body: "401"
        again = run(
            "--debug", "questions", "build", source, "--endpoint", server.url, "--model", "other",
            "--out", out.with_name("other.jsonl"), "--key-env", "MY_KEY",
        )  # fmt: skip
        assert again[0] == 1 and "401 (bad key [key]). The key is the one in MY_KEY." in again[2]
    files = "".join(path.read_bytes().decode("latin-1") for path in out.parent.iterdir())
    text = stdout + err + again[1] + again[2] + files
    assert "[key] is odd" in text and "the key is [key]" in text
    for part in (KEY, KEY[:12], KEY[-12:]):
        assert part not in text


def test_without_a_key_a_local_server_is_asked_all_the_same(one, out, monkeypatch):
    with FaultyServer() as server:
        assert build(one, server, out)[0] == 0
        assert server.headers[0]["authorization"] == "Bearer none"
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert build(one, server, out.with_name("two.jsonl"))[0] == 0
        assert server.headers[-1]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("url", "exposed"),
    [
        ("http://host/v1", True),
        ("https://host/v1", False),
        ("http://127.0.0.1:8/v1", False),
        ("http://[::1]/v1", False),
    ],
)
def test_a_key_in_the_clear_is_warned_of(url, exposed, one, out, monkeypatch):
    assert is_exposed(url) is exposed
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr("headatlas.building.endpoint.is_exposed", lambda url: exposed)
    with FaultyServer() as server:
        _, _, err = build(one, server, out)
    assert ("unencrypted: anyone on the way can read it. Use https://." in err) is exposed


def test_a_key_that_can_not_be_sent_is_not_shown(one, out, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}…")
    with FaultyServer() as server:
        code, _, err = build(one, server, out)
    assert code == 2 and "The key in OPENAI_API_KEY holds a character that can't be sent. Copy it anew." in err
    assert KEY not in err


def test_a_missing_client_is_named(one, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with FaultyServer() as server:
        code, _, err = build(one, server, out)
    assert code == 2 and 'Type: pip install "headatlas[builder]"' in err
