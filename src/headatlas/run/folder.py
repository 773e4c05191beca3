"""One run of ``headatlas map``: a folder with the atlas, the figure, the findings and the run's own record.

1. The run's key (what it maps, with what) is compared with run.json in the folder: another run's folder is
   refused, the same run is continued, or found done.
2. run.json is written first, marked "running"; activations stream into activations.zarr.
3. atlas.nc, the heatmaps, the findings, examples and whatever else a caller makes of them (the page) are written, each
   atomically; run.json is marked "complete" last.

It does not know how anything is computed or drawn.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from headatlas._files import write_text
from headatlas.atlas import load_atlas, methods_of, save_atlas
from headatlas.errors import AtlasError, InputError
from headatlas.figures import figures, save_figure
from headatlas.findings import describe
from headatlas.models.head_model import HeadModel
from headatlas.run.estimate import expected
from headatlas.run.examples import NAME as EXAMPLES
from headatlas.run.examples import examples, save_examples
from headatlas.run.pipeline import Plan, execute
from headatlas.work.job import Report
from headatlas.work.store import differing, discard, upgraded

OURS = (
    "atlas.nc",
    "heatmaps.png",
    "heatmaps.pdf",
    "heatmaps.svg",
    "findings.md",
    "findings.json",
    "examples.nc",
    "report.html",
)


def map_model(
    model: HeadModel,
    planned: Plan,
    out: Path,
    *,
    fresh: bool = False,
    report: Report | None = None,
    expect: Callable[[dict[str, float | None]], None] | None = None,
    more: Callable[[xr.DataTree, Path], Path] | None = None,
) -> list[Path]:
    """Measure an atlas and write it, its heatmaps and its findings into `out`.

    Parameters
    ----------
    model
        From `load_model`.
    planned
        From `pipeline.plan`.
    out
        The folder. The same run finds there what it finished before.
    fresh
        Start over, whatever `out` holds; the files in it are replaced one by one as the new ones are ready.
    report
        Called with (stage, done, total).
    expect
        Called, before a run starts that nothing is there of yet, with about how many seconds each stage will take
        (`estimate.expected`); without it nothing is timed.
    more
        Called with the atlas and the folder when all else is written; returns a file that it wrote (the page).

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        `out` holds another run, or files that are no run's.
    RunError
        The disk is full, NaN in z, no memory for a single prompt.
    """
    started = time.time()
    done = _check_folder(out, planned.key, fresh)
    record: dict[str, Any] = {"key": planned.key, "questions": planned.questions.name, "status": "running"}
    atlas = None
    if done:
        try:
            atlas = load_atlas(out / "atlas.nc")
        except AtlasError:
            atlas = None  # deleted or damaged since: the activations may still be there
    if atlas is None:
        if fresh:
            for left in sorted(out.glob("*.zarr")):
                discard(left)
        write_text(out / "run.json", json.dumps(record, indent=2))
        if expect and not any(out.glob("*.zarr")):
            expect(expected(model, planned))
        atlas = execute(model, planned, store=out, report=report)
        save_atlas(atlas, out / "atlas.nc")
        record["seconds"] = round(time.time() - started, 1)
    else:
        record["seconds"] = done.get("seconds")
    written = [out / "atlas.nc", *_draw(atlas, out)]
    found = describe(atlas)
    written.append(write_text(out / "findings.md", found.to_markdown()))
    written.append(write_text(out / "findings.json", found.to_json()))
    if fresh or not (out / EXAMPLES).is_file():
        save_examples(examples(model, planned.prompts, atlas, report=report), out)
    written.append(out / EXAMPLES)
    if more is not None:
        written.append(more(atlas, out))
    record["status"] = "complete"
    written.append(write_text(out / "run.json", json.dumps(record, indent=2)))
    return written


def _draw(atlas: xr.DataTree, out: Path) -> list[Path]:
    """Draw every registered figure that a map has (`figures.Drawing`); the first's heatmaps go without its name."""
    written: list[Path] = []
    for name in figures:
        drawing = figures.get(name)
        of: tuple[str | None, ...] = methods_of(atlas) if drawing.by_map == "method" else (None,)
        for method in of if drawing.by_map else ():
            if drawing.applies(atlas, method):
                options = {} if method is None else {"method": method}
                plain = method is None or (name == "heads_importance" and method == of[0])
                stem = drawing.stem if plain else f"{drawing.stem}-{method}"
                written += save_figure(drawing(atlas, **options), out / stem)
    return written


def _check_folder(out: Path, key: dict[str, Any], fresh: bool) -> dict[str, Any]:
    """Return the finished run's record if `out` holds this very run, {} if there is work to do."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file. Give a folder.")
    if fresh:
        return {}
    record = out / "run.json"
    if not record.is_file():
        strangers = [name for name in OURS if (out / name).exists()]
        if strangers:
            raise InputError(
                f"{out} holds {', '.join(strangers)} but no run.json, so it is not clear what they are of. "
                "Give another --out, or --fresh to write over them."
            )
        return {}
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
        there = dict(found["key"])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{record} can't be read ({error}). Give another --out, or --fresh to start over.") from None
    differ = differing(there, key)
    if differ:
        k = differ[0]
        raise InputError(
            f"{out} holds another run: {', '.join(differ)} differ ({k}: there {_short(there.get(k))}, "
            f"here {_short(key.get(k))}).{upgraded(differ)} Give another --out, or --fresh to start over."
        )
    return found if found.get("status") == "complete" else {}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
