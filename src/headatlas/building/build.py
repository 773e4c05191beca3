"""Benchmark questions in, a question set with steps out, every step with where it comes from.

1. The source is read and checked; the files at --out are claimed (`outputs`), the journal opened (`journal`).
2. Every question is taken apart (`decompose`), then every decomposition judged a second time (`verify`), by a pool of
   threads (a request is waiting, not computing) through one endpoint. What the journal has is not asked for again.
3. A question that a pass comes to nothing for (`GivenUp`) is told of. Anything worse ends the run: no further request
   leaves, those under way are waited for (their answers are paid for), and nothing is written but the journal.
4. The questions, in the source's order, and a report (`outcome`) are written.

The result depends on source and answers only: not on the number of workers, nor on how often the run was interrupted.
This module does not know models, heads or atlases.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from headatlas.building import decompose, verify
from headatlas.building.endpoint import Endpoint, Patience, Sleep, check_url
from headatlas.building.faults import GivenUp
from headatlas.building.journal import Caps, Journal, Stopped
from headatlas.building.outcome import Outcome
from headatlas.building.outputs import Outputs
from headatlas.building.replies import Checked
from headatlas.building.source import SourceQuestion, read_source
from headatlas.errors import InputError, RunError

Report = Callable[[str, int, int], None]


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
    functions: Mapping[str, str] = field(default_factory=lambda: dict(decompose.DEFINITIONS))
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
        wrong = {
            "--model is empty. Give the name of a model that the endpoint has.": not self.model.strip(),
            f"Unknown --keep '{self.keep}'. Give all or agreed.": self.keep not in ("all", "agreed"),
            "--keep agreed needs the second judgement. Leave out --no-verify.": self.keep != "all" and not self.verify,
            "--verify-model needs the second judgement. Leave out --no-verify.": self.verify_model and not self.verify,
            f"--workers {self.workers} is too few. Give 1 or more.": self.workers < 1,
            f"--repairs {self.repairs} is too few. Give 0 or more.": self.repairs < 0,
            f"--max-tokens {self.allowance} holds no reply. Give some hundreds.": self.allowance < 16,
        }
        for message, applies in wrong.items():
            if applies:
                raise InputError(message)

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
            "functions": decompose.version(tuple(f"{k}\0{v}" for k, v in self.functions.items())),
            "prompt": decompose.VERSION,
        }
        with closing(outputs.claim(key)) as journal:
            judge = (self.verify_model or self.model) if self.verify else None
            outcome = Outcome(questions, self.model, judge, dict(self.functions), self.keep, journal)
            kept = f"Every answer is kept in {journal.path}: the same command asks only for what is missing."
            try:
                self._ask(outcome, journal, report or (lambda *_: None), say or (lambda _: None), sleep)
            except RunError as error:
                raise RunError(f"{error} {outcome.so_far()} {kept}") from None
            records = outcome.records()
            if not records:
                raise RunError(f"{outcome.emptiness()} {kept}")
            made = {"source": source.name, "endpoint": self.endpoint, **outcome.report(self.caps)}
            outputs.write(journal, records, made)
        return Built(outputs, made)

    def _ask(
        self, outcome: Outcome, journal: Journal, report: Report, say: Callable[[str], None], sleep: Sleep | None
    ) -> None:
        """Make both passes and put what comes of them into `outcome`."""
        stopped = threading.Event()
        common: dict[str, Any] = {"functions": self.functions, "repairs": self.repairs}
        pool: dict[str, Any] = {"workers": self.workers, "stopped": stopped}
        with Endpoint(
            url=self.endpoint,
            key_env=self.key_env,
            journal=journal,
            caps=self.caps,
            stopped=stopped,
            allowance=self.allowance,
            patience=self.patience,
            sleep=sleep,
            say=say,
        ) as endpoint:
            first = partial(decompose.decompose, endpoint, model=self.model, **common)
            _share_out(first, outcome.questions, outcome.decomposed, partial(report, "decompose"), **pool)
            if judge := outcome.judge:
                parts = outcome.parts
                chosen = [question for question in outcome.questions if question.id in parts]

                def second(question: SourceQuestion) -> Checked[Any]:
                    return verify.verify(endpoint, question, parts[question.id].value, model=judge, **common)

                _share_out(second, chosen, outcome.verified, partial(report, "verify"), **pool)


def _share_out(
    work: Callable[[SourceQuestion], Checked[Any]],
    questions: Sequence[SourceQuestion],
    found: dict[str, Checked[Any] | GivenUp],
    report: Callable[[int, int], None],
    *,
    workers: int,
    stopped: threading.Event,
) -> None:
    """Put ``work(question)``, or why it is given up, into `found` by the question's id; raise the first other error.

    `report` is called with (done, total) by the caller's thread. Ctrl-C ends it without waiting: the threads of this
    pool are daemons, those of `concurrent.futures` would keep the process until the endpoint answers.
    """
    errors: list[BaseException] = []

    def one(question: SourceQuestion) -> None:
        try:
            if not stopped.is_set():
                found[question.id] = work(question)
        except GivenUp as given_up:
            found[question.id] = given_up
        except BaseException as error:  # raised again by the caller's thread
            stopped.set()
            errors.append(error)

    report(0, len(questions))
    with ThreadPool(min(workers, len(questions)) or 1) as pool:
        try:
            for _ in pool.imap_unordered(one, questions):
                report(len(found), len(questions))
        except BaseException:
            stopped.set()
            raise
    if errors:  # that others were stopped is not what is to be told
        raise next((error for error in errors if not isinstance(error, Stopped)), errors[0])
