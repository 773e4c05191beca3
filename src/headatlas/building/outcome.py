"""What both passes made of the questions: the records, the report and the lines for a person that are made of them.

1. A record is a question in this project's schema (`questions.Question`) with ``provenance``: model, endpoint, time,
   prompt, requests, tokens, the digest under which the journal has the raw answer, and the second judgement of every
   step.
2. The report counts what was asked, built, dropped and failed, and how far the two judgements agree. Agreement is over
   all steps built, also where only the confirmed ones are kept. Every number that a person is told is in it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from headatlas.building.agreement import agreement
from headatlas.building.journal import COST, Journal
from headatlas.building.passes import VERSIONS
from headatlas.building.replies import Checked
from headatlas.building.source import SourceQuestion
from headatlas.questions.functions import function_title, order_functions
from headatlas.questions.schema import Step

MOST_LISTED = 20
"""Failures that are listed one by one; the report has them all."""


@dataclass(frozen=True)
class Outcome:
    """Both passes over all `questions`, in the source's order, by the options of `build.Builder`.

    `judge` is None without a second judgement. `steps` and `verdicts` (question id -> its steps, and what the judge
    says of each) and `failures` (the questions that a pass came to nothing for, and why) are filled as it goes on.
    """

    questions: tuple[SourceQuestion, ...]
    model: str
    judge: str | None
    functions: dict[str, str]
    keep: str
    journal: Journal
    steps: dict[str, Checked[Step]] = field(default_factory=dict)
    verdicts: dict[str, Checked[dict[str, Any]]] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)

    def so_far(self) -> str:
        """Say how far it came."""
        total = len(self.questions)
        return f"So far {len(self.steps)} of {total} questions are decomposed and {len(self.verdicts)} verified."

    def records(self) -> list[dict[str, Any]]:
        """Return the questions that have a step to keep, as they are written."""
        return [self._record(question, kept) for question in self.questions if (kept := self._kept(question))]

    def emptiness(self) -> str:
        """Say why there is no record at all."""
        if self.steps:
            return "--keep agreed leaves no step: the second judgement confirms no label."
        first = self.failures[0]
        return f"None of the {len(self.questions)} questions could be built; '{first['id']}': {first['reason']}."

    def _judged(self, question: SourceQuestion) -> list[tuple[Step, dict[str, Any] | None]]:
        """Return the steps of a question, each with what the judge says of it."""
        if question.id not in self.steps:
            return []
        steps, verdict = self.steps[question.id].entries, self.verdicts.get(question.id)
        return list(zip(steps, verdict.entries if verdict else [None] * len(steps), strict=True))

    def _kept(self, question: SourceQuestion) -> list[tuple[Step, dict[str, Any] | None]]:
        pairs = self._judged(question)
        return [(step, said) for step, said in pairs if self.keep == "all" or (said and said["function_agrees"])]

    def _record(self, question: SourceQuestion, kept: list[tuple[Step, dict[str, Any] | None]]) -> dict[str, Any]:
        verification = None
        if verdict := self.verdicts.get(question.id):
            verification = {**self._origin(verdict, self.judge, "verify"), "steps": [said for _, said in kept]}
        provenance = self._origin(self.steps[question.id], self.model, "decompose")
        return {
            **question.model_dump(),
            "chain": True,
            "steps": [step.model_dump() for step, _ in kept],
            "provenance": {**provenance, "verification": verification},
        }

    def _origin(self, checked: Checked[Any], model: str | None, stage: str) -> dict[str, Any]:
        """Return where what was checked comes from."""
        last = checked.answers[-1]
        return {
            "model": model,
            "served_by": last["served_by"],
            "endpoint": last["endpoint"],
            "when": last["when"],
            "prompt": VERSIONS[stage],
            "shape": last["shape"],
            "request": last["request"],
            "requests_sent": sum(self.journal.times(answer["request"]) for answer in checked.answers),
            "repairs": len(checked.answers) - 1,
            "tokens": {name: sum(answer[name] for answer in checked.answers) for name in COST},
        }

    def report(self) -> dict[str, Any]:
        """Return the counts, the agreement, the failures, and what it took."""
        n_built = sum(len(checked.entries) for checked in self.steps.values())
        kept = [self._kept(question) for question in self.questions]
        written = Counter(step.function for pairs in kept for step, _ in pairs)
        judged = [(step, said) for question in self.questions for step, said in self._judged(question) if said]
        labels = [(step.function, said["function"]) for step, said in judged]
        spent, caps = self.journal.spent(), self.journal.caps
        return {
            "status": "incomplete" if any(f["kind"] == "unanswered" for f in self.failures) else "complete",
            "model": self.model,
            "judge": self.judge,
            "prompts": VERSIONS,
            "functions": self.functions,
            "keep": self.keep,
            "questions": {"asked": len(self.questions), "built": len(self.steps), "written": sum(map(bool, kept))},
            "steps": {
                "built": n_built,
                "written": written.total(),
                "dropped": n_built - written.total(),
                "by_function": {function: written[function] for function in order_functions(written)},
            },
            "agreement": agreement(labels, [said["answer_agrees"] for _, said in judged]) if self.judge else None,
            "failures": self.failures,
            "requests": self.journal.counts(),
            "tokens": spent,
            "spend_usd": None if caps.price_in is None else round(caps.cost(spent), 6),
        }


def summarize(report: dict[str, Any]) -> list[str]:
    """Return a report as lines: what a build made, how far the judgements agree, what failed and what it took."""
    questions, steps = report["questions"], report["steps"]
    lines = [f"{questions['written']} of {questions['asked']} questions, {steps['written']} steps"]
    lines += [f"  {function_title(function)}: {count}" for function, count in steps["by_function"].items()]
    if steps["dropped"]:
        lines.append(f"  dropped: {steps['dropped']} steps whose function the second judgement does not confirm")
    lines += _agreement(report)
    failures = report["failures"]
    for failure in failures[:MOST_LISTED]:
        lines.append(f"failed: {failure['id']} ({failure['stage']}, {failure['kind']}): {failure['reason']}")
    if len(failures) > MOST_LISTED:
        lines.append(f"failed: {len(failures) - MOST_LISTED} more, listed in the report")
    return [*lines, _took(report)]


def _agreement(report: dict[str, Any]) -> list[str]:
    found = report["agreement"]
    if found is None:
        return ["not verified: no second judgement was asked for"]
    if not found["steps"]:
        return ["not verified: the second judgement came to nothing"]
    kappa = "kappa undefined: one function only" if found["kappa"] is None else f"kappa {found['kappa']:.2f}"
    itself = ", the same model: an upper bound" if report["judge"] == report["model"] else ""
    return [
        f"second judgement ({report['judge']}{itself}) of {found['steps']} steps:",
        f"  same function {found['functions']:.0%} ({kappa}), same answer {found['answers']:.0%}",
        *(f"  {function_title(one)} judged {function_title(two)}: {n}" for one, two, n in found["confusions"][:3]),
    ]


def _took(report: dict[str, Any]) -> str:
    requests, tokens = report["requests"], report["tokens"]
    faults = ", ".join(f"{count} x {fault}" for fault, count in requests["faults"].items())
    parts = [
        f"requests: {requests['sent']} sent, {requests['answered']} answered{f' (faults: {faults})' if faults else ''}",
        f"tokens: {tokens['prompt']} in, {tokens['completion']} out",
    ]
    if report["spend_usd"] is not None:
        parts.append(f"spend: {report['spend_usd']:.4f} USD")
    if tokens["estimated"]:
        parts.append(f"usage not reported for {tokens['estimated']} of the requests: counted at its upper bound")
    return "; ".join(parts)
