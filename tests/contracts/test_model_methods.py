"""The laws of `ModelMethod`, for every registered one, on a tiny random model; and runs that are stopped."""

import json
import warnings
from dataclasses import fields, is_dataclass

import numpy as np
import pytest
from tests.tiny import random_prompts, tiny

import headatlas.methods  # noqa: F401  (registers)
from headatlas.methods.base import Activations, ModelMethod, methods
from headatlas.run.jobs import measured, seed_of
from headatlas.work.job import Run

RUNNERS = [name for name in methods if isinstance(methods.get(name)(), ModelMethod)]
CHEAP = {"draws": 2, "steps": 2, "epochs": 2, "seeds": 1}


def cheap(name):
    make = methods.get(name)
    return make(**{f.name: CHEAP[f.name] for f in fields(make()) if f.name in CHEAP})


@pytest.fixture(scope="module")
def model():
    return tiny("llama")


@pytest.fixture(scope="module")
def prompts():
    return sorted(random_prompts(12, groups=4), key=lambda p: p.group)


@pytest.fixture(scope="module")
def activations(model, prompts):
    function = np.array([p.function for p in prompts])
    group = np.array([p.group for p in prompts])
    return Activations(model.capture(prompts).z, function, group, ("retrieval", "inference"))


@pytest.fixture(scope="module", params=RUNNERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def samples(name, model, prompts, activations):
    return cheap(name)(model, prompts, activations, seed=0)


def test_is_a_frozen_dataclass_with_its_facts(name):
    kind = methods.get(name)()
    assert is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert kind.id == name and kind.label and kind.reads == "model"
    assert kind.values[0] == "importance"


def test_a_sample_is_a_prompt(samples, prompts):
    assert samples["importance"].dims == ("sample", "layer", "head")
    assert samples["importance"].shape == (len(prompts), 3, 4)
    assert samples["importance"].dtype == np.float32 and np.isfinite(samples["importance"]).all()
    assert samples["function"].values.tolist() == [p.function for p in prompts]
    assert samples["group"].values.tolist() == [p.group for p in prompts]
    json.dumps(samples.attrs)


def test_rows_do_not_depend_on_the_pack(name, model, prompts, activations, samples):
    method = cheap(name)
    for i in (0, 7):
        alone = method.rows(model, [prompts[i]], activations, seed=0)
        np.testing.assert_allclose(alone[0, ..., 0], samples["importance"].values[i], atol=2e-5)


def test_a_stopped_run_goes_on_where_it_was(name, model, prompts, activations, tmp_path, monkeypatch):
    method, asked = cheap(name), []
    monkeypatch.setattr("headatlas.work.store.ROWS", 3)
    rows = type(method).rows

    def stopping(self, model, part, activations, *, seed):
        asked.append(part[0].group)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return rows(self, model, part, activations, seed=seed)

    monkeypatch.setattr(type(method), "rows", stopping)
    run = Run({"run": 1}, seed=0, folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        measured(model, method, prompts, activations, run)
    found = measured(model, method, prompts, activations, run)
    assert asked == ["g0", "g1", "g2", "g2", "g3"], "what was done is not done again"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected = method(model, prompts, activations, seed=seed_of(0, method.id))
        np.testing.assert_array_equal(found["importance"].values, expected["importance"].values)
