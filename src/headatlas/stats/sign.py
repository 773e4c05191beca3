"""How the values of a map are read: which order the heads, and which are its mass.

============ ========== =========================== ======================
sign         ranked     mass (share of a layer, …)  p-value
============ ========== =========================== ======================
"absolute"   abs(value) abs(value)                  two-sided
"positive"   value      positive part               one-sided (above null)
"signed"     value      abs(value)                  two-sided
============ ========== =========================== ======================

Ranks and mass are for ordering and drawing one map. Maps (halves, functions, methods) are *compared* by their signed
values whatever the sign: absolute values of pure noise are alike wherever heads differ in how noisy they are.
"""

from typing import Literal

import numpy as np

Sign = Literal["absolute", "positive", "signed"]
SIGNS: tuple[Sign, ...] = ("absolute", "positive", "signed")


def ranked(maps: np.ndarray, sign: Sign) -> np.ndarray:
    """Return what orders the heads."""
    return np.abs(maps) if sign == "absolute" else maps


def mass(maps: np.ndarray, sign: Sign) -> np.ndarray:
    """Return what shares, depth and concentration are taken of."""
    return np.maximum(maps, 0) if sign == "positive" else np.abs(maps)
