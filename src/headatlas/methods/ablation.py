"""Exact ablation: by how much the model's answer suffers when one head's z is replaced.

1. The replacement is nothing (zero), the head's mean z over all items, every function weighing the same (mean), or
   the z of other items, of other main questions, drawn by seed and item (resample).
2. `models.sweep` replaces every head in turn, at the positions that predict the reference answer's tokens or at all,
   and reads the answer: no approximation, and one sweep for the price of a few forward passes.
3. A sample is an item: the drop in the metric (`methods.metric`): the logit difference between answer and foil, or the
   mean log-probability of the reference answer's tokens. Positive: the model does worse without the head, so the head
   supports the answer. The other metrics stand beside it.

Mean and resample replace z by pooled z (its mean over an answer's positions, from the store), the same at every
position. A head whose work another head takes over, or that acts only before the answer, has no effect here at
positions "answer": see docs/planted.md. This module does not know hooks or caches.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float

from headatlas.errors import InputError
from headatlas.methods.base import Activations, ModelMethod, Sign, methods
from headatlas.methods.metric import ByMetric
from headatlas.models.block import Positions
from headatlas.models.objective import METRICS, objectives
from headatlas.models.sweep import MAX_TOKENS, sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headatlas.models.head_model import HeadModel
    from headatlas.prompts import Prompt

By = Literal["zero", "mean", "resample"]


def balanced_mean(activations: Activations) -> Float[np.ndarray, "layer head head_dim"]:
    """Return the mean of pooled z over items, each function weighing the same."""
    total = np.zeros(activations.z.shape[1:], np.float64)
    for function in activations.functions:
        total += activations.z[activations.function == function].mean(axis=0, dtype=np.float64)
    return (total / len(activations.functions)).astype(np.float32)


def replacements(
    by: By, prompts: "Sequence[Prompt]", activations: Activations, *, draws: int, seed: int
) -> Float[np.ndarray, "draw prompt layer head head_dim"]:
    """Return what z is replaced by; prompt is 1 where it is the same for all.

    Parameters
    ----------
    by
        "zero", "mean" or "resample".
    prompts
        Whose z is replaced.
    activations
        Pooled z of all items.
    draws
        How many other items a prompt draws ("resample").
    seed
        A prompt's draws depend on it and on the prompt's id, not on the other prompts.

    Raises
    ------
    InputError
        "resample" where a prompt's main question is the only one.
    """
    if by == "zero":
        return np.zeros((1, 1, *activations.z.shape[1:]), np.float32)
    if by == "mean":
        return balanced_mean(activations)[None, None]
    drawn = []
    for prompt in prompts:
        others = np.flatnonzero(activations.group != prompt.group)
        if not len(others):
            raise InputError(
                f"Nothing to replace the z of {prompt.id} by: all items are of main question '{prompt.group}', and "
                "resampling needs another's. Give more questions, or --method ablation or ablation_zero."
            )
        draw = np.random.default_rng([seed, zlib.crc32(prompt.id.encode())])
        drawn.append(others[draw.integers(len(others), size=draws)])
    return np.asarray(activations.z[np.array(drawn).T])


def check_positions(positions: str) -> None:
    """Raise `InputError` for unknown positions."""
    if positions not in get_args(Positions):
        raise InputError(f"Unknown positions '{positions}'. Give one of: {', '.join(get_args(Positions))}.")


@dataclass(frozen=True)
class Ablation(ByMetric, ModelMethod):
    """The drop in a metric of the reference answer when a head's z is replaced.

    Parameters
    ----------
    by
        "mean": by its mean over all items, every function weighing the same. "zero": by nothing. "resample": by that of
        items of other main questions.
    draws
        How many other items ("resample"); the effect is the mean over them.
    positions
        "answer": z is replaced where it predicts the answer's tokens. "all": everywhere; as exact, and dearer by the
        ratio of prompt to answer.
    max_tokens
        Tokens run at once: bounds memory, changes no number.
    metric
        What is read of the answer (`ByMetric`); the other ones of `METRICS` stand beside it.
    """

    name: ClassVar[str] = "ablation"
    default_sign: ClassVar[Sign] = "signed"
    ablates: ClassVar[bool] = True

    by: By = "mean"
    draws: int = 4
    positions: Positions = "answer"
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in get_args(By):
            raise InputError(f"Unknown replacement '{self.by}'. Give one of: {', '.join(get_args(By))}.")
        check_positions(self.positions)
        if self.max_tokens < 1 or self.draws < 1:
            raise InputError("An ablation needs max_tokens and draws of 1 or more.")

    @property
    def id(self) -> str:
        """``ablation``, ``ablation_zero`` or ``ablation_resample``, as they were called before they were one."""
        return self.name if self.by == "mean" else f"{self.name}_{self.by}"

    def settings(self) -> dict[str, Any]:
        """Return the parameters that differ from their defaults and are not in the name."""
        return {name: value for name, value in super().settings().items() if name != "by"}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives that are read: the metric, then those beside it."""
        return self.read, *(name for name in METRICS if name != self.read)

    @property
    def values(self) -> tuple[str, ...]:
        """Importance, and the metrics beside it by their names."""
        return "importance", *self.metrics[1:]

    @property
    def about_values(self) -> Mapping[str, str]:
        """What the metrics beside importance are."""
        beside = {name: objectives.get(name) for name in self.metrics[1:]}
        return {name: f"{'drop in ' if one.falls else ''}{one.said}, {one.unit}" for name, one in beside.items()}

    def check(self, prompts: "Sequence[Prompt]") -> None:
        """Raise `InputError` for answers without tokens, or nothing to read them against or to resample from."""
        super().check(prompts)
        if self.by == "resample" and len({p.group for p in prompts}) < 2:
            raise InputError(
                "Resampling replaces z by that of other main questions' items, and there is one only. "
                "Give more questions, or --method ablation or ablation_zero."
            )

    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Return, of every head and prompt, the drop in each of `metrics` (a divergence as it is): the metric's first;
        the logit difference between answer and foil is NaN without a foil.
        """
        replacement = replacements(self.by, prompts, activations, draws=self.draws, seed=seed)
        swept = sweep(
            model,
            prompts,
            torch.from_numpy(replacement),
            positions=self.positions,
            metrics=self.metrics,
            max_tokens=self.max_tokens,
        )
        return swept.effect.astype(np.float32)

    def about(self, activations: Activations) -> dict[str, Any]:
        """Say what z was replaced by."""
        over = {
            "zero": "zero",
            "mean": f"mean pooled z of {len(activations.z)} items, every function weighing the same",
            "resample": f"pooled z of {self.draws} items of other main questions, averaged over the draws",
        }
        return {"replaced_by": over[self.by], "positions": self.positions, "metric": self.read}


AblationZero = partial(Ablation, by="zero")
AblationResample = partial(Ablation, by="resample")

methods.register("ablation", Ablation)
methods.register("ablation_zero", AblationZero)
methods.register("ablation_resample", AblationResample)
