"""Direct contributions against the residual stream taken apart by hand, on every architecture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, ModelError
from headatlas.methods.dla import DirectLogit
from headatlas.models.architectures import walk
from headatlas.models.direct import contributions
from tests.oracle import plain_hooks
from tests.tiny import ARCHITECTURES, random_prompts, tiny

DOUBLE = torch.float64
FINAL = {"gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm", "falcon": "transformer.ln_f",
         "opt": "model.decoder.final_layer_norm", "gemma3": "model.language_model.norm"}  # fmt: skip
AFTER_ATTENTION = {"gemma2", "gemma3_text", "gemma3", "olmo2"}  # a norm between o_proj and the residual stream


def with_foils(prompts):
    return [replace(p, foil=p.answer_tokens[::-1] + 1) for p in prompts]


def by_hand(module, x, parts):
    """What a norm makes of `parts` of its input x, its scale at x."""
    if isinstance(module, torch.nn.LayerNorm):
        centred = parts - parts.mean(-1, keepdim=True)
        return centred / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + module.eps) * module.weight
    if type(module).__name__.startswith("Cohere"):  # layer norms of its own, without a bias
        x, parts = x - x.mean(-1, keepdim=True), parts - parts.mean(-1, keepdim=True)
    gain = 1 + module.weight if type(module).__name__.startswith("Gemma") else module.weight
    eps = getattr(module, "variance_epsilon", None) or module.eps
    return parts / torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * gain


@torch.no_grad()
def taken_apart(model, name: str, prompt, against: str):
    """Every head's contribution by hand from one stock forward pass, and the whole logit difference."""
    family = name.split("-")[0]
    final = walk(model.model, FINAL.get(family, "model.norm"))
    norms = {i: layer.post_attention_layernorm for i, layer in enumerate(model.layers) if family in AFTER_ATTENTION}
    z, seen = {}, {}
    handles = [
        m.register_forward_hook(lambda m, args, out: seen.__setitem__(m, args[0][0])) for m in (final, *norms.values())
    ]
    with plain_hooks(model, lambda i, x: (z.__setitem__(i, x[0]), x)[1]):
        logits = model.model(input_ids=torch.from_numpy(prompt.tokens)[None], use_cache=False).logits[0]
    for handle in handles:
        handle.remove()
    at, targets, foil = prompt.predicting, torch.from_numpy(prompt.answer_tokens), torch.from_numpy(prompt.foil)
    unembed = model.model.get_output_embeddings().weight
    direction = unembed[targets] - (unembed.mean(0) if against == "mean" else unembed[foil])
    which = list(range(len(at))) if against == "mean" else [int((targets != foil).nonzero()[0])]
    config = model.text_config
    found = np.zeros((model.n_layers, model.n_heads))
    for layer in range(model.n_layers):
        for head in range(model.n_heads):
            alone = torch.zeros_like(z[layer])
            alone[:, head] = z[layer][:, head]
            project = model.projections[layer]
            weight = project.weight if family == "gpt2" else project.weight.T  # Conv1D is (in, out)
            written = alone.flatten(1) @ weight
            if layer in norms:
                written = by_hand(norms[layer], seen[norms[layer]], written)
            written = written * getattr(config, "residual_multiplier", 1.0)
            read = by_hand(final, seen[final], written)[at] / getattr(config, "logits_scaling", 1.0)
            read = read * getattr(config, "logit_scale", 1.0)
            found[layer, head] = (read * direction).sum(-1)[which].mean()
    against_logit = logits[at].mean(-1) if against == "mean" else logits[at, foil]
    return found, float((logits[at, targets] - against_logit)[which].mean())


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (DOUBLE, 1e-6)])
def test_equals_the_residual_stream_taken_apart(name, dtype, tolerance):
    model = tiny(name, dtype=dtype)
    prompts = with_foils(random_prompts(3))
    for against, objective in (("mean", "logit"), ("foil", "logit_diff")):
        found = contributions(model, prompts, objective=objective)
        expected = np.stack([taken_apart(model, name, p, against)[0] for p in prompts])
        np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def test_granites_multipliers_count():
    model = tiny("granite", dtype=DOUBLE)
    for layer in model.layers:
        layer.residual_multiplier = 0.3
    model.text_config.residual_multiplier = 0.3
    prompt = with_foils(random_prompts(1))[0]
    expected, _ = taken_apart(model, "granite", prompt, "mean")
    np.testing.assert_allclose(contributions(model, [prompt])[0], expected, atol=1e-6)


@pytest.mark.parametrize("before", [True, False])
def test_old_opt_has_norms_on_the_residual_path_and_a_projection_after_it(before):
    """By brute force: a Jacobian of layers that are nothing but residual path and attention's writing."""
    from tests import tiny as module

    kind, config = module.CONFIGS["opt"]
    module.CONFIGS["opt-old"] = (kind, {**config, "do_layer_norm_before": before, "word_embed_proj_dim": 16})
    try:
        model = tiny("opt-old", dtype=DOUBLE)
    finally:
        del module.CONFIGS["opt-old"]
    prompt = random_prompts(1)[0]
    found = contributions(model, [prompt])[0]
    decoder = model.model.model.decoder
    z, seen = {}, {}
    norms = [n for layer in decoder.layers for n in (layer.self_attn_layer_norm, layer.final_layer_norm)]
    norms += [decoder.final_layer_norm] if before else []
    handles = [m.register_forward_hook(lambda m, args, out: seen.__setitem__(m, args[0])) for m in norms]
    with plain_hooks(model, lambda i, x: (z.__setitem__(i, x[0]), x)[1]):
        model.model(input_ids=torch.from_numpy(prompt.tokens)[None], use_cache=False)
    for handle in handles:
        handle.remove()
    seen = {m: x.reshape(-1, x.shape[-1]) for m, x in seen.items()}
    unembed = model.model.get_output_embeddings().weight
    direction = unembed[torch.from_numpy(prompt.answer_tokens)] - unembed.mean(0)
    for layer, head in [(0, 1), (1, 0), (2, 3)]:
        alone = torch.zeros_like(z[layer])
        alone[:, head] = z[layer][:, head]
        x = alone.flatten(1) @ model.projections[layer].weight.T
        if not before:
            for norm in norms[2 * layer :]:
                x = by_hand(norm, seen[norm], x)
        else:
            x = by_hand(norms[-1], seen[norms[-1]], x)
        expected = (decoder.project_out(x)[prompt.predicting] * direction).sum(-1).mean()
        assert found[layer, head] == pytest.approx(float(expected), rel=1e-6, abs=1e-9)


@torch.no_grad()
def test_heads_mlps_and_embedding_sum_to_the_logit_difference():
    model = tiny("llama", dtype=DOUBLE)
    prompt = with_foils(random_prompts(1))[0]
    heads = contributions(model, [prompt]).sum()
    final = model.model.model.norm
    parts, whole = [], {}
    hooks = [layer.mlp.register_forward_hook(lambda m, a, out: parts.append(out[0])) for layer in model.layers]
    hooks.append(model.model.model.embed_tokens.register_forward_hook(lambda m, a, out: parts.append(out[0])))
    hooks.append(final.register_forward_hook(lambda m, a, out: whole.__setitem__("x", a[0][0])))
    _, difference = taken_apart(model, "llama", prompt, "mean")
    for hook in hooks:
        hook.remove()
    parts += [layer.self_attn.o_proj.bias for layer in model.layers]
    unembed = model.model.get_output_embeddings().weight
    direction = unembed[torch.from_numpy(prompt.answer_tokens)] - unembed.mean(0)
    rest = by_hand(final, whole["x"], sum(parts))[prompt.predicting]
    assert heads + float((rest * direction).sum(-1).mean()) == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize("name", ["gemma2", "falcon"])
def test_does_not_depend_on_order_or_packing_and_leaves_no_hook(name):
    model = tiny(name, dtype=DOUBLE)
    prompts = with_foils(random_prompts(5))
    found = contributions(model, prompts)
    bound = 1e-6 * np.abs(found).max()
    np.testing.assert_allclose(contributions(model, prompts[::-1])[::-1], found, atol=bound)
    np.testing.assert_allclose(np.concatenate([contributions(model, [p]) for p in prompts]), found, atol=bound)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.model.modules())


def test_says_what_is_wrong():
    prompts = random_prompts(2)
    with pytest.raises(InputError, match=r"g0/0 has no foil: the logit difference .* can't be read.* metric=logit\."):
        DirectLogit(metric="logit_diff").check(prompts)
    with pytest.raises(InputError, match=r"'logprob' is not linear in the logits.* that is: logit_diff, logit\."):
        DirectLogit(metric="logprob")
    model = tiny("llama")
    with pytest.raises(InputError, match="'kl' is not linear"):
        contributions(model, prompts, objective="kl")
    cube = type("CubeNorm", (torch.nn.Module,), {"forward": lambda self, x: x**3})
    model.model.model.norm = cube()
    with pytest.raises(ModelError, match="CubeNorm is neither"):
        contributions(model, prompts)
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.model.modules())
