"""The functions that steps call for: the eight published ones, their names and their order; any other labels work.

This module knows labels only.
"""

import re
from collections.abc import Iterable

from headatlas._registry import suggest
from headatlas.errors import QuestionError

FUNCTIONS: dict[str, str] = {
    "knowledge_recall": "Knowledge Recall",
    "retrieval": "Retrieval",
    "logical_reasoning": "Logical Reasoning",
    "decision_making": "Decision-making",
    "semantic_understanding": "Semantic Understanding",
    "syntactic_understanding": "Syntactic Understanding",
    "inference": "Inference",
    "math_calculation": "Math Calculation",
}
"""Function id -> display name, in the order of the figure (row by row in a 2x4 grid)."""


def function_title(function: str) -> str:
    """Return the display name of a function id; other labels are shown as they are, underscores as spaces."""
    own = function.replace("_", " ").strip()
    return FUNCTIONS.get(function, own[:1].upper() + own[1:])


def order_functions(found: Iterable[str]) -> tuple[str, ...]:
    """Return the labels in `found`, the eight in the figure's order first, others after in sorted order."""
    labels = set(found)
    return tuple(f for f in FUNCTIONS if f in labels) + tuple(sorted(labels - set(FUNCTIONS)))


def slug(text: str) -> str:
    """Return `text` as a function id: "Decision-making" -> "decision_making"."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def check_function(label: str) -> None:
    """Refuse a label that looks like a misspelling of one of the eight; any other label is the user's own.

    Raises
    ------
    QuestionError
        Naming the label and the one it is probably meant to be.
    """
    if label in FUNCTIONS:
        return
    from difflib import get_close_matches

    if slug(label) in FUNCTIONS or get_close_matches(slug(label), list(FUNCTIONS), n=1, cutoff=0.8):
        raise QuestionError(f"unknown function '{label}'.{suggest(slug(label), list(FUNCTIONS))}")
