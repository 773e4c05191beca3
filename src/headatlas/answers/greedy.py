"""Greedy answers, many at a time: one prompt under many edits, or many prompts under one.

1. `answers_under`: a batch row an edit. Where every edit holds at the answer only (the last token of the prompt and the
   new ones), the prompt before its last token runs once for all of them.
2. `answers_to`: prompts of like length, padded on the left; of the same length where what a model says depends on
   padding, or on the length of what it runs.
3. Both run stock `generate`, and both end an answer at the model's end of turn or at `stop` ("": nowhere else).

It does not know what an edit is for, nor what a good answer is.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from headatlas.interventions.edits import Intervention, Rows
from headatlas.models.generating import cache_of, continued, filler

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

Ids = Int[np.ndarray, " _length"]
ROWS = 16
"""Rows that are answered at once."""
PADDED_APART = 0.2
"""Standard deviations of a prompt's logits that padding may move them: rounding in bfloat16."""


@torch.inference_mode()
def answers_under(
    model: "HeadModel",
    prompt: Ids,
    edits: Sequence[Intervention | None],
    *,
    max_new_tokens: int = 32,
    stop: str = "\n",
) -> list[Ids]:
    """Answer a prompt once for each edit; None: by the model as it is.

    Returns
    -------
    list of numpy.ndarray
        The new tokens of each, without what ended them.

    Raises
    ------
    InputError
        An edit that does not fit the model.
    """
    found: list[Ids] = []
    shared = all(_at_answer(edit) for edit in edits) and len(prompt) > 1
    tokens = torch.from_numpy(np.asarray(prompt, np.int64))[None].to(model.device)
    for start in range(0, len(edits), ROWS):
        some = tuple(edits[start : start + ROWS])
        given: dict[str, Any] = {}
        if shared:
            given["past_key_values"] = _remembered(model, tokens, len(some))
        ids = tokens.expand(len(some), -1)
        with model.edit(Rows(some)) if any(some) else nullcontext():
            found += continued(model, ids, torch.ones_like(ids), max_new_tokens=max_new_tokens, stop=stop, **given)
    return found


def _at_answer(edit: Intervention | None) -> bool:
    return edit is None or all(isinstance(p.positions, str) and p.positions == "answer" for p, _ in edit.parts())


def _remembered(model: "HeadModel", tokens: Int[Tensor, "1 length"], rows: int) -> Any:
    """Return the cache of all tokens but the last, for so many rows."""
    cache = cache_of(model, tokens[:, :-1])
    if rows > 1:
        cache.batch_repeat_interleave(rows)
    return cache


@torch.inference_mode()
def answers_to(
    model: "HeadModel",
    prompts: Sequence[Ids],
    edit: Intervention | None = None,
    *,
    max_new_tokens: int = 32,
    stop: str = "\n",
    rows: int = ROWS,
) -> list[Ids]:
    """Answer many prompts under one edit, or as the model is.

    Returns
    -------
    list of numpy.ndarray
        The new tokens of each, without what ended them, in the order of the prompts.

    Raises
    ------
    InputError
        An edit that does not fit the model.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    found: dict[int, Ids] = {}
    padding = not model.unpacked
    while order:
        some = order[:rows]
        if not padding:
            some = [i for i in some if len(prompts[i]) == len(prompts[some[0]])]
        ids, mask = _padded(model, [prompts[i] for i in some])
        if not mask.all() and not _padding_is_unseen(model, ids, mask):
            padding = False
            continue
        with nullcontext() if edit is None else model.edit(edit):
            new = continued(model, ids, mask, max_new_tokens=max_new_tokens, stop=stop)
        found.update(zip(some, new, strict=True))
        order = order[len(some) :]
    return [found[i] for i in range(len(prompts))]


def _padded(model: "HeadModel", prompts: Sequence[Ids]) -> tuple[Tensor, Tensor]:
    """Return the batch of some prompts, padded on the left, and its mask."""
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), longest), filler(model))
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.from_numpy(np.asarray(prompt, np.int64))
        mask[row, longest - len(prompt) :] = 1
    return ids.to(model.device), mask.to(model.device)


def _padding_is_unseen(model: "HeadModel", ids: Tensor, mask: Tensor) -> bool:
    """Say whether the row with most padding says what it says alone; once a model, on the first batch with padding.

    Windows and caps can make padding NaN, which then is in everything.
    """
    known = getattr(model, "_padding_is_unseen", None)
    if known is None:
        row = int(mask.sum(1).argmin())
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        kept: dict[str, Any] = {"use_cache": False, "logits_to_keep": 1}
        padded = (
            model.model(input_ids=ids, attention_mask=mask, position_ids=positions, **kept).logits[row, -1].double()
        )
        own = ids[row : row + 1, -int(mask[row].sum()) :]
        alone = model.model(input_ids=own, **kept).logits[0, -1].double()
        apart = (padded - alone).abs().max() / alone.std()
        known = bool(torch.isfinite(padded).all() and apart < PADDED_APART)
        object.__setattr__(model, "_padding_is_unseen", known)
    return known
