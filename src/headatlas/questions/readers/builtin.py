"""The sets that come with the package: ``builtin``, a battery of tasks (BATTERY.md says how it is made), and
``controlled``, in which nothing but the function differs (CONTROLLED.md).
"""

from pathlib import Path

from headatlas.questions.reading import sources

HERE = Path(__file__).parent

sources.register("builtin", HERE / "battery.jsonl")
sources.register("controlled", HERE / "controlled.jsonl")
