"""Any source -> JSON Lines in this project's schema, streamed: whole or not at all."""

from collections import Counter
from pathlib import Path

from headatlas._files import atomic
from headatlas.errors import InputError, QuestionError
from headatlas.questions.loading import usable
from headatlas.questions.reading import EVERYTHING, Reading
from headatlas.questions.schema import Seen


def write_jsonl(source: str | Path, out: str | Path, reading: Reading = EVERYTHING) -> tuple[int, int, dict[str, int]]:
    """Write a source as JSON Lines, record by record; the file appears when it is whole.

    Parameters
    ----------
    source
        As in `load_questions`.
    out
        The file; it must not be there.
    reading
        What to read of the source.

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
        for question in usable(source, reading, left_out):
            seen.refuse(question, str(source))
            file.write(question.model_dump_json(exclude_defaults=True) + "\n")
            questions += 1
            steps += len(question.steps)
        if not questions:
            raise QuestionError(f"'{source}' holds no question with a usable step.")
    return questions, steps, dict(left_out)
