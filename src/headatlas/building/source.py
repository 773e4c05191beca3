"""Benchmark questions that have no steps yet, read from a file.

1. JSON Lines: an object a line with ``question``, and optionally ``id`` and ``answer``; all else in it, steps
   included, is left alone. Plain text (.txt): a question a line.
2. A question without an id gets one from the file's name and its place among the questions, so ids stay when
   lines are added at the end.
3. What can't be used is refused with file, line and field, before anything is asked.

This module does not know steps, functions or endpoints.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headatlas.errors import QuestionError
from headatlas.questions import slug

ENDINGS = (".jsonl", ".ndjson", ".txt")


@dataclass(frozen=True)
class SourceQuestion:
    """A main question to take apart, with its reference answer ("" where there is none)."""

    id: str
    question: str
    answer: str = ""


def read_source(path: Path, *, limit: int | None = None) -> tuple[SourceQuestion, ...]:
    """Read the questions in `path`, the first `limit` of them.

    Raises
    ------
    QuestionError
        No such file, another ending, bad UTF-8 or JSON, a record without a question, an id used twice, or no
        question at all.
    """
    if limit is not None and limit < 1:
        raise QuestionError(f"A limit of {limit} leaves no question. Give --limit 1 or more.")
    if not path.is_file():
        raise QuestionError(f"Source '{path}' {'is a folder' if path.is_dir() else 'is no file'}. {_expected()}")
    if path.suffix.lower() not in ENDINGS:
        raise QuestionError(f"Source '{path}' ends in '{path.suffix}'. {_expected()}")
    plain = path.suffix.lower() == ".txt"
    found: list[SourceQuestion] = []
    first_line: dict[str, int] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        where = f"{path}, line {number}"
        line = _decode(raw, where, first=number == 1)
        if not line:
            continue
        default = f"{slug(path.stem) or 'question'}-{len(found) + 1:04d}"
        question = SourceQuestion(default, line) if plain else _record(line, where, default)
        known = first_line.setdefault(question.id.casefold(), number)
        if known != number:
            raise QuestionError(f"{where}, field 'id': '{question.id}' is the id of line {known} already.")
        found.append(question)
        if len(found) == limit:
            break
    if not found:
        raise QuestionError(f"{path} holds no question. {_expected()}")
    return tuple(found)


def _expected() -> str:
    return (
        'Give a .jsonl file with {"question": ..., "answer": ..., "id": ...} a line (answer and id are optional), '
        "or a .txt file with a question a line."
    )


def _decode(raw: bytes, where: str, *, first: bool) -> str:
    try:
        return raw.decode("utf-8-sig" if first else "utf-8").strip()
    except UnicodeDecodeError as error:
        raise QuestionError(f"{where}: not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from None


def _record(line: str, where: str, default_id: str) -> SourceQuestion:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise QuestionError(f"{where}, column {error.colno}: not JSON ({error.msg}). {_expected()}") from None
    except RecursionError:
        raise QuestionError(f"{where}: nested too deeply to be a question. {_expected()}") from None
    if not isinstance(record, dict):
        raise QuestionError(f"{where}: expected an object, got {type(record).__name__}. {_expected()}")
    if "question" not in record:
        keys = ", ".join(sorted(map(str, record))) or "nothing"
        raise QuestionError(f"{where}, field 'question': missing (the record has {keys}).")
    return SourceQuestion(
        _text(record.get("id"), f"{where}, field 'id'") or default_id,
        _text(record["question"], f"{where}, field 'question'", needed=True),
        _text(record.get("answer"), f"{where}, field 'answer'"),
    )


def _text(value: Any, where: str, *, needed: bool = False) -> str:
    """Return `value` as text; numbers are written out, None is ""."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if value is None and not needed:
        return ""
    if not isinstance(value, str):
        raise QuestionError(f"{where}: expected text, got {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise QuestionError(f"{where}: holds half a surrogate pair, which is no character.") from None
    if needed and not value.strip():
        raise QuestionError(f"{where}: is blank. Give at least one visible character.")
    return value.strip()
