"""Name -> thing, with one explicit registration each; an unknown name gets a suggestion."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Generic, TypeVar

from headatlas.errors import InputError

T = TypeVar("T")


def suggest(name: str, known: list[str]) -> str:
    """Return ``; did you mean 'x'? Known: …`` for an unknown `name`, to end an error message with."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} Known: {', '.join(known)}."


class Registry(Generic[T]):
    """An ordered table of named things of one `kind` ("method", "template", …)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._table: dict[str, T] = {}

    def register(self, name: str, thing: T) -> T:
        """Add `thing`; a name can be taken once."""
        if name in self._table:
            raise ValueError(f"{self.kind} '{name}' is registered twice")
        self._table[name] = thing
        return thing

    def get(self, name: str) -> T:
        """Return the thing called `name`; raise `InputError` with a suggestion if there is none."""
        if name not in self._table:
            raise InputError(f"Unknown {self.kind} '{name}'.{suggest(name, list(self._table))}")
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __contains__(self, name: object) -> bool:
        return name in self._table
