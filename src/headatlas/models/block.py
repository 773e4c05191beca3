"""The tokens that change, run on their own: every ablated variant of a step, or a gradient, for little.

1. The prompts run once, packed as a token tree, and leave their keys and values (`Block`). The positions that
   predict the answers' tokens are the *block*; before them nothing changes when z is replaced at them.
2. The block runs again as a batch of rows (`Block.run`): row 0 is the model as it is. Before the layer it edits, a
   variant does not differ from row 0, so that layer's variants join the batch there, as copies of row 0, and get
   their z replaced at the layer's projection. All rows attend to the same keys of the prompt, which are never
   copied, and to their own keys in the block.
3. `Block.read` turns the last hidden states of all rows into what is asked of them (`models.objective`).

The cost of all heads of a step is that of (heads x (layers + 1) / 2) x answer tokens, not of a prompt a head.
It does not know what z is replaced by, nor how results are averaged.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headatlas.models.access import Access, padded
from headatlas.models.objective import METRICS, Read, values
from headatlas.models.precision import capped, wide
from headatlas.models.tree import TokenTree, pack
from headatlas.prompts import Prompt

Positions = Literal["answer", "all"]


@dataclass(frozen=True)
class Segment:
    """Some of the block's tokens that see the same prompt: a step's own, or the whole tree."""

    at: slice
    path: Int[Tensor, " seen"]
    """Nodes of the prompts' tree that they attend to, padded to few distinct lengths."""
    seen: int
    """How many nodes they attend to; those after are padding."""
    within: Bool[Tensor, "token token"]
    """Which of the part's tokens (row) attends to which (column)."""
    distance: Int[Tensor, "token seen"]
    """How many positions back each seen node lies."""
    distance_within: Int[Tensor, "token token"]


@dataclass(frozen=True)
class Variants:
    """The rows that join the batch at one layer: which head each replaces, and by what.

    Attributes
    ----------
    heads
        The head of each row, (row,).
    z
        What replaces it at the block's tokens, (row, token, head_dim), or anything that broadcasts to it.
    """

    heads: Int[Tensor, " row"]
    z: Float[Tensor, "*row_token head_dim"]


class Block:
    """The answer positions of some prompts, with the keys and values of all that comes before them.

    Parameters
    ----------
    model
        The model.
    prompts
        Steps; those of one main question share their prompt.
    positions
        "answer": the block is the positions that predict the reference answers' tokens. "all": it is every position
        up to them, so nothing is shared with a prompt that stays as it is.

    Attributes
    ----------
    tokens, depth
        Token id and position of the block's tokens, (token,).
    owner
        Which prompt each token belongs to, (token,); 0 throughout for positions "all".
    predicting
        For every prompt, the block's tokens that predict its answer, (answer,).
    targets
        For every prompt, its answer's token ids, (answer,).
    """

    def __init__(self, model: Access, prompts: Sequence[Prompt], *, positions: Positions = "answer") -> None:
        self.model, self.prompts = model, tuple(prompts)
        self.targets = [torch.from_numpy(p.answer_tokens.astype(np.int64)).to(model.device) for p in prompts]
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        if positions == "answer":
            self._from_answers()
        else:
            self._from_everything()

    def _from_answers(self) -> None:
        tree = pack([p.tokens[: p.answer_start - 1] for p in self.prompts])
        if len(tree):
            self._remember(tree)
        lengths = [len(p.answer_tokens) for p in self.prompts]
        ends = np.cumsum([0, *lengths])
        own = [p.tokens[p.answer_start - 1 : -1] for p in self.prompts]
        self._place(np.concatenate(own), np.concatenate([p.predicting for p in self.prompts]))
        self.owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(self.model.device)
        spans = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        self.predicting = [torch.arange(s.start, s.stop, device=self.model.device) for s in spans]
        self._parts = [
            self._part(span, path, tree.depth, np.tri(span.stop - span.start, dtype=bool))
            for span, path in zip(spans, tree.paths, strict=True)
        ]

    def _from_everything(self) -> None:
        tree = pack([p.tokens[:-1] for p in self.prompts])
        self._place(tree.tokens, tree.depth)
        self.owner = torch.zeros(len(tree), dtype=torch.long, device=self.model.device)
        self.predicting = [
            torch.from_numpy(path[p.answer_start - 1 :]).to(self.model.device)
            for p, path in zip(self.prompts, tree.paths, strict=True)
        ]
        nothing = np.empty(0, np.int64)
        self._parts = [self._part(slice(0, len(tree)), nothing, nothing, tree.mask().numpy())]

    def _place(self, tokens: np.ndarray, depth: np.ndarray) -> None:
        self.tokens = torch.from_numpy(tokens.astype(np.int64)).to(self.model.device)
        self.depth = torch.from_numpy(depth.astype(np.int64)).to(self.model.device)

    def _part(self, at: slice, path: np.ndarray, depth: np.ndarray, within: np.ndarray) -> Segment:
        device, own = self.model.device, self.depth[at]
        n = len(path)
        path = np.pad(path, (0, padded(n) - n))
        seen = torch.from_numpy(depth[path].astype(np.int64)).to(device)
        return Segment(
            at,
            torch.from_numpy(path).to(device),
            n,
            torch.from_numpy(within).to(device),
            own[:, None] - seen,
            own[:, None] - own,
        )

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def joined(cls, blocks: "Sequence[Block]") -> "Block":
        """Return one block of several: they run together, each seeing its own prompts only. Positions "answer"."""
        whole = cls.__new__(cls)
        whole.model, whole.prompts = blocks[0].model, tuple(p for b in blocks for p in b.prompts)
        whole.targets = [t for b in blocks for t in b.targets]
        whole.tokens = torch.cat([b.tokens for b in blocks])
        whole.depth = torch.cat([b.depth for b in blocks])
        first = np.cumsum([0, *(len(b) for b in blocks)]).tolist()
        step = np.cumsum([0, *(len(b.prompts) for b in blocks)]).tolist()
        node = np.cumsum([0, *(b._keys[0].shape[1] if b._keys else 0 for b in blocks)]).tolist()
        whole.owner = torch.cat([b.owner + s for b, s in zip(blocks, step, strict=False)])
        whole.predicting = [p + f for b, f in zip(blocks, first, strict=False) for p in b.predicting]
        whole._parts = [
            replace(part, at=slice(part.at.start + f, part.at.stop + f), path=part.path + n)
            for b, f, n in zip(blocks, first, node, strict=False)
            for part in b._parts
        ]
        keyed = [b for b in blocks if b._keys]  # a block of one-token prompts sees nothing before it
        layers = range(len(keyed[0]._keys) if keyed else 0)
        whole._keys = [torch.cat([b._keys[i] for b in keyed], 1) for i in layers]
        whole._values = [torch.cat([b._values[i] for b in keyed], 1) for i in layers]
        return whole

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values."""
        return sum(t.numel() * t.element_size() for t in (*self._keys, *self._values))

    @torch.no_grad()
    def _remember(self, tree: TokenTree) -> None:
        """Run the prompts once and keep every layer's keys and values, (kv_head, node, head_dim)."""
        from transformers import DynamicCache

        cache = DynamicCache()
        self.model.logits(tree, np.array([0]), cache=cache)
        self._keys = [layer.keys[0] for layer in cache.layers]
        self._values = [layer.values[0] for layer in cache.layers]

    # -- running ------------------------------------------------------------------------------------

    def run(self, variants: Mapping[int, Variants] | None = None) -> Float[Tensor, "row token width"]:
        """Run the block; return the hidden states that the output layer reads.

        Parameters
        ----------
        variants
            Layer -> the rows that join there.

        Returns
        -------
        torch.Tensor
            Row 0 is the model as it is; the variants follow, by layer and in their order.
        """
        variants = variants or {}
        return self.run_with(
            {layer: self._replacing(v) for layer, v in variants.items()},
            joining={layer: len(v.heads) for layer, v in variants.items()},
        )

    def run_with(
        self,
        functions: Mapping[int, Callable[[Tensor], Tensor | None]],
        *,
        joining: Mapping[int, int] | None = None,
    ) -> Float[Tensor, "row token width"]:
        """Run the block with any functions of what goes into the attention output projections.

        Parameters
        ----------
        functions
            Layer -> function of the projection's input (row, token, heads * head_dim), which returns what replaces
            it, or None to leave it.
        joining
            Layer -> how many copies of row 0 join the batch there, as its last rows.
        """
        hidden: list[Tensor] = []
        mask = self.model.open_mask(len(self))
        with ExitStack() as stack:
            stack.enter_context(self.model.attending(self._attend))
            stack.enter_context(self.model.on_output(hidden))
            stack.enter_context(self.model.on_layers({i: _joining(n) for i, n in (joining or {}).items()}))
            stack.enter_context(self.model.on_z(functions))
            self.model.model(
                input_ids=self.tokens[None], position_ids=self.depth[None], attention_mask=mask, use_cache=False
            )
        return hidden[0]

    def _replacing(self, joined: Variants) -> Any:
        def replace(x: Tensor) -> Tensor:
            z = self.model.split_heads(x)
            rows = torch.arange(len(z) - len(joined.heads), len(z), device=x.device)
            z = z.clone() if torch.is_grad_enabled() else z
            z[rows, :, joined.heads] = joined.z.to(z.dtype)
            return z.reshape(x.shape)

        return replace

    def _attend(
        self,
        module: Any,
        query: Float[Tensor, "row head token head_dim"],
        key: Float[Tensor, "row kv_head token head_dim"],
        value: Float[Tensor, "row kv_head token head_dim"],
        attention_mask: Any,
        *,
        scaling: float | None = None,
        softcap: float | None = None,
        s_aux: Float[Tensor, " head"] | None = None,
        **_: Any,
    ) -> tuple[Float[Tensor, "row token head head_dim"], None]:
        """Attend part by part; the signature is that of transformers' attention functions.

        `s_aux` are the learned sinks.
        """
        layer = module.layer_idx
        query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        window = self.model.window(layer)
        out = [
            _attend_part(
                query[:, :, part.at],
                key[:, :, part.at],
                value[:, :, part.at],
                self._keys[layer][:, part.path] if len(part.path) else None,
                self._values[layer][:, part.path] if len(part.path) else None,
                part,
                softcap,
                window,
                s_aux,
            )
            for part in self._parts
        ]
        return torch.cat(out, dim=1), None

    # -- reading ------------------------------------------------------------------------------------

    def read(
        self,
        hidden: Float[Tensor, "row token width"],
        *,
        base: "Base",
        objectives: Sequence[str] = METRICS,
        most: int = 256,
    ) -> Float[np.ndarray, "row prompt objective"]:
        """Return the objectives of every row and prompt, the logits of at most `most` tokens at a time (or a row's)."""
        rows = max(1, most // len(base.asked))
        parts = [values(self.answers(part, base=base), objectives) for part in hidden.split(rows)]
        return torch.cat(parts).cpu().numpy()

    def base(self, hidden: Float[Tensor, "1 token width"]) -> "Base":
        """Return what the other rows are compared with, from row 0."""
        asked, where = self._asked()
        return Base(asked, where, torch.log_softmax(wide(self.model.logits_of(hidden[0, asked])), -1))

    def answers(self, hidden: Float[Tensor, "row token width"], *, base: "Base | None" = None) -> Read:
        """Return what rows say where the answers are predicted; compared with their row 0 where there is no `base`."""
        asked, where = self._asked() if base is None else (base.asked, base.where)
        logits = wide(self.model.logits_of(hidden[:, asked]))
        return Read(logits, self.prompts, self.targets, where, None if base is None else base.logp)

    def _asked(self) -> tuple[Int[Tensor, " asked"], list[Int[Tensor, " _answer"]]]:
        asked, where = torch.unique(torch.cat(self.predicting), return_inverse=True)
        return asked, list(where.split([len(t) for t in self.targets]))


@dataclass(frozen=True)
class Base:
    """What row 0 says: the tokens asked of, each prompt's among them, their log-probabilities."""

    asked: Int[Tensor, " asked"]
    where: list[Int[Tensor, " _answer"]]  # answers differ in length
    logp: Float[Tensor, "asked vocab"]


def _joining(n: int) -> Any:
    """Return a function that adds n copies of row 0 to a layer's input."""

    def join(hidden: Tensor) -> Tensor:
        return torch.cat([hidden, hidden[:1].expand(n, -1, -1)])

    return join


def _attend_part(
    query: Float[Tensor, "row head token head_dim"],
    key: Float[Tensor, "row kv_head token head_dim"],
    value: Float[Tensor, "row kv_head token head_dim"],
    seen_key: Float[Tensor, "kv_head seen head_dim"] | None,
    seen_value: Float[Tensor, "kv_head seen head_dim"] | None,
    part: Segment,
    softcap: float | None,
    window: int | None,
    sinks: Float[Tensor, " head"] | None,
) -> Float[Tensor, "row token head head_dim"]:
    """Attend to the prompt's nodes and to the part's own tokens, with one softmax over both.

    The prompt's share is one product a KV head for all rows, so its keys are read once. A head's learned sink is one
    more score in its softmax, outside of caps and windows, and its share goes to no value.
    """
    rows, heads, tokens, dim = query.shape
    kv_heads = key.shape[1]
    group = heads // kv_heads
    inside = part.within if window is None else part.within & (part.distance_within < window)
    own = query.reshape(rows, kv_heads, group * tokens, dim) @ key.transpose(-1, -2)
    own = capped(own, softcap).unflatten(2, (group, tokens)).masked_fill(~inside, -torch.inf)
    sink = None if sinks is None else wide(sinks).reshape(kv_heads, group, 1, 1)
    top = own.amax(-1, keepdim=True)
    top = top if sink is None else torch.maximum(top, sink)
    if seen_key is None or seen_value is None:
        weight = torch.exp(own - top)
        total = weight.sum(-1, keepdim=True)
        mixed = (weight.to(value.dtype).flatten(2, 3) @ value).unflatten(2, (group, tokens))
    else:
        asked = query.reshape(rows, kv_heads, group * tokens, dim).transpose(0, 1).reshape(kv_heads, -1, dim)
        far = capped(asked @ seen_key.transpose(-1, -2), softcap)
        if part.seen < far.shape[-1]:
            far[..., part.seen :] = -torch.inf
        if window is not None:
            far = far.unflatten(1, (-1, tokens)).masked_fill(part.distance >= window, -torch.inf).flatten(1, 2)
        far_top = far.amax(-1).unflatten(1, (rows, group, tokens)).transpose(0, 1)[..., None]
        top = torch.maximum(top, far_top).detach()
        flat = top.transpose(0, 1).reshape(kv_heads, -1, 1)
        far = torch.exp(far - flat) if torch.is_grad_enabled() else far.sub_(flat).exp_()
        weight = torch.exp(own - top)
        far_total = far.sum(-1).unflatten(1, (rows, group, tokens)).transpose(0, 1)[..., None]
        total = weight.sum(-1, keepdim=True) + far_total
        far_mixed = (far.to(value.dtype) @ seen_value).unflatten(1, (rows, group, tokens)).transpose(0, 1)
        mixed = (weight.to(value.dtype).flatten(2, 3) @ value).unflatten(2, (group, tokens)) + far_mixed
    total = total if sink is None else total + torch.exp(sink - top)
    return (mixed / total.to(mixed.dtype)).permute(0, 3, 1, 2, 4).reshape(rows, tokens, heads, dim)
