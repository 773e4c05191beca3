"""CSV and TSV: one step a row, the first row names the columns (see `readers.table` for what they mean)."""

import csv
from collections.abc import Iterator
from pathlib import Path

from headatlas.errors import QuestionError
from headatlas.questions.readers.lines import read_lines
from headatlas.questions.readers.table import Row, read_table
from headatlas.questions.reading import Found, Reader, Reading, Refused, readers

LONGEST_CELL = 1 << 24
"""Characters of a cell at most; the standard library's 131,072 is short for a long passage."""


def read_csv(source: str, reading: Reading) -> Iterator[Found]:
    """Stream the questions of a CSV file (TSV by its name: .tsv)."""
    path = Path(source)
    yield from read_table(_rows(path), reading, name=path.stem)


def _rows(path: Path) -> Iterator[Row | Refused]:
    wrong: list[str] = []

    def lines() -> Iterator[str]:
        for _, text, why in read_lines(path):
            if why:
                wrong.append(why)
            yield text

    csv.field_size_limit(LONGEST_CELL)
    table = csv.reader(lines(), delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
    header: list[str] | None = None
    while True:
        start = table.line_num + 1
        where = f"{path}, line {start}"
        try:
            cells = next(table, None)
        except csv.Error as error:
            if header is None:
                raise QuestionError(f"{where}: not CSV ({error}).") from None
            yield Refused(where, start, "", f"not CSV ({error}).")
            continue
        if cells is None:
            return
        if wrong:
            if header is None:
                raise QuestionError(f"{where}: {wrong[0]}")
            yield Refused(where, start, "", wrong[0])
            wrong.clear()
        elif header is None:
            header = _header(cells, where)
        elif not any(cells):
            continue
        elif len(cells) != len(header):
            yield Refused(where, start, "", f"has {len(cells)} cells, the header has {len(header)} ({header}).")
        else:
            yield Row(where, start, dict(zip(header, cells, strict=True)))


def _header(cells: list[str], where: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    if not any(names):
        raise QuestionError(f"{where}: the first row names no column. Give a header row.")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise QuestionError(f"{where}: column '{twice[0]}' is there twice. Rename one.")
    return names


readers.register(
    "csv",
    Reader(
        lambda source: source.lower().endswith((".csv", ".tsv")) and Path(source).is_file(),
        read_csv,
        ".csv or .tsv, a step a row",
        tables=True,
    ),
)
