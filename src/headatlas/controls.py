"""Controls that need no model: folds that keep main questions whole, and a classifier that sees only text.

1. `grouped_folds` deals main questions (groups) into folds, so that every fold has about the same share of
   every function. Every held-out number in headatlas comes from these folds.
2. `text_baseline` predicts the function of an item from a text of it (TF-IDF of words and word pairs, then
   logistic regression) on such folds. What a probe on z reaches beyond that is what z adds to the wording.

This module does not know models, activations or heads; which text is given is the caller's choice.
"""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from headatlas.errors import InputError

FEWEST_FOLDS = 3
"""With two folds a probe is trained on half of the questions: too few to speak of the whole set."""


def check_functions(function: np.ndarray, group: np.ndarray) -> dict[str, int]:
    """Return how many main questions each function occurs in.

    Raises
    ------
    InputError
        There are fewer than two functions, or one occurs in fewer than `FEWEST_FOLDS` main questions.
    """
    pairs = set(zip(function.tolist(), group.tolist(), strict=True))
    counts = Counter(f for f, _ in sorted(pairs))
    if len(counts) < 2:
        raise InputError(
            f"All {len(function)} items are of one function ({', '.join(counts) or 'none'}), and a probe "
            "tells functions apart. Give questions whose steps call for two functions or more."
        )
    fewest = min(counts, key=lambda f: counts[f])
    if counts[fewest] < FEWEST_FOLDS:
        raise InputError(
            f"Function '{fewest}' occurs in {counts[fewest]} main question(s); held-out folds need at least "
            f"{FEWEST_FOLDS}, since a question is never split. Give more questions (a higher --limit, or "
            "none), or leave the function out."
        )
    return dict(counts)


def grouped_folds(function: np.ndarray, group: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """Return a fold number for every item: groups stay whole, functions are spread evenly.

    Fewer folds than asked are made when a function occurs in fewer main questions than `folds` (never fewer
    than three): the number made is ``result.max() + 1``.

    Parameters
    ----------
    function, group
        Function id and main-question id of every item, (item,).
    folds
        How many folds to make.
    seed
        The draw.

    Returns
    -------
    numpy.ndarray
        (item,), int: the fold in which the item is held out.

    Raises
    ------
    InputError
        `folds` is below three, or a function has too few main questions (see `check_functions`).
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < FEWEST_FOLDS:
        raise InputError(f"{folds} folds leave too little to train on. Give --folds {FEWEST_FOLDS} or more.")
    folds = min(folds, *check_functions(function, group).values())
    fold = np.zeros(len(function), dtype=np.int64)
    # The order in which items come must not decide who shares a fold: sort, deal, put back.
    order = np.lexsort((function, group))
    for attempt in range(20):  # the greedy deal can put all of a rare function in one fold: deal again
        deal = StratifiedGroupKFold(folds, shuffle=True, random_state=(seed + 7919 * attempt) % 2**32)
        parts = deal.split(np.zeros(len(order)), function[order], group[order])
        for number, (_, held_out) in enumerate(parts):
            fold[order[held_out]] = number
        if all(len(set(fold[function == f])) > 1 for f in set(function.tolist())):
            return fold
    raise InputError(f"No way found to spread every function over {folds} folds. Give more questions or fewer --folds.")


def text_baseline(
    texts: Sequence[str], function: np.ndarray, group: np.ndarray, *, folds: int = 5, seed: int
) -> np.ndarray:
    """Return whether a classifier that sees only `texts` gets each held-out item's function right.

    Word and word-pair TF-IDF (sublinear counts, seen at least twice), multinomial logistic regression.

    Parameters
    ----------
    texts
        One text an item: its subquestion, its answer or its passage.
    function, group
        Function id and main-question id of every item, (item,).
    folds, seed
        As in `grouped_folds`.

    Returns
    -------
    numpy.ndarray
        (item,), float64: 1 where the held-out prediction is right, else 0.

    Raises
    ------
    InputError
        No text holds a word, or the folds can't be made.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    if not len(texts) == len(function) == len(group):
        raise InputError(f"{len(texts)} texts, {len(function)} functions and {len(group)} groups: one an item is due.")
    fold = grouped_folds(function, group, folds=folds, seed=seed)
    words = np.array([text or "" for text in texts], dtype=object)
    correct = np.zeros(len(words))
    for held_out in (fold == number for number in range(fold.max() + 1)):
        train = ~held_out
        # Words seen once can't carry over to another question, unless the set is tiny.
        vectorise = TfidfVectorizer(
            ngram_range=(1, 2),
            sublinear_tf=True,
            min_df=2 if train.sum() > 200 else 1,
            token_pattern=r"(?u)\b\w+\b",
        )
        try:
            features = vectorise.fit_transform(words[train])
        except ValueError as error:
            raise InputError(f"The text baseline has no word to read ({error}). Give items with text.") from error
        model = LogisticRegression(C=10.0, max_iter=300)
        with warnings.catch_warnings():  # a baseline that is still creeping after 300 steps is good enough
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features, function[train])
        correct[held_out] = model.predict(vectorise.transform(words[held_out])) == function[held_out]
    return correct
