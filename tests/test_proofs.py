"""What a load proves: families registered from outside, by one entry, with unusual attention or logits."""

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, GptOssConfig, GptOssForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.modeling_outputs import CausalLMOutputWithPast

from headatlas.errors import ModelError
from headatlas.models.architectures import Architecture, architectures, exact_when_packed
from headatlas.models.block import Block
from headatlas.models.direct import contributions
from headatlas.models.gradient import estimate
from headatlas.models.head_model import HeadModel
from headatlas.models.patterns import Patterns
from headatlas.models.sweep import sweep
from tests.oracle import logprob
from tests.test_sweep import prompts_with_foils, random_replacement, twin
from tests.tiny import CONFIGS, Tokens, tiny

DOUBLE = torch.float64


@pytest.fixture
def outside(monkeypatch):
    """Register families for one test only."""

    def register(kind, *, masks="single"):
        monkeypatch.setitem(architectures._table, kind, Architecture("model.layers", "self_attn.o_proj", masks))

    return register


def built(kind, config, cls, name):
    """Return a tiny float64 model of a class, its weights large."""
    torch.manual_seed(0)
    model = cls(config(**{**CONFIGS[kind][1], "attn_implementation": "eager"}))
    with torch.no_grad():
        for parameter, weight in model.named_parameters():
            weight.normal_(std=2 if parameter.endswith("sinks") else 0.4)
    return HeadModel(model.to(DOUBLE).eval(), Tokens(), name)


def assert_equals_stock_passes(model):
    prompts = prompts_with_foils()
    replacement = random_replacement(model, prompts=len(prompts))
    swept = sweep(model, prompts, replacement)
    attributed = estimate(model, prompts, replacement)
    for i in (0, 3):
        base, effect = twin(model, prompts[i], replacement[:, i])
        np.testing.assert_allclose(swept.base[i], base, atol=1e-9)
        np.testing.assert_allclose(swept.effect[i], effect, atol=1e-9)
        assert np.abs(effect[..., 0]).max() > 1e-2
        assert attributed.base[i] == pytest.approx(float(logprob(model, prompts[i])), abs=1e-9)


@pytest.fixture
def with_sinks(outside):
    """Return a function that builds a model of a family from outside whose attention has learned sinks."""

    class Config(GptOssConfig):
        model_type = "outside"

    outside("outside", masks="by_layer_type")
    return lambda: built("gpt_oss", Config, GptOssForCausalLM, "outside")


def test_sinks_of_a_family_from_outside_join_its_answers_run_apart(with_sinks):
    model = with_sinks()
    assert model.unpacked is None and model.unsplit is None
    assert_equals_stock_passes(model)


def test_sinks_left_out_are_noticed(with_sinks, monkeypatch):
    attend = Block._attend
    monkeypatch.setattr(Block, "_attend", lambda *args, s_aux, **more: attend(*args, **more))
    assert "run apart from their prompts differ by" in with_sinks().unsplit


def test_sinks_that_depend_on_the_query_are_noticed_and_prompts_run_whole(with_sinks, monkeypatch):
    """What the family hands to attention is not the whole of its sinks; the rest is in its eager attention only."""

    def eager(module, query, key, value, attention_mask, scaling, **_):
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        scores = query @ key.transpose(-1, -2) * scaling + attention_mask
        sinks = (module.sinks[:, None] + query.mean(-1))[..., None]
        weights = torch.softmax(torch.cat([scores, sinks], -1), -1)[..., :-1]
        return (weights @ value).transpose(1, 2), weights

    monkeypatch.setattr("transformers.models.gpt_oss.modeling_gpt_oss.eager_attention_forward", eager)
    model = with_sinks()
    assert model.unpacked is None
    assert "run apart from their prompts differ by" in model.unsplit
    assert "the logits differ" in Patterns(model).whole
    assert_equals_stock_passes(model)


def test_any_other_term_in_attention_is_noticed_too():
    """Llama, asked to attend by a function in which a key of value 0 takes a share."""

    def shared(module, query, key, value, attention_mask, *, scaling, **_):
        group = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        scores = query @ key.transpose(-1, -2) * scaling
        n = query.shape[-2]
        seen = torch.ones(n, n, dtype=torch.bool).tril() if attention_mask is None else attention_mask == 0
        weight = scores.masked_fill(~seen, -torch.inf).exp()
        return ((weight / (1 + weight.sum(-1, keepdim=True))) @ value).transpose(1, 2), None

    AttentionInterface.register("tests_shared", shared)
    plain = tiny("llama", dtype=DOUBLE)
    assert plain.unsplit is None
    plain.model.config._attn_implementation = "tests_shared"
    model = HeadModel(plain.model, Tokens(), "llama")
    assert "differ by" in model.unsplit
    assert_equals_stock_passes(model)


def test_attention_that_fails_apart_is_no_reason_to_refuse_the_model(monkeypatch):
    def fail(self, *_, **__):
        raise TypeError("no such argument\nmore")

    monkeypatch.setattr("headatlas.models.block.Block._attend", fail)
    assert "can't be run apart from their prompts (TypeError: no such argument)" in tiny("llama").unsplit


class Bent(LlamaForCausalLM):
    """Llama whose logits are scaled, bent, and one of them barred."""

    def forward(self, input_ids=None, **inputs):
        out = super().forward(input_ids=input_ids, **inputs)
        logits = 0.3 * out.logits + torch.sin(out.logits)
        logits[..., 5] = -torch.inf
        return CausalLMOutputWithPast(logits=logits, past_key_values=out.past_key_values)


class Odd(LlamaForCausalLM):
    """Llama whose logits depend on the tokens that were read."""

    def forward(self, input_ids=None, **inputs):
        out = super().forward(input_ids=input_ids, **inputs)
        return CausalLMOutputWithPast(
            logits=out.logits * (1 + input_ids.sum() / 100), past_key_values=out.past_key_values
        )


def test_logits_are_made_as_the_model_makes_them_whatever_that_is():
    model = built("llama", LlamaConfig, Bent, "bent")
    assert model.unsplit is None
    prompts = [p for p in prompts_with_foils(8) if 5 not in [*p.answer_tokens, *p.foil]][:2]
    replacement = random_replacement(model)
    swept = sweep(model, prompts, replacement)
    for i, prompt in enumerate(prompts):
        base, effect = twin(model, prompt, replacement[:, 0])
        keep = [0, 1, 3]  # 0 log 0 of the barred token is no number in the divergence
        np.testing.assert_allclose(swept.base[i][keep], base[keep], atol=1e-5)
        np.testing.assert_allclose(swept.effect[i][..., keep], effect[..., keep], atol=1e-5)  # norms are float32
    with pytest.raises(ModelError, match=r"logits of its tokens by different numbers \(0 to 1.3\)"):
        contributions(model, prompts)


def test_logits_that_no_hidden_state_gives_are_refused():
    with pytest.raises(ModelError, match=r"odd: the logits made of the last hidden states differ by .* Odd's forward"):
        built("llama", LlamaConfig, Odd, "odd")


def test_layers_whose_mask_is_unknown_are_not_packed():
    model = tiny("qwen2")
    model.text_config.layer_types = ["full_attention", "full_attention", "chunked_attention"]
    assert "layers of kind 'chunked_attention'" in exact_when_packed(model.model.config, model.architecture)


def test_windows_are_crossed_in_the_proof_and_left_as_they_were(monkeypatch):
    monkeypatch.setattr("headatlas.models.access.Access.window", lambda self, layer: None)  # no window is cut apart
    model = tiny("mistral", dtype=DOUBLE)
    assert "differ by" in model.unsplit
    assert model.text_config.sliding_window == 5


def test_proving_leaves_no_hook_and_no_stand_in():
    model = tiny("cohere")
    model.logits_of(torch.zeros(2, 32))
    modules = list(model.model.modules())
    assert not any(m._forward_pre_hooks or m._forward_hooks or "forward" in vars(m) for m in modules)
