"""Findings on planted atlases: what is planted is stated, with its numbers; what is not planted is not."""

import json

import numpy as np
import pytest
import xarray as xr

from headatlas.atlas.map_numbers import band, band_p, gini, heads_for_half, nice, take_maps
from headatlas.controls import controls
from headatlas.errors import AtlasError, InputError
from headatlas.findings import Findings, describe
from headatlas.findings.wording import escape, percent
from headatlas.questions.functions import FUNCTIONS, function_title
from tests.planted.seed_figure import PEAKS, identical, make_atlas, pure_noise, seed_figure

SEVEN = [f for f in FUNCTIONS if f != "math_calculation"]


def numbers(found: Findings, id: str) -> dict:
    """The numbers of a finding as they are in the JSON."""
    content = json.loads(found.to_json())
    return next(f["numbers"] for s in content["methods"] for f in s["findings"] if f["id"] == id)


@pytest.fixture(scope="module")
def planted() -> Findings:
    return describe(seed_figure())


SURFACE = {"subquestion": 0.73, "passage": 0.41, "answer": 0.56, "position": 0.33, "length": 0.32}


def measured(**changes: float) -> xr.Dataset:
    """The planted atlas with every variable that a measured run writes."""
    atlas = seed_figure().assign_coords(other_function=list(FUNCTIONS))
    value = atlas["importance"]
    by_function = value.mean(("layer", "head")) * 0
    pair = np.full((1, 8, 8), 0.6)
    variables = {
        "ci_low": value - 0.0003,
        "ci_high": value + 0.0003,
        "q_value": xr.where(value > 0.002, 0.01, 0.5),
        "depth": by_function + 0.25,
        "depth_low": by_function + 0.2,
        "depth_high": by_function + 0.3,
        "layer_share": value.sum("head") / value.sum(("layer", "head")),
        "similarity": (("method", "function", "other_function"), pair),
        "similarity_low": (("method", "function", "other_function"), pair - 0.1),
        "similarity_high": (("method", "function", "other_function"), pair + 0.1),
        "reliability": by_function + changes.get("reliability", 0.8),
        "n_items": ("function", np.arange(60, 68)),
        "answer_accuracy": ("function", np.r_[changes.get("accuracy", 0.8), np.full(7, 0.7)]),
        "answer_accuracy_low": ("function", np.r_[changes.get("accuracy", 0.8), np.full(7, 0.7)] - 0.1),
        "answer_accuracy_high": ("function", np.r_[changes.get("accuracy", 0.8), np.full(7, 0.7)] + 0.1),
        "answer_exact": ("function", np.full(8, 0.25)),
        "answer_logprob": ("function", np.full(8, -1.5)),
    }
    low = variables["answer_accuracy_low"][1]
    variables["unable"] = ("function", low <= 0.5)
    probe = 0.73 + changes.get("excess", 0.05)
    surface = np.array([SURFACE[c] for c in controls])
    for end, off in (("", 0.0), ("_low", -0.03), ("_high", 0.03)):
        variables["probe_accuracy_overall" + end] = ("method", [probe + off])
        variables["control_accuracy_overall" + end] = ("control", surface + off)
        variables["excess" + end] = (("method", "control"), (probe - surface + off)[None])
    return atlas.assign_coords(control=list(controls)).assign(variables)


# -- the founding figure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", FUNCTIONS)
def test_planted_peaks_are_stated_with_their_values(planted: Findings, function: str) -> None:
    head = "L24H0" if function == "math_calculation" else "L6H12"
    found = numbers(planted, f"function.{function}")
    assert found["peak"]["head"] == head
    assert found["peak"]["value"] == pytest.approx(PEAKS[function])
    statement = planted.get(f"function.{function}").statement
    assert f"the peak is {head} at {PEAKS[function]:.4f}." in statement


@pytest.mark.parametrize("function", FUNCTIONS)
def test_planted_regions_are_found(planted: Findings, function: str) -> None:
    found = numbers(planted, f"function.{function}")
    layers, heads = ((18, 27), (0, 6)) if function == "math_calculation" else ((0, 12), (6, 18))
    assert (found["layers"]["first"], found["layers"]["last"]) == layers
    assert abs(found["heads"]["first"] - heads[0]) <= 1 and abs(found["heads"]["last"] - heads[1]) <= 1
    assert found["layers"]["share"] > 0.6 and found["layers"]["p"] < 0.01
    assert found["layers"]["share"] > 1.5 * found["layers"]["even"]
    assert f"Layers {layers[0]}-{layers[1]} hold " in planted.get(f"function.{function}").statement
    assert (found["depth"]["centre"] > 0.6) == (function == "math_calculation")


def test_planted_values_are_mostly_below_two_thousandths(planted: Findings) -> None:
    found = numbers(planted, "scale")
    assert found["threshold"] == pytest.approx(0.002)
    assert found["below_threshold"] > 0.9
    assert found["largest"] == pytest.approx(0.0053)
    assert planted.get("scale").statement.startswith("Most scores are low: 97% of all 5376 are below 0.002;")
    for function in FUNCTIONS:
        assert numbers(planted, f"function.{function}")["below_threshold"] > 0.9


def test_planted_seven_are_alike_and_math_is_apart_and_deep(planted: Findings) -> None:
    alike, apart = numbers(planted, "alike"), numbers(planted, "apart")
    assert alike["functions"] == SEVEN
    assert alike["layer_profile"]["low"] > 0.9 and alike["spearman_over_heads"]["low"] > 0.4
    assert alike["commonest_peak"] == "L6H12" and alike["commonest_peak_count"] == 7
    assert apart["apart"] == ["math_calculation"] and apart["unproven"] == []
    assert apart["functions"]["math_calculation"]["gap_over_heads"] > 0.4
    assert max(apart["functions"][f]["gap_over_heads"] for f in SEVEN) < 0.1
    sentence = planted.get("apart").statement
    assert sentence.startswith("Math Calculation stands apart:")
    assert "deeper than all others" in sentence and "layers 18-27" in sentence and "L24H0" in sentence
    assert "Inference are closely alike" in planted.get("alike").statement


def test_planted_upper_right_is_empty_and_the_head_axis_is_disclaimed(planted: Findings) -> None:
    found = numbers(planted, "regions")
    assert found["empty"][0] == "deep_high"
    assert found["quarters"]["deep_high"]["empty_in"] == list(FUNCTIONS)
    assert found["quarters"]["deep_low"]["not_empty_in"] == ["math_calculation"]
    assert "shallow_low" not in found["empty"] and "shallow_high" not in found["empty"]
    sentence = planted.get("regions").statement
    assert "upper right of the figure), in 8 of 8 maps" in sentence
    assert "The order of heads inside a layer is arbitrary" in sentence


def test_planted_importance_is_distributed(planted: Findings) -> None:
    found = numbers(planted, "spread")
    assert found["word"] == "distributed"
    assert found["largest_head_share"] < 0.05 and found["heads_for_half_share"][0] > 0.05
    assert "no single head dominates" in planted.get("spread").statement


def test_hand_made_array_leaves_out_what_it_cannot_say(planted: Findings) -> None:
    ids = {f.id for f in planted}
    assert not ids & {"controls", "reliability", "ability", "items"}
    unknown = {u.id: u for u in planted.sections[0].unknown}
    assert {"interval", "chance", "reliability", "controls", "ability", "items", "use"} == set(unknown) - {
        "depth_interval"
    }
    assert unknown["ability"].missing == ("answer_accuracy",)
    text = planted.to_markdown()
    assert "### What is not known" in text and "### How far these numbers carry" not in text
    assert "95% interval" not in text


def test_no_prose_without_a_number(planted: Findings) -> None:
    for finding in [*planted, *describe(measured()), *describe(pure_noise(signed=True))]:
        assert finding.numbers, finding.id
        assert any(c.isdigit() for c in finding.statement), finding.statement


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("noise", [0.0001, 0.0005, 0.001])
def test_math_is_found_under_other_noise(seed: int, noise: float) -> None:
    found = describe(seed_figure(seed=seed, noise=noise))
    assert numbers(found, "apart")["apart"] == ["math_calculation"]


# -- what must not be claimed --------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shape", [(28, 24), (30, 9), (4, 4)])
@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_function_apart(signed: bool, shape: tuple[int, int], seed: int) -> None:
    found = describe(pure_noise(n_layers=shape[0], n_heads=shape[1], signed=signed, seed=seed))
    assert numbers(found, "apart")["apart"] == []
    assert "stands apart:" not in found.to_markdown()
    assert "No function stands apart" in found.get("apart").statement
    assert numbers(found, "regions")["empty"] == []
    assert numbers(found, "alike")["word"] == "not alike on the whole"


def test_bands_in_noise_are_as_rare_as_stated() -> None:
    p = [band_p(take_maps(pure_noise(seed=s), "planted").mass[i], seed=s) for s in range(10) for i in range(8)]
    assert 0 <= np.mean(np.array(p) < 0.05) < 0.15 and 0.35 < np.mean(p) < 0.65


@pytest.mark.parametrize("odd", ["retrieval", "syntactic_understanding"])
def test_another_odd_one_is_named(odd: str) -> None:
    found = describe(seed_figure(odd=(odd,)))
    assert numbers(found, "apart")["apart"] == [odd]
    assert found.get("apart").statement.startswith(f"{function_title(odd)} stands apart:")
    assert "Math Calculation stands apart" not in found.to_markdown()


def test_two_odd_ones_are_both_named() -> None:
    found = describe(seed_figure(odd=("retrieval", "inference")))
    assert numbers(found, "apart")["apart"] == ["retrieval", "inference"]


@pytest.mark.parametrize("atlas", [identical(), seed_figure(odd=()), seed_figure(odd=tuple(FUNCTIONS)[:4])])
def test_none_stands_apart(atlas: xr.Dataset) -> None:
    found = describe(atlas)
    assert numbers(found, "apart")["apart"] == []
    assert found.get("apart").statement.startswith("No function stands apart")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("keeps_map", [True, False])
def test_a_noisier_map_is_not_called_apart(seed: int, keeps_map: bool) -> None:
    values = seed_figure(odd=(), seed=seed)["importance"].values[0].copy()
    noise = np.random.default_rng(seed + 100).normal(0, 0.002, values[2].shape)
    values[2] = np.abs(values[2] * keeps_map + noise)
    found = describe(make_atlas(values))
    assert numbers(found, "apart")["apart"] == []
    assert numbers(found, "apart")["unproven"] == ["logical_reasoning"]
    assert "noise can do this, so it is not called apart" in found.get("apart").statement


def test_reliability_lets_a_scattered_map_stand_apart() -> None:
    """Heads of its own all over the layers: only a second half of the items can tell them from noise."""
    rng = np.random.default_rng(0)
    values = seed_figure(odd=())["importance"].values[0].copy()
    values[4] = rng.permuted(values[4].reshape(-1)).reshape(values[4].shape)
    atlas = make_atlas(values)
    assert numbers(describe(atlas), "apart")["apart"] == []
    reliability = xr.ones_like(atlas["importance"].mean(("layer", "head"))) * 0.8
    assert numbers(describe(atlas.assign(reliability=reliability)), "apart")["apart"] == ["semantic_understanding"]


# -- measured atlases ----------------------------------------------------------------------------------------


def test_measured_atlas_states_intervals_and_controls() -> None:
    found = describe(measured())
    one = found.get("function.retrieval").statement
    assert "L6H12 at 0.0040 (95% interval 0.0037 to 0.0043)" in one
    assert "depth 0.25 (95% interval 0.20 to 0.30)" in one
    assert f"{numbers(found, 'function.retrieval')['significant']} heads have q below 0.05." in one
    assert found.get("items").statement == "The maps rest on 508 items, 60 to 67 a function."
    assert "0.60 (95% interval 0.50 to 0.70)" in found.get("alike").statement
    assert [u.id for u in found.sections[0].unknown] == ["use"]
    assert "Split-half reliability runs from 0.80" in found.get("reliability").statement


def test_functions_may_stand_in_any_order_in_an_atlas() -> None:
    atlas = measured()
    assert describe(atlas.isel(function=slice(None, None, -1))).to_json() == describe(atlas).to_json()


@pytest.mark.parametrize(
    ("excess", "claim"), [(0.05, "better than the words alone"), (0.01, "no excess"), (-0.1, "no excess")]
)
def test_probe_is_held_against_the_strongest_text(excess: float, claim: str) -> None:
    found = describe(measured(excess=excess))
    statement = found.get("controls").statement
    assert claim in statement
    assert ("so these maps may show wording rather than function" in statement) == (claim == "no excess")
    assert statement.startswith(f"The probe names the function of {73 + 100 * excess:.0f}% (95% interval ")
    assert "held-out items; always naming the commonest function: 13%." in statement  # 67 of 508 items
    assert "surface (95% intervals): the subquestion's words 73% (70% to 76%), the passage's words 41%" in statement
    assert "the answer's words 56% (53% to 59%), the step's place among the steps 33%" in statement
    assert (
        f"The excess over the subquestion's words, the strongest of the texts, is {100 * excess:+.1f} points (95% "
        f"interval {100 * excess - 3:+.1f} points to {100 * excess + 3:+.1f} points)"
    ) in statement
    assert "No excess is shown over" not in statement
    one = numbers(found, "controls")
    assert one["strongest_text"] == "subquestion" and one["chance"] == pytest.approx(67 / 508)
    assert one["controls"]["subquestion"]["excess"] == pytest.approx(excess)
    assert one["controls"]["length"]["accuracy_high"] == pytest.approx(0.35)


def test_a_control_other_than_the_strongest_text_that_is_not_beaten_is_named() -> None:
    atlas = measured()
    place = atlas["control"] == "position"
    atlas = atlas.assign({"excess" + end: xr.where(place, v, atlas["excess" + end], keep_attrs=True).transpose()
                          for end, v in (("", 0.01), ("_low", -0.01), ("_high", 0.03))})  # fmt: skip
    statement = describe(atlas).get("controls").statement
    assert "better than the words alone. No excess is shown over: the step's place among the steps, +1.0" in statement


def test_a_control_without_words_is_said_to_be_missing() -> None:
    atlas = measured()
    gone = atlas["control"] != "subquestion"
    names = [n + end for n in ("control_accuracy_overall", "excess") for end in ("", "_low", "_high")]
    found = describe(atlas.assign({n: atlas[n].where(gone) for n in names}))
    assert numbers(found, "controls")["strongest_text"] == "answer"
    assert "Not measured, since there is no word to read: the subquestion's words." in found.get("controls").statement
    assert "| the subquestion's words | - | - | - | - |" in found.to_markdown()


def test_a_probe_no_better_than_chance_is_not_praised_for_beating_the_words() -> None:
    atlas = measured()
    low, words = atlas["probe_accuracy_overall_low"], atlas["control_accuracy_overall"]
    weak = atlas.assign(probe_accuracy_overall_low=low * 0 + 0.13, control_accuracy_overall=words * 0 + 0.08)
    assert "not shown to beat chance" in describe(weak).get("controls").statement  # chance: 67 of 508 items
    none = weak.assign(excess_low=weak["excess_low"] * 0 - 0.01)
    claim = "no excess is shown, and the probe is not shown to beat chance, so these maps may show nothing."
    assert claim in describe(none).get("controls").statement
    fair = weak.assign(probe_accuracy_overall_low=low * 0 + 0.2)
    assert "hold the probe against chance" in describe(fair).get("controls").statement


def test_controls_and_ability_have_their_tables() -> None:
    lines = describe(measured(accuracy=0.58)).to_markdown().splitlines()
    for row in (
        "| nothing: the commonest function, always | 13% | - | - | - |",
        "| the subquestion's words | 73% | 70% to 76% | +5.0 points | +2.0 points to +8.0 points |",
        "| the answer's length | 32% | 29% to 35% | +46.0 points | +43.0 points to +49.0 points |",
        "| activations (the probe) | 78% | 75% to 81% | - | - |",
        "| Knowledge Recall | 58% | 48% to 68% | 25% | **the model does not do this** |",
        "| Inference | 70% | 60% to 80% | 25% | better than chance |",
    ):
        assert row in lines


def test_functions_at_chance_are_flagged_wherever_they_are_named() -> None:
    found = describe(measured(accuracy=0.58))
    content = json.loads(found.to_json())
    assert content["unable"] == ["knowledge_recall"] == list(found.unable)
    line = (
        "Model at chance: Knowledge Recall. The model does not do this, as far as these items show, so such maps can't "
        "show how it does."
    )
    text = found.to_markdown()
    assert text.splitlines()[2] == line
    assert "| Knowledge Recall (model at chance) | L6H12 |" in text and "| Retrieval | L6H12 |" in text
    assert found.get("function.knowledge_recall").statement.endswith(
        "The model does not do this, as far as these items show: it finds the reference answer likelier than a foil "
        "on 58% of the items (95% interval 48% to 68%), and chance is 50%."
    )
    assert numbers(found, "function.knowledge_recall")["unable"] is True
    assert numbers(found, "function.retrieval")["unable"] is False
    able = describe(measured())
    assert "does not do" not in able.to_markdown() and json.loads(able.to_json())["unable"] == []


def test_functions_the_model_cannot_do_are_named() -> None:
    found = describe(measured(accuracy=0.58))  # its interval starts at 0.48: chance is in it
    assert numbers(found, "ability")["unable"] == ["knowledge_recall"]
    statement = found.get("ability").statement
    assert "No better than chance: Knowledge Recall (58%). The model does not do this" in statement
    assert "Its own greedy answer is the reference on 25%" in statement
    assert numbers(describe(measured()), "ability")["unable"] == []


def test_weak_reliability_is_named() -> None:
    found = describe(measured(reliability=0.3))
    math = numbers(found, "apart")["functions"]["math_calculation"]
    assert math["gap_over_heads_corrected"] > 1.5 * math["gap_over_heads"]
    assert f"{math['gap_over_heads_corrected']:.2f} corrected for reliability" in found.get("apart").statement
    assert len(numbers(found, "reliability")["below"]) == 8


def test_no_significant_head_is_said_plainly() -> None:
    atlas = measured()
    found = describe(atlas.assign(q_value=atlas["q_value"] * 0 + 0.9))
    assert "0 heads have q below 0.05: chance alone can give this map." in found.get("function.retrieval").statement


def test_a_method_that_predicts_nothing_states_what_the_surface_reaches() -> None:
    atlas = measured()
    names = [n + end for n in ("probe_accuracy_overall", "excess") for end in ("", "_low", "_high")]
    found = describe(atlas.assign({n: atlas[n] * np.nan for n in names}))
    statement = found.get("controls").statement
    assert statement.startswith(
        "On this question set the surface alone names the function of held-out items (95% intervals): the "
        "subquestion's words 73% (70% to 76%), the passage's words 41% (38% to 44%), "
    )
    assert statement.endswith("; always naming the commonest function: 13%.") and "probe" not in statement
    assert "| the passage's words | 41% | 38% to 44% | - | - |" in found.to_markdown()
    bare = atlas.drop_vars([n for n in atlas.data_vars if "control" in n])
    assert "controls" not in {f.id for f in describe(bare.assign({n: atlas[n] * np.nan for n in names}))}


# -- signs, methods, sizes -----------------------------------------------------------------------------------


def test_signed_method_states_what_works_against() -> None:
    atlas = seed_figure()
    atlas["importance"][0, 0, 3, 3] = -0.004
    found = describe(atlas)
    assert found.sections[0].sign == "signed"
    assert numbers(found, "negative")["head"] == "L3H3"
    assert "L3H3 at -0.0040 (Knowledge Recall)" in found.get("negative").statement
    assert numbers(found, "function.knowledge_recall")["peak"]["head"] == "L6H12"


def test_absolute_sign_counts_negative_values() -> None:
    atlas = seed_figure().assign_attrs(default_sign='{"planted": "absolute"}')
    atlas["importance"][0, 0, 3, 3] = -0.009
    found = describe(atlas)
    assert found.sections[0].sign == "absolute"
    assert numbers(found, "function.knowledge_recall")["peak"]["head"] == "L3H3"
    assert "negative" not in {f.id for f in found}


def test_positive_sign_does_not_count_negative_values() -> None:
    atlas = seed_figure().assign_attrs(default_sign="positive")
    atlas["importance"][0, 0] *= -1
    found = describe(atlas)
    assert numbers(found, "function.knowledge_recall") == {"largest": 0.0}
    assert "knowledge_recall" not in numbers(found, "alike")["functions"]


def test_every_method_has_its_section() -> None:
    two = xr.concat([seed_figure(), pure_noise().assign_coords(method=["other"])], "method")
    found = describe(two)
    assert [s.method for s in found.sections] == ["planted", "other"]
    assert found.get("apart", method="other").numbers["apart"] == []
    assert [s.method for s in describe(two, method="other").sections] == ["other"]
    with pytest.raises(InputError, match=r"no method 'plantd'\. Did you mean 'planted'"):
        describe(two, method="plantd")


def test_layers_and_heads_keep_their_own_numbers() -> None:
    part = seed_figure().isel(layer=slice(4, 10))
    assert describe(part).get("function.retrieval").numbers["peak"]["head"] == "L6H12"


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (30, 9), (80, 64)])
def test_sizes(shape: tuple[int, int]) -> None:
    found = describe(seed_figure(n_layers=shape[0], n_heads=shape[1]))
    assert "| Math Calculation |" in found.to_markdown()
    if shape == (80, 64):
        assert numbers(found, "apart")["apart"] == ["math_calculation"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_functions(n: int) -> None:
    found = describe(seed_figure().isel(function=slice(-n, None)))
    assert ("apart" in {f.id for f in found}) == (n >= 3)
    assert len(json.loads(found.to_json())["methods"][0]["findings"]) >= n


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e9])
def test_scales_are_written_so_that_they_can_be_read(size: float) -> None:
    atlas = seed_figure()
    found = describe(atlas.assign(importance=atlas["importance"] * size))
    statement = found.get("function.retrieval").statement
    if size == 0:
        assert "every value is 0" in statement or "no value is positive" in statement
    else:
        assert "at 0.0000" not in statement and f"at {0.004 * size:.2e}"[:6] in statement


def test_threshold_can_be_set(planted: Findings) -> None:
    found = describe(seed_figure(), threshold=0.001)
    assert numbers(found, "scale")["below_threshold"] < numbers(planted, "scale")["below_threshold"]
    assert "below 0.001" in found.get("function.retrieval").statement
    with pytest.raises(InputError, match="threshold of -1 separates nothing"):
        describe(seed_figure(), threshold=-1.0)
    with pytest.raises(AtlasError, match="importance"):
        describe(xr.Dataset())


# -- text ----------------------------------------------------------------------------------------------------

HOSTILE = "<img src=x onerror=alert(1)>|`x`\n# **b** [l](http://e.vil) $x$ \u202e &amp; \\"


def test_hostile_text_stays_text_in_markdown() -> None:
    atlas = seed_figure(odd=()).assign_attrs(model=HOSTILE)
    labels = [HOSTILE, "# head", "1. one", "- [ ] todo", "a|b", "*x*", "_y_", "~~z~~"]
    found = describe(atlas.assign_coords(function=labels, method=[HOSTILE]))
    text = found.to_markdown()
    assert "<img" not in text and "\u202e" not in text and "http://" not in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 10
    assert {line.replace("\\|", "").count("|") for line in table} == {11}
    for line in text.splitlines():
        assert not line or line[0] in "#|-123456789"
        assert not line.startswith("- #") and not line.startswith("- [")
    assert json.loads(found.to_json())["model"] == HOSTILE


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("a|b", "a\\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("# x", "\\# x"),
        ("1. x", "1\\. x"),
        ("- x", "\\- x"),
        ("a\nb\u2028c\x00", "a b c"),
        ("`c` \\", "\\`c\\` \\\\"),
        ("\ud800", "?"),
        ("www.x.y", "www&#46;x.y"),
    ],
)
def test_escape(raw: str, safe: str) -> None:
    assert escape(raw) == safe


def test_json_is_stable_and_strict(planted: Findings) -> None:
    assert planted.to_json() == describe(seed_figure()).to_json()
    assert "NaN" not in planted.to_json()


def test_percent_never_rounds_to_all_or_nothing() -> None:
    assert [percent(x) for x in (0, 0.0001, 0.004, 0.5, 0.997, 0.99999, 1)] == [
        "0%", "<0.1%", "0.4%", "50%", "99.7%", ">99.9%", "100%",
    ]  # fmt: skip


# -- kernels -------------------------------------------------------------------------------------------------


def test_band_is_the_run_with_the_largest_excess() -> None:
    found = band(np.array([0.1, 0.3, 0.3, 0.1, 0.1, 0.1]))
    assert (found.first, found.last) == (1, 2) and found.share == pytest.approx(0.6)
    assert found.even == pytest.approx(1 / 3)
    even = band(np.full(7, 1 / 7))
    assert (even.first, even.last) == (0, 6)


def test_half_and_gini_have_known_values() -> None:
    even, one = np.ones((4, 5)), np.zeros((4, 5))
    one[2, 3] = 1
    assert heads_for_half(even) == 10 and heads_for_half(one) == 1
    assert gini(even) == pytest.approx(0) and gini(one) == pytest.approx(0.95)


@pytest.mark.parametrize(
    ("value", "up", "expected"),
    [(0.0045, True, 0.005), (0.0045, False, 0.002), (0.002, False, 0.002), (7e8, True, 1e9)],
)
def test_nice_numbers(value: float, up: bool, expected: float) -> None:
    assert nice(value, steps=(1.0, 2.0, 5.0), up=up) == pytest.approx(expected)
