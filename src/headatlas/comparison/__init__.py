"""Atlases of several models (seeds, templates, question sets) compared: `compare`; in words; as files and a page."""

from typing import TYPE_CHECKING

from headatlas._lazy import from_homes

if TYPE_CHECKING:
    from headatlas.comparison.across import compare as compare
    from headatlas.comparison.files import save_comparison as save_comparison
    from headatlas.comparison.words import comparison_text as comparison_text

_HOMES = {"compare": "across", "save_comparison": "files", "comparison_text": "words"}

__getattr__ = from_homes("headatlas.comparison", _HOMES)
