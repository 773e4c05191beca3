"""One line a figure: name, value, bound, ok or short."""

from pathlib import Path

COGQA = Path(__file__).parents[2] / "shared" / "cogqa" / "balanced_cot_train_data.json"
"""CogQA's train file beside a checkout; it has no licence, so it is not in the repository."""


def line(name: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
    """Print a figure against its bound; with neither bound it is for information."""
    good = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    bound = f"<={at_most:g}" if at_most is not None else f">={at_least:g}" if at_least is not None else "-"
    print(f"{name} {value:.4g} {bound} {'ok' if good else 'short'}", flush=True)
