"""Building questions after a kill, a restart or a change: nothing is asked twice, nobody's file is written over."""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from tests.built import answers_of, build, make, read, report_of, requests_of, run, timeless
from tests.faulty_server import FaultyServer

from headatlas.errors import InputError, RunError

RUN = """
import signal, sys
from headatlas.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
sys.exit(main(sys.argv[1:]))
"""


def start(source, server, out, *options):
    command = ["questions", "build", source, "--endpoint", server.url, "--model", "m", "--out", out, *options]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_killed_and_started_again_it_asks_nothing_twice(source, out):
    def fault(number, body):
        return "hang" if 4 <= number < 7 else None

    with FaultyServer(fault=fault) as server:
        process = start(source, server, out, "--workers", 3)
        for _ in range(3):  # now all three workers wait; all that was answered before is in the journal
            assert server.held.acquire(timeout=30)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL and not out.exists()
        held = {json.dumps(body["messages"]) for body in server.requests[4:7]}
        assert build(source, server, out)[0] == 0
        times = {}
        for body in server.requests:
            times[json.dumps(body["messages"])] = times.get(json.dumps(body["messages"]), 0) + 1
    assert len(times) == 16
    assert {text for text, n in times.items() if n > 1} == held, "only what was under way is asked again"
    report = report_of(out)
    assert report["requests"]["sent"] == 19 and report["tokens"]["estimated"] == 3, "and counted as if it was billed"
    with FaultyServer() as calm:
        whole = out.with_name("whole.jsonl")
        assert build(source, calm, whole)[0] == 0
    for mine, other in zip(timeless(read(out)), timeless(read(whole)), strict=True):
        assert mine["steps"] == other["steps"] and mine["id"] == other["id"]


def test_ctrl_c_ends_it_at_once(source, out):
    with FaultyServer(fault=lambda number, body: "hang") as server:
        process = start(source, server, out)
        assert server.held.acquire(timeout=30)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert process.returncode == 130 and b"The same command continues where it was." in err


def test_the_same_command_again_asks_nothing_and_writes_the_same(source, out):
    with FaultyServer() as server:
        assert build(source, server, out)[0] == 0
        before = {p.name: p.read_bytes() for p in out.parent.iterdir()}
    code, stdout, err = build(source, server, out)
    assert code == 0, f"the server is gone, and not needed: {err}"
    assert {p.name: p.read_bytes() for p in out.parent.iterdir()} == before
    assert stdout.startswith("8 of 8 questions")


def test_questions_added_to_the_source_are_the_only_ones_asked(source, out):
    with FaultyServer() as server:
        assert build(source, server, out, "--limit", 5)[0] == 0
        assert len(server.requests) == 10
        assert build(source, server, out)[0] == 0
        assert len(server.requests) == 16
    assert len(read(out)) == 8


def test_the_same_question_twice_is_asked_once(tmp_path, out):
    path = tmp_path / "twice.txt"
    path.write_text("How many?\nHow many?\n")
    with FaultyServer(fault=lambda number, body: time.sleep(0.1)) as server:
        make(server, path, out, workers=2)
        assert len(server.requests) == 2
    assert [r["id"] for r in read(out)] == ["twice-0001", "twice-0002"]


def test_an_answer_that_was_cut_off_is_asked_again_with_more_room(one, out):
    with FaultyServer(["cut"]) as server:
        with pytest.raises(RunError, match=r"no usable reply in 1 reply.*was cut off at 100 tokens"):
            make(server, one, out, repairs=0, allowance=100)
        with pytest.raises(RunError, match="no usable reply"):
            make(server, one, out, repairs=0, allowance=100)
        assert len(server.requests) == 1
        make(server, one, out, repairs=0, allowance=200)
    assert len(server.requests) == 3 and len(read(out)) == 1


CUT = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")  # so that it writes to the file before the transaction ends
database.execute("BEGIN EXCLUSIVE")
database.execute("UPDATE requests SET content = zeroblob(100000), finish = 'stop'")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_write_that_a_kill_cut_is_taken_back(source, out):
    journal = out.with_suffix(".journal")
    with FaultyServer() as server:
        assert build(source, server, out)[0] == 0
        before, rows = journal.read_bytes(), requests_of(out)
        assert subprocess.run([sys.executable, "-c", CUT, journal]).returncode == -signal.SIGKILL
        assert journal.read_bytes() != before, "half of it is in the file"
        out.unlink()
        out.with_suffix(".report.json").unlink()
        assert build(source, server, out)[0] == 0
        assert len(server.requests) == 16 and requests_of(out) == rows
    assert {p.name for p in out.parent.iterdir()} == {"steps.jsonl", "steps.journal", "steps.report.json"}


def test_an_answer_that_a_kill_lost_is_asked_for_again_and_no_other(source, out):
    with FaultyServer() as server:
        assert build(source, server, out)[0] == 0
        with contextlib.closing(sqlite3.connect(out.with_suffix(".journal"), isolation_level=None)) as database:
            database.execute("UPDATE requests SET content = NULL WHERE number = 16")
        out.unlink()
        out.with_suffix(".report.json").unlink()
        assert build(source, server, out)[0] == 0
        assert len(server.requests) == 17
    assert report_of(out)["requests"] == {"sent": 17, "answered": 16, "faults": {}}


def foreign(path):
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE requests (number INTEGER)")


def test_what_is_damaged_or_no_journal_is_refused(source, out):
    journal = out.with_suffix(".journal")
    no_journal = "is no journal of a build by this version. Give another --out."
    whole = b""  # of the journal before each damage
    damages = [
        (lambda path: path.write_bytes(b"\0" * 512 + whole[512:]), no_journal),
        (lambda path: path.write_bytes(whole.replace(b"SQLite", b"Squall")), no_journal),
        (lambda path: path.write_text('{"kind": "notes"}\n'), no_journal),
        (foreign, no_journal),
        (
            lambda path: path.write_bytes(whole[:-4096]),
            "damaged (database disk image is malformed). Put a copy",
        ),
        (lambda path: path.write_bytes(whole[:4096] + bytes(4096) + whole[8192:]), "steps.journal: damaged ("),
    ]
    with FaultyServer() as server:
        assert build(source, server, out)[0] == 0
        whole = journal.read_bytes()
        for damage, message in damages:
            damage(journal)
            before = {p: p.read_bytes() for p in out.parent.iterdir()}
            code, _, err = build(source, server, out)
            assert code == 2 and message in err, err
            assert {p: p.read_bytes() for p in out.parent.iterdir()} == before
        assert len(server.requests) == 16
        journal.write_bytes(whole)
        assert build(source, server, out)[0] == 0


def test_files_of_others_are_left_alone(source, out):
    out.parent.mkdir()
    with FaultyServer() as server:
        for name, message in [
            ("steps.jsonl", "exists, and no steps.journal beside it says that a build made it. Give another --out"),
            ("steps.report.json", "exists, and no steps.journal beside it"),
            ("steps.journal", "is no journal of a build"),
        ]:
            path = out.with_name(name)
            path.write_text("mine\n")
            code, _, err = build(source, server, out)
            assert code == 2 and message in err, err
            assert [p.name for p in out.parent.iterdir()] == [name] and path.read_text() == "mine\n"
            path.unlink()
        before = source.read_bytes()
        assert build(source, server, source)[0] == 2
        assert source.read_bytes() == before and server.requests == []


def test_corrections_made_by_hand_are_not_written_over(source, out):
    with FaultyServer() as server:
        assert build(source, server, out)[0] == 0
        out.write_text(out.read_text().replace("How many apples", "How many pears"))
        code, _, err = build(source, server, out)
    assert code == 2
    assert f"was changed since it was built. Keep it under another name, then type the same command: mv {out}" in err
    assert "pears" in out.read_text()


def test_a_misspelt_model_leaves_the_place_free(one, out):
    with FaultyServer(["404"]) as server:
        code, _, err = run("questions", "build", one, "--endpoint", server.url, "--model", "mm", "--out", out)
        assert code == 1 and "Nothing at" in err and "for model 'mm'" in err
        assert build(one, server, out)[0] == 0
    assert report_of(out)["requests"]["sent"] == 2


def test_a_full_disk_ends_the_run_and_loses_nothing(source, out, monkeypatch):
    real = sqlite3.connect

    def connect(*arguments, **options):
        database = real(*arguments, **options)
        database.execute("PRAGMA max_page_count = 7")
        return database

    with FaultyServer() as server:
        monkeypatch.setattr(sqlite3, "connect", connect)
        code, _, err = build(source, server, out)
        assert code == 1
        assert "steps.journal: database or disk is full. What was kept stays; free space and type the same" in err
        monkeypatch.undo()
        kept, before = len(answers_of(out)), len(server.requests)
        assert 4 < kept < 16 and not out.exists()
        assert build(source, server, out)[0] == 0
        assert len(server.requests) == before + 16 - kept


def test_a_folder_that_can_not_be_made(one, out):
    with FaultyServer() as server:
        code, _, err = build(one, server, one / "steps.jsonl")
    assert code == 1 and "Can't write" in err and "Give another --out." in err


@pytest.mark.parametrize(
    ("options", "differs"),
    [(["--model", "other"], "model differ (model: there m, here other)"), (["--functions", None], "functions differ")],
)
def test_another_build_is_not_mixed_in(source, out, tmp_path, options, differs):
    own = tmp_path / "own.json"
    own.write_text('{"naming": "a", "smelling": "b"}')
    with FaultyServer() as server:
        assert build(source, server, out)[0] == 0
        code, _, err = build(source, server, out, *(own if o is None else o for o in options))
        assert code == 2 and f"is the journal of another build: {differs}" in err
        assert len(server.requests) == 16


def test_two_builds_at_once_do_not_share_a_journal(source, out):
    with FaultyServer(fault=lambda number, body: "hang" if number == 0 else None) as server:
        first = threading.Thread(target=build, args=(source, server, out))
        first.start()
        assert server.held.acquire(timeout=10)
        with pytest.raises(InputError, match=r"steps\.journal is in use by another build\. Wait for it, or give"):
            make(server, source, out)
        server.release()
        first.join()
    assert len(read(out)) == 8
