"""Heads that can be dropped while every function keeps most of its score: found on some tasks, tested on others.

1. The atlas's tasks are dealt into two parts, as in validation. A function's score is the probability of its items'
   answers where the model has only answer and foil to choose from, tasks weighing the same: it moves where a count of
   right answers jumps by an item.
2. Heads are ordered by what they do for the function that needs them most: the largest, over functions, of a head's
   importance by the function's own spread, on the first part's items. Beginning with the last, heads are dropped in
   batches: a batch stays dropped if every function keeps `keep` of its score, else it is halved; a head that can't go
   alone stays (an atlas of effects at the answer does not know what a head does before it). A dropped head writes
   nothing, anywhere: what `headatlas export --as pruned` saves.
3. On the second part: the score of every function with those heads dropped, and with as many dropped by magnitude (what
   a head writes is smallest) and at random.

It does not know files.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.errors import InputError
from headatlas.experiments.asked import z_of
from headatlas.experiments.heads import method_of, random_heads
from headatlas.experiments.outcomes import outcomes
from headatlas.interventions.edits import Head, Mask
from headatlas.methods.base import packs_of
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt
from headatlas.questions.schema import QuestionSet
from headatlas.validation.choosing import folds_of, maps_of
from headatlas.validation.experiment import written_by
from headatlas.validation.setting import setting
from headatlas.work.job import Report

FIRST = 1 / 16
"""Share of all heads in the first batch."""
CONDITIONS = ("as it is", "by the atlas", "by magnitude", "at random")


def prune(
    model: HeadModel,
    atlas: xr.DataTree,
    questions: QuestionSet,
    *,
    keep: float = 0.95,
    draws: int = 3,
    method: str | None = None,
    force: bool = False,
    patience: int = 10,
    seed: int = 0,
    report: Report | None = None,
) -> xr.Dataset:
    """Find heads to drop on half of the atlas's tasks, and test them on the others.

    Parameters
    ----------
    model, atlas, questions
        The model, its atlas, and the set it was made of.
    keep
        The share of its score that every function must keep.
    draws
        Of random heads to compare with.
    method
        Of the atlas; default the first.
    force
        Also where the model's weights are others.
    patience
        The search ends after so many heads in a row that can't go.
    seed
        Of folds, draws and resampling.
    report
        Called with (stage, done, total): heads looked at, of all.

    Returns
    -------
    xarray.Dataset
        See `outcomes` (panels are functions; scores are "chosen", the probability, and "prefers", the share);
        ``dropped`` (layer, head), and ``kept`` (panel, condition), the share of its score that each keeps on tasks that
        chose nothing.

    Raises
    ------
    InputError
        See `validation.setting.setting`; items without foils; a share that is none.
    """
    if not 0 < keep <= 1:
        raise InputError(f"--keep {keep} is no share. Give one above 0, up to 1, e.g. 0.95.")
    if draws < 1:
        raise InputError(f"{draws} random draws compare with nothing. Give 1 or more.")
    given = setting(model, atlas, questions, method=method, force=force)
    if any(not len(p.foil) for p in given.prompts):
        raise InputError("Scores are how often an answer is preferred to its foil, and some items have no foil.")
    fold = folds_of(given.function, given.unit, folds=2, seed=seed)
    train, test = np.flatnonzero(fold == 0), np.flatnonzero(fold == 1)
    maps = maps_of(given.effects[train], given.function[train], given.unit[train], given.functions)
    spread = maps.std(axis=(1, 2), keepdims=True)
    need = (maps / np.where(spread > 0, spread, 1)).max(0)
    order = _heads(need)

    def scores(items: np.ndarray, dropped: Sequence[Head]) -> Float[np.ndarray, " function"]:
        prefers = _chosen(model, [given.prompts[i] for i in items], dropped)[:, 0]
        return np.array([
            np.mean([prefers[own & (given.unit[items] == u)].mean() for u in np.unique(given.unit[items][own])])
            for own in (given.function[items] == f for f in given.functions)
        ])  # fmt: skip

    least = keep * scores(train, ())
    dropped: list[Head] = []
    place, failed, most = 0, 0, max(1, round(FIRST * len(order)))
    size = most
    while place < len(order) and failed < patience:
        if report:
            report("looking at heads", place, len(order))
        batch = order[place : place + size]
        if (scores(train, [*dropped, *batch]) >= least - 1e-9).all():
            dropped += batch
            place, failed, size = place + len(batch), 0, min(2 * size, most)
        elif len(batch) > 1:
            size = len(batch) // 2
        else:
            place, failed = place + 1, failed + 1
    if report:
        report("looking at heads", len(order), len(order))
    n = len(dropped)
    small = _heads(written_by(model, z_of(model, [given.prompts[i] for i in train])))
    rivals = [small[:n]]
    rivals += [list(random_heads(model, n, (), np.random.default_rng([seed, d]))) if n else [] for d in range(draws)]
    own = [given.prompts[i] for i in test]
    rows = np.stack([_chosen(model, own, heads) for heads in ((), dropped, *rivals)], axis=1)
    values = np.concatenate([rows[:, :3], rows[:, 3:].mean(1, keepdims=True)], axis=1)
    found = outcomes(
        values,
        given.function[test],
        given.unit[test],
        panels=given.functions,
        conditions=CONDITIONS,
        scores=["chosen", "prefers"],
        seed=seed,
    )
    value = found["value"].sel(score="chosen", drop=True)
    found["kept"] = value / value.sel(condition="as it is")
    mask = np.zeros((model.n_layers, model.n_heads), bool)
    for head in dropped:
        mask[head] = True
    found["dropped"] = (("layer", "head"), mask)
    return found.assign_attrs(
        experiment="prune",
        read_by="chosen",
        model=model.name,
        title=f"{n} of {len(order)} heads dropped so that every function keeps {keep:.0%} of its score on half of the "
        "tasks",
        about=f"shown on the other half, which chose nothing; ordered by {method_of(atlas, method)}; "
        f"as many dropped by magnitude and at random ({draws} draws); score: probability of answer against foil",
        keep=keep,
    )


def _heads(values: Float[np.ndarray, "layer head"]) -> list[Head]:
    """Return all heads, the lowest value first."""
    return [divmod(i, values.shape[1]) for i in np.argsort(values.reshape(-1), kind="stable").tolist()]


def _chosen(model: HeadModel, prompts: Sequence[Prompt], dropped: Sequence[Head]) -> Float[np.ndarray, "item 2"]:
    """Return the probability of each answer against its foil without these heads, and whether it is the larger."""
    found = np.zeros((len(prompts), 2))
    with model.edit(Mask(tuple(dropped))) if dropped else nullcontext():
        for pack in packs_of(prompts):
            captured = model.capture([prompts[i] for i in pack])
            ahead = captured.logprob - captured.foil_logprob
            found[list(pack)] = np.stack([1 / (1 + np.exp(-ahead)), ahead > 0], axis=1)
    return found
