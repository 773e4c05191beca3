"""Importance checked causally: planted heads are found, or provably can't be (docs/planted.md says which, and why).

1. Every planted model does its task, and its decoy holds the answer without any effect.
2. A method ranks the planted heads that it can see above all other heads; those it can't see (`BLIND`) stay among
   the distractors. The numbers are those of docs/planted.md.
3. What single ablation can't see shows when another head is ablated with it, or at other positions.
4. The sweep agrees with one stock forward pass a head.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from headatlas.methods.ablation import Ablation, AblationResample, AblationZero
from headatlas.methods.attribution import Attribution, IntegratedGradients
from headatlas.methods.base import Activations, Method, ModelMethod
from headatlas.methods.gates import GateGradient, HeadGating
from headatlas.models.sweep import sweep
from tests.oracle import plain_hooks
from tests.planted.causal_models import CASES, FUNCTIONS, GAIN, Planted

METHODS: dict[str, Method] = {
    "ablation": Ablation(),
    "ablation, all positions": Ablation(positions="all"),
    "ablation_zero": AblationZero(),
    "ablation_resample": AblationResample(),
    "attribution": Attribution(),
    "attribution, all positions": Attribution(positions="all"),
    "gate_gradient": GateGradient(),
    "integrated_gradients": IntegratedGradients(),
    "head_gating": HeadGating(folds=3, refits=4),
}
GATING = "head_gating"
"""The one whose numbers are no nats, but between -1 and 1, and whose fits take seconds a case."""
AUROC = dict.fromkeys([method for method in METHODS if method.startswith("ablation")], 1.0)
"""What a method must reach over all heads; others 0.95."""

_FIRST_ORDER = {"attribution", "attribution, all positions", "gate_gradient"}
_ONE_AT_A_TIME = {"ablation", "ablation, all positions", "ablation_zero", *_FIRST_ORDER}
BLIND: dict[tuple[str, str], set[str]] = {
    ("induction", "previous"): set(METHODS) - {"ablation, all positions", "attribution, all positions"},
    ("hard chain", "moves"): _FIRST_ORDER,
    ("backup", "backup"): set(METHODS) - {GATING},
    ("duplicates", "one"): _ONE_AT_A_TIME,
    ("duplicates", "other"): _ONE_AT_A_TIME,
    ("duplicates apart", "one"): _ONE_AT_A_TIME | {"integrated_gradients"},
    ("duplicates apart", "other"): _ONE_AT_A_TIME | {"integrated_gradients"},
}
"""(case, role) -> the methods that can't see that head."""
FAINT = 0.02
"""Nats: no head that a method is blind to comes out above it, no head that it sees below."""
NOTHING = 1e-5
"""Nats: rounding."""
DOC = Path(__file__).parents[1] / "docs" / "planted.md"

SEES = [(case, method) for case in CASES for method in METHODS if method not in BLIND.get((case, "one"), ())]
"""All but the duplicates and the methods that see neither."""


def timed(*values: str, method: str):
    """Return a test's parameters, marked slow where they take seconds."""
    return pytest.param(*values, marks=[pytest.mark.slower] if method == GATING else [])


every_case = pytest.mark.parametrize("case", CASES)


@cache
def planted(case: str, seed: int = 0) -> Planted:
    return CASES[case](seed=seed)


@cache
def activations(case: str, seed: int = 0) -> Activations:
    p = planted(case, seed)
    return Activations(
        z=p.model.capture(p.prompts).z,
        function=np.array([prompt.function for prompt in p.prompts]),
        group=np.array([prompt.group for prompt in p.prompts]),
        functions=FUNCTIONS,
    )


@cache
def effects(case: str, method: str, seed: int = 0) -> np.ndarray:
    """Return the mean importance over prompts, (layer, head)."""
    p, its, run = planted(case, seed), activations(case, seed), METHODS[method]
    if isinstance(run, ModelMethod):
        return run.rows(p.model, p.prompts, its, seed=seed)[..., 0].mean(0)
    return run(p.model, p.prompts, its, seed=seed)["importance"].mean("sample").values


def auroc(effect: np.ndarray, heads) -> float:
    truth = np.zeros(effect.shape, dtype=int)
    truth[tuple(zip(*heads, strict=True))] = 1
    return roc_auc_score(truth.ravel(), effect.ravel())


def seen(case: str, method: str) -> set[tuple[int, int]]:
    """Return the planted heads that support the answer and that the method can see."""
    roles = planted(case).roles
    return {at for role, at in roles.items() if role != "interferes" and method not in BLIND.get((case, role), ())}


def zeroed(head: int):
    """Return an edit that removes a head."""

    def edit(z):
        new = z.clone()
        new[:, :, head] = 0
        return new

    return edit


def replacement(p: Planted, kind: str, case: str) -> torch.Tensor:
    mean = torch.from_numpy(activations(case).z.mean(0))[None, None]
    return {"zero": torch.zeros_like(mean), "mean": mean}[kind]


# -- the models -------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("seed", [0, 1])
def test_the_model_does_its_task(case, seed):
    p = planted(case, seed)
    captured = p.model.capture(p.prompts)
    assert captured.greedy.mean() >= 0.95
    assert captured.logprob.mean() > -0.5
    assert (captured.logprob > captured.foil_logprob).all()
    assert len(p.heads) == len(p.roles) and p.decoy not in p.heads
    assert (p.model.n_layers, p.model.n_heads) == (4, 6)
    assert p.model.unsplit is None


@pytest.mark.parametrize("case", ["copy", "fact", "chain", "interference", "duplicates"])
def test_the_decoy_holds_the_answer_and_no_causal_method_takes_it_for_its_user(case):
    p = planted(case)
    held = activations(case).z[:, *p.decoy].argmax(-1)
    assert (held == [prompt.answer_tokens[0] for prompt in p.prompts]).mean() >= 0.95
    for method in set(METHODS) - {GATING}:
        assert abs(effects(case, method)[p.decoy]) < NOTHING


@pytest.mark.slower
@every_case
def test_gates_of_heads_that_do_nothing_go_where_they_are_pulled(case):
    """No distractor is kept as a planted head is; the decoy, which nobody reads, ends at nothing."""
    p, effect = planted(case), effects(case, GATING)
    assert abs(effect[p.decoy]) < 0.01
    assert max(effect[a, b] for a in range(4) for b in range(6) if (a, b) not in p.heads) < 0.25


# -- what must be found, and what can't be ----------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "method"),
    [timed(case, method, method=method) for case, method in SEES],
)
def test_planted_heads_are_found(case, method):
    effect, heads = effects(case, method), seen(case, method)
    assert auroc(effect, heads) >= AUROC.get(method, 0.95)
    assert min(effect[at] for at in heads) > FAINT


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("case", "method"), [at for at in SEES if at[1] in ("ablation", "attribution")])
def test_planted_heads_are_found_among_other_distractors(case, method, seed):
    assert auroc(effects(case, method, seed), seen(case, method)) >= AUROC.get(method, 0.95)


@pytest.mark.parametrize(
    ("case", "role", "method"),
    [timed(*at, method, method=method) for at, blind in BLIND.items() for method in METHODS if method in blind],
)
def test_what_a_method_cannot_see_stays_faint(case, role, method):
    p, effect = planted(case), effects(case, method)
    assert abs(effect[p.roles[role]]) < (NOTHING if case.startswith("duplicates") else FAINT)


@pytest.mark.parametrize("method", [timed(method, method=method) for method in METHODS])
def test_the_interfering_head_is_negative_and_lowest_of_all(method):
    effect, head = effects("interference", method), planted("interference").roles["interferes"]
    assert effect[head] < (-0.5 if method == GATING else -5 * FAINT)
    assert auroc(-effect, {head}) >= (0.95 if method == GATING else 1)


# -- what shows otherwise ---------------------------------------------------------------------------


def test_a_head_that_acts_before_the_answer_shows_where_it_acts():
    """The induction head reads what its partner wrote at earlier positions, which "answer" leaves as it is."""
    at = planted("induction").roles["previous"]
    assert abs(effects("induction", "ablation")[at]) < 0.001 * effects("induction", "ablation, all positions")[at]
    assert effects("induction", "ablation, all positions")[at] > 3


@pytest.mark.parametrize("metric", ["logprob", "logit_diff"])
def test_attribution_at_all_positions_sees_it_too(metric):
    """Of all heads it is then among the two that are planted; at the answer it is among those that do nothing."""
    p, its = planted("induction"), activations("induction")
    found = {
        positions: Attribution(positions=positions, metric=metric).rows(p.model, p.prompts, its, seed=0)[..., 0].mean(0)
        for positions in ("answer", "all")
    }
    at = p.roles["previous"]
    assert auroc(found["all"], p.heads) == 1
    assert abs(found["answer"][at]) < 0.01 * found["all"][at]
    exact = Ablation(positions="all", metric=metric).rows(p.model, p.prompts, its, seed=0)[..., 0].mean(0)
    assert exact[at] > found["all"][at] > 5 * FAINT


@pytest.mark.parametrize("case", ["copy", "previous", "induction"])
def test_the_logit_difference_shows_what_a_head_writes(case):
    """Its size is what was wired in: the head that answers adds about `GAIN` to the answer's logit alone."""
    p = planted(case)
    foils = [replace(prompt, designed=True) for prompt in p.prompts]
    method = Ablation().resolved(foils)
    assert method.metric == "logit_diff"
    effect = method.rows(p.model, foils, activations(case), seed=0)[..., 0].mean(0)
    head = p.roles[{"copy": "copies", "previous": "previous", "induction": "induction"}[case]]
    assert auroc(effect, {head}) == 1
    assert 0.7 * GAIN < effect[head] < 1.1 * GAIN


def test_the_backup_head_shows_when_the_first_is_ablated():
    p = planted("backup")
    (layer, head), backup = p.roles["first"], p.roles["backup"]
    zero = replacement(p, "zero", "backup")
    before = sweep(p.model, p.prompts, zero)
    with p.model.edit({layer: zeroed(head)}):
        after = sweep(p.model, p.prompts, zero)
    effect = after.effect[..., 0].mean(0)
    assert auroc(effect, {backup}) == 1
    assert effect[backup] > 1
    assert effect[layer, head] == pytest.approx(0, abs=NOTHING)  # it is gone already
    # what the first one's ablation costs is what is lost although the second acts
    lost = (before.base - after.base)[:, 0].mean()
    assert lost == pytest.approx(before.effect[..., 0].mean(0)[layer, head], abs=NOTHING)
    assert lost + effect[backup] > 2 * lost


def test_the_backup_head_sleeps_under_mean_ablation():
    """The flag is the same for all items, so their mean raises it too: the first head's whole effect shows."""
    p = planted("backup")
    (layer, head), backup = p.roles["first"], p.roles["backup"]
    mean = replacement(p, "mean", "backup")

    def averaged(z):
        new = z.clone()
        new[:, :, head] = mean[0, 0, layer, head]
        return new

    with p.model.edit({layer: averaged}):
        after = sweep(p.model, p.prompts, mean).effect[..., 0].mean(0)
    assert abs(after[backup]) < FAINT
    assert effects("backup", "ablation")[layer, head] > 2 * effects("backup", "ablation_zero")[layer, head]


@pytest.mark.slower
@pytest.mark.parametrize("case", ["backup", "duplicates", "duplicates apart"])
def test_gates_fitted_together_show_what_single_ablation_cannot(case):
    """They start at random, so the one head is gated in some fits when the other is judged."""
    p, effect = planted(case), effects(case, GATING)
    assert auroc(effect, p.heads) == 1
    if case != "backup":  # which starts late: most fits keep the first alone
        assert min(effect[at] for at in p.heads) > 0.4


@pytest.mark.parametrize("case", ["duplicates", "duplicates apart"])
@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_either_duplicate_is_enough_and_both_are_needed(case, kind):
    """Alone, neither moves any metric; the second to go takes the answer with it."""
    p = planted(case)
    (layer, head), other = p.roles["one"], p.roles["other"]
    swept = sweep(p.model, p.prompts, replacement(p, kind, case))
    for at in p.heads:
        np.testing.assert_allclose(swept.effect[:, *at], 0, atol=1e-4)  # log-probability, KL and logits, every prompt
    distractors = [swept.effect[:, a, b, 0].mean() for a in range(4) for b in range(6) if (a, b) not in p.heads]
    assert np.sort(np.abs(distractors))[1] > NOTHING  # all but the decoy do more
    with p.model.edit({layer: zeroed(head)}):
        effect = sweep(p.model, p.prompts, replacement(p, kind, case)).effect[..., 0].mean(0)
    assert auroc(effect, {other}) == 1
    assert effect[other] > 3


# -- the sweep, and what the docs say ---------------------------------------------------------------


@torch.inference_mode()
def by_hand(p: Planted, prompt, layer: int, head: int, new: torch.Tensor, start: int) -> float:
    """The answer's mean log-probability, with z replaced from `start` on in one stock forward pass."""

    def replace(at, z):
        if at == layer:
            z = z.clone()
            z[:, start:, head] = new
        return z

    with plain_hooks(p.model, replace):
        logits = p.model.model(input_ids=torch.from_numpy(prompt.tokens[:-1])[None]).logits[0]
    return float(logits.log_softmax(-1)[prompt.predicting, prompt.answer_tokens].mean())


@every_case
@pytest.mark.parametrize("positions", ["answer", "all"])
def test_the_sweep_is_what_stock_forward_passes_give(case, positions):
    p = planted(case)
    prompts = p.prompts[:2]
    for kind in ("zero", "mean"):
        r = replacement(p, kind, case)
        swept = sweep(p.model, prompts, r, positions=positions)
        for i, prompt in enumerate(prompts):
            start = prompt.answer_start - 1 if positions == "answer" else 0
            for layer, head in [*p.heads, p.decoy, (0, 0), (3, 4)]:
                expected = by_hand(p, prompt, layer, head, r[0, 0, layer, head], start)
                assert swept.base[i, 0] - swept.effect[i, layer, head, 0] == pytest.approx(expected, abs=1e-4)


def table() -> tuple[list[str], dict[tuple[str, str], list[str]]]:
    """Return the methods of the first table of docs/planted.md, and its cells: (case, role) -> one a method."""
    first = re.search(r"(?:^\|.*\n)+", DOC.read_text(), re.MULTILINE)
    assert first
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in first.group().splitlines()]
    return [column.replace("`", "") for column in rows[0][2:]], {(row[0], row[1]): row[2:] for row in rows[2:]}


def shown(case: str, role: str, method: str) -> float:
    """Return the number of a cell."""
    columns, cells = table()
    return float(cells[case, role][columns.index(method)].split()[0])


def test_the_docs_show_these_numbers():
    """A row for each planted head, a column for each method, effects in nats."""
    for case in CASES:
        p = planted(case)
        assert all(7 <= len(prompt.tokens) <= 18 for prompt in p.prompts)
        rest = [(a, b) for a in range(4) for b in range(6) if (a, b) not in p.heads]
        for method in set(METHODS) - {GATING}:
            assert all(-0.09 < effects(case, method)[at] < 0.05 for at in rest)
    columns, cells = table()
    assert columns == list(METHODS)
    assert set(cells) == {(case, role) for case in CASES for role in planted(case).roles}
    for case, role in cells:
        for method, cell in zip(METHODS, cells[case, role], strict=True):
            assert cell.endswith("blind") == (method in BLIND.get((case, role), ())), (case, role, method)
            if method != GATING:
                effect = effects(case, method)[planted(case).roles[role]]
                assert shown(case, role, method) == pytest.approx(effect, abs=0.011), (case, role, method)


@pytest.mark.slower
@every_case
def test_the_docs_show_what_gates_find(case):
    """Their fits differ a little between machines."""
    p, effect = planted(case), effects(case, GATING)
    for role, at in p.roles.items():
        assert shown(case, role, GATING) == pytest.approx(effect[at], abs=0.1), role
    rest = [effect[a, b] for a in range(4) for b in range(6) if (a, b) not in p.heads]
    assert min(rest) > -0.65 and max(rest) < 0.15
