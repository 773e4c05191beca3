"""Benchmark questions in, a question set with steps out, every step with where it comes from.

1. The source is read and checked; the files at --out are claimed (`outputs`), the journal opened (`journal`).
2. Every question is taken apart (`decompose`), then every decomposition judged a second time (`verify`), by a crew of
   threads (`crew`) through one endpoint (`endpoint`). Answers that the journal has are not asked for again.
3. What went wrong with a question is kept as a `Failure`: the model never kept to the schema ("unusable"), the
   endpoint refused the request ("refused"), or gave no answer ("unanswered": the same command asks again).
4. The questions, in the source's order, and a report with the agreement of the two judgements, the failures, requests,
   tokens and spend are written. A run that a cap or an error ends before writes nothing but its journal.

The result depends on source and answers only: not on the number of workers, nor on how often the run was interrupted.
This module does not know models, heads or atlases.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headatlas.building import decompose as decomposing
from headatlas.building import verify as verifying
from headatlas.building.budget import Budget, Caps
from headatlas.building.crew import in_order
from headatlas.building.endpoint import Endpoint, Patience, Refused, Sleep, Unanswered, check_url
from headatlas.building.journal import Journal
from headatlas.building.outcome import Failure, Kind, Outcome
from headatlas.building.outputs import Outputs
from headatlas.building.replies import Checked, Unusable
from headatlas.building.source import SourceQuestion, read_source
from headatlas.errors import InputError, RunError

Report = Callable[[str, int, int], None]
Work = Callable[[SourceQuestion], Checked[Any]]
KINDS: dict[type[Exception], Kind] = {Unusable: "unusable", Refused: "refused", Unanswered: "unanswered"}


@dataclass(frozen=True)
class Built:
    """What a build made: the files, and the report as written."""

    files: Outputs
    report: dict[str, Any]

    def check_complete(self) -> None:
        """Raise `RunError` if questions got no answer: what is written lacks them."""
        lacking = [failure for failure in self.report["failures"] if failure["kind"] == "unanswered"]
        if lacking:
            first = f"'{lacking[0]['id']}': {lacking[0]['reason']}"
            count = "1 request" if len(lacking) == 1 else f"{len(lacking)} requests"
            raise RunError(f"{count} got no answer ({first}). The same command asks again for what is missing.")


@dataclass(frozen=True, kw_only=True)
class Builder:
    """How questions are taken apart.

    Attributes
    ----------
    endpoint, model
        An OpenAI-compatible endpoint and the name of a model there.
    functions
        Function id -> definition; `decompose.DEFINITIONS` by default.
    verify, verify_model
        Whether a second judgement is asked for, and of which model (the same by default).
    keep
        "all" steps, or those whose label the second judgement confirms: "agreed".
    workers
        Requests under way at a time.
    repairs
        How often a model that breaks the schema is told and asked again.
    allowance
        Tokens that a reply may have.
    caps, patience
        What it may cost; how long and how often is asked.
    key_env
        Environment variable that holds the key; None: OPENAI_API_KEY, or no key where that is not set.
    """

    endpoint: str
    model: str
    functions: Mapping[str, str] = field(default_factory=lambda: dict(decomposing.DEFINITIONS))
    verify: bool = True
    verify_model: str | None = None
    keep: str = "all"
    workers: int = 4
    repairs: int = 2
    allowance: int = 2000
    caps: Caps = field(default_factory=Caps)
    patience: Patience = field(default_factory=Patience)
    key_env: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "endpoint", check_url(self.endpoint))
        if not self.model.strip():
            raise InputError("--model is empty. Give the name of a model that the endpoint has.")
        if self.keep not in ("all", "agreed"):
            raise InputError(f"Unknown --keep '{self.keep}'. Give all or agreed.")
        if self.keep == "agreed" and not self.verify:
            raise InputError("--keep agreed needs the second judgement. Leave out --no-verify.")
        if self.verify_model is not None and not self.verify:
            raise InputError("--verify-model needs the second judgement. Leave out --no-verify.")
        for name, value, least in (("workers", self.workers, 1), ("repairs", self.repairs, 0)):
            if value < least:
                raise InputError(f"--{name} {value} is too few. Give {least} or more.")
        if self.allowance < 16:
            raise InputError(f"--max-tokens {self.allowance} holds no reply. Give some hundreds.")

    def __call__(
        self,
        source: Path,
        out: Path,
        *,
        limit: int | None = None,
        report: Report | None = None,
        say: Callable[[str], None] | None = None,
        sleep: Sleep | None = None,
    ) -> Built:
        """Build the questions in `source` into `out`.

        Parameters
        ----------
        source
            A file as `source.read_source` reads it.
        out
            A .jsonl file; the journal and the report go beside it.
        limit
            Only the first `limit` questions.
        report
            Called with (stage, done, total).
        say
            Told of long pauses.
        sleep
            Waits the given seconds between attempts.

        Raises
        ------
        InputError
            A bad source or option, files at `out` that are not this build's, no openai client.
        RunError
            A cap was reached, access was refused, the endpoint does not answer, the disk is full, or no question
            at all came to anything.
        """
        questions = read_source(source, limit=limit)
        outputs = Outputs(out)
        key = {
            "source": source.name,
            "model": self.model,
            "functions": decomposing.version(tuple(f"{k}\0{v}" for k, v in self.functions.items())),
            "prompt": decomposing.VERSION,
        }
        with outputs.claim(key) as journal:
            progress = _Progress(report or (lambda stage, done, total: None))
            try:
                outcome = self._ask(questions, journal, progress, say, sleep)
            except RunError as error:
                raise type(error)(f"{error} {progress.so_far(len(questions))} {_kept(journal)}") from None
            records = outcome.records()
            if not records:
                raise RunError(f"{outcome.emptiness()} {_kept(journal)}")
            made = {"source": source.name, "endpoint": self.endpoint, **outcome.report(self.caps)}
            outputs.write(journal, records, made)
        return Built(outputs, made)

    def _ask(
        self,
        questions: tuple[SourceQuestion, ...],
        journal: Journal,
        progress: "_Progress",
        say: Callable[[str], None] | None,
        sleep: Sleep | None,
    ) -> Outcome:
        """Make both passes."""
        stopped = threading.Event()
        judge = (self.verify_model or self.model) if self.verify else None
        parts: dict[str, Any] = {}
        options: dict[str, Any] = {"functions": self.functions, "repairs": self.repairs}
        endpoint = Endpoint(
            self.endpoint,
            key_env=self.key_env,
            journal=journal,
            budget=Budget(self.caps, journal.requests, journal.spent, stopped),
            stopped=stopped,
            allowance=self.allowance,
            patience=self.patience,
            sleep=sleep,
            say=say,
        )

        def take_apart(question: SourceQuestion) -> Checked[Any]:
            return decomposing.decompose(endpoint, question, model=self.model, **options)

        def judge_steps(question: SourceQuestion) -> Checked[Any]:
            assert judge is not None, "called for a second judgement only"
            return verifying.verify(endpoint, question, parts[question.id].value, model=judge, **options)

        def each(stage: str, work: Work, chosen: list[SourceQuestion]) -> tuple[dict[str, Any], list[Failure]]:
            found = in_order(
                lambda question: progress.counted(stage, _caught(stage, question, work)),
                chosen,
                workers=self.workers,
                stopped=stopped,
                progress=lambda done, total: progress(stage, done, total),
            )
            made = {q.id: it for q, it in zip(chosen, found, strict=True) if isinstance(it, Checked)}
            return made, [it for it in found if isinstance(it, Failure)]

        verdicts: dict[str, Any] = {}
        with endpoint:
            parts, failures = each("decompose", take_apart, list(questions))
            if judge:
                verdicts, more = each("verify", judge_steps, [q for q in questions if q.id in parts])
                failures += more
        return Outcome(
            questions=questions,
            parts=parts,
            verdicts=verdicts,
            failures=tuple(failures),
            model=self.model,
            judge=judge,
            functions=dict(self.functions),
            keep=self.keep,
            journal=journal,
        )


class _Progress:
    """Passes progress on, and counts what succeeded for the message of a run that ends early."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._made: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._report(stage, done, total)

    def counted(self, stage: str, made: Checked[Any] | Failure) -> Checked[Any] | Failure:
        """Return `made`; called by the workers."""
        with self._lock:
            self._made[stage] += isinstance(made, Checked)
        return made

    def so_far(self, total: int) -> str:
        """Say how far it came."""
        return (
            f"So far {self._made['decompose']} of {total} questions are decomposed and {self._made['verify']} verified."
        )


def _caught(stage: str, question: SourceQuestion, work: Work) -> Checked[Any] | Failure:
    """Return ``work(question)``, or the `Failure` of this one question."""
    try:
        return work(question)
    except tuple(KINDS) as error:
        return Failure(question.id, stage, KINDS[type(error)], str(error))


def _kept(journal: Journal) -> str:
    return f"Every answer is kept in {journal.path}: the same command asks only for what is missing."
