"""Benchmark questions that have no steps yet, read from a file.

1. JSON Lines: an object a line with ``question``, and optionally ``id`` and ``answer``; all else in it, steps
   included, is left alone. Plain text (.txt): a question a line.
2. A question without an id gets one from the file's name and its place among the questions, so ids stay when
   lines are added at the end.
3. What can't be used is refused with file, line and field, before anything is asked.

This module does not know steps, functions or endpoints.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headatlas.errors import QuestionError
from headatlas.questions.functions import slug

ENDINGS = (".jsonl", ".ndjson", ".txt")
_EXPECTED = (
    'Give a .jsonl file with {"question": ..., "answer": ..., "id": ...} a line (answer and id are optional), '
    "or a .txt file with a question a line."
)


class SourceQuestion(BaseModel):
    """A main question to take apart, with its reference answer ("" where there is none)."""

    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True, str_strip_whitespace=True)

    id: str
    question: str = Field(min_length=1)
    answer: str = ""


def read_source(path: Path, *, limit: int | None = None) -> tuple[SourceQuestion, ...]:
    """Read the first `limit` questions in `path`; raise `QuestionError` where one can't be used."""
    if limit is not None and limit < 1:
        raise QuestionError(f"A limit of {limit} leaves no question. Give --limit 1 or more.")
    if not path.is_file():
        raise QuestionError(f"Source '{path}' {'is a folder' if path.is_dir() else 'is no file'}. {_EXPECTED}")
    if path.suffix.lower() not in ENDINGS:
        raise QuestionError(f"Source '{path}' ends in '{path.suffix}'. {_EXPECTED}")
    found: list[SourceQuestion] = []
    first_line: dict[str, int] = {}
    for number, raw in enumerate(path.read_bytes().split(b"\n"), start=1):
        where = f"{path}, line {number}"
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            wrong = f"not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
            raise QuestionError(f"{where}: {wrong}") from None
        if not line:
            continue
        record = {"question": line} if path.suffix.lower() == ".txt" else _record(line, where)
        question = _question(record, where, f"{slug(path.stem) or 'question'}-{len(found) + 1:04d}")
        known = first_line.setdefault(question.id.casefold(), number)
        if known != number:
            raise QuestionError(f"{where}, field 'id': '{question.id}' is the id of line {known} already.")
        found.append(question)
        if len(found) == limit:
            break
    if not found:
        raise QuestionError(f"{path} holds no question. {_EXPECTED}")
    return tuple(found)


def _record(line: str, where: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise QuestionError(f"{where}, column {error.colno}: not JSON ({error.msg}). {_EXPECTED}") from None
    except RecursionError:
        raise QuestionError(f"{where}: nested too deeply to be a question. {_EXPECTED}") from None
    if not isinstance(record, dict):
        raise QuestionError(f"{where}: expected an object, got {type(record).__name__}. {_EXPECTED}")
    return record


def _question(record: dict[str, Any], where: str, default_id: str) -> SourceQuestion:
    given = {name: value for name, value in record.items() if value is not None or name == "question"}
    if not str(given.get("id", "")).strip():
        given["id"] = default_id
    try:
        return SourceQuestion.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        keys = ", ".join(sorted(map(str, record))) or "nothing"
        wrong = {
            "missing": f"missing (the record has {keys}).",
            "string_unicode": "holds half a surrogate pair, which is no character.",
            "string_too_short": "is blank. Give at least one visible character.",
        }.get(first["type"], f"expected text, got {type(first['input']).__name__}.")
        raise QuestionError(f"{where}, field '{first['loc'][0]}': {wrong}") from None
