"""The figures beside the heat maps: what is drawn is the atlas's numbers; widths for print; captions beside files."""

import numpy as np
import pytest
import xarray as xr
from PIL import Image

import headatlas as ha
from headatlas.atlas import samples_of
from headatlas.cli.main import main
from headatlas.errors import InputError
from headatlas.figures import figures, save_figure
from headatlas.figures.frame import WIDTHS, caption_of
from headatlas.figures.head_roles import LEAST
from headatlas.stats.null_order import null_order
from tests.made import made_atlas
from tests.planted.seed_figure import make_atlas


@pytest.fixture(scope="module")
def atlas():
    return made_atlas()


def test_layer_profiles_draw_shares_and_their_intervals(atlas):
    figure = figures.get("layer_profiles")(atlas, method="probe")
    part = atlas["probe"]
    panels = [a for a in figure.axes if a.get_title()]
    assert len(panels) == 8 and panels[3].get_title() == "Decision-making\n(model at chance)"
    for axis, function in zip(panels, atlas["function"].values, strict=True):
        np.testing.assert_array_equal(axis.lines[0].get_ydata(), part["layer_share"].sel(function=function))
        edge = axis.collections[0].get_paths()[0].vertices[:, 1]
        assert edge.min() == pytest.approx(float(part["layer_share_low"].sel(function=function).min()))
        assert edge.max() == pytest.approx(float(part["layer_share_high"].sel(function=function).max()))
        assert axis.lines[1].get_ydata()[0] == pytest.approx(1 / 6)
    with pytest.raises(InputError, match="no layer profiles"):
        figures.get("layer_profiles")(make_atlas(np.random.default_rng(0).normal(size=(8, 3, 4))))


def test_sorted_importance_draws_heads_in_order_beside_the_band(atlas):
    figure = figures.get("sorted_importance")(atlas)
    samples = samples_of(atlas, "ablation")
    low, high = null_order(samples, list(atlas["function"].values), sign="signed")
    for i, axis in enumerate(a for a in figure.axes if a.get_title()):
        values = atlas["ablation"]["importance"].values[i].reshape(-1)
        np.testing.assert_allclose(axis.lines[1].get_ydata(), -np.sort(-values))
        edge = axis.collections[0].get_paths()[0].vertices[:, 1]
        assert edge.min() == pytest.approx(low[i].min()) and edge.max() == pytest.approx(high[i].max())
        layer, head = divmod(int(values.argmax()), 4)
        assert axis.texts[0].get_text().splitlines()[0] == f"L{layer}H{head}"
    with pytest.raises(InputError, match="no samples"):
        figures.get("sorted_importance")(make_atlas(np.random.default_rng(0).normal(size=(8, 3, 4))))


@pytest.mark.parametrize("head", ["L4H2", "l4h2", (4, 2)])
def test_a_heads_card_draws_its_values_intervals_and_tasks(atlas, head):
    figure = figures.get("head_card")(atlas, head)
    assert figure.get_suptitle() == "L4H2"
    own = atlas["ablation"].isel(layer=4, head=2)
    axis = figure.axes[0]
    dots = axis.collections[-1]
    np.testing.assert_allclose(dots.get_offsets()[:, 0], own["importance"].values)
    red = [tuple(c[:3]) != (0, 0, 0) for c in dots.get_facecolors()]
    assert red == list((own["q_specific"].values < 0.05) & (own["specific"].values > 0))
    lines = np.array([s[:, 0] for s in axis.collections[0].get_segments()])
    np.testing.assert_allclose(lines, np.stack([own["ci_low"], own["ci_high"]], 1))
    tasks, samples = figure.axes[2], atlas["ablation/samples"]
    effect = samples["importance"].values[:, 4, 2]
    means = {t: effect[samples["task"].values == t].mean() for t in set(samples["task"].values)}
    order = sorted(means, key=lambda t: -abs(means[t]))[:10]
    assert [label.get_text() for label in tasks.get_yticklabels()] == order
    np.testing.assert_allclose([bar.get_width() for bar in tasks.patches], [means[t] for t in order], rtol=1e-5)


@pytest.mark.parametrize("head", ["L6H0", "L0H4", "20.8", (9, 9)])
def test_a_card_of_no_head_is_refused(atlas, head):
    with pytest.raises(
        InputError, match=r"No head '.*' here: layers run from 0 to 5, heads from 0 to 3\. Give e\.g\. L0H0"
    ):
        figures.get("head_card")(atlas, head)


def test_heads_are_coloured_by_their_strongest_role():
    draw = np.random.default_rng(0)
    values = draw.uniform(0, 0.1, (2, 5, 4)).astype(np.float32)
    values[0, 1, 2], values[1, 3, 0] = 0.9, 0.5  # the highest of either role
    found = xr.Dataset(
        {n: (("layer", "head"), v) for n, v in zip(("induction", "previous_token"), values, strict=True)}
    )
    found["first_token_sink"] = (("layer", "head"), np.ones((5, 4), np.float32))
    image = figures.get("head_roles")(found).axes[0].images[0].get_array()
    names = ["previous_token", "induction"]
    from matplotlib.colors import to_rgb

    from headatlas.figures.task_similarity import COLOURS

    np.testing.assert_allclose(image[1, 2], to_rgb(COLOURS[names.index("induction")]), atol=1e-6)
    np.testing.assert_allclose(image[3, 0], to_rgb(COLOURS[names.index("previous_token")]), atol=1e-6)
    weak = np.maximum(values[0] / 0.9, values[1] / 0.5) < LEAST
    assert (image[weak] == 1).all() and (image[~weak] < 1).any(axis=-1).all()
    with pytest.raises(InputError, match="no roles to colour heads by"):
        figures.get("head_roles")(found[["first_token_sink"]])


@pytest.mark.parametrize("style", list(WIDTHS))
@pytest.mark.parametrize("name", ["heads_importance", "layer_profiles", "sorted_importance", "task_similarity"])
def test_styles_have_the_width_they_say_and_the_caption_beside_the_file(atlas, tmp_path, style, name):
    figure = figures.get(name)(atlas)
    told = caption_of(figure)
    assert "made-model" in told and "\n" not in told
    png, pdf, text = save_figure(figure, tmp_path / "f", ["png", "pdf"], style=style)
    with Image.open(png) as image:
        assert image.width == pytest.approx(300 * WIDTHS[style], abs=2)
    assert text.name == "f.txt" and text.read_text() == told + "\n"
    assert b"/Type3" not in pdf.read_bytes(), "fonts are embedded as outlines that journals take"
    assert not caption_of(figure), "and not in the picture"


def test_a_figure_as_it_is_keeps_its_caption_in_the_picture(atlas, tmp_path):
    figure = figures.get("layer_profiles")(atlas)
    assert [p.name for p in save_figure(figure, tmp_path / "f", ["png"])] == ["f.png"]
    assert [p.name for p in save_figure(figure, tmp_path / "f", ["png"], caption=True)] == ["f.png", "f.txt"]
    with pytest.raises(InputError, match="Unknown style 'colum'"):
        save_figure(figure, tmp_path / "g", ["png"], style="colum")
    assert not list(tmp_path.glob("g*"))


def test_figures_by_command(atlas, tmp_path, capsys):
    ha.save_atlas(atlas, tmp_path / "atlas.nc")
    for name in ("layer_profiles", "sorted_importance"):
        assert main(["figure", str(tmp_path), "--figure", name, "--format", "png"]) == 0
        assert (tmp_path / f"{name}.png").is_file()
    assert main(["figure", str(tmp_path), "--figure", "head_card", "--head", "L1H1", "--format", "svg"]) == 0
    assert (tmp_path / "head-L1H1.svg").is_file()
    assert main(["figure", str(tmp_path), "--style", "column", "--format", "pdf"]) == 0
    assert (tmp_path / "heatmaps.pdf").is_file() and "made-model" in (tmp_path / "heatmaps.txt").read_text()
    capsys.readouterr()
    assert main(["figure", str(tmp_path), "--figure", "head_card"]) == 2
    assert "is of one head. Give --head, e.g. --head L20H8" in capsys.readouterr().err
    assert main(["figure", str(tmp_path), "--head", "L1H1"]) == 2 and "has no --head" in capsys.readouterr().err
