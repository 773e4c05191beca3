"""Benchmarks by lm-evaluation-harness (an extra, known to this file alone), on a model as it is and edited.

1. The harness gets the Hugging Face model that is in memory, and runs it twice: as it is, and inside ``model.edit``.
2. Both runs answer the same documents, so the difference is taken document by document, and its standard error is that
   of the mean of these differences: smaller than what two separate standard errors say.
3. Edits hold at all positions. "answer" would be the last token of each request, which is not where a benchmark's
   answers are predicted, and is refused.

Tasks are the harness's own (which fetches their data), or those of a folder of YAML files, whose ``!function`` lines
are code that then runs. It does not know how heads were chosen.
"""

import math
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from headatlas.errors import InputError, RunError
from headatlas.interventions.edits import Head, Intervention, Mask
from headatlas.validation.choosing import matched

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

BATCH = 8


def evaluate(
    model: "HeadModel",
    edits: "dict[str, Intervention]",
    tasks: Sequence[str],
    *,
    folder: str | Path | None = None,
    limit: int | None = None,
    shots: int | None = None,
    batch: int = BATCH,
    seed: int = 0,
) -> pd.DataFrame:
    """Run benchmark tasks on a model as it is and under each edit.

    Parameters
    ----------
    model
        The model.
    edits
        Name -> intervention.
    tasks
        Names of the harness's tasks, or of those in `folder`.
    folder
        Of task files (YAML) beside the harness's own.
    limit
        Documents a task at most.
    shots
        Examples before each document; None: as the task says.
    batch
        Requests at a time.
    seed
        Of the harness.

    Returns
    -------
    pandas.DataFrame
        A row a task, metric and edit: n, as_is, edited, difference (edited minus as_is) and its standard error.

    Raises
    ------
    InputError
        lm-evaluation-harness is not installed; an unknown task; an edit that is not of all positions.
    RunError
        The harness failed: data that can't be reached, say.
    """
    for name, edit in edits.items():
        if any(not (isinstance(part.positions, str) and part.positions == "all") for part, _ in edit.parts()):
            raise InputError(
                f"The edit '{name}' is not of all positions, and a benchmark runs whole texts. Leave them."
            )
    run = _harness(model, tasks, folder=folder, limit=limit, shots=shots, batch=batch, seed=seed)
    plain = run()
    rows = []
    for name, edit in edits.items():
        with model.edit(edit):
            rows += _rows(name, plain, run())
    return pd.DataFrame(rows, columns=["task", "metric", "edit", "n", "as_is", "edited", "difference", "stderr"])


def _harness(
    model: "HeadModel",
    tasks: Sequence[str],
    *,
    folder: str | Path | None,
    limit: int | None,
    shots: int | None,
    batch: int,
    seed: int,
) -> Any:
    """Return what runs the tasks on the model and gives its samples, task by task."""
    try:
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise InputError(f'Benchmarks need the package {error.name}. Type: pip install "headatlas[evaluate]"') from None
    if folder is not None and not Path(folder).is_dir():
        raise InputError(f"{folder} is no folder of task files. Give --include with one, or leave it out.")
    manager = TaskManager(include_path=None if folder is None else str(folder), include_defaults=True)
    known = manager.all_tasks
    for task in tasks:
        if task not in known:
            near = "".join(f" Did you mean '{name}'?" for name in get_close_matches(task, known, 1))
            raise InputError(
                f"lm-evaluation-harness has no task '{task}'.{near} Give --include with the folder of "
                "its YAML file if it is your own."
            )
    harness = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=batch)

    def run() -> dict[str, list[dict[str, Any]]]:
        try:
            found = lm_eval.simple_evaluate(
                model=harness, tasks=list(tasks), task_manager=manager, limit=limit, num_fewshot=shots,
                log_samples=True, bootstrap_iters=0, random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed,
                fewshot_random_seed=seed, verbosity="ERROR",
            )  # fmt: skip
        except Exception as error:  # data that can't be reached, a task file that is wrong: many kinds
            why = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(f"lm-evaluation-harness failed: {why} Check the task, its data and the network.") from error
        return dict(found["samples"])

    return run


def _rows(
    name: str, plain: dict[str, list[dict[str, Any]]], edited: dict[str, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return a row a task and metric."""
    rows: list[dict[str, Any]] = []
    for task, samples in plain.items():
        other = {(s["doc_id"], s.get("filter")): s for s in edited[task]}
        pairs = [(s, other[s["doc_id"], s.get("filter")]) for s in samples]
        filters = list(dict.fromkeys(s.get("filter") for s, _ in pairs))
        for metric in sorted({m for s, _ in pairs for m in s.get("metrics", [])}):
            for one in filters:
                both = [(s.get(metric), o.get(metric)) for s, o in pairs if s.get("filter") == one]
                numbers = [pair for pair in both if all(isinstance(value, int | float) for value in pair)]
                values = np.array(numbers, dtype=np.float64).reshape(-1, 2)
                if not len(values):
                    continue
                n, change = len(values), values[:, 1] - values[:, 0]
                rows.append(
                    {
                        "task": task,
                        "metric": metric if len(filters) == 1 else f"{metric}, {one}",
                        "edit": name,
                        "n": n,
                        "as_is": values[:, 0].mean(),
                        "edited": values[:, 1].mean(),
                        "difference": change.mean(),
                        "stderr": change.std(ddof=1) / math.sqrt(n) if n > 1 else float("nan"),
                    }
                )
    return rows


def random_masks(model: "HeadModel", heads: Sequence[Head], draws: int, *, seed: int = 0) -> "dict[str, Intervention]":
    """Return masks of as many other heads, of the same layers where there are enough, by name."""
    Mask(tuple(heads)).check(model)
    same = np.ones((model.n_layers, model.n_heads))
    if 2 * len(heads) > same.size and draws:
        raise InputError(f"There are not {len(heads)} other heads to compare with. Give fewer heads, or --random 0.")
    masks = [matched(heads, same, np.random.default_rng([seed, d])) for d in range(draws)]
    return {f"random {d}": Mask(tuple(sorted(one))) for d, one in enumerate(masks, start=1)}


def table_text(found: pd.DataFrame) -> str:
    """Return a table to print."""
    lines = [("task", "metric", "edit", "n", "as is", "edited", "difference", "standard error")]
    for row in found.itertuples():
        lines.append((row.task, row.metric, row.edit, str(row.n), f"{row.as_is:.3f}", f"{row.edited:.3f}",
                      f"{row.difference:+.3f}", f"{row.stderr:.3f}"))  # fmt: skip
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(str(c).ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)
