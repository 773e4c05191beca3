"""From what a model says to checked entries: the JSON object in it, and what the model is told when there is none.

1. The object is looked for in the whole reply, without thoughts (``<think>…</think>``), fences and chat: of all JSON
   objects in it with a list "steps", the last one counts.
2. Its entries are read by a pydantic model, which also makes the JSON schema that the endpoint is given. What is wrong
   is told to the model, which is asked again, a bounded number of times; then it is given up as "unusable".

It does not know what the entries are, nor how an endpoint is reached.
"""

import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError, create_model

from headatlas.building.endpoint import Endpoint, Request
from headatlas.building.faults import GivenUp, one_line
from headatlas.errors import QuestionError
from headatlas.questions.functions import slug

T = TypeVar("T")
ECHO = 2000
"""Characters of a bad reply that the model is shown again."""


@dataclass(frozen=True)
class Checked(Generic[T]):
    """What a model says of each step, and the answers (rows of the journal) it took to get it, the good one last."""

    entries: tuple[T, ...]
    answers: tuple[sqlite3.Row, ...]


class _Entry(BaseModel):
    """One entry of a reply: numbers are taken as text, fields that were not asked for are left alone."""

    model_config = ConfigDict(
        coerce_numbers_to_str=True, str_strip_whitespace=True, json_schema_extra={"additionalProperties": False}
    )


def _visible(text: str) -> str:
    if not text:
        raise ValueError("blank")
    return text


Text = Annotated[str, AfterValidator(_visible)]
"""Checked beside the schema: not every server's strict mode takes a least length."""


def entry_of(functions: Iterable[str], **fields: Any) -> type[BaseModel]:
    """Return the model of an entry with these fields; "function" is one of `functions`, spaces and capitals aside."""
    names = tuple(functions)
    spelt = {slug(name): name for name in reversed(names) if slug(name)}
    label = Annotated[
        Literal[names],  # type: ignore[valid-type]
        BeforeValidator(lambda said: said if said in names else spelt.get(slug(str(said)), said)),
    ]
    typed: dict[str, Any] = {name: (label if name == "function" else kind, ...) for name, kind in fields.items()}
    return create_model("Entry", __base__=_Entry, **typed)


def schema_of(entry: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON schema of a reply, plain enough for every server's strict mode."""
    return {
        "title": title,
        "type": "object",
        "properties": {"steps": {"type": "array", "items": entry.model_json_schema()}},
        "required": ["steps"],
        "additionalProperties": False,
    }


def read_entries(rows: list[Any], entry: type[BaseModel]) -> list[Any]:
    """Return the entries of a reply; raise `QuestionError` with the first wrong one and what is wrong with it."""
    try:
        return TypeAdapter(list[entry]).validate_python(rows)  # type: ignore[valid-type]
    except ValidationError as error:
        raise QuestionError(_wrong(error.errors()[0], entry)) from None


def _wrong(error: Any, entry: type[BaseModel]) -> str:
    (at, *field), got = error["loc"], error["input"]
    where = f"Entry {at + 1} of steps"
    if not field:
        return f"{where} is no object with {', '.join(name for name in entry.model_fields if name != 'number')}."
    name = field[0]
    if error["type"] == "string_unicode":
        return f"Your reply, field 'steps.{at}.{name}': {error['msg']}."
    if error["type"] == "literal_error" and isinstance(got, str) and got.strip():
        known = ", ".join(get_args(entry.model_fields["function"].annotation))
        return f'{where}: unknown function "{one_line(got, 40)}". Use one of: {known}.'
    what = "missing" if error["type"] == "missing" else "blank" if isinstance(got, str) else type(got).__name__
    return f'{where}: "{name}" must be text, it is {what}.'


@dataclass(frozen=True)
class Model:
    """A model that is asked: where, by which name, which functions (id -> definition), corrected how often."""

    endpoint: Endpoint
    name: str
    functions: Mapping[str, str]
    repairs: int

    def ask(
        self, system: str, user: str, schema: dict[str, Any], check: Callable[[list[Any]], tuple[T, ...]], *, about: str
    ) -> Checked[T]:
        """Ask until the reply passes, at most `repairs` times again; then raise `GivenUp`, or what `Endpoint.ask` does.

        `check` turns the list in the reply into what is made of it, or raises `QuestionError` saying what is wrong.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        answers: list[sqlite3.Row] = []
        for _ in range(self.repairs + 1):
            answer = self.endpoint.ask(Request(self.name, messages, schema, about))
            answers.append(answer)
            try:
                return Checked(check(find_list(answer["content"])), tuple(answers))
            except QuestionError as error:
                reason = str(error)
            if answer["finish"] == "length":
                reason += f" The reply was cut off at {answer['allowance']} tokens: be shorter."
            advice = f"This can't be used. {reason}\nReply again with the whole corrected JSON object and nothing else."
            said = answer["content"][:ECHO] or "(nothing)"
            messages = [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": advice}]
        tries = f"{len(answers)} repl{'y' if len(answers) == 1 else 'ies'}"
        raise GivenUp("unusable", f"no usable reply in {tries}, the last: {one_line(reason)}")


def find_list(text: str) -> list[Any]:
    """Return the list in the last JSON object of `text` that has one; raise `QuestionError` where there is none."""
    text = re.sub(r"<think>.*?(</think>|$)", "", text, flags=re.DOTALL)
    objects: list[dict[str, Any]] = []
    at = text.find("{")
    while at >= 0:
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
            objects.append(value)
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    if not objects:
        raise QuestionError(f'The reply holds no whole JSON object ("{one_line(text, 60)}").')
    lists = [value["steps"] for value in objects if isinstance(value.get("steps"), list)]
    if not lists:
        raise QuestionError('The JSON object in the reply has no list "steps".')
    return lists[-1]
