"""Plain values -> one HTML file: nothing is fetched, nothing in it is run but our own script and the two libraries.

1. The values stand in a JSON block in which no character can end it (`embedded`); arrays are base64 (`packed`).
2. Scripts are named in the content-security-policy by their hashes; no other script, no handler in the markup, no
   request to anywhere. Styles may stand inline, which the libraries need.
3. What is markup comes from templates; what is data is escaped here, or written as text by the script.

It does not know what the values mean.
"""

import base64
import hashlib
import json
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from headatlas._html import visible
from headatlas.findings.wording import plain

VENDORED = ("d3.min.js", "plot.min.js")
"""In the order in which they are loaded. Their licences stand beside them."""


def packed(values: Any, kind: str = "float32") -> dict[str, Any]:
    """Return an array as JSON can hold it: its type, its shape, and its bytes in base64 (little-endian)."""
    array = np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    return {"type": kind, "shape": list(array.shape), "data": base64.b64encode(array.tobytes()).decode("ascii")}


def rounded(values: Any) -> dict[str, Any]:
    """Return an array as `packed` does, in half the room: whole steps of the largest value's 32767th."""
    array = np.nan_to_num(np.asarray(values, np.float64))
    step = float(np.abs(array).max(initial=0.0)) / 32767 or 1.0
    return {**packed(np.rint(array / step), "int16"), "step": step}


def embedded(value: Any) -> str:
    """Return JSON that can stand in a script element: nothing in it can end the element or open a comment."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates can't be written
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(character, code)
    return text.replace("\u2029", "\\u2029")


@cache
def template(name: str) -> str:
    """Return a template's text."""
    return (files("headatlas.report") / "templates" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


@cache
def _library(name: str) -> str:
    return (files("headatlas.report") / "vendored" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def document(title: str, body: str, scripts: tuple[str, ...], content: Any) -> str:
    """Return the page.

    Parameters
    ----------
    title
        Escaped here.
    body
        Markup, with data in it escaped already.
    scripts
        Names of the templates that are the page's script, joined in this order.
    content
        What the script reads.
    """
    code = "\n".join(template(name) for name in scripts)
    parts = [*map(_library, VENDORED), f'"use strict";(() => {{\n{code}\n}})();']
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in parts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">\n',
            f"<title>{escape(visible(title))}</title>\n<style>{template('page.css')}</style></head>\n<body>{body}\n",
            f'<script type="application/json" id="content">{embedded(content)}</script>\n',
            *(f"<script>{part}</script>\n" for part in parts),
            "</body></html>\n",
        ]
    )
