"""Tables of steps -> questions: a step a row, the rows of one main question together.

1. A row needs ``question`` (the passage or main question; a row that names a ``task`` can do without),
   ``subquestion``, ``answer`` and ``function``; it may have ``id``, ``split``, ``chain``, ``main_answer``, ``task``,
   ``foil``, ``form``, ``kind`` and ``demonstration``. A mapping gives the source's own names for these: "answer" ->
   "target", "answer" -> "answers.text.0" (a path into the cell), "function" -> "=retrieval" (the same for all rows).
2. Following rows with the same id, or without ids the same question text, are the steps of one question.
3. A row that breaks the schema is refused by line and by the source's own column name.

It streams: only the rows of one question are held. It does not know file formats.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from headatlas.errors import QuestionError
from headatlas.questions.reading import Found, Reading, Refused, parse_record
from headatlas.questions.schema import Question, text_key

REQUIRED = ("subquestion", "answer", "function")
OF_STEPS = ("task", "foil", "form", "kind")
OPTIONAL = ("question", "id", "split", "chain", "main_answer", "demonstration", *OF_STEPS)
MOST_STEPS = 10_000
"""Rows of one question at most: more means that the id column is no id."""


@dataclass(frozen=True)
class Row:
    """One row of a table: where it stands and its cells by column."""

    where: str
    line: int | None
    cells: Mapping[str, Any]


def read_table(rows: Iterator[Row | Refused], reading: Reading, *, name: str) -> Iterator[Found]:
    """Stream the questions of a table.

    Parameters
    ----------
    rows
        Rows in file order; refused ones pass through.
    reading
        Holds the column mapping.
    name
        Starts the ids of questions whose rows have none.

    Raises
    ------
    QuestionError
        A name in the mapping that is none of ours, or a column that is not in the table.
    """
    _check_names(reading.columns)
    table = _Table(reading.columns, name)
    checked = False
    for row in rows:
        if isinstance(row, Refused):
            yield row
            continue
        if not checked:
            table.check_columns(row)
            checked = True
        yield from table.add(row)
    yield from table.end()


class _Table:
    """Gathers following rows of one question."""

    def __init__(self, columns: Mapping[str, str], name: str) -> None:
        self.columns = {ours: columns.get(ours, ours) for ours in (*REQUIRED, *OPTIONAL)}
        self.mapped = set(columns)
        self.name = name
        self.rows: list[tuple[Row, dict[str, Any]]] = []
        self.key: object = None
        self.ended: set[int] = set()
        self.n = 0

    def check_columns(self, row: Row) -> None:
        """Raise unless the table has every column that is needed or named."""
        tasks = "task" in self.mapped or _reach(row.cells, "task") is not _ABSENT
        for ours in (*(() if tasks else ("question",)), *REQUIRED, *self.mapped):
            column = self.columns[ours]
            if column.startswith("=") or _reach(row.cells, column) is not _ABSENT:
                continue
            there = ", ".join(f"'{c}'" for c in row.cells)
            told = f"mapped to '{ours}'" if ours in self.mapped else f"map one with --column {ours}=NAME"
            raise QuestionError(f"{row.where}: there is no column '{column}' ({told}). Columns: {there}.")
        if "id" not in self.mapped and "id" not in row.cells:
            self.columns["id"] = ""

    def add(self, row: Row) -> Iterator[Found]:
        """Take a row; yield the question before it where a new one starts."""
        cells = {ours: self._cell(row, column) for ours, column in self.columns.items()}
        key = cells["id"] if self.columns["id"] else (cells["question"] or cells["subquestion"])
        if self.rows and key != self.key:
            yield from self.end()
        if not self.rows and self.columns["id"]:
            seen = text_key(str(key))
            if seen in self.ended:
                yield Refused(row.where, row.line, self.columns["id"], f"the rows of '{key}' do not stand together.")
                return
            self.ended.add(seen)
        if len(self.rows) >= MOST_STEPS:
            yield Refused(row.where, row.line, self.columns["id"], f"'{key}' has more than {MOST_STEPS} rows.")
            return
        self.key = key
        self.rows.append((row, cells))

    def _cell(self, row: Row, column: str) -> Any:
        if column.startswith("="):
            return column[1:]
        found = _reach(row.cells, column) if column else _ABSENT
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None if found is _ABSENT else found
        return str(int(found)) if isinstance(found, float) and found.is_integer() else str(found)

    def end(self) -> Iterator[Found]:
        """Yield the question that the rows gathered so far make."""
        if not self.rows:
            return
        rows, self.rows = self.rows, []
        self.n += 1
        (first, head) = rows[0]
        record: dict[str, Any] = {
            "id": str(head["id"]) if head["id"] not in (None, "") else f"{self.name}-{self.n:06d}",
            "question": head["question"] or (None if head["task"] else head["question"]),
            "answer": head["main_answer"] or "",
            "chain": head["chain"] if head["chain"] not in (None, "") else False,
            "split": head["split"] or None,
            "demonstration": head["demonstration"] or False,
            "steps": [{k: c[k] for k in REQUIRED} | {k: c[k] for k in OF_STEPS if c[k]} for _, c in rows],
        }
        for row, cells in rows[1:]:
            for ours in ("question", "split", "demonstration"):
                if cells[ours] != head[ours]:
                    yield Refused(row.where, row.line, self.columns[ours], f"differs from that of {first.where}.")
                    return
        found = parse_record(record, first.where, first.line)
        if isinstance(found, Question):
            yield found
            return
        for wrong in found:
            yield self._placed(wrong, [row for row, _ in rows])

    def _placed(self, wrong: Refused, rows: list[Row]) -> Refused:
        """Say of what is wrong with a record in which row and which of the source's columns it is."""
        parts = wrong.field.split(".")
        row, ours = rows[0], {"answer": "main_answer"}.get(parts[0], parts[0])
        if parts[0] == "steps" and len(parts) == 3:
            row, ours = rows[int(parts[1])], parts[2]
        return Refused(row.where, row.line, self.columns.get(ours, wrong.field), wrong.message)


_ABSENT = object()


def _reach(cells: Any, column: str) -> Any:
    """Return the cell of `column`, or of a dotted path into one, or `_ABSENT`."""
    if isinstance(cells, Mapping) and column in cells:
        return cells[column]
    value = cells
    for part in column.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return _ABSENT
    return value


def _check_names(columns: Mapping[str, str]) -> None:
    known = tuple(dict.fromkeys(("question", *REQUIRED, *OPTIONAL)))
    for ours in columns:
        if ours not in known:
            raise QuestionError(f"'{ours}' is nothing a column can be mapped to. There are: {', '.join(known)}.")
