"""What other tools can use of chosen heads: a list, a pruned checkpoint, a LoRA config.

1. `write_heads`: JSON or CSV.
2. `write_pruned`: the model with the columns of the attention output projections that read the chosen heads set to 0.
   It gives what `Mask` of them gives, in stock transformers, and is no smaller: where query heads share KV heads (GQA),
   or a config has one number of heads for all layers, heads can't be cut out of the matrices without cutting others.
3. `write_lora`: the config of a LoRA adapter (PEFT) on the attention output projections of the layers that hold them.

It does not know how heads were chosen.
"""

import csv
import io
import json
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from headatlas._files import write_text
from headatlas.errors import InputError, ModelError, RunError
from headatlas.interventions.edits import Head, Mask

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel


def write_heads(heads: Sequence[Head], path: str | Path) -> Path:
    """Write heads in their order, as JSON ([{"layer": 20, "head": 8}, …]) or CSV, as the path ends.

    Raises
    ------
    InputError
        The path ends in neither.
    RunError
        It can't be written.
    """
    kind = Path(path).suffix.lower()
    if kind == ".json":
        return write_text(path, json.dumps([{"layer": layer, "head": head} for layer, head in heads], indent=1) + "\n")
    if kind == ".csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("layer", "head"), *heads])
        return write_text(path, text.getvalue())
    raise InputError(f"Heads are written as .json or .csv, and '{path}' is neither.")


def write_pruned(model: "HeadModel", heads: Sequence[Head], folder: str | Path) -> Path:
    """Save the model without what the heads write, and its tokenizer; the model in memory is left as it is.

    Raises
    ------
    InputError
        The folder holds something, or a head does not exist.
    ModelError
        An output projection whose weights can't be told head by head.
    RunError
        It can't be written; nothing is left of it.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty. Give another --out.")
    edit = Mask(tuple(heads))
    edit.check(model)
    partial: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        with _pruned(model, edit.heads):
            model.model.save_pretrained(partial)
        model.tokenizer.save_pretrained(partial)
        write_heads(edit.heads, partial / "pruned_heads.json")
        partial.chmod(0o755)
        os.replace(partial, folder)
    except OSError as error:
        raise RunError(
            f"Can't write {folder}: {error.strerror or error}. Free space, or give another --out."
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


@contextmanager
def _pruned(model: "HeadModel", heads: Sequence[Head]) -> Iterator[None]:
    """Set the heads' columns to 0 inside the ``with``."""
    by_layer: dict[int, list[int]] = defaultdict(list)
    for layer, head in heads:
        by_layer[layer].append(head)
    before: list[tuple[Tensor, Tensor]] = []
    try:
        for layer, own in by_layer.items():
            columns = columns_of(model, layer)
            before.append((columns, columns.clone()))
            with torch.no_grad():
                columns.unflatten(1, (model.n_heads, model.head_dim))[:, own] = 0
        yield
    finally:
        with torch.no_grad():
            for columns, saved in before:
                columns.copy_(saved)


def columns_of(model: "HeadModel", layer: int) -> Tensor:
    """Return the weight of a layer's output projection, (written, n_heads * head_dim): a view."""
    weight = getattr(model.projections[layer], "weight", None)
    width = model.n_heads * model.head_dim
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise ModelError(
            f"The output projection of layer {layer} of {model.name} has no matrix whose columns are heads."
        )
    # nn.Linear keeps (out, in); GPT-2's Conv1D (in, out)
    found = weight if isinstance(model.projections[layer], nn.Linear) else weight.T
    if found.shape[1] != width:
        raise ModelError(f"The output projection of layer {layer} of {model.name} reads {found.shape[1]}, not {width}.")
    return found


def write_lora(model: "HeadModel", heads: Sequence[Head], folder: str | Path, *, rank: int = 8) -> Path:
    """Write ``adapter_config.json``: LoRA of that rank on the output projections of the layers that hold the heads.

    Raises
    ------
    InputError
        A rank below 1, or a head that does not exist.
    """
    if rank < 1:
        raise InputError(f"A LoRA of rank {rank} learns nothing. Give 1 or more.")
    Mask(tuple(heads)).check(model)
    layers = sorted({layer for layer, _ in heads})
    path = {id(module): name for name, module in model.model.named_modules()}
    names = sorted(path[id(model.projections[layer])] for layer in layers)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model.name,
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": not isinstance(model.projections[layers[0]], nn.Linear),
        "target_modules": names,
    }
    return write_text(Path(folder) / "adapter_config.json", json.dumps(config, indent=1) + "\n")
