"""What runs the model, part by part, into stores: one pass for pooled z, the effects of a method, the fits of another.

1. Prompts of one main question are packed and run together (`capture`, `effects`); a fit runs alone (`fitted`).
2. Rows go into a store as they come, so a killed run continues after the last chunk of them; without a store they
   go into a temporary folder, and memory is the same.

It does not know what is made of the rows.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from headatlas.methods.base import Activations, FittedMethod, Method, ModelMethod
from headatlas.models.captured import Captured
from headatlas.models.head_model import HeadModel
from headatlas.models.tree import MAX_NODES, plan_packs
from headatlas.prompts import Prompt, same_answer, templates, with_answer
from headatlas.questions.functions import order_functions
from headatlas.run.store import Store, activation_arrays

VERSION = 1
"""Of the capture's algorithm: raise it whenever pooled z or the answers' scores change."""

Answers = Literal["reference", "generated"]
Report = Callable[[str, int, int], None]
"""Called with (stage, done, total) as work goes on."""
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Capture:
    """One pass over the model: what `capture` returns.

    Attributes
    ----------
    activations
        Pooled z with labels, for the methods.
    logprob, foil_logprob
        Mean log-probability of a token of the reference answer and of the foil (NaN without one), nats, (item,).
    right
        Whether the model's own answer is the reference: every token the greedy choice (reference answers),
        or the same words when generated, (item,), 0 or 1.
    """

    activations: Activations
    logprob: np.ndarray
    foil_logprob: np.ndarray
    right: np.ndarray


def labels(prompts: Sequence[Prompt]) -> tuple[np.ndarray, np.ndarray]:
    """Return the function and the group (main question) of every prompt."""
    return np.array([p.function for p in prompts]), np.array([p.group for p in prompts])


def capture(
    model: HeadModel,
    prompts: Sequence[Prompt],
    *,
    key: dict[str, Any],
    store: str | Path | None = None,
    report: Report | None = None,
) -> Capture:
    """Run `prompts` through `model` once and keep pooled z, in `store` (or a temporary folder).

    Prompts of one main question are packed as a token tree. A store of the same key that a killed run left
    is continued.
    """

    def run(part: list[Prompt]) -> Arrays:
        found = _answered(model, part, key) if key["answers"] == "generated" else model.capture(part)
        scores = np.stack([found.logprob, found.foil_logprob, found.greedy.astype(np.float32)], axis=1)
        return {"z": found.z, "scores": scores}

    arrays = activation_arrays(model.n_layers, model.n_heads, model.head_dim)
    rows = _streamed(_packs(prompts, run), len(prompts), arrays, key, store, "capture", report)
    function, group = labels(prompts)
    functions = order_functions(p.function for p in prompts)
    task = np.array([p.task for p in prompts])
    activations = Activations(rows["z"], function, group, functions, task if task.astype(bool).any() else None)
    return Capture(activations, *rows["scores"].T)


def effects(
    model: HeadModel,
    method: ModelMethod,
    prompts: Sequence[Prompt],
    activations: Activations,
    *,
    key: dict[str, Any],
    seed: int,
    store: str | Path | None = None,
    report: Report | None = None,
) -> np.ndarray:
    """Score every head on every prompt by a method that runs the model, streamed as `capture` is.

    Returns
    -------
    numpy.ndarray
        (prompt, layer, head, value), float32; the values are `method.values`.
    """

    def run(part: list[Prompt]) -> Arrays:
        return {"effects": method.rows(model, part, activations, seed=seed).astype(np.float32)}

    arrays = {"effects": {"layer": model.n_layers, "head": model.n_heads, "value": len(method.values)}}
    key = _of_method(key, method, seed)
    return _streamed(_packs(prompts, run), len(prompts), arrays, key, store, method.name, report)["effects"]


def fitted(
    model: HeadModel,
    method: FittedMethod,
    prompts: Sequence[Prompt],
    *,
    key: dict[str, Any],
    seed: int,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """Make all fits of a method, streamed as `capture` is, a fit a chunk; return its samples."""
    fits = method.fits(prompts, seed=seed)

    def run(one: Any) -> Arrays:
        return {name: array[None] for name, array in method.fit(model, one).items()}

    parts = ((range(i, i + 1), partial(run, one)) for i, one in enumerate(fits))
    key = _of_method(key, method, seed)
    rows = _streamed(parts, len(fits), method.arrays(model), key, store, method.name, report, chunk=1)
    return method.samples(rows, fits)


def _of_method(key: dict[str, Any], method: Method, seed: int) -> dict[str, Any]:
    """Return what makes two runs of a method on the same capture the same."""
    own = {"method": method.name, f"{method.name} version": method.version, "seed": seed}
    return {**key, **own, "parameters": asdict(method)}  # type: ignore[call-overload]


Parts = Iterable[tuple[range, Callable[[], Arrays]]]
"""Which rows, and what makes them."""


def _packs(prompts: Sequence[Prompt], run: Callable[[list[Prompt]], Arrays]) -> Parts:
    """Yield the prompts pack by pack."""
    for pack in plan_packs([p.tokens for p in prompts], [p.group for p in prompts], max_nodes=MAX_NODES):
        yield pack, partial(run, [prompts[i] for i in pack])


def _streamed(
    parts: Parts,
    n: int,
    arrays: dict[str, dict[str, int]],
    key: dict[str, Any],
    store: str | Path | None,
    stage: str,
    report: Report | None,
    *,
    chunk: int | None = None,
) -> Arrays:
    """Run `n` rows part by part into a store, from where it was, and return them all."""
    if store is None:
        with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
            return _streamed(parts, n, arrays, key, Path(folder) / "rows.zarr", stage, report, chunk=chunk)
    rows = Store(store, n=n, arrays=arrays, key=key, chunk=chunk)
    try:
        for part, run in parts:
            if part.stop <= rows.n_done:
                continue
            rows.append(part.start, run())
            if report:
                report(stage, part.stop, n)
        return rows.read()
    finally:
        rows.close()


def _answered(model: HeadModel, prompts: Sequence[Prompt], key: dict[str, Any]) -> Captured:
    """Let the model answer greedily, then capture at its own answer's tokens."""
    stop = templates.get(key["template"]).stop
    own, right = [], []
    for prompt in prompts:
        new = model.generate(prompt.prefix, stop=stop)
        own.append(with_answer(prompt, new, model.tokenizer, key["tokens"]))
        right.append(same_answer(model.tokenizer.decode(new, skip_special_tokens=True), prompt.answer))
    return replace(model.capture(own), greedy=np.array(right))
