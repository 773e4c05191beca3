"""A map put to the test: heads chosen on some tasks, removed together, and what others lose."""

from headatlas._lazy import from_homes

_HOMES = {
    "Design": "choosing",
    "load_validation": "files",
    "markdown": "words",
    "save_validation": "files",
    "validate": "experiment",
}
__all__ = sorted(_HOMES)
__getattr__ = from_homes("headatlas.validation", _HOMES)


def __dir__() -> list[str]:
    return __all__
