"""Atlas files: whole or not at all, and never taken for what they are not."""

import errno
import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import xarray as xr

from headatlas.atlas import as_atlas, check_atlas, load_atlas, provenance, save_atlas, unable_functions
from headatlas.atlas.tree import as_samples, samples_of
from headatlas.errors import AtlasError, InputError, RunError


def make(value=0.0, *, layers=4, heads=3):
    draw = np.random.default_rng(0)
    dims = ("method", "function", "layer", "head")
    shape = (1, 2, layers, heads)
    importance = draw.normal(size=shape).astype(np.float32) + np.float32(value)
    return xr.Dataset(
        {
            "importance": (dims, importance, {"long_name": "mean importance"}),
            "ci_low": (dims, importance - 1),
            "n_items": ("function", np.array([30, 40])),
        },
        coords={"method": ["probe"], "function": ["retrieval", "própria função"]},
        attrs={"model": '{"name": "tiny", "layers": 4}', "methods": '["probe"]', "seed": 3},
    )


def test_what_is_saved_is_loaded(tmp_path):
    atlas = make()
    assert save_atlas(atlas, tmp_path / "new" / "atlas.nc") == tmp_path / "new" / "atlas.nc"
    loaded = load_atlas(tmp_path / "new" / "atlas.nc")
    xr.testing.assert_equal(loaded, as_atlas(atlas))
    assert loaded["probe/importance"].dtype == np.float32
    assert loaded["probe"]["importance"].attrs == {"long_name": "mean importance"}
    assert provenance(loaded, "model") == {"name": "tiny", "layers": 4}
    assert provenance(loaded, "methods") == ["probe"]
    assert provenance(loaded, "seed") == 3
    assert provenance(loaded, "absent", "x") == "x"
    assert "complete" not in atlas.attrs, "the caller's Dataset is left as it was"
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["atlas.nc"]
    save_atlas(loaded, tmp_path / "again.nc")
    xr.testing.assert_identical(load_atlas(tmp_path / "again.nc"), loaded)


def test_samples_may_be_left_out_and_all_else_is_the_same(tmp_path):
    atlas = as_atlas(make())
    samples = xr.Dataset({"importance": (("sample", "layer", "head"), np.ones((6, 4, 3), np.float32))})
    atlas["probe/samples"] = xr.DataTree(as_samples(samples.assign_coords(function=("sample", ["retrieval"] * 6))))
    save_atlas(atlas, tmp_path / "atlas.nc")
    whole, less = load_atlas(tmp_path), load_atlas(tmp_path, samples=False)
    assert samples_of(whole, "probe").sizes["sample"] == 6
    with pytest.raises(InputError, match="holds no samples of 'probe'"):
        samples_of(less, "probe")
    whole["probe"].children = {}
    xr.testing.assert_identical(less, whole)
    (tmp_path / "bad.nc").write_bytes(b"nothing")
    with pytest.raises(AtlasError, match="can't be read as NetCDF"):
        load_atlas(tmp_path / "bad.nc", samples=False)


@pytest.mark.parametrize("version", [1, 2])
def test_files_of_earlier_schemas_load_as_trees(tmp_path, version):
    """They are flat: a dimension method, padded with NaN where a method had no numbers."""
    flat = xr.concat([make(), make().assign_coords(method=["ablation"])], "method", data_vars="minimal")
    flat["importance"] = flat["importance"].copy()
    flat["kl"] = flat["importance"].where(flat["method"] == "ablation")
    flat.attrs["notes"] = '{"ablation": {"replaced_by": "zero"}}'
    marked = flat.assign_attrs(complete=1, schema_version=version)
    marked.to_netcdf(tmp_path / "atlas.nc", engine="h5netcdf")
    loaded = load_atlas(tmp_path)
    xr.testing.assert_identical(load_atlas(tmp_path, samples=False), loaded)
    assert list(loaded.children) == ["probe", "ablation"]
    np.testing.assert_array_equal(loaded["ablation/importance"], flat["importance"][1])
    assert "kl" in loaded["ablation"] and "kl" not in loaded["probe"], "no padding"
    assert loaded["probe"].attrs["sign"] == "absolute" and loaded["ablation"].attrs["sign"] == "signed"
    assert loaded["ablation"].attrs["ablates"] and not loaded["probe"].attrs["ablates"]
    assert "replaced_by" in loaded["ablation"].attrs["notes"]
    assert loaded["n_items"].values.tolist() == [30, 40]


def test_functions_that_the_model_does_not_do_are_named_from_one_variable(tmp_path):
    atlas = make()
    assert unable_functions(atlas) == ()
    marked = atlas.assign(unable=("function", np.array([False, True])))
    assert unable_functions(marked) == ("própria função",)
    loaded = load_atlas(save_atlas(marked, tmp_path / "atlas.nc"))
    assert loaded["unable"].dtype == bool and unable_functions(loaded) == ("própria função",)
    assert unable_functions(marked.sel({"method": "probe"})) == ("própria função",)


def test_any_program_that_reads_netcdf_can_open_it(tmp_path):
    import h5py

    save_atlas(make(), tmp_path / "atlas.nc")
    with h5py.File(tmp_path / "atlas.nc") as file:
        assert file["probe/importance"].shape == (2, 4, 3)
        assert [d.keys()[0] for d in file["probe/importance"].dims if d.keys()][:1] == ["function"]


@contextmanager
def a_disk_with_room_for(size):
    """Let no file grow past `size` bytes: the kernel itself refuses, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("size", [0, 1000, 8000, 200_000])
def test_a_write_that_fails_keeps_the_old_file(tmp_path, size):
    path = save_atlas(make(), tmp_path / "atlas.nc")
    before = path.read_bytes()
    with (
        a_disk_with_room_for(size),
        pytest.raises(RunError, match=r"Can't write .*atlas\.nc.*Free space, or give"),
    ):
        save_atlas(make(layers=100, heads=300), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["atlas.nc"]


def test_who_reads_the_old_file_reads_it_whole(tmp_path):
    path = save_atlas(make(), tmp_path / "atlas.nc")
    before = path.read_bytes()
    with open(path, "rb") as reader:
        save_atlas(make(1.0), path)
        assert reader.read() == before != path.read_bytes()


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = save_atlas(make(), tmp_path / "atlas.nc")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        save_atlas(make(1.0), path)
    monkeypatch.undo()
    xr.testing.assert_equal(load_atlas(path), as_atlas(make()))


KILLED = """
import os, signal, sys
from pathlib import Path
from headatlas.atlas import save_atlas
from tests.test_atlas import make
os.fsync = lambda fd: os.kill(os.getpid(), signal.SIGKILL)  # all is written, nothing is renamed
save_atlas(make(5.0), sys.argv[1])
"""


def test_a_killed_write_keeps_the_old_file(tmp_path):
    path = save_atlas(make(), tmp_path / "atlas.nc")
    before = path.read_bytes()
    ended = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    save_atlas(make(5.0), path)
    xr.testing.assert_equal(load_atlas(path), as_atlas(make(5.0)))


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="Can't write"):
        save_atlas(make(), tmp_path / "file" / "atlas.nc")


# -- what is no atlas -----------------------------------------------------------------------------------


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(AtlasError, match=r"No atlas at .*Make one with: headatlas map --out"):
        load_atlas(tmp_path / "atlas.nc")


@pytest.mark.parametrize("keep", [0.0, 0.05, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short(tmp_path, keep):
    path = save_atlas(make(layers=30, heads=20), tmp_path / "atlas.nc")
    os.truncate(path, int(path.stat().st_size * keep))
    with pytest.raises(AtlasError, match=r"can't be read as NetCDF .*cut short\. Run headatlas map again"):
        load_atlas(path)


def test_another_kind_of_file(tmp_path):
    (tmp_path / "atlas.nc").write_text("dear diary")
    with pytest.raises(AtlasError, match="can't be read as NetCDF"):
        load_atlas(tmp_path / "atlas.nc")


@pytest.mark.parametrize(
    ("attrs", "message"),
    [
        ({"schema_version": 2}, r"has no completion mark: its run did not end.*Run headatlas map again"),
        ({"schema_version": 2, "complete": 0}, "has no completion mark"),
        ({"complete": 1}, "has schema version None, this headatlas reads 1 to 3"),
        (
            {"complete": 1, "schema_version": 4},
            r"version 4, this headatlas reads 1 to 3\. Run headatlas map again",
        ),
    ],
)
def test_marks_of_an_atlas(tmp_path, attrs, message):
    make().assign_attrs(attrs).to_netcdf(tmp_path / "atlas.nc", engine="h5netcdf")
    with pytest.raises(AtlasError, match=message):
        load_atlas(tmp_path / "atlas.nc")


def with_value(value):
    atlas = make()
    atlas["importance"][0, 1, 2, 0] = value
    return atlas


@pytest.mark.parametrize(
    ("atlas", "message"),
    [
        (
            make().drop_vars("importance"),
            r"is no atlas: it has no variable 'importance' \(found: ci_low, n_items\)",
        ),
        (xr.Dataset(), r"\(found: none\)"),
        (
            make().rename(layer="block"),
            r"'importance' has dimensions \('method', 'function', 'block', 'head'\), expected .*rename",
        ),
        (make().isel(method=0), "'importance' has dimensions"),
        (
            make().assign(excess=(("method", "control"), [[0.1, 0.2]])),
            "dimension 'control' has no labels",
        ),
        (make().drop_vars("function"), "'function' has no labels. Add them with Dataset.assign_coords"),
        (with_value(np.nan), "importance holds 1 values that are NaN or infinite"),
        (with_value(np.inf), "importance holds 1 values that are NaN or infinite"),
    ],
)
def test_a_dataset_that_breaks_the_schema_is_neither_saved_nor_loaded(tmp_path, atlas, message):
    for refused in (lambda: check_atlas(atlas), lambda: save_atlas(atlas, tmp_path / "atlas.nc")):
        with pytest.raises(AtlasError, match=message):
            refused()
    assert list(tmp_path.iterdir()) == []
    marked = atlas.assign_attrs(complete=1, schema_version=2)
    marked.to_netcdf(tmp_path / "atlas.nc", engine="h5netcdf")
    with pytest.raises(AtlasError, match=message) as error:
        load_atlas(tmp_path / "atlas.nc")
    assert str(tmp_path) in str(error.value), "the file is named"
