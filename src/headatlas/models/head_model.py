"""A Hugging Face causal language model, seen head by head.

A *head* here is a query head, and its output is z: the input of its layer's attention output projection,
reshaped to (…, n_heads, head_dim). Reading and replacing z is done with forward pre-hooks on that
projection (`models.hooks`).

1. `HeadModel` finds every layer's projection by the architectures table and proves on the model itself that
   it is right (`prove`): z has n_heads x head_dim entries in every layer, the heads' contributions plus the
   bias sum to the projection's output, and replacing z moves the logits.
2. `edit` replaces z inside a ``with``; it nests, always restores, and holds in any code that calls the model.
3. `capture` runs prompts packed as token trees and keeps, for every prompt, the mean z over its chosen
   positions and the log-probabilities of its reference answer and its foil.
4. `generate` continues prompts greedily.

It does not know questions, functions or files.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.errors import InputError, ModelError, RunError
from headatlas.models.architectures import (
    architecture_of,
    exact_when_packed,
    head_shape,
    projections,
    text_config,
    walk,
)
from headatlas.models.captured import Captured, score, texts_of
from headatlas.models.hooks import Replace, on_first_input
from headatlas.models.memory import within_memory
from headatlas.models.tree import TokenTree, pack
from headatlas.prompts import Prompt

Z = Float[Tensor, "batch position head head_dim"]
Edit = Callable[[Z], Z]
"""Takes the z of one layer, returns what replaces it (same shape)."""


@dataclass
class HeadModel:
    """A causal language model whose attention heads can be read and replaced.

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

    Raises
    ------
    ModelError
        The architecture is unknown, or the model fails one of the proofs.
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

    def __post_init__(self) -> None:
        self.model.eval().requires_grad_(False)  # weights are never trained: backward passes skip them
        if self.dtype == torch.float64:  # the grouped kernels of mixtures of experts know no float64
            self.model.set_experts_implementation("eager")
        config = self.model.config
        self._architecture = architecture_of(config)
        shape = head_shape(config, self._architecture)
        self.n_layers, self.n_heads = shape.n_layers, shape.n_heads
        self.n_kv_heads, self.head_dim = shape.n_kv_heads, shape.head_dim
        self._text_config = text_config(config, self._architecture)
        self.context = int(getattr(self._text_config, "max_position_embeddings", 0) or 1 << 30)
        self._projections = list(projections(self.model, self._architecture))
        self._layers = walk(self.model, self._architecture.layers)
        self.unpacked = exact_when_packed(config, self._architecture)
        self.unsplit = self.unpacked
        if not getattr(self.model, "_supports_attention_backend", False):
            self.unsplit = f"{type(self.model).__name__} computes attention in its own code"
        self.prove()

    def __repr__(self) -> str:
        return (
            f"HeadModel({self.name!r}, {self._text_config.model_type}, {self.n_layers} layers x {self.n_heads} heads "
            f"of {self.head_dim}, {self.n_kv_heads} KV heads, {str(self.dtype).removeprefix('torch.')} "
            f"on {self.device})"
        )

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next(self.model.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's weights."""
        return next(self.model.parameters()).dtype

    @property
    def digest(self) -> str:
        """A sha256 over every weight's name, shape and dtype and up to 65,536 evenly spaced values of each."""
        if not hasattr(self, "_digest"):
            state = hashlib.sha256()
            for name, weight in sorted(self.model.state_dict().items()):
                state.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
                flat = weight.detach().reshape(-1)
                step = max(1, flat.numel() // 65536)
                state.update(flat[::step].to("cpu", torch.float32).contiguous().numpy().tobytes())
            self._digest = state.hexdigest()
        return self._digest

    # -- reading and replacing z ------------------------------------------------------------------

    def _on_z(self, functions: Mapping[int, Replace]) -> AbstractContextManager[None]:
        """Call ``functions[layer](x)`` on the projection's input x (batch, position, n_heads * head_dim)."""
        return on_first_input((self._projections[layer], function) for layer, function in functions.items())

    def _on_layers(self, functions: Mapping[int, Replace]) -> AbstractContextManager[None]:
        """Replace the hidden states that go into decoder layers: ``functions[layer](hidden)``."""
        pairs = ((self._layers[layer], function) for layer, function in functions.items())
        return on_first_input(pairs, keyword="hidden_states")

    def _on_output(self, found: list[Tensor]) -> AbstractContextManager[None]:
        """Append to `found` the hidden states that go into the output layer, and run that for one token only."""

        def first_token(hidden: Tensor) -> Tensor:
            found.append(hidden)
            return hidden[:1, :1]

        return on_first_input([(self.model.get_output_embeddings(), first_token)])

    def _logits_of(self, hidden: Float[Tensor, "*position width"]) -> Float[Tensor, "*position vocab"]:
        """Return the logits of hidden states that `_on_output` found, as the model makes them."""
        logits = self.model.get_output_embeddings()(hidden)
        if scale := getattr(self._text_config, "logits_scaling", None):
            logits = logits / scale
        if cap := getattr(self._text_config, "final_logit_softcapping", None):
            logits = torch.tanh(logits / cap) * cap
        return logits

    def _window(self, layer: int) -> int | None:
        """Return how many positions back a layer attends, itself included; None without a limit."""
        window = getattr(self._text_config, "sliding_window", None)
        if self._architecture.masks == "by_layer_type":
            return window if self._text_config.layer_types[layer] == "sliding_attention" else None
        return window

    def split_heads(self, x: Tensor) -> Z:
        """Reshape a projection's input (…, n_heads * head_dim) to (…, n_heads, head_dim); a view."""
        return x.unflatten(-1, (self.n_heads, self.head_dim))

    @contextmanager
    def edit(self, edits: Mapping[int, Edit]) -> Iterator["HeadModel"]:
        """Replace z inside the ``with``, in everything that calls the Hugging Face model.

        Parameters
        ----------
        edits
            Layer -> function of that layer's z, (batch, position, head, head_dim), returning what replaces
            it. The function sees the tokens of one forward call: the whole prompt, then, in `generate`, one
            token at a time. It must not write into its argument.

        Raises
        ------
        InputError
            A layer that does not exist, or an edit that changes z's shape.

        Notes
        -----
        Nested edits of one layer apply from the outer to the inner. Hooks are removed when the ``with``
        ends, also by an exception.
        """
        for layer in edits:
            if not 0 <= layer < self.n_layers:
                raise InputError(f"Layer {layer} does not exist: {self.name} has layers 0 to {self.n_layers - 1}.")

        def apply(edit: Edit, layer: int) -> Callable[[Tensor], Tensor]:
            def function(x: Tensor) -> Tensor:
                z = self.split_heads(x)
                new = edit(z)
                if new.shape != z.shape:
                    raise InputError(
                        f"The edit of layer {layer} returned shape {tuple(new.shape)}; z has {tuple(z.shape)}. "
                        "Return the same shape (batch, position, head, head_dim)."
                    )
                return new.reshape(x.shape).to(x.dtype)

            return function

        with self._on_z({layer: apply(edit, layer) for layer, edit in edits.items()}):
            yield self

    # -- proofs -------------------------------------------------------------------------------------

    @torch.inference_mode()
    def prove(self) -> None:
        """Prove on the model itself that the heads are where the table says.

        Raises
        ------
        ModelError
            Naming the proof that failed, the layer, what was found and what was expected.
        """
        if len(self._projections) != self.n_layers:
            raise ModelError(
                f"{self.name}: its config says {self.n_layers} layers, '{self._architecture.layers}' has "
                f"{len(self._projections)}. Mend its entry in headatlas/models/architectures.py."
            )
        vocab = int(self._text_config.vocab_size)
        tokens = (torch.arange(8, dtype=torch.long) * 7919 % min(vocab, 5000)).numpy()
        seen: dict[int, Tensor] = {}
        with self._on_z({i: lambda x, i=i: seen.__setitem__(i, x) for i in range(self.n_layers)}):  # type: ignore[misc]
            plain = self._logits(pack([tokens]), np.array([7]))
        width = self.n_heads * self.head_dim
        for layer in range(self.n_layers):
            got = tuple(seen[layer].shape) if layer in seen else None
            if got != (1, 8, width):
                raise ModelError(
                    f"{self.name}, layer {layer}: the input of '{self._architecture.projection}' has shape {got}, "
                    f"expected (1, 8, {width}) = (batch, position, {self.n_heads} heads x {self.head_dim}). "
                    "Mend its entry in headatlas/models/architectures.py."
                )
        for layer in {0, self.n_layers - 1}:
            self._prove_sum(layer, seen[layer])
            with self.edit({layer: lambda z: z + z.std() + 1.0}):
                edited = self._logits(pack([tokens]), np.array([7]))
            if not (edited - plain).abs().max() > 0:
                raise ModelError(
                    f"{self.name}: replacing z in layer {layer} does not move the logits, so what was found at "
                    f"'{self._architecture.projection}' is not what the model uses."
                )
        self._prove_packing(tokens, plain)

    def _prove_sum(self, layer: int, x: Tensor) -> None:
        project = self._projections[layer]
        zero = project(torch.zeros_like(x))
        z = self.split_heads(x)
        total = zero.double()
        for head in range(self.n_heads):
            alone = torch.zeros_like(z)
            alone[..., head, :] = z[..., head, :]
            total = total + (project(alone.reshape(x.shape)) - zero).double()
        whole = project(x).double()
        error = float((total - whole).abs().max() / whole.abs().max().clamp_min(1e-30))
        if error > self._rounding:
            raise ModelError(
                f"{self.name}, layer {layer}: the heads' contributions plus the bias differ from the "
                f"projection's output by {error:.1e} of its size; its heads can't be told apart there."
            )

    @property
    def _rounding(self) -> float:
        """Relative error that rounding explains in this dtype; a proof fails beyond it."""
        return 1e-4 if self.dtype in (torch.float32, torch.float64) else 5e-2

    def _prove_packing(self, tokens: Int[np.ndarray, " length"], plain: Float[Tensor, "1 vocab"]) -> None:
        """Fall back to one prompt at a time where a small pack is not equal to its prompts run alone.

        `plain` is what `tokens` gave alone.
        """
        if self.unpacked:
            return
        pair = [tokens, np.concatenate([tokens[:5], tokens[2:5]])]
        tree = pack(pair)
        together = self._logits(tree, np.array([path[-1] for path in tree.paths]))
        alone = torch.cat([plain, self._logits(pack(pair[1:]), np.array([len(pair[1]) - 1]))])
        error = float((together - alone).abs().max() / alone.abs().max().clamp_min(1e-30))
        if error > self._rounding:
            self.unpacked = f"packed results differ from single prompts by {error:.1e}"

    # -- running ------------------------------------------------------------------------------------

    def _mask(self, tree: TokenTree) -> Any:
        """Return the tree's attention mask in the form this architecture takes: additive, (1, 1, node, node).

        It covers the padded sequence; a padding node sees itself only.
        """
        window = getattr(self._text_config, "sliding_window", None)
        size = _padded(len(tree))

        def additive(cut: int | None) -> Tensor:
            seen = torch.eye(size, dtype=torch.bool)
            seen[: len(tree), : len(tree)] = tree.mask(window=cut)
            mask = torch.zeros(size, size, dtype=self.dtype).masked_fill_(~seen, torch.finfo(self.dtype).min)
            return mask[None, None].to(self.device)

        if self._architecture.masks == "single":
            return additive(window)
        kinds = set(self._text_config.layer_types)
        return {kind: additive(window if kind == "sliding_attention" else None) for kind in kinds}

    def _logits(self, tree: TokenTree, nodes: Int[np.ndarray, " n"], *, cache: Any = None) -> Float[Tensor, "n vocab"]:
        """Run a tree; return the logits at `nodes`, float32. A transformers `cache` keeps keys and values.

        Trees are padded to few distinct lengths: the kernels keep memory for every shape they meet.
        """
        chain = len(tree.paths) == 1  # a plain prompt: the model's own causal mask is exact and faster
        padding = (0, 0 if chain else _padded(len(tree)) - len(tree))
        inputs: dict[str, Any] = {"input_ids": torch.from_numpy(np.pad(tree.tokens, padding))[None].to(self.device)}
        if not chain:
            inputs["position_ids"] = torch.from_numpy(np.pad(tree.depth, padding))[None].to(self.device)
            inputs["attention_mask"] = self._mask(tree)
        asked = np.pad(nodes, (0, _padded(len(nodes)) - len(nodes)), mode="edge")
        keep = torch.from_numpy(asked).to(self.device)
        out = self.model(**inputs, past_key_values=cache, use_cache=cache is not None, logits_to_keep=keep)
        return out.logits[0, : len(nodes)].float()

    @torch.inference_mode()
    def capture(self, prompts: Sequence[Prompt]) -> Captured:
        """Run `prompts` and read pooled z and the answers' log-probabilities.

        The prompts are packed as one token tree (or run one at a time where `unpacked` says why). When memory
        runs out they are halved, down to single prompts.

        Raises
        ------
        RunError
            NaN or infinity in z (naming layer, head and prompt), or no memory for a single prompt.
        ModelError
            A token id that the model has no embedding for: its tokenizer is another model's.
        """
        vocab = self.model.get_input_embeddings().num_embeddings
        for prompt in prompts:
            if (highest := max(int(tokens.max()) for tokens, _ in texts_of([prompt]))) >= vocab:
                raise ModelError(
                    f"{prompt.id} has token {highest}, the model's embedding has {vocab}: the tokenizer is of another "
                    "model. Save the right one into the model's folder."
                )
        run = self._capture_apart if self.unpacked else self._capture_tree
        return Captured.joined(within_memory(lambda part, _: run(prompts[part]), prompts))

    def _capture_tree(self, prompts: Sequence[Prompt]) -> Captured:
        """Capture all of `prompts` and their foils in one forward pass over one tree."""
        texts = texts_of(prompts)
        tree = pack([tokens for tokens, _ in texts])
        chosen = [path[p.chosen] for path, p in zip(tree.paths, prompts, strict=False)]
        predicting = [path[start - 1 : -1] for path, (_, start) in zip(tree.paths, texts, strict=True)]
        pooled, logits, where = self._run(tree, chosen, predicting)
        return self._captured(
            prompts, pooled, [score(logits[at], t, s) for at, (t, s) in zip(where, texts, strict=True)]
        )

    def _capture_apart(self, prompts: Sequence[Prompt]) -> Captured:
        """Capture prompts and foils each in a forward pass of its own: slower, exact on any model."""
        texts, pooled, scores = texts_of(prompts), [], []
        for i, (tokens, start) in enumerate(texts):
            if i >= 2 * len(prompts) and len(tokens) == start:
                scores.append((np.nan, False))  # no foil
                continue
            if len(prompts) <= i < 2 * len(prompts) and prompts[i - len(prompts)].own is None:
                scores.append(scores[i - len(prompts)])  # the reference is what was pooled
                continue
            tree = pack([tokens])
            chosen = [prompts[i].chosen] if i < len(prompts) else []
            z, logits, where = self._run(tree, chosen, [np.arange(start - 1, len(tokens) - 1)])
            pooled += [z] if chosen else []
            scores.append(score(logits[where[0]], tokens, start))
        return self._captured(prompts, torch.cat(pooled, 1), scores)

    def _run(
        self, tree: TokenTree, chosen: Sequence[np.ndarray], predicting: Sequence[np.ndarray]
    ) -> tuple[Float[Tensor, "layer pooled width"], Float[Tensor, "asked vocab"], list[np.ndarray]]:
        """Run a tree; return mean z over each of `chosen`, the logits at all nodes of `predicting`, and which
        rows of them are each one's.
        """
        counts = torch.tensor([len(c) for c in chosen], dtype=torch.long, device=self.device)
        rows = torch.repeat_interleave(torch.arange(len(chosen), device=self.device), counts)
        nodes = torch.from_numpy(np.concatenate([*chosen, np.empty(0, np.int64)])).to(self.device)
        pooled = torch.zeros(self.n_layers, len(chosen), self.n_heads * self.head_dim, device=self.device)

        def pool(layer: int) -> Callable[[Tensor], None]:
            def function(x: Tensor) -> None:
                pooled[layer].index_add_(0, rows, x[0, nodes].float())

            return function

        asked, where = np.unique(np.concatenate(list(predicting)), return_inverse=True)
        with self._on_z({layer: pool(layer) for layer in range(self.n_layers)} if len(chosen) else {}):
            logits = self._logits(tree, asked)
        if len(chosen):
            pooled /= counts[None, :, None]
        ends = np.cumsum([len(p) for p in predicting])[:-1]
        return pooled, logits, np.split(where, ends)

    def _captured(
        self,
        prompts: Sequence[Prompt],
        pooled: Float[Tensor, "layer prompt width"],
        scores: list[tuple[float, bool]],
    ) -> Captured:
        self._check_finite(pooled, prompts)
        z = pooled.transpose(0, 1).reshape(len(prompts), self.n_layers, self.n_heads, self.head_dim)
        n = len(prompts)
        reference, foil = scores[n : 2 * n], scores[2 * n :]
        return Captured(
            z.cpu().numpy(),
            np.array([logprob for logprob, _ in reference], dtype=np.float32),
            np.array([logprob for logprob, _ in foil], dtype=np.float32),
            np.array([greedy for _, greedy in reference]),
        )

    def _check_finite(self, pooled: Float[Tensor, "layer prompt width"], prompts: Sequence[Prompt]) -> None:
        if torch.isfinite(pooled).all():
            return
        bad = ~torch.isfinite(self.split_heads(pooled)).all(-1)
        layer, prompt, head = (int(i) for i in bad.nonzero()[0])
        raise RunError(
            f"NaN or infinity in z of L{layer}H{head} at {prompts[prompt].id} "
            f"({str(self.dtype).removeprefix('torch.')}). Give --dtype float32, or look at that question."
        )

    @torch.inference_mode()
    def generate(
        self, prompt: Int[np.ndarray, " length"], *, max_new_tokens: int = 32, stop: str = "\n"
    ) -> Int[np.ndarray, " new"]:
        """Continue `prompt` greedily until an end-of-turn token, `stop` in the text, or `max_new_tokens`.

        Returns the new tokens without the one that ended them; the end token alone if nothing came before it,
        so that there is always a position that predicted the answer.
        """
        tokens = torch.from_numpy(np.asarray(prompt, dtype=np.int64))[None].to(self.device)
        out = self.model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            num_beams=1,
            max_new_tokens=max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id or self.tokenizer.eos_token_id or 0,
            tokenizer=self.tokenizer,
            stop_strings=[stop],
        )
        new = out[0, tokens.shape[1] :].cpu().numpy()
        ends = _end_tokens(self.model, self.tokenizer)
        keep = len(new)
        if keep and (int(new[-1]) in ends or stop in self.tokenizer.decode(new[-1:])):
            keep -= 1
        return new[: max(keep, 1)]


def _padded(n: int) -> int:
    """Round a length up to a multiple of 32."""
    return -(-n // 32) * 32


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    return ends | ({tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set())
