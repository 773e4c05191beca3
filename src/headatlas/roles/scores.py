"""Roles: what a head's attention pattern does, scored without labels.

1. *Random* sequences are random tokens said twice, ``[opening] r_1 … r_n r_1 … r_n``, the r all different; the opening
   is the special token with which the model's prompts begin, if they do. There is nothing to know about them: a
   score comes from what the head does with positions and repeats. Here: previous token, duplicate token, induction.
2. *Needle* prompts hide a true sentence among others and ask for it (`needles`). Here: retrieval, and, over all of
   their tokens as they are ordinary text, the sink, spans and entropies.
3. The patterns stream by (`models.patterns`) and leave one number a sequence, layer and head
   (`models.pattern_scores`). A role's score is their mean; its interval resamples sequences.

`ROLES` has each role's definition and source. A score says where a head looks, not what it moves: a head can look
like an induction head and write nothing. Roles are no partition either: one head may have several, and a threshold
that calls a head "an induction head" is the reader's. The order of heads inside a layer is arbitrary.
"""

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from headatlas.errors import InputError
from headatlas.questions.loading import load_questions
from headatlas.questions.schema import QuestionSet
from headatlas.roles.definitions import ROLES, Role
from headatlas.roles.needles import Needle, build_needles, sequences
from headatlas.stats import resample_counts
from headatlas.work.job import Report, Rows, Run, Work, rows_of
from headatlas.work.store import discard

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.models.pattern_scores import Score
    from headatlas.models.patterns import Chunk, Patterns

Tokens = Int[np.ndarray, " _"]
LEVEL = 0.95
RANDOM, NEEDLES = "roles_random", "roles_needles"
"""What the two jobs' stores are called."""
VERSION = 1
"""Of the scores' algorithm: raise it whenever a sequence's score changes."""


def measure_roles(
    model: "HeadModel",
    *,
    questions: QuestionSet | None = None,
    seed: int = 0,
    n_random: int = 32,
    half: int = 64,
    n_needles: int = 96,
    sentences: int = 8,
    local: int = 8,
    n_boot: int = 1000,
    store: str | Path | None = None,
    report: Report | None = None,
) -> xr.Dataset:
    """Score every head for every role in `ROLES`.

    Parameters
    ----------
    model
        The model.
    questions
        Passages with retrieval steps to make needle prompts from; the built-in set by default.
    seed
        Of the random tokens, the needles and the bootstrap.
    n_random
        Random sequences.
    half
        Tokens that a random sequence repeats.
    n_needles
        Needle prompts, at most (the questions may give fewer).
    sentences
        Sentences of a needle prompt's passage.
    local
        How many positions back, the query's own included, count as local.
    n_boot
        Bootstrap draws.
    store
        Folder for the sequences' scores (``roles_random.zarr``, ``roles_needles.zarr``), so that a killed run
        continues. None keeps them in a temporary folder.
    report
        Called with (stage, sequences done, of how many) after every batch.

    Returns
    -------
    xarray.Dataset
        For every role a variable (layer, head), float32, and its 95% interval in ``<role>_low`` and ``<role>_high``
        (percentiles; from n sequences n - 1 are drawn, as in `stats`). Attributes: definition, source and units of
        each; lengths, counts and provenance of all; ``note``, where the patterns had to be taken another way.

    Raises
    ------
    InputError
        Numbers that leave nothing to measure, questions that give no needle, or a `half` beyond the model's
        vocabulary or context.
    ModelError
        The model gives no attention patterns.
    StoreError
        `store` holds another run's scores, or they are damaged.
    RunError
        Another process is writing to `store`, or the disk is full.
    """
    from headatlas.models.patterns import Patterns

    for name, value, least in (
        ("n_random", n_random, 2), ("half", half, 2), ("n_needles", n_needles, 2), ("sentences", sentences, 2),
        ("local", local, 1), ("n_boot", n_boot, 2),
    ):  # fmt: skip
        if value < least:
            raise InputError(f"{name}={value} leaves nothing to measure. Give {least} or more.")
    questions = load_questions("controlled") if questions is None else questions
    seeds = np.random.SeedSequence(seed).spawn(3)
    needles = build_needles(
        questions, model.tokenizer, n=n_needles, sentences=sentences, context=model.context, seed=_number(seeds[0])
    )
    random = random_sequences(model, needles, n=n_random, half=half, seed=_number(seeds[1]))
    patterns = Patterns(model)
    texts = list(sequences(needles))
    key = {
        "model": model.name,
        "weights": model.digest,
        "dtype": str(model.dtype).removeprefix("torch."),
        "sequences": _digest([*random, *texts]),
        "seed": seed,
        "local": local,
        "roles version": VERSION,
    }
    run = Run(key, seed, None if store is None else Path(store), report)
    samples = rows_of(RANDOM, _random_work(patterns, random, half), run, stage="random tokens")
    samples |= rows_of(NEEDLES, _needle_work(patterns, needles, texts, local), run, stage="needles")
    copied = float(samples["copied"].sum() / sum(len(needle.wanted) for needle in needles))
    draw = np.random.default_rng(seeds[2])
    found = xr.Dataset(coords={"layer": np.arange(model.n_layers), "head": np.arange(model.n_heads)})
    for name, role in ROLES.items():
        _put(found, name, role, _seen(samples[name]), n_boot, draw)
    parameters = {
        "n_random": n_random, "half": half, "n_needles": n_needles, "sentences": sentences, "local": local,
        "n_boot": n_boot,
    }  # fmt: skip
    lengths = [len(n.prompt.tokens) - 1 for n in needles]
    found.attrs = {
        **_provenance(model, questions, seed, parameters),
        **parameters,
        "n_random": len(random),
        "n_needles": len(needles),
        "random_length": len(random[0]),
        "needle_length_min": min(lengths),
        "needle_length_max": max(lengths),
        "needle_tokens": sum(len(n.wanted) for n in needles),
        "needle_copied": copied,
        "note": _note(patterns.whole, copied),
    }
    return found


def discard_rows(store: str | Path) -> None:
    """Delete the scores of single sequences in `store`, and the folder if nothing else is in it (errors: `discard`)."""
    for name in (RANDOM, NEEDLES):
        discard(Path(store) / f"{name}.zarr")
    with suppress(OSError):
        Path(store).rmdir()


def random_sequences(
    model: "HeadModel", needles: Sequence[Needle], *, n: int, half: int, seed: int
) -> list[Int[np.ndarray, " length"]]:
    """Return `n` sequences of `half` different random tokens said twice, opened as the needle prompts are.

    Raises
    ------
    InputError
        Fewer than `half` tokens to draw from, or a sequence longer than the model's context.
    """
    tokenizer = model.tokenizer
    special = {*map(int, tokenizer.all_special_ids), *map(int, getattr(tokenizer, "added_tokens_decoder", {}))}
    known = len(tokenizer) if hasattr(tokenizer, "__len__") else 1 << 62
    size = min(model.model.get_input_embeddings().num_embeddings, known)
    drawn_from = np.setdiff1d(np.arange(size), sorted(special))
    first = int(needles[0].prompt.tokens[0])
    opening = [first] if first in set(map(int, tokenizer.all_special_ids)) else []
    if half > len(drawn_from) or 2 * half + len(opening) > model.context:
        raise InputError(
            f"half={half}: {model.name} has {len(drawn_from)} ordinary tokens and a context of {model.context}. "
            f"Give half={min(len(drawn_from), (model.context - len(opening)) // 2)} or less."
        )
    draw = np.random.default_rng(seed)
    parts = [draw.choice(drawn_from, half, replace=False) for _ in range(n)]
    return [np.concatenate([opening, part, part]).astype(np.int64) for part in parts]


def repeat_targets(length: int, half: int) -> dict[str, Int[np.ndarray, " length"]]:
    """Return, for each role on random sequences, the key that each query is scored on (-1: the query doesn't count)."""
    position = np.arange(length)
    second = position >= length - half
    return {
        "previous_token": np.where(position >= 2, position - 1, -1),
        "duplicate_token": np.where(second, position - half, -1),
        "induction": np.where(second, position - half + 1, -1),
    }


def _random_work(patterns: "Patterns", random: Sequence[Tokens], half: int) -> Work:
    """Return the scores that are asked of random sequences."""
    from headatlas.models.pattern_scores import MassAt

    targets = repeat_targets(len(random[0]), half)

    def score(rows: Sequence[int]) -> list["Score"]:
        own = {name: [keys] * len(rows) for name, keys in targets.items()}
        return [MassAt((len(rows), patterns.model.n_layers, patterns.model.n_heads), own)]

    return _work(patterns, random, score, list(targets))


def _needle_work(patterns: "Patterns", needles: Sequence[Needle], texts: Sequence[Tokens], local: int) -> Work:
    """Return the scores that are asked of needle prompts, and what the model itself would have written."""
    from headatlas.models.pattern_scores import Copying, MassAt, Spread

    def score(rows: Sequence[int]) -> list["Score"]:
        shape = len(rows), patterns.model.n_layers, patterns.model.n_heads
        sink = [np.where(np.arange(len(texts[row])) > 0, 0, -1) for row in rows]
        return [
            MassAt(shape, {"first_token_sink": sink}),
            Spread(shape, local=local),
            Copying(shape, [needles[row].wanted for row in rows], name="retrieval"),
        ]

    names = [name for name, role in ROLES.items() if role.on == "needle"]
    return _work(patterns, texts, score, names, [needle.answers for needle in needles])


def _work(
    patterns: "Patterns",
    texts: Sequence[Tokens],
    score: Callable[[Sequence[int]], list["Score"]],
    names: Sequence[str],
    answers: Sequence[Mapping[int, int]] | None = None,
) -> Work:
    """Return the patterns of `texts` as work: a row a text, its scores by name, a batch of texts of one length a part.

    `score` makes what reads the patterns of some of the texts. With `answers` (position -> the token that should come
    next) a row also has, as ``copied``, how many of them the model would have written itself. Rows come by length.
    """
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    heads = {"layer": patterns.model.n_layers, "head": patterns.model.n_heads}
    arrays = dict.fromkeys(names, heads) | ({} if answers is None else {"copied": {"count": 1}})

    def make(part: range) -> Rows:
        rows = order[part.start : part.stop]
        scores = score(rows)

        def take(chunk: "Chunk") -> None:
            for one in scores:
                one.take(chunk)

        wanted = None if answers is None else [answers[row] for row in rows]
        asked = None if wanted is None else [np.array(list(own)) for own in wanted]
        best = patterns.stream([texts[row] for row in rows], take, predicting=asked)
        found = {name: np.nan_to_num(values, nan=NOT_SEEN) for one in scores for name, values in one.samples().items()}
        if wanted is not None:
            hits = [
                sum(a == b for a, b in zip(own.values(), top, strict=True))
                for own, top in zip(wanted, best, strict=True)
            ]
            found["copied"] = np.array(hits, float)[:, None]
        return found

    parts = ((part, partial(make, part)) for part in patterns.parts([len(texts[row]) for row in order]))
    return Work(len(texts), arrays, parts, lambda rows: xr.Dataset(), chunk=8)


NOT_SEEN = -1.0
"""What stands in a row for NaN, which a store takes for a row gone missing: a layer's window shows nothing of what is
asked. No score is negative."""


def _seen(stored: Float[np.ndarray, "sequence layer head"]) -> Float[np.ndarray, "sequence layer head"]:
    """Return stored scores with NaN where nothing was seen."""
    return np.where(stored == NOT_SEEN, np.nan, stored.astype(np.float64))


def _digest(texts: Sequence[Tokens]) -> str:
    """Return what tells these token ids from others."""
    digest = sha256()
    for text in texts:
        digest.update(len(text).to_bytes(8, "little") + np.asarray(text, "<i8").tobytes())
    return digest.hexdigest()


def _put(
    found: xr.Dataset,
    name: str,
    role: Role,
    samples: Float[np.ndarray, "sequence layer head"],
    n_boot: int,
    draw: np.random.Generator,
) -> None:
    """Add a role's variables to `found`."""
    mean, low, high = bootstrap(samples, n_boot, draw)
    kind = "random tokens said twice" if role.on == "random" else "needle prompts"
    about = {"units": role.units, "sequences": kind, "n_sequences": len(samples)}
    more = {"long_name": role.title, "definition": role.definition, "source": role.source}
    found[name] = (("layer", "head"), mean, {**more, **about})
    for end, values in (("low", low), ("high", high)):
        interval = f"{end}er end of the 95% bootstrap interval over sequences of '{name}'".replace("higher", "upper")
        found[f"{name}_{end}"] = (("layer", "head"), values, {"long_name": interval, **about})


def bootstrap(
    samples: Float[np.ndarray, "sequence layer head"], n_boot: int, draw: np.random.Generator
) -> tuple[Float[np.ndarray, "layer head"], Float[np.ndarray, "layer head"], Float[np.ndarray, "layer head"]]:
    """Return the mean over sequences and its 95% interval; NaN samples (nothing to see) take no part."""
    n, shape = len(samples), samples.shape[1:]
    flat = samples.reshape(n, -1)
    there = np.isfinite(flat).astype(np.float64)
    values = np.where(there > 0, flat, 0.0)
    weights = np.concatenate([np.ones((1, n)), resample_counts(draw, n_boot, n)])
    mass = weights @ there
    means = np.divide(weights @ values, mass, out=np.full_like(mass, np.nan), where=mass > 0)
    ends = np.full((2, flat.shape[1]), np.nan)
    some = there.any(0)
    if some.any():
        ends[:, some] = np.nanquantile(means[1:, some], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    mean, low, high = (part.reshape(shape).astype(np.float32) for part in (means[0], *ends))
    return mean, low, high


def _note(whole: str | None, copied: float) -> str:
    """Return what a reader of the scores must know."""
    notes = []
    if whole is not None:
        notes.append(f"patterns taken whole, in eager mode, one sequence at a time: {whole}")
    if copied < 0.5:
        notes.append(
            f"the model itself would write only {copied:.0%} of the answers' tokens that stand in the needle: "
            "its retrieval scores are those of a model that mostly does not retrieve"
        )
    return "; ".join(notes)


def _number(seed: np.random.SeedSequence) -> int:
    return int(seed.generate_state(1)[0])


def _provenance(
    model: "HeadModel", questions: QuestionSet, seed: int, parameters: dict[str, int]
) -> dict[str, str | int]:
    packages = ("headatlas", "torch", "transformers", "numpy", "xarray")
    values: dict[str, Any] = {
        "model": model.facts,
        "questions": {"name": questions.name, "digest": questions.digest},
        "parameters": parameters,
        "seed": seed,
        "versions": {**{p: version(p) for p in packages}, "python": platform.python_version()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return {k: json.dumps(v, sort_keys=True) if isinstance(v, dict) else v for k, v in values.items()}
