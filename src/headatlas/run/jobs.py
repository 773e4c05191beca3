"""The jobs of a run that maps: one pass for pooled z, and whatever methods ask for.

`capture` is the first, `measured` one a method; how they are done, kept and continued: `work.job`. It does not know
what is made of the rows.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from headatlas.methods.base import Activations, Method, packs_of
from headatlas.models.captured import Captured
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt, same_answer, templates, with_answer
from headatlas.questions.functions import order_functions
from headatlas.work.job import Rows, Run, Work, rows_of

VERSION = 1
"""Of the capture's algorithm: raise it whenever pooled z or the answers' scores change."""

SCORES = ("logprob", "foil_logprob", "right")
"""What is kept of each prompt beside z: mean log-probability of a token of the reference answer and of the
foil (NaN without one), and whether the model's own answer is the reference."""


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

    def part(self, items: np.ndarray) -> "Capture":
        """Return what was captured of some items (a mask); functions without any are gone."""
        if items.all():
            return self
        act = self.activations
        function = act.function[items]
        functions = tuple(f for f in act.functions if f in set(function))
        task = None if act.task is None else act.task[items]
        some = Activations(act.z[items], function, act.group[items], functions, task)
        return Capture(some, self.logprob[items], self.foil_logprob[items], self.right[items])


def labels(prompts: Sequence[Prompt]) -> tuple[np.ndarray, np.ndarray]:
    """Return the function and the group (main question) of every prompt."""
    return np.array([p.function for p in prompts]), np.array([p.group for p in prompts])


def activation_arrays(layers: int, heads: int, head_dim: int) -> dict[str, dict[str, int]]:
    """Return the arrays of a store of activations: pooled z and `SCORES`."""
    return {"z": {"layer": layers, "head": heads, "head_dim": head_dim}, "scores": {"score": len(SCORES)}}


def capture(model: HeadModel, prompts: Sequence[Prompt], run: Run) -> Capture:
    """Run `prompts` through `model` once and keep pooled z: the first job of a run.

    Prompts of one main question are packed as a token tree.
    """

    def make(pack: range) -> Rows:
        found = read(model, [prompts[i] for i in pack], run.key)
        scores = np.stack([found.logprob, found.foil_logprob, found.greedy.astype(np.float32)], axis=1)
        return {"z": found.z, "scores": scores}

    arrays = activation_arrays(model.n_layers, model.n_heads, model.head_dim)
    parts = ((pack, partial(make, pack)) for pack in packs_of(prompts))
    work = Work(len(prompts), arrays, parts, lambda rows: xr.Dataset())
    rows = rows_of("activations", work, run, stage="capture")
    function, group = labels(prompts)
    functions = order_functions(p.function for p in prompts)
    task = np.array([p.task for p in prompts])
    activations = Activations(rows["z"], function, group, functions, task if task.astype(bool).any() else None)
    return Capture(activations, *rows["scores"].T)


def read(model: HeadModel, prompts: Sequence[Prompt], key: Mapping[str, Any]) -> Captured:
    """Run a pack of prompts once, at the reference answers or, where `key` says so, at the model's own."""
    return _answered(model, prompts, key) if key["answers"] == "generated" else model.capture(prompts)


def measured(
    model: HeadModel,
    method: Method,
    prompts: Sequence[Prompt],
    activations: Activations,
    run: Run,
    *,
    name: str | None = None,
) -> xr.Dataset:
    """Return a method's samples; what it asks of the model streams into a store of its own.

    `name` is what its store and its stage are called, by default its id.
    """
    name = name or method.id
    seed = seed_of(run.seed, method.id)
    work = method.work(model, prompts, activations, seed=seed)
    if work is None:
        run.told(name, 0, 1)
        samples = method(model, prompts, activations, seed=seed)
        run.told(name, 1, 1)
        return samples
    own = {"method": method.id, f"{method.id} version": method.version, "seed": seed}
    key = {**own, "parameters": asdict(method)}  # type: ignore[call-overload]
    return work.samples(rows_of(name, work, run, key=key))


def seed_of(seed: int, name: str) -> int:
    """Return a method's own seed: two settings of one method have the same."""
    return int(np.random.SeedSequence([seed, zlib.crc32(name.encode())]).generate_state(1)[0])


def _answered(model: HeadModel, prompts: Sequence[Prompt], key: Mapping[str, Any]) -> Captured:
    """Let the model answer greedily, then capture at its own answer's tokens."""
    stop = templates.get(key["template"]).stop
    own, right = [], []
    for prompt in prompts:
        new = model.generate(prompt.prefix, stop=stop)
        own.append(with_answer(prompt, new, model.tokenizer, key["tokens"]))
        right.append(same_answer(model.tokenizer.decode(new, skip_special_tokens=True), prompt.answer))
    return replace(model.capture(own), greedy=np.array(right))
