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
from headatlas.building.decompose import listed, object_of, version
from headatlas.building.endpoint import Endpoint, Message
from headatlas.building.replies import Checked, converse, read_fields, read_function
from headatlas.building.source import SourceQuestion
from headatlas.errors import QuestionError
from headatlas.questions import Step

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
    names = tuple(functions)
    return converse(
        endpoint,
        messages(question, steps, functions),
        model=model,
        schema=schema(names),
        check=lambda rows: read_judgements(rows, len(steps), names),
        repairs=repairs,
        about=f"verify {question.id}",
    )


def messages(question: SourceQuestion, steps: tuple[Step, ...], functions: Mapping[str, str]) -> list[Message]:
    """Return what the judge is told."""
    backwards = dict(reversed(list(functions.items())))
    numbered = "\n".join(f"{i}. {step.subquestion}" for i, step in enumerate(steps, start=1))
    return [
        {"role": "system", "content": _SYSTEM.format(functions=listed(backwards))},
        {"role": "user", "content": _USER.format(question=question.question, subquestions=numbered)},
    ]


def schema(functions: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON schema of a reply."""
    entry = {
        "number": {"type": "integer"},
        "answer": {"type": "string"},
        "function": {"type": "string", "enum": list(reversed(functions))},
    }
    return object_of("judgement", entry)


def read_judgements(rows: list[Any], n_steps: int, functions: tuple[str, ...]) -> tuple[Judgement, ...]:
    """Return the judgements in a reply; raise `QuestionError` with the entry and what is wrong with it."""
    if len(rows) != n_steps:
        raise QuestionError(f'"steps" has {len(rows)} entries; there are {n_steps} subquestions.')
    judgements = []
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict) and str(row.get("number", number)) != str(number):
            raise QuestionError(f"Entry {number} of steps has number {row['number']}; keep the order.")
        read = read_fields(row, number, ("answer", "function"))
        judgements.append(Judgement(read_function(read["function"], number, functions), read["answer"]))
    return tuple(judgements)
