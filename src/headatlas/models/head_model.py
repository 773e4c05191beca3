"""A Hugging Face causal language model, seen head by head.

1. `HeadModel` is an `Access` (`models.access`: what a head is, where it is, how it is read and replaced) that has been
   proved on the model itself (`models.proofs`).
2. `edit` replaces z inside a ``with``; it nests, always restores, and holds in any code that calls the model.
3. `capture` runs prompts packed as token trees and keeps, for every prompt, the mean z over its chosen
   positions and the log-probabilities of its reference answer and its foil.
4. `generate` continues prompts greedily.

It does not know questions, functions or files.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas._html import panel
from headatlas.errors import InputError, ModelError, RunError
from headatlas.models.access import Access, Z
from headatlas.models.captured import Captured, score, texts_of
from headatlas.models.generating import continued
from headatlas.models.hooks import uncompiled
from headatlas.models.memory import within_memory
from headatlas.models.proofs import prove
from headatlas.models.tree import TokenTree, pack
from headatlas.prompts import Prompt

Edit = Callable[[Z], Z]
"""Takes the z of one layer, returns what replaces it (same shape)."""


@runtime_checkable
class Applies(Protocol):
    """What can be done to a model inside a ``with``: an intervention."""

    def applied(self, model: Any) -> AbstractContextManager[None]:
        """Do it to `model` inside the ``with``."""


@dataclass
class HeadModel(Access):
    """A causal language model whose attention heads can be read and replaced: an `Access` that was proved.

    Its attributes are those of `Access`: n_layers, n_heads, head_dim, context, unpacked, unsplit, …

    Raises
    ------
    ModelError
        The architecture is unknown, or the model fails one of the proofs.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        prove(self)

    def __repr__(self) -> str:
        runs = "; ".join(f"{what} {how}" for what, how in self._runs.items())
        return f"HeadModel({self.name!r}, {self._shape}, {self._place}; {runs})"

    def _repr_html_(self) -> str:
        context = "no limit" if self.context >= 1 << 30 else f"{self.context} tokens"
        rows = {"Architecture": f"{type(self.model).__name__}, {self._shape}", "Weights": self._place}
        return panel(self.name, {**rows, "Context": context, **{k.capitalize(): how for k, how in self._runs.items()}})

    @property
    def _shape(self) -> str:
        return (
            f"{self.text_config.model_type}, {self.n_layers} layers x {self.n_heads} heads of {self.head_dim}, "
            f"{self.n_kv_heads} KV heads"
        )

    @property
    def _place(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} on {self.device}"

    @property
    def _runs(self) -> dict[str, str]:
        """How prompts and answers are run, and why not faster."""
        prompts = f"one at a time: {self.unpacked}" if self.unpacked else "packed"
        answers = f"with their whole prompts: {self.unsplit}" if self.unsplit else "apart from their prompts"
        return {"prompts": prompts, "answers": answers}

    @property
    def facts(self) -> dict[str, Any]:
        """What a record of a run says of the model, JSON-serialisable."""
        apart = f"one prompt at a time: {self.unpacked}"
        return {
            "name": self.name,
            "revision": self.revision,
            "weights": self.digest,
            "architecture": self.model.config.model_type,
            "layers": self.n_layers,
            "heads": self.n_heads,
            "kv_heads": self.n_kv_heads,
            "head_dim": self.head_dim,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "packing": "token trees" if self.unpacked is None else apart,
            "answers": "apart from their prompts" if self.unsplit is None else f"whole prompts: {self.unsplit}",
        }

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

    @contextmanager
    def edit(self, edits: Mapping[int, Edit] | Applies) -> Iterator["HeadModel"]:
        """Replace z inside the ``with``, in everything that calls the Hugging Face model.

        Parameters
        ----------
        edits
            An intervention (`headatlas.interventions`), or layer -> function of that layer's z, (batch, position, head,
            head_dim), returning what replaces it (same shape). The function sees the tokens of one forward call: the
            whole prompt, then, in `generate`, one token at a time. It must not write into its argument.

        Raises
        ------
        InputError
            A layer that does not exist, or an edit that changes z's shape.

        Notes
        -----
        Nested edits of one layer apply from the outer to the inner. Hooks are removed when the ``with``
        ends, also by an exception. What torch.compile compiled runs uncompiled inside: compiled code knows no hooks.
        """
        if isinstance(edits, Applies):
            with uncompiled(), edits.applied(self):
                yield self
            return
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

        with uncompiled(), self.on_z({layer: apply(edit, layer) for layer, edit in edits.items()}):
            yield self

    # -- running ------------------------------------------------------------------------------------

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
        with self.on_z({layer: pool(layer) for layer in range(self.n_layers)} if len(chosen) else {}):
            logits = self.logits(tree, asked)
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
        (new,) = continued(self, tokens, torch.ones_like(tokens), max_new_tokens=max_new_tokens, stop=stop)
        if len(new):
            return new
        return self.model(input_ids=tokens, use_cache=False, logits_to_keep=1).logits[0, -1:].argmax(-1).cpu().numpy()

    @torch.inference_mode()
    def logprob_of(self, prompt: Int[np.ndarray, " length"], new: Int[np.ndarray, " new"]) -> float:
        """Return the log-probability of `new` after `prompt`, nats, run token by token with a cache as `generate` runs
        it, so that an edit is where it is there.
        """
        from transformers import DynamicCache

        cache, total = DynamicCache(), 0.0
        step = torch.from_numpy(np.asarray(prompt, dtype=np.int64))[None].to(self.device)
        for token in new.tolist():
            logits = self.model(input_ids=step, past_key_values=cache, use_cache=True).logits[0, -1]
            total += float(torch.log_softmax(logits.float(), -1)[token])
            step = torch.tensor([[token]], device=self.device)
        return total
