"""CogQA's JSON files, read from a path the user gives (the data has no licence, so none of it is shipped).

1. A file is a list of {question, answer, generated: [{subquestion, answer, cognitive_skill}]}; in other
   released copies each record sits in a list of one.
2. Skills are mapped to function ids; steps with a label that is none of the eight are left out and counted.
3. Steps are chained: each sees the earlier ones that were kept, with their answers.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from headatlas.errors import QuestionError
from headatlas.questions import FUNCTIONS, Question, QuestionSet, parse_question, readers, slug


def read_cogqa(path: Path) -> QuestionSet:
    """Read a CogQA file in either released shape.

    Raises
    ------
    QuestionError
        Not JSON (line and column), or a record of another shape (its number and field).
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise QuestionError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8.") from None
    except json.JSONDecodeError as error:
        raise QuestionError(f"{path}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}).") from None
    if not isinstance(records, list) or not records:
        raise QuestionError(f"{path}: expected a list of CogQA records, got {type(records).__name__}.")
    left_out: Counter[str] = Counter()
    questions = [_question(record, i, path, left_out) for i, record in enumerate(records)]
    return QuestionSet(tuple(q for q in questions if q is not None), path.stem, dict(left_out))


def _question(record: Any, index: int, path: Path, left_out: Counter[str]) -> Question | None:
    where = f"{path}, record {index + 1}"
    if isinstance(record, list) and len(record) == 1:
        record = record[0]
    if not isinstance(record, dict) or not isinstance(record.get("generated"), list):
        raise QuestionError(
            f"{where}: expected {{question, answer, generated: [...]}}, got "
            f"{sorted(record) if isinstance(record, dict) else type(record).__name__}."
        )
    steps = []
    for number, step in enumerate(record["generated"]):
        missing = {"subquestion", "answer", "cognitive_skill"} - set(step if isinstance(step, dict) else ())
        if missing:
            raise QuestionError(f"{where}, field 'generated.{number}': has no {', '.join(sorted(missing))}.")
        function = slug(str(step["cognitive_skill"]))
        if function not in FUNCTIONS:
            left_out[f"steps with the stray label '{step['cognitive_skill']}'"] += 1
            continue
        steps.append({"subquestion": step["subquestion"], "answer": _text(step["answer"]), "function": function})
    if not steps:
        left_out["questions without a step of the eight functions"] += 1
        return None
    fields = {
        "id": f"cogqa-{index:04d}",
        "question": record.get("question"),
        "answer": "" if record.get("answer") is None else _text(record["answer"]),
    }
    return parse_question({**fields, "steps": steps}, where)


def _text(answer: Any) -> Any:
    """Write a number as text; leave all else for the schema to judge."""
    return str(answer) if isinstance(answer, int | float) else answer


def _is_cogqa(path: Path) -> bool:
    return path.suffix.lower() == ".json"


readers.append((_is_cogqa, read_cogqa))
