"""The fast sweep against its slow twin: one stock forward pass for every head, with a plain hook."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, RunError
from headatlas.methods.ablation import Ablation, AblationResample, AblationZero, balanced_mean, replacements
from headatlas.methods.base import Activations
from headatlas.models.block import Block, Variants
from headatlas.models.head_model import HeadModel
from headatlas.models.objective import METRICS
from headatlas.models.sweep import sweep
from tests.tiny import ARCHITECTURES, VOCAB, random_prompts, tiny

EAGER = {"gemma2": 1e-5}
"""Stock attention that takes its softmax in float32 whatever the model's dtype: the twin itself is no better."""


def prompts_with_foils(n=4, **options):
    draw = np.random.default_rng(5)
    return [replace(p, foil=draw.integers(3, VOCAB, 3)) for p in random_prompts(n, **options)]


def random_replacement(model, *, draws=2, prompts=1, seed=0):
    shape = (draws, prompts, model.n_layers, model.n_heads, model.head_dim)
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=0.3, size=shape)).to(model.dtype)


def twin(model, prompt, replacement, positions="answer"):
    """Return what `sweep` gives for one prompt: a stock pass for every head and draw."""

    def read(edits):
        with torch.inference_mode(), model.edit(edits):
            out = model.model(input_ids=torch.from_numpy(prompt.tokens)[None], use_cache=False)
        logits = out.logits[0, prompt.predicting].double()
        logp = torch.log_softmax(logits, -1)
        total = float(logp[torch.arange(len(logp)), torch.from_numpy(prompt.answer_tokens)].sum())
        k = int(np.flatnonzero(prompt.foil != prompt.answer_tokens)[0])
        difference = float(logits[k, prompt.answer_tokens[k]] - logits[k, prompt.foil[k]])
        return logp, total, difference

    n, start = len(prompt.answer_tokens), prompt.answer_start - 1 if positions == "answer" else 0
    logp, total, difference = read({})
    effect = np.zeros((model.n_layers, model.n_heads, len(METRICS)))
    for layer, head in np.ndindex(model.n_layers, model.n_heads):
        for r in replacement[:, layer, head]:

            def put(z, head=head, r=r):
                z = z.clone()
                z[:, start : len(prompt.tokens) - 1, head] = r
                return z

            new_logp, new_total, new_difference = read({layer: put})
            kl = float((logp.exp() * (logp - new_logp)).sum(-1).mean())
            found = [(total - new_total) / n, total - new_total, kl, difference - new_difference]
            effect[layer, head] += np.array(found) / len(replacement)
    return np.array([total / n, total, 0, difference]), effect


@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_sweep_is_one_stock_pass_a_head(name, positions):
    for dtype, bound in ((torch.float64, EAGER.get(name, 1e-9)), (torch.float32, 1e-4)):
        model = tiny(name, dtype=dtype)
        prompts = prompts_with_foils()
        replacement = random_replacement(model, prompts=len(prompts))
        swept = sweep(model, prompts, replacement, positions=positions, max_tokens=200)
        for i in (0, 3) if dtype == torch.float64 else (1,):
            base, effect = twin(model, prompts[i], replacement[:, i], positions)
            np.testing.assert_allclose(swept.base[i], base, atol=bound)
            np.testing.assert_allclose(swept.effect[i], effect, atol=bound)
            assert np.abs(effect[..., 0]).max() > 1e-3, "something is at stake"


@pytest.mark.parametrize("size", [-1000, 3, 1000])
def test_learned_sinks_of_any_size_take_their_share(size):
    """Sinks that take nothing, most, and all of a head's weights: no softmax overflows."""
    model = tiny("gpt_oss", dtype=torch.float64)
    for layer in model.layers:
        layer.self_attn.sinks += size
    assert HeadModel(model.model, model.tokenizer, "sinks").unsplit is None, "proved with these sinks"
    prompts = prompts_with_foils()
    replacement = random_replacement(model, prompts=len(prompts))
    for positions in ("answer", "all"):
        swept = sweep(model, prompts, replacement, positions=positions, max_tokens=200)
        for i in (0, 3):
            base, effect = twin(model, prompts[i], replacement[:, i], positions)
            np.testing.assert_allclose(swept.base[i], base, atol=1e-9)
            np.testing.assert_allclose(swept.effect[i], effect, atol=1e-9)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "gpt2", "falcon"])
def test_nothing_depends_on_chunks_or_company(name):
    model = tiny(name, dtype=torch.float64)
    prompts = prompts_with_foils(6)
    replacement = random_replacement(model, prompts=6)
    whole = sweep(model, prompts, replacement).effect
    for max_tokens in (1, 37, 10**6):
        np.testing.assert_allclose(sweep(model, prompts, replacement, max_tokens=max_tokens).effect, whole, atol=1e-6)
    order = [3, 0, 5, 1, 4, 2]
    turned = sweep(model, [prompts[i] for i in order], replacement[:, order]).effect
    np.testing.assert_allclose(turned, whole[order], atol=1e-6)
    alone = [sweep(model, [p], replacement[:, i : i + 1]).effect[0] for i, p in enumerate(prompts)]
    np.testing.assert_allclose(alone, whole, atol=1e-6)


def test_replacing_a_head_by_itself_changes_nothing():
    """With one answer token the pooled z is the z that is replaced: every effect is 0."""
    model = tiny("llama", dtype=torch.float64)
    prompts = prompts_with_foils(4, answer=1)
    z = torch.from_numpy(model.capture(prompts).z)[None].double()
    effect = sweep(model, prompts, z).effect
    assert np.abs(effect).max() < 1e-6  # z is kept in float32
    assert np.abs(sweep(model, prompts, torch.zeros_like(z)).effect[..., 0]).max() > 1e-2


def test_the_model_is_left_as_it_was():
    model = tiny("qwen2")
    prompts = prompts_with_foils(2)
    tokens = torch.from_numpy(prompts[0].tokens)[None]
    before, kind = model.model(input_ids=tokens).logits, model.model.config._attn_implementation
    sweep(model, prompts, random_replacement(model))
    with pytest.raises(RuntimeError):
        Block(model, prompts).run({0: Variants(torch.tensor([0]), torch.zeros(1, 1, 99))})
    assert model.model.config._attn_implementation == kind
    assert torch.equal(model.model(input_ids=tokens).logits, before)
    assert not any(m._forward_pre_hooks for m in model.model.modules())


@pytest.mark.parametrize("name", ["llama", "gpt_oss"])
def test_a_prompt_of_one_token(name):
    model = tiny(name, dtype=torch.float64)
    prompt = replace(prompts_with_foils(1)[0], tokens=np.array([5, 6, 7, 8]), answer_start=1)
    replacement = random_replacement(model)
    swept = sweep(model, [prompt], replacement)
    np.testing.assert_allclose(swept.effect[0], twin(model, prompt, replacement[:, 0])[1], atol=1e-9)


def test_an_answer_without_probability_is_named(monkeypatch):
    model, logits_of = tiny("llama"), HeadModel.logits_of
    prompts = prompts_with_foils(2)
    never = torch.tensor([tok for tok in prompts[1].answer_tokens if tok not in prompts[0].answer_tokens])
    monkeypatch.setattr(HeadModel, "logits_of", lambda self, h: logits_of(self, h).index_fill(-1, never, -torch.inf))
    with pytest.raises(RunError, match=rf"reference answer of {prompts[1].id} .* no probability in float32"):
        sweep(model, prompts, random_replacement(model))


def test_a_replacement_of_another_shape_is_refused():
    model = tiny("llama")
    with pytest.raises(InputError, match=r"has shape \(1, 1, 2, 4, 6\), expected .* \(3, 4, 6\)"):
        sweep(model, prompts_with_foils(2), torch.zeros(1, 1, 2, 4, 6))


# -- what z is replaced by -----------------------------------------------------------------------------------


def some_activations(prompts, shape=(3, 4, 6)):
    z = np.random.default_rng(1).normal(size=(len(prompts), *shape)).astype(np.float32)
    function, group = np.array([p.function for p in prompts]), np.array([p.group for p in prompts])
    return Activations(z, function, group, tuple(sorted(set(function.tolist()))))


def test_the_mean_weighs_functions_alike():
    prompts = [replace(p, function="a" if i else "b") for i, p in enumerate(random_prompts(5))]
    activations = some_activations(prompts)
    expected = (activations.z[1:].mean(0) + activations.z[0]) / 2
    np.testing.assert_allclose(balanced_mean(activations), expected, atol=1e-6)


def test_resampling_draws_from_other_questions_by_prompt_and_seed():
    prompts = random_prompts(8, groups=3)
    activations = some_activations(prompts)
    drawn = replacements("resample", prompts, activations, draws=5, seed=3)
    assert drawn.shape == (5, 8, 3, 4, 6)
    for i, prompt in enumerate(prompts):
        for z in drawn[:, i]:
            (item,) = np.flatnonzero((activations.z == z).all(axis=(1, 2, 3)))
            assert activations.group[item] != prompt.group
    some = replacements("resample", prompts[5:2:-1], activations, draws=5, seed=3)
    np.testing.assert_array_equal(some, drawn[:, 5:2:-1])
    assert not np.array_equal(replacements("resample", prompts, activations, draws=5, seed=4), drawn)


def test_what_ablation_refuses():
    prompts = random_prompts(4, groups=1)
    with pytest.raises(InputError, match="Resampling replaces z by that of other main questions"):
        AblationResample().check(prompts)
    AblationZero().check(prompts)
    empty = replace(prompts[0], tokens=prompts[0].tokens[: prompts[0].answer_start])
    with pytest.raises(InputError, match=f"{empty.id} has an answer of no tokens"):
        Ablation().check([empty])
    with pytest.raises(InputError, match="draws of 1 or more"):
        AblationResample(draws=0)


@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_short_memory_makes_chunks_smaller_then_packs_and_changes_nothing(name, monkeypatch):
    model, prompts = tiny(name, dtype=torch.float64), prompts_with_foils()
    r = random_replacement(model)
    whole, read, rows = sweep(model, prompts, r), Block.read, []

    def scarce(self, hidden, **options):
        rows.append((len(self.prompts), hidden.shape[0] * len(self)))
        if rows[-1][0] > 1 or rows[-1][1] > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12 bytes")
        return read(self, hidden, **options)

    monkeypatch.setattr(Block, "read", scarce)
    found = sweep(model, prompts, r)
    np.testing.assert_allclose(found.effect, whole.effect, atol=1e-9)
    np.testing.assert_allclose(found.base, whole.base, atol=1e-5)
    assert rows[0][1] > 100 >= rows[-1][1]

    def none(self, hidden, **options):
        raise MemoryError

    monkeypatch.setattr(Block, "read", none)
    with pytest.raises(RunError, match=r"Not enough memory for g0/0 alone \(\d+ tokens\)\. Give --dtype"):
        sweep(model, prompts, r)
