"""Tiny random models of every supported architecture, built from configs, seeded, offline."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from headatlas.models.head_model import HeadModel
from headatlas.prompts import Prompt

VOCAB = 97
_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GQA = {**_SIZES, "num_key_value_heads": 2}
_WINDOWS = {
    **_GQA,
    "sliding_window": 5,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}

_SOFTCAPS = {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}
_GPT2 = {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128, "bos_token_id": 1, "eos_token_id": 2}

# name -> (model_type, config). head_dim is set apart from hidden_size / heads wherever a config has it.
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {**_GQA, "head_dim": 6, "attention_bias": True}),
    "mistral": ("mistral", {**_GQA, "head_dim": 6, "sliding_window": 5}),
    "mixtral": ("mixtral", {**_GQA, "num_local_experts": 3, "sliding_window": None}),
    "qwen2": ("qwen2", {**_WINDOWS, "use_sliding_window": True, "max_window_layers": 0}),
    "qwen3": ("qwen3", {**_GQA, "head_dim": 6}),
    "qwen3_moe": (
        "qwen3_moe",
        {**_GQA, "head_dim": 6, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    ),
    "gemma2": ("gemma2", {**_WINDOWS, "head_dim": 6, **_SOFTCAPS}),
    "gemma3_text": ("gemma3_text", {**_WINDOWS, "head_dim": 6}),
    "gemma3": (
        "gemma3",
        {
            "text_config": {**_WINDOWS, "head_dim": 6},
            "vision_config": {
                "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "image_size": 16, "patch_size": 8,
            },
        },
    ),
    "phi3": ("phi3", {**_GQA, "sliding_window": 5}),
    "phi3-longrope": (
        "phi3",
        {
            **_GQA,
            "original_max_position_embeddings": 16,
            "rope_parameters": {
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 1.0,
                "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "original_max_position_embeddings": 16,
            },
        },
    ),
    "olmo2": ("olmo2", _GQA),
    "granite": ("granite", {**_GQA, "logits_scaling": 2.0, "attention_multiplier": 0.2}),
    "smollm3": ("smollm3", {**_GQA, "no_rope_layers": [1, 0, 1]}),
    "starcoder2": ("starcoder2", {**_GQA, "sliding_window": 5}),
    "cohere": ("cohere", {**_GQA, "logit_scale": 0.3}),
    "cohere2": ("cohere2", {**_WINDOWS, "logit_scale": 0.3}),
    "gpt_oss": (
        "gpt_oss",
        {
            **_WINDOWS, "head_dim": 6, "num_local_experts": 3, "num_experts_per_tok": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
    ),
    "gpt2": ("gpt2", {"vocab_size": VOCAB, **_GPT2}),
    "gpt_neox": ("gpt_neox", {**_SIZES, "rotary_pct": 0.5}),
    "falcon": ("falcon", {**_SIZES, "new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False}),
    "falcon-alibi": ("falcon", {**_SIZES, "alibi": True, "multi_query": False}),
    "opt": ("opt", {**_SIZES, "ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0}),
}  # fmt: skip
ARCHITECTURES = tuple(CONFIGS)


@dataclass
class Tokens:
    """A stand-in for a tokenizer where only ids matter."""

    eos_token_id: int = 2
    pad_token_id: int = 0
    chat_template: None = None
    all_special_ids: list[int] = field(default_factory=lambda: [0, 1, 2])

    def decode(self, ids: Any, **_: Any) -> str:
        return " ".join(str(int(i)) for i in np.atleast_1d(ids))


def tiny(name: str, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> HeadModel:
    """Return a random model; weights are large enough that attention is far from uniform."""
    kind, config = CONFIGS[name]
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config))
    with torch.no_grad():
        for parameter, weight in model.named_parameters():
            if weight.ndim >= 2:
                weight.normal_(std=0.4)
            elif parameter.endswith("sinks"):
                weight.normal_(std=2)
            else:
                weight.add_(torch.randn_like(weight) * 0.1)
    return HeadModel(model.to(dtype).eval(), Tokens(), name)


def random_prompts(n: int, *, seed: int = 0, length: int = 24, answer: int = 3, groups: int = 2) -> list[Prompt]:
    """Return prompts that share prefixes inside a group, and branch in their middles and ends."""
    draw = np.random.default_rng(seed)
    prompts = []
    for i in range(n):
        group = i % groups
        shared = np.random.default_rng(seed * 100 + group).integers(3, VOCAB, length // 2)
        tail = draw.integers(3, VOCAB, draw.integers(answer + 1, length // 2))
        cut = int(draw.integers(1, len(shared) + 1))
        tokens = np.concatenate([shared[:cut], tail])
        start = len(tokens) - answer
        prompts.append(
            Prompt(
                id=f"g{group}/{i}", tokens=tokens, answer_start=start,
                chosen=np.arange(start - 1, len(tokens) - 1)[: 1 + i % answer],
                function=("retrieval", "inference")[i % 2], group=f"g{group}", step=i,
                passage="p", subquestion="s", answer="a",
            )
        )  # fmt: skip
    return prompts
