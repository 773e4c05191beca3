"""headatlas: which attention heads of a language model carry which cognitive function.

>>> import headatlas as ha
>>> atlas = ha.measure(ha.load_model("smollm2-135m"), ha.load_questions("builtin"))  # doctest: +SKIP

Names are loaded on first use, so that ``import headatlas`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headatlas.atlas import load_atlas as load_atlas
    from headatlas.atlas import save_atlas as save_atlas
    from headatlas.errors import HeadatlasError as HeadatlasError
    from headatlas.figures.heads_importance import heads_importance as heads_importance
    from headatlas.findings.describe import describe as describe
    from headatlas.models.load import load_model as load_model
    from headatlas.pipeline import measure as measure
    from headatlas.questions import load_questions as load_questions

__version__ = "0.1.0"

_HOMES = {
    "HeadatlasError": "errors",
    "describe": "findings.describe",
    "heads_importance": "figures",
    "load_atlas": "atlas",
    "load_model": "models.load",
    "load_questions": "questions",
    "measure": "pipeline",
    "save_atlas": "atlas",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'headatlas' has no attribute '{name}'. It has: {', '.join(__all__)}")
    return getattr(import_module(f"headatlas.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
