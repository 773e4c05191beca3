"""What the commands share: options, messages on stderr, progress. Nothing heavy is imported here."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headatlas.cli import completion
from headatlas.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr
    from rich.console import Console

    from headatlas.interventions import Intervention
    from headatlas.interventions.answering import Answer
    from headatlas.models.head_model import HeadModel
    from headatlas.questions.reading import Reading
    from headatlas.questions.schema import QuestionSet

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
KeyEnv = Annotated[
    str | None, typer.Option(help="Environment variable with the endpoint's key; default OPENAI_API_KEY, if it is set.")
]
DEFAULT_MODEL = "smollm2-135m"
_MODEL = "Built-in name, folder, .gguf file or Hub id."
Model = Annotated[str | None, typer.Argument(help=_MODEL, show_default=DEFAULT_MODEL)]
ModelOption = Annotated[str | None, typer.Option("--model", "-m", help="The same as the argument.")]
TokenizerOf = Annotated[str, typer.Option("--model", "-m", help=f"Whose tokenizer: {_MODEL}")]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
]
AtlasDtype = Annotated[str, typer.Option(help="auto (the atlas's), float32, bfloat16, float16 or float64.")]
AtlasQuestions = Annotated[
    str | None, typer.Option("--questions", "-q", help="The set it was made of; default: by its name.")
]
Dtype = Annotated[str, typer.Option(help="auto (bfloat16 where it is faster), float32, bfloat16, float16 or float64.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, …; by default cuda where there is one.")]
Template = Annotated[
    str,
    typer.Option(
        help="How a step is put to the model: examples, short or published; auto goes by the question set.",
        autocompletion=completion.templates,
    ),
]
Tokens = Annotated[str, typer.Option(help="Which answer tokens count: all, content, first or last.")]
Source = Annotated[str, typer.Argument(help="Named set, file, data set's folder or Hub id.")]
Split = Annotated[str | None, typer.Option(help="Only the questions of this split.")]
Column = Annotated[
    list[str] | None, typer.Option(help="For tables, NAME=COLUMN, or NAME==VALUE for all rows; may be repeated.")
]
Limit = Annotated[int | None, typer.Option(help="Only the first N main questions.")]
Items = Annotated[int | None, typer.Option(help="How many items of every task to map.")]
Shots = Annotated[int, typer.Option(help="How many demonstrations stand before an item, if its task has any.")]
Seed = Annotated[int, typer.Option(help="The one seed.")]


Masks = Annotated[
    list[str] | None,
    typer.Option(help="Heads to mask: math_calculation:20 (of the atlas) or L20H8,L3H5; repeatable."),
]
Boosts = Annotated[list[str] | None, typer.Option(help="Heads to scale: retrieval:10x1.5, or L20H8x2; repeatable.")]
EditFile = Annotated[Path | None, typer.Option(help="An intervention that was saved as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Also on a model of other weights.")]


def atlas_path(path: Path) -> Path:
    """Return the file of an atlas, given it or its folder."""
    return path / "atlas.nc" if path.is_dir() else path


def edit_of(
    mask: list[str] | None,
    boost: list[str] | None,
    edit: Path | None,
    atlas: "xr.DataTree | None",
    *,
    positions: str,
) -> "Intervention":
    """Return what --mask, --boost and --edit say; heads that a boost shares with a mask are said and left out of it."""
    from dataclasses import replace
    from functools import reduce
    from operator import or_

    from headatlas.interventions import Mask, load_intervention
    from headatlas.interventions.answering import boost_of, heads_of

    edits: list[Intervention] = [Mask(heads_of(text, atlas), positions=positions) for text in mask or []]
    masked = {head for one in edits for head in one.heads_touched}
    for text in boost or []:
        scale = replace(boost_of(text, atlas), positions=positions)
        if both := sorted(masked & set(scale.heads)) if ":" in text else []:  # chosen, not named
            say(f"Masked, so not boosted: {', '.join(f'L{layer}H{head}' for layer, head in both)}")
            scale = replace(scale, heads=tuple(head for head in scale.heads if head not in masked))
        edits.append(scale)
    edits += [] if edit is None else [load_intervention(edit)]
    if not edits:
        raise InputError("Nothing is edited. Give --mask, --boost or --edit.")
    return reduce(or_, edits)


def model_of(
    atlas: "xr.DataTree",
    model: str | None,
    dtype: str,
    device: str | None,
    revision: str | None,
    trust_remote_code: bool,
    *,
    force: bool,
) -> "HeadModel":
    """Load the model that an atlas is of, or the one that is named; refuse other weights unless `force`."""
    from headatlas.atlas import check_weights, provenance

    made = provenance(atlas, "model", {})
    # what "auto" comes to depends on how busy the machine is, and other numbers are other weights
    dtype = str(made.get("dtype", dtype)) if dtype == "auto" else dtype
    loaded = load(model or str(made.get("name")), dtype, device, revision, trust_remote_code)
    if not force:
        check_weights(atlas, loaded.name, loaded.digest)
    return loaded


def questions_of(
    atlas: "xr.DataTree", questions: str | None, column: list[str] | None, split: str | None, limit: int | None = None
) -> "QuestionSet":
    """Return the questions that are named, else the set that an atlas was made of."""
    from headatlas.atlas import provenance
    from headatlas.questions.loading import read_questions

    named = questions or str(provenance(atlas, "questions", {}).get("name"))
    return read_questions(named, reading_of(column, split, limit))


def which_model(argument: str | None, option: str | None) -> str:
    """Return the model that was given as argument, as option, as both alike, or not at all."""
    if argument is not None and option is not None and argument != option:
        raise InputError(f"Two models are given, '{argument}' and --model '{option}'. Leave one out.")
    return argument or option or DEFAULT_MODEL


def load(model: str, dtype: str, device: str | None, revision: str | None, trust_remote_code: bool) -> "HeadModel":
    """Load a model by the options that all commands have, and say so."""
    from headatlas.models.load import load_model

    say(f"Loading {model} …")
    loaded = load_model(model, dtype=dtype, device=device, revision=revision, trust_remote_code=trust_remote_code)
    say(repr(loaded))
    return loaded


def say_slower(model: "HeadModel") -> None:
    """Say what of this model runs slower, and why."""
    if model.unpacked:
        say(f"Prompts run one at a time, so everything takes longer: {model.unpacked}.")
    if model.unsplit:
        say(f"Answers run with their whole prompts, so methods that replace heads take longer: {model.unsplit}.")


def check_methods(text: str) -> None:
    """Refuse unknown methods and settings before the model is loaded."""
    import headatlas.methods  # noqa: F401  (registers them)
    from headatlas.methods.settings import named, parse_methods

    named(parse_methods(text))


def reading_of(column: list[str] | None, split: str | None, limit: int | None) -> "Reading":
    """Return what to read of a source, as --column NAME=COLUMN, --split and --limit say."""
    from headatlas.questions.reading import Reading

    columns = {}
    for text in column or []:
        ours, sign, theirs = text.partition("=")
        if not sign or not ours.strip() or not theirs:
            raise InputError(f"--column '{text}' is no mapping. Give NAME=COLUMN, e.g. --column answer=target.")
        if ours.strip() in columns:
            raise InputError(f"--column {ours.strip()} is given twice.")
        columns[ours.strip()] = theirs
    return Reading(columns, split, limit)


ITEMS = 10
"""Items a task that ``map`` maps unless told otherwise: tasks are what a function's map is generalised over, so that a
few items of many tasks say more than many of a few, and time is short.
"""
ASKED = 20
"""Items a task that are asked to see whether the model does it, which takes little time."""


def told_questions(questions: "QuestionSet", items: int | None) -> str:
    """Return a line on what is asked and how much of it is mapped."""
    if not questions.tasks:
        return f"Questions: {questions.name}, {len(questions.questions)} questions, {questions.n_steps} steps"
    most = max(questions.items_of_tasks.values())
    mapped = (
        "" if items is None or items >= most else f"; {items} are mapped, of tasks that it does (--items N for more)"
    )
    return (
        f"Questions: {questions.name}, {len(questions.tasks)} tasks of {len(questions.functions)} functions; the model "
        f"is asked {most} items of each{mapped}"
    )


def told_time(seconds: "Mapping[str, float | None]", *, tasks: bool) -> str:
    """Return a line on how long each stage is expected to take; `tasks`: whether those not done are left out."""
    known = {stage: time for stage, time in seconds.items() if time is not None}
    each = ", ".join(f"{stage} {_minutes(time)}" for stage, time in known.items())
    less = "; less where it does not do a task" if tasks else ""
    more = f", without {', '.join(sorted(seconds.keys() - known.keys()))}" if len(known) < len(seconds) else ""
    return f"About {_minutes(sum(known.values()))} on this machine{more}: {each}{less}. Statistics and figures follow."


def printable(text: str) -> str:
    """Show control characters instead of obeying them."""
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def console() -> "Console":
    """Return the console on stderr."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def show_side_by_side(*named: "tuple[str, Answer]") -> None:
    """Print answers beside each other on stdout, with their log-probabilities by either model."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=True)
    table.add_column("")
    for name, _ in named:
        table.add_column(name, overflow="fold", ratio=1)
    table.add_row("answer", *(Text(printable(answer.text)) for _, answer in named))
    table.add_row("log-probability, as it is", *(f"{answer.as_is:.2f}" for _, answer in named))
    table.add_row("log-probability, edited", *(f"{answer.edited:.2f}" for _, answer in named))
    Console(highlight=False).print(table)


def say(message: str) -> None:
    """Print a line on stderr."""
    print(message, file=sys.stderr)


def say_short(sentences: "Iterable[str]") -> None:
    """Print numbered sentences on stderr."""
    for n, sentence in enumerate(sentences, start=1):
        say(printable(f"{n}. {sentence}"))


def progress() -> "_Bar | _Lines":
    """Return a way to report progress on stderr: bars on a terminal, plain lines in a log file."""
    return _Bar() if sys.stderr.isatty() else _Lines()


EVERY = 10.0
"""Seconds between two plain lines of a stage: a log is never silent for long."""


class _Lines:
    """Plain lines: how far a stage is when it begins, every `EVERY` seconds, and when it ends; with the time left."""

    def __enter__(self) -> Any:
        self._began: dict[str, tuple[float, int]] = {}
        self._said: dict[str, float] = {}
        return self.report

    def report(self, stage: str, done: int, total: int) -> None:
        """Take note of how far a stage is."""
        now = time.monotonic()
        first = stage not in self._began
        began, before = self._began.setdefault(stage, (now, done))
        if not first and done < total and now - self._said[stage] < EVERY:
            return
        self._said[stage] = now
        spent, made = now - began, done - before
        if done >= total:
            say(f"{stage}: {total} of {total}, {_minutes(spent)}" if spent >= 1 else f"{stage}: {total} of {total}")
        else:
            left = f", {_minutes(spent / made * (total - done))} left" if made else ""
            say(f"{stage}: {done} of {total}{left}")

    def __exit__(self, *exc: Any) -> None:
        """Nothing is left open."""


def _minutes(seconds: float) -> str:
    """Write a time as m:ss, or h:mm:ss."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


class _Bar:
    """A rich progress bar on stderr with rate and time left, one line a stage."""

    def __enter__(self) -> Any:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description:<20}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console(),
        )
        self._tasks: dict[str, Any] = {}
        return self.report

    def report(self, stage: str, done: int, total: int) -> None:
        """Take note of how far a stage is."""
        self._bar.start()  # not before: an error that comes first stays alone on its line
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total, rate="")
        task = self._bar.tasks[self._tasks[stage]]
        rate = f"{task.speed:.1f}/s" if task.speed and total > 1 else ""
        self._bar.update(self._tasks[stage], completed=done, total=total, rate=rate)

    def __exit__(self, *exc: Any) -> None:
        if self._tasks:
            self._bar.stop()
