"""Questions, their steps, and the functions the steps call for.

1. A `Question` is a passage or main question with `steps`, each a subquestion with its answer and the
   cognitive function that answering it calls for.
2. `FUNCTIONS` are the eight published ones: stable ids, display names, and the figure's order. Any other
   set of labels works; the eight are a default.
3. `load_questions` turns a name (a registered source) or a path into a `QuestionSet`, or refuses it with
   file, line, field and what was expected. Nothing is skipped silently: what was left out is counted.

This module does not know tokenizers, templates or models.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from headatlas._registry import Registry, suggest
from headatlas.errors import QuestionError

FUNCTIONS: dict[str, str] = {
    "knowledge_recall": "Knowledge Recall",
    "retrieval": "Retrieval",
    "logical_reasoning": "Logical Reasoning",
    "decision_making": "Decision-making",
    "semantic_understanding": "Semantic Understanding",
    "syntactic_understanding": "Syntactic Understanding",
    "inference": "Inference",
    "math_calculation": "Math Calculation",
}
"""Function id -> display name, in the order of the figure (row by row in a 2x4 grid)."""


def function_title(function: str) -> str:
    """Return the display name of a function id; other labels are shown as they are, underscores as spaces."""
    return FUNCTIONS.get(function, function.replace("_", " ").strip().capitalize())


def order_functions(found: Iterable[str]) -> tuple[str, ...]:
    """Return the labels in `found`, the eight in the figure's order first, others after in sorted order."""
    labels = set(found)
    return tuple(f for f in FUNCTIONS if f in labels) + tuple(sorted(labels - set(FUNCTIONS)))


class Step(BaseModel):
    """One subquestion, its reference answer, and the function that answering it calls for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    subquestion: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    function: str = Field(min_length=1)

    @field_validator("subquestion", "answer", "function")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank: give at least one visible character")
        return text.strip()


class Question(BaseModel):
    """A main question (or passage) and the steps asked about it.

    ``chain`` says whether a step sees the earlier steps and their answers as prior knowledge (True, as in
    CogQA) or is asked on its own about the passage (False). ``split`` names a held-out part, if any. Extra
    fields are kept in ``model_extra``.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str = ""
    steps: tuple[Step, ...] = Field(min_length=1)
    chain: bool = True
    split: str | None = None

    @field_validator("question")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("is blank: give at least one visible character")
        return text


@dataclass(frozen=True)
class QuestionSet:
    """Questions with what is needed to trust them.

    Attributes
    ----------
    questions
        The main questions, in file order; ids are unique.
    name
        A short name for titles and file names.
    left_out
        What the source left out, as reason -> count (e.g. a stray label), for every report to state.
    """

    questions: tuple[Question, ...]
    name: str
    left_out: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.questions:
            raise QuestionError(f"Question set '{self.name}' holds no question with a usable step.")
        twice = [i for i, n in Counter(q.id for q in self.questions).items() if n > 1]
        if twice:
            raise QuestionError(f"Question id '{twice[0]}' is used more than once in '{self.name}'.")

    @property
    def functions(self) -> tuple[str, ...]:
        """The functions that occur, in the figure's order."""
        return order_functions(s.function for q in self.questions for s in q.steps)

    @property
    def n_steps(self) -> int:
        """How many steps there are in all."""
        return sum(len(q.steps) for q in self.questions)

    def counts(self) -> dict[str, int]:
        """Return the number of steps of each function, in the figure's order."""
        found = Counter(s.function for q in self.questions for s in q.steps)
        return {f: found[f] for f in self.functions}

    @property
    def digest(self) -> str:
        """A sha256 over everything that a prompt can be made of, and nothing else."""
        rows = [q.model_dump(include={"id", "question", "steps", "chain"}) for q in self.questions]
        return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()

    def limited(self, limit: int | None) -> "QuestionSet":
        """Return the first `limit` main questions (all of them for None)."""
        if limit is None:
            return self
        if limit < 1:
            raise QuestionError(f"A limit of {limit} leaves no question. Give --limit 1 or more.")
        return QuestionSet(self.questions[:limit], self.name, self.left_out)


Source = Callable[[], QuestionSet]
sources: Registry[Source] = Registry("question set")
"""Question sets that have a name ("builtin"); files are loaded by path."""

readers: list[tuple[Callable[[Path], bool], Callable[[Path], QuestionSet]]] = []
"""(does this reader know the file?, read it), asked in order; datasets/ adds to it."""


def slug(text: str) -> str:
    """Return `text` as a function id: "Decision-making" -> "decision_making"."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def check_function(label: str, where: str) -> None:
    """Refuse a label that looks like a misspelling of one of the eight; any other label is the user's own."""
    if label in FUNCTIONS:
        return
    from difflib import get_close_matches

    if slug(label) in FUNCTIONS or get_close_matches(slug(label), list(FUNCTIONS), n=1, cutoff=0.8):
        raise QuestionError(f"{where}: unknown function '{label}'.{suggest(slug(label), list(FUNCTIONS))}")


def parse_question(record: object, where: str) -> Question:
    """Return the Question in a decoded JSON `record`, or raise with `where` (file and line) and the field."""
    try:
        question = Question.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(p) for p in first["loc"]) or "the record"
        got = repr(first["input"])
        got = got if len(got) <= 60 else got[:57] + "..."
        raise QuestionError(f"{where}, field '{path}': {first['msg']} (got {got}).") from None
    for i, step in enumerate(question.steps):
        check_function(step.function, f"{where}, field 'steps.{i}.function'")
    return question


def load_questions(source: str | Path, *, limit: int | None = None) -> QuestionSet:
    """Load a question set by name or by path.

    Parameters
    ----------
    source
        A registered name ("builtin") or the path of a file: CogQA's JSON (either released shape) or JSON
        Lines in this project's schema.
    limit
        Keep only the first `limit` main questions.

    Raises
    ------
    QuestionError
        No such name or file, or a record that breaks the schema (file, line, field).
    """
    import headatlas.datasets  # noqa: F401  (registers the sources and readers)

    if isinstance(source, str) and source in sources:
        return sources.get(source)().limited(limit)
    path = Path(source)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "is neither a named set nor a file"
        raise QuestionError(f"Questions '{source}' {kind}.{suggest(str(source), list(sources))}")
    for knows, read in readers:
        if knows(path):
            return read(path).limited(limit)
    raise QuestionError(f"{path}: can't tell its format. Give a .jsonl (one question a line) or a CogQA .json.")
