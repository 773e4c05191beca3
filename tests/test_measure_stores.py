"""The stores of `measure`: one folder owns all that is written, resumes, and is refused where an algorithm changed."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from headatlas.errors import InputError, StoreError
from headatlas.methods.ablation import Ablation, AblationZero
from headatlas.methods.base import FittedMethod
from headatlas.models.head_model import HeadModel
from headatlas.models.load import load_model
from headatlas.pipeline import measure
from headatlas.questions import load_questions
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
