"""Is a function one thing? What `stats.validity`, the four parts and the test of specific heads say, on simulated maps
whose truth is known: nothing, tasks alone, functions, forms that look like functions, unequal noise, many heads, few
items.
"""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import rankdata
from sklearn.metrics import adjusted_rand_score

from headatlas import stats
from headatlas.atlas.variables import SCHEMA
from headatlas.stats import nulls
from headatlas.stats.matrices import exchanged, permutations, regression
from headatlas.stats.naming import named
from headatlas.stats.nulls import adjusted, exchange_p
from headatlas.stats.sharing import _four_shares
from headatlas.stats.task_validity import _rand, scaled
from headatlas.stats.tasks import tasks_of

GRID = (9, 10)


def names(n):
    return tuple(f"f{i}" for i in range(n))


def simulate(
    *,
    functions=8,
    tasks=5,
    items=8,
    general=0.0,
    own=0.0,
    form=0.0,
    task=0.8,
    noise=2.0,
    forms=None,
    grid=GRID,
    uneven=0.0,
    seed=0,
    maps=None,
):
    """Items of tasks whose map is a general one, their function's, their form's and their own; labels of forms.

    `uneven` makes heads differ in size, effects and noise alike; `maps` gives the functions' maps instead.
    """
    draw = np.random.default_rng([seed, 3])
    if maps is None:
        maps = general * draw.normal(size=grid) + own * draw.normal(size=(functions, *grid))
    forms = draw.integers(0, 3, functions * tasks) if forms is None else np.array(forms)
    of_form = form * draw.normal(size=(forms.max() + 1, *grid))
    size = np.exp(uneven * draw.normal(size=grid))
    place = np.repeat(np.arange(functions), tasks)
    truth = maps[place] + of_form[forms] + task * draw.normal(size=(len(place), *grid))
    values = size * (truth[:, None] + noise * draw.normal(size=(len(place), items, *grid)))
    task_name = np.repeat([f"t{i:03d}" for i in range(len(place))], items)
    samples = xr.Dataset(
        {"importance": (("sample", "layer", "head"), values.reshape(-1, *grid).astype(np.float32))},
        coords={
            "function": ("sample", np.repeat([f"f{i}" for i in place], items)),
            "group": ("sample", np.char.add(task_name, np.tile([f"q{i}" for i in range(items)], len(place)))),
            "task": ("sample", task_name),
        },
    )
    return samples, {"form": {f"t{i:03d}": f"form {f}" for i, f in enumerate(forms)}}


@pytest.fixture
def few_draws(monkeypatch):
    """199 permutations: what is asked of them here is how often p is below 0.05."""
    monkeypatch.setattr("headatlas.stats.matrices.PERMUTATIONS", 199)


def repeated(times, functions=8, **settings):
    """Return what `validity` says of sets that differ in the seed, side by side."""
    found = []
    for seed in range(times):
        samples, labels = simulate(functions=functions, seed=seed, **settings)
        found.append(stats.validity(samples, names(functions), labels, seed=seed))
    return xr.concat(found, "set", join="override")


def rates(found):
    """Return how often each p is below 0.05."""
    p = {name: found[name].values for name in ("within_p", "naming_p", "cluster_p")}
    p |= {str(f): found["factor_p"].sel(factor=f).values for f in found["factor"].values}
    p["of a function"] = found["function_within_p"].values
    return {name: float((values <= 0.05).mean()) for name, values in p.items()}


# -- validity: nothing to find ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "truth",
    [
        {"task": 0.0},  # noise
        {"task": 0.8, "general": 0.8},  # tasks have effects of their own, and heads matter for all
        {"task": 0.8, "general": 0.5, "uneven": 1.5},  # heads of unequal size and noise
    ],
    ids=["noise", "tasks", "uneven"],
)
def test_where_tasks_tell_no_function_nothing_says_so(truth, few_draws):
    found = repeated(30, **truth)
    assert all(rate <= 0.2 for rate in rates(found).values()), rates(found)  # 6 of 30: chance 0.3%
    assert abs(float((found["within_similarity"] - found["between_similarity"]).mean())) < 0.01
    assert abs(float(found["cluster_rand"].mean())) < 0.02
    chance = float((found["naming_accuracy"] - found["naming_chance"]).mean())
    assert abs(chance) < 0.025 and abs(float(found["naming_chance"].mean()) - 1 / 8) < 0.01
    p = np.concatenate([found[n].values for n in ("within_p", "naming_p")])
    assert 0.4 < p.mean() < 0.65  # counted in whole tasks, naming_p is above uniform
    if truth["task"] == 0:
        assert abs(float(found["task_reliability"].mean())) < 0.05
        assert found["within_similarity_corrected"].isnull().all(), "there is nothing to correct"


def test_three_tasks_of_two_functions_can_say_nothing(few_draws):
    found = repeated(6, functions=2, tasks=3, own=3.0, task=0.1, noise=0.1)
    assert (found["within_p"] > 0.05).all(), "of ten ways to deal six tasks one is the truth"
    assert (found["naming_accuracy"] == 1).all() and (found["cluster_rand"] == 1).all()


# -- validity: functions ------------------------------------------------------------------------------------------


def test_two_functions_of_six_tasks_are_told_apart(few_draws):
    found = repeated(20, functions=2, tasks=6, general=0.5, own=0.5)
    rate = rates(found)
    assert rate["within_p"] > 0.9 and rate["function"] > 0.9 and rate["naming_p"] > 0.8
    assert rate["form"] < 0.25
    assert float(found["naming_accuracy"].mean()) > 0.9 and float(found["cluster_rand"].mean()) > 0.6
    assert (found["within_similarity_low"] > found["between_similarity"]).mean() > 0.9


@pytest.mark.parametrize("items", [2, 3])
def test_few_items_are_enough_for_eight_functions(items, few_draws):
    found = repeated(8, own=0.5, general=0.5, items=items)
    assert (found["within_p"] <= 0.05).all() and float(found["naming_accuracy"].mean()) > 0.4


def test_a_function_is_one_thing_and_another_is_not(few_draws):
    draw = np.random.default_rng(0)
    maps = 0.6 * draw.normal(size=(6, *GRID)) * (np.arange(6) < 3)[:, None, None]
    p = repeated(12, functions=6, maps=maps)["function_within_p"]
    assert (p[:, :3] <= 0.05).mean() > 0.9 and (p[:, 3:] <= 0.05).mean() < 0.15


def test_functions_that_are_forms_are_given_to_the_form(few_draws):
    """Four in five of a function's tasks are of one form, and forms make maps alike, functions do not."""
    forms = [i // 5 if i % 5 else (i // 5 + 1) % 8 for i in range(40)]
    found = repeated(16, general=0.5, form=0.6, forms=forms)
    rate = rates(found)
    assert rate["within_p"] == 1, "what would have been said without forms"
    assert rate["form"] == 1 and rate["function"] <= 0.25
    effect = found["factor_effect"].mean("set")
    assert abs(float(effect.sel(factor="function"))) < 0.03 < 0.15 < float(effect.sel(factor="form"))
    both = repeated(8, general=0.5, own=0.5, form=0.5, forms=forms)
    assert rates(both)["form"] == 1 and rates(both)["function"] > 0.8


def test_many_heads():
    samples, labels = simulate(functions=4, tasks=4, items=6, own=0.4, general=0.4, grid=(80, 64))
    found = stats.validity(samples, names(4), labels)
    assert float(found["within_p"]) == 0.0001 and float(found["naming_accuracy"]) == 1
    assert (found["task_function"].values == found["task_named"].values).all()
    np.testing.assert_array_equal(found["naming_confusion"], 4 * np.eye(4))
    assert float(found["cluster_rand"]) > 0.8
    at_home = found["task_order"].groupby(found["task_function"]).map(lambda order: order.max() - order.min())
    assert (at_home <= 4).all(), "tasks of a function are neighbours among the leaves"


# -- validity: numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("functions", "tasks"), [(8, 5), (3, 2)])
def test_intervals_of_similarities_and_naming_cover(functions, tasks, few_draws):
    draw = np.random.default_rng(0)
    maps = 0.5 * draw.normal(size=(1, *GRID)) + 0.4 * draw.normal(size=(functions, *GRID))
    found = repeated(24, functions=functions, tasks=tasks, maps=maps)
    for name in ("within_similarity", "between_similarity", "naming_accuracy"):
        true = found[name].mean()
        hit = (found[f"{name}_low"] <= true) & (true <= found[f"{name}_high"])
        assert hit.mean() >= 0.8, name


def test_corrected_similarities_are_those_without_noise(few_draws):
    maps = np.random.default_rng(0).normal(size=(4, *GRID)) * 0.4 + np.random.default_rng(1).normal(size=GRID) * 0.5
    true = stats.validity(simulate(functions=4, tasks=60, items=2, noise=1e-6, maps=maps)[0], names(4))
    found = repeated(12, functions=4, tasks=6, maps=maps)
    for name in ("within_similarity", "between_similarity"):
        assert float(found[f"{name}_corrected"].mean()) == pytest.approx(float(true[name]), abs=0.03)
        assert float(found[name].mean()) < 0.75 * float(true[name]), "what noise takes"
    assert float(np.nanmean(found["function_within_corrected"])) == pytest.approx(
        float(true["within_similarity"]), abs=0.03
    )


def test_noise_that_tasks_share_does_not_make_them_alike(few_draws):
    """Tasks asked about the same passages: the passage's effect is in all of them."""
    alike = []
    for seed in range(6):
        samples, _ = simulate(functions=2, tasks=3, items=8, task=0.8, noise=1.0, seed=seed)
        passage = np.random.default_rng(seed).normal(size=(8, *GRID)) * 2
        samples["importance"] = samples["importance"] + np.tile(passage, (6, 1, 1)).astype(np.float32)
        shared = samples.assign_coords(group=("sample", np.tile([f"q{i}" for i in range(8)], 6)))
        alike.append([float(stats.validity(s, names(2))["between_similarity"]) for s in (shared, samples)])
    assert abs(np.mean(alike, axis=0)[0]) < 0.06 < 0.2 < np.mean(alike, axis=0)[1]


def test_naming_is_what_one_would_do_by_hand():
    draw = np.random.default_rng(0)
    function = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    maps = scaled(draw.normal(size=(9, 30)) + draw.normal(size=(3, 30))[function])
    by_hand = []
    for one in range(9):
        rest = np.arange(9) != one
        mean = maps[rest].mean(0)
        of = [maps[rest & (function == f)].mean(0) - mean for f in range(3)]
        by_hand.append(int(np.argmax([np.corrcoef(maps[one] - mean, m)[0, 1] for m in of])))
    order = np.stack([np.arange(9), draw.permutation(9)])
    found = named(maps @ maps.T, function, order)
    np.testing.assert_array_equal(found[0], by_hand)
    np.testing.assert_array_equal(found[1], named(maps @ maps.T, function[order[1]], order[:1])[0])


def plain_naming(maps, function):
    """Names of left-out tasks by plain correlations with the functions' means."""
    hits = []
    for one in range(len(maps)):
        rest = np.arange(len(maps)) != one
        of = [maps[rest & (function == f)].mean(0) for f in range(function.max() + 1)]
        hits.append(np.argmax([maps[one] @ m / np.linalg.norm(m) for m in of]) == function[one])
    return np.mean(hits)


@pytest.mark.parametrize(("own", "better"), [(0.0, 0.02), (0.32, 0.02)])
def test_taking_the_mean_away_names_better_and_is_fair(own, better):
    """Heads that matter for everything: plain correlations name fewer than chance where there is nothing."""
    function, plain, without = np.repeat(np.arange(8), 5), [], []
    for seed in range(25):
        samples, _ = simulate(general=1.5, own=own, seed=seed)
        maps = scaled(tasks_of(samples, names(8)).maps())
        plain.append(plain_naming(maps, function))
        without.append((named(maps @ maps.T, function, np.arange(40)[None])[0] == function).mean())
    assert np.mean(without) > np.mean(plain) + better
    if not own:
        assert np.mean(without) == pytest.approx(1 / 8, abs=0.03) and np.mean(plain) < 0.1


def test_square_roots_are_near_the_best_scale_wherever_effects_are():
    """Ranks mostly order noise where effects are in few heads; plain values follow a few large heads elsewhere."""
    function, scales = np.repeat(np.arange(8), 6), {}
    of_length_1 = lambda m: (m - m.mean(-1, keepdims=True)) / (m.std(-1, keepdims=True) * np.sqrt(m.shape[-1]))  # noqa: E731
    ways = {"roots": scaled, "ranks": lambda m: of_length_1(rankdata(m, axis=-1)), "plain": of_length_1}
    for few in (True, False):
        right = {way: [] for way in ways}
        for seed in range(8):
            draw = np.random.default_rng([seed, few])
            able = draw.random(270) < 0.09

            def effects(n, draw=draw, few=few, able=able):
                if few:  # in 3% of the heads, from the same few of them
                    return draw.standard_t(4, size=(n, 270)) * (draw.random((n, 270)) < 0.33) * able / 0.17
                return draw.normal(size=(n, 270)) * np.exp(0.7 * draw.normal(size=(n, 270))) / 1.6

            size = 1.0 if few else np.exp(draw.normal(size=270))
            maps = 0.4 * effects(1) + 0.4 * effects(8)[function] + 0.8 * effects(48) + 0.5 * draw.normal(size=(48, 270))
            for way, scale in ways.items():
                m = scale(size * maps)
                right[way].append((named(m @ m.T, function, np.arange(48)[None])[0] == function).mean())
        scales[few] = {way: np.mean(r) for way, r in right.items()}
    assert scales[True]["ranks"] < scales[True]["roots"] - 0.05
    assert scales[False]["plain"] < scales[False]["roots"] - 0.2
    assert all(max(s.values()) - s["roots"] < 0.12 for s in scales.values()), scales


def test_regression_gives_the_coefficients_of_least_squares():
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(12, 12))
    matrix = matrix + matrix.T
    labels = {"a": draw.integers(0, 3, 12), "b": draw.integers(0, 2, 12), "all": np.zeros(12), "a again": None}
    del labels["a again"]
    found = regression(matrix, labels, np.array([draw.permutation(12) for _ in range(99)]))
    assert list(found) == ["a", "b"], "what all pairs share explains nothing"
    at = np.triu_indices(12, 1)
    x = np.stack([np.ones(66), *((labels[n][:, None] == labels[n])[at] for n in ("a", "b"))], axis=1)
    by_hand = np.linalg.lstsq(x, matrix[at], rcond=None)[0]
    np.testing.assert_allclose([found["a"].effect, found["b"].effect], by_hand[1:])
    doubled = regression(matrix, labels | {"a again": labels["a"]}, np.arange(12)[None])
    assert doubled["a"].overlap == pytest.approx(1) and np.isnan(doubled["a"].p) and np.isfinite(doubled["b"].p)


def called_beside_forms(*, tasks, aligned, own=0.0, forms=8, times=300):
    """Return how often p of function is at most 0.05 where eight functions' tasks have forms that make maps alike.

    So many of a function's tasks as `aligned` says share its own form. Forms and heads differ in how much they do.
    """
    found = []
    for seed in range(times):
        draw = np.random.default_rng([seed, 11])
        function = np.repeat(np.arange(8), tasks)
        away = np.tile(np.arange(tasks) >= aligned, 8) * draw.integers(1, forms, len(function))
        form = (function + away) % forms
        of_form = np.exp(0.7 * draw.normal(size=(forms, 1))) * 0.6 * draw.normal(size=(forms, 90))
        maps = 0.5 * draw.normal(size=90) + own * draw.normal(size=(8, 90))[function] + of_form[form]
        maps = scaled(np.exp(draw.normal(size=90)) * (maps + 1.07 * draw.normal(size=(len(function), 90))))
        order = np.argsort(draw.random((199, len(function))), axis=1)
        labels = {"function": function.astype(str), "form": form.astype(str)}
        found.append(regression(maps @ maps.T, labels, order)["function"].p)
    return np.mean(np.array(found) <= 0.05)


@pytest.mark.parametrize(("tasks", "aligned"), [(5, 4), (7, 6), (5, 2), (7, 4), (7, 1)])
def test_functions_are_not_called_where_forms_that_go_with_them_make_maps_alike(tasks, aligned):
    """Permuted residuals call them in 16 to 22 of 100 such sets where four of five tasks have their function's form."""
    assert called_beside_forms(tasks=tasks, aligned=aligned) <= 0.08  # 300 sets: 5% and less than 2.5 standard errors


@pytest.mark.parametrize(("tasks", "aligned", "power"), [(5, 4, 0.6), (7, 6, 0.7), (5, 2, 0.85), (7, 4, 0.9)])
def test_functions_are_called_beside_forms_that_go_with_them(tasks, aligned, power):
    assert called_beside_forms(tasks=tasks, aligned=aligned, own=0.35, times=100) >= power


def test_labels_are_exchanged_among_tasks_that_share_all_others():
    draw = np.random.default_rng(0)
    cell = draw.integers(0, 4, 30)
    order = permutations(draw, 30)[:500]
    moved = exchanged(order, cell)
    assert (np.sort(moved, axis=1) == np.arange(30)).all() and (cell[moved] == cell).all()
    first = np.flatnonzero(cell == 0)
    comes = (moved[:, first, None] == first).mean(0)  # each of a cell's tasks as often to each of its places
    np.testing.assert_allclose(comes, 1 / len(first), atol=0.07)
    np.testing.assert_array_equal(exchanged(order, np.zeros(30, int)), np.argsort(order, axis=1))


def test_few_tasks_are_dealt_in_all_ways():
    orders = permutations(np.random.default_rng(0), 6)
    assert len({tuple(o) for o in orders.tolist()}) == len(orders) == 719 and (orders != np.arange(6)).any(axis=1).all()
    function, alike = np.repeat(["a", "b"], 3), np.kron(np.eye(2), np.ones((3, 3)))
    noisy = alike + 1e-3 * np.cov(np.random.default_rng(0).normal(size=(6, 99)))  # rounding must not break ties
    kind = np.tile(["x", "y", "z"], 2)
    plain = regression(noisy, {"function": function}, orders)["function"]
    assert plain.p == pytest.approx(1 / 10) == plain.least_p and plain.exchanged == 6
    crossed = regression(noisy, {"function": function, "kind": kind}, orders)
    assert crossed["function"].p == pytest.approx(1 / 4), "three pairs of a kind, dealt in four ways"
    assert crossed["function"].least_p == pytest.approx(1 / 4) and crossed["function"].exchanged == 6
    alone = regression(noisy, {"function": function, "kind": np.array(["x", "x", "x", "y", "y", "z"])}, orders)
    assert np.isfinite(alone["function"].effect) and np.isnan(alone["function"].p), "none differ in the function alone"
    assert (alone["function"].exchanged, alone["function"].least_p) == (0, 1)


def test_the_rand_index_is_sklearns():
    draw = np.random.default_rng(0)
    cluster, labels = draw.integers(0, 4, 30), draw.integers(0, 3, (5, 30))
    np.testing.assert_allclose(_rand(cluster, labels), [adjusted_rand_score(row, cluster) for row in labels])
    assert _rand(np.zeros(30, int), labels[:1]) == 0


# -- validity: what is said, and what not -------------------------------------------------------------------------


def test_what_cannot_be_said_is_not_said():
    samples, labels = simulate(functions=3, tasks=2, items=4)
    function = samples["function"].values
    one_each = samples.isel(sample=np.flatnonzero((function == "f0") | (samples["task"].values >= "t003")))
    one_each = one_each.isel(sample=np.flatnonzero(~np.isin(one_each["task"].values, ["t001", "t004"])))
    assert not stats.validity(one_each, names(3)), "two tasks in one function only"
    assert not stats.validity(samples.drop_vars("task"), names(3))
    fitted = samples.assign(null=(("null_sample", "layer", "head"), np.zeros((1, *GRID))))
    assert not stats.validity(fitted, names(3)), "it was told the functions"
    plain = stats.validity(samples, names(3))
    assert "factor" not in plain.dims
    half_labelled = {"form": {"t000": "question"}, "same": dict.fromkeys(labels["form"], "x")}
    assert "factor" not in stats.validity(samples, names(3), half_labelled).dims
    assert all(plain[name].notnull().all() for name in plain if "corrected" not in str(name))


def test_a_function_of_one_task_is_compared_but_not_named():
    samples, _ = simulate(functions=3, tasks=2, items=4, own=1.0)
    found = stats.validity(samples.isel(sample=np.flatnonzero(samples["task"].values != "t005")), names(3))
    assert np.isnan(found["function_within"][2]) and np.isfinite(found["function_between"][2])
    assert np.isnan(found["function_within_p"][2]) and found["task_named"].values[-1] == ""
    assert int(found["naming_confusion"].sum()) == 4 and not found["naming_confusion"][2].any()


def test_one_item_a_task_has_no_reliability():
    found = stats.validity(simulate(functions=2, tasks=4, items=1, own=1.0)[0], names(2))
    assert found["task_reliability"].isnull().all() and found["within_similarity_corrected"].isnull()
    assert np.isfinite(found["within_similarity"]) and np.isfinite(found["cluster_rand"])


def test_the_order_of_samples_plays_no_part_and_the_seed_does():
    samples, labels = simulate(functions=3, tasks=3, items=4, own=0.3)
    turned = samples.isel(sample=np.random.default_rng(0).permutation(samples.sizes["sample"]))
    one = stats.validity(samples, names(3), labels, seed=2)
    xr.testing.assert_identical(one, stats.validity(turned, names(3), labels, seed=2))
    assert not one["task_reliability"].equals(stats.validity(samples, names(3), labels, seed=3)["task_reliability"])


def test_every_variable_is_in_the_schema_and_goes_into_a_file(tmp_path):
    samples, labels = simulate(functions=3, tasks=3, items=4)
    part = stats.reduce(samples, names(3), sign="signed", n_boot=2)
    part = part.merge(stats.split(samples, names(3))).merge(stats.validity(samples, names(3), labels))
    for name in part.data_vars:
        assert SCHEMA[str(name)].dims == part[name].dims, name
        assert SCHEMA[str(name)].where == "method"
    tree = xr.DataTree.from_dict({"/m": part, "/m/samples": samples.rename(function="sample_function")})
    tree.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "a.nc", engine="h5netcdf") as back:
        assert back["m"]["task_named"].values.tolist() == part["task_named"].values.tolist()
        assert back["m/samples"]["task"].dims == ("sample",)


# -- four parts of the variance ------------------------------------------------------------------------------------

PARTS = ("general_share", "function_share", "task_share", "noise_share")


def true_parts(maps, *, task, noise, items):
    flat = np.cov(maps.reshape(len(maps), -1), bias=True)
    general = (flat.sum() - np.trace(flat)) / (len(maps) * (len(maps) - 1))
    parts = np.array([general, np.trace(flat) / len(maps) - general, task**2, noise**2 / items])
    return parts / parts.sum()


@pytest.mark.parametrize(
    ("functions", "tasks", "items"), [(8, 5, 16), (8, 2, 16), (2, 3, 8), (8, 5, 2)], ids=lambda n: str(n)
)
def test_the_four_parts_are_those_planted_and_their_intervals_cover(functions, tasks, items):
    error, covered = [], []
    for seed in range(20):
        draw = np.random.default_rng([seed, 8])
        maps = 0.5 * draw.normal(size=(1, 9, 30)) + 0.6 * draw.normal(size=(functions, 9, 30))
        samples, _ = simulate(functions=functions, tasks=tasks, items=items, maps=maps, grid=(9, 30), seed=seed)
        found = four_parts(samples, functions, seed)
        true = true_parts(maps, task=0.8, noise=2.0, items=items)
        error.append(found[:, 0] - true)
        covered.append((found[:, 1] <= true) & (true <= found[:, 2]))
        assert found[:, 0].sum() == pytest.approx(1)
    assert (np.abs(np.mean(error, axis=0)) < 0.02).all()
    assert (np.mean(covered, axis=0) >= 0.8).all()


def four_parts(samples, functions, seed=0):
    """Return the four shares and their ends, (share, 3), without the rest of what `split` says."""
    return np.array(list(_four_shares(tasks_of(samples, names(functions)), np.random.default_rng(seed)).values()))


def test_where_there_is_nothing_in_common_the_parts_scatter_about_nothing():
    noise, tasks = (
        np.array([four_parts(simulate(task=size, seed=seed)[0], 8) for seed in range(8)]) for size in (0.0, 0.8)
    )
    np.testing.assert_allclose(noise[:, :, 0].mean(0), [0, 0, 0, 1], atol=0.02)
    np.testing.assert_allclose(tasks[:, :, 0].mean(0), [0, 0, 0.56, 0.44], atol=0.03)
    assert (noise[:, :2, 0] < 0).any(), "signed: what is cut at 0 is above it in the mean"
    zero = (tasks[:, :2, 1] <= 0) & (tasks[:, :2, 2] >= 0)
    assert zero.mean() > 0.85


def test_passages_that_tasks_share_are_noise():
    samples, _ = simulate(functions=2, tasks=3, items=16, task=0.8, noise=0.5)
    passage = np.random.default_rng(0).normal(size=(16, *GRID)) * 3
    samples["importance"] = samples["importance"] + np.tile(passage, (6, 1, 1)).astype(np.float32)
    shared = samples.assign_coords(group=("sample", np.tile([f"q{i:02d}" for i in range(16)], 6)))
    assert abs(float(stats.split(shared, names(2))["general_share"])) < 0.1
    assert float(stats.split(samples, names(2))["general_share"]) > 0.3, "read as items of their own"


def test_without_tasks_there_are_three_parts_and_of_two_tasks_of_two_functions_no_interval():
    samples, _ = simulate(functions=2, tasks=2, items=6, own=0.5)
    fitted = samples.assign(null=(("null_sample", "layer", "head"), np.zeros((1, *GRID))))
    for bare in (samples.drop_vars("task"), fitted):  # a method fitted to the functions was told them
        result = stats.split(bare, names(2))
        assert "specific_share" in result and not {"function_share", "task_share"} & set(result)
    found = stats.split(samples, names(2))
    assert "specific_share" not in found and sum(float(found[part]) for part in PARTS) == pytest.approx(1)
    assert np.isfinite(found["function_share"]) and np.isnan(found["function_share_low"])


# -- heads that are specific to a function --------------------------------------------------------------------------


def five_against_35(effect, seed, spread=None):
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(40, 270)) * (1 if spread is None else spread[:, None])
    values[:5, :10] += effect
    return values * np.exp(1.5 * draw.normal(size=270)), np.arange(40) < 5


def called(effect, times=5, spread=None):
    """Return which share of ten planted heads, and of the others, is called at q < 0.05."""
    found = []
    for seed in range(times):
        values, own = five_against_35(effect, seed, spread)
        hit = adjusted(exchange_p(values, own, np.random.default_rng(seed))) < 0.05
        found.append((hit[:10].mean(), hit[10:].mean()))
    return np.mean(found, axis=0)


def test_moderation_finds_specific_heads_that_welchs_t_does_not(monkeypatch):
    """Heads whose effect on five tasks is two of their standard deviations over tasks, among 270 heads."""
    power, false = called(2.0)
    assert power > 0.65 and false < 0.01
    monkeypatch.setattr(nulls, "_prior", lambda values, own: np.zeros((len(own), 2)))  # nothing learned: Welch's t
    assert called(2.0)[0] < power - 0.25


def test_moderated_p_values_are_uniform_and_unequal_spread_does_not_call():
    p = np.concatenate([exchange_p(*five_against_35(0, seed), np.random.default_rng(seed)) for seed in range(8)])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.015) and (p < 0.005).mean() < 0.011
    function = np.arange(40) // 5
    for spread in (np.where(function == 0, 3.0, 1.0), np.exp(0.7 * np.random.default_rng(1).normal(size=8))[function]):
        assert called(0, times=3, spread=spread)[1] < 0.015
    few = exchange_p(np.random.default_rng(0).normal(size=(6, 40)), np.arange(6) < 2, np.random.default_rng(0))
    assert few.min() >= 1 / 15
    assert (exchange_p(np.zeros((6, 3)), np.arange(6) < 2, np.random.default_rng(0)) == 1).all()


def test_specific_heads_are_found_with_tasks_as_the_unit_and_invented_with_items():
    """Five tasks against 35, 90 heads: two planted; all else are effects of templates."""
    found, invented = [], []
    for seed in range(2):
        maps = np.zeros((8, *GRID))
        maps[2, 4, 3] = maps[5, 8, 8] = 2.5
        samples, _ = simulate(maps=maps, items=12, noise=1.0, seed=seed)
        call = stats.split(samples, names(8))["q_specific"].values < 0.05
        planted = maps != 0
        found.append((call[planted].mean(), call[~planted].mean()))
        items = samples.drop_vars("task")
        items = items.assign_coords(group=("sample", np.tile([f"q{i}" for i in range(60)], 8)))
        invented.append((stats.split(items, names(8))["q_specific"].values[~planted] < 0.05).mean())
    power, false = np.mean(found, axis=0)
    assert power >= 0.75 and false < 0.01
    assert np.mean(invented) > 0.2


def test_a_function_whose_tasks_are_not_told_apart_counts_as_one():
    samples, _ = simulate(functions=3, tasks=4, items=6, own=0.5)
    task = samples["task"].values
    merged = np.where(samples["function"].values == "f2", "t099", task)
    found = stats.split(samples.assign_coords(task=("sample", merged)), names(3))
    assert np.isnan(found["q_specific"][2]).all() and np.isfinite(found["q_specific"][:2]).all()
    assert float(found["q_specific"][:2].min()) >= 1 / 126, "nine rows: four against five"
