"""How numbers, names and text from data are written in findings. Knows nothing of what they mean."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that would turn round the text after a label."""


def percent(share: float | int) -> str:
    """Return a share as a percentage; never "0%" or "100%" for what is not all or nothing."""
    value = 100 * share
    if 0 < abs(value) < 1 or 99 < value < 100:
        text = f"{value:.1f}"
        return ("<0.1" if text == "0.0" else ">99.9" if text == "100.0" else text) + "%"
    return f"{value:.0f}%"


def points(share: float) -> str:
    """Return a difference of shares in percentage points, signed."""
    return f"{100 * share:+.1f} points"


def interval(low: float | None, high: float | None, write: Callable[[float], str]) -> str:
    """Return `` (95% interval a to b)``, or nothing if there is none."""
    return "" if low is None or high is None else f" (95% interval {write(low)} to {write(high)})"


def names(labels: Sequence[str]) -> str:
    """Return a list in words: "A", "A and B", "A, B and C"."""
    return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " and " + labels[-1] if labels else ""


def span(values: Iterable[float | int], unit: str = "") -> str:
    """Return ``3`` or ``3 to 5``, rounded to whole numbers."""
    texts = [f"{v:.0f}{unit}" for v in sorted(values)]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def run(word: str, part: Mapping[str, Any]) -> str:
    """Return ``layers 0-12`` or ``layer 3`` for a part with `first` and `last`."""
    first, last = part["first"], part["last"]
    return f"{word} {first}" if first == last else f"{word}s {first}-{last}"


def verb(stem: str, part: Mapping[str, Any]) -> str:
    """Return the verb that agrees with `run`: hold or holds."""
    return stem + "s" if part["first"] == part["last"] else stem


def round_number(value: float) -> str:
    """Return a round number as short as it can be written: 0.002, 1e-07."""
    return f"{value:g}"


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it: NumPy numbers as Python's, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def escape(text: str) -> str:
    """Return `text` as one line of Markdown that shows it literally: no markup, HTML, table cell or link."""
    line = "".join(
        " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") or c in BIDI else c
        for c in text.encode("utf-8", "replace").decode("utf-8")
    )
    line = " ".join(line.split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = re.sub(r"([\\`*_\[\]{}|~#$])", r"\\\1", line)
    line = re.sub(r"^([-+=])", r"\\\1", line)  # at the start of an item it would open a list or a heading
    line = re.sub(r"^(\d+)([.)])", r"\1\\\2", line)
    line = line.replace("://", "&#58;//").replace("@", "&#64;")
    return re.sub(r"(?i)\bwww\.", "www&#46;", line)
