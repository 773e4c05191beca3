"""Naming a left-out task's function by its map: the function whose other tasks' mean map correlates with it most.

1. Every task is left out in turn. The mean over all other tasks is taken from its map and from the functions' means
   over the other tasks; it is named after the function whose mean correlates with it most.
2. Taking the mean away matters where heads matter for everything: of eight functions of seven tasks whose maps'
   variance is 60% general and 5% the functions' own, it names 62% of the left-out tasks, plain correlations 57% (by
   simulation: `tests/test_stats_validity.py`). And plain correlations are unfair to the function whose mean lacks one
   task: where tasks tell no function they name fewer than chance (8% of five tasks of eight functions, 12% with the
   mean away). The mean is that of the other tasks only: a task would else be anticorrelated with its own kind.
3. Chance is what relabelled tasks give (permutation), and p counts relabellings as good.

All of it is sums of a task-by-task matrix, so that thousands of relabellings cost a second.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from headatlas.stats.resampling import CHUNK


def named(
    matrix: Float[np.ndarray, "task task"], function: Int[np.ndarray, " task"], order: Int[np.ndarray, "draw task"]
) -> Int[np.ndarray, "draw task"]:
    """Return the function that every task is named after, under every relabelling of the tasks.

    Parameters
    ----------
    matrix
        Products of the tasks' maps (of length 1: correlations).
    function
        The place of every task's function; each has two tasks or more.
    order
        Permutations of the tasks' functions; the first may be none (``arange``).
    """
    kinds = np.arange(function.max() + 1)
    return np.concatenate(
        [
            _named(matrix, function[order[start : start + CHUNK]][..., None] == kinds)
            for start in range(0, len(order), CHUNK)
        ]
    )


def _named(
    matrix: Float[np.ndarray, "task task"], own: Bool[np.ndarray, "draw task function"]
) -> Int[np.ndarray, "draw task"]:
    """Do as `named`: products of x, a task's map, c, a function's mean, and g, the mean of all, without that task."""
    n = len(matrix)
    member = own.astype(np.float64)
    sums = np.matmul(matrix, member)  # of a task with a function's tasks
    size = member.sum(1, keepdims=True) - member
    self_, row = matrix.diagonal()[:, None], matrix.sum(1)[:, None]
    of_function = (member * sums).sum(1, keepdims=True)
    with_all = (member * row).sum(1, keepdims=True)
    xc = (sums - member * self_) / size
    xg = (row - self_) / (n - 1)
    cg = (with_all - member * row - sums + member * self_) / size / (n - 1)
    gg = (matrix.sum() - 2 * row + self_) / (n - 1) ** 2
    cc = (of_function - member * (2 * sums - self_)) / size**2
    length = cc - 2 * cg + gg
    score = (xc - xg - cg + gg) / np.sqrt(np.maximum(length, 1e-12))
    return np.asarray(score.argmax(-1))
