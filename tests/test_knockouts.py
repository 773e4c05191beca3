"""Group knockouts: what they estimate, against every group there is; planted heads that back each other up; nothing."""

import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from headatlas import stats
from headatlas.errors import InputError
from headatlas.findings import describe
from headatlas.findings.sharing import STABLE as TOLD
from headatlas.methods.base import Activations
from headatlas.methods.knockouts import STABLE, Knockouts, _sharpened, _stability, entering
from headatlas.models.groups import knocked_out
from tests.planted.causal_models import CASES, FUNCTIONS
from tests.tiny import random_prompts, tiny


def activations_of(model, prompts, task=None):
    function = np.array([p.function for p in prompts])
    group = np.array([p.group for p in prompts])
    functions = tuple(f for f in FUNCTIONS if f in set(function))
    return Activations(model.capture(prompts).z, function, group, functions, task)


def test_estimates_the_mean_marginal_effect_with_others_missing():
    """Against all 4,096 groups of twelve heads, each as likely as its members and non-members make it."""
    model = tiny("llama", dtype=torch.float64)
    prompts = random_prompts(2)
    its = activations_of(model, prompts)
    share, heads = 0.25, 12
    every = np.array(list(product([False, True], repeat=heads)))
    mean = torch.from_numpy(
        (its.z[its.function == "retrieval"].mean(0) + its.z[its.function == "inference"].mean(0)) / 2
    )
    lost = knocked_out(model, prompts, every.reshape(1, -1, 3, 4), mean, metrics=["logprob"])[..., 0]
    others = np.stack([np.where(every, share, 1 - share)] * heads)
    others[np.arange(heads), :, np.arange(heads)] = 1  # the head's own membership is given
    weight = others.prod(2)
    exact = np.einsum("hg,pg->ph", weight * np.where(every.T, 1, -1), lost)
    found = Knockouts(share=share, groups=4000)(model, prompts, its, seed=0)["importance"].values.reshape(2, heads)
    spread = lost.std(1, keepdims=True) / np.sqrt(4000 * share * (1 - share))
    assert np.abs(found - exact).max() < 4 * spread.max()
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.9
    single = np.stack(
        [lost[:, int(every[:, h].nonzero()[0][every[every[:, h]].sum(1).argmin()])] for h in range(heads)], 1
    )
    assert np.abs(found - exact).mean() < np.abs(found - single).mean(), "which is not what single heads cost"


@pytest.mark.parametrize("case", ["duplicates", "duplicates apart"])
@pytest.mark.parametrize("by", ["mean", "zero"])
def test_heads_that_do_the_same_show_beside_all_others(case, by):
    """To single ablation each is worth nothing (tests/test_planted.py)."""
    p = CASES[case](seed=0)
    found = Knockouts(groups=96, by=by)(p.model, p.prompts, activations_of(p.model, p.prompts), seed=0)
    effect, stable = (found[name].mean("sample").values for name in ("importance", "stability"))
    rest = [at for at in product(range(4), range(6)) if at not in p.heads]
    assert min(effect[at] for at in p.heads) > 4 * max(effect[at] for at in rest)
    assert min(effect[at] for at in p.heads) > 0.15
    assert min(stable[at] for at in p.heads) >= STABLE > max(stable[at] for at in rest)


def test_a_head_that_sleeps_shows_where_nothing_wakes_it():
    """The first head's flag keeps the backup asleep; the mean leaves the flag where it is, zero takes it."""
    p = CASES["backup"](seed=0)
    its = activations_of(p.model, p.prompts)
    rest = [at for at in product(range(4), range(6)) if at not in p.heads]
    found = Knockouts(groups=96, share=0.25, by="zero")(p.model, p.prompts, its, seed=0)
    effect, stable = (found[name].mean("sample").values for name in ("importance", "stability"))
    assert effect[p.roles["backup"]] > 3 * max(effect[at] for at in rest)
    assert stable[p.roles["backup"]] >= STABLE
    slept = Knockouts(groups=96, share=0.25)(p.model, p.prompts, its, seed=0)
    assert slept["stability"].mean("sample").values[p.roles["backup"]] < STABLE


# -- the sparse model, by simulation ---------------------------------------------------------------------


def simulated(draw, truth, *, tasks, items, groups, share, noise):
    """Differences of means of items whose loss is a sum over their groups' heads, plus noise; (plain, design, task)."""
    heads = truth.shape[1]
    inside = max(1, round(share * groups))
    members = np.stack([
        draw.permuted(np.tile(np.arange(groups) < inside, (heads, 1)), axis=1).T for _ in range(tasks * items)
    ]).astype(np.float32)  # fmt: skip
    members -= members.mean(1, keepdims=True)
    task = np.repeat([f"t{i}" for i in range(tasks)], items)
    lost = np.stack([m @ truth[i // items] for i, m in enumerate(members)]) + noise * draw.normal(
        size=(tasks * items, groups)
    )
    plain = np.einsum("igh,ig->ih", members, lost) / (members**2).sum(1)
    return plain, lambda i: members[i], task


class Named:
    def __init__(self, name):
        self.id = name


def test_the_sparse_model_takes_noise_off_and_changes_no_mean():
    draw = np.random.default_rng(0)
    errors = {"plain": [], "sharp": [], "planted": []}
    for _ in range(6):
        truth = np.zeros((3, 60))
        truth[:, draw.choice(60, 8, replace=False)] = draw.normal(size=(3, 8)) + 1
        plain, design, task = simulated(draw, truth, tasks=3, items=10, groups=40, share=0.1, noise=0.3)
        sharp = _sharpened(plain, design, task, [Named(f"q{i}") for i in range(30)])
        wanted = np.repeat(truth, 10, axis=0)
        errors["plain"].append(plain - wanted)
        errors["sharp"].append(sharp - wanted)
        errors["planted"].append(wanted != 0)
    plain, sharp, planted = (np.concatenate(one) for one in errors.values())
    assert sharp.std() < 0.6 * plain.std()
    assert abs(sharp.mean()) < 4 * sharp.std() / np.sqrt(sharp.size)
    assert abs(sharp[planted].mean()) < 4 * sharp.std() / np.sqrt(planted.sum()), "nothing is shrunk"


def test_items_of_other_tasks_do_not_enter():
    """Heads can be chosen on some tasks and tested on others: nothing of the others is in them."""
    draw = np.random.default_rng(1)
    truth = draw.normal(size=(2, 20)) * (draw.random((2, 20)) < 0.2)
    plain, design, task = simulated(draw, truth, tasks=2, items=8, groups=20, share=0.1, noise=0.3)
    named = [Named(f"q{i}") for i in range(16)]
    changed = plain.copy()
    changed[8:] += draw.normal(size=(8, 20))
    np.testing.assert_array_equal(
        _sharpened(changed, design, task, named)[:8], _sharpened(plain, design, task, named)[:8]
    )


@pytest.mark.parametrize(("heads", "tasks", "uneven"), [(24, 4, False), (270, 4, True), (270, 2, False)])
def test_with_nothing_to_find_one_head_is_stable_at_most(heads, tasks, uneven):
    draw = np.random.default_rng(heads + tasks)
    counts = []
    for trial in range(8):
        noise = np.exp(draw.normal(size=(tasks * 4, 1))) if uneven else 1.0
        plain, design, task = simulated(
            draw, np.zeros((tasks, heads)), tasks=tasks, items=4, groups=30, share=0.1, noise=noise
        )
        its = Activations(
            np.zeros((tasks * 4, 1, 1, 1), np.float32), np.array(["retrieval"] * tasks * 4), task, ("retrieval",), task
        )
        stable = _stability(plain, design, its, 30, trial)["retrieval"]
        counts.append((stable >= STABLE).sum())
    assert np.mean(counts) <= 1
    assert entering(270) == 11


def test_what_tasks_share_is_stable():
    draw = np.random.default_rng(3)
    truth = np.zeros((6, 100))
    truth[:, :5] = 1
    truth[np.arange(6), 50 + np.arange(6)] = 2  # every task's own
    plain, design, task = simulated(draw, truth, tasks=6, items=6, groups=50, share=0.1, noise=0.5)
    its = Activations(np.zeros((36, 1, 1, 1), np.float32), np.array(["retrieval"] * 36), task, ("retrieval",), task)
    stable = _stability(plain, design, its, 50, 0)["retrieval"]
    assert stable[:5].min() == 1
    assert stable[50:56].max() < STABLE


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 0.0}, "share of 0.0 removes no or all"),
        ({"share": 1.0}, "share of 1.0 removes no or all"),
        ({"groups": 1}, "two groups or more"),
        ({"by": "resample"}, "Give mean or zero"),
        ({"metric": "nonsense"}, "Unknown metric"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        Knockouts(**given)


def test_the_docs_show_these_numbers():
    """docs/planted.md: duplicates and the backup by single ablation, by knockouts, and how stable they are."""
    text = (Path(__file__).parents[1] / "docs" / "planted.md").read_text().partition("## Groups removed together")[2]
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in text.splitlines() if re.match(r"\| [a-z]", line)]
    assert len(rows) == 7
    for case, role, by, share, effect, rest, stable in rows[1:]:
        p = CASES[case](seed=0)
        method = Knockouts(groups=96, by=by, share=float(share))
        found = method(p.model, p.prompts, activations_of(p.model, p.prompts), seed=0)
        own = found["importance"].mean("sample").values
        others = max(own[at] for at in product(range(4), range(6)) if at not in p.heads)
        at = p.roles[role]
        assert [float(effect), float(rest)] == pytest.approx([own[at], others], abs=0.015)
        assert float(stable) == pytest.approx(found["stability"].mean("sample").values[at], abs=0.05)


def test_findings_name_the_stable_heads():
    p = CASES["duplicates"](seed=0)
    its = activations_of(p.model, p.prompts)
    samples = Knockouts(groups=96)(p.model, p.prompts, its, seed=0)
    data = stats.reduce(samples, FUNCTIONS, sign="signed", n_boot=10)
    stability = stats.function_means(samples, "stability", FUNCTIONS)
    data["stability"] = (("function", "layer", "head"), stability)
    data = data.expand_dims(method=["knockouts"])
    text = describe(data).get("stability").statement
    for layer, head in p.heads:
        assert text.count(f"L{layer}H{head}") == 2, "for either function"
    assert "Retrieval 2 (" in text and "none" not in text
    assert TOLD == STABLE
    none = describe(data.assign(stability=data["stability"] * 0)).get("stability").statement
    assert none.endswith("at most): none.")
