"""What notebooks show of an object: a title, a table of two columns and lines below; all text is escaped here."""

from collections.abc import Iterable, Mapping
from html import escape


def visible(text: object) -> str:
    """Return `text` with control characters and marks that turn the writing direction spelled, not obeyed."""
    return "".join(c if c.isprintable() else "\n" if c == "\n" else repr(c)[1:-1] for c in str(text))


def shown(text: object) -> str:
    """Return `text` as HTML that shows it literally, in its own writing direction, control characters spelled."""
    return f"<bdi>{escape(visible(text))}</bdi>"


def panel(title: object, rows: Mapping[str, object], below: Iterable[object] = ()) -> str:
    """Return HTML: a title, `rows` as a table, and a paragraph for each text `below`."""
    cells = "".join(
        f'<tr><th style="text-align: left">{shown(name)}</th><td style="text-align: left">{shown(value)}</td></tr>'
        for name, value in rows.items()
    )
    texts = "".join(f'<p style="white-space: pre-line">{shown(text)}</p>' for text in below)
    return f"<div><p><b>{shown(title)}</b></p><table>{cells}</table>{texts}</div>"
