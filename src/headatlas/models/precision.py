"""Numbers wide enough to be exponentiated: logits and attention scores in float32 at least."""

import torch
from torch import Tensor


def wide(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is in float64."""
    return x if x.dtype == torch.float64 else x.float()


def capped(scores: Tensor, softcap: float | None) -> Tensor:
    """Return attention scores in float32 at least, soft-capped where the model does so."""
    scores = wide(scores)
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap
