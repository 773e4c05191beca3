"""What is in a question set, and what is wrong with it: counts, bad records, duplicates, leaks, controls.

1. The source is read once, record by record; nothing stops at a bad one.
2. Of every question and step only a 64-bit key of its text is kept, to find duplicates (within a split) and leaks
   (between splits), so that memory grows by some hundred bytes a record.
3. The controls, classifiers that see one surface feature of a step each, are fitted on all steps, or on a random
   draw of questions where there are more than `MOST_STEPS`.

It does not know tokenizers or models.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headatlas.controls import check_functions, control_predictions
from headatlas.errors import InputError, QuestionError
from headatlas.questions.functions import order_functions
from headatlas.questions.loading import source_name, stream
from headatlas.questions.reading import EVERYTHING, LeftOut, Reading, Refused
from headatlas.questions.schema import Digest, Question, Seen, Step, foil_stands_in, text_key
from headatlas.stats import mean_interval

MOST_STEPS = 8000
"""Steps that the controls are fitted on at most: enough for an accuracy to one point, seconds to fit."""


@dataclass(frozen=True)
class StepText:
    """What a control may see of a step."""

    passage: str
    subquestion: str
    answer: str
    step: int


@dataclass
class Check:
    """What `check_questions` found.

    Attributes
    ----------
    name, digest
        Of the set; the digest is that of the set as it would be loaded.
    questions, steps
        How many.
    functions
        Steps of each function, in the figure's order.
    splits
        Split (or "none") -> {"questions", "steps", "functions"}.
    left_out
        Reason -> count.
    bad
        Every record that breaks the schema.
    duplicates, leaks
        One sentence each: a main question or step that stands twice within a split; a main question that stands in
        two splits.
    tasks
        Task -> {"function", "items", "demonstrations", "form", "kind", "lures"} (lures: items in whose text the foil
        stands).
    crossing
        "form", "kind" and "lure" -> Cramér's V with the function over the items of tasks, 0 (the design says nothing of
        the function) to 1 (it gives it away); only those that are named.
    controls
        Control -> grouped-fold accuracy; None where it could not be fitted.
    intervals
        Control -> its 95% interval.
    commonest
        Share of the commonest function: what a control reaches that knows nothing.
    control_steps
        How many steps the controls were fitted on.
    note
        Why there are no controls, or "".
    """

    name: str
    digest: str = ""
    questions: int = 0
    steps: int = 0
    functions: dict[str, int] = field(default_factory=dict)
    splits: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    bad: list[Refused] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    crossing: dict[str, float] = field(default_factory=dict)
    controls: dict[str, float | None] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    commonest: float | None = None
    control_steps: int = 0
    note: str = ""

    @property
    def usable(self) -> bool:
        """Whether `load_questions` takes the set."""
        return self.questions > 0 and not self.bad and not self.leaks


def check_questions(
    source: str | Path, reading: Reading = EVERYTHING, *, controls: bool = True, seed: int = 0
) -> Check:
    """Read a source and report on it, bad records too.

    Parameters
    ----------
    source
        As in `load_questions`.
    reading
        What to read of it.
    controls
        Whether to fit the controls.
    seed
        Draws the folds, and the questions where there are too many.

    Raises
    ------
    QuestionError
        There is no such source, it can't be read at all, or a column is not there. Bad records are reported.
    """
    check = Check(source_name(source))
    counts = _Counts()
    drawn: list[Question] = []
    draw = random.Random(seed)
    digest = Digest()
    left_out: Counter[str] = Counter()
    for found in stream(source, reading):
        if isinstance(found, Refused):
            check.bad.append(found)
        elif isinstance(found, LeftOut):
            left_out[found.reason] += 1
        elif found.demonstration:
            counts.show(found, check)
            digest.add(found)
        else:
            check.questions += 1
            check.steps += len(found.steps)
            digest.add(found)
            counts.add(found, check)
            _keep(drawn, found, check.questions, draw)
    check.left_out = dict(left_out)
    check.digest = digest.hex()
    check.splits = {name: counts.split(name) for name in counts.questions}
    totals = sum((Counter(c) for c in counts.functions.values()), Counter())
    check.functions = {f: totals[f] for f in order_functions(totals)}
    check.crossing = _crossing(counts.design)
    if controls and drawn:
        _fit_controls(check, drawn, seed)
    return check


class _Counts:
    """Counts by split, and the steps met so far."""

    def __init__(self) -> None:
        self.questions: Counter[str] = Counter()
        self.functions: dict[str, Counter[str]] = {}
        self.seen = Seen()
        self.steps: dict[int, str] = {}
        self.design: dict[str, Counter[tuple[str, str]]] = {"form": Counter(), "kind": Counter(), "lure": Counter()}

    def show(self, question: Question, check: Check) -> None:
        """Count a demonstration."""
        for step in question.steps:
            _task(check, step)["demonstrations"] += 1
        self._seen(question, check)

    def add(self, question: Question, check: Check) -> None:
        """Count a question; report what of it was there before."""
        split = question.split or "none"
        self.questions[split] += 1
        self.functions.setdefault(split, Counter()).update(s.function for s in question.steps)
        self._seen(question, check)
        for number, step in enumerate(question.steps):
            if step.task:
                lure = step.foil is not None and foil_stands_in(question, step)
                row = _task(check, step)
                row["items"] += 1
                row["lures"] += lure
                for name, value in (("form", step.form), ("kind", step.kind), ("lure", step.foil and str(lure))):
                    if value:
                        self.design[name][step.function, value] += 1
            place = f"{question.id}/{number}"
            first = self.steps.setdefault(text_key(question.question, step.subquestion), place)
            if first != place:
                check.duplicates.append(f"step '{place}' asks the same as '{first}'")

    def _seen(self, question: Question, check: Check) -> None:
        kind, what = self.seen.add(question) or ("", "")
        if kind == "id":
            check.bad.append(Refused(f"question '{question.id}'", None, "id", "is used more than once."))
        elif kind:
            (check.duplicates if kind == "duplicate" else check.leaks).append(what)

    def split(self, split: str) -> dict[str, Any]:
        """Return one split's numbers."""
        found = self.functions[split]
        return {
            "questions": self.questions[split],
            "steps": found.total(),
            "functions": {f: found[f] for f in order_functions(found)},
        }


def _task(check: Check, step: Step) -> dict[str, Any]:
    """Return the row of a step's task; refuse a task of two functions."""
    new = {"function": step.function, "items": 0, "demonstrations": 0, "form": step.form, "kind": step.kind, "lures": 0}
    row = check.tasks.setdefault(str(step.task), new)
    if row["function"] != step.function:
        what = f"is named for two functions, {row['function']} and {step.function}."
        wrong = Refused(f"task '{step.task}'", None, "task", what)
        if wrong not in check.bad:
            check.bad.append(wrong)
    return row


def _crossing(design: dict[str, Counter[tuple[str, str]]]) -> dict[str, float]:
    """Return Cramér's V of function with each factor that is named."""
    found = {}
    for name, counted in design.items():
        functions, levels = (list(dict.fromkeys(pair[i] for pair in counted)) for i in (0, 1))
        if len(functions) > 1 and len(levels) > 1:
            found[name] = cramers_v(np.array([[counted[f, level] for level in levels] for f in functions], float))
    return found


def cramers_v(counts: Float[np.ndarray, "row column"]) -> float:
    """Return Cramér's V (1946) of a table of counts: 0 for independence, 1 if a row says which column."""
    n = counts.sum()
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / n
    return float(np.sqrt(((counts - expected) ** 2 / expected).sum() / (n * (min(counts.shape) - 1))))


def _keep(drawn: list[Question], question: Question, n: int, draw: random.Random) -> None:
    """Keep a uniform draw of the questions met so far (a reservoir), `MOST_STEPS` steps or a little more."""
    if n == len(drawn) + 1 and sum(len(q.steps) for q in drawn) < MOST_STEPS:
        drawn.append(question)
    elif (place := draw.randrange(n)) < len(drawn):
        drawn[place] = question


def _fit_controls(check: Check, drawn: list[Question], seed: int) -> None:
    items = [StepText(q.question, s.subquestion, s.answer, i) for q in drawn for i, s in enumerate(q.steps)]
    function = np.array([s.function for q in drawn for s in q.steps])
    group = np.array([q.id for q in drawn for _ in q.steps])
    try:
        check_functions(function, group)
        found = control_predictions(items, function, group, seed=seed)
    except (InputError, QuestionError) as error:
        check.note = str(error)
        return
    check.control_steps = len(items)
    check.commonest = max(Counter(function.tolist()).values()) / len(items)
    for name, correct in found.items():
        if np.isnan(correct).any():
            check.controls[name] = None
            continue
        value, low, high = mean_interval(correct, group, seed=seed)
        check.controls[name] = value
        check.intervals[name] = (low, high)
