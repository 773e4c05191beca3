"""The prompts that more than one benchmark runs."""

from collections.abc import Sequence

from headatlas.prompts import Prompt


def single_steps(prompts: Sequence[Prompt], n: int) -> list[Prompt]:
    """Return the first `n` prompts of about 350 tokens with answers of about 10."""
    return [p for p in prompts if 320 <= len(p.tokens) <= 380 and 8 <= len(p.answer_tokens) <= 12][:n]
