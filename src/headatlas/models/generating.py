"""Greedy continuation by stock `generate`, row by row up to what ends it, and the cache of a prompt.

A row ends at an end-of-turn token, or where its new text holds `stop`. The library's own stop strings take the
vocabulary apart for every tokenizer and fail on some; here the last few tokens are decoded.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headatlas.models.access import Access


def continued(
    model: Access,
    ids: Int[Tensor, "row length"],
    mask: Int[Tensor, "row length"],
    *,
    max_new_tokens: int,
    stop: str,
    **given: Any,
) -> list[Int[np.ndarray, " _new"]]:
    """Return each row's new tokens, without what ended it; `given` goes to `generate`."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Stop(StoppingCriteria):
        def __call__(self, input_ids: Tensor, scores: Any, **more: Any) -> Bool[Tensor, " row"]:
            start = max(ids.shape[1], input_ids.shape[1] - len(stop))
            texts = [model.tokenizer.decode(row) for row in input_ids[:, start:].tolist()]
            return torch.tensor([stop in text for text in texts], device=input_ids.device)

    out = model.model.generate(
        ids,
        attention_mask=mask,
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        pad_token_id=filler(model),
        stopping_criteria=StoppingCriteriaList([Stop()] if stop else []),
        **given,
    )
    return [ended(model, row, stop) for row in out[:, ids.shape[1] :].cpu().numpy()]


def filler(model: Access) -> int:
    """Return the token that batches are filled up with."""
    return int(model.tokenizer.pad_token_id or model.tokenizer.eos_token_id or 0)


def ended(model: Access, new: Int[np.ndarray, " any"], stop: str) -> Int[np.ndarray, " new"]:
    """Return new tokens up to, and without, the one that ended them."""
    ends = _end_tokens(model.model, model.tokenizer)
    for i, token in enumerate(new.tolist()):
        if token in ends or (stop and stop in model.tokenizer.decode(new[max(0, i + 1 - len(stop)) : i + 1])):
            return new[:i]
    return new


def cache_of(model: Access, tokens: Int[Tensor, "row length"]) -> Any:
    """Return the cache of a forward pass."""
    from transformers import DynamicCache

    cache = DynamicCache()
    model.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return cache


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    configured = model.generation_config.eos_token_id
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    return ends | ({tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set())
