"""What exact ablation of every head costs, in stock forward passes over the same steps, measured in one run.

1. Stock: one forward pass a step, logits at every position, one prompt at a time. Same model, same dtype.
2. Ablation: all heads of the default model, replaced by zero at the answer positions (`models.sweep`): of single CogQA
   steps of about 350 tokens with answers of about 10, of whole CogQA questions (their steps share prefixes), and of the
   built-in set, where eight steps share a passage.
   First-order attribution of the same steps (`models.gradient`), at the answer and at all positions, stands beside it.
3. Memory: how far a sweep of the single steps raises the process's peak over what the stock passes took.

    python benchmarks/ablation.py [--cogqa FILE] [--dtype float32] [--device cuda] [--steps 6]
"""

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import headatlas as ha
from _line import COGQA, line
from _steps import single_steps
from headatlas.models.block import Positions
from headatlas.models.gradient import estimate
from headatlas.models.head_model import HeadModel
from headatlas.models.sweep import MAX_TOKENS, sweep
from headatlas.models.tree import pack as tree_of
from headatlas.prompts import Prompt, build_prompts

Packs = Sequence[Sequence[Prompt]]


def stock(model: HeadModel, packs: Packs) -> float:
    start = time.perf_counter()
    with torch.inference_mode():
        for pack in packs:
            for prompt in pack:
                tokens = torch.from_numpy(prompt.tokens)[None].to(model.device)
                float(model.model(tokens, use_cache=False).logits[0, -1, 0])
    return time.perf_counter() - start


def ablation(model: HeadModel, packs: Packs, max_tokens: int = MAX_TOKENS) -> float:
    nothing = torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim)
    start = time.perf_counter()
    for pack in packs:
        sweep(model, pack, nothing, max_tokens=max_tokens)
    return time.perf_counter() - start


def attribution(model: HeadModel, packs: Packs, positions: Positions = "answer") -> float:
    nothing = torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim)
    start = time.perf_counter()
    for pack in packs:
        estimate(model, pack, nothing, positions=positions)
    return time.perf_counter() - start


def throughput(model: HeadModel, packs: Packs, plain: float, swept: float) -> tuple[float, float]:
    """Return tokens a second of the stock passes and of the sweep, given their seconds.

    The sweep's tokens are its prompts', what they share counted once, and each head's copy of the answer, which runs
    from its layer on: (layers + 1) / 2 of all layers on the average.
    """
    prompts = [p for pack in packs for p in pack]
    share = model.n_heads * (model.n_layers + 1) / 2
    shared = sum(len(tree_of([p.tokens[: p.answer_start] for p in pack])) for pack in packs)
    copies = share * sum(len(p.answer_tokens) for p in prompts)
    return sum(len(p.tokens) for p in prompts) / plain, (shared + copies) / swept


def by_question(prompts: Sequence[Prompt]) -> Packs:
    groups: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault(prompt.group, []).append(prompt)
    return list(groups.values())


def compare(name: str, model: HeadModel, packs: Packs, *, bound: float | None, rounds: int = 2) -> None:
    steps = sum(map(len, packs))
    sweep(model, packs[0], torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim))  # warm
    pairs = [(stock(model, packs), ablation(model, packs)) for _ in range(rounds)]
    ratio = float(np.median([b / a for a, b in pairs]))
    line(f"ablation_over_stock_{name}", ratio, at_most=bound)
    line(f"ablation_seconds_a_step_{name}", min(b for _, b in pairs) / steps)
    plain, swept = throughput(model, packs, *map(float, np.median(pairs, axis=0)))
    line(f"ablation_tokens_a_second_{name}", swept)
    line(f"ablation_throughput_over_stock_{name}", swept / plain)
    pairs = [(stock(model, packs), attribution(model, packs)) for _ in range(rounds + 1)][1:]  # the first warms up
    line(f"attribution_over_stock_{name}", float(np.median([b / a for a, b in pairs])), at_most=1.4)
    pairs = [(stock(model, packs), attribution(model, packs, "all")) for _ in range(rounds)]
    line(f"attribution_all_over_stock_{name}", float(np.median([b / a for a, b in pairs])), at_most=3)
    line(f"mean_prompt_tokens_{name}", float(np.mean([len(p.tokens) for pack in packs for p in pack])))
    line(f"mean_answer_tokens_{name}", float(np.mean([len(p.answer_tokens) for pack in packs for p in pack])))


def peak_gb(model: HeadModel) -> float:
    if model.device.type == "cuda":
        return torch.cuda.max_memory_allocated(model.device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cogqa", type=Path, default=COGQA)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", help="cpu, cuda, …; default: the accelerator, where there is one")
    parser.add_argument("--steps", type=int, default=6, help="single steps of CogQA")
    parser.add_argument("--questions", type=int, default=3, help="whole questions of each set")
    parser.add_argument("--chunks", type=int, nargs="*", default=[], help="also time these chunk sizes (tokens)")
    args = parser.parse_args()
    model = ha.load_model(dtype=args.dtype, device=args.device)
    if args.cogqa.is_file():
        prompts = build_prompts(ha.load_questions(args.cogqa, limit=150), model.tokenizer, template="published")
        single = [[p] for p in single_steps(prompts, args.steps)]
        stock(model, single)
        before = peak_gb(model)
        compare("cogqa_single_steps", model, single, bound=8)
        line("sweep_peak_over_stock_gb", peak_gb(model) - before, at_most=1.5)
        for size in args.chunks:
            line(f"ablation_seconds_a_step_chunk_{size}", ablation(model, single, size) / len(single))
        compare("cogqa_questions", model, by_question(prompts)[: args.questions], bound=None)  # shorter prompts
    else:
        print(f"{args.cogqa} is not here: its rows are left out")
    prompts = build_prompts(ha.load_questions("controlled", limit=args.questions), model.tokenizer)
    compare("builtin", model, by_question(prompts), bound=8)


if __name__ == "__main__":
    main()
