"""Where the heads of a Hugging Face causal language model are, and how what flows in it is read and replaced.

A *head* here is a query head, and its output is z: the input of its layer's attention output projection, reshaped to
(…, n_heads, head_dim).

1. `Access` finds layers and projections by the architectures table.
2. `on_z`, `on_layers` and `on_output` read or replace what goes into projections, layers and the output layer, inside
   a ``with`` (`models.hooks`); `attending` has the model attend by another function. They nest and always restore.
3. `logits` runs token trees, under masks that this architecture takes (`mask`); `logits_of` turns hidden states found
   by `on_output` into logits.

What runs a model goes through these names; nothing else knows where an architecture keeps what. It does not know
prompts, answers, or what is asked of the logits.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headatlas.errors import ModelError
from headatlas.models.architectures import (
    Architecture,
    architecture_of,
    exact_when_packed,
    head_shape,
    projections,
    text_config,
    walk,
)
from headatlas.models.hooks import Replace, noting_results, on_first_input, on_results, standing_in
from headatlas.models.tree import TokenTree

Z = Float[Tensor, "batch position head head_dim"]

ATTENTION = "headatlas"
"""What `Access.attending` registers its function as at transformers."""


@dataclass
class Access:
    """A causal language model with its layers, heads and output in reach.

    Attributes
    ----------
    model, tokenizer
        The stock Hugging Face objects; the model is in eval mode, its weights take no gradients, and it is never
        modified.
    name, revision
        What it was loaded as.
    n_layers, n_heads, n_kv_heads, head_dim
        Query head h reads KV head ``h // (n_heads // n_kv_heads)``.
    context
        Longest prompt in tokens.
    unpacked
        Why prompts are run one at a time instead of packed as token trees; None when they are packed.
    unsplit
        Why the answer's positions can't be run apart from their prompt (`models.block`); None when they can.
    architecture, text_config
        The table's entry, and the config of the text model.
    layers, projections
        The decoder layers, and each one's attention output projection.

    Raises
    ------
    ModelError
        The architecture is unknown, or its entry does not fit the model.
    """

    model: Any
    tokenizer: Any
    name: str
    revision: str | None = None
    n_layers: int = field(init=False)
    n_heads: int = field(init=False)
    n_kv_heads: int = field(init=False)
    head_dim: int = field(init=False)
    context: int = field(init=False)
    unpacked: str | None = field(init=False)
    unsplit: str | None = field(init=False)
    architecture: Architecture = field(init=False)
    text_config: Any = field(init=False)
    layers: Any = field(init=False)
    projections: list[nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)  # weights are never trained: backward passes skip them
        if self.dtype == torch.float64:  # the grouped kernels of mixtures of experts know no float64
            self.model.set_experts_implementation("eager")
        config = self.model.config
        self.architecture = architecture_of(config)
        shape = head_shape(config, self.architecture)
        self.n_layers, self.n_heads = shape.n_layers, shape.n_heads
        self.n_kv_heads, self.head_dim = shape.n_kv_heads, shape.head_dim
        self.text_config = text_config(config, self.architecture)
        self.context = int(getattr(self.text_config, "max_position_embeddings", 0) or 1 << 30)
        self.projections = list(projections(self.model, self.architecture))
        self.layers = walk(self.model, self.architecture.layers)
        self.unpacked = exact_when_packed(config, self.architecture)
        self.unsplit = self.own_attention or self.unpacked

    @property
    def own_attention(self) -> str | None:
        """Why the model's attention can't be replaced; None where it asks transformers' attention interface."""
        if getattr(self.model, "_supports_attention_backend", False):
            return None
        return f"{type(self.model).__name__} computes attention in its own code"

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's weights."""
        return next(self.model.parameters()).dtype

    @property
    def rounding(self) -> float:
        """Relative error that rounding explains in this dtype; a proof fails beyond it."""
        return 1e-4 if self.dtype in (torch.float32, torch.float64) else 5e-2

    def window(self, layer: int) -> int | None:
        """Return how many positions back a layer attends, itself included; None without a limit."""
        window = getattr(self.text_config, "sliding_window", None)
        if self.architecture.masks == "by_layer_type":
            return window if self.text_config.layer_types[layer] == "sliding_attention" else None
        return window

    @contextmanager
    def windows_of(self, size: int) -> Iterator[None]:
        """Cut the model's sliding windows to `size` positions at most, so that a short text crosses them.

        Stock masks and those made here follow the config alike; nothing else of a layer does.
        """
        before = getattr(self.text_config, "sliding_window", None)
        if before is None:
            yield
            return
        self.text_config.sliding_window = min(before, size)
        try:
            yield
        finally:
            self.text_config.sliding_window = before

    # -- reading and replacing ----------------------------------------------------------------------

    def split_heads(self, x: Tensor) -> Z:
        """Reshape a projection's input (…, n_heads * head_dim) to (…, n_heads, head_dim); a view."""
        return x.unflatten(-1, (self.n_heads, self.head_dim))

    def on_z(self, functions: Mapping[int, Replace]) -> AbstractContextManager[None]:
        """Call ``functions[layer](x)`` on the projection's input x (batch, position, n_heads * head_dim)."""
        return on_first_input((self.projections[layer], function) for layer, function in functions.items())

    def on_layers(self, functions: Mapping[int, Replace]) -> AbstractContextManager[None]:
        """Replace the hidden states that go into decoder layers: ``functions[layer](hidden)``."""
        pairs = ((self.layers[layer], function) for layer, function in functions.items())
        return on_first_input(pairs, keyword="hidden_states")

    def on_output(self, found: list[Tensor]) -> AbstractContextManager[None]:
        """Append to `found` the hidden states that go into the output layer, and run that for one token only."""

        def first_token(hidden: Tensor) -> Tensor:
            found.append(hidden)
            return hidden[:1, :1]

        return on_first_input([(self.model.get_output_embeddings(), first_token)])

    @contextmanager
    def attending(self, attend: Callable[..., Any]) -> Iterator[None]:
        """Let the model's layers attend by `attend`, of the signature of transformers' attention functions."""
        from transformers import AttentionInterface

        AttentionInterface.register(ATTENTION, attend)
        try:
            with self.attention_implementation(ATTENTION):
                yield
        finally:
            AttentionInterface.register(ATTENTION, _idle)  # lets go of the function and what it holds

    @contextmanager
    def attention_implementation(self, name: str) -> Iterator[None]:
        """Have the model use another attention implementation that transformers knows."""
        config = self.text_config
        before = config._attn_implementation
        config._attn_implementation = name
        try:
            yield
        finally:
            config._attn_implementation = before

    # -- running ------------------------------------------------------------------------------------

    def logits_of(self, hidden: Float[Tensor, "*position width"]) -> Float[Tensor, "*position vocab"]:
        """Return the logits of hidden states that `on_output` found, as the model makes them.

        Whatever a family does behind its output layer (scales, caps, tokens it bars) is done by its own forward pass,
        which goes on from these hidden states; nothing before the output layer runs again.
        """
        batch = hidden if hidden.ndim == 3 else hidden[None]
        logits = self._ending(on_first_input([(self.model.get_output_embeddings(), lambda _: batch)]))
        return logits if hidden.ndim == 3 else logits[0]

    @torch.inference_mode(False)
    def logit_scale(self) -> float:
        """Return the derivative of a logit with respect to what the output layer gives for it, at 0.

        It is what the model multiplies its logits by; a soft cap is the identity there.

        Raises
        ------
        ModelError
            It is not the same for all tokens.
        """
        raw = torch.zeros(1, 1, int(self.model.get_output_embeddings().weight.shape[0]), dtype=self.dtype)
        raw = raw.to(self.device).requires_grad_()
        with torch.enable_grad():
            logits = self._ending(on_results([self.model.get_output_embeddings()], lambda *_: raw))
            (slope,) = torch.autograd.grad(logits.sum(), raw)
        low, high = float(slope.min()), float(slope.max())
        if low != high:
            raise ModelError(
                f"{self.name} multiplies the logits of its tokens by different numbers ({low:.3g} to {high:.3g}), so "
                "what is written into them can't be compared. Give another method, e.g. --method attribution."
            )
        return high

    def _ending(self, hooked: AbstractContextManager[None]) -> Float[Tensor, "batch position vocab"]:
        """Run the end of the model's own forward pass, from the output layer on, with hooks on that."""
        name = self.architecture.layers.split(".")[0]
        body = getattr(self.model, name)
        if not hasattr(self, "_body"):  # what the body returns, to stand in for its run
            self._body: list[Any] = []
            with torch.inference_mode(False), torch.no_grad(), noting_results(body, self._body):
                self.model(input_ids=self._one_token(), use_cache=False)
        # a body that never ran is but a list of layers: then the one token runs through them
        with standing_in(body, self._body[0]) if self._body else nullcontext(), hooked:
            return self.model(input_ids=self._one_token(), use_cache=False).logits

    def _one_token(self) -> Int[Tensor, "1 1"]:
        return torch.zeros(1, 1, dtype=torch.long, device=self.device)

    def logits(self, tree: TokenTree, nodes: Int[np.ndarray, " n"], *, cache: Any = None) -> Float[Tensor, "n vocab"]:
        """Run a tree; return the logits at `nodes`, float32. A transformers `cache` keeps keys and values.

        Trees are padded to few distinct lengths: the kernels keep memory for every shape they meet.
        """
        chain = len(tree.paths) == 1  # a plain prompt: the model's own causal mask is exact and faster
        padding = (0, 0 if chain else padded(len(tree)) - len(tree))
        inputs: dict[str, Any] = {"input_ids": torch.from_numpy(np.pad(tree.tokens, padding))[None].to(self.device)}
        if not chain:
            inputs["position_ids"] = torch.from_numpy(np.pad(tree.depth, padding))[None].to(self.device)
            inputs["attention_mask"] = self.mask(tree)
        asked = np.pad(nodes, (0, padded(len(nodes)) - len(nodes)), mode="edge")
        keep = torch.from_numpy(asked).to(self.device)
        out = self.model(**inputs, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep)
        return out.logits[0, : len(nodes)].float()

    def mask(self, tree: TokenTree) -> Any:
        """Return the tree's attention mask in the form this architecture takes: additive, (1, 1, node, node).

        It covers the padded sequence; a padding node sees itself only.
        """
        window = getattr(self.text_config, "sliding_window", None)
        size = padded(len(tree))

        def additive(cut: int | None) -> Tensor:
            seen = torch.eye(size, dtype=torch.bool)
            seen[: len(tree), : len(tree)] = tree.mask(window=cut)
            mask = torch.zeros(size, size, dtype=self.dtype).masked_fill_(~seen, torch.finfo(self.dtype).min)
            return mask[None, None].to(self.device)

        if self.architecture.masks == "single":
            return additive(window)
        kinds = set(self.text_config.layer_types)
        return {kind: additive(window if kind == "sliding_attention" else None) for kind in kinds}

    def open_mask(self, size: int) -> Any:
        """Return a mask that hides nothing, for attention that knows by itself what is seen (`attending`)."""
        mask = torch.zeros(1, 1, size, size, dtype=self.dtype, device=self.device)
        if self.architecture.masks == "single":
            return mask
        return dict.fromkeys(set(self.text_config.layer_types), mask)


def padded(n: int) -> int:
    """Round a length up to a multiple of 32: the kernels keep memory for every shape they meet."""
    return -(-n // 32) * 32


def _idle(*_: Any, **__: Any) -> Any:
    raise RuntimeError("headatlas's attention is registered only inside Access.attending")
