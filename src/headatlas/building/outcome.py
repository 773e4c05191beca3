"""What both passes made of the questions, as the records and the report that are written.

1. A record is a question in this project's schema (`questions.Question`) with ``provenance``: model, endpoint, time,
   prompt, requests, tokens, the digest under which the journal has the raw answer, and the second judgement of every
   step.
2. The report counts what was asked, built, dropped and failed, and how far the two judgements agree. Agreement is over
   all steps built, also where only the confirmed ones are kept.

It does not know how answers are come by.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from headatlas.building import decompose, verify
from headatlas.building.agreement import agreement
from headatlas.building.faults import GivenUp
from headatlas.building.journal import Caps, Journal, Tokens
from headatlas.building.replies import Checked
from headatlas.building.source import SourceQuestion
from headatlas.building.verify import Judgement
from headatlas.questions.functions import order_functions
from headatlas.questions.schema import Step

Steps = Checked[tuple[Step, ...]]
Verdict = Checked[tuple[Judgement, ...]]


@dataclass(frozen=True)
class Outcome:
    """Both passes over all questions.

    Attributes
    ----------
    questions
        All that are asked, in the source's order.
    model, judge, functions, keep
        As in `build.Builder`; `judge` is None without a second judgement.
    journal
        For what it took.
    decomposed, verified
        Question id -> its steps and the second judgement of them, or why there is none; filled as the build goes on.
    """

    questions: tuple[SourceQuestion, ...]
    model: str
    judge: str | None
    functions: dict[str, str]
    keep: str
    journal: Journal
    decomposed: dict[str, Steps | GivenUp] = field(default_factory=dict)
    verified: dict[str, Verdict | GivenUp] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Steps]:
        """The decompositions that there are."""
        return {id_: found for id_, found in self.decomposed.items() if isinstance(found, Checked)}

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The second judgements that there are."""
        return {id_: found for id_, found in self.verified.items() if isinstance(found, Checked)}

    @property
    def failures(self) -> list[dict[str, str]]:
        """The questions that a pass came to nothing for, and why."""
        return [
            {"id": q.id, "stage": stage, "kind": found.kind, "reason": str(found)}
            for stage, all_found in (("decompose", self.decomposed), ("verify", self.verified))
            for q in self.questions
            if isinstance(found := all_found.get(q.id), GivenUp)
        ]

    def so_far(self) -> str:
        """Say how far it came."""
        total = len(self.questions)
        return f"So far {len(self.parts)} of {total} questions are decomposed and {len(self.verdicts)} verified."

    def records(self) -> list[dict[str, Any]]:
        """Return the questions that have a step to keep, as they are written."""
        parts, verdicts = self.parts, self.verdicts
        made = [self._record(q, parts[q.id], verdicts.get(q.id)) for q in self.questions if q.id in parts]
        return [record for record in made if record["steps"]]

    def emptiness(self) -> str:
        """Say why there is no record at all."""
        if self.parts:
            return "--keep agreed leaves no step: the second judgement confirms no label."
        first = self.failures[0]
        return f"None of the {len(self.questions)} questions could be built; '{first['id']}': {first['reason']}."

    def _kept(self, part: Steps, verdict: Verdict | None) -> list[tuple[Step, Judgement | None]]:
        """Return the steps to keep, each with what the judge says."""
        said: tuple[Judgement | None, ...] = verdict.value if verdict else (None,) * len(part.value)
        pairs = zip(part.value, said, strict=True)
        return [(step, said) for step, said in pairs if self.keep == "all" or (said and said.confirms_function(step))]

    def _record(self, question: SourceQuestion, part: Steps, verdict: Verdict | None) -> dict[str, Any]:
        pairs = self._kept(part, verdict)
        verification = None
        if verdict:
            judged = [said.report(step) for step, said in pairs if said]
            verification = {**self._origin(verdict, self.judge, verify.VERSION), "steps": judged}
        provenance = self._origin(part, self.model, decompose.VERSION)
        return {
            **question.model_dump(),
            "chain": True,
            "steps": [step.model_dump() for step, _ in pairs],
            "provenance": {**provenance, "verification": verification},
        }

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
        parts, verdicts, failures = self.parts, self.verdicts, self.failures
        n_built = sum(len(part.value) for part in parts.values())
        kept = [self._kept(part, verdicts.get(question_id)) for question_id, part in parts.items()]
        written = Counter(step.function for pairs in kept for step, _ in pairs)
        spent = self.journal.spent()
        cost = caps.cost(spent)
        return {
            "status": "incomplete" if any(f["kind"] == "unanswered" for f in failures) else "complete",
            "model": self.model,
            "judge": self.judge,
            "prompts": {"decompose": decompose.VERSION, "verify": verify.VERSION},
            "functions": self.functions,
            "keep": self.keep,
            "questions": {"asked": len(self.questions), "built": len(parts), "written": sum(map(bool, kept))},
            "steps": {
                "built": n_built,
                "written": written.total(),
                "dropped": n_built - written.total(),
                "by_function": {function: written[function] for function in order_functions(written)},
            },
            "agreement": self._agreement() if self.judge else None,
            "failures": failures,
            "requests": self.journal.counts(),
            "tokens": vars(spent),
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
