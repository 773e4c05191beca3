"""Attention patterns, layer by layer and chunk by chunk, handed on and forgotten.

1. Sequences of one length are run together; nothing is ever padded, so no number depends on what a sequence is run
   with, and the visible keys of a query are known: those up to itself, inside the layer's window.
2. While the model runs, its attention is computed here (transformers' attention interface): the softmax weights of
   some queries of one layer at a time go to a callback (`Chunk`), then into the layer's output, and are freed. Query
   head h reads KV head h // group.
3. That this is the model's own attention is proved on a short text (`Patterns.whole`): the logits must be the same.
   Where they are not, or where a model computes attention in its own code, the patterns come from
   ``output_attentions`` in eager mode instead: one sequence at a time, all layers of it at once.

It does not know what the patterns are scored for.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headatlas.errors import InputError, ModelError
from headatlas.models.architectures import unknown_masks
from headatlas.models.precision import capped

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel


@dataclass(frozen=True, eq=False)
class Chunk:
    """The attention of some queries of one layer.

    Attributes
    ----------
    layer
        The layer.
    rows
        Which of the sequences the rows are, (row,).
    start
        Position of the first query; the others follow it.
    window
        How many keys back the layer sees, the query's own position included; None without a limit.
    weights
        Attention weights, float32 or float64; a head's sum over keys is 1, or less where the model lets a learned sink
        take a share. Keys run from position 0 to the last query's; those after a query or outside the window have 0.
    """

    layer: int
    rows: Int[np.ndarray, " row"]
    start: int
    window: int | None
    weights: Float[Tensor, "row head query key"]

    @property
    def positions(self) -> Int[Tensor, " query"]:
        """Positions of the queries."""
        return torch.arange(self.start, self.start + self.weights.shape[2], device=self.weights.device)

    @property
    def distance(self) -> Int[Tensor, "query key"]:
        """How many positions back each key lies; negative for keys after the query."""
        return self.positions[:, None] - torch.arange(self.weights.shape[3], device=self.weights.device)

    @property
    def n_visible(self) -> Int[Tensor, " query"]:
        """How many keys each query sees, its own included."""
        seen = self.positions + 1
        return seen if self.window is None else seen.clamp(max=self.window)


Take = Callable[[Chunk], None]
"""Reads a chunk; it must not keep the weights, nor write into them."""


class Patterns:
    """A model's attention patterns, as a stream.

    Parameters
    ----------
    model
        The model.

    Attributes
    ----------
    whole
        Why a sequence's patterns are taken whole, in eager mode; None when they are streamed.
    """

    def __init__(self, model: "HeadModel") -> None:
        self.model = model
        self.whole = self._prove()

    def stream(
        self,
        sequences: Sequence[Int[np.ndarray, " _"]],
        take: Take,
        *,
        predicting: Sequence[Int[np.ndarray, " _"]] | None = None,
        max_tokens: int = 2048,
        max_weights: int = 1 << 20,
        report: Callable[[int], None] | None = None,
    ) -> list[Int[np.ndarray, " _"]]:
        """Run `sequences` and hand every layer's attention to `take`, chunk by chunk.

        Parameters
        ----------
        sequences
            Token ids, each from its first token on. A row's results do not depend on the other rows.
        take
            Called with every chunk: all layers and all queries of every sequence, each once; layers in order.
        predicting
            Positions of each sequence whose most likely next token is asked for.
        max_tokens
            Tokens run together (a longer sequence runs alone).
        max_weights
            Attention weights held at a time, over rows, heads, queries and keys (at least one query's).
        report
            Called with the number of sequences done.

        Returns
        -------
        list of numpy.ndarray
            The model's most likely next token at each sequence's `predicting` positions.

        Raises
        ------
        InputError
            A sequence that is empty or longer than the model's context.
        ModelError
            The model gives no attention patterns.
        """
        asked = [np.empty(0, np.int64)] * len(sequences) if predicting is None else [np.asarray(p) for p in predicting]
        for tokens in sequences:
            if not 0 < len(tokens) <= self.model.context:
                raise InputError(
                    f"A sequence of {len(tokens)} tokens: {self.model.name} takes 1 to {self.model.context}."
                )
        found: dict[int, np.ndarray] = {}
        for rows in self._batches([len(s) for s in sequences], max_tokens):
            tokens = np.stack([sequences[row] for row in rows])
            positions = np.unique(np.concatenate([asked[row] for row in rows])).astype(np.int64)
            run = self._run_whole if self.whole else self._run
            best = run(tokens, positions if len(positions) else np.array([0]), rows, take, max_weights)
            for row, tops in zip(rows.tolist(), best, strict=True):
                found[row] = tops[np.searchsorted(positions, asked[row])] if len(asked[row]) else asked[row]
            if report is not None:
                report(len(found))
        return [found[row] for row in range(len(sequences))]

    def parts(self, lengths: Sequence[int], *, max_tokens: int = 2048) -> Iterator[range]:
        """Yield which of some sequences, sorted by length, `stream` would run together."""
        for rows in self._batches(lengths, max_tokens):
            yield range(int(rows[0]), int(rows[-1]) + 1)

    def _batches(self, lengths: Sequence[int], max_tokens: int) -> Iterator[Int[np.ndarray, " row"]]:
        """Yield rows of one length, together at most `max_tokens` long (one row at least)."""
        same: dict[int, list[int]] = defaultdict(list)
        for row, length in enumerate(lengths):
            same[length].append(row)
        for length, rows in same.items():
            size = 1 if self.whole else max(1, max_tokens // length)
            for start in range(0, len(rows), size):
                yield np.array(rows[start : start + size])

    # -- running ------------------------------------------------------------------------------------

    def _forward(self, tokens: Int[np.ndarray, "row position"], keep: np.ndarray, **more: Any) -> Any:
        model = self.model
        ids = torch.from_numpy(tokens.astype(np.int64)).to(model.device)
        positions = torch.arange(tokens.shape[1], device=model.device)[None].expand(len(tokens), -1)
        kept = torch.from_numpy(keep).to(model.device)
        return model.model(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=kept, **more)

    @torch.inference_mode()
    def _run(
        self, tokens: np.ndarray, keep: np.ndarray, rows: np.ndarray, take: Take, max_weights: int
    ) -> Int[np.ndarray, "row kept"]:
        """Run rows of one length with the attention of `_Attention`; return the most likely next tokens."""
        with self.model.attending(_Attention(self.model, rows, take, max_weights)):
            best = self._forward(tokens, keep).logits.argmax(-1)
        return np.asarray(best.cpu().numpy())

    @torch.inference_mode()
    def _run_whole(
        self, tokens: np.ndarray, keep: np.ndarray, rows: np.ndarray, take: Take, max_weights: int
    ) -> Int[np.ndarray, "row kept"]:
        """Run rows in eager mode, which returns the patterns of all layers at once."""
        with self.model.attention_implementation("eager"):
            out = self._forward(tokens, keep, output_attentions=True)
        patterns = tuple(getattr(out, "attentions", None) or ())
        shape = (len(tokens), self.model.n_heads, tokens.shape[1], tokens.shape[1])
        if len(patterns) != self.model.n_layers or any(p is None or tuple(p.shape) != shape for p in patterns):
            raise ModelError(
                f"{self.model.name} returns no attention patterns: its attention can't be read ({self.whole}), and "
                f"with output_attentions=True it gave {_told(patterns)}, expected {self.model.n_layers} of shape "
                f"{shape}. Measure its roles with a transformers class that has eager attention."
            )
        step = _step(shape, max_weights)
        for layer, pattern in enumerate(patterns):
            for start in range(0, shape[2], step):
                stop = min(start + step, shape[2])
                weights = pattern[:, :, start:stop, :stop]
                weights = weights if weights.dtype == torch.float64 else weights.float()
                take(Chunk(layer, rows, start, self.model.window(layer), weights))
        return np.asarray(out.logits.argmax(-1).cpu().numpy())

    # -- proof --------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _prove(self) -> str | None:
        """Return why the patterns computed here would not be the model's own, or None if they are."""
        model = self.model
        if why := model.own_attention or unknown_masks(model.text_config):
            return why
        vocab = model.model.get_input_embeddings().num_embeddings
        tokens = (np.arange(24) * 7919 % min(vocab, 5000))[None, : model.context]
        last = np.array([tokens.shape[1] - 1])
        met: set[int] = set()
        with model.windows_of(8):
            plain = self._forward(tokens, last).logits.float()
            with model.attending(_Attention(model, np.array([0]), lambda chunk: met.add(chunk.layer), 1 << 20)):
                streamed = self._forward(tokens, last).logits.float()
        if met != set(range(model.n_layers)):
            return f"only {len(met)} of {model.n_layers} layers ask transformers' attention interface"
        error = float((streamed - plain).abs().max() / plain.abs().max().clamp_min(1e-30))
        return (
            f"with streamed attention the logits differ by {error:.1e} of their size"
            if error > model.rounding
            else None
        )


@dataclass(frozen=True, eq=False)
class _Attention:
    """An attention function for transformers that hands its weights to `take`, some queries at a time."""

    model: "HeadModel"
    rows: Int[np.ndarray, " row"]
    take: Take
    max_weights: int

    def __call__(
        self,
        module: Any,
        query: Float[Tensor, "row head position head_dim"],
        key: Float[Tensor, "row kv_head position head_dim"],
        value: Float[Tensor, "row kv_head position value_dim"],
        attention_mask: Any,
        *,
        scaling: float | None = None,
        softcap: float | None = None,
        s_aux: Float[Tensor, " head"] | None = None,
        **_: Any,
    ) -> tuple[Float[Tensor, "row position head value_dim"], None]:
        """Attend; the signature is that of transformers' attention functions, which pass no mask to this one.

        `s_aux` are the learned sinks.
        """
        rows, heads, n, dim = query.shape
        window = self.model.window(module.layer_idx)
        query = query * (dim**-0.5 if scaling is None else scaling)
        out = value.new_empty(rows, n, heads, value.shape[-1])
        step = _step((rows, heads, n, n), self.max_weights)
        for start in range(0, n, step):
            stop = min(start + step, n)
            scores = _scores(query[:, :, start:stop], key[:, :, :stop], softcap)
            scores.masked_fill_(~_visible(start, stop, window, query.device), -torch.inf)
            weights = _shares(scores, s_aux)
            del scores
            self.take(Chunk(module.layer_idx, self.rows, start, window, weights))
            shared = weights.unflatten(1, (key.shape[1], -1)).flatten(2, 3).to(value.dtype)
            mixed = (shared @ value[:, :, :stop]).unflatten(2, (-1, stop - start)).flatten(1, 2)
            out[:, start:stop] = mixed.transpose(1, 2)
            del weights, shared
        return out, None


def _scores(
    query: Float[Tensor, "row head query head_dim"],
    key: Float[Tensor, "row kv_head key head_dim"],
    softcap: float | None,
) -> Float[Tensor, "row head query key"]:
    """Return the attention scores in float32 at least: query head h times the keys of KV head h // group."""
    grouped = query.unflatten(1, (key.shape[1], -1))
    scores = grouped.flatten(2, 3) @ key.transpose(-1, -2)
    return capped(scores, softcap).unflatten(2, grouped.shape[2:4]).flatten(1, 2)


def _shares(
    scores: Float[Tensor, "row head query key"], sinks: Float[Tensor, " head"] | None
) -> Float[Tensor, "row head query key"]:
    """Return the softmax of scores over keys; a head's learned sink joins it, and its share is dropped."""
    if sinks is None:
        return torch.softmax(scores, -1)
    sink = sinks.to(scores.dtype)[:, None, None].expand(*scores.shape[:3], 1)
    return torch.softmax(torch.cat([scores, sink], -1), -1)[..., :-1]


def _visible(start: int, stop: int, window: int | None, device: torch.device) -> Bool[Tensor, "query key"]:
    """Say which keys (0 to `stop` - 1) the queries from `start` on see."""
    distance = torch.arange(start, stop, device=device)[:, None] - torch.arange(stop, device=device)
    seen = distance >= 0
    return seen if window is None else seen & (distance < window)


def _step(shape: tuple[int, int, int, int], max_weights: int) -> int:
    """Return how many queries' weights may be held at a time; `shape` is (row, head, query, key)."""
    return max(1, max_weights // (shape[0] * shape[1] * shape[3]))


def _told(patterns: Sequence[Any]) -> str:
    """Say what came instead of patterns."""
    if not patterns:
        return "none"
    shapes = sorted({str(None if p is None else tuple(p.shape)) for p in patterns})
    return f"{len(patterns)} of shape {', '.join(shapes)}"
