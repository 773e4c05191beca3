"""Gates: each head's z scaled by a number, its gradient at 1 or its fitted value.

`GateGradient` (Michel et al. 2019, https://arxiv.org/abs/1905.10650):

1. Every head's z is multiplied by a gate of 1; an item's score is the derivative of its answer's metric (its
   log-probability, or logit difference to a foil: `methods.metric`) with respect to the gate: the sum over answer
   positions (or all) of gradient . z. That is first-order attribution to zero, number for number, and is computed as
   such (`models.gradient`). The published score is its absolute value, averaged over items (``magnitude``); the map
   ranks heads by the absolute value of the signed mean.

`HeadGating` (causal head gating, Nam et al. 2025, https://arxiv.org/abs/2505.13737):

1. Main questions are dealt into folds. A fit sees one function's items in one fold: gates in [0, 1], a head each,
   multiply z at all answer positions, and Adam raises the mean over items of the metric: the log-probability of a
   reference answer's token, or the logit difference to the foil (a divergence is lowered). "Loss" is its negative.
2. The fit starts from random gates, first without a regulariser. From there it is continued twice: with one that pulls
   all gates up (retain, g+), and with one that pulls them down (remove, g-): strength x the mean over heads of the
   gates' logits. Logits stay within +-4, and Adam's step falls along a cosine to nothing, in each of the three.
3. Facilitation is g- (open although pulled down), interference 1 - g+ (closed although pulled up), irrelevance
   g+ (1 - g-) (goes where it is pulled). Importance is facilitation minus interference, between -1 and 1.
4. All fits of a fold are rows of one batch: they share the prompts' keys, which gates at answer positions do not touch.
5. Null: the same fits with the answers (and their foils) of a function's items in a fold exchanged among them. Hundreds
   of gates fit a few items' answers whatever these are; what gates do for wrong answers of the right kind is what must
   be exceeded.

The public code of the paper clips the logits inside the regulariser only. Adam moves a gate that hardly matters as far
as any other, so after a few updates such gates lie beyond the clip, where nothing pulls them back: they count as closed
although pulled up, or open although pulled down. In the planted models (docs/planted.md) that spread heads which do
nothing over all of [-1, 1]; kept within the clip and with a falling step, they end at 0.

Of the paper this differs in that gates act at the answer positions only (there: everywhere), that a function's items
are split over folds, and that far fewer updates are made. Folds are the groups whose agreement the intervals measure.
The loss on another fold's items is reported, gated and not: where gates do not lower it, they fit their items only.
Gates of one fit are found together: of two heads that can stand in for each other, either may be kept, and fits differ
in which; their agreement over starts and folds says how often. This module does not know hooks, nor what is made of
the samples.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from headatlas.controls import check_folds, grouped_folds
from headatlas.errors import InputError, RunError
from headatlas.methods.ablation import check_positions
from headatlas.methods.attribution import check_slope
from headatlas.methods.base import Activations, FittedMethod, ModelMethod, Sign, methods
from headatlas.methods.metric import ByMetric
from headatlas.models.block import Positions
from headatlas.models.gradient import MAX_TOKENS, Answers, OnZ, answers_of, estimate
from headatlas.models.objective import objectives
from headatlas.prompts import Prompt

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

CLIP = 4.0
"""Gates' logits stay within +-4: gates between 0.018 and 0.982."""
LOSSES = ("up", "down", "held_out_open", "held_out_up", "held_out_down")
"""The mean losses that a fit reports, in the metric's unit."""


@dataclass(frozen=True)
class GateGradient(ByMetric, ModelMethod):
    """Derivative of a metric of the answer with respect to a gate on each head, at 1.

    The same number as ``attribution`` with z replaced by zero; ``magnitude`` is the published, unsigned score. The
    paper's division by each layer's length is not done: it hides which layers matter.

    Parameters
    ----------
    positions
        "answer": gates act where the answer's tokens are predicted. "all": everywhere, as in the paper.
    metric
        What is read of the answer (`ByMetric`); a divergence has no slope at the model.
    """

    name: ClassVar[str] = "gate_gradient"
    values: ClassVar[tuple[str, ...]] = ("importance", "magnitude")
    default_sign: ClassVar[Sign] = "absolute"
    about_values: ClassVar[Mapping[str, str]] = {"magnitude": "mean over items of the absolute importance"}

    positions: Positions = "answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positions(self.positions)

    def check_metric(self) -> None:
        """Raise `InputError` for a metric whose slope at the model is 0."""
        check_slope(self.read, self.name)

    @property
    def label(self) -> str:
        """What the gradient is of, with its unit."""
        return self._label("gradient of ", " by the head's gate")

    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Return the derivative, and its absolute value, of every head and prompt."""
        nothing = torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim)
        effect = estimate(model, prompts, nothing, objective=self.read, positions=self.positions).effect
        return np.stack([effect, np.abs(effect)], axis=-1).astype(np.float32)

    def about(self, activations: Activations) -> dict[str, Any]:
        """Say what the gradient is of, and where gates act."""
        return {"metric": self.read, "positions": self.positions}


@dataclass(frozen=True)
class HeadGating(ByMetric, FittedMethod):
    """Facilitation minus interference of heads under gates fitted to keep a metric of a function's answers high.

    Parameters
    ----------
    folds
        Parts that main questions are dealt into (fewer where a function has too few), each fitted alone.
    refits
        Random starts, the same folds for all.
    null_refits
        How many times answers are exchanged; each costs as much as the fits themselves.
    updates
        Steps of Adam before the regulariser, and with it.
    strength
        Weight of the regulariser, in the metric's unit for a change of 1 in the mean of the gates' logits.
    rate
        Adam's step, in units of the gates' logits.
    batch
        Items a step at least, as far as there are so many.
    memory
        Bytes of the prompts' keys and values that are kept; beyond them prompts run anew at every step.
    metric
        What gates are fitted to keep (`ByMetric`).
    """

    name: ClassVar[str] = "head_gating"
    default_sign: ClassVar[Sign] = "signed"
    interval: ClassVar[str] = "95% bootstrap over the folds that gates are fitted to, and their starts"
    about_values: ClassVar[Mapping[str, str]] = {
        "facilitation": "gate that stays open although pulled down",
        "interference": "one minus the gate that stays closed although pulled up",
        "irrelevance": "how far a gate goes where it is pulled",
    }

    folds: int = 4
    refits: int = 2
    null_refits: int = 1
    updates: int = 20
    strength: float = 0.1
    rate: float = 1.0
    batch: int = 12
    memory: float = 1e9

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.refits, self.null_refits, self.updates, self.batch) < 1:
            raise InputError("Head gating needs refits, null_refits, updates and batch of 1 or more.")
        if self.strength <= 0 or self.rate <= 0:
            raise InputError(
                f"Head gating pulls gates up and down: strength ({self.strength}) and rate ({self.rate}) must be "
                "above 0."
            )
        check_folds(self.folds)

    @property
    def label(self) -> str:
        """What importance is, and what gates are fitted to."""
        return f"facilitation minus interference, gates fitted to {self.objective.said}"

    def fits(self, prompts: "Sequence[Prompt]", *, seed: int) -> "list[Fitting]":
        """Return the fits: of every function and fold, to its answers and then to exchanged ones.

        Raises
        ------
        InputError
            A function in fewer than three main questions.
        """
        items = sorted(prompts, key=lambda p: (p.group, p.step, p.id))
        function = np.array([p.function for p in items])
        fold = grouped_folds(function, np.array([p.group for p in items]), folds=self.folds, seed=seed)
        fits: list[Fitting] = []
        for name in dict.fromkeys(p.function for p in prompts):
            parts = {
                k: [items[i] for i in np.flatnonzero((function == name) & (fold == k))]
                for k in np.unique(fold[function == name]).tolist()
            }
            others = [*parts.values()][1:] + [*parts.values()][:1]
            for exchanged in range(1 + self.null_refits):
                fits += [
                    Fitting(
                        name,
                        k,
                        exchanged,
                        own,
                        [] if exchanged else other,
                        (seed, zlib.crc32(name.encode()), k, exchanged),
                    )
                    for (k, own), other in zip(parts.items(), others, strict=True)
                ]
        return fits

    @property
    def trial(self) -> "tuple[HeadGating, float]":
        """One update instead of all."""
        return replace(self, updates=1), self.updates

    def arrays(self, model: "HeadModel") -> dict[str, dict[str, int]]:
        """Return what a fit leaves: gates pulled up and down from every start, and the losses."""
        heads = {"layer": model.n_layers, "head": model.n_heads}
        return {"gates": {"pull": 2, "refit": self.refits, **heads}, "losses": {"loss": len(LOSSES)}}

    def fit(self, model: "HeadModel", one: "Fitting") -> dict[str, np.ndarray]:
        """Fit gates to one fold of a function's items from every start: free, then pulled up and pulled down.

        Raises
        ------
        RunError
            A gate is not finite.
        """
        draw = np.random.default_rng(one.draw)
        prompts = _exchanged(one.prompts, draw) if one.exchanged else one.prompts
        fit = self._fit(model, prompts, draw, held_out=one.held_out)
        return {
            "gates": np.stack([fit.plus, fit.minus]),
            "losses": np.array([fit.losses.get(k, np.nan) for k in LOSSES]),
        }

    def samples(self, rows: Mapping[str, np.ndarray], fits: "Sequence[Fitting]") -> xr.Dataset:
        """Return one sample a function, fold and start (see the class and `Method`).

        ``group`` is the fold, ``refit`` the start; ``facilitation``, ``interference`` and ``irrelevance`` stand beside
        the importance. The attributes give the mean loss, the metric's negative (a divergence as it is), in its unit:
        of the gates pulled up and pulled down, on the items they were fitted to (``loss_up``, ``loss_down``), and on up
        to a batch of another fold's, beside the model's as it is (``loss_held_out_up``, …, ``loss_held_out_open``).
        """
        plus, minus = np.moveaxis(rows["gates"], 1, 0)  # (fit, refit, layer, head)
        values = {
            "importance": minus - (1 - plus),
            "facilitation": minus,
            "interference": 1 - plus,
            "irrelevance": plus * (1 - minus),
        }
        real = np.array([not one.exchanged for one in fits])
        # of exchanged answers: the mean over folds and starts, as a function's importance is
        wrong: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
        for one, importance in zip(fits, values["importance"], strict=True):
            if one.exchanged:
                wrong[one.function, one.exchanged].append(importance.mean(0))
        dims, kept = ("sample", "layer", "head"), [one for one in fits if not one.exchanged]
        return xr.Dataset(
            {
                **{name: (dims, np.concatenate(value[real]).astype(np.float32)) for name, value in values.items()},
                "null": (
                    ("null_sample", *dims[1:]),
                    np.stack([np.mean(v, 0) for v in wrong.values()]).astype(np.float32),
                ),
            },
            coords={
                "function": ("sample", np.repeat([one.function for one in kept], self.refits)),
                "group": ("sample", np.repeat([f"fold {one.fold}" for one in kept], self.refits)),
                "refit": ("sample", np.tile(np.arange(self.refits), len(kept))),
                "items": ("sample", np.repeat([len(one.prompts) for one in kept], self.refits)),
                "null_function": ("null_sample", np.array([name for name, _ in wrong])),
            },
            attrs={
                "positions": "answer",
                "metric": self.read,
                "folds": len({one.fold for one in kept}),
                **{f"loss_{k}": float(v) for k, v in zip(LOSSES, rows["losses"][real].mean(0), strict=True)},
            },
        )

    @torch.inference_mode(False)
    def _fit(
        self,
        model: "HeadModel",
        prompts: Sequence[Prompt],
        draw: np.random.Generator,
        *,
        held_out: Sequence[Prompt] = (),
    ) -> "Fit":
        """Fit gates to some prompts from every start: free, then pulled up and pulled down."""
        tokens = max(1, MAX_TOKENS // (2 * self.refits))
        batches = _Batches(model, prompts, self.batch, tokens, self.memory, draw)
        start = draw.uniform(1e-3, 1 - 1e-3, (self.refits, model.n_layers, model.n_heads))
        free, _ = self._descend(
            batches, torch.logit(torch.from_numpy(start)).float().to(model.device), torch.zeros(self.refits)
        )
        pull = torch.tensor([self.strength] * self.refits + [-self.strength] * self.refits)
        both, loss = self._descend(batches, torch.cat([free, free]), pull)
        if not torch.isfinite(both).all():
            raise RunError(
                f"Gates fitted to {prompts[0].id} and others of {prompts[0].function} are not finite. "
                "Give --dtype float32, or a smaller rate."
            )
        gates = both.sigmoid()
        plus, minus = gates.double().cpu().numpy().reshape(2, *start.shape)
        up, down = loss.reshape(2, -1).mean(1)
        losses = {"up": up, "down": down}
        if held_out:
            rows = _losses(next(iter(_Batches(model, held_out, self.batch, tokens, 0.0, draw))), gates, self.read)
            up, down = rows[1:].reshape(2, -1).mean(1)
            losses |= {"held_out_open": rows[0], "held_out_up": up, "held_out_down": down}
        return Fit(plus, minus, losses)

    def _descend(
        self, batches: "_Batches", start: Float[Tensor, "fit layer head"], pull: Float[Tensor, " fit"]
    ) -> tuple[Float[Tensor, "fit layer head"], Float[np.ndarray, " fit"]]:
        """Return the logits after `updates` steps from `start`, and the mean loss of the last quarter of them."""
        logits = start.clamp(-CLIP, CLIP).requires_grad_()
        adam = torch.optim.Adam([logits], lr=self.rate)
        slower = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.updates)
        pull, losses = pull.to(start), []
        for _, batch in zip(range(self.updates), batches, strict=False):
            adam.zero_grad()
            items = sum(len(answers.prompts) for answers in batch)
            loss = np.zeros(len(start))
            with torch.enable_grad():
                for answers in batch:
                    each = gated_loss(answers, logits.sigmoid(), self.read).sum(1) / items
                    each.sum().backward()
                    loss += each.detach().double().cpu().numpy()
                (-(pull * logits.mean((1, 2))).sum()).backward()
            adam.step()
            slower.step()
            with torch.no_grad():
                logits.clamp_(-CLIP, CLIP)
            losses.append(loss)
        return logits.detach(), np.mean(losses[-max(1, self.updates // 4) :], axis=0)


@dataclass(frozen=True)
class Fitting:
    """A fit to make: of one function's items in one fold.

    Attributes
    ----------
    exchanged
        0, or the number of the exchange of answers.
    held_out
        Items of another fold, on which the loss is reported.
    draw
        The seed of its starts and batches.
    """

    function: str
    fold: int
    exchanged: int
    prompts: "Sequence[Prompt]"
    held_out: "Sequence[Prompt]"
    draw: tuple[int, ...]


@dataclass(frozen=True)
class Fit:
    """The gates of one fold and function, pulled up and down, and the losses (in the metric's unit, the mean over
    starts).
    """

    plus: Float[np.ndarray, "refit layer head"]
    minus: Float[np.ndarray, "refit layer head"]
    losses: dict[str, float]


@torch.no_grad()
def _losses(batch: Sequence[Answers], gates: Float[Tensor, "fit layer head"], metric: str) -> Float[np.ndarray, " row"]:
    """Return the mean loss of the answers under open gates, then under each of `gates`."""
    rows = torch.cat([torch.ones_like(gates[:1]), gates])
    return torch.cat([gated_loss(answers, rows, metric) for answers in batch], 1).mean(1).double().cpu().numpy()


def _exchanged(prompts: Sequence[Prompt], draw: np.random.Generator) -> list[Prompt]:
    """Give every prompt the answer of another one (of itself, if it is the only one), with the foil that differs from
    it.
    """
    order = draw.permutation(len(prompts))
    of = {int(i): prompts[j] for i, j in zip(order, np.roll(order, 1), strict=True)}
    return [
        replace(p, tokens=np.concatenate([p.prefix, of[i].answer_tokens]), foil=of[i].foil)
        for i, p in enumerate(prompts)
    ]


def gated_loss(
    answers: Answers, gates: Float[Tensor, "row layer head"], metric: str = "logprob"
) -> Float[Tensor, "row prompt"]:
    """Return the negative of the answers' metric with every row's z multiplied by its gates; of a divergence, how far
    the row is from the model with open gates.
    """
    falls = objectives.get(metric).falls
    if not falls:  # what row 0 is compared with
        gates = torch.cat([torch.ones_like(gates[:1]), gates])

    def gated(layer: int) -> OnZ:
        return lambda z: z * gates[:, layer][:, None, :, None]

    functions = {layer: gated(layer) for layer in range(gates.shape[1])}
    value = answers.value(answers.run(functions, joining={0: len(gates) - 1}), metric)
    return -value if falls else value[1:]


class _Batches:
    """Items dealt into batches at random, steps of one main question together; iterating never ends."""

    def __init__(
        self,
        model: "HeadModel",
        prompts: Sequence[Prompt],
        size: int,
        tokens: int,
        memory: float,
        draw: np.random.Generator,
    ) -> None:
        packs = [list(steps) for _, steps in groupby(prompts, key=lambda p: p.group)]
        self._model, self._tokens, self._left, self._draw = model, tokens, memory, draw
        self._packs: list[list[list[Prompt]]] = [[]]
        for i in draw.permutation(len(packs)):
            if sum(map(len, self._packs[-1])) >= size:
                self._packs.append([])
            self._packs[-1].append(packs[i])
        self._kept: dict[int, list[Answers]] = {}

    def __iter__(self) -> Iterator[list[Answers]]:
        while True:
            for i in self._draw.permutation(len(self._packs)).tolist():
                yield self._kept[i] if i in self._kept else self._run(i)

    def _run(self, i: int) -> list[Answers]:
        """Run a batch's prompts; keep what they leave if there is room."""
        answers = answers_of(self._model, self._packs[i], max_tokens=self._tokens)
        size = sum(a.block.nbytes for a in answers)
        if size <= self._left:
            self._left -= size
            self._kept[i] = answers
        return answers


for method in (GateGradient, HeadGating):
    methods.register(method.name, method)
