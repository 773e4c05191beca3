"""The page of an atlas: as text, as a file, in a notebook."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import xarray as xr

from headatlas._files import write_text
from headatlas._html import shown
from headatlas.atlas import as_atlas, load_atlas, model_facts
from headatlas.report.content import Beside, beside, content
from headatlas.report.document import document, template

SCRIPTS = ("core.js", "maps.js", "card.js", "views.js", "main.js")
LONGEST = 1500
"""Characters of a sentence that are shown above the fold."""


def page(atlas: xr.DataTree | xr.Dataset, others: Beside | None = None) -> str:
    """Return the page of an atlas: one HTML text that needs nothing else.

    Parameters
    ----------
    atlas
        An atlas, or a flat Dataset with a dimension ``method``; with the methods' samples it shows more.
    others
        What lies beside it (`beside`): validation, roles, examples.

    Raises
    ------
    AtlasError
        It is no atlas.
    """
    made = content(as_atlas(atlas), others)
    short = made["findings"]["short"] or ["This atlas holds no numbers for a verdict."]
    tested = made["validation"]["short"] if made["validation"] else []
    told = ""
    if tested:
        told = f"<h3>Put to the test</h3><ul>{''.join(f'<li>{_text(line)}</li>' for line in tested)}</ul>"
        told = f"<details><summary>Put to the test: {_text(tested[0])}</summary>{told}</details>"
    body = Template(template("body.html")).substitute(
        model=_text(made["model"], 200), verdict="".join(f"<li>{_text(line)}</li>" for line in short), tested=told
    )
    return document(f"Heads of {_cut(made['model'], 80)}", body, SCRIPTS, made)


def _cut(value: object, most: int) -> str:
    line = str(value)
    return line if len(line) <= most else line[: most - 1] + "…"


def _text(value: object, most: int = LONGEST) -> str:
    return shown(_cut(value, most))


def save_page(atlas: xr.DataTree | xr.Dataset, path: str | Path, others: Beside | None = None) -> Path:
    """Write the page of an atlas, atomically (see `page`); `RunError` where that fails."""
    return write_text(path, page(atlas, others))


@dataclass(frozen=True)
class Page:
    """A page that a notebook shows in a frame of its own; `html` is the page, `height` the frame's, in pixels."""

    html: str
    height: int = 900

    def _repr_html_(self) -> str:
        return (
            f'<iframe srcdoc="{escape(self.html, quote=True)}" sandbox="allow-scripts allow-downloads" '
            f'style="width: 100%; height: {self.height}px; border: 1px solid #8888" title="headatlas"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Page({len(self.html):,} characters; a notebook shows it, save(path) keeps it)"

    def save(self, path: str | Path) -> Path:
        """Write the page to `path`, atomically."""
        return write_text(path, self.html)


def explore(atlas: xr.DataTree | xr.Dataset | str | Path, *, height: int = 900) -> Page:
    """Return an atlas as an interactive page, which a notebook shows where it is asked for.

    Parameters
    ----------
    atlas
        An atlas, or the folder it is in: then with what lies beside it (validation, roles, examples).
    height
        Of the frame, in pixels.

    Raises
    ------
    AtlasError
        It is no atlas, or what lies beside it is damaged.
    """
    if isinstance(atlas, str | Path):
        path = Path(atlas)
        folder = path if path.is_dir() else path.parent
        made = load_atlas(path)
        return Page(page(made, beside(folder, model_facts(made).get("weights"))), height)
    return Page(page(atlas), height)
