"""Scores of items under several conditions -> means with intervals, and what each condition changes.

A mean is over units (tasks, or main questions), each weighing the same, of their items' means; intervals resample units
and items, and are widened for few units. A change is paired: each item under a condition, minus the same item as it is.
It does not know what the conditions are.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Float

from headatlas.stats.resampling import percentiles, two_level

BOOT = 1000
ENDS = ("", "_low", "_high")


def outcomes(
    values: Float[np.ndarray, "item condition score"],
    panel: np.ndarray,
    unit: np.ndarray,
    *,
    panels: Sequence[str],
    conditions: Sequence[str],
    scores: Sequence[str],
    against: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Return value and change (score, panel, condition), each with _low and _high (NaN of one unit), n_items, n_units.

    Parameters
    ----------
    values
        NaN where a score does not apply to an item.
    panel, unit
        Of every item: what it is counted under, and what is drawn anew.
    panels, conditions, scores
        Their names, in order.
    against
        The condition that changes are from; the first by default.
    seed
        Of the resampling.
    """
    base = 0 if against is None else list(conditions).index(against)
    shape = (len(scores), len(panels), len(conditions))
    found = {f"{name}{end}": np.full(shape, np.nan) for name in ("value", "change") for end in ENDS}
    counts = {name: np.zeros(shape[:2], int) for name in ("n_items", "n_units")}
    for p, name in enumerate(panels):
        for s in range(len(scores)):
            own = (panel == name) & np.isfinite(values[:, :, s]).all(1)
            if not own.any():
                continue
            draw = np.random.default_rng([seed, p])
            weights, units = two_level(unit[own], draw, BOOT)
            counts["n_items"][s, p], counts["n_units"][s, p] = own.sum(), units
            means = weights @ values[own, :, s].astype(np.float64)
            for kind, rows in (("value", means), ("change", means - means[:, base : base + 1])):
                found[kind][s, p] = rows[0]
                if units > 1:  # one task says nothing of others
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", RuntimeWarning)
                        low, high = percentiles(rows[0], rows[1:], units)
                    bound = 0.0 if kind == "value" else -1.0
                    found[f"{kind}_low"][s, p], found[f"{kind}_high"][s, p] = low.clip(bound, 1), high.clip(bound, 1)
    dims = ("score", "panel", "condition")
    return xr.Dataset(
        {name: (dims, rows) for name, rows in found.items()} | {n: (dims[:2], rows) for n, rows in counts.items()},
        coords={"score": list(scores), "panel": list(panels), "condition": list(conditions)},
    )
