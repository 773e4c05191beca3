"""Top, random and low heads of every function masked, and what becomes of the model's own answers (arXiv 2512.10978,
Table 1).

As published: heads are the map's first, its last and random ones; z is scaled by 0.0001 at the position that predicts
each token. Better here: random heads exclude both others and are drawn several times; all rows of a batch are edited;
items are none of those the map was made of, unless there are no others and that is asked for; there are intervals.
"""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

from headatlas.answers import answers_under
from headatlas.answers.scoring import score, scores
from headatlas.errors import InputError
from headatlas.experiments.asked import accepted, prompts_like, run_of, tasks_not_done, z_of
from headatlas.experiments.heads import (
    check_by,
    first_heads,
    functions_of,
    low_heads,
    method_of,
    random_heads,
    removed,
)
from headatlas.experiments.outcomes import outcomes
from headatlas.interventions.edits import Intervention
from headatlas.models.head_model import HeadModel
from headatlas.questions.schema import QuestionSet
from headatlas.work.job import Report, Rows, Work, rows_of

MORE = 6
"""Tokens that an answer may have beyond the reference's."""
CONDITIONS = ("as it is", "top", "random", "low")


def masks(
    model: HeadModel,
    atlas: xr.DataTree,
    questions: QuestionSet,
    *,
    k: int = 10,
    items: int = 3,
    draws: int = 4,
    by: str = "scale",
    positions: str = "answer",
    part: str = "whole",
    method: str | None = None,
    same_items: bool = False,
    seed: int = 0,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """Mask the top, random and low heads of every function of an atlas, and score the answers to its items.

    Parameters
    ----------
    model, atlas
        The model and its atlas.
    questions
        What is asked: of a set that names tasks, `items` of each that the model does; else as many of each function as
        ten tasks have.
    k
        Heads masked together.
    items
        See `questions`.
    draws
        Of random heads.
    by
        "scale" (z times 0.0001, as published), "zero" or "mean" (over these items: an atlas keeps none).
    positions
        "answer" (as published: where each token is predicted) or "all".
    part
        "whole" (as published) or "specific".
    method
        Of the atlas; default the first.
    same_items
        Ask the very items that the atlas was made of, too: as published, and no test.
    seed
        Of random heads and resampling.
    store, report
        Folder for the rows, so that a killed run continues; called with (stage, done, total).

    Returns
    -------
    xarray.Dataset
        See `outcomes`; a panel is a function.

    Raises
    ------
    InputError
        No items that the atlas was not made of; more heads than there are.
    """
    check_by(by)
    if draws < 1 or items < 1:
        raise InputError(f"{draws} draws of {items} items show nothing. Give 1 or more of both.")
    method = method_of(atlas, method)
    functions = functions_of(atlas, method)
    made_of = set() if same_items else {str(i) for i in atlas.to_dataset()["item"].values}
    not_done = tasks_not_done(atlas)
    prompts, stop = prompts_like(model, atlas, questions)
    taken: Counter[str] = Counter()
    chosen = []
    for prompt in prompts:
        unit, most = (prompt.task, items) if prompt.task else (prompt.function, 10 * items)
        asked = prompt.function in functions and prompt.task not in not_done and prompt.id not in made_of
        if asked and taken[unit] < most:
            taken[unit] += 1
            chosen.append(prompt)
    functions = [f for f in functions if any(p.function == f for p in chosen)]
    if not functions:
        raise InputError(
            "All of these items are among those that the atlas was made of, so nothing is tested. Give --questions "
            "with others, or --same-items to do as published."
        )
    of_function = {}
    for f in functions:
        top, low = first_heads(atlas, f, k, part=part, method=method), low_heads(atlas, f, k, method=method)
        draw = np.random.default_rng([seed, functions.index(f)])
        of_function[f] = [top, *(random_heads(model, k, {*top, *low}, draw) for _ in range(draws)), low]
    mean = z_of(model, chosen).mean(0) if by == "mean" else None
    known = accepted(questions)

    def make(at: int) -> Rows:
        prompt = chosen[at]
        edits: list[Intervention | None] = [None]
        edits += [removed(heads, by, mean, positions) for heads in of_function[prompt.function]]
        most = len(prompt.answer_tokens) + MORE
        new = answers_under(model, prompt.prefix, edits, max_new_tokens=most, stop=stop)
        texts = [model.tokenizer.decode(one, skip_special_tokens=True).split(stop)[0].strip() for one in new]
        references = known.get(prompt.group, [prompt.answer])
        rows = np.array([[score(name, text, references) for name in scores] for text in texts])
        random = rows[2:-1].mean(0)
        return {"scores": np.stack([rows[0], rows[1], random, rows[-1]])[None].astype(np.float32)}

    key = {"k": k, "draws": draws, "by": by, "positions": positions, "part": part, "method": method,
           "heads": {f: [list(map(list, h)) for h in heads] for f, heads in of_function.items()}}  # fmt: skip
    parts = ((range(i, i + 1), partial(make, i)) for i in range(len(chosen)))
    arrays = {"scores": {"condition": len(CONDITIONS), "score": len(list(scores))}}
    work = Work(len(chosen), arrays, parts, lambda rows: xr.Dataset(), chunk=8)
    run = run_of(model, chosen, seed, store, report)
    rows = rows_of("masks", work, run, stage="answering", key=key)["scores"]
    found = outcomes(
        rows,
        np.array([p.function for p in chosen]),
        np.array([p.task or p.group for p in chosen]),
        panels=functions,
        conditions=CONDITIONS,
        scores=list(scores),
        seed=seed,
    )
    held_out = "the items that the map was made of (nothing is held out)" if same_items else "items that made no map"
    return found.assign_attrs(
        experiment="masks",
        read_by="exact",
        model=model.name,
        title=f"The {k} top, random and low heads of each function masked",
        about=f"{held_out}; heads by {method} ({part}); z by {by} at {positions}; "
        f"{draws} draws of random heads; questions: {questions.name}",
    )
