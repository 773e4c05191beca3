r"""Every request and every raw answer of a build, appended to a file as it happens.

1. The first line says what the file is the journal of (`key`). After it come, one JSON object a line: ``sent``
   before a request leaves, then ``answer`` or ``fault``; ``dialect`` when it is known what the endpoint takes;
   ``writing`` with a digest before the result is written.
2. A line is one write, followed by fsync. A kill can cut the last line only; the cut line is taken off when the
   journal is opened again, and damage anywhere else is an error.
3. An answer is found by the digest of its request, so nothing that was answered is asked again. A request that was
   sent and never settled (the process was killed) counts as asked, and as costing all it could have cost.
4. One process at a time: the file is locked while it is open, and the lock dies with the process.

It does not know what questions or answers mean, and never sees the key.
"""

import fcntl
import json
import os
import threading
from collections import Counter
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headatlas.errors import InputError, RunError

SCHEMA = 1


@dataclass(frozen=True)
class Tokens:
    """Tokens of requests and of their answers; `estimated` counts the requests of which they are an upper bound."""

    prompt: int = 0
    completion: int = 0
    estimated: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.completion + other.completion, self.estimated + other.estimated)


@dataclass(frozen=True)
class Answer:
    """One raw answer and where it comes from."""

    request: str
    """Digest of the model's name and the messages."""
    about: str
    """The pass and the question's id, for readers of the journal."""
    content: str
    finish: str
    """The endpoint's finish_reason: "stop", "length", …"""
    served_by: str
    """The model's name as the endpoint gives it."""
    tokens: Tokens
    allowance: int
    """How many tokens the answer was allowed."""
    shape: str
    """How JSON was asked for: json_schema, json_object or plain."""
    endpoint: str
    when: str


class Journal:
    """The journal at `path`, open for appending; closed at the end of the ``with``.

    Raises
    ------
    InputError
        The file is another build's, damaged, no journal, or in use by another process.
    RunError
        The disk is full or the folder can't be written.
    """

    def __init__(self, path: Path, key: dict[str, Any]) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        self.dialects: dict[str, dict[str, Any]] = {}
        self.written: set[str] = set()
        self.requests = 0
        self.spent = Tokens()
        self.faults: Counter[str] = Counter()
        self._times: Counter[str] = Counter()
        self._open: dict[int, Tokens] = {}
        self._lock = threading.Lock()
        self._broken = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(f"Can't write {path}: {error.strerror}. Give another --out.") from error
        try:
            self._claim()
            self._read(key)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and free it for others; what is written after that fails."""
        with self._lock:
            os.close(self._file)
            self._file = -1

    def times(self, request: str) -> int:
        """Return how often `request` was sent, over all runs."""
        return self._times[request]

    def sent(self, request: str, about: str, most: Tokens) -> int:
        """Note that `request` is about to leave and may cost `most`; return its number."""
        with self._lock:
            self.requests += 1
            number = self.requests
            self._times[request] += 1
            self._write("sent", number=number, request=request, about=about, most=asdict(most), when=now())
        return number

    def answered(self, number: int, answer: Answer) -> None:
        """Keep the answer to request `number`."""
        with self._lock:
            self._write("answer", number=number, **asdict(answer))
            self.answers[answer.request] = answer
            self.spent += answer.tokens

    def fault(self, number: int, fault: str, reason: str, cost: Tokens) -> None:
        """Note that request `number` brought no answer, and what it may have cost."""
        with self._lock:
            self._write("fault", number=number, fault=fault, reason=reason, cost=asdict(cost), when=now())
            self.faults[fault] += 1
            self.spent += cost

    def note_dialect(self, model: str, dialect: dict[str, Any]) -> None:
        """Keep what the endpoint takes for `model`."""
        with self._lock:
            if self.dialects.get(model) != dialect:
                self._write("dialect", model=model, dialect=dialect)
                self.dialects[model] = dialect

    def note_writing(self, digest: str) -> None:
        """Note that a result with this sha256 is about to be written: from now on such a file is this build's."""
        with self._lock:
            if digest not in self.written:
                self._write("writing", sha256=digest, when=now())
                self.written.add(digest)

    # -- the file -----------------------------------------------------------------------------------------

    def _claim(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{self.path} is in use by another build. Wait for it, or give another --out.") from None

    def _write(self, kind: str, **values: Any) -> None:
        line = json.dumps({"kind": kind, **values}).encode() + b"\n"
        if self._broken:  # a line after half a line would damage both
            raise RunError(self._broken)
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            self._broken = (
                f"Can't write {self.path}: {error.strerror}. What was kept stays; free space and type the same command."
            )
            raise RunError(self._broken) from error

    def _read(self, key: dict[str, Any]) -> None:
        with open(self.path, "rb") as file:
            whole = file.read()
        end = whole.rfind(b"\n") + 1
        lines = whole[:end].splitlines()
        if lines and self._check_header(lines[0], key, empty=not any(b'"kind": "answer"' in line for line in lines)):
            lines, end = [], 0
        elif not lines and whole and not b'{"kind": "build"'.startswith(whole[:16]):
            raise InputError(f"{self.path} is no journal of a build. Give another --out.")
        if end < len(whole):
            os.truncate(self._file, end)
        if not lines:
            self._write("build", schema=SCHEMA, key=key, when=now())
        for number, line in enumerate(lines[1:], start=2):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}, line {number}: damaged ({type(error).__name__}). Take the line out to ask anew what "
                    "it held, or give another --out."
                ) from None
        self.spent = sum(self._open.values(), self.spent)

    def _check_header(self, line: bytes, key: dict[str, Any], *, empty: bool) -> bool:
        """Refuse what is another build's; return whether it is, but brought no answer, so that its place is free."""
        try:
            header = json.loads(line)
            there = dict(header["key"]) if header["kind"] == "build" and header["schema"] == SCHEMA else None
        except (ValueError, KeyError, TypeError):
            there = None
        if there is None:
            raise InputError(f"{self.path} is no journal of a build by this version. Give another --out.")
        differ = sorted(k for k in key.keys() | there.keys() if key.get(k) != there.get(k))
        if differ and not empty:
            name = differ[0]
            raise InputError(
                f"{self.path} is the journal of another build: {', '.join(differ)} differ ({name}: there "
                f"{there.get(name)}, here {key.get(name)}). Give another --out."
            )
        return bool(differ)

    def _take(self, row: dict[str, Any]) -> None:
        """Take one line of an earlier run into account."""
        match row["kind"]:
            case "sent":
                self.requests = max(self.requests, row["number"])
                self._times[row["request"]] += 1
                self._open[row["number"]] = Tokens(**row["most"])
            case "answer":
                values = {field.name: row[field.name] for field in fields(Answer)}
                answer = Answer(**{**values, "tokens": Tokens(**row["tokens"])})
                self.answers[answer.request] = answer
                self._settle(row["number"], answer.tokens)
            case "fault":
                self.faults[row["fault"]] += 1
                self._settle(row["number"], Tokens(**row["cost"]))
            case "dialect":
                self.dialects[row["model"]] = row["dialect"]
            case "writing":
                self.written.add(row["sha256"])
            case other:
                raise ValueError(other)

    def _settle(self, number: int, cost: Tokens) -> None:
        self._open.pop(number, None)
        self.spent += cost


def now() -> str:
    """Return the time in UTC to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
