"""The stage by rules and on real data: what it can tell, what it cannot and why; the future changes nothing."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from features.events.event_log import CONTRACT
from features.schema.errors import DataError, ParamsError
from models.kpis.results import KpiResult, TierMetrics
from pipelines.config.params import Params, load
from pipelines.reporting.tier_table import tier_table
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.kpis import measure_kpis, measure_kpis_by_rules
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import OVERLAY, leadscore
from tests.pipelines.scoring.test_rule_scoring import NO_RULES, RULES, prepared
from tests.support.paths import REAL
from tests.support.small_source import EXAMPLES

OLIST = REAL / "olist_funnel"
TEXT = OVERLAY + RULES + "capacity: {per_period: 8}\n"
DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    return prepared(tmp_path_factory.mktemp("kpis"), TEXT)


@pytest.fixture(scope="module")
def measured(run: tuple[Params, Layout]) -> KpiResult:
    return measure_kpis_by_rules(RunContext(*run))


def copy_of(layout: Layout, folder: Path) -> Layout:
    shutil.copytree(layout.reports, folder / "copy")
    return Layout.folder(folder / "copy")


def tiers_of(result: KpiResult) -> dict[str, TierMetrics]:
    return {tier.name: tier.all for tier in result.tiers}


def test_rules_have_tiers_and_figures_but_predict_nothing(run: tuple[Params, Layout]) -> None:
    run[1].revenue_by_owner.path.write_text("name\nAnn\n", encoding="utf-8")  # of a run with a model
    result = measure_kpis_by_rules(RunContext(*run))
    assert result.revenue is None and not run[1].revenue_by_owner.path.exists()
    assert result.by == "rules"
    assert result.comparisons == result.volumes == []
    assert "predict no probability" in result.missing["predictions"]
    assert result.missing["stages"] == "the data hold no lifecycle stages"
    assert result.verdict.lines[0].startswith("Whether tiers are too generous is unknown")
    matrix = pd.read_parquet(run[1].matrix.path)
    metrics = tiers_of(result)
    assert sum(tier.rows for tier in metrics.values()) == len(matrix), "rules learned nothing, so every list counts"
    assert metrics["hot"].conversion_rate > metrics["cold"].conversion_rate
    hot = metrics["hot"]
    assert 0 < hot.engagement_rate_n < hot.conversion_rate_n, "30 days have not passed for all, 14 days have"
    json.loads(run[1].kpis.path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_rules_with_thresholds_give_their_own_tiers(run: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = run
    text = TEXT.replace("thresholds: []", "thresholds: [{name: warm, at_least: 3}]")
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    tiers = params.tiers.model_copy(update={"margin": 0.0})
    named = params.model_copy(update={"rules": load(tmp_path / "params.yaml").rules, "tiers": tiers})
    matrix = pd.read_parquet(layout.matrix.path)
    metrics = tiers_of(measure_kpis_by_rules(RunContext(named, copy_of(layout, tmp_path))))
    assert [*metrics] == ["warm", "none"]
    assert metrics["warm"].rows == (matrix["rule_points"] >= 3).sum()


def test_wins_caught_say_of_which_wins_they_are_a_share(measured: KpiResult) -> None:
    """Every win was caught by some tier, because those on no list were in no figure."""
    assert measured.coverage
    wins, on_lists = measured.coverage.period, tiers_of(measured)["hot"].wins_caught_n
    assert wins.wins >= on_lists > 0
    assert measured.verdict.lines[-1] == (
        f"Wins caught are shares of the {on_lists:,} wins on these lists. {measured.coverage.sentence}"
    )


def test_what_the_systems_learned_after_the_end_of_the_data_changes_nothing(
    run: tuple[Params, Layout], measured: KpiResult, tmp_path: Path
) -> None:
    params, layout = run
    copy = copy_of(layout, tmp_path)
    until = pd.Timestamp(json.loads(layout.profile.path.read_text())["data_until"])
    leads = pd.read_parquet(layout.leads.path)["lead_id"]
    events = pd.read_parquet(layout.events.path, columns=CONTRACT)
    outcomes = pd.read_parquet(layout.outcomes.path)
    late = pd.DataFrame({"lead_id": leads, "event_at": until + DAY, "known_at": until + DAY, "event_type": "visit"})
    learned_late = late.assign(event_at=until - 40 * DAY)  # it happened before, and nobody knew
    more = pd.concat([late, learned_late]).assign(direction="inbound", channel="online", value=float("nan"))
    pd.concat([events, more[events.columns]]).sort_values("lead_id").to_parquet(copy.events.path, index=False)
    new = leads[~leads.isin(outcomes["lead_id"])]
    wins = pd.DataFrame({"lead_id": new, "converted_at": until + DAY, "converted": True, "lost_at": pd.NaT})
    pd.concat([outcomes, wins[outcomes.columns]]).to_parquet(copy.outcomes.path, index=False)
    assert measure_kpis_by_rules(RunContext(params, copy)) == measured


def test_an_event_in_time_does_change_something(
    run: tuple[Params, Layout], measured: KpiResult, tmp_path: Path
) -> None:
    (params, layout), before = run, measured
    copy = copy_of(layout, tmp_path)
    events, leads = pd.read_parquet(layout.events.path), pd.read_parquet(layout.leads.path)
    at = leads["created_at"] + 20 * DAY
    more = (
        events.iloc[[0]]
        .drop(columns=["lead_id", "event_at", "known_at"])
        .merge(pd.DataFrame({"lead_id": leads["lead_id"], "event_at": at, "known_at": at}), how="cross")
    )
    ours = more.assign(direction="outbound")
    for extra, part in ((more, "engagement_rate"), (ours, "sales cycle")):
        both = pd.concat([events, extra[events.columns]]).sort_values("lead_id")
        both.to_parquet(copy.events.path, index=False)
        after = measure_kpis_by_rules(RunContext(params, copy))
        if part == "sales cycle":
            assert part in before.missing
            assert part not in after.missing
            assert after.velocity and after.velocity.sales_cycle
            assert after.velocity.sales_cycle.all.median == 1.0  # touched on day 20, won on day 21
            assert tiers_of(after)["cold"].engagement_rate == tiers_of(before)["cold"].engagement_rate
        else:
            assert tiers_of(after)["cold"].engagement_rate > tiers_of(before)["cold"].engagement_rate


@pytest.mark.skipif(not OLIST.is_dir(), reason="the example's data are not here")
def test_a_table_without_events_reports_what_it_can(tmp_path: Path) -> None:
    params, layout = load(EXAMPLES / "olist_funnel.yaml"), Layout.folder(tmp_path)
    ingest(params.source, params.ingest, params.project, OLIST, layout)
    build_features(RunContext(params, layout))
    result = measure_kpis_by_rules(RunContext(params, layout))
    assert result.missing.keys() == {"engagement", "stages", "sales cycle", "predictions", "response"}
    matrix = pd.read_parquet(layout.matrix.path)
    assert sum(tier.converted for tier in tiers_of(result).values()) == matrix["label"].sum()
    raw = pd.read_csv(OLIST / "olist_marketing_qualified_leads_dataset.csv", parse_dates=["first_contact_date"])
    deals = pd.read_csv(OLIST / "olist_closed_deals_dataset.csv", parse_dates=["won_date"])
    both = raw.merge(deals, "left", "mql_id")
    days = (both["won_date"] - both["first_contact_date"]) / DAY
    assert result.velocity
    velocity = result.velocity.from_creation
    # Nearly all are in sight for months, so the share that had converted by a day is nearly a plain count.
    share = {one.share: one.days for one in velocity.days}
    assert (days <= share[0.05]).mean() == pytest.approx(0.05, abs=0.001)
    assert (days <= share[0.1]).mean() == pytest.approx(0.1, abs=0.003)
    assert share[0.5] is None
    assert velocity.n == 8000
    assert result.coverage
    wins, known = result.coverage.history, days[days >= 0]
    assert wins.wins == len(known)
    assert wins.wins - wins.on_none == known.between(1, 31, inclusive="left").sum(), "listed once, at the age of a day"
    assert wins.before == (known < 1).sum()
    assert wins.reasons["too old"] == (known >= 31).sum()
    assert wins.wins - wins.on_none == tiers_of(result)["hot"].wins_caught_n
    months = raw["first_contact_date"].dt.strftime("%Y-%m").nunique()
    assert months <= len(result.tiers[0].periods) <= months + 1


def test_the_command_writes_and_is_silent_unless_watched(
    run: tuple[Params, Layout], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = copy_of(run[1], tmp_path)
    (tmp_path / "params.yaml").write_text(TEXT, encoding="utf-8")
    words = ("stage", "kpis", "--by", "rules", "--params", tmp_path / "params.yaml", "--out", layout.reports)
    assert leadscore(monkeypatch, *words) == 0
    assert capsys.readouterr().out == ""
    first = layout.kpis.path.read_bytes()
    assert leadscore(monkeypatch, *words) == 0
    assert layout.kpis.path.read_bytes() == first


def test_the_table_for_a_terminal_has_every_tier(measured: KpiResult) -> None:
    table = tier_table(measured)
    assert [*table.columns[0].cells] == ["hot", "warm", "cold"]
    converted = [*next(column for column in table.columns if column.header == "converted").cells]
    assert all(re.fullmatch(r"[\d.]+% \([\d.]+%-[\d.]+%\)", str(cell)) for cell in converted)
    assert "accepted" not in [column.header for column in table.columns], "nothing is known of stages"


def test_without_predictions_or_rules_it_says_what_to_do(run: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = run
    with pytest.raises(
        DataError, match=r"Run `leadscore stage evaluate` first; without a model, `leadscore stage kpis --by rules`"
    ):
        measure_kpis(RunContext(params, layout))
    with pytest.raises(ParamsError, match="names no rule"):
        measure_kpis_by_rules(RunContext(params.model_copy(update={"rules": NO_RULES}), layout))
    with pytest.raises(DataError, match="build-features"):
        measure_kpis_by_rules(RunContext(params, Layout.folder(tmp_path / "nowhere")))
