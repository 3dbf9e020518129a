"""Every figure on the report is traceable to a value in an artifact of its section, after the rounding shown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from html.parser import HTMLParser
from itertools import accumulate, pairwise
from typing import Any

import pandas as pd
import pytest
from scipy.special import expit

from models.points.scale import PointScale
from pipelines.analysis.score_change import ChangeRequest, explain_changes
from pipelines.config.params import Params
from pipelines.reporting import page as page_module
from pipelines.reporting.glossary import report_terms
from pipelines.stages import report
from pipelines.stages.report import ReportInputs, render
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.html_page import parsed
from tests.support.tiny import tiny_copy, tiny_params

NUMBER = re.compile(r"\d(?:[\d,]*\d)?(?:\.\d+)?%?")
ENDS = ("", "_low", "_high")
TAG = re.compile(r"⟦(\w+) (\d+) ([^⟧]+)⟧")
EVERYWHERE = {"metadata", "metrics", "policy"}  # confidence, capacity, horizon and the like
SOURCES = {  # the artifacts that a section may take its figures from
    "start": {"scores", "summary", "explanation", "audit"},
    "verdict": {"backtest", "calibration"},
    "leads": {"scores", "summary", "explanation"},
    "quality": {"gain", "lift", "calibration"},
    "kpis": {"kpis"},
    "grades": set(),
    "scorecard": {"scorecard", "scorecard_md"},
    "backtest": {"backtest"},
    "choices": {"selection"},
    "drivers": {"explanation"},
    "values": {"explanation"},
    "data": {"profile", "audit", "explanation", "summary"},
    "catalogue": {"catalogue"},
    "reading": {"summary"},
    "change": {"change"},
    "": {"summary", "profile"},  # above and below the sections
}


class Texts(HTMLParser):
    """The pieces of text that a reader sees, each with its section; those of charts have a test of their own."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.pieces: list[tuple[str, str]] = []
        self._section, self._unseen, self._charts = "", False, 0
        self.feed(source.partition("<script")[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen = tag == "style"
        self._charts += tag == "svg"
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._unseen = False
        self._charts -= tag == "svg"
        if tag == "section":
            self._section = ""

    def handle_data(self, data: str) -> None:
        if not (self._unseen or self._charts) and data.strip():
            self.pieces.append((self._section, data))


def tagged(form: str, value: float | None, digits: int) -> str:
    """Replace a filter of the page: return its input instead of its output."""
    return "–" if value is None or math.isnan(value) else f"⟦{form} {digits} {float(value)!r}⟧"


def written(form: str, digits: int, value: float) -> str:
    """Round a value as the page ought to, from its exact decimals."""
    if form == "value":
        return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
    shown = Decimal(100 * value if form == "percent" else value).quantize(Decimal(1).scaleb(-digits))
    if form == "points":
        return f"{shown:+}".replace("-", "−") if shown else f"{abs(shown)}"
    return f"{shown:,}%" if form == "percent" else f"{shown:,}"


def leaves(tree: Any) -> Iterator[Any]:
    """Every value of an artifact, and the length of each list or mapping."""
    if isinstance(tree, Mapping | list | tuple):
        yield len(tree)
        for one in tree.values() if isinstance(tree, Mapping) else tree:
            yield from leaves(one)
        yield from tree if isinstance(tree, Mapping) else ()
    else:
        yield tree


def artifacts(layout: Layout) -> dict[str, Any]:
    """Read every artifact that the page is made of, without the program's own readers."""
    files = {
        "metrics": layout.metrics,
        "explanation": layout.explanation,
        "summary": layout.score_summary,
        "profile": layout.profile,
        "audit": layout.audit,
        "selection": layout.selection,
        "backtest": layout.backtest,
        "kpis": layout.kpis,
        "change": layout.change_summary,
    }
    trees = {name: json.loads(one.path.read_text()) for name, one in files.items() if one.path.is_file()}
    trees["metadata"] = json.loads((layout.bundle / "card.json").read_text())
    scores = pd.read_parquet(layout.scores.path).to_dict("records")
    trees["scores"] = [row | {"reasons": json.loads(row["reasons"])} for row in scores]
    tables = {"catalogue": layout.catalogue.path, "scorecard": layout.scorecard_csv.path}
    tables |= {name: layout.plots / f"{name}.csv" for name in ("gain", "lift", "calibration")}
    trees["scorecard_md"] = layout.scorecard_md.path.read_text(encoding="utf-8")
    return trees | {name: pd.read_csv(path).to_dict("records") for name, path in tables.items()}


def derived(trees: dict[str, Any], top: int) -> dict[str, list[float]]:
    """What the page computes from the artifacts, by section."""
    metrics, summary, metadata = (trees[name] for name in ("metrics", "summary", "metadata"))
    test, explanation, kpis = metrics["test"], trees["explanation"], trees["kpis"]
    means = [won / summary["tiers"][name] for name, won in summary["expected_conversions"].items() if won]
    scale, capacity = PointScale.model_validate(metadata["points"]), trees["policy"]["capacity"]["per_period"]
    parts = [
        {"mean_points": sum(row["mean_points"] for row in explanation[name])}
        for name in ("features", "themes", "groups")
    ]
    shares = [
        row["mean_points"] / total["mean_points"]
        for name, total in zip(("features", "themes", "groups"), parts, strict=True)
        for row in explanation[name]
        if total["mean_points"]
    ]
    highest = [level["rate_high"] for category in explanation["categories"] for level in category["levels"]]
    reach = min(max([*highest, 0.0001]), max(4 * test["base_rate"], 0.02))
    velocity = kpis["velocity"] or {}
    growth, cycle = velocity.get("growth") or [], velocity.get("sales_cycle")
    called = next((one for one in summary["capacity"] if one["capacity"] == capacity), {"leads": 0})
    calls, wins = called["leads"], metrics["wins"]
    status = [check["status"] for check in trees["audit"]["checks"]]
    return {
        "": [calls * test["base_rate"], calls / wins["calls"] * wins["wins_today"]],
        "start": [
            *(status.count("passed"), status.count("failed"), status.count("passed") + status.count("failed")),
            summary["tiers"].get("excluded", 0),
        ],
        "verdict": [test["calibration_error"] * 100],
        "leads": [*means, *by_way(trees["scores"]), *(step for row in trees["scores"][:top] for step in steps(row))],
        "quality": [abs(metrics["uncorrected"]["log_loss"] - test["log_loss"])],
        "kpis": [
            *(100 * row[f"growth{end}"] for row in growth for end in ENDS if row["growth"] is not None),
            sum(look["group"] != "tier" for look in kpis["comparisons"]),
            *([cycle["wins"] - cycle["all"]["n"]] if cycle else []),
        ],
        "choices": [sum(len(one["candidates"]) for one in trees["selection"]["decisions"])],
        "drivers": [*shares, len(explanation["dependence"]) - 6],
        "values": [
            reach,
            1 / (1 - metrics["confidence"]),
            sum(len(one["levels"]) for one in explanation["categories"]),
        ],
        "data": [sum(table["quarantined"].values()) for table in trees["profile"]["tables"].values()],
        "reading": [
            len(report_terms()),
            *(float(expit((score - scale.offset) / scale.factor)) for score in range(0, 101, 10)),
            *(tier["share_of_capacity"] * capacity for tier in trees["policy"]["tiers"]["ladder"][:-1]),
            1 - metadata["linear_share"],
        ],
    }


def by_way(scores: list[Mapping[str, Any]]) -> list[float]:
    """The sums and means of the leads of each tier that came into it in one way."""
    frame = pd.DataFrame(scores)
    way = frame["tier_reason"].str.split(":").str[0].where(frame["tier"] != "excluded", "")
    way = way.where(way.isin(["trigger", "random sample to learn"]), "")
    groups = [group["probability"] for _, group in frame.groupby(["tier", way])]
    return [float(one) for group in groups for one in (group.sum(), group.mean(), len(group))]


def steps(row: Mapping[str, Any]) -> list[float]:
    """The bars of a lead's waterfall, as differences of sums to one decimal."""
    sums = [
        0.0,
        *accumulate([reason["points"] for reason in row["reasons"]], initial=row["base_points"]),
        row["points"],
    ]
    rounded = [round(one, 1) for one in sums]
    return [round(after - before, 1) for before, after in pairwise(rounded)]


def constants() -> set[str]:
    """Numbers in the templates' own texts."""
    files = sorted(page_module.TEMPLATES.glob("*.j2"))
    return {number for file in files for number in NUMBER.findall(file.read_text(encoding="utf-8"))}


@dataclass(frozen=True)
class Expected:
    """A piece of text as the artifacts have it: its section, its text, and its numbers that are in no artifact."""

    section: str
    text: str
    unknown: set[str]


def expected(params: Params, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> list[Expected]:
    """Fill the page again with the input of each filter, look each value up, and round it here."""
    trees = artifacts(layout) | {"policy": params.model_dump(mode="json", include={"tiers", "capacity"})}
    computed = derived(trees, params.report.top_leads)
    values = {name: list(leaves(tree)) for name, tree in trees.items()}
    known = {
        section: {one for name in names | EVERYWHERE for one in values.get(name, []) if not isinstance(one, str)}
        | set(computed.get(section, []))
        for section, names in SOURCES.items()
    }
    words = {section: numbers_in(names | EVERYWHERE, values) | constants() for section, names in SOURCES.items()}
    words["choices"] |= {f"{value:.4g}" for value in trees["selection"]["settings"].values()}
    words["reading"] |= {str(score) for score in range(0, 101, 10)} | {str(len(report_terms()))}
    words[""] |= set(NUMBER.findall(trees["profile"]["fingerprint"][:16]))
    with monkeypatch.context() as patched:
        for form, digits in (("percent", 1), ("number", 0), ("points", 0)):
            patched.setattr(page_module, form, partial(_tag, form, digits))
        patched.setattr(report.charts, "value_text", _tag_value)
        patched.setattr(page_module, "environment", page_module.environment.__wrapped__)  # with these formats
        pieces = Texts(filled(params, layout)).pieces
    return [_expected(section, source, known[section], words[section]) for section, source in pieces]


def _expected(section: str, source: str, known: set[Any], words: set[str]) -> Expected:
    text = TAG.sub(lambda tag: written(tag[1], int(tag[2]), float(tag[3])), source)
    unknown = {tag[3] for tag in TAG.finditer(source) if float(tag[3]) not in known}
    return Expected(section, text, unknown | (set(NUMBER.findall(TAG.sub("", source))) - words))


def untraced(page: str, traced: list[Expected]) -> list[tuple[str, str]]:
    """List section and text of every piece of a page whose numbers differ from the artifacts."""
    shown = Texts(page).pieces
    assert len(shown) == len(traced), "a different number of texts"
    pairs = zip(shown, traced, strict=True)
    return [(section, text) for (section, text), one in pairs if text != one.text or one.unknown]


def _tag(form: str, usual: int, value: float | None, digits: int | None = None) -> str:
    return tagged(form, value, usual if digits is None else digits)


def _tag_value(value: str | float | None, absent: str) -> str:
    return tagged("value", value, 0) if isinstance(value, float) else value or absent


def numbers_in(names: set[str], values: Mapping[str, list[Any]]) -> set[str]:
    """Numbers in texts of the artifacts, and integers among their values."""
    leaves_of = [one for name in names if name in values for one in values[name]]
    whole = {f"{one:.0f}" for one in leaves_of if isinstance(one, int | float) and one == one and one == round(one)}
    shares = {f"{share}%" for one in leaves_of for share in re.findall(r"lift_at_([\d.]+)$", str(one))}
    return (
        whole
        | shares
        | {number for one in leaves_of if not isinstance(one, float) for number in NUMBER.findall(str(one))}
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    folder = tmp_path_factory.mktemp("figures")
    return tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out")


@pytest.fixture(scope="module")
def traced(run: tuple[Params, Layout]) -> list[Expected]:
    """The page as its artifacts have it."""
    with pytest.MonkeyPatch.context() as patch:
        return expected(*run, patch)


def page_of(layout: Layout) -> str:
    return layout.report.path.read_text(encoding="utf-8")


def test_every_number_is_in_the_artifacts(run: tuple[Params, Layout], traced: list[Expected]) -> None:
    assert untraced(page_of(run[1]), traced) == []
    assert {one.section for one in traced} == SOURCES.keys() - {"change"}
    numbers = sum(len(NUMBER.findall(one.text)) for one in traced)
    assert numbers > 1000


def test_the_audit_is_shown_check_by_check(run: tuple[Params, Layout]) -> None:
    checks = json.loads(run[1].audit.path.read_text(encoding="utf-8"))["checks"]
    rows = parsed(page_of(run[1])).rows("audit")[1:]
    assert [row[:3] for row in rows] == [[check["code"], check["title"], check["status"]] for check in checks]
    for row, check in zip(rows, checks, strict=True):
        assert check["detail"] in row[3]
        assert all(f"{column}: {figures}" in row[3] for column, figures in check["columns"].items())
        assert row[4] == check["fix"]


def test_the_verdict_is_that_of_the_metrics(run: tuple[Params, Layout]) -> None:
    section = parsed(page_of(run[1])).all("section", id="verdict")[0]["text"]
    for line in json.loads(run[1].metrics.path.read_text())["verdict"]["lines"]:
        assert line in section


def test_an_altered_number_is_found(run: tuple[Params, Layout], traced: list[Expected]) -> None:
    page = page_of(run[1]).partition("<script")[0]
    charts = [chart.span() for chart in re.finditer(r"<svg.*?</svg>", page, re.DOTALL)]
    digits = [
        match.start(1)
        for match in re.finditer(r">[^<>]*?(\d)[^<>]*<", page)
        if match.start() > page.index("<main") and not any(begin < match.start() < end for begin, end in charts)
    ]
    for position in digits[:: len(digits) // 20]:
        altered = page[:position] + str((int(page[position]) + 1) % 10) + page[position + 1 :]
        assert len(untraced(altered, traced)) == 1, page[position - 60 : position + 20]


def test_a_figure_that_has_changed_since_is_found(run: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch) -> None:
    params, layout = run
    text = layout.metrics.path.read_text(encoding="utf-8")
    metrics = json.loads(text)
    metrics["test"]["auc"] += 0.01
    layout.metrics.path.write_text(json.dumps(metrics), encoding="utf-8")
    moved = untraced(page_of(layout), expected(params, layout, monkeypatch))
    layout.metrics.path.write_text(text, encoding="utf-8")
    assert {section for section, _ in moved} == {"verdict", "quality", "scorecard"}


def test_a_figure_from_nowhere_is_found(run: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        report.tables, "changed_values", lambda *_: [{"label": "x", "vanished": [], "unseen": 123456.5}]
    )
    assert any("123456.5" in one.unknown for one in expected(*run, monkeypatch))


def test_what_changed_is_shown_of_this_list_alone(run: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch) -> None:
    params, layout = run
    explain_changes(ChangeRequest(since="2026-06-15"), RunContext(params, layout))
    page = filled(params, layout)
    traced = expected(params, layout, monkeypatch)
    assert untraced(page, traced) == []
    assert sum(len(NUMBER.findall(one.text)) for one in traced if one.section == "change") > 20
    tree = json.loads(layout.change_summary.path.read_text(encoding="utf-8"))
    for other in ({"model_to": "another"}, {"format": 0}):
        layout.change_summary.path.write_text(json.dumps(tree | other), encoding="utf-8")
        assert "change" not in {section for section, _ in Texts(filled(params, layout)).pieces}
    for file in (layout.change, layout.change_csv, layout.change_summary):
        file.path.unlink()


def filled(params: Params, layout: Layout) -> str:
    return render(ReportInputs.read(RunContext(params, layout)), params.project.name, params.report.top_leads)


def test_every_point_of_a_chart_is_in_the_artifacts(run: tuple[Params, Layout]) -> None:
    params, layout = run
    trees = artifacts(layout)
    known = {one for tree in trees.values() for one in leaves(tree) if isinstance(one, int | float)}
    inputs = ReportInputs.read(RunContext(params, layout))
    page = page_of(layout)
    drawn = report.charts_of(inputs)
    assert len(drawn) > 5
    for name, chart in drawn.items():
        assert report.charts.svg(chart) in page, name
        points = [value for row in chart["data"]["values"] for value in row.values() if isinstance(value, float)]
        assert points
        assert set(points) <= known, name
