"""matplotlib's Figure, which a notebook shows as it will be saved, whatever its own settings are."""

import io

import matplotlib
import matplotlib.figure

from headatlas.figures.frame import STYLE


class Figure(matplotlib.figure.Figure):
    """A figure that is attached to no window."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(STYLE):
            self.savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()
