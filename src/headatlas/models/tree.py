"""Many prompts as one token tree, so that shared prefixes run once.

1. `pack` walks the prompts and gives each distinct prefix one node; a node's position is its depth.
2. The nodes, in order of first appearance, are one sequence for the model, with ``position_ids`` = depth and
   a mask that lets a node see its ancestors and itself only (`TokenTree.mask`).
3. The result at a prompt's i-th token is the result at node ``paths[prompt][i]``: the same numbers as running
   the prompt alone, up to rounding, on any model whose positions come from ``position_ids`` and whose tokens
   meet only in attention.

It knows token ids only: no model, no text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int

MAX_NODES = 1024
"""Tokens of a packed tree at most. Larger trees save no more where only one question's steps share a prefix,
and the mask grows with the square."""


@dataclass(frozen=True)
class TokenTree:
    """A packed set of prompts.

    Attributes
    ----------
    tokens
        Token id of every node, (node,).
    depth
        Position of every node in its prompt, 0 at the root, (node,).
    paths
        For every prompt, the node of each of its tokens, (length,).
    """

    tokens: Int[np.ndarray, " node"]
    depth: Int[np.ndarray, " node"]
    paths: tuple[Int[np.ndarray, " _"], ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def mask(self, *, window: int | None = None) -> Bool[torch.Tensor, "node node"]:
        """Return which node (row) may attend to which (column): its ancestors and itself.

        With `window`, only to those fewer than `window` positions back (sliding-window attention).
        """
        mask = torch.zeros(len(self), len(self), dtype=torch.bool)
        for path in self.paths:
            index = torch.from_numpy(path)
            mask[index[:, None], index] = torch.ones(len(path), len(path), dtype=torch.bool).tril()
        if window is not None:
            depth = torch.from_numpy(self.depth)
            mask &= depth[:, None] - depth < window
        return mask


def pack(prompts: Sequence[Int[np.ndarray, " _"]]) -> TokenTree:
    """Merge `prompts` (token ids) into one tree; equal prefixes share nodes."""
    children: dict[tuple[int, int], int] = {}
    tokens: list[int] = []
    depth: list[int] = []
    paths = []
    for prompt in prompts:
        node = -1
        path = np.empty(len(prompt), dtype=np.int64)
        for i, token in enumerate(prompt.tolist()):
            parent, node = node, children.setdefault((node, token), len(tokens))
            if node == len(tokens):
                tokens.append(token)
                depth.append(i if parent < 0 else depth[parent] + 1)
            path[i] = node
        paths.append(path)
    return TokenTree(np.array(tokens, dtype=np.int64), np.array(depth, dtype=np.int64), tuple(paths))


def plan_packs(prompts: Sequence[Int[np.ndarray, " _"]], groups: Sequence[str], *, max_nodes: int) -> Iterator[range]:
    """Split prompts, in order, into runs that are packed together.

    A run is the prompts of one group (they share the passage), cut before it would pass `max_nodes` tokens
    counted as a tree; a prompt longer than that runs alone. The cut depends on the prompts only, so a
    resumed run repeats it.
    """
    start, nodes = 0, 0
    for i, prompt in enumerate(prompts):
        fresh = _fresh_tokens(prompt, prompts[start:i])
        if i > start and (groups[i] != groups[start] or nodes + fresh > max_nodes):
            yield range(start, i)
            start, nodes, fresh = i, 0, len(prompt)
        nodes += fresh
    if len(prompts):
        yield range(start, len(prompts))


def _fresh_tokens(prompt: np.ndarray, others: Sequence[np.ndarray]) -> int:
    """Count the tokens of `prompt` after its longest prefix shared with one of `others`."""
    shared = 0
    for other in others:
        n = min(len(prompt), len(other))
        differ = np.nonzero(prompt[:n] != other[:n])[0]
        shared = max(shared, int(differ[0]) if len(differ) else n)
    return len(prompt) - shared
