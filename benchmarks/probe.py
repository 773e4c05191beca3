"""How fast, how stable and how accurate the probes are on real activations.

Prints one line a figure: name, value, bound, ok or short. Wall time is of a machine that may be shared, so
processor seconds are printed beside it: with two threads, an idle 2-core machine needs about half of them.

    python benchmarks/probe.py [--cogqa FILE] [--features FILE.npz]

Activations are captured from CogQA's train file (short template; minutes, kept in bench-out/ for the next
time), or read from an .npz that holds z (item, layer, head, head_dim), function, group, functions and, for
the text baseline, subquestion, answer and passage (item,).
"""

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr

import headatlas as ha
from _line import COGQA, line
from headatlas import pipeline, stats, streams
from headatlas.controls import text_baseline
from headatlas.methods.base import Activations
from headatlas.methods.linear_probe import LinearProbe
from headatlas.methods.probe import Probe


def report(name: str, value: float, bound: float | None = None, *, at_most: bool = False) -> None:
    line(name, value, **({} if bound is None else {"at_most": bound} if at_most else {"at_least": bound}))


def timed(name: str, bound: float | None, work: Callable[[], xr.Dataset]) -> xr.Dataset:
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    report(f"{name}_wall_s", time.perf_counter() - wall, bound, at_most=True)
    report(f"{name}_processor_s", time.process_time() - processor)
    return result


def load(path: Path) -> tuple[Activations, dict[str, list[str]]]:
    with np.load(path) as file:
        texts = {name: file[name].tolist() for name in ("subquestion", "answer", "passage") if name in file}
        parts = {name: file[name] for name in ("z", "function", "group")}
        return Activations(**parts, functions=tuple(file["functions"].tolist())), texts


def capture(cogqa: Path) -> tuple[Activations, dict[str, list[str]]]:
    """Capture CogQA on the default model; a second call reads what the first one stored."""
    model = ha.load_model("smollm2-135m")
    planned = pipeline.plan(model, ha.load_questions(cogqa))
    store = Path(__file__).parents[1] / "bench-out" / "cogqa.zarr"
    captured = streams.capture(model, planned.prompts, key=planned.capture_key, store=store)
    texts = {name: [getattr(p, name) for p in planned.prompts] for name in ("subquestion", "answer", "passage")}
    return captured.activations, texts


def ranked_map(samples: xr.Dataset, functions: tuple[str, ...], sign: stats.Sign) -> np.ndarray:
    table = stats.Table(samples, functions)
    maps = table.maps(np.ones((1, table.n_units)), np.ones((1, table.n_refits)))[0]
    return np.abs(maps) if sign == "absolute" else maps


def measure(name: str, first: xr.Dataset, second: xr.Dataset, activations: Activations, sign: stats.Sign) -> None:
    """Agreement of two runs that share items but no refit; accuracy; what is called."""
    one, other = (ranked_map(s, activations.functions, sign) for s in (first, second))
    agreement = stats.spearman(one, other)
    report(f"{name}_map_agreement_mean", float(agreement.mean()), 0.95)
    report(f"{name}_map_agreement_min", float(agreement.min()))
    report(f"{name}_accuracy", float(first["correct"].mean()), 0.73 if name == "probe" else None)
    reduced = timed(f"{name}_reduce", 30, lambda: stats.reduce(first, activations.functions, sign=sign, n_boot=1000))
    report(f"{name}_reliability_mean", float(reduced["reliability"].mean()))
    for function in activations.functions:
        called = float((reduced["q_value"].sel(function=function) < 0.05).mean())
        report(f"{name}_called_{function}", called)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="an .npz of pooled activations, instead of a capture")
    parser.add_argument("--cogqa", type=Path, default=COGQA)
    parser.add_argument("--methods", nargs="+", default=["text", "linear_probe", "probe"])
    parser.add_argument("--published-epochs", type=int, default=0, help="also train the published way this long")
    args = parser.parse_args()
    torch.set_num_threads(2)
    if args.features is None and not args.cogqa.is_file():
        print(f"{args.cogqa} is not here: the probe's rows are left out")
        return
    activations, texts = load(args.features) if args.features else capture(args.cogqa)
    if "text" in args.methods:
        for name, text in texts.items():
            start = time.perf_counter()
            correct = text_baseline(text, activations.function, activations.group, seed=0)
            report(f"text_{name}_accuracy", float(correct.mean()))
            report(f"text_{name}_wall_s", time.perf_counter() - start, 10, at_most=True)
    if "linear_probe" in args.methods:
        first = timed("linear_probe", 180, lambda: LinearProbe()(None, None, activations, seed=0))
        second = LinearProbe()(None, None, activations, seed=1)
        report("linear_probe_best_head_balanced", first.attrs["balanced_accuracy_best_head"])
        report("linear_probe_median_head_balanced", first.attrs["balanced_accuracy_median_head"])
        measure("linear_probe", first, second, activations, "positive")
    if "probe" in args.methods:
        first = timed("probe", 180, lambda: Probe()(None, None, activations, seed=0))
        second = Probe(null_refits=0)(None, None, activations, seed=1)
        measure("probe", first, second, activations, "absolute")
        report("probe_ensemble_accuracy", first.attrs["ensemble_accuracy"])
    if args.published_epochs:
        published = Probe(variant="published", refits=1, epochs=args.published_epochs)
        found = timed("published", None, lambda: published(None, None, activations, seed=0))
        report(f"published_accuracy_{args.published_epochs}_epochs", float(found["correct"].mean()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report("peak_memory_over_z", peak / activations.z.nbytes)


if __name__ == "__main__":
    main()
