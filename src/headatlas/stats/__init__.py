"""From samples of importance to maps with their uncertainty: the one place where anything is averaged.

Names are loaded on first use: whoever only reads an atlas needs `stats.sign`, not scipy.
"""

from typing import TYPE_CHECKING

from headatlas._lazy import from_homes

if TYPE_CHECKING:
    from headatlas.stats.between_methods import agreement as agreement
    from headatlas.stats.correlation import spearman as spearman
    from headatlas.stats.reduction import function_means as function_means
    from headatlas.stats.reduction import reduce as reduce
    from headatlas.stats.resampling import mean_interval as mean_interval
    from headatlas.stats.resampling import paired_excess as paired_excess
    from headatlas.stats.resampling import resample_counts as resample_counts
    from headatlas.stats.sharing import split as split
    from headatlas.stats.sign import SIGNS as SIGNS
    from headatlas.stats.sign import Sign as Sign
    from headatlas.stats.sign import ranked as ranked
    from headatlas.stats.table import Table as Table
    from headatlas.stats.table import units_of as units_of
    from headatlas.stats.task_validity import validity as validity

VERSION = 4
"""Of the statistics: raised whenever they give other numbers, so that a run is not taken for one of before."""

_HOMES = {
    "agreement": "between_methods",
    "spearman": "correlation",
    "split": "sharing",
    "function_means": "reduction",
    "reduce": "reduction",
    "mean_interval": "resampling",
    "paired_excess": "resampling",
    "resample_counts": "resampling",
    "SIGNS": "sign",
    "Sign": "sign",
    "ranked": "sign",
    "Table": "table",
    "units_of": "table",
    "validity": "task_validity",
}

__getattr__ = from_homes("headatlas.stats", _HOMES)
