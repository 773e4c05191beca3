"""What is read at the answer: log-probability, divergence, logit difference. One registration each.

1. A run of the model leaves logits at the positions that predict the answers, for some rows: `Read`.
2. An `Objective` computes a number from them for every row and prompt, by operations that gradients go through. Sweeps,
   attribution and gates all read through it.
3. Those that are linear in the logits also say which direction of the unembedding they read, for direct contributions.

To add one, register it here or anywhere; `sweep` and `estimate` take its name. It does not know how the model was run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headatlas._registry import Registry
from headatlas.errors import InputError
from headatlas.models.precision import wide
from headatlas.prompts import Prompt


@dataclass(frozen=True)
class Read:
    """What some rows say where the answers are predicted.

    Attributes
    ----------
    logits
        At the tokens asked of, float32 at least.
    prompts, targets, where
        Every prompt, its answer's token ids, and the tokens among those asked of that predict them.
    base
        Log-probabilities of what rows are compared with; None for row 0, held constant.
    """

    logits: Float[Tensor, "row asked vocab"]
    prompts: Sequence[Prompt]
    targets: Sequence[Int[Tensor, " _answer"]]
    where: Sequence[Int[Tensor, " _answer"]]
    base: Float[Tensor, "asked vocab"] | None = None

    @cached_property
    def norm(self) -> Float[Tensor, "row asked"]:
        """The logits' log-sum-exp."""
        return torch.logsumexp(self.logits, -1)

    @cached_property
    def divergence(self) -> Float[Tensor, "row asked"]:
        """KL(base || row), nats: sum p log p - sum p logit_q + log Z_q."""
        logp = torch.log_softmax(self.logits[0].detach(), -1) if self.base is None else self.base
        p = logp.exp()
        return (p * logp).sum(-1) - torch.einsum("rtv,tv->rt", self.logits, p) + self.norm

    def total(self, i: int) -> Float[Tensor, " row"]:
        """Log-probability of the whole answer of prompt `i`."""
        at = self.where[i]
        return (self.logits[:, at, self.targets[i]] - self.norm[:, at]).sum(-1)


@dataclass(frozen=True)
class Unembedding:
    """The output layer's weight, with the mean of its rows."""

    weight: Float[Tensor, "vocab width"]

    @cached_property
    def mean(self) -> Float[Tensor, " width"]:
        """The mean over the vocabulary."""
        return wide(self.weight).mean(0)


Linear = Callable[[Unembedding, Prompt, Int[Tensor, " answer"]], tuple[Float[Tensor, "token width"], slice]]


@dataclass(frozen=True)
class Objective:
    """A number that the model's answers are judged by.

    Attributes
    ----------
    label, unit
        For messages, colourbars and findings.
    value
        Its value for every row of a `Read` and prompt i, (row,): higher = the model does the item better.
    falls
        Whether an effect is by how much it falls from the model as it is; else the value itself is the effect, and 0
        for the model as it is (a divergence).
    linear
        Of an objective linear in the logits: the directions of the unembedding whose products with the last hidden
        states, averaged, are the value, and at which of the answer's tokens.
    phrase
        What it is in a sentence, if not "the answer's" and the label.
    foil
        Whether it reads the foil: NaN where that does not differ from the answer in a token (`check_foils`).
    """

    label: str
    unit: str
    value: Callable[[Read, int], Float[Tensor, " row"]]
    falls: bool = True
    linear: Linear | None = None
    phrase: str = ""
    foil: bool = False

    @property
    def said(self) -> str:
        """What it is, for the middle of a sentence."""
        return self.phrase or f"the answer's {self.label}"


objectives: Registry[Objective] = Registry("objective")

METRICS = ("logprob", "total", "kl", "logit_diff")
"""What a sweep reads unless told otherwise."""


def values(read: Read, names: Sequence[str]) -> Float[Tensor, "row prompt objective"]:
    """Return the objectives of that name, of every row and prompt."""
    chosen = [objectives.get(name) for name in names]
    return torch.stack([torch.stack([one.value(read, i) for one in chosen], -1) for i in range(len(read.prompts))], 1)


def first_difference(prompt: Prompt) -> int | None:
    """Return the index of the first token in which the answer and the foil differ, if one is in both.

    The tokens before it are the same in both, so the answer's, which the model is given, lead up to either.
    """
    n = min(len(prompt.foil), len(prompt.answer_tokens))
    differ = np.flatnonzero(prompt.foil[:n] != prompt.answer_tokens[:n])
    return int(differ[0]) if len(differ) else None


def check_foils(prompts: Sequence[Prompt], name: str, *, instead: str = "logprob") -> None:
    """Raise `InputError` where the objective of that name reads a foil, and there is none that differs from the answer
    in a token; `instead` is one that reads none.
    """
    objective = objectives.get(name)
    for prompt in prompts if objective.foil else ():
        if first_difference(prompt) is not None:
            continue
        answer, foil = len(prompt.answer_tokens), len(prompt.foil)
        whole, part = ("answer", "foil") if foil < answer else ("foil", "answer")
        why = (
            "has no foil"
            if not foil
            else f"has a foil of the very tokens of its answer ({prompt.answer!r})"
            if foil == answer
            else f"has an answer ({prompt.answer!r}) and a foil of which the {part} is but the beginning of the {whole}"
        )
        raise InputError(
            f"{prompt.id} {why}: {objective.said} can't be read. Give that step a foil that differs from its answer in "
            f"a token, leave the step out, or give the method metric={instead}."
        )


def _logit_difference(read: Read, i: int) -> Float[Tensor, " row"]:
    prompt, at, targets = read.prompts[i], read.where[i], read.targets[i]
    k = first_difference(prompt)
    if k is None:
        return read.total(i) * float("nan")  # NaN that gradients can be asked of
    return read.logits[:, at[k], targets[k]] - read.logits[:, at[k], int(prompt.foil[k])]


def _against_foil(out: Unembedding, prompt: Prompt, targets: Tensor) -> tuple[Tensor, slice]:
    k = first_difference(prompt)
    assert k is not None, "checked"
    return wide(out.weight[targets[k]] - out.weight[int(prompt.foil[k])])[None], slice(k, k + 1)


def _over_mean(read: Read, i: int) -> Float[Tensor, " row"]:
    at = read.where[i]
    return (read.logits[:, at, read.targets[i]] - read.logits[:, at].mean(-1)).mean(-1)


objectives.register(
    "logprob",
    Objective("log-probability", "nats a token", lambda read, i: read.total(i) / len(read.targets[i])),
)
objectives.register("total", Objective("total log-probability", "nats", lambda read, i: read.total(i)))
objectives.register(
    "kl",
    Objective(
        "KL divergence from the model as it is", "nats a token",
        lambda read, i: read.divergence[:, read.where[i]].mean(-1), falls=False,
    ),
)  # fmt: skip
objectives.register(
    "logit_diff",
    Objective(
        "logit difference to the foil", "logits", _logit_difference, linear=_against_foil,
        phrase="the logit difference between answer and foil", foil=True,
    ),
)  # fmt: skip
objectives.register(
    "logit",
    Objective(
        "logit over the vocabulary's mean", "logits", _over_mean,
        linear=lambda out, prompt, targets: (wide(out.weight[targets]) - out.mean, slice(None)),
    ),
)  # fmt: skip
