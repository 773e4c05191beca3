"""Direct logit attribution: what each head writes into the answer's logits, unread by anything between.

1. `models.direct` runs a pack's answer positions once and reads, of every head, its contribution to the logit of each
   answer token over the mean logit of the vocabulary (or over a foil's token), through the residual stream alone and
   with the norms' scales frozen (Elhage et al. 2021, https://transformer-circuits.pub/2021/framework; nostalgebraist's
   logit lens, head by head).
2. An item's score is the mean over its answer tokens. Positive: the head writes towards the answer.

Contributions of all heads, MLPs, biases and the embedding sum to the logit. They are not effects: a head's writing may
be undone by a later one (a writer and its canceller both score high), and a head that works by being read scores
nothing. This module does not know norms, hooks or stores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np
from jaxtyping import Float

from headatlas.errors import InputError
from headatlas.methods.attribution import check_answers
from headatlas.methods.base import Activations, ModelMethod, Sign, methods
from headatlas.models.direct import Against, check_foils, contributions

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.prompts import Prompt


@dataclass(frozen=True)
class DirectLogit(ModelMethod):
    """Direct contribution of a head to the logit of the answer's tokens.

    Parameters
    ----------
    against
        "mean": the answer's logit over the mean of the vocabulary's, at every answer token. "foil": over that of the
        foil's token, at the first in which the two differ.
    """

    name: ClassVar[str] = "dla"
    default_sign: ClassVar[Sign] = "signed"
    label: ClassVar[str] = "direct contribution to the answer's logit"

    against: Against = "mean"

    def __post_init__(self) -> None:
        if self.against not in get_args(Against):
            raise InputError(f"Unknown against '{self.against}'. Give one of: {', '.join(get_args(Against))}.")

    def check(self, prompts: "Sequence[Prompt]") -> None:
        """Raise `InputError` for answers without tokens, or without the foil to hold them against."""
        check_answers(prompts)
        check_foils(prompts, self.against)

    def rows(
        self, model: "HeadModel", prompts: "Sequence[Prompt]", activations: Activations, *, seed: int
    ) -> Float[np.ndarray, "prompt layer head value"]:
        """Return the direct contribution, in logits, of every head and prompt."""
        return contributions(model, prompts, against=self.against)[..., None].astype(np.float32)

    def about(self, activations: Activations) -> dict[str, Any]:
        """Say what the answer's logit was held against."""
        return {"against": self.against, "positions": "answer"}


methods.register(DirectLogit.name, DirectLogit)
