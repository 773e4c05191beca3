"""Make the built-in battery of tasks: ``python tools/make_battery.py`` (``--check`` only compares).

Each task's items are drawn by a seed of its own; the first `DEMONSTRATIONS` are demonstrations, the rest items. Where
answer and foil both stand in the text, either comes first in half of each, if the task has both kinds. Every
answer is worked out by the task's own rule from the text (`Task.solve`). It stops at the first item that is wrong: two
answers that differ, a foil that is the answer, a text that comes twice, too many words.
"""

import argparse
import importlib
import re
import sys
import zlib
from pathlib import Path
from random import Random

from battery.shipped import SHIPPED
from battery.task import FORMS, KINDS, Item, Task
from headatlas.questions.schema import Question, QuestionSet, Step

OUTPUT = Path(__file__).parents[1] / "src" / "headatlas" / "questions" / "readers" / "battery.jsonl"
SEED = 20261125
DEMONSTRATIONS = 12
ITEMS = 64
LONGEST = 45
"""Words of an item at most: under 60 tokens."""
FUNCTIONS = (
    "knowledge_recall",
    "retrieval",
    "logical_reasoning",
    "decision_making",
    "semantic_understanding",
    "syntactic_understanding",
    "inference",
    "math_calculation",
)


def draw(task: Task) -> list[Item]:
    """Return a task's demonstrations and items; raise ValueError for what is wrong with one."""
    if task.form not in FORMS or task.kind not in KINDS or task.function not in FUNCTIONS:
        raise ValueError(f"{task.name}: form {task.form}, kind {task.kind} or function {task.function} is unknown")
    random = Random(SEED + zlib.crc32(task.name.encode()))
    needed = DEMONSTRATIONS + ITEMS
    found: dict[tuple[str, ...], Item] = {}
    passages: set[str] = set()
    for tries, item in enumerate(task.make(random)):
        check(task, item)
        if item.passage not in passages:
            found.setdefault(told_by(item), item)
            passages |= {item.passage} - {""}
        if len(found) == 4 * needed or tries > 20_000:
            break
    if len(found) < needed:
        raise ValueError(f"{task.name}: only {len(found)} different items, {needed} are needed")
    items = list(found.values())
    sides = [[item for item in items if answer_first(item) is side] for side in (True, False)]
    if min(map(len, sides)) < needed // 2:
        return items[:needed]
    return [
        item
        for start, stop in ((0, DEMONSTRATIONS // 2), (DEMONSTRATIONS // 2, needed // 2))
        for item in random.sample(sides[0][start:stop] + sides[1][start:stop], 2 * (stop - start))
    ]


def answer_first(item: Item) -> bool | None:
    """Return whether the answer stands in the text before the foil; None where not both stand in it."""
    text = f"{item.passage} {item.subquestion}".casefold()
    at = [re.search(rf"\b{re.escape(word.casefold())}\b", text) for word in (item.answer, item.foil)]
    return None if None in at else at[0].start() < at[1].start()


def told_by(item: Item) -> tuple[str, ...]:
    """Return what tells items apart: their words without their order, so that no item is another one turned round."""
    return item.answer, *sorted(re.findall(r"\w+", f"{item.passage} {item.subquestion}"))


def check(task: Task, item: Item) -> None:
    """Raise ValueError for what is wrong with an item."""
    text = f"{item.passage} {item.subquestion}"
    solved = task.solve(item.passage, item.subquestion)
    if solved != item.answer:
        raise ValueError(f"{task.name}: the rule says {solved!r}, the item {item.answer!r}: {text}")
    if item.foil.casefold() == item.answer.casefold():
        raise ValueError(f"{task.name}: foil and answer are {item.answer!r}: {text}")
    if len(text.split()) > LONGEST:
        raise ValueError(f"{task.name}: {len(text.split())} words, more than {LONGEST}: {text}")
    if (task.form == "passage") != bool(item.passage):
        raise ValueError(f"{task.name}: form {task.form}, but the passage is {item.passage!r}")


def questions_of(tasks: list[Task], *, items: int = ITEMS) -> QuestionSet:
    """Return the tasks as a question set, the first `items` of each."""
    shown, asked = [], []
    for task in tasks:
        for n, item in enumerate(draw(task)[: DEMONSTRATIONS + items]):
            step = Step(
                subquestion=item.subquestion, answer=item.answer, foil=item.foil, function=task.function,
                task=task.name, form=task.form, kind=task.kind,
            )  # fmt: skip
            shows = n < DEMONSTRATIONS
            question = Question.model_validate(
                {
                    "id": f"{task.name}-{'d' if shows else ''}{n + 1 if shows else n + 1 - DEMONSTRATIONS}",
                    "question": item.passage or None,
                    "steps": (step,),
                    "chain": False,
                    "demonstration": shows,
                }
            )
            (shown if shows else asked).append(question)
    return QuestionSet(tuple(asked), "battery", demonstrations=tuple(shown))


def rows(questions: QuestionSet) -> str:
    """Return the file: each task's demonstrations, then its items."""
    by_task: dict[str, list[Question]] = {}
    for question in (*questions.demonstrations, *questions.questions):
        by_task.setdefault(str(question.steps[0].task), []).append(question)
    lines = []
    for own in by_task.values():
        for question in own:
            row = question.model_copy(update={"question": question.passage or None})
            lines.append(row.model_dump_json(exclude_defaults=True, exclude_none=True))
    return "\n".join(lines) + "\n"


def all_tasks() -> list[Task]:
    """Return the tasks that are shipped, functions in the figure's order."""
    made = [task for function in FUNCTIONS for task in importlib.import_module(f"battery.{function}").TASKS]
    return [task for task in made if task.name in SHIPPED]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="Only compare with the shipped file.")
    text = rows(questions_of(all_tasks()))
    if parser.parse_args().check:
        same = OUTPUT.read_text(encoding="utf-8") == text
        print("the same" if same else f"{OUTPUT} differs: run python tools/make_battery.py")
        return 0 if same else 1
    OUTPUT.write_text(text, encoding="utf-8")
    print(f"{OUTPUT}: {text.count(chr(10))} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
