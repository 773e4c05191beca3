"""Answers judged by a language model at a chat endpoint, one at a time; what it said is kept in a journal.

The judge sees question, reference answer and answer, and says whether it is right; it does not see what was done to the
model. It does not know heads.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from headatlas.building.endpoint import Endpoint, Patience, Request, check_url
from headatlas.building.faults import GivenUp
from headatlas.building.journal import Caps, Journal
from headatlas.errors import InputError

_SYSTEM = (
    "You judge whether an answer to a question is right, given a reference answer. Wording, case and length do not "
    'matter; meaning does. Reply with one JSON object and nothing else: {"right": true} or {"right": false}.'
)
_SCHEMA = {
    "title": "verdict",
    "type": "object",
    "properties": {"right": {"type": "boolean"}},
    "required": ["right"],
    "additionalProperties": False,
}


class Judge:
    """A model that says whether answers are right; to be closed, or used in a ``with``.

    Parameters
    ----------
    url
        OpenAI-compatible address.
    model
        Its name there.
    journal
        File of requests and replies: what was judged is not asked again.
    key_env
        Environment variable with the key; default OPENAI_API_KEY, if it is set.
    max_requests
        Cap on requests of all runs; None for none.
    say
        Told of pauses that a person would wonder about.

    Raises
    ------
    InputError
        The address or key can't be used, or the journal is another's.
    """

    def __init__(
        self,
        url: str,
        model: str,
        journal: Path,
        *,
        key_env: str | None = None,
        max_requests: int | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.model = model
        self._journal = Journal(journal, {"judge": model}, Caps(max_requests))
        try:
            self._endpoint = Endpoint(
                url=check_url(url),
                key_env=key_env,
                journal=self._journal,
                allowance=200,
                patience=Patience(),
                sleep=None,
                say=say or (lambda _: None),
            )
        except BaseException:
            self._journal.close()
            raise

    def __call__(self, question: str, reference: str, answer: str) -> float:
        """Return 1 for a right answer, 0 for a wrong one, NaN where the judge gave no verdict.

        Raises
        ------
        RunError
            The endpoint answers nothing, or the cap is reached.
        """
        user = f"Question:\n{question}\n\nReference answer: {reference}\n\nAnswer: {answer or '(nothing)'}"
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": user}]
        try:
            row = self._endpoint.ask(Request(self.model, messages, _SCHEMA, f"judge: {question[:40]}"))
        except GivenUp:
            return float("nan")
        return verdict(str(row["content"]))

    def close(self) -> None:
        """Free the journal."""
        self._endpoint.close()
        self._journal.close()

    def __enter__(self) -> "Judge":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def judge_at(text: str) -> tuple[str, str]:
    """Return address and model of "MODEL@URL"; raise `InputError` for anything else."""
    model, at, url = text.partition("@")
    if not model or not at:
        raise InputError(f"--judge '{text}' names no model and address. Write MODEL@http://localhost:8000/v1.")
    return check_url(url), model


def verdict(reply: str) -> float:
    """Return the last verdict in a reply; NaN without one."""
    for text in reversed(re.findall(r"\{[^{}]*\}", reply)):
        try:
            right = json.loads(text).get("right")
        except ValueError:
            continue
        if isinstance(right, bool):
            return float(right)
    return float("nan")
