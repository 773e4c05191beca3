"""Where questions come from: one source a file. Importing this package registers them all."""

from headatlas.questions.readers import builtin, cogqa, csv, hub, jsonl

__all__ = ["builtin", "cogqa", "csv", "hub", "jsonl"]
