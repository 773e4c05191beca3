"""headatlas: which attention heads of a language model carry which cognitive function.

>>> import headatlas as ha
>>> atlas = ha.measure(ha.load_model("smollm2-135m"), ha.load_questions("builtin"))  # doctest: +SKIP

Names are loaded on first use, so that ``import headatlas`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from headatlas._lazy import from_homes

if TYPE_CHECKING:
    from headatlas import figures as figures
    from headatlas import interventions as interventions
    from headatlas import methods as methods
    from headatlas import roles as roles
    from headatlas.atlas import load_atlas as load_atlas
    from headatlas.atlas import save_atlas as save_atlas
    from headatlas.atlas.tidy import to_frame as to_frame
    from headatlas.comparison.across import compare as compare
    from headatlas.errors import HeadatlasError as HeadatlasError
    from headatlas.figures import save_figure as save_figure
    from headatlas.figures.heads_importance import heads_importance as heads_importance
    from headatlas.findings import describe as describe
    from headatlas.findings.glance import summary as summary
    from headatlas.models.load import load_model as load_model
    from headatlas.questions.loading import load_questions as load_questions
    from headatlas.report.pages import explore as explore
    from headatlas.run.pipeline import measure as measure

__version__ = "0.1.0"

_HOMES = {
    "HeadatlasError": "errors",
    "compare": "comparison.across",
    "describe": "findings",
    "explore": "report.pages",
    "heads_importance": "figures",
    "load_atlas": "atlas",
    "load_model": "models.load",
    "load_questions": "questions.loading",
    "measure": "run.pipeline",
    "save_atlas": "atlas",
    "save_figure": "figures",
    "summary": "findings.glance",
    "to_frame": "atlas.tidy",
}
_MODULES = ("figures", "interventions", "methods", "roles")
"""Reached as ``ha.figures.method_agreement``, ``ha.methods.Probe``, ``ha.roles.measure_roles``."""
__all__ = sorted({*_HOMES, *_MODULES} - {"heads_importance", "save_atlas"})  # those two are reached all the same


_home = from_homes("headatlas", _HOMES)


def __getattr__(name: str) -> Any:
    return import_module(f"headatlas.{name}") if name in _MODULES else _home(name)


def __dir__() -> list[str]:
    return __all__
