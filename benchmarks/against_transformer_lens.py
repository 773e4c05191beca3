"""Exact ablation of every head against the same sweep in TransformerLens (`run_with_hooks` on hook_z).

Same weights, same single CogQA steps, z replaced by zero at the answer positions, mean log-probability of the answer;
in one process, in turn. The effects of both are compared too. TransformerLens is used in three ways:

1. `one_by_one`: the usual loop, one `run_with_hooks` of the whole prompt a head. Timed on one head a layer and
   multiplied by the heads of a layer.
2. `by_layer`: all heads of a layer as rows of one batch, started at that layer (`start_at_layer`) from the residual
   stream that a first pass left.
3. `cached`: the prompt once, then batches of rows that run the answer's tokens only, on its expanded keys and values.

It is not a dependency of this project. In an environment of its own:

    pip install torch==2.13.0 && pip install transformer-lens==4.3.0 -e .
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
from transformer_lens.model_bridge import TransformerBridge

import headatlas as ha
from _line import COGQA, line
from headatlas.models.head_model import HeadModel
from headatlas.models.sweep import sweep
from headatlas.prompts import Prompt, build_prompts

ROWS = 45
"""Rows of a batch in `cached`: five layers of the default model; more are no faster on two cores."""


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


def one_by_one(bridge: Any, prompt: Prompt, head_step: int) -> np.ndarray:
    tokens = torch.from_numpy(prompt.tokens[:-1].astype(np.int64))[None]
    start = prompt.answer_start - 1
    effect = np.full((bridge.cfg.n_layers, bridge.cfg.n_heads), np.nan)
    base = logprob(bridge(tokens), prompt)[0]
    for layer in range(len(effect)):
        for head in range(layer % head_step, effect.shape[1], head_step):
            hook = partial(silence, start=start, rows=[0], heads=[head])
            effect[layer, head] = (
                base - logprob(bridge.run_with_hooks(tokens, fwd_hooks=[(name(layer), hook)]), prompt)[0]
            )
    return effect


def by_layer(bridge: Any, prompt: Prompt) -> np.ndarray:
    tokens = torch.from_numpy(prompt.tokens[:-1].astype(np.int64))[None]
    heads = list(range(bridge.cfg.n_heads))
    logits, cache = bridge.run_with_cache(tokens, names_filter=lambda n: n.endswith("hook_resid_pre"))
    base, effect = logprob(logits, prompt)[0], []
    hook = partial(silence, start=prompt.answer_start - 1, rows=heads, heads=heads)
    for layer in range(bridge.cfg.n_layers):
        residual = cache[f"blocks.{layer}.hook_resid_pre"].expand(len(heads), -1, -1)
        out = bridge.run_with_hooks(residual, start_at_layer=layer, fwd_hooks=[(name(layer), hook)])
        effect.append(base - logprob(out, prompt))
    return np.stack(effect)


def cached(bridge: Any, prompt: Prompt) -> np.ndarray:
    before = torch.from_numpy(prompt.tokens[: prompt.answer_start - 1].astype(np.int64))[None]
    after = torch.from_numpy(prompt.tokens[prompt.answer_start - 1 : -1].astype(np.int64))[None]
    _, kept = bridge(before, use_cache=True)
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
        found = logprob(out[0] if isinstance(out, tuple) else out, prompt)
        effect += [found[0] - found[1:]]
    return np.concatenate(effect).reshape(bridge.cfg.n_layers, bridge.cfg.n_heads)


def ours(model: HeadModel, prompt: Prompt) -> np.ndarray:
    nothing = torch.zeros(1, 1, model.n_layers, model.n_heads, model.head_dim)
    return sweep(model, [prompt], nothing).effect[0, ..., 0]


def timed(way: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    found = way()
    return time.perf_counter() - start, found


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cogqa", type=Path, default=COGQA)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=2, help="single steps of CogQA")
    args = parser.parse_args()
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
        prompts = [p for p in prompts if 320 <= len(p.tokens) <= 380 and 8 <= len(p.answer_tokens) <= 12]
    else:
        print(f"{args.cogqa} is not here: steps of the built-in set, whose answers are short, stand in")
        prompts = build_prompts(ha.load_questions("builtin", limit=4), model.tokenizer)
    step = model.n_heads
    ways = {
        "one_by_one": lambda p: one_by_one(bridge, p, step),
        "by_layer": partial(by_layer, bridge),
        "cached": partial(cached, bridge),
    }
    seconds = dict.fromkeys(("ours", *ways), 0.0)
    ours(model, prompts[0])  # warm
    worst = 0.0
    for prompt in prompts[: args.steps]:
        took, effect = timed(partial(ours, model, prompt))
        seconds["ours"] += took
        for way, run in ways.items():
            took, theirs = timed(partial(run, prompt))
            seconds[way] += took * (step if way == "one_by_one" else 1)
            worst = max(worst, float(np.nanmax(np.abs(theirs - effect))))
    line("largest_difference_of_effects_nats", worst, at_most=1e-3)
    line("ours_seconds_a_step", seconds["ours"] / len(prompts[: args.steps]))
    line("transformer_lens_one_by_one_over_ours", seconds["one_by_one"] / seconds["ours"], at_least=40)
    for way in ("by_layer", "cached"):
        line(f"transformer_lens_{way}_over_ours", seconds[way] / seconds["ours"])


if __name__ == "__main__":
    main()
