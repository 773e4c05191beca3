"""What a reader of questions is and yields: questions, records that break the schema, and what is left out.

A source (a file, a data set) is read by the first of `readers` that knows it; `sources` are those with a name.
This module does not know any one format (readers/), nor what is made of what was found.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headatlas._registry import Registry
from headatlas.errors import QuestionError
from headatlas.questions.functions import check_function
from headatlas.questions.schema import Question


@dataclass(frozen=True)
class Refused:
    """A record that can't be used: where it stands, the field, and what is wrong with it."""

    where: str
    line: int | None
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}, field '{self.field}': {self.message}" if self.field else f"{self.where}: {self.message}"


@dataclass(frozen=True)
class LeftOut:
    """Something a source leaves out on purpose, by the reason it is counted under."""

    reason: str


Found = Question | Refused | LeftOut
"""What a reader yields."""


@dataclass(frozen=True)
class Reading:
    """What to read of a source.

    Attributes
    ----------
    columns
        For tables: this project's name of a column -> the source's (``readers.table``).
    split
        Keep only this split; None keeps all.
    limit
        Keep only the first `limit` main questions (of the split) and read no further; None reads all. Demonstrations
        are not counted.
    items
        Keep main questions only while a task of theirs has fewer than `items` steps, or they name none; None keeps all.

    Raises
    ------
    QuestionError
        A limit that leaves no question.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    limit: int | None = None
    items: int | None = None

    def __post_init__(self) -> None:
        if self.items is not None and self.items < 1:
            raise QuestionError(f"{self.items} items a task leave no question. Give --items 1 or more.")
        if self.limit is not None and self.limit < 1:
            raise QuestionError(f"A limit of {self.limit} leaves no question. Give --limit 1 or more.")


EVERYTHING = Reading()
"""All of a source, under its own names."""


@dataclass(frozen=True)
class Reader:
    """One kind of source: which it knows, and how it is streamed. The first that knows a source reads it."""

    knows: Callable[[str], bool]
    read: Callable[[str, Reading], Iterator[Found]]
    kind: str
    tables: bool = False
    """Whether it takes a column mapping."""


sources: Registry[Path] = Registry("question set")
"""Question sets that have a name ("builtin"), by the file that holds them."""

readers: Registry[Reader] = Registry("kind of questions")
"""The kinds of sources, asked in order; readers/ registers them."""


def parse_record(record: object, where: str, line: int | None = None) -> Question | list[Refused]:
    """Return the Question in a decoded `record`, or all that is wrong with it, field by field."""
    try:
        question = Question.model_validate(record)
    except ValidationError as error:
        return [_refused(e, where, line) for e in error.errors()]
    wrong = []
    for i, step in enumerate(question.steps):
        try:
            check_function(step.function)
        except QuestionError as error:
            wrong.append(Refused(where, line, f"steps.{i}.function", str(error)))
    return wrong or question


def _refused(error: Any, where: str, line: int | None) -> Refused:
    got = repr(error["input"])
    got = got if len(got) <= 60 else got[:57] + "..."
    path = ".".join(str(part) for part in error["loc"]) or "the record"
    return Refused(where, line, path, f"{error['msg']} (got {got}).")


def parse_question(record: object, where: str) -> Question:
    """Return the Question in a decoded JSON `record`, or raise with `where` (file and line) and the field."""
    found = parse_record(record, where)
    if isinstance(found, list):
        raise QuestionError(str(found[0]))
    return found
