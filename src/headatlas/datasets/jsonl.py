"""JSON Lines: one main question a line in this project's own schema (`questions.Question`), or a step a line.

1. Lines are decoded one by one; blank ones are passed over, one that is not UTF-8 or not JSON is refused.
2. A line with ``steps`` is a question. With a column mapping, or without ``steps``, lines are rows of a table
   (`datasets.table`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from headatlas._files import atomic
from headatlas.datasets.lines import LongInteger, decode_json, read_lines
from headatlas.datasets.table import Row, read_table
from headatlas.errors import InputError, QuestionError
from headatlas.questions import Found, Reader, Reading, Refused, Seen, parse_record, readers, usable


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
    for line in lines:
        if isinstance(line, Refused):
            yield line
            continue
        found = parse_record(line.cells, line.where, line.line)
        if isinstance(found, list):
            yield from found
        else:
            yield found


def write_jsonl(
    source: str | Path,
    out: str | Path,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> tuple[int, int, dict[str, int]]:
    """Write a source as JSON Lines, record by record; the file appears when it is whole.

    Parameters
    ----------
    source, split, columns, limit
        As in `load_questions`.
    out
        The file; it must not be there.

    Returns
    -------
    tuple
        Questions and steps written, and what was left out, reason -> count.

    Raises
    ------
    QuestionError
        As `load_questions`; nothing is written.
    InputError
        `out` exists, or is no .jsonl.
    RunError
        The disk is full or the folder can't be written.
    """
    out = Path(out)
    if out.suffix.lower() != ".jsonl":
        raise InputError(f"{out} does not end in .jsonl, by which a question set is known. Give it that ending.")
    if out.exists():
        raise InputError(f"{out} exists. Give another file.")
    questions = steps = 0
    left_out: Counter[str] = Counter()
    seen = Seen()
    with atomic(out) as partial, open(partial, "w", encoding="utf-8", newline="\n") as file:
        for question in usable(source, columns=columns, split=split, limit=limit, left_out=left_out):
            seen.refuse(question, str(source))
            file.write(question.model_dump_json(exclude_defaults=True) + "\n")
            questions += 1
            steps += len(question.steps)
        if not questions:
            raise QuestionError(f"'{source}' holds no question with a usable step.")
    return questions, steps, dict(left_out)


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
