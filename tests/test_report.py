"""The page of an atlas as text: what it holds, what it never holds, and what lies beside an atlas."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
import xarray as xr

import headatlas as ha
from headatlas.cli.main import main
from headatlas.errors import AtlasError
from headatlas.report import beside, page
from headatlas.report.document import embedded, packed
from headatlas.run.examples import NAME, chosen_prompts, examples, heads_that_matter, load_examples, save_examples
from headatlas.stats.null_order import null_order
from tests.made import made_atlas, made_beside
from tests.planted.task_models import two_functions
from tests.tiny import CONFIGS, random_prompts, tiny

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \"'` \u202eevil\u202c \u2028 {{7*7}} <!-- "


def held(html):
    """Return what the page's JSON block holds."""
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', html, re.DOTALL)[1])


def array(given):
    values = np.frombuffer(base64.b64decode(given["data"]), given["type"]).reshape(given["shape"])
    return values * given.get("step", 1)


def test_the_page_holds_every_number_of_the_atlas():
    atlas = made_atlas()
    found = held(page(atlas, made_beside(atlas)))
    for method in found["methods"]:
        part = atlas[method["id"]]
        for ours, theirs in {"importance": "importance", "low": "ci_low", "high": "ci_high", "q": "q_value",
                             "specific": "specific", "q_specific": "q_specific"}.items():  # fmt: skip
            np.testing.assert_array_equal(array(method["maps"][ours]), part[theirs].values.astype(np.float32))
        samples = part["samples"]["importance"]
        tasks = method["tasks"]
        for name, own in zip(tasks["names"], array(tasks["maps"]), strict=True):
            by_hand = samples.values[part["samples"]["task"].values == name].mean(0)
            np.testing.assert_allclose(own.reshape(by_hand.shape), by_hand, atol=5e-5)
    assert [f["id"] for f in found["functions"]] == list(atlas["function"].values)
    assert found["functions"][3]["unable"] and found["functions"][3]["accuracy"][0] == pytest.approx(
        float(atlas["answer_accuracy"][3])
    )
    assert len(found["asked"]) == 24 and sum(row["done"] for row in found["asked"]) == 20
    assert found["findings"]["short"] == list(ha.describe(atlas).short)


def test_the_items_that_a_head_moves_most_are_those_of_the_samples():
    atlas = made_atlas()
    samples = atlas["ablation/samples"]["importance"].values
    function = atlas["ablation/samples"]["sample_function"].values
    top = held(page(atlas))["methods"][0]["top_items"]
    places, values = array(top["item"]), array(top["value"])
    for f, name in enumerate(atlas["function"].values):
        own = np.flatnonzero(function == name)
        for layer, head in ((0, 0), (5, 3)):
            order = own[np.argsort(-samples[own, layer, head], kind="stable")[:3]]
            np.testing.assert_array_equal(places[f, layer * 4 + head], order)
            np.testing.assert_array_equal(values[f, layer * 4 + head], samples[order, layer, head])


def test_nothing_but_our_scripts_can_run_and_nothing_can_be_fetched():
    html = page(made_atlas())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 3
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts}
    assert set(rules["script-src"].split()) == hashes, "no unsafe-inline, no eval, no host"
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data: blob:"
    assert rules["base-uri"] == rules["form-action"] == "'none'"
    markup = re.sub(r"<script.*?</script>|<style>.*?</style>", "", html, flags=re.DOTALL)
    assert not re.search(r"\son\w+\s*=|javascript:|https?://", markup), "no handlers, no addresses in the markup"


def test_names_of_any_kind_are_text_in_the_page():
    atlas = made_atlas(named=lambda name: name + HOSTILE, functions=("retrieval", "inference" + HOSTILE))
    html = page(atlas, made_beside(atlas, named=lambda name: name + HOSTILE))
    assert html.count("</script>") == 4 and html.count("<script") == 4, "three scripts and one block of values"
    assert "<img" not in html and "<!--" not in html
    assert "\u202e" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL), "in the verdict it is spelled"
    found = held(html)
    assert found["model"].endswith(HOSTILE) and found["functions"][1]["id"] == "inference" + HOSTILE, "kept as it is"


@pytest.mark.parametrize("value", ["</script>", "<!--", "]]>", "\u2028", "\ud800", "&lt;", "\x00", "é"])
def test_values_in_the_block_come_back_and_cannot_end_it(value):
    text = embedded({"a": [value, float("nan"), np.float32(0.5), np.int64(3), np.array([1.0, np.inf])]})
    assert not set("<>&\u2028\u2029") & set(text)
    kept = value.encode("utf-8", "replace").decode()
    assert json.loads(text) == {"a": [kept, None, 0.5, 3, [1.0, None]]}


def test_packed_arrays_are_little_endian_of_their_type():
    given = packed(np.arange(6, dtype=">f8").reshape(2, 3))
    assert given["type"] == "float32" and given["shape"] == [2, 3]
    np.testing.assert_array_equal(array(given), np.arange(6, dtype=np.float32).reshape(2, 3))


def test_an_atlas_of_importance_alone_has_a_page():
    flat = xr.Dataset(
        {"importance": (("method", "function", "layer", "head"), np.random.default_rng(0).normal(size=(1, 2, 3, 4)))},
        coords={"method": ["mine"], "function": ["retrieval", "inference"]},
    )
    found = held(page(flat))
    assert set(found["methods"][0]["maps"]) == {"importance"} and found["validation"] is None and not found["asked"]
    shown = ha.explore(flat, height=300)
    assert "srcdoc=" in shown._repr_html_() and 'sandbox="allow-scripts allow-downloads"' in shown._repr_html_()
    assert "height: 300px" in shown._repr_html_() and "<script" not in shown._repr_html_(), "all of it is escaped"


# -- the null band ------------------------------------------------------------------------------------------------


def of_tasks(effects, seed, tasks=7, items=5):
    """Samples of one function whose tasks have effects of their own."""
    draw = np.random.default_rng(seed)
    size = np.exp(draw.normal(size=effects.shape))  # heads of unequal noise
    own = np.repeat(draw.normal(size=(tasks, *effects.shape)) * size, items, axis=0)
    values = effects + own + draw.normal(size=(tasks * items, *effects.shape)) * size
    task = np.repeat([f"t{i}" for i in range(tasks)], items)
    return xr.Dataset(
        {"importance": (("sample", "layer", "head"), values)},
        coords={
            "function": ("sample", ["f"] * len(task)), "task": ("sample", task),
            "group": ("sample", [f"g{i}" for i in range(len(task))]),
        },
    )  # fmt: skip


def test_where_no_head_matters_the_sorted_curve_lies_in_the_band():
    """Tasks with effects of their own, heads of unequal noise: the first rank leaves the band in 5% of the sets."""
    above = []
    for seed in range(200):
        samples = of_tasks(np.zeros((5, 8)), seed)
        high = null_order(samples, ["f"], sign="signed", seed=seed)[1][0]
        above.append(np.sort(samples["importance"].mean("sample").values, axis=None)[-1] > high[0])
    assert np.mean(above) <= 0.05


def test_a_head_that_matters_lies_above_the_band():
    effects = np.zeros((5, 8))
    effects[2, 3] = 40.0
    samples = of_tasks(effects, 0)
    low, high = null_order(samples, ["f"], sign="signed")
    ordered = -np.sort(-samples["importance"].mean("sample").values, axis=None)
    assert ordered[0] > high[0, 0] and (ordered[5:30] < high[0, 5:30]).all() and (low <= high).all()


def test_the_band_of_absolute_values_and_of_a_methods_own_null():
    samples = of_tasks(np.zeros((3, 4)), 1)
    low, _ = null_order(samples, ["f"], sign="absolute")
    assert (low >= 0).all()
    null = np.random.default_rng(0).normal(size=(6, 3, 4))
    samples["null"] = (("null_sample", "layer", "head"), null)
    samples = samples.assign_coords(null_function=("null_sample", ["f"] * 5 + ["g"]))
    low, high = null_order(samples, ["f"], sign="signed")
    ordered = -np.sort(-null[:5].reshape(5, -1), axis=1)
    np.testing.assert_array_equal(high[0], ordered.max(0))
    np.testing.assert_array_equal(low[0], ordered.min(0))


# -- examples -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(CONFIGS))
def test_attention_of_the_examples_is_the_models_own(name):
    """Against stock eager attention, for every architecture that gives it."""
    import torch

    model = tiny(name)
    prompts = random_prompts(6, length=20, answer=2)
    functions = sorted({p.function for p in prompts})
    shape = (model.n_layers, model.n_heads)
    maps = np.random.default_rng(0).normal(size=(len(functions), *shape))
    root = xr.Dataset(coords={"function": functions, "layer": np.arange(shape[0]), "head": np.arange(shape[1])})
    part = xr.Dataset({"importance": (("function", "layer", "head"), maps)})
    atlas = xr.DataTree.from_dict({"/": root, "/ablation": part})
    found = examples(model, prompts, atlas)
    if "attention" not in found:
        assert found.attrs["note"], "where there are no patterns it says why"
        return
    shown = chosen_prompts(prompts, atlas)
    assert [str(e) for e in found["example"].values] == [p.id for p in shown]
    with model.attention_implementation("eager"), torch.inference_mode():
        for row, prompt in enumerate(shown):
            ids = torch.from_numpy(prompt.tokens[:-1][None].astype(np.int64))
            out = model.model(input_ids=ids, output_attentions=True, use_cache=False)
            if out.attentions is None or out.attentions[0] is None:
                return
            for place, query in enumerate(prompt.predicting):
                for at, (layer, head) in enumerate(heads_that_matter(atlas)):
                    own = out.attentions[layer][0, head, query, : query + 1].numpy()
                    ours = found["attention"].values[row, place, at, : query + 1]
                    np.testing.assert_allclose(ours, own, atol=2e-3)
                tops = out.logits[0, prompt.predicting].argmax(-1).tolist()
            assert found["says"].values[row] == model.tokenizer.decode(tops).strip()


def test_the_heads_that_matter_are_the_top_of_every_order():
    atlas = made_atlas(layers=8, heads=8, seed=3)
    some = heads_that_matter(atlas, 40)
    assert len(some) == len(set(some)) == 40 == len(sorted(some))
    for method in ("ablation", "probe"):
        for values in atlas[method]["specific"].values:
            assert divmod(int(values.argmax()), 8) in some
    assert len(heads_that_matter(atlas, 1000)) == 64


def test_examples_are_kept_beside_the_atlas_and_damage_is_said(tmp_path):
    atlas = made_atlas()
    shown = made_beside(atlas).examples.assign_attrs(kind="examples", version=1, weights="w")
    assert load_examples(tmp_path) is None
    save_examples(shown, tmp_path)
    xr.testing.assert_equal(beside(tmp_path, "w").examples, shown)
    assert beside(tmp_path, "of another model").examples is None
    (tmp_path / NAME).write_bytes(b"\x89HDF\r\n\x1a\n broken")
    with pytest.raises(AtlasError, match=r"can't be read .*headatlas report"):
        beside(tmp_path)


# -- commands -----------------------------------------------------------------------------------------------------


def test_the_command_writes_a_page_from_an_atlas_alone_and_says_what_it_lacks(tmp_path, capsys):
    ha.save_atlas(made_atlas(), tmp_path / "atlas.nc")
    assert main(["report", str(tmp_path), "--no-examples"]) == 0
    out = tmp_path / "report.html"
    assert capsys.readouterr().out.strip() == str(out) and held(out.read_text())["examples"] is None
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "mine.html")]) == 0
    printed = capsys.readouterr()
    assert "The page has no examples and no attention:" in printed.err and "--no-examples" in printed.err
    assert (tmp_path / "mine.html").is_file()
    assert main(["report", str(tmp_path), "--out", "mine.txt"]) == 2
    assert "A page is written as .html, and 'mine.txt' is not." in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nowhere")]) == 2


def test_a_map_ends_with_its_page(tmp_path):
    """From a planted model to the page, and a page that was deleted is made again by the same command."""
    from headatlas.cli.main import write_page
    from headatlas.run.folder import map_model
    from headatlas.run.pipeline import plan

    planted = two_functions()
    planned = plan(planted.model, planted.questions, methods="ablation", seed=0)
    written = map_model(planted.model, planned, tmp_path / "run", more=write_page)
    assert {"report.html", "examples.nc"} <= {path.name for path in written}
    found = held((tmp_path / "run" / "report.html").read_text())
    rows = found["examples"]["rows"]
    assert len(rows) == len({row["task"] for row in rows}) == len(found["asked"])
    assert all(row["says"] and row["answer"] and row["tokens"] for row in rows)
    (tmp_path / "run" / "report.html").unlink()
    map_model(planted.model, planned, tmp_path / "run", more=write_page)
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slower
def test_pages_of_the_default_size_and_of_the_largest_are_small_enough():
    default = made_atlas(layers=30, heads=9, tasks=7, items=10)
    assert len(page(default, made_beside(default)).encode()) < 8e6
    large = made_atlas(layers=80, heads=64, methods=("ablation", "probe", "attribution", "dla", "knockouts"), items=2)
    assert len(page(large, made_beside(large)).encode()) < 25e6
