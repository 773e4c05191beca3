"""What an edit costs, and what groups of heads removed together cost against a plain loop of hooks.

python benchmarks/interventions.py
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import headatlas as ha
from _line import line
from headatlas.interventions import Mask, Scale
from headatlas.models.groups import knocked_out
from headatlas.prompts import build_prompts

ROUNDS = 15


def ratio(one: Callable[[], Any], other: Callable[[], Any]) -> float:
    """Return the median of how much longer `one` takes than `other`, run in turn."""
    found = []
    for _ in range(ROUNDS):
        times = []
        for run in (one, other):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        found.append(times[0] / times[1])
    return statistics.median(found)


def main() -> None:
    model = ha.load_model("smollm2-135m")
    draw = np.random.default_rng(0)
    every = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    heads = tuple(every[i] for i in draw.choice(len(every), 20, replace=False))
    ids = torch.from_numpy(draw.integers(3, 40_000, (4, 64)))

    @torch.inference_mode()
    def plain() -> None:
        model.model(input_ids=ids, use_cache=False)

    def edited(edit: Any) -> Callable[[], None]:
        def run() -> None:
            with model.edit(edit):
                plain()

        return run

    plain()
    line("edit_mask_20_heads_over_forward", ratio(edited(Mask(heads)), plain), at_most=1.03)
    line("edit_scale_at_answer_over_forward", ratio(edited(Scale(heads, 2.0, positions="answer")), plain), at_most=1.03)

    questions = ha.load_questions("builtin").first_items(10)
    prompts = [p for p in build_prompts(questions, model.tokenizer) if p.task == "capital_of_country"]
    groups = [[every[i] for i in draw.choice(len(every), 10, replace=False)] for _ in range(46)]
    reference = torch.zeros(model.n_layers, model.n_heads, model.head_dim)

    def ours() -> None:
        knocked_out(model, prompts, groups, reference, metrics=("logprob",))

    @torch.inference_mode()
    def hooks() -> None:
        """A forward pass a group and prompt, with the heads set to 0 by a plain hook a layer."""
        for group in groups:
            own: dict[int, list[int]] = {}
            for layer, head in group:
                own.setdefault(layer, []).append(head)
            for prompt in prompts:
                handles = []
                for layer, columns in own.items():

                    def hook(
                        _module: Any, args: Any, columns: list[int] = columns, at: int = prompt.answer_start
                    ) -> Any:
                        x = args[0].clone()
                        x.unflatten(-1, (model.n_heads, model.head_dim))[:, at - 1 :, columns] = 0
                        return (x,)

                    handles.append(model.projections[layer].register_forward_pre_hook(hook))
                model.model(input_ids=torch.from_numpy(prompt.tokens[:-1])[None], use_cache=False)
                for handle in handles:
                    handle.remove()

    ours()
    start = time.perf_counter()
    ours()
    middle = time.perf_counter()
    hooks()
    line("plain_hooks_over_groups_together", (time.perf_counter() - middle) / (middle - start), at_least=5)


if __name__ == "__main__":
    main()
