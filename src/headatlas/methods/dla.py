"""Direct logit attribution: what each head writes into the answer's logits, unread by anything between.

1. `models.direct` runs a pack's answer positions once and reads, of every head, its contribution to the logit of each
   answer token over the mean logit of the vocabulary (or over a foil's token), through the residual stream alone and
   with the norms' scales frozen (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework; nostalgebraist's
   logit lens, head by head).
2. An item's score is the mean over its answer tokens; over a foil's token, where the two first differ. Positive: the
   head writes towards the answer.

Contributions of all heads, MLPs, biases and the embedding sum to the logit. They are not effects: a head's writing may
be undone by a later one (a writer and its canceller both score high), and a head that works by being read scores
nothing. This module does not know norms, hooks or stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from jaxtyping import Float

from headatlas.methods.base import Activations, ModelMethod, Sign, methods
from headatlas.methods.metric import ByMetric
from headatlas.models.direct import check_linear, contributions

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.prompts import Prompt


@dataclass(frozen=True)
class DirectLogit(ByMetric, ModelMethod):
    """Direct contribution of a head to the logit of the answer's tokens.

    Parameters
    ----------
    metric
        One that is linear in the logits. "logit": the answer's logit over the mean of the vocabulary's, at every answer
        token. "logit_diff": over that of the foil's token, at the first in which the two differ. "auto": "logit_diff"
        where every foil was designed, else "logit".
    """

    name: ClassVar[str] = "dla"
    default_sign: ClassVar[Sign] = "signed"
    otherwise: ClassVar[str] = "logit"

    def check_metric(self) -> None:
        """Raise `InputError` for a metric that is not linear in the logits."""
        check_linear(self.read)

    @property
    def label(self) -> str:
        """What a head writes into, with its unit."""
        return self._label("direct contribution to ")

    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Return the direct contribution, in logits, of every head and prompt."""
        return contributions(model, prompts, objective=self.read)[..., None].astype(np.float32)

    def about(self, activations: Activations) -> dict[str, Any]:
        """Say what heads write into."""
        return {"metric": self.read, "positions": "answer"}


methods.register(DirectLogit.name, DirectLogit)
