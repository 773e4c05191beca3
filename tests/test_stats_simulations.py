"""What the statistics promise, on simulated effects: noise of unequal size, many heads, few items, tasks with effects
of their own, refit noise, and nothing to find.
"""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from headatlas import stats
from headatlas.stats.nulls import exchange_p, sign_flip_p, tail_p

ABSOLUTE_AND_SIGNED = ("absolute", "signed")


def dataset(values, function, group, **coords):
    """Samples from values (sample, layer, head) and their labels."""
    named = {"function": function, "group": group, **coords}
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), np.asarray(values, np.float32))},
        coords={name: ("sample", np.asarray(label)) for name, label in named.items()},
    )


def questions(maps, *, n, sd=1.0, refits=1, refit_sd=0.0, shared=True, seed=0):
    """Every function asked once a question: its map (function, layer, head) plus noise of size `sd` by head."""
    draw = np.random.default_rng([seed, 1])  # not the draws that made the maps
    functions = len(maps)
    function = np.tile([f"f{i}" for i in range(functions)], n)
    group = np.repeat([f"q{i:03d}" for i in range(n)], functions)
    if not shared:
        group = np.array([f"{g}{f}" for g, f in zip(group, function, strict=True)])
    place = np.tile(np.arange(functions), n)
    by_refit = refit_sd * draw.normal(size=(refits, functions, *maps.shape[1:]))
    noise = draw.normal(size=(n * functions, *maps.shape[1:])) * sd
    values = [maps[place] + noise + by_refit[r][place] for r in range(refits)]
    return dataset(
        np.concatenate(values),
        np.tile(function, refits),
        np.tile(group, refits),
        refit=np.repeat(np.arange(refits), len(function)),
    )


def tasks(maps, *, per_function, items, task_sd, sd=1.0, shared_groups=False, seed=0):
    """Tasks with effects of their own, items within them: the map of a function is what its tasks have in common."""
    draw = np.random.default_rng([seed, 1])
    rows, function, group, task = [], [], [], []
    for f in range(len(maps)):
        for t in range(per_function):
            effect = maps[f] + task_sd * draw.normal(size=maps.shape[1:])
            rows.append(effect + sd * draw.normal(size=(items, *maps.shape[1:])))
            function += [f"f{f}"] * items
            task += [f"f{f}t{t}"] * items
            group += [f"q{i:03d}" if shared_groups else f"f{f}t{t}q{i}" for i in range(items)]
    return dataset(np.concatenate(rows), function, group, task=task)


def names(n):
    return tuple(f"f{i}" for i in range(n))


def uneven(shape, seed=5):
    """Sizes of noise that differ by head by orders of magnitude."""
    return np.exp(1.5 * np.random.default_rng(seed).normal(size=shape))


# -- comparing maps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", ABSOLUTE_AND_SIGNED)
def test_noise_of_unequal_size_is_neither_reliable_nor_alike_nor_common(sign):
    """Absolute values of noise agree wherever heads differ in how noisy they are; they are not compared."""
    shape, found = (10, 16), []
    for seed in range(6):
        samples = questions(np.zeros((4, *shape)), n=40, sd=uneven(shape), seed=seed)
        result = stats.reduce(samples, names(4), sign=sign, n_boot=20, seed=seed)
        off = result["similarity"].values[~np.eye(4, dtype=bool)]
        share = float(stats.split(samples, names(4), seed=seed)["noise_share"])
        found.append((float(result["reliability"].mean()), off.mean(), share))
    reliability, similarity, noise = np.mean(found, axis=0)
    assert abs(reliability) < 0.08 and abs(similarity) < 0.05
    assert noise > 0.9


@pytest.mark.parametrize("functions", [2, 8])
def test_functions_with_nothing_in_common_have_no_general_share(functions):
    shares = []
    for seed in range(8):
        maps = np.random.default_rng(seed).normal(size=(functions, 10, 16))
        shares.append(
            float(stats.split(questions(maps, n=30, seed=seed), names(functions), seed=seed)["general_share"])
        )
    assert np.mean(shares) < 0.05


@pytest.mark.slower
@pytest.mark.parametrize("functions", [2, 8])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_general_share_is_the_planted_one_and_its_interval_covers(functions, share):
    found, covered = [], []
    for seed in range(20):
        draw = np.random.default_rng(seed)
        common, own = draw.normal(size=(1, 20, 25)), draw.normal(size=(functions, 20, 25))
        maps = np.sqrt(share) * common + np.sqrt(1 - share) * own
        true = np.cov(maps.reshape(functions, -1), bias=True)
        between = (true.sum() - np.trace(true)) / (functions * (functions - 1)) / (np.trace(true) / functions)
        result = stats.split(questions(maps, n=24, sd=2.0, seed=seed), names(functions), seed=seed)
        found.append(float(result["general_share"]) - between)
        covered.append(float(result["general_share_low"]) <= between <= float(result["general_share_high"]))
    assert abs(np.mean(found)) < 0.02
    assert np.mean(covered) >= 0.85


@pytest.mark.parametrize("refits", [2, 4])
def test_noise_of_refits_is_not_reliable(refits):
    samples = questions(np.zeros((4, 16, 20)), n=30, sd=0.01, refits=refits, refit_sd=1.0)
    result = stats.split(samples, names(4))
    assert (np.abs(result["specific_reliability"]) < 0.25).all()
    assert float(result["noise_share"]) > 0.8


def test_items_needed_counts_items_where_a_sample_speaks_of_several():
    maps = np.random.default_rng(0).normal(size=(2, 8, 12))
    samples = questions(maps, n=12, sd=2.0)
    alone = stats.split(samples, names(2))["items_needed"]
    several = stats.split(samples.assign_coords(items=("sample", np.full(24, 10))), names(2))["items_needed"]
    assert (several > 9 * alone).all() and (several <= 10 * alone).all()


# -- p-values ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("heads", [(32, 32), (80, 64)])
def test_one_enormous_effect_survives_the_correction_over_many_heads(heads):
    maps = np.zeros((1, *heads))
    maps[0, 3, 5] = 3.0
    result = stats.reduce(questions(maps, n=40, shared=False), names(1), sign="signed", n_boot=2)
    q = result["q_value"].values[0]
    assert q[3, 5] < 0.005
    assert (q < 0.05).sum() == 1


def test_the_continued_tail_is_that_of_a_million_flips():
    """Against every one of the 2^20 flips: two or three times too high (a shape below 0 is not believed), never low."""
    draw = np.random.default_rng(1)
    n, heads = 20, 400
    values = draw.normal(size=(n, heads)) + np.linspace(0.6, 1.6, heads)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(np.int8)
    exact = np.zeros(heads)
    for part in np.array_split(signs, 256):
        exact += (
            np.abs(part.astype(np.float32) @ values.astype(np.float32)) >= np.abs(values.sum(0)) * (1 - 1e-6)
        ).sum(0)
    exact /= len(signs)
    p = sign_flip_p(values, np.random.default_rng(0))
    rare = (exact < 1e-3) & (exact > 5e-6)
    assert rare.sum() > 50
    ratio = p[rare] / exact[rare]
    assert 0.8 < np.exp(np.log(ratio).mean()) < 4
    assert (ratio > 0.25).all()
    assert (p >= 0.5 ** (n - 1)).all(), "no flips can give less"


def test_the_tail_of_a_normal_is_found_far_out():
    draws = np.abs(np.random.default_rng(0).normal(size=(9_999, 40)))
    for z in (4.0, 5.0, 6.0):
        p = tail_p(draws, np.full(40, z))
        assert -0.2 < np.log10(p / (2 * norm.sf(z))).mean() < 1 and p.min() > 0


def test_flips_are_uniform_where_there_is_nothing_and_few_questions_call_nothing():
    draw = np.random.default_rng(3)
    p = sign_flip_p(draw.normal(size=(40, 5120)) * uneven((1, 5120)), draw)
    for level in (0.5, 0.05, 0.005):
        assert (p < level).mean() == pytest.approx(level, rel=0.25, abs=2e-4)
    few = sign_flip_p(5 + draw.normal(size=(6, 1024)), draw)
    assert few.min() >= 2 / 64


def test_exchanged_tasks_are_uniform_where_there_is_nothing_also_with_unequal_spread():
    draw = np.random.default_rng(4)
    own = np.arange(48) < 6
    even = exchange_p(draw.normal(size=(48, 5120)), own, draw)
    for level in (0.5, 0.05, 0.005):
        assert (even < level).mean() == pytest.approx(level, rel=0.25, abs=2e-4)
    spread = np.where(own, 3.0, 1.0)[:, None]
    assert (exchange_p(draw.normal(size=(48, 2000)) * spread, own, draw) < 0.05).mean() < 0.08
    found = exchange_p(draw.normal(size=(48, 1024)) + 8 * own[:, None] * (np.arange(1024) == 7), own, draw)
    assert found[7] < 1e-4


# -- tasks ---------------------------------------------------------------------------------------------------


@pytest.mark.slower
@pytest.mark.parametrize("shared_groups", [False, True])
def test_tasks_with_effects_of_their_own_call_no_head(shared_groups):
    """Items of one template are one piece of evidence. With items as the unit, half of the heads would be called."""
    matters, specific, naive, naive_specific = [], [], [], []
    for seed in range(5):
        samples = tasks(
            np.zeros((8, 9, 10)), per_function=6, items=12, task_sd=0.7, shared_groups=shared_groups, seed=seed
        )
        for data, one, other in (
            (samples, matters, specific),
            (samples.drop_vars("task"), naive, naive_specific),
        ):
            one.append((stats.reduce(data, names(8), sign="signed", n_boot=2)["q_value"] < 0.05).mean())
            other.append((stats.split(data, names(8), seed=seed)["q_specific"] < 0.05).mean())
    assert np.mean(matters) <= 0.05 and np.mean(specific) <= 0.05
    assert np.mean(naive) > 0.2, "what items as the unit would have called"
    if shared_groups:
        assert np.mean(naive_specific) > 0.2


def test_what_a_functions_tasks_have_in_common_is_found():
    maps = np.zeros((8, 9, 10))
    maps[2, 4, 3], maps[5, 8, 8] = 4.0, 5.0
    result = stats.split(tasks(maps, per_function=6, items=12, task_sd=0.7), names(8))
    called = result["q_specific"].values < 0.05
    assert called[2, 4, 3] and called[5, 8, 8]
    reduced = stats.reduce(tasks(maps, per_function=6, items=12, task_sd=0.7), names(8), sign="signed", n_boot=50)
    assert int(reduced["rank"][2, 4, 3]) == 1
    assert (reduced["n_units"] == 6).all()


def test_every_task_weighs_the_same():
    small = tasks(np.zeros((1, 2, 3)), per_function=2, items=3, task_sd=1.0)
    large = small.isel(sample=np.concatenate([np.arange(6), np.tile(np.arange(3), 5)]))
    one, other = (stats.reduce(s, names(1), sign="signed", n_boot=2)["importance"] for s in (small, large))
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("per_function", [4, 6, 12])
def test_intervals_over_tasks_cover(per_function):
    maps, hits = np.random.default_rng(0).normal(size=(4, 5, 8)), []
    for seed in range(25):
        samples = tasks(maps, per_function=per_function, items=6, task_sd=0.5, seed=seed)
        result = stats.reduce(samples, names(4), sign="signed", n_boot=300, seed=seed)
        hits.append((result["ci_low"] <= maps) & (maps <= result["ci_high"]))
    assert 0.9 <= np.mean(hits) <= 0.98


def test_one_task_alone_rests_on_its_questions():
    samples = tasks(np.zeros((2, 3, 4)), per_function=1, items=20, task_sd=0.0)
    result = stats.reduce(samples, names(2), sign="signed", n_boot=50)
    assert (result["n_units"] == 20).all() and (result["ci_high"] > result["ci_low"]).all()


# -- intervals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "own"), [(60, 5), (60, 12), (8, 8)])
def test_intervals_cover_for_a_function_of_few_of_the_questions(n, own):
    """n - 1 over the function's own questions, not over all of the set's."""
    hits = []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        function = np.array(["a"] * n + ["b"] * own)
        group = np.array([f"q{i:02d}" for i in [*range(n), *range(own)]])
        samples = dataset(draw.normal(size=(n + own, 4, 6)), function, group)
        result = stats.reduce(samples, ("a", "b"), sign="signed", n_boot=400, seed=seed).sel(function="b")
        hits.append((result["ci_low"] <= 0) & (result["ci_high"] >= 0))
    assert 0.92 <= np.mean(hits) <= 0.98


@pytest.mark.parametrize("n", [3, 10, 96])
def test_all_right_has_an_interval_with_a_width(n):
    groups = np.repeat([f"q{i}" for i in range(n)], 4)
    mean, low, high = stats.mean_interval(np.ones(4 * n), groups)
    assert mean == high == 1 and low == pytest.approx(0.025 ** (1 / n))
    mean, low, high = stats.mean_interval(np.zeros(4 * n), groups)
    assert mean == low == 0 and high == pytest.approx(1 - 0.025 ** (1 / n))
    excess, low, high = stats.paired_excess(np.ones(4 * n), np.zeros(4 * n), groups)
    assert excess == high == 1 and 1 - 2 * (1 - 0.025 ** (1 / n)) == pytest.approx(low)


def test_intervals_of_few_answers_cover_also_near_the_end():
    hits = []
    for seed in range(400):
        right = (np.random.default_rng(seed).random(24) < 0.95).astype(float)
        _, low, high = stats.mean_interval(right, np.arange(24).astype(str), seed=seed)
        hits.append(low <= 0.95 <= high)
    assert np.mean(hits) >= 0.9
