"""The ledger of a build, one SQLite file: every request, the most it may cost, its raw answer. Caps are kept by it.

1. A row is written before a request leaves, at its worst case: a token a byte of the prompt, the whole allowance of
   the answer. A row that would pass a cap is not written; where only requests under way stand in its way, it waits.
2. The answer, or the fault, settles the row at what it cost. Where no usage is reported, or an answer was lost on the
   way and may have been billed, the worst case stays, and counts as an estimate. So it does for a request that was
   sent and never settled: the process was killed.
3. An answer is found by the digest of its request, so nothing that was answered is asked again.
4. SQLite makes every write whole and durable, and locks the file for one process; the lock dies with the process.

To read it: sqlite3 NAME.journal "SELECT about, content FROM requests".
Caps are on the whole build, earlier runs of it included: a restart gets no new budget. The ledger does not know what
questions or answers mean, and never sees the key.
"""

import json
import math
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headatlas.errors import HeadatlasError, InputError, RunError

SCHEMA = 0x48415402
"""What says, in the file's header, that it is a journal of this form ("HAT", 2; 1 was JSON Lines)."""
_TABLES = """
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE requests (
    number INTEGER PRIMARY KEY, request TEXT, about TEXT, sent TEXT,
    prompt INTEGER, completion INTEGER, estimated INTEGER, fault TEXT, reason TEXT,
    content TEXT, finish TEXT, served_by TEXT, allowance INTEGER, shape TEXT, endpoint TEXT, "when" TEXT
);
CREATE INDEX by_request ON requests (request);
CREATE INDEX by_cost ON requests (prompt, completion, estimated)
"""
"""The index by_cost is for sums: they then pass the answers by."""


class Stopped(Exception):
    """Another worker stopped the run."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of requests and of their answers; `estimated` counts the requests of which they are an upper bound."""

    prompt: int = 0
    completion: int = 0
    estimated: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.completion + other.completion, self.estimated + other.estimated)


@dataclass(frozen=True)
class Caps:
    """What a build may cost.

    Attributes
    ----------
    max_requests
        Requests, retries included; None for no cap.
    max_spend
        US dollars; needs both prices.
    price_in, price_out
        US dollars per million tokens of prompt and of answer.
    """

    max_requests: int | None = None
    max_spend: float | None = None
    price_in: float | None = None
    price_out: float | None = None

    def __post_init__(self) -> None:
        if self.max_requests is not None and self.max_requests < 1:
            raise InputError(f"--max-requests {self.max_requests} allows no request. Give 1 or more.")
        for name in ("max_spend", "price_in", "price_out"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(f"--{name.replace('_', '-')} {value} is no sum of money. Give 0 or more.")
        if (self.price_in is None) != (self.price_out is None):
            raise InputError("Give both --price-in and --price-out (US dollars per million tokens), or neither.")
        if self.max_spend is not None and self.price_in is None:
            raise InputError("--max-spend needs the endpoint's prices: give --price-in and --price-out as well.")

    def cost(self, tokens: Tokens) -> float | None:
        """Return what `tokens` cost in US dollars; None without prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens.prompt * self.price_in + tokens.completion * self.price_out) / 1e6

    def passed(self, spent: Tokens, most: Tokens) -> bool:
        """Say whether a request of at most `most` could pass the cap on spend."""
        return self.max_spend is not None and (self.cost(spent + most) or 0.0) > self.max_spend


@dataclass(frozen=True)
class Answer:
    """One raw answer, where it comes from ("shape": how JSON was asked for) and what it cost; a row of the ledger."""

    request: str
    content: str
    finish: str
    served_by: str
    allowance: int
    shape: str
    endpoint: str
    when: str
    prompt: int
    completion: int
    estimated: int

    @property
    def tokens(self) -> Tokens:
        """What it cost."""
        return Tokens(self.prompt, self.completion, self.estimated)


_ANSWER = ", ".join(f'"{field.name}"' for field in fields(Answer))


class Journal:
    """The ledger at `path` of the build that `key` describes; locked until it is closed.

    Raises
    ------
    InputError
        The file is another build's, damaged, no journal, or in use by another build.
    RunError
        The disk is full or the folder can't be written.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self.path = path
        self._change = threading.Condition()
        self._under_way = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"Can't write {path}: {reason}. Give another --out.") from error
        try:
            self._claim(key)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file and free it for others; what is written after that fails."""
        with self._change:
            self._database.close()

    def answer(self, request: str) -> Answer | None:
        """Return the last answer to `request`, if there is one."""
        rows = self._run(
            f"SELECT {_ANSWER} FROM requests WHERE request = ? AND content NOTNULL ORDER BY number", request
        )
        return Answer(*rows[-1]) if rows else None

    def times(self, request: str) -> int:
        """Return how often `request` was sent, over all runs."""
        return int(self._run("SELECT count(*) FROM requests WHERE request = ?", request)[0][0])

    def counts(self) -> dict[str, Any]:
        """Return how many requests were sent and answered, and the faults of the others, kind -> count."""
        ((sent, answered),) = self._run(
            "SELECT count(*), count(DISTINCT CASE WHEN content NOTNULL THEN request END) FROM requests"
        )
        faults = self._run("SELECT fault, count(*) FROM requests WHERE fault NOTNULL GROUP BY fault ORDER BY fault")
        return {"sent": sent, "answered": answered, "faults": dict(faults)}

    def spent(self) -> Tokens:
        """Return what all requests cost; those not settled, at most."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in ("prompt", "completion", "estimated"))
        return Tokens(*self._run(f"SELECT {sums} FROM requests")[0])

    @contextmanager
    def request(self, request: str, about: str, most: Tokens, *, caps: Caps, stopped: threading.Event) -> Iterator[int]:
        """Book a request that may cost `most` and yield its number; it is under way until the block ends.

        Raises
        ------
        RunError
            `caps` do not allow it, or the disk is full.
        Stopped
            `stopped` is set, before it left.
        """
        with self._change:
            while True:
                if stopped.is_set():
                    raise Stopped
                sent = self._run("SELECT count(*) FROM requests")
                if caps.max_requests is not None and sent[0][0] >= caps.max_requests:
                    raise RunError(f"Stopped at --max-requests {caps.max_requests}.")
                spent = self.spent()
                if not caps.passed(spent, most):
                    break
                if not self._under_way:
                    raise RunError(
                        f"Stopped before --max-spend {caps.max_spend:g}: {caps.cost(spent):.4f} USD are spent, and the "
                        f"next request could cost {caps.cost(most):.4f}."
                    )
                self._change.wait(0.5)
            columns = (request, about, now(), most.prompt, most.completion, most.estimated)
            names = "request, about, sent, prompt, completion, estimated"
            self._run(f"INSERT INTO requests ({names}) VALUES (?, ?, ?, ?, ?, ?)", *columns)
            number = self._run("SELECT last_insert_rowid()")[0][0]
            self._under_way += 1
        try:
            yield number
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify_all()

    def settle(self, number: int, cost: Tokens, **columns: Any) -> None:
        """Keep what came of request `number` (columns of the ledger), and what it cost."""
        columns |= {**vars(cost), "when": now()}
        names = ", ".join(f'"{name}" = ?' for name in columns)
        self._run(f"UPDATE requests SET {names} WHERE number = ?", *columns.values(), number)

    def noted(self, name: str) -> Any:
        """Return what was noted under `name`; None where nothing was."""
        rows = self._run("SELECT value FROM notes WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def note(self, name: str, value: Any) -> None:
        """Keep `value`, anything that JSON holds, under `name`."""
        if self.noted(name) != value:  # a build that changes nothing leaves the file's bytes alone
            self._run("INSERT OR REPLACE INTO notes VALUES (?, ?)", name, json.dumps(value))

    def _run(self, statement: str, *values: Any) -> list[Any]:
        try:
            with self._change:
                return self._database.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "").removeprefix("SQLITE_")
            raise self._refused(name.partition("_")[0], str(error)) from error

    def _refused(self, name: str, reason: str) -> HeadatlasError:
        """Return what to raise for SQLite's error of this name."""
        wrong = {
            "BUSY": f"{self.path} is in use by another build. Wait for it, or give another --out.",
            "NOTADB": f"{self.path} is no journal of a build by this version. Give another --out.",
            "CORRUPT": f"{self.path}: damaged ({reason}). Put a copy in its place, or give another --out.",
        }
        if name in wrong:
            return InputError(wrong[name])
        return RunError(
            f"Can't write {self.path}: {reason}. What was kept stays; free space and type the same command."
        )

    def _claim(self, key: dict[str, Any]) -> None:
        """Lock the file and make sure that it is this build's: new, or its own, or another's that got no answer."""
        self._run("PRAGMA locking_mode = EXCLUSIVE")
        self._run("PRAGMA synchronous = EXTRA")  # a power cut loses nothing that was paid for, either
        self._run("BEGIN EXCLUSIVE")
        if not self._run("SELECT 1 FROM sqlite_master"):
            for statement in _TABLES.split(";"):
                self._run(statement)
            self._run(f"PRAGMA user_version = {SCHEMA}")
        if self._run("PRAGMA user_version") != [(SCHEMA,)]:
            raise self._refused("NOTADB", "")
        if (found := self._run("PRAGMA quick_check(1)")) != [("ok",)]:
            raise self._refused("CORRUPT", found[0][0])
        there = self.noted("build") or {}
        differ = sorted(k for k in key.keys() | there.keys() if key.get(k) != there.get(k))
        if differ and there and self.counts()["answered"]:
            name = differ[0]
            raise InputError(
                f"{self.path} is the journal of another build: {', '.join(differ)} differ ({name}: there "
                f"{there.get(name)}, here {key.get(name)}). Give another --out."
            )
        if differ:
            self._run("DELETE FROM requests")
            self._run("DELETE FROM notes")
        self.note("build", key)
        self._run("COMMIT")


def now() -> str:
    """Return the time in UTC to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
