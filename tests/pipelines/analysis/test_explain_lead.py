"""`leadscore lead explain`: what it tells is what the model says, and it tells of nobody else."""

from __future__ import annotations

import io
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from features.events.event_log import CONTRACT, derive_columns
from features.matrix.counterfactual import EVENTS, JUST_NOW
from features.schema.errors import DataError, ModelError
from models.explanation.lead_explanation import bars
from pipelines.analysis.explain_lead import LeadExplanation, explain_lead
from pipelines.analysis.lead_page import lead_page, show
from pipelines.config.params import Params, load, with_as_of
from pipelines.scoring.fresh_list import stand_fresh
from pipelines.scoring.population import one_lead
from pipelines.stages.run_all import stages
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, without_leads
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import OVERLAY, leadscore, write_tables
from tests.support.html_page import parsed

STAGES = ["ingest", "build_features", "audit", "train", "evaluate", "score"]
COLUMNS = "{lead_id: id, event_at: at, event_type: type}"
OWN = COLUMNS.replace("}", ", direction: side, value: minutes}")
DAY_TO_STAND_AT = "2025-12-20"
ADDRESS = '"https://crm.example/{lead_id}"'
HOSTILE = "\x1b[2J<b onclick=alert(1)>steel</b>"
UNDATED = """
source:
  order: none
  timezone: UTC
  leads: {path: leads.csv, columns: {lead_id: id}}
  attributes: {sector: {known: export}, size: {kind: number, known: export}}
  events: []
  event_labels: {}
  outcomes: {path: leads.csv, columns: {lead_id: id, converted: bought}}
  yes_values: ["1"]
  no_values: ["0"]
  stages: []
  attribute_history: []
"""


def prepared(folder: Path, text: str) -> tuple[Params, Layout]:
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    params, layout = load(folder / "params.yaml"), Layout.folder(folder / "out")
    every = stages(RunContext(params, layout), folder)
    for name in STAGES:
        every[name]()
    return params, layout


def dated_run(folder: Path) -> tuple[Params, Layout]:
    """Leads that visit, and sales that write to them; half of the visitors buy."""
    write_tables(folder, n=600)
    created = pd.read_csv(folder / "leads.csv", parse_dates=["created"])
    leads = created.assign(sector=created["sector"].replace("steel", HOSTILE))
    rng = np.random.default_rng(3)
    visits = pd.concat([created.iloc[::3], created.iloc[1::3], created.iloc[::6]]).assign(type="visit", side="inbound")
    mails = pd.concat([created, created.iloc[::2]]).assign(type="mail", side="outbound")
    log = pd.concat([visits, mails], ignore_index=True)
    log["at"] = log["created"] + pd.to_timedelta(rng.integers(1, 20, len(log)), unit="D")
    log["minutes"] = np.where(log["type"] == "visit", rng.integers(1, 30, len(log)), np.nan)
    leads.to_csv(folder / "leads.csv", index=False)
    log[["id", "at", "type", "side", "minutes"]].to_csv(folder / "events.csv", index=False)
    assert COLUMNS in OVERLAY
    shown = OVERLAY.replace("path: leads.csv", "path: leads.csv, display: {line: sector}, url_template: " + ADDRESS)
    return prepared(folder, shown.replace(COLUMNS, OWN) + f"score: {{as_of: {DAY_TO_STAND_AT}}}\n")


def undated_run(folder: Path) -> tuple[Params, Layout]:
    rng = np.random.default_rng(7)
    size = rng.exponential(50, 900)
    bought = (rng.random(900) < 0.2 + 0.5 * (size > 60)).astype(int)
    sector = rng.choice(["steel", "food"], 900)
    ids = [f"b{number:04d}" for number in range(900)]
    pd.DataFrame({"id": ids, "sector": sector, "size": size, "bought": bought}).to_csv(
        folder / "leads.csv", index=False
    )
    return prepared(folder, UNDATED + OVERLAY[OVERLAY.index("readiness:") :])


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    return dated_run(tmp_path_factory.mktemp("explained"))


@pytest.fixture(scope="module")
def undated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    return undated_run(tmp_path_factory.mktemp("undated"))


def listed(layout: Layout) -> pd.DataFrame:
    return pd.read_parquet(layout.scores.path)


def with_events(layout: Layout) -> str:
    """The best listed lead of which there are three events or more."""
    counts = pq.read_table(layout.events.path).to_pandas()["lead_id"].value_counts()
    ids = listed(layout)["lead_id"]
    return str(ids[ids.map(counts).fillna(0) >= 3].iloc[0])


def copied(layout: Layout, folder: Path) -> Layout:
    shutil.copytree(layout.reports, folder / "copy")
    return Layout.folder(folder / "copy")


def printed(explained: LeadExplanation) -> str:
    file = io.StringIO()
    show(explained, Console(width=500, file=file))
    return file.getvalue()


def test_the_story_is_that_of_the_scored_list(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    rows = listed(layout)
    for place in (0, len(rows) // 2, len(rows) - 1):
        row = rows.iloc[place]
        explained = explain_lead(row["lead_id"], RunContext(params, layout))
        now = explained.standing
        assert (now.score, now.probability, now.points) == (row["score"], row["probability"], row["points"])
        assert (now.fit, now.engagement) == (row["fit"], row["engagement"])
        assert now.steps[-1].end == pytest.approx(row["points"], abs=1e-8)
        assert explained.listed is not None
        assert (explained.listed["tier"], explained.listed["rank"], explained.listed["same"]) == (
            row["tier"],
            place + 1,
            True,
        )
        assert f", grade {row['grade']}, number {place + 1} of" in printed(explained)
        assert explained.cautions == [] or "The verdict of this run: " in explained.cautions[0]


def test_what_would_move_it_is_what_the_event_in_the_log_does(dated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = dated
    lead_id = with_events(layout)
    explained = explain_lead(lead_id, RunContext(params, layout))
    assert explained.event_effects is not None
    assert {(move.label, move.by) for move in explained.event_effects} == {("visit", "the lead"), ("mail", "sales")}
    log = pq.read_table(layout.events.path).select(CONTRACT)
    known = log.to_pandas()
    known = known[known["known_at"] <= explained.at]
    at = explained.at - JUST_NOW
    for move in explained.event_effects:
        alike = known[known["event_type"] == move.label]
        value = alike["value"].median()
        more = {"lead_id": lead_id, "event_at": at, "known_at": at, "event_type": move.label}
        more |= {"direction": alike["direction"].iloc[0], "channel": "online"}
        more |= {"value": None if pd.isna(value) else value}
        changed = copied(layout, tmp_path / move.label)
        added = pa.Table.from_pylist([more], schema=EVENTS).cast(log.schema)
        pq.write_table(derive_columns(pa.concat_tables([log, added])), changed.events.path)
        contract = Contract.open(changed, params.project)
        scorer = stand_fresh(load_bundle(changed.bundle, 2), contract, explained.at, params)
        rows = next(contract.matrix(one_lead(lead_id, contract, RunContext(params, changed)), scorer.metadata.matrix))
        after = scorer.score(rows, 0).iloc[0]
        assert move.probability == after["probability"] != explained.standing.probability
        assert move.score == after["score"]
        assert move.points == pytest.approx(after["points"] - explained.standing.points)


def test_the_timeline_holds_this_leads_events_up_to_the_day(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    lead_id = with_events(layout)
    log = pq.read_table(layout.events.path).to_pandas().query("lead_id == @lead_id")
    explained = explain_lead(lead_id, RunContext(params, layout))
    known = log[(log["event_at"] < explained.at) & (log["known_at"] <= explained.at)]
    assert explained.n_events == len(known)
    assert explained.not_counted == len(log) - len(known)
    assert [one["event_at"] for one in explained.events] == sorted(known["event_at"], reverse=True)
    few = params.model_copy(update={"explain": params.explain.model_copy(update={"timeline": 1})})
    short = explain_lead(lead_id, RunContext(few, layout))
    assert short.events == explained.events[:1]
    assert "the newest 1 are shown" in printed(short)


def test_leads_like_it_are_others_of_the_test_period(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    tested = pd.read_parquet(layout.predictions.path)
    lead_id = tested["lead_id"].iloc[0]
    every = params.model_copy(update={"explain": params.explain.model_copy(update={"similar_leads": 10_000})})
    explained = explain_lead(lead_id, RunContext(with_as_of(every, "2025-11-24"), layout))
    others = tested[tested["lead_id"] != lead_id]
    assert {one.how for one in explained.similar} == {"by score", "by reasons"}
    by_score, by_reasons = explained.similar
    assert by_score.n == others["lead_id"].nunique()
    assert 0 < by_reasons.n <= params.explain.sample_rows
    for one in explained.similar:
        assert others["snapshot_at"].min() <= one.first <= one.last <= others["snapshot_at"].max()
    assert by_score.lowest >= others["model"].min()


def test_an_earlier_day_is_told_as_it_was_then(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    lead = pd.read_parquet(layout.leads.path).iloc[3]  # created early in the year, and never bought
    day = (lead["created_at"] + pd.Timedelta(days=4)).date().isoformat()
    explained = explain_lead(lead["lead_id"], RunContext(with_as_of(params, day), layout))
    assert any("looks back" in caution for caution in explained.cautions)
    assert all(one["event_at"] < explained.at for one in explained.events)
    assert "no tier" in printed(explained)


def test_a_lead_that_is_not_open_is_told_so(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    outcomes = pd.read_parquet(layout.outcomes.path)
    won = outcomes.sort_values("converted_at").iloc[0]
    explained = explain_lead(won["lead_id"], RunContext(params, layout))
    assert any(f"converted on {won['converted_at']:%Y-%m-%d}" in caution for caution in explained.cautions)
    assert any("days old" in caution for caution in explained.cautions)


def test_the_page_holds_all_of_it_and_no_other_lead(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    lead_id = with_events(layout)
    explained = explain_lead(lead_id, RunContext(params, layout))
    text = lead_page(explained, "a project")
    page = parsed(text)
    shown = [row[2] for row in page.rows("waterfall")[1:]]
    numbers = [float(one.replace("−", "-")) for one in shown]
    assert sum(numbers) == pytest.approx(round(explained.standing.points, 1), abs=1e-6)
    clear = [move for move in explained.event_effects or [] if move.clear]
    assert len(page.rows("moves-table")) == bool(clear) + len(clear)
    assert len(page.rows("next-by-score")) > 1
    assert len(page.rows("events")) == 1 + len(explained.events)
    assert text.count('class="dot"') == len(explained.events)
    others = set(pd.read_parquet(layout.leads.path)["lead_id"]) - {lead_id}
    # a colour is no lead
    everywhere = set(re.findall(r"(?<![#\w])a\d{4}\b", text + printed(explained)))
    assert everywhere & others == set()
    assert lead_id in everywhere
    assert "Not an effect" in text
    assert lead_page(explained, "a project") == text


def test_the_page_asks_nothing_of_the_network_and_shows_values_as_text(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    leads = pd.read_parquet(layout.leads.path).set_index("lead_id")["sector"]
    lead_id = next(one for one in listed(layout)["lead_id"] if leads[one] == HOSTILE)
    explained = explain_lead(lead_id, RunContext(params, layout))
    text = lead_page(explained, "a project")
    assert "<b onclick" not in text
    assert "&lt;b onclick" in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', without_leads(text))
    assert explained.display == {"line": HOSTILE, "url": f"https://crm.example/{lead_id}"}
    assert re.findall(r'(?:src|href)="(?!#|data:)([^"]*)', text) == [explained.display["url"]]
    assert f"line: {HOSTILE[1:]}" in printed(explained).replace("line:  ", "line: ")
    assert "default-src 'none'" in text
    assert "\x1b" not in printed(explained)


def test_bars_lie_on_one_axis_that_holds_them_all(dated: tuple[Params, Layout]) -> None:
    params, layout = dated
    laid = bars(explain_lead(str(listed(layout)["lead_id"].iloc[-1]), RunContext(params, layout)).standing.steps)
    assert min(bar["left"] for bar in laid) == 0
    assert max(bar["left"] + bar["width"] for bar in laid) == pytest.approx(100, abs=0.02)
    for before, after in pairwise(laid):
        ends = {before["left"], round(before["left"] + before["width"], 2)}
        begins = {after["left"], round(after["left"] + after["width"], 2)}
        assert any(abs(one - other) <= 0.02 for one in ends for other in begins)


def test_tables_without_dates_and_events_say_what_does_not_apply(undated: tuple[Params, Layout]) -> None:
    params, layout = undated
    tested = pd.read_parquet(layout.predictions.path)["lead_id"].iloc[0]
    explained = explain_lead(tested, RunContext(params, layout))
    assert (explained.event_effects, explained.n_events, explained.horizon_days) == (None, None, None)
    text = printed(explained)
    assert "These data have no events" in text
    assert "NaT" not in text + lead_page(explained, "a project")
    assert "learned from this lead's own outcome" not in text
    trained = set(pd.read_parquet(layout.matrix.path).query("part == 'train'")["lead_id"])
    taught = explain_lead(min(trained), RunContext(params, layout))
    assert "learned from this lead's own outcome" in printed(taught)


def test_the_command_prints_writes_the_page_only_where_asked_and_leaves_the_run_alone(
    dated: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, layout = dated
    before = {path: path.stat().st_mtime_ns for path in layout.reports.rglob("*") if path.is_file()}
    common = ["--params", layout.reports.parent / "params.yaml", "--out", layout.reports]
    lead_id = listed(layout)["lead_id"].iloc[0]
    assert leadscore(monkeypatch, "lead", "explain", lead_id, *common) == 0
    out = capsys.readouterr().out
    assert f"Lead {lead_id}" in out
    assert "Sum" in out
    assert leadscore(monkeypatch, "lead", "explain", lead_id, *common, "--html", tmp_path / "lead.html") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["lead.html"]
    assert before == {path: path.stat().st_mtime_ns for path in layout.reports.rglob("*") if path.is_file()}


def test_what_is_wrong_is_one_clear_line(
    dated: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, layout = dated
    common = ["--params", layout.reports.parent / "params.yaml", "--out", layout.reports]
    assert leadscore(monkeypatch, "lead", "explain", "nobody", *common, "--html", tmp_path / "x.html") == 2
    assert "no lead 'nobody' among the 600" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert leadscore(monkeypatch, "lead", "explain", *common, "--html", tmp_path / "x.html") == 2
    assert "Missing argument" in capsys.readouterr().err
    assert leadscore(monkeypatch, "lead", "explain", "a0599", *common, "--as-of", "2025-01-01") == 2
    assert "later --as-of" in capsys.readouterr().err
    assert leadscore(monkeypatch, "lead", "explain", "a0001", "--out", tmp_path / "nowhere") == 3


def test_figures_of_another_model_or_of_none_are_refused(dated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = dated
    spoilt = copied(layout, tmp_path)
    lead_id = str(listed(layout)["lead_id"].iloc[0])
    text = spoilt.metrics.path.read_text(encoding="utf-8")
    spoilt.metrics.path.write_text(re.sub(r'"model_id": "\w+"', '"model_id": "another"', text), encoding="utf-8")
    with pytest.raises(ModelError, match="run `leadscore stage evaluate` again"):
        explain_lead(lead_id, RunContext(params, spoilt))
    spoilt.metrics.path.unlink()
    with pytest.raises(DataError, match="Run `leadscore stage evaluate` first"):
        explain_lead(lead_id, RunContext(params, spoilt))


def test_why_a_lead_is_in_its_tier_is_said(dated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = dated
    other = copied(layout, tmp_path)
    listed(layout).assign(tier="hot", tier_reason="trigger: asked for a demo").to_parquet(other.scores.path)
    shown = printed(explain_lead(str(listed(layout)["lead_id"].iloc[-1]), RunContext(params, other)))
    assert "On the score list: hot (trigger: asked for a demo), grade " in shown


def test_a_list_of_another_day_gives_no_tier_of_today(dated: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = dated
    other = copied(layout, tmp_path)
    rows = listed(layout)
    rows.assign(model_id="another").to_parquet(other.scores.path)
    explained = explain_lead(str(rows["lead_id"].iloc[0]), RunContext(params, other))
    assert explained.listed is not None
    assert not explained.listed["same"]
    assert "another model" in printed(explained)
    day_before = explain_lead(str(rows["lead_id"].iloc[0]), RunContext(with_as_of(params, "2025-12-19"), layout))
    assert day_before.listed is not None
    assert not day_before.listed["same"]
    other.scores.path.unlink()
    assert explain_lead(str(rows["lead_id"].iloc[0]), RunContext(params, other)).listed is None
