"""The page of an atlas: its size, and how long a browser takes to open it and to draw it anew.

python benchmarks/page.py [ATLAS]      (a folder that `make map` made: also the page of the default run)

The largest is of random numbers: 80 layers x 64 heads, 8 functions, 5 methods. Needs Chromium (Debian's package).
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from _line import line
from headatlas.report import explore, save_page

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.made import made_atlas, made_beside
from tests.test_page import CHANGE, CHROMIUM, HOVER, QUIET

CHOICES = (("m", "probe"), ("s", "panel"), ("s", "rank"), ("w", "specific"), ("g", "absolute"), ("m", "ablation"))


def measure(browser: Browser, file: Path, name: str, megabytes: float, within: float | None) -> None:
    """Print the size of a page, the time until it is drawn, and the slowest and median change."""
    line(f"{name}_megabytes", file.stat().st_size / 1e6, at_most=megabytes)
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    line(f"{name}_opened_seconds", time.perf_counter() - start, at_most=2)
    took = [page.evaluate(CHANGE, [f"select[data-key={key}]", value, "change"]) for key, value in CHOICES]
    took += [page.evaluate(CHANGE, ["input[data-key=q]", str(place), "input"]) for place in (7, 3, 0, 5)]
    line(f"{name}_change_median_ms", statistics.median(took), at_most=within)
    line(f"{name}_change_slowest_ms", max(took), at_most=within)
    box = page.locator(".heatmap .cells").first.bounding_box()
    assert box is not None
    line(f"{name}_hover_ms", page.evaluate(HOVER, [box["x"] + 5, box["y"] + 5]), at_most=within)
    page.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        if len(sys.argv) > 1:
            start = time.perf_counter()
            file = explore(sys.argv[1]).save(Path(folder) / "default.html")
            line("default_page_written_seconds", time.perf_counter() - start)
            measure(browser, file, "default_page", 8, 100)
        methods = ("ablation", "probe", "attribution", "dla", "knockouts")
        large = made_atlas(layers=80, heads=64, methods=methods, tasks=7, items=4)
        file = save_page(large, Path(folder) / "large.html", made_beside(large))
        measure(browser, file, "page_of_80x64", 25, 100)
        browser.close()


if __name__ == "__main__":
    main()
