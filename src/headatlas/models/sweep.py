"""Every head ablated, one at a time, exactly: the effect on the model's answers.

1. The variants, one a head and a draw of the replacement, are cut into chunks of so many rows that memory stays
   bounded; a chunk runs on the steps' block (`models.block`).
2. Where a model's attention can't be split into prompt and block (its own attention code, ALiBi, RoPE that depends
   on the length), each prompt runs whole, with a batch row for each head of some layers: slower, as exact.

It does not know what the replacement is, nor what the effects are for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headatlas._memory import give_back
from headatlas.errors import InputError, RunError
from headatlas.models.block import Block, Positions, Variants
from headatlas.models.memory import within_memory
from headatlas.models.objective import METRICS, objectives
from headatlas.models.tree import pack
from headatlas.prompts import Prompt

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

MAX_TOKENS = 4096
"""Rows times tokens of a chunk: products are no faster beyond it, and memory stays small (see benchmarks)."""

Replacement = Float[Tensor, "draw prompt layer head head_dim"]
"""What z is replaced by; prompt may be 1, for one replacement for all."""


@dataclass(frozen=True)
class Swept:
    """What a sweep found.

    Attributes
    ----------
    base
        What is read of the model as it is (its KL is 0), (prompt, metric).
    effect
        By how much each falls when a head is replaced, the mean over draws: positive = the head supports the answer.
        The KL divergence is given as it is, not as a fall. (prompt, layer, head, metric).
    """

    base: Float[np.ndarray, "prompt metric"]
    effect: Float[np.ndarray, "prompt layer head metric"]


def check_replacement(model: "HeadModel", prompts: Sequence[Prompt], replacement: Tensor) -> None:
    """Raise `InputError` unless `replacement` is a `Replacement` for `prompts` of the model's shape."""
    shape = (model.n_layers, model.n_heads, model.head_dim)
    if tuple(replacement.shape[2:]) != shape or replacement.shape[1] not in (1, len(prompts)):
        raise InputError(
            f"The replacement has shape {tuple(replacement.shape)}, expected (draws, 1 or {len(prompts)} prompts, "
            f"layers, heads, head_dim) with the last three {shape}."
        )


def of_prompts(
    replacement: Float[Tensor, "draw all layer head head_dim"], part: slice
) -> Float[Tensor, "draw some layer head head_dim"]:
    """Return what replaces z of some of the prompts."""
    return replacement if replacement.shape[1] == 1 else replacement[:, part]


@torch.inference_mode()
def sweep(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    replacement: Replacement,
    *,
    positions: Positions = "answer",
    metrics: Sequence[str] = METRICS,
    max_tokens: int = MAX_TOKENS,
) -> Swept:
    """Replace the z of every head in turn and read the reference answers' log-probabilities.

    Parameters
    ----------
    model
        The model.
    prompts
        Steps of one main question, or any others; what they share runs once.
    replacement
        (draw, prompt or 1, layer, head, head_dim).
    positions
        "answer": z is replaced at the positions that predict the answer's tokens. "all": at every position.
    metrics
        Names of what is read (`models.objective.objectives`).
    max_tokens
        Rows times tokens run at once; halved where memory runs out.

    Raises
    ------
    RunError
        The model gives the reference answer of a step no probability at all, or there is not enough memory for
        a single one.
    InputError
        The replacement is not of the model's shape.
    """
    check_replacement(model, prompts, replacement)
    for metric in metrics:
        objectives.get(metric)
    replacement = replacement.to(model.device)
    if positions == "all" and replacement.shape[1] > 1:  # a shared prefix can't be replaced in two ways at once
        parts = [
            sweep(model, [p], replacement[:, i : i + 1], positions=positions, metrics=metrics, max_tokens=max_tokens)
            for i, p in enumerate(prompts)
        ]
        return Swept(np.concatenate([p.base for p in parts]), np.concatenate([p.effect for p in parts]))
    run = _whole_prompts if model.unsplit else _in_blocks

    def some(part: slice, most: int) -> tuple[np.ndarray, np.ndarray]:
        return run(model, prompts[part], of_prompts(replacement, part), positions, metrics, most)

    found = within_memory(some, prompts, max_tokens)
    base, rows = (np.concatenate(values) for values in zip(*found, strict=True))
    effect = base[:, None, None] - rows
    for i, metric in enumerate(metrics):
        if not objectives.get(metric).falls:
            effect[..., i] = rows[..., i]
            base[:, i] = 0
    return Swept(base, effect)


def _check_base(
    model: "HeadModel", prompts: Sequence[Prompt], metrics: Sequence[str], base: Float[np.ndarray, "prompt metric"]
) -> None:
    """Raise `RunError` for a reference answer that the model gives no probability."""
    if "logprob" not in metrics:
        return
    for prompt, value in zip(prompts, base[:, list(metrics).index("logprob")], strict=True):
        if not np.isfinite(value):
            raise RunError(
                f"The model gives the reference answer of {prompt.id} ({prompt.answer!r}) no probability in "
                f"{str(model.dtype).removeprefix('torch.')}: no effect on it can be measured. "
                "Give --dtype float32, or leave that step out."
            )


def _in_blocks(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    replacement: Replacement,
    positions: Positions,
    metrics: Sequence[str],
    max_tokens: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the metrics of row 0, (prompt, metric), and of every head, (prompt, layer, head, metric)."""
    block = Block(model, prompts, positions=positions)
    draws = len(replacement)
    owner = block.owner if replacement.shape[1] > 1 else torch.zeros_like(block.owner)
    rows = np.zeros((len(prompts), model.n_layers, model.n_heads, len(metrics)))
    first: np.ndarray | None = None
    base = None
    for chunk in _chunks(model, max(1, max_tokens // (len(block) * draws))):
        variants = {
            layer: Variants(
                torch.tensor(heads * draws, device=model.device),
                # (draw, token, head, dim) -> (draw x head, token, dim)
                replacement[:, :, layer][:, owner][:, :, heads].transpose(1, 2).flatten(0, 1),
            )
            for layer, heads in chunk.items()
        }
        hidden = block.run(variants)
        give_back()
        if base is None:
            base = block.base(hidden[:1])
        found = block.read(hidden, base=base, objectives=metrics)  # row 0 of the same batch: rounding is alike
        if first is None:
            first = found[0]
            _check_base(model, prompts, metrics, first)
        at = 1
        for layer, heads in chunk.items():
            own = found[at : at + draws * len(heads)].reshape(draws, len(heads), *found.shape[1:])
            at += draws * len(heads)
            # differences to this chunk's row 0, put back on the first chunk's
            rows[:, layer, heads] = (own.mean(0) - found[0] + first).transpose(1, 0, 2)
    assert first is not None
    return first.astype(np.float64), rows


def _chunks(model: "HeadModel", most: int) -> Iterator[dict[int, list[int]]]:
    """Deal all heads, in order, into chunks of at most `most`: layer -> heads."""
    every = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    for start in range(0, len(every), most):
        chunk: dict[int, list[int]] = {}
        for layer, head in every[start : start + most]:
            chunk.setdefault(layer, []).append(head)
        yield chunk


def _whole_prompts(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    replacement: Replacement,
    positions: Positions,
    metrics: Sequence[str],
    max_tokens: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Do as `_in_blocks` with every prompt run whole, some heads of one layer at a time."""
    base: list[np.ndarray] = []
    rows = np.zeros((len(prompts), model.n_layers, model.n_heads, len(metrics)))
    for i, prompt in enumerate(prompts):
        block = Block(model, [prompt], positions="all")
        r = replacement[:, i if replacement.shape[1] > 1 else 0]
        compare = block.base(plain_run(model, prompt, 1))
        start = prompt.answer_start - 1 if positions == "answer" else 0
        most = max(1, max_tokens // (len(block) * len(r)))
        for layer in range(model.n_layers):
            for some in torch.arange(model.n_heads).split(most):
                heads = some.repeat(len(r)).to(model.device)
                z = r[:, layer, some].flatten(0, 1)

                def replace(old: Tensor, heads: Tensor = heads, z: Tensor = z, start: int = start) -> Tensor:
                    new = old.clone()
                    own = torch.arange(1, len(new), device=new.device)
                    new[own, start:, heads] = z[:, None].to(new.dtype)
                    return new

                with model.edit({layer: replace}):
                    found = block.read(plain_run(model, prompt, 1 + len(heads)), base=compare, objectives=metrics)
                if len(base) == i:
                    base.append(found[0])
                    _check_base(model, [prompt], metrics, found[0])
                own = found[1:].reshape(len(r), len(some), *found.shape[1:]).mean(0)
                rows[i, layer, some.numpy()] = (own - found[0] + base[i])[:, 0]
    return np.stack(base)[:, 0].astype(np.float64), rows


def plain_run(model: "HeadModel", prompt: Prompt, rows: int) -> Float[Tensor, "row token width"]:
    """Run a whole prompt as `rows` equal rows of a batch; return the hidden states before the output layer."""
    hidden: list[Tensor] = []
    tokens = torch.from_numpy(pack([prompt.tokens[:-1]]).tokens).to(model.device)
    with model.on_output(hidden):
        model.model(input_ids=tokens[None].expand(rows, -1), use_cache=False)
    return hidden[0]
