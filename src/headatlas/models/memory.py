"""Runs that do not fit in memory, made again in smaller parts."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from headatlas.errors import RunError
from headatlas.prompts import Prompt

LEAST = 64
"""Tokens below which a run is not cut further; then prompts are run apart."""

T = TypeVar("T")


def within_memory(run: Callable[[slice, int], T], prompts: Sequence[Prompt], max_tokens: int = LEAST) -> list[T]:
    """Run `prompts`; where memory runs out, again with fewer tokens at once, then with half of the prompts.

    Parameters
    ----------
    run
        Runs a slice of the prompts with at most so many tokens at once; neither changes a number.
    prompts
        All prompts.
    max_tokens
        Tokens to try first.

    Returns
    -------
    list
        What `run` returned of the slices, in order.

    Raises
    ------
    RunError
        Not enough memory for a single prompt.
    """
    return _attempt(run, prompts, slice(0, len(prompts)), max_tokens)


def _attempt(run: Callable[[slice, int], T], prompts: Sequence[Prompt], part: slice, max_tokens: int) -> list[T]:
    alone = part.stop - part.start == 1
    try:
        return [run(part, max_tokens)]
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if alone and max_tokens <= LEAST:
            prompt = prompts[part.start]
            raise RunError(
                f"Not enough memory for {prompt.id} alone ({len(prompt.tokens)} tokens). "
                "Give --dtype bfloat16 or a smaller model."
            ) from error
    # outside the except block, so that the failed pass is freed first
    if max_tokens > LEAST:
        return _attempt(run, prompts, part, max(LEAST, max_tokens // 2))
    middle = (part.start + part.stop) // 2
    return [
        *_attempt(run, prompts, slice(part.start, middle), max_tokens),
        *_attempt(run, prompts, slice(middle, part.stop), max_tokens),
    ]


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on the CPU or an accelerator."""
    text = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text or "out of memory" in text
    )
