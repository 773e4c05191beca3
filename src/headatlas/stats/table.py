"""The samples as sums and counts: all that weights of units and refits can tell apart.

1. The *unit* is what would be drawn anew if the study were made again: a task where the samples name tasks and the
   function has two or more of them (items of one template are not independent), else a main question.
2. A cell is a function's samples of one unit and one refit (and one part, for methods whose map is a sum of means:
   `Method`'s laws). Of a task it holds the mean, so that every task weighs the same.
3. A function's map under any weights of units and refits is the weighted mean of its cells, the sum over parts.
4. Functions that share units are one *stratum*: their units are drawn, halved and flipped together.

Cells are sorted by the names of unit and refit, so the order of samples plays no part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.errors import InputError

BY_TASK = "\x1ftask "
"""How the name of a unit that is a task begins: no main question's does."""


@dataclass(frozen=True)
class Cells:
    """The cells of one function and part: of which unit and refit, how many samples, and their sum, (cell, head)."""

    unit: np.ndarray
    refit: np.ndarray
    count: np.ndarray
    total: np.ndarray


def units_of(function: np.ndarray, group: np.ndarray, task: np.ndarray | None) -> np.ndarray:
    """Return the unit of every sample: its task where its function has two or more, else its main question."""
    if task is None:
        return np.asarray(group)
    unit = np.asarray(group).astype(object)
    for name in np.unique(function):
        own = function == name
        tasks = np.unique(task[own])
        if len(tasks) > 1 and (tasks != "").all():
            unit[own] = [BY_TASK + str(t) for t in task[own]]
    return np.array([str(u) for u in unit])


def task_of(samples: xr.Dataset, dim: str = "") -> np.ndarray | None:
    """Return the task of every sample, None where the samples name none; `dim` prefixes the coordinate's name."""
    name = f"{dim}task"
    return np.asarray(samples[name].values) if name in samples.coords else None


class Table:
    """See the module.

    Attributes
    ----------
    functions
        The functions, in order.
    shape
        Layers and heads.
    n_units, n_refits
        How many units and refits there are.
    units
        The units' names, (unit,).
    cells
        For every function, its cells, part by part.
    items
        For every function, how many items its samples speak of.
    """

    def __init__(self, samples: xr.Dataset, functions: Sequence[str]) -> None:
        values = samples["importance"].transpose("sample", "layer", "head").values
        self.functions = tuple(functions)
        self.shape: tuple[int, int] = values.shape[1:]
        flat = values.reshape(len(values), -1)
        function = samples["function"].values
        task = task_of(samples)
        unit = units_of(function, samples["group"].values, task)
        self.units, self._unit = np.unique(unit, return_inverse=True)
        refit = samples["refit"].values if "refit" in samples.coords else np.zeros(len(flat), np.int64)
        refits, self._refit = np.unique(refit, return_inverse=True)
        self.n_units, self.n_refits = len(self.units), len(refits)
        part = samples["part"].values if "part" in samples.coords else np.zeros(len(flat), np.int64)
        weight = samples["weight"].values.astype(np.float64) if "weight" in samples.coords else None
        items = samples["items"].values if "items" in samples.coords else np.ones(len(flat))
        self.cells: list[list[Cells]] = []
        self.items = np.zeros(len(self.functions))
        for at, name in enumerate(functions):
            rows = np.flatnonzero(function == name)
            if not len(rows):
                found = ", ".join(sorted(set(function.tolist())))
                raise InputError(f"Function '{name}' has no sample (found: {found}). Leave it out of the map.")
            by_task = task is not None and str(unit[rows[0]]).startswith(BY_TASK)
            parts = [rows[part[rows] == p] for p in np.unique(part[rows])]
            self.cells.append([self._sum(flat, weight, own, by_task) for own in parts])
            self.items[at] = items[parts[0]].sum() / max(1, len(np.unique(refit[parts[0]])))

    def _sum(self, flat: np.ndarray, weight: np.ndarray | None, rows: np.ndarray, by_task: bool) -> Cells:
        """Return the cells that `rows` fall in."""
        key, cell = np.unique(self._unit[rows] * self.n_refits + self._refit[rows], return_inverse=True)
        # Sums of float64 in the order of a sort by cell, then by value: no trace of the samples' order.
        by_cell = np.lexsort((flat[rows, 0], cell))
        order = rows[by_cell]
        starts = np.searchsorted(np.sort(cell), np.arange(len(key)))
        ordered = flat[order].astype(np.float64)
        count = np.bincount(cell).astype(np.float64)
        if weight is not None:
            ordered *= weight[order][:, None]
            count = np.add.reduceat(weight[order], starts)
        total = np.add.reduceat(ordered, starts, axis=0)
        if by_task:  # every task weighs the same
            total, count = total / count[:, None], np.ones_like(count)
        return Cells(key // self.n_refits, key % self.n_refits, count, total)

    def own(self, at: int) -> np.ndarray:
        """Return the units that speak of the function at place `at`."""
        return np.unique(self.cells[at][0].unit)

    def strata(self) -> list[np.ndarray]:
        """Return the units in sets that share no function, each sorted, in the order of their first unit."""
        label = np.arange(self.n_units)
        for _ in self.cells:  # as often as a chain of functions can be long
            before = label.copy()
            for parts in self.cells:
                units = np.unique(np.concatenate([cells.unit for cells in parts]))
                label[np.isin(label, label[units])] = label[units].min()
            if (label == before).all():
                break
        return [np.flatnonzero(label == first) for first in np.unique(label)]

    def maps(
        self, unit_weight: Float[np.ndarray, "draw unit"], refit_weight: Float[np.ndarray, "draw refit"]
    ) -> Float[np.ndarray, "draw function head"]:
        """Return the weighted mean of every function for every row of weights (NaN: no weight)."""
        result = np.empty((len(unit_weight), len(self.cells), self.shape[0] * self.shape[1]))
        for at in range(len(self.cells)):
            result[:, at] = self.map(at, unit_weight, refit_weight)
        return result

    def map(self, at: int, unit_weight: np.ndarray, refit_weight: np.ndarray) -> Float[np.ndarray, "draw head"]:
        """Return the weighted mean of the function at place `at` (see `maps`)."""
        result: np.ndarray | None = None
        for cells in self.cells[at]:
            weight = unit_weight[:, cells.unit] * refit_weight[:, cells.refit]
            mass = weight @ cells.count
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = (weight @ cells.total) / np.where(mass > 0, mass, np.nan)[:, None]
            result = mean if result is None else result + mean
        assert result is not None
        return result

    def whole(self) -> Float[np.ndarray, "function head"]:
        """Return the map of all samples."""
        return self.maps(np.ones((1, self.n_units)), np.ones((1, self.n_refits)))[0]

    def by_unit(self, at: int) -> tuple[np.ndarray, Float[np.ndarray, "unit head"]]:
        """Return the units of a function, and what each adds to its map: the sum over them is the map."""
        units = self.own(at)
        result = np.zeros((len(units), self.shape[0] * self.shape[1]))
        for cells in self.cells[at]:
            known = np.isin(cells.unit, units)
            np.add.at(result, np.searchsorted(units, cells.unit[known]), cells.total[known] / cells.count.sum())
        return units, result
