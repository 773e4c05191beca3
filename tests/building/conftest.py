"""What every test of the builder starts from: a file of questions, a place for the steps, no key in sight."""

import pytest
from tests.built import QUESTIONS, write_source


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "bench.jsonl")


@pytest.fixture
def one(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text(QUESTIONS[0] + "\n")
    return path


@pytest.fixture
def out(tmp_path):
    return tmp_path / "made" / "steps.jsonl"
