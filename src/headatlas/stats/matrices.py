"""Regression of one task-by-task matrix on others, with tasks exchanged: what is it that alike tasks share?

1. Every pair of tasks is a row: how alike their maps are, and for every factor whether the two have the same label.
   All factors are fitted together (least squares), so that each coefficient holds the others fixed.
2. Pairs of one task depend on each other, so that no textbook standard error holds: tasks are exchanged. Exchanging any
   two would break the other factors' relation to the similarity, too. So the labels of the factor in question are
   exchanged only among tasks that share all other labels (exchangeability blocks: Winkler et al. 2014,
   https://doi.org/10.1016/j.neuroimage.2014.01.060), and its partial correlation compared, one-sided. That is exact
   whatever the other factors do, also where some forms are more alike than others, which no same-or-different can say.
   By simulation, where four in five of a function's tasks share a form, and forms make maps alike, it calls functions
   in 3 to 7% of sets, by setting; permuted residuals (double semi-partialling: Dekker, Krackhardt & Snijders 2007,
   https://doi.org/10.1007/s11336-007-9016-1), which were used before, in 6 to 22%. What that costs depends on how many
   tasks can be exchanged: nothing with forms dealt at random; with four in five, 55% found become 31% (eight functions
   of five tasks); with the forms, kinds and lures of the built-in battery 73% become 68%.
3. Factors that are the same, or different, for all pairs are left out. Of one that the others determine nothing can be
   said: its coefficient and p are NaN, its overlap 1. Where no two tasks differ in the factor alone, p is NaN.
   `Factor.overlap` says how far factors are crossed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from itertools import permutations as all_orders
from math import factorial

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln

from headatlas.stats.nulls import PERMUTATIONS, counted_p
from headatlas.stats.resampling import CHUNK

DETERMINED = 1 - 1e-9
"""Overlap from which a factor can't be told from the others."""


@dataclass(frozen=True)
class Factor:
    """What one factor explains of a matrix.

    Attributes
    ----------
    effect, p
        Its coefficient, and the one-sided p of that (sharing it makes alike); p is NaN where nothing can be exchanged.
    overlap
        How far the other factors determine it: 1 is wholly.
    exchanged
        How many tasks share all other labels with a task of another label, so that they can be exchanged.
    least_p
        One over the number of ways in which they can be: no p is smaller.
    """

    effect: float
    p: float
    overlap: float
    exchanged: int
    least_p: float


def regression(
    matrix: Float[np.ndarray, "task task"], labels: Mapping[str, np.ndarray], order: Int[np.ndarray, "draw task"]
) -> dict[str, Factor]:
    """Regress a symmetric matrix on having the same label, factor by factor (see the module).

    Parameters
    ----------
    matrix
        How alike tasks are.
    labels
        Factor -> the label of every task.
    order
        Permutations of the tasks.

    Returns
    -------
    dict
        Factor -> what it explains; factors that do not vary over pairs are not in it.
    """
    rows, columns = np.triu_indices(len(matrix), 1)
    same = {name: (label[rows] == label[columns]).astype(np.float64) for name, label in labels.items()}
    same = {name: s for name, s in same.items() if 0 < s.mean() < 1}
    result = {}
    for name in same:
        rule = _Rule.of(matrix[rows, columns], same, name)
        own = codes([labels[name]])
        cell = codes([np.zeros(len(own)), *(labels[other] for other in same if other != name)])
        effect = p = float("nan")
        if rule.overlap <= DETERMINED and rule.freedom > 0:
            effect = rule.effect
            p = _p(rule, own, cell, order)
        result[name] = Factor(effect, p, rule.overlap, *_exchanges(own, cell))
    return result


def _exchanges(label: Int[np.ndarray, " task"], cell: Int[np.ndarray, " task"]) -> tuple[int, float]:
    """Return how many tasks can be exchanged within cells, and one over the number of ways that differ.

    Labels that are equally many in every cell can change names, and nothing that is compared changes.
    """
    counts = np.zeros((cell.max() + 1, label.max() + 1))
    np.add.at(counts, (cell, label), 1)
    log_ways = gammaln(counts.sum(1) + 1).sum() - gammaln(counts + 1).sum()
    _, alike = np.unique(counts, axis=1, return_counts=True)
    tasks = int(counts[(counts > 0).sum(1) > 1].sum())
    return tasks, float(np.exp(gammaln(alike + 1).sum() - log_ways)) if tasks else 1.0


def _p(
    rule: "_Rule", label: Int[np.ndarray, " task"], cell: Int[np.ndarray, " task"], order: Int[np.ndarray, "draw task"]
) -> float:
    """Return the p of a factor, its labels exchanged within cells; NaN if every cell has one label only."""
    if codes([cell, label]).max() == cell.max():
        return float("nan")
    rows, columns = np.triu_indices(len(label), 1)

    def found(labels: np.ndarray) -> np.ndarray:
        return rule.correlation((labels[:, rows] == labels[:, columns]).astype(np.float64))

    drawn = [found(label[exchanged(order[at : at + CHUNK], cell)]) for at in range(0, len(order), CHUNK)]
    return float(counted_p(np.concatenate(drawn)[:, None], found(label[None]))[0])


def codes(labels: Sequence[np.ndarray]) -> Int[np.ndarray, " task"]:
    """Return a number for every combination of labels."""
    codes = np.stack([np.unique(label, return_inverse=True)[1] for label in labels])
    return np.unique(codes, axis=1, return_inverse=True)[1].reshape(-1)


def exchanged(order: Int[np.ndarray, "draw task"], cell: Int[np.ndarray, " task"]) -> Int[np.ndarray, "draw task"]:
    """Return, for every permutation, the one it makes within cells: which task comes to whose place."""
    result = np.empty_like(order)
    result[:, np.argsort(cell, kind="stable")] = np.argsort(cell * order.shape[1] + order, axis=1)
    return result


@dataclass(frozen=True)
class _Rule:
    """How one factor is judged: its residual on the others, the matrix's, and the directions that the others span."""

    residual: Float[np.ndarray, " pair"]
    left: Float[np.ndarray, " pair"]
    basis: Float[np.ndarray, "pair direction"]
    overlap: float

    @classmethod
    def of(cls, values: Float[np.ndarray, " pair"], same: Mapping[str, np.ndarray], name: str) -> "_Rule":
        others = np.stack([np.ones(len(values)), *(s for other, s in same.items() if other != name)], axis=1)
        directions, size, _ = np.linalg.svd(others, full_matrices=False)
        basis = directions[:, size > 1e-9 * size[0]]
        own = same[name]
        residual, left = (v - basis @ (basis.T @ v) for v in (own, values))
        overlap = float(1 - (residual @ residual) / ((own - own.mean()) ** 2).sum())
        return cls(residual, left, basis, overlap)

    @property
    def freedom(self) -> int:
        return len(self.left) - self.basis.shape[1] - 1

    @property
    def effect(self) -> float:
        return float(self.left @ self.residual / (self.residual @ self.residual))

    def correlation(self, moved: Float[np.ndarray, "draw pair"]) -> Float[np.ndarray, " draw"]:
        """Return the partial correlation of the matrix with the factor as each draw has it."""
        products = moved @ np.concatenate([self.basis, self.left[:, None]], axis=1)
        length = np.einsum("dp,dp->d", moved, moved) - (products[:, :-1] ** 2).sum(1)
        return np.asarray(products[:, -1] / np.sqrt(np.maximum(length * (self.left @ self.left), 1e-24)))


def permutations(draw: np.random.Generator, n: int) -> Int[np.ndarray, "draw task"]:
    """Return `PERMUTATIONS` orders of `n` tasks; where there are no more than that, all but the one they have."""
    if factorial(n) <= PERMUTATIONS:
        return draw.permutation(np.array(list(islice(all_orders(range(n)), 1, None)), np.int64))
    return np.argsort(draw.random((PERMUTATIONS, n)), axis=1)
