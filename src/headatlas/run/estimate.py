"""How long a run will take, timed on a few of its prompts before it starts.

The capture and every method that runs the model are timed on three packs, of middle, short and long prompts, and taken
for all; what trains is timed on an epoch. Tasks that the model turns out not to do take no time, so it is a bound from
above as far as they go. Statistics and drawing are not in it.
"""

import numpy as np

from headatlas.methods.base import Activations, typical_packs
from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt
from headatlas.questions.functions import order_functions
from headatlas.run.jobs import labels, read, seed_of
from headatlas.run.pipeline import Plan
from headatlas.work.clock import seconds_of_all


def expected(model: HeadModel, planned: Plan) -> dict[str, float | None]:
    """Return about how many seconds each stage takes; None for one of which nothing is known."""
    asked = planned.prompts
    seconds: dict[str, float | None] = {
        "capture": seconds_of_all(
            typical_packs(asked), lambda pack: read(model, pack, planned.capture_key), len(asked), few=len(asked)
        )
    }
    prompts = [prompt for prompt, first in zip(asked, planned.first, strict=True) if first]
    activations = _stand_in(model, prompts)
    for name, method in planned.methods.items():
        seconds[name] = method.seconds(model, prompts, activations, seed=seed_of(planned.seed, method.id))
    return seconds


def _stand_in(model: HeadModel, prompts: list[Prompt]) -> Activations:
    """Return activations of the shape and labels of these prompts: noise, each item's one number further along the same
    stretch of memory, so that they take none to speak of.
    """
    shape = (model.n_layers, model.n_heads, model.head_dim)
    noise = np.random.default_rng(0).normal(size=int(np.prod(shape)) + len(prompts)).astype(np.float32)
    z = np.lib.stride_tricks.sliding_window_view(noise, int(np.prod(shape)))[: len(prompts)].reshape(-1, *shape)
    function, group = labels(prompts)
    functions = order_functions(p.function for p in prompts)
    task = np.array([p.task for p in prompts])
    return Activations(z, function, group, functions, task if task.astype(bool).any() else None)
