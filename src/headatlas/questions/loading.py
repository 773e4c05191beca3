"""A name, a path, a Hub id or what is in memory -> a question set; or, for whoever wants it all, a stream of it.

`load_questions` raises at the first refused record; `checks.check_questions` reads the same stream and lists them all.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import headatlas.questions.readers  # noqa: F401  (registers the sources and readers)
from headatlas._registry import suggest
from headatlas.errors import QuestionError
from headatlas.questions.readers.memory import memory_name, read_memory
from headatlas.questions.reading import EVERYTHING, Found, LeftOut, Reader, Reading, Refused, readers, sources
from headatlas.questions.schema import Question, QuestionSet, wanted

if TYPE_CHECKING:
    from headatlas.questions.readers.memory import InMemory


def stream(source: "str | Path | InMemory", reading: Reading = EVERYTHING) -> Iterator[Found]:
    """Yield what `source` holds, record by record (errors as `load_questions`, refused records but yielded)."""
    told = str(source) if isinstance(source, str | Path) else memory_name(source)
    splits: set[str] = set()
    of_task: Counter[str] = Counter()
    kept = 0
    for found in _read(source, reading):
        if isinstance(found, Question) and reading.split is not None:
            splits.add(found.split or "none")
            if found.split != reading.split:
                continue
        if isinstance(found, Question) and not found.demonstration:
            if reading.items is not None and not wanted(found, of_task, reading.items):
                continue
            kept += 1
        yield found
        if kept == reading.limit:
            return
    if reading.split is not None and not kept:
        raise QuestionError(
            f"'{told}' has no question of split '{reading.split}'. Its splits: {', '.join(sorted(splits)) or 'none'}."
        )


def _read(source: "str | Path | InMemory", reading: Reading) -> Iterator[Found]:
    if not isinstance(source, str | Path):
        return read_memory(source, reading)
    text = str(sources.get(source)) if isinstance(source, str) and source in sources else str(source)
    reader = _reader(text)
    if reading.columns and not reader.tables:
        raise QuestionError(f"'{source}' is {reader.kind}, which has no columns to map. Leave out --column.")
    return reader.read(text, reading)


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


def source_name(source: "str | Path | InMemory") -> str:
    """Return a short name for titles and file names."""
    if not isinstance(source, str | Path):
        return memory_name(source)
    if isinstance(source, str) and source in sources:
        return source
    path = Path(source)
    return path.stem if path.suffix else path.name


def usable(source: "str | Path | InMemory", reading: Reading, left_out: Counter[str]) -> Iterator[Question]:
    """Yield the questions of a source and count in `left_out` what it leaves out.

    Raises
    ------
    QuestionError
        As `load_questions`, but for what two questions have in common (`Seen.refuse`).
    """
    for found in stream(source, reading):
        if isinstance(found, Refused):
            raise QuestionError(str(found))
        if isinstance(found, LeftOut):
            left_out[found.reason] += 1
            continue
        yield found


def read_questions(
    source: "str | Path | InMemory", reading: Reading = EVERYTHING, *, name: str | None = None
) -> QuestionSet:
    """Return the question set in a source: `load_questions`, with what to read as one object."""
    left_out: Counter[str] = Counter()
    found: dict[bool, list[Question]] = {True: [], False: []}
    for question in usable(source, reading, left_out):
        found[question.demonstration].append(question)
    return QuestionSet(tuple(found[False]), name or source_name(source), dict(left_out), tuple(found[True]))


def load_questions(
    source: "str | Path | InMemory",
    *,
    limit: int | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    items: int | None = None,
    name: str | None = None,
) -> QuestionSet:
    """Load a question set by name, path or Hub id, or from what is in memory.

    Parameters
    ----------
    source
        A registered name ("builtin"); a file: JSON Lines in this project's schema, CogQA's JSON (either released
        shape), CSV or TSV with a step a row; a folder with a Hugging Face data set, or its Hub id, "owner/name",
        "owner/name:subset" or "owner/name@revision" (both need ``pip install "headatlas[hub]"``);
        a list of `Question` or of dicts, questions with ``steps`` or a step a row; a pandas DataFrame, a step a row.
    limit
        Keep only the first `limit` main questions; the rest is not read.
    split
        Keep only the questions of this split.
    columns
        For tables: this project's name -> the source's column, for those whose names differ, e.g.
        ``{"subquestion": "prompt", "answer": "target.0", "function": "=retrieval"}``; a dotted path reaches into a
        cell, "=" gives all rows one value. See `readers.table`.
    items
        Keep only the first `items` steps of every task that is named.
    name
        What the set is called in titles; by default what it was loaded from, "list" or "table" from memory.

    Raises
    ------
    QuestionError
        No such source or split, a column that is not there, a record that breaks the schema (file and line or
        number of the record, field), or a main question in two splits.
    """
    return read_questions(source, Reading(columns or {}, split, limit, items), name=name)
