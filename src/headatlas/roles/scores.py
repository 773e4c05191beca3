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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from headatlas._files import write_netcdf
from headatlas.errors import AtlasError, InputError
from headatlas.questions.loading import load_questions
from headatlas.questions.schema import QuestionSet
from headatlas.roles.needles import Needle, build_needles, sequences, share_copied
from headatlas.stats import resample_counts

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel
    from headatlas.models.pattern_scores import Score

SCHEMA_VERSION = 1
LEVEL = 0.95
Report = Callable[[str, int, int], None]
"""Called with what is run, how many sequences are done, and of how many."""


@dataclass(frozen=True)
class Role:
    """A role and what its score is.

    Attributes
    ----------
    title
        For figures and tables.
    definition
        Formula: a_ij is the weight of key j for query i, x_i the token at i, n the length of the repeated part.
    source
        Where the role is described.
    units
        "share" (0 to 1), "tokens", "nats" or "1" (a ratio, 0 to 1).
    on
        The sequences it is measured on (see the module's docstring).
    """

    title: str
    definition: str
    source: str
    units: Literal["share", "tokens", "nats", "1"]
    on: Literal["random", "needle"]


ROLES: dict[str, Role] = {
    "previous_token": Role(
        "Previous token",
        "mean over i of a_{i,i-1}, where i-1 is not the first token",
        "Elhage et al. 2021, A Mathematical Framework for Transformer Circuits; Olsson et al. 2022",
        "share",
        "random",
    ),
    "duplicate_token": Role(
        "Duplicate token",
        "mean over i in the second half of a_{i,i-n}: the earlier occurrence of x_i",
        "Wang et al. 2022, Interpretability in the Wild (arXiv 2211.00593)",
        "share",
        "random",
    ),
    "induction": Role(
        "Induction",
        "mean over i in the second half of a_{i,i-n+1}: the token after the earlier occurrence of x_i",
        "Olsson et al. 2022, In-context Learning and Induction Heads (arXiv 2209.11895)",
        "share",
        "random",
    ),
    "first_token_sink": Role(
        "First-token sink",
        "mean over i > 0 of a_{i,0}",
        "Xiao et al. 2023, Efficient Streaming Language Models with Attention Sinks (arXiv 2309.17453)",
        "share",
        "needle",
    ),
    "retrieval": Role(
        "Retrieval",
        "share of the answer's tokens that stand in the needle for which, at the position that predicts the token, "
        "argmax_j a_ij is that same token in the needle (teacher-forced)",
        "Wu et al. 2024, Retrieval Head Mechanistically Explains Long-Context Factuality (arXiv 2404.15574)",
        "share",
        "needle",
    ),
    "local_share": Role(
        "Local share",
        "mean over i that see more than w keys of the sum of a_ij over i - j < w (w: attribute 'local')",
        "mass near the query; cf. Clark et al. 2019, What Does BERT Look At? (arXiv 1906.04341)",
        "share",
        "needle",
    ),
    "global_share": Role(
        "Global share",
        "mean over the same i of the sum of a_ij over i - j > (v_i - 1) / 2, v_i the keys that i sees; without the "
        "first token",
        "mass beyond half of what the query sees",
        "share",
        "needle",
    ),
    "span": Role(
        "Span",
        "sum of a_ij (i - j) over the sum of a_ij, over the same i, without the first token",
        "mean attended distance; cf. Sukhbaatar et al. 2019, Adaptive Attention Span (arXiv 1905.07799)",
        "tokens",
        "needle",
    ),
    "entropy": Role(
        "Entropy",
        "mean over i that see two keys or more of H_i = -sum_j a_ij ln a_ij",
        "Clark et al. 2019, What Does BERT Look At? (arXiv 1906.04341)",
        "nats",
        "needle",
    ),
    "normalised_entropy": Role(
        "Normalised entropy",
        "mean over the same i of H_i / ln v_i, v_i the keys that i sees; 1 = even over all of them",
        "Clark et al. 2019, What Does BERT Look At? (arXiv 1906.04341)",
        "1",
        "needle",
    ),
}
"""The roles, in the order of tables and figures. Keys outside a layer's sliding window are not seen: a query counts
only where what is asked of it is seen, and a layer in which none counts has NaN."""


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
    report
        Called after every batch.

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
    """
    from headatlas.models.patterns import Patterns

    for name, value, least in (
        ("n_random", n_random, 2), ("half", half, 2), ("n_needles", n_needles, 2), ("sentences", sentences, 2),
        ("local", local, 1), ("n_boot", n_boot, 2),
    ):  # fmt: skip
        if value < least:
            raise InputError(f"{name}={value} leaves nothing to measure. Give {least} or more.")
    questions = load_questions("builtin") if questions is None else questions
    seeds = np.random.SeedSequence(seed).spawn(3)
    needles = build_needles(
        questions, model.tokenizer, n=n_needles, sentences=sentences, context=model.context, seed=_number(seeds[0])
    )
    random = random_sequences(model, needles, n=n_random, half=half, seed=_number(seeds[1]))
    patterns = Patterns(model)
    samples = _on_random(patterns, random, half, report)
    on_needles, copied = _on_needles(patterns, needles, local, report)
    samples.update(on_needles)
    draw = np.random.default_rng(seeds[2])
    found = xr.Dataset(coords={"layer": np.arange(model.n_layers), "head": np.arange(model.n_heads)})
    for name, role in ROLES.items():
        _put(found, name, role, samples[name], n_boot, draw)
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


def _on_random(
    patterns: Any, random: Sequence[np.ndarray], half: int, report: Report | None
) -> dict[str, Float[np.ndarray, "sequence layer head"]]:
    from headatlas.models.pattern_scores import MassAt

    targets = {name: [keys] * len(random) for name, keys in repeat_targets(len(random[0]), half).items()}
    mass = MassAt((len(random), patterns.model.n_layers, patterns.model.n_heads), targets)
    patterns.stream(random, mass.take, report=_reporting(report, "random tokens", len(random)))
    return mass.samples()


def _on_needles(
    patterns: Any, needles: Sequence[Needle], local: int, report: Report | None
) -> tuple[dict[str, Float[np.ndarray, "sequence layer head"]], float]:
    """Return the scores, and which share of the wanted tokens the model itself would have written."""
    from headatlas.models.pattern_scores import Copying, MassAt, Spread

    texts = list(sequences(needles))
    shape = len(texts), patterns.model.n_layers, patterns.model.n_heads
    sink = [np.where(np.arange(len(text)) > 0, 0, -1) for text in texts]
    scores: list[Score] = [
        MassAt(shape, {"first_token_sink": sink}),
        Spread(shape, local=local),
        Copying(shape, [n.wanted for n in needles], name="retrieval"),
    ]

    def take(chunk: Any) -> None:
        for score in scores:
            score.take(chunk)

    asked = [np.array(list(n.wanted)) for n in needles]
    best = patterns.stream(texts, take, predicting=asked, report=_reporting(report, "needles", len(texts)))
    return {name: values for score in scores for name, values in score.samples().items()}, share_copied(needles, best)


def _reporting(report: Report | None, stage: str, total: int) -> Callable[[int], None] | None:
    return None if report is None else lambda done: report(stage, done, total)


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


# -- reading and keeping ----------------------------------------------------------------------------


def top_heads(found: xr.Dataset, role: str, k: int = 3) -> list[dict[str, float | int]]:
    """Return the `k` heads with the highest score for `role`: layer, head, value, low, high."""
    if role not in ROLES or role not in found:
        raise InputError(f"No role '{role}' here. Known: {', '.join(name for name in ROLES if name in found)}.")
    values = found[role].values
    order = np.argsort(np.where(np.isfinite(values), -values, np.inf), axis=None, kind="stable")[:k]
    cells = [divmod(int(at), values.shape[1]) for at in order if np.isfinite(values.flat[at])]
    return [
        {
            "layer": layer,
            "head": head,
            "value": float(values[layer, head]),
            "low": float(found[f"{role}_low"].values[layer, head]),
            "high": float(found[f"{role}_high"].values[layer, head]),
        }
        for layer, head in cells
    ]


def top_table(found: xr.Dataset, k: int = 3) -> dict[str, Any]:
    """Return every role's definition and its `k` highest heads, and the note, as plain values (for JSON)."""
    about = {"model": json.loads(found.attrs["model"])["name"], "note": found.attrs["note"]}
    rows = {
        name: {
            "title": role.title,
            "definition": role.definition,
            "units": role.units,
            "top": top_heads(found, name, k),
        }
        for name, role in ROLES.items()
        if name in found
    }
    return {**about, "roles": rows}


def roles_text(table: dict[str, Any]) -> str:
    """Return a table of `top_table` as lines: a role's highest heads with their scores and 95% intervals."""
    lines = []
    for row in table["roles"].values():
        places = 1 if row["units"] == "tokens" else 2
        heads = [
            f"L{t['layer']}H{t['head']} {t['value']:.{places}f} [{t['low']:.{places}f}, {t['high']:.{places}f}]"
            for t in row["top"]
        ]
        units = f" ({row['units']})" if row["units"] in ("tokens", "nats") else ""
        lines.append(f"{row['title'] + units:<20} {'  '.join(heads) or 'outside every window'}")
    if table["note"]:
        lines.append(f"Note: {table['note']}.")
    return "\n".join(lines)


def check_new(path: str | Path) -> Path:
    """Return `path`; raise `InputError` if something is there already."""
    path = Path(path)
    if path.exists():
        raise InputError(f"{path} is there already. Give another --out, or move it away.")
    return path


def save_roles(found: xr.Dataset, path: str | Path) -> Path:
    """Write roles as one NetCDF file, atomically.

    Raises
    ------
    InputError
        `path` is there already.
    RunError
        The disk is full or the folder can't be written.
    """
    path = check_new(path)
    return write_netcdf(path, found.assign_attrs(kind="roles", schema_version=SCHEMA_VERSION, complete=1))


def load_roles(path: str | Path) -> xr.Dataset:
    """Read roles written by `save_roles` into memory.

    Raises
    ------
    AtlasError
        No such file, damaged, not roles, or of another schema version.
    """
    path = Path(path)
    if not path.is_file():
        raise AtlasError(f"No roles at {path}. Make them with: headatlas roles MODEL --out {path}")
    try:
        found = xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:  # h5py raises OSError, RuntimeError, KeyError for damaged files
        raise AtlasError(f"{path} can't be read as NetCDF ({error}). Run headatlas roles again.") from error
    kind = (found.attrs.get("kind"), found.attrs.get("schema_version"), found.attrs.get("complete"))
    if kind != ("roles", SCHEMA_VERSION, 1):
        raise AtlasError(f"{path} holds no roles of schema version {SCHEMA_VERSION}. Run headatlas roles again.")
    return found
