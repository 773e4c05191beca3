"""What one run of prompts leaves: the texts to run, the scores read off their logits, and all of it together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas.prompts import Prompt


@dataclass(frozen=True)
class Captured:
    """What `HeadModel.capture` reads off a run of prompts.

    Attributes
    ----------
    z
        Mean z over each prompt's chosen positions, float32.
    logprob
        Mean log-probability of a token of the reference answer, nats.
    foil_logprob
        The same of the foil; NaN for prompts without one.
    greedy
        Whether every token of the reference answer is the model's most likely next token (teacher-forced).
    """

    z: Float[np.ndarray, "prompt layer head head_dim"]
    logprob: Float[np.ndarray, " prompt"]
    foil_logprob: Float[np.ndarray, " prompt"]
    greedy: np.ndarray

    @classmethod
    def joined(cls, parts: "Sequence[Captured]") -> "Captured":
        """Return the parts' prompts, in order."""
        return cls(
            np.concatenate([p.z for p in parts]),
            np.concatenate([p.logprob for p in parts]),
            np.concatenate([p.foil_logprob for p in parts]),
            np.concatenate([p.greedy for p in parts]),
        )


def texts_of(prompts: Sequence[Prompt]) -> list[tuple[Int[np.ndarray, " _"], int]]:
    """Return every text to run with where its answer starts: all that are pooled, the references, the foils."""
    return [
        *((p.pooled, p.answer_start) for p in prompts),
        *((p.tokens, p.answer_start) for p in prompts),
        *((np.concatenate([p.prefix, p.foil]), p.answer_start) for p in prompts),
    ]


def score(logits: Float[Tensor, "answer vocab"], tokens: Int[np.ndarray, " length"], start: int) -> tuple[float, bool]:
    """Return the mean log-probability of the tokens from `start` on, and whether each is the greedy choice."""
    targets = torch.from_numpy(tokens[start:]).to(logits.device)
    if not len(targets):
        return float("nan"), False
    chosen = torch.log_softmax(logits, -1)[torch.arange(len(targets)), targets]
    return float(chosen.mean()), bool((logits.argmax(-1) == targets).all())
