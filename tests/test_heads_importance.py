"""The heads-importance figure: what is drawn equals the atlas, and the figure says what it is."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.text import Text

from headatlas.errors import AtlasError, InputError, RunError
from headatlas.figures import figures, heads_importance, save_figure
from headatlas.figures.heads_importance import choose_scale, index_ticks
from headatlas.questions.functions import FUNCTIONS
from tests.planted.seed_figure import make_atlas, pure_noise, seed_figure


def panels(figure: Figure) -> list:
    return [axis for axis in figure.axes if axis.images]


def bars(figure: Figure) -> list:
    return [axis for axis in figure.axes if axis.get_label() == "<colorbar>"]


def labels(axis) -> list[str]:
    return [t.get_text() for t in axis.get_yticklabels()]


def caption(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


# -- what is drawn -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (12, 12), (30, 9), (28, 24), (80, 64)])
def test_panels_hold_the_atlas_values_in_the_figures_order(shape: tuple[int, int]) -> None:
    atlas = seed_figure(n_layers=shape[0], n_heads=shape[1])
    shuffled = atlas.isel(function=[3, 7, 0, 5, 1, 6, 2, 4]).transpose("head", "layer", "function", "method")
    drawn = panels(heads_importance(shuffled))
    assert [axis.get_title().replace("\n", " ") for axis in drawn] == list(FUNCTIONS.values())
    for axis, function in zip(drawn, FUNCTIONS, strict=True):
        expected = atlas["importance"].sel({"method": "planted", "function": function}).values
        np.testing.assert_array_equal(axis.images[0].get_array(), expected.astype(np.float64))


def test_layer_zero_is_at_the_bottom_and_the_axis_says_so() -> None:
    figure = heads_importance(seed_figure())
    for axis in panels(figure):
        assert axis.images[0].origin == "lower"
        assert axis.get_ylim() == (0, 28) and axis.get_xlim() == (0, 24)
    assert panels(figure)[0].get_ylabel() == "Layer (0 = input side)"
    assert [axis.get_xlabel() for axis in panels(figure)] == [""] * 4 + ["Head"] * 4


def test_ticks_are_those_of_the_published_figure() -> None:
    figure = heads_importance(seed_figure())
    axis = panels(figure)[4]
    assert axis.get_xticks().tolist() == axis.get_yticks().tolist() == [0, 6, 12, 18, 24]
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0", "6", "12", "18", "24"]


@pytest.mark.parametrize(
    ("n", "ticks"),
    [
        (4, [0, 1, 2, 3]),
        (9, list(range(9))),
        (16, [0, 4, 8, 12, 16]),
        (24, [0, 6, 12, 18, 24]),
        (28, [0, 6, 12, 18, 24]),
        (30, [0, 6, 12, 18, 24, 30]),
        (32, [0, 8, 16, 24, 32]),
        (64, [0, 16, 32, 48, 64]),
        (80, [0, 20, 40, 60, 80]),
    ],
)
def test_index_ticks(n: int, ticks: list[int]) -> None:
    assert index_ticks(n) == ticks


@pytest.mark.parametrize("n", range(1, 200))
def test_index_ticks_are_even_and_few(n: int) -> None:
    ticks = index_ticks(n)
    assert len(set(np.diff(ticks))) <= 1 and ticks[-1] <= n and len(ticks) <= 12
    assert n <= 12 or len(ticks) >= 4


def test_ticks_carry_the_layers_own_numbers() -> None:
    axis = panels(heads_importance(seed_figure().isel(layer=slice(4, 28))))[4]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["4", "10", "16", "22", "28"]


@pytest.mark.parametrize(
    ("n", "shape"),
    [(1, (1, 1)), (4, (1, 4)), (5, (2, 3)), (8, (2, 4)), (9, (3, 3)), (12, (3, 4)), (20, (4, 6))],
)
def test_grid_for_any_number_of_functions(n: int, shape: tuple[int, int]) -> None:
    atlas = make_atlas(np.random.default_rng(0).random((n, 4, 4)), [f"own_{i:02}" for i in range(n)])
    figure = heads_importance(atlas)
    assert len(panels(figure)) == n
    spec = panels(figure)[0].get_subplotspec().get_gridspec()
    assert (spec.nrows, spec.ncols) == shape
    assert panels(figure)[0].get_title() == "Own 00"


def test_functions_are_drawn_as_asked() -> None:
    figure = heads_importance(seed_figure(), functions=["math_calculation", "retrieval"])
    assert [a.get_title() for a in panels(figure)] == ["Math Calculation", "Retrieval"]


# -- colours -------------------------------------------------------------------------------------------------


def test_one_shared_scale_with_a_plus_where_values_are_clipped() -> None:
    figure = heads_importance(seed_figure())
    (bar,) = bars(figure)
    assert bar.get_ylabel() == "Heads Importance"
    assert labels(bar) == ["0.0000", "0.0010", "0.0020", "0.0030", "0.0040", "0.0050+"]
    assert {a.images[0].get_clim() for a in panels(figure)} == {(0.0, 0.005)}
    assert {a.images[0].get_cmap().name for a in panels(figure)} == {"viridis"}
    assert panels(figure)[-1].images[0].colorbar.extend == "max"
    assert "1 of 5376 values beyond the colour scale" in caption(figure)


def test_no_plus_where_nothing_is_clipped() -> None:
    figure = heads_importance(seed_figure().drop_sel(function="decision_making"))
    assert labels(bars(figure)[0])[-1] == "0.0050"
    assert panels(figure)[-1].images[0].colorbar.extend == "neither"
    assert "beyond the colour scale" not in caption(figure)


def test_clip_is_the_callers() -> None:
    figure = heads_importance(seed_figure(), clip=0.002)
    assert labels(bars(figure)[0])[-1] == "0.0020+"
    assert labels(bars(heads_importance(seed_figure(), clip=0.01))[0])[-1] == "0.0100"


def test_one_dominant_head_does_not_flatten_the_rest() -> None:
    atlas = seed_figure()
    atlas["importance"][0, 2, 1, 1] = 0.5
    figure = heads_importance(atlas)
    assert labels(bars(figure)[0])[-1] == "0.0050+"
    assert "Strongest value: 0.50 (L1H1, Logical Reasoning)" in caption(figure)


def test_one_scale_a_panel_on_request() -> None:
    figure = heads_importance(seed_figure(), scale="panel")
    assert len(bars(figure)) == 8
    assert [labels(b)[-1] for b in bars(figure)][:4] == ["0.0050", "0.0040", "0.0050", "0.0050+"]
    assert [b.get_ylabel() for b in bars(figure)].count("Heads Importance") == 2


def test_signed_maps_diverge_about_zero() -> None:
    atlas = pure_noise(signed=True)
    figure = heads_importance(atlas)
    image = panels(figure)[0].images[0]
    low, high = image.get_clim()
    assert low == -high and image.get_cmap().name == "RdBu_r"
    np.testing.assert_array_equal(image.get_array(), atlas["importance"].values[0, 0].astype(np.float64))
    assert "signed (red supports, blue works against)" in caption(figure)
    clipped = labels(bars(heads_importance(atlas, clip=0.001))[0])
    assert clipped == ["≤ -0.0010", "-0.0005", "0.0000", "0.0005", "0.0010+"]


@pytest.mark.parametrize(
    ("sign", "drawn"),
    [("absolute", np.abs), ("positive", lambda x: np.maximum(x, 0)), ("signed", lambda x: x)],
)
def test_sign_says_what_is_drawn(sign, drawn) -> None:
    atlas = pure_noise(signed=True)
    image = panels(heads_importance(atlas, sign=sign))[0].images[0]
    np.testing.assert_array_equal(image.get_array(), drawn(atlas["importance"].values[0, 0].astype(np.float64)))


def test_default_sign_is_the_methods_own() -> None:
    from headatlas.atlas.tree import BEFORE
    from headatlas.methods.base import methods

    for name in set(methods) & set(BEFORE):  # methods that flat files may hold without saying what they are
        figure = heads_importance(pure_noise(signed=True).assign_coords(method=[name]))
        diverging = panels(figure)[0].images[0].get_cmap().name == "RdBu_r"
        assert diverging == (methods.get(name)().default_sign == "signed")
        assert methods.get(name)().label.split()[0] in caption(figure)
    kept = pure_noise(signed=True).assign_attrs(default_sign='{"planted": "absolute"}')
    assert panels(heads_importance(kept))[0].images[0].get_cmap().name == "viridis"


@pytest.mark.parametrize("size", [1e-12, 1e-7, 1e-4, 0.003, 0.02, 0.9, 40.0, 9e8, 0.0])
@pytest.mark.parametrize("signed", [False, True])
def test_colourbar_labels_differ_at_every_size(size: float, signed: bool) -> None:
    values = np.linspace(-size if signed else 0, size, 1000)
    scale = choose_scale(values, "signed" if signed else "positive", None)
    texts = scale.labels()
    assert len(set(texts)) == len(texts) == len(scale.ticks())
    assert max(float(t.rstrip("+")) for t in texts) > 0
    numbers = [float(t.removeprefix("≤ ").rstrip("+")) for t in texts]
    np.testing.assert_allclose(numbers, scale.ticks(), rtol=1e-3, atol=1e-3 * scale.high)


# -- functions the model does not do -------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["shared", "panel"])
def test_only_panels_of_functions_at_chance_are_marked(scale: str) -> None:
    atlas = seed_figure(n_layers=30, n_heads=9)
    assert not any(axis.texts for axis in panels(heads_importance(atlas, scale=scale)))
    marked = atlas.assign(unable=("function", np.isin(list(FUNCTIONS), ["retrieval", "math_calculation"])))
    figure = heads_importance(marked, scale=scale)
    drawn = {a.get_title().replace("\n", " "): [t.get_text() for t in a.texts] for a in panels(figure)}
    assert drawn["Retrieval"] == drawn["Math Calculation"] == ["model at chance"]
    assert sum(map(len, drawn.values())) == 2
    assert '"model at chance": it does not do this, as far as these items show' in caption(figure)
    assert '"model at chance"' not in caption(heads_importance(marked, functions=["inference"]))
    some = panels(heads_importance(marked, functions=["inference", "retrieval"]))
    assert [[t.get_text() for t in a.texts] for a in some] == [[], ["model at chance"]]


OWN = ["theory_of_mind", "tables joined by a key, with many columns", "negation", *(f"own_{i:02}" for i in range(17))]


@pytest.mark.parametrize("n", [3, 8, 12, 20])
def test_marks_titles_and_panels_do_not_touch(n: int) -> None:
    atlas = make_atlas(np.random.default_rng(0).random((n, 30, 9)), list(FUNCTIONS) if n == 8 else OWN[:n])
    figure = heads_importance(atlas.assign(unable=("function", np.arange(n) % 2 == 0)))
    figure.draw_without_rendering()
    boxes = []
    for axis in panels(figure):
        texts = [axis.title, *axis.texts]
        boxes += [t.get_window_extent() for t in texts] + [axis.get_window_extent()]
        assert all(t.get_fontsize() >= 7 for t in texts)
    for i, one in enumerate(boxes):
        assert figure.bbox.y1 >= one.y1 and figure.bbox.x0 <= one.x0
        assert not any(one.overlaps(other) for other in boxes[i + 1 :]), i


# -- caption and text ----------------------------------------------------------------------------------------


def test_caption_names_model_method_items_and_intervals() -> None:
    atlas = seed_figure().assign_attrs(model='{"name": "tiny-model", "revision": "abc"}')
    text = caption(heads_importance(atlas))
    assert "Model: tiny-model; 28 layers x 24 heads; method: planted; no value negative; number" in text
    assert "number of items not in this atlas; no intervals in this atlas" in text
    assert "Strongest value: 0.0053 (L6H12, Decision-making)" in text
    assert "head order inside a layer is arbitrary" in text
    more = atlas.assign(n_items=("function", np.arange(10, 18)), ci_low=atlas["importance"] - 1)
    text = caption(heads_importance(more))
    assert "108 items (10 to 17 a function)" in text
    assert "95% bootstrap over main questions and refits" in text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("label", ["$x$ $", "a_b^c", "<b>x</b>", "l1\nl2\x00\t", "\ud800", "日本語", "", "x" * 500])
def test_hostile_text_is_drawn_literally(label: str, tmp_path: Path) -> None:
    atlas = seed_figure(n_layers=4, n_heads=4).isel(function=[0, 1]).assign_attrs(model=label)
    atlas = atlas.assign_coords(function=[label, "b"], method=[label])
    figure = heads_importance(atlas)
    data_text = [t for t in figure.findobj(Text) if label and label[:5] in t.get_text()]
    assert all(not t.get_parse_math() for t in data_text)
    assert len(save_figure(figure, tmp_path / "f")) == 3


def test_text_is_at_least_seven_points() -> None:
    for scale in ("shared", "panel"):
        figure = heads_importance(seed_figure(), scale=scale)
        assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text()) >= 7
        assert figure.get_size_inches()[0] <= (7.2 if scale == "shared" else 10)


@pytest.mark.parametrize("shape", [(4, 4), (30, 9), (28, 24), (80, 64), (64, 4), (4, 64)])
def test_no_text_overlaps_or_leaves_the_page(shape: tuple[int, int]) -> None:
    figure = heads_importance(seed_figure(n_layers=shape[0], n_heads=shape[1]))
    figure.draw_without_rendering()
    texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    boxes = [t.get_window_extent() for t in texts]
    page = figure.bbox
    titles = [b for t, b in zip(texts, boxes, strict=True) if t.get_text() in FUNCTIONS.values()]
    assert len(titles) == 8
    for i, one in enumerate(titles):
        assert one.x0 >= page.x0 and one.x1 <= page.x1 and one.y1 <= page.y1
        assert not any(one.overlaps(other) for other in titles[i + 1 :])
    below = figure._supxlabel.get_window_extent()
    assert below.x1 <= page.x1 and below.y0 >= page.y0
    assert not any(below.overlaps(axis.get_tightbbox()) for axis in panels(figure))


def test_a_users_style_moves_nothing(tmp_path: Path) -> None:
    import matplotlib

    (plain,) = save_figure(heads_importance(seed_figure()), tmp_path / "a", ("svg",))
    with matplotlib.rc_context({"font.size": 30, "image.cmap": "jet", "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        (styled,) = save_figure(heads_importance(seed_figure()), tmp_path / "b", ("svg",))
        assert dict(matplotlib.rcParams) == before
    assert plain.read_bytes() == styled.read_bytes()


# -- files ---------------------------------------------------------------------------------------------------


def test_files_are_whole_and_the_same_each_time(tmp_path: Path) -> None:
    atlas = seed_figure()
    first = save_figure(heads_importance(atlas), tmp_path / "new" / "one.v2")
    again = save_figure(heads_importance(atlas), tmp_path / "two")
    assert [p.name for p in first] == ["one.v2.png", "one.v2.pdf", "one.v2.svg"]
    for path, other, start in zip(first, again, (b"\x89PNG", b"%PDF", b"<?xml"), strict=True):
        assert path.read_bytes().startswith(start)
        assert path.read_bytes() == other.read_bytes()
    assert {p.name for p in (tmp_path / "new").iterdir()} == {p.name for p in first}


def test_unwritable_place_and_unknown_format_are_refused(tmp_path: Path) -> None:
    figure = heads_importance(seed_figure(n_layers=4, n_heads=4))
    with pytest.raises(InputError, match=r"Can't save a figure as 'gif3'\. Known: "):
        save_figure(figure, tmp_path / "f", ("gif3",))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Can't write"):
        save_figure(figure, tmp_path / "file" / "f", ("png",))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# -- mistakes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "plantd"}, "Did you mean 'planted'"),
        ({"functions": ["retrival"]}, "Did you mean 'retrieval'"),
        ({"functions": []}, "at least one function"),
        ({"functions": ["retrieval", "retrieval"]}, "none twice"),
        ({"sign": "abs"}, "Unknown sign 'abs'"),
        ({"scale": "own"}, "Unknown scale 'own'"),
        ({"clip": 0.0}, "positive number"),
        ({"clip": float("nan")}, "positive number"),
    ],
)
def test_wrong_options_say_what_to_type(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        heads_importance(seed_figure(), **options)


def test_no_atlas_is_refused() -> None:
    with pytest.raises(AtlasError, match="no variable 'importance'"):
        heads_importance(xr.Dataset())
    with pytest.raises(AtlasError, match="holds no head"):
        heads_importance(seed_figure().isel(head=slice(0, 0)))
    with pytest.raises(AtlasError, match="holds no method"):
        heads_importance(seed_figure().isel(method=slice(0, 0)))


def test_figure_is_registered_and_import_is_light() -> None:
    assert figures.get("heads_importance").draw is heads_importance
    code = "import sys, headatlas.figures, headatlas.findings; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_figure_is_not_pyplots() -> None:
    code = (
        "import sys; from tests.planted.seed_figure import seed_figure; from headatlas.figures import *;"
        "heads_importance(seed_figure()); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=root).returncode == 0
