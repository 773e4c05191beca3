"""The built-in question set: scenarios each asked about by all eight functions (see BUILTIN.md)."""

from pathlib import Path

from headatlas.questions.reading import sources

FILE = Path(__file__).with_name("builtin.jsonl")

sources.register("builtin", FILE)
