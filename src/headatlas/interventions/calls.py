"""What every forward call of a model looks like from outside: which rows, which positions, what is padding.

It does not know heads.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from headatlas.errors import InputError
from headatlas.models.hooks import noting_calls

if TYPE_CHECKING:
    from headatlas.models.head_model import HeadModel


class Call:
    """The forward call that is under way.

    Attributes
    ----------
    mask
        The attention mask that was given, (row, position), or None.
    past
        How many tokens a cache holds.
    """

    def __init__(self) -> None:
        self.mask: Any = None
        self.past = 0

    def note(self, given: dict[str, Any]) -> None:
        """Take note of a call's arguments."""
        self.mask = given.get("attention_mask")
        cache = given.get("past_key_values")
        self.past = 0 if cache is None else int(cache.get_seq_length())

    def where(
        self, positions: str | Bool[np.ndarray, "row position"], rows: int, length: int
    ) -> Bool[Tensor, "row position"] | None:
        """Return which of a call's tokens are edited; None: all of them."""
        if isinstance(positions, str):
            return None if positions == "all" else self._last(rows, length)
        if self.past:
            return None
        if length != positions.shape[1] or rows % len(positions):
            raise InputError(
                f"The mask of positions has {len(positions)} rows x {positions.shape[1]} positions, the prompt's pass "
                f"{rows} x {length}. Give a mask of the prompt, padding included."
            )
        return torch.from_numpy(np.repeat(positions, rows // len(positions), axis=0))

    def _last(self, rows: int, length: int) -> Bool[Tensor, "row position"]:
        """Return the last token of every row that is no padding."""
        if isinstance(self.mask, Tensor) and self.mask.ndim == 2:
            real = self.mask[:, -length:].bool().cpu()
            last = length - 1 - real.flip(1).int().argmax(1)
        elif self.mask is None or length == 1:
            last = torch.full((rows,), length - 1)
        else:
            raise InputError(
                "Positions 'answer' need to know which tokens are padding, and the attention mask is none of rows and "
                "positions. Give a mask of positions."
            )
        return torch.arange(length) == last[:, None]

    def rows_of(self, row: int, of: int, rows: int) -> Bool[Tensor, " row"]:
        """Return which rows of a call are one of `of` rows of the batch that was given."""
        if rows % of:
            raise InputError(f"There are edits for {of} rows, and the batch has {rows}. Give one a row.")
        return torch.arange(rows) // (rows // of) == row


@contextmanager
def following(model: "HeadModel") -> Iterator[Call]:
    """Yield what knows the model's forward call under way."""
    call = Call()
    with noting_calls(model.model, call.note):
        yield call
