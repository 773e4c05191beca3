"""Questions, their steps, and the functions the steps call for.

1. A `Question` is a passage or main question with `steps`, each a subquestion with its answer and the
   cognitive function that answering it calls for.
2. `FUNCTIONS` are the eight published ones: stable ids, display names, and the figure's order. Any other
   set of labels works; the eight are a default.
3. A reader (datasets/) streams what a source holds: questions, records that break the schema (`Refused`, with
   line, field and what was expected), and what it leaves out (`LeftOut`, counted).
4. `load_questions` turns a name (a registered source), a path or a Hub id into a `QuestionSet`, or raises at
   the first refused record. `checks.check_questions` reads the same stream and lists them all.

This module does not know tokenizers, templates or models.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from headatlas._registry import Registry, suggest
from headatlas.errors import QuestionError

FUNCTIONS: dict[str, str] = {
    "knowledge_recall": "Knowledge Recall",
    "retrieval": "Retrieval",
    "logical_reasoning": "Logical Reasoning",
    "decision_making": "Decision-making",
    "semantic_understanding": "Semantic Understanding",
    "syntactic_understanding": "Syntactic Understanding",
    "inference": "Inference",
    "math_calculation": "Math Calculation",
}
"""Function id -> display name, in the order of the figure (row by row in a 2x4 grid)."""


def function_title(function: str) -> str:
    """Return the display name of a function id; other labels are shown as they are, underscores as spaces."""
    own = function.replace("_", " ").strip()
    return FUNCTIONS.get(function, own[:1].upper() + own[1:])


def order_functions(found: Iterable[str]) -> tuple[str, ...]:
    """Return the labels in `found`, the eight in the figure's order first, others after in sorted order."""
    labels = set(found)
    return tuple(f for f in FUNCTIONS if f in labels) + tuple(sorted(labels - set(FUNCTIONS)))


class Step(BaseModel):
    """One subquestion, its reference answer, and the function that answering it calls for.

    ``task`` names the template it is an instance of, where a set says so: items of one task are not independent, and
    tasks are then what a function's map is generalised over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subquestion: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    function: str = Field(min_length=1)
    task: str | None = Field(default=None, min_length=1)

    @field_validator("subquestion", "answer", "function", "task")
    @classmethod
    def _not_blank(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if not text.strip():
            raise ValueError("is blank: give at least one visible character")
        return text.strip()


class Question(BaseModel):
    """A main question (or passage) and the steps asked about it.

    ``chain`` says whether a step sees the earlier steps and their answers as prior knowledge (True, as in
    CogQA) or is asked on its own about the passage (False). ``split`` names a held-out part, if any. Extra
    fields are kept in ``model_extra``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = ""
    steps: tuple[Step, ...] = Field(min_length=1)
    chain: bool = True
    split: str | None = None

    @field_validator("question")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank: give at least one visible character")
        return text


@dataclass(frozen=True)
class QuestionSet:
    """Questions with what is needed to trust them.

    Attributes
    ----------
    questions
        The main questions, in file order; ids are unique.
    name
        A short name for titles and file names.
    left_out
        What the source left out, as reason -> count (e.g. a stray label), for every report to state.
    """

    questions: tuple[Question, ...]
    name: str
    left_out: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.questions:
            raise QuestionError(f"Question set '{self.name}' holds no question with a usable step.")
        seen = Seen()
        of_task: dict[str, str] = {}
        for question in self.questions:
            seen.refuse(question, self.name)
            for step in question.steps:
                if step.task and of_task.setdefault(step.task, step.function) != step.function:
                    raise QuestionError(
                        f"Task '{step.task}' of '{self.name}' is named for two functions, {of_task[step.task]} and "
                        f"{step.function} (question '{question.id}'). Give each function tasks of its own."
                    )

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that occur, in the figure's order."""
        return order_functions(s.function for q in self.questions for s in q.steps)

    @property
    def n_steps(self) -> int:
        """How many steps there are in all."""
        return sum(len(q.steps) for q in self.questions)

    def counts(self) -> dict[str, int]:
        """Return the number of steps of each function, in the figure's order."""
        found = Counter(s.function for q in self.questions for s in q.steps)
        return {f: found[f] for f in self.functions}

    @property
    def digest(self) -> str:
        """A sha256 over everything that a prompt can be made of, and nothing else."""
        state = hashlib.sha256()
        for question in self.questions:
            state.update(digest_row(question))
        return state.hexdigest()


def digest_row(question: Question) -> bytes:
    """Return one question's part of `QuestionSet.digest`."""
    row = question.model_dump(include={"id", "question", "steps", "chain"})
    for step in row["steps"]:
        if step["task"] is None:  # a set that names no tasks is what it was before there were any
            del step["task"]
    return json.dumps(row, sort_keys=True).encode() + b"\n"


class Seen:
    """The main questions met so far: notices an id that comes again, and a text that does.

    Texts are compared without regard to case and white space. A text in two splits is a leak (questions without a
    split take no part in that); within one split it is a duplicate, which is allowed.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._texts: dict[int, tuple[str | None, str]] = {}

    def add(self, question: Question) -> tuple[Literal["id", "leak", "duplicate"], str] | None:
        """Take a question; return what is wrong with its coming now, if anything: a kind and a sentence."""
        key = text_key(question.id)
        split, first = self._texts.setdefault(text_key(question.question), (question.split, question.id))
        if key in self._ids:
            return "id", f"Question id '{question.id}' is used more than once"
        self._ids.add(key)
        if first == question.id:
            return None
        if split == question.split:
            return "duplicate", f"main question '{question.id}' is the same text as '{first}'"
        if None in (split, question.split):
            return None
        return "leak", (
            f"'{question.id}' of split '{question.split}' is the same main question as '{first}' of split '{split}'"
        )

    def refuse(self, question: Question, name: str) -> None:
        """Take a question of the set `name`; raise if it can't be in it.

        Raises
        ------
        QuestionError
            Its id is used already, or its main question stands in another split.
        """
        kind, what = self.add(question) or ("", "")
        if kind == "id":
            raise QuestionError(f"{what} in '{name}'.")
        if kind == "leak":
            raise QuestionError(f"'{name}' leaks between its splits: {what}. Keep it in one of them.")


def text_key(*texts: str) -> int:
    """Return 64 bits that are equal for texts that differ in case and white space only."""
    plain = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return int.from_bytes(hashlib.blake2b(plain.encode(errors="surrogatepass"), digest_size=8).digest())


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
    """How to read a source.

    Attributes
    ----------
    columns
        For tables: this project's name of a column -> the source's (``datasets.table``).
    split
        Keep only this split; None keeps all.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None


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
"""The kinds of sources, asked in order; datasets/ registers them."""


def slug(text: str) -> str:
    """Return `text` as a function id: "Decision-making" -> "decision_making"."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def check_function(label: str) -> None:
    """Refuse a label that looks like a misspelling of one of the eight; any other label is the user's own.

    Raises
    ------
    QuestionError
        Naming the label and the one it is probably meant to be.
    """
    if label in FUNCTIONS:
        return
    from difflib import get_close_matches

    if slug(label) in FUNCTIONS or get_close_matches(slug(label), list(FUNCTIONS), n=1, cutoff=0.8):
        raise QuestionError(f"unknown function '{label}'.{suggest(slug(label), list(FUNCTIONS))}")


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


def stream(
    source: str | Path, *, columns: Mapping[str, str] | None = None, split: str | None = None
) -> Iterator[Found]:
    """Yield what `source` holds, record by record (parameters and errors of `load_questions`)."""
    import headatlas.datasets  # noqa: F401  (registers the sources and readers)

    text = str(sources.get(source)) if isinstance(source, str) and source in sources else str(source)
    reader = _reader(text)
    if columns and not reader.tables:
        raise QuestionError(f"'{source}' is {reader.kind}, which has no columns to map. Leave out --column.")
    splits: set[str] = set()
    kept = 0
    for found in reader.read(text, Reading(dict(columns or {}), split)):
        if isinstance(found, Question) and split is not None:
            splits.add(found.split or "none")
            if found.split != split:
                continue
        kept += isinstance(found, Question)
        yield found
    if split is not None and not kept:
        raise QuestionError(
            f"'{source}' has no question of split '{split}'. Its splits: {', '.join(sorted(splits)) or 'none'}."
        )


def _reader(source: str) -> Reader:
    for name in readers:
        if readers.get(name).knows(source):
            return readers.get(name)
    path = Path(source)
    if path.is_file():
        kinds = "; ".join(readers.get(name).kind for name in readers)
        raise QuestionError(f"{path}: can't tell its format. Known: {kinds}.")
    kind = "is a folder without a data set" if path.is_dir() else "is neither a named set nor a file"
    hint = suggest(source, list(sources))
    raise QuestionError(f"Questions '{source}' {kind}.{hint} A Hugging Face data set has the form owner/name.")


def source_name(source: str | Path) -> str:
    """Return a short name for titles and file names."""
    import headatlas.datasets  # noqa: F401

    if isinstance(source, str) and source in sources:
        return source
    path = Path(source)
    return path.stem if path.suffix else path.name


def usable(
    source: str | Path,
    *,
    columns: Mapping[str, str] | None,
    split: str | None,
    limit: int | None,
    left_out: Counter[str],
) -> Iterator[Question]:
    """Yield the first `limit` questions of a source and count in `left_out` what it leaves out.

    Raises
    ------
    QuestionError
        As `load_questions`, but for what two questions have in common (`Seen.refuse`).
    """
    if limit is not None and limit < 1:
        raise QuestionError(f"A limit of {limit} leaves no question. Give --limit 1 or more.")
    kept = 0
    for found in stream(source, columns=columns, split=split):
        if isinstance(found, Refused):
            raise QuestionError(str(found))
        if isinstance(found, LeftOut):
            left_out[found.reason] += 1
            continue
        yield found
        kept += 1
        if kept == limit:
            return


def load_questions(
    source: str | Path,
    *,
    limit: int | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> QuestionSet:
    """Load a question set by name, path or Hub id.

    Parameters
    ----------
    source
        A registered name ("builtin"); a file: JSON Lines in this project's schema, CogQA's JSON (either released
        shape), CSV or TSV with a step a row; a folder with a Hugging Face data set, or its Hub id, "owner/name",
        "owner/name:subset" or "owner/name@revision" (both need ``pip install "headatlas[hub]"``).
    limit
        Keep only the first `limit` main questions; the rest is not read.
    split
        Keep only the questions of this split.
    columns
        For tables: this project's name -> the source's column, for those whose names differ, e.g.
        ``{"subquestion": "prompt", "answer": "target.0", "function": "=retrieval"}``; a dotted path reaches into a
        cell, "=" gives all rows one value. See `datasets.table`.

    Raises
    ------
    QuestionError
        No such source or split, a column that is not there, a record that breaks the schema (file, line, field),
        or a main question in two splits.
    """
    left_out: Counter[str] = Counter()
    questions = tuple(usable(source, columns=columns, split=split, limit=limit, left_out=left_out))
    return QuestionSet(questions, source_name(source), dict(left_out))
