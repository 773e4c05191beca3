"""Imports point back along the data's path, and asking for little loads little."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import headatlas

ROOT = Path(headatlas.__file__).parent

# The data's path: a part may import what stands before it. A package is one part.
ORDER = (
    "_lazy", "errors", "_registry", "_files", "_html", "_memory", "work", "stats", "controls", "questions", "building",
    "prompts", "models", "methods", "atlas", "interventions", "answers", "roles", "findings", "figures", "run",
    "validation", "experiments", "comparison", "report", "cli",
)  # fmt: skip


def modules():
    """Return every module's dotted name inside headatlas ("" is the package itself) and its source file."""
    found = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(file):
    """Yield (imported name, line) of everything that `file` imports, wherever in it; typing-only ones too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}, line {node.lineno}: imports are absolute here"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def own_imports(file):
    """Yield (module of headatlas, line) of what `file` imports of it: names inside modules are cut off."""
    known = modules()
    for name, line in imports(file):
        if name == "headatlas" or name.startswith("headatlas."):
            inside = name.removeprefix("headatlas").lstrip(".")
            while inside not in known:
                inside = inside.rpartition(".")[0]
            yield inside, line


def part(module):
    return module.split(".")[0]


def test_every_part_has_its_place_on_the_path():
    assert {part(m) for m in modules() if m} == set(ORDER)


@pytest.mark.parametrize("module", [m for m in modules() if m])
def test_imports_point_back_along_the_data_path(module):
    file = modules()[module]
    for imported, line in own_imports(file):
        if not imported:
            assert module == "cli.main", f"{file}, line {line}: imports the whole of headatlas"
            continue
        pair = part(module), part(imported)
        assert ORDER.index(pair[1]) <= ORDER.index(pair[0]), (
            f"{file}, line {line}: {pair[0]} may not import {pair[1]}, which comes after it"
        )


def test_there_are_no_cycles():
    graph = {module: {i for i, _ in own_imports(file) if i} for module, file in modules().items() if module}
    assert graph["run.pipeline"] >= {"run.jobs", "stats", "atlas"}, "the graph is read from the code"
    TopologicalSorter(graph).prepare()  # raises CycleError, naming the cycle


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("matplotlib", {"figures"}),
        ("typer", {"cli"}),
        ("rich", {"cli"}),
        ("zarr", {"work"}),
        ("filelock", {"work"}),
        ("pandas", {"atlas", "questions", "experiments"}),
        ("lm_eval", {"experiments"}),
        ("transformers", {"models"}),
        ("torch", {"models", "methods", "interventions", "answers", "validation", "experiments"}),
        ("pydantic", {"questions", "building"}),
        ("openai", {"building"}),
        ("tenacity", {"building"}),
        ("sqlite3", {"building"}),
        ("datasets", {"questions"}),
    ],
)
def test_a_library_is_known_to_its_own_part_only(library, allowed):
    users = {
        part(module) for module, file in modules().items() for name, _ in imports(file) if name.split(".")[0] == library
    }
    assert users
    assert users <= allowed


def test_only_one_file_knows_hooks():
    users = {m for m, file in modules().items() if "register_forward" in file.read_text(encoding="utf-8")}
    assert users == {"models.hooks"}


def loaded_by(statement):
    """Return the modules that a fresh interpreter has loaded after `statement`."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_headatlas_loads_neither_torch_nor_matplotlib():
    loaded = loaded_by("import headatlas\ndir(headatlas)")
    assert "headatlas" in loaded
    assert not loaded & {"torch", "transformers", "matplotlib", "numpy", "xarray", "pydantic", "zarr"}


def test_reading_an_atlas_its_findings_and_figures_loads_no_torch_whatever_is_read(tmp_path):
    """Transitively: an atlas is loaded, described and drawn."""
    atlas = xr.Dataset(
        {"importance": (("method", "function", "layer", "head"), np.random.default_rng(0).normal(size=(2, 3, 4, 5)))},
        coords={"method": ["probe", "ablation"], "function": ["retrieval", "inference", "math_calculation"]},
    )
    headatlas.save_atlas(atlas, tmp_path / "atlas.nc")
    read = f"import headatlas\natlas = headatlas.load_atlas({str(tmp_path)!r})\nheadatlas.describe(atlas).to_markdown()"
    loaded = loaded_by(read)
    assert "xarray" in loaded
    assert not loaded & {"torch", "transformers", "matplotlib", "sklearn", "scipy.stats", "zarr"}
    drawn = loaded_by(f"{read}\nheadatlas.heads_importance(atlas, method='ablation')")
    assert "matplotlib" in drawn and not drawn & {"torch", "transformers", "zarr"}
    assert "matplotlib" not in loaded_by("import headatlas.figures")


def test_the_public_names():
    assert len(headatlas.__all__) <= 16
    for name in headatlas.__all__:
        assert callable(getattr(headatlas, name)) or name in ("figures", "interventions", "methods", "roles"), name
    assert headatlas.methods.Probe(refits=2).name == "probe"
    assert str(headatlas.interventions.Mask(((1, 2),))) == "Mask(L1H2)"
    assert callable(headatlas.figures.method_agreement) and callable(headatlas.roles.measure_roles)
    with pytest.raises(AttributeError, match=r"no attribute 'mesure'. It has: .*measure"):
        headatlas.mesure  # noqa: B018
