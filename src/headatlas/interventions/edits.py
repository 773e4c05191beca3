"""Interventions: what is done to the z of some heads, as values that can be composed, undone, printed and saved.

1. `Mask`, `Scale`, `Mean`, `Resample` and `Steer` each change the z of some heads; ``a | b`` does a, then b; `Rows`
   gives every row of a batch its own.
2. ``with model.edit(x): ...`` holds in everything that calls the model, forward and generate(), with or without a
   cache (`applied`).
3. Positions: "all"; "answer": in every forward call the last token of each row that is no padding, which is what
   predicts the next one; or a mask (row, position) of the prompt's pass, after which every new token is edited. Without
   a cache generate() runs what it has made again, and "answer" then edits the last token only.
4. Beam search and several returned sequences repeat every row of a batch as often: a mask and `Rows` follow them.

It does not know how heads were chosen, nor what becomes of the answers.
"""

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headatlas._files import write_text
from headatlas._registry import Registry
from headatlas.errors import InputError
from headatlas.interventions.calls import Call, following

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel

Head = tuple[int, int]
"""(layer, head)."""
Positions = str | Bool[np.ndarray, "row position"]
"""all, answer, or a mask."""

kinds: Registry[type["Intervention"]] = Registry("intervention")
"""Name in JSON -> class."""


class Intervention(ABC):
    """What is done to heads. Values: two of the same content are equal, and none changes."""

    @abstractmethod
    def parts(self) -> "list[tuple[OfHeads, tuple[int, int] | None]]":
        """Return the edits it is made of, in order, each with (which row, of how many) it is for; None: for all."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return what `from_dict` makes it from, JSON-serialisable."""

    @property
    @abstractmethod
    def inverse(self) -> "Intervention":
        """What undoes it, done after it; raise `InputError` where what was there is gone."""

    def __or__(self, other: "Intervention") -> "Composed":
        """Return this and then `other`."""
        return Composed((*_sequence(self), *_sequence(other)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Intervention) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    @property
    def heads_touched(self) -> tuple[Head, ...]:
        """Every head that is edited in some row, in order."""
        return tuple(sorted({head for part, _ in self.parts() for head in part.heads}))

    def save(self, path: str | Path) -> Path:
        """Write it as JSON; raises `RunError` if that can't be done."""
        return write_text(path, json.dumps(self.to_dict(), indent=1))

    @contextmanager
    def applied(self, model: "HeadModel") -> Iterator[None]:
        """Do it to `model` inside the ``with``.

        Raises
        ------
        InputError
            A head that the model does not have, a reference or direction of another size, a mask or `Rows` that do not
            fit the batch.
        """
        parts = self.parts()
        for part, _ in parts:
            part.check(model)
        by_layer: dict[int, list[tuple[OfHeads, tuple[int, int] | None]]] = defaultdict(list)
        for part, row in parts:
            for layer in sorted({layer for layer, _ in part.heads}):
                by_layer[layer].append((part, row))
        with ExitStack() as stack:
            call = stack.enter_context(following(model))

            def function(layer: int) -> Callable[[Tensor], Tensor]:
                def change(x: Tensor) -> Tensor:
                    z = model.split_heads(x.clone())
                    for part, row in by_layer[layer]:
                        part.change(z, layer, call, row)
                    return z.flatten(-2)

                return change

            stack.enter_context(model.on_z({layer: function(layer) for layer in by_layer}))
            yield


@dataclass(frozen=True, eq=False)
class OfHeads(Intervention):
    """An edit of some heads; `heads` are (layer, head) pairs, each once, kept in order."""

    kind: ClassVar[str]
    replaces: ClassVar[bool] = False
    """Whether nothing of what was there is left."""

    heads: tuple[Head, ...]
    positions: Positions = field(default="all", kw_only=True)

    def __post_init__(self) -> None:
        heads = [(int(layer), int(head)) for layer, head in self.heads]
        if not heads:
            raise InputError(f"{type(self).__name__} of no heads does nothing. Name heads as (layer, head) pairs.")
        if twice := sorted({h for h in heads if heads.count(h) > 1}):
            raise InputError(f"{_name(twice[0])} is named twice. Name every head once.")
        object.__setattr__(self, "heads", tuple(heads))
        if isinstance(self.positions, str) and self.positions not in ("all", "answer"):
            raise InputError(f"Unknown positions '{self.positions}'. Give all, answer, or a mask (row, position).")

    @abstractmethod
    def new(self, old: Float[Tensor, "row position head head_dim"], own: list[int], call: Call) -> Tensor | float:
        """Return what `own` heads, by their places among `heads`, become where they are `old`."""

    def parts(self) -> "list[tuple[OfHeads, tuple[int, int] | None]]":
        """Return itself, for all rows."""
        return [(self, None)]

    @property
    def inverse(self) -> Intervention:
        """What undoes it."""
        raise InputError(f"{self} can't be undone: what it replaces is gone. Leave the `with` instead.")

    def check(self, model: "HeadModel") -> None:
        """Raise `InputError` where it does not fit the model."""
        for layer, head in self.heads:
            if not (0 <= layer < model.n_layers and 0 <= head < model.n_heads):
                raise InputError(
                    f"{_name((layer, head))} does not exist: {model.name} has layers 0 to {model.n_layers - 1} and "
                    f"heads 0 to {model.n_heads - 1}."
                )
        for name, values in self.arrays().items():
            if values.shape[-1] != model.head_dim:
                raise InputError(
                    f"The {name} of {self} has {values.shape[-1]} dimensions a head; {model.name} has {model.head_dim}."
                )

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the fields that hold a vector a head, (…, head, head_dim)."""
        return {}

    def change(
        self, z: Float[Tensor, "row position head head_dim"], layer: int, call: Call, row: tuple[int, int] | None
    ) -> None:
        """Change z of one layer in place, in the rows it is for."""
        own = [i for i, (at, _) in enumerate(self.heads) if at == layer]
        columns = [self.heads[i][1] for i in own]
        old = z[:, :, columns]
        new = self.new(old, own, call)
        where = call.where(self.positions, len(z), z.shape[1])
        if row is not None:
            rows = call.rows_of(*row, len(z))
            where = rows[:, None] if where is None else where & rows[:, None]
        where = None if where is None else where.to(z.device)
        if where is None:
            z[:, :, columns] = new if isinstance(new, Tensor) else torch.full_like(old, new)
        else:
            z[:, :, columns] = torch.where(where[..., None, None], new, old)

    def to_dict(self) -> dict[str, Any]:
        """Return its fields, arrays as lists."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        return {"kind": self.kind, **plain, "heads": [list(head) for head in self.heads]}

    def _at(self) -> str:
        return "" if isinstance(self.positions, str) and self.positions == "all" else f" at {self._where()}"

    def _where(self) -> str:
        return self.positions if isinstance(self.positions, str) else "masked positions"


@dataclass(frozen=True, eq=False)
class Mask(OfHeads):
    """z becomes 0: the head writes nothing."""

    kind: ClassVar[str] = "mask"
    replaces: ClassVar[bool] = True

    def new(self, old: Float[Tensor, "row position head head_dim"], own: list[int], call: Call) -> Tensor | float:
        """Return nothing."""
        return 0.0

    def __str__(self) -> str:
        return f"Mask({_names(self.heads)}){self._at()}"


@dataclass(frozen=True, eq=False)
class Scale(OfHeads):
    """z is multiplied by `factor`."""

    kind: ClassVar[str] = "scale"

    factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not np.isfinite(self.factor):
            raise InputError(f"A factor of {self.factor} scales nothing. Give a finite number.")

    def new(self, old: Float[Tensor, "row position head head_dim"], own: list[int], call: Call) -> Tensor | float:
        """Return z, scaled."""
        return old * self.factor

    @property
    def inverse(self) -> Intervention:
        """Scaling by one over the factor."""
        if self.factor == 0:
            raise InputError(f"{self} can't be undone: scaled by 0, z is gone. Leave the `with` instead.")
        return replace(self, factor=1 / self.factor)

    def __str__(self) -> str:
        return f"Scale({_names(self.heads)}, {self.factor:g}){self._at()}"


@dataclass(frozen=True, eq=False)
class Mean(OfHeads):
    """z becomes `reference`, (head, head_dim), a row a head in the order of `heads`: usually its mean over items."""

    kind: ClassVar[str] = "mean"
    replaces: ClassVar[bool] = True

    reference: Float[np.ndarray, "head head_dim"]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rows(self, self.reference, self.reference.shape[0])

    @classmethod
    def of(
        cls,
        heads: Sequence[Head],
        reference: Float[np.ndarray, "layer all_heads head_dim"],
        *,
        positions: Positions = "all",
    ) -> "Mean":
        """Return it with the rows of a reference that speaks of every head of the model."""
        return cls(tuple(heads), of_heads(heads, reference), positions=positions)

    def new(self, old: Float[Tensor, "row position head head_dim"], own: list[int], call: Call) -> Tensor | float:
        """Return the reference."""
        return _vectors(self.reference[own], old).expand_as(old)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the reference."""
        return {"reference": self.reference}

    def __str__(self) -> str:
        return f"Mean({_names(self.heads)}){self._at()}"


@dataclass(frozen=True, eq=False)
class Resample(OfHeads):
    """z becomes that of one item, drawn by `seed`: the same item for all heads and tokens, and for all rows (`Rows`
    gives each its own).

    `reference` is the items' z, (item, head, head_dim), heads in the order of `heads`.
    """

    kind: ClassVar[str] = "resample"
    replaces: ClassVar[bool] = True

    reference: Float[np.ndarray, "item head head_dim"]
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rows(self, self.reference, self.reference.shape[1])
        if not len(self.reference):
            raise InputError(f"{self} has no items to draw from.")

    @classmethod
    def of(
        cls,
        heads: Sequence[Head],
        reference: Float[np.ndarray, "item layer all_heads head_dim"],
        *,
        seed: int = 0,
        positions: Positions = "all",
    ) -> "Resample":
        """Return it with what items' z of every head of the model says of these."""
        return cls(tuple(heads), of_heads(heads, reference), seed, positions=positions)

    def new(self, old: Float[Tensor, "row position head head_dim"], own: list[int], call: Call) -> Tensor | float:
        """Return the drawn item's."""
        drawn = np.random.default_rng(self.seed).integers(len(self.reference))
        return _vectors(self.reference[drawn, own], old).expand_as(old)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the reference."""
        return {"reference": self.reference}

    def __str__(self) -> str:
        return f"Resample({_names(self.heads)}, of {len(self.reference)} items, seed {self.seed}){self._at()}"


@dataclass(frozen=True, eq=False)
class Steer(OfHeads):
    """`alpha` times `direction`, (head, head_dim), is added to z, a row a head in the order of `heads`.

    Directions: `interventions.directions`.
    """

    kind: ClassVar[str] = "steer"

    direction: Float[np.ndarray, "head head_dim"]
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rows(self, self.direction, self.direction.shape[0])
        if not np.isfinite(self.alpha):
            raise InputError(f"An alpha of {self.alpha} steers nowhere. Give a finite number.")

    @classmethod
    def of(
        cls,
        heads: Sequence[Head],
        direction: Float[np.ndarray, "layer all_heads head_dim"],
        alpha: float = 1.0,
        *,
        positions: Positions = "all",
    ) -> "Steer":
        """Return it with the rows of directions of every head of the model."""
        return cls(tuple(heads), of_heads(heads, direction), alpha, positions=positions)

    def new(self, old: Float[Tensor, "row position head head_dim"], own: list[int], call: Call) -> Tensor | float:
        """Return z, moved."""
        return old + self.alpha * _vectors(self.direction[own], old)

    @property
    def inverse(self) -> Intervention:
        """The way back."""
        return replace(self, alpha=-self.alpha)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the direction."""
        return {"direction": self.direction}

    def __str__(self) -> str:
        return f"Steer({_names(self.heads)}, alpha {self.alpha:g}){self._at()}"


@dataclass(frozen=True, eq=False)
class Composed(Intervention):
    """One edit after the other; made by ``a | b``.

    Raises
    ------
    InputError
        A head that one edit replaces is edited by another one in the same rows: one of them would be done for nothing.
    """

    edits: tuple[Intervention, ...]

    def __post_init__(self) -> None:
        parts = self.parts()
        for i, (one, row) in enumerate(parts):
            for other, other_row in parts[:i]:
                shared = sorted(set(one.heads) & set(other.heads))
                if not shared or not (one.replaces or other.replaces) or (one.kind == other.kind == "mask"):
                    continue
                if row != other_row and None not in (row, other_row):
                    continue
                raise InputError(
                    f"{_name(shared[0])} is edited twice: {other} and {one}. What replaces z leaves nothing of another "
                    "edit. Leave one of them out."
                )

    def parts(self) -> "list[tuple[OfHeads, tuple[int, int] | None]]":
        """Return the parts of all, in order."""
        return [part for edit in self.edits for part in edit.parts()]

    @property
    def inverse(self) -> Intervention:
        """The inverses, last first."""
        return Composed(tuple(edit.inverse for edit in reversed(self.edits)))

    def to_dict(self) -> dict[str, Any]:
        """Return the edits'."""
        return {"kind": "composed", "edits": [edit.to_dict() for edit in self.edits]}

    def __str__(self) -> str:
        return " | ".join(map(str, self.edits))


@dataclass(frozen=True, eq=False)
class Rows(Intervention):
    """A row of a batch, an edit: as many edits as rows, None for a row that stays as it is.

    Where a call has a multiple of so many rows (beams, returned sequences), each is for as many rows in a run.
    """

    edits: tuple[Intervention | None, ...]

    def __post_init__(self) -> None:
        if not self.edits:
            raise InputError("Rows of no edits fit no batch. Give one a row, None for a row that stays as it is.")
        for edit in self.edits:
            if edit is not None and any(row is not None for _, row in edit.parts()):
                raise InputError("A row's edit can't itself be for rows. Give it as one of `Rows`.")

    def parts(self) -> "list[tuple[OfHeads, tuple[int, int] | None]]":
        """Return every row's, with its row."""
        n = len(self.edits)
        return [(part, (i, n)) for i, edit in enumerate(self.edits) if edit is not None for part, _ in edit.parts()]

    @property
    def inverse(self) -> Intervention:
        """Every row's."""
        return Rows(tuple(None if edit is None else edit.inverse for edit in self.edits))

    def to_dict(self) -> dict[str, Any]:
        """Return the rows'."""
        return {"kind": "rows", "edits": [None if edit is None else edit.to_dict() for edit in self.edits]}

    def __str__(self) -> str:
        return f"Rows({'; '.join('as it is' if edit is None else str(edit) for edit in self.edits)})"


for _kind in (Mask, Scale, Mean, Resample, Steer):
    kinds.register(_kind.kind, _kind)
ARRAYS = ("reference", "direction")


def from_dict(values: Any) -> Intervention:
    """Return the intervention that `to_dict` gave these values for; raise `InputError` for any others."""
    try:
        kind = values["kind"]
        if kind == "composed":
            return Composed(tuple(from_dict(edit) for edit in values["edits"]))
        if kind == "rows":
            return Rows(tuple(None if edit is None else from_dict(edit) for edit in values["edits"]))
        given = {name: value for name, value in values.items() if name != "kind"}
        for name in ARRAYS:
            if name in given:
                given[name] = np.array(given[name], np.float32)
        if not isinstance(given.get("positions", "all"), str):
            given["positions"] = np.array(given["positions"], bool)
        given["heads"] = tuple((int(layer), int(head)) for layer, head in given["heads"])
        return kinds.get(kind)(**given)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"This is no intervention: {error}. Save one with `save`.") from None


def load_intervention(path: str | Path) -> Intervention:
    """Return an intervention that `save` wrote.

    Raises
    ------
    InputError
        No such file, or it holds no intervention.
    """
    try:
        return from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as an intervention: {error}.") from None


def of_heads(heads: Sequence[Head], values: Float[np.ndarray, "*any layer head head_dim"]) -> np.ndarray:
    """Return the vectors of some heads, (…, head, head_dim), of those of all."""
    layers, columns = (list(part) for part in zip(*heads, strict=True))
    shape = values.shape[-3:-1]
    for layer, head in heads:
        if not (0 <= layer < shape[0] and 0 <= head < shape[1]):
            raise InputError(f"{_name((layer, head))} is not in values of {shape[0]} layers and {shape[1]} heads.")
    return np.ascontiguousarray(values[..., layers, columns, :], dtype=np.float32)


def _sequence(edit: Intervention) -> tuple[Intervention, ...]:
    return edit.edits if isinstance(edit, Composed) else (edit,)


def _check_rows(edit: OfHeads, values: np.ndarray, rows: int) -> None:
    if rows != len(edit.heads):
        raise InputError(f"{type(edit).__name__} of {len(edit.heads)} heads got vectors of {rows}. Give one a head.")
    if not np.isfinite(values).all():
        raise InputError(f"{type(edit).__name__} got vectors that hold NaN or infinity.")


def _vectors(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device, like.dtype)


def _name(head: Head) -> str:
    return f"L{head[0]}H{head[1]}"


def _names(heads: Sequence[Head], most: int = 6) -> str:
    shown = ", ".join(_name(head) for head in heads[:most])
    return shown if len(heads) <= most else f"{shown}, … ({len(heads)} heads)"
