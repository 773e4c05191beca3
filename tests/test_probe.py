"""Both probes on small synthetic activations: planted heads, noise, twins, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from sklearn.linear_model import Ridge

from headatlas import stats
from headatlas.errors import InputError, RunError
from headatlas.methods.base import Activations
from headatlas.methods.linear_probe import LinearProbe, _cross_validate, _heads, _moments, _samples, _solve
from headatlas.methods.probe import Probe, _explain, _ProbeNet, _statistics

F = ("knowledge_recall", "retrieval", "math_calculation")
FAST = {"refits": 2, "null_refits": 3, "batch_size": 16, "epochs": 8, "learning_rate": 2e-3}


def planted(
    *, items: int = 150, heads: tuple[tuple[int, int], ...] = ((1, 2),), strength: float = 2.0, seed: int = 0
) -> Activations:
    """Noise in 3 layers of 4 heads of 8 dims; each of `heads` carries the label in three dims."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([rng.permutation(3) for _ in range(items // 3)])
    z = rng.normal(size=(items, 3, 4, 8)).astype(np.float32)
    for layer, head in heads:
        z[np.arange(items), layer, head, label] += strength
    # Heads of real models differ in scale by orders of magnitude; what they carry does not depend on it.
    z *= np.exp(rng.normal(size=(1, 3, 4, 1))).astype(np.float32)
    group = np.array([f"q{i // 3}" for i in range(items)])
    return Activations(z=z, function=np.array(F)[label], group=group, functions=F)


@pytest.fixture(scope="module")
def activations() -> Activations:
    return planted()


@pytest.fixture(scope="module")
def samples(activations: Activations) -> xr.Dataset:
    return Probe(**FAST)(None, None, activations, seed=0)


@pytest.mark.parametrize("method", [Probe(**FAST), LinearProbe()])
def test_a_planted_head_comes_out_on_top_for_every_function(method, activations: Activations):
    result = stats.reduce(method(None, None, activations, seed=1), F, sign=method.default_sign, n_boot=100, seed=0)
    assert (result["rank"][:, 1, 2] == 1).all()
    assert (result["ci_low"][:, 1, 2] > 0).all()
    assert float(result["probe_accuracy_overall"]) > 0.5  # a third is chance


def test_a_head_planted_for_one_function_supports_that_one():
    activations = planted(heads=())
    own = activations.function == F[1]
    activations.z[own, 2, 0, 3] += 4 * activations.z[:, 2, 0, 3].std()
    # Twelve heads pool few null values: more shuffles, for p-values fine enough to outlive the correction.
    found = LinearProbe(shuffles=40)(None, None, activations, seed=0)
    result = stats.reduce(found, F, sign="positive", n_boot=50)
    assert int(result["rank"].sel(function=F[1])[2, 0]) == 1
    assert float(result["q_value"].sel(function=F[1])[2, 0]) < 0.05
    assert float(result["importance"].sel(function=F[1])[2, 0]) > 0.3


@pytest.mark.slower
@pytest.mark.parametrize("method", [Probe(**FAST), LinearProbe()])
def test_shuffled_labels_are_not_called(method):
    called = []
    for seed in range(8):
        noise = planted(heads=(), seed=seed)
        result = stats.reduce(method(None, None, noise, seed=seed), F, sign=method.default_sign, n_boot=2)
        called.append(float((result["q_value"] < 0.05).mean()))
        assert abs(float(result["probe_accuracy_overall"]) - 1 / 3) < 0.15
    assert np.mean(called) <= 0.05


@pytest.mark.slower
def test_the_probes_null_is_treated_as_the_probe_is():
    """As many refits, the same schedule and split: under noise a head in twenty has p below 0.05."""
    method, below = Probe(refits=2, null_refits=3, batch_size=16, epochs=6, learning_rate=2e-3), []
    for seed in range(24):
        found = method(None, None, planted(items=90, heads=(), seed=seed), seed=seed)
        assert len(found.attrs["null_epochs"]) == 3 * len(found.attrs["epochs"])
        below.append(float((stats.reduce(found, F, sign="absolute", n_boot=2)["p_value"] < 0.05).mean()))
    assert 0.02 < np.mean(below) < 0.08  # 0.051 over 160 such sets


def test_the_error_of_false_alarms_is_in_the_interval():
    """A head that never misses a function, and takes three in ten of the others for it."""
    hits, rng = [], np.random.default_rng(0)
    for seed in range(60):
        activations = planted(items=60, seed=seed)
        label = np.array([F.index(f) for f in activations.function])
        orders = np.stack([np.arange(60), *(rng.permutation(60) for _ in range(8))])
        named = rng.integers(1, 3, (1, 9, 60, 1, 1)).astype(np.int16)  # controls never name it
        named[0, 0, :, 0, 0] = np.where(label == 0, 0, np.where(rng.random(60) < 0.3, 0, label))
        samples = _samples(activations, list(F), label, orders, [np.arange(60) // 3 % 5], named, np.zeros((1, 5, 1, 1)))
        found = stats.reduce(samples.drop_vars("null"), F, sign="positive", n_boot=400, seed=seed).isel(function=0)
        hits.append(found["ci_low"].item() <= 0.7 <= found["ci_high"].item())
    assert 0.88 <= np.mean(hits) <= 1


def test_importance_is_the_gradient_times_the_projection_that_autograd_finds(activations: Activations):
    net = _ProbeNet((3, 4, 8), 3, generator=torch.Generator().manual_seed(0)).eval()
    net.shift, net.scale = _statistics(activations.z, np.arange(100))
    label = torch.tensor([F.index(f) for f in activations.function])
    z = torch.from_numpy(activations.z[:7])
    projections = net.project(z).detach().requires_grad_()
    hidden = torch.relu(net.hidden(projections.flatten(1)))
    logits = net.logits(hidden)
    logits[torch.arange(7), label[:7]].sum().backward()
    expected = (projections.grad * projections).mean(-1).detach()
    found, probability = _explain(net, activations.z, label, np.arange(7), autocast=False)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(probability, logits.softmax(1).detach().numpy(), rtol=1e-4)


def test_projection_is_the_published_linear_map_of_head_and_layer_mean(activations: Activations):
    net = _ProbeNet((3, 4, 8), 3, generator=torch.Generator().manual_seed(0)).eval()
    z = torch.from_numpy(activations.z[:5])
    feature = torch.cat([z, z.mean(2, keepdim=True).expand_as(z)], dim=-1)
    torch.testing.assert_close(net.project(z), net.shared(feature), rtol=1e-4, atol=1e-5)


def test_standardising_reads_the_training_part_only_and_leaves_silent_heads_silent(activations: Activations):
    z = activations.z.copy()
    z[:, 0, 1] = 0
    shift, scale = _statistics(z, np.arange(90))
    np.testing.assert_allclose(shift.numpy(), z[:90].mean(0), atol=1e-5)
    standard = (z[:90] - shift.numpy()) * scale.numpy()
    rms = np.sqrt((standard**2).mean((0, 3)))
    assert rms[0, 1] == 0
    rms[0, 1] = 1
    np.testing.assert_allclose(rms, 1, rtol=1e-4)
    z[90:] = 1e6
    torch.testing.assert_close(_statistics(z, np.arange(90)), (shift, scale))


def test_a_read_only_memory_map_gives_the_same(activations: Activations, samples: xr.Dataset, tmp_path):
    np.save(tmp_path / "z.npy", activations.z)
    mapped = replace(activations, z=np.load(tmp_path / "z.npy", mmap_mode="r"))
    xr.testing.assert_identical(Probe(**FAST)(None, None, mapped, seed=0), samples)


def test_refits_differ_and_average_to_a_steadier_map(samples: xr.Dataset):
    by_refit = samples["importance"].groupby("refit").mean()
    assert by_refit.sizes["refit"] == 2
    assert not np.allclose(by_refit[0], by_refit[1])
    assert set(samples["item"].values) == set(range(150))
    assert (samples["correct"] * 2 % 1 == 0).all()  # a mean over two refits


def test_training_leaves_the_global_random_state_alone(activations: Activations):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    Probe(**{**FAST, "refits": 1, "null_refits": 0, "epochs": 1})(None, None, activations, seed=0)
    assert torch.equal(before, torch.random.get_rng_state())


def test_no_number_depends_on_how_many_probes_train_at_once(activations: Activations, samples: xr.Dataset):
    torch.set_num_threads(3)
    try:
        xr.testing.assert_identical(Probe(**FAST)(None, None, activations, seed=0), samples)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)


def test_published_variant_holds_out_a_fifth_and_has_no_null(activations: Activations):
    method = Probe(variant="published", refits=1, epochs=1)
    plan = method._plan()
    assert (plan.batch_size, plan.learning_rate, plan.shuffle, plan.patience) == (1, 1e-4, False, 0)
    assert Probe(variant="published")._plan().epochs == 100
    found = method(None, None, activations, seed=0)
    assert "null" not in found and found.attrs["precision"] == "float32"
    assert 0.1 < found.sizes["prediction"] / 150 < 0.3


@pytest.mark.parametrize("method", [Probe(**FAST), LinearProbe()])
def test_what_a_probe_cannot_read_is_refused(method, activations: Activations):
    with pytest.raises(InputError, match="got none"):
        method(None, None, None, seed=0)
    one = replace(activations, function=np.full(150, F[0]))
    with pytest.raises(InputError, match="one function"):
        method(None, None, one, seed=0)
    rare = replace(activations, function=np.where(np.arange(150) == 0, F[1], F[0]))
    with pytest.raises(InputError, match="occurs in 1 main question"):
        method(None, None, rare, seed=0)
    broken = replace(activations, z=np.full_like(activations.z, np.nan))
    with pytest.raises(RunError, match="NaN"):
        method(None, None, broken, seed=0)


def test_bad_parameters_are_refused():
    with pytest.raises(InputError, match="Known: sound, published"):
        Probe(variant="best")
    with pytest.raises(InputError, match="precision"):
        Probe(precision="float16")
    with pytest.raises(InputError, match="refits"):
        Probe(refits=0)
    with pytest.raises(InputError, match="shuffles"):
        LinearProbe(shuffles=1)
    with pytest.raises(InputError, match="above 0"):
        LinearProbe(penalties=(0.0,))


@pytest.mark.parametrize("penalty", [1e-3, 1.0])
def test_batched_ridge_is_sklearns_on_one_head(activations: Activations, penalty: float):
    label = np.array([F.index(f) for f in activations.function])
    fold = np.arange(150) // 3 % 5
    x = _heads(activations.z, slice(0, 3))
    weights = _solve(*_moments(x, label, fold), [0, 1, 3, 4], torch.full((1, len(x)), penalty).double())
    train = fold != 2
    weight = 1 / np.bincount(label[train])[label[train]] / 3
    for unit in (0, 6):
        one = x[unit, :, :-1].double().numpy()
        mean = np.average(one[train], axis=0, weights=weight)
        variance = np.average((one[train] - mean) ** 2, axis=0, weights=weight).mean()
        slow = Ridge(alpha=penalty * variance).fit(one[train], np.eye(3)[label[train]], sample_weight=weight)
        np.testing.assert_allclose(weights[0, unit, :-1].T, slow.coef_, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(weights[0, unit, -1], slow.intercept_, rtol=1e-3, atol=1e-5)


def test_inner_folds_choose_more_penalty_where_there_is_less_to_read():
    rng = np.random.default_rng(0)
    label = rng.integers(3, size=120)
    x = torch.from_numpy(rng.normal(size=(1, 120, 30)).astype(np.float32))
    x[0, np.arange(120), label] += 1.0
    x = torch.cat([x, torch.ones(1, 120, 1)], dim=2)
    fold = np.arange(120) % 4
    chosen, best = _cross_validate(x, label[None], fold, (1e-3, 1.0))
    alone = [_cross_validate(x, label[None], fold, (p,)) for p in (1e-3, 1.0)]
    np.testing.assert_allclose(best, np.maximum(alone[0][1], alone[1][1]))
    for k in range(4):  # each outer fold is predicted with the penalty that won on the others
        winner = alone[int(alone[1][1][k, 0] > alone[0][1][k, 0])][0]
        np.testing.assert_array_equal(chosen[:, fold == k], winner[:, fold == k])


def test_a_head_that_speaks_up_on_one_question_only_breaks_no_fit():
    """Where that question is held out its variance is next to nothing beside its mean: float32 sums lose it."""
    activations = planted(items=90)
    z = activations.z.copy()
    z[:, 0, 0] *= 1e-5
    z[activations.group == activations.group[0], 0, 0] = 1e3
    found = LinearProbe(refits=1, shuffles=2)(None, None, replace(activations, z=z), seed=0)
    assert np.isfinite(found["importance"]).all()
    untouched = LinearProbe(refits=1, shuffles=2)(None, None, activations, seed=0)
    np.testing.assert_allclose(found["importance"][:, 1:], untouched["importance"][:, 1:], atol=1e-6)


def test_selectivity_is_hits_minus_false_alarms_above_control():
    """Against counting, head by head, on made-up predictions of two functions by a task and two controls."""
    rng = np.random.default_rng(0)
    activations = planted(items=30)
    label = np.array([F.index(f) for f in activations.function])
    orders = np.stack([np.arange(30), rng.permutation(30), rng.permutation(30)])
    named = rng.integers(0, 3, (1, 3, 30, 1, 2)).astype(np.int16)
    named[:, 0, :, :, 1] = 2  # a head that names one function for everything
    fold, inner = np.arange(30) // 3 % 5, np.zeros((1, 5, 1, 2))
    found = _samples(activations, list(F), label, orders, [fold], named, inner)
    accuracy = np.zeros((3, 3, 2))
    for n, order in enumerate(orders):
        given = label[order]
        for c in range(3):
            took = named[0, n, :, 0] == c
            accuracy[n, c] = took[given == c].mean(0) - took[given != c].mean(0)
    maps = stats.reduce(found.drop_vars("null"), F, sign="positive", n_boot=2)["importance"]
    np.testing.assert_allclose(maps[:, 0], accuracy[0] - accuracy[1:].mean(0), atol=1e-6)
    assert (accuracy[0, :, 1] == 0).all()


def test_selectivity_is_task_minus_control_and_chunks_change_nothing(
    activations: Activations, monkeypatch: pytest.MonkeyPatch
):
    whole = LinearProbe()(None, None, activations, seed=3)
    monkeypatch.setattr("headatlas.methods.linear_probe.CHUNK_BYTES", 1)
    xr.testing.assert_allclose(LinearProbe()(None, None, activations, seed=3), whole)
    noise = whole["importance"].values[:, [0, 2]]
    assert abs(noise.mean()) < 0.03 and noise.min() >= -2 and noise.max() <= 2  # hits - false alarms, of two
    assert whole["null"].sizes["null_sample"] == 8 * 3
    assert abs(float(whole["null"].mean())) < 1e-6
