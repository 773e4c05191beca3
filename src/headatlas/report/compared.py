"""The page of a comparison."""

from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import xarray as xr

from headatlas._files import write_text
from headatlas._html import shown
from headatlas.comparison.words import comparison_short
from headatlas.questions.functions import function_title
from headatlas.report.document import document, packed, template

SCRIPTS = ("core.js", "compare.js")
LONGEST = 2000


def comparison_page(found: xr.Dataset) -> str:
    """Return the page of a comparison (`headatlas.comparison.compare`): one HTML text that needs nothing else."""
    models = [str(a) for a in found["atlas"].values]
    verdict = "".join(f"<li>{shown(line[:LONGEST])}</li>" for line in comparison_short(found))
    named = ", ".join(m if len(m) <= 80 else m[:79] + "…" for m in models)
    body = Template(template("compare.html")).substitute(models=shown(named), verdict=verdict)
    return document(f"Compared: {named}"[:160], body, SCRIPTS, _content(found, models))


def save_comparison_page(found: xr.Dataset, path: str | Path) -> Path:
    """Write the page of a comparison, atomically; `RunError` where that fails."""
    return write_text(path, comparison_page(found))


def _content(found: xr.Dataset, models: list[str]) -> dict[str, Any]:
    functions = [str(f) for f in found["function"].values]
    kept: dict[str, Any] = {
        "page": "comparison",
        "models": models,
        "functions": [{"id": f, "title": function_title(f)} for f in functions],
        "ways": [str(w) for w in found["way"].values],
        "depth": found["depth"].values,
        "profiles": found["profile"].values,
        "pairs": [_pair(found, at, models) for at in range(found.sizes["pair"])],
    }
    for name in ("within", "between", "within_q"):
        kept[name] = found[name].values
    if "similarity" in found:
        own = [str(f) for f in found["task_function"].values]
        kept["tasks"] = [{"name": str(t), "function": f} for t, f in zip(found["task"].values, own, strict=True)]
        kept["similarity"] = packed(found["similarity"].values)
        kept["places"] = found["place"].values
        kept["share"] = float(found["axis_share"].values.sum())
    return kept


def _pair(found: xr.Dataset, at: int, models: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"at": [models.index(str(found[f"pair_{side}"].values[at])) for side in ("one", "other")]}
    for ours, theirs in (("agreement", "agreement"), ("corrected", "agreement_corrected"), ("p", "agreement_p"),
                         ("n", "agreement_pairs")):  # fmt: skip
        row[ours] = found[theirs].values[at]
    for ours, theirs in (("change", "depth_change"), ("layer", "layer_agreement")):
        row[ours] = np.stack([found[theirs + end].values[at] for end in ("", "_low", "_high")], axis=1)
    if "overlap" in found and np.isfinite(found["overlap"].values[at]).all():
        row["overlap"], row["heads"] = found["overlap"].values[at], found["head_agreement"].values[at]
    return row
