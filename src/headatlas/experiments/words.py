"""What an experiment found, in Markdown: a sentence for each comparison, then the tables, failures included."""

import numpy as np
import xarray as xr

from headatlas.questions.functions import function_title
from headatlas.validation.words import SCORES

TOLD = {**SCORES, "prefers": "answer preferred to foil", "chosen": "probability of the answer against its foil"}


def markdown(found: xr.Dataset) -> str:
    """Return the report of an experiment."""
    attrs = found.attrs
    lines = [
        f"# {attrs['title']}: {attrs['model']}",
        "",
        f"{_upper(attrs['about'])}. Intervals: 95%, over tasks or main questions and their items; changes are "
        "paired by item.",
        "",
        "## In short",
        "",
        *_verdict(found),
    ]
    for score in found["score"].values.tolist():
        part = found.sel(score=score)
        panels = [p for p in part["panel"].values.tolist() if int(part["n_items"].sel(panel=p)) > 0]
        if not panels:
            continue
        conditions = part["condition"].values.tolist()
        lines += [
            "",
            f"## {_upper(TOLD.get(score, score))}",
            "",
            f"| | items | {' | '.join(conditions)} |",
            "|---|--:|" + "--:|" * len(conditions),
        ]
        for panel in panels:
            own = part.sel(panel=panel)
            cells = [_cell(own.sel(condition=c), first=i == 0) for i, c in enumerate(conditions)]
            lines.append(f"| {function_title(panel)} | {int(own['n_items'])} | {' | '.join(cells)} |")
    if "swept" in found:
        lines += ["", "## Alpha on dev", "", f"| | {' | '.join(f'{a:g}' for a in found['alpha'].values)} |"]
        lines.append("|---|" + "--:|" * found.sizes["alpha"])
        for name in found["direction"].values.tolist():
            row = found["swept"].sel(direction=name).values
            lines.append(f"| {name} | {' | '.join(f'{v:.2f}' for v in row)} |")
    if "dropped" in found:
        heads = [f"L{a}H{b}" for a, b in np.argwhere(found["dropped"].values)]
        lines += ["", "## Heads that can be dropped", "", ",".join(heads) or "None."]
    return "\n".join(lines) + "\n"


def _cell(own: xr.Dataset, *, first: bool) -> str:
    value = f"{float(own['value']):.2f}"
    if first:
        return value
    return f"{value} ({float(own['change']):+.2f}: {float(own['change_low']):+.2f} to {float(own['change_high']):+.2f})"


def _verdict(found: xr.Dataset) -> list[str]:
    """Return a sentence a condition: where it changes the first score, where not."""
    score = str(found.attrs.get("read_by", found["score"].values.tolist()[0]))
    part = found.sel(score=score)
    panels = [p for p in part["panel"].values.tolist() if int(part["n_items"].sel(panel=p)) > 0]
    lines = []
    for i, condition in enumerate(part["condition"].values.tolist()[1:], start=1):
        own = part.sel(condition=condition)
        worse = [p for p in panels if float(own["change_high"].sel(panel=p)) < 0]
        better = [p for p in panels if float(own["change_low"].sel(panel=p)) > 0]
        mean = float(np.mean([float(own["change"].sel(panel=p)) for p in panels]))
        lines.append(
            f"{i}. {_upper(condition)}: {TOLD.get(score, score)} changes by {mean:+.2f} on average; "
            f"beyond its interval worse for {_listed(worse, len(panels))}, better for {_listed(better, len(panels))}."
        )
    if "kept" in found:
        lines += _kept(found)
    return lines


def _kept(found: xr.Dataset) -> list[str]:
    """Return whether what was to be kept was kept, on tasks that chose nothing."""
    keep, n = float(found.attrs["keep"]), int(found["dropped"].sum())
    lines = []
    for condition in found["condition"].values.tolist()[1:]:
        kept = found["kept"].sel(condition=condition)
        least = str(kept["panel"].values[int(np.nanargmin(kept.values))])
        lines.append(
            f"- {n} heads dropped {condition}: {int((kept >= keep).sum())} of {kept.size} functions keep {keep:.0%}; "
            f"least: {function_title(least)}, {float(kept.min()):.0%}; mean {float(kept.mean()):.0%}."
        )
    return ["", *lines]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(panels: list[str], of: int) -> str:
    names = ", ".join(function_title(p) for p in panels)
    return f"{len(panels)} of {of}" + (f" ({names})" if panels else "")
