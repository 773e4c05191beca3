"""Methods whose importance is a metric of the model's answers: the choice of it, and what it is called.

1. A metric is an objective (`models.objective`) by its name: "logit_diff", "logprob", "kl", …, or any registered one.
2. "auto" is settled by the prompts, once and for all of them (`ByMetric.resolved`): the logit difference between answer
   and foil where every prompt's foil was designed; else what the method reads without foils. A foil that was drawn from
   other questions makes no contrast of its own.
3. The logit difference is read at the first token in which answer and foil differ; the tokens before it, which they
   share, are given. A prompt without such a token is refused before anything runs.

It does not know how a metric is computed, nor how a method takes it apart by head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

from headatlas._registry import suggest
from headatlas.errors import InputError
from headatlas.methods.base import Method
from headatlas.models.objective import Objective, check_foils, objectives

if TYPE_CHECKING:
    from headatlas.prompts import Prompt

AUTO = "auto"
DESIGNED = "logit_diff"
"""What "auto" is where foils were designed."""


C = TypeVar("C", bound="ByMetric")


@dataclass(frozen=True, kw_only=True)
class ByMetric(Method):
    """A method whose importance is a metric of the answers.

    Parameters
    ----------
    metric
        "logit_diff": the logit difference between answer and foil, where they first differ. "logprob": the mean
        log-probability of an answer's token. "kl", "total", or any registered objective. "auto": "logit_diff" where
        every foil was designed, else `otherwise`.
    """

    otherwise: ClassVar[str] = "logprob"
    """What "auto" is without designed foils."""

    metric: str = AUTO

    def __post_init__(self) -> None:
        if self.metric != AUTO and self.metric not in objectives:
            raise InputError(f"Unknown metric '{self.metric}'.{suggest(str(self.metric), [AUTO, *objectives])}")
        self.check_metric()

    def check_metric(self) -> None:
        """Raise `InputError` for a metric that the method can't take apart by head."""

    def resolved(self: C, prompts: "Sequence[Prompt]") -> C:
        """Return the method with "auto" settled."""
        if self.metric != AUTO:
            return self
        designed = all(p.designed for p in prompts)
        return replace(self, metric=DESIGNED if designed and len(prompts) else self.otherwise)

    @property
    def read(self) -> str:
        """The name of the objective that is read; of an unsettled "auto", `otherwise`."""
        return self.otherwise if self.metric == AUTO else self.metric

    @property
    def objective(self) -> Objective:
        """The objective that is read."""
        return objectives.get(self.read)

    @property
    def label(self) -> str:
        """What one unit of importance is: the metric, with its unit."""
        return self._label("drop in ")

    def _label(self, fall: str, rest: str = "") -> str:
        """Return the label of a metric that falls ("drop in " and so on), or is an effect by itself."""
        one = self.objective
        return f"{fall if one.falls else ''}{one.said}{rest}, {one.unit}"

    def check(self, prompts: "Sequence[Prompt]") -> None:
        """Raise `InputError` for answers without tokens, or without the foil that the metric reads."""
        check_answers(prompts)
        check_foils(prompts, self.resolved(prompts).read, instead=self.otherwise)


def check_answers(prompts: "Sequence[Prompt]") -> None:
    """Raise `InputError` for answers without tokens."""
    for prompt in prompts:
        if not len(prompt.answer_tokens):
            raise InputError(f"{prompt.id} has an answer of no tokens: nothing can be lost. Give it an answer.")
