"""One linear classifier a head: what can be read from that head alone, beyond what a probe reads from noise.

1. Targets are one-hot functions, every function with the same total weight; the classifier of a head is ridge
   regression on its mean z (head_dim numbers and an intercept), and predicts the largest score.
2. Folds keep main questions whole. The penalty of a head is chosen by balanced accuracy on inner folds: outer
   fold k is predicted with the penalty that did best when fold j was predicted from all folds but j and k.
3. A head's accuracy for a function is the share of the function's held-out items that it names (hits), minus
   the share of all others that it takes for them (false alarms; Youden 1950): a probe that names one function
   for everything has hits enough, and tells nothing.
4. Control: the same with labels permuted across items. Selectivity is the accuracy minus the control's (Hewitt &
   Liang 2019, https://arxiv.org/abs/1909.03368). An item's sample of hits pairs it with the items that drew its
   label. False alarms are samples of their own, one a main question and function (part 1), so that their error is in
   the interval as well.
5. Null: each permutation's selectivity against the other permutations, averaged over refits as the task's is.

All a fit needs is the second moments of z by function and fold, which add up: they are taken once a
labelling, and every inner and outer fit of all heads of some layers is one batched Cholesky factorisation.
The control uses the penalties chosen for the task: it is the same probe.

Labels are permuted over single items, so a control probe has nothing that carries over to held-out items:
selectivity here is accuracy above chance as it turns out for this set, not a measure of memorisation.
This module does not know whether the model uses what can be read: decodable is not used.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from headatlas.controls import check_folds, grouped_folds
from headatlas.errors import InputError, RunError
from headatlas.methods.base import TRAINED_INTERVAL, Activations, Method, Sign, methods
from headatlas.methods.probe import side_by_side
from headatlas.work.clock import seconds_of

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

CHUNK_BYTES = 16 * 2**20
"""Of z copied at a time (whole layers): bounds memory, changes no number."""


@dataclass(frozen=True)
class LinearProbe(Method):
    """Selectivity of a linear probe on each head alone.

    Parameters
    ----------
    folds
        Parts that main questions are dealt into (fewer where a function has too few; see `grouped_folds`).
    refits
        How many times the folds are dealt anew.
    shuffles
        Permuted labellings; the same ones in every refit.
    penalties
        Ridge penalties to choose from, in units of the mean variance of a dimension of the head's z.

    Notes
    -----
    ``correct`` is the held-out accuracy of the single head that did best on the inner folds.
    """

    name: ClassVar[str] = "linear_probe"
    reads: ClassVar[Literal["activations", "model"]] = "activations"
    version: ClassVar[int] = 2
    interval: ClassVar[str] = TRAINED_INTERVAL
    default_sign: ClassVar[Sign] = "positive"
    label: ClassVar[str] = "selectivity (hits minus false alarms, above control)"

    folds: int = 5
    refits: int = 2
    shuffles: int = 8
    penalties: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0)

    def __post_init__(self) -> None:
        if self.refits < 1 or self.shuffles < 2:
            raise InputError("A linear probe needs refits of 1 or more and shuffles of 2 or more.")
        if not self.penalties or min(self.penalties) <= 0:
            raise InputError(f"Ridge penalties must be above 0, got {self.penalties}.")
        check_folds(self.folds)

    def __call__(
        self, model: "HeadModel | None", prompts: Any, activations: Activations | None, *, seed: int
    ) -> xr.Dataset:
        """Return one sample an item and refit (see the class and `Method`).

        Raises
        ------
        InputError
            No activations, one function only, or a function in fewer than three main questions.
        RunError
            z holds values that are NaN or infinite.
        """
        if activations is None:
            raise InputError("The linear probe reads pooled activations, and got none. Capture them first.")
        functions = [f for f in activations.functions if f in set(activations.function.tolist())]
        label = np.array([functions.index(f) for f in activations.function], dtype=np.int64)
        draw = np.random.default_rng(np.random.SeedSequence(seed))
        orders = np.stack([np.arange(len(label)), *(draw.permutation(len(label)) for _ in range(self.shuffles))])
        deals = draw.integers(2**31, size=self.refits)
        fold = [
            grouped_folds(activations.function, activations.group, folds=self.folds, seed=int(deal)) for deal in deals
        ]
        items, layers, heads, _ = activations.z.shape
        named = np.zeros((self.refits, 1 + self.shuffles, items, layers, heads), dtype=np.int16)
        inner = np.zeros((self.refits, max(int(f.max()) for f in fold) + 1, layers, heads))

        def some_layers(part: slice) -> None:
            x = _heads(activations.z, part)
            for refit in range(self.refits):
                got, score = _cross_validate(x, label[orders], fold[refit], self.penalties)
                named[refit, :, :, part] = got.reshape(1 + self.shuffles, items, -1, heads)
                inner[refit, : len(score), part] = score.reshape(len(score), -1, heads)

        side_by_side(some_layers, _parts(activations.z))  # each writes to layers of its own
        return _samples(activations, functions, label, orders, fold, named, inner)

    def seconds(self, model: "HeadModel | None", prompts: Any, activations: Activations, *, seed: int) -> float | None:
        """Return about how long it takes, timed on one layer."""
        layers = activations.z.shape[1]
        one = replace(activations, z=activations.z[:, :1])
        once = seconds_of(lambda: self(model, prompts, one, seed=seed), again=0.0)
        return once * layers / min(torch.get_num_threads(), layers)


def _parts(z: Float[np.ndarray, "item layer head head_dim"]) -> list[slice]:
    """Return the layers, some at a time."""
    items, layers, heads, head_dim = z.shape
    step = max(1, CHUNK_BYTES // (4 * items * heads * (head_dim + 1)))
    return [slice(start, min(start + step, layers)) for start in range(0, layers, step)]


def _heads(z: Float[np.ndarray, "item layer head head_dim"], part: slice) -> Float[Tensor, "unit item dim"]:
    """Return the z of some layers, head by head: centred, of unit spread, with a column of ones."""
    x = torch.from_numpy(np.array(z[:, part], dtype=np.float32)).flatten(1, 2).transpose(0, 1)
    x = x - x.mean(1, keepdim=True)  # the intercept is not penalised: this changes rounding, nothing else
    spread = x.square().mean((1, 2), keepdim=True).sqrt()
    if not torch.isfinite(spread).all():
        raise RunError("z holds values that are NaN, infinite or huge. Capture it again, in float32.")
    return torch.cat([x / spread.clamp_min(1e-30), torch.ones(*x.shape[:2], 1)], dim=2)


def _moments(
    x: Float[Tensor, "unit item dim"], label: Int[np.ndarray, " item"], fold: Int[np.ndarray, " item"]
) -> tuple[Float[Tensor, "function fold unit dim dim"], Float[Tensor, "function fold"]]:
    """Return the sums of x x' by function and fold, and how many items each holds.

    In float64: one dimension of a head can be a hundred times the others, whose variance would drown in rounding.
    """
    classes, folds = int(label.max()) + 1, int(fold.max()) + 1
    sums = torch.zeros(classes, folds, x.shape[0], x.shape[2], x.shape[2], dtype=torch.float64)
    counts = torch.zeros(classes, folds, dtype=torch.float64)
    for c in range(classes):
        for k in range(folds):
            rows = np.flatnonzero((label == c) & (fold == k))
            some = x[:, rows].double()
            sums[c, k] = some.transpose(1, 2) @ some
            counts[c, k] = len(rows)
    return sums, counts


def _solve(
    sums: Float[Tensor, "function fold unit dim dim"],
    counts: Float[Tensor, "function fold"],
    keep: list[int],
    penalty: Float[Tensor, "penalty unit"],
) -> Float[Tensor, "penalty unit dim function"]:
    """Return the ridge solutions from the folds in `keep`; the last row of dim is the intercept.

    With weights that sum to 1, shared equally by functions: (S + penalty tr(S)/d I) b = (mean_c - mean) / C.
    """
    count = counts[:, keep].sum(1)
    present = count > 0
    weight = torch.where(present, 1 / count.clamp_min(1) / present.sum(), 0.0)
    total = sums[:, keep].sum(1)
    moment = torch.einsum("c,cuij->uij", weight, total)
    mean = moment[:, :-1, -1]
    covariance = moment[:, :-1, :-1] - mean.unsqueeze(2) * mean.unsqueeze(1)
    dims = covariance.shape[-1]
    # A silent head has no variance, and one whose spread is a few outliers in other folds has next to none beside
    # its mean, less than rounding: the floor keeps the system solvable, and the weights near zero.
    variance = covariance.diagonal(dim1=1, dim2=2).mean(-1)
    around_zero = moment[:, :-1, :-1].diagonal(dim1=1, dim2=2).mean(-1)
    variance = torch.maximum(variance, 1e-9 * around_zero).clamp_min(1e-12)
    own = weight[:, None, None] * total[:, :, :-1, -1]  # (function, unit, dim): weighted sums of x
    share = weight * count
    target = (own - share[:, None, None] * mean).permute(1, 2, 0)
    ridge = (penalty * variance)[..., None, None] * torch.eye(dims, dtype=torch.float64)
    factor = torch.linalg.cholesky(covariance + ridge)
    slope = torch.cholesky_solve(target.expand(len(penalty), *target.shape), factor)
    intercept = share - torch.einsum("pudc,ud->puc", slope, mean)
    intercept = torch.where(present, intercept, -torch.inf)  # a function never seen is never predicted
    return torch.cat([slope, intercept.unsqueeze(2)], dim=2).float()


def _named(
    x: Float[Tensor, "unit item dim"], weights: Float[Tensor, "penalty unit dim function"]
) -> Int[Tensor, "penalty unit item"]:
    """Return the function with the largest score."""
    return (x[..., :-1] @ weights[:, :, :-1] + weights[:, :, -1:]).argmax(-1)


def _cross_validate(
    x: Float[Tensor, "unit item dim"],
    labels: Int[np.ndarray, "labelling item"],
    fold: Int[np.ndarray, " item"],
    penalties: tuple[float, ...],
) -> tuple[Int[np.ndarray, "labelling item unit"], Float[np.ndarray, "fold unit"]]:
    """Return the function named for held-out items, and every unit's inner score by outer fold, for labelling 0."""
    folds, units = int(fold.max()) + 1, len(x)
    grid = torch.tensor(penalties, dtype=torch.float64)
    where = [np.flatnonzero(fold == k) for k in range(folds)]
    held = [x[:, rows] for rows in where]
    named = np.zeros((len(labels), len(fold), units), dtype=np.int16)
    chosen = torch.empty(0)
    best = np.empty(0)
    for number, label in enumerate(labels):
        sums, counts = _moments(x, label, fold)
        truth = [torch.from_numpy(label[rows]) for rows in where]
        if number == 0:  # the task; controls follow with its penalties
            every = grid[:, None].expand(-1, units)
            scores = torch.zeros(folds, len(grid), units)
            size = counts.sum(1).clamp_min(1).float()
            for k, j in combinations(range(folds), 2):
                weights = _solve(sums, counts, [f for f in range(folds) if f not in (k, j)], every)
                for outer, tested in ((k, j), (j, k)):
                    hits = (_named(held[tested], weights) == truth[tested]).float()
                    scores[outer] += (hits / size[truth[tested]]).sum(-1)
            top = scores.max(1)
            chosen, best = grid[top.indices], top.values.numpy()
        for k in range(folds):
            weights = _solve(sums, counts, [f for f in range(folds) if f != k], chosen[k : k + 1])
            named[number, where[k]] = _named(held[k], weights)[0].T.numpy()
    return named, best


def _false_alarms(
    named: Int[np.ndarray, "refit item layer head"], label: Int[np.ndarray, " item"], functions: int
) -> Float[np.ndarray, "refit function layer head"]:
    """Return the share of other functions' items that are taken for each function."""
    return np.stack([(named[:, label != c] == c).mean(1, dtype=np.float32) for c in range(functions)], axis=1)


def _alarms_by_unit(
    activations: Activations,
    named: Int[np.ndarray, "refit labelling item layer head"],
    labels: Int[np.ndarray, "labelling item"],
    functions: list[str],
) -> xr.Dataset:
    """Return minus the false alarms above control, a sample a refit, function and main question (and task).

    Their means, weighted by ``weight``, are those of `_false_alarms` over all items that are not the function's.
    """
    refits, labellings, items, *shape = named.shape
    task = np.full(items, "") if activations.task is None else activations.task
    key = np.char.add(np.char.add(activations.group.astype(str), "\x1f"), task.astype(str))
    _, first, unit = np.unique(key, return_index=True, return_inverse=True)
    size = np.bincount(unit).astype(np.float64)
    found = np.zeros((refits, len(functions), len(size), shape[0] * shape[1]), np.float32)
    gather = csr_array((np.ones(items, np.float32), (unit, np.arange(items))))
    for c in range(len(functions)):
        rate = (items / (labels[0] != c).sum() / size)[:, None].astype(np.float32)
        for n, label in enumerate(labels):
            share = np.float32(-1 if n == 0 else 1 / (labellings - 1))
            for r in range(refits):
                wrong = (named[r, n].reshape(items, -1) == c) & (label != c)[:, None]
                found[r, c] += share * rate * (gather @ wrong.astype(np.float32))
    n = refits * len(functions)
    coords = {
        "function": np.tile(np.repeat(functions, len(size)), refits),
        "group": np.tile(activations.group[first], n),
        "refit": np.repeat(np.arange(refits), len(functions) * len(size)),
        "part": np.ones(n * len(size), dtype=np.int64),
        "weight": np.tile(size, n),
        **({} if activations.task is None else {"task": np.tile(activations.task[first], n)}),
    }
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), found.reshape(-1, *shape))},
        coords={name: ("sample", values) for name, values in coords.items()},
    )


def _samples(
    activations: Activations,
    functions: list[str],
    label: np.ndarray,
    orders: Int[np.ndarray, "labelling item"],
    fold: list[np.ndarray],
    named: Int[np.ndarray, "refit labelling item layer head"],
    inner: Float[np.ndarray, "refit fold layer head"],
) -> xr.Dataset:
    """Return task minus control as the Dataset that `Method` promises."""
    refits, _, items, layers, heads = named.shape
    right = named[:, 0] == label[:, None, None]
    hits = right.astype(np.float32)
    alarms = _alarms_by_unit(activations, named, label[orders], functions)
    shares = np.zeros((len(orders) - 1, len(functions), layers, heads))
    for number, order in enumerate(orders[1:]):
        # Item j was given the label of item order[j]; its result is the control of the item that lent it.
        lent = np.empty_like(right)
        lent[:, order] = named[:, number + 1] == label[order][:, None, None]
        hits -= lent / np.float32(len(orders) - 1)
        false = _false_alarms(named[:, number + 1], label[order], len(functions)).mean(0)
        shares[number] = [lent[:, label == c].mean((0, 1)) - false[c] for c in range(len(functions))]
    others = (shares.sum(0) - shares) / (len(shares) - 1)
    # Heads that do best on inner folds speak for the held-out ones: nothing is chosen on what is reported.
    best = inner.reshape(*inner.shape[:2], -1).argmax(-1)
    flat = right.reshape(refits, items, -1)
    correct = np.mean([flat[r, np.arange(items), best[r][fold[r]]] for r in range(refits)], axis=0)
    each = np.tile(np.arange(items), refits)
    balanced = np.mean([right[:, label == c].mean((0, 1)) for c in range(len(functions))], axis=0)
    own = xr.Dataset(
        {"importance": (("sample", "layer", "head"), hits.reshape(-1, layers, heads))},
        coords={
            **activations.labels(each),
            "item": ("sample", each),
            "refit": ("sample", np.repeat(np.arange(refits), items)),
            "part": ("sample", np.zeros(len(each), dtype=np.int64)),
            "weight": ("sample", np.ones(len(each))),
        },
    )
    samples = xr.concat([own, alarms.assign_coords(item=("sample", np.full(alarms.sizes["sample"], -1)))], "sample")
    return (
        samples.assign(
            {
                "null": (
                    ("null_sample", "layer", "head"),
                    (shares - others).reshape(-1, layers, heads).astype(np.float32),
                ),
                "correct": ("prediction", correct),
            }
        )
        .assign_coords(
            {
                "null_function": ("null_sample", functions * len(shares)),
                "prediction_function": ("prediction", activations.function),
                "prediction_group": ("prediction", activations.group),
                "prediction_item": ("prediction", np.arange(items)),
                **({} if activations.task is None else {"prediction_task": ("prediction", activations.task)}),
            }
        )
        .assign_attrs(
            folds=int(fold[0].max()) + 1,
            balanced_accuracy_median_head=float(np.median(balanced)),
            balanced_accuracy_best_head=float(balanced.max()),
        )
    )


methods.register(LinearProbe.name, LinearProbe)
