"""What is done with chosen heads beyond validation: the published experiments, pruning, benchmarks."""

from headatlas._lazy import from_homes

_HOMES = {
    "evaluate": "harness",
}
__all__ = sorted(_HOMES)
__getattr__ = from_homes("headatlas.experiments", _HOMES)


def __dir__() -> list[str]:
    return __all__
