"""Numbers about the maps of one method: mass, bands of layers, concentration, regions, likeness.

1. `Maps` takes one method out of an atlas: values by function, layer and head, the sign they are read with (the
   method's own attribute), and their mass: the positive part for "positive", |value| for "absolute" and "signed".
2. `band` finds the run of neighbouring layers that holds the most mass beyond its even share. A constant
   background moves no such band, and a permutation of the heads over the map says whether chance gives one.
3. `heads_for_half` and `gini` say how concentrated a map is; `quadrants` where its top heads lie.
4. `contrast` says which maps are alike and which stand apart (its algorithm is in its docstring).

NumPy in, plain numbers out; every random draw is seeded. This module does not know sentences or figures, nor
how sure a single head's value is (`stats` does).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float

from headatlas._registry import suggest
from headatlas.atlas import as_atlas, pick_methods
from headatlas.atlas.variables import SIGN
from headatlas.errors import AtlasError, InputError
from headatlas.questions.functions import order_functions
from headatlas.stats.sign import SIGNS, Sign, mass, ranked

DRAWS = 500
"""Permutations a test: p-values no finer than 0.002, enough to compare with 0.025."""
TOGETHER = 50
"""Draws that are compared at once: bounds memory."""
ALPHA = 0.05
MIN_GAP = 0.2
"""A map stands apart only if the others agree with each other by this much correlation more than with it."""
MIN_ALIKE = 0.3
"""... and only if the others are alike at all."""
RELIABLE = 0.5
"""Split-half reliability from which a map is taken to have structure of its own."""
QUADRANTS = ("shallow_low", "shallow_high", "deep_low", "deep_high")


@dataclass(frozen=True)
class Maps:
    """The maps of one method.

    Attributes
    ----------
    method, sign, functions
        The method's name, how its values are read, and the functions in the figure's order.
    values
        Importance as the atlas has it, (function, layer, head).
    layers, heads
        The layers' and heads' own numbers (an atlas may hold a part of a model).
    """

    method: str
    sign: Sign
    functions: tuple[str, ...]
    values: Float[np.ndarray, "function layer head"]
    layers: tuple[int, ...]
    heads: tuple[int, ...]

    @cached_property
    def mass(self) -> Float[np.ndarray, "function layer head"]:
        """What counts as importance under the sign (as in `stats`): the positive part, else |value|."""
        return mass(self.values, self.sign)

    @cached_property
    def ranked(self) -> Float[np.ndarray, "function layer head"]:
        """What orders the heads under the sign (as in `stats`): |value| for "absolute", else the value."""
        return ranked(self.values, self.sign)

    @cached_property
    def shown(self) -> Float[np.ndarray, "function layer head"]:
        """What a figure draws under the sign: the mass, or for "signed" the values as they are."""
        return self.values if self.sign == "signed" else self.mass

    def head_name(self, layer: int, head: int) -> str:
        """Return ``L6H12`` for a position in the arrays."""
        return f"L{self.layers[layer]}H{self.heads[head]}"


def pick_functions(atlas: xr.Dataset, functions: Iterable[str] | None) -> tuple[str, ...]:
    """Return the atlas's functions in the figure's order, or `functions` as given, each of them checked."""
    known = tuple(str(f) for f in np.atleast_1d(atlas["function"].values))
    if len(set(known)) < len(known):
        raise AtlasError("This atlas names a function twice. Give each its own label.")
    chosen = order_functions(known) if functions is None else tuple(functions)
    for f in chosen:
        if f not in known:
            raise InputError(f"This atlas has no function '{f}'.{suggest(f, list(known))}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"Give at least one function, and none twice (got {list(chosen)}).")
    return chosen


def take_maps(
    atlas: xr.DataTree | xr.Dataset, method: str, *, sign: str | None = None, functions: Iterable[str] | None = None
) -> Maps:
    """Return one method's maps, checked: every dimension non-empty, labels known, values finite."""
    atlas = as_atlas(atlas)
    pick_methods(atlas, method)
    part = atlas[method].to_dataset()
    chosen = pick_functions(part, functions)
    known = [s for s in SIGNS if s == sign]
    if sign is not None and not known:
        raise InputError(f"Unknown sign '{sign}'.{suggest(str(sign), list(SIGNS))}")
    array = part["importance"].transpose("function", "layer", "head")
    rows = [[str(f) for f in np.atleast_1d(part["function"].values)].index(f) for f in chosen]
    values = array.values[rows].astype(np.float64)
    if values.size == 0:
        raise AtlasError(f"This atlas holds no head: importance has sizes {dict(array.sizes)}.")
    layers, heads = (_numbers(part, dim) for dim in ("layer", "head"))
    own: Sign = next((s for s in SIGNS if s == part.attrs.get(SIGN)), "signed")
    return Maps(method, known[0] if known else own, chosen, values, layers, heads)


def _numbers(atlas: xr.Dataset, dim: str) -> tuple[int, ...]:
    """Return the layers' or heads' own numbers: the coordinate if it holds whole numbers, else 0, 1, …"""
    if dim in atlas.coords and np.issubdtype(atlas[dim].dtype, np.integer):
        return tuple(int(i) for i in atlas[dim].values)
    return tuple(range(atlas.sizes[dim]))


# -- scale ---------------------------------------------------------------------------------------------------


def nice(value: float, *, steps: tuple[float, ...], up: bool) -> float:
    """Return the round number (a step times a power of ten) next to a positive `value`, above or below it."""
    power = math.floor(math.log10(value))
    table = [float(f"{s}e{power + shift}") for shift in (-1, 0, 1) for s in steps]
    if up:
        return min(t for t in table if t >= value * (1 - 1e-9))
    return max(t for t in table if t <= value * (1 + 1e-9))


def decimals(numbers: Iterable[float], size: float) -> int | None:
    """Return how many decimals tell `numbers` apart on a scale that ends at `size`; None: scientific.

    Four where the published figure's scale ends (0.0050) and near it; never so few that all read as zero.
    """
    least = 4 if size < 0.05 else 2 if size < 5 else 1 if size < 50 else 0
    for places in range(least, 7):
        if all(abs(round(n, places) - n) <= 1e-6 * size for n in numbers):
            return places if size < 1e6 else None
    return max(least, 1 - math.floor(math.log10(size / 5))) if 1e-4 <= size < 1e6 else None


def value_places(size: float) -> int | None:
    """Return how many decimals to write values of up to `size` with: two digits of the largest at least."""
    if size == 0:
        return 4
    least = 4 if size < 0.05 else 2 if size < 5 else 1 if size < 50 else 0
    places = max(least, 1 - math.floor(math.log10(size)))
    return places if places <= 6 and size < 1e6 else None


def write_number(value: float, places: int | None) -> str:
    """Return a number with `places` decimals (None: scientific), without a minus on zero."""
    text = f"{value:.2e}" if places is None else f"{value:.{places}f}"
    return text.lstrip("-") if float(text) == 0 else text


# -- one map -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """A run of neighbouring layers: positions `first` to `last`, their `share` of the mass, the `even` share
    that as many layers would hold anywhere, and the chance `p` of so large an excess (None: not tested).
    """

    first: int
    last: int
    share: float
    even: float
    p: float | None


def _largest_excess(excess: Float[np.ndarray, "draw layer"]) -> Float[np.ndarray, " draw"]:
    """Return the largest sum over a run of neighbours in every row."""
    total = np.cumsum(excess, axis=1)
    before = np.concatenate([np.zeros((len(total), 1)), total[:, :-1]], axis=1)
    return np.max(total - np.minimum.accumulate(before, axis=1), axis=1)


def specific_heads(part: xr.Dataset, functions: Sequence[str]) -> Bool[np.ndarray, "function layer head"] | None:
    """Return which heads matter more for each of `functions` than for the others, q below 0.05; None if not tested.

    A head whose effect is shown to be smaller than on the others is no head of the function.
    """
    if "q_specific" not in part or not np.isfinite(part["q_specific"]).any():
        return None
    q, own = (
        part[name].sel(function=list(functions)).transpose("function", "layer", "head").values
        for name in ("q_specific", "specific")
    )
    return np.asarray((q < ALPHA) & (own > 0))


def band_p(values: Float[np.ndarray, "layer head"], *, seed: int) -> float:
    """Return the chance that heads put at random into the layers give a band with as large an excess."""
    rng = np.random.default_rng(seed)
    flat = np.broadcast_to(values.reshape(-1), (DRAWS, values.size))
    sums = rng.permuted(flat, axis=1).reshape(DRAWS, *values.shape).sum(axis=2)
    drawn = _largest_excess(sums - sums.mean(axis=1, keepdims=True))
    own = values.sum(axis=1, keepdims=True).T
    return float((1 + np.sum(drawn >= _largest_excess(own - own.mean())[0] * (1 - 1e-9))) / (1 + DRAWS))


def band(shares: Float[np.ndarray, " layer"], p: float | None = None) -> Band:
    """Return the run of neighbours with the most mass beyond its even share (`shares` sum to 1)."""
    n = len(shares)
    total = np.concatenate([[0.0], np.cumsum(shares - 1.0 / n)])
    first, last, best = 0, n, -np.inf
    for i in range(n):
        j = i + 1 + int(np.argmax(total[i + 1 :]))
        if total[j] - total[i] > best + 1e-12:
            first, last, best = i, j, float(total[j] - total[i])
    if best < 1e-9:  # an even spread: every layer, not the first that rounding favours
        first, last = 0, n
    return Band(first, last - 1, float(shares[first:last].sum()), (last - first) / n, p)


def heads_for_half(mass: Float[np.ndarray, "layer head"]) -> int:
    """Return the smallest number of heads that together hold half of the map's mass."""
    ordered = np.sort(mass, axis=None)[::-1]
    return int(np.searchsorted(np.cumsum(ordered), 0.5 * ordered.sum() * (1 - 1e-12))) + 1


def gini(mass: Float[np.ndarray, "layer head"]) -> float:
    """Return Gini's coefficient of a map's mass: 0 = every head holds the same, near 1 = one holds all."""
    ordered = np.sort(mass, axis=None)
    n = ordered.size
    return float(2 * np.sum(np.arange(1, n + 1) * ordered) / (n * ordered.sum()) - (n + 1) / n)


def top_heads(ranked: Float[np.ndarray, "layer head"], k: int) -> np.ndarray:
    """Return the flat positions of the k largest heads; ties by position."""
    return np.argsort(-ranked, axis=None, kind="stable")[:k]


def quadrants(ranked: Float[np.ndarray, "layer head"], k: int) -> dict[str, dict[str, float]]:
    """Return, for each quarter of the grid, its share of the heads and of the top `k` heads.

    The middle layer (head) of an odd number belongs to the deep (high) half. ``p`` is the hypergeometric
    chance of so few top heads in a quarter of that size.
    """
    n_layers, n_heads = ranked.shape
    layer, head = np.indices(ranked.shape)
    which = 2 * (layer >= n_layers // 2) + (head >= n_heads // 2)
    top = np.zeros(ranked.size, bool)
    top[top_heads(ranked, k)] = True
    found = {}
    for i, name in enumerate(QUADRANTS):
        here = which == i
        n_top = int(top[here.reshape(-1)].sum())
        found[name] = {
            "heads": float(here.mean()),
            "top": n_top / k,
            "p": _chance_of_so_few(n_top, ranked.size, int(here.sum()), k),
        }
    return found


def _chance_of_so_few(n: int, size: int, marked: int, drawn: int) -> float:
    """Return the hypergeometric chance of at most `n` marked ones among `drawn` of `size`."""
    ways = sum(math.comb(marked, i) * math.comb(size - marked, drawn - i) for i in range(n + 1))
    return ways / math.comb(size, drawn)


# -- several maps --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrast:
    """Which maps are alike and which stand apart; see `contrast`.

    Attributes
    ----------
    by_head, by_layer
        Correlations between maps (function x function): Spearman over heads, Pearson over layers' sums.
    gaps
        For each measure and function: how much more the others agree with each other than with it.
    corrected
        The gaps over heads after correction for reliability, if there are reliabilities (all above 0.1).
    p
        For each measure and function: the chance of so large a gap if the labels of the maps meant nothing.
    own_p
        For each function: the chance of so clear a band of layers in what the other maps do not explain.
    apart
        Positions of the functions that stand apart.
    unproven
        Positions of those with a large enough gap whose own map can't be told from noise.
    """

    by_head: np.ndarray
    by_layer: np.ndarray
    gaps: dict[str, np.ndarray]
    corrected: np.ndarray | None
    p: dict[str, np.ndarray]
    own_p: np.ndarray
    apart: tuple[int, ...]
    unproven: tuple[int, ...]


def _correlate(rows: np.ndarray) -> np.ndarray:
    """Return correlations between rows; a constant row correlates 0 with all others and 1 with itself."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    size = np.sqrt((centred**2).sum(axis=-1, keepdims=True))
    unit = np.divide(centred, size, out=np.zeros_like(centred), where=size > 1e-12 * np.abs(rows).max())
    matrix = np.clip(unit @ np.swapaxes(unit, -1, -2), -1.0, 1.0)
    index = np.arange(rows.shape[-2])
    matrix[..., index, index] = 1.0
    return matrix


def _rest_and_gap(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each function, the others' mean correlation, and that minus its own with them."""
    n = matrix.shape[-1]
    own = (matrix.sum(axis=-1) - 1) / (n - 1)
    pairs = (matrix.sum(axis=(-1, -2)) - n) / 2
    rest = (pairs[..., None] - own * (n - 1)) / ((n - 1) * (n - 2) / 2)
    return rest, rest - own


def contrast(maps: Maps, *, reliability: np.ndarray | None = None, seed: int = 0) -> Contrast | None:
    """Find the maps that stand apart from the others; None for fewer than three.

    1. Two measures, both of signed values (absolute values of noise agree wherever heads or layers differ in how
       noisy they are): Spearman over heads (as `stats` takes it), and, for maps whose heads are mostly noise, Pearson
       over the layers' sums (a layer averages its heads' noise away, and needs no meaning of a head's index).
    2. A function's gap: the mean correlation among the others, minus its mean correlation with them.
       With reliabilities at hand, Spearman is first divided by the geometric mean of the two, for step 5.
    3. Chance: at every head the functions' labels are shuffled, so all maps become draws of one; p compares a
       gap with the largest gap of each draw, which holds over all functions at once.
    4. A noisier copy of the common map also has a gap. So a function must have structure of its own: a band
       of layers in the residual of its map after regression on the mean of the others, or a reliability of
       at least 0.5.
    5. A function stands apart if on either measure its gap is at least 0.2, the others' mean correlation
       at least 0.3 and p below 0.025 (two measures), step 4 holds, and so do fewer than half of all.
    """
    n = len(maps.functions)
    if n < 3:
        return None
    rng = np.random.default_rng(seed)
    ranks = pd.DataFrame(maps.values.reshape(n, -1)).rank(axis=1).to_numpy()  # scipy.stats takes half a second to load
    total = maps.mass.sum(axis=(1, 2), keepdims=True)
    share = np.divide(maps.values, total, out=np.zeros_like(maps.values), where=total > 0)
    data = {"by_head": ranks, "by_layer": share.reshape(n, -1)}
    matrices = {"by_head": _correlate(ranks), "by_layer": _correlate(share.sum(axis=2))}
    own_p = np.array([_own_p(share, i, seed) for i in range(n)])
    gaps, p = {}, {}
    corrected: np.ndarray | None = None
    passed = np.zeros(n, bool)
    for name, matrix in matrices.items():
        rest, gap = _rest_and_gap(matrix)
        drawn = np.concatenate(
            [_largest_gaps(rng, data[name], share.shape, by_layer=name == "by_layer") for _ in range(DRAWS // TOGETHER)]
        )
        gaps[name] = gap
        p[name] = (1 + (drawn[:, None] >= gap - 1e-9).sum(axis=0)) / (1 + DRAWS)
        if name == "by_head" and reliability is not None and (reliability > 0.1).all():
            rest, gap = _rest_and_gap(_disattenuated(matrix, reliability))
            corrected = gap
        passed |= (gap >= MIN_GAP) & (rest >= MIN_ALIKE) & (p[name] < ALPHA / 2)
    own = own_p < ALPHA
    if reliability is not None:
        own |= reliability >= RELIABLE
    apart = np.flatnonzero(passed & own)
    if 2 * len(apart) >= n:
        apart = apart[:0]
    unproven = tuple(int(i) for i in np.flatnonzero(passed & ~own))
    return Contrast(
        by_head=matrices["by_head"],
        by_layer=matrices["by_layer"],
        gaps=gaps,
        corrected=corrected,
        p=p,
        own_p=own_p,
        apart=tuple(int(i) for i in apart),
        unproven=unproven,
    )


def _largest_gaps(
    rng: np.random.Generator, data: Float[np.ndarray, "function unit"], shape: tuple[int, ...], *, by_layer: bool
) -> Float[np.ndarray, " draw"]:
    """Return the largest gap of each of `TOGETHER` draws, in which the functions' labels are shuffled at every head."""
    mixed = np.stack([rng.permuted(data, axis=0) for _ in range(TOGETHER)])
    rows = mixed.reshape(TOGETHER, *shape).sum(axis=3) if by_layer else mixed
    return np.asarray(_rest_and_gap(_correlate(rows))[1].max(axis=-1))


def _disattenuated(matrix: np.ndarray, reliability: np.ndarray) -> np.ndarray:
    """Return correlations divided by the geometric mean of the two reliabilities (Spearman 1904)."""
    corrected = np.clip(matrix / np.sqrt(np.outer(reliability, reliability)), -1.0, 1.0)
    np.fill_diagonal(corrected, 1.0)
    return corrected


def _own_p(share: Float[np.ndarray, "function layer head"], i: int, seed: int) -> float:
    """Return `band_p` of what the mean of the other maps does not explain of map `i`."""
    own, others = share[i].reshape(-1), np.delete(share, i, axis=0).mean(axis=0).reshape(-1)
    centred = others - others.mean()
    power = float(centred @ centred)
    slope = float(centred @ own) / power if power > 0 else 0.0
    residual = own - own.mean() - slope * centred
    if np.abs(residual).max() < 1e-12:
        return 1.0
    return band_p(residual.reshape(share.shape[1:]), seed=seed + i)
