"""``headatlas experiment``: the published experiments, with controls, and pruning. One command, one figure each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headatlas.cli.terminal import (
    AtlasDtype,
    Column,
    Device,
    Force,
    Limit,
    ModelOption,
    Revision,
    Seed,
    Split,
    TrustRemoteCode,
    atlas_path,
    model_of,
    printable,
    progress,
    questions_of,
    say,
    say_slower,
)
from headatlas.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from headatlas.models.head_model import HeadModel
    from headatlas.questions.schema import QuestionSet

experiment_app = typer.Typer(
    help="The published experiments, with controls: masks, chain, downstream; and prune.", no_args_is_help=True
)

Atlas = Annotated[Path, typer.Argument(help="Folder of the atlas, or atlas.nc.")]
Asked = Annotated[str | None, typer.Option("--questions", "-q", help="What is asked; default: the atlas's set.")]
By = Annotated[str, typer.Option(help="How heads are taken away: scale (by 0.0001, as published), zero or mean.")]
Part = Annotated[str, typer.Option(help="Heads first in the whole map (as published), or the most specific.")]
Method = Annotated[str | None, typer.Option(help="Of the atlas, by which heads are chosen; default the first.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder; default the atlas's.")]
Tokens = Annotated[int, typer.Option(min=1, help="New tokens an answer at most.")]


def _given(
    atlas: Path, questions: str | None, column: list[str] | None, split: str | None, limit: int | None
) -> "tuple[xr.DataTree, QuestionSet, Path]":
    """Return an atlas, the questions to ask, and the folder that the atlas is in."""
    from headatlas.atlas import load_atlas

    path = atlas_path(atlas)
    made = load_atlas(path)
    return made, questions_of(made, questions, column, split, limit), path.parent


def _wrote(found: "xr.Dataset", folder: Path) -> None:
    """Save what was found and say it."""
    from headatlas.experiments import markdown, save_experiment

    for path in save_experiment(found, folder):
        print(path)
    say(printable(markdown(found).partition("## In short")[2].partition("\n## ")[0].strip()))


def _loaded(
    made: "xr.DataTree",
    model: str | None,
    dtype: str,
    device: str | None,
    revision: str | None,
    trust: bool,
    force: bool,
) -> "HeadModel":
    loaded = model_of(made, model, dtype, device, revision, trust, force=force)
    say_slower(loaded)
    return loaded


@experiment_app.command("masks")
def masks_(
    atlas: Atlas,
    questions: Asked = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Heads masked together.")] = 10,
    items: Annotated[int, typer.Option(help="Items of every task that are answered.")] = 3,
    draws: Annotated[int, typer.Option(help="Of random heads.")] = 4,
    by: By = "scale",
    positions: Annotated[str, typer.Option(help="answer (as published) or all.")] = "answer",
    part: Part = "whole",
    method: Method = None,
    same_items: Annotated[
        bool, typer.Option("--same-items", help="Also the items that the map was made of: as published, no test.")
    ] = False,
    model_option: ModelOption = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    split: Split = None,
    column: Column = None,
    seed: Seed = 0,
    out: Out = None,
    force: Force = False,
) -> None:
    """Mask each function's top, random and low heads and score the model's own answers (the paper's Table 1)."""
    from headatlas.experiments import masks

    made, asked, home = _given(atlas, questions, column, split, None)
    head_model = _loaded(made, model_option, dtype, device, revision, trust_remote_code, force)
    folder = out or home
    with progress() as report:
        found = masks(
            head_model, made, asked, k=k, items=items, draws=draws, by=by, positions=positions, part=part,
            method=method, same_items=same_items, seed=seed, store=folder / "experiments", report=report,
        )  # fmt: skip
    _wrote(found, folder)


@experiment_app.command("chain")
def chain_(
    atlas: Atlas,
    questions: Asked = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Heads of each low-order function.")] = 10,
    draws: Annotated[int, typer.Option(help="Of as many random heads.")] = 2,
    by: By = "scale",
    positions: Annotated[str, typer.Option(help="answer (as published) or all.")] = "answer",
    part: Part = "whole",
    method: Method = None,
    limit: Annotated[int, typer.Option(help="Main questions at most.")] = 24,
    tokens: Tokens = 24,
    model_option: ModelOption = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    split: Split = None,
    column: Column = None,
    seed: Seed = 0,
    out: Out = None,
    force: Force = False,
) -> None:
    """Mask low-order heads while steps are answered with the model's own earlier answers (the paper's Table 3)."""
    from headatlas.experiments import chain

    made, asked, home = _given(atlas, questions, column, split, None)
    head_model = _loaded(made, model_option, dtype, device, revision, trust_remote_code, force)
    folder = out or home
    with progress() as report:
        found = chain(
            head_model, made, asked, k=k, draws=draws, by=by, positions=positions, part=part, method=method,
            limit=limit, tokens=tokens, seed=seed, store=folder / "experiments", report=report,
        )  # fmt: skip
    _wrote(found, folder)


@experiment_app.command("downstream")
def downstream_(
    atlas: Atlas,
    function: Annotated[str, typer.Option("--function", "-f", help="Of the atlas: whose heads are edited.")],
    questions: Asked = None,
    k: Annotated[int, typer.Option("--k", min=1, help="How many heads.")] = 20,
    metric: Annotated[
        str, typer.Option(help="exact, number or f1: says right from wrong, and chooses alpha.")
    ] = "exact",
    alpha: Annotated[str, typer.Option(help="Sizes of a step, with commas, tried on dev.")] = "0.1,0.3,1,3,5",
    draws: Annotated[int, typer.Option(help="Of random heads, and of random directions.")] = 3,
    by: By = "scale",
    part: Part = "whole",
    method: Method = None,
    items: Annotated[int, typer.Option(help="Items at most, of all three splits together.")] = 200,
    tokens: Tokens = 24,
    model_option: ModelOption = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    limit: Limit = None,
    column: Column = None,
    seed: Seed = 0,
    out: Out = None,
    force: Force = False,
) -> None:
    """Remove and steer a function's heads on a downstream task (the paper's Tables 4 and 5)."""
    from headatlas.experiments import downstream

    try:
        alphas = tuple(float(a) for a in alpha.split(","))
    except ValueError:
        raise InputError(f"--alpha '{alpha}' are no numbers. Give them with commas, e.g. --alpha 1,2,5.") from None
    made, asked, home = _given(atlas, questions, column, None, limit)
    head_model = _loaded(made, model_option, dtype, device, revision, trust_remote_code, force)
    folder = out or home
    with progress() as report:
        found = downstream(
            head_model, made, asked, function=function, k=k, metric=metric, alphas=alphas, draws=draws, by=by,
            part=part, method=method, limit=items, tokens=tokens, seed=seed, store=folder / "experiments",
            report=report,
        )  # fmt: skip
    _wrote(found, folder)


@experiment_app.command("prune")
def prune_(
    atlas: Atlas,
    questions: Asked = None,
    keep: Annotated[float, typer.Option(help="Share of its score that every function must keep.")] = 0.95,
    draws: Annotated[int, typer.Option(help="Of random heads to compare with.")] = 3,
    method: Method = None,
    patience: Annotated[int, typer.Option(min=1, help="Ends after so many heads in a row that can't go.")] = 10,
    model_option: ModelOption = None,
    dtype: AtlasDtype = "auto",
    device: Device = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
    split: Split = None,
    column: Column = None,
    seed: Seed = 0,
    out: Out = None,
    force: Force = False,
) -> None:
    """Find the heads that can go while every function keeps its score; test them on tasks that chose nothing."""
    from headatlas.experiments import prune
    from headatlas.interventions import write_heads

    made, asked, home = _given(atlas, questions, column, split, None)
    head_model = _loaded(made, model_option, dtype, device, revision, trust_remote_code, force)
    folder = out or home
    with progress() as report:
        found = prune(
            head_model, made, asked, keep=keep, draws=draws, method=method, force=force, patience=patience, seed=seed,
            report=report,
        )  # fmt: skip
    _wrote(found, folder)
    dropped = [(int(a), int(b)) for a, b in zip(*found["dropped"].values.nonzero(), strict=True)]
    print(write_heads(dropped, folder / "dropped_heads.json"))
