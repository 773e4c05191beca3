"""Heads read and replaced, on a tiny random model of every supported architecture, against plain hooks."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, ModelError, RunError
from headatlas.models.architectures import Architecture, architectures, projections
from headatlas.models.head_model import HeadModel
from headatlas.models.proofs import prove
from tests.tiny import ARCHITECTURES, Tokens, random_prompts, tiny


def stock(model: HeadModel, prompt, head=None):
    """The obviously right twin: one plain forward pass of the Hugging Face model, one plain hook a layer."""
    seen, handles = {}, []
    for layer, module in enumerate(projections(model.model, model.architecture)):

        def hook(_module, args, layer=layer):
            x = args[0].clone()
            if head is not None and head[0] == layer:
                x[..., head[1] * model.head_dim : (head[1] + 1) * model.head_dim] = 0
            seen[layer] = x
            return (x,)

        handles.append(module.register_forward_pre_hook(hook))
    with torch.no_grad():
        logits = model.model(input_ids=torch.from_numpy(prompt.tokens)[None]).logits[0]
    for handle in handles:
        handle.remove()
    z = torch.stack([seen[i][0, prompt.chosen].mean(0) for i in range(model.n_layers)])
    logprob = logits.log_softmax(-1)[prompt.predicting, prompt.answer_tokens]
    return z.view(model.n_layers, model.n_heads, model.head_dim).numpy(), float(logprob.mean()), logits


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-6)])
def test_a_packed_capture_equals_stock_forward_passes(name, dtype, tolerance):
    model = tiny(name, dtype=dtype)
    prompts = random_prompts(7, length=40)
    captured = model.capture(prompts)
    for i, prompt in enumerate(prompts):
        z, logprob, _ = stock(model, prompt)
        np.testing.assert_allclose(captured.z[i], z, atol=tolerance, rtol=tolerance)
        assert captured.logprob[i] == pytest.approx(logprob, abs=tolerance, rel=tolerance)


@pytest.mark.parametrize("name", ["llama", "gemma2", "falcon-alibi"])
def test_foils_and_generated_answers_are_scored_and_pooled_as_if_alone(name):
    model = tiny(name, dtype=torch.float64)
    prompts = random_prompts(5)
    foils = [np.array([5, 6, 7 + i]) for i in range(4)] + [np.empty(0, dtype=np.int64)]
    own = [np.concatenate([p.prefix, [9, 9 + i]]) for i, p in enumerate(prompts)]
    mixed = [
        replace(p, foil=f, own=o if i % 2 else None)
        for i, (p, f, o) in enumerate(zip(prompts, foils, own, strict=True))
    ]
    captured = model.capture(mixed)
    for i, prompt in enumerate(mixed):
        pooled = replace(prompt, tokens=prompt.pooled)
        np.testing.assert_allclose(captured.z[i], stock(model, pooled)[0], atol=1e-6)
        assert captured.logprob[i] == pytest.approx(stock(model, prompt)[1], abs=1e-6)
        if len(prompt.foil):
            wrong = replace(prompt, tokens=np.concatenate([prompt.prefix, prompt.foil]))
            assert captured.foil_logprob[i] == pytest.approx(stock(model, wrong)[1], abs=1e-6)
    assert np.isnan(captured.foil_logprob[4])


def test_greedy_says_whether_every_answer_token_is_the_likeliest():
    model = tiny("llama")
    prompt = random_prompts(1)[0]
    first = int(stock(model, prompt)[2][prompt.answer_start - 1].argmax())
    right = replace(prompt, tokens=np.concatenate([prompt.prefix, [first]]), chosen=prompt.chosen[:1])
    wrong = replace(right, tokens=np.concatenate([prompt.prefix, [(first + 1) % 90 + 3]]))
    assert model.capture([right, wrong]).greedy.tolist() == [True, False]


def test_every_architecture_of_the_table_is_tested():
    from tests.tiny import CONFIGS

    assert {kind for kind, _ in CONFIGS.values()} == set(architectures)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_editing_z_equals_a_plain_hook_and_is_undone(name):
    model = tiny(name, dtype=torch.float64)
    prompt = random_prompts(1)[0]
    tokens = torch.from_numpy(prompt.tokens)[None]

    def run():
        with torch.no_grad():
            return model.model(input_ids=tokens).logits[0]

    plain = run()
    for head in ((0, 1), (model.n_layers - 1, 3)):

        def zero(z, h=head[1]):
            z = z.clone()
            z[:, :, h] = 0
            return z

        with model.edit({head[0]: zero}):
            edited = run()
        torch.testing.assert_close(edited, stock(model, prompt, head)[2], atol=1e-9, rtol=1e-9)
        assert (edited - plain).abs().max() > 1e-6
    torch.testing.assert_close(run(), plain, atol=0, rtol=0)


def test_edits_nest_and_are_gone_after_an_exception():
    model = tiny("llama", dtype=torch.float64)
    tokens = torch.arange(3, 9)[None]
    plain = model.model(input_ids=tokens).logits
    with model.edit({1: lambda z: z * 2}), model.edit({1: lambda z: z + 1}):
        both = model.model(input_ids=tokens).logits
    with model.edit({1: lambda z: z * 2 + 1}):
        torch.testing.assert_close(model.model(input_ids=tokens).logits, both)
    with pytest.raises(ZeroDivisionError), model.edit({0: lambda z: z / 0 if 1 // 0 else z}):
        model.model(input_ids=tokens)
    assert not any(p._forward_pre_hooks for p in model.projections)
    torch.testing.assert_close(model.model(input_ids=tokens).logits, plain, atol=0, rtol=0)


def test_an_edit_holds_in_generate_with_the_cache():
    model = tiny("llama", dtype=torch.float64)
    tokens = torch.arange(3, 13)[None]

    def generate():
        return model.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=8, do_sample=False, pad_token_id=0
        )

    edit = {layer: (lambda z: torch.zeros_like(z)) for layer in range(model.n_layers)}
    with model.edit(edit):
        cached = generate()
        step = tokens
        for _ in range(cached.shape[1] - tokens.shape[1]):
            logits = model.model(input_ids=step, use_cache=False).logits
            step = torch.cat([step, logits[:, -1:].argmax(-1)], 1)
    assert cached.tolist() == step.tolist()
    assert generate().tolist() != cached.tolist()


def test_bad_edits_say_what_to_do():
    model = tiny("gpt2")
    with (
        pytest.raises(InputError, match="Layer 3 does not exist: gpt2 has layers 0 to 2"),
        model.edit({3: lambda z: z}),
    ):
        pass
    with (
        pytest.raises(InputError, match=r"layer 0 returned shape .* z has"),
        model.edit({0: lambda z: z[..., :2]}),
    ):
        model.model(input_ids=torch.arange(3, 9)[None])


def test_nan_in_z_stops_the_run_naming_layer_head_and_item():
    model = tiny("llama")
    prompts = random_prompts(4)
    with torch.no_grad():
        value = model.model.model.layers[1].self_attn.v_proj
        value.weight[6:12] = float("nan")  # KV head 1, read by query heads 2 and 3
    with pytest.raises(RunError, match=rf"NaN or infinity in z of L1H2 at {prompts[0].id}"):
        model.capture(prompts)


def test_out_of_memory_halves_the_batch_and_goes_on():
    model = tiny("llama")
    prompts = random_prompts(8)
    whole = model.capture(prompts)
    original, sizes = model._capture_tree, []

    def scarce(part):
        sizes.append(len(part))
        if len(part) > 2:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
        return original(part)

    model._capture_tree = scarce
    np.testing.assert_allclose(model.capture(prompts).z, whole.z, atol=1e-5)
    assert sizes == [8, 4, 2, 2, 4, 2, 2]

    def none(part):
        raise MemoryError

    model._capture_tree = none
    with pytest.raises(RunError, match="Not enough memory for g0/0 alone"):
        model.capture(prompts)


def test_a_tokenizer_of_another_model_is_named():
    prompt = random_prompts(1)[0]
    with pytest.raises(ModelError, match="has token 97, the model's embedding has 97: the tokenizer is of another"):
        tiny("llama").capture([replace(prompt, foil=np.array([97]))])


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    model = tiny("llama")

    def broken(part):
        raise RuntimeError("something else")

    model._capture_tree = broken
    with pytest.raises(RuntimeError, match="something else"):
        model.capture(random_prompts(2))


def test_a_wrong_table_entry_is_refused_by_the_proof():
    model = tiny("llama")
    wrong = Architecture("model.layers", "mlp.down_proj")
    model.architecture = wrong
    model.projections = list(projections(model.model, wrong))
    with pytest.raises(ModelError, match=r"layer 0: the input of 'mlp.down_proj' has shape \(1, 8, 48\)"):
        prove(model)


def test_a_slice_of_the_output_is_no_head():
    """q_proj's input has the right width here, but editing it is not what the heads add up from."""
    model = tiny("llama", dtype=torch.float64)
    model.projections = [torch.nn.Identity() for _ in range(model.n_layers)]
    with pytest.raises(ModelError, match="has shape None"):
        prove(model)


def test_an_architecture_that_packs_wrongly_is_run_one_prompt_at_a_time():
    model = tiny("gpt_neox")
    assert model.unpacked is None
    forward = model.model.forward

    def deaf(**inputs):  # a model that ignores position_ids, as some do
        inputs.pop("position_ids", None)
        return forward(**inputs)

    model.model.forward = deaf
    again = HeadModel(model.model, Tokens(), "deaf")
    assert again.unpacked is not None
    assert "packed results differ" in again.unpacked
    prompts = random_prompts(3)
    np.testing.assert_allclose(again.capture(prompts).z, _alone(model, prompts), atol=1e-5)


def _alone(model, prompts):
    return np.stack([stock(model, p)[0] for p in prompts])


def test_digest_follows_the_weights_not_the_object():
    a, b, c = tiny("llama"), tiny("llama"), tiny("llama", seed=1)
    assert a.digest == b.digest != c.digest
