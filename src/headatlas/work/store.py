"""Rows on disk: streamed in, resumable after any kill, checked on the way out.

1. A store is a Zarr group of arrays with one row a prompt (pooled z and scores, or a method's effects) or one a fit,
   and a ``done`` mark for every chunk of rows. Rows are written a whole chunk at a time, the mark after them; both
   writes are atomic (Zarr replaces files) and carry a CRC-32C.
2. The store's attributes say that it is one of these (`MARK`) and name its arrays; ``ready`` repeats it. A folder that
   says no such thing, or holds anything else, is left alone.
3. They also say what run it belongs to (`key`). A store with another key is refused, never
   reused; the same key continues after the last marked chunk.
4. `Store.read` gives the rows back only when every chunk is marked.

It knows arrays and a key; it does not know what a model or a prompt is.
"""

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from filelock import FileLock, Timeout
from zarr.codecs import BloscCodec, Crc32cCodec

from headatlas._files import write_text
from headatlas.errors import RunError, StoreError

MARK = "headatlas rows"
# How a person starts over (experiments and validate have no such option).
_AFRESH = "--fresh with map and roles, else remove that folder"
"""The attribute by which a store knows itself: the names of its arrays."""

Rows = Mapping[str, np.ndarray]
"""Array name -> rows, (row, *shape)."""

ROWS = 32
"""Rows a chunk: what a kill costs at most, and the most rows held in memory while capturing."""


class Store:
    """Rows in a Zarr group at `path`.

    Parameters
    ----------
    path
        The folder; made if absent.
    n
        Number of prompts.
    arrays
        Array name -> what a row of it is: dimension -> size. A value may be NaN, a whole row may not.
    key
        What makes two runs the same, JSON-serialisable: model, questions, template, token choice, dtype.
    chunk
        Rows of a chunk, default `ROWS`; fewer where a row is dear to make, for a kill costs a chunk at most.

    Raises
    ------
    StoreError
        `path` holds a store of another run (what differs is named), or is damaged.
    RunError
        Another process is writing to it, or the disk is full.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        n: int,
        arrays: Mapping[str, Mapping[str, int]],
        key: dict[str, Any],
        chunk: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.n = n
        self.arrays = {name: dict(dims) for name, dims in arrays.items()}
        self._rows: list[dict[str, np.ndarray]] = []
        _refuse_strangers(self.path)
        self._lock = _locked(self.path)
        try:
            if not (self.path / "ready").is_file():
                with _disk(self.path):
                    _empty(self.path)  # a creation that was killed holds no rows
                    self._create(key, chunk or ROWS)
            self._open(key)
        except BaseException:
            self._lock.release()
            raise

    def _create(self, key: dict[str, Any], chunk: int) -> None:
        mark = {MARK: list(self.arrays)}
        group = zarr.create_group(self.path, attributes={**mark, "key": json.dumps(key, sort_keys=True)})
        codecs: dict[str, Any] = {"compressors": [BloscCodec(cname="zstd", clevel=1), Crc32cCodec()]}
        rows = min(chunk, self.n)
        for name, dims in self.arrays.items():
            group.create_array(
                name,
                shape=(self.n, *dims.values()),
                chunks=(rows, *dims.values()),
                dtype="float32",
                fill_value=float("nan"),  # a row of nothing else: a chunk that went missing shows
                dimension_names=("item", *dims),
                **codecs,
            )
        group.create_array("done", shape=(-(-self.n // rows),), chunks=(1,), dtype="bool", fill_value=False, **codecs)
        write_text(self.path / "ready", json.dumps(mark))

    def _open(self, key: dict[str, Any]) -> None:
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            found = dict(json.loads(str(self._group.attrs["key"])))
            done = self._array("done")[:]
            shapes = {name: tuple(self._array(name).shape) for name in self.arrays}
        except Exception as error:  # zarr raises many kinds for damaged metadata
            raise StoreError(f"The store at {self.path} is damaged ({error}). Start over: {_AFRESH}.") from error
        wanted = json.loads(json.dumps(key))
        differ = differing(found, wanted)
        if not differ and shapes != {name: (self.n, *dims.values()) for name, dims in self.arrays.items()}:
            differ = ["shape"]
        if differ:
            k = differ[0]
            raise StoreError(
                f"{self.path} belongs to another run: {', '.join(differ)} differ"
                f" ({k}: there {found.get(k)!r}, here {wanted.get(k)!r}).{upgraded(differ)}"
                f" Give another --out, or {_AFRESH}."
            )
        marked = np.asarray(done)
        whole = int(np.argmin(marked)) if not marked.all() else len(marked)
        self.n_done = min(whole * self._chunk, self.n)

    @property
    def _chunk(self) -> int:
        """Rows of a chunk."""
        return int(self._array(next(iter(self.arrays))).chunks[0])

    def _array(self, name: str) -> Any:
        return self._group[name]

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.n_done >= self.n

    def append(self, start: int, rows: Rows) -> None:
        """Add the rows from index `start` on; rows that are already there are passed over.

        Rows are buffered; a chunk is written when it is full or ends the store.

        Parameters
        ----------
        start
            Index of the first row given, at most the number of rows already there.
        rows
            The rows of every array.
        """
        held = self.n_done + len(self._rows)
        assert start <= held, f"rows {held} to {start} were left out"
        assert rows.keys() == self.arrays.keys(), "every array gets its rows"
        n = len(next(iter(rows.values())))
        self._rows += [{name: values[i] for name, values in rows.items()} for i in range(held - start, n)]
        chunk = self._chunk
        while self._rows and (len(self._rows) >= chunk or self.n_done + len(self._rows) >= self.n):
            self._write(self._rows[:chunk])
            self._rows = self._rows[chunk:]

    def _write(self, rows: list[dict[str, np.ndarray]]) -> None:
        stop = self.n_done + len(rows)
        with _disk(self.path):
            for name in self.arrays:
                self._array(name)[self.n_done : stop] = np.stack([row[name] for row in rows])
            self._array("done")[self.n_done // self._chunk] = True
        self.n_done = stop

    def read(self) -> dict[str, np.ndarray]:
        """Return all rows of every array.

        Raises
        ------
        StoreError
            Rows are missing, or a chunk is damaged (its checksum is wrong) or gone.
        """
        if not self.complete:
            raise StoreError(f"The store at {self.path} has {self.n_done} of {self.n} rows; its run did not end.")
        return {name: self._read(name) for name in self.arrays}

    def _read(self, name: str) -> np.ndarray:
        array = self._array(name)
        whole = np.empty(array.shape, np.float32)
        for start in range(0, self.n, self._chunk):  # chunk by chunk, so that nothing is held twice
            part = slice(start, min(start + self._chunk, self.n))
            try:
                whole[part] = array[part]
            except Exception as error:  # a codec's own errors: checksum, truncation
                raise StoreError(f"The store at {self.path} is damaged ({error}). Start over: {_AFRESH}.") from error
            if np.isnan(whole[part]).reshape(part.stop - start, -1).all(axis=1).any():
                raise StoreError(f"The store at {self.path} is damaged: a chunk is gone. Start over: {_AFRESH}.")
        return whole

    def close(self) -> None:
        """Release the lock; rows that fill no chunk are dropped (a resumed run makes them again)."""
        self._lock.release()


def differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return in what two keys differ; the version of a method that only one of them has is told by its name already."""
    differ = sorted(k for k in here.keys() | there.keys() if here.get(k) != there.get(k))
    told = [k for k in differ if not k.endswith(" version") or (k in here and k in there)]
    return told or differ


def upgraded(differ: Sequence[str]) -> str:
    """Return what to add where keys differ in an algorithm's version."""
    algorithms = [name.removesuffix(" version") for name in differ if name.endswith(" version")]
    return f" Another version of {', '.join(algorithms)} makes other numbers." if algorithms else ""


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
        _empty(path)
    with suppress(OSError):  # another run may have begun one here; an open lock file can't be deleted on Windows
        (path / "lock").unlink(missing_ok=True)
        path.rmdir()


_PARTS = ("zarr.json", "done", "ready", "lock")
"""What every store holds beside its arrays."""


def _refuse_strangers(path: Path) -> None:
    """Raise if `path` is no store: what is in it is not ours to delete."""
    if path.exists() and not path.is_dir():
        raise StoreError(f"{path} is a file, not a store. Give another folder.")
    found = sorted(p.name for p in path.iterdir()) if path.is_dir() else []
    found = [name for name in found if name != "lock" and not name.endswith(".partial")]
    own = _own_arrays(path)
    strangers = [name for name in found if own is None or name not in (*_PARTS, *own)]
    if strangers:
        raise StoreError(f"{path} is no store: it holds {strangers[0]}. Give another folder.")


def _own_arrays(path: Path) -> list[str] | None:
    """Return the names of the arrays that a store says it holds; None if it does not say that it is a store."""
    for file in ("zarr.json", "ready"):  # either may be damaged, or not yet be there
        try:
            said = json.loads((path / file).read_text(encoding="utf-8"))
            return [str(name) for name in (said["attributes"] if file == "zarr.json" else said)[MARK]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _locked(path: Path) -> FileLock:
    """Return the store's lock, held until it is released or the process ends."""
    lock = FileLock(path / "lock", timeout=0, thread_local=False)
    with _disk(path):
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
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
            f"{what}: {path}. What was done so far is kept; make room and run the same command again."
        ) from error
