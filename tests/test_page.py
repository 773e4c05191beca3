"""The page in a browser: it draws the atlas's numbers, answers to pointer and keyboard, keeps its view in its address,
gives its tables and figures away, and shows names of any kind as text. Screenshots lie in build/.
"""

import csv
import io
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import headatlas as ha
from headatlas.report import save_page
from tests.made import made_atlas, made_beside
from tests.test_report import HOSTILE

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
SHOTS = Path(__file__).parents[1] / "build" / "screenshots"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


CHANGE = """([selector, value, kind]) => {
    const node = document.querySelector(selector), start = performance.now();
    node.value = value;
    node.dispatchEvent(new Event(kind));
    return performance.now() - start;
}"""
HOVER = """([x, y]) => {
    const map = document.querySelector(".heatmap"), start = performance.now();
    for (let i = 0; i < 20; i++)
        map.dispatchEvent(new PointerEvent("pointermove", {clientX: x + i, clientY: y + i, bubbles: true}));
    return (performance.now() - start) / 20;
}"""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        warnings.warn_explicit("NO CHROMIUM: the page was NOT tested in a browser.", UserWarning, __file__, 1)
        pytest.skip("NO CHROMIUM HERE: the page was not tested in a browser. Type: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="module")
def atlas():
    return made_atlas()


@pytest.fixture(scope="module")
def file(atlas, tmp_path_factory):
    return save_page(atlas, tmp_path_factory.mktemp("page") / "report.html", made_beside(atlas))


@pytest.fixture
def opened(browser, file):
    """Return a way to open the page at a fragment; what the browser complained of fails the test."""
    yield from opener(browser, file)


def opener(browser, file):
    complaints, pages = [], []

    def open_at(fragment="", *, width=1280, height=900, **options):
        page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on(
            "request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None
        )
        page.on("dialog", lambda d: (complaints.append(f"dialog {d.message}"), d.dismiss()))
        page.goto(f"{file.as_uri()}#{fragment}")
        page.wait_for_selector("html[data-ready]", timeout=10_000)
        pages.append(page)
        return page

    yield open_at
    for page in pages:
        page.close()
    assert not complaints, complaints


def cell(page, panel, layer, head, layers=6, heads=4):
    """Return where a head's cell is on the screen."""
    box = page.locator(".panel .heatmap .cells").nth(panel).bounding_box()
    return box["x"] + (head + 0.5) / heads * box["width"], box["y"] + (layers - layer - 0.5) / layers * box["height"]


def test_a_head_under_the_pointer_says_its_numbers(opened, atlas):
    page = opened()
    page.mouse.move(*cell(page, 7, 4, 2))
    tip = page.locator("#tip").inner_text()
    part = atlas["ablation"].sel(function="math_calculation").isel(layer=4, head=2)
    value = float(part["importance"])
    rank = 1 + int((atlas["ablation"]["importance"].sel(function="math_calculation") > value).sum())
    assert "L4H2" in tip and "Math Calculation" in tip and f"{abs(value):.2f}" in tip
    assert f"{rank} of 24" in tip and f"{abs(float(part['ci_low'])):.2f}" in tip
    assert f"{float(part['q_value']):.3f}" in tip and f"{float(part['q_specific']):.3f}" in tip
    marks = page.eval_on_selector_all(".panel .mark", "all => all.map(m => [m.getAttribute('x'), m.getAttribute('y')])")
    assert len(marks) == 8 and len({tuple(m) for m in marks}) == 1, "the same head is marked in all panels"


def test_the_colours_are_the_numbers(opened, atlas):
    page = opened("s=panel")
    values = atlas["ablation"]["importance"].sel(function="retrieval").values
    red = page.evaluate("""async () => {
        const image = new Image(); image.src = document.querySelectorAll('.heatmap .cells')[1].getAttribute('href');
        await image.decode();
        const c = document.createElement('canvas'); c.width = image.width; c.height = image.height;
        const x = c.getContext('2d'); x.drawImage(image, 0, 0);
        return Array.from(x.getImageData(0, 0, c.width, c.height).data);
    }""")
    shown = np.array(red, float).reshape(6, 4, 4)[::-1]  # layer 0 at the bottom
    warmth = shown[..., 0] - shown[..., 2]  # red minus blue
    assert (np.sign(warmth) == np.sign(values))[np.abs(values) > 0.05].all()
    top = np.unravel_index(np.abs(values).argmax(), values.shape)
    assert shown[top][:3].sum() <= np.sort(shown[..., :3].sum(-1), axis=None)[2], "the strongest is among the darkest"


def test_a_click_opens_the_heads_card_and_the_address_keeps_it(opened, atlas):
    page = opened()
    page.mouse.click(*cell(page, 1, 3, 3))
    assert "h=3.3" in page.url and "f=retrieval" in page.url
    card = page.locator("#card")
    assert card.locator("h2").inner_text() == "Head L3H3"
    assert "KV head 1" in card.inner_text() and "heads 2 to 3" in card.inner_text()
    assert card.locator("figure[data-figure='L3H3-ablation'] svg").count() == 1
    card.locator("summary").click()
    rows = card.locator("[data-table='L3H3-numbers'] tbody tr")
    assert rows.count() == 16, "every function by every method"
    value = float(atlas["ablation"]["importance"].sel(function="retrieval").isel(layer=3, head=3))
    assert f"{abs(value):.2f}" in rows.nth(1).inner_text()
    assert card.locator(".items li").count() == 3
    top = atlas["ablation/samples"]["importance"].values[:, 3, 3]
    own = np.flatnonzero(atlas["ablation/samples"]["sample_function"].values == "retrieval")
    best = own[np.argmax(top[own])]
    assert f"text of {atlas['item'].values[best]}" in card.locator(".items li").first.inner_text()
    tokens = card.locator(".token")
    assert tokens.count() == 8 and "word0" in tokens.nth(1).inner_text(), "attention over the example's tokens"
    again = opened(page.url.partition("#")[2])
    assert again.locator("#card h2").inner_text() == "Head L3H3"
    again.keyboard.press("Escape")
    assert again.locator("#card").is_hidden() and "h=" not in again.url


def test_a_head_whose_attention_was_not_kept_says_so(opened):
    assert "this is none of them" in opened("h=4.0").locator("#card .attention").inner_text()


def test_the_keyboard_reaches_every_head_and_says_where_it_is(opened, atlas):
    page = opened()
    page.locator(".panel").nth(2).focus()
    page.keyboard.press("Home")
    values = atlas["ablation"]["importance"].sel(function="logical_reasoning").values
    layer, head = np.unravel_index(values.argmax(), values.shape)
    said = page.locator("#said")
    assert (
        said.inner_text().startswith(f"L{layer}H{head}, Logical Reasoning: importance")
        and "rank 1 of 24" in said.inner_text()
    )
    page.keyboard.press("ArrowDown" if layer else "ArrowUp")
    layer += -1 if layer else 1
    page.keyboard.press("ArrowLeft" if head else "ArrowRight")
    head += -1 if head else 1
    assert said.inner_text().startswith(f"L{layer}H{head},")
    page.keyboard.press("Enter")
    assert page.locator("#card h2").inner_text() == f"Head L{layer}H{head}"
    assert page.evaluate("document.activeElement.id") == "card"


def test_method_scale_sign_and_sliders_change_what_is_drawn(opened, atlas):
    page = opened()
    seen = {page.locator(".heatmap .cells").first.get_attribute("href")}
    for key, value in (("m", "probe"), ("s", "panel"), ("s", "rank"), ("w", "specific"), ("g", "absolute")):
        page.locator(f"select[data-key={key}]").select_option(value)
        assert f"{key}={value}" in page.url
        seen.add(page.locator(".heatmap .cells").first.get_attribute("href"))
    assert len(seen) >= 5
    page = opened()
    q, own = (atlas["ablation"][name].values for name in ("q_specific", "specific"))
    for place, bound in ((4, 0.05), (6, 0.2), (0, 0.001)):
        page.locator("input[data-key=q]").fill(str(place))
        assert (
            page.locator("#outlined").inner_text().startswith(f"{int(((q < bound) & (own > 0)).sum())} heads outlined")
        )
    page.locator("select[data-key=o]").select_option("off")
    page.locator("input[data-key=t]").fill("50")
    least = float(page.evaluate("new URLSearchParams(location.hash.slice(1)).get('t')"))
    expected = int((np.abs(atlas["ablation"]["importance"].values.astype(np.float32)) >= least).sum())
    assert page.locator("#outlined").inner_text().startswith(f"{expected} heads outlined")


def test_every_view_opens_by_its_address_and_shows_what_is_there(opened, atlas):
    page = opened("v=functions&f=inference")
    text = page.locator("#view-functions").inner_text()
    assert text.count("\nyes\n") + text.count("\tyes\t") >= 2 and "One example each" in text
    for name in ("layers", "sorted", "specific", "controls", "deletion", "dissociation"):
        assert page.locator(f"figure[data-figure='{name}-inference'] svg").count() == 1, name
    assert "model does not do this" in opened("v=functions&f=decision_making").locator("#view-functions").inner_text()
    page = opened("v=tasks&a=retri-0&b=infer-1")
    assert page.locator("figure[data-figure='task-similarity'] svg").count() == 1
    assert page.locator("#pair .heatmap").count() == 2
    page.locator("#pair .panel").first.locator("a", has_text="L").last.click()
    assert page.locator("#card").is_visible(), "from a task's map to a head"
    page.locator("#card figure[data-figure$='-tasks'] svg").hover()
    page.locator("#card figure[data-figure$='-tasks'] svg").click()
    assert "a=" in page.url, "and back from a head to a task"
    page = opened("v=methods&f=inference")
    assert page.locator("figure[data-figure='agreement'] svg").count() == 1
    page = opened("v=findings")
    shown = page.locator("#view-findings").text_content()
    assert all(f.statement in shown for f in ha.describe(atlas))
    page.locator("a.show").first.click()
    assert "v=findings" not in page.url, "a finding leads to the view that shows it"
    assert "made-model" in opened("v=about").locator("#view-about").inner_text()


def test_tables_and_figures_can_be_kept(opened, atlas):
    page = opened()
    with page.expect_download() as got:
        page.get_by_label("Download all heads as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(got.value.path()).read_text())))
    assert len(rows) == 2 * 8 * 24
    for row in rows[::37]:
        own = atlas[row["method"]].sel(function=row["function"]).isel(layer=int(row["layer"]), head=int(row["head"]))
        assert float(row["importance"]) == pytest.approx(float(own["importance"]), rel=1e-5)
        assert float(row["q_specific"]) == pytest.approx(float(own["q_specific"]), rel=1e-5)
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        with page.expect_download() as got:
            page.get_by_label(f"Download the maps as {kind}").click()
        content = Path(got.value.path()).read_bytes()
        assert content.startswith(start) and len(content) > 5000
        if kind == "SVG":
            assert content.count(b"data:image/png") == 9, "eight maps and the colour bar"
    page = opened("v=functions&f=retrieval")
    with page.expect_download() as got:
        page.get_by_label("Download the data of layers-retrieval as CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(got.value.path()).read_text())))
    assert [float(r["share"]) for r in rows] == pytest.approx(
        atlas["ablation"]["layer_share"].sel(function="retrieval").values.tolist(), rel=1e-5
    )


def test_names_of_any_kind_are_shown_as_text(browser, tmp_path):
    """Scripts, quotes, marks that turn the writing direction, and tokens of ten thousand characters."""
    long = "x" * 10_000

    def named(name):
        return f"{name} {HOSTILE}{long}"

    functions = ("retrieval", "inference" + HOSTILE + long)
    hostile = made_atlas(functions=functions, named=named)
    file = save_page(hostile, tmp_path / "hostile.html", made_beside(hostile, named=named))
    using = opener(browser, file)
    opened = next(using)
    for fragment in (
        "",
        "v=functions",
        "v=tasks",
        "v=methods",
        "v=findings",
        "v=about",
        "h=1.1",
        "v=%3Cscript%3E&f=%22",
    ):
        page = opened(fragment)
        assert page.locator("img, iframe, object").count() == 0
        assert page.evaluate("document.querySelectorAll('script').length") == 4
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1"), "nothing is pushed off the page"
        assert not any("\u202e" in t for t in page.locator("bdi, text, option").all_text_contents())
    page = opened("v=functions")
    assert "</script><script>alert(1)" in page.locator("#view-functions").inner_text()
    with pytest.raises(StopIteration):
        next(using)


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (820, 1100), (390, 844)])
def test_it_fits_every_width(opened, width, height):
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name, fragment in (("maps", ""), ("card", "h=3.3&f=retrieval"), ("functions", "v=functions&f=inference"),
                           ("tasks", "v=tasks&a=retri-0"), ("findings", "v=findings")):  # fmt: skip
        for scheme in ("light", "dark"):
            page = opened(fragment, width=width, height=height, color_scheme=scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(255, 255, 255)") == (scheme == "light")
            page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)


def test_above_the_fold_stand_the_verdict_and_the_figure(opened, atlas):
    page = opened(width=1440, height=900)
    assert page.locator(".verdict li").all_inner_texts()[: len(ha.describe(atlas).short)] == list(
        ha.describe(atlas).short
    )
    for box in (page.locator(".verdict ol").bounding_box(), page.locator("#grid").bounding_box()):
        assert box["y"] + box["height"] <= 900


def test_without_scripts_the_verdict_stands(browser, file, atlas):
    page = browser.new_page(java_script_enabled=False)
    page.goto(file.as_uri())
    assert "need JavaScript" in page.locator("body").inner_text()
    assert ha.describe(atlas).short[0] in page.locator(".verdict").inner_text()
    page.close()


def test_it_prints_all_views(opened, tmp_path):
    page = opened()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.set_viewport_size({"width": 794, "height": 1123})  # paper: a browser may resize for it
    page.wait_for_timeout(200)
    for view in ("maps", "functions", "tasks", "methods", "findings", "about"):
        assert page.locator(f"#view-{view}").is_visible()
    assert page.locator("#controls").is_hidden() and page.locator(".show").first.is_visible(), "folded findings too"
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").stat().st_size > 20_000


def test_a_frame_in_a_notebook_works_without_an_address(browser, atlas, tmp_path):
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!doctype html><meta charset='utf-8'>{ha.explore(atlas)._repr_html_()}", encoding="utf-8")
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    problems = []
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.goto(outer.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("nav.views a[data-view=findings]").click()
    frame.locator("#view-findings h2").wait_for(timeout=10_000)
    assert not problems
    page.close()


@pytest.mark.slower
def test_the_largest_models_stay_usable(browser, tmp_path):
    """80 layers x 64 heads, 8 functions, 5 methods: opened in two seconds, drawn anew in a tenth."""
    methods = ("ablation", "probe", "attribution", "dla", "knockouts")
    large = made_atlas(layers=80, heads=64, methods=methods, items=2)
    file = save_page(large, tmp_path / "large.html", made_beside(large))
    assert file.stat().st_size < 25e6
    using = opener(browser, file)
    page = next(using)()
    shown = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    took = {}
    for key, value in (
        ("m", "probe"),
        ("s", "panel"),
        ("s", "rank"),
        ("w", "specific"),
        ("g", "absolute"),
        ("m", "dla"),
    ):
        took[f"{key}={value}"] = page.evaluate(CHANGE, [f"select[data-key={key}]", value, "change"])
    for place in (7, 3, 5):
        took[f"q={place}"] = page.evaluate(CHANGE, ["input[data-key=q]", str(place), "input"])
    box = page.locator(".heatmap .cells").first.bounding_box()
    took["hover"] = page.evaluate(HOVER, [box["x"] + 5, box["y"] + 5])
    print({"opened": round(shown), **{k: round(v, 1) for k, v in took.items()}})
    assert np.median(list(took.values())) < 100 and shown < 5000, (shown, took)  # figures: benchmarks/page.py
    with pytest.raises(StopIteration):
        next(using)
