"""The experiment: a model, an atlas and its questions in; what held-out tasks lose without the chosen heads out.

1. The atlas's own items are asked again (`setting`), refused where the model or the questions are others.
2. Heads are chosen fold by fold (`choosing`) by the samples of one of the atlas's methods.
3. Every item is answered once for each group of heads of the fold that holds it: their z replaced by its mean over the
   *training* items, where the answer is predicted (`models.groups`). Rows stream into a store, so that a killed
   run continues.
4. Some items are answered by the model itself, with and without the heads (`answered`).
5. `summary` turns rows into numbers.

It does not know how anything is drawn or said.
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from headatlas.atlas import methods_of
from headatlas.methods.base import packs_of
from headatlas.models.groups import knocked_out
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt
from headatlas.questions.schema import QuestionSet
from headatlas.run.jobs import capture
from headatlas.validation.answered import Verdict, answered
from headatlas.validation.choosing import Design, chosen, folds_of, maps_of
from headatlas.validation.setting import setting
from headatlas.validation.summary import answer_summary, summary
from headatlas.work.job import Report, Rows, Run, Work, rows_of

VERSION = 1
"""Of the experiment: raised whenever its rows change."""
OUTCOMES = ("logit_diff", "logprob")
MOST_WRITTEN = 256
"""Items of which it is taken how much heads write."""


def validate(
    model: HeadModel,
    atlas: xr.DataTree,
    questions: QuestionSet,
    *,
    design: Design | None = None,
    method: str | None = None,
    force: bool = False,
    judge: Verdict | None = None,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """Test an atlas: remove heads chosen on some tasks, and read what the others lose.

    Parameters
    ----------
    model
        The model that the atlas is of.
    atlas
        From `measure`, or `load_atlas` with its samples.
    questions
        The set it was made of.
    design
        How many heads, random draws and folds.
    method
        Of the atlas, by which heads are chosen; default the first.
    force
        Also where the model's weights are others.
    judge
        Says whether a generated answer is right (`answers.Judge`); None asks nobody.
    store
        Folder for the rows, so that a killed run continues; None keeps them in a temporary folder.
    report
        Called with (stage, done, total).

    Returns
    -------
    xarray.Dataset
        See `summary`.

    Raises
    ------
    InputError
        See `setting`; a function of too few tasks, or more heads than can be matched.
    """
    design = design or Design()
    design.check(model.n_layers * model.n_heads)
    given = setting(model, atlas, questions, method=method, force=force)
    fold = folds_of(given.function, given.unit, folds=design.folds, seed=design.seed)
    key = {
        "model": model.name,
        "weights": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "items": [p.id for p in given.prompts],
        "validation version": VERSION,
        "answers": "reference",
    }
    run = Run(key, design.seed, None if store is None else Path(store), report)
    z = capture(model, given.prompts, run).activations.z
    written = written_by(model, z)
    sets, means = [], []
    for k in range(design.folds):
        train = fold != k
        maps = maps_of(given.effects[train], given.function[train], given.unit[train], given.functions)
        sets.append(chosen(maps, written, design, fold=k))
        of_function = [z[train & (given.function == f)].mean(0, dtype=np.float64) for f in given.functions]
        means.append(torch.from_numpy(np.mean(of_function, axis=0).astype(np.float32)))
    conditions = list(sets[0])
    outcomes = OUTCOMES if all(p.designed for p in given.prompts) else OUTCOMES[1:]

    def make(pack: range) -> Rows:
        (k,) = set(fold[list(pack)])
        groups = [sets[k][c] for c in conditions]
        effects = knocked_out(model, [given.prompts[i] for i in pack], groups, means[k], metrics=outcomes)
        return {"effects": effects.astype(np.float32)}

    parts = ((pack, partial(make, pack)) for pack in _packs(given.prompts, fold))
    arrays = {"effects": {"condition": len(conditions), "outcome": len(outcomes)}}
    work = Work(len(given.prompts), arrays, parts, lambda rows: xr.Dataset())
    chosen_by = {name: value for name, value in asdict(design).items() if name != "answers"}
    chooses = {"design": chosen_by, "method": method or methods_of(atlas)[0], "effects": _digest(given.effects)}
    rows = rows_of("validation", work, run, stage="removing heads", key=chooses)
    found = summary(rows["effects"], conditions, given, design, outcomes)
    if design.answers:
        reference = [mean.numpy() for mean in means]
        items, said, names = answered(model, given, fold, sets, reference, design, run, judge=judge, key=chooses)
        found = found.merge(answer_summary(said, items, given, design, names))
    found.attrs |= {
        "model": model.name,
        "weights": model.digest,
        "method": chooses["method"],
        "questions": questions.name,
        "by_task": int(given.by_task),
        "folds": design.folds,
        "draws": design.draws,
        "seed": design.seed,
    }
    return found


def _packs(prompts: Sequence[Prompt], fold: np.ndarray) -> list[range]:
    """Return packs of prompts of one fold each."""
    result = []
    for pack in packs_of(prompts):
        cuts = [pack.start, *(i for i in pack[1:] if fold[i] != fold[i - 1]), pack.stop]
        result += [range(a, b) for a, b in pairwise(cuts)]
    return result


@torch.inference_mode()
def written_by(model: HeadModel, z: Float[np.ndarray, "item layer head head_dim"]) -> Float[np.ndarray, "layer head"]:
    """Return the root mean square norm of what every head writes into the residual stream."""
    some = torch.from_numpy(np.ascontiguousarray(z[:: max(1, len(z) // MOST_WRITTEN)])).to(model.device, model.dtype)
    norms = np.zeros((model.n_layers, model.n_heads))
    for layer, projection in enumerate(model.projections):
        nothing = projection(torch.zeros(1, model.n_heads * model.head_dim, device=some.device, dtype=some.dtype))
        for head in range(model.n_heads):
            alone = torch.zeros_like(some[:, layer])
            alone[:, head] = some[:, layer, head]
            norms[layer, head] = float((projection(alone.flatten(1)) - nothing).float().square().sum(-1).mean().sqrt())
    return norms


def _digest(effects: np.ndarray) -> str:
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(effects).tobytes()).hexdigest()
