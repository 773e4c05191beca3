"""Objectives: one registered from outside is read by sweeps and gradients; first order is ablation's limit."""

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, RunError
from headatlas.models.gradient import estimate
from headatlas.models.objective import METRICS, Objective, objectives
from headatlas.models.sweep import sweep
from tests.test_sweep import prompts_with_foils, random_replacement
from tests.tiny import random_prompts, tiny

DOUBLE = torch.float64


@pytest.fixture
def margin(monkeypatch):
    """Register, for one test, the answer's first logit over the largest other one's."""

    def value(read, i):
        first, target = read.logits[:, read.where[i][0]], read.targets[i][0]
        others = first.index_fill(-1, target, -torch.inf)
        return first[:, target] - others.amax(-1)

    monkeypatch.setattr(objectives, "_table", dict(objectives._table))
    objectives.register("margin", Objective("margin", "logits", value))


def stock_margin(model, prompt, edits):
    with torch.inference_mode(), model.edit(edits):
        logits = model.model(input_ids=torch.from_numpy(prompt.tokens)[None]).logits[0, prompt.answer_start - 1]
    target = int(prompt.answer_tokens[0])
    return float(logits[target] - torch.cat([logits[:target], logits[target + 1 :]]).max())


@pytest.mark.parametrize("name", ["llama", "gpt_oss", "falcon"])
def test_an_objective_from_outside_is_one_registration(name, margin):
    model, prompts = tiny(name, dtype=DOUBLE), prompts_with_foils()
    replacement = random_replacement(model, draws=1)
    swept = sweep(model, prompts, replacement, metrics=("kl", "margin"))
    usual = sweep(model, prompts, replacement)
    assert swept.effect.shape == (4, model.n_layers, model.n_heads, 2)
    np.testing.assert_allclose(swept.effect[..., 0], usual.effect[..., METRICS.index("kl")], atol=1e-9)
    assert (swept.base[:, 0] == 0).all()
    for i, (layer, head) in ((0, (0, 1)), (3, (2, 3))):
        prompt = prompts[i]

        def put(z, prompt=prompt, layer=layer, head=head):
            z = z.clone()
            z[:, prompt.answer_start - 1 : len(prompt.tokens) - 1, head] = replacement[0, 0, layer, head]
            return z

        base, edited = stock_margin(model, prompt, {}), stock_margin(model, prompt, {layer: put})
        assert swept.base[i, 1] == pytest.approx(base, abs=1e-9)
        assert swept.effect[i, layer, head, 1] == pytest.approx(base - edited, abs=1e-9)
    found = estimate(model, prompts, replacement, objective="margin")
    np.testing.assert_allclose(found.base, swept.base[:, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "gemma2", "cohere", "gpt_oss", "falcon"])
@pytest.mark.parametrize("objective", ["logprob", "total", "logit_diff", "logit"])
def test_first_order_is_the_limit_of_ablations_that_move_z_little(name, objective):
    """Ablation towards r a small way from z: its effect over the way is the attribution's, to first order."""
    model, prompts = tiny(name, dtype=DOUBLE), prompts_with_foils(2, answer=1)  # one position: z is pooled z
    z = torch.from_numpy(model.capture(prompts).z).double()[None]
    r = random_replacement(model, draws=1, prompts=2)
    h = 1e-3
    near = [sweep(model, prompts, z + s * h * (r - z), metrics=[objective]).effect[..., 0] for s in (1, -1)]
    slope = (near[0] - near[1]) / (2 * h)
    found = estimate(model, prompts, r, objective=objective).effect
    # norms, and stock softmaxes of some families, are float32
    np.testing.assert_allclose(found, slope, atol=2e-3 * np.abs(found).max())


def test_a_divergence_is_flat_where_the_model_is():
    model, prompts = tiny("llama", dtype=DOUBLE), random_prompts(2)
    effect = estimate(model, prompts, random_replacement(model), objective="kl").effect
    np.testing.assert_allclose(effect, 0, atol=1e-9)


def test_says_what_is_wrong():
    model, prompts = tiny("llama"), random_prompts(2)
    with pytest.raises(InputError, match=r"Unknown objective 'logprobs'\. Did you mean 'logprob'"):
        sweep(model, prompts, random_replacement(model), metrics=["logprobs"])
    with pytest.raises(InputError, match="Unknown objective 'logprobs'"):
        estimate(model, prompts, random_replacement(model), objective="logprobs")
    with pytest.raises(RunError, match=r"logit difference to the foil of the reference answer of g0/0 .* not finite"):
        estimate(model, prompts, random_replacement(model), objective="logit_diff")
