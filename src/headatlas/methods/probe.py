"""The published probe on pooled z, and the importance of each head to it.

1. Feature of a head: its mean z and the mean z of its layer's heads. One linear map, shared by all heads,
   takes both to a 64-dim *projection*; the projections of all heads, flattened, go through a hidden layer of
   512 (ReLU, dropout 0.3) to one logit a function. (Architecture: arXiv 2512.10978, its released code.)
2. A refit draws folds of whole main questions and trains one probe a fold on the rest, from its own
   initialisation: shuffled mini-batches, a learning rate that falls to zero, and early stopping on main
   questions set aside from the training part.
3. Importance of a head for a held-out item of function c, as published: the gradient of logit c with respect
   to the head's projection, times that projection, averaged over its 64 dims. Between ReLUs that gradient is
   (weights of logit c, where the hidden unit is on) times (the hidden layer's weights): no autograd needed.
4. The null: labels shuffled across items, and then all of it again, as many refits, folds spread over the shuffled
   labels, stopped early by the same rule, the mean over refits and items of a function: what is compared differs in
   nothing but whether the labels are true.

Decisions that move numbers: z is centred, and each head scaled, with statistics of the training part, so that
a projection says how an item differs from the average one (`standardise=False` gives raw z); importance is
computed on held-out items only, and averaged over refits, since one probe is a poor guide to the next.
`Probe(variant="published")` gives the published choices instead (see the class).

It explains the probe's logit, not the model's answer. It does not know prompts, tokens or the model, and the
layer's mean in step 1 lets one head's credit leak to its layer-mates.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor, nn

from headatlas.controls import check_folds, grouped_folds
from headatlas.errors import InputError, RunError
from headatlas.methods.base import TRAINED_INTERVAL, Activations, Method, Sign, methods
from headatlas.work.clock import seconds_of

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

T = TypeVar("T")
R = TypeVar("R")

SCORE_BATCH = 64
"""Items at a time where nothing is trained: bounds memory, changes no number."""
MOST_AT_ONCE = 8
"""Probes trained side by side at most: each holds its weights five times over (optimiser, gradient, best)."""


def side_by_side(work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    """Return ``work`` of every task, as many at a time as torch has threads, each with one thread of its own.

    Products this small gain little from a second thread and lose much (up to tenfold) where the machine is
    shared; and with one thread each, no number depends on how many cores there are.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(min(threads, MOST_AT_ONCE), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(work, tasks))
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class _Plan:
    """How one probe is trained. ``patience`` 0: all epochs, no validation part."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    shuffle: bool
    decay: bool
    autocast: bool


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return `nn.Linear` with its usual initialisation, drawn from `generator` (fits run side by side)."""
    linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    for parameter in (linear.weight, linear.bias):
        nn.init.uniform_(parameter, -(inputs**-0.5), inputs**-0.5, generator=generator)
    return linear


class _ProbeNet(nn.Module):
    """Projection shared by heads, hidden layer, logits; z is shifted and scaled by fixed statistics first."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        projection: int = 64,
        hidden: int = 512,
        dropout: float = 0.3,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        layers, heads, head_dim = shape
        self.shared = _linear(2 * head_dim, projection, generator)
        self.hidden = _linear(layers * heads * projection, hidden, generator)
        self.logits = _linear(hidden, classes, generator)
        self.dropout, self.generator = dropout, generator
        self.shift: Tensor | None = None
        self.scale: Tensor | None = None

    def project(self, z: Float[Tensor, "item layer head head_dim"]) -> Float[Tensor, "item layer head dim"]:
        """Return every head's projection; W [z; mean] is computed as W_own z + W_layer mean, once a layer."""
        if self.shift is not None and self.scale is not None:
            z = (z - self.shift) * self.scale
        own, layer = self.shared.weight.split(z.shape[-1], dim=1)
        return z @ own.T + nn.functional.linear(z.mean(2), layer, self.shared.bias).unsqueeze(2)

    def forward(self, z: Float[Tensor, "item layer head head_dim"]) -> Float[Tensor, "item function"]:
        """Return the logits."""
        on = torch.relu(self.hidden(self.project(z).flatten(1)))
        if self.training:
            on = on * (torch.rand(on.shape, generator=self.generator) >= self.dropout) / (1 - self.dropout)
        return self.logits(on)

    def explain(
        self, z: Float[Tensor, "item layer head head_dim"], label: Int[Tensor, " item"]
    ) -> tuple[Float[Tensor, "item layer head"], Float[Tensor, "item function"]]:
        """Return the mean gradient x projection of every item's own logit, and all logits (no dropout)."""
        projections = self.project(z)
        before = self.hidden(projections.flatten(1))
        logits = self.logits(torch.relu(before))
        gradient = (self.logits.weight[label] * (before > 0)) @ self.hidden.weight
        importance = (gradient.view_as(projections).float() * projections.float()).mean(-1)
        if self.scale is not None:  # a silent head says nothing: what it projects is its layer's mean and the bias
            importance = importance * (self.scale[..., 0] > 0)
        return importance, logits


def _statistics(
    z: Float[np.ndarray, "item layer head head_dim"], index: Int[np.ndarray, " train"]
) -> tuple[Tensor, Tensor]:
    """Return the mean of z over the items of `index` and one over each head's root mean square around it."""
    total = np.zeros(z.shape[1:], np.float64)
    square = np.zeros(z.shape[1:], np.float64)
    for start in range(0, len(index), SCORE_BATCH):
        part = z[index[start : start + SCORE_BATCH]]
        total += part.sum(0, dtype=np.float64)
        square += np.einsum("ilhd,ilhd->lhd", part, part, dtype=np.float64)
    mean = total / len(index)
    spread = np.sqrt(np.maximum(square / len(index) - mean**2, 0).mean(-1, keepdims=True))
    # A head that is silent in all training items stays silent: it can't be scaled up to carry anything.
    scale = np.where(spread > 1e-6 * max(float(spread.max()), 1e-30), 1 / np.maximum(spread, 1e-30), 0.0)
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(scale.astype(np.float32))


def _loss(net: _ProbeNet, z: np.ndarray, label: Tensor, index: np.ndarray, autocast: bool) -> float:
    """Return the mean cross-entropy of the items of `index`."""
    net.eval()
    total = 0.0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for start in range(0, len(index), SCORE_BATCH):
            part = index[start : start + SCORE_BATCH]
            logits = net(torch.from_numpy(z[part])).float()
            total += float(nn.functional.cross_entropy(logits, label[part], reduction="sum"))
    return total / len(index)


def _train(net: _ProbeNet, z: np.ndarray, label: Tensor, train: np.ndarray, validate: np.ndarray, plan: _Plan) -> int:
    """Train `net` in place; return the epoch that was kept (the one with the lowest validation loss)."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True)
    best, best_epoch, best_state = float("inf"), 0, None
    steps = plan.epochs * -(-len(train) // plan.batch_size)
    step = 0
    for epoch in range(1, plan.epochs + 1):
        net.train()
        order = train[torch.randperm(len(train), generator=net.generator).numpy()] if plan.shuffle else train
        for start in range(0, len(order), plan.batch_size):
            part = order[start : start + plan.batch_size]
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.autocast):
                logits = net(torch.from_numpy(z[part]))
            loss = nn.functional.cross_entropy(logits.float(), label[part])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            if plan.decay:  # linear to zero: few epochs end in a settled probe, not wherever the last step fell
                optimiser.param_groups[0]["lr"] = plan.learning_rate * (1 - step / steps)
            optimiser.step()
            step += 1
        if not plan.patience:
            continue
        held = _loss(net, z, label, validate, plan.autocast)
        if held < best:
            best, best_epoch = held, epoch
            best_state = {name: value.clone() for name, value in net.state_dict().items()}
        elif epoch - best_epoch >= plan.patience:
            break
    if best_state is not None:
        net.load_state_dict(best_state)
    return best_epoch or plan.epochs


@dataclass(frozen=True)
class _Refit:
    """What one refit (a probe a fold) says of the items that were held out; ``rows`` are those items."""

    rows: np.ndarray
    importance: Float[np.ndarray, "row layer head"]
    probability: Float[np.ndarray, "row function"]
    epochs: list[int]


@dataclass(frozen=True)
class Probe(Method):
    """The published probe, its importance, and what is needed to trust it: held-out folds, refits and a null.

    Parameters
    ----------
    variant
        "sound": shuffled mini-batches, early stopping, held-out folds, refits, a null from shuffled labels.
        "published": batch size 1 in the items' order, 100 epochs of AdamW at 1e-4, raw z in float32, no
        validation part, no null, importance on one held-out part of a fifth of the main questions (the share
        that the published test split has). It takes hours on a CPU; `epochs` and `refits` shorten it.
    folds
        Parts that main questions are dealt into; one probe a part. Fewer are made when a function occurs in
        fewer main questions (the attribute ``folds`` says how many), never fewer than three.
    refits
        How many times all of that is done again, with other folds, initialisation and order.
    null_refits
        Shuffled labellings, each refitted `refits` times. With none, p-values come from a sign-flip test, which knows
        nothing of how a probe's own noise spreads over all items.
    epochs, batch_size, learning_rate
        None takes the variant's: at most 6 epochs of 128 items at 5e-4, or 100 of 1 at 1e-4.
    patience
        Epochs without a lower validation loss before training stops ("sound" only).
    validation
        Share of the training part's main questions set aside for that.
    standardise
        Centre z and scale each head to unit spread, by the training part ("sound" only).
    precision
        Of the hidden layer's products ("sound" only): "auto" takes bfloat16 where the processor has it.

    Notes
    -----
    ``correct`` is the mean over refits of whether a held-out item is classified right: the accuracy of one
    probe, not of an ensemble of them (that is the attribute ``ensemble_accuracy``).
    """

    name: ClassVar[str] = "probe"
    reads: ClassVar[Literal["activations", "model"]] = "activations"
    version: ClassVar[int] = 2
    interval: ClassVar[str] = TRAINED_INTERVAL
    default_sign: ClassVar[Sign] = "absolute"
    label: ClassVar[str] = "mean gradient x projection"

    variant: str = "sound"
    folds: int = 5
    refits: int = 4
    null_refits: int = 3
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int = 2
    validation: float = 0.1
    standardise: bool = True
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.variant not in ("sound", "published"):
            raise InputError(f"Unknown probe variant '{self.variant}'. Known: sound, published.")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise InputError(f"Unknown precision '{self.precision}'. Known: auto, float32, bfloat16.")
        if self.refits < 1 or self.null_refits < 0 or (self.epochs is not None and self.epochs < 1):
            raise InputError("A probe needs refits and epochs of 1 or more, and null_refits of 0 or more.")
        if (self.batch_size is not None and self.batch_size < 1) or self.patience < 0:
            raise InputError("A probe needs batch_size of 1 or more, and patience of 0 or more.")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise InputError(f"A learning rate of {self.learning_rate} trains nothing. Give one above 0, e.g. 5e-4.")
        if not 0 < self.validation < 1:
            raise InputError(f"A validation part of {self.validation} is no share. Give one between 0 and 1, e.g. 0.1.")
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
            Training ran into NaN.
        """
        if activations is None:
            raise InputError("The probe reads pooled activations, and got none. Capture them first.")
        functions = [f for f in activations.functions if f in set(activations.function.tolist())]
        label = np.array([functions.index(f) for f in activations.function], dtype=np.int64)
        plan, draw = self._plan(), np.random.default_rng(np.random.SeedSequence(seed))
        nulls = self.null_refits if self.variant == "sound" else 0
        seeds = [draw.integers(2**31, size=(self.refits, 2)) for _ in range(1 + nulls)]
        # A labelling and its refits, shuffled or not, are treated alike: the same number, schedule, split and mean.
        labels = [label, *(draw.permutation(label) for _ in range(nulls))]
        each = [y for y in labels for _ in range(self.refits)]
        found = self._refits(activations, each, plan, np.concatenate(seeds))
        real = found[: self.refits]
        null = []
        for at, other in enumerate(labels[1:], start=1):
            own = found[at * self.refits : (at + 1) * self.refits]
            rows, importance = (np.concatenate([getattr(r, name) for r in own]) for name in ("rows", "importance"))
            null += [importance[other[rows] == c].mean(0) for c in range(len(functions))]
        samples = _samples(activations, functions, label, real, null)
        return samples.assign_attrs(
            folds=len(real[0].epochs),
            epochs=[e for refit in real for e in refit.epochs],
            null_epochs=[e for refit in found[self.refits :] for e in refit.epochs],
            precision="bfloat16" if plan.autocast else "float32",
            batch_size=plan.batch_size,
            learning_rate=plan.learning_rate,
        )

    def seconds(self, model: "HeadModel", prompts: Any, activations: Activations, *, seed: int) -> float | None:
        """Return about how long it takes, timed on one refit of one epoch and of two: shuffled labels stop as early as
        they may.
        """
        one, two = (
            seconds_of(partial(trial, model, prompts, activations, seed=seed), again=0.0)
            for trial in (replace(self, refits=1, null_refits=0, epochs=n, patience=0) for n in (1, 2))
        )
        epochs, labellings, epoch = self._plan().epochs, 1, max(0.0, two - one)
        if self.variant == "sound":
            labellings += self.null_refits
            epochs += self.null_refits * (min(epochs, self.patience + 1) if self.patience else epochs)
        return self.refits * (labellings * (one - epoch) + epochs * epoch)

    def _plan(self) -> _Plan:
        """Return how a probe is trained: the variant's choices, with the fields that were given."""
        sound = self.variant == "sound"
        bf16 = self.precision == "bfloat16" or (
            self.precision == "auto"
            and torch.backends.mkldnn.is_available()
            and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        )
        return _Plan(
            epochs=self.epochs or (6 if sound else 100),
            batch_size=self.batch_size or (128 if sound else 1),
            learning_rate=self.learning_rate or (5e-4 if sound else 1e-4),
            weight_decay=0.01,
            patience=self.patience if sound else 0,
            shuffle=sound,
            decay=sound,
            autocast=sound and bf16,
        )

    def _refits(
        self, activations: Activations, labels: list[np.ndarray], plan: _Plan, seeds: np.ndarray
    ) -> list[_Refit]:
        """Return one refit a labelling; ``seeds`` (refit, 2) deal its folds and start its probes."""
        # Folds spread the labels that are learned, shuffled ones as well as true ones.
        functions = np.array([f for f in activations.functions if f in set(activations.function.tolist())])
        deals = seeds[:, 0].tolist()
        folds = [self._folds(functions[y], activations, deal) for y, deal in zip(labels, deals, strict=True)]
        tasks = [
            (at, number)
            for at, fold in enumerate(folds)
            for number in range(int(fold.max()) + 1 if self.variant == "sound" else 1)
        ]

        def held_out(task: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
            at, number = task
            rows = np.flatnonzero(folds[at] == number)
            train = np.flatnonzero(folds[at] != number)
            net, kept = self._fit(activations, labels[at], train, plan, int(seeds[at][1]) + number)
            return (
                rows,
                *_explain(net, activations.z, torch.from_numpy(labels[at]), rows, plan.autocast),
                kept,
            )

        parts = side_by_side(held_out, tasks)
        result = []
        for at in range(len(folds)):
            own = [part for task, part in zip(tasks, parts, strict=True) if task[0] == at]
            rows, importance, probability = (np.concatenate([part[k] for part in own]) for k in range(3))
            result.append(_Refit(rows, importance, probability, [part[3] for part in own]))
        return result

    def _folds(self, function: np.ndarray, activations: Activations, seed: int) -> np.ndarray:
        """Return folds that spread `function`; where shuffled labels fall into too few main questions for that (sets of
        a few questions only), folds that spread the true ones.
        """
        try:
            return grouped_folds(function, activations.group, folds=self.folds, seed=seed)
        except InputError:
            return grouped_folds(activations.function, activations.group, folds=self.folds, seed=seed)

    def _fit(
        self, activations: Activations, label: np.ndarray, train: np.ndarray, plan: _Plan, seed: int
    ) -> tuple[_ProbeNet, int]:
        """Return a probe trained on the items of `train`, and the number of its epochs."""
        z = activations.z
        generator = torch.Generator().manual_seed(seed)
        net = _ProbeNet(z.shape[1:], int(label.max()) + 1, generator=generator)
        validate = train[:0]
        if plan.patience:
            groups = np.unique(activations.group[train])
            aside = groups[
                torch.randperm(len(groups), generator=generator).numpy()[: max(1, round(self.validation * len(groups)))]
            ]
            validates = np.isin(activations.group[train], aside)
            train, validate = train[~validates], train[validates]
        if self.standardise and self.variant == "sound":
            net.shift, net.scale = _statistics(z, train)
        return net, _train(net, z, torch.from_numpy(label), train, validate, plan)


def _explain(
    net: _ProbeNet, z: np.ndarray, label: Tensor, index: np.ndarray, autocast: bool
) -> tuple[Float[np.ndarray, "row layer head"], Float[np.ndarray, "row function"]]:
    """Return the importance of every head for the items of `index`, and the probability of each function."""
    net.eval()
    importance, probability = [], []
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        for start in range(0, len(index), SCORE_BATCH):
            part = index[start : start + SCORE_BATCH]
            explained, logits = net.explain(torch.from_numpy(z[part]), label[part])
            importance.append(explained.numpy())
            probability.append(logits.float().softmax(1).numpy())
    result = np.concatenate(importance)
    if not np.isfinite(result).all():
        raise RunError("The probe's training ran into NaN: z holds values that are NaN, infinite or huge.")
    return result, np.concatenate(probability)


def _samples(
    activations: Activations,
    functions: list[str],
    label: np.ndarray,
    real: list[_Refit],
    null: list[np.ndarray],
) -> xr.Dataset:
    """Return the refits as the Dataset that `Method` promises."""
    rows = np.concatenate([refit.rows for refit in real])
    items = np.unique(rows)
    place = np.searchsorted(items, rows)
    times = np.bincount(place)
    right = np.concatenate([r.probability.argmax(1) == label[r.rows] for r in real])
    chances = np.zeros((len(items), len(functions)))
    np.add.at(chances, place, np.concatenate([refit.probability for refit in real]))
    samples = xr.Dataset(
        {
            "importance": (("sample", "layer", "head"), np.concatenate([refit.importance for refit in real])),
            "correct": ("prediction", np.bincount(place, right) / times),
        },
        coords={
            **activations.labels(rows),
            "item": ("sample", rows),
            "refit": ("sample", np.repeat(np.arange(len(real)), [len(refit.rows) for refit in real])),
            "prediction_function": ("prediction", activations.function[items]),
            "prediction_group": ("prediction", activations.group[items]),
            "prediction_item": ("prediction", items),
            **({} if activations.task is None else {"prediction_task": ("prediction", activations.task[items])}),
        },
        attrs={"ensemble_accuracy": float((chances.argmax(1) == label[items]).mean())},
    )
    if null:
        samples["null"] = (("null_sample", "layer", "head"), np.stack(null))
        samples = samples.assign_coords(null_function=("null_sample", functions * (len(null) // len(functions))))
    return samples


methods.register(Probe.name, Probe)
