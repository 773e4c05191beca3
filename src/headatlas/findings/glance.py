"""An atlas at a glance: a line a function, for notebooks and terminals."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from headatlas._html import panel, shown, visible
from headatlas.atlas import as_atlas, method_part, pick_methods, unable_functions
from headatlas.atlas.map_numbers import specific_heads, take_maps, value_places, write_number
from headatlas.atlas.variables import LABEL
from headatlas.findings.describe import describe
from headatlas.questions.functions import function_title

COLUMNS = ("function", "peak head", "value", "95% interval", "specific heads", "reliability", "the model does it")


@dataclass(frozen=True)
class Glance:
    """What `summary` returns: `title`, `rows` (one a function, cells as `COLUMNS` names them) and `short` sentences."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    short: tuple[str, ...]

    def __repr__(self) -> str:
        table = [COLUMNS, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(COLUMNS))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
        return visible(
            "\n".join([self.title, "", *lines, "", *(f"{n}. {s}" for n, s in enumerate(self.short, start=1))])
        )

    def _repr_html_(self) -> str:
        cells = [
            "<tr>" + "".join(f'<{tag} style="text-align: left">{shown(cell)}</{tag}>' for cell in row) + "</tr>"
            for tag, row in (("th", COLUMNS), *(("td", row) for row in self.rows))
        ]
        return panel(self.title, {}, self.short) + f"<table>{''.join(cells)}</table>"


def summary(atlas: xr.DataTree | xr.Dataset, *, method: str | None = None) -> Glance:
    """Return an atlas at a glance.

    Parameters
    ----------
    atlas
        An atlas.
    method
        A method of the atlas; by default the first.

    Raises
    ------
    InputError
        No such method.
    AtlasError
        It is no atlas.
    """
    tree = as_atlas(atlas)
    (name, *_) = pick_methods(tree, method)
    maps, part, unable = take_maps(tree, name), method_part(tree, name), set(unable_functions(tree))
    specific = specific_heads(part, maps.functions)
    rows = []
    for i, function in enumerate(maps.functions):
        layer, head = (int(j) for j in np.unravel_index(int(maps.ranked[i].argmax()), maps.ranked[i].shape))
        value = float(maps.values[i, layer, head])
        places = value_places(abs(value))
        own = part.sel(function=function)
        ends = [float(own[end][layer, head]) for end in ("ci_low", "ci_high")] if "ci_low" in part else []
        reliability = float(own["reliability"]) if "reliability" in part else float("nan")
        rows.append((
            function_title(function), maps.head_name(layer, head), write_number(value, places),
            " to ".join(write_number(end, places) for end in ends) or "-",
            "-" if specific is None else str(int(specific[i].sum())),
            f"{reliability:.2f}" if np.isfinite(reliability) else "-",
            "no" if function in unable else "yes" if "answer_accuracy" in part else "-",
        ))  # fmt: skip
    found = describe(tree, method=name)
    unit = str(tree[name].attrs.get(LABEL, ""))
    title = (
        f"{found.model}: {len(maps.layers)} layers x {len(maps.heads)} heads, by {name}{f' ({unit})' if unit else ''}"
    )
    return Glance(title, tuple(rows), found.short)
