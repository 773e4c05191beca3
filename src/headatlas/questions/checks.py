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
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from headatlas.controls import check_functions, control_predictions
from headatlas.errors import InputError, QuestionError
from headatlas.questions.functions import order_functions
from headatlas.questions.loading import source_name, stream
from headatlas.questions.reading import EVERYTHING, LeftOut, Reading, Refused
from headatlas.questions.schema import Question, Seen, digest_row, text_key
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
    digest = sha256()
    left_out: Counter[str] = Counter()
    for found in stream(source, reading):
        if isinstance(found, Refused):
            check.bad.append(found)
        elif isinstance(found, LeftOut):
            left_out[found.reason] += 1
        else:
            check.questions += 1
            check.steps += len(found.steps)
            digest.update(digest_row(found))
            counts.add(found, check)
            _keep(drawn, found, check.questions, draw)
    check.left_out = dict(left_out)
    check.digest = digest.hexdigest()
    check.splits = {name: counts.split(name) for name in counts.questions}
    totals = sum((Counter(c) for c in counts.functions.values()), Counter())
    check.functions = {f: totals[f] for f in order_functions(totals)}
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

    def add(self, question: Question, check: Check) -> None:
        """Count a question; report what of it was there before."""
        split = question.split or "none"
        self.questions[split] += 1
        self.functions.setdefault(split, Counter()).update(s.function for s in question.steps)
        kind, what = self.seen.add(question) or ("", "")
        if kind == "id":
            check.bad.append(Refused(f"question '{question.id}'", None, "id", "is used more than once."))
        elif kind:
            (check.leaks if kind == "leak" else check.duplicates).append(what)
        for number, step in enumerate(question.steps):
            place = f"{question.id}/{number}"
            first = self.steps.setdefault(text_key(question.question, step.subquestion), place)
            if first != place:
                check.duplicates.append(f"step '{place}' asks the same as '{first}'")

    def split(self, split: str) -> dict[str, Any]:
        """Return one split's numbers."""
        found = self.functions[split]
        return {
            "questions": self.questions[split],
            "steps": found.total(),
            "functions": {f: found[f] for f in order_functions(found)},
        }


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
