"""A causal language model that transformers has loaded already -> `HeadModel`, without a copy.

1. What is given is a transformers model with an output layer, whole on one device, with a tokenizer beside it; whatever
   else a notebook may hold in its place is refused by what it is, with what to type.
2. dtype and device are the model's own: options that say otherwise are refused, never obeyed by a copy.
3. Its name is what it was loaded from, or its class.

It does not know files or names (`models.load`), nor heads: `HeadModel` proves those.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headatlas.errors import ModelError
from headatlas.models.architectures import architecture_of
from headatlas.models.head_model import HeadModel

ATTENTION = ("sdpa", "eager")
"""transformers' attention implementations that take the masks of token trees."""


def take_loaded(
    model: Any, tokenizer: Any, *, dtype: str | None, device: str | None, of_names: Mapping[str, Any]
) -> HeadModel:
    """Prove a loaded `model` and return it as `HeadModel`.

    Parameters
    ----------
    model, tokenizer
        As transformers loads them.
    dtype, device
        None (and the dtype "auto"), or what the model has.
    of_names
        Options that only what is loaded by name has: all must be None.

    Raises
    ------
    ModelError
        It is no such model, has no tokenizer, contradicts an option, or fails a proof.
    """
    _check_model(model)
    name = _name(model)
    _check_tokenizer(tokenizer, name, _source(model) or "…")
    for option, value in of_names.items():
        if value is not None:
            raise ModelError(f"{option} says how to load a name; {name} is loaded already. Leave it out.")
    _check_place(model, name, dtype, device)
    return HeadModel(model, tokenizer, name, getattr(model.config, "_commit_hash", None))


def _check_model(model: Any) -> None:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    kind = type(model).__name__
    if isinstance(model, HeadModel):
        raise ModelError("This is a HeadModel already. Give it to measure as it is.")
    if isinstance(model, PreTrainedTokenizerBase):
        raise ModelError(f"{kind} is a tokenizer. Type: load_model(model, tokenizer=tokenizer)")
    if not isinstance(model, PreTrainedModel):
        wraps = ("merge_and_unload()", "_orig_mod", "module", "model")
        inside = next((i for i in wraps if hasattr(model, i.rstrip("()"))), None)
        hint = f" Give what is inside, e.g. model.{inside}." if inside else ""
        raise ModelError(
            f"Can't take a {kind} as a model.{hint} Give a name, a path, or what "
            "transformers.AutoModelForCausalLM.from_pretrained returns."
        )
    architecture_of(model.config)
    if model.get_output_embeddings() is None:
        raise ModelError(
            f"{kind} has no output layer, so it answers with no token. Load it with AutoModelForCausalLM instead."
        )
    implementation = getattr(model.config, "_attn_implementation", None)
    if implementation not in (None, *ATTENTION):
        raise ModelError(
            f"{kind} attends by '{implementation}', which takes no masks of token trees. "
            'Type: model.set_attn_implementation("sdpa")'
        )


def _check_tokenizer(tokenizer: Any, name: str, source: str) -> None:
    if tokenizer is None or isinstance(tokenizer, str | Path):
        got = "no tokenizer" if tokenizer is None else f"only the name of a tokenizer ('{tokenizer}')"
        raise ModelError(
            f"{name} was given with {got}. Type: load_model(model, "
            f'tokenizer=AutoTokenizer.from_pretrained("{source if tokenizer is None else tokenizer}"))'
        )
    if not (callable(tokenizer) and hasattr(tokenizer, "decode") and len(tokenizer)):
        raise ModelError(
            f"{type(tokenizer).__name__} is no tokenizer. Give what transformers.AutoTokenizer.from_pretrained returns."
        )


def _check_place(model: Any, name: str, dtype: str | None, device: str | None) -> None:
    """Refuse a model in several places, and options that say otherwise than the model is."""
    import torch

    places = sorted({str(weight.device) for weight in model.parameters()})
    if places == ["meta"]:
        raise ModelError(f"{name} has no weights (they are on the meta device). Load it with from_pretrained.")
    if len(places) > 1:
        raise ModelError(
            f"{name} lies on several devices ({', '.join(places)}). Load it whole onto one, e.g. "
            f'from_pretrained(…, device_map="{places[-1]}").'
        )
    first = next(model.parameters())
    has = str(first.dtype).removeprefix("torch.")
    if dtype not in (None, "auto", has):
        raise ModelError(
            f"{name} is loaded in {has}, dtype='{dtype}' was asked for. Leave out dtype, or convert the model first: "
            f"model.to(torch.{dtype})"
        )
    if device is None:
        return
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise ModelError(f"Device '{device}' can't be used ({str(error).splitlines()[0]}). Leave it out.") from None
    if asked.type != first.device.type or asked.index not in (None, first.device.index):
        raise ModelError(
            f"{name} is on {first.device}, device='{device}' was asked for. Leave out device, or move the model first: "
            f'model.to("{device}")'
        )


def _source(model: Any) -> str:
    """Return the folder or Hub id that a model was loaded from, if it was."""
    return str(getattr(model.config, "_name_or_path", "") or "")


def _name(model: Any) -> str:
    """Return what a model was loaded from, as `load_model` would call it, or its class."""
    text = _source(model)
    path = Path(text).expanduser()
    if text and (path.is_dir() or path.is_absolute()):
        return path.resolve().name or type(model).__name__
    return text or type(model).__name__
