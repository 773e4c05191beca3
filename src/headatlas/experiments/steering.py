"""Negative and positive intervention on a downstream task (arXiv 2512.10978, Tables 4 and 5).

1. The questions are dealt into train, dev and test, by their own splits where they name train and test (dev is then cut
   from train, if it is not named), else by main question, at random. Nothing that is tested has chosen anything.
2. *Negative*: the first heads of a function's map are taken away; as a control, as many random ones of the same layers,
   several times.
3. *Positive*: z of those heads is moved along a direction, alpha times the spread of items along it: the mean z of the
   training items that the model answers right minus that of those it answers wrong, each at its own answer's tokens
   (`interventions.steering_direction`). Where it answers too few right or wrong, the reference answers against the
   foils.
4. Alpha is swept on dev, for the direction and for random directions of the same length alike; each is tested once, at
   the alpha that did best for it on dev (0, no change, among them).
5. Changes on test are paired, item by item.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.answers import answers_to
from headatlas.answers.scoring import score, scores
from headatlas.errors import InputError
from headatlas.experiments.asked import accepted, prompts_like, run_of, z_of
from headatlas.experiments.heads import check_by, first_heads, method_of, removed
from headatlas.experiments.outcomes import outcomes
from headatlas.interventions import random_direction, steering_direction
from headatlas.interventions.edits import Intervention, Steer, of_heads
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt, with_answer
from headatlas.questions.schema import QuestionSet
from headatlas.validation.choosing import matched
from headatlas.work.job import Report, Rows, Run, Work, rows_of

SPLITS = ("train", "dev", "test")
SHARES = (0.4, 0.2, 0.4)
ALPHAS = (0.1, 0.3, 1.0, 3.0, 5.0)
"""5 is the published one."""
FEWEST = 5
"""Right and wrong training items for a direction between them."""
RIGHT = 0.5
"""Score from which an answer counts as right."""
CONDITIONS = ("as it is", "heads removed", "random heads removed", "steered", "steered at random")


@dataclass(frozen=True)
class _Asked:
    """Items of one split, as they are answered and scored."""

    model: HeadModel
    prompts: Sequence[Prompt]
    references: Sequence[list[str]]
    stop: str
    tokens: int

    def generated(self, edit: Intervention | None) -> list[np.ndarray]:
        """Return the new tokens of every item."""
        return answers_to(
            self.model, [p.prefix for p in self.prompts], edit, max_new_tokens=self.tokens, stop=self.stop
        )

    def scored(self, edit: Intervention | None) -> Float[np.ndarray, "item score"]:
        """Return the scores of every item's answer."""
        return self.rated(self.generated(edit))

    def rated(self, new: Sequence[np.ndarray]) -> Float[np.ndarray, "item score"]:
        """Return the scores of new tokens."""
        texts = [self.model.tokenizer.decode(one, skip_special_tokens=True).split(self.stop)[0] for one in new]
        rows = [[score(s, t.strip(), r) for s in scores] for t, r in zip(texts, self.references, strict=True)]
        return np.array(rows, np.float32)


def downstream(
    model: HeadModel,
    atlas: xr.DataTree,
    questions: QuestionSet,
    *,
    function: str,
    k: int = 20,
    metric: str = "exact",
    alphas: Sequence[float] = ALPHAS,
    draws: int = 3,
    by: str = "scale",
    part: str = "whole",
    method: str | None = None,
    limit: int | None = 200,
    tokens: int = 24,
    seed: int = 0,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """Take a function's heads away, and steer them, on a downstream task.

    Parameters
    ----------
    model, atlas
        The model and its atlas.
    questions
        The task: any question set; the last step of every question is asked.
    function
        Of the atlas: whose heads are edited.
    k
        How many.
    metric
        The score that alpha is chosen by and that says right from wrong: "exact", "number" or "f1".
    alphas
        Sizes of a step, in spreads of items along the direction.
    draws
        Of random heads, and of random directions.
    by, part, method
        As in `masks`; edits hold at all positions.
    limit
        Items at most, the first of every split in proportion; None for all.
    tokens
        New tokens an answer at most.
    seed
        Of splits, draws and resampling.
    store, report
        Folder for the rows, so that a killed run continues; called with (stage, done, total).

    Returns
    -------
    xarray.Dataset
        See `outcomes` (one panel, the task's name); and ``swept`` (direction, alpha), the metric's mean on dev.

    Raises
    ------
    InputError
        Too few items to split; an unknown function or metric; alphas that are no sizes.
    """
    check_by(by)
    if metric not in scores:
        raise InputError(f"Unknown metric '{metric}'. Give one of: {', '.join(scores)}.")
    if not alphas or min(alphas) <= 0 or draws < 1:
        raise InputError("Alphas are sizes above 0, and there is 1 random draw or more. Give e.g. --alpha 0.5,1,2,5.")
    heads = first_heads(atlas, function, k, part=part, method=method)
    prompts, stop = prompts_like(model, atlas, questions)
    last = {f"{q.id}/{len(q.steps) - 1}": q.split for q in questions.questions}
    dealt = _deal([p for p in prompts if p.id in last], last, limit, seed)
    known = accepted(questions)
    asked = {
        name: _Asked(model, own, [known.get(p.group, [p.answer]) for p in own], stop, tokens)
        for name, own in dealt.items()
    }
    at = list(scores).index(metric)
    direction, contrast = _direction(asked["train"], at)
    mean = z_of(model, dealt["train"]).mean(0) if by == "mean" else None
    same = np.ones((model.n_layers, model.n_heads))
    others = [matched(heads, same, np.random.default_rng([seed, d])) for d in range(draws)]
    random = [random_direction(direction, seed=seed + d) for d in range(draws)]

    def steer(along: np.ndarray, alpha: float) -> Intervention:
        return Steer(heads, alpha * of_heads(heads, along))

    run = run_of(model, [p for own in dealt.values() for p in own], seed, store, report)
    sizes = [float(a) for a in alphas]
    key = {"function": function, "heads": [list(h) for h in heads], "by": by, "metric": metric, "alphas": sizes,
           "draws": draws, "tokens": tokens, "test": [p.id for p in dealt["test"]]}  # fmt: skip
    lines = [direction, *random]
    # one row an (edit, item): dev's, then test's, an edit a part
    dev: list[Intervention | None] = [None, *(steer(line, alpha) for line in lines for alpha in sizes)]
    swept = _rows("downstream-dev", asked["dev"], dev, run, key)[:, :, at]
    means = np.nanmean(swept, axis=1)
    table = means[1:].reshape(len(lines), len(sizes))
    best = [0.0 if row.max() <= means[0] else sizes[int(row.argmax())] for row in table]
    test: list[Intervention | None] = [None, *(removed(own, by, mean, "all") for own in (heads, *others))]
    test += [steer(line, alpha) if alpha else None for line, alpha in zip(lines, best, strict=True)]
    rows = _rows("downstream-test", asked["test"], test, run, {**key, "best": best}).transpose(1, 0, 2)
    first = 2 + draws
    values = np.stack(
        [rows[:, 0], rows[:, 1], rows[:, 2:first].mean(1), rows[:, first], rows[:, first + 1 :].mean(1)], axis=1
    )
    name = questions.name
    found = outcomes(
        values,
        np.full(len(dealt["test"]), name),
        np.array([p.task or p.group for p in dealt["test"]]),
        panels=[name],
        conditions=CONDITIONS,
        scores=list(scores),
        seed=seed,
    )
    found["swept"] = (("direction", "alpha"), np.column_stack([np.full(len(lines), means[0]), table]))
    counts = ", ".join(f"{len(own)} {split}" for split, own in dealt.items())
    return found.assign_coords(
        alpha=[0.0, *sizes], direction=[contrast, *(f"random {d + 1}" for d in range(draws))]
    ).assign_attrs(
        experiment="downstream",
        read_by=metric,
        model=model.name,
        metric=metric,
        title=f"'{name}' with the {k} heads of {function} removed and steered",
        about=f"items: {counts}; heads by {method_of(atlas, method)} ({part}); removed by {by}; direction: "
        f"{contrast}, from train alone; alpha on dev: {best[0]:g} for it, {', '.join(f'{b:g}' for b in best[1:])} for "
        "random directions",
        alpha_chosen=best[0],
    )


def _deal(
    prompts: Sequence[Prompt], split: dict[str, str | None], limit: int | None, seed: int
) -> dict[str, list[Prompt]]:
    """Return train, dev and test."""
    alias = {"validation": "dev", "valid": "dev"}
    own = {id: alias.get(s or "", s) for id, s in split.items()}
    found: dict[str, list[Prompt]] = {name: [] for name in SPLITS}
    if set(own.values()) >= {"train", "test"}:
        for prompt in prompts:
            found.get(str(own[prompt.id]), []).append(prompt)
        if not found["dev"]:  # a part of train, which then is not trained on
            draw = np.random.default_rng([seed, 1])
            order = [found["train"][i] for i in draw.permutation(len(found["train"]))]
            cut = round(len(order) * SHARES[0] / (SHARES[0] + SHARES[1]))
            found["train"], found["dev"] = order[:cut], order[cut:]
    else:
        draw = np.random.default_rng([seed, 1])
        order = [prompts[i] for i in draw.permutation(len(prompts))][: limit or len(prompts)]
        cuts = np.cumsum([round(share * len(order)) for share in SHARES[:-1]]).tolist()
        found = {"train": order[: cuts[0]], "dev": order[cuts[0] : cuts[1]], "test": order[cuts[1] :]}
    if limit is not None:
        most = {name: max(1, round(share * limit)) for name, share in zip(SPLITS, SHARES, strict=True)}
        found = {name: own[: most[name]] for name, own in found.items()}
    if min(len(own) for own in found.values()) < 4 or len(found["train"]) < 2 * FEWEST:
        counts = ", ".join(f"{len(own)} {name}" for name, own in found.items())
        raise InputError(
            f"Too few items to choose on some and test on others: {counts}. Give a task with 50 or more, or a larger "
            "--limit."
        )
    return found


def _direction(train: _Asked, at: int) -> tuple[Float[np.ndarray, "layer head head_dim"], str]:
    """Return the direction that the training items give, and what it is between."""
    model = train.model
    new = train.generated(None)
    right = train.rated(new)[:, at] >= RIGHT
    told = np.array([len(one) > 0 for one in new])
    if min((right & told).sum(), (~right & told).sum()) >= FEWEST:
        said = [(p, one) for p, one in zip(train.prompts, new, strict=True) if len(one)]
        own = [with_answer(p, one, model.tokenizer, "all") for p, one in said]
        z = z_of(model, own)
        return steering_direction(z[right[told]], z[~right[told]]), "right - wrong"
    both = [p for p in train.prompts if len(p.foil)]
    if len(both) < FEWEST:
        raise InputError(
            f"The model answers {int(right.sum())} of {len(right)} training items right, and {len(both)} have foils: "
            "there is nothing to take a direction from. Give more items, another --metric, or items with foils."
        )
    wrong = [with_answer(p, p.foil, model.tokenizer, "all") for p in both]
    return steering_direction(z_of(model, [replace(p, own=None) for p in both]), z_of(model, wrong)), "answer - foil"


def _rows(
    name: str, asked: _Asked, edits: Sequence[Intervention | None], run: Run, key: dict[str, object]
) -> Float[np.ndarray, "edit item score"]:
    """Return the scores of all items under each edit; a part is an edit."""
    n = len(asked.prompts)

    def make(edit: Intervention | None) -> Rows:
        return {"scores": asked.scored(edit)[None]}

    parts = ((range(i, i + 1), partial(make, edit)) for i, edit in enumerate(edits))
    work = Work(
        len(edits), {"scores": {"item": n, "score": len(list(scores))}}, parts, lambda rows: xr.Dataset(), chunk=1
    )
    return rows_of(name, work, run, stage=name.replace("downstream-", "answering "), key=key)["scores"]
