import numpy as np
import pytest

from headatlas.controls import grouped_folds, text_baseline
from headatlas.errors import InputError


def questions(n: int, steps: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    function = np.array(["a", "b", "c"], dtype="<U8")[rng.integers(3, size=n * steps)]
    return function, np.array([f"q{i // steps}" for i in range(n * steps)])


def test_folds_keep_questions_whole_and_spread_functions():
    function, group = questions(60)
    fold = grouped_folds(function, group, folds=5, seed=1)
    assert sorted(set(fold)) == [0, 1, 2, 3, 4]
    for name in set(group):
        assert len(set(fold[group == name])) == 1
    for name in "abc":
        share = np.bincount(fold[function == name], minlength=5) / (function == name).sum()
        assert share.min() > 0.1 and share.max() < 0.3


def test_folds_follow_the_seed_and_not_the_order_of_items():
    function, group = questions(40)
    fold = grouped_folds(function, group, folds=5, seed=3)
    np.testing.assert_array_equal(fold, grouped_folds(function, group, folds=5, seed=3))
    assert (fold != grouped_folds(function, group, folds=5, seed=4)).any()
    order = np.random.default_rng(0).permutation(len(fold))
    moved = grouped_folds(function[order], group[order], folds=5, seed=3)
    np.testing.assert_array_equal(moved, fold[order])


def test_fewer_folds_where_a_function_has_fewer_questions():
    function, group = questions(30)
    function[:] = np.where(np.arange(90) % 3 == 0, "a", "b")
    function[[0, 10, 20, 30]] = "rare"  # four questions
    assert grouped_folds(function, group, folds=5, seed=0).max() + 1 == 4


@pytest.mark.parametrize(("rare", "message"), [(1, r"'rare' occurs in 1 main"), (2, r"'rare' occurs in 2 main")])
def test_a_function_with_too_few_questions_is_refused(rare: int, message: str):
    function, group = questions(30)
    function[: 3 * rare : 3] = "rare"
    with pytest.raises(InputError, match=message):
        grouped_folds(function, group, folds=5, seed=0)


def test_one_function_and_too_few_folds_are_refused():
    function, group = questions(30)
    with pytest.raises(InputError, match="one function"):
        grouped_folds(np.full(90, "a"), group, folds=5, seed=0)
    with pytest.raises(InputError, match="--folds 3"):
        grouped_folds(function, group, folds=2, seed=0)


def test_text_baseline_reads_the_words_that_tell_and_no_more():
    function, group = questions(60)
    told = [
        f"please {'add' if f == 'a' else 'find' if f == 'b' else 'judge'} the thing {i}" for i, f in enumerate(function)
    ]
    assert text_baseline(told, function, group, seed=0).mean() > 0.95
    rng = np.random.default_rng(0)
    noise = [" ".join(rng.choice(["red", "green", "blue", "one", "two"], 6)) for _ in function]
    assert text_baseline(noise, function, group, seed=0).mean() < 0.5


def test_text_baseline_gives_zero_or_one_an_item_and_works_on_six_questions():
    function = np.tile(["a", "b", "c", "d"], 6)
    group = np.repeat([f"q{i}" for i in range(6)], 4)
    correct = text_baseline([f"word{f} {g}" for f, g in zip(function, group, strict=True)], function, group, seed=0)
    assert correct.shape == (24,) and set(correct) <= {0.0, 1.0}
    assert correct.mean() == 1.0


def test_text_baseline_refuses_what_it_cannot_read():
    function, group = questions(30)
    with pytest.raises(InputError, match="no word to read"):
        text_baseline(["..."] * 90, function, group, seed=0)
    with pytest.raises(InputError, match="one an item"):
        text_baseline(["a"] * 89, function, group, seed=0)
