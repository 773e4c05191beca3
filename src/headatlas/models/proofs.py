"""Proofs, on a model itself and at load, that its heads are where the architectures table says.

1. z has n_heads x head_dim entries in every layer, the heads' contributions plus the bias sum to the projection's
   output, and replacing z moves the logits: else `ModelError`.
2. A small pack of prompts gives what they give alone: else prompts run one at a time (`Access.unpacked` says why).

It does not know prompts' meaning, nor what the model is used for.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.errors import ModelError
from headatlas.models.access import Access
from headatlas.models.tree import pack


@torch.inference_mode()
def prove(model: Access) -> None:
    """Prove that the heads are where the table says.

    Raises
    ------
    ModelError
        Naming the proof that failed, the layer, what was found and what was expected.
    """
    if len(model.projections) != model.n_layers:
        raise ModelError(
            f"{model.name}: its config says {model.n_layers} layers, '{model.architecture.layers}' has "
            f"{len(model.projections)}. Mend its entry in headatlas/models/architectures.py."
        )
    vocab = int(model.text_config.vocab_size)
    tokens = (torch.arange(8, dtype=torch.long) * 7919 % min(vocab, 5000)).numpy()
    seen: dict[int, Tensor] = {}
    with model.on_z({i: lambda x, i=i: seen.__setitem__(i, x) for i in range(model.n_layers)}):  # type: ignore[misc]
        plain = model.logits(pack([tokens]), np.array([7]))
    width = model.n_heads * model.head_dim
    for layer in range(model.n_layers):
        got = tuple(seen[layer].shape) if layer in seen else None
        if got != (1, 8, width):
            raise ModelError(
                f"{model.name}, layer {layer}: the input of '{model.architecture.projection}' has shape {got}, "
                f"expected (1, 8, {width}) = (batch, position, {model.n_heads} heads x {model.head_dim}). "
                "Mend its entry in headatlas/models/architectures.py."
            )
    for layer in {0, model.n_layers - 1}:
        _prove_sum(model, layer, seen[layer])
        with model.on_z({layer: lambda x: x + x.std() + 1.0}):
            edited = model.logits(pack([tokens]), np.array([7]))
        if not (edited - plain).abs().max() > 0:
            raise ModelError(
                f"{model.name}: replacing z in layer {layer} does not move the logits, so what was found at "
                f"'{model.architecture.projection}' is not what the model uses."
            )
    _prove_packing(model, tokens, plain)


def _prove_sum(model: Access, layer: int, x: Tensor) -> None:
    project = model.projections[layer]
    zero = project(torch.zeros_like(x))
    z = model.split_heads(x)
    total = zero.double()
    for head in range(model.n_heads):
        alone = torch.zeros_like(z)
        alone[..., head, :] = z[..., head, :]
        total = total + (project(alone.reshape(x.shape)) - zero).double()
    whole = project(x).double()
    error = float((total - whole).abs().max() / whole.abs().max().clamp_min(1e-30))
    if error > model.rounding:
        raise ModelError(
            f"{model.name}, layer {layer}: the heads' contributions plus the bias differ from the "
            f"projection's output by {error:.1e} of its size; its heads can't be told apart there."
        )


def _prove_packing(model: Access, tokens: Int[np.ndarray, " length"], plain: Float[Tensor, "1 vocab"]) -> None:
    """Fall back to one prompt at a time where a small pack is not equal to its prompts run alone.

    `plain` is what `tokens` gave alone.
    """
    if model.unpacked:
        return
    pair = [tokens, np.concatenate([tokens[:5], tokens[2:5]])]
    tree = pack(pair)
    together = model.logits(tree, np.array([path[-1] for path in tree.paths]))
    alone = torch.cat([plain, model.logits(pack(pair[1:]), np.array([len(pair[1]) - 1]))])
    error = float((together - alone).abs().max() / alone.abs().max().clamp_min(1e-30))
    if error > model.rounding:
        model.unpacked = f"packed results differ from single prompts by {error:.1e}"
