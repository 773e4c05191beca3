"""Groups of heads replaced together, exactly: the effect of each group on the model's answers.

A group is a batch row of the steps' block (`models.block`): it joins at the lowest layer that it edits, and has z of
its heads replaced there and in the layers above. What lies below, and the prompts, run once for all groups. Where a
model's attention can't be split into prompt and block, every prompt runs whole, some groups at a time.

It does not know how groups were chosen.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headatlas._memory import give_back
from headatlas.errors import InputError
from headatlas.models.block import Block
from headatlas.models.memory import within_memory
from headatlas.models.objective import METRICS, objectives
from headatlas.models.sweep import MAX_TOKENS, plain_run
from headatlas.prompts import Prompt

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

Group = Sequence[tuple[int, int]]
"""(layer, head) pairs."""
Removed = Bool[np.ndarray, "prompt_or_1 group layer head"]
"""Which heads are in which group; prompt is 1 where groups are the same for all."""


@torch.inference_mode()
def knocked_out(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    groups: Sequence[Group] | Removed,
    replacement: Float[Tensor, "layer head head_dim"],
    *,
    metrics: Sequence[str] = METRICS,
    max_tokens: int = MAX_TOKENS,
) -> Float[np.ndarray, "prompt group metric"]:
    """Replace the z of all heads of each group at the positions that predict the answers; return by how much what is
    read falls.

    Parameters
    ----------
    model
        The model.
    prompts
        Steps of one main question, or any others; what they share runs once.
    groups
        Which heads are replaced together; an empty group is the model as it is. As many groups of its own for every
        prompt where a mask says so.
    replacement
        What every head's z is replaced by, if it is in a group.
    metrics
        Names of what is read (`models.objective.objectives`); a divergence is given as it is, not as a fall.
    max_tokens
        Rows times tokens run at once; halved where memory runs out.

    Raises
    ------
    InputError
        A head that the model does not have, or a replacement or mask of another shape.
    RunError
        Not enough memory for a single group.
    """
    shape = (model.n_layers, model.n_heads, model.head_dim)
    if tuple(replacement.shape) != shape:
        raise InputError(
            f"The replacement has shape {tuple(replacement.shape)}, expected (layers, heads, head_dim) {shape}."
        )
    removed = groups if isinstance(groups, np.ndarray) else _mask(model, groups)
    if removed.shape[2:] != shape[:2] or removed.shape[0] not in (1, len(prompts)):
        raise InputError(
            f"The groups' mask has shape {removed.shape}, expected (1 or {len(prompts)} prompts, groups, layers, "
            f"heads) with the last two {shape[:2]}."
        )
    falls = np.array([1.0 if objectives.get(metric).falls else -1.0 for metric in metrics])
    replacement = replacement.to(model.device)
    run = _whole if model.unsplit else _in_block

    def some(part: slice, most: int) -> np.ndarray:
        own = removed if len(removed) == 1 else removed[part]
        return run(model, prompts[part], own, replacement, metrics, most)

    # (base - row) falls; a divergence is the row itself, of which the base is 0
    return np.concatenate(within_memory(some, prompts, max_tokens)) * falls


def _mask(model: "HeadModel", groups: Sequence[Group]) -> Removed:
    """Return the mask of groups that are lists."""
    removed = np.zeros((1, len(groups), model.n_layers, model.n_heads), bool)
    for g, group in enumerate(groups):
        for layer, head in group:
            if not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
                shape = f"{model.n_layers} layers of {model.n_heads} heads"
                raise InputError(f"L{layer}H{head} does not exist: {model.name} has {shape}.")
            removed[0, g, layer, head] = True
    return removed


def _in_block(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    removed: Removed,
    replacement: Tensor,
    metrics: Sequence[str],
    max_tokens: int,
) -> Float[np.ndarray, "prompt group metric"]:
    """Return base minus row of every group, chunk by chunk."""
    block = Block(model, prompts)
    owner = block.owner if len(removed) > 1 else torch.zeros_like(block.owner)
    # groups that join in like layers run together, so that few rows go through layers that don't change them
    touched = np.any(removed, axis=(0, 3))
    first = np.where(touched.any(1), touched.argmax(1), model.n_layers)
    order = np.argsort(first, kind="stable")
    order = order[first[order] < model.n_layers]
    effect = np.zeros((len(prompts), removed.shape[1], len(metrics)))
    base = None
    most = max(1, max_tokens // len(block))
    for start in range(0, len(order), most):
        chunk = order[start : start + most]
        own = torch.from_numpy(removed[:, chunk]).to(model.device)
        layers = np.flatnonzero(touched[chunk].any(0)).tolist()
        hidden = block.run_with(
            {layer: _flat(model, _replacing(own[:, :, layer], owner, replacement[layer])) for layer in layers},
            joining=Counter(first[chunk].tolist()),
        )
        give_back()
        if base is None:
            base = block.base(hidden[:1])
        found = block.read(hidden, base=base, objectives=metrics)
        effect[:, chunk] = (found[:1] - found[1:]).transpose(1, 0, 2)
    return effect


def _flat(model: "HeadModel", function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the function of z as one of the projection's input."""
    return lambda x: function(model.split_heads(x)).flatten(-2)


def _replacing(
    removed: Bool[Tensor, "prompt_or_1 row head"],
    owner: Int[Tensor, " token"],
    replacement: Float[Tensor, "head head_dim"],
    start: int = 0,
) -> Callable[[Tensor], Tensor]:
    """Return what replaces z (row, position, head, head_dim) of some heads of the rows after the first, as many as are
    there, from position `start` on; `owner` says of which prompt each of these positions is.
    """

    def replace(old: Tensor) -> Tensor:
        new = old.clone()
        rows = new[1:, start:]
        where = removed[:, : len(rows)].transpose(0, 1)[:, owner]
        torch.where(where[..., None], replacement.to(new.dtype), rows, out=rows)
        return new

    return replace


def _whole(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    removed: Removed,
    replacement: Tensor,
    metrics: Sequence[str],
    max_tokens: int,
) -> Float[np.ndarray, "prompt group metric"]:
    """Do as `_in_block` with every prompt run whole."""
    groups = removed.shape[1]
    effect = np.zeros((len(prompts), groups, len(metrics)))
    for i, prompt in enumerate(prompts):
        block = Block(model, [prompt], positions="all")
        own = removed[i if len(removed) > 1 else 0]
        most = max(1, max_tokens // len(block))
        base = block.base(plain_run(model, prompt, 1))
        start = prompt.answer_start - 1
        owner = torch.zeros(len(block) - start, dtype=torch.long, device=model.device)
        for first in range(0, groups, most):
            part = torch.from_numpy(own[None, first : first + most]).to(model.device)
            edits = {
                layer: _replacing(part[:, :, layer], owner, replacement[layer], start)
                for layer in part.any((0, 1, 3)).nonzero()[:, 0].tolist()
            }
            with model.edit(edits):
                found = block.read(plain_run(model, prompt, 1 + part.shape[1]), base=base, objectives=metrics)
            effect[i, first : first + most] = (found[:1] - found[1:])[:, 0]
    return effect
