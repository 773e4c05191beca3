"""How far two judgements of the same steps agree.

1. Labels: the share that is the same, and Cohen's kappa (J. Cohen, 1960, "A coefficient of agreement for nominal
   scales"), which takes off what two judges with these habits share by chance.
2. Answers: the same text, case, punctuation and articles aside; where there are numbers, the same numbers in the same
   order, and the same words around them unless one answer is the bare number; where one answer starts with yes or no,
   the other starts with the same.

A paraphrase counts as disagreement: the share of answers that agree is a lower bound. This module does not know who
judged.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

_TOKEN = re.compile(
    r"(?P<number>(?<![\w.])(?=[-−]?[./]?[0-9])[-−]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?:\.[0-9]+)?(?:/[0-9]+)?)|\w+"
)
_WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_VALUE = {word: Fraction(i) for i, word in enumerate(_WORDS)}
_ARTICLES = {"a", "an", "the"}
_VERDICTS = {"yes", "no", "true", "false"}


def answers_agree(one: str, other: str) -> bool:
    """Say whether two answers are the same (see the module's point 2)."""
    numbers, words = _parts(one)
    other_numbers, other_words = _parts(other)
    if numbers != other_numbers:
        return False
    if words == other_words:
        return True
    if numbers:
        return not words or not other_words
    first, other_first = words[:1], other_words[:1]
    return first == other_first and bool(_VERDICTS & set(first)) and 1 in (len(words), len(other_words))


def _parts(text: str) -> tuple[list[Fraction], list[str]]:
    """Return the numbers of a text in order, and its other words."""
    numbers: list[Fraction] = []
    words: list[str] = []
    for token in _TOKEN.finditer(unicodedata.normalize("NFKC", text).casefold()):
        value = _value(token["number"]) if token["number"] else _VALUE.get(token[0])
        if value is not None:
            numbers.append(value)
        else:
            words += [word for word in re.findall(r"\w+", token[0]) if word not in _ARTICLES]
    return numbers, words


def _value(text: str) -> Fraction | None:
    try:
        return Fraction(text.replace(",", "").replace("−", "-"))
    except (ValueError, ZeroDivisionError):  # over zero, or more digits than Python reads
        return None


def agreement(pairs: Sequence[tuple[str, str]], answers: Sequence[bool]) -> dict[str, Any]:
    """Reduce pairs of labels (first judgement, second) and whether the answers agree to what a report says.

    Returns
    -------
    dict
        "steps"; "functions" and "answers" (shares that agree); "kappa" (None where both judges use one and the same
        label only); "by_function" (first label -> steps, and how many were confirmed); "confusions" (first label,
        second label, count; the most frequent first). Shares are None where there is no step.
    """
    n = len(pairs)
    kappa = None  # of one label only chance agreement is 1, and kappa 0 / 0
    if len({label for pair in pairs for label in pair}) > 1:
        from sklearn.metrics import cohen_kappa_score

        kappa = round(float(cohen_kappa_score(*zip(*pairs, strict=True))), 4)
    same = Counter(first for first, second in pairs if first == second)
    confused = Counter(pair for pair in pairs if pair[0] != pair[1])
    return {
        "steps": n,
        "functions": round(same.total() / n, 4) if n else None,
        "kappa": kappa,
        "answers": round(sum(answers) / n, 4) if n else None,
        "by_function": {
            function: {"steps": count, "confirmed": same[function]}
            for function, count in sorted(Counter(first for first, _ in pairs).items())
        },
        "confusions": [[*pair, count] for pair, count in sorted(confused.items(), key=lambda row: (-row[1], row[0]))],
    }
