"""Hugging Face data sets, from the Hub by id or from a local folder (the `datasets` library, an extra).

1. "owner/name", "owner/name:subset" and "owner/name@revision" are ids; a folder is one that `save_to_disk` wrote, or
   one of data files (parquet, CSV, JSON).
2. Rows are streamed, split by split; each question's ``split`` is the one it came from.
3. A data set with a ``steps`` column holds questions; well-known benchmarks are known (`readers.known`); any other
   is a table of steps (`readers.table`).

No code of a data set is ever run: the library dropped loading scripts, and none is asked for.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headatlas.errors import QuestionError
from headatlas.questions.readers.known import is_known, read_known
from headatlas.questions.readers.table import Row, read_table
from headatlas.questions.reading import Found, Reader, Reading, Refused, parse_record, readers
from headatlas.questions.schema import Question

_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(:(?P<subset>[\w.-]+))?(@(?P<revision>[\w./-]+))?")


def read_hub(source: str, reading: Reading) -> Iterator[Found]:
    """Stream the questions of a Hugging Face data set.

    Raises
    ------
    QuestionError
        The library is not installed, there is no such data set or split, or it can't be reached.
    """
    for split, rows in _splits(source, reading.split):
        name = f"{Path(source).name}-{split}"
        cells = (
            Row(f"{source}, split '{split}', row {number}", number, row) for number, row in enumerate(rows, start=1)
        )
        first = next(cells, None)
        if first is None:
            continue
        rest = _again(first, cells)
        nested = "steps" in first.cells and not reading.columns
        if is_known(first.cells) and not reading.columns:
            found_all: Iterator[Found] = (f for r in rest for f in read_known(r.cells, r.where, r.line or 0, name))
        else:
            found_all = _questions(rest) if nested else read_table(rest, reading, name=name)
        for found in found_all:
            yield _in_split(found, split) if isinstance(found, Question) else found


def _again(first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def _in_split(found: Question, split: str) -> Question:
    return found if found.split else found.model_copy(update={"split": split})


def _questions(rows: Iterator[Row]) -> Iterator[Question | Refused]:
    for row in rows:
        record = {k: v for k, v in row.cells.items() if v is not None}
        if isinstance(steps := record.get("steps"), Mapping):  # a column of structs comes as a struct of columns
            record["steps"] = [dict(zip(steps, values, strict=True)) for values in zip(*steps.values(), strict=True)]
        found = parse_record(record, row.where, row.line)
        if isinstance(found, list):
            yield from found
        else:
            yield found


def _splits(source: str, split: str | None) -> Iterator[tuple[str, Any]]:
    """Yield (split, rows) of a data set."""
    try:
        import datasets
    except ImportError:
        raise QuestionError(
            f"Reading '{source}' needs the datasets library. Type: pip install \"headatlas[hub]\""
        ) from None

    folder = Path(source)
    try:
        if not folder.is_dir():
            match = _ID.fullmatch(source)
            assert match is not None
            found = datasets.load_dataset(match["id"], match["subset"], revision=match["revision"], streaming=True)
        elif any((folder / mark).is_file() for mark in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(folder))
        else:
            found = datasets.load_dataset(str(folder), streaming=True)
    except Exception as error:  # the library raises many kinds: no such data set, no network, bad files
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise QuestionError(f"The data set '{source}' can't be read ({why}).") from None
    if not isinstance(found, Mapping):
        found = {str(getattr(found, "split", None) or "train"): found}
    if split is not None and split not in found:
        raise QuestionError(f"'{source}' has no split '{split}'. Its splits: {', '.join(found)}.")
    for name, rows in found.items():
        if split in (None, name):
            yield str(name), rows


def _is_hub(source: str) -> bool:
    path = Path(source)
    if path.is_dir():
        marks = ("dataset_dict.json", "state.json", "*.parquet", "*.csv", "*.json", "*.jsonl", "*/*.parquet")
        return any(True for mark in marks for _ in path.glob(mark))
    return not path.exists() and not Path(source).suffix and bool(_ID.fullmatch(source))


readers.register("hub", Reader(_is_hub, read_hub, "a Hugging Face data set, owner/name or its folder", tables=True))
