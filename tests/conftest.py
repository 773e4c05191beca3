"""Fixtures shared by the tests: the real default model (converted once) and CogQA where it is present."""

import os
from pathlib import Path

import pytest

# Tiny tensors lose more to threads that wait for each other than they win, most of all where other processes
# want the cores; set before torch is imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

COGQA = Path(__file__).parents[2] / "shared" / "cogqa" / "balanced_cot_train_data.json"


@pytest.fixture(scope="session")
def smollm():
    from headatlas.models.load import load_model

    return load_model("smollm2-135m")


@pytest.fixture(scope="session")
def tokenizer():
    from headatlas.models.load import load_tokenizer

    return load_tokenizer("smollm2-135m")


@pytest.fixture(scope="session")
def cogqa():
    if not COGQA.is_file():
        pytest.skip("CogQA is not here (it has no licence, so it is not in the repository)")
    return COGQA
