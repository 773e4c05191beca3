"""Building questions in tests: commands, files and pauses, without real waits."""

import contextlib
import io
import json
import sqlite3

from headatlas.building import Builder, Patience
from headatlas.cli.main import main

QUESTIONS = [
    "How many apples has Tim?", "Is palladium dense? tricky", "Who is older, Ann or Bob?", "Which way? doubtful",
    "What does the word mean here?", "If it rains, what then? tricky", "How far is it to the sea?", "When did it end?",
]  # fmt: skip


def run(*arguments):
    """Return (exit code, stdout, stderr) of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in arguments])
    return code, out.getvalue(), err.getvalue()


def build(source, server, out, *options):
    return run("questions", "build", source, "--endpoint", server.url, "--model", "m", "--out", out, *options)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def requests_of(out):
    """Return the rows of a build's journal, one a request, in the order in which they were sent."""
    with contextlib.closing(sqlite3.connect(out.with_suffix(".journal"))) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("SELECT * FROM requests ORDER BY number")]


def answers_of(out):
    return [row for row in requests_of(out) if row["content"] is not None]


def report_of(out):
    return json.loads(out.with_suffix(".report.json").read_text())


def timeless(rows):
    """Return records without what differs from run to run: times and the server's port."""
    for row in rows:
        for origin in (row["provenance"], row["provenance"]["verification"]):
            for name in ("when", "endpoint"):
                origin.pop(name)
    return rows


class Naps:
    """A sleep that takes no time and remembers."""

    def __init__(self):
        self.seconds = []

    def __call__(self, seconds):
        self.seconds.append(seconds)


def make(server, source, out, *, sleep=None, report=None, limit=None, say=None, **options):
    """Build through the library, without real pauses."""
    options = {"patience": Patience(timeout=5.0), **options}
    builder = Builder(endpoint=server.url, model="m", **options)
    return builder(source, out, sleep=sleep or Naps(), report=report, limit=limit, say=say)


def write_source(path):
    path.write_text("".join(json.dumps({"id": f"q{i}", "question": q}) + "\n" for i, q in enumerate(QUESTIONS)))
    return path
