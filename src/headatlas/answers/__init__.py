"""Answers that the model itself gives, edited or not, and how good they are."""

from headatlas._lazy import from_homes

_HOMES = {
    "Judge": "judging",
    "answers_to": "greedy",
    "answers_under": "greedy",
    "scores": "scoring",
}
__all__ = sorted(_HOMES)
__getattr__ = from_homes("headatlas.answers", _HOMES)


def __dir__() -> list[str]:
    return __all__
