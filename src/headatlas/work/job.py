"""What is asked of a model part by part, and its being done: rows that go into a store as they come.

1. `Work` says what is asked: named arrays of rows, which part makes which of them, and how rows become samples.
2. A `Run` is what all jobs of one run have in common: key, seed, folder, report.
3. `rows_of` does a job into a store of its own, so that a killed run continues after the last chunk of rows; without
   a folder they go into a temporary one, and memory is the same.

It does not know what the rows mean.
"""

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from headatlas._memory import give_back
from headatlas.work.store import Store

Rows = dict[str, np.ndarray]
"""Array name -> rows."""


Report = Callable[[str, int, int], None]
"""Called with (stage, done, total) as work goes on."""


@dataclass(frozen=True)
class Work:
    """What is asked of the model: named arrays of rows, made part by part, each part whenever it is wanted.

    Attributes
    ----------
    n
        How many rows.
    arrays
        Array name -> what a row of it is: dimension -> size.
    parts
        In order, which rows and what makes them.
    samples
        Makes samples of the rows of all parts, and runs nothing.
    chunk
        Rows that are kept at once; None: as many as are usual. Few where a row is dear.
    """

    n: int
    arrays: Mapping[str, Mapping[str, int]]
    parts: Iterable[tuple[range, Callable[[], Rows]]]
    samples: Callable[[Rows], xr.Dataset]
    chunk: int | None = None

    def done(self) -> xr.Dataset:
        """Return the samples, part by part and without a store."""
        found = [make() for _, make in self.parts]
        return self.samples({name: np.concatenate([rows[name] for rows in found]) for name in self.arrays})


@dataclass(frozen=True)
class Run:
    """What all jobs of a run have in common.

    Attributes
    ----------
    key
        What makes two runs on a model the same: a store with another key is never reused.
    seed
        The one seed.
    folder
        Where the jobs' stores are; None keeps rows in a temporary folder.
    report
        Called with (stage, done, total).
    """

    key: dict[str, Any]
    seed: int = 0
    folder: Path | None = None
    report: Report | None = None

    def told(self, stage: str, done: int, total: int) -> None:
        """Report how far a stage is."""
        if self.report:
            self.report(stage, done, total)


def rows_of(name: str, work: Work, run: Run, *, stage: str | None = None, key: Mapping[str, Any] | None = None) -> Rows:
    """Do a job part by part into the store called `name`, from where it was; return all rows.

    Parameters
    ----------
    name
        Of the store, ``name.zarr`` in the run's folder.
    work
        What is asked.
    run
        The run that it belongs to.
    stage
        What the job is called where progress shows; by default `name`.
    key
        What makes two jobs of this name the same, beside what makes two runs so.

    Raises
    ------
    StoreError
        The store is another run's, or damaged.
    RunError
        Another process is writing to it, or the disk is full.
    """
    if run.folder is None:
        with tempfile.TemporaryDirectory(prefix="headatlas-") as folder:
            return rows_of(name, work, replace(run, folder=Path(folder)), stage=stage, key=key)
    whole = {**run.key, **(key or {})}
    rows = Store(run.folder / f"{name}.zarr", n=work.n, arrays=work.arrays, key=whole, chunk=work.chunk)
    try:
        for part, make in work.parts:
            if part.stop <= rows.n_done:
                continue
            rows.append(part.start, make())
            give_back()
            run.told(stage or name, part.stop, work.n)
        return rows.read()
    finally:
        rows.close()
