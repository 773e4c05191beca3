"""Gradients of the answers' log-probabilities, or another objective, by every head's z, at the answer or everywhere.

1. `Answers` are the positions that predict some prompts' answers, run with any function of their z, in one layer or
   in all. They run as a block apart from their prompts (`models.block`), which need no gradient: z is touched at the
   answer positions only, and nothing before them depends on it. Where a model's attention can't be split so, each
   prompt runs whole. With positions "all" they are every position up to the answer's last token: nothing is shared
   between prompts then, since what is shared would have one gradient for all of them.
2. `estimate` with no steps: one forward pass of the block and one backward pass give d logprob / d z of every head.
   Steps of a block do not see each other, so the gradient of the sum of their log-probabilities is each one's own.
   At all positions, each prompt runs forward and backward once, as the stock model does.
   To first order, replacing z by r costs the answer sum over positions of gradient . (z - r): attribution patching
   (Nanda 2023, https://www.neelnanda.io/mechanistic-interpretability/attribution-patching; Syed et al. 2023,
   https://arxiv.org/abs/2310.10348).
3. With m steps: integrated gradients (Sundararajan et al. 2017, https://arxiv.org/abs/1703.01365) along the line from
   r to z, by the midpoint rule, a layer at a time: all heads of the layer are at r + a (z - r), later layers run on.
   The points are rows that join the batch at their layer. Over the heads of a layer the effects sum to the exact
   effect of replacing the whole layer, up to an error of order 1 / m^2.

It does not know what z is replaced by, nor what the effects are for.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headatlas.errors import InputError, RunError
from headatlas.models.block import Block, Positions
from headatlas.models.memory import within_memory
from headatlas.models.objective import objectives, values
from headatlas.models.precision import wide
from headatlas.models.sweep import Replacement, check_replacement, of_prompts
from headatlas.prompts import Prompt

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

OnZ = Callable[[Float[Tensor, "row token head head_dim"]], Float[Tensor, "row token head head_dim"]]
"""Takes a layer's z at the positions in question, returns what replaces it (the same tensor, to leave it)."""

MAX_TOKENS = 512
"""Rows times tokens run at once with gradients: a token keeps about ten times its hidden state, in every layer."""


class Answers:
    """The positions that predict some prompts' answers, to be run with functions of their z.

    Parameters
    ----------
    block
        The prompts' block; where `whole`, one prompt's, at all positions.
    start
        The first of the block's tokens whose z is in question.
    whole
        Whether the prompt runs as the stock model does, every row from the first layer on. A model that can't be split
        (`HeadModel.unsplit`) can't do otherwise.

    Attributes
    ----------
    prompts
        The prompts.
    owner
        Which prompt each position in question belongs to, (token,).
    """

    def __init__(self, block: Block, *, start: int = 0, whole: bool = False) -> None:
        assert whole or not block.model.unsplit, "its attention can't be split"
        self.model, self.prompts, self.block = block.model, block.prompts, block
        self._start, self.whole = start, whole
        self.owner = block.owner[start:]

    def __len__(self) -> int:
        return len(self.owner)

    def run(
        self, functions: Mapping[int, OnZ], *, joining: Mapping[int, int] | None = None
    ) -> Float[Tensor, "row token width"]:
        """Run the answers; return the hidden states that the output layer reads, at the block's tokens.

        Parameters
        ----------
        functions
            Layer -> function of its z at the positions in question.
        joining
            Layer -> how many rows, copies of row 0, join the batch there, as its last. Where `whole`, all rows are
            there from the first layer on, so one layer can be named at most.
        """
        joining = dict(joining or {})
        on_x = {layer: self._at_answers(function) for layer, function in functions.items()}
        if not self.whole:
            return self.block.run_with(on_x, joining=joining)
        assert len(joining) < 2, "rows of several layers can't be told apart"
        hidden: list[Tensor] = []
        tokens = self.block.tokens[None].expand(1 + sum(joining.values()), -1)
        with self.model.on_output(hidden), self.model.on_z(on_x):
            self.model.model(input_ids=tokens, use_cache=False)
        return hidden[0]

    def _at_answers(self, function: OnZ) -> Callable[[Tensor], Tensor]:
        def on_x(x: Tensor) -> Tensor:
            z = self.model.split_heads(x)
            new = function(z[:, self._start :]).to(x.dtype)
            return (torch.cat([z[:, : self._start], new], 1) if self._start else new).reshape(x.shape)

        return on_x

    def value(
        self, hidden: Float[Tensor, "row token width"], objective: str = "logprob"
    ) -> Float[Tensor, "row prompt"]:
        """Return an objective of every row and prompt (`models.objective`)."""
        return values(self.block.answers(hidden), [objective])[..., 0]


def answers_of(
    model: "HeadModel",
    packs: Sequence[Sequence[Prompt]],
    *,
    positions: Positions = "answer",
    max_tokens: int = MAX_TOKENS,
    whole: bool = False,
) -> list[Answers]:
    """Return the answers of all prompts, in order: together, up to `max_tokens` answer tokens at once.

    What the prompts of a pack share runs once; packs share nothing. Where the model can't be split, or at all
    positions, each prompt is on its own; `whole` runs it there as the stock model does.
    """
    if model.unsplit or positions == "all":
        return [
            Answers(
                Block(model, [prompt], positions="all"),
                start=0 if positions == "all" else prompt.answer_start - 1,
                whole=whole or model.unsplit is not None,
            )
            for pack in packs
            for prompt in pack
        ]
    found: list[list[Block]] = [[]]
    for part in (part for pack in packs for part in _cut(pack, max_tokens)):
        block = Block(model, part)
        if found[-1] and sum(map(len, found[-1])) + len(block) > max_tokens:
            found.append([])
        found[-1].append(block)
    return [Answers(blocks[0] if len(blocks) == 1 else Block.joined(blocks)) for blocks in found]


def _cut(prompts: Sequence[Prompt], max_tokens: int) -> Iterator[list[Prompt]]:
    """Cut prompts into runs of at most `max_tokens` answer tokens; a longer answer is on its own."""
    part: list[Prompt] = []
    for prompt in prompts:
        if part and sum(len(p.answer_tokens) for p in (*part, prompt)) > max_tokens:
            yield part
            part = []
        part.append(prompt)
    yield part


@dataclass(frozen=True)
class Attributed:
    """What `estimate` found.

    Attributes
    ----------
    base
        The objective of the model as it is, (prompt,); by default the mean log-probability of an answer's token, nats.
    effect
        Estimate of its fall when a head's z is replaced at the answer positions, or all, the mean over draws: positive
        = the head supports the answer. A divergence is given as it is, not as a fall. (prompt, layer, head).
    """

    base: Float[np.ndarray, " prompt"]
    effect: Float[np.ndarray, "prompt layer head"]


@torch.inference_mode(False)
def estimate(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    replacement: Replacement,
    *,
    steps: int = 0,
    objective: str = "logprob",
    positions: Positions = "answer",
    max_tokens: int = MAX_TOKENS,
) -> Attributed:
    """Estimate what replacing each head's z costs the reference answers, by gradients.

    Parameters
    ----------
    model
        The model.
    prompts
        Steps of one main question, or any others; what they share runs once.
    replacement
        (draw, prompt or 1, layer, head, head_dim), as for `models.sweep.sweep`.
    steps
        0: to first order, at z. m: integrated gradients over m midpoints.
    objective
        What replacing z costs: a name in `models.objective.objectives`. Of a divergence the slope at the model is 0.
    positions
        "answer": z is replaced at the positions that predict the answer's tokens. "all": at every position up to them.
    max_tokens
        Rows times tokens run at once with gradients; halved where memory runs out; changes no number.

    Raises
    ------
    RunError
        A step's log-probability or gradient is not finite, or there is not enough memory for a single step.
    InputError
        The replacement is not of the model's shape, or `steps` is negative.
    """
    check_replacement(model, prompts, replacement)
    objectives.get(objective)
    if steps < 0:
        raise InputError(f"Integrated gradients of {steps} steps. Give 0 (first order) or more.")
    replacement = wide(replacement.clone().to(model.device))  # a clone: an inference tensor can't enter a graph

    def some(part: slice, most: int) -> tuple[np.ndarray, np.ndarray]:
        return _estimate(model, prompts[part], of_prompts(replacement, part), steps, objective, positions, most)

    base, effect = (np.concatenate(parts) for parts in zip(*within_memory(some, prompts, max_tokens), strict=True))
    found = Attributed(base, effect if objectives.get(objective).falls else -effect)
    for prompt, value, effects in zip(prompts, found.base, found.effect, strict=True):
        if not (np.isfinite(value) and np.isfinite(effects).all()):
            raise RunError(
                f"The {objectives.get(objective).label} of the reference answer of {prompt.id} ({prompt.answer!r}), "
                f"or its gradient, is not finite in {str(model.dtype).removeprefix('torch.')}. "
                "Give --dtype float32, or leave that step out."
            )
    return found


def _estimate(
    model: "HeadModel",
    prompts: Sequence[Prompt],
    replacement: Replacement,
    steps: int,
    objective: str,
    positions: Positions,
    max_tokens: int,
) -> tuple[Float[np.ndarray, " step"], Float[np.ndarray, "step layer head"]]:
    """Do as `estimate` with at most `max_tokens` at once; return the log-probabilities and effects."""
    base, effect = [], []
    done = 0
    for answers in answers_of(model, [prompts], positions=positions, max_tokens=max_tokens, whole=not steps):
        own = of_prompts(replacement, slice(done, done + len(answers.prompts)))
        to = own[:, torch.zeros_like(answers.owner) if own.shape[1] == 1 else answers.owner]  # (draw, token, layer, …)
        done += len(answers.prompts)
        run = _integrated(answers, to, steps, objective, max_tokens) if steps else _first_order(answers, to, objective)
        base.append(run[0].double().cpu())
        effect.append(by_prompt(run[1], answers))
    return torch.cat(base).numpy(), torch.cat(effect).numpy()


Found = tuple[Float[Tensor, " prompt"], Float[Tensor, "token layer head"]]


def _first_order(answers: Answers, to: Float[Tensor, "draw token layer head head_dim"], objective: str) -> Found:
    """Return the log-probabilities, and the effect of every token's z: gradient . (z - mean replacement)."""
    z: dict[int, Tensor] = {}
    layers = range(answers.model.n_layers)
    with torch.enable_grad():
        value = answers.value(answers.run({layer: keeping(z, layer) for layer in layers}), objective)[0]
        gradients = torch.autograd.grad(value.sum(), [z[layer] for layer in layers])
    slope = wide(torch.stack([g[0] for g in gradients], 1))
    kept = wide(torch.stack([z[layer][0].detach() for layer in layers], 1))
    return value.detach(), (slope * (kept - to.mean(0))).sum(-1)


def keeping(z: dict[int, Tensor], layer: int) -> OnZ:
    """Return a function that leaves z as it is and notes it in `z`, ready for gradients."""

    def function(x: Tensor) -> Tensor:
        z[layer] = x if x.requires_grad else x.detach().requires_grad_()
        return z[layer]

    return function


def _integrated(
    answers: Answers,
    to: Float[Tensor, "draw token layer head head_dim"],
    steps: int,
    objective: str,
    max_tokens: int,
) -> Found:
    """Return the log-probabilities, and every token's effect: (z - r) . the mean gradient between r and z."""
    model = answers.model
    effect = to.new_zeros(to.shape[1:4])
    base: Tensor | None = None
    most = max(1, max_tokens // (len(answers.block) * len(to)))
    for chunk in _points(model.n_layers, steps, most, mixed=not answers.whole):
        leaves: dict[int, Tensor] = {}
        change: dict[int, Tensor] = {}
        functions = {
            layer: _interpolating(layer, torch.tensor(at, dtype=to.dtype, device=to.device), to, leaves, change)
            for layer, at in chunk.items()
        }
        joining = {layer: len(at) * len(to) for layer, at in chunk.items()}
        with torch.enable_grad():
            value = answers.value(answers.run(functions, joining=joining), objective)
            gradients = torch.autograd.grad(value[1:].sum(), [leaves[layer] for layer in chunk])
        for (layer, at), gradient in zip(chunk.items(), gradients, strict=True):
            slope = wide(gradient).unflatten(0, (len(at), len(to))).sum(0) / steps  # (draw, token, head, dim)
            effect[:, layer] += (slope * change[layer]).sum(-1).mean(0)
        base = value[0].detach() if base is None else base
    assert base is not None
    return base, effect


def _interpolating(
    layer: int,
    at: Float[Tensor, " step"],
    to: Float[Tensor, "draw token layer head head_dim"],
    leaves: dict[int, Tensor],
    change: dict[int, Tensor],
) -> OnZ:
    """Return a function that puts the last rows' z between r and row 0's z; it notes those rows, and z - r."""

    def function(z: Tensor) -> Tensor:
        change[layer] = wide(z[0].detach()) - to[:, :, layer]
        points = to[:, :, layer] + at.reshape(-1, 1, 1, 1, 1) * change[layer]
        leaves[layer] = points.flatten(0, 1).to(z.dtype).requires_grad_()
        return torch.cat([z[: len(z) - len(leaves[layer])], leaves[layer]])

    return function


def _points(layers: int, steps: int, most: int, *, mixed: bool) -> Iterator[dict[int, list[float]]]:
    """Deal the midpoints of all layers into chunks of at most `most`: layer -> points; unmixed, a layer a chunk."""
    midpoints = [(i + 0.5) / steps for i in range(steps)]
    every: list[tuple[int, float]] = [(layer, at) for layer in range(layers) for at in midpoints]
    runs = [every] if mixed else [[p for p in every if p[0] == layer] for layer in range(layers)]
    for run in runs:
        for start in range(0, len(run), most):
            chunk: dict[int, list[float]] = defaultdict(list)
            for layer, at in run[start : start + most]:
                chunk[layer].append(at)
            yield dict(chunk)


def by_prompt(values: Float[Tensor, " token *rest"], answers: Answers) -> Float[Tensor, " prompt *rest"]:
    """Sum over each prompt's positions in question, in float64 on the CPU."""
    total = torch.zeros(len(answers.prompts), *values.shape[1:], dtype=torch.float64)
    return total.index_add_(0, answers.owner.cpu(), values.double().cpu())
