"""A prompt answered by a model as it is and edited, from Python and as typed."""

import json

import numpy as np
import pytest
import torch
import xarray as xr

import headatlas as ha
from headatlas.atlas import save_atlas
from headatlas.cli.main import main
from headatlas.errors import InputError
from headatlas.interventions import Mask, Scale
from headatlas.interventions.answering import answers, boost_of, heads_of
from tests.saved import save_tiny

HEADS = tuple((layer, head) for layer in range(3) for head in (0, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def model(folder):
    return ha.load_model(str(folder))


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """An atlas whose heads in order are L0H0, L0H1, … for retrieval, and the other way round for inference."""
    order = np.arange(12, 0, -1, dtype=np.float32).reshape(3, 4)
    values = np.stack([order, order[::-1, ::-1]])
    dims = ("function", "layer", "head")
    part = xr.Dataset(
        {"importance": (dims, values), "specific": (dims, values - values.mean(0))},
        coords={"function": ["retrieval", "inference"]},
    )
    return save_atlas(xr.DataTree.from_dict({"/ablation": part}), tmp_path_factory.mktemp("atlas") / "atlas.nc")


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_both_answers_and_what_each_model_thinks_of_them(model, positions):
    edit = Scale(HEADS, -3.0, positions=positions)
    plain, changed = answers(model, edit, "Anna has a red ball.", max_new_tokens=6)
    assert plain.text != changed.text
    assert plain.as_is > changed.as_is and changed.edited > plain.edited, "each finds its own likelier"
    ids = model.tokenizer("Anna has a red ball.")["input_ids"]
    new = model.generate(np.array(ids), max_new_tokens=6).tolist()
    whole = torch.tensor([[*ids, *new]])
    with torch.no_grad():
        logp = torch.log_softmax(model.model(input_ids=whole).logits[0].double(), -1)
    by_hand = sum(float(logp[len(ids) - 1 + i, token]) for i, token in enumerate(new))
    assert plain.as_is == pytest.approx(by_hand, abs=1e-3)


def test_heads_and_boosts_are_read_from_what_is_typed(atlas):
    made = ha.load_atlas(atlas)
    assert heads_of("L2H1, l0h3", None) == ((2, 1), (0, 3))
    assert heads_of("retrieval:2", made) == ((0, 0), (0, 1))
    assert boost_of("inference:1x1.5", made) == Scale(((2, 3),), 1.5)
    assert boost_of("L1H1,L1H2x0.5", None) == Scale(((1, 1), (1, 2)), 0.5)
    for text, message in (("retrieval:2", "needs an atlas"), ("retrieval:few", "names no heads"), ("L1", "is no head")):
        with pytest.raises(InputError, match=message):
            heads_of(text, None)
    for text in ("L1H1", "L1H1xtwo", "x"):
        with pytest.raises(InputError, match=r"is no boost. Write retrieval:10x1.5|is no head"):
            boost_of(text, None)


def test_the_command(folder, atlas, tmp_path, capsys):
    command = ["generate", str(folder), "Anna has a red ball.", "--tokens", "5"]
    assert main([*command, "--mask", "L0H0,L1H2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["edit"] == "Mask(L0H0, L1H2)" and found["as_is"]["as_is"] >= found["edited"]["as_is"]
    assert main([*command, "--mask", "retrieval:3", "--boost", "inference:12x2", "--atlas", str(atlas)]) == 0
    shown = capsys.readouterr()
    assert "Edited, it answers" in shown.out and "log-probability, edited" in shown.out
    assert "Masked, so not boosted: L0H0, L0H1, L0H2" in shown.err
    assert "Mask(L0H0, L0H1, L0H2) | Scale(L2H3, L2H2, L2H1, L2H0, L1H3, L1H2, … (9 heads), 2)" in shown.err
    saved = Mask(((1, 1),)).save(tmp_path / "edit.json")
    assert main([*command, "--edit", str(saved), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["edit"] == "Mask(L1H1)"
    for more, message in (
        ([], "Nothing is edited. Give --mask, --boost or --edit"),
        (["--mask", "L0H0", "--boost", "L0H0x2"], "L0H0 is edited twice"),
        (["--mask", "retrieval:3"], "needs an atlas"),
        (["--mask", "retrieval:13", "--atlas", str(atlas)], "13 heads can't be taken of 12"),
        (["--mask", "L9H0"], "L9H0 does not exist: tiny has layers 0 to 2"),
        (["--mask", "L0H0", "--positions", "first"], "Unknown positions 'first'"),
        (["--mask", "L0H0", "--chat"], "no chat template"),
        (["--mask", "L0H0", "--tokens", "600"], "reads 1 to 512 in all"),
    ):
        assert main([*command, *more]) == 2, more
        assert message in capsys.readouterr().err.splitlines()[-1]
