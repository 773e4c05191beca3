"""Regression of one task-by-task matrix on others, with tasks exchanged: what is it that alike tasks share?

1. Every pair of tasks is a row: how alike their maps are, and for every factor whether the two have the same label.
   All factors are fitted together (least squares), so that each coefficient holds the others fixed.
2. Pairs of one task depend on each other, so that no textbook standard error holds. Rows and columns are permuted
   together (QAP). Which matrix is permuted matters: exchanging the tasks of the similarity would break its relation to
   the other factors too, and test one factor against a world without the others. Here what a factor has beyond the
   others (its residual on them) is permuted, and its t compared (double semi-partialling: Dekker, Krackhardt & Snijders
   2007, https://doi.org/10.1007/s11336-007-9016-1), one-sided. By simulation with 40 tasks it holds its 5% where the
   other factor is strong and crossed with it; where four in five of a function's tasks share a form, and forms, not
   functions, make maps alike, it calls functions in about one set of ten (6 to 15%, by setting): forms are not all
   equally unlike, which no same-or-different can say. `factor_overlap` says how far factors are crossed.
3. Factors that are the same, or different, for all pairs are left out. Of one that the others determine nothing can be
   said: its coefficient and p are NaN, its overlap 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

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
        Its coefficient, and the one-sided p of that (sharing it makes alike).
    overlap
        How far the other factors determine it: 1 is wholly.
    """

    effect: float
    p: float
    overlap: float


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
    n = len(matrix)
    rows, columns = np.triu_indices(n, 1)
    same = {name: (label[rows] == label[columns]).astype(np.float64) for name, label in labels.items()}
    same = {name: s for name, s in same.items() if 0 < s.mean() < 1}
    rules = {name: _Rule.of(matrix[rows, columns], same, name) for name in same}
    told = {name: rule for name, rule in rules.items() if rule.overlap <= DETERMINED and rule.freedom > 0}
    place = np.zeros((n, n), np.int32)  # of every pair among the pairs
    place[rows, columns] = place[columns, rows] = np.arange(len(rows))
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in told}
    for start in range(0, len(order), CHUNK):
        some = order[start : start + CHUNK].astype(np.int32)
        moved = np.take(place.ravel(), some[:, rows] * n + some[:, columns])
        for name, rule in told.items():
            drawn[name].append(rule.t(np.take(rule.residual, moved)))
    result = {name: Factor(float("nan"), float("nan"), rule.overlap) for name, rule in rules.items()}
    for name, rule in told.items():
        p = counted_p(np.concatenate(drawn[name])[:, None], rule.t(rule.residual[None]))
        result[name] = Factor(rule.effect, float(p[0]), rule.overlap)
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

    def t(self, moved: Float[np.ndarray, "draw pair"]) -> Float[np.ndarray, " draw"]:
        """Return the t of residuals whose pairs were moved."""
        products = moved @ np.concatenate([self.basis, self.left[:, None]], axis=1)
        length = np.maximum(np.einsum("dp,dp->d", moved, moved) - (products[:, :-1] ** 2).sum(1), 1e-12)
        whole = float(self.left @ self.left)
        rest = np.maximum(whole - products[:, -1] ** 2 / length, 1e-12 * max(whole, 1e-12))
        return np.asarray(products[:, -1] / np.sqrt(length * rest / self.freedom))


def permutations(draw: np.random.Generator, n: int) -> Int[np.ndarray, "draw task"]:
    """Return `PERMUTATIONS` orders of `n` tasks."""
    return np.argsort(draw.random((PERMUTATIONS, n)), axis=1)
