"""The model's own, greedy answers to held-out items, with the chosen heads removed and without.

1. Some items of every unit are answered by the model as it is, without every function's most specific heads, without
   its own function's most important and least important ones, and without matched random ones.
2. Heads are replaced as in the teacher-forced experiment: by the training items' mean, where the answer is predicted.
3. An answer is scored (`answers.scoring`), and judged where there is a judge.

It does not know how heads were chosen, nor what becomes of the scores.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.answers import answers_under
from headatlas.answers.scoring import score, scores
from headatlas.interventions.edits import Head, Intervention, Mean
from headatlas.models.head_model import HeadModel
from headatlas.validation.choosing import Design
from headatlas.validation.setting import Setting
from headatlas.validation.summary import middle
from headatlas.work.job import Rows, Run, Work, rows_of

RANDOM = 4
"""Draws of random heads that are answered without."""
MORE = 6
"""Tokens that an answer may have beyond the reference's."""
Verdict = Callable[[str, str, str], float]
"""Question, reference, answer -> 1, 0 or NaN."""


def cases(design: Design, functions: Sequence[str]) -> list[str]:
    """Return what an item is answered under, in order."""
    random = [f"random {d}" for d in range(min(RANDOM, design.draws))]
    return ["as it is", *(f"specific {f}" for f in functions), "whole", "least", *random]


def asked_items(unit: np.ndarray, n: int) -> np.ndarray:
    """Return the places of `n` items of every unit, spread over it."""
    chosen = []
    for name in np.unique(unit):
        own = np.flatnonzero(unit == name)
        chosen += own[np.unique(np.linspace(0, len(own) - 1, min(n, len(own))).round().astype(int))].tolist()
    return np.array(sorted(chosen))


def answered(
    model: HeadModel,
    given: Setting,
    fold: np.ndarray,
    sets: Sequence[Mapping[tuple[str, int, int, int], list[Head]]],
    means: Sequence[np.ndarray],
    design: Design,
    run: Run,
    *,
    judge: Verdict | None = None,
    key: Mapping[str, object] | None = None,
) -> tuple[np.ndarray, Float[np.ndarray, "item case score"], list[str]]:
    """Return which items were asked, their scores, and the scores' names."""
    items = asked_items(given.unit, design.answers)
    names = [*scores, *(["judged"] if judge else [])]
    every = cases(design, given.functions)
    k = middle(design)

    def edits(i: int) -> list[Intervention | None]:
        own, chosen = given.functions.index(str(given.function[i])), sets[fold[i]]
        groups = [chosen["specific", f, k, 0] for f in range(len(given.functions))]
        groups += [chosen["whole", own, k, 0], chosen["least", own, k, 0]]
        groups += [chosen["random", own, k, d] for d in range(len(every) - len(groups) - 1)]
        mean = means[fold[i]]
        return [None, *(Mean.of(g, mean, positions="answer") for g in groups)]

    def make(at: int) -> Rows:
        prompt = given.prompts[items[at]]
        most = len(prompt.answer_tokens) + MORE
        new = answers_under(model, prompt.prefix, edits(int(items[at])), max_new_tokens=most, stop=given.stop)
        texts = [model.tokenizer.decode(one, skip_special_tokens=True).split(given.stop)[0].strip() for one in new]
        found = [[score(name, text, [prompt.answer]) for name in scores] for text in texts]
        if judge:
            asked = f"{prompt.passage}\n{prompt.subquestion}".strip()
            said = {text: judge(asked, prompt.answer, text) for text in dict.fromkeys(texts)}
            found = [[*row, said[text]] for row, text in zip(found, texts, strict=True)]
        return {"scores": np.array(found, np.float32)[None]}

    parts = ((range(i, i + 1), partial(make, i)) for i in range(len(items)))
    arrays = {"scores": {"case": len(every), "score": len(names)}}
    work = Work(len(items), arrays, parts, lambda rows: xr.Dataset(), chunk=8)
    whole = {**(key or {}), "asked": items.tolist(), "scores": names}
    rows = rows_of("answers", work, run, stage="answering", key=whole)["scores"]
    return items, rows, names
