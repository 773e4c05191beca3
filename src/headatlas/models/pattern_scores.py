"""What is read off attention patterns as they stream by: one number a sequence, layer and head.

1. A score is fed chunks (`models.patterns.Chunk`) and keeps sums only, (sequence, layer, head).
2. `MassAt`: the weight that a query gives one named key. `Spread`: how far and how evenly it attends.
   `Copying`: whether the key it attends to most is one of some.
3. `samples` divides by the number of queries counted. A query counts only where what is asked of it can be seen in
   that layer: in a sliding window the keys outside take no part. NaN: no query of the sequence counted.

It does not know where the sequences come from, nor what the scores are called.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.models.patterns import Chunk

Samples = Float[np.ndarray, "sequence layer head"]


class Score(Protocol):
    """Something that reads chunks; see the module's docstring."""

    def take(self, chunk: Chunk) -> None:
        """Read one chunk."""

    def samples(self) -> dict[str, Samples]:
        """Return the scores by name."""


class Sums:
    """Sums over queries and how many there were, both (sequence, layer, head)."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._total, self._count = np.zeros(shape), np.zeros(shape)

    def add(
        self, chunk: Chunk, total: Float[Tensor, "row head query"], count: Float[Tensor, "*row_head query"]
    ) -> None:
        """Add `total` and `count`, summed over queries; `count` may be without rows and heads."""
        count = torch.broadcast_to(count, total.shape)
        self._total[chunk.rows, chunk.layer] += total.sum(-1).cpu().numpy()
        self._count[chunk.rows, chunk.layer] += count.sum(-1).cpu().numpy()

    def mean(self) -> Samples:
        """Return total / count, NaN where nothing was counted."""
        return np.divide(self._total, self._count, out=np.full_like(self._total, np.nan), where=self._count > 0)


class MassAt:
    """The mean attention weight on one key a query.

    Parameters
    ----------
    shape
        (sequence, layer, head).
    targets
        Name -> for every sequence, the key of each of its queries (position), -1 for queries that don't count.
    """

    def __init__(self, shape: tuple[int, int, int], targets: Mapping[str, Sequence[Int[np.ndarray, " _"]]]) -> None:
        self._targets = dict(targets)
        self._sums = {name: Sums(shape) for name in targets}

    def take(self, chunk: Chunk) -> None:
        """Add the weights that the chunk's queries give their keys."""
        _, heads, queries, _ = chunk.weights.shape
        for name, targets in self._targets.items():
            own = np.stack([targets[row][chunk.start : chunk.start + queries] for row in chunk.rows])
            key = torch.from_numpy(own.astype(np.int64)).to(chunk.weights.device)
            seen = (key >= 0) & (chunk.positions - key < chunk.n_visible)
            index = key.clamp(min=0)[:, None, :, None].expand(-1, heads, -1, -1)
            weight = chunk.weights.gather(-1, index)[..., 0] * seen[:, None]
            self._sums[name].add(chunk, weight, seen[:, None].to(weight.dtype))

    def samples(self) -> dict[str, Samples]:
        """Return each target's mean weight."""
        return {name: sums.mean() for name, sums in self._sums.items()}


class Spread:
    """How far and how evenly heads attend.

    With a_ij the weight of key j for query i, v_i the number of keys that i sees, and d = i - j:

    - ``entropy``: mean over queries with v_i >= 2 of H_i = -sum_j a_ij ln a_ij, nats.
    - ``normalised_entropy``: mean over the same of H_i / ln v_i; 1 = even over all it sees.
    - ``local_share``: mean over queries with v_i > `local` of the weight on d < `local`.
    - ``global_share``: mean over the same of the weight on d > (v_i - 1) / 2, the first token left out.
    - ``span``: over the same, sum a_ij d / sum a_ij, the first token left out of both sums; positions.

    The first token is left out where a sink would otherwise be all that is measured.
    """

    def __init__(self, shape: tuple[int, int, int], *, local: int) -> None:
        self._local = local
        names = ("entropy", "normalised_entropy", "local_share", "global_share", "span")
        self._sums = {name: Sums(shape) for name in names}

    def take(self, chunk: Chunk) -> None:
        """Add the chunk's queries."""
        weights, visible, distance = chunk.weights, chunk.n_visible, chunk.distance
        many = (visible >= 2).to(weights.dtype)
        entropy = torch.special.entr(weights).sum(-1) * many
        self._sums["entropy"].add(chunk, entropy, many)
        self._sums["normalised_entropy"].add(chunk, entropy / visible.clamp(min=2).to(weights.dtype).log(), many)
        later = torch.arange(distance.shape[1], device=weights.device) > 0
        shares = torch.stack(
            [
                (distance >= 0) & (distance < self._local),
                (distance > (visible[:, None] - 1) / 2) & later,
                distance.clamp(min=0) * later,
                later.expand_as(distance),
            ],
            -1,
        ).to(weights.dtype)
        # one product a query: (row x head, key) @ (key, share)
        flat = weights.permute(2, 0, 1, 3).flatten(1, 2) @ shares
        near, far, moved, mass = flat.unflatten(1, weights.shape[:2]).permute(3, 1, 2, 0)
        counted = (visible > self._local).to(weights.dtype)
        self._sums["local_share"].add(chunk, near * counted, counted)
        self._sums["global_share"].add(chunk, far * counted, counted)
        self._sums["span"].add(chunk, moved * counted, mass * counted)

    def samples(self) -> dict[str, Samples]:
        """Return the five numbers."""
        return {name: sums.mean() for name, sums in self._sums.items()}


class Copying:
    """The share of queries whose most attended key is one of some.

    Parameters
    ----------
    shape
        (sequence, layer, head).
    wanted
        For every sequence, query position -> the keys that count as hits.
    """

    def __init__(
        self, shape: tuple[int, int, int], wanted: Sequence[Mapping[int, Int[np.ndarray, " _"]]], *, name: str
    ) -> None:
        self._wanted, self._name = wanted, name
        self._sums = Sums(shape)

    def take(self, chunk: Chunk) -> None:
        """Count the hits of the chunk's queries."""
        rows, heads, queries, _ = chunk.weights.shape
        hits, count = torch.zeros(rows, heads, queries), torch.zeros(rows, 1, queries)
        for row, sequence in enumerate(chunk.rows):
            for query, keys in self._wanted[sequence].items():
                at = query - chunk.start
                if not 0 <= at < queries or query - int(keys.max()) >= int(chunk.n_visible[at]):
                    continue
                best = chunk.weights[row, :, at].argmax(-1).cpu()
                hits[row, :, at] = torch.isin(best, torch.from_numpy(np.asarray(keys))).float()
                count[row, :, at] = 1
        self._sums.add(chunk, hits, count)

    def samples(self) -> dict[str, Samples]:
        """Return the share of hits."""
        return {self._name: self._sums.mean()}
