"""What is exported loads in stock transformers and does what the edit does."""

import csv
import json

import pytest
import torch
from transformers import AutoModelForCausalLM

import headatlas as ha
from headatlas.cli.main import main
from headatlas.errors import InputError, RunError
from headatlas.interventions import Mask, write_heads, write_lora, write_pruned
from headatlas.interventions.export import columns_of
from tests.saved import save_tiny
from tests.test_answering import atlas  # noqa: F401  (a fixture)
from tests.tiny import ARCHITECTURES, tiny

HEADS = ((0, 1), (2, 3), (2, 0))
IDS = torch.arange(3, 15)[None]


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def full(*_):
    raise OSError(28, "No space left on device")


def test_a_pruned_checkpoint_is_the_masked_model_in_stock_transformers(tmp_path, monkeypatch):
    model = ha.load_model(str(save_tiny(tmp_path / "tiny")))
    before = logits(model.model)
    with model.edit(Mask(HEADS)):
        masked = logits(model.model)
    folder = write_pruned(model, HEADS, tmp_path / "pruned")
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(folder)), masked, atol=1e-6, rtol=1e-6)
    assert (masked - before).abs().max() > 1e-4
    torch.testing.assert_close(logits(model.model), before, atol=0, rtol=0)
    again = ha.load_model(str(folder))
    assert again.tokenizer("Anna")["input_ids"] == model.tokenizer("Anna")["input_ids"]
    listed = json.loads((folder / "pruned_heads.json").read_text())
    assert listed == [{"layer": layer, "head": head} for layer, head in HEADS]
    assert {p.name for p in tmp_path.iterdir()} == {"tiny", "pruned"}, "nothing half written is left"
    monkeypatch.setattr("headatlas.interventions.export.os.replace", full)
    with pytest.raises(RunError, match=r"Can't write .*: No space left"):
        write_pruned(model, HEADS, tmp_path / "another")
    assert {p.name for p in tmp_path.iterdir()} == {"tiny", "pruned"}
    torch.testing.assert_close(logits(model.model), before, atol=0, rtol=0)
    with pytest.raises(InputError, match="is not empty"):
        write_pruned(model, HEADS, tmp_path / "pruned")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_columns_are_heads_on_every_architecture(name):
    model = tiny(name, dtype=torch.float64)
    with model.edit(Mask(HEADS)):
        masked = logits(model.model)
    for layer, head in HEADS:
        columns_of(model, layer).data.unflatten(1, (model.n_heads, model.head_dim))[:, head] = 0
    torch.testing.assert_close(logits(model.model), masked, atol=1e-9, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks for it
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_lora_config_names_the_projections_of_the_heads_layers(name, tmp_path):
    model = tiny(name)
    config = json.loads(write_lora(model, HEADS, tmp_path, rank=4).read_text())
    modules = dict(model.model.named_modules())
    assert [modules[n] for n in config["target_modules"]] == [model.projections[0], model.projections[2]]
    assert config["r"] == 4 and config["fan_in_fan_out"] == (name == "gpt2")
    import peft

    model.model.name_or_path = model.name
    adapted = peft.get_peft_model(model.model, peft.LoraConfig.from_pretrained(tmp_path))
    torch.testing.assert_close(logits(adapted), logits(tiny(name).model))
    with pytest.raises(InputError, match="rank 0 learns nothing"):
        write_lora(model, HEADS, tmp_path, rank=0)


def test_lists_and_the_command(atlas, tmp_path, capsys):  # noqa: F811
    with (write_heads(HEADS, tmp_path / "heads.csv")).open() as file:
        assert list(csv.reader(file)) == [["layer", "head"], ["0", "1"], ["2", "3"], ["2", "0"]]
    model = save_tiny(tmp_path / "tiny")
    assert main(["export", "retrieval:2", "--atlas", str(atlas), "--out", str(tmp_path / "h.json")]) == 0
    assert json.loads((tmp_path / "h.json").read_text()) == [{"layer": 0, "head": 0}, {"layer": 0, "head": 1}]
    assert main(["export", "L0H1,L2H3", "--as", "pruned", "-m", str(model), "--out", str(tmp_path / "cut")]) == 0
    assert main(["export", "L0H1", "--as", "lora", "-m", str(model), "--out", str(tmp_path / "lora")]) == 0
    assert json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    capsys.readouterr()
    for arguments, message in (
        (["L0H1", "--out", str(tmp_path / "h.txt")], "Heads are written as .json or .csv"),
        (["L0H1", "--as", "onnx", "--out", "x"], "Unknown --as 'onnx'"),
        (["L9H1", "--as", "pruned", "-m", str(model), "--out", str(tmp_path / "new")], "L9H1 does not exist"),
        (["retrieval:2", "--out", "x.json"], "needs an atlas"),
    ):
        assert main(["export", *arguments]) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "new").exists()
