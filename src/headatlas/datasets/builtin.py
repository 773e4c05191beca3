"""The built-in question set: scenarios each asked about by all eight functions (see BUILTIN.md)."""

from pathlib import Path

from headatlas.datasets.jsonl import read_jsonl
from headatlas.questions import QuestionSet, sources

FILE = Path(__file__).with_name("builtin.jsonl")


def load_builtin() -> QuestionSet:
    """Return the built-in set."""
    loaded = read_jsonl(FILE)
    return QuestionSet(loaded.questions, "builtin", loaded.left_out)


sources.register("builtin", load_builtin)
