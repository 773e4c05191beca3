"""Which tasks of the battery a model does: answer preferred to the foil, greedy answer right.

``python tools/battery_capability.py [--function F] [--task T ...] [--model M] [--items 64] [--shots 3]``

Nothing else is looked at when tasks are chosen.
"""

import argparse
import importlib
import json
from pathlib import Path

import numpy as np

import headatlas as ha
from battery.task import Task
from headatlas.prompts import build_prompts
from headatlas.run.jobs import capture
from headatlas.work.job import Run
from make_battery import FUNCTIONS, questions_of

PREFERRED, GREEDY = 0.75, 0.40


def capability(model, tasks: list[Task], *, items: int, shots: int) -> list[dict]:
    """Return one row a task."""
    questions = questions_of(tasks, items=items)
    prompts = build_prompts(questions, model.tokenizer, shots=shots)
    found = capture(model, prompts, Run({"answers": "reference", "template": "examples"}))
    name = np.array([p.task for p in prompts])
    rows = []
    for task in tasks:
        own = name == task.name
        length = np.mean([len(p.tokens) for p in prompts if p.task == task.name])
        preferred = float((found.logprob[own] > found.foil_logprob[own]).mean())
        right = float(found.right[own].mean())
        done = preferred >= PREFERRED and right >= GREEDY
        rows.append(
            {"task": task.name, "function": task.function, "form": task.form, "kind": task.kind,
             "items": int(own.sum()), "preferred": preferred, "greedy": right, "tokens": float(length), "done": done}
        )  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--function", action="append")
    parser.add_argument("--task", action="append")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--shots", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    modules = [importlib.import_module(f"battery.{f}") for f in given.function or FUNCTIONS]
    tasks = [t for m in modules for t in m.TASKS if not given.task or t.name in given.task]
    model = ha.load_model(given.model, dtype="float32")
    rows = capability(model, tasks, items=given.items, shots=given.shots)
    for row in rows:
        print(
            f"{row['function']:24} {row['task']:34} {row['form']:10} {row['kind']:10} preferred {row['preferred']:.2f}"
            f"  greedy {row['greedy']:.2f}  tokens {row['tokens']:.0f}  {'does it' if row['done'] else '-'}"
        )
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
