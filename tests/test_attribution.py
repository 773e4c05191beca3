"""Attribution against finite differences, plain autograd on stock forward passes, and the law of completeness."""

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, RunError
from headatlas.methods.ablation import check_positions
from headatlas.methods.attribution import Attribution, IntegratedGradients
from headatlas.models.gradient import Answers, estimate
from headatlas.models.sweep import sweep
from tests.oracle import in_float64, logprob
from tests.tiny import ARCHITECTURES, random_prompts, tiny

DOUBLE = torch.float64


def some_replacement(model, prompts: int = 1, draws: int = 2, dtype=DOUBLE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (draws, prompts, model.n_layers, model.n_heads, model.head_dim)
    return torch.randn(shape, generator=generator, dtype=dtype) * 0.3


def stock_attribution(model, prompt, replacement: torch.Tensor, positions="answer", read=logprob) -> np.ndarray:
    """Gradient times (z - r) by plain autograd through one whole stock forward pass."""
    z = {}

    def keep(layer, x):
        z[layer] = x if x.requires_grad else x.detach().requires_grad_()
        return z[layer]

    gradients = torch.autograd.grad(read(model, prompt, keep, positions), [z[i] for i in range(model.n_layers)])
    r = replacement.mean(0)[:, None]  # (layer, 1, head, dim)
    effect = [(g[0] * (z[i][0].detach() - r[i])).sum((0, 2)) for i, g in enumerate(gradients)]
    return torch.stack(effect).detach().numpy()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (DOUBLE, 1e-9)])
def test_equals_plain_autograd_on_whole_prompts(name, positions, dtype, tolerance):
    if name == "gemma2" and dtype == DOUBLE and positions == "answer":
        tolerance = 1e-6  # stock eager attention, which soft caps need, takes its softmax in float32
    model = tiny(name, dtype=dtype)
    prompts = random_prompts(4)
    r = some_replacement(model, len(prompts), dtype=dtype)
    found = estimate(model, prompts, r, positions=positions)
    for i, prompt in enumerate(prompts):
        expected = stock_attribution(model, prompt, r[:, i], positions)
        size = np.abs(expected).max()
        np.testing.assert_allclose(found.effect[i] / size, expected / size, atol=tolerance)
        assert found.base[i] == pytest.approx(float(logprob(model, prompt)), rel=tolerance, abs=tolerance)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_is_the_slope_that_finite_differences_measure(name, monkeypatch):
    model = in_float64(tiny(name, dtype=DOUBLE), monkeypatch)
    prompt = random_prompts(1)[0]
    r = some_replacement(model, draws=1)
    found = estimate(model, [prompt], r).effect[0]

    @torch.no_grad()
    def moved(layer: int, head: int, by: float) -> float:
        """The log-probability with one head's z moved by `by` of the way to r."""

        def function(at, z):
            if at != layer:
                return z
            new = z.clone()
            new[:, :, head] += by * (r[0, 0, layer, head] - z[:, :, head])
            return new

        return float(logprob(model, prompt, function))

    h = 1e-4
    for layer, head in [(0, 0), (1, 2), (model.n_layers - 1, 3)]:
        slope = (moved(layer, head, -h) - moved(layer, head, h)) / (2 * h)
        fine = (moved(layer, head, -h / 2) - moved(layer, head, h / 2)) / h
        extrapolated = (4 * fine - slope) / 3
        assert found[layer, head] == pytest.approx(extrapolated, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    "name", [n for n in ARCHITECTURES if n not in ("mixtral", "qwen3_moe", "gpt_oss")]
)  # routing jumps
def test_integrated_gradients_sum_to_the_effect_of_the_layer(name, monkeypatch):
    model = in_float64(tiny(name, dtype=DOUBLE), monkeypatch)
    for weight in model.model.parameters():  # a smoother model: the tiny ones bend too much for few steps
        weight.mul_(0.35 if weight.ndim > 1 else 1)
    prompts = random_prompts(2, length=16)
    r = some_replacement(model, len(prompts), draws=1)

    def change(prompt: int, layer: int) -> float:
        def replaced(i, z):
            return r[0, prompt, layer].expand_as(z) if i == layer else z

        return float(logprob(model, prompts[prompt]) - logprob(model, prompts[prompt], replaced))

    exact = [[change(k, n) for n in range(model.n_layers)] for k in range(2)]
    errors = [np.abs(estimate(model, prompts, r, steps=m).effect.sum(-1) - exact).max() for m in (16, 64)]
    assert errors[1] < 1e-2 * np.abs(exact).max()
    assert errors[1] < errors[0] / 4 or name == "opt"  # a sixteenth, in the end; OPT's ReLU has kinks


@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize("name", ["llama", "gpt_oss", "falcon"])
def test_integrated_gradients_equal_plain_ones_and_do_not_depend_on_chunks(name, positions):
    model = tiny(name, dtype=DOUBLE)
    prompts = random_prompts(3)
    r = some_replacement(model, len(prompts))
    found = estimate(model, prompts, r, steps=3, positions=positions)
    again = estimate(model, prompts, r, steps=3, positions=positions, max_tokens=40)
    np.testing.assert_allclose(again.effect, found.effect, atol=1e-7 * np.abs(found.effect).max())
    layer, k = 1, 2
    expected = 0
    for draw in range(2):
        for at in (1 / 6, 1 / 2, 5 / 6):
            leaf = {}

            def function(i, z, to=r[draw, k, layer], at=at, leaf=leaf):
                if i != layer:
                    return z
                leaf["change"] = z.detach() - to
                leaf["z"] = (to + at * leaf["change"]).requires_grad_()
                return leaf["z"]

            (gradient,) = torch.autograd.grad(logprob(model, prompts[k], function, positions), [leaf["z"]])
            expected = expected + (gradient * leaf["change"]).sum((0, 1, 3)) / 6
    np.testing.assert_allclose(found.effect[k, layer], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "falcon"])
@pytest.mark.parametrize(("steps", "positions"), [(0, "answer"), (2, "answer"), (0, "all"), (2, "all")])
def test_does_not_depend_on_order_or_packing(name, steps, positions):
    model = tiny(name, dtype=DOUBLE)
    prompts = random_prompts(5)
    r = some_replacement(model, len(prompts))
    how = {"steps": steps, "positions": positions}
    found = estimate(model, prompts, r, **how).effect
    back = estimate(model, prompts[::-1], r.flip(1), **how).effect[::-1]
    alone = np.concatenate([estimate(model, [p], r[:, i : i + 1], **how).effect for i, p in enumerate(prompts)])
    bound = 1e-6 * np.abs(found).max()  # RMS norms are float32 in stock models
    np.testing.assert_allclose(back, found, atol=bound)
    np.testing.assert_allclose(alone, found, atol=bound)


def test_one_replacement_for_all_prompts_is_the_same_for_each():
    model = tiny("llama", dtype=DOUBLE)
    prompts = random_prompts(3)
    r = some_replacement(model)
    for steps in (0, 2):
        one = estimate(model, prompts, r, steps=steps).effect
        np.testing.assert_array_equal(estimate(model, prompts, r.expand(-1, 3, -1, -1, -1), steps=steps).effect, one)


@pytest.mark.parametrize("steps", [0, 2])
def test_short_memory_makes_runs_smaller_and_changes_nothing(steps, monkeypatch):
    model, prompts = tiny("llama"), random_prompts(5)
    r = some_replacement(model, len(prompts))
    whole, run, sizes = estimate(model, prompts, r, steps=steps), Answers.run, []

    def scarce(self, functions, **options):
        sizes.append(len(self.prompts))
        if len(self.prompts) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(self, functions, **options)

    monkeypatch.setattr(Answers, "run", scarce)
    found = estimate(model, prompts, r, steps=steps)
    np.testing.assert_allclose(found.effect, whole.effect, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.base, whole.base, rtol=1e-5)
    assert max(sizes) == 5 and sizes[-1] <= 2


def test_at_all_positions_too_where_memory_is_short(monkeypatch):
    model, prompts = tiny("llama"), random_prompts(5)
    r = some_replacement(model, len(prompts))
    whole, run, asked = estimate(model, prompts, r, positions="all"), Answers.run, []

    def scarce(self, functions, **options):
        asked.append(self.prompts[0].id)
        if len(asked) == 5:  # the fourth prompt's turn came, and the fifth did not fit beside what is kept
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(self, functions, **options)

    monkeypatch.setattr(Answers, "run", scarce)
    found = estimate(model, prompts, r, positions="all")
    np.testing.assert_array_equal(found.effect, whole.effect)
    assert len(asked) == 10

    def none(self, functions, **options):
        raise MemoryError

    monkeypatch.setattr(Answers, "run", none)
    with pytest.raises(RunError, match="Not enough memory for g0/0 alone"):
        estimate(model, prompts, r, positions="all")


@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_at_all_positions_it_is_the_slope_of_ablation_at_all_positions(name, monkeypatch):
    """What `sweep` replaces at every position, moved a little of the way."""
    model = in_float64(tiny(name, dtype=DOUBLE), monkeypatch)
    prompt = random_prompts(1)[0]
    r = some_replacement(model, draws=1)
    found = estimate(model, [prompt], r, positions="all").effect[0]

    def lost(layer: int, head: int, by: float) -> float:
        def function(at, z):
            new = z.clone()
            new[:, :, head] += by * (r[0, 0, layer, head] - z[:, :, head])
            return new if at == layer else z

        return float(logprob(model, prompt) - logprob(model, prompt, function, "all"))

    with torch.no_grad():
        for layer, head in [(0, 0), (1, 2)]:
            swept = sweep(model, [prompt], r, positions="all").effect[0, layer, head, 0]
            assert swept == pytest.approx(lost(layer, head, 1.0), abs=1e-9), "the same ablation"
            h = 1e-4
            slope = (lost(layer, head, h) - lost(layer, head, -h)) / (2 * h)
            assert found[layer, head] == pytest.approx(slope, rel=1e-5)


def test_replacing_z_by_itself_costs_nothing_and_the_model_is_left_as_it_was():
    model = tiny("llama", dtype=DOUBLE)
    prompt = random_prompts(1)[0]
    before = float(logprob(model, prompt))
    with torch.inference_mode():  # a caller's mode does not matter
        found = estimate(model, [prompt], some_replacement(model))
    assert np.isfinite(found.effect).all()
    assert float(logprob(model, prompt)) == before
    assert all(p.grad is None and not p.requires_grad for p in model.model.parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.model.modules())


def test_says_what_is_wrong():
    model = tiny("llama")
    prompts = random_prompts(2)
    with pytest.raises(InputError, match=r"expected \(draws, 1 or 2 prompts"):
        estimate(model, prompts, torch.zeros(1, 3, 3, 4, 6))
    with pytest.raises(InputError, match="-1 steps"):
        estimate(model, prompts, torch.zeros(1, 1, 3, 4, 6), steps=-1)
    with pytest.raises(RunError, match=r"g0/0.*not finite"):
        estimate(model, prompts, torch.full((1, 1, 3, 4, 6), torch.nan))
    with pytest.raises(InputError, match=r"Unknown positions 'everywhere'\. Give one of: answer, all"):
        check_positions("everywhere")
    with pytest.raises(InputError, match="0 draws"):
        Attribution(draws=0)
    with pytest.raises(InputError, match="--method attribution"):
        IntegratedGradients(steps=0)
