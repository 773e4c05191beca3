"""The command line: parse, call, print. Heavy imports happen inside the commands.

Exit codes: 0 done, 1 the run failed, 2 bad input. Results go to stdout, progress and messages to stderr;
errors are one line, a traceback only with --debug.
"""

import gc
import inspect
import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from headatlas.cli import completion
from headatlas.cli.experiments import experiment_app
from headatlas.cli.questions import questions_app
from headatlas.cli.terminal import (
    ASKED,
    ITEMS,
    AtlasDtype,
    AtlasQuestions,
    Boosts,
    Column,
    Device,
    Dtype,
    EditFile,
    Force,
    Items,
    Json,
    KeyEnv,
    Limit,
    Masks,
    Model,
    ModelOption,
    Revision,
    Seed,
    Shots,
    Split,
    Template,
    Tokens,
    TrustRemoteCode,
    atlas_path,
    check_methods,
    edit_of,
    load,
    model_of,
    printable,
    progress,
    questions_of,
    reading_of,
    say,
    say_short,
    say_slower,
    show_side_by_side,
    told_questions,
    told_time,
    which_model,
)
from headatlas.errors import HeadatlasError, InputError

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer(
    name="headatlas",
    help="Map which attention heads of a language model carry which cognitive function.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(questions_app, name="questions")
app.add_typer(experiment_app, name="experiment")


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
    model: Model = None,
    model_option: ModelOption = None,
    questions: Annotated[
        str, typer.Option("--questions", "-q", help="Named set, file, data set's folder or Hub id.")
    ] = "builtin",
    method: Annotated[
        str,
        typer.Option(
            help="One or more, with commas; settings in parentheses: 'ablation(by=zero, positions=all)'.",
            autocompletion=completion.methods,
        ),
    ] = "ablation,probe",
    template: Template = "auto",
    tokens: Tokens = "all",
    answers: Annotated[str, typer.Option(help="reference (teacher-forced) or generated (greedy).")] = "reference",
    chat: Annotated[bool | None, typer.Option("--chat/--no-chat", help="Use the tokenizer's chat template.")] = None,
    dtype: Dtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    shots: Shots = 3,
    items: Items = None,
    limit: Limit = None,
    split: Split = None,
    column: Column = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; default ./atlas-MODEL.")] = None,
    keep_unable: Annotated[bool, typer.Option("--keep-unable", help="Map tasks that the model can't do, too.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what --out holds.")] = False,
) -> None:
    """Map a model: questions in; atlas, heatmaps and findings out."""
    from headatlas.atlas import load_atlas, unable_functions
    from headatlas.findings import at_chance
    from headatlas.prompts import Asking
    from headatlas.questions.loading import read_questions
    from headatlas.run.folder import map_model
    from headatlas.run.pipeline import check_asked, plan

    named = which_model(model, model_option)
    check_methods(method)
    asking = Asking(template=template, tokens=tokens, answers=answers, chat=chat, shots=shots)
    loaded = read_questions(questions, reading_of(column, split, limit))
    loaded = loaded.first_items(max(ASKED, items or 0))
    mapped = ITEMS if items is None and loaded.tasks else items
    check_asked(loaded, items=mapped, seed=seed)
    say(told_questions(loaded, mapped))
    for reason, count in loaded.left_out.items():
        say(f"Left out: {count} {reason}")
    head_model = load(named, dtype, device, revision, trust_remote_code)
    say_slower(head_model)
    folder = out or Path(f"atlas-{head_model.name.replace('/', '--')}")
    planned = plan(
        head_model,
        loaded,
        methods=method,
        asking=asking,
        items=mapped,
        keep_unable=keep_unable,
        seed=seed,
    )
    with progress() as report:
        written = map_model(
            head_model,
            planned,
            folder,
            fresh=fresh,
            report=report,
            expect=lambda seconds: say(told_time(seconds, tasks=bool(loaded.tasks) and not keep_unable)),
            more=write_page,
        )
    for path in written:
        print(path)
    if line := at_chance(unable_functions(load_atlas(folder, samples=False))):
        say(printable(line))


@app.command()
def validate(
    atlas: Annotated[Path, typer.Argument(help="Folder of the atlas, or atlas.nc.")],
    model_option: ModelOption = None,
    questions: AtlasQuestions = None,
    k: Annotated[str, typer.Option("--k", help="How many heads are removed together, with commas.")] = "3,10,30",
    draws: Annotated[int, typer.Option(help="How many draws of matched random heads.")] = 20,
    folds: Annotated[int, typer.Option(help="How many parts tasks are dealt into.")] = 2,
    method: Annotated[
        str | None, typer.Option(help="Of the atlas, by which heads are chosen; default the first.")
    ] = None,
    answers: Annotated[int, typer.Option(help="Items of every task that the model answers itself; 0: none.")] = 2,
    judge: Annotated[
        str | None, typer.Option(help="MODEL@URL: a model at an OpenAI-compatible endpoint that judges these answers.")
    ] = None,
    key_env: KeyEnv = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    split: Split = None,
    column: Column = None,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder; default the atlas's.")] = None,
    force: Force = False,
) -> None:
    """Put an atlas to the test: remove heads chosen on some tasks, and see what the others lose."""
    from headatlas.answers import Judge
    from headatlas.answers.judging import judge_at
    from headatlas.atlas import load_atlas
    from headatlas.validation import Design, save_validation
    from headatlas.validation import validate as validated
    from headatlas.validation.words import validation_short

    try:
        ks = tuple(int(n) for n in k.split(","))
    except ValueError:
        raise InputError(f"--k '{k}' are no numbers. Give them with commas, e.g. --k 3,10,30.") from None
    design = Design(ks, draws, folds, seed, answers)
    judging = None if judge is None else judge_at(judge)
    path = atlas_path(atlas)
    made = load_atlas(path)
    loaded = questions_of(made, questions, column, split)
    head_model = model_of(made, model_option, dtype, device, revision, trust_remote_code, force=force)
    say_slower(head_model)
    folder = out or path.parent
    with ExitStack() as stack:
        report = stack.enter_context(progress())
        verdict = judging and stack.enter_context(
            Judge(*judging, folder / "judge.journal", key_env=key_env, say=lambda message: say(printable(message)))
        )
        found = validated(
            head_model, made, loaded, design=design, method=method, force=force, judge=verdict,
            store=folder / "validation", report=report,
        )  # fmt: skip
    for written in save_validation(found, folder):
        print(written)
    if folder == path.parent and (folder / PAGE).is_file():
        print(write_page(made, folder))
    say_short(validation_short(found))


@app.command()
def generate(
    model: Annotated[str, typer.Argument(help="Built-in name, folder, .gguf file or Hub id.")],
    prompt: Annotated[str, typer.Argument(help="What is put to the model, as it stands.")],
    mask: Masks = None,
    boost: Boosts = None,
    edit: EditFile = None,
    atlas: Annotated[Path | None, typer.Option(help="Folder of the atlas that names functions' heads.")] = None,
    positions: Annotated[str, typer.Option(help="Where: all, or answer (the last token and every new one).")] = "all",
    tokens: Annotated[int, typer.Option(min=1, help="How many new tokens at most.")] = 32,
    chat: Annotated[bool, typer.Option("--chat", help="Put the prompt into the tokenizer's chat template.")] = False,
    dtype: Dtype = "float32",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    json_: Json = False,
) -> None:
    """Answer a prompt with heads masked or boosted, beside the model as it is."""
    from dataclasses import asdict

    from headatlas.atlas import load_atlas
    from headatlas.interventions.answering import answers

    made = None if atlas is None else load_atlas(atlas_path(atlas), samples=False)
    whole = edit_of(mask, boost, edit, made, positions=positions)
    head_model = load(model, dtype, device, revision, trust_remote_code)
    plain, changed = answers(head_model, whole, prompt, max_new_tokens=tokens, chat=chat)
    if json_:
        print(json.dumps({"edit": str(whole), "as_is": asdict(plain), "edited": asdict(changed)}, indent=2))
        return
    say(str(whole))
    show_side_by_side(("As it is, it answers", plain), ("Edited, it answers", changed))


@app.command()
def evaluate(
    atlas: Annotated[Path, typer.Argument(help="Folder of the atlas that names functions' heads.")],
    tasks: Annotated[str, typer.Option(help="Tasks of lm-evaluation-harness, with commas.")],
    mask: Masks = None,
    boost: Boosts = None,
    edit: EditFile = None,
    random: Annotated[int, typer.Option(min=0, help="How many times as many random heads are masked, too.")] = 1,
    include: Annotated[Path | None, typer.Option(help="Folder with task files of your own (YAML).")] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="Documents a task at most.")] = None,
    fewshot: Annotated[int | None, typer.Option(min=0, help="Examples before each document.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 8,
    model_option: ModelOption = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    seed: Seed = 0,
    force: Force = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write the table here, as CSV.")] = None,
    json_: Json = False,
) -> None:
    """Run benchmarks on the model as it is and with heads masked or boosted; print the differences."""
    from headatlas._files import write_text
    from headatlas.atlas import load_atlas
    from headatlas.experiments.harness import evaluate as evaluated
    from headatlas.experiments.harness import random_masks, table_text

    if out is not None and out.suffix.lower() != ".csv":
        raise InputError(f"The table is written as .csv, and '{out}' is not.")
    made = load_atlas(atlas_path(atlas), samples=False)
    whole = edit_of(mask, boost, edit, made, positions="all")
    head_model = model_of(made, model_option, dtype, device, revision, trust_remote_code, force=force)
    edits = {"edited": whole, **random_masks(head_model, whole.heads_touched, random, seed=seed)}
    say(str(whole))
    names = [task.strip() for task in tasks.split(",") if task.strip()]
    found = evaluated(
        head_model, edits, names, folder=include, limit=limit, shots=fewshot, batch=batch, seed=seed
    )  # fmt: skip
    if out is not None:
        say(f"Wrote {write_text(out, found.to_csv(index=False))}")
    print(found.to_json(orient="records", indent=2) if json_ else printable(table_text(found)))


@app.command()
def export(
    heads: Annotated[str, typer.Argument(help="math_calculation:20 (of --atlas), or L20H8,L3H5.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="A .json or .csv file; with --as a folder.")],
    atlas: Annotated[Path | None, typer.Option(help="Folder of the atlas that names functions' heads.")] = None,
    as_: Annotated[
        str, typer.Option("--as", help="list; pruned: a checkpoint without what they write; lora: a PEFT config.")
    ] = "list",
    model: ModelOption = None,
    rank: Annotated[int, typer.Option(help="Of the LoRA.")] = 8,
    dtype: Dtype = "float32",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Write chosen heads as a list, a pruned checkpoint or a LoRA config."""
    from headatlas.atlas import load_atlas
    from headatlas.interventions import write_heads, write_lora, write_pruned
    from headatlas.interventions.answering import heads_of

    if as_ not in ("list", "pruned", "lora"):
        raise InputError(f"Unknown --as '{as_}'. Give list, pruned or lora.")
    chosen = heads_of(heads, None if atlas is None else load_atlas(atlas_path(atlas), samples=False))
    if as_ == "list":
        print(write_heads(chosen, out))
        return
    head_model = load(which_model(model, None), dtype, device, revision, trust_remote_code)
    print(write_pruned(head_model, chosen, out) if as_ == "pruned" else write_lora(head_model, chosen, out, rank=rank))


@app.command()
def figure(
    atlas: Annotated[Path, typer.Argument(help="atlas.nc, or the folder it is in.")],
    name: Annotated[
        str, typer.Option("--figure", help="Which figure.", autocompletion=completion.figures)
    ] = "heads_importance",
    method: Annotated[str | None, typer.Option(help="A method of the atlas; default the first.")] = None,
    sign: Annotated[str | None, typer.Option(help="absolute, positive or signed; default by method.")] = None,
    scale: Annotated[str, typer.Option(help="shared, or one colour scale a panel: panel.")] = "shared",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Path without ending; default heatmaps.")] = None,
    formats: Annotated[str, typer.Option("--format", help="png, pdf, svg, with commas.")] = "png,pdf,svg",
    head: Annotated[str | None, typer.Option(help="Which head, of a head's card: L20H8.")] = None,
    style: Annotated[
        str | None, typer.Option(help="For print: column, text or slide (widths); the caption goes into a .txt file.")
    ] = None,
) -> None:
    """Draw a figure from an atlas."""
    from headatlas.atlas import load_atlas
    from headatlas.figures import figures, save_figure
    from headatlas.roles.files import load_roles

    path = atlas_path(atlas)
    draw = figures.get(name)
    options = {"method": method, "sign": sign, "scale": None if scale == "shared" else scale, "head": head}
    given = {key: value for key, value in options.items() if value is not None}
    if other := sorted(given.keys() - inspect.signature(draw.draw).parameters.keys()):
        raise InputError(f"Figure '{name}' has no --{other[0]}. Leave it out.")
    if "head" in inspect.signature(draw.draw).parameters and head is None:
        raise InputError(f"Figure '{name}' is of one head. Give --head, e.g. --head L20H8.")
    narrow: dict[str, Any] = {"columns": 2} if style == "column" and name == "heads_importance" else {}
    source = load_roles(path) if draw.of == "roles" else load_atlas(path, samples=draw.of == "samples")
    drawn = draw(source, **given, **narrow)
    stem = out or path.with_name("-".join([draw.stem, *(one for one in (method, head) if one)]))
    for written in save_figure(drawn, stem, [f.strip() for f in formats.split(",")], style=style):
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

    found = describe(load_atlas(atlas_path(atlas), samples=False), method=method)
    print(found.to_json() if json_ else found.to_markdown())


@app.command()
def report(
    atlas: Annotated[Path, typer.Argument(help="atlas.nc, or the folder it is in.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: report.html beside the atlas.")] = None,
    examples: Annotated[
        bool, typer.Option("--examples/--no-examples", help="Run one example a task, where that was not done yet.")
    ] = True,
    model_option: ModelOption = None,
    questions: AtlasQuestions = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    split: Split = None,
    column: Column = None,
) -> None:
    """Write an atlas as one interactive page that needs neither Python nor a network."""
    from headatlas.atlas import load_atlas, model_facts
    from headatlas.report import beside, save_page
    from headatlas.run.examples import examples as run_examples
    from headatlas.run.examples import save_examples

    path = atlas_path(atlas)
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"A page is written as .html, and '{out}' is not.")
    made = load_atlas(path)
    others = beside(path.parent, model_facts(made).get("weights"))
    if examples and others.examples is None:
        from headatlas.experiments.asked import prompts_like

        try:
            loaded = questions_of(made, questions, column, split).first_items(ASKED)
            head_model = model_of(made, model_option, dtype, device, revision, trust_remote_code, force=False)
            prompts, _ = prompts_like(head_model, made, loaded)
            with progress() as told:
                found = run_examples(head_model, prompts, made, report=told)
            save_examples(found, path.parent)
            others = replace(others, examples=found)
        except HeadatlasError as error:
            say(printable(f"The page has no examples and no attention: {error} (--no-examples leaves them out.)"))
    print(save_page(made, out or path.parent / PAGE, others))


@app.command()
def compare(
    atlases: Annotated[list[str], typer.Argument(help="Two or more: folder, atlas.nc, or NAME=folder.")],
    method: Annotated[str | None, typer.Option(help="Whose maps; default the first that all have.")] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for compare.html, .md, .png, .nc.")] = Path(
        "compare"
    ),
) -> None:
    """Compare models (or seeds, templates, question sets): do they cut tasks alike, and where do functions lie?"""
    from headatlas.atlas import load_atlas
    from headatlas.comparison import compare as compared
    from headatlas.comparison import save_comparison
    from headatlas.comparison.words import comparison_short
    from headatlas.report import save_comparison_page

    names, loaded = [], []
    for given in atlases:
        name, sign, path = given.partition("=")
        named = bool(sign) and not Path(given).exists()
        names.append(name if named else "")
        loaded.append(load_atlas(atlas_path(Path(path if named else given))))
    found = compared(by_name(names, loaded) if any(names) else loaded, method=method, seed=seed)
    for written in (*save_comparison(found, out), save_comparison_page(found, out / "compare.html")):
        print(written)
    say_short(comparison_short(found))


def by_name(names: list[str], atlases: "list[xr.DataTree]") -> "dict[str, xr.DataTree]":
    """Return atlases by their names; those that were given none are named after their models."""
    from headatlas.atlas import model_facts

    found: dict[str, xr.DataTree] = {}
    for given, atlas in zip(names, atlases, strict=True):
        name = given or str(model_facts(atlas).get("name"))
        if name in found:
            raise InputError(f"Two atlases are named '{name}'. Give each a name of its own: NAME=folder.")
        found[name] = atlas
    return found


PAGE = "report.html"


def write_page(atlas: "xr.DataTree", folder: Path) -> Path:
    """Write the page of an atlas and what lies beside it."""
    from headatlas.atlas import model_facts
    from headatlas.report import beside, save_page

    return save_page(atlas, folder / PAGE, beside(folder, model_facts(atlas).get("weights")))


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(help="Load this one and show its heads.")] = None,
    dtype: Dtype = "float32",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    json_: Json = False,
) -> None:
    """List the models that can be mapped, or load one and prove that its heads can be read."""
    rows: dict[str, Any]
    if model is not None:
        head_model = load(model, dtype, device, revision, trust_remote_code)
        fields = ("name", "n_layers", "n_heads", "n_kv_heads", "head_dim", "context", "unpacked", "unsplit", "digest")
        rows = {name: getattr(head_model, name) for name in fields}
    elif (dtype, device, revision, trust_remote_code) != ("float32", None, None, False):
        raise InputError("These options say how to load a model, and none is given. Type: headatlas models MODEL …")
    else:
        rows = _known_models()
    if json_:
        print(json.dumps(rows, indent=2))
        return
    for name, value in rows.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else value}")


@app.command()
def roles(
    model: Model = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="NetCDF file to write; must not be there yet.")] = Path(
        "roles.nc"
    ),
    figure_: Annotated[
        Path | None, typer.Option("--figure", help="Also draw the roles here: a path ending in .png, .pdf or .svg.")
    ] = None,
    dtype: Dtype = "float32",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    seed: Seed = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over what a stopped run left beside --out.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many heads to print a role.")] = 3,
    json_: Json = False,
) -> None:
    """Score every head's attention pattern for known roles: previous token, induction, retrieval, ..."""
    from headatlas.roles.files import check_new, roles_text, save_roles, top_table
    from headatlas.roles.scores import discard_rows, measure_roles

    check_new(out)
    head_model = load(which_model(model, None), dtype, device, revision, trust_remote_code)
    rows = out.with_name(f"{out.name}.rows")
    if fresh:
        discard_rows(rows)
    with progress() as report:
        found = measure_roles(head_model, seed=seed, store=rows, report=report)
    save_roles(found, out)
    discard_rows(rows)
    if figure_ is not None:
        from headatlas.figures import figures, save_figure

        save_figure(figures.get("roles")(found), figure_.with_suffix(""), [figure_.suffix.lstrip(".") or "png"])
    table = {**top_table(found, top), "out": str(out)}
    print(json.dumps(table, indent=2) if json_ else printable(roles_text(table)))


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
