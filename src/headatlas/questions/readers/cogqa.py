"""CogQA's JSON files, read from a path the user gives (the data has no licence, so none of it is shipped).

1. A file is a list of {question, answer, generated: [{subquestion, answer, cognitive_skill}]}; in other
   released copies each record sits in a list of one.
2. Skills are mapped to function ids; steps with a label that is none of the eight are left out and counted.
3. Steps are chained: each sees the earlier ones that were kept, with their answers.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headatlas.errors import QuestionError
from headatlas.questions.functions import FUNCTIONS, slug
from headatlas.questions.readers.lines import LongInteger, decode_json
from headatlas.questions.reading import Found, LeftOut, Reader, Reading, Refused, parse_record, readers


def read_cogqa(source: str, reading: Reading) -> Iterator[Found]:
    """Yield the questions of a CogQA file in either released shape.

    Raises
    ------
    QuestionError
        Not UTF-8, not JSON (line and column), or no list of records.
    """
    path = Path(source)
    try:
        records = decode_json(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise QuestionError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise QuestionError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}).") from None
    except LongInteger as error:
        raise QuestionError(f"{path}, line {error.line}: {error}") from None
    except RecursionError:
        raise QuestionError(f"{path}: nested too deeply to be a list of CogQA records.") from None
    if not isinstance(records, list) or not records:
        raise QuestionError(f"{path}: expected a list of CogQA records, got {type(records).__name__}.")
    for index, record in enumerate(records):
        yield from _question(record, index, f"{path}, record {index + 1}")


def _question(record: Any, index: int, where: str) -> Iterator[Found]:
    if isinstance(record, list) and len(record) == 1:
        record = record[0]
    if not isinstance(record, dict) or not isinstance(record.get("generated"), list):
        got = sorted(record) if isinstance(record, dict) else type(record).__name__
        yield Refused(where, None, "", f"expected {{question, answer, generated: [...]}}, got {got}.")
        return
    steps = []
    for number, step in enumerate(record["generated"]):
        missing = {"subquestion", "answer", "cognitive_skill"} - set(step if isinstance(step, dict) else ())
        if missing:
            yield Refused(where, None, f"generated.{number}", f"has no {', '.join(sorted(missing))}.")
            return
        function = slug(str(step["cognitive_skill"]))
        if function not in FUNCTIONS:
            yield LeftOut(f"steps with the stray label '{step['cognitive_skill']}'")
            continue
        steps.append({"subquestion": step["subquestion"], "answer": _text(step["answer"]), "function": function})
    if not steps:
        yield LeftOut("questions without a step of the eight functions")
        return
    fields = {
        "id": f"cogqa-{index:04d}",
        "question": record.get("question"),
        "answer": "" if record.get("answer") is None else _text(record["answer"]),
    }
    found = parse_record({**fields, "steps": steps}, where)
    if isinstance(found, list):
        yield from found
    else:
        yield found


def _text(answer: Any) -> Any:
    """Write a number as text; leave all else for the schema to judge."""
    return str(answer) if isinstance(answer, int | float) else answer


readers.register(
    "cogqa",
    Reader(
        lambda source: source.lower().endswith(".json") and Path(source).is_file(),
        read_cogqa,
        "CogQA's .json",
    ),
)
