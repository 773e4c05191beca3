"""What a task of the battery is.

1. A `Task` is one way to call for one function: its items differ in their facts only.
2. `make` draws items without end or until there are no more; `solve` works the answer out from an item's text alone
   (looked up, computed, deduced) and never sees the answer. Both must agree, for every item, or nothing is written.
3. The foil is of the answer's kind and wrong; wherever the task allows it stands in the item's text (a lure).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

FORMS = ("question", "completion", "passage")
"""A question; a text whose next word is the answer (it may be more than one sentence); a passage and a question."""
KINDS = ("name", "place", "number", "noun", "adjective", "inflected")
"""Of answers: a person's name, a place, a number, a noun, an adjective, an inflected word (verb form, plural, …)."""


@dataclass(frozen=True)
class Item:
    """One item: `subquestion` is what is asked, or the text to complete, without its answer."""

    subquestion: str
    answer: str
    foil: str
    passage: str = ""


@dataclass(frozen=True)
class Task:
    """See the module. `name` is unique in the battery, in snake_case."""

    name: str
    function: str
    form: str
    kind: str
    make: Callable[[Random], Iterator[Item]]
    solve: Callable[[str, str], str]
    """(passage, subquestion) -> answer."""
