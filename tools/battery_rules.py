"""What rules that do not understand a task would score on it: ``python tools/battery_rules.py [--task T ...]``.

A rule looks at where answer and foil stand in the item's text, or at how often each is the answer of other items, and
says which of the two it takes; where it can't tell them apart it counts half. A task that a rule does is no worse for
being done by it, but a map of it may be the map of the rule.
"""

import argparse
import importlib
import re
from collections import Counter

import numpy as np

from battery.task import Item, Task
from make_battery import FUNCTIONS, draw

NEGATIONS = r"\b(?:not|never|no|neither|nor)\s+(?:\w+\s+){0,2}?"


def places(text: str, word: str) -> list[int]:
    """Return where a word stands in a text."""
    return [m.start() for m in re.finditer(rf"\b{re.escape(word.casefold())}\b", text)]


def taken(item: Item, answers: Counter) -> dict[str, float]:
    """Return, for each rule, 1 where it takes the answer, 0 where it takes the foil, 0.5 where it can't tell.

    `answers` counts the answers of the other items.
    """
    text = f"{item.passage} {item.subquestion}".casefold()
    at = [places(text, word) for word in (item.answer, item.foil)]
    both = all(at)
    often = len(at[0]), len(at[1])
    denied = [bool(re.search(rf"{NEGATIONS}{re.escape(w.casefold())}\b", text)) for w in (item.answer, item.foil)]
    usual = [answers[word.casefold()] for word in (item.answer, item.foil)]
    return {
        "named first": _before(-at[0][0], -at[1][0]) if both else 0.5,
        "named last": _before(at[0][-1], at[1][-1]) if both else 0.5,
        "named more often": _before(*often),
        "named less often": _before(-often[0], -often[1]),
        "not after a negation": _before(not denied[0], not denied[1]),
        "the usual answer": _before(*usual),
    }


def _before(own: float, other: float) -> float:
    return 0.5 if own == other else float(own > other)


def scores(task: Task) -> dict[str, float]:
    """Return each rule's score on a task's items."""
    items = draw(task)
    answers = Counter(item.answer.casefold() for item in items)
    rows = [taken(item, answers - Counter([item.answer.casefold()])) for item in items]
    return {rule: float(np.mean([row[rule] for row in rows])) for rule in rows[0]}


def best(task: Task) -> tuple[str, float]:
    """Return the rule that does a task best, and its score."""
    found = scores(task)
    rule = max(found, key=found.__getitem__)
    return rule, found[rule]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", action="append")
    given = parser.parse_args()
    for function in FUNCTIONS:
        for task in importlib.import_module(f"battery.{function}").TASKS:
            if not given.task or task.name in given.task:
                found = scores(task)
                print(f"{function:24} {task.name:28}", "  ".join(f"{rule} {s:.2f}" for rule, s in found.items()))


if __name__ == "__main__":
    main()
