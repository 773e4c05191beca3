"""Gates against plain hooks and a written-out fit; a head that the answer needs is kept, one that spoils it closed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from headatlas import stats
from headatlas.atlas.variables import HEADS
from headatlas.errors import InputError
from headatlas.methods.base import Activations
from headatlas.methods.gates import GateGradient, HeadGating, _exchanged, gated_loss
from headatlas.models.gradient import answers_of, estimate
from headatlas.run.jobs import measured, seed_of
from headatlas.run.pipeline import _part
from headatlas.work.job import Run
from tests.oracle import difference, logits_at_answer, logprob
from tests.tiny import ARCHITECTURES, VOCAB, random_prompts, tiny

DOUBLE = torch.float64
CHEAP = HeadGating(folds=3, refits=2, updates=3, batch=1)


def nothing(model) -> Activations:
    shape = (0, model.n_layers, model.n_heads, model.head_dim)
    return Activations(np.zeros(shape, np.float32), np.array([]), np.array([]), ("inference", "retrieval"))


def with_foils(prompts):
    draw = np.random.default_rng(5)
    return [replace(p, foil=np.array([*p.answer_tokens[:1], *draw.integers(3, VOCAB, 2)])) for p in prompts]


def questions(n: int = 12, groups: int = 6):
    prompts = random_prompts(n, groups=groups)
    return [replace(p, function=("retrieval", "inference")[i // groups % 2]) for i, p in enumerate(prompts)]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gated_answers_equal_plain_hooks_on_whole_prompts(name):
    model = tiny(name, dtype=DOUBLE)
    prompts = random_prompts(5, groups=3)
    gates = torch.rand(3, model.n_layers, model.n_heads, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    packs = [[p for p in prompts if p.group == g] for g in ("g0", "g1", "g2")]
    tolerance = 1e-5 if name == "gemma2" else 1e-9  # its stock softmax is float32
    with torch.no_grad():
        expected = {
            (p.id, row): float(logprob(model, p, lambda i, z, row=row: z * gates[row, i][None, None, :, None]))
            for p in prompts
            for row in range(3)
        }
        for size in (512, 5):  # together, and cut: two answers of three tokens are too many
            cut = answers_of(model, packs, max_tokens=size)
            assert model.unsplit or len(cut) == (1 if size == 512 else 5)
            rows = -torch.cat([gated_loss(answers, gates) for answers in cut], 1)
            order = [p.id for answers in cut for p in answers.prompts]
            found = {(id, row): float(rows[row, i]) for i, id in enumerate(order) for row in range(3)}
            assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_the_gate_gradient_is_the_slope_at_one(name, positions):
    model = tiny(name, dtype=DOUBLE)
    prompts = random_prompts(3)
    found = GateGradient(positions=positions).rows(model, prompts, nothing(model), seed=0)
    zero = torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim)
    np.testing.assert_allclose(found[..., 0], estimate(model, prompts, zero, positions=positions).effect, rtol=1e-6)
    np.testing.assert_array_equal(found[..., 1], np.abs(found[..., 0]))
    for i, prompt in enumerate(prompts):
        gates = torch.ones(model.n_layers, model.n_heads, dtype=DOUBLE, requires_grad=True)
        total = logprob(model, prompt, lambda n, z, gates=gates: z * gates[n][None, None, :, None], positions)
        (slope,) = torch.autograd.grad(total, [gates])
        np.testing.assert_allclose(found[i, ..., 0], slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("metric", "read"), [("auto", logprob), ("logprob", logprob), ("logit_diff", difference)])
def test_a_fit_is_adam_on_the_written_loss(metric, read):
    model = tiny("llama", dtype=DOUBLE)
    prompts = with_foils(random_prompts(3, groups=3))
    method = HeadGating(refits=1, updates=3, batch=10, rate=0.5, strength=2.0, metric=metric)
    fit = method._fit(model, prompts, np.random.default_rng(5))

    draw = np.random.default_rng(5)
    draw.permutation(3)  # the deal into batches
    start = torch.logit(torch.from_numpy(draw.uniform(1e-3, 1 - 1e-3, (3, 4)))).float()

    def descend(start, pull):
        logits = start.clamp(-4, 4).requires_grad_()
        adam = torch.optim.Adam([logits])
        for update in range(3):
            adam.param_groups[0]["lr"] = 0.5 * (1 + np.cos(np.pi * update / 3)) / 2
            gates = logits.sigmoid()
            each = [read(model, p, lambda i, z, g=gates: z * g[i][None, None, :, None]) for p in prompts]
            loss = -sum(each) / 3 - pull * logits.mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            logits.data.clamp_(-4, 4)
        return logits.detach()

    free = descend(start, 0.0)
    np.testing.assert_allclose(fit.plus[0], descend(free, 2.0).sigmoid(), rtol=1e-4)
    np.testing.assert_allclose(fit.minus[0], descend(free, -2.0).sigmoid(), rtol=1e-4)


def test_samples_keep_the_laws():
    model = tiny("llama")
    prompts = questions()
    found = CHEAP(model, prompts, None, seed=0)
    assert found["importance"].dims == ("sample", "layer", "head") and found["importance"].dtype == np.float32
    assert found["importance"].shape == (2 * 3 * 2, 3, 4)
    for function in ("retrieval", "inference"):
        assert len(set(found["group"].values[found["function"].values == function])) == 3
    parts = found["facilitation"] + found["interference"] + found["irrelevance"]
    g_plus, g_minus = 1 - found["interference"], found["facilitation"]
    np.testing.assert_allclose(found["irrelevance"], g_plus * (1 - g_minus), atol=1e-6)
    np.testing.assert_allclose(found["importance"], g_minus - (1 - g_plus), atol=1e-6)
    assert (parts >= -1e-6).all() and (np.abs(found["importance"]) <= 1).all()
    result = stats.reduce(found, ("retrieval", "inference"), sign="signed", n_boot=5)
    assert np.isfinite(result["importance"]).all()
    assert found["null"].shape == (2, 3, 4) and set(found["null_function"].values) == {"retrieval", "inference"}
    assert found.attrs["folds"] == 3
    with torch.no_grad():  # every fold is held out once, whole or a batch of it; here a batch is one question's item
        open_gates = [-float(logprob(model, p)) for p in prompts]
    assert min(open_gates) < found.attrs["loss_held_out_open"] < max(open_gates)
    assert found.attrs["loss_down"] > 0 and found.attrs["loss_held_out_down"] > 0


def test_the_null_is_of_fits_to_exchanged_answers_and_no_part_of_the_samples():
    model, prompts = tiny("llama", dtype=DOUBLE), questions(6, groups=3)
    method = replace(CHEAP, refits=1, updates=2, null_refits=2)
    fits = method.fits(prompts, seed=0)
    assert [(f.function, f.fold, f.exchanged) for f in fits] == [
        (name, fold, exchanged) for name in ("retrieval", "inference") for exchanged in range(3) for fold in range(3)
    ]
    rows = [method.fit(model, one) for one in fits]
    found = method.samples({name: np.stack([row[name] for row in rows]) for name in rows[0]}, fits)
    importance = np.array([(row["gates"][1] - (1 - row["gates"][0]))[0] for row in rows]).reshape(2, 3, 3, 3, 4)
    np.testing.assert_allclose(found["null"], importance[:, 1:].mean(2).reshape(4, 3, 4), atol=1e-6)
    np.testing.assert_allclose(found["importance"], importance[:, 0].reshape(6, 3, 4), atol=1e-6)
    assert found["null_function"].values.tolist() == ["retrieval"] * 2 + ["inference"] * 2


def test_an_atlas_holds_what_gates_say_of_every_head():
    functions = ("retrieval", "inference")
    found = replace(CHEAP, refits=1, updates=2)(tiny("llama"), questions(6, groups=3), None, seed=0)
    its_map = _part(found, CHEAP, functions, {}, seed=0)
    for name in ("facilitation", "interference", "irrelevance"):
        for i, function in enumerate(functions):
            own = found[name].values[found["function"].values == function]
            np.testing.assert_allclose(its_map[name].transpose("function", "layer", "head")[i], own.mean(0), atol=1e-6)
        assert name in HeadGating.about_values and its_map[name].dims == HEADS
    np.testing.assert_allclose(its_map["importance"], its_map["facilitation"] - its_map["interference"], atol=1e-6)


def test_a_stopped_run_goes_on_with_the_next_fit(tmp_path, monkeypatch):
    model, prompts = tiny("llama"), questions(6, groups=3)
    method = replace(CHEAP, refits=1, updates=2)
    asked, told, fit = [], [], HeadGating.fit

    def stopping(self, model, one):
        asked.append((one.function, one.fold, one.exchanged))
        if len(asked) == 5:
            raise KeyboardInterrupt
        return fit(self, model, one)

    monkeypatch.setattr(HeadGating, "fit", stopping)
    run = Run({"run": 1}, seed=0, folder=tmp_path, report=lambda *at: told.append(at))
    with pytest.raises(KeyboardInterrupt):
        measured(model, method, prompts, nothing(model), run)
    told.clear()
    found = measured(model, method, prompts, nothing(model), run)
    assert len(asked) == 13 and asked[4] == asked[5] and len(set(asked)) == 12, "what was done is not done again"
    assert told[0] == ("head_gating", 5, 12) and told[-1] == ("head_gating", 12, 12)
    xr.testing.assert_allclose(found, method(model, prompts, None, seed=seed_of(0, "head_gating")), atol=1e-6)


def test_same_seed_same_samples_in_any_order_and_any_memory():
    model = tiny("llama", dtype=DOUBLE)
    prompts, method = questions(6, groups=3), replace(CHEAP, refits=1, updates=2)
    found = method(model, prompts, None, seed=0)
    back = replace(method, memory=0.0)(model, prompts[::-1], None, seed=0)
    for function in ("retrieval", "inference"):
        one, other = (d["importance"].values[d["function"].values == function] for d in (found, back))
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert not np.allclose(method(model, prompts, None, seed=1)["importance"], found["importance"])


@pytest.mark.parametrize("name", ["llama", "falcon"])
def test_keeps_what_the_answer_needs_and_closes_what_spoils_it(name):
    """Two heads of the last layer write the answer's token and against it; all others of that layer write nothing."""
    model = tiny(name)
    answer = 7
    project = model.projections[-1]
    output = model.model.get_output_embeddings().weight
    direction = output[answer] - output.mean(0)
    direction = direction / direction.norm()
    project.weight.zero_()
    prompts = [replace(p, tokens=np.concatenate([p.prefix, [answer]])) for p in random_prompts(3, length=12, groups=2)]
    # The heads' mean z over the answers, so that what they write has a sign.
    z = model.capture([replace(p, chosen=p.predicting) for p in prompts]).z.mean(0)[-1]
    for head, sign in ((1, 1.0), (2, -1.0)):
        along = torch.from_numpy(z[head]) / float(np.square(z[head]).sum())
        project.weight[:, head * model.head_dim : (head + 1) * model.head_dim] = (
            4 * sign * torch.outer(direction, along)
        )
    pull = 0.1 * 12 / 270  # on each of 12 heads as strong as the default on the default model's
    fit = HeadGating(refits=2, updates=20, batch=10, strength=pull)._fit(model, prompts, np.random.default_rng(0))
    last = (fit.minus - (1 - fit.plus)).mean(0)[-1]
    assert last[1] > 0.8 and last[2] < -0.8
    assert np.abs(last[[0, 3]]).max() < 0.2  # they follow the pull, both ways


def test_gates_fitted_to_a_divergence_are_held_against_open_ones():
    model, prompts = tiny("llama", dtype=DOUBLE), random_prompts(3, groups=1)
    gates = torch.rand(2, model.n_layers, model.n_heads, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    (answers,) = answers_of(model, [prompts])
    with torch.no_grad():
        found = gated_loss(answers, torch.cat([gates, torch.ones_like(gates[:1])]), "kl")
        np.testing.assert_allclose(found[2], 0, atol=1e-9)
        for i, prompt in enumerate(prompts):
            as_it_is = logits_at_answer(model, prompt).log_softmax(-1)
            for row in range(2):
                gated = logits_at_answer(model, prompt, lambda n, z, g=gates[row]: z * g[n][None, None, :, None])
                kl = (as_it_is.exp() * (as_it_is - gated.log_softmax(-1))).sum(-1).mean()
                assert float(found[row, i]) == pytest.approx(float(kl), rel=1e-6)
    fit = replace(CHEAP, refits=1, updates=2, metric="kl")._fit(
        model, prompts, np.random.default_rng(0), held_out=prompts
    )
    assert fit.losses["held_out_open"] == pytest.approx(0, abs=1e-6) and fit.losses["held_out_down"] > 0


def test_exchanged_answers_are_others_answers_to_the_same_prompts():
    prompts = with_foils(random_prompts(6))
    wrong = _exchanged(prompts, np.random.default_rng(0))
    assert [p.prefix.tolist() for p in wrong] == [p.prefix.tolist() for p in prompts]
    given, own = ([p.answer_tokens.tolist() for p in some] for some in (wrong, prompts))
    assert sorted(given) == sorted(own) and all(a != b for a, b in zip(given, own, strict=True))
    for p in wrong:  # the foil goes with its answer
        assert p.foil.tolist() == prompts[own.index(p.answer_tokens.tolist())].foil.tolist()


def test_says_what_is_wrong():
    with pytest.raises(InputError, match="1 or more"):
        HeadGating(refits=0)
    with pytest.raises(InputError, match="above 0"):
        HeadGating(strength=0.0)
    with pytest.raises(InputError, match="runs the model"):
        HeadGating()(None, [], None, seed=0)
    prompts = [replace(questions()[0], tokens=questions()[0].prefix)]
    with pytest.raises(InputError, match="answer of no tokens"):
        GateGradient().check(prompts)
    with pytest.raises(InputError, match="answer of no tokens"):
        HeadGating().check(prompts)
