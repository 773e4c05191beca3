"""What is done to heads: masked, scaled, replaced, steered, in everything that runs the model."""

from headatlas._lazy import from_homes

_HOMES = {
    "Intervention": "edits",
    "Mask": "edits",
    "Mean": "edits",
    "Resample": "edits",
    "Rows": "edits",
    "Scale": "edits",
    "Steer": "edits",
    "load_intervention": "edits",
    "parse_heads": "selection",
    "random_direction": "directions",
    "steering_direction": "directions",
    "top_heads": "selection",
    "write_heads": "export",
    "write_lora": "export",
    "write_pruned": "export",
}
__all__ = sorted(_HOMES)
__getattr__ = from_homes("headatlas.interventions", _HOMES)


def __dir__() -> list[str]:
    return __all__
