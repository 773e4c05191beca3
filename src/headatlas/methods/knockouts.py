"""Group knockouts: random groups of heads removed together, so that heads which back each other up show.

1. Every item is answered once for each of its own random groups: a head is in exactly ``share`` of an item's groups,
   independently of all others, and the z of the heads in a group is replaced together (`models.groups`).
2. A head's effect is how much more is lost in the groups that hold it than in those that don't: by design an unbiased
   estimate of its mean marginal effect while each of the others is missing with probability ``share`` (a Banzhaf value
   of that weight; as ``share`` goes to 0 it is single ablation). A head that another one stands in for is missed where
   that one is missing too.
3. What the other heads of a group cost is noise to it. A sparse linear model of the loss (LARS-lasso), fitted to the
   *other items of the item's task*, takes most of it off: what it predicts is subtracted from the loss, and its
   coefficient put back, which is unbiased whatever the model is (a control variate). Items without a task go without.
4. Stability: the lasso is fitted to random halves of the units; the share of halves in which a head is among the first
   to enter, as many as let one false head in on average at `STABLE` (Meinshausen & Bühlmann 2010, theorem 1; halves in
   complementary pairs, Shah & Samworth 2013). Random knockouts with sparse regression: arXiv 2603.03335.

This module does not know hooks or caches.
"""

import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float

from headatlas.errors import InputError
from headatlas.methods.ablation import balanced_mean
from headatlas.methods.base import Activations, ModelMethod, Sign, Work, methods
from headatlas.methods.metric import ByMetric
from headatlas.models.groups import knocked_out
from headatlas.models.sweep import MAX_TOKENS

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.prompts import Prompt

STABLE = 0.75
"""A head is stable in this share of the halves."""
HALVES = 25
"""Pairs of halves."""
FOLDS = 5
"""Of a task's items, for the sparse model."""
STEPS = 100
"""Heads that the sparse model may hold."""


@dataclass(frozen=True)
class Knockouts(ByMetric, ModelMethod):
    """A head's mean marginal effect on a metric of the reference answer, random others being removed with it.

    Parameters
    ----------
    share
        Of all heads, removed together.
    groups
        Groups an item; 0: half as many as there are heads, which costs what single ablation costs.
    by
        "mean": z is replaced by its mean over all items, every function weighing the same. "zero": by nothing.
    max_tokens
        Tokens run at once: bounds memory, changes no number.
    metric
        What is read of the answer (`ByMetric`).
    """

    name: ClassVar[str] = "knockouts"
    default_sign: ClassVar[Sign] = "signed"
    ablates: ClassVar[bool] = True

    share: float = 0.1
    groups: int = 0
    by: str = "mean"
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share < 1:
            raise InputError(f"A share of {self.share} removes no or all heads. Give one between 0 and 1, e.g. 0.1.")
        if self.by not in ("mean", "zero"):
            raise InputError(f"Unknown replacement '{self.by}'. Give mean or zero.")
        if self.groups < 0 or self.groups == 1 or self.max_tokens < 1:
            raise InputError("Knockouts need two groups or more (0: by the model's size), and max_tokens of 1 or more.")

    @property
    def about_values(self) -> Mapping[str, str]:
        """What stability is."""
        said = "share of random halves of the tasks (main questions) in which the head is among the first of a sparse"
        return {"stability": f"{said} model of what groups cost; {STABLE} and more: stable"}

    def n_groups(self, model: "HeadModel") -> int:
        """Return how many groups an item has."""
        return self.groups or max(2, model.n_layers * model.n_heads // 2)

    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Return, of every head and prompt, how much more is lost in the groups that hold it than in the others."""
        shape = (model.n_layers, model.n_heads)
        of = balanced_mean(activations)
        removed = np.stack([self._design(p.id, seed, self.n_groups(model), shape) for p in prompts])
        by = torch.from_numpy(np.zeros_like(of) if self.by == "zero" else of)
        lost = knocked_out(model, prompts, removed, by, metrics=[self.read], max_tokens=self.max_tokens)[..., 0]
        members = removed.reshape(*removed.shape[:2], -1).astype(np.float64)
        inside = members.sum(1)
        with_it = np.einsum("pg,pgh->ph", lost, members)
        effect = with_it / inside - (lost.sum(1)[:, None] - with_it) / (removed.shape[1] - inside)
        return effect.reshape(len(prompts), *shape, 1).astype(np.float32)

    def _design(
        self, item: str, seed: int, groups: int, shape: tuple[int, int]
    ) -> Bool[np.ndarray, "group layer head"]:
        """Return an item's groups: every head is in as many of them, whichever, independently of the others."""
        heads = shape[0] * shape[1]
        inside = min(groups - 1, max(1, round(self.share * groups)))
        draw = np.random.default_rng([seed, zlib.crc32(item.encode())])
        column = np.arange(groups) < inside
        return draw.permuted(np.tile(column, (heads, 1)), axis=1).T.reshape(groups, *shape)

    def work(self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int) -> Work:
        """Return one part a pack of prompts; samples are made with the sparse model."""
        settled = self.resolved(prompts)
        make = partial(settled._samples, model=model, prompts=prompts, activations=activations, seed=seed)
        return replace(super().work(model, prompts, activations, seed=seed), samples=lambda rows: make(rows["effects"]))

    def _samples(
        self,
        rows: Float[np.ndarray, "prompt layer head value"],
        *,
        model: "HeadModel",
        prompts: "Sequence[Prompt]",
        activations: Activations,
        seed: int,
    ) -> xr.Dataset:
        shape = (model.n_layers, model.n_heads)
        groups = self.n_groups(model)

        def design(i: int) -> Float[np.ndarray, "group head"]:
            own = self._design(prompts[i].id, seed, groups, shape).reshape(groups, -1).astype(np.float32)
            return own - own.mean(0)

        plain = rows[..., 0].reshape(len(prompts), -1).astype(np.float64)
        better = plain if activations.task is None else _sharpened(plain, design, activations.task, prompts)
        stable = _stability(plain, design, activations, groups, seed)
        found = self.samples(better.reshape(*rows.shape), prompts, activations)
        found["importance"] = found["importance"].astype(np.float32)
        spread = np.stack([stable[f] for f in activations.function]).reshape(rows.shape[:3])
        found["stability"] = (("sample", "layer", "head"), spread.astype(np.float32))
        told = {
            "replaced_by": "zero" if self.by == "zero" else f"mean pooled z of {len(plain)} items",
            "groups": groups,
        }
        return found.assign_attrs(metric=self.read, positions="answer", share=self.share, **told)


class Moments:
    """The sums of least squares over some items' groups: those of products of membership, and with what was lost."""

    def __init__(self, gram: Float[np.ndarray, "head head"], xy: Float[np.ndarray, " head"], rows: float) -> None:
        self.gram, self.xy, self.rows = gram, xy, rows

    @classmethod
    def of(cls, members: Float[np.ndarray, "group head"], effect: Float[np.ndarray, " head"]) -> "Moments":
        """Return an item's: differences of means are, but for a factor, its products with what was lost."""
        squares = (members**2).sum(0)
        return cls((members.T @ members).astype(np.float64), effect * squares, float(len(members)))

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.gram + other.gram, self.xy + other.xy, self.rows + other.rows)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.gram - other.gram, self.xy - other.xy, self.rows - other.rows)

    def __mul__(self, weight: float) -> "Moments":
        return Moments(self.gram * weight, self.xy * weight, self.rows * weight)

    def path(self) -> tuple[np.ndarray, list[int], Float[np.ndarray, "head step"]]:
        """Return the lasso's penalties, the heads in the order in which they entered, and coefficients at each step."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import lars_path_gram

        with warnings.catch_warnings():  # few rows and many heads: the path ends early, which is all that is needed
            warnings.simplefilter("ignore", ConvergenceWarning)
            alphas, active, coefficients = lars_path_gram(
                self.xy / self.rows,
                self.gram / self.rows,
                n_samples=1,
                method="lasso",
                max_iter=min(STEPS, len(self.xy)),
            )
        return alphas, [int(i) for i in active], coefficients

    def loss(self, coefficients: Float[np.ndarray, "head step"]) -> Float[np.ndarray, " step"]:
        """Return half the squared error of each step a row, up to what does not depend on it."""
        square = np.einsum("hs,hs->s", coefficients, self.gram @ coefficients)
        return (square / 2 - coefficients.T @ self.xy) / self.rows


def _sum(parts: Sequence[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _sharpened(
    plain: Float[np.ndarray, "item head"], design: Any, task: np.ndarray, prompts: "Sequence[Prompt]"
) -> Float[np.ndarray, "item head"]:
    """Return the differences of means, less what a sparse model fitted to other items of the task makes of them, plus
    its coefficients.
    """
    better = plain.copy()
    for name in np.unique(task):
        own = np.flatnonzero(task == name)
        own = own[np.argsort([prompts[i].id for i in own.tolist()], kind="stable")]
        if len(own) < 3:
            continue
        moments = [Moments.of(design(i), plain[i]) for i in own.tolist()]
        for fold in range(min(FOLDS, len(own))):
            left = [k for k in range(len(own)) if k % FOLDS != fold]
            coefficients = _fitted([moments[k] for k in left])
            for i in own[fold::FOLDS].tolist():
                members = design(i)
                told = members.T @ (members @ coefficients) / (members**2).sum(0)
                better[i] = plain[i] - told + coefficients
    return better


def _fitted(items: Sequence[Moments]) -> Float[np.ndarray, " head"]:
    """Return the coefficients of the lasso whose penalty does best on the items it was not fitted to."""
    if len(items) < 2:
        return np.zeros(len(items[0].xy))
    halves = [_sum(items[::2]), _sum(items[1::2])]
    penalties: list[float] = []
    for train, test in (halves, halves[::-1]):
        alphas, _, coefficients = train.path()
        penalties.append(float(alphas[int(np.argmin(test.loss(coefficients)))]))
    alphas, _, coefficients = (halves[0] + halves[1]).path()
    # a penalty that suits half of the rows is too large for all by the root of two
    wanted = np.mean(penalties) / np.sqrt(2)
    return np.array([np.interp(-wanted, -alphas, one) for one in coefficients])


def entering(heads: int) -> int:
    """Return how many first heads of a path count, so that at `STABLE` one false head is expected at most."""
    return max(1, int(np.sqrt((2 * STABLE - 1) * heads)))


def _stability(
    plain: Float[np.ndarray, "item head"], design: Any, activations: Activations, groups: int, seed: int
) -> dict[str, Float[np.ndarray, " head"]]:
    """Return, for every function, the share of halves of its units in which a head is among the first to enter."""
    found = {}
    unit = activations.group if activations.task is None else activations.task
    for f in activations.functions:
        own = activations.function == f
        parts = []
        for name in np.unique(unit[own]):
            items = np.flatnonzero(own & (unit == name)).tolist()
            parts.append(_sum([Moments.of(design(i), plain[i]) for i in items]) * (1 / len(items)))
        draw = np.random.default_rng([seed, zlib.crc32(f.encode())])
        counts = np.zeros(plain.shape[1])
        total = _sum(parts)
        for _ in range(HALVES):
            order = draw.permutation(len(parts))
            half = _sum([parts[k] for k in order[: max(1, len(parts) // 2)]])
            for one in (half, total - half) if len(parts) > 1 else (half, half):
                _, active, coefficients = one.path()
                first = [h for h in active if coefficients[h, -1] > 0][: entering(plain.shape[1])]
                counts[first] += 1
        found[f] = counts / (2 * HALVES)
    return found


methods.register("knockouts", Knockouts)
