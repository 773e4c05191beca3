"""``headatlas questions``: list, check, show, convert and build question sets."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from headatlas.cli.terminal import (
    DEFAULT_MODEL,
    Column,
    Json,
    KeyEnv,
    Limit,
    Revision,
    Seed,
    Shots,
    Source,
    Split,
    Template,
    TokenizerOf,
    Tokens,
    TrustRemoteCode,
    printable,
    progress,
    reading_of,
    say,
)
from headatlas.errors import InputError

questions_app = typer.Typer(help="List, check, show, convert and build question sets.", no_args_is_help=True)


@questions_app.command("list")
def list_questions(json_: Json = False) -> None:
    """List the named question sets."""
    import headatlas.questions.readers  # noqa: F401  (registers them)
    from headatlas.questions.loading import load_questions
    from headatlas.questions.reading import sources

    loaded = {name: load_questions(name) for name in sources}
    rows = {
        name: {"questions": len(q.questions), "steps": q.n_steps, "functions": q.counts(), "tasks": q.tasks}
        for name, q in loaded.items()
    }
    if json_:
        print(json.dumps(rows, indent=2))
        return
    for name, row in rows.items():
        tasks = f" of {len(loaded[name].tasks)} tasks" if loaded[name].tasks else ""
        print(f"{name}: {row['questions']} questions, {row['steps']} steps{tasks}")


@questions_app.command("check")
def check_questions(
    source: Source,
    split: Split = None,
    column: Column = None,
    limit: Limit = None,
    controls: Annotated[bool, typer.Option("--controls/--no-controls", help="Fit the text controls.")] = True,
    seed: Seed = 0,
    json_: Json = False,
) -> None:
    """Count a question set's steps; list bad records, duplicates and leaks; fit the controls.

    Exit code 2 if the set can't be used.
    """
    from headatlas.questions import checks

    check = checks.check_questions(source, reading_of(column, split, limit), controls=controls, seed=seed)
    if json_:
        fields = dict(vars(check))
        fields["bad"] = [vars(wrong) for wrong in check.bad]
        print(json.dumps({**fields, "usable": check.usable}, indent=2))
    else:
        _print_check(check)
    if not check.usable:
        raise typer.Exit(2)


def _print_check(check: Any) -> None:
    from headatlas.questions.functions import function_title

    def show(text: str) -> None:
        print(printable(text))

    show(f"{check.name}: {check.questions} questions, {check.steps} steps, digest {check.digest[:12]}")
    for function, count in check.functions.items():
        show(f"  {function_title(function)}: {count}")
    if len(check.splits) > 1:
        for name, row in check.splits.items():
            show(f"  split {name}: {row['questions']} questions, {row['steps']} steps")
    if check.tasks:
        show(f"  {len(check.tasks)} tasks (items + demonstrations; foils that stand in the text):")
        for name, row in check.tasks.items():
            design = ", ".join(text for text in (row["form"], row["kind"]) if text)
            counted = f"{row['items']} + {row['demonstrations']}; {row['lures']}"
            show(f"    {row['function']:24} {name:32} {counted:12} {design}")
    for factor, value in check.crossing.items():
        show(f"  function and {factor}: Cramér's V {value:.2f} (0: crossed, 1: one gives the other away)")
    for reason, count in check.left_out.items():
        show(f"  left out: {count} {reason}")
    for title, rows in (("bad record", check.bad), ("leak", check.leaks), ("duplicate", check.duplicates)):
        for row in rows[:MOST_LISTED]:
            show(f"  {title}: {row}")
        if len(rows) > MOST_LISTED:
            show(f"  … and {len(rows) - MOST_LISTED} more of the kind {title}; --json lists all")
    if check.controls:
        drawn = "" if check.control_steps == check.steps else f" on {check.control_steps} of the steps"
        show(f"Controls: what tells the function from one surface feature (held-out accuracy{drawn};")
        show(f"always naming the commonest function: {check.commonest:.3f})")
        for name, value in check.controls.items():
            low, high = check.intervals.get(name, (0.0, 0.0))
            show(f"  {name:12} " + ("-" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"))
    elif check.note:
        show(f"No controls: {check.note}")
    if not check.usable:
        wrong = [f"{len(rows)} {name}" for name, rows in (("bad", check.bad), ("leaking", check.leaks)) if rows]
        show(f"Not usable: {' and '.join(wrong) or 'no'} records.")


@questions_app.command("show")
def show_questions(
    source: Source = "builtin",
    limit: Annotated[int, typer.Option(help="How many main questions.")] = 1,
    sample: Annotated[int | None, typer.Option(help="Instead, this many steps drawn at random.")] = None,
    seed: Seed = 0,
    model: TokenizerOf = DEFAULT_MODEL,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    template: Template = "auto",
    tokens: Tokens = "all",
    shots: Shots = 3,
    split: Split = None,
    column: Column = None,
) -> None:
    """Print rendered prompts and foils; the answer is underlined, the tokens that count are in colour."""
    import random

    from rich.console import Console
    from rich.text import Text

    from headatlas.models.load import load_tokenizer
    from headatlas.prompts import Asking, build_prompts
    from headatlas.questions.loading import read_questions

    asking = Asking(template=template, tokens=tokens, shots=shots)
    if sample is not None and sample < 1:
        raise InputError(f"A sample of {sample} shows nothing. Give --sample 1 or more.")
    tokenizer = load_tokenizer(model, revision=revision, trust_remote_code=trust_remote_code)
    chosen = read_questions(source, reading_of(column, split, limit if sample is None else None))
    prompts = build_prompts(
        chosen, tokenizer, template=asking.template, tokens=asking.tokens, shots=asking.shots, seed=seed
    )
    if sample is not None:
        prompts = random.Random(seed).sample(prompts, min(sample, len(prompts)))
    console = Console(highlight=False, soft_wrap=True)
    for prompt in prompts:
        console.rule(Text(printable(f"{prompt.id}  {prompt.function}")))
        counted = set((prompt.chosen + 1).tolist())
        text = Text()
        held: list[int] = []  # tokens that end inside a character (byte-level tokenizers) wait for its rest
        for i, token in enumerate(prompt.tokens.tolist()):
            held.append(token)
            piece = tokenizer.decode(held)
            if piece.endswith("\ufffd") and len(held) < 4 and i + 1 < len(prompt.tokens):
                continue
            style = "bold green underline" if i in counted else "underline" if i >= prompt.answer_start else "dim"
            text.append(printable(piece), style=style)
            held = []
        console.print(text)
        if len(prompt.foil):
            drawn = "" if prompt.designed else ", drawn"
            console.print(Text(printable(f"(foil{drawn}: {tokenizer.decode(prompt.foil).strip()})"), style="dim"))


@questions_app.command("convert")
def convert_questions(
    source: Source,
    out: Annotated[Path, typer.Argument(help="The .jsonl file to write.")],
    split: Split = None,
    column: Column = None,
    limit: Limit = None,
) -> None:
    """Write any source as JSON Lines in this project's schema."""
    from headatlas.questions.writing import write_jsonl

    questions, steps, left_out = write_jsonl(source, out, reading_of(column, split, limit))
    for reason, count in left_out.items():
        say(printable(f"Left out: {count} {reason}"))
    say(f"{questions} questions, {steps} steps")
    print(out)


@questions_app.command("build")
def build_questions(
    source: Annotated[Path, typer.Argument(help="Questions to take apart: .jsonl (question, id, answer) or .txt.")],
    endpoint: Annotated[str, typer.Option("--endpoint", help="OpenAI-compatible address, e.g. http://host:8000/v1.")],
    model: Annotated[str, typer.Option("--model", "-m", help="Name of a model at the endpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .jsonl file; journal and report go beside it.")],
    functions: Annotated[Path | None, typer.Option(help="Your own functions: JSON, {id: definition}.")] = None,
    verify: Annotated[bool, typer.Option("--verify/--no-verify", help="Have every step judged again.")] = True,
    verify_model: Annotated[str | None, typer.Option(help="Model that judges; default --model.")] = None,
    keep: Annotated[str, typer.Option(help="all steps, or those whose function is confirmed: agreed.")] = "all",
    limit: Limit = None,
    workers: Annotated[int, typer.Option(help="Requests under way at a time.")] = 4,
    max_requests: Annotated[int | None, typer.Option(help="Cap on requests of the whole build, retries too.")] = None,
    max_spend: Annotated[float | None, typer.Option(help="Cap on US dollars of the whole build.")] = None,
    price_in: Annotated[float | None, typer.Option(help="US dollars per million prompt tokens.")] = None,
    price_out: Annotated[float | None, typer.Option(help="US dollars per million answer tokens.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens that an answer may have.")] = 2000,
    timeout: Annotated[float, typer.Option(help="Seconds of silence after which a request is lost.")] = 120.0,
    attempts: Annotated[int, typer.Option(help="How often a request is sent before it is given up.")] = 6,
    repairs: Annotated[int, typer.Option(help="How often a model that breaks the schema is asked again.")] = 2,
    key_env: KeyEnv = None,
    json_: Json = False,
) -> None:
    """Take questions apart into steps with a model; the same command continues after any stop."""
    from headatlas.building import Builder, Caps, Patience, read_functions, summarize

    builder = Builder(
        endpoint=endpoint,
        model=model,
        **({} if functions is None else {"functions": read_functions(functions)}),
        verify=verify,
        verify_model=verify_model,
        keep=keep,
        workers=workers,
        repairs=repairs,
        allowance=max_tokens,
        caps=Caps(max_requests, max_spend, price_in, price_out),
        patience=Patience(attempts=attempts, timeout=timeout),
        key_env=key_env,
    )
    with progress() as report:
        built = builder(source, out, limit=limit, report=report, say=lambda message: say(printable(message)))
    for path in (built.files.questions, built.files.report):
        say(f"Wrote {path}")
    print(json.dumps(built.report, indent=2) if json_ else printable("\n".join(summarize(built.report))))
    built.check_complete()


MOST_LISTED = 20
"""Bad records, leaks or duplicates that are listed one by one."""
