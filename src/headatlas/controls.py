"""Controls that need no model: folds that keep main questions whole, and classifiers that see only the surface.

1. `grouped_folds` deals main questions (groups) into folds, so that every fold has about the same share of
   every function. Every held-out number in headatlas comes from these folds.
2. `control_predictions` predicts the function of every item on such folds from one thing on its surface at a
   time (`controls`): a text (TF-IDF of words and word pairs), the step's position, the answer's length; each by
   logistic regression. What a probe on z reaches beyond these is what z adds to them.
3. They run with every map, so they are quick: each distinct text is counted once and fitted once, with how
   often it goes with each function (all steps of a question share a passage), and rows that are few against
   their terms are fitted in their own span. Neither changes the fit.

This module does not know models, activations or heads.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from headatlas._registry import Registry
from headatlas.errors import InputError

FEWEST_FOLDS = 3
"""With two folds a probe is trained on half of the questions: too few to speak of the whole set."""
WORD = r"(?u)\b\w+\b"
FEW = 10
"""Rows are few if there are this many times as many terms."""


@runtime_checkable  # tests check types as they run
class Surface(Protocol):
    """What a control may see of an item: a `prompts.Prompt`, or a step that no tokenizer has seen."""

    @property
    def subquestion(self) -> str:
        """What is asked."""

    @property
    def passage(self) -> str:
        """The passage or main question that it is asked about."""

    @property
    def answer(self) -> str:
        """The reference answer."""

    @property
    def step(self) -> int:
        """Its place among its question's steps."""


@dataclass(frozen=True)
class Control:
    """A classifier that sees one thing of an item.

    Attributes
    ----------
    about
        What it sees, in words.
    sees
        Takes an item, returns a text (its words are what is seen), or numbers (tuples of one length).
    text
        Whether that is a text.
    standardise
        Whether numbers are brought to mean 0 and variance 1.
    one_hot
        Whether a number only says which of several an item is.
    """

    about: str
    sees: Callable[[Surface], Any]
    text: bool = False
    standardise: bool = False
    one_hot: bool = False


controls: Registry[Control] = Registry("control")
"""The controls that run with every map, in order."""
controls.register("subquestion", Control("the subquestion's words", lambda item: item.subquestion, text=True))
controls.register("passage", Control("the passage's words", lambda item: item.passage, text=True))
controls.register("answer", Control("the answer's words", lambda item: item.answer, text=True))
controls.register("position", Control("the step's place among the steps", lambda item: item.step, one_hot=True))
controls.register(
    "length",
    Control("the answer's length", lambda item: (len(item.answer.split()), len(item.answer)), standardise=True),
)


def about_control(name: str) -> str:
    """Return what a control sees, in words; the name itself of one that is not registered."""
    return controls.get(name).about if name in controls else name


def is_text(name: str) -> bool:
    """Say whether a control sees a text."""
    return name in controls and controls.get(name).text


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


def check_folds(folds: int) -> None:
    """Raise `InputError` for fewer folds than `grouped_folds` makes."""
    if folds < FEWEST_FOLDS:
        raise InputError(f"{folds} folds leave too little to train on. Give folds={FEWEST_FOLDS} or more.")


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

    check_folds(folds)
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
    raise InputError(f"No way found to spread every function over {folds} folds. Give more questions or fewer folds.")


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
    if not len(texts) == len(function) == len(group):
        raise InputError(f"{len(texts)} texts, {len(function)} functions and {len(group)} groups: one an item is due.")
    correct = _held_out(_Words(texts), function, grouped_folds(function, group, folds=folds, seed=seed))
    if np.isnan(correct).any():
        raise InputError("The text baseline has no word to read. Give items with text.")
    return correct


def control_predictions(
    items: Sequence[Surface], function: np.ndarray, group: np.ndarray, *, folds: int = 5, seed: int
) -> dict[str, np.ndarray]:
    """Return, for each of `controls`, whether it gets each held-out item's function right.

    All controls are trained and asked on the same folds, those that `grouped_folds` deals for `seed`.

    Parameters
    ----------
    items
        Prompts, or anything else with a subquestion, a passage, an answer and a step.
    function, group
        Function id and main-question id of every item, (item,).
    folds, seed
        As in `grouped_folds`.

    Returns
    -------
    dict
        Control -> (item,), float64: 1 where the held-out prediction is right, else 0. A text control is all NaN
        where no item's text of that kind holds a word.

    Raises
    ------
    InputError
        The folds can't be made.
    """
    if not len(items) == len(function) == len(group):
        raise InputError(f"{len(items)} items, {len(function)} functions and {len(group)} groups: one each is due.")
    fold = grouped_folds(function, group, folds=folds, seed=seed)
    return {name: _held_out(_seen(controls.get(name), items), function, fold) for name in controls}


def _seen(control: Control, items: Sequence[Surface]) -> "_Words | _Numbers":
    """Return what a control sees of all items."""
    values = [control.sees(item) for item in items]
    if control.text:
        return _Words(values)
    if control.one_hot:
        places, place = np.unique(values, return_inverse=True)
        return _Numbers(np.eye(len(places))[place], scale=False)
    numbers = np.array(values, dtype=np.float64).reshape(len(values), -1)
    return _Numbers(numbers, scale=control.standardise)


class _Words:
    """Texts as TF-IDF of words and word pairs. Counted once; weighed anew for each training part.

    The distinct texts are the rows, since steps share their passage; `place` says which row each item has.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        rows = sorted(set(texts))  # sorted: the order of items must leave no trace
        at = {row: i for i, row in enumerate(rows)}
        self.place = np.array([at[text] for text in texts])
        self.empty = not any(re.search(WORD, row) for row in rows)
        if not self.empty:
            counts = CountVectorizer(ngram_range=(1, 2), token_pattern=WORD).fit_transform(rows).astype(np.float64)
            self._there = (counts > 0).astype(np.float64)
            self._sublinear = counts
            self._sublinear.data = 1 + np.log(counts.data)

    def features(self, weight: Float[np.ndarray, " row"]) -> Any:
        """Return what the rows look like to who has seen each `weight` times, sparse (row, term)."""
        n = weight.sum()
        document_frequency = weight @ self._there
        # Words seen once can't carry over to another question, unless the set is tiny.
        known = np.flatnonzero(document_frequency >= (2 if n > 200 else 1))
        idf = np.log((1 + n) / (1 + document_frequency[known])) + 1
        values = self._sublinear[:, known].multiply(idf).tocsr()
        length = np.sqrt(np.asarray(values.multiply(values).sum(axis=1)).ravel())
        return values.multiply(1 / np.where(length > 0, length, 1)[:, None]).tocsr()


class _Numbers:
    """Numbers as they are, or brought to mean 0 and variance 1 over the training part; rows as in `_Words`."""

    empty = False

    def __init__(self, values: Float[np.ndarray, "item feature"], *, scale: bool) -> None:
        self._rows, self.place = np.unique(values, axis=0, return_inverse=True)
        self._scale = scale

    def features(self, weight: Float[np.ndarray, " row"]) -> Any:
        """Return what the rows look like to who has seen each `weight` times, sparse (row, feature)."""
        from scipy.sparse import csr_array

        if not self._scale:
            return csr_array(self._rows)
        mean = np.average(self._rows, axis=0, weights=weight)
        spread = np.sqrt(np.average((self._rows - mean) ** 2, axis=0, weights=weight))
        return csr_array((self._rows - mean) / np.where(spread > 0, spread, 1))


def _held_out(seen: _Words | _Numbers, function: np.ndarray, fold: np.ndarray) -> Float[np.ndarray, " item"]:
    """Return whether each item's function is predicted right by a model trained on the other folds."""
    correct = np.full(len(function), np.nan)
    if seen.empty:
        return correct
    labels, label = np.unique(function, return_inverse=True)
    for held_out in (fold == number for number in range(fold.max() + 1)):
        counts = np.zeros((seen.place.max() + 1, len(labels)))
        np.add.at(counts, (seen.place[~held_out], label[~held_out]), 1)
        score = _softmax_regression(seen.features(counts.sum(axis=1)), counts)
        correct[held_out] = score.argmax(axis=1)[seen.place[held_out]] == label[held_out]
    return correct


def _softmax_regression(
    features: Any, counts: Float[np.ndarray, "row function"], *, penalty: float = 0.1, steps: int = 300
) -> Float[np.ndarray, "row function"]:
    """Fit multinomial logistic regression to rows seen `counts` times with each function; return all rows' scores.

    Minimises cross-entropy + penalty / 2 x squared weights (no penalty on intercepts), as scikit-learn's
    ``LogisticRegression(C=1 / penalty)`` on one row an item would; a few distinct rows take the place of many
    items, and `_coordinates` the place of many terms.
    """
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    features = _coordinates(features, counts.sum(axis=1) > 0)
    train = np.flatnonzero(counts.sum(axis=1))
    x, target = features[train], counts[train]
    times, total = target.sum(axis=1, keepdims=True), target.sum()

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(x.shape[1] + 1, -1)
        log_p = log_softmax(x @ weights[:-1] + weights[-1], axis=1)
        error = np.exp(log_p) * times - target
        slope = np.vstack([x.T @ error + penalty * weights[:-1], error.sum(axis=0)])
        value = penalty / 2 * (weights[:-1] ** 2).sum() - (target * log_p).sum()
        return value / total, slope.ravel() / total

    start = np.zeros((x.shape[1] + 1) * target.shape[1])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps, "gtol": 1e-4, "ftol": 1e-14})
    weights = found.x.reshape(x.shape[1] + 1, -1)
    return np.asarray(features @ weights[:-1] + weights[-1])


def _coordinates(features: Any, train: np.ndarray) -> Any:
    """Return `features`, or, where terms are many and rows few, the rows' coordinates in the training rows' span.

    The weights that minimise a penalised loss lie in that span, and an orthonormal basis of it (from the Cholesky
    factor of the training rows' products) leaves products and penalty as they are: the same fit, with as many
    weights as training rows. Passages of 300 words: 20 times faster.
    """
    from scipy.linalg import cholesky, solve_triangular

    if FEW * train.sum() > features.shape[1]:
        return features
    rows = features[train]
    product = (rows @ rows.T).toarray()
    factor = cholesky(product + 1e-9 * np.eye(len(product)), lower=True)  # the rows may depend on each other
    return solve_triangular(factor, (rows @ features.T).toarray(), lower=True).T
