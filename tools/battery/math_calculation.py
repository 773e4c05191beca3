"""Tasks that call for calculation."""

import re
from collections.abc import Iterator
from random import Random

from battery.task import Item, Task


def _sum(draw: Random) -> Iterator[Item]:
    while True:
        a, b = draw.randint(2, 49), draw.randint(2, 49)
        yield Item(f"{a} + {b} =", str(a + b), str(a + b + draw.choice((-2, -1, 1, 2))))


def _solve_sum(passage: str, text: str) -> str:
    return str(sum(map(int, re.findall(r"\d+", text))))


TASKS = (Task("sum_digits", "math_calculation", "completion", "number", _sum, _solve_sum),)
