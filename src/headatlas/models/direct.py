"""The direct path: what each head writes into the residual stream, as the output layer reads it.

1. The answer positions run forward once (`gradient.Answers`). On the way every path from a head to the output but one
   is cut: what goes into attention, MLP or experts is detached, so that the residual stream alone carries on.
2. Norms on that path (the final one; after attention in Gemma and OLMo 2; after every layer in old OPT) act with their
   scale frozen at its value at that position: a norm's result is then linear in its input, y = c . P x + b, with c the
   gain over the scale and P the centring of a layer norm. Biases belong to no head.
3. The objective is linear in the last hidden state: the logit of the answer's token minus the mean logit of the
   vocabulary, or minus that of a foil's token. A backward pass gives its gradient with respect to every head's z, and
   gradient . z is the head's direct contribution in logits: exact, not an estimate, as all that is left is linear.

Multipliers of residual branches and of logits are in it; a soft cap on logits is not linear and is left out: what is
attributed is the logit before the cap. It says what a head writes, not what the model would do without it: later heads
and MLPs read it, too.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from headatlas.errors import InputError, ModelError
from headatlas.models.gradient import Answers, answers_of, by_prompt, keeping
from headatlas.models.hooks import on_every_input, on_results
from headatlas.models.objective import Unembedding, check_foils, objectives
from headatlas.models.precision import wide
from headatlas.prompts import Prompt

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel


@torch.inference_mode(False)
def contributions(
    model: "HeadModel", prompts: Sequence[Prompt], *, objective: str = "logit"
) -> Float[np.ndarray, "prompt layer head"]:
    """Return what every head writes directly into an objective that is linear in the answers' logits.

    Parameters
    ----------
    model
        The model.
    prompts
        Steps of one main question, or any others; what they share runs once.
    objective
        "logit": the answer's logit over the mean of the vocabulary's, the mean over answer tokens. "logit_diff": over
        that of the foil's token, at the first that differs from the answer's.

    Raises
    ------
    InputError
        An objective that is not linear in the logits; a prompt without a foil to hold its answer against.
    ModelError
        A norm that is neither a layer norm nor an RMS norm.
    """
    check_linear(objective)
    check_foils(prompts, objective, instead="logit")
    found = []
    for answers in answers_of(model, [prompts]):
        z: dict[int, Tensor] = {}
        with torch.enable_grad(), _direct_path(model):
            hidden = answers.run({layer: keeping(z, layer) for layer in range(model.n_layers)})[0]
            total = _objective(answers, hidden, objective)
            gradients = torch.autograd.grad(total, [z[layer] for layer in range(model.n_layers)])
        each = [(wide(g[0]) * wide(z[layer][0].detach())).sum(-1) for layer, g in enumerate(gradients)]
        found.append(by_prompt(torch.stack(each, 1), answers))
    return torch.cat(found).numpy()


def check_linear(objective: str) -> None:
    """Raise `InputError` unless the objective of that name is linear in the logits."""
    if objectives.get(objective).linear is None:
        known = ", ".join(name for name in objectives if objectives.get(name).linear is not None)
        raise InputError(
            f"'{objective}' is not linear in the logits, so it is no sum of what heads write. Give a metric that is: "
            f"{known}."
        )


def _objective(answers: Answers, hidden: Float[Tensor, "token width"], objective: str) -> Tensor:
    """Return the sum over prompts of the objective, the mean over the answer's tokens that it reads."""
    model = answers.model
    out = Unembedding(model.model.get_output_embeddings().weight)
    linear = objectives.get(objective).linear
    assert linear is not None, "checked"
    total = hidden.new_zeros((), dtype=wide(hidden).dtype)
    for prompt, targets, at in zip(answers.prompts, answers.block.targets, answers.block.predicting, strict=True):
        direction, which = linear(out, prompt, targets)
        total = total + (wide(hidden[at[which]]) * direction).sum(-1).mean()
    return total * model.logit_scale()


@contextmanager
def _direct_path(model: "HeadModel") -> Iterator[None]:
    """Let gradients reach z through the residual stream only, with norms' scales frozen."""
    norms = [m for m in model.model.modules() if _is_norm(m)]
    inside = [m for layer in model.layers for m in layer.children() if not _is_norm(m) and not _is_plain(m)]
    with ExitStack() as stack:
        stack.enter_context(on_every_input(inside, torch.detach))
        stack.enter_context(on_results(norms, _frozen))
        yield


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.LayerNorm) or type(module).__name__.endswith("Norm")


def _is_plain(module: nn.Module) -> bool:
    """Whether a module stands on the residual path without changing it."""
    return isinstance(module, nn.Dropout | nn.Identity)


def _frozen(norm: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return a norm's result `y` as a linear function of `x` alone: its scale and bias are constants."""
    if not x.requires_grad:
        return y
    seen, out = wide(x.detach()), wide(y.detach())
    change = wide(x) - seen
    if isinstance(norm, nn.LayerNorm):
        gain: Tensor | float = 1.0 if norm.weight is None else wide(norm.weight)
        scale = torch.rsqrt(seen.var(-1, keepdim=True, unbiased=False) + norm.eps)
        return (out + _centred(change) * scale * gain).to(y.dtype)
    bound = (1e-4 if y.dtype in (torch.float32, torch.float64) else 5e-2) * out.abs().max()
    gain = _gain(norm, x)
    scale, error = _scale(out, gain, seen)
    if error > bound:  # no RMS norm; a layer norm of the family's own class?
        gain, change = _centred_gain(norm, x), _centred(change)
        scale, error = _scale(out, gain, _centred(seen))
    if not error <= bound:
        raise ModelError(
            f"{type(norm).__name__} is neither a layer norm nor an RMS norm, so what passes through it can't be "
            "told apart by head. Give another method, e.g. --method attribution."
        )
    return (out + change * scale * gain).to(y.dtype)


def _scale(
    out: Float[Tensor, "*position width"], gain: Float[Tensor, " width"], x: Float[Tensor, "*position width"]
) -> tuple[Float[Tensor, "*position 1"], Float[Tensor, ""]]:
    """Return the scale of every position, ``out = scale * gain * x``, and the largest error of that."""
    size = (gain * x).square().sum(-1, keepdim=True).clamp_min(1e-30)
    scale = (out * gain * x).sum(-1, keepdim=True) / size
    return scale, (scale * gain * x - out).abs().max()


def _centred(x: Float[Tensor, "*position width"]) -> Float[Tensor, "*position width"]:
    return x - x.mean(-1, keepdim=True)


@torch.no_grad()
def _gain(norm: nn.Module, x: Tensor) -> Float[Tensor, " width"]:
    """Return the weight by which an RMS norm multiplies: its result for an input of ones, up to a factor.

    Families differ in whether the weight or 1 + weight multiplies; what comes out of the module does not.
    """
    forward = type(norm).forward  # not the call: it would run this hook again
    return wide(forward(norm, torch.full_like(x.reshape(-1, x.shape[-1])[:1], 64.0)))[0]


@torch.no_grad()
def _centred_gain(norm: nn.Module, x: Tensor) -> Float[Tensor, " width"]:
    """Return the weight by which a norm multiplies that takes the mean off first, up to a factor; without a bias."""
    signs = torch.full_like(x.reshape(-1, x.shape[-1])[:1], 64.0)
    signs[..., ::2] *= -1
    signs = _centred(signs)
    return (wide(type(norm).forward(norm, signs)) / wide(signs))[0]
