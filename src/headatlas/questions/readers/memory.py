"""Questions that are in memory already: a list of them or of their dicts, or a table as dicts or as a DataFrame.

1. `Question` objects, and dicts with ``steps``, are questions.
2. With a column mapping, or without ``steps``, dicts are rows of a table (`readers.table`), as are those of a pandas
   DataFrame; what is missing there (NaN, NA, NaT) is None, and NumPy's numbers and arrays are Python's.
3. Errors count records and rows from 1, as lines of a file.

Files and names are not known here (`loading`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from headatlas.errors import QuestionError
from headatlas.questions.readers.table import Row, read_table
from headatlas.questions.reading import Found, Reading, Refused, parse_record
from headatlas.questions.schema import Question, QuestionSet

if TYPE_CHECKING:
    import pandas as pd

    InMemory: TypeAlias = Sequence[Mapping[str, Any] | Question] | pd.DataFrame


def memory_name(source: object) -> str:
    """Return what questions in memory are called, or refuse what is none.

    Raises
    ------
    QuestionError
        Neither a list nor a DataFrame; it says what to give instead.
    """
    if _is_frame(source):
        return "table"
    if isinstance(source, list | tuple):
        return "list"
    if isinstance(source, QuestionSet):
        raise QuestionError(f"'{source.name}' is loaded already. Give it to measure, or its .questions here.")
    if isinstance(source, Question | Mapping):
        raise QuestionError("This is a single record. Give a list of them: load_questions([record])")
    raise QuestionError(
        f"Questions can't be read from this ({type(source).__name__}). Give a name, a path, a list of dicts or of "
        "Question, or a pandas DataFrame."
    )


def read_memory(source: "InMemory", reading: Reading) -> Iterator[Found]:
    """Stream the questions of a list or a DataFrame (its name: `memory_name`)."""
    name = memory_name(source)
    records: Sequence[Any] = source if isinstance(source, list | tuple) else _frame_rows(source)
    if not records:
        return
    if reading.columns or not _is_question(records[0], name):
        yield from read_table(_rows(records, name), reading, name=name)
        return
    for number, record in enumerate(records, start=1):
        found = parse_record(_plain(record), f"{name}, record {number}", number)
        yield from found if isinstance(found, list) else [found]


def _is_question(first: object, name: str) -> bool:
    """Return whether the first record is a question; False: it is a row of a table."""
    if isinstance(first, Mapping) and not {"steps", "subquestion"} & first.keys():
        raise QuestionError(
            f"{name}, record 1 has neither 'steps' (a question with its steps) nor 'subquestion' (a step a row; name "
            f"another column with columns={{'subquestion': NAME}}). It has: {', '.join(map(repr, first)) or 'nothing'}."
        )
    return not isinstance(first, Mapping) or "steps" in first


def _rows(records: Sequence[Any], name: str) -> Iterator[Row | Refused]:
    for number, record in enumerate(records, start=1):
        where = f"{name}, row {number}"
        if isinstance(record, Mapping):
            yield Row(where, number, _plain(record))
        else:
            yield Refused(where, number, "", f"expected a dict, a step a row, got {type(record).__name__}.")


def _is_frame(source: object) -> bool:
    """Return whether it is a pandas DataFrame, without importing pandas to find out."""
    kind = type(source)
    return kind.__name__ == "DataFrame" and kind.__module__.split(".")[0] == "pandas"


def _frame_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    names = [str(column) for column in frame.columns]
    for column in names:
        if names.count(column) > 1:
            raise QuestionError(f"table: column '{column}' is there twice. Rename one.")
    return [dict(zip(names, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _plain(value: Any) -> Any:
    """Return `value` with what NumPy and pandas put into cells as Python has it."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    missing = type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    return None if missing else value
