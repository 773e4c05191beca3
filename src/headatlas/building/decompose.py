"""A main question taken apart into steps: what the model is told, and what of its reply is accepted.

1. The model sees the functions with their definitions, the rules, the question and, where there is one, its
   reference answer.
2. Its reply is a list of steps (subquestion, function, answer). Accepted are 1 to 12 of them, no subquestion twice,
   every function one of those defined, every step valid in the schema of `questions`.

Definitions and rules are this project's own words; the paper's prompts are not used. `version` tells one wording
from another. This module does not know endpoints, or whether a decomposition is any good: `verify` asks that.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from headatlas.building.endpoint import Endpoint, Request
from headatlas.building.replies import Checked, Text, converse, entry_of, read_entries, schema_of
from headatlas.building.source import SourceQuestion
from headatlas.errors import InputError, QuestionError
from headatlas.questions.functions import check_function
from headatlas.questions.reading import parse_question
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

_SYSTEM = """You prepare questions for a study of what language models do while they think.
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

_USER = "Question:\n{question}"
_USER_WITH_ANSWER = "Question:\n{question}\n\nReference answer, which the last step must come to:\n{answer}"


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


_FUNCTIONS_FILE = 'Give {"function_id": "what it is, in one line", ...}.'


def decompose(
    endpoint: Endpoint, question: SourceQuestion, *, model: str, functions: Mapping[str, str], repairs: int
) -> Checked[tuple[Step, ...]]:
    """Return the steps of `question` as `model` sees them (errors: `replies.converse`)."""
    entry = entry_of(tuple(functions), subquestion=Text, function=..., answer=Text)

    def check(rows: list[object]) -> tuple[Step, ...]:
        if not 1 <= len(rows) <= MOST_STEPS:
            raise QuestionError(f'"steps" has {len(rows)} entries; give 1 to {MOST_STEPS}.')
        steps = [read.model_dump() for read in read_entries(rows, entry)]
        asked = [" ".join(step["subquestion"].casefold().split()) for step in steps]
        twice = next((i for i, text in enumerate(asked) if text in asked[:i]), None)
        if twice is not None:
            raise QuestionError(f"Entry {twice + 1} of steps asks the same as entry {asked.index(asked[twice]) + 1}.")
        return parse_question({"id": "reply", "question": "reply", "steps": steps}, "Your reply").steps

    user = (_USER_WITH_ANSWER if question.answer else _USER).format(question=question.question, answer=question.answer)
    system = _SYSTEM.format(functions=listed(functions), most=MOST_STEPS)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    request = Request(model, messages, schema_of(entry, "decomposition"), f"decompose {question.id}")
    return converse(endpoint, request, check, repairs=repairs)


def listed(functions: Mapping[str, str]) -> str:
    """Return the functions as a list, one a line."""
    return "\n".join(f"- {name}: {definition}" for name, definition in functions.items())


def version(texts: tuple[str, ...]) -> str:
    """Return a short digest of prompt texts, to tell one wording from another."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


VERSION = version((_SYSTEM, _USER, _USER_WITH_ANSWER))
