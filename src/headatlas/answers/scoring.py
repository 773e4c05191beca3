"""How good a generated answer is: exact match, the number, token F1. One registration each.

1. *exact*: the same words, case, punctuation and articles aside (as SQuAD compares them: Rajpurkar et al. 2016,
   arXiv 1606.05250).
2. *number*: the last number of the answer is that of the reference (as GSM8K is scored: Cobbe et al. 2021,
   arXiv 2110.14168); NaN where the reference holds none.
3. *f1*: harmonic mean of the shares of words in common, articles aside.

Where several references are right, the best counts. It does not know who answered.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from headatlas._registry import Registry

Score = Callable[[str, str], float]
scores: Registry[Score] = Registry("score of answers")
"""Name -> function of an answer and a reference, 0 to 1 or NaN where it does not apply."""

_NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?|[-−]?\.\d+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, lower case, without articles."""
    return [word for word in re.findall(r"\w+", text.casefold()) if word not in ("a", "an", "the")]


def number_of(text: str) -> float | None:
    """Return the last number of a text, None without one."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("−", "-")) if found else None


def _exact(answer: str, reference: str) -> float:
    return float(words_of(answer) == words_of(reference))


def _number(answer: str, reference: str) -> float:
    wanted, got = number_of(reference), number_of(answer)
    return float("nan") if wanted is None else float(got is not None and np.isclose(got, wanted, rtol=1e-9))


def _f1(answer: str, reference: str) -> float:
    given, wanted = words_of(answer), words_of(reference)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


scores.register("exact", _exact)
scores.register("number", _number)
scores.register("f1", _f1)


def score(name: str, answer: str, references: Sequence[str]) -> float:
    """Return the best score of an answer over its references; NaN where none has one."""
    found = [scores.get(name)(answer, reference) for reference in references]
    return float(np.nanmax(found)) if not np.isnan(found).all() else float("nan")
