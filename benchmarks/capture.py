"""Capture as token trees against stock batched forward passes, and against the published loop.

Both sides of a ratio run in turn over the same prompts, group by group, in one process and dtype; the ratio
is of their total times. Stock means `model(**batch)` of transformers with its default attention, the steps of
one main question padded to a batch, no hooks: the fastest way to run the same prompts that needs no packing.
`_no_logits` rows hold against a stock pass that skips the output layer, which ours needs at answers only.

The published loop is re-created from its description (docs/architecture.md): batch 1, a plain generation and
a second one with a hook in every layer that keeps z at each new token, at most 128 tokens, stop at "]".

    python benchmarks/capture.py [--questions 16] [--dtype float32] [--cogqa FILE]
"""

import argparse
import pickle
import time
from pathlib import Path

import numpy as np
import torch

import headatlas as ha
import headatlas.questions
from _line import COGQA, line
from headatlas.models.head_model import HeadModel
from headatlas.models.tree import MAX_NODES, plan_packs
from headatlas.prompts import Prompt, build_prompts


def pad(prompts: list[Prompt]) -> dict[str, torch.Tensor]:
    """Return the prompts as one right-padded batch."""
    longest = max(len(p.tokens) for p in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt.tokens)] = torch.from_numpy(prompt.tokens)
        mask[row, : len(prompt.tokens)] = 1
    return {"input_ids": ids, "attention_mask": mask}


@torch.inference_mode()
def compare(model: HeadModel, prompts: list[Prompt]) -> dict[str, float]:
    """Return seconds of every way to run `prompts`, taken in turn, pack by pack."""
    seconds = dict.fromkeys(("tree", "stock", "stock_no_logits"), 0.0)
    plan = list(plan_packs([p.tokens for p in prompts], [p.group for p in prompts], max_nodes=MAX_NODES))
    for turn, pack in enumerate([plan[0], *plan]):  # the first is a warm-up
        part = [prompts[i] for i in pack]
        batch = pad(part)
        ways = {
            "tree": lambda part=part: model.capture(part),
            "stock": lambda batch=batch: model.model(**batch, use_cache=False),
            "stock_no_logits": lambda batch=batch: model.model(**batch, use_cache=False, logits_to_keep=1),
        }
        order = list(ways) if turn % 2 else list(ways)[::-1]
        for way in order:
            start = time.perf_counter()
            ways[way]()
            if turn:
                seconds[way] += time.perf_counter() - start
    return seconds


LOOP_PROMPT = """You are good at analytical and logical reasoning. You get a main question and what is known so far.
Answer the follow-up question with what you are given.

<main_question>
{question}
</main_question>

<prior_knowledge>
{prior}
</prior_knowledge>

<subquestion>
{subquestion}
</subquestion>

Be clear and concise, use the prior knowledge where it helps, give no explanation, and write nothing after the
closing bracket. Give the final answer in this form only:
[
    {{"answer": "<your answer>"}}
]

Your answer:
"""


@torch.inference_mode()
def published_loop(model: HeadModel, questions: ha.questions.QuestionSet, n: int) -> float:
    """Return seconds a prompt of the published way to collect the activations of the first `n` steps."""
    bracket = model.tokenizer.convert_tokens_to_ids("]")

    def stop(ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        return ids[:, -1] == bracket

    def generate(ids: torch.Tensor) -> None:
        model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=128, do_sample=False,
            stopping_criteria=[stop], pad_token_id=model.tokenizer.eos_token_id,
        )  # fmt: skip

    texts = []
    for question in questions.questions:
        prior = "No prior knowledge."
        for number, step in enumerate(question.steps, start=1):
            texts.append(LOOP_PROMPT.format(question=question.question, prior=prior, subquestion=step.subquestion))
            prior = (prior if number > 1 else "") + f"\nQ{number}: {step.subquestion}\nA{number}: {step.answer}"
    everything = []
    start = time.perf_counter()
    for text in texts[:n]:
        ids = model.tokenizer(text, return_tensors="pt")["input_ids"]
        states: dict[int, list[torch.Tensor]] = {layer: [] for layer in range(model.n_layers)}
        generate(ids)
        with model.edit({i: lambda z, kept=kept: (kept.append(z[0, -1].clone()), z)[1] for i, kept in states.items()}):
            generate(ids)
        everything.append(np.stack([torch.stack(rows).numpy() for rows in states.values()]))
    pickle.dumps(everything)
    return (time.perf_counter() - start) / n


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16, help="main questions of CogQA")
    parser.add_argument("--published", type=int, default=6, help="prompts run through the published loop")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--cogqa", type=Path, default=COGQA)
    args = parser.parse_args()
    model = ha.load_model("smollm2-135m", dtype=args.dtype)
    builtin = ha.load_questions("controlled", limit=max(4, args.questions // 3))
    cases = {"builtin_short": (builtin, "short", 0.35)}
    if args.cogqa.is_file():
        cogqa = ha.load_questions(args.cogqa, limit=args.questions)
        cases |= {"cogqa_published": (cogqa, "published", 0.65), "cogqa_short": (cogqa, "short", 0.65)}
    else:
        print(f"{args.cogqa} is not here: CogQA rows are left out")
    for name, (questions, template, bound) in cases.items():
        prompts = build_prompts(questions, model.tokenizer, template=template, context=model.context)
        seconds = compare(model, prompts)
        line(f"capture_over_stock_{name}", seconds["tree"] / seconds["stock"], at_most=bound)
        line(f"capture_over_stock_no_logits_{name}", seconds["tree"] / seconds["stock_no_logits"])
        line(f"stock_seconds_a_prompt_{name}", seconds["stock"] / len(prompts))
        if template == "published":
            loop = published_loop(model, questions, args.published)
            line("published_loop_over_capture", loop / (seconds["tree"] / len(prompts)), at_least=30)
            line("published_loop_seconds_a_prompt", loop)


if __name__ == "__main__":
    main()
