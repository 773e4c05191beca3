"""The metric of importance: settled by the prompts, typed by name, held against stock passes, refused in time."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from headatlas.errors import InputError, StoreError
from headatlas.methods.ablation import Ablation, AblationZero
from headatlas.methods.attribution import Attribution, IntegratedGradients
from headatlas.methods.base import Activations, methods
from headatlas.methods.dla import DirectLogit
from headatlas.methods.gates import GateGradient, HeadGating
from headatlas.methods.metric import ByMetric
from headatlas.methods.settings import named, parse_methods
from headatlas.models.objective import METRICS, Objective, objectives
from headatlas.run.jobs import measured
from headatlas.run.pipeline import _part
from headatlas.work.job import Run
from tests.oracle import difference
from tests.test_attribution import stock_attribution
from tests.test_sweep import twin
from tests.tiny import VOCAB, random_prompts, tiny

DOUBLE = torch.float64
FUNCTIONS = ("retrieval", "inference")
CHEAP = {"head_gating": {"folds": 3, "refits": 1, "updates": 1}, "integrated_gradients": {"steps": 1}}
CHOOSERS = [name for name in methods if isinstance(methods.get(name)(), ByMetric)]


def cheap(name, **settings):
    return methods.get(name)(**CHEAP.get(name, {}), **settings)


def designed(prompts):
    """Foils that share their first token with the answer and differ in the second."""
    draw = np.random.default_rng(7)

    def foil(p):
        other = (p.answer_tokens[1] + draw.integers(1, VOCAB - 3) - 3) % (VOCAB - 3) + 3
        return np.array([p.answer_tokens[0], other, draw.integers(3, VOCAB)])

    return [replace(p, foil=foil(p), designed=True) for p in prompts]


@pytest.fixture(scope="module")
def model():
    return tiny("llama", dtype=DOUBLE)


@pytest.fixture(scope="module")
def prompts():
    some = sorted(random_prompts(12, groups=6), key=lambda p: p.group)
    return designed([replace(p, function=FUNCTIONS[i % 2]) for i, p in enumerate(some)])


@pytest.fixture(scope="module")
def activations(model, prompts):
    function, group = (np.array([getattr(p, name) for p in prompts]) for name in ("function", "group"))
    return Activations(model.capture(prompts).z, function, group, FUNCTIONS)


# -- which metric it is ------------------------------------------------------------------------------


def test_these_methods_choose():
    assert CHOOSERS == [
        "ablation", "ablation_zero", "ablation_resample", "attribution", "integrated_gradients", "dla", "gate_gradient",
        "head_gating", "knockouts",
    ]  # fmt: skip


@pytest.mark.parametrize("name", CHOOSERS)
def test_auto_is_the_logit_difference_where_every_foil_was_designed(name, prompts):
    method, otherwise = methods.get(name)(), "logit" if name == "dla" else "logprob"
    assert method.metric == "auto" and not method.settings() and method.id == name
    assert method.resolved(prompts).metric == "logit_diff"
    for not_all in (
        [replace(p, designed=False) for p in prompts],
        [replace(prompts[0], designed=False), *prompts[1:]],
        [replace(prompts[0], designed=False, foil=np.empty(0, np.int64)), *prompts[1:]],
    ):
        assert method.resolved(not_all) == replace(method, metric=otherwise)
        method.check(not_all)
    alike = [replace(prompts[0], foil=prompts[0].answer_tokens), *prompts[1:]]
    with pytest.raises(InputError, match=f"very tokens of its answer .*leave the step out, or .* metric={otherwise}"):
        method.check(alike)  # one slip does not make another metric of all
    assert methods.get(name)(metric=otherwise).resolved(prompts).metric == otherwise, "what is typed stands"
    assert asdict(method.resolved(prompts))["metric"] == "logit_diff", "in the keys of stores and runs"  # type: ignore[call-overload]


@pytest.mark.parametrize("name", CHOOSERS)
def test_auto_gives_what_the_settled_metric_gives(name, model, prompts, activations):
    read = []
    for some, metric in (
        (prompts, "logit_diff"),
        ([replace(p, designed=False) for p in prompts], methods.get(name)().otherwise),
    ):
        found = cheap(name)(model, some, activations, seed=0)
        expected = cheap(name, metric=metric)(model, some, activations, seed=0)
        np.testing.assert_array_equal(found["importance"], expected["importance"])
        assert np.isfinite(found["importance"]).all() and found.attrs["metric"] == metric
        read.append(found["importance"].values)
    assert not np.allclose(*read)


@pytest.mark.parametrize("name", CHOOSERS)
def test_the_atlas_says_which_metric_with_its_unit(name, model, prompts, activations):
    for metric, words in (
        ("logit_diff", ("the logit difference between answer and foil", "logits")),
        ("logit", ("the answer's logit over the vocabulary's mean", "logits")),
        ("logprob", ("the answer's log-probability", "nats a token")),
    ):
        if (name, metric) in (("dla", "logprob"), ("head_gating", "logit"), ("head_gating", "logprob")):
            continue  # not linear; the same, and slow
        method = cheap(name, metric=metric)
        part = _part(method(model, prompts, activations, seed=0), method, FUNCTIONS, {}, seed=0)
        assert words[0] in part.attrs["label"]
        assert name == "head_gating" or part.attrs["label"].endswith(f", {words[1]}")
        assert json.loads(part.attrs["settings"])["metric"] == metric
        assert json.loads(part.attrs["notes"])["metric"] == metric
    assert Ablation(metric="logit_diff").label == "drop in the logit difference between answer and foil, logits"
    assert Ablation().label == "drop in the answer's log-probability, nats a token"
    assert Ablation(metric="kl").label == "the answer's KL divergence from the model as it is, nats a token"


def test_what_stands_beside_the_metric_follows_it(model, prompts, activations):
    assert Ablation().values == ("importance", "total", "kl", "logit_diff")
    usual = Ablation(metric="logprob")(model, prompts, activations, seed=0)
    of = {"importance": "logprob", "total": "total", "kl": "kl", "logit_diff": "logit_diff"}
    usual = {of[str(name)]: array.values for name, array in usual.data_vars.items()}
    for metric in METRICS:
        method = Ablation(metric=metric)
        assert method.values == ("importance", *(m for m in METRICS if m != metric))
        assert tuple(method.about_values) == method.values[1:]
        samples = method(model, prompts, activations, seed=0)
        for name, array in samples.data_vars.items():
            np.testing.assert_allclose(array, usual[metric if name == "importance" else name], rtol=1e-5, atol=1e-6)
        part = _part(samples, method, FUNCTIONS, {}, seed=0)
        for name, about in method.about_values.items():
            assert part[name].dims == ("function", "layer", "head") and part[name].attrs["long_name"] == about


# -- held against stock passes -----------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize("name", ["llama", "gpt_oss", "falcon"])
def test_ablation_is_what_a_stock_pass_a_head_takes_off_the_logit_difference(name, positions, activations):
    """Answer and foil share their first token: the second is read, with the first one given."""
    model, prompts = tiny(name, dtype=DOUBLE), designed(random_prompts(4))
    z = model.capture(prompts).z
    acts = Activations(z, np.array([p.function for p in prompts]), np.array([p.group for p in prompts]), FUNCTIONS)
    method = AblationZero(positions=positions).resolved(prompts)
    rows = method.rows(model, prompts, acts, seed=0)
    nothing = torch.zeros(1, model.n_layers, model.n_heads, model.head_dim, dtype=DOUBLE)
    for i in (0, 3):
        _, effect = twin(model, prompts[i], nothing, positions)
        columns = [METRICS.index(m) for m in method.metrics]
        np.testing.assert_allclose(rows[i], effect[..., columns], atol=1e-5)  # rows are float32
        assert np.abs(effect[..., 3]).max() > 1e-2, "something is at stake"


@pytest.mark.parametrize("positions", ["answer", "all"])
@pytest.mark.parametrize("name", ["llama", "gemma3_text", "falcon"])
def test_attribution_and_gates_are_plain_slopes_of_the_logit_difference(name, positions):
    model, prompts = tiny(name, dtype=DOUBLE), designed(random_prompts(3))
    acts = Activations(model.capture(prompts).z, np.array(["retrieval"] * 3), np.array(["a"] * 3), ("retrieval",))
    zero = torch.zeros(1, model.n_layers, model.n_heads, model.head_dim, dtype=DOUBLE)
    mean = torch.from_numpy(acts.z.mean(0, dtype=np.float64).astype(np.float32))[None].double()
    for method, r in ((GateGradient(positions=positions), zero), (Attribution(positions=positions), mean)):
        rows = method.resolved(prompts).rows(model, prompts, acts, seed=0)[..., 0]
        for i, prompt in enumerate(prompts):
            expected = stock_attribution(model, prompt, r, positions, difference)
            np.testing.assert_allclose(rows[i], expected, atol=1e-5 * np.abs(expected).max())


def test_integrated_gradients_of_a_divergence_sum_to_it(model):
    """A divergence is flat at the model, but not between there and the replacement; and it does not fall."""
    prompts = random_prompts(2, length=16)
    acts = Activations(model.capture(prompts).z, np.array(["retrieval"] * 2), np.array(["a", "b"]), ("retrieval",))
    method = IntegratedGradients(by="zero", steps=64, metric="kl")
    found = method.rows(model, prompts, acts, seed=0)[..., 0]
    assert (found.sum(-1) > 0).all()
    assert method.label == "share of the answer's KL divergence from the model as it is, nats a token"


# -- typed, refused, kept apart ----------------------------------------------------------------------


def test_metrics_are_typed_as_settings_are():
    found = named(parse_methods("ablation, ablation(metric=logit_diff), attribution(positions=all, metric=logprob)"))
    assert found == {
        "ablation": Ablation(),
        "ablation(metric=logit_diff)": Ablation(metric="logit_diff"),
        "attribution": Attribution(positions="all", metric="logprob"),
    }
    both = named(parse_methods("attribution, attribution(positions=all)"))
    assert list(both) == ["attribution", "attribution(positions=all)"]
    assert parse_methods("dla(metric=logit_diff), head_gating(metric=kl)") == [
        DirectLogit(metric="logit_diff"), HeadGating(metric="kl"),
    ]  # fmt: skip


def test_one_registered_from_outside_is_a_metric(model, prompts, activations, monkeypatch):
    monkeypatch.setattr(objectives, "_table", dict(objectives._table))
    objectives.register("twice", Objective("doubled log-probability", "half nats", lambda read, i: 2 * read.total(i)))
    (method,) = parse_methods("ablation(metric=twice)")
    samples = method(model, prompts, activations, seed=0)
    np.testing.assert_allclose(samples["importance"], 2 * samples["total"], rtol=1e-4, atol=1e-6)
    assert method.label == "drop in the answer's doubled log-probability, half nats"


@pytest.mark.parametrize("name", CHOOSERS)
def test_an_unknown_metric_is_refused_where_it_is_typed(name):
    known = "auto, logprob, total, kl, logit_diff, logit"
    with pytest.raises(InputError, match=rf"Unknown metric 'logprobs'\. Did you mean 'logprob'\? Known: {known}\."):
        parse_methods(f"{name}(metric=logprobs)")
    with pytest.raises(InputError, match=r"'metric' of method '.*' is None; its default is 'auto'"):
        parse_methods(f"{name}(metric=None)")


@pytest.mark.parametrize("name", CHOOSERS)
@pytest.mark.parametrize(
    ("foil", "why"),
    [
        ([], "has no foil"),
        ([5, 6, 7], "has a foil of the very tokens of its answer"),
        ([5, 6], "the foil is but the beginning of the answer"),
        ([5, 6, 7, 8], "the answer is but the beginning of the foil"),
    ],
)
def test_a_prompt_without_a_foil_that_differs_is_refused_before_anything_runs(name, foil, why, prompts):
    bad = replace(
        prompts[3], tokens=np.concatenate([prompts[3].prefix, [5, 6, 7]]), foil=np.array(foil, dtype=np.int64)
    )
    other = methods.get(name)().otherwise
    with pytest.raises(
        InputError, match=rf"^{bad.id} .*{why}.*can't be read\. Give that step a foil.*metric={other}\.$"
    ):
        methods.get(name)(metric="logit_diff").check([*prompts[:3], bad])
    methods.get(name)(metric="logit_diff").check(prompts)


def test_first_order_of_a_divergence_is_refused():
    for method in ("attribution", "gate_gradient"):
        with pytest.raises(InputError, match=rf"its slope is 0: {method} by it finds nothing\. Give one of logprob"):
            parse_methods(f"{method}(metric=kl)")


@pytest.mark.parametrize("name", ["ablation", "head_gating"])
def test_rows_of_another_metric_are_never_taken_up(name, model, prompts, activations, tmp_path):
    run = Run({"run": 1}, seed=0, folder=tmp_path)
    drawn = [replace(p, designed=False) for p in prompts]
    first = measured(model, cheap(name).resolved(drawn), drawn, activations, run)
    with pytest.raises(StoreError):
        measured(model, cheap(name).resolved(prompts), prompts, activations, run)
    apart = measured(model, cheap(name).resolved(prompts), prompts, activations, run, name=f"{name}(metric=logit_diff)")
    again = measured(model, cheap(name, metric="logprob"), drawn, activations, run)
    np.testing.assert_array_equal(again["importance"], first["importance"])
    assert not np.allclose(apart["importance"], first["importance"])
