"""Pooled activations on disk: streamed in, resumable after any kill, checked on the way out.

1. A store is a Zarr group with one row a prompt: z (prompt, layer, head, head_dim) and scores (prompt, score); and a
   ``done`` mark for every chunk of rows. Rows are written a whole chunk at a time, the mark after them; both
   writes are atomic (Zarr replaces files) and carry a CRC-32C.
2. The store's attributes say what run it belongs to (`key`). A store with another key is refused, never
   reused; the same key continues after the last marked chunk.
3. `Store.read` gives the rows back only when every chunk is marked.

It knows arrays and a key; it does not know what a model or a prompt is.
"""

import errno
import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import zarr
from jaxtyping import Float
from zarr.codecs import BloscCodec, Crc32cCodec

from headatlas.errors import RunError, StoreError

SCORES = ("logprob", "foil_logprob", "right")
"""What is kept of each prompt beside z: mean log-probability of a token of the reference answer and of the
foil (NaN without one), and whether the model's own answer is the reference."""

Row = tuple[np.ndarray, np.ndarray]

ROWS = 32
"""Prompts a chunk: what a kill costs at most, and the most rows held in memory while capturing."""


class Store:
    """Rows of pooled activations in a Zarr group at `path`.

    Parameters
    ----------
    path
        The folder; made if absent.
    n
        Number of prompts.
    shape
        (layers, heads, head_dim).
    key
        What makes two runs the same, JSON-serialisable: model, questions, template, token choice, dtype.

    Raises
    ------
    StoreError
        `path` holds a store of another run (what differs is named), or is damaged.
    RunError
        Another process is writing to it, or the disk is full.
    """

    def __init__(self, path: str | Path, *, n: int, shape: tuple[int, int, int], key: dict[str, Any]) -> None:
        self.path = Path(path)
        self.n = n
        self._rows: list[Row] = []
        _refuse_strangers(self.path)
        self._lock = _locked(self.path)
        try:
            if not (self.path / "ready").is_file():
                with _disk(self.path):
                    _empty(self.path)  # a creation that was killed holds no rows
                    self._create(shape, key)
            self._open(key, shape)
        except BaseException:
            self._lock.close()
            raise

    def _create(self, shape: tuple[int, int, int], key: dict[str, Any]) -> None:
        group = zarr.create_group(self.path, attributes={"key": json.dumps(key, sort_keys=True)})
        codecs: dict[str, Any] = {"compressors": [BloscCodec(cname="zstd", clevel=1), Crc32cCodec()]}
        rows = min(ROWS, self.n)
        group.create_array(
            "z",
            shape=(self.n, *shape),
            chunks=(rows, *shape),
            dtype="float32",
            fill_value=float("nan"),  # never a value of z: a chunk that went missing shows
            dimension_names=_Z_DIMS,
            **codecs,
        )
        group.create_array(
            "scores",
            shape=(self.n, len(SCORES)),
            chunks=(rows, len(SCORES)),
            dtype="float32",
            fill_value=float("nan"),
            attributes={"scores": list(SCORES)},
            **codecs,
        )
        group.create_array("done", shape=(-(-self.n // rows),), chunks=(1,), dtype="bool", fill_value=False, **codecs)
        (self.path / "ready").touch()

    def _open(self, key: dict[str, Any], shape: tuple[int, int, int]) -> None:
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            found = dict(json.loads(str(self._group.attrs["key"])))
            z, done = self._array("z"), self._array("done")[:]
            self._array("scores")
        except Exception as error:  # zarr raises many kinds for damaged metadata
            raise StoreError(
                f"The store at {self.path} is damaged ({error}). Type --fresh to capture again."
            ) from error
        wanted = json.loads(json.dumps(key))
        differ = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
        if not differ and z.shape != (self.n, *shape):
            differ = ["shape"]
        if differ:
            k = differ[0]
            raise StoreError(
                f"{self.path} belongs to another run: {', '.join(differ)} differ"
                f" ({k}: there {found.get(k)!r}, here {wanted.get(k)!r}). Give another --out, or --fresh."
            )
        marked = np.asarray(done)
        self.n_done = min(int(np.argmin(marked)) if not marked.all() else len(marked), len(marked)) * z.chunks[0]
        self.n_done = min(self.n_done, self.n)

    def _array(self, name: str) -> Any:
        return self._group[name]

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.n_done >= self.n

    def append(
        self,
        start: int,
        z: Float[np.ndarray, "row layer head head_dim"],
        scores: Float[np.ndarray, "row score"],
    ) -> None:
        """Add the rows from index `start` on; rows that are already there are passed over.

        Rows are buffered; a chunk is written when it is full or ends the store.

        Parameters
        ----------
        start
            Index of the first row given, at most the number of rows already there.
        z
            Pooled z, finite.
        scores
            One column for each of `SCORES`; the first is never NaN.
        """
        held = self.n_done + len(self._rows)
        assert start <= held, f"rows {held} to {start} were left out"
        self._rows += [(z[i], scores[i]) for i in range(held - start, len(z))]
        rows = self._array("z").chunks[0]
        while self._rows and (len(self._rows) >= rows or self.n_done + len(self._rows) >= self.n):
            self._write(self._rows[:rows])
            self._rows = self._rows[rows:]

    def _write(self, rows: list[Row]) -> None:
        stop = self.n_done + len(rows)
        with _disk(self.path):
            self._array("z")[self.n_done : stop] = np.stack([z for z, _ in rows])
            self._array("scores")[self.n_done : stop] = np.stack([scores for _, scores in rows])
            self._array("done")[self.n_done // self._array("z").chunks[0]] = True
        self.n_done = stop

    def read(self) -> tuple[Float[np.ndarray, "row layer head head_dim"], Float[np.ndarray, "row score"]]:
        """Return all of z and the scores.

        Raises
        ------
        StoreError
            Rows are missing, or a chunk is damaged (its checksum is wrong) or gone.
        """
        if not self.complete:
            raise StoreError(f"The store at {self.path} has {self.n_done} of {self.n} rows; its capture did not end.")
        z = np.empty(self._array("z").shape, np.float32)
        scores = np.empty(self._array("scores").shape, np.float32)
        rows = self._array("z").chunks[0]
        for start in range(0, self.n, rows):  # chunk by chunk, so that nothing is held twice
            part = slice(start, min(start + rows, self.n))
            try:
                z[part], scores[part] = self._array("z")[part], self._array("scores")[part]
            except Exception as error:  # a codec's own errors: checksum, truncation
                raise StoreError(
                    f"The store at {self.path} is damaged ({error}). Type --fresh to capture again."
                ) from error
            if not np.isfinite(z[part]).all() or np.isnan(scores[part, 0]).any():
                raise StoreError(
                    f"The store at {self.path} is damaged: a chunk is gone. Type --fresh to capture again."
                )
        return z, scores

    def close(self) -> None:
        """Release the lock; rows that fill no chunk are dropped (a resumed run makes them again)."""
        self._lock.close()


def discard(path: Path) -> None:
    """Delete the store at `path`, if there is one.

    Raises
    ------
    StoreError
        The folder holds other things than a store.
    RunError
        Another process is writing to it.
    """
    if not path.exists():
        return
    _refuse_strangers(path)
    with _locked(path), _disk(path):
        shutil.rmtree(path)


_Z_DIMS = ("item", "layer", "head", "head_dim")
_PARTS = ("zarr.json", "z", "scores", "done", "ready", "lock")


def _refuse_strangers(path: Path) -> None:
    """Raise if `path` is no store: what is in it is not ours to delete."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file, not a store of activations. Give another folder.")
    strangers = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    strangers = [name for name in strangers if name not in _PARTS and not name.endswith(".partial")]
    if strangers:
        raise StoreError(f"{path} is no store of activations: it holds {strangers[0]}. Give another folder.")


def _locked(path: Path) -> IO[str]:
    """Return the store's lock file, locked until it is closed or the process ends."""
    with _disk(path):
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / "lock", "w")  # noqa: SIM115  (held until close)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RunError(f"Another run is writing to {path}. Wait for it, or give another --out.") from None
    return lock


def _empty(path: Path) -> None:
    """Delete all but the lock."""
    for part in path.iterdir():
        if part.is_dir():
            shutil.rmtree(part)
        elif part.name != "lock":
            part.unlink()


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turn a full or unwritable disk into a `RunError` that says what to do."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "The disk is full" if full else f"Can't write ({error.strerror or error})"
        raise RunError(
            f"{what}: {path}. What was captured so far is kept; make room and run the same command again."
        ) from error
