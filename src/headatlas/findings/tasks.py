"""What the model was asked and does: one row a task, and which functions are mapped."""

from dataclasses import dataclass
from typing import Any

import xarray as xr

from headatlas.atlas import absent_functions
from headatlas.findings.wording import names, percent
from headatlas.questions.functions import function_title, order_functions


@dataclass(frozen=True)
class AskedTask:
    """One task: its design, and how the model does on it. Shares are of items, chance is 0.5 for `accuracy`.

    `done` tasks of a function with too few of them are not `mapped`; others are, where that was asked for.
    """

    task: str
    function: str
    form: str
    kind: str
    lure: float
    items: int
    accuracy: float
    low: float
    high: float
    exact: float
    done: bool
    mapped: bool


def asked_tasks(atlas: xr.DataTree) -> tuple[AskedTask, ...]:
    """Return the tasks with designed foils, functions in the figure's order, the best done first."""
    if "asked_done" not in atlas:
        return ()
    columns = {
        "function": "asked_function", "form": "asked_form", "kind": "asked_kind", "lure": "asked_lure",
        "items": "asked_items", "accuracy": "asked_accuracy", "low": "asked_accuracy_low",
        "high": "asked_accuracy_high", "exact": "asked_exact", "done": "asked_done",
    }  # fmt: skip
    root = atlas.to_dataset(inherit=False)
    values = {name: root[column].values.tolist() for name, column in columns.items()}
    mapped = set(root["item_task"].values.tolist())
    rows = [
        AskedTask(str(task), **{name: value[at] for name, value in values.items()}, mapped=task in mapped)
        for at, task in enumerate(root["asked_task"].values)
    ]
    order = order_functions(row.function for row in rows)
    return tuple(sorted(rows, key=lambda row: (order.index(row.function), -row.accuracy, -row.exact, row.task)))


def tasks_text(rows: tuple[AskedTask, ...], atlas: xr.DataTree) -> str:
    """Return what the model does of what it was asked, in two or three sentences."""
    done: dict[str, list[bool]] = {}
    for row in rows:
        done.setdefault(row.function, []).append(row.done)
    told = ", ".join(f"{function_title(f)} {sum(own)} of {len(own)}" for f, own in done.items())
    text = (
        f"The model does {sum(row.done for row in rows)} of {len(rows)} tasks: it prefers the answer to a designed "
        f"foil more often than chance ({told}). "
    )
    kept = any(row.mapped and not row.done for row in rows)
    text += "The others are mapped as well, as was asked." if kept else "The others are shown here and mapped nowhere."
    if absent := absent_functions(atlas):
        text += (
            f" Not mapped, since the model does too few of their tasks: {names([function_title(f) for f in absent])}."
        )
    return text


def tasks_table(rows: tuple[AskedTask, ...]) -> tuple[list[str], list[list[Any]]]:
    """Return the head and the rows of a table."""
    head = ["Function", "Task", "Form", "Kind of answer", "Foil in the text", "Items", "Answer preferred", "Interval"]
    head += ["Greedy answer right", "Mapped"]
    cells = [
        [
            function_title(row.function), row.task, row.form or "-", row.kind or "-", percent(row.lure), str(row.items),
            percent(row.accuracy), f"{percent(row.low)} to {percent(row.high)}", percent(row.exact),
            "yes" if row.mapped else "**no**",
        ]
        for row in rows
    ]  # fmt: skip
    return head, cells
