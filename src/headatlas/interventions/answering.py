"""A prompt answered twice, by the model as it is and by the edited one, and what each thinks of either answer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headatlas.errors import InputError
from headatlas.interventions.edits import Head, Intervention, Scale
from headatlas.interventions.selection import parse_heads, top_heads

if TYPE_CHECKING:
    import xarray as xr

    from headatlas.models.head_model import HeadModel


@dataclass(frozen=True)
class Answer:
    """What was answered, and its log-probability in all, nats, by the model as it is and by the edited one."""

    text: str
    as_is: float
    edited: float


def answers(
    model: "HeadModel", edit: Intervention, prompt: str, *, max_new_tokens: int = 32, chat: bool = False
) -> tuple[Answer, Answer]:
    """Return the answer of the model as it is and of the edited one, greedy, up to the end of the line.

    Raises
    ------
    InputError
        An empty prompt, or one longer than the model reads.
    """
    ids = _tokens(model, prompt, chat)
    if not len(ids) or len(ids) + max_new_tokens > model.context:
        raise InputError(
            f"The prompt has {len(ids)} tokens, and {max_new_tokens} new ones are asked; {model.name} reads 1 to "
            f"{model.context} in all. Give another prompt, or fewer --tokens."
        )
    plain = model.generate(ids, max_new_tokens=max_new_tokens)
    with model.edit(edit):
        changed = model.generate(ids, max_new_tokens=max_new_tokens)
    found = []
    for new in (plain, changed):
        as_is = model.logprob_of(ids, new)
        with model.edit(edit):
            edited = model.logprob_of(ids, new)
        found.append(Answer(model.tokenizer.decode(new, skip_special_tokens=True).strip(), as_is, edited))
    return found[0], found[1]


def _tokens(model: "HeadModel", prompt: str, chat: bool) -> np.ndarray:
    if chat:
        if not getattr(model.tokenizer, "chat_template", None):
            raise InputError(f"The tokenizer of {model.name} has no chat template. Leave --chat out.")
        prompt = model.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
    return np.asarray(model.tokenizer(prompt, add_special_tokens=not chat)["input_ids"], dtype=np.int64)


def heads_of(text: str, atlas: "xr.DataTree | None") -> tuple[Head, ...]:
    """Return the heads that "L20H8,L3H5" or "retrieval:10" (the ten most specific of an atlas) name."""
    name, colon, number = text.partition(":")
    if not colon:
        return parse_heads(text)
    if not number.isdigit():
        raise InputError(f"'{text}' names no heads. Write retrieval:10, or L20H8,L3H5.")
    if atlas is None:
        raise InputError(f"'{text}' needs an atlas. Give --atlas with its folder, or name heads: L20H8,L3H5.")
    return top_heads(atlas, name.strip(), k=int(number))


def boost_of(text: str, atlas: "xr.DataTree | None") -> Scale:
    """Return the scaling that "retrieval:10x1.5" or "L20H8x2" names."""
    heads, sign, factor = text.rpartition("x")
    try:
        value = float(factor)
    except ValueError:
        sign = ""
        value = 1.0
    if not sign:
        raise InputError(f"'{text}' is no boost. Write retrieval:10x1.5, or L20H8x2.")
    return Scale(heads_of(heads, atlas), value)
