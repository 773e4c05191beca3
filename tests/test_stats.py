import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest, spearmanr

from headatlas import stats
from headatlas.errors import InputError

F = ("a", "b")


def simulate(
    rng: np.random.Generator,
    truth: np.ndarray,
    *,
    groups: int = 60,
    steps: int = 3,
    refits: int = 1,
    group_sd: float = 0.5,
    refit_sd: float = 0.0,
    noise_sd: float = 1.0,
) -> xr.Dataset:
    """Crossed samples: truth (function, layer, head) + question effect + refit effect + noise."""
    functions, layers, heads = truth.shape
    kind = np.tile(np.arange(functions), groups * steps // functions + 1)[: groups * steps]
    group = np.repeat(np.arange(groups), steps)
    by_group = rng.normal(0, group_sd, (groups, layers, heads))
    by_refit = rng.normal(0, refit_sd, (refits, functions, layers, heads))
    values = np.concatenate(
        [
            truth[kind] + by_group[group] + by_refit[r][kind] + rng.normal(0, noise_sd, (len(kind), layers, heads))
            for r in range(refits)
        ]
    )
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), values.astype(np.float32))},
        coords={
            "function": ("sample", np.tile(np.array(F)[kind], refits)),
            "group": ("sample", np.tile([f"q{g}" for g in group], refits)),
            "refit": ("sample", np.repeat(np.arange(refits), len(kind))),
        },
    )


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_importance_is_the_mean_and_rank_follows_the_sign(rng: np.random.Generator):
    truth = np.zeros((2, 2, 3))
    truth[0] = [[5, -9, 0], [1, 0, 0]]
    samples = simulate(rng, truth, refits=2, noise_sd=0.1, group_sd=0.1)
    for sign, first in (("absolute", 1), ("positive", 0), ("signed", 0)):
        result = stats.reduce(samples, F, sign=sign, n_boot=50)
        own = samples["importance"].values[samples["function"].values == "a"]
        np.testing.assert_allclose(result["importance"].sel(function="a").values, own.mean(0), rtol=1e-5)
        assert sorted(result["rank"].sel(function="a").values.ravel()) == [1, 2, 3, 4, 5, 6]
        assert int(result["rank"].sel(function="a").values.argmin()) == first


@pytest.mark.parametrize("refits", [1, 4])
def test_intervals_cover_what_they_promise(rng: np.random.Generator, refits: int):
    # 95% nominal. With four refits whose spread is as large as the questions', percentiles of a handful of
    # units are known to fall short; the tolerance says by how much.
    truth = rng.normal(size=(2, 4, 10))
    hits = []
    for _ in range(40):
        samples = simulate(rng, truth, groups=50, refits=refits, refit_sd=0.1 if refits > 1 else 0)
        result = stats.reduce(samples, F, sign="signed", n_boot=300)
        hits.append((result["ci_low"].values <= truth) & (truth <= result["ci_high"].values))
    assert 0.91 <= np.mean(hits) <= 0.98


def test_nothing_is_called_where_there_is_nothing(rng: np.random.Generator):
    called, p_values = [], []
    for _ in range(20):
        samples = simulate(rng, np.zeros((2, 5, 8)), groups=40)
        result = stats.reduce(samples, F, sign="absolute", n_boot=2)
        called.append(float((result["q_value"] < 0.05).mean()))
        p_values.append(result["p_value"].values.ravel())
    assert np.mean(called) <= 0.05
    # Heads and questions are independent here: sign-flip p-values are uniform up to their grid.
    assert kstest(np.concatenate(p_values), "uniform").pvalue > 1e-3


def test_sign_flips_keep_questions_together(rng: np.random.Generator):
    # One question a hundred items strong is one piece of evidence, not a hundred.
    samples = simulate(rng, np.zeros((2, 4, 8)), groups=12, steps=60, group_sd=1.0, noise_sd=0.1)
    result = stats.reduce(samples, F, sign="signed", n_boot=2)
    assert float((result["p_value"] < 0.05).mean()) < 0.15


def test_a_planted_head_is_called_and_q_is_never_below_p(rng: np.random.Generator):
    truth = np.zeros((2, 5, 8))
    truth[0, 2, 3], truth[1, 4, 1] = 2.0, -2.0
    result = stats.reduce(simulate(rng, truth), F, sign="absolute", n_boot=200)
    assert float(result["q_value"][0, 2, 3]) < 0.01 and float(result["q_value"][1, 4, 1]) < 0.01
    assert (result["q_value"] >= result["p_value"] - 1e-12).all()
    one_sided = stats.reduce(simulate(rng, truth), F, sign="positive", n_boot=2)
    assert float(one_sided["p_value"][1, 4, 1]) > 0.99


def test_the_methods_null_is_counted_with_the_one_rule(rng: np.random.Generator):
    samples = simulate(rng, np.zeros((2, 1, 3)))
    null = np.array([[[0.1, -0.2, 0.3]], [[9.0, 9.0, 9.0]]], np.float32)
    samples["null"] = (("null_sample", "layer", "head"), null)
    samples = samples.assign_coords(null_function=("null_sample", ["a", "b"]))
    result = stats.reduce(samples, F, sign="absolute", n_boot=2)
    scale = np.sqrt((null.astype(float) ** 2).mean((1, 2)))
    pool = np.abs(null / scale[:, None, None]).ravel()  # functions differ in scale, not in shape
    for i, function in enumerate(F):
        importance = np.abs(result["importance"].sel(function=function).values.ravel()) / scale[i]
        expected = [(1 + (pool >= v).sum()) / 7 for v in importance]
        np.testing.assert_allclose(result["p_value"].sel(function=function).values.ravel(), expected)


def test_nothing_depends_on_the_order_of_samples(rng: np.random.Generator):
    samples = simulate(rng, rng.normal(size=(2, 3, 4)), refits=3)
    moved = samples.isel(sample=rng.permutation(samples.sizes["sample"]))
    one, other = (stats.reduce(s, F, sign="absolute", n_boot=100, seed=5) for s in (samples, moved))
    xr.testing.assert_allclose(one, other, rtol=1e-6)
    assert not stats.reduce(samples, F, sign="absolute", n_boot=100, seed=6)["ci_low"].equals(one["ci_low"])


def test_chunks_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    samples = simulate(rng, rng.normal(size=(2, 3, 4)), groups=10)
    table = stats.Table(samples, F)
    groups = rng.integers(0, 3, (300, table.n_units)).astype(float)
    maps = table.maps(groups, np.ones((300, 1)))
    for row in (0, 299):
        weight = groups[row][table._unit]
        own = samples["function"].values == "b"
        expected = np.average(samples["importance"].values[own], axis=0, weights=weight[own])
        np.testing.assert_allclose(maps[row, 1].reshape(3, 4), expected, rtol=1e-5, atol=1e-7)


def test_shares_and_depth(rng: np.random.Generator):
    truth = np.zeros((2, 5, 4))
    truth[0, 0], truth[1, 4] = 3.0, -3.0
    samples = simulate(rng, truth, noise_sd=0.05, group_sd=0.05)
    result = stats.reduce(samples, F, sign="absolute", n_boot=100)
    np.testing.assert_allclose(result["layer_share"].sum("layer"), 1)
    np.testing.assert_allclose(result["depth"], [0, 1], atol=0.05)
    for name in ("layer_share", "depth", "similarity"):
        assert (result[f"{name}_low"] <= result[name] + 1e-9).all()
        assert (result[name] <= result[f"{name}_high"] + 1e-9).all()
    positive = stats.reduce(samples, F, sign="positive", n_boot=100)
    assert float(positive["layer_share"].sel(function="b")[4]) < 0.5  # what interferes is no positive mass


def test_similarity_is_one_for_itself_and_high_for_a_shared_map(rng: np.random.Generator):
    shared = rng.normal(size=(1, 5, 20))
    result = stats.reduce(simulate(rng, np.repeat(shared, 2, 0), groups=200), F, sign="signed", n_boot=100)
    np.testing.assert_allclose(np.diag(result["similarity"]), 1)
    assert float(result["similarity"][0, 1]) > 0.8
    apart = stats.reduce(simulate(rng, rng.normal(size=(2, 5, 20)), groups=200), F, sign="signed", n_boot=100)
    low, high = float(apart["similarity_low"][0, 1]), float(apart["similarity_high"][0, 1])
    assert low < float(apart["similarity"][0, 1]) < high and abs(float(apart["similarity"][0, 1])) < 0.4


def test_reliability_foretells_how_a_second_sample_would_agree(rng: np.random.Generator):
    truth = 0.3 * rng.normal(size=(2, 10, 20))
    first, second = (stats.reduce(simulate(rng, truth), F, sign="signed", n_boot=2) for _ in range(2))
    agreement = stats.spearman(first["importance"].values.reshape(2, -1), second["importance"].values.reshape(2, -1))
    np.testing.assert_allclose(first["reliability"].values, agreement, atol=0.12)
    noise = stats.reduce(simulate(rng, np.zeros((2, 10, 20))), F, sign="signed", n_boot=2)
    assert (abs(noise["reliability"]) < 0.2).all()


def test_reliability_is_not_fooled_by_noise_that_refits_share_with_all_items(rng: np.random.Generator):
    samples = simulate(rng, np.zeros((2, 10, 20)), refits=4, refit_sd=1.0, noise_sd=0.1, group_sd=0.1)
    assert (stats.reduce(samples, F, sign="signed", n_boot=2)["reliability"] < 0.3).all()


def test_accuracy_overall_and_by_function(rng: np.random.Generator):
    samples = simulate(rng, np.zeros((2, 2, 2)))
    bare = stats.reduce(samples, F, sign="signed", n_boot=20)
    assert np.isnan(bare["probe_accuracy"]).all() and np.isnan(bare["probe_accuracy_overall"])
    correct = (rng.random(300) < np.repeat([0.9, 0.5], 150)).astype(float)
    samples["correct"] = ("prediction", correct)
    samples = samples.assign_coords(
        prediction_function=("prediction", np.repeat(F, 150)),
        prediction_group=("prediction", np.tile([f"q{i}" for i in range(50)], 6)),
    )
    result = stats.reduce(samples, F, sign="signed", n_boot=500)
    np.testing.assert_allclose(result["probe_accuracy"], [correct[:150].mean(), correct[150:].mean()])
    assert float(result["probe_accuracy_overall"]) == pytest.approx(correct.mean())
    width = float(result["probe_accuracy_overall_high"] - result["probe_accuracy_overall_low"])
    assert 0.05 < width < 0.2


def test_spearman_is_scipys_with_ties(rng: np.random.Generator):
    a, b = rng.integers(0, 5, (3, 40)).astype(float), rng.normal(size=(3, 40))
    expected = [spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(stats.spearman(a, b), expected)
    assert np.isnan(stats.spearman(np.ones(5), np.arange(5.0)))


def test_paired_excess_covers_and_uses_pairs(rng: np.random.Generator):
    groups = np.repeat([f"q{i}" for i in range(60)], 4)
    hits = []
    for at in range(150):
        shared = rng.random(240) < 0.6
        a = np.where(rng.random(240) < 0.2, True, shared).astype(float)
        excess, low, high = stats.paired_excess(a, shared.astype(float), groups, n_boot=200, seed=at)
        assert excess == pytest.approx(a.mean() - shared.mean())
        hits.append(low <= 0.08 <= high)
    assert 0.88 <= np.mean(hits) <= 0.99
    with pytest.raises(InputError, match="Pairs by item"):
        stats.paired_excess(np.ones(3), np.ones(2), groups[:3])


def test_what_cannot_be_reduced_is_refused(rng: np.random.Generator):
    samples = simulate(rng, np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match=r"'c' has no sample \(found: a, b\)"):
        stats.reduce(samples, (*F, "c"), sign="signed")
    with pytest.raises(InputError, match="make no interval"):
        stats.reduce(samples, F, sign="signed", n_boot=1)


def test_two_questions_and_a_silent_map_give_numbers_or_nan_but_no_warning(rng: np.random.Generator):
    samples = simulate(rng, np.zeros((2, 2, 2)), groups=2)
    for ready in (samples, samples.assign(importance=samples["importance"] * 0)):
        result = stats.reduce(ready, F, sign="absolute", n_boot=30)
        assert np.isfinite(result["importance"]).all() and (result["p_value"] <= 1).all()
