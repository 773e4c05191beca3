"""The figures, one a file: Dataset -> matplotlib Figure.

An addition is one file and one entry here, which says whether ``headatlas map`` draws it. Importing
this package does not import matplotlib.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from headatlas._registry import Registry
from headatlas.atlas.variables import KIND
from headatlas.figures.ablation_curves import ablation_curves as ablation_curves
from headatlas.figures.comparison import comparison as comparison
from headatlas.figures.dissociation import dissociation as dissociation
from headatlas.figures.experiment import experiment as experiment
from headatlas.figures.frame import save_figure as save_figure
from headatlas.figures.general_specific import general_specific as general_specific
from headatlas.figures.head_card import head_card as head_card
from headatlas.figures.head_roles import head_roles as head_roles
from headatlas.figures.heads_importance import heads_importance as heads_importance
from headatlas.figures.layer_profiles import layer_profiles as layer_profiles
from headatlas.figures.method_agreement import method_agreement as method_agreement
from headatlas.figures.roles import roles as roles
from headatlas.figures.sorted_importance import sorted_importance as sorted_importance
from headatlas.figures.task_similarity import task_similarity as task_similarity

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A figure and what ``headatlas map`` does with it.

    Attributes
    ----------
    draw
        Dataset or tree -> matplotlib Figure.
    stem
        What its files are called; the method's name follows where there is one.
    by_map
        Whether ``headatlas map`` draws it: once a "method", once an "atlas", or not ("").
    applies
        Whether there is something to draw, given an atlas and the method (None: of the whole atlas).
    of
        What it is drawn of: an "atlas", one with its methods' "samples", "roles", or a "dataset" of its own.
    """

    draw: "Callable[..., Figure]"
    stem: str
    by_map: Literal["method", "atlas", ""] = ""
    applies: "Callable[[xr.DataTree, str | None], bool]" = lambda atlas, method: True
    of: Literal["atlas", "samples", "roles", "dataset"] = "atlas"

    def __call__(self, *args: Any, **options: Any) -> "Figure":
        """Draw it."""
        return self.draw(*args, **options)


figures: Registry[Drawing] = Registry("figure")
"""The figures, in the order in which ``headatlas map`` draws them."""
figures.register("heads_importance", Drawing(heads_importance, "heatmaps", "method"))
figures.register(
    "general_specific",
    Drawing(
        general_specific,
        "general_specific",
        "method",
        lambda atlas, method: method is not None and atlas[method].attrs[KIND] == "model",
    ),
)
figures.register(
    "method_agreement",
    Drawing(method_agreement, "method_agreement", "atlas", lambda atlas, method: len(atlas.children) > 1),
)
figures.register(
    "task_similarity",
    Drawing(
        task_similarity,
        "task_similarity",
        "method",
        lambda atlas, method: method is not None and "task_similarity" in atlas[method],
    ),
)
figures.register("layer_profiles", Drawing(layer_profiles, "layer_profiles"))
figures.register("sorted_importance", Drawing(sorted_importance, "sorted_importance", of="samples"))
figures.register("head_card", Drawing(head_card, "head", of="samples"))
figures.register("roles", Drawing(roles, "roles", of="roles"))
figures.register("head_roles", Drawing(head_roles, "head_roles", of="roles"))
figures.register("dissociation", Drawing(dissociation, "dissociation", of="dataset"))
figures.register("ablation_curves", Drawing(ablation_curves, "ablation_curves", of="dataset"))
figures.register("experiment", Drawing(experiment, "experiment", of="dataset"))
figures.register("comparison", Drawing(comparison, "compare", of="dataset"))
