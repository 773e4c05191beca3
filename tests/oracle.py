"""Obviously right twins for the methods that run the model: whole prompts, plain hooks, stock attention."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from headatlas.models.architectures import projections
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt


@contextmanager
def plain_hooks(model: HeadModel, function: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
    """Replace the z of every layer by ``function(layer, z)``, z of shape (row, position, head, head_dim)."""
    handles = []
    for layer, module in enumerate(projections(model.model, model.architecture)):

        def hook(_module, args, layer=layer):
            z = args[0].unflatten(-1, (model.n_heads, model.head_dim))
            return (function(layer, z).reshape(args[0].shape), *args[1:])

        handles.append(module.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


OnZ = Callable[[int, Tensor], Tensor]


def logits_at_answer(
    model: HeadModel, prompt: Prompt, function: OnZ | None = None, positions: str = "answer"
) -> Tensor:
    """Return the logits that predict the answer's tokens; `function` replaces z at the answer positions, or at all."""
    start = prompt.answer_start - 1 if positions == "answer" else 0
    end = len(prompt.tokens) - 1

    def at_answers(layer: int, z: Tensor) -> Tensor:
        if function is None:
            return z
        return torch.cat([z[:, :start], function(layer, z[:, start:end]), z[:, end:]], 1)

    with plain_hooks(model, at_answers):
        logits = model.model(input_ids=torch.from_numpy(prompt.tokens)[None], use_cache=False).logits[0]
    return logits[prompt.predicting]


def logprob(model: HeadModel, prompt: Prompt, function: OnZ | None = None, positions: str = "answer") -> Tensor:
    """Return the mean log-probability of the answer's tokens (`logits_at_answer`)."""
    logits = logits_at_answer(model, prompt, function, positions)
    return logits.log_softmax(-1)[range(len(logits)), prompt.answer_tokens].mean()


def difference(model: HeadModel, prompt: Prompt, function: OnZ | None = None, positions: str = "answer") -> Tensor:
    """Return the logit of the answer's token over the foil's, at the first in which they differ."""
    k = next(i for i, (a, b) in enumerate(zip(prompt.answer_tokens, prompt.foil, strict=False)) if a != b)
    logits = logits_at_answer(model, prompt, function, positions)[k]
    return logits[int(prompt.answer_tokens[k])] - logits[int(prompt.foil[k])]


def in_float64(model: HeadModel, monkeypatch: pytest.MonkeyPatch) -> HeadModel:
    """Let what transformers computes in float32 (RMS norms, routers, softmaxes) run in the model's float64."""
    for module in model.model.modules():
        if type(module).__name__.startswith("Cohere") and type(module).__name__.endswith("LayerNorm"):

            def centred(x: Tensor, module=module) -> Tensor:
                x = x - x.mean(-1, keepdim=True)
                return module.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon)

            monkeypatch.setattr(module, "forward", centred)
        if type(module).__name__.endswith("RMSNorm"):
            eps = getattr(module, "variance_epsilon", None) or module.eps
            gain = 1 + module.weight if type(module).__name__.startswith("Gemma") else module.weight

            def forward(x: Tensor, eps=eps, gain=gain) -> Tensor:
                return gain * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)

            monkeypatch.setattr(module, "forward", forward)
    softmax = torch.nn.functional.softmax
    monkeypatch.setattr(torch.nn.functional, "softmax", lambda x, dim=-1, dtype=None: softmax(x, dim=dim))
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x)  # the routers' own casts
    return model
