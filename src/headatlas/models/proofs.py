"""Proofs, on a model itself and at load, that its heads are where the architectures table says.

1. z has n_heads x head_dim entries in every layer, the heads' contributions plus the bias sum to the projection's
   output, and replacing z moves the logits: else `ModelError`.
2. The logits made of hidden states are those of the model's own forward pass: else `ModelError`.
3. A small pack of prompts gives what they give alone: else prompts run one at a time (`Access.unpacked` says why).
4. Answers run apart from their prompts (`models.block`), as the model is and with a head ablated in the first and the
   last layer, give the logits of stock passes: else prompts run whole (`Access.unsplit` says why). Attention
   with a term that the block's own does not have ends here; learned sinks that it is handed (`s_aux`) it has.

All is proved on two texts of 8 tokens that branch, by one stock pass, one pack and one block, with sliding windows cut
to 3 positions, so that they are crossed.

It does not know prompts' meaning, nor what the model is used for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.errors import ModelError
from headatlas.models.access import Access
from headatlas.models.block import Block, Variants
from headatlas.models.hooks import on_first_input
from headatlas.models.tree import pack
from headatlas.prompts import Prompt


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
    if model.model.get_output_embeddings() is None:
        raise ModelError(f"{type(model.model).__name__} names no output layer (get_output_embeddings() is None).")
    tokens = (torch.arange(8, dtype=torch.long) * 7919 % min(int(model.text_config.vocab_size), 5000)).numpy()
    texts = [tokens, np.concatenate([tokens[:5], tokens[2:5]])]
    with model.windows_of(3):
        stock = _stock(model, texts)
        _prove_moves(model, stock)
        error = _distance(model.logits_of(stock.hidden), stock.logits)
        if not error <= model.rounding:
            raise ModelError(
                f"{model.name}: the logits made of the last hidden states differ by {error:.1e} of their size from "
                f"those of {type(model.model).__name__}'s forward pass: they depend on more than what goes into its "
                "output layer, and no effect on them can be measured."
            )
        model.unpacked = model.unpacked or _packed_differs(model, texts, stock)
        model.unsplit = model.unsplit or model.unpacked or _apart_differs(model, texts, stock)


@dataclass(frozen=True)
class Stock:
    """One pass of the model over two texts of one length, every row as if alone.

    Rows: both texts as they are; both with a head of the first layer replaced by zero where it predicts the answer;
    both so with one of the last layer; then the first text with all z of the first layer moved, and so of the last.
    """

    layers: tuple[int, ...]
    hidden: Float[Tensor, "row token width"]
    logits: Float[Tensor, "row token vocab"]


def _answers(texts: list[Int[np.ndarray, " length"]]) -> list[Prompt]:
    """Return the texts as prompts: the first one's last three tokens are its answer, the second one's last two."""
    starts = (len(texts[0]) - 3, len(texts[0]) - 2)
    return [Prompt("", t, s, np.array([s - 1]), "", "", 0, "", "", "") for t, s in zip(texts, starts, strict=True)]


def _stock(model: Access, texts: list[Int[np.ndarray, " length"]]) -> Stock:
    """Run the model, and prove that z is as wide as the heads are and sums to the projection's output."""
    layers = tuple(sorted({0, model.n_layers - 1}))
    width, n = model.n_heads * model.head_dim, len(texts)
    seen: dict[int, Tensor] = {}
    hidden: list[Tensor] = []

    def on_z(layer: int) -> Callable[[Tensor], Tensor | None]:
        def function(x: Tensor) -> Tensor | None:
            seen[layer] = x[:1]
            if layer not in layers or x.shape[-1] != width:
                return None
            row, new = layers.index(layer), model.split_heads(x).clone()
            for i, prompt in enumerate(_answers(texts)):
                new[n * (1 + row) + i, prompt.answer_start - 1 :, -1] = 0
            new[n * (1 + len(layers)) + row] += x[:1].std() + 1
            return new.reshape(x.shape)

        return function

    ids = np.stack([*texts * (1 + len(layers)), *texts[:1] * len(layers)])
    output = on_first_input([(model.model.get_output_embeddings(), hidden.append)])
    with output, model.on_z({layer: on_z(layer) for layer in range(model.n_layers)}):
        logits = model.model(input_ids=torch.from_numpy(ids).to(model.device), use_cache=False).logits
    for layer in range(model.n_layers):
        got = tuple(seen[layer].shape) if layer in seen else None
        if got != (1, len(texts[0]), width):
            raise ModelError(
                f"{model.name}, layer {layer}: the input of '{model.architecture.projection}' has shape {got}, "
                f"expected (1, {len(texts[0])}, {width}) = (batch, position, {model.n_heads} heads x "
                f"{model.head_dim}). Mend its entry in headatlas/models/architectures.py."
            )
    for layer in layers:
        _prove_sum(model, layer, seen[layer])
    return Stock(layers, hidden[0], logits)


def _prove_moves(model: Access, stock: Stock) -> None:
    """Prove that replacing z moves the logits."""
    for layer, moved in zip(stock.layers, stock.logits[-len(stock.layers) :], strict=True):
        if not _distance(moved, stock.logits[0]) > 0:
            raise ModelError(
                f"{model.name}: replacing z in layer {layer} does not move the logits, so what was found at "
                f"'{model.architecture.projection}' is not what the model uses."
            )


def _distance(found: Float[Tensor, "..."], expected: Float[Tensor, "..."]) -> float:
    """Return the largest difference, relative to the largest finite value; equal infinities do not differ."""
    difference = torch.where(found == expected, 0.0, (found - expected).abs().float())
    size = torch.where(expected.isfinite(), expected.abs(), 0).max().float()
    return float(difference.max() / size.clamp_min(1e-30))


def _typical(model: Access, found: Float[Tensor, "token vocab"], expected: Float[Tensor, "token vocab"]) -> float:
    """Return the largest distance of a token's logits; where rounding can flip an expert's choice, the median one."""
    each = [_distance(*pair) for pair in zip(found, expected, strict=True)]
    return max(each) if model.dtype in (torch.float32, torch.float64) else float(np.median(each))


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


def _packed_differs(model: Access, texts: list[Int[np.ndarray, " length"]], stock: Stock) -> str | None:
    """Return why a small pack is not equal to its texts run alone, or None if it is."""
    tree = pack(texts)
    together = model.logits(tree, np.array([path[-1] for path in tree.paths]))
    error = _distance(together, stock.logits[: len(texts), -1])
    return None if error <= model.rounding else f"packed results differ from single prompts by {error:.1e}"


def _apart_differs(model: Access, texts: list[Int[np.ndarray, " length"]], stock: Stock) -> str | None:
    """Return why answers run apart from their prompts are not what stock passes give, or None if they are."""
    zero = torch.zeros(1, model.head_dim, device=model.device)
    head = torch.tensor([model.n_heads - 1], device=model.device)
    try:
        block = Block(model, _answers(texts))
        logits = model.logits_of(block.run({layer: Variants(head, zero) for layer in stock.layers}))
    except Exception as raised:  # whatever a model's own attention, cache or masks make of it
        first = (str(raised).strip().splitlines() or [""])[0]
        return f"its answers can't be run apart from their prompts ({type(raised).__name__}: {first})"
    whole = stock.logits[: -len(stock.layers)].unflatten(0, (-1, len(texts)))
    found = torch.cat([logits[:, at] for at in block.predicting], 1)
    expected = torch.cat([whole[:, i, torch.from_numpy(p.predicting)] for i, p in enumerate(block.prompts)], 1)
    error = max(_typical(model, *rows) for rows in zip(found, expected, strict=True))
    return None if error <= model.rounding else f"answers run apart from their prompts differ by {error:.1e}"
