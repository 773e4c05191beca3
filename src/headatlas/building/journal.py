"""The ledger of a build, one SQLite file: every request, the most it may cost, its raw answer. Caps are kept by it.

1. A row is written before a request leaves, at its worst case: a token a byte of the prompt, the whole allowance of
   the answer. A row that would pass a cap is not written; where only requests under way stand in its way, it waits.
2. The answer, or the fault, settles the row at what it cost. Where no usage is reported, or an answer was lost on the
   way and may have been billed, the worst case stays, and counts as an estimate. So it does for a request that was
   sent and never settled: the process was killed.
3. An answer is found by the digest of its request, so nothing that was answered is asked again.
4. SQLite makes every write whole and durable, and locks the file for one process; the lock dies with the process.

To read it: sqlite3 NAME.journal "SELECT about, content FROM requests".
It does not know what questions or answers mean, and never sees the key.
"""

import json
import math
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headatlas.errors import HeadatlasError, InputError, RunError

SCHEMA = 0x48415402
"""What says, in the file's header, that it is a journal of this form ("HAT", 2; 1 was JSON Lines)."""
COST = ("prompt", "completion", "estimated")
"""What a request costs: tokens of it and of its answer; and 1 where they are an upper bound."""
# The index by_cost is for sums: they then pass the answers by.
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


class Stopped(Exception):
    """Another worker stopped the run."""


@dataclass(frozen=True)
class Caps:
    """What a build may cost, all its runs together; None for no cap.

    Attributes
    ----------
    max_requests
        Requests, retries included.
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

    def cost(self, tokens: Mapping[str, int]) -> float:
        """Return what `tokens` cost in US dollars; 0 without prices."""
        return (tokens["prompt"] * (self.price_in or 0) + tokens["completion"] * (self.price_out or 0)) / 1e6


class Journal:
    """The ledger at `path` of the build that `key` describes, within `caps`; locked until it is closed.

    Once `stopped` is set no further request is booked. A file that is not this build's, damaged or in use raises
    `InputError`; one that can't be written, `RunError`.
    """

    def __init__(self, path: Path, key: dict[str, Any], caps: Caps) -> None:
        self.path, self.caps = path, caps
        self.stopped = threading.Event()
        self._change = threading.Condition()
        self._under_way = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise RunError(f"Can't write {path}: {reason}. Give another --out.") from error
        self._database.row_factory = sqlite3.Row
        try:
            self._claim(key)
        except BaseException:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the file and free it for others; what is written after that fails."""
        with self._change:
            self._database.close()

    def answer(self, request: str) -> sqlite3.Row | None:
        """Return the row of the last answer to `request`, if there is one."""
        answered = "request = ? AND content NOTNULL ORDER BY number DESC LIMIT 1"
        return next(iter(self._run(f"SELECT * FROM requests WHERE {answered}", request)), None)

    def times(self, request: str) -> int:
        """Return how often `request` was sent, over all runs."""
        return int(self._run("SELECT count(*) FROM requests WHERE request = ?", request)[0][0])

    def counts(self) -> dict[str, Any]:
        """Return how many requests were sent and answered, and the faults of the others, kind -> count."""
        answered = "count(DISTINCT CASE WHEN content NOTNULL THEN request END)"
        (counts,) = self._run(f"SELECT count(*) AS sent, {answered} AS answered FROM requests")
        faults = self._run("SELECT fault, count(*) FROM requests WHERE fault NOTNULL GROUP BY fault ORDER BY fault")
        return {**dict(counts), "faults": dict(map(tuple, faults))}

    def spent(self) -> dict[str, int]:
        """Return what all requests cost; those not settled, at most."""
        sums = ", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in COST)
        return dict(self._run(f"SELECT {sums} FROM requests")[0])

    @contextmanager
    def request(self, request: str, about: str, most: dict[str, int]) -> Iterator[int]:
        """Book a request that may cost `most` and yield its number; it is under way until the block ends.

        Raises `RunError` where the caps do not allow it, `Stopped` where the run is stopped.
        """
        with self._change:
            while not self._has_room(most):
                self._change.wait(0.5)
            row = {"request": request, "about": about, "sent": _now(), **most}
            self._run(f"INSERT INTO requests ({', '.join(row)}) VALUES (?, ?, ?, ?, ?, ?)", *row.values())
            number = self._run("SELECT last_insert_rowid()")[0][0]
            self._under_way += 1
        try:
            yield number
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify_all()

    def _has_room(self, most: dict[str, int]) -> bool:
        """Say whether a request may leave, or waits for what those under way come to; raise where it never may."""
        if self.stopped.is_set():
            raise Stopped
        caps, spent = self.caps, self.spent()
        sent = self._run("SELECT count(*) FROM requests")[0][0]
        if caps.max_requests is not None and sent >= caps.max_requests:
            raise RunError(f"Stopped at --max-requests {caps.max_requests}.")
        if caps.max_spend is None or caps.cost(spent) + caps.cost(most) <= caps.max_spend:
            return True
        if not self._under_way:
            raise RunError(
                f"Stopped before --max-spend {caps.max_spend:g}: {caps.cost(spent):.4f} USD are spent, and the "
                f"next request could cost {caps.cost(most):.4f}."
            )
        return False

    def settle(self, number: int, **columns: Any) -> None:
        """Keep what came of request `number`, and what it cost (columns of the ledger)."""
        columns["when"] = _now()
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

    def _claim(self, key: dict[str, Any]) -> None:
        """Lock the file and make sure that it is this build's: new, or its own, or another's that got no answer."""
        self._run("PRAGMA locking_mode = EXCLUSIVE")
        self._run("PRAGMA synchronous = EXTRA")  # a power cut loses nothing that was paid for, either
        self._run("BEGIN EXCLUSIVE")
        if not self._run("SELECT 1 FROM sqlite_master"):
            for statement in _TABLES.split(";"):
                self._run(statement)
            self._run(f"PRAGMA user_version = {SCHEMA}")
        if self._run("PRAGMA user_version")[0][0] != SCHEMA:
            raise self._refused("NOTADB", "")
        if (found := self._run("PRAGMA quick_check(1)")[0][0]) != "ok":
            raise self._refused("CORRUPT", found)
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")  # ISO 8601
