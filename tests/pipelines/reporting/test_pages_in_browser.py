"""The report and a lead's page in a real browser: by mouse and by keyboard, on a phone, on paper, by axe-core."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.schema.errors import NotReadyError
from pipelines.analysis.compare_runs import compare_runs, write_comparison
from pipelines.analysis.explain_lead import explain_lead
from pipelines.analysis.lead_page import write_lead_page
from pipelines.analysis.score_change import ChangeRequest, explain_changes
from pipelines.config.params import with_as_of
from pipelines.reporting.monitor_page import write_monitor_page
from pipelines.scheduled.monitor import run_monitor
from pipelines.stages.rules_fallback import serve_by_rules
from pipelines.storage.bundle import load_bundle, load_tested
from pipelines.storage.run_context import RunContext
from tests.support.browser import AXE, CHROMIUM, Browser, browser
from tests.support.html_page import parsed
from tests.support.services import needs, require
from tests.support.tiny import tiny_copy, tiny_params

pytestmark = needs(CHROMIUM.exists(), f"no browser at {CHROMIUM}")
DESK, TABLET, PHONE, PAPER, PAPER_HEIGHT = 1440, 1024, 390, 718, 1016  # pixels; A4 less its margins
TAB, ENTER, DOWN = ("Tab", 9), ("Enter", 13, "\r"), ("ArrowDown", 40)
OPEN_ALL = """document.querySelectorAll("[role=tabpanel]").forEach((part) => { part.hidden = false; });
document.querySelectorAll("details").forEach((part) => { part.open = true; })"""
CHARTS = """Array.from(document.querySelectorAll(".chart")).filter((one) => one.checkVisibility())
  .map((chart) => [chart.id, Boolean(chart.querySelector("svg path, svg text"))])"""
CUT = """(() => {
  const cut = [];
  for (const one of document.body.querySelectorAll("*")) {
    const box = one.getBoundingClientRect();
    const chart = one.parentElement.closest(".chart");
    if (!box.width || box.right < 0 || one.closest(".unseen, .skip") || (chart && one.tagName !== "text")) continue;
    if (!chart && one.parentElement.closest(".scroll")) continue;
    const room = chart ? chart.getBoundingClientRect() : {left: 0, right: document.documentElement.clientWidth};
    if (box.left < room.left - 1.5 || box.right > room.right + 1.5)
      cut.push([one.tagName, one.textContent.slice(0, 40), box.left, box.right]);
  }
  return cut;
})()"""
RUN_AXE = """axe.run({exclude: [".chart > *"]}, {resultTypes: ["violations"]}).then((result) => result.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => [one.id, one.nodes.length, one.nodes[0].html.slice(0, 200), one.nodes[0].failureSummary]))"""
LAYOUT = """(() => {
  const faults = [];
  const name = (one) => (one.closest("table") || one).id + " " + one.textContent.trim().slice(0, 40);
  const seen = (selector) => Array.from(document.querySelectorAll(selector)).filter((one) => one.checkVisibility());
  for (const one of seen("td, th, .scroll, .card"))
    if (one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).display !== "inline")
      faults.push(["cut", one.className, name(one)]);
  for (const one of seen("span + span, span + b, small + span, b + span")) {
    const [left, right] = [one.previousElementSibling.getBoundingClientRect(), one.getBoundingClientRect()];
    const words = one.textContent.trim() && one.previousElementSibling.textContent.trim();
    if (words && left.width && right.width && left.top < right.bottom && right.top < left.bottom
        && right.left - left.right < 2 && right.left >= left.left) faults.push(["glued", name(one.parentElement)]);
  }
  for (const one of seen(".card, .verdict, section, figure, tbody, ul, ol, dl")) {
    const text = one.textContent.trim();
    const heading = one.querySelector("h2, h3, figcaption");
    if (!text || (heading && text === heading.textContent.trim() && !one.querySelector(".chart")))
      faults.push(["empty", one.id || one.className || one.tagName, text.slice(0, 40)]);
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push(["scrolls", document.documentElement.scrollWidth]);
  return faults;
})()"""
ROWS = """Array.from(document.querySelectorAll("#{} tbody tr")).filter((row) => !row.hidden)"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    params, layout = tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out")
    first = str(pd.read_parquet(layout.scores.path)["lead_id"].iloc[0])
    write_lead_page(explain_lead(first, RunContext(params, layout)), folder / "lead.html", params.project.name)
    day = RunContext(with_as_of(params, "2026-06-29"), layout)
    scorer = load_bundle(layout.bundle, 1)
    result = run_monitor(day, scorer, load_tested(layout.bundle, scorer), folder)
    write_monitor_page(result, folder, params.project.name)
    explain_changes(ChangeRequest(since="2026-06-15"), RunContext(params, layout))
    write_comparison(compare_runs(layout.reports, layout.reports, params)[0], params, folder)
    few = tiny_copy(tmp_path_factory, folder / "few")
    serve_by_rules(NotReadyError("", "", found="12 converted", expected="", fix=""), RunContext(params, few))
    return {
        "report": layout.report.path,
        "lead": folder / "lead.html",
        "monitor": folder / "monitor.html",
        "change": layout.change_page.path,
        "compare": folder / "compare.html",
        "not_ready": few.report.path,
    }


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", ["report", "lead"])
def test_pages_load_without_errors_requests_or_cut_text(
    name: str, width: int, pages: dict[str, Path], chromium: Browser
) -> None:
    chromium.open(pages[name], width)
    chromium.run(OPEN_ALL)
    assert chromium.faults == []
    assert [url for url in chromium.requests if not url.startswith("data:")] == [pages[name].as_uri()]
    charts = chromium.run(CHARTS)
    assert all(done for _, done in charts), charts
    assert (len(charts) > 5) == (name == "report")
    assert chromium.run("document.documentElement.scrollWidth") <= width
    assert chromium.run(CUT) == []
    assert pages[name].stat().st_size < 900_000


@needs(AXE.is_file(), "no axe-core; `npm install --no-save axe-core` brings it")
@pytest.mark.parametrize("name", ["report", "lead", "monitor", "change", "compare", "not_ready"])
def test_axe_and_the_layout_find_nothing(name: str, pages: dict[str, Path], chromium: Browser) -> None:
    for width, scheme in itertools.product((DESK, TABLET, PHONE), ("light", "dark")):
        chromium.open(pages[name], width, scheme)
        chromium.run(OPEN_ALL)
        assert chromium.run(LAYOUT) == [], width
        assert chromium.run(CUT) == [], width
        chromium.run(AXE.read_text(encoding="utf-8") + "; undefined")
        assert chromium.run(RUN_AXE) == [], (width, scheme)


def test_tabs_follow_clicks_keys_and_links(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["report"])
    shown = "Array.from(document.querySelectorAll('.panel')).filter((one) => !one.hidden).map((one) => one.id)"
    assert chromium.run(shown) == ["panel-now"]
    chromium.click("#tab-why")
    assert chromium.run(shown) == ["panel-why"]
    chromium.press("ArrowRight", 39)
    assert chromium.run(shown) == ["panel-evidence"]
    assert chromium.run("document.activeElement.getAttribute('aria-selected')") == "true"
    chromium.click("#tab-now")
    chromium.click("#start a[href='#drivers']")
    chromium.run("new Promise((done) => setTimeout(done, 200))")
    assert chromium.run(shown) == ["panel-why"]
    assert chromium.run("document.querySelector('.sections [aria-current]').hash") == "#drivers"


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("<table><tr><td><span>3.2%</span><span>1.5% to 5.7%</span></table>", "glued"),
        ("<div class=card><h3>Since when?</h3></div>", "empty"),
        (
            "<div class=scroll style='overflow: auto; width: 300px'><table width=600><td>x</table></div>",
            "cut",
        ),
        ("<p style='width: 3000px'>wide</p>", "scrolls"),
    ],
)
def test_the_layout_finds_each_fault(fault: str, found: str, tmp_path: Path, chromium: Browser) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(f"<html lang=en><meta name=viewport content='width=device-width'>{fault}", encoding="utf-8")
    chromium.open(bad, TABLET)
    assert [one[0] for one in chromium.run(LAYOUT)] == [found]


def test_without_a_script_every_part_is_visible(pages: dict[str, Path]) -> None:
    page = parsed(pages["report"].read_text(encoding="utf-8"))
    panels = [part["attrs"] for part in page.all("div", class_="panel")]
    assert [attrs["id"] for attrs in panels] == [
        f"panel-{name}" for name in ("now", "list", "why", "evidence", "facts")
    ]
    assert not any("hidden" in attrs for attrs in panels)
    assert "hidden" in page.all("div", class_="tabs")[0]["attrs"]
    targets = [link["attrs"]["href"][1:] for link in page.all("a") if link["attrs"]["href"] != "#content"]
    assert set(targets) <= {part["attrs"].get("id") for part in page.elements}


def test_no_sentence_or_figure_is_glued_to_the_next(pages: dict[str, Path]) -> None:
    page = parsed(pages["report"].read_text(encoding="utf-8"))
    for paragraph in [*page.all("p"), *page.all("td"), *page.all("th"), *page.all("dd")]:
        assert not re.search(r"[a-z)%]\.[A-Z][a-z]|\d%\d|\.\d{3}\d\.", paragraph["text"]), paragraph["text"]


def test_no_table_is_a_copy_of_another(pages: dict[str, Path]) -> None:
    for name, file in pages.items():
        tables = [one["text"].strip() for one in parsed(file.read_text(encoding="utf-8")).all("table")]
        assert len(set(tables)) == len(tables) > 0, name


def test_axe_reports_known_faults(tmp_path: Path, chromium: Browser) -> None:
    require(AXE.is_file(), "no axe-core")
    bad = tmp_path / "bad.html"
    bad.write_text("<html lang=en><title>x</title><main><h1>x</h1><input><p style='color:#ccc'>faint</p></main>")
    chromium.open(bad)
    chromium.run(AXE.read_text(encoding="utf-8") + "; undefined")
    assert {one[0] for one in chromium.run(RUN_AXE)} == {"color-contrast", "label"}


def test_cut_text_is_detected(tmp_path: Path, chromium: Browser) -> None:
    bad = tmp_path / "wide.html"
    bad.write_text(
        "<html lang=en><meta name=viewport content='width=device-width'>"
        "<p style='width: 500px'>wide</p><div class=scroll style='overflow: auto'><p style='width: 900px'>fine</p>"
    )
    chromium.open(bad, PHONE)
    assert [one[0] for one in chromium.run(CUT)] == ["P"]


def test_tables_sort_by_click_and_by_key(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["report"])
    chromium.run("location.hash = 'leads'")
    values = ROWS.format("top-leads") + ".map((row) => Number(row.cells[6].dataset.value))"
    header = "#top-leads th:nth-child(7)"
    columns: dict[str, list[float]] = {}
    for turn in ("click", "Enter"):
        chromium.click(f"{header} button") if turn == "click" else chromium.press(*ENTER)
        columns[chromium.run(f"document.querySelector('{header}').getAttribute('aria-sort')")] = chromium.run(values)
    assert columns["descending"] == sorted(columns["descending"], reverse=True)
    assert columns["ascending"] == sorted(columns["descending"])
    assert len(set(columns["ascending"])) > 1
    chromium.run("location.hash = 'values'")
    chromium.click("#values-table th:nth-child(4) button")
    rates = chromium.run(ROWS.format("values-table") + ".map((row) => Number(row.cells[3].dataset.value))")
    assert rates == sorted(rates, reverse=True)
    assert len(set(rates)) > 5


def test_search_and_filter_narrow_a_table(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["report"])
    chromium.run("location.hash = 'leads'")
    names = ROWS.format("top-leads") + ".map((row) => row.cells[0].textContent)"
    everybody = chromium.run(names)
    status = "document.querySelector('[data-filter=top-leads] [role=status]').textContent"
    assert chromium.run(status) == f"{len(everybody)} leads"
    chromium.click("[data-filter=top-leads] input")
    chromium.type(everybody[2].lower())
    assert chromium.run(names) == [everybody[2]]
    assert chromium.run(status) == f"1 of {len(everybody)} leads"
    labels = ROWS.format("values-table") + ".map((row) => row.dataset.category)"
    categories = list(dict.fromkeys(chromium.run(labels)))
    chromium.run("location.hash = 'values'; new Promise((done) => setTimeout(done, 100))")
    chromium.run("document.querySelector('[data-filter=values-table] select').focus()")
    chromium.press(*DOWN)
    assert set(chromium.run(labels)) == {categories[0]}
    assert len(categories) > 3


def test_the_keyboard_reaches_all_that_can_be_used(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["report"])
    chromium.press(*TAB)
    assert chromium.run("document.activeElement.className") == "skip"
    chromium.press(*ENTER)
    chromium.press(*TAB)
    assert chromium.run("document.activeElement.closest('main') !== null")
    usable = "a[href], button:not([role=tab][aria-selected=false]), input, select, summary, [tabindex='0']"
    assert chromium.run(f'Array.from(document.querySelectorAll("{usable}")).every((one) => one.tabIndex === 0)')
    chromium.run("location.hash = 'leads'")
    chromium.click("details.falls summary")
    assert chromium.run("document.querySelector('details.falls').open")


def test_on_paper_nothing_is_cut_and_charts_are_drawn(pages: dict[str, Path], chromium: Browser) -> None:
    chromium.open(pages["report"], PAPER, media="print")
    assert chromium.run("document.documentElement.scrollHeight") < 2 * PAPER_HEIGHT, "page one alone"
    chromium.run(OPEN_ALL)
    charts: list[list[Any]] = chromium.run(CHARTS)
    assert sum(bool(done) for _, done in charts) == len(charts) > 5
    wide = chromium.run(CUT)
    assert wide == []
