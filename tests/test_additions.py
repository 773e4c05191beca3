"""One of each, added from outside by one registration: seen by measure, store, resume, figure, command line."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure

import headatlas as ha
from headatlas.atlas import load_atlas
from headatlas.cli import main
from headatlas.controls import Control, controls
from headatlas.figures import Drawing, figures
from headatlas.methods.base import ModelMethod, methods
from headatlas.questions.reading import Reader, readers
from headatlas.questions.schema import Question, Step
from tests.saved import save_tiny


@dataclass(frozen=True)
class Loudness(ModelMethod):
    """How large a head's z is where it predicts the answer."""

    name: ClassVar[str] = "loudness"
    label: ClassVar[str] = "size of z"
    values: ClassVar[tuple[str, ...]] = ("importance", "largest")
    about_values: ClassVar[dict[str, str]] = {"largest": "largest entry of z"}
    power: float = 1.0

    asked: ClassVar[list[str]] = []

    def rows(self, model, prompts, activations, *, seed):
        type(self).asked += [p.id for p in prompts]
        z = model.capture(prompts).z
        size = np.linalg.norm(z, axis=-1) ** self.power
        return np.stack([size, np.abs(z).max(-1)], -1).astype(np.float32)


def counted(atlas: xr.DataTree, *, method: str | None = None) -> Figure:
    """A line with how many heads there are."""
    figure = Figure()
    figure.text(0.5, 0.5, f"{method}: {atlas[method]['importance'][0].size} heads")
    return figure


def stars(source: str, reading: object) -> Iterator[Question]:
    """Questions, a star each."""
    for n in range(source.count("*")):
        steps = tuple(
            Step(subquestion=f"{how} {n}?", answer=f"{how[::-1]} {n}", function=f)
            for how, f in (("Who", "retrieval"), ("Where", "inference"))
        )
        yield Question(id=f"star {n}", question=f"Star {n} shines.", steps=steps)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch):
    """Register one of each, and take them out again."""
    things: list[tuple[object, str, object]] = [
        (methods, "loudness", Loudness),
        (controls, "capitals", Control("the answer's capitals", lambda item: sum(map(str.isupper, item.answer)))),
        (figures, "counted", Drawing(counted, "counted", "method")),
        (readers, "stars", Reader(lambda source: set(source) == {"*"}, stars, "stars, a question each")),
    ]
    for registry, name, thing in things:
        monkeypatch.setattr(registry, "_table", {**registry._table})
        registry.register(name, thing)
    monkeypatch.setattr(Loudness, "asked", [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


def test_what_is_added_is_measured_kept_and_resumed(added, folder: Path, tmp_path: Path, monkeypatch):
    model, questions = ha.load_model(folder), ha.load_questions("*" * 8)
    assert len(questions.questions) == 8
    monkeypatch.setattr("headatlas.work.store.ROWS", 4)
    rows: Callable[..., np.ndarray] = Loudness.rows

    def stopping(self, *args, **options):
        if len(Loudness.asked) >= 8:
            raise KeyboardInterrupt
        return rows(self, *args, **options)

    monkeypatch.setattr(Loudness, "rows", stopping)
    run = {"methods": ["loudness", Loudness(power=2.0)], "store": tmp_path / "store"}
    with pytest.raises(KeyboardInterrupt):
        ha.measure(model, questions, **run)
    monkeypatch.setattr(Loudness, "rows", rows)
    atlas = ha.measure(model, questions, **run)
    assert len(Loudness.asked) == 8 + 8 + 16, "what was done is not done again"
    assert list(atlas.children) == ["loudness", "loudness(power=2.0)"]
    own = atlas["loudness"]
    assert own["largest"].attrs["long_name"] == "largest entry of z" and own.attrs["label"] == "size of z"
    assert (own["importance"] > 0).all()
    one, other = (atlas[f"{name}/samples"]["importance"] for name in atlas.children)
    np.testing.assert_allclose(other, one**2, rtol=1e-5)
    assert one.coords["sample_function"].values.tolist() == ["retrieval", "inference"] * 8
    assert "capitals" in atlas["control"].values
    assert "the answer's capitals" in ha.describe(atlas).to_markdown()
    again = ha.load_atlas(ha.save_atlas(atlas, tmp_path / "atlas.nc"))
    xr.testing.assert_equal(again, atlas)


def test_what_is_added_is_known_to_the_command_line(added, folder: Path, tmp_path: Path, capsys):
    out = tmp_path / "out"
    asked = ["map", "--model", str(folder), "-q", "*" * 8, "--method", "loudness(power=3), loudness", "-o", str(out)]
    assert main(asked) == 0, capsys.readouterr().err
    assert list(load_atlas(out).children) == ["loudness(power=3.0)", "loudness"]
    assert json.loads(load_atlas(out)["loudness(power=3.0)"].attrs["settings"]) == {"power": 3.0}
    drawn = {path.name for path in out.iterdir()}
    assert {"counted-loudness.png", "counted-loudness(power=3.0).svg", "heatmaps.png"} <= drawn
    assert main(["figure", str(out), "--figure", "counted", "--method", "loudness", "--out", str(tmp_path / "c")]) == 0
    assert (tmp_path / "c.png").is_file()
    assert main(["questions", "check", "*" * 8]) == 0
    assert "capitals" in capsys.readouterr().out
    for text, message in (
        ("loudness(loud=1)", "Method 'loudness' has no parameter 'loud'. Known: power."),
        ("loudness(power=high)", "'power' of method 'loudness' is 'high'; its default is 1.0. Give one of that kind."),
        ("loudness(power=", "The parentheses of 'loudness(power=' do not close."),
        ("loudness(power=2, power=3)", "can't be read"),
        ("loudness(1)", "can't be read"),
        ("loudness, loudness", "A method is given twice: loudness, loudness. Name each once, or in another setting."),
        ("loudnes", "Unknown method 'loudnes'. Did you mean 'loudness'?"),
    ):
        assert main([*asked[:6], text, "-o", str(tmp_path / "other")]) == 2, text
        assert message in " ".join(capsys.readouterr().err.split()), text
    assert not (tmp_path / "other").exists()


def test_a_setting_that_is_none_of_a_methods_choices_is_refused_before_the_model_is_loaded(tmp_path: Path):
    asked = [sys.executable, "-m", "headatlas.cli", "map", "-m", str(tmp_path), "--method", "ablation(by=noon)"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)  # in here beartype would refuse it first
    assert done.returncode == 2
    assert done.stderr == "headatlas: Unknown replacement 'noon'. Give one of: zero, mean, resample.\n"


def test_old_names_of_ablations_are_settings_of_one(folder: Path):
    model, questions = ha.load_model(folder), ha.load_questions("controlled", limit=3)
    atlas = ha.measure(model, questions, methods="ablation, ablation_zero, ablation(by=zero, positions=all)")
    assert list(atlas.children) == ["ablation", "ablation_zero", "ablation_zero(positions=all)"]
    assert not np.allclose(atlas["ablation_zero"]["importance"], atlas["ablation"]["importance"])
    assert ha.methods.AblationZero() == ha.methods.Ablation(by="zero")
    assert torch.is_grad_enabled()
