"""What is done with chosen heads beyond validation: the published experiments, pruning, benchmarks."""

from headatlas._lazy import from_homes

_HOMES = {
    "chain": "chains",
    "downstream": "steering",
    "evaluate": "harness",
    "load_experiment": "files",
    "markdown": "words",
    "masks": "masking",
    "prune": "pruning",
    "save_experiment": "files",
}
__all__ = sorted(_HOMES)
__getattr__ = from_homes("headatlas.experiments", _HOMES)


def __dir__() -> list[str]:
    return __all__
