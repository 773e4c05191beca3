"""Do two models cut tasks alike? Their heads can't be matched, but which tasks share heads can be compared.

1. *Agreement* is the correlation, over pairs of the tasks that both do, of the similarity of two tasks' maps in one
   model with that in the other (Mantel 1967). Pairs of one task depend on each other, so p exchanges the tasks of one
   model with each other, rows and columns together; it is one-sided.
2. *Corrected*: divided by the geometric mean of the reliabilities of the two models' similarities (Spearman 1904), each
   the correlation of two halves of the items, stepped up.
3. *Across*: over pairs of tasks of different functions only, in either model, so that tasks of one function being alike
   in both adds nothing. Exchanges are free; pairs that are of one function in either are passed over.
4. *Beyond design*: of every set of factors (function, form, kind of answer) that two tasks can share, its mean is first
   taken out of both models; tasks are exchanged only with tasks of the same form and kind (`matrices`), so that it adds
   nothing if some forms are more alike than others in both. Functions that are alike in both do count. By simulation,
   where only functions, or functions, forms and kinds are in common, it is called in 4 to 5% of pairs of models.
5. *Layers*: a function's share of mass by relative depth, interpolated to `DEPTHS` places, correlated between models;
   its centre of mass in one less that in the other. Intervals draw units (tasks) of both models anew, independently.
6. *Overlap*, where models have as many layers and heads: the share of their top tenth of the heads in common, against
   chance (hypergeometric), and the rank correlation of their maps.
7. *Placed*: every model's tasks in one picture (DISTATIS: Abdi et al. 2005, https://doi.org/10.1109/CVPR.2005.445):
   each centred similarity matrix is divided by its first eigenvalue, their mean is the compromise, and each model's
   own matrix is projected onto the compromise's first two axes.

It does not know what models are: only samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from headatlas.stats.between_methods import agreement
from headatlas.stats.correlation import stepped_up
from headatlas.stats.matrices import codes, exchanged, permutations
from headatlas.stats.nulls import counted_p
from headatlas.stats.resampling import CHUNK, bootstrap, halves, percentiles
from headatlas.stats.sign import Sign, mass
from headatlas.stats.table import Table
from headatlas.stats.task_validity import scaled
from headatlas.stats.tasks import Tasks

DEPTHS = 24
"""Places of relative depth at which layers' shares are compared."""
BOOT = 1000
HALVINGS = 40
FEWEST = 5
"""Tasks in common, below which the exchanges can show nothing."""


@dataclass(frozen=True)
class Agreement:
    """How alike two models' similarities of tasks are (see the module); NaN where it can't be said."""

    correlation: float
    corrected: float
    p: float
    pairs: int


def _similar(maps: Float[np.ndarray, "*batch task head"]) -> Float[np.ndarray, "*batch task task"]:
    rows = scaled(maps)
    return rows @ np.swapaxes(rows, -1, -2)


def similarity(tasks: Tasks, rows: Int[np.ndarray, " task"]) -> Float[np.ndarray, "task task"]:
    """Return the similarity of the maps of some tasks."""
    return _similar(tasks.maps()[rows])


def _halved(
    tasks: Tasks, rows: Int[np.ndarray, " task"], draw: np.random.Generator
) -> Float[np.ndarray, "halving side task task"]:
    """Return the similarities that halves of the items give."""
    units, refits = halves(tasks.table, draw, rows=HALVINGS)
    found = []
    for at in range(HALVINGS):
        sides = [tasks.table.maps(units[side, at : at + 1], refits[side, at : at + 1])[0, rows] for side in (0, 1)]
        found.append(np.stack([_similar(np.nan_to_num(side)) for side in sides]))
    return np.stack(found)


def _left(values: Float[np.ndarray, "*batch pair"], kind: Int[np.ndarray, " pair"]) -> Float[np.ndarray, "*batch pair"]:
    """Return values less the mean of their kind."""
    member = (kind[:, None] == np.arange(kind.max() + 1)).astype(np.float64)
    return np.asarray(values - (values @ member / member.sum(0)) @ member.T)


def _correlation(one: np.ndarray, other: np.ndarray) -> Float[np.ndarray, "*batch"]:
    """Return Pearson's correlation over the last axis."""
    one, other = (v - v.mean(-1, keepdims=True) for v in (one, other))
    length = np.sqrt((one**2).sum(-1) * (other**2).sum(-1))
    return np.asarray((one * other).sum(-1) / np.where(length > 1e-12, length, np.nan))


def task_agreement(
    one: Tasks,
    other: Tasks,
    rows: tuple[Int[np.ndarray, " task"], Int[np.ndarray, " task"]],
    function: np.ndarray,
    design: Mapping[str, np.ndarray] | None = None,
    *,
    seed: int = 0,
) -> dict[str, Agreement]:
    """Compare two models' similarities of tasks.

    Parameters
    ----------
    one, other
        The tasks of either.
    rows
        Where the tasks that both have stand in either.
    function
        The function of each of those.
    design
        Factor ("form", "kind") -> the label of each.
    seed
        Of the exchanges and halvings.

    Returns
    -------
    dict
        "all", "across" and, where there is a design, "design" -> the agreement.
    """
    n = len(function)
    nothing = Agreement(float("nan"), float("nan"), float("nan"), 0)
    names = ["all", "across", *(["design"] if design else [])]
    if n < FEWEST:
        return dict.fromkeys(names, nothing)
    seeds = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 11]).spawn(3)]
    x, y = (similarity(tasks, at) for tasks, at in zip((one, other), rows, strict=True))
    half = [_halved(tasks, at, draw) for tasks, at, draw in zip((one, other), rows, seeds[:2], strict=True)]
    i, j = np.triu_indices(n, 1)
    order = permutations(seeds[2], n)
    apart = function[i] != function[j]
    found = {"all": _agreement(x, y, half, order, (i, j))}
    found["across"] = _across(x, y, half, order, function, (i, j)) if apart.sum() > 2 else nothing
    if design:
        factors = (function, *design.values())
        shared = codes([label[i] == label[j] for label in factors])  # which of the factors two tasks share
        found["design"] = _agreement(x, y, half, exchanged(order, codes(list(design.values()))), (i, j), shared)
    return found


def _agreement(
    x: np.ndarray,
    y: np.ndarray,
    half: Sequence[np.ndarray],
    order: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
    kind: np.ndarray | None = None,
) -> Agreement:
    """Return the agreement over all pairs, of what is left when the mean of each kind of pair is taken out."""
    i, j = pairs

    def left(matrix: np.ndarray) -> np.ndarray:
        values = matrix[..., i, j]
        return values if kind is None else _left(values, kind)

    own = left(x)
    value = float(_correlation(own, left(y)))
    if (order == np.arange(order.shape[1])).all() or not np.isfinite(value):
        return Agreement(value, float("nan"), float("nan"), len(i))
    drawn = np.concatenate(
        [_correlation(own, left(_moved(y, order[at : at + CHUNK]))) for at in range(0, len(order), CHUNK)]
    )
    p = float(counted_p(np.nan_to_num(drawn, nan=-1)[:, None], np.array([value]))[0])
    return Agreement(value, _corrected(value, [_correlation(left(h[:, 0]), left(h[:, 1])) for h in half]), p, len(i))


def _moved(matrix: np.ndarray, order: Int[np.ndarray, "draw task"]) -> Float[np.ndarray, "draw task task"]:
    """Return a matrix with its tasks exchanged."""
    return np.asarray(matrix[order[:, :, None], order[:, None, :]])


def _across(
    x: np.ndarray,
    y: np.ndarray,
    half: Sequence[np.ndarray],
    order: np.ndarray,
    function: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray],
) -> Agreement:
    """Return the agreement over pairs of different functions in either model."""
    i, j = pairs
    apart = function[i] != function[j]
    own, value = x[i, j], float(_correlation(x[i, j][apart], y[i, j][apart]))
    drawn = []
    for at in range(0, len(order), CHUNK):
        some = order[at : at + CHUNK]
        moved = _moved(y, some)[:, i, j]
        drawn.append(_weighted(own, moved, apart & (function[some[:, i]] != function[some[:, j]])))
    p = float(counted_p(np.nan_to_num(np.concatenate(drawn), nan=-1)[:, None], np.array([value]))[0])
    reliable = [_correlation(h[:, 0][:, i, j][:, apart], h[:, 1][:, i, j][:, apart]) for h in half]
    return Agreement(value, _corrected(value, reliable), p, int(apart.sum()))


def _weighted(
    own: Float[np.ndarray, " pair"], moved: Float[np.ndarray, "draw pair"], kept: Bool[np.ndarray, "draw pair"]
) -> Float[np.ndarray, " draw"]:
    """Return the correlation of `own` with every row of `moved` over the pairs that are kept."""
    n = kept.sum(1)
    a, b = np.where(kept, own, 0), np.where(kept, moved, 0)
    mean_a, mean_b = a.sum(1) / n, b.sum(1) / n
    covariance = (a * b).sum(1) / n - mean_a * mean_b
    size = np.sqrt(((a**2).sum(1) / n - mean_a**2) * ((b**2).sum(1) / n - mean_b**2))
    return np.asarray(covariance / np.where(size > 1e-12, size, np.nan))


def _corrected(value: float, halved: Sequence[np.ndarray]) -> float:
    """Return a correlation without noise; NaN where a model's similarities are hardly reliable."""
    reliable = [float(stepped_up(np.array(np.nanmean(h)))) for h in halved]
    return float(np.clip(value / np.sqrt(np.prod(reliable)), -1, 1)) if min(reliable) > 0.1 else float("nan")


# -- layers and heads ---------------------------------------------------------------------------------------------


def profiles(maps: np.ndarray, shape: tuple[int, int], sign: Sign) -> Float[np.ndarray, "*draw function depth"]:
    """Return the share of mass at `DEPTHS` places of relative depth (step 5)."""
    sizes = mass(maps, sign).reshape(*maps.shape[:-1], *shape).sum(-1)
    at = np.linspace(0, 1, DEPTHS)
    places = np.arange(shape[0]) / max(1, shape[0] - 1)
    low = np.clip(np.searchsorted(places, at, side="right") - 1, 0, max(0, shape[0] - 2))
    high = np.minimum(low + 1, shape[0] - 1)
    width = np.where(places[high] > places[low], places[high] - places[low], 1)
    part = (at - places[low]) / width
    found = sizes[..., low] * (1 - part) + sizes[..., high] * part
    total = found.sum(-1, keepdims=True)
    return np.asarray(found / np.where(total > 0, total, 1))


def layers_compared(
    one: xr.Dataset, other: xr.Dataset, functions: Sequence[str], signs: tuple[Sign, Sign], *, seed: int = 0
) -> xr.Dataset:
    """Compare where in relative depth the functions' mass lies.

    Parameters
    ----------
    one, other
        A method's samples of either model.
    functions
        Functions of both.
    signs
        How either's values are read.
    seed
        Of the resampling.

    Returns
    -------
    xarray.Dataset
        Over function: ``layer_agreement`` and ``depth_change`` (other minus one), with _low and _high; over function
        and depth: ``profile`` (model 0, 1).
    """
    tables = [Table(samples, functions) for samples in (one, other)]
    draws = [np.random.default_rng(s) for s in np.random.SeedSequence([seed, 12]).spawn(2)]
    own, drawn = [], []
    for table, sign, draw in zip(tables, signs, draws, strict=True):
        own.append(profiles(table.whole(), table.shape, sign))
        drawn.append(profiles(np.nan_to_num(bootstrap(table, BOOT, draw).astype(np.float64)), table.shape, sign))
    depth = np.linspace(0, 1, DEPTHS)
    result = xr.Dataset({"profile": (("model", "function", "depth"), np.stack(own))}, coords={"depth": depth})
    for name, value, resampled in (
        ("layer_agreement", _correlation(*own), _correlation(*drawn)),
        ("depth_change", own[1] @ depth - own[0] @ depth, drawn[1] @ depth - drawn[0] @ depth),
    ):
        units = [min(len(table.own(at)) for table in tables) for at in range(len(functions))]
        ends = [percentiles(value[f : f + 1], resampled[:, f : f + 1], units[f]) for f in range(len(functions))]
        result[name] = ("function", value)
        for end, place in (("_low", 0), ("_high", 1)):
            result[name + end] = ("function", np.clip([e[place][0] for e in ends], -1, 1))
    return result


def heads_compared(
    one: Float[np.ndarray, "function layer head"],
    other: Float[np.ndarray, "function layer head"],
    signs: tuple[Sign, Sign],
) -> xr.Dataset:
    """Compare heads one by one, of models of one shape (step 6): ``overlap``, ``overlap_p``, ``head_agreement``
    (function,), and ``overlap_chance``.
    """
    from scipy.stats import hypergeom

    dims = ("function", "layer", "head")
    maps = {name: xr.DataArray(values, dims=dims) for name, values in (("one", one), ("other", other))}
    found = agreement(maps, dict(zip(maps, signs, strict=True))).isel(one_method=0, other_method=1, drop=True)
    heads = one[0].size
    k = round(float(found["agreement_chance"]) * heads)
    common = np.rint(found["agreement_top"].values * k)
    return xr.Dataset(
        {
            "overlap": found["agreement_top"],
            "overlap_p": ("function", hypergeom.sf(common - 1, heads, k, k)),
            "head_agreement": found["agreement"],
            "overlap_chance": found["agreement_chance"],
        }
    )


# -- one picture --------------------------------------------------------------------------------------------------


def placed(
    matrices: Float[np.ndarray, "model task task"],
) -> tuple[Float[np.ndarray, "model task axis"], Float[np.ndarray, " axis"]]:
    """Return every model's tasks on the compromise's first two axes (step 7), and these axes' shares of it."""
    n = matrices.shape[-1]
    centre = np.eye(n) - 1 / n
    centred = centre @ matrices @ centre
    first = np.linalg.eigvalsh(centred)[:, -1]
    unit = centred / np.where(first > 1e-12, first, 1)[:, None, None]
    value, vector = np.linalg.eigh(unit.mean(0))
    value, vector = value[::-1][:2], vector[:, ::-1][:, :2]
    vector = vector * np.where(vector[np.abs(vector).argmax(0), [0, 1]] < 0, -1, 1)  # signs mean nothing: fixed
    root = np.sqrt(np.maximum(value, 1e-12))
    share = np.maximum(value, 0) / np.trace(unit.mean(0))
    return unit @ vector / root, share
