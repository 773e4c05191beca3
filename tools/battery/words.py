"""What the makers of several functions' tasks share: lists of names, and draws of two.

Each list is in an order and of a length that the seeded draws depend on: another entry gives another battery.
"""

from random import Random
from typing import TypeVar

T = TypeVar("T")


def words(text: str) -> list[str]:
    """Return the words of a text."""
    return text.split()


def two_of(draw: Random, pool: list[T]) -> tuple[T, T]:
    """Return two different entries in random order."""
    first, second = draw.sample(pool, 2)
    return first, second


def other(options: list[str], excluded: str) -> str:
    """Return the one of two options that is not excluded."""
    (left,) = set(options) - {excluded}
    return left


WOMEN = ("Anna", "Alice", "Dora", "Emma", "Helen", "Kate", "Lucy", "Mary", "Nina", "Rose", "Vera", "Sarah")
MEN = ("Ben", "Carl", "David", "Frank", "George", "Jack", "John", "Mark", "Oscar", "Paul", "Peter", "Tom")
NAMES = WOMEN + MEN
CITIES = (
    "Rome", "Paris", "London", "Berlin", "Madrid", "Tokyo", "Cairo", "Boston", "Chicago", "Delhi", "Moscow", "Athens",
    "Dublin", "Vienna", "Sydney", "Toronto", "Lima", "Oslo",
)  # fmt: skip

PEOPLE = words(
    "Anna Ben Carl Clara David Emma Eric Eva Frank Grace Henry Jack Jane Julia Kate Laura Leo Lucy Mark Mary Nick Nina "
    "Oscar Paul Peter Rosa Ruth Sam Sara Simon Tom"
)

CHOICE_NAMES = words(
    "Anna Ben Carl Emma Jack Lucy Mark Nora Paul Sara Tom Tina Adam Clara David Henry Julia Laura Leo Ruth Rose Sam "
    "Kate Peter"
)
CHOICE_CITIES = words(
    "Paris Rome London Berlin Madrid Tokyo Moscow Cairo Athens Vienna Boston Dublin Oslo Prague Chicago Sydney"
)
COLORS = words("red blue green yellow black white brown pink orange purple")
