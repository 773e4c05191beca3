"""Group knockouts against single ablation: what each costs, and whose top heads hurt held-out tasks more.

python benchmarks/knockouts.py ATLAS_OF_ABLATION ATLAS_OF_KNOCKOUTS [K [GROUPS]]

Both atlases of the default model and the built-in set. Heads are chosen on half of the tasks by each, removed together
on the other half (`headatlas.validation`'s folds), and read as the drop in logit difference; paired by task.
"""

import sys
import time

import numpy as np
import torch

import headatlas as ha
from _line import line
from headatlas.atlas import load_atlas, methods_of
from headatlas.methods.ablation import Ablation
from headatlas.methods.base import packs_of, typical_packs
from headatlas.methods.knockouts import Knockouts
from headatlas.models.groups import knocked_out
from headatlas.run.jobs import capture
from headatlas.validation.choosing import Design, chosen, folds_of, maps_of
from headatlas.validation.setting import setting
from headatlas.work.job import Run


def main() -> None:
    if len(sys.argv) < 3:
        print("knockouts_over_ablation_time - not measured: give the folders of two atlases")
        return
    model = ha.load_model("smollm2-135m", dtype="auto")
    questions = ha.load_questions("builtin")
    paths, k = sys.argv[1:3], int((sys.argv[3:] or ["10"])[0])
    atlases = [load_atlas(f"{path}/atlas.nc") for path in paths]
    names = [next(m for m in methods_of(atlas) if m.startswith(kind))
             for atlas, kind in zip(atlases, ("ablation", "knockouts"), strict=True)]  # fmt: skip
    given = [setting(model, atlas, questions, method=name) for atlas, name in zip(atlases, names, strict=True)]
    assert [p.id for p in given[0].prompts] == [p.id for p in given[1].prompts]
    one = given[0]
    its = capture(model, one.prompts, Run({"answers": "reference"})).activations
    given_groups = [0, *map(int, sys.argv[4:5])]

    for groups in given_groups:
        method, label = Knockouts(groups=groups), f"_{groups}" if groups else ""
        ratios = []
        for some in typical_packs(one.prompts):
            for each in (Ablation(metric="logit_diff"), method, Ablation(metric="logit_diff"), method):
                start = time.perf_counter()
                each.resolved(one.prompts).rows(model, some, its, seed=0)
                ratios.append(time.perf_counter() - start)
        times = np.array(ratios).reshape(-1, 2, 2)[:, 1]  # the second time of each: kernels are made
        line(f"knockouts{label}_over_ablation_time", float(times[:, 1].sum() / times[:, 0].sum()))

    design = Design(ks=(k,), draws=2)
    fold = folds_of(one.function, one.unit, folds=2, seed=0)
    lost = {what: np.zeros((2, len(one.prompts))) for what in ("specific", "whole")}
    written = np.ones((model.n_layers, model.n_heads))
    for part in (0, 1):
        train = fold != part
        mean = np.mean([its.z[train & (one.function == f)].mean(0) for f in one.functions], axis=0)
        maps = [maps_of(g.effects[train], g.function[train], g.unit[train], g.functions) for g in given]
        sets = [chosen(m, written, design, fold=0) for m in maps]
        for pack in packs_of(one.prompts):
            own = [i for i in pack if fold[i] == part]
            if not own:
                continue
            f = one.functions.index(str(one.function[own[0]]))
            every = [s[what, f, k, 0] for what in lost for s in sets]
            fell = knocked_out(
                model, [one.prompts[i] for i in own], every, torch.from_numpy(mean), metrics=["logit_diff"]
            )
            for w, what in enumerate(lost):
                lost[what][:, own] = fell[:, 2 * w : 2 * w + 2, 0].T
    draw = np.random.default_rng(0)
    tasks = np.unique(one.unit)
    for what, both in lost.items():
        by_task = np.array([both[:, one.unit == t].mean(1) for t in tasks])
        of = np.array([one.function[one.unit == t][0] for t in tasks])
        by_function = {f: by_task[of == f].mean(0) for f in one.functions}
        mean = np.mean(list(by_function.values()), axis=0)
        drawn = [np.mean([(lambda own: (own[:, 1] - own[:, 0]).mean())(
            by_task[of == f][draw.integers((of == f).sum(), size=(of == f).sum())]) for f in one.functions])
            for _ in range(2000)]  # fmt: skip
        low, high = np.percentile(drawn, [2.5, 97.5])
        for f, (a, b) in by_function.items():
            print(f"  {what} {f}: ablation {a:.2f}, knockouts {b:.2f}")
        print(f"{what}, {k} heads: ablation {mean[0]:.3f}, knockouts {mean[1]:.3f}, "
              f"difference {mean[1] - mean[0]:.3f} ({low:.3f} to {high:.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
