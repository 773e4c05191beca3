"""Benchmark questions in, a question set with steps out, every step with where it comes from.

1. The source is read and checked; the files at --out are claimed, the journal opened (`journal`).
2. Every question is taken apart, then every decomposition judged a second time (`passes`), by a pool of threads (a
   request is waiting, not computing) through one endpoint. What the journal has is not asked for again.
3. A question that a pass comes to nothing for (`GivenUp`) is told of. Anything worse ends the run: no further request
   leaves, those under way are waited for (their answers are paid for), and nothing is written but the journal.
4. The questions, in the source's order, and a report (`outcome`) are written.

The result depends on source and answers only: not on the number of workers, nor on how often the run was interrupted.
This module does not know models, heads or atlases.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from headatlas._files import write_text
from headatlas.building import passes
from headatlas.building.endpoint import Endpoint, Patience, Sleep, check_url
from headatlas.building.faults import GivenUp
from headatlas.building.journal import Caps, Journal, Stopped
from headatlas.building.outcome import Outcome
from headatlas.building.replies import Checked, Model
from headatlas.building.source import SourceQuestion, read_source
from headatlas.errors import InputError, RunError

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Outputs:
    """The files of a build: ``NAME.jsonl``, ``NAME.journal`` beside it, ``NAME.report.json`` (written last).

    A build writes over files that its own journal knows, and nothing else.
    """

    questions: Path

    def __post_init__(self) -> None:
        if self.questions.suffix.lower() != ".jsonl":
            raise InputError(f"--out {self.questions} must end in .jsonl, as question sets do.")
        if self.questions.is_dir():
            raise InputError(f"--out {self.questions} is a folder. Give a file in it.")

    @property
    def report(self) -> Path:
        """Where the report goes."""
        return self.questions.with_suffix(".report.json")

    def claim(self, key: dict[str, Any], caps: Caps) -> Journal:
        """Open the journal of the build `key`; raise `InputError`, touching nothing, where a file is another's."""
        path = self.questions.with_suffix(".journal")
        others = [other for other in (self.questions, self.report) if other.exists()]
        if others and not path.exists():
            raise InputError(
                f"{others[0]} exists, and no {path.name} beside it says that a build made it. Give another "
                f"--out, or move it away: mv {others[0]} {others[0]}.old"
            )
        journal = Journal(path, key, caps)
        if self.questions.exists() and not journal.noted(_digest(self.questions.read_bytes())):
            journal.close()
            raise InputError(
                f"{self.questions} was changed since it was built. Keep it under another name, then type the same "
                f"command: mv {self.questions} {self.questions.with_suffix('.edited.jsonl')}"
            )
        return journal

    def write(self, journal: Journal, records: list[dict[str, Any]], report: dict[str, Any]) -> None:
        """Write the questions, then the report; the journal knows the questions' digest before they are there."""
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        journal.note(_digest(text.encode()), "written")
        write_text(self.questions, text)
        write_text(self.report, json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
        Function id -> definition; `passes.DEFINITIONS` by default.
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
    functions: Mapping[str, str] = field(default_factory=lambda: dict(passes.DEFINITIONS))
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
        source, limit
            A file as `source.read_source` reads it, and how many of its questions; None for all.
        out
            A .jsonl file; the journal and the report go beside it.
        report, say, sleep
            Called with (stage, done, total); told of long pauses; waits the given seconds between attempts.

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
            "functions": passes.version(*(f"{name}\0{definition}" for name, definition in self.functions.items())),
            "prompt": passes.VERSIONS["decompose"],
        }
        judge = (self.verify_model or self.model) if self.verify else None
        with closing(outputs.claim(key, self.caps)) as journal:
            outcome = Outcome(questions, self.model, judge, dict(self.functions), self.keep, journal)
            kept = f"Every answer is kept in {journal.path}: the same command asks only for what is missing."
            try:
                endpoint = Endpoint(
                    url=self.endpoint,
                    key_env=self.key_env,
                    journal=journal,
                    allowance=self.allowance,
                    patience=self.patience,
                    sleep=sleep,
                    say=say or (lambda _: None),
                )
                with closing(endpoint):
                    self._ask(endpoint, outcome, report or (lambda *_: None))
            except RunError as error:
                raise RunError(f"{error} {outcome.so_far()} {kept}") from None
            records = outcome.records()
            if not records:
                raise RunError(f"{outcome.emptiness()} {kept}")
            made = {"source": source.name, "endpoint": self.endpoint, **outcome.report()}
            outputs.write(journal, records, made)
        return Built(outputs, made)

    def _ask(self, endpoint: Endpoint, outcome: Outcome, report: Report) -> None:
        """Make both passes and put what comes of them into `outcome`."""
        model = Model(endpoint, self.model, self.functions, self.repairs)
        self._share_out(
            "decompose", partial(passes.decompose, model), outcome.questions, outcome.steps, outcome, report
        )
        if outcome.judge:
            judge = Model(endpoint, outcome.judge, self.functions, self.repairs)
            chosen = [question for question in outcome.questions if question.id in outcome.steps]

            def verify(question: SourceQuestion) -> Checked[Any]:
                return passes.verify(judge, question, outcome.steps[question.id].entries)

            self._share_out("verify", verify, chosen, outcome.verdicts, outcome, report)

    def _share_out(
        self,
        stage: str,
        work: Callable[[SourceQuestion], Checked[Any]],
        questions: Sequence[SourceQuestion],
        found: dict[str, Checked[Any]],
        outcome: Outcome,
        report: Report,
    ) -> None:
        """Put ``work(question)`` into `found` by the question's id; raise the first error that ends the run.

        Ctrl-C ends it without waiting: the threads of this pool are daemons, those of `concurrent.futures` would keep
        the process until the endpoint answers.
        """
        stopped = outcome.journal.stopped
        place = {question.id: i for i, question in enumerate(outcome.questions)}
        errors: list[BaseException] = []

        def one(question: SourceQuestion) -> None:
            try:
                if not stopped.is_set():
                    found[question.id] = work(question)
            except GivenUp as given_up:
                failure = {"id": question.id, "stage": stage, "kind": given_up.kind, "reason": str(given_up)}
                outcome.failures.append(failure)
            except Stopped:  # not what is to be told
                pass
            except BaseException as error:  # raised again by the caller's thread
                errors.append(error)
                stopped.set()

        report(stage, 0, len(questions))
        with ThreadPool(min(self.workers, len(questions)) or 1) as pool:
            try:
                for done, _ in enumerate(pool.imap_unordered(one, questions), start=1):
                    if not stopped.is_set():
                        report(stage, done, len(questions))
            except BaseException:
                stopped.set()
                raise
        if errors:
            raise errors[0]
        outcome.failures.sort(key=lambda failure: (failure["stage"], place[failure["id"]]))
