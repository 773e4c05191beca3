"""From what a model says to a checked value: the JSON object in it, and what the model is told when there is none.

1. The object is looked for in the whole reply, without thoughts (``<think>…</think>``), fences and chat: of all JSON
   objects in it with the wanted field, the last one counts.
2. It is checked against the schema. What is wrong is told to the model, which is asked again, a bounded number of
   times; then the reply is `Unusable`, with the last reason.

It does not know what the value is, nor how an endpoint is reached.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from headatlas.building.endpoint import Endpoint, Message
from headatlas.building.faults import one_line
from headatlas.building.journal import Answer
from headatlas.errors import QuestionError

T = TypeVar("T")
FIELD = "steps"
"""The field that every object asked for here has: a list of objects."""
ECHO = 2000
"""Characters of a bad reply that the model is shown again."""


class Unusable(Exception):
    """A model that never kept to the schema; the message is the last reason."""


@dataclass(frozen=True)
class Checked(Generic[T]):
    """A value, and the answers it took to get it, the good one last."""

    value: T
    answers: tuple[Answer, ...]


def converse(
    endpoint: Endpoint,
    messages: list[Message],
    *,
    model: str,
    schema: dict[str, Any],
    check: Callable[[list[Any]], T],
    repairs: int,
    about: str,
) -> Checked[T]:
    """Ask until the reply passes `check`, at most `repairs` times again.

    Parameters
    ----------
    endpoint, model
        Who is asked.
    messages
        What is asked.
    schema
        JSON schema of the reply, with a title.
    check
        Turns the list in the reply's "steps" into the value, or raises `QuestionError` saying what is wrong.
    repairs
        How often the model may try again.
    about
        For the journal.

    Raises
    ------
    Unusable
        No reply passed.
    """
    answers: list[Answer] = []
    reason = ""
    for _ in range(repairs + 1):
        answer = endpoint.ask(messages, model=model, schema=schema, about=about)
        answers.append(answer)
        try:
            return Checked(check(find_list(answer.content)), tuple(answers))
        except QuestionError as error:
            reason = str(error)
        if answer.finish == "length":
            reason += f" The reply was cut off at {answer.allowance} tokens: be shorter."
        messages = [
            *messages,
            {"role": "assistant", "content": answer.content[:ECHO] or "(nothing)"},
            {
                "role": "user",
                "content": f"This can't be used. {reason}\nReply again with the whole corrected JSON object and "
                "nothing else.",
            },
        ]
    tries = f"{len(answers)} repl{'y' if len(answers) == 1 else 'ies'}"
    raise Unusable(f"no usable reply in {tries}, the last: {one_line(reason)}")


def find_list(text: str) -> list[Any]:
    """Return the list in the last JSON object of `text` that has one; raise `QuestionError` where there is none."""
    text = re.sub(r"<think>.*?(</think>|$)", "", text, flags=re.DOTALL)
    decoder = json.JSONDecoder()
    found: list[Any] | None = None
    some = False
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            some = True
            if isinstance(value.get(FIELD), list):
                found = value[FIELD]
        at = text.find("{", end)
    if found is not None:
        return found
    if not some:
        raise QuestionError(f'The reply holds no whole JSON object ("{one_line(text, 60)}").')
    raise QuestionError(f'The JSON object in the reply has no list "{FIELD}".')


def read_fields(row: Any, number: int, names: tuple[str, ...]) -> dict[str, str]:
    """Return the fields `names` of one entry as text; numbers are written out, fields beside them left alone.

    Raises
    ------
    QuestionError
        Not an object, or a field that is missing, no text or blank.
    """
    where = f"Entry {number} of {FIELD}"
    if not isinstance(row, dict):
        raise QuestionError(f"{where} is no object with {', '.join(names)}.")
    read = {}
    for name in names:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            got = "missing" if name not in row else "blank" if isinstance(value, str) else type(value).__name__
            raise QuestionError(f'{where}: "{name}" must be text, it is {got}.')
        read[name] = value.strip()
    return read


def read_function(label: str, number: int, functions: tuple[str, ...]) -> str:
    """Return the id in `functions` that `label` is, spelling of spaces and capitals aside."""
    from headatlas.questions import slug

    for function in functions:
        if label == function or slug(label) == slug(function):
            return function
    known = ", ".join(functions)
    raise QuestionError(f'Entry {number} of {FIELD}: unknown function "{one_line(label, 40)}". Use one of: {known}.')
