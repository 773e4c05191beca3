"""A store survives kills, refuses what is not its own, and notices damage."""

import errno
import json
import random
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from zarr.storage import LocalStore

from headatlas.errors import RunError, StoreError
from headatlas.run.jobs import SCORES, activation_arrays
from headatlas.work.store import ROWS, Store, discard

SHAPE = (2, 3, 4)
KEY = {"model": "m", "prompts": "abc", "chat": True}


def rows(n, start=0):
    """Return the rows from `start` on of an endless table, so that any part of it can be made again."""
    z = np.stack([np.random.default_rng(i).normal(size=SHAPE).astype(np.float32) for i in range(start, start + n)])
    scores = np.stack([np.arange(len(SCORES), dtype=np.float32) - i for i in range(start, start + n)])
    scores[::3, 1] = np.nan  # prompts without a foil
    return {"z": z, "scores": scores}


def arrays(shape=SHAPE):
    return activation_arrays(*shape)


def fill(store, step=7, stop=None):
    """Append in packs of `step`, as a capture does."""
    stop = store.n if stop is None else stop
    for start in range(0, stop, step):
        if start + step <= store.n_done:
            continue
        count = min(step, stop - start)
        store.append(start, rows(count, start))


def open_store(path, n=70, key=KEY, shape=SHAPE):
    return closing(Store(path, n=n, arrays=arrays(shape), key=key))


def contents(path):
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.suffix != ".partial"
    }


@pytest.mark.parametrize("n", [1, 5, ROWS, ROWS + 1, 2 * ROWS, 70])
def test_rows_survive_a_reopen(tmp_path, n):
    with open_store(tmp_path / "s", n) as store:
        assert not store.complete
        fill(store)
        assert store.complete
    with open_store(tmp_path / "s", n) as store:
        assert store.n_done == n
        z, scores = store.read().values()
    expected = [np.concatenate(part) for part in zip(*(rows(1, i).values() for i in range(n)), strict=True)]
    np.testing.assert_array_equal(z, expected[0])
    np.testing.assert_array_equal(scores[:, 0], expected[1][:, 0])
    assert z.dtype == np.float32


def test_rows_of_zeros_are_rows(tmp_path):
    with open_store(tmp_path / "s", 40) as store:
        store.append(0, {"z": np.zeros((40, *SHAPE), np.float32), "scores": np.zeros((40, len(SCORES)), np.float32)})
        z, scores = store.read().values()
    assert not z.any() and not scores.any()


def test_an_unfinished_store_keeps_whole_chunks_and_is_not_read(tmp_path):
    with open_store(tmp_path / "s") as store:
        fill(store, stop=42)
    with open_store(tmp_path / "s") as store:
        assert store.n_done == ROWS
        with pytest.raises(StoreError, match=f"has {ROWS} of 70 rows; its run did not end"):
            store.read()
        fill(store)
        z = store.read()["z"]
    np.testing.assert_array_equal(z[[0, 41, 69]], np.concatenate([rows(1, i)["z"] for i in (0, 41, 69)]))


def test_a_chunk_is_marked_after_its_rows(tmp_path, monkeypatch):
    written = []
    original = LocalStore.set

    async def recording(self, key, value):
        await original(self, key, value)
        written.append(key)

    with open_store(tmp_path / "s") as store:
        monkeypatch.setattr(LocalStore, "set", recording)
        fill(store)
    for chunk in range(3):
        mark = written.index(f"done/c/{chunk}")
        assert written.index(f"z/c/{chunk}/0/0/0") < mark
        assert written.index(f"scores/c/{chunk}/0") < mark
    assert len(written) == 9


WRITER = """
import sys, time
from pathlib import Path
from headatlas.work.store import Store
from tests.test_store import KEY, arrays, rows
print("imported", flush=True)
store = Store(Path(sys.argv[1]), n=150, arrays=arrays(), key=KEY)
for start in range(0, 150, 5):
    if start + 5 > store.n_done:
        store.append(start, rows(5, start))
        time.sleep(0.02)
"""


def start_writer(path):
    process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "imported\n"
    return process


def test_killed_at_any_moment_it_ends_with_the_same_bytes(tmp_path):
    moments, reached = random.Random(0), []
    for _ in range(5):
        with start_writer(tmp_path / "killed") as process:
            time.sleep(moments.uniform(0.0, 0.35))
            process.send_signal(signal.SIGKILL)
        with open_store(tmp_path / "killed", 150) as store:
            reached.append(store.n_done)
    assert reached == sorted(reached), "what was there is kept"
    with start_writer(tmp_path / "killed") as process:
        assert process.wait() == 0
    with open_store(tmp_path / "whole", 150) as store:
        fill(store, step=5)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_store_that_was_killed_while_being_made_is_made_again(tmp_path):
    with open_store(tmp_path / "s") as store:
        fill(store)
    (tmp_path / "s" / "ready").unlink()
    (tmp_path / "s" / "z" / "zarr.json").unlink()
    (tmp_path / "s" / "zarr.0123456789abcdef.partial").write_text("half")
    with open_store(tmp_path / "s") as store:
        assert store.n_done == 0
        fill(store)
        assert store.read()["z"].shape == (70, *SHAPE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "other"}, r"model differ \(model: there 'm', here 'other'\)"),
        ({"prompts": "x", "chat": False}, r"chat, prompts differ \(chat: there True, here False\)"),
        ({"dtype": "float16"}, r"dtype differ \(dtype: there None, here 'float16'\)"),
    ],
)
def test_the_store_of_another_run_is_refused_naming_what_differs(tmp_path, change, message):
    with open_store(tmp_path / "s") as store:
        fill(store)
    before = contents(tmp_path / "s")
    with pytest.raises(StoreError, match=message + r"\. Give another --out, or --fresh with map"):
        open_store(tmp_path / "s", key={**KEY, **change})
    with pytest.raises(StoreError, match="shape differ"):
        open_store(tmp_path / "s", n=71)
    with pytest.raises(StoreError, match="shape differ"):
        open_store(tmp_path / "s", shape=(2, 3, 5))
    assert contents(tmp_path / "s") == before


def damage_truncate(store):
    chunk = store / "z/c/1/0/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-20])


def damage_flip(store):
    chunk = store / "z/c/1/0/0/0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)


def damage_empty(store):
    (store / "scores/c/0/0").write_bytes(b"")


def damage_delete(store):
    (store / "z/c/1/0/0/0").unlink()


def damage_delete_scores(store):
    (store / "scores/c/2/0").unlink()


def damage_metadata(store):
    (store / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attrib')


def damage_array(store):
    (store / "scores/zarr.json").write_text("oops")


def damage_key(store):
    meta = json.loads((store / "zarr.json").read_text())
    meta["attributes"]["key"] = "3"
    (store / "zarr.json").write_text(json.dumps(meta))


def damage_no_key(store):
    meta = json.loads((store / "zarr.json").read_text())
    meta["attributes"] = {}
    (store / "zarr.json").write_text(json.dumps(meta))


DAMAGES = [value for name, value in sorted(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_refused(tmp_path, damage):
    with open_store(tmp_path / "s") as store:
        fill(store)
    damage(tmp_path / "s")
    with pytest.raises(StoreError, match=r"is damaged.*Start over: --fresh"), open_store(tmp_path / "s") as store:
        store.read()
    discard(tmp_path / "s")  # what --fresh does
    with open_store(tmp_path / "s") as store:
        assert store.n_done == 0


def test_a_lost_mark_costs_work_not_rows(tmp_path):
    with open_store(tmp_path / "s") as store:
        fill(store)
    before = contents(tmp_path / "s")
    (tmp_path / "s/done/c/1").unlink()
    with open_store(tmp_path / "s") as store:
        assert store.n_done == ROWS
        fill(store)
    assert contents(tmp_path / "s") == before


@pytest.mark.parametrize("at", ["z/c/1/0/0/0", "scores/c/1/0", "done/c/1"])
def test_a_full_disk_stops_the_run_and_keeps_what_was_written(tmp_path, monkeypatch, at):
    original = LocalStore.set

    async def full(self, key, value):
        if key == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        await original(self, key, value)

    with open_store(tmp_path / "s") as store:
        monkeypatch.setattr(LocalStore, "set", full)
        with pytest.raises(RunError, match=r"The disk is full: .*is kept; make room and run"):
            fill(store)
    monkeypatch.undo()
    with open_store(tmp_path / "s") as store:
        assert store.n_done == ROWS
        fill(store)
        z = store.read()["z"]
    np.testing.assert_array_equal(z[[0, 33, 69]], np.concatenate([rows(1, i)["z"] for i in (0, 33, 69)]))


def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    async def full(self, key, value):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "set", full)
        with pytest.raises(RunError, match="The disk is full"):
            open_store(tmp_path / "s")
    with open_store(tmp_path / "s") as store:
        fill(store)
        assert store.complete


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match=r"Can't write \(Not a directory\)"):
        open_store(tmp_path / "file" / "s")


def test_two_processes_never_write_at_once(tmp_path):
    with start_writer(tmp_path / "s") as process:
        while not (tmp_path / "s" / "ready").exists():
            time.sleep(0.01)
        for attempt in (lambda: open_store(tmp_path / "s", 150), lambda: discard(tmp_path / "s")):
            with pytest.raises(RunError, match=r"Another run is writing to .*Wait for it, or give another --out"):
                attempt()
        assert process.wait() == 0
    with open_store(tmp_path / "s", 150) as store:  # the lock went with the process
        assert store.complete


def test_a_lock_left_by_a_killed_process_does_not_block(tmp_path):
    with start_writer(tmp_path / "s") as process:
        while not (tmp_path / "s" / "ready").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    (tmp_path / "s" / "lock").touch()
    with open_store(tmp_path / "s", 150) as store:
        fill(store)
        assert store.complete
    discard(tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_that_is_no_store_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for attempt in (lambda: open_store(tmp_path), lambda: discard(tmp_path)):
        with pytest.raises(StoreError, match=r"is no store: it holds thesis\.txt"):
            attempt()
    with pytest.raises(StoreError, match="is a file, not a store"):
        open_store(tmp_path / "thesis.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "other.zarr").mkdir()  # another library's
    (tmp_path / "other.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    with open_store(tmp_path / "s") as store:
        fill(store)
    (tmp_path / "s" / "notes.md").write_text("mine")
    for name, what in (("other.zarr", r"zarr\.json"), ("s", r"notes\.md")):
        before = contents(tmp_path / name)
        for attempt in (lambda name=name: open_store(tmp_path / name), lambda name=name: discard(tmp_path / name)):
            with pytest.raises(StoreError, match=rf"is no store: it holds {what}\. Give another folder"):
                attempt()
        assert contents(tmp_path / name) == before
    discard(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
