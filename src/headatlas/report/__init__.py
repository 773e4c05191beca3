"""An atlas, or a comparison of several, as one page that stands alone: `explore` in a notebook, `save_page` as a file.

`content` (numbers of the atlas -> plain values), `document` (plain values -> one HTML file without network),
``templates/`` (markup, style, script), ``vendored/`` (D3 and Observable Plot as they were released).
"""

from typing import TYPE_CHECKING

from headatlas._lazy import from_homes

if TYPE_CHECKING:
    from headatlas.report.compared import comparison_page as comparison_page
    from headatlas.report.compared import save_comparison_page as save_comparison_page
    from headatlas.report.content import Beside as Beside
    from headatlas.report.content import beside as beside
    from headatlas.report.pages import Page as Page
    from headatlas.report.pages import explore as explore
    from headatlas.report.pages import page as page
    from headatlas.report.pages import save_page as save_page

_HOMES = {
    "Beside": "content",
    "beside": "content",
    "Page": "pages",
    "explore": "pages",
    "comparison_page": "compared",
    "page": "pages",
    "save_comparison_page": "compared",
    "save_page": "pages",
}

__getattr__ = from_homes("headatlas.report", _HOMES)
