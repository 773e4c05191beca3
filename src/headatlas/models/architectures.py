"""Where the heads are, architecture by architecture: one table entry each, no code.

1. An `Architecture` names the decoder layers' path and, inside a layer, the attention output projection
   (the module whose *input* is z), and how the model takes a custom attention mask.
2. `architecture_of` finds the entry of a config, or refuses the model with what was found in it and the
   entry to add.

It does not load, hook or run models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from headatlas._registry import Registry
from headatlas.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """How to reach the heads of one model family.

    Attributes
    ----------
    layers
        Dotted path from the causal LM to its list of decoder layers.
    projection
        Dotted path from a decoder layer to its attention output projection.
    masks
        "single": a 4-D mask goes in as a tensor (with the window of ``config.sliding_window`` cut in, if
        set); "by_layer_type": a dict of 4-D masks keyed by the entries of ``config.layer_types``.
    text_config
        Attribute of the config that holds the text model's own config, for nested (multimodal) configs.
    """

    layers: str
    projection: str
    masks: Literal["single", "by_layer_type"] = "single"
    text_config: str | None = None


architectures: Registry[Architecture] = Registry("architecture")

_LLAMA_LIKE = Architecture("model.layers", "self_attn.o_proj")
_MIXED_WINDOWS = Architecture("model.layers", "self_attn.o_proj", "by_layer_type")

architectures.register("llama", _LLAMA_LIKE)
architectures.register("mistral", _LLAMA_LIKE)
architectures.register("mixtral", _LLAMA_LIKE)
architectures.register("qwen2", _MIXED_WINDOWS)
architectures.register("qwen3", _MIXED_WINDOWS)
architectures.register("qwen3_moe", _LLAMA_LIKE)
architectures.register("gemma2", _MIXED_WINDOWS)
architectures.register("gemma3_text", _MIXED_WINDOWS)
architectures.register(
    "gemma3",
    Architecture("model.language_model.layers", "self_attn.o_proj", "by_layer_type", text_config="text_config"),
)
architectures.register("phi3", _LLAMA_LIKE)
architectures.register("olmo2", _LLAMA_LIKE)
architectures.register("granite", _LLAMA_LIKE)
architectures.register("smollm3", _MIXED_WINDOWS)
architectures.register("starcoder2", _LLAMA_LIKE)
architectures.register("cohere", _LLAMA_LIKE)
architectures.register("cohere2", _MIXED_WINDOWS)
architectures.register("gpt_oss", _MIXED_WINDOWS)
architectures.register("gpt2", Architecture("transformer.h", "attn.c_proj"))
architectures.register("gpt_neox", Architecture("gpt_neox.layers", "attention.dense"))
architectures.register("falcon", Architecture("transformer.h", "self_attention.dense"))
architectures.register("opt", Architecture("model.decoder.layers", "self_attn.out_proj"))


@dataclass(frozen=True)
class HeadShape:
    """Sizes of a model's attention, read from its config's own fields."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int


def text_config(config: Any, architecture: Architecture) -> Any:
    """Return the config of the text model (the config itself, unless it is nested)."""
    return config if architecture.text_config is None else getattr(config, architecture.text_config)


def head_shape(config: Any, architecture: Architecture) -> HeadShape:
    """Read layers, heads, KV heads and head_dim from `config`; transformers maps each family's own names."""
    config = text_config(config, architecture)
    n_heads = int(config.num_attention_heads)
    if config.model_type == "falcon":  # multi-query unless told otherwise; num_kv_heads is ignored then
        grouped = config.new_decoder_architecture or not config.multi_query
        n_kv_heads = config.num_kv_heads if grouped else 1
    else:
        n_kv_heads = getattr(config, "num_key_value_heads", None) or n_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // n_heads
    return HeadShape(int(config.num_hidden_layers), n_heads, int(n_kv_heads), int(head_dim))


def exact_when_packed(config: Any, architecture: Architecture) -> str | None:
    """Return why prompts of this model can't be packed as one token tree, or None if they can.

    ALiBi biases count tokens along the row, and dynamic or long RoPE picks its frequencies by the longest
    position in the batch: in both a token's result depends on its neighbours in a pack.
    """
    config = text_config(config, architecture)
    if getattr(config, "alibi", False):
        return "ALiBi position biases count the tokens of the row"
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = {str(p.get("rope_type")) for p in [rope, *rope.values()] if isinstance(p, dict)}
    varying = sorted(kinds & {"dynamic", "longrope"})
    if varying:
        return f"{varying[0]} RoPE picks its frequencies by the longest prompt of a batch"
    return unknown_masks(config)


def unknown_masks(config: Any) -> str | None:
    """Return which kind of layer a text model's `config` has whose mask is not known here, or None.

    No short proof can show such a mask: chunks of thousands of tokens, say, begin beyond it.
    """
    kinds = sorted(set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"})
    return f"it is not known what layers of kind '{kinds[0]}' see" if kinds else None


def architecture_of(config: Any) -> Architecture:
    """Return the table entry of a Hugging Face `config`.

    Raises
    ------
    ModelError
        Encoder-only and encoder-decoder models, and families without an entry: what was found, and the
        entry to add.
    """
    kind = config.model_type
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"'{kind}' is an encoder-decoder model; headatlas maps decoder-only causal language models. "
            "Give a causal one, e.g. --model smollm2-135m."
        )
    if kind in architectures:
        return architectures.get(kind)
    from transformers.models.auto import modeling_auto as auto

    causal = kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if not causal or (kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False)):
        raise ModelError(
            f"'{kind}' is not a causal language model (an encoder has no next token to answer with). "
            "Give a causal one, e.g. --model smollm2-135m."
        )
    raise ModelError(
        f"Architecture '{kind}' has no entry in headatlas/models/architectures.py.{_propose(config)} "
        f"Known: {', '.join(architectures)}."
    )


def _propose(config: Any) -> str:
    """Say which entry would probably fit, from an instance built without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception:  # a family that can't be built from its config alone: nothing to propose
        return ""
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) > 0]
    if not lists:
        return " No list of decoder layers was found in it."
    path, layers = max(lists, key=lambda pair: (len(pair[1]), -len(pair[0])))
    found = [name for name, module in layers[0].named_modules() if _is_projection(name, module)]
    if not found:
        return f" Its layers seem to be at '{path}', but no attention output projection was found in them."
    return (
        f" Its layers seem to be at '{path}' and their output projection at '{found[0]}': add "
        f'architectures.register("{config.model_type}", Architecture("{path}", "{found[0]}")) and run its test.'
    )


def _is_projection(name: str, module: nn.Module) -> bool:
    last = name.rsplit(".", 1)[-1]
    named = last in {"o_proj", "out_proj", "c_proj", "dense", "wo", "output_proj"}
    return named and "attn" in name.lower().replace("attention", "attn") and hasattr(module, "weight")


def walk(module: nn.Module, path: str) -> Any:
    """Follow a dotted attribute `path` from `module`."""
    for part in path.split("."):
        module = getattr(module, part)
    return module


def projections(model: nn.Module, architecture: Architecture) -> Iterator[nn.Module]:
    """Yield every layer's attention output projection, first layer first.

    Raises
    ------
    ModelError
        The table's path does not exist in this model: what was looked for, and what there is.
    """
    try:
        layers = walk(model, architecture.layers)
        for layer in layers:
            yield walk(layer, architecture.projection)
    except AttributeError as error:
        raise ModelError(
            f"{type(model).__name__} has no '{architecture.layers}[i].{architecture.projection}' ({error})."
            f"{_propose(model.config)}"
        ) from None
