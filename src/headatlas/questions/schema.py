"""Questions and their steps.

1. A `Question` is a passage or main question with `steps`, each a subquestion with its answer and the cognitive
   function that answering it calls for.
2. A `QuestionSet` is questions that can stand together: no id twice, no main question in two splits, no task of two
   functions.

This module does not know files, tokenizers, templates or models.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
)

from headatlas._html import panel
from headatlas.errors import QuestionError
from headatlas.questions.functions import function_title, order_functions


class Step(BaseModel):
    """One subquestion, its reference answer, and the function that answering it calls for.

    ``task`` names the template it is an instance of, where a set says so: items of one task are not independent, and
    tasks are then what a function's map is generalised over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subquestion: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    function: str = Field(min_length=1)
    task: str | None = Field(default=None, min_length=1)

    @model_serializer(mode="wrap")
    def _row(self, handler: Callable[["Step"], dict[str, Any]]) -> dict[str, Any]:
        """Write a step of no task as it was before there were tasks."""
        return {name: value for name, value in handler(self).items() if name != "task" or value is not None}

    @field_validator("subquestion", "answer", "function", "task")
    @classmethod
    def _not_blank(cls, text: str | None) -> str | None:
        if text is None:
            return None
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
        seen = Seen()
        of_task: dict[str, str] = {}
        for question in self.questions:
            seen.refuse(question, self.name)
            for step in question.steps:
                if step.task and of_task.setdefault(step.task, step.function) != step.function:
                    raise QuestionError(
                        f"Task '{step.task}' of '{self.name}' is named for two functions, {of_task[step.task]} and "
                        f"{step.function} (question '{question.id}'). Give each function tasks of its own."
                    )

    def __repr__(self) -> str:
        return (
            f"QuestionSet({self.name!r}, {len(self.questions)} questions, {self.n_steps} steps of "
            f"{len(self.functions)} functions, digest {self.digest[:12]})"
        )

    def _repr_html_(self) -> str:
        title = f"{self.name}: {len(self.questions)} questions, {self.n_steps} steps, digest {self.digest[:12]}"
        counts = {function_title(function): f"{n} steps" for function, n in self.counts().items()}
        left_out = {f"left out: {reason}": n for reason, n in self.left_out.items()}
        first = self.questions[0]
        step = first.steps[0]
        sample = f"{first.question}\nQ: {step.subquestion}\nA: {step.answer} ({function_title(step.function)})"
        return panel(title, {**counts, **left_out}, [f"For example, '{first.id}':\n{sample}"])

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

    @cached_property
    def digest(self) -> str:
        """A sha256 over everything that a prompt can be made of, and nothing else."""
        state = hashlib.sha256()
        for question in self.questions:
            state.update(digest_row(question))
        return state.hexdigest()


def digest_row(question: Question) -> bytes:
    """Return one question's part of `QuestionSet.digest`."""
    row = question.model_dump(include={"id", "question", "steps", "chain"})
    return json.dumps(row, sort_keys=True).encode() + b"\n"


class Seen:
    """The main questions met so far: notices an id that comes again, and a text that does.

    Texts are compared without regard to case and white space. A text in two splits is a leak (questions without a
    split take no part in that); within one split it is a duplicate, which is allowed.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._texts: dict[int, tuple[str | None, str]] = {}

    def add(self, question: Question) -> tuple[Literal["id", "leak", "duplicate"], str] | None:
        """Take a question; return what is wrong with its coming now, if anything: a kind and a sentence."""
        key = text_key(question.id)
        split, first = self._texts.setdefault(text_key(question.question), (question.split, question.id))
        if key in self._ids:
            return "id", f"Question id '{question.id}' is used more than once"
        self._ids.add(key)
        if first == question.id:
            return None
        if split == question.split:
            return "duplicate", f"main question '{question.id}' is the same text as '{first}'"
        if None in (split, question.split):
            return None
        return "leak", (
            f"'{question.id}' of split '{question.split}' is the same main question as '{first}' of split '{split}'"
        )

    def refuse(self, question: Question, name: str) -> None:
        """Take a question of the set `name`; raise if it can't be in it.

        Raises
        ------
        QuestionError
            Its id is used already, or its main question stands in another split.
        """
        kind, what = self.add(question) or ("", "")
        if kind == "id":
            raise QuestionError(f"{what} in '{name}'.")
        if kind == "leak":
            raise QuestionError(f"'{name}' leaks between its splits: {what}. Keep it in one of them.")


def text_key(*texts: str) -> int:
    """Return 64 bits that are equal for texts that differ in case and white space only."""
    plain = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return int.from_bytes(hashlib.blake2b(plain.encode(errors="surrogatepass"), digest_size=8).digest())
