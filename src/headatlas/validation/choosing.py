"""Which heads are removed together: chosen on some units, tested on the others, never on those they were chosen on.

1. Units are tasks; where a set names none, main questions (steps of one question are alike: a weaker test). They are
   dealt into folds, of every function as evenly as can be; what is measured on a fold is chosen on the others.
2. For each function, from the training units' maps (each unit weighing the same): its most *specific* heads (its map
   minus the mean of the other functions'), its most important ones (*whole*), and the *least* important (nearest 0).
3. *Random* heads, matched with the specific ones: for each, one of the same layer that is none of them and writes about
   as much; of the next layer where none is left. Draws are independent; no draw holds a chosen head, or one twice.
4. *Kept*: all heads but the most important ones, for insertion curves; and all heads at once.

It knows neither the model nor what comes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headatlas.errors import InputError

Head = tuple[int, int]
PARTS = ("specific", "whole", "least", "kept")
NEAR = 4
"""Of the heads that may stand for a chosen one, among how many that write most like it is drawn."""


@dataclass(frozen=True)
class Design:
    """What a validation does.

    Attributes
    ----------
    ks
        How many heads are removed together, rising.
    draws
        How many times matched random heads are drawn.
    folds
        How many parts the units are dealt into.
    seed
        The one seed.
    answers
        Items of every unit that the model answers itself, with and without the heads; 0: none.
    """

    ks: tuple[int, ...] = (3, 10, 30)
    draws: int = 20
    folds: int = 2
    seed: int = 0
    answers: int = 2

    def __post_init__(self) -> None:
        if not self.ks or list(self.ks) != sorted(set(self.ks)) or self.ks[0] < 1:
            raise InputError(f"Numbers of heads must rise from 1 or more, got {self.ks}. Give e.g. --k 3,10,30.")
        if self.answers < 0:
            raise InputError(f"{self.answers} answers can't be asked for. Give --answers 0 or more.")
        if self.draws < 2 or self.folds < 2:
            raise InputError(f"{self.draws} draws in {self.folds} folds test nothing. Give two or more of both.")

    def check(self, heads: int) -> None:
        """Raise `InputError` where the model has too few heads."""
        if 2 * self.ks[-1] > heads:
            raise InputError(
                f"{self.ks[-1]} heads of {heads} can't be matched by as many others. Give --k of {heads // 2} at most."
            )


def folds_of(function: np.ndarray, unit: np.ndarray, *, folds: int, seed: int) -> Int[np.ndarray, " item"]:
    """Return the fold of every item: units stay whole, every function's are dealt evenly.

    Raises
    ------
    InputError
        A function has fewer units than folds.
    """
    draw = np.random.default_rng([seed, folds])
    fold: dict[str, int] = {}
    for name in sorted(set(function)):
        own = sorted(set(unit[function == name]))
        if len(own) < folds:
            raise InputError(
                f"Function '{name}' has {len(own)} task(s) or main question(s), and what is chosen on one part is "
                f"tested on another: {folds} parts need {folds} or more. Give more tasks, or leave the function out."
            )
        new = [u for u in (own[i] for i in draw.permutation(len(own))) if u not in fold]
        first = int(draw.integers(folds))  # odd numbers don't always leave the same fold short
        for i, u in enumerate(new):
            fold[u] = (first + i) % folds
    return np.array([fold[u] for u in unit])


def maps_of(
    effects: Float[np.ndarray, "item layer head"], function: np.ndarray, unit: np.ndarray, functions: Sequence[str]
) -> Float[np.ndarray, "function layer head"]:
    """Return every function's map over these items, each unit weighing the same."""
    maps = []
    for name in functions:
        own = function == name
        units = sorted(set(unit[own]))
        maps.append(np.mean([effects[own & (unit == u)].mean(0, dtype=np.float64) for u in units], axis=0))
    return np.array(maps)


def chosen(
    maps: Float[np.ndarray, "function layer head"],
    written: Float[np.ndarray, "layer head"],
    design: Design,
    *,
    fold: int,
) -> dict[tuple[str, int, int, int], list[Head]]:
    """Return (what, function, k, draw) -> heads; what: "specific", "whole", "least", "kept" (draw 0) or "random".

    Under ("all", 0, 0, 0) are all heads.
    """
    functions, layers, heads = maps.shape
    others = (maps.sum(0) - maps) / max(1, functions - 1)
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    found: dict[tuple[str, int, int, int], list[Head]] = {("all", 0, 0, 0): every}

    def ordered(values: np.ndarray) -> list[Head]:
        return [every[i] for i in np.argsort(-values.reshape(-1), kind="stable")]

    for f in range(functions):
        order = {
            "specific": ordered(maps[f] - others[f]), "whole": ordered(maps[f]), "least": ordered(-np.abs(maps[f]))
        }  # fmt: skip
        for k in design.ks:
            for what, own in order.items():
                found[what, f, k, 0] = own[:k]
            found["kept", f, k, 0] = order["whole"][k:]
            for d in range(design.draws):
                draw = np.random.default_rng([design.seed, fold, f, k, d])
                found["random", f, k, d] = matched(found["specific", f, k, 0], written, draw)
    return found


def matched(heads: Sequence[Head], written: Float[np.ndarray, "layer head"], draw: np.random.Generator) -> list[Head]:
    """Return random heads, one for each of `heads`, none of them and none twice: of its layer (or the nearest that has
    one left), among those that write most like it.
    """
    taken, result = set(heads), []
    layers = len(written)
    for i in draw.permutation(len(heads)):
        layer, head = heads[i]
        for distance in range(layers):
            near = [at for at in {layer - distance, layer + distance} if 0 <= at < layers]
            free = [(at, h) for at in sorted(near) for h in range(written.shape[1]) if (at, h) not in taken]
            if free:
                break
        size = np.log(max(float(written[layer, head]), 1e-30))
        free.sort(key=lambda other: abs(np.log(max(float(written[other]), 1e-30)) - size))
        one = free[int(draw.integers(min(NEAR, len(free))))]
        taken.add(one)
        result.append(one)
    return result
