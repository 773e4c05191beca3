"""JSON Lines: one main question a line, in this project's own schema (`questions.Question`)."""

import json
from pathlib import Path

from headatlas.errors import QuestionError
from headatlas.questions import Question, QuestionSet, parse_question, readers


def read_jsonl(path: Path) -> QuestionSet:
    """Read `path`; blank lines are skipped, anything else must be a question.

    Raises
    ------
    QuestionError
        Bad UTF-8, bad JSON or a record that breaks the schema: file, line, field.
    """
    questions: list[Question] = []
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            where = f"{path}, line {number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip()
            except UnicodeDecodeError as error:
                raise QuestionError(
                    f"{where}: not UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
                ) from None
            if not line:
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise QuestionError(f"{where}, column {error.colno}: not JSON ({error.msg}).") from None
            questions.append(parse_question(record, where))
    return QuestionSet(tuple(questions), path.stem)


readers.append((lambda path: path.suffix.lower() in (".jsonl", ".ndjson"), read_jsonl))
