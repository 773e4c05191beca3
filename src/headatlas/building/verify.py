"""A second judgement of every step, made without seeing the first.

1. The judge sees the question and its subquestions in order, but no label, no answer and no reference answer. The
   functions are listed in reverse, so that a liking for the top of a list does not pass for agreement.
2. It gives its own answer and its own function for each; the number of entries must fit.
3. `agreement` compares the two.

A model that judges its own work agrees with it more than another would: agreement is then an upper bound, and
--verify-model names another model. This module does not know what is done with steps that are not confirmed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headatlas.building.agreement import answers_agree
from headatlas.building.decompose import listed, version
from headatlas.building.endpoint import Endpoint, Request
from headatlas.building.replies import Checked, Text, converse, entry_of, read_entries, schema_of
from headatlas.building.source import SourceQuestion
from headatlas.errors import QuestionError
from headatlas.questions.schema import Step

_SYSTEM = """You check material for a study of what language models do while they think.
You get a question and the subquestions that lead to its answer, in order. For each subquestion, on your own:
- answer it from the question, from general knowledge and from your answers to the subquestions before it, as shortly \
as possible: a name, a number with its unit, yes or no, a phrase;
- say which one of the functions below does most of the work in answering it. Judge by what has to be done, not by \
how the subquestion is worded or where it stands.

Functions:
{functions}

Reply with one JSON object and nothing else, one entry for each subquestion, in the same order:
{{"steps": [{{"number": 1, "answer": "...", "function": "..."}}]}}"""

_USER = "Question:\n{question}\n\nSubquestions:\n{subquestions}"

VERSION = version((_SYSTEM, _USER))


@dataclass(frozen=True)
class Judgement:
    """What the judge says of one step."""

    function: str
    answer: str

    def confirms_function(self, step: Step) -> bool:
        """Say whether the label is the same."""
        return self.function == step.function

    def confirms_answer(self, step: Step) -> bool:
        """Say whether the answer is the same, as `agreement.answers_agree` compares."""
        return answers_agree(self.answer, step.answer)

    def report(self, step: Step) -> dict[str, Any]:
        """Return what it says, and whether that is what `step` says."""
        agrees = {"function_agrees": self.confirms_function(step), "answer_agrees": self.confirms_answer(step)}
        return {"function": self.function, "answer": self.answer, **agrees}


def verify(
    endpoint: Endpoint,
    question: SourceQuestion,
    steps: tuple[Step, ...],
    *,
    model: str,
    functions: Mapping[str, str],
    repairs: int,
) -> Checked[tuple[Judgement, ...]]:
    """Return the judgement of `model` on each of `steps` (errors: `replies.converse`)."""
    backwards = dict(reversed(list(functions.items())))
    entry = entry_of(tuple(backwards), number=int, answer=Text, function=...)

    def check(rows: list[Any]) -> tuple[Judgement, ...]:
        if len(rows) != len(steps):
            raise QuestionError(f'"steps" has {len(rows)} entries; there are {len(steps)} subquestions.')
        numbered = [{"number": i, **row} if isinstance(row, dict) else row for i, row in enumerate(rows, start=1)]
        read = read_entries(numbered, entry)
        for number, judged in enumerate(read, start=1):
            if judged.number != number:
                raise QuestionError(f"Entry {number} of steps has number {judged.number}; keep the order.")
        return tuple(Judgement(judged.function, judged.answer) for judged in read)

    system = _SYSTEM.format(functions=listed(backwards))
    subquestions = "\n".join(f"{i}. {step.subquestion}" for i, step in enumerate(steps, start=1))
    user = _USER.format(question=question.question, subquestions=subquestions)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    request = Request(model, messages, schema_of(entry, "judgement"), f"verify {question.id}")
    return converse(endpoint, request, check, repairs=repairs)
