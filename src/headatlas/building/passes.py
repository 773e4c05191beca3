"""The two passes over a question: what the model is told in each, and what of its reply is accepted.

1. `decompose`: the model sees the functions with their definitions, the rules, the question and, where there is one,
   its reference answer. Accepted are 1 to 12 steps, no subquestion twice, every function one of those defined.
2. `verify`: the judge sees the question and its subquestions in order, but no label, no answer and no reference answer.
   The functions are listed in reverse, so that a liking for the top of a list does not pass for agreement. It gives
   its own answer and its own function for each, which are then compared.

Definitions and rules are this project's own words; the paper's prompts are not used. A model that judges its own work
agrees with it more than another would: agreement is then an upper bound. This module does not know endpoints, or what
is done with steps that are not confirmed.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headatlas.building.agreement import answers_agree
from headatlas.building.replies import Checked, Model, Text, entry_of, read_entries, schema_of
from headatlas.building.source import SourceQuestion
from headatlas.errors import InputError, QuestionError
from headatlas.questions.functions import check_function
from headatlas.questions.schema import Step

MOST_STEPS = 12

DEFINITIONS: dict[str, str] = {
    "knowledge_recall": "bring up a fact, rule or formula that stands neither in the question nor in an earlier answer "
    "and has to be known beforehand.",
    "retrieval": "find a piece of information that is stated in the question or in an earlier answer, and give it back "
    "as it stands.",
    "logical_reasoning": "work out what must be true, given the statements: if-then, and/or/not, all/some, order, "
    "elimination, contradiction. Nothing is left to likelihood.",
    "decision_making": "weigh options against a goal or against what the earlier steps found, and commit to one.",
    "semantic_understanding": "work out what words mean here: the sense of a word, a paraphrase, whether two wordings "
    "say the same, what a text is about.",
    "syntactic_understanding": "use the form of a sentence or text: who does what to whom, what a pronoun or clause "
    "belongs to, the order and role of its parts, what format is asked for.",
    "inference": "conclude what is most likely meant, caused or going to happen from clues, though it is not said and "
    "does not strictly follow.",
    "math_calculation": "compute with numbers: arithmetic, counting, comparing amounts, units, equations.",
}
"""What the eight functions are, in the words that the model judges by."""

_DECOMPOSE = """You prepare questions for a study of what language models do while they think.
Take the question apart into the steps that a careful person goes through to answer it. A step is one short \
subquestion with its answer, and it calls for exactly one of these functions:

{functions}

Rules:
1. Give 2 to 6 steps in the order they are needed (at most {most}); the last one answers the question itself.
2. A subquestion can be answered from the question, from the answers before it, and from general knowledge only. It \
neither contains its own answer nor names its function.
3. An answer is as short as it can be: a name, a number with its unit, yes or no, a phrase. It is correct.
4. Name the function that does most of the work in that step. Judge by what has to be done, not by how the \
subquestion is worded or where it stands.
5. Split a step that needs two functions; leave out functions that the question does not call for.

Reply with one JSON object and nothing else:
{{"steps": [{{"subquestion": "...", "function": "...", "answer": "..."}}]}}"""

_QUESTION = "Question:\n{question}"
_QUESTION_AND_ANSWER = "Question:\n{question}\n\nReference answer, which the last step must come to:\n{answer}"

_VERIFY = """You check material for a study of what language models do while they think.
You get a question and the subquestions that lead to its answer, in order. For each subquestion, on your own:
- answer it from the question, from general knowledge and from your answers to the subquestions before it, as shortly \
as possible: a name, a number with its unit, yes or no, a phrase;
- say which one of the functions below does most of the work in answering it. Judge by what has to be done, not by \
how the subquestion is worded or where it stands.

Functions:
{functions}

Reply with one JSON object and nothing else, one entry for each subquestion, in the same order:
{{"steps": [{{"number": 1, "answer": "...", "function": "..."}}]}}"""

_SUBQUESTIONS = "Question:\n{question}\n\nSubquestions:\n{subquestions}"

_FUNCTIONS_FILE = 'Give {"function_id": "what it is, in one line", ...}.'


def version(*texts: str) -> str:
    """Return a short digest of texts, to tell one wording from another."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


VERSIONS = {
    "decompose": version(_DECOMPOSE, _QUESTION, _QUESTION_AND_ANSWER),
    "verify": version(_VERIFY, _SUBQUESTIONS),
}
"""Of the prompts of each pass."""


def read_functions(path: Path) -> dict[str, str]:
    """Read a JSON object of function id -> definition.

    Raises
    ------
    InputError
        No such file, not JSON, fewer than two functions, a blank definition, or an id that looks like a misspelling
        of one of the eight.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"--functions {path}: {error.strerror}. {_FUNCTIONS_FILE}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"--functions {path}: not JSON ({error}). {_FUNCTIONS_FILE}") from None
    if not isinstance(found, dict) or len(found) < 2:
        raise InputError(f"--functions {path}: expected an object with two functions or more. {_FUNCTIONS_FILE}")
    for function, definition in found.items():
        if not isinstance(definition, str) or not definition.strip() or not function.strip():
            raise InputError(f"--functions {path}, '{function}': the definition must be text. {_FUNCTIONS_FILE}")
        try:
            check_function(function)
        except QuestionError as error:
            raise InputError(f"--functions {path}: {error}") from None
    return {function.strip(): definition.strip() for function, definition in found.items()}


def decompose(model: Model, question: SourceQuestion) -> Checked[Step]:
    """Return the steps of `question` as `model` sees them (errors: `replies.Model.ask`)."""
    entry = entry_of(model.functions, subquestion=Text, function=..., answer=Text)

    def check(rows: list[Any]) -> tuple[Step, ...]:
        if not 1 <= len(rows) <= MOST_STEPS:
            raise QuestionError(f'"steps" has {len(rows)} entries; give 1 to {MOST_STEPS}.')
        steps = tuple(Step(**read.model_dump()) for read in read_entries(rows, entry))
        asked = [" ".join(step.subquestion.casefold().split()) for step in steps]
        for i, text in enumerate(asked):
            if text in asked[:i]:
                raise QuestionError(f"Entry {i + 1} of steps asks the same as entry {asked.index(text) + 1}.")
        return steps

    system = _DECOMPOSE.format(functions=_listed(model.functions), most=MOST_STEPS)
    user = _QUESTION_AND_ANSWER if question.answer else _QUESTION
    user = user.format(question=question.question, answer=question.answer)
    return model.ask(system, user, schema_of(entry, "decomposition"), check, about=f"decompose {question.id}")


def verify(model: Model, question: SourceQuestion, steps: tuple[Step, ...]) -> Checked[dict[str, Any]]:
    """Return what `model` says of each of `steps`, as it is written (errors: `replies.Model.ask`)."""
    backwards = dict(reversed(list(model.functions.items())))
    entry = entry_of(backwards, number=int, answer=Text, function=...)

    def check(rows: list[Any]) -> tuple[dict[str, Any], ...]:
        if len(rows) != len(steps):
            raise QuestionError(f'"steps" has {len(rows)} entries; there are {len(steps)} subquestions.')
        for number, row in enumerate(rows, start=1):
            if isinstance(row, dict) and row.setdefault("number", number) not in (number, str(number)):
                raise QuestionError(f"Entry {number} of steps has number {row['number']}; keep the order.")
        return tuple(map(_compared, read_entries(rows, entry), steps))

    system = _VERIFY.format(functions=_listed(backwards))
    subquestions = "\n".join(f"{i}. {step.subquestion}" for i, step in enumerate(steps, start=1))
    user = _SUBQUESTIONS.format(question=question.question, subquestions=subquestions)
    return model.ask(system, user, schema_of(entry, "judgement"), check, about=f"verify {question.id}")


def _compared(said: Any, step: Step) -> dict[str, Any]:
    return {
        "function": said.function,
        "answer": said.answer,
        "function_agrees": said.function == step.function,
        "answer_agrees": answers_agree(said.answer, step.answer),
    }


def _listed(functions: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {definition}" for name, definition in functions.items())
