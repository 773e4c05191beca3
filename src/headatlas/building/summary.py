"""A build's report as lines for a person: every number in them is in the report.

It does not know how the report is made.
"""

from typing import Any

from headatlas.questions.functions import function_title

MOST_LISTED = 20
"""Failures that are listed one by one; the report has them all."""


def summarize(report: dict[str, Any]) -> list[str]:
    """Return what a build made, how far the two judgements agree, what failed and what it took."""
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
    lines = [
        f"second judgement ({report['judge']}{itself}) of {found['steps']} steps:",
        f"  same function {found['functions']:.0%} ({kappa}), same answer {found['answers']:.0%}",
    ]
    for first, second, count in found["confusions"][:3]:
        lines.append(f"  {function_title(first)} judged {function_title(second)}: {count}")
    return lines


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
