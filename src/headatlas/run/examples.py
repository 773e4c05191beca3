"""What an atlas's page shows of the model itself: one example a task, and what the heads that matter attend to there.

1. Of every task that was asked, one item: one that the model gets right, where the task is mapped and there is one;
   without tasks, a few items of every function.
2. The heads that matter (`heads_that_matter`): taken in turns from the top of every method's and function's order.
3. One forward pass an example: the most likely token where each token of the answer is predicted, with those before it
   given, and the attention of these heads from there to all tokens before.

It does not know what is drawn of it.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headatlas._files import write_netcdf
from headatlas.atlas import methods_of
from headatlas.atlas.variables import SIGN
from headatlas.errors import AtlasError, ModelError
from headatlas.models.head_model import HeadModel
from headatlas.models.patterns import Chunk, Patterns
from headatlas.prompts import Prompt
from headatlas.stats.sign import ranked
from headatlas.work.job import Report

NAME = "examples.nc"
HEADS, PLACES, LONGEST = 96, 3, 512
"""How many heads, predicted tokens of an answer, and tokens of an example are shown at most."""
A_FUNCTION = 4
"""Examples of a function, where no tasks are named."""
TEXT = 1200
"""Characters that are kept of an item's text."""
VERSION = 1

Head = tuple[int, int]


def heads_that_matter(atlas: xr.DataTree, most: int = HEADS) -> list[Head]:
    """Return up to `most` heads, sorted: each method's and function's highest, specific ones and by the whole map."""
    orders = []
    for method in methods_of(atlas):
        part = atlas[method].to_dataset()
        sign = part.attrs.get(SIGN, "signed")
        for name in ("specific", "importance"):
            if name in part:
                values = part[name].transpose("function", "layer", "head").values
                shown = values if name == "specific" else ranked(values, sign)
                orders += [np.argsort(-one, axis=None, kind="stable") for one in shown]
    heads = int(part.sizes["head"])
    found: dict[int, None] = {}
    for place in range(len(orders[0]) if orders else 0):
        for order in orders:
            if len(found) >= most:
                return sorted(divmod(at, heads) for at in found)
            found.setdefault(int(order[place]))
    return sorted(divmod(at, heads) for at in found)


def chosen_prompts(prompts: Sequence[Prompt], atlas: xr.DataTree) -> list[Prompt]:
    """Return the examples' prompts: one a task, by the order of the prompts; short ones first choice."""
    right: dict[str, bool] = {}
    root = atlas.to_dataset(inherit=False)
    if "item_foil_logprob" in root:
        prefers = root["item_logprob"].values > root["item_foil_logprob"].values
        right = dict(zip(map(str, root["item"].values), prefers.tolist(), strict=True))
    best: dict[str, tuple[int, Prompt]] = {}
    counts: dict[str, int] = {}
    for prompt in prompts:
        slot = prompt.task
        if not slot:
            at = counts[prompt.function] = counts.get(prompt.function, -1) + 1
            slot = f"{prompt.function}\x1f{at % A_FUNCTION}"
        worth = 2 * (len(prompt.tokens) <= LONGEST) + bool(right.get(prompt.id, False))
        if slot not in best or worth > best[slot][0]:
            best[slot] = (worth, prompt)
    return [prompt for _, prompt in best.values()]


def examples(
    model: HeadModel, prompts: Sequence[Prompt], atlas: xr.DataTree, *, report: Report | None = None
) -> xr.Dataset:
    """Run one example a task, and read what the heads that matter attend to.

    Parameters
    ----------
    model
        The atlas's model.
    prompts
        All prompts that were asked (`pipeline.Plan.prompts`).
    atlas
        The atlas.
    report
        Called with ("examples", done, total).

    Returns
    -------
    xarray.Dataset
        ``text``, ``passage``, ``answer``, ``foil``, ``says`` (example,); ``token`` (example, key), empty after the
        example's end; ``predicts`` (example, place), the index of the token that is predicted, -1 after the last;
        ``attention`` (example, place, seen, key), float16, NaN where there is no token, of the heads ``seen_layer``,
        ``seen_head``; ``item_text``, ``item_answer``, ``item_foil`` (item,) of the mapped items. Where the model gives
        no patterns, ``attention`` is absent and the attribute ``note`` says why.
    """
    chosen = chosen_prompts(prompts, atlas)
    heads = heads_that_matter(atlas)
    row_of = [at for at, p in enumerate(chosen) if len(p.tokens) <= min(LONGEST, model.context)]
    short = [chosen[at] for at in row_of]
    tokenizer = model.tokenizer
    places = max((min(PLACES, len(p.predicting)) for p in short), default=1)
    longest = max((int(p.predicting[:places][-1]) + 1 for p in short), default=1)
    attention = np.full((len(chosen), places, len(heads), longest), np.nan, np.float16)
    predicts = np.full((len(chosen), places), -1, np.int32)
    token = np.full((len(chosen), longest), "", object)
    says = np.full(len(chosen), "", object)
    note = ""
    by_layer: dict[int, list[tuple[int, int]]] = {}
    for at, (layer, head) in enumerate(heads):
        by_layer.setdefault(layer, []).append((at, head))

    def take(chunk: Chunk) -> None:
        wanted = by_layer.get(chunk.layer)
        if not wanted:
            return
        slots, own = map(list, zip(*wanted, strict=True))
        for i, row in enumerate(chunk.rows.tolist()):
            for place, query in enumerate(short[row].predicting[:places].tolist()):
                inside = query - chunk.start
                if 0 <= inside < chunk.weights.shape[2]:
                    weights = chunk.weights[i, own, inside, : query + 1].cpu().numpy()
                    attention[row_of[row], place, slots, : query + 1] = weights.astype(np.float16)

    try:
        tops = Patterns(model).stream(
            [p.tokens[:-1] for p in short],
            take,
            predicting=[p.predicting for p in short],
            report=None if report is None else lambda done: report("examples", done, len(short)),
        )
    except (ModelError, ValueError, NotImplementedError, RuntimeError) as error:  # what eager attention raises where
        tops, note = [], str(error)  # a class has none, and no memory: the atlas is made all the same
    for row, prompt in zip(row_of, short, strict=True):
        ids = prompt.tokens[: int(prompt.predicting[:places][-1]) + 1].tolist()
        token[row, : len(ids)] = [_kept(tokenizer.decode([i])) for i in ids]
        known = prompt.predicting[:places] + 1
        predicts[row, : len(known)] = known
    for row, top in zip(row_of, tops, strict=False):
        says[row] = _kept(tokenizer.decode(np.asarray(top).tolist())).strip()
    found = xr.Dataset(
        {
            "text": ("example", _texts(p.subquestion for p in chosen)),
            "passage": ("example", _texts(_passage(p) for p in chosen)),
            "answer": ("example", _texts(p.answer for p in chosen)),
            "foil": ("example", _texts(_foil(p, tokenizer) for p in chosen)),
            "says": ("example", says),
            "token": (("example", "key"), token),
            "predicts": (("example", "place"), predicts),
        },
        coords={
            "example": [p.id for p in chosen],
            "example_task": ("example", _texts(p.task for p in chosen)),
            "example_function": ("example", _texts(p.function for p in chosen)),
        },
        attrs={"kind": "examples", "version": VERSION, "model": model.name, "weights": model.digest, "note": note},
    )
    if not note:
        found["attention"] = (("example", "place", "seen", "key"), attention)
        found["attention"].encoding = {"zlib": True}
        found = found.assign_coords(
            seen_layer=("seen", [layer for layer, _ in heads]), seen_head=("seen", [head for _, head in heads])
        )
    return found.merge(_items(prompts, atlas, tokenizer))


def _items(prompts: Sequence[Prompt], atlas: xr.DataTree, tokenizer: Any) -> xr.Dataset:
    """Return the mapped items' texts."""
    root = atlas.to_dataset(inherit=False)
    known = {str(i) for i in root["item"].values} if "item" in root.coords else set()
    own = [p for p in prompts if p.id in known]
    return xr.Dataset(
        {
            "item_text": ("item", _texts(f"{_passage(p)} {p.subquestion}".strip() for p in own)),
            "item_answer": ("item", _texts(p.answer for p in own)),
            "item_foil": ("item", _texts(_foil(p, tokenizer) for p in own)),
        },
        coords={"item": [p.id for p in own]},
    )


def _passage(prompt: Prompt) -> str:
    """Return what is asked about; "" where there is nothing but the question."""
    return "" if prompt.passage == prompt.subquestion else prompt.passage


def _foil(prompt: Prompt, tokenizer: Any) -> str:
    """Return the foil's text."""
    ids = prompt.foil.tolist()
    return str(tokenizer.decode(ids)).strip() if ids else ""


def _texts(texts: Iterable[str]) -> np.ndarray:
    """Return texts as an array of Python strings, each cut to `TEXT` characters."""
    kept = [_kept(text) for text in texts]
    found = np.empty(len(kept), object)
    found[:] = [text if len(text) <= TEXT else text[: TEXT - 1] + "…" for text in kept]
    return found


def _kept(text: str) -> str:
    """Return text that a file can hold: no lone surrogates, NUL shown as its symbol."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "␀")


def save_examples(found: xr.Dataset, folder: str | Path) -> Path:
    """Write examples into `folder`, atomically; `RunError` where that fails."""
    return write_netcdf(Path(folder) / NAME, found.assign_attrs(complete=1))


def load_examples(folder: str | Path) -> xr.Dataset | None:
    """Read the examples in `folder`; None where there are none.

    Raises
    ------
    AtlasError
        They are damaged, or of another version.
    """
    path = Path(folder) / NAME
    if not path.is_file():
        return None
    try:
        found = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(f"{path} can't be read ({error}). Remove it and type: headatlas report ATLAS") from error
    if (found.attrs.get("kind"), found.attrs.get("version"), found.attrs.get("complete")) != ("examples", VERSION, 1):
        raise AtlasError(f"{path} holds no examples of version {VERSION}. Remove it and type: headatlas report ATLAS")
    return found
