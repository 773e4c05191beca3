"""Questions and their steps.

1. A `Question` is a passage or main question with `steps`, each a subquestion with its answer and the cognitive
   function that answering it calls for.
2. A *task* is what several questions are instances of: one way to call for one function. Its *demonstrations* are
   questions that are answered before its items and never measured.
3. A `QuestionSet` is questions that can stand together: no id twice, no main question in two splits, no task of two
   functions, no demonstration that is also an item.

This module does not know files, tokenizers, templates or models.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

from headatlas._html import panel
from headatlas.errors import QuestionError
from headatlas.questions.functions import function_title, order_functions


class Step(BaseModel):
    """One subquestion, its reference answer, and the function that answering it calls for.

    ``task`` names the template it is an instance of, where a set says so: items of one task are not independent, and
    tasks are then what a function's map is generalised over. ``foil`` is a wrong answer, designed with the item; where
    there is none, another item's answer is drawn. ``form`` ("question", "completion", "passage", …) and ``kind`` of the
    answer ("name", "number", …) are the rest of the design, so that it can be told from the function; the answer to a
    "completion" follows its text directly.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    subquestion: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    function: str = Field(min_length=1)
    task: str | None = Field(default=None, min_length=1)
    foil: str | None = Field(default=None, min_length=1)
    form: str | None = Field(default=None, min_length=1)
    kind: str | None = Field(default=None, min_length=1)

    @model_serializer(mode="wrap")
    def _row(self, handler: Callable[["Step"], dict[str, Any]]) -> dict[str, Any]:
        """Write what is not said as it was before it could be."""
        return {name: value for name, value in handler(self).items() if value is not None}

    @field_validator("subquestion", "answer", "function", "task", "foil", "form", "kind")
    @classmethod
    def _not_blank(cls, text: str | None) -> str | None:
        if text is None:
            return None
        if not text.strip():
            raise ValueError("is blank: give at least one visible character")
        return text.strip()

    @field_validator("foil")
    @classmethod
    def _wrong(cls, foil: str | None, info: Any) -> str | None:
        if foil is not None and text_key(foil) == text_key(str(info.data.get("answer", ""))):
            raise ValueError("is the answer: a foil is a wrong answer to compare with")
        return foil


class Question(BaseModel):
    """A main question (or passage) and the steps asked about it.

    An item of a task needs no passage: its ``question`` is then its one step's subquestion. A ``demonstration`` is
    shown, answered, before the items of its steps' tasks, and never measured.

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
    demonstration: bool = False

    @model_validator(mode="before")
    @classmethod
    def _without_passage(cls, record: Any) -> Any:
        if not isinstance(record, dict) or record.get("question") is not None:
            return record
        steps = record.get("steps")
        step = steps[0] if isinstance(steps, list | tuple) and len(steps) == 1 else None
        named = step.model_dump() if isinstance(step, Step) else step
        if isinstance(named, dict) and named.get("task") is not None and named.get("subquestion") is not None:
            return {**record, "question": named["subquestion"]}
        return record

    @model_validator(mode="after")
    def _shown_somewhere(self) -> "Question":
        if self.demonstration and any(step.task is None for step in self.steps):
            raise ValueError("a demonstration is shown before the items of its task, and a step names none")
        return self

    @property
    def passage(self) -> str:
        """The text that steps are asked about; "" where the question is asked itself."""
        return "" if len(self.steps) == 1 and self.question == self.steps[0].subquestion else self.question

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
    demonstrations
        Questions that are shown, answered, before the items of their tasks; not among `questions`.
    """

    questions: tuple[Question, ...]
    name: str
    left_out: dict[str, int] = field(default_factory=dict)
    demonstrations: tuple[Question, ...] = ()

    def __post_init__(self) -> None:
        if not self.questions:
            raise QuestionError(f"Question set '{self.name}' holds no question with a usable step.")
        seen = Seen()
        of_task: dict[str, str] = {}
        for question in (*self.demonstrations, *self.questions):
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

    def first_items(self, n: int) -> "QuestionSet":
        """Return the set with the first `n` items of every task, and what names no task."""
        of_task: Counter[str] = Counter()
        return replace(self, questions=tuple(q for q in self.questions if wanted(q, of_task, n)))

    @property
    def items_of_tasks(self) -> Counter[str]:
        """Task -> how many items it has."""
        return Counter(s.task for q in self.questions for s in q.steps if s.task)

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
        digest = Digest()
        for question in (*self.demonstrations, *self.questions):
            digest.add(question)
        return digest.hex()

    @property
    def tasks(self) -> dict[str, str]:
        """Task -> its function, in the order in which they come."""
        return {s.task: s.function for q in self.questions for s in q.steps if s.task}


def wanted(question: Question, of_task: Counter[str], items: int) -> bool:
    """Say whether a task of the question has fewer than `items` steps so far, or it names none; count its steps."""
    tasks = [step.task for step in question.steps if step.task]
    if tasks and all(of_task[task] >= items for task in tasks):
        return False
    of_task.update(tasks)
    return True


class Digest:
    """`QuestionSet.digest`, question by question; demonstrations may come between others."""

    def __init__(self) -> None:
        self._asked, self._shown, self._any = hashlib.sha256(), hashlib.sha256(), False

    def add(self, question: Question) -> None:
        """Take a question."""
        self._any |= question.demonstration
        row = question.model_dump(include={"id", "question", "steps", "chain"})
        state = self._shown if question.demonstration else self._asked
        state.update(json.dumps(row, sort_keys=True).encode() + b"\n")

    def hex(self) -> str:
        """Return the digest so far."""
        if not self._any:
            return self._asked.hexdigest()
        return hashlib.sha256(self._asked.digest() + self._shown.digest()).hexdigest()


class Seen:
    """The main questions met so far: notices an id that comes again, and a text that does.

    Texts are compared without regard to case and white space. A text in two splits is a leak (questions without a
    split take no part in that); within one split it is a duplicate, which is allowed. No item is a demonstration, too.
    """

    def __init__(self) -> None:
        self._ids: set[int] = set()
        self._texts: dict[int, tuple[str | None, str]] = {}
        self._shown: dict[int, str] = {}
        self._asked: dict[int, str] = {}

    def add(self, question: Question) -> tuple[Literal["id", "shown", "leak", "duplicate"], str] | None:
        """Take a question; return what is wrong with its coming now, if anything: a kind and a sentence."""
        key = text_key(question.id)
        split, first = self._texts.setdefault(text_key(question.question), (question.split, question.id))
        if key in self._ids:
            return "id", f"Question id '{question.id}' is used more than once"
        self._ids.add(key)
        if also := self._also(question):
            return "shown", also
        if first == question.id:
            return None
        if split == question.split:
            return "duplicate", f"main question '{question.id}' is the same text as '{first}'"
        if None in (split, question.split):
            return None
        return "leak", (
            f"'{question.id}' of split '{question.split}' is the same main question as '{first}' of split '{split}'"
        )

    def _also(self, question: Question) -> str | None:
        """Say whether an item is shown as a demonstration; only what names a task can be."""
        here, there = (self._shown, self._asked) if question.demonstration else (self._asked, self._shown)
        for step in question.steps:
            key = text_key(question.question, step.subquestion)
            if step.task is not None and here.setdefault(key, question.id) and key in there:
                return f"question '{question.id}' is the same as '{there[key]}', and one of them is a demonstration"
        return None

    def refuse(self, question: Question, name: str) -> None:
        """Take a question of the set `name`; raise if it can't be in it.

        Raises
        ------
        QuestionError
            Its id is used already, its main question stands in another split, or it is both item and demonstration.
        """
        kind, what = self.add(question) or ("", "")
        if kind == "id":
            raise QuestionError(f"{what} in '{name}'.")
        if kind == "leak":
            raise QuestionError(f"'{name}' leaks between its splits: {what}. Keep it in one of them.")
        if kind == "shown":
            raise QuestionError(f"'{name}' shows an item's answer before it is asked: {what}. Leave one of them out.")


def foil_stands_in(question: Question, step: Step) -> bool:
    """Say whether a step's foil stands, as whole words, in the text that is asked: a lure."""
    asked, foil = (words(text) for text in (f"{question.passage} {step.subquestion}", step.foil or ""))
    return bool(foil) and f" {foil} " in f" {asked} "


def words(text: str) -> str:
    """Return the words of a text, in lower case, with single spaces between them."""
    return " ".join(re.findall(r"\w+", text.lower()))


def text_key(*texts: str) -> int:
    """Return 64 bits that are equal for texts that differ in case and white space only."""
    plain = "\0".join(" ".join(text.casefold().split()) for text in texts)
    return int.from_bytes(hashlib.blake2b(plain.encode(errors="surrogatepass"), digest_size=8).digest())
