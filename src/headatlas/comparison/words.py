"""What a comparison says: a few sentences, then tables, in Markdown."""

import numpy as np
import xarray as xr

from headatlas.findings.wording import escape, names, percent
from headatlas.questions.functions import function_title

ALPHA = 0.05
WAYS = {
    "all": "over all pairs of tasks",
    "across": "over pairs of tasks of different functions only",
    "design": "with function, form and kind of answer taken out",
}


def comparison_short(found: xr.Dataset) -> list[str]:
    """Return the comparison in a few sentences for someone who has seen neither atlas."""
    told = [_agreement(found, at) for at in range(found.sizes["pair"])]
    return [line for line in (*told, _together(found), *_deeper(found), *_heads(found)) if line]


def _pair(found: xr.Dataset, at: int) -> tuple[str, str]:
    return str(found["pair_one"].values[at]), str(found["pair_other"].values[at])


def _agreement(found: xr.Dataset, at: int) -> str:
    one, other = _pair(found, at)
    value, clean, p, _ = (
        found[name].values[at] for name in ("agreement", "agreement_corrected", "agreement_p", "agreement_pairs")
    )
    n = int(found["common_tasks"].values[at])
    if not np.isfinite(value[0]):
        return f"{one} and {other} have {n} tasks in common, too few to compare which of them share heads."
    if p[0] >= ALPHA:
        return (
            f"Which tasks share heads is not shown to agree between {one} and {other}: over the pairs of {n} tasks "
            f"their similarities correlate at {value[0]:.2f} (p = {p[0]:.2g}, tasks exchanged)."
        )
    text = (
        f"{one} and {other} agree on which tasks share heads: over the pairs of {n} tasks that both do, how alike two "
        f"tasks' maps are in one correlates at {value[0]:.2f} with how alike they are in the other{_clean(clean[0])} "
        f"(p = {p[0]:.2g}, tasks exchanged)"
    )
    more = [
        f"{value[w]:.2f} {WAYS[way]}{_clean(clean[w])}{_p(p[w])}"
        for w, way in ((1, "across"), (2, "design"))
        if np.isfinite(value[w])
    ]
    return text + (f"; {' and '.join(more)}." if more else ".")


def _clean(value: float) -> str:
    return f", {value:.2f} without noise" if np.isfinite(value) else ""


def _p(value: float) -> str:
    return f" (p = {value:.2g})" if np.isfinite(value) else ""


def _together(found: xr.Dataset) -> str:
    """Say whose tasks share more heads with each other than with others', and in which model."""
    q, within, between = (found[name].values for name in ("within_q", "within", "between"))
    if not np.isfinite(q).any():
        return ""
    shown = (q < ALPHA) & (within > between)
    models = [str(a) for a in found["atlas"].values]
    titles = [function_title(str(f)) for f in found["function"].values]
    everywhere = [t for t, own in zip(titles, shown.T, strict=True) if own.all()]
    nowhere = [t for t, own in zip(titles, shown.T, strict=True) if not own.any()]
    parts = [f"{names(everywhere)} in all of them" if everywhere else "no function in all of them"]
    for at, model in enumerate(models):
        own = [t for t, there in zip(titles, shown.T, strict=True) if there[at] and not there.all()]
        if own:
            parts.append(f"{names(own)} in {model}")
    text = f"Functions whose tasks share more heads with each other than with others' (q < {ALPHA}): {'; '.join(parts)}"
    return text + (f". Shown in none: {names(nowhere)}." if nowhere else ".")


def _deeper(found: xr.Dataset) -> list[str]:
    lines = []
    for at in range(found.sizes["pair"]):
        one, other = _pair(found, at)
        low, high, change = (found[f"depth_change{end}"].values[at] for end in ("_low", "_high", ""))
        moved = [
            f"{function_title(str(f))} {'deeper' if c > 0 else 'shallower'} by {abs(c):.2f}"
            for f, lo, hi, c in zip(found["function"].values, low, high, change, strict=True)
            if lo > 0 or hi < 0
        ]
        told = names(moved) if moved else "no function is shown to lie elsewhere"
        agree = found["layer_agreement"].values[at]
        lines.append(
            f"In {other}, against {one}, by the centre of their mass in relative depth (0 first layer, 1 last): {told}"
            f". Layer profiles correlate at {np.nanmin(agree):.2f} to {np.nanmax(agree):.2f}."
        )
    return lines


def _heads(found: xr.Dataset) -> list[str]:
    if "overlap" not in found:
        return []
    lines = []
    for at in range(found.sizes["pair"]):
        overlap = found["overlap"].values[at]
        if np.isfinite(overlap).all():
            one, other = _pair(found, at)
            chance = float(np.ravel(found["overlap_chance"].values)[min(at, found["overlap_chance"].size - 1)])
            lines.append(
                f"{one} and {other} have as many layers and heads: of their top tenth they have "
                f"{percent(overlap.min())} to {percent(overlap.max())} in common (chance {percent(chance)})."
            )
    return lines


def comparison_text(found: xr.Dataset) -> str:
    """Return a comparison as Markdown; text from data is escaped."""
    models = [escape(str(a)) for a in found["atlas"].values]
    lines = [f"# Comparison: {', '.join(models)}", "", f"By {escape(str(found.attrs['method']))}"
             f" ({escape(str(found.attrs['label']))}).", "", "## In short", ""]  # fmt: skip
    lines += [f"{n}. {escape(text)}" for n, text in enumerate(comparison_short(found), start=1)]
    lines += [
        "",
        "## Which tasks share heads",
        "",
        "| pair | over | pairs | correlation | without noise | p |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for at in range(found.sizes["pair"]):
        for w, way in enumerate(found["way"].values):
            value, clean, p, n = (found[f"agreement{end}"].values[at, w] for end in ("", "_corrected", "_p", "_pairs"))
            told = [f"{v:.2f}" if np.isfinite(v) else "-" for v in (value, clean)]
            pair = " and ".join(map(escape, _pair(found, at)))
            lines.append(f"| {pair} | {WAYS[str(way)]} | {int(n) if np.isfinite(n) else 0} | {told[0]} | {told[1]} | "
                         f"{f'{p:.2g}' if np.isfinite(p) else '-'} |")  # fmt: skip
    lines += [
        "",
        "## Functions",
        "",
        f"| function | {' | '.join(f'{m}: within, between (q)' for m in models)} |",
        "|---" * (len(models) + 1) + "|",
    ]
    for f, name in enumerate(found["function"].values):
        cells = []
        for a in range(len(models)):
            within, between, q = (float(found[v].values[a, f]) for v in ("within", "between", "within_q"))
            cells.append(f"{within:.2f}, {between:.2f} ({q:.2g})" if np.isfinite(within) else "-")
        lines.append(f"| {escape(function_title(str(name)))} | {' | '.join(cells)} |")
    lines += [
        "",
        "## Layers",
        "",
        "| pair | function | layer profiles' correlation | centre of mass moves by |",
        "|---|---|---|---|",
    ]
    for at in range(found.sizes["pair"]):
        for f, name in enumerate(found["function"].values):
            cells = [_interval(found, v, at, f) for v in ("layer_agreement", "depth_change")]
            lines.append(
                f"| {' and '.join(map(escape, _pair(found, at)))} | {escape(function_title(str(name)))} "
                f"| {' | '.join(cells)} |"
            )
    return "\n".join(lines) + "\n"


def _interval(found: xr.Dataset, name: str, at: int, f: int) -> str:
    value, low, high = (float(found[f"{name}{end}"].values[at, f]) for end in ("", "_low", "_high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
