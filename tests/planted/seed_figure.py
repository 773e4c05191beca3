"""Planted atlases: the figure this project was founded on, and arrays on which nothing stands apart.

`seed_figure` plants that figure's values as its description gives them: 28 layers x 24 heads; seven functions
with mass in layers 0-12 and heads 6-18 and their peak at L6H12, math in layers 18-27 and heads 0-6 with its
peak at L24H0; nearly everything below 0.002; seeded noise. Other sizes scale the same picture.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import xarray as xr

from headatlas.questions.functions import FUNCTIONS

PEAKS = dict(zip(FUNCTIONS, (0.0045, 0.0040, 0.0045, 0.0053, 0.0040, 0.0040, 0.0040, 0.0045), strict=True))
"""The heights that the figure's description gives ("0.0050+" for decision-making)."""


def make_atlas(values: np.ndarray, functions: Collection[str] = tuple(FUNCTIONS), **attrs: Any) -> xr.Dataset:
    """Return an atlas with nothing but `importance` (function, layer, head) of one method, "planted"."""
    _, n_layers, n_heads = values.shape
    return xr.Dataset(
        {"importance": (("method", "function", "layer", "head"), values[None].astype(np.float32))},
        coords={
            "method": ["planted"],
            "function": list(functions),
            "layer": np.arange(n_layers),
            "head": np.arange(n_heads),
        },
        attrs={"model": "planted-model", **attrs},
    )


def blob(
    shape: tuple[int, int],
    layers: tuple[int, int],
    heads: tuple[int, int],
    peak: tuple[int, int],
    height: float,
) -> np.ndarray:
    """Return a map that is 0.2 of `height` inside the box (ends included), rising to `height` at `peak`."""
    layer, head = np.indices(shape)
    inside = (layer >= layers[0]) & (layer <= layers[1]) & (head >= heads[0]) & (head <= heads[1])
    distance = ((layer - peak[0]) / (shape[0] / 16)) ** 2 + ((head - peak[1]) / (shape[1] / 14)) ** 2
    return np.where(inside, height * (0.2 + 0.8 * np.exp(-distance / 2)), 0.0)


def seed_figure(
    *,
    odd: Collection[str] = ("math_calculation",),
    n_layers: int = 28,
    n_heads: int = 24,
    noise: float = 0.0002,
    seed: int = 0,
) -> xr.Dataset:
    """Return the founding figure as an atlas; `odd` are the functions that lie deep, at the first heads."""
    rng = np.random.default_rng(seed)
    shape = (n_layers, n_heads)

    def at(layer: float, head: float) -> tuple[int, int]:
        return (
            min(round(layer / 28 * n_layers), n_layers - 1),
            min(round(head / 24 * n_heads), n_heads - 1),
        )

    (l0, h0), (l1, h1), shallow = at(0, 6), at(12, 18), at(6, 12)
    deep_l0, deep_h1, deep = at(18, 0)[0], at(0, 6)[1], at(24, 0)
    maps = []
    for function, height in PEAKS.items():
        if function in odd:
            plain, peak = blob(shape, (deep_l0, n_layers - 1), (0, deep_h1), deep, height), deep
        else:
            plain, peak = blob(shape, (l0, l1), (h0, h1), shallow, height), shallow
        values = np.abs(plain + rng.normal(0, noise, shape))
        values = np.minimum(values, 0.97 * height)
        values[peak] = height
        maps.append(values)
    return make_atlas(np.stack(maps))


def pure_noise(*, n_layers: int = 28, n_heads: int = 24, signed: bool = False, seed: int = 0) -> xr.Dataset:
    """Return maps with nothing in them."""
    values = np.random.default_rng(seed).normal(0, 0.001, (len(FUNCTIONS), n_layers, n_heads))
    return make_atlas(values if signed else np.abs(values))


def identical(*, seed: int = 0) -> xr.Dataset:
    """Return eight copies of the first function's map."""
    one = seed_figure(seed=seed)["importance"].values[0, 0]
    return make_atlas(np.repeat(one[None], len(FUNCTIONS), axis=0))
