"""Findings and figures on parts and agreement: sentences with the numbers under them, and the data drawn."""

import numpy as np
import pytest
import xarray as xr

from headatlas.errors import InputError
from headatlas.figures import figures
from headatlas.findings import describe
from headatlas.stats import agreement, spearman

F = ("retrieval", "inference", "math_calculation")
SHAPE = (4, 10)


@pytest.fixture
def atlas():
    draw = np.random.default_rng(0)
    maps = draw.normal(size=(2, 3, *SHAPE))
    dims = ("method", "function", "layer", "head")
    data = xr.Dataset(
        {"importance": (dims, maps)},
        coords={"method": ["ablation", "probe"], "function": list(F)},
    )
    general = maps.mean(1)
    data["general"] = (("method", "layer", "head"), general)
    data["specific"] = (dims, maps - general[:, None])
    for name, value in (("general", 0.7), ("specific", 0.3), ("noise", 0.25)):
        for end, by in (("", 0), ("_low", -0.1), ("_high", 0.1)):
            data[f"{name}_share{end}"] = ("method", np.array([value + by, np.nan]))
    data["specific_reliability"] = (("method", "function"), np.array([[0.5, 0.2, -0.1]] * 2))
    data["items_needed"] = (("method", "function"), np.array([[300.0, 900.0, np.inf]] * 2))
    q = np.ones((2, 3, *SHAPE))
    q[0, 1, 2, 7] = 0.01
    data["q_specific"] = (dims, q)
    q_general = np.ones((2, *SHAPE))
    q_general[0, 1, [3, 5]] = 0.001
    data["q_general"] = (("method", "layer", "head"), q_general)
    drawn = {m: data["importance"].sel({"method": m}) for m in ("ablation", "probe")}
    data = data.merge(agreement(drawn, {"ablation": "signed", "probe": "absolute"}))
    return data.assign_attrs(notes='{"ablation": {"replaced_by": "zero", "positions": "answer"}}')


def test_the_parts_are_said_with_their_numbers(atlas):
    finding = describe(atlas).get("parts")
    text = finding.statement
    assert "70% (95% interval 60% to 80%) is common to all functions and 30% the functions' own; 25% of the" in text
    first, second = sorted(((1, 3), (1, 5)), key=lambda at: -abs(float(atlas["general"][0][at])))
    assert f"2 (L1H{first[1]}, L1H{second[1]}) heads matter for the functions in general" in text
    assert "specific to a function: Inference 1 (L2H7); 37 of 40 show neither." in text
    assert "from -0.10 (Math Calculation) to 0.50 (Retrieval); 0.9 would take 300 to 900 items of a function" in text
    assert "(Math Calculation: nothing reproduces" in text
    assert finding.numbers["specific_heads"]["inference"] == ["L2H7"]
    with pytest.raises(InputError, match="No finding 'parts'"):
        describe(atlas, method="probe").get("parts")


def test_agreement_is_rank_correlation_of_signed_values_and_top_heads_by_each_methods_own_order(atlas):
    flat = atlas["importance"].values.reshape(2, 3, -1)
    expected = spearman(flat[0], flat[1])  # absolute values of noise agree wherever heads differ in how noisy they are
    np.testing.assert_allclose(atlas["agreement"].sel({"one_method": "ablation", "other_method": "probe"}), expected)
    top = [set(np.argsort(-v)[:4]) for v in (flat[0, 0], np.abs(flat[1, 0]))]
    shared = float(atlas["agreement_top"].sel({"one_method": "probe", "other_method": "ablation"})[0])
    assert shared == len(top[0] & top[1]) / 4
    text = describe(atlas).get("agreement").statement
    assert f"with probe the mean Spearman correlation over heads is {expected.mean():.2f}" in text
    assert text.endswith("(chance: 10%).")


def test_markdown_says_what_z_is_replaced_by(atlas):
    text = describe(atlas).to_markdown()
    assert text.count("A head's z is replaced by: zero; where it predicts the answer's tokens.") == 1


def test_only_methods_that_remove_heads_are_said_to_test_use(atlas):
    def use(*methods):
        one = xr.concat([atlas[["importance"]].isel(method=0)] * len(methods), "method")
        found = describe(one.assign_coords(method=list(methods)), method="probe")
        return next(u.statement for u in found.sections[0].unknown if u.id == "use")

    assert use("probe", "ablation_zero", "dla", "gate_gradient", "attribution", "ablation").endswith(
        "Removing the heads tests that: see ablation_zero and ablation in this atlas."
    )
    assert use("probe", "dla", "head_gating").endswith("Removing the heads tests that: no such run is in this atlas.")


def test_the_parts_are_drawn(atlas):
    figure = figures.get("general_specific")(atlas, method="ablation")
    panels = [axes for axes in figure.axes if axes.images or axes.collections][: 1 + len(F)]
    titles = [" ".join(axes.get_title().split()) for axes in panels]
    assert titles == [
        "Common to all functions",
        *(f"{n}: own part" for n in ("Retrieval", "Inference", "Math Calculation")),
    ]
    drawn = panels[0].images[0].get_array() if panels[0].images else panels[0].collections[0].get_array()
    np.testing.assert_allclose(np.sort(np.ravel(drawn)), np.sort(np.ravel(atlas["general"].values[0])))
    with pytest.raises(InputError, match="has no general and specific parts"):
        figures.get("general_specific")(atlas[["importance"]])


def test_the_parts_caption_says_what_they_rest_on(atlas):
    atlas["n_items"] = ("function", [20, 30, 25])
    atlas["ci_low"] = atlas["importance"] - 1

    def caption(atlas):
        return figures.get("general_specific")(atlas, method="ablation").get_supxlabel().replace("\n", " ")

    assert "; 75 items (20 to 30 a function); the parts have no intervals, but q-values in the atlas." in caption(atlas)
    assert "; the parts have no intervals." in caption(atlas.drop_vars("q_specific"))
    with pytest.raises(InputError, match="Unknown scale 'page'"):
        figures.get("general_specific")(atlas, scale="page")


def test_the_agreement_is_drawn(atlas):
    figure = figures.get("method_agreement")(atlas)
    drawn = figure.axes[0].images[0].get_array()
    mean = float(atlas["agreement"].sel({"one_method": "ablation", "other_method": "probe"}).mean())
    assert drawn[0, 1] == pytest.approx(mean) and np.ma.is_masked(np.ma.masked_invalid(drawn)[0, 0])
    assert any(t.get_text().startswith(f"{mean:.2f}\n") for t in figure.axes[0].texts)
    with pytest.raises(InputError, match=r"this atlas has one. Map with --method probe,ablation"):
        figures.get("method_agreement")(atlas.isel(method=[0], one_method=[0], other_method=[0]))
