"""Attribution: what ablating a head would cost the answer, estimated from gradients at two passes for all heads.

1. The replacement r of every head's z is the ablation's (`methods.ablation`): the mean over items, zero, or the z of
   items of other main questions.
2. `models.gradient` runs a pack's prompts once and its answer positions forward and backward once; an item's score
   of a head is the sum over answer positions of gradient . (z - r), in the metric's unit (`methods.metric`): the
   first-order estimate of the drop that `ablation` measures, of the same sign. Positive: the head supports the answer.
   At positions "all" the whole prompt runs forward and backward, and the sum is over all its positions: heads that act
   before the answer are seen, and the ablation estimated is that at positions "all".
3. Integrated gradients average the gradient over m points between r and z, all heads of a layer moving together: the
   scores of a layer's heads sum to the effect of replacing the whole layer. The price is that of an exact ablation.

First order is blind where the model is flat or bent between r and z: a saturated softmax, a norm's own scale, heads
that make up for one another. `integrated_gradients` shares an interaction between a layer's heads out among them, and
so answers another question than ablating one head. This module does not know hooks, blocks or stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
import torch
from jaxtyping import Float

from headatlas.errors import InputError
from headatlas.methods.ablation import By, check_positions, replacements
from headatlas.methods.base import Activations, ModelMethod, Sign, methods
from headatlas.methods.metric import ByMetric
from headatlas.models.block import Positions
from headatlas.models.gradient import estimate
from headatlas.models.objective import objectives

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.prompts import Prompt


@dataclass(frozen=True)
class Attribution(ByMetric, ModelMethod):
    """First-order estimate of the drop in a metric of the answer when a head is replaced.

    Parameters
    ----------
    by
        "mean": z is replaced by its mean over all items, every function weighing the same. "zero". "resample": by that
        of other main questions' items.
    draws
        How many other items ("resample").
    positions
        "answer": z is replaced where it predicts the answer's tokens. "all": everywhere; a forward and a backward pass
        of every whole prompt.
    metric
        What is read of the answer (`ByMetric`). A divergence is flat at the model, so first order is blind to it.

    References
    ----------
    Nanda 2023, https://www.neelnanda.io/mechanistic-interpretability/attribution-patching;
    Syed, Rager & Conmy 2023, https://arxiv.org/abs/2310.10348.
    """

    name: ClassVar[str] = "attribution"
    default_sign: ClassVar[Sign] = "signed"

    by: By = "mean"
    draws: int = 4
    positions: Positions = "answer"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positions(self.positions)
        if self.by not in get_args(By):
            raise InputError(f"Unknown replacement '{self.by}'. Give one of: {', '.join(get_args(By))}.")
        if self.draws < 1:
            raise InputError(f"{self.draws} draws. Give 1 or more.")

    def check_metric(self) -> None:
        """Raise `InputError` for a metric whose slope at the model is 0."""
        if not self._steps:
            check_slope(self.read, self.name)

    @property
    def label(self) -> str:
        """What is estimated, with its unit."""
        return self._label("estimated drop in ")

    def check(self, prompts: "Sequence[Prompt]") -> None:
        """Raise `InputError` for answers without tokens, or nothing to read them against or to resample from."""
        super().check(prompts)
        if self.by == "resample" and len({p.group for p in prompts}) < 2:
            raise InputError(
                "Resampling replaces z by that of other main questions' items, and there is one only. "
                "Give more questions, or by='mean' or by='zero'."
            )

    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Return the estimated drop in the metric, of every head and prompt."""
        r = torch.from_numpy(replacements(self.by, prompts, activations, draws=self.draws, seed=seed))
        found = estimate(model, prompts, r, steps=self._steps, objective=self.read, positions=self.positions)
        return found.effect[..., None].astype(np.float32)

    @property
    def _steps(self) -> int:
        return 0

    def about(self, activations: Activations) -> dict[str, Any]:
        """Say what z was replaced by, and how the effect was estimated."""
        how = f"integrated gradients, {self._steps} midpoints" if self._steps else "first order"
        return {"replaced_by": self.by, "positions": self.positions, "metric": self.read, "estimate": how}


@dataclass(frozen=True)
class IntegratedGradients(Attribution):
    """As `Attribution`, with the gradient averaged between the replacement and z, a layer at a time.

    Parameters
    ----------
    steps
        Midpoints between the replacement and z. The error falls with its square.

    References
    ----------
    Sundararajan, Taly & Yan 2017, https://arxiv.org/abs/1703.01365.
    """

    name: ClassVar[str] = "integrated_gradients"

    draws: int = 1
    steps: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise InputError(f"Integrated gradients of {self.steps} steps. Give 1 or more; 0 is --method attribution.")

    @property
    def label(self) -> str:
        """What is shared out, with its unit."""
        return f"share of {self._label('the drop in ')}"

    @property
    def _steps(self) -> int:
        return self.steps


def check_slope(metric: str, method: str) -> None:
    """Raise `InputError` for a metric that is least at the model as it is, so that its slope there is 0."""
    if not objectives.get(metric).falls:
        known = ", ".join(name for name in objectives if objectives.get(name).falls)
        raise InputError(
            f"'{metric}' is least at the model as it is, where its slope is 0: {method} by it finds nothing. Give "
            f'one of {known}; or another method, e.g. --method "ablation(metric={metric})".'
        )


for method in (Attribution, IntegratedGradients):
    methods.register(method.name, method)
