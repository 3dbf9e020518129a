"""The report: it equals the artifacts, shows data as text only, and needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.schema.errors import DataError, ModelError
from pipelines.config.params import Params, load
from pipelines.reporting.page import percent, points
from pipelines.stages.report import write_report
from pipelines.stages.run_all import stages
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.browser import CHROMIUM, browser
from tests.support.html_page import Page, parsed
from tests.support.services import needs
from tests.support.tiny import tiny_copy, tiny_params

HOSTILE_LEVEL = "</script><script>document.title = 'owned'</script>"
HOSTILE_ID = "<img src=http://unfriendly.invalid/{} onerror=alert(1)>"
HOSTILE_LABEL = '"><b onclick=alert(2)>size'
UNDATED = f"""
source:
  order: none
  timezone: UTC
  leads: {{path: leads.csv, columns: {{lead_id: id}}}}
  attributes:
    sector: {{known: export}}
    size: {{kind: number, known: export, group: engagement, label: {json.dumps(HOSTILE_LABEL)}}}
    verdict: {{known: outcome, why: written with the outcome}}
  events: []
  event_labels: {{}}
  outcomes: {{path: leads.csv, columns: {{lead_id: id, converted: bought}}}}
  yes_values: ["1"]
  no_values: ["0"]
  stages: []
  attribute_history: []
train: {{boosters: 2, max_rounds: 40, min_child_samples: 20}}
selection: {{folds: {{count: 2}}, drift_limits: [1.0], logistic_c: [0.1], linear_shares: [0.5]}}
search: {{trials: 0}}
backtest: {{cuts: 0}}
scorecard: {{max_lines: 5, l2: [20.0]}}
capacity: {{per_period: 20}}
evaluate: {{resamples: 20, segments: [sector], min_segment_rows: 30}}
report: {{top_leads: 6}}
audit: {{sensitive: [size, sector, verdict], bands: {{size: [20, 50]}}, min_each: 10}}
"""


def undated_run(folder: Path) -> tuple[Params, Layout]:
    rng = np.random.default_rng(7)
    n = 900
    sector = rng.choice([HOSTILE_LEVEL, "steel", "food & drink", "toys"], n)
    size = np.where(rng.random(n) < 0.1, np.nan, np.round(rng.exponential(50, n)))
    bought = rng.random(n) < np.where(sector == "steel", 0.7, 0.25) + (np.nan_to_num(size) > 60) * 0.2
    ids = [HOSTILE_ID.format(number) for number in range(n)]
    leads = pd.DataFrame({"id": ids, "sector": sector, "size": size, "bought": bought.astype(int)})
    folder.joinpath("in").mkdir()
    leads.assign(verdict=np.where(bought, "won", "lost")).to_csv(folder / "in" / "leads.csv", index=False)
    overlay = folder / "undated.yaml"
    overlay.write_text(UNDATED, encoding="utf-8")
    params, layout = load(overlay), Layout.folder(folder / "out")
    for stage in stages(RunContext(params, layout), folder / "in").values():
        stage()
    return params, layout


@pytest.fixture(scope="module")
def undated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    return undated_run(tmp_path_factory.mktemp("undated"))


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    folder = tmp_path_factory.mktemp("dated")
    return tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out")


@pytest.fixture(scope="module", params=["dated", "undated"])
def layout(request: pytest.FixtureRequest) -> Layout:
    run: tuple[Params, Layout] = request.getfixturevalue(request.param)
    return run[1]


def page_of(layout: Layout) -> Page:
    return parsed(layout.report.path.read_text(encoding="utf-8"))


def metrics_of(layout: Layout) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(layout.metrics.path.read_text())
    return tree


def test_the_sections_come_in_order(layout: Layout) -> None:
    named = [one["attribute"] for one in metrics_of(layout).get("sensitive", [])]
    groups = ["sensitive"] if named == ["size", "sector", "verdict"] else []
    sections = [section["attrs"]["id"] for section in page_of(layout).all("section")]
    assert sections == [
        *("start", "leads", "drivers", "values", "grades", "scorecard"),
        *("verdict", "quality", *groups, "kpis", "backtest", "choices", "data", "catalogue", "reading"),
    ]


def test_the_big_numbers_equal_the_metrics(layout: Layout) -> None:
    metrics, page = metrics_of(layout), page_of(layout)
    test = metrics["test"]
    big = [element for element in page.elements if element["attrs"].get("class") == "big"]
    shown = [part for part in page.elements if "data-value" in part["attrs"] and part["tag"] == "span"]
    expected = [metrics["wins"]["gained"], test["capacity_lift"], test["mean_probability"], test["base_rate"]]
    assert [float(part["attrs"]["data-value"]) for part in shown] == expected
    assert [part["text"] for part in shown] == [
        points(expected[0], 1), f"{expected[1]:.1f}", percent(expected[2]), percent(expected[3]),
    ]  # fmt: skip
    assert test["capacity_lift"] == pytest.approx(test["precision_at_k"] / test["base_rate"])
    backtest = json.loads(layout.backtest.path.read_text())
    assert [one["text"] for one in big[4:]] == [period["cut"] for period in backtest.get("periods", [])[:1]]


def test_the_comparison_equals_the_metrics(layout: Layout) -> None:
    metrics, page = metrics_of(layout), page_of(layout)
    who = {"model": metrics["test"], "random_split": metrics["random_split"]} | metrics["baselines"]
    compared = set()
    rows = [element for element in page.elements if "data-measure" in element["attrs"]]
    cells = iter([element for element in page.elements if "data-who" in element["attrs"]])
    for row in rows:
        measure = row["attrs"]["data-measure"]
        for _ in who:
            cell = next(cells)["attrs"]
            if "data-value" in cell:
                shown = [float(cell[name]) for name in ("data-value", "data-low", "data-high")]
                metrics_of_who = who[cell["data-who"]]
                assert shown == [metrics_of_who[f"{measure}{end}"] for end in ("", "_low", "_high")]
                compared.add((measure, cell["data-who"]))
    named = ["auc", "average_precision", "log_loss", "brier", "calibration_error", "lift_at_10", "precision_at_k"]
    assert {(measure, name) for measure in named for name in ("model", "logistic", "random_split")} <= compared
    assert ("log_loss", "prior") in compared
    assert ("lift_at_10", "prior") not in compared, "one probability for all leads is no ranking"


def test_the_tiers_equal_the_scores(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    rows = page_of(layout).rows("tiers")[1:]
    way = np.where(scores["tier_reason"].str.startswith("trigger:"), ", by a trigger", "")
    way = pd.Series(np.where(scores["explored"] == "yes", ", drawn at random to learn", way))
    mixed = scores["tier"].map((way != "").groupby(scores["tier"]).any())
    tiers = scores["tier"] + way.mask(mixed & (way == ""), ", by score")
    assert {row[0] for row in rows} == set(tiers)
    assert list(dict.fromkeys(row[0].split(",")[0] for row in rows))[:3] == ["hot", "warm", "cold"]
    (certificate,) = metrics_of(layout)["tiers"]["certificates"]
    said = f"{certificate['rate']:.1%} or more" if certificate["certified"] else "not certified"
    first = {row[0].split(",")[0]: row[-1] for row in reversed(rows)}
    assert first.pop("hot") == said
    assert set(first.values()) == {"none requested"}
    for name, _, n, lowest, expected, mean, _ in rows:
        tier = scores[tiers == name]
        assert [n, lowest] == [f"{len(tier):,}", str(tier["score"].min())]
        assert expected == f"{tier['probability'].sum():,.1f}"
        assert mean == f"{tier['probability'].mean():.1%}"


def test_the_top_leads_are_the_first_of_the_scores(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    scores = pd.read_parquet(layout.scores.path).head(params.report.top_leads)
    page = page_of(layout)
    rows = page.rows("top-leads")[1:]
    assert [row[0] for row in rows] == scores["lead_id"].tolist()
    expected = scores[["score", "probability", "tier", "tier_reason"]].to_numpy().tolist()
    assert [row[1:4] for row in rows] == [
        [str(score), percent(p), f"{tier} {why}".strip()] for score, p, tier, why in expected
    ]
    chips = [item["text"] for item in page.all("li") if item["attrs"].get("class") in ("up", "down")]
    reasons = [reason for lead in scores["reasons"] for reason in json.loads(lead)]
    assert chips == [f"{points(reason['points'])} {reason['text'].split(' ', 1)[1]}" for reason in reasons]


def test_the_matrix_of_grades_equals_the_metrics(layout: Layout) -> None:
    page, grades = page_of(layout), metrics_of(layout)["grades"]
    shown = {cell["attrs"]["data-grade"]: cell for cell in page.all("td") if "data-grade" in cell["attrs"]}
    filled = [cell["grade"] for cell in grades["cells"] if cell["n"]]
    fits, engagements = {grade[0] for grade in filled}, {grade[1] for grade in filled}
    assert sorted(shown) == sorted(fit + engagement for fit in fits for engagement in engagements)
    shades = {}
    for cell in [cell for cell in grades["cells"] if cell["grade"] in shown]:
        text = shown[cell["grade"]]["text"]
        if not cell["n"]:
            assert text.startswith("no ")
            continue
        interval = f"{percent(cell['rate_low'])} to {percent(cell['rate_high'])}"
        assert text.startswith(f"{percent(cell['rate'])} {interval} {cell['n_positive']:,} of {cell['n']:,}")
        shade = re.search(r"/ (\d+)%", shown[cell["grade"]]["attrs"]["style"])
        assert shade
        shades[cell["grade"]] = int(shade[1])
    by_rate = sorted(shades, key=lambda name: next(one["rate"] for one in grades["cells"] if one["grade"] == name))
    assert [shades[name] for name in by_rate] == sorted(shades.values())
    assert max(shades.values()) == 45
    scores = pd.read_parquet(layout.scores.path)
    grades_shown = [cell["text"] for cell in page.all("td", data_label="Grade")]
    assert grades_shown == scores["grade"].head(len(grades_shown)).tolist() != []


def test_the_scorecard_is_the_one_that_is_written_for_a_crm(layout: Layout) -> None:
    sheet = pd.read_csv(layout.scorecard_csv.path)
    rows = page_of(layout).rows("criteria")[1:]
    assert [row[0] for row in rows] == sheet["criterion"].str.removeprefix("'").tolist()
    assert [row[1] for row in rows] == [points(worth) for worth in sheet["points"]]
    assert [row[4] for row in rows] == [percent(rate) for rate in sheet["conversion_rate"]]
    for line in layout.scorecard_md.path.read_text(encoding="utf-8").rsplit("|", 1)[1].strip().split("\n\n"):
        assert any(line == paragraph["text"] for paragraph in page_of(layout).all("p")), line


def test_data_is_shown_as_text_only(undated: tuple[Params, Layout]) -> None:
    page = page_of(undated[1])
    assert not page.all("img")
    assert not page.all("b", onclick="alert(2)")
    assert not [element for element in page.elements if any(name.startswith("on") for name in element["attrs"])]
    assert len(page.all("script")) == 1
    headers = [element["text"] for element in page.all("th")]
    assert HOSTILE_LEVEL in headers
    assert HOSTILE_LABEL in headers
    assert any(text.startswith("<img src=http") for text in headers)
    assert any(HOSTILE_LEVEL.startswith(one["text"].rstrip("…")) for one in page.all("text") if one["text"])


def test_the_page_needs_no_network(layout: Layout) -> None:
    page = page_of(layout)
    for element in page.elements:
        for name in ("src", "href", "action", "poster", "srcset"):
            target = element["attrs"].get(name, "#")
            assert target.startswith("#") or target == "data:,", target
    style = page.all("style")[0]["text"]
    assert "url(" not in style
    assert "@import" not in style


def test_only_the_pages_own_scripts_may_run(layout: Layout) -> None:
    page = page_of(layout)
    policy = page.all("meta", http_equiv="Content-Security-Policy")[0]["attrs"]["content"]
    own = [script["text"] for script in page.all("script") if "type" not in script["attrs"]]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in own]
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{hashes[0]}';")
    assert len(hashes) == 1
    assert layout.report.path.stat().st_size < 900_000


def test_equal_runs_give_equal_bytes(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    before = layout.report.path.read_bytes()
    assert write_report(RunContext(params, layout)) == layout.report.path
    assert layout.report.path.read_bytes() == before


def test_the_page_can_be_read_without_seeing_it(layout: Layout) -> None:
    page = page_of(layout)
    levels = [int(element["tag"][1]) for element in page.elements if re.fullmatch(r"h[1-6]", element["tag"])]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [len(page.all(tag)) for tag in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    assert all("scope" in header["attrs"] for header in page.all("th"))
    assert all(table["inside"][-1]["attrs"].get("class") == "scroll" for table in page.all("table"))
    for box in [element for element in page.all("div") if element["attrs"].get("class") == "scroll"]:
        assert box["attrs"]["tabindex"] == "0"
        assert box["attrs"]["aria-label"]
    ids = [element["attrs"]["id"] for element in page.elements if "id" in element["attrs"]]
    assert len(ids) == len(set(ids))


def test_every_figure_has_a_caption_words_and_a_table(layout: Layout) -> None:
    page = page_of(layout)
    charts = [element["attrs"] for element in page.all("div", class_="chart")]
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert len(page.all("svg")) == len(charts)
    assert len(page.all("figcaption")) == len(page.all("figure")) == len(charts)
    shown_as_table = [summary for summary in page.all("summary") if summary["text"].startswith("The same as a table")]
    beside = {"chart-calibration", "chart-walk-auc", "chart-walk-rates"} & {attrs["id"] for attrs in charts}
    assert len(shown_as_table) == len(charts) - len(beside), "these have their table beside them"


def test_a_run_with_dates_says_its_period(dated: tuple[Params, Layout]) -> None:
    metrics, text = metrics_of(dated[1]), page_of(dated[1]).all("main")[0]["text"]
    assert f"Tested on {metrics['period']['first']} to {metrics['period']['last']}" in text
    for part in ("train", "embargo", "test"):
        assert metrics["snapshots"]["parts"][part]["first"] in text
    assert f"{metrics['snapshots']['immature']:,}" in text


def test_a_run_without_dates_says_so(undated: tuple[Params, Layout]) -> None:
    text = page_of(undated[1]).all("main")[0]["text"]
    assert "The data carry no dates and no order." in text
    assert "the split is not chronological" in text
    assert "later period" not in text.replace(metrics_of(undated[1])["verdict"]["lines"][2], "")
    assert "never used: written with the outcome" in text
    assert "None" not in text
    assert not re.search(r"\bnan\b", text)


def test_rows_in_order_are_named_as_such(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = undated
    copy = _copy(layout, tmp_path)
    metrics = metrics_of(copy)
    metrics["snapshots"]["order"] = "rows"
    copy.metrics.path.write_text(json.dumps(metrics))
    write_report(RunContext(params, copy))
    text = page_of(copy).all("main")[0]["text"]
    assert "The order of the leads is used instead of time" in text
    assert "not chronological" not in text.replace(metrics["verdict"]["lines"][1], "")


def test_a_quick_run_is_named_as_such(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    copy = _copy(undated[1], tmp_path)
    copy.selection.path.write_text(json.dumps(json.loads(copy.selection.path.read_text()) | {"quick": True}))
    write_report(RunContext(undated[0], copy))
    assert "A quick run: fewer rows, one fold, no search" in page_of(copy).all("main")[0]["text"]


def test_a_list_of_a_model_that_is_not_usable_says_so(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = undated
    copy = _copy(layout, tmp_path)
    metrics = metrics_of(copy)
    for state, leaks, title, said, first in (
        ("better", [], "Verdict: better than", "", "Call these 20: "),
        ("no better", [], "Verdict: no better than", "Stay with that for calls", "Stay with "),
        ("worse", [], "Verdict: worse than ", "Do not use this list", "Do not call by this list: something simpler"),
        (
            "better",
            ["LK01 account"],
            "Verdict: leakage suspected",
            "Do not use this list",
            "Do not call by this list: l",
        ),
    ):
        verdict = metrics["verdict"] | {"state": state, "leaks": leaks}
        copy.metrics.path.write_text(json.dumps(metrics | {"verdict": verdict}))
        write_report(RunContext(params, copy))
        page = page_of(copy)
        assert page.all("h2", id="verdict-title")[0]["text"].startswith(title)
        assert page.all("h1")[0]["text"].startswith(first)
        notices = [one["text"] for one in page.all("p") if one["attrs"].get("class") == "notice"]
        assert (
            any(said in one for one in notices)
            if said
            else not any("According to the verdict" in one for one in notices)
        )


def test_no_list_of_leads_where_none_is_wanted(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = undated
    copy = _copy(layout, tmp_path)
    silent = params.model_copy(update={"report": params.report.model_copy(update={"top_leads": 0})})
    write_report(RunContext(silent, copy))
    assert not page_of(copy).all("table", id="top-leads")


def test_a_stage_that_has_not_run_is_named(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = undated
    copy = _copy(layout, tmp_path)
    copy.explanation.path.unlink()
    copy.report.path.unlink()
    with pytest.raises(DataError, match=r"explanation\.json.*explain"):
        write_report(RunContext(params, copy))
    assert not list(copy.reports.glob("*report.html*"))


def test_metrics_of_another_model_are_rejected(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = undated
    copy = _copy(layout, tmp_path)
    copy.metrics.path.write_text(json.dumps(metrics_of(copy) | {"model_id": "another"}))
    with pytest.raises(ModelError, match="another"):
        write_report(RunContext(params, copy))


@needs(CHROMIUM.exists(), f"no browser at {CHROMIUM}")
def test_hostile_data_does_nothing_in_a_browser(undated: tuple[Params, Layout], tmp_path: Path) -> None:
    page = undated[1].report.path
    with browser(tmp_path) as opened:
        opened.open(page)
        assert opened.run("document.title").startswith("Lead scoring report")
        assert opened.faults == []
        assert opened.requests == [page.as_uri()]


def _copy(layout: Layout, folder: Path) -> Layout:
    """A copy of the run that a test may change."""
    copy = Layout.folder(folder / "copy")
    shutil.copytree(layout.reports, copy.reports, ignore=shutil.ignore_patterns("*events*"))
    return copy
