"""Groups of heads replaced together, exactly: the effect of each group on the model's answers.

A group is a batch row of the steps' block (`models.block`): it joins at the lowest layer that it edits, and has z of
its heads replaced there and in the layers above. What lies below, and the prompts, run once for all groups. Where a
model's attention can't be split into prompt and block, every prompt runs whole, some groups at a time.

It does not know how groups were chosen.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
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


@torch.inference_mode()
def knocked_out(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    groups: Sequence[Group],
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
        Which heads are replaced together; an empty group is the model as it is.
    replacement
        What every head's z is replaced by, if it is in a group.
    metrics
        Names of what is read (`models.objective.objectives`); a divergence is given as it is, not as a fall.
    max_tokens
        Rows times tokens run at once; halved where memory runs out.

    Raises
    ------
    InputError
        A head that the model does not have, or a replacement of another shape.
    RunError
        Not enough memory for a single group.
    """
    shape = (model.n_layers, model.n_heads, model.head_dim)
    if tuple(replacement.shape) != shape:
        raise InputError(
            f"The replacement has shape {tuple(replacement.shape)}, expected (layers, heads, head_dim) {shape}."
        )
    for group in groups:
        for layer, head in group:
            if not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
                raise InputError(
                    f"L{layer}H{head} does not exist: {model.name} has {shape[0]} layers of {shape[1]} heads."
                )
    falls = np.array([1.0 if objectives.get(metric).falls else -1.0 for metric in metrics])
    replacement = replacement.to(model.device)
    run = _whole if model.unsplit else _in_block

    def some(part: slice, most: int) -> np.ndarray:
        return run(model, prompts[part], groups, replacement, metrics, most)

    # (base - row) falls; a divergence is the row itself, of which the base is 0
    return np.concatenate(within_memory(some, prompts, max_tokens)) * falls


def _in_block(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    groups: Sequence[Group],
    replacement: Tensor,
    metrics: Sequence[str],
    max_tokens: int,
) -> Float[np.ndarray, "prompt group metric"]:
    """Return base minus row of every group, chunk by chunk."""
    block = Block(model, prompts)
    # groups that join in like layers run together, so that few rows go through layers that don't change them
    order = sorted(range(len(groups)), key=lambda g: min((layer for layer, _ in groups[g]), default=model.n_layers))
    effect = np.zeros((len(prompts), len(groups), len(metrics)))
    base = None
    most = max(1, max_tokens // len(block))
    for start in range(0, len(order), most):
        chunk = [g for g in order[start : start + most] if len(groups[g])]
        edited = _by_layer([groups[g] for g in chunk])
        hidden = block.run_with(
            {layer: _flat(model, _replacing(where, replacement[layer])) for layer, where in edited.items()},
            joining=Counter(min(layer for layer, _ in groups[g]) for g in chunk),
        )
        give_back()
        if base is None:
            base = block.base(hidden[:1])
        found = block.read(hidden, base=base, objectives=metrics)
        for row, g in enumerate(chunk, start=1):
            effect[:, g] = found[0] - found[row]
    return effect


def _flat(model: "HeadModel", function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the function of z as one of the projection's input."""
    return lambda x: function(model.split_heads(x)).flatten(-2)


def _by_layer(groups: Sequence[Group]) -> dict[int, tuple[list[int], list[int]]]:
    """Return layer -> the rows, from 1 on, and heads that groups edit there."""
    edited: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for row, group in enumerate(groups, start=1):
        for layer, head in group:
            edited[layer][0].append(row)
            edited[layer][1].append(head)
    return dict(edited)


def _replacing(
    where: tuple[list[int], list[int]], replacement: Float[Tensor, "all_heads head_dim"], start: int = 0
) -> Callable[[Tensor], Tensor]:
    """Return what replaces z (row, position, head, head_dim) of some rows' heads, from position `start` on."""
    rows, heads = (torch.tensor(part, device=replacement.device) for part in where)

    def replace(old: Tensor) -> Tensor:
        new = old.clone()
        new[rows, start:, heads] = replacement[heads][:, None].to(new.dtype)
        return new

    return replace


def _whole(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    groups: Sequence[Group],
    replacement: Tensor,
    metrics: Sequence[str],
    max_tokens: int,
) -> Float[np.ndarray, "prompt group metric"]:
    """Do as `_in_block` with every prompt run whole."""
    effect = np.zeros((len(prompts), len(groups), len(metrics)))
    for i, prompt in enumerate(prompts):
        block = Block(model, [prompt], positions="all")
        most = max(1, max_tokens // len(block))
        base = block.base(plain_run(model, prompt, 1))
        for first in range(0, len(groups), most):
            chunk = groups[first : first + most]
            edits = {
                layer: _replacing(where, replacement[layer], prompt.answer_start - 1)
                for layer, where in _by_layer(chunk).items()
            }
            with model.edit(edits):
                found = block.read(plain_run(model, prompt, 1 + len(chunk)), base=base, objectives=metrics)
            effect[i, first : first + len(chunk)] = (found[:1] - found[1:])[:, 0]
    return effect
