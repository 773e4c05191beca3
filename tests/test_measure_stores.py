"""The stores of `measure`: one folder owns all that is written, resumes, and is refused where an algorithm changed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from headatlas.errors import InputError, StoreError
from headatlas.methods.ablation import Ablation
from headatlas.methods.base import FittedMethod
from headatlas.methods.gates import HeadGating
from headatlas.methods.linear_probe import LinearProbe
from headatlas.methods.probe import Probe
from headatlas.models.head_model import HeadModel
from headatlas.models.load import load_model
from headatlas.questions.loading import load_questions
from headatlas.run.pipeline import measure, plan
from tests.saved import save_tiny
from tests.test_cli import contents, write_questions


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(str(save_tiny(tmp_path_factory.mktemp("model") / "tiny")), dtype="float32")


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return load_questions(write_questions(tmp_path_factory.mktemp("questions") / "few.jsonl"))


def test_two_stores_in_one_folder_do_not_touch_one_another(model, questions, tmp_path, monkeypatch):
    first, second = tmp_path / "first.zarr", tmp_path / "second.zarr"
    atlas = measure(model, questions, methods=["ablation"], store=first)
    before = contents(first)
    measure(model, questions, methods=["ablation"], seed=1, tokens="first", store=second)
    assert {p.name for p in tmp_path.iterdir()} == {"first.zarr", "second.zarr"}
    assert {p.name for p in first.iterdir()} == {"activations.zarr", "ablation.zarr"}
    assert contents(first) == before
    monkeypatch.setattr(HeadModel, "capture", lambda self, prompts: pytest.fail("captured again"))
    monkeypatch.setattr(Ablation, "rows", lambda self, *_, **__: pytest.fail("swept again"))
    xr.testing.assert_equal(measure(model, questions, methods=["ablation"], store=first), atlas)


@dataclass(frozen=True)
class Own(FittedMethod):
    """A method of the user's: its arrays have names that no other method's have."""

    name: ClassVar[str] = "own"
    label: ClassVar[str] = "nothing"

    def fits(self, prompts, *, seed):
        return [(p.function, p.group) for p in prompts]

    def arrays(self, model):
        return {"mine": {"layer": model.n_layers, "head": model.n_heads}, "how_long": {"value": 1}}

    def fit(self, model, one):
        return {"mine": np.full((model.n_layers, model.n_heads), 0.5), "how_long": np.ones(1)}

    def samples(self, rows, fits):
        coords = {"function": ("sample", [f for f, _ in fits]), "group": ("sample", [g for _, g in fits])}
        return xr.Dataset({"importance": (("sample", "layer", "head"), rows["mine"].astype(np.float32))}, coords=coords)


def test_a_fitted_method_with_arrays_of_its_own_goes_on_after_a_stop(model, questions, tmp_path, monkeypatch):
    asked, fit = [], Own.fit

    def stopping(self, model, one):
        asked.append(one)
        if len(asked) == 5:
            raise KeyboardInterrupt
        return fit(self, model, one)

    monkeypatch.setattr(Own, "fit", stopping)
    run = {"methods": [Own()], "store": tmp_path / "stores"}
    with pytest.raises(KeyboardInterrupt):
        measure(model, questions, **run)
    measure(model, questions, **run)
    assert len(asked) == 19 and asked[4] == asked[5], "of 18 fits the one that was stopped is made again"


@pytest.mark.parametrize(
    ("method", "wrong", "message"),
    [
        *((kind, {"folds": 2}, "2 folds leave too little to train on. Give folds=3 or more")
          for kind in (Probe, LinearProbe, HeadGating)),
        (Probe, {"batch_size": 0}, "batch_size of 1 or more"),
        (Probe, {"patience": -1}, "patience of 0 or more"),
        (Probe, {"learning_rate": 0.0}, "A learning rate of 0.0 trains nothing"),
        (Probe, {"validation": 1.0}, "A validation part of 1.0 is no share"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused_before_the_model_runs(model, questions, monkeypatch, method, wrong, message):
    monkeypatch.setattr(HeadModel, "capture", lambda self, prompts: pytest.fail("the model was run"))
    with pytest.raises(InputError, match=message):
        measure(model, questions, methods=[method(**wrong)])


def test_a_single_method_or_names_in_one_string_will_do(model, questions):
    for given, names in (
        ("probe", ["probe"]),
        ("probe, ablation", ["probe", "ablation"]),
        (Probe(refits=8), ["probe"]),
        (["ablation", LinearProbe()], ["ablation", "linear_probe"]),
    ):
        assert list(plan(model, questions, methods=given).methods) == names
    assert plan(model, questions, methods=Probe(refits=8)).methods == {"probe": Probe(refits=8)}
    for wrong, message in (
        ("prob", "Unknown method 'prob'. Did you mean 'probe'"),
        (",", "No method given"),
    ):
        with pytest.raises(InputError, match=message):
            plan(model, questions, methods=wrong)


def test_rows_of_another_version_are_not_gone_on_with(model, questions, tmp_path, monkeypatch):
    run = {"methods": ["ablation"], "store": tmp_path / "stores"}
    measure(model, questions, **run)
    before = contents(tmp_path / "stores")
    with monkeypatch.context() as patch:
        patch.setattr(Ablation, "version", 2)
        message = r"ablation version differ \(ablation version: there 1, here 2\)\. Another version of ablation makes"
        with pytest.raises(StoreError, match=message):
            measure(model, questions, **run)
    monkeypatch.setattr("headatlas.run.jobs.VERSION", 2)
    with pytest.raises(StoreError, match=r"capture version differ \(capture version: there 1, here 2\)"):
        measure(model, questions, **run)
    assert contents(tmp_path / "stores") == before
