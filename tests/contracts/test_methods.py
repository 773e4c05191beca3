"""The laws of `Method`, for every registered method that reads activations, on tiny random ones."""

import json
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import xarray as xr

import headatlas.methods  # noqa: F401  (registers)
from headatlas import stats
from headatlas.methods.base import Activations, Method, methods

F = ("inference", "math_calculation")
CHEAP = {"refits": 2, "null_refits": 1, "epochs": 2, "shuffles": 2}
READERS = [name for name in methods if methods.get(name)().reads == "activations"]


def cheap(name: str) -> Method:
    kind = methods.get(name)
    return kind(**{f.name: CHEAP[f.name] for f in fields(kind) if f.name in CHEAP})


def random_activations(shape: tuple[int, int, int] = (2, 3, 4), items: int = 48) -> Activations:
    rng = np.random.default_rng(0)
    return Activations(
        z=rng.normal(size=(items, *shape)).astype(np.float32),
        function=np.array(F)[rng.integers(2, size=items)],
        group=np.array([f"q{i // 2}" for i in range(items)]),
        functions=F,
    )


@pytest.fixture(scope="module", params=READERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def samples(name: str) -> xr.Dataset:
    return cheap(name)(None, None, random_activations(), seed=0)


def test_is_a_frozen_dataclass_with_its_facts(name: str):
    kind = methods.get(name)()
    assert is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert kind.name == name and kind.label and kind.default_sign in ("absolute", "positive", "signed")


def test_samples_have_the_promised_shape(samples: xr.Dataset):
    assert samples["importance"].dims == ("sample", "layer", "head")
    assert samples["importance"].shape[1:] == (2, 3)
    assert samples["importance"].dtype == np.float32 and np.isfinite(samples["importance"]).all()
    assert set(samples["function"].values) == set(F)
    for function in F:
        assert len(set(samples["group"].values[samples["function"].values == function])) >= 2
    if "null" in samples:
        assert samples["null"].dims == ("null_sample", "layer", "head") and np.isfinite(samples["null"]).all()
        assert set(samples["null_function"].values) == set(F)
    if "correct" in samples:
        assert {"prediction_function", "prediction_group", "prediction_item"} <= set(samples.coords)
        assert ((samples["correct"] >= 0) & (samples["correct"] <= 1)).all()


def test_attributes_are_flat_and_serialisable(samples: xr.Dataset):
    json.dumps(samples.attrs)


def test_same_seed_same_samples_other_seed_others(name: str, samples: xr.Dataset):
    xr.testing.assert_identical(cheap(name)(None, None, random_activations(), seed=0), samples)
    other = cheap(name)(None, None, random_activations(), seed=1)
    assert not np.array_equal(other["importance"].values, samples["importance"].values)


def test_arguments_are_left_alone(name: str):
    activations = random_activations()
    z = activations.z.copy()
    activations.z.setflags(write=False)
    cheap(name)(None, None, activations, seed=0)
    np.testing.assert_array_equal(activations.z, z)


@pytest.mark.parametrize("shape", [(1, 1, 4), (1, 5, 2), (4, 1, 3)])
def test_any_shape_of_model(name: str, shape: tuple[int, int, int]):
    found = cheap(name)(None, None, random_activations(shape), seed=0)
    assert found["importance"].shape[1:] == shape[:2]


def test_a_function_listed_but_absent_is_no_trouble(name: str):
    listed = replace(random_activations(), functions=("retrieval", *F))
    assert set(cheap(name)(None, None, listed, seed=0)["function"].values) == set(F)


def test_six_questions_are_enough(name: str):
    small = random_activations(items=24)
    six = replace(small, group=np.array([f"q{i // 4}" for i in range(24)]), function=np.tile(F, 12))
    assert cheap(name)(None, None, six, seed=0).sizes["sample"] >= 24


def test_a_silent_head_gets_nothing(name: str):
    activations = random_activations()
    activations.z[:, 1, 1] = 0
    found = stats.reduce(cheap(name)(None, None, activations, seed=0), F, sign="signed", n_boot=2)
    assert np.isfinite(found["importance"]).all()
    np.testing.assert_allclose(found["importance"][:, 1, 1], 0, atol=1e-7)
    assert (np.abs(found["importance"]).sum(("layer", "head")) > 0).all(), "others get something"


def test_reduces_to_a_map(name: str, samples: xr.Dataset):
    result = stats.reduce(samples, F, sign=methods.get(name)().default_sign, n_boot=20)
    assert result["importance"].dims == ("function", "layer", "head")
    assert (result["ci_low"] <= result["ci_high"]).all()
