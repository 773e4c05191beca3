"""General and specific parts, against samples made of known ones."""

import numpy as np
import pytest
import xarray as xr

from headatlas.stats import split

F = tuple(f"f{i}" for i in range(4))
SHAPE = (6, 5)


def samples(general, specific, *, questions=60, noise=1.0, seed=0, functions=F):
    draw = np.random.default_rng(seed)
    values = [general + specific[f] + noise * draw.normal(size=(questions, *SHAPE)) for f in range(len(functions))]
    groups = np.tile([f"q{i}" for i in range(questions)], len(functions))
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), np.concatenate(values).astype(np.float32))},
        coords={"function": ("sample", np.repeat(functions, questions)), "group": ("sample", groups)},
    )


def planted(seed=1, own=0.5):
    draw = np.random.default_rng(seed)
    general = np.zeros(SHAPE)
    general[1, :3] = (3.0, -2.0, 2.0)
    specific = np.zeros((len(F), *SHAPE))
    specific[:, 3] = own * draw.normal(size=(len(F), SHAPE[1]))
    return general, specific - specific.mean(0)


def test_parts_are_the_mean_over_functions_and_what_is_left():
    data = samples(*planted())
    result = split(data, F)
    maps = np.stack([data["importance"].values[data["function"].values == f].mean(0) for f in F]).astype(float)
    np.testing.assert_allclose(result["general"], maps.mean(0), atol=1e-6)
    np.testing.assert_allclose(result["specific"], maps - maps.mean(0), atol=1e-6)
    np.testing.assert_allclose(result["specific"].sum("function"), 0, atol=1e-6)


def test_shares_are_those_planted_whatever_the_noise():
    general, specific = planted(own=1.0)
    common = np.cov((general + specific).reshape(len(F), -1), bias=True)
    variance = np.trace(common) / len(F)
    true = (common.sum() - np.trace(common)) / (len(F) * (len(F) - 1)) / variance
    covered, shares = [], []
    for seed in range(12):
        result = split(samples(general, specific, noise=2.0, seed=seed), F, seed=seed)
        shares.append(float(result["general_share"]))
        covered.append(float(result["general_share_low"]) <= true <= float(result["general_share_high"]))
    assert np.mean(shares) == pytest.approx(true, abs=0.02)
    assert np.mean(covered) >= 0.8
    assert float(result["general_share"] + result["specific_share"]) == pytest.approx(1)
    noise = (4 / 60) / (variance + 4 / 60)
    assert float(result["noise_share"]) == pytest.approx(noise, abs=0.06)


def test_heads_are_called_where_something_is_planted():
    general, specific = planted(own=2.0)
    result = split(samples(general, specific, noise=1.0), F)
    assert set(np.flatnonzero(result["q_general"].values < 0.05)) == {5, 6, 7}
    called = result["q_specific"].values < 0.05
    large = np.abs(specific) > 0.6
    assert called[large].mean() > 0.9 and called[np.abs(specific) == 0].mean() < 0.05


def test_on_effects_without_a_function_few_heads_are_called():
    """Signs of questions are drawn at random: at most 5% of data sets have any call, by the rate that is stated."""
    calls = [
        split(samples(np.zeros(SHAPE), np.zeros((4, *SHAPE)), questions=20, seed=seed), F, seed=seed)
        for seed in range(40)
    ]
    assert np.mean([(c["q_general"].values < 0.05).mean() for c in calls]) < 0.05
    assert np.mean([(c["q_general"].values < 0.05).any() for c in calls]) <= 0.12
    assert np.mean([(c["q_specific"].values < 0.05).mean() for c in calls]) < 0.05


def test_reliability_grows_with_items_as_foretold():
    general, specific = planted(own=1.0)
    few = split(samples(general, specific, questions=40, noise=2.0), F)
    needed = float(few["items_needed"].median())
    many = split(samples(general, specific, questions=round(needed), noise=2.0, seed=2), F)
    assert float(few["specific_reliability"].mean()) < 0.85
    assert float(many["specific_reliability"].mean()) == pytest.approx(0.9, abs=0.06)
    nothing = split(samples(general, 0 * specific, noise=1.0), F)
    lost = nothing["specific_reliability"] <= 0
    assert np.isinf(nothing["items_needed"].values[lost]).all()


def test_the_order_of_samples_plays_no_part():
    data = samples(*planted())
    turned = data.isel(sample=np.random.default_rng(0).permutation(data.sizes["sample"]))
    xr.testing.assert_identical(split(data, F, seed=3), split(turned, F, seed=3))


def test_methods_with_a_null_of_their_own_call_no_head():
    data = samples(*planted())
    data["null"] = (("null_sample", "layer", "head"), np.zeros((1, *SHAPE)))
    assert np.isnan(split(data, F)["q_general"]).all()


def test_questions_of_one_function_only_still_have_parts():
    data = samples(*planted())
    data = data.assign_coords(
        group=("sample", [f"{f}-{g}" for f, g in zip(data.function.values, data.group.values, strict=True)])
    )
    result = split(data, F)
    assert np.isfinite(result["specific"]).all() and np.isnan(result["q_specific"]).all()
