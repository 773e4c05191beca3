"""Pooled activations on disk: streamed in, resumable after any kill, checked on the way out.

1. A store is a Zarr group with one row a prompt: z (prompt, layer, head, head_dim), logprob, greedy; and a
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
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float
from zarr.codecs import BloscCodec, Crc32cCodec

from headatlas.errors import RunError, StoreError

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
        self._rows: list[tuple[np.ndarray, float, bool]] = []
        with _disk(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not (self.path / "ready").is_file():
                shutil.rmtree(self.path, ignore_errors=True)  # a creation that was killed holds no rows
                self._create(shape, key)
            self._lock = open(self.path / "lock", "w")  # noqa: SIM115  (held until close)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"Another run is writing to {self.path}. Wait for it, or give another --out."
            ) from None
        self._open(key, shape)

    def _create(self, shape: tuple[int, int, int], key: dict[str, Any]) -> None:
        group = zarr.create_group(self.path, attributes={"key": json.dumps(key, sort_keys=True)})
        codecs: dict[str, Any] = {"compressors": [BloscCodec(cname="zstd", clevel=1), Crc32cCodec()]}
        rows = min(ROWS, self.n)
        group.create_array(
            "z",
            shape=(self.n, *shape),
            chunks=(rows, *shape),
            dtype="float32",
            dimension_names=_Z_DIMS,
            **codecs,
        )
        group.create_array("logprob", shape=(self.n,), chunks=(rows,), dtype="float32", **codecs)
        group.create_array("greedy", shape=(self.n,), chunks=(rows,), dtype="bool", **codecs)
        group.create_array(
            "done", shape=(-(-self.n // rows),), chunks=(1,), dtype="bool", fill_value=False, **codecs
        )
        (self.path / "ready").touch()

    def _open(self, key: dict[str, Any], shape: tuple[int, int, int]) -> None:
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            found = json.loads(str(self._group.attrs["key"]))
            z, done = self._array("z"), self._array("done")[:]
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
        self.n_done = (
            min(int(np.argmin(marked)) if not marked.all() else len(marked), len(marked)) * z.chunks[0]
        )
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
        logprob: np.ndarray,
        greedy: np.ndarray,
    ) -> None:
        """Add the rows from index `start` on; rows that are already there are passed over.

        Rows are buffered; a chunk is written when it is full or ends the store.
        """
        held = self.n_done + len(self._rows)
        if start > held:
            raise AssertionError(f"rows {held} to {start} were left out")
        for i in range(held - start, len(z)):
            self._rows.append((z[i], float(logprob[i]), bool(greedy[i])))
        rows = self._array("z").chunks[0]
        while self._rows and (len(self._rows) >= rows or self.n_done + len(self._rows) >= self.n):
            self._write(self._rows[:rows])
            self._rows = self._rows[rows:]

    def _write(self, rows: list[tuple[np.ndarray, float, bool]]) -> None:
        stop = self.n_done + len(rows)
        with _disk(self.path):
            self._array("z")[self.n_done : stop] = np.stack([row[0] for row in rows])
            self._array("logprob")[self.n_done : stop] = np.array([row[1] for row in rows], dtype=np.float32)
            self._array("greedy")[self.n_done : stop] = np.array([row[2] for row in rows])
            self._array("done")[self.n_done // self._array("z").chunks[0]] = True
        self.n_done = stop

    def read(self) -> tuple[Float[np.ndarray, "row layer head head_dim"], np.ndarray, np.ndarray]:
        """Return all of z, logprob and greedy.

        Raises
        ------
        StoreError
            Rows are missing, or a chunk is damaged (its checksum is wrong).
        """
        if not self.complete:
            raise StoreError(
                f"The store at {self.path} has {self.n_done} of {self.n} rows; its capture did not end."
            )
        try:
            return tuple(np.asarray(self._array(name)[:]) for name in ("z", "logprob", "greedy"))  # type: ignore[return-value]
        except Exception as error:  # a codec's own errors: checksum, truncation
            raise StoreError(
                f"The store at {self.path} is damaged ({error}). Type --fresh to capture again."
            ) from error

    def close(self) -> None:
        """Release the lock; rows that fill no chunk are dropped (a resumed run makes them again)."""
        self._lock.close()


_Z_DIMS = ("item", "layer", "head", "head_dim")


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
