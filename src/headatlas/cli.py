"""The command line: parse, call, print. Heavy imports happen inside the commands.

Exit codes: 0 done, 1 the run failed, 2 bad input. Results go to stdout, progress and messages to stderr;
errors are one line, a traceback only with --debug.
"""

import gc
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from headatlas.errors import HeadatlasError, InputError

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="headatlas",
    help="Map which attention heads of a language model carry which cognitive function.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
questions_app = typer.Typer(help="List, check and show question sets.", no_args_is_help=True)
app.add_typer(questions_app, name="questions")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Model = Annotated[str, typer.Option("--model", "-m", help="Built-in name, folder, .gguf file or Hub id.")]
Dtype = Annotated[str, typer.Option(help="auto (bfloat16 where it is faster), float32, bfloat16, float16 or float64.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, …; by default cuda where there is one.")]
Template = Annotated[str, typer.Option(help="How a step is put to the model: short or published.")]
Tokens = Annotated[str, typer.Option(help="Which answer tokens count: all, content, first or last.")]


def _version(value: bool) -> bool:
    if value:
        import headatlas

        print(f"headatlas {headatlas.__version__}")
        raise typer.Exit
    return value


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    del version, debug  # --debug is taken out of the arguments by main


@app.command("map")
def map_(
    model: Model = "smollm2-135m",
    questions: Annotated[str, typer.Option("--questions", "-q", help="Named set, or a file.")] = "builtin",
    method: Annotated[str, typer.Option(help="One or more, with commas: probe,linear_probe.")] = "probe",
    template: Template = "short",
    tokens: Tokens = "all",
    answers: Annotated[str, typer.Option(help="reference (teacher-forced) or generated (greedy).")] = "reference",
    chat: Annotated[bool | None, typer.Option("--chat/--no-chat", help="Use the tokenizer's chat template.")] = None,
    dtype: Dtype = "auto",
    device: Device = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub id.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N main questions.")] = None,
    seed: Annotated[int, typer.Option(help="The one seed.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; default ./atlas-MODEL.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what --out holds.")] = False,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run Python code that comes with the model.")
    ] = False,
) -> None:
    """Map a model: questions in; atlas, heatmaps and findings out."""
    from headatlas.models.load import load_model
    from headatlas.pipeline import plan
    from headatlas.questions import load_questions
    from headatlas.run import map_model

    names = [name.strip() for name in method.split(",") if name.strip()]
    _check_names(names, template, tokens, answers)
    loaded = load_questions(questions, limit=limit)
    _say(f"Questions: {loaded.name}, {len(loaded.questions)} questions, {loaded.n_steps} steps")
    for reason, count in loaded.left_out.items():
        _say(f"Left out: {count} {reason}")
    _say(f"Loading {model} …")
    head_model = load_model(model, dtype=dtype, device=device, revision=revision, trust_remote_code=trust_remote_code)
    _say(repr(head_model))
    if head_model.unpacked:
        _say(f"Prompts run one at a time: {head_model.unpacked}.")
    folder = out or Path(f"atlas-{head_model.name.replace('/', '--')}")
    planned = plan(
        head_model,
        loaded,
        methods=names,
        template=template,
        tokens=tokens,  # type: ignore[arg-type]
        answers=answers,  # type: ignore[arg-type]
        chat=chat,
        seed=seed,
    )
    with _progress() as report:
        written = map_model(head_model, planned, folder, fresh=fresh, report=report)
    for path in written:
        print(path)


def _check_names(names: list[str], template: str, tokens: str, answers: str) -> None:
    """Refuse bad names before the model is loaded."""
    from headatlas.methods.base import methods
    from headatlas.prompts import check_token_choice, templates

    for name in names:
        methods.get(name)
    templates.get(template)
    check_token_choice(tokens)
    if answers not in ("reference", "generated"):
        raise InputError(f"Unknown answers '{answers}'. Give reference or generated.")


@app.command()
def figure(
    atlas: Annotated[Path, typer.Argument(help="atlas.nc, or the folder it is in.")],
    name: Annotated[str, typer.Option("--figure", help="Which figure.")] = "heads_importance",
    method: Annotated[str | None, typer.Option(help="A method of the atlas; default the first.")] = None,
    sign: Annotated[str | None, typer.Option(help="absolute, positive or signed; default by method.")] = None,
    scale: Annotated[str, typer.Option(help="shared, or one colour scale a panel: panel.")] = "shared",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Path without ending; default heatmaps.")] = None,
    formats: Annotated[str, typer.Option("--format", help="png, pdf, svg, with commas.")] = "png,pdf,svg",
) -> None:
    """Draw a figure from an atlas."""
    from headatlas.atlas import load_atlas
    from headatlas.figures import figures, save_figure

    path = _atlas_path(atlas)
    draw = figures.get(name)
    drawn = draw(load_atlas(path), method=method, sign=sign, scale=scale)
    stem = out or path.with_name("heatmaps" if method is None else f"heatmaps-{method}")
    for written in save_figure(drawn, stem, [f.strip() for f in formats.split(",")]):
        print(written)


@app.command()
def findings(
    atlas: Annotated[Path, typer.Argument(help="atlas.nc, or the folder it is in.")],
    method: Annotated[str | None, typer.Option(help="A method of the atlas; default all.")] = None,
    json_: Json = False,
) -> None:
    """Print what an atlas says, in Markdown or JSON."""
    from headatlas.atlas import load_atlas
    from headatlas.findings import describe

    found = describe(load_atlas(_atlas_path(atlas)), method=method)
    print(found.to_json() if json_ else found.to_markdown())


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(help="Load this one and show its heads.")] = None,
    json_: Json = False,
) -> None:
    """List the models that can be mapped, or load one and prove that its heads can be read."""
    from headatlas.models.load import load_model

    rows: dict[str, Any]
    if model is not None:
        head_model = load_model(model)
        fields = ("name", "n_layers", "n_heads", "n_kv_heads", "head_dim", "context", "unpacked", "digest")
        rows = {name: getattr(head_model, name) for name in fields}
    else:
        rows = _known_models()
    if json_:
        print(json.dumps(rows, indent=2))
        return
    for name, value in rows.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")


def _known_models() -> dict[str, Any]:
    from headatlas.models.architectures import architectures
    from headatlas.models.load import builtin_file, builtins

    def state(name: str) -> str:
        try:
            builtin_file(name)
        except HeadatlasError as error:
            return str(error)
        return f"{builtins.get(name).about} (installed)"

    return {
        **{name: state(name) for name in builtins},
        "any folder, .gguf file or Hub id of these architectures": list(architectures),
    }


@questions_app.command("list")
def list_questions(json_: Json = False) -> None:
    """List the named question sets."""
    import headatlas.datasets  # noqa: F401  (registers them)
    from headatlas.questions import load_questions, sources

    rows = {name: _summary(load_questions(name)) for name in sources}
    if json_:
        print(json.dumps(rows, indent=2))
        return
    for name, row in rows.items():
        print(f"{name}: {row['questions']} questions, {row['steps']} steps")


@questions_app.command("check")
def check_questions(source: Annotated[str, typer.Argument(help="Named set, or a file.")], json_: Json = False) -> None:
    """Check a question set and count its steps."""
    from headatlas.questions import function_title, load_questions

    row = _summary(load_questions(source))
    if json_:
        print(json.dumps(row, indent=2))
        return
    print(f"{row['name']}: {row['questions']} questions, {row['steps']} steps, digest {row['digest'][:12]}")
    for function, count in row["functions"].items():
        print(f"  {function_title(function)}: {count}")
    for reason, count in row["left_out"].items():
        print(f"  left out: {count} {reason}")


def _summary(questions: Any) -> dict[str, Any]:
    return {
        "name": questions.name,
        "questions": len(questions.questions),
        "steps": questions.n_steps,
        "functions": questions.counts(),
        "left_out": questions.left_out,
        "digest": questions.digest,
    }


@questions_app.command("show")
def show_questions(
    source: Annotated[str, typer.Argument(help="Named set, or a file.")] = "builtin",
    limit: Annotated[int, typer.Option(help="How many main questions.")] = 1,
    model: Model = "smollm2-135m",
    template: Template = "short",
    tokens: Tokens = "all",
) -> None:
    """Print rendered prompts; the answer is underlined, the tokens that count are in colour."""
    from rich.console import Console
    from rich.text import Text

    from headatlas.models.load import load_tokenizer
    from headatlas.prompts import build_prompts
    from headatlas.questions import load_questions

    _check_names([], template, tokens, "reference")
    tokenizer = load_tokenizer(model)
    chosen = load_questions(source, limit=limit)
    console = Console(highlight=False, soft_wrap=True)
    for prompt in build_prompts(chosen, tokenizer, template=template, tokens=tokens):  # type: ignore[arg-type]
        console.rule(Text(f"{prompt.id}  {prompt.function}"))
        counted = set((prompt.chosen + 1).tolist())
        text = Text()
        for i, token in enumerate(prompt.tokens.tolist()):
            style = "bold green underline" if i in counted else "underline" if i >= prompt.answer_start else "dim"
            text.append(_printable(tokenizer.decode([token])), style=style)
        console.print(text)


def _printable(text: str) -> str:
    """Show control characters instead of obeying them."""
    return "".join(c if c == "\n" or c.isprintable() else repr(c)[1:-1] for c in text)


def _atlas_path(path: Path) -> Path:
    return path / "atlas.nc" if path.is_dir() else path


def _console() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _say(message: str) -> None:
    print(message, file=sys.stderr)


class _progress:
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
            console=_console(),
        )
        self._tasks: dict[str, Any] = {}
        return self.report

    def report(self, stage: str, done: int, total: int) -> None:
        self._bar.start()  # not before: an error that comes first stays alone on its line
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total, rate="")
        task = self._bar.tasks[self._tasks[stage]]
        rate = f"{task.speed:.1f}/s" if task.speed and total > 1 else ""
        self._bar.update(self._tasks[stage], completed=done, total=total, rate=rate)

    def __exit__(self, *exc: Any) -> None:
        if self._tasks:
            self._bar.stop()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in given
    given = [a for a in given if a != "--debug"]
    try:
        code = app(given, standalone_mode=False)
        if code == 130:  # newer typer turns Ctrl-C into this
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except HeadatlasError as error:
        _complain(str(error), debug)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("headatlas: stopped. The same command continues where it was.", file=sys.stderr)
        return 130
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
            return 2
        if hasattr(error, "format_message"):  # mistyped; newer typer carries a click of its own
            _complain(f"{error.format_message().rstrip('.')}. See headatlas --help.", debug)
            return 2
        _complain(f"{type(error).__name__}: {error} (--debug shows where)", debug)
        return 1


def _complain(message: str, debug: bool) -> None:
    """Print one line, or with --debug the traceback of what is being handled."""
    if debug:
        import traceback

        traceback.print_exc()
    else:
        print(f"headatlas: {' '.join(message.split())}", file=sys.stderr)


def entry() -> NoReturn:
    """Run as a process of its own.

    Collecting garbage rarely while torch and transformers are imported saves a second, and not walking all of
    their objects once more at the end another.
    """
    gc.set_threshold(100_000)
    code = main()
    gc.freeze()
    sys.exit(code)


if __name__ == "__main__":
    entry()
