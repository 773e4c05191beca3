"""What both passes made of the questions, as the records and the report that are written.

1. A record is a question in this project's schema (`questions.Question`) with ``provenance``: model, endpoint, time,
   prompt, requests, tokens, the digest under which the journal has the raw answer, and the second judgement of every
   step.
2. The report counts what was asked, built, dropped and failed, and how far the two judgements agree. Agreement is over
   all steps built, also where only the confirmed ones are kept.

It does not know how answers are come by.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from headatlas.building import decompose, verify
from headatlas.building.agreement import agreement
from headatlas.building.budget import Caps
from headatlas.building.journal import Journal, Tokens
from headatlas.building.replies import Checked
from headatlas.building.source import SourceQuestion
from headatlas.building.verify import Judgement
from headatlas.questions import Step, order_functions, parse_question

Kind = Literal["unusable", "refused", "unanswered"]


@dataclass(frozen=True)
class Failure:
    """A question that a pass could not be made for, and why."""

    id: str
    stage: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Outcome:
    """Both passes over all questions.

    Attributes
    ----------
    questions
        All that were asked, in the source's order.
    parts, verdicts
        Question id -> its steps, and the second judgement of them; a question that a pass failed for is not in it.
    failures
        Those, with the reason.
    model, judge, functions, keep
        As in `build.Builder`; `judge` is None without a second judgement.
    journal
        For what it took.
    """

    questions: tuple[SourceQuestion, ...]
    parts: dict[str, Checked[tuple[Step, ...]]]
    verdicts: dict[str, Checked[tuple[Judgement, ...]]]
    failures: tuple[Failure, ...]
    model: str
    judge: str | None
    functions: dict[str, str]
    keep: str
    journal: Journal

    def records(self) -> list[dict[str, Any]]:
        """Return the questions that have a step to keep, as they are written."""
        return [self._record(q) for q in self.questions if q.id in self.parts and self._kept(q.id)]

    def emptiness(self) -> str:
        """Say why there is no record at all."""
        if self.parts:
            return "--keep agreed leaves no step: the second judgement confirms no label."
        first = self.failures[0]
        return f"None of the {len(self.questions)} questions could be built; '{first.id}': {first.reason}."

    def _kept(self, question_id: str) -> list[tuple[Step, Judgement | None]]:
        """Return the steps to keep of a question that has some, each with what the judge says."""
        steps = self.parts[question_id].value
        verdict = self.verdicts.get(question_id)
        said: tuple[Judgement | None, ...] = verdict.value if verdict else (None,) * len(steps)
        pairs = list(zip(steps, said, strict=True))
        if self.keep == "all":
            return pairs
        return [(step, said) for step, said in pairs if said and said.confirms_function(step)]

    def _record(self, question: SourceQuestion) -> dict[str, Any]:
        pairs = self._kept(question.id)
        verification = None
        if verdict := self.verdicts.get(question.id):
            judged = [_judged(step, said) for step, said in pairs if said]
            verification = {**self._origin(verdict, self.judge, verify.VERSION), "steps": judged}
        provenance = self._origin(self.parts[question.id], self.model, decompose.VERSION)
        record = {
            "id": question.id,
            "question": question.question,
            "answer": question.answer,
            "chain": True,
            "steps": [step.model_dump() for step, _ in pairs],
            "provenance": {**provenance, "verification": verification},
        }
        parse_question(record, f"question '{question.id}'")
        return record

    def _origin(self, checked: Checked[Any], model: str | None, prompt: str) -> dict[str, Any]:
        """Return where a checked value comes from."""
        last = checked.answers[-1]
        return {
            "model": model,
            "served_by": last.served_by,
            "endpoint": last.endpoint,
            "when": last.when,
            "prompt": prompt,
            "shape": last.shape,
            "request": last.request,
            "requests_sent": sum(self.journal.times(answer.request) for answer in checked.answers),
            "repairs": len(checked.answers) - 1,
            "tokens": vars(sum((answer.tokens for answer in checked.answers), Tokens())),
        }

    def report(self, caps: Caps) -> dict[str, Any]:
        """Return the counts, the agreement, the failures, and what it took (in US dollars where `caps` has prices)."""
        n_built = sum(len(part.value) for part in self.parts.values())
        kept = [self._kept(question_id) for question_id in self.parts]
        written = Counter(step.function for pairs in kept for step, _ in pairs)
        journal = self.journal
        cost = caps.cost(journal.spent)
        return {
            "status": "incomplete" if any(f.kind == "unanswered" for f in self.failures) else "complete",
            "model": self.model,
            "judge": self.judge,
            "prompts": {"decompose": decompose.VERSION, "verify": verify.VERSION},
            "functions": self.functions,
            "keep": self.keep,
            "questions": {
                "asked": len(self.questions),
                "built": len(self.parts),
                "written": sum(bool(pairs) for pairs in kept),
            },
            "steps": {
                "built": n_built,
                "written": written.total(),
                "dropped": n_built - written.total(),
                "by_function": {function: written[function] for function in order_functions(written)},
            },
            "agreement": self._agreement() if self.judge else None,
            "failures": [vars(failure) for failure in self.failures],
            "requests": {
                "sent": journal.requests,
                "answered": len(journal.answers),
                "faults": dict(sorted(journal.faults.items())),
            },
            "tokens": vars(journal.spent),
            "spend_usd": None if cost is None else round(cost, 6),
        }

    def _agreement(self) -> dict[str, Any]:
        judged = [
            (step, said)
            for question_id, verdict in self.verdicts.items()
            for step, said in zip(self.parts[question_id].value, verdict.value, strict=True)
        ]
        labels = [(step.function, said.function) for step, said in judged]
        return agreement(labels, [said.confirms_answer(step) for step, said in judged])


def _judged(step: Step, said: Judgement) -> dict[str, Any]:
    return {
        "function": said.function,
        "answer": said.answer,
        "function_agrees": said.confirms_function(step),
        "answer_agrees": said.confirms_answer(step),
    }
