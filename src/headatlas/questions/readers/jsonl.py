"""JSON Lines: one main question a line in this project's own schema (`schema.Question`), or a step a line.

1. Lines are decoded one by one; blank ones are passed over, one that is not UTF-8 or not JSON is refused.
2. A line with ``steps`` is a question; records of well-known benchmarks are known (`readers.known`). With a column
   mapping, or without ``steps``, lines are rows of a table (`readers.table`).
"""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from headatlas.questions.readers.known import is_known, read_known
from headatlas.questions.readers.lines import LongInteger, decode_json, read_lines
from headatlas.questions.readers.table import Row, read_table
from headatlas.questions.reading import Found, Reader, Reading, Refused, parse_record, readers


def read_jsonl(source: str, reading: Reading) -> Iterator[Found]:
    """Stream the questions of a JSON Lines file."""
    path = Path(source)
    lines = _records(path)
    first = next(lines, None)
    if first is None:
        return
    lines = chain([first], lines)
    if reading.columns or (isinstance(first, Row) and "subquestion" in first.cells and "steps" not in first.cells):
        yield from read_table(lines, reading, name=path.stem)
        return
    known = isinstance(first, Row) and is_known(first.cells)
    for line in lines:
        if isinstance(line, Refused):
            yield line
            continue
        if known:
            yield from read_known(line.cells, line.where, line.line or 0, path.stem)
            continue
        found = parse_record(line.cells, line.where, line.line)
        if isinstance(found, list):
            yield from found
        else:
            yield found


def _records(path: Path) -> Iterator[Row | Refused]:
    for number, text, wrong in read_lines(path):
        where = f"{path}, line {number}"
        if wrong:
            yield Refused(where, number, "", wrong)
            continue
        if not text.strip():
            continue
        try:
            record = decode_json(text.rstrip())
        except json.JSONDecodeError as error:
            yield Refused(f"{where}, column {error.colno}", number, "", f"not JSON ({error.msg}).")
            continue
        except LongInteger as error:
            yield Refused(where, number, "", str(error))
            continue
        except RecursionError:
            yield Refused(where, number, "", "nested too deeply.")
            continue
        if isinstance(record, dict):
            yield Row(where, number, record)
        else:
            yield Refused(where, number, "the record", f"expected a JSON object, got {type(record).__name__}.")


readers.register(
    "jsonl",
    Reader(
        lambda source: source.lower().endswith((".jsonl", ".ndjson")) and Path(source).is_file(),
        read_jsonl,
        ".jsonl, a question or a step a line",
        tables=True,
    ),
)
