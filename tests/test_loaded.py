"""A model that a notebook holds already: taken as it is, with the numbers of the same model by its folder."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, BertConfig, BertModel, LlamaConfig
from transformers import LlamaForCausalLM as Llama

import headatlas as ha
from headatlas.errors import ModelError
from headatlas.models.head_model import HeadModel
from headatlas.prompts import build_prompts
from tests.saved import save_tiny, small_tokenizer
from tests.tiny import CONFIGS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def plain(folder):
    return AutoModelForCausalLM.from_pretrained(folder)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def test_it_is_the_model_itself_and_its_numbers_are_those_of_its_folder(folder, plain, tokenizer):
    places = {name: weight.data_ptr() for name, weight in plain.named_parameters()}
    model, by_folder = ha.load_model(plain, tokenizer=tokenizer), ha.load_model(folder)
    assert model.model is plain and model.tokenizer is tokenizer
    assert {name: weight.data_ptr() for name, weight in plain.named_parameters()} == places, "nothing is copied"
    assert (model.name, model.digest) == ("tiny", by_folder.digest)
    assert (model.unpacked, model.unsplit) == (by_folder.unpacked, by_folder.unsplit) == (None, None)

    prompts = build_prompts(ha.load_questions("controlled", limit=2), tokenizer)
    ours, theirs = model.capture(prompts), by_folder.capture(prompts)
    for name in ("z", "logprob", "foil_logprob"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)
    tokens = torch.from_numpy(prompts[0].tokens)[None]
    edits = {1: lambda z: z * 0}
    with torch.no_grad(), model.edit(edits), by_folder.edit(edits):
        edited = plain(tokens).logits
        torch.testing.assert_close(edited, by_folder.model(tokens).logits, rtol=0, atol=0)
    with torch.no_grad():
        assert (plain(tokens).logits - edited).abs().max() > 1e-3, "the model is whole again"


def test_it_is_measured_like_any_other(plain, tokenizer):
    questions = ha.load_questions("controlled", limit=4)
    atlas = ha.measure(ha.load_model(plain, tokenizer=tokenizer), questions, methods="linear_probe")
    assert dict(atlas["linear_probe"]["importance"].sizes) == {"function": 8, "layer": 3, "head": 4}


def test_a_model_made_from_a_config_is_named_by_its_class(tokenizer):
    config = LlamaConfig(**{**CONFIGS["llama"][1], "vocab_size": len(tokenizer)})
    assert ha.load_model(Llama(config), tokenizer=tokenizer).name == "LlamaForCausalLM"
    config._name_or_path = "owner/name"
    assert ha.load_model(Llama(config), tokenizer=tokenizer).name == "owner/name"


def test_options_that_agree_with_it_are_taken_and_others_refused(plain, tokenizer):
    for options in ({"dtype": "float32"}, {"dtype": "auto"}, {"device": "cpu"}):
        assert ha.load_model(plain, tokenizer=tokenizer, **options).model is plain
    half = plain.to(torch.bfloat16)
    assert "bfloat16 on cpu" in repr(ha.load_model(half, tokenizer=tokenizer))
    for options, message in (
        ({"dtype": "float32"}, r"tiny is loaded in bfloat16, dtype='float32' was asked for\. Leave out dtype, or conv"),
        ({"dtype": "fp8"}, r"Unknown dtype 'fp8'"),
        ({"device": "cuda"}, r"tiny is on cpu, device='cuda' was asked for\. Leave out device, or .*model\.to\(\"cuda"),
        ({"device": "warp"}, r"Device 'warp' can't be used"),
        ({"revision": "main"}, r"revision says how to load a name; tiny is loaded already\. Leave it out"),
        ({"trust_remote_code": True}, r"trust_remote_code says how to load a name"),
    ):
        with pytest.raises(ModelError, match=message):
            ha.load_model(half, tokenizer=tokenizer, **options)


def test_the_tokenizer_is_asked_for_by_what_to_type(plain, folder, tokenizer):
    typed = rf'tokenizer=AutoTokenizer\.from_pretrained\("{folder}"\)\)'
    with pytest.raises(ModelError, match=rf"tiny was given with no tokenizer\. Type: load_model\(model, {typed}"):
        ha.load_model(plain)
    with pytest.raises(ModelError, match=rf"only the name of a tokenizer \('{folder}'\)\. Type: .*{typed}"):
        ha.load_model(plain, tokenizer=str(folder))
    with pytest.raises(ModelError, match=r"dict is no tokenizer\. Give what transformers\.AutoTokenizer"):
        ha.load_model(plain, tokenizer={"a": 1})
    with pytest.raises(ModelError, match=r"tokenizer= goes with a loaded model; '.*tiny' brings its own"):
        ha.load_model(folder, tokenizer=tokenizer)


def test_the_tokenizer_of_another_model_is_noticed(plain):
    other = small_tokenizer("metaspace, first")
    model = ha.load_model(plain, tokenizer=other)
    with pytest.raises(ModelError, match="the tokenizer is of another model"):
        model.capture(build_prompts(ha.load_questions("controlled", limit=1), other))


class Wrapper(torch.nn.Module):
    """As torch.nn.DataParallel, and much else, holds a model."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def test_what_is_no_causal_model_is_refused_by_what_it_is(plain, folder, tokenizer):
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    for thing, message in (
        (tokenizer, r"is a tokenizer\. Type: load_model\(model, tokenizer=tokenizer\)"),
        (HeadModel(plain, tokenizer, "tiny"), "This is a HeadModel already"),
        (Wrapper(plain), r"Can't take a Wrapper as a model\. Give what is inside, e\.g\. model\.module\. Give a name"),
        (None, r"Can't take a NoneType as a model\. Give a name, a path, or what transformers\.AutoModelForCausalLM"),
        (AutoModel.from_pretrained(folder), r"LlamaModel has no output layer.*Load it with AutoModelForCausalLM"),
        (BertModel(BertConfig(**size)), "'bert' is not a causal language model"),
    ):
        with pytest.raises(ModelError, match=message):
            ha.load_model(thing, tokenizer=tokenizer)


def test_a_model_without_weights_or_of_another_attention(plain, tokenizer):
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(plain.config)
    with pytest.raises(ModelError, match=r"has no weights \(they are on the meta device\)"):
        ha.load_model(empty, tokenizer=tokenizer)
    plain.model.layers[2].to("meta")
    with pytest.raises(ModelError, match=r"lies on several devices \(cpu, meta\)"):
        ha.load_model(plain, tokenizer=tokenizer)
    plain.config._attn_implementation = "flex_attention"
    with pytest.raises(ModelError, match=r"attends by 'flex_attention'.*Type: model\.set_attn_implementation\(\"sdpa"):
        ha.load_model(plain, tokenizer=tokenizer)
