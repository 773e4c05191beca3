"""Token trees: prefixes are shared, ancestors are seen, and nothing else is."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headatlas.models.tree import pack, plan_packs

PROMPTS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=6)


@settings(deadline=None)
@given(PROMPTS)
def test_a_tree_holds_each_distinct_prefix_once_and_every_prompt_on_its_path(prompts):
    tree = pack([np.array(p) for p in prompts])
    prefixes = {tuple(p[: n + 1]) for p in prompts for n in range(len(p))}
    assert len(tree) == len(prefixes)
    for prompt, path in zip(prompts, tree.paths, strict=True):
        assert tree.tokens[path].tolist() == prompt
        assert tree.depth[path].tolist() == list(range(len(prompt)))


@settings(deadline=None)
@given(PROMPTS, st.sampled_from([None, 1, 3]))
def test_a_node_sees_its_own_prefix_within_the_window_and_nothing_else(prompts, window):
    tree = pack([np.array(p) for p in prompts])
    mask = tree.mask(window=window).numpy()
    for path in tree.paths:
        for i, node in enumerate(path):
            first = 0 if window is None else max(0, i - window + 1)
            assert sorted(np.flatnonzero(mask[node])) == sorted(path[first : i + 1])


def test_packs_keep_order_and_groups_and_the_bound_on_nodes():
    draw = np.random.default_rng(0)
    prompts = [np.concatenate([np.full(5, g), draw.integers(10, 99, 4)]) for g in (1, 1, 1, 2, 2, 3)]
    groups = list("aaabbc")
    packs = list(plan_packs(prompts, groups, max_nodes=14))
    assert [i for run in packs for i in run] == list(range(6))
    assert [(run.start, run.stop) for run in packs] == [(0, 2), (2, 3), (3, 5), (5, 6)]
    for run in packs:
        assert len({groups[i] for i in run}) == 1
        assert len(pack([prompts[i] for i in run])) <= 14


def test_a_prompt_longer_than_the_bound_runs_alone():
    prompts = [np.arange(30), np.arange(30) + 1, np.arange(4) + 2]
    assert list(plan_packs(prompts, ["a"] * 3, max_nodes=10)) == [range(0, 1), range(1, 2), range(2, 3)]


def test_no_prompts_make_no_packs():
    assert list(plan_packs([], [], max_nodes=10)) == []
