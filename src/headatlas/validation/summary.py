"""What the rows of an experiment say: effects with intervals, excess over random heads, dissociation, curves.

1. A function's effect on another one's tasks is the mean over tasks of the mean over a task's items. Intervals resample
   tasks and, within them, items (random heads: draws, too); they are widened for few tasks. How another choice of folds
   would change the heads is not in them.
2. *Excess*: what a function's own tasks lose beyond the mean over matched random draws; ``excess_p`` is how often a
   draw costs as much.
3. *Selectivity*: a function's own loss minus the mean of the others', less the same of random draws.
4. *Double dissociation* of two functions (Teuber 1955; Shallice 1988): each one's heads cost its own tasks more than
   the other's heads do. Both must be so: the larger of two sign-flip p-values with tasks as units, corrected over
   pairs.
5. Curves over k: ``deletion_area`` is the mean loss along the curve, heads counted as a share of all, less that of
   random draws. *Insertion*: only the first k heads are left; faithfulness is the share of the loss of all heads that
   this spares. CPR is the area under it, CMD the area between it and 1 (MIB: Mueller et al. 2025, arXiv 2504.13151).

It knows neither the model nor figures.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.stats.nulls import adjusted, sign_flip_p
from headatlas.stats.resampling import percentiles, shares, two_level
from headatlas.validation.choosing import Design
from headatlas.validation.setting import Setting

BOOT = 1000
WHATS = ("specific", "whole", "least", "random")
TESTED = ("specific", "whole")


def summary(
    effects: Float[np.ndarray, "item condition outcome"],
    conditions: Sequence[tuple[str, int, int, int]],
    given: Setting,
    design: Design,
    outcomes: Sequence[str],
) -> xr.Dataset:
    """Return a validation's numbers (see the module), dimensions outcome, what, function (whose heads are removed),
    measured (whose tasks are asked), k.
    """
    effects = effects.astype(np.float64)
    functions, ks, at = given.functions, design.ks, {c: i for i, c in enumerate(conditions)}
    n = len(functions)

    def column(what: str, f: int, k: int, draw: int = 0) -> int:
        return at[what, f, k, draw]

    fixed = np.array([[[column(what, f, k) for k in ks] for f in range(n)] for what in (*WHATS[:3], "kept")])
    random = np.array([[[column("random", f, k, d) for d in range(design.draws)] for k in ks] for f in range(n)])
    everything = at["all", 0, 0, 0]
    draw = np.random.default_rng([design.seed, 1])
    # (draw or whole, …): index 0 is the estimate, the rest are resampled
    of_draws = np.concatenate([np.full((1, design.draws), 1 / design.draws), shares(draw, BOOT, design.draws)])
    tables, counts = [], []
    for name in functions:
        own = given.function == name
        weights, own_units = two_level(given.unit[own], draw, BOOT)
        means = np.einsum("bi,ico->bco", weights, effects[own])  # (1 + BOOT, condition, outcome)
        drawn = np.einsum("bfkdo,bd->bfko", means[:, random], of_draws)
        tables.append((means[:, fixed], drawn, means[:, everything], means[0][random]))
        counts.append(own_units)
    fixed_means = np.stack([t[0] for t in tables], axis=4)  # (boot, what, function, k, measured, outcome)
    random_means = np.stack([t[1] for t in tables], axis=3)[:, None]  # (boot, 1, function, k, measured, outcome)
    table = np.concatenate([fixed_means[:, :3], random_means], axis=1).transpose(0, 5, 1, 2, 4, 3)
    units = np.array(counts)
    result = xr.Dataset(
        coords={
            "outcome": list(outcomes), "what": list(WHATS), "function": list(functions), "measured": list(functions),
            "k": list(ks), "tested": list(TESTED),
        }
    )  # fmt: skip
    _put(result, "effect", ("outcome", "what", "function", "measured", "k"), table, units)
    own = np.einsum("bowffk->bowfk", table)
    others = (table.sum(4) - own) / max(1, n - 1)
    tested = own[:, :, :2]
    _put(result, "excess", ("outcome", "tested", "function", "k"), tested - own[:, :, 3:], units)
    _put(
        result, "selectivity", ("outcome", "tested", "function", "k"),
        (tested - others[:, :, :2]) - (own - others)[:, :, 3:], units,
    )  # fmt: skip
    single = np.stack([t[3][f] for f, t in enumerate(tables)])  # (function, k, draw, outcome): on the own tasks
    beaten = (single[None] >= tested[0].transpose(1, 2, 3, 0)[:, :, :, None]).sum(3)  # (tested, function, k, outcome)
    result["excess_p"] = (
        ("outcome", "tested", "function", "k"),
        ((1 + beaten) / (1 + design.draws)).transpose(3, 0, 1, 2),
    )
    share = np.array([0, *ks]) / given.effects[0].size
    curve = np.concatenate([np.zeros((*own.shape[:-1], 1)), own], axis=-1)
    area = np.trapezoid(curve, share, axis=-1) / share[-1]
    _put(result, "deletion_area", ("outcome", "tested", "function"), area[:, :, :2] - area[:, :, 3:], units)
    whole = np.stack([t[2] for t in tables], axis=1)  # (boot, function, outcome)
    kept = np.einsum("bfkfo->bfko", fixed_means[:, 3])
    with np.errstate(divide="ignore", invalid="ignore"):
        faith = np.where(np.abs(whole[:, :, None]) > 1e-9, 1 - kept / whole[:, :, None], np.nan).transpose(0, 3, 1, 2)
    faith = np.concatenate([np.zeros((*faith.shape[:3], 1)), faith, np.ones((*faith.shape[:3], 1))], axis=-1)
    x = np.array([0, *ks, given.effects[0].size]) / given.effects[0].size
    _put(result, "faithfulness", ("outcome", "function", "k"), faith[..., 1:-1], units)
    _put(result, "cpr", ("outcome", "function"), np.trapezoid(faith, x, axis=-1), units)
    _put(result, "cmd", ("outcome", "function"), np.trapezoid(np.abs(1 - faith), x, axis=-1), units)
    result = result.merge(_double(effects, fixed[0], given, design, outcomes))
    result["units"] = ("function", [len(set(given.unit[given.function == f])) for f in functions])
    result["items"] = ("function", [int((given.function == f).sum()) for f in functions])
    return result.assign_attrs(heads=given.effects[0].size, k_of_matrix=middle(design))


def answer_summary(
    scored: Float[np.ndarray, "asked case score"],
    items: np.ndarray,
    given: Setting,
    design: Design,
    scores: Sequence[str],
) -> xr.Dataset:
    """Return how good the model's own answers are, and by how much they get worse without heads.

    ``answer_as_is`` (score, measured); ``answer_drop`` (score, function, measured), without a function's most specific
    heads; ``answer_own_drop`` (score, what, measured), without those of the function whose items are asked; and
    ``answer_excess`` (score, tested, measured), that beyond matched random heads. NaN where a score does not apply.
    """
    scored = scored.astype(np.float64)
    n, functions = len(given.functions), given.functions
    draw = np.random.default_rng([design.seed, 3])
    found = np.full((1 + BOOT, len(scores), n, scored.shape[1]), np.nan)
    units, applying = np.ones(n, int), np.zeros((len(scores), n), int)
    for f, name in enumerate(functions):
        own = given.function[items] == name
        for s in range(len(scores)):
            applies = own & np.isfinite(scored[:, :, s]).all(1)
            applying[s, f] = applies.sum()
            if applies.any():
                weights, units[f] = two_level(given.unit[items][applies], draw, BOOT)
                found[:, s, f] = weights @ scored[applies, :, s]
    drop = found[..., :1] - found[..., 1:]
    specific = drop[..., :n]  # (row, score, measured, function)
    own = np.stack([specific[:, :, f, f] for f in range(n)], axis=2)
    whole, least, random = drop[..., n], drop[..., n + 1], drop[..., n + 2 :].mean(-1)
    result = xr.Dataset(
        coords={"score": list(scores), "measured": list(functions), "function": list(functions), "what": list(WHATS),
                "tested": list(TESTED)}
    )  # fmt: skip
    _put(result, "answer_as_is", ("score", "measured"), found[..., 0], units)
    _put(result, "answer_drop", ("score", "function", "measured"), specific.transpose(0, 1, 3, 2), units)
    _put(result, "answer_own_drop", ("score", "what", "measured"), np.stack([own, whole, least, random], 2), units)
    excess = np.stack([own - random, whole - random], axis=2)
    _put(result, "answer_excess", ("score", "tested", "measured"), excess, units)
    result["answer_items"] = (("score", "measured"), applying)
    return result


def middle(design: Design) -> int:
    """Return the k that the dissociation matrix is of: the middle one."""
    return design.ks[len(design.ks) // 2]


def _put(result: xr.Dataset, name: str, dims: tuple[str, ...], values: np.ndarray, units: np.ndarray) -> None:
    """Store an estimate, its row 0, and the interval that its other rows give, widened by the number of units of the
    function whose tasks are asked.
    """
    axis = dims.index("measured" if "measured" in dims else "function")
    moved = np.moveaxis(values, axis + 1, 1)  # (row, function, …)
    ends = np.empty((2, *moved.shape[1:]))
    for f, own in enumerate(units.tolist()):
        estimate, drawn = moved[0, f], moved[1:, f].reshape(len(moved) - 1, -1)
        with warnings.catch_warnings():  # a score that does not apply has no interval: NaN is the answer
            warnings.simplefilter("ignore", RuntimeWarning)
            low, high = percentiles(estimate.reshape(-1), drawn, own)
        ends[:, f] = np.array([low, high]).reshape(2, *estimate.shape)
    result[name] = (dims, values[0])
    for suffix, end in zip(("_low", "_high"), ends, strict=True):
        result[name + suffix] = (dims, np.moveaxis(end, 0, axis))


def _double(
    effects: Float[np.ndarray, "item condition outcome"],
    specific: np.ndarray,
    given: Setting,
    design: Design,
    outcomes: Sequence[str],
) -> xr.Dataset:
    """Return p and q of every pair's double dissociation, by the first outcome."""
    n = len(given.functions)
    columns = specific[:, design.ks.index(middle(design))]
    one_way = np.ones((n, n))
    for g, name in enumerate(given.functions):
        own = given.function == name
        units = sorted(set(given.unit[own]))
        means = np.array([effects[own & (given.unit == u)][:, columns, 0].mean(0) for u in units])
        more = means[:, g : g + 1] - means  # what the own heads cost these tasks beyond what the others' do
        p = sign_flip_p(more, np.random.default_rng([design.seed, 2, g]), one_sided=True)
        one_way[g] = np.where(np.arange(n) == g, 1.0, p)
    both = np.maximum(one_way, one_way.T)
    upper = np.triu_indices(n, 1)
    q = np.ones((n, n))
    q[upper] = adjusted(both[upper])
    q = np.minimum(q, q.T)
    dims = ("function", "measured")
    return xr.Dataset({"one_way_p": (dims, one_way.T), "double_p": (dims, both), "double_q": (dims, q)})
