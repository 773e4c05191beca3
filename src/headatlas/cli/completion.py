"""Names that the shell completes. They are read from the source's registrations, so that a TAB imports nothing heavy.

Only what is offered comes from here; what is valid, the registries say.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
REGISTRATIONS = {
    "method": ("methods/*.py", r'^methods\.register\(\s*"(\w+)"|^    name: ClassVar\[str\] = "(\w+)"'),
    "figure": ("figures/*.py", r'^figures\.register\(\s*"(\w+)"'),
    "template": ("prompts.py", r'^templates\.register\(\s*"(\w+)"'),
}
"""Kind -> where its things are registered, and what that looks like."""


def names(kind: str) -> list[str]:
    """Return the names of all registered things of a kind, in sorted order."""
    files, pattern = REGISTRATIONS[kind]
    texts = (file.read_text(encoding="utf-8") for file in ROOT.glob(files))
    return sorted({found[found.lastindex or 0] for text in texts for found in re.finditer(pattern, text, re.MULTILINE)})


def _starting(kind: str, incomplete: str) -> list[str]:
    """Return what `incomplete` may become; methods may stand before it, with commas."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in names(kind) if name.startswith(last)]


def methods(incomplete: str) -> list[str]:
    """Complete a list of methods."""
    return _starting("method", incomplete)


def figures(incomplete: str) -> list[str]:
    """Complete a figure."""
    return _starting("figure", incomplete)


def templates(incomplete: str) -> list[str]:
    """Complete a template."""
    return _starting("template", incomplete)
