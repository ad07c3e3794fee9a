"""The page in a real browser, opened from the disk."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_runs import HOSTILE, make_evaluation, make_run, make_validation

from recipe.retool.report.write_report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        if BROWSER is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip("no chromium, chromium-browser or google-chrome: scripts/setup_browser.sh")
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run; a run with tools, one without and an evaluation; an evaluation; one step; nine runs."""
    folder = tmp_path_factory.mktemp("pages")
    tools, text = make_run(folder / "tools", steps=12), make_run(folder / "text", steps=5, tool=False)
    evaluation = make_evaluation(folder / "eval")
    step = make_run(folder / "step", steps=1)
    sets = {
        "one": [tools],
        "several": [tools, text, evaluation],
        "evaluation": [evaluation],
        "step": [step],
        "validated": [make_validation(folder / "validated"), evaluation],
        "many": [make_run(folder / f"seed_{n}", steps=2) for n in range(9)],
    }
    return {name: write_report(runs, folder / f"{name}.html").path for name, runs in sets.items()}


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a page and waits for it; an error of its scripts or on its console fails the test."""
    tabs, errors = [], []

    def show(path: Path, size: dict[str, int] = DESK, scheme: str = "light") -> Any:
        tab = browser.new_page(viewport=size, color_scheme=scheme)
        tab.set_default_timeout(60_000)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("console", lambda one: errors.append(one.text) if one.type in ("error", "warning") else None)
        tab.on(
            "request",
            lambda one: None if one.url.startswith(("file:", "data:", "blob:")) else errors.append(one.url),
        )
        tab.goto(path.as_uri())
        tab.wait_for_selector("html[data-viewer=ready]")
        tabs.append(tab)
        return tab

    yield show
    assert errors == []
    assert all(tab.evaluate("window.hacked") is None for tab in tabs)
    for tab in tabs:
        tab.close()


def count(tab: Any, selector: str) -> int:
    return int(tab.evaluate("selector => document.querySelectorAll(selector).length", selector))


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("name", ["one", "several", "evaluation", "step", "many"])
def test_every_chart_is_drawn_or_noted(
    opened: Any, pages: dict[str, Path], name: str, size: dict[str, int]
) -> None:
    tab = opened(pages[name], size)
    height = tab.evaluate("document.documentElement.scrollHeight")
    tab.set_viewport_size({"width": size["width"], "height": height})
    drawn = ".chart[data-state=drawn]:has(.plot .main-svg)"
    tab.wait_for_selector(".chart:not(.noted):not([data-state=drawn])", state="detached")
    assert count(tab, ".chart") >= 28
    assert count(tab, ".chart") == count(tab, drawn) + count(tab, ".chart.noted .why li:first-child")
    assert count(tab, drawn) > 0
    # Each chart has marks, not axes alone.
    assert tab.evaluate(
        "[...document.querySelectorAll('.chart[data-state=drawn]')]"
        ".filter(box => !box.querySelector('.trace path, .point path')).map(box => box.id)"
    ) == []  # fmt: skip
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_a_single_step_has_bars(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["step"])
    tab.evaluate("document.getElementById('chart-step-time').scrollIntoView()")
    tab.wait_for_selector("#chart-step-time[data-state=drawn] .point path")


def test_an_evaluation_beside_a_single_validation_is_seen(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["validated"])
    tab.wait_for_selector("#chart-validation-accuracy[data-state=drawn]")
    lines = "[...document.querySelectorAll('#chart-validation-accuracy .js-line')]"
    assert tab.evaluate(f"Math.max(...{lines}.map(one => one.getBoundingClientRect().width))") > 100
    ticks = "[...document.querySelectorAll('#chart-validation-accuracy .xtick')].map(one => one.textContent)"
    assert tab.evaluate(ticks) == ["0"]


def test_links_and_runs_are_not_cut_off(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["many"])
    for row in (".links", ".runs"):
        inner, outer = (
            tab.evaluate(f"document.querySelector('nav {row}').{side}Width") for side in ("scroll", "client")
        )
        assert inner <= outer


def test_nine_runs_have_nine_colours(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["many"])
    swatches = (
        "[...document.querySelectorAll('h1 .swatch')].map(one => getComputedStyle(one).backgroundColor)"
    )
    for _ in ("light", "dark"):
        assert len(set(tab.evaluate(swatches))) == 9
        tab.click("#theme")


def test_charts_are_drawn_when_they_come_into_view(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"])
    assert 0 < count(tab, ".chart[data-state=drawn]") < count(tab, ".chart:not(.noted)")


def test_filters_and_clear(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"])
    total = 12 * 4 + 12
    assert tab.inner_text("#count") == f"{total} of {total} match"
    tab.select_option("select[name=right]", "false")
    assert tab.inner_text("#count") == f"{12 * 2 + 3 + 1} of {total} match"
    assert count(tab, "#list .badge.right") == 0
    tab.select_option("select[name=cut]", "true")
    assert tab.inner_text("#count") == f"12 of {total} match"
    tab.fill("input[name=text]", "PROBLEM 3")
    assert tab.inner_text("#count") == f"12 of {total} match"
    tab.fill("input[name=text]", "no such problem")
    assert tab.inner_text("#count") == f"0 of {total} match"
    assert "nothing matches" in tab.inner_text("#list")
    tab.click("text=Clear")
    tab.wait_for_selector(f"#count:text-is('{total} of {total} match')")
    tab.select_option("select[name=set]", "validation")
    tab.select_option("select[name=step]", "0")
    assert tab.inner_text("#count") == f"6 of {total} match"
    tab.select_option("select[name=tools]", "none")
    assert tab.inner_text("#count") == f"0 of {total} match"


def test_paging(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"])
    assert tab.inner_text("#list .pager span") == "1 of 3"
    seen = {tab.inner_text("#list li:first-child")}
    tab.click("#list .pager button:last-child")
    assert tab.inner_text("#list .pager span") == "2 of 3"
    seen.add(tab.inner_text("#list li:first-child"))
    tab.click("#list .pager button:last-child")
    assert tab.is_disabled("#list .pager button:last-child")
    assert len(seen) == 2


def test_a_dialogue_shows_code_output_and_what_is_trained_on(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"])
    tab.click("#list li:first-child button")
    assert tab.locator("#detail .part.code.trained .token").count() > 0
    assert tab.inner_text("#detail .part.code pre") == "print(6*7)  # six"
    assert tab.inner_text("#detail .part.tool.masked pre") == "42"
    assert "30 tokens" in tab.inner_text("#detail .part.code .who")
    assert "Shading as recorded" in tab.inner_text("#detail")
    tab.check("label:has-text('raw text') input")
    tab.wait_for_selector("#detail .part.tool pre:has-text('<tool_response>')")
    tab.uncheck("label:has-text('shading') input")
    tab.wait_for_selector("#detail .dialogue:not(.shaded)")
    tab.select_option("select[name=set]", "validation")
    tab.wait_for_selector("#detail:has-text('Shading inferred')")


def test_before_and_after(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"])
    assert "2 problems better, 0 worse, 3 as right and 1 as wrong" in tab.inner_text("#pairs")
    assert tab.locator("#pair .two .dialogue").count() == 2
    assert [tab.inner_text(f"#pair .dialogue:nth-child({n}) .badge") for n in (1, 2)] == ["wrong", "right"]
    assert [tab.inner_text(f"#pair .dialogue:nth-child({n}) header .quiet") for n in (1, 2)] == [
        "validation, step 0",
        "validation, step 12",
    ]
    assert tab.inner_text("#pair .pager span") == "1 of 2"
    tab.select_option("select[name=pair-kind]", "false>false")
    tab.wait_for_selector("#pair .pager span:text-is('1 of 1')")


def test_hostile_text_stays_text(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["several"])
    tab.select_option("select[name=run]", label="text")
    tab.wait_for_selector("#detail header:has-text('text, training')")
    assert HOSTILE in tab.inner_text("#detail .part.text pre")
    assert count(tab, "#detail img, #pairs img, #detail script") == 0


def test_a_run_can_be_switched_off(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["several"])
    traces = "document.querySelector('#chart-reward .plot').data.length"
    tab.evaluate("document.getElementById('chart-reward').scrollIntoView()")
    tab.wait_for_selector("#chart-reward[data-state=drawn]")
    before = tab.evaluate(traces)
    tab.click("nav .run[data-run='1']")
    assert tab.get_attribute("nav .run[data-run='1']", "aria-pressed") == "false"
    assert 0 < tab.evaluate(traces) < before


def test_dark_and_light(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"], scheme="dark")
    ink = "getComputedStyle(document.body).color"
    grid = "document.querySelector('.chart[data-state=drawn] .plot').layout.font.color"
    dark = tab.evaluate(ink), tab.evaluate(grid)
    tab.click("#theme")
    light = tab.evaluate(ink), tab.evaluate(grid)
    assert tab.get_attribute("html", "data-theme") == "light"
    assert all(one != other for one, other in zip(dark, light, strict=True))


def test_printing_draws_every_chart_and_leaves_the_viewer_out(opened: Any, pages: dict[str, Path]) -> None:
    tab = opened(pages["one"], scheme="dark")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert count(tab, ".chart[data-state=drawn]") == count(tab, ".chart:not(.noted)")
    assert tab.get_attribute("html", "data-theme") == "light"
    assert not tab.is_visible("#trajectories")
    assert not tab.is_visible("nav")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.get_attribute("html", "data-theme") == "dark"
