"""How long work takes, timed on a little of it before the rest is done."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

AGAIN = 5.0
"""Seconds: a call that took no longer is done a second time, and the shorter one counts: the first one of its shape
makes kernels, which most of the work finds made.
"""
PATIENCE = 15.0
"""Seconds after which what has been timed is enough."""
FEW = 3
"""How many of what is done together are timed, beside one alone, where all would take long."""


def seconds_of(call: Callable[[], Any], *, again: float = AGAIN) -> float:
    """Return how long a call takes, without what is made once (see `AGAIN`)."""
    first = _timed(call)
    return first if first > again else min(first, _timed(call))


def seconds_of_all(
    lots: Sequence[Sequence[Any]], do: Callable[[Sequence[Any]], Any], n: int, *, few: int = FEW
) -> float:
    """Return about how long `do` takes on all of `n` things, timed on some lots of them.

    A lot costs something once and something a thing: one thing of it is done, then `few`. The first lot is always
    timed, others as long as there is `PATIENCE`.
    """
    began, spent, things = time.monotonic(), 0.0, 0
    for lot in lots:
        part = lot[:few]
        some = seconds_of(partial(do, part))
        spent += some
        if len(part) < len(lot):
            each = max(0.0, some - seconds_of(partial(do, part[:1]))) / (len(part) - 1)
            spent += each * (len(lot) - len(part))
        things += len(lot)
        if time.monotonic() - began > PATIENCE:
            break
    return spent / things * n


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
