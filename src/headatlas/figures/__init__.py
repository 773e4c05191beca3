"""The figures, one a file: Dataset -> matplotlib Figure.

An addition is one file and one line here; the command line and the report iterate over `figures`. Importing
this package does not import matplotlib.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from headatlas._registry import Registry
from headatlas.figures.frame import save_figure as save_figure
from headatlas.figures.general_specific import general_specific as general_specific
from headatlas.figures.heads_importance import heads_importance as heads_importance
from headatlas.figures.method_agreement import method_agreement as method_agreement
from headatlas.figures.roles import roles as roles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

figures: Registry[Callable[..., "Figure"]] = Registry("figure")
figures.register("heads_importance", heads_importance)
figures.register("general_specific", general_specific)
figures.register("method_agreement", method_agreement)
figures.register("roles", roles)
