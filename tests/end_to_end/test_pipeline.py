"""The complete pipeline on a small simulated funnel: its files, and that every run writes the same ones."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.schema.errors import DataError
from models.lists.declarations import ListParams
from pipelines.config.params import load
from pipelines.reporting.scorecard import show_scorecard
from pipelines.reporting.scorecard_table import table
from pipelines.scoring.override_store import STORE, add_override
from pipelines.stages.run_all import stages
from pipelines.stages.score import score_leads
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import read_matrix
from pipelines.storage.files import write_parquet
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params, tiny_run


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("tiny")
    return tiny_copy(tmp_path_factory, folder / "out")


def test_run_writes_the_files_others_read(layout: Layout) -> None:
    for name in ("metrics.json", "scores.parquet", "scores.csv", "report.html", "catalogue.csv", "kpis.json"):
        assert (layout.reports / name).stat().st_size > 0, name


def test_metrics_have_the_documented_keys_with_intervals(layout: Layout) -> None:
    metrics = json.loads(layout.metrics.path.read_text())
    names = ["auc", "average_precision", "log_loss", "brier", "calibration_error", "lift_at_10", "base_rate"]
    for group in (metrics["test"], metrics["random_split"], metrics["baselines"]["logistic"]):
        for name in names:
            assert group[f"{name}_low"] <= group[name] <= group[f"{name}_high"] or name == "calibration_error"
        assert group["n"] > 0
    assert metrics["period"]["first"] < metrics["period"]["last"]
    assert metrics["test"]["n"] == metrics["baselines"]["prior"]["n"]


def test_scores_hold_every_open_lead_once_best_first(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    leads = pd.read_parquet(layout.leads.path)
    outcomes = pd.read_parquet(layout.outcomes.path)
    as_of = scores["as_of"].iloc[0]
    closed = outcomes.loc[outcomes[["converted_at", "lost_at"]].min(axis=1) < as_of, "lead_id"]
    age = (as_of - leads["created_at"]) / pd.Timedelta(days=1)
    expected = leads.loc[age.between(1, 90) & ~leads["lead_id"].isin(closed), "lead_id"]
    assert sorted(scores["lead_id"]) == sorted(expected)
    assert scores["probability"].is_monotonic_decreasing
    assert scores["score"].between(0, 100).all()


def test_points_add_up_for_every_lead(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    total = scores["base_points"] + scores["fit"] + scores["engagement"]
    np.testing.assert_allclose(total, scores["points"], atol=1e-6)
    np.testing.assert_array_equal(scores["score"], np.rint(scores["points"].clip(0, 100)))
    by_channel = scores["online"] + scores["offline"] + scores["other_engagement"]
    np.testing.assert_allclose(by_channel, scores["engagement"], atol=1e-6)
    for name in ("online", "offline", "other_engagement", "negative"):
        assert scores[name].abs().max() > 1, name


def test_a_model_keeps_its_scale_when_params_change(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = layout.scores.path.read_bytes()
    other = tiny_params(tmp_path_factory.mktemp("other"), "points: {anchor_score: 10, double_odds: 30}\n")
    score_leads(RunContext(other, layout))
    assert layout.scores.path.read_bytes() == before


def test_every_graded_row_of_the_test_is_in_the_matrix(layout: Layout) -> None:
    grades = json.loads(layout.metrics.path.read_text())["grades"]
    matrix, _ = read_matrix(layout)
    assert sum(cell["n"] for cell in grades["cells"]) == grades["n"] == (matrix["part"] == "test").sum()
    assert grades["cuts"] == load_bundle(layout.tested_model, 1).metadata.grades.model_dump(mode="json")
    scores, cuts = pd.read_parquet(layout.scores.path), load_bundle(layout.bundle, 1).metadata.grades.model_dump()
    letters = np.array(list("DCBA"))[(scores["fit"].to_numpy()[:, None] >= cuts["fit"]).sum(axis=1)]
    assert scores["grade"].str[0].tolist() == letters.tolist()
    digits = np.array(list("4321"))[(scores["engagement"].to_numpy()[:, None] >= cuts["engagement"]).sum(axis=1)]
    assert scores["grade"].str[1].tolist() == digits.tolist()


def test_the_scorecard_is_written_for_people_and_for_a_crm(layout: Layout) -> None:
    scorer, params = load_bundle(layout.bundle, 1), load()
    sheet = pd.read_csv(layout.scorecard_csv.path)
    assert sheet["points"].tolist() == sorted((line.points for line in scorer.scorecard.lines), reverse=True)
    text = layout.scorecard_md.path.read_text()
    assert all(criterion.replace("|", "/") in text for criterion in sheet["criterion"])
    assert "lost" in text or "gained" in text
    shown, lines = show_scorecard(RunContext(params, layout))
    assert list(shown.columns[0].cells) == table(scorer.scorecard, scorer.catalogue)["criterion"].tolist()
    assert all(line in text for line in lines)
    draft = json.loads(layout.scorecard_hubspot.path.read_text())
    assert draft["read_first"][0].startswith("This is a draft.")
    assert len([one for lines in draft["properties"].values() for one in lines]) == len(sheet)


def test_the_csv_has_the_same_rows_without_a_formula(layout: Layout) -> None:
    scores, sheet = pd.read_parquet(layout.scores.path), pd.read_csv(layout.scores_csv.path, dtype={"lead_id": str})
    assert sheet["lead_id"].tolist() == scores["lead_id"].tolist()
    assert not sheet["reasons_text"].dropna().str.startswith(("'", "=", "+", "-", "@")).any()
    assert sheet["reasons_text"].fillna("").tolist() == scores["reasons_text"].tolist()
    first = json.loads(scores["reasons"].iloc[0])[0]["text"].split(" ", 1)
    assert sheet["reasons_text"].iloc[0].startswith(f"{first[1]} ({first[0]})")


def test_tiers_fill_capacity(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    assert (scores["tier"] == "hot").sum() == 40
    by_score = scores[scores["tier_reason"] == ""].groupby("tier")["probability"]
    assert by_score.min()["hot"] >= by_score.max()["warm"] > by_score.min()["warm"] >= by_score.max()["cold"]


def test_triggers_and_exclusions_equal_those_of_the_tables(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path).set_index("lead_id")
    as_of, events = scores["as_of"].iloc[0], pd.read_parquet(layout.events.path)
    events = events[(events["event_at"] < as_of) & (events["known_at"] <= as_of)]
    gone = scores.index.isin(events.loc[events["event_type"] == "unsubscribe", "lead_id"])
    recent = events["event_at"] >= as_of - pd.Timedelta(days=7)
    demo = scores.index.isin(events.loc[recent & (events["event_type"] == "demo_request"), "lead_id"])
    mail = pd.read_parquet(layout.leads.path).set_index("lead_id")["email_domain"].reindex(scores.index).fillna("")
    student = mail.str.endswith((".edu", ".ac.uk", ".ac.in", ".ac.jp", ".edu.au")).to_numpy()
    expected = np.select(
        [gone, student, demo],
        ["excluded: unsubscribed", "excluded: student mail address", "trigger: asked for a demo"],
        default="",
    )
    assert scores["tier_reason"].tolist() == expected.tolist()
    assert set(scores["explored"]) == {"no"}, "nobody is drawn at random unless it is asked for"
    assert min(gone.sum(), student.sum(), demo.sum()) > 0
    assert set(scores["tier"][expected == "trigger: asked for a demo"]) == {"hot"}
    assert set(scores["tier"][gone]) == {"excluded"}
    assert scores.loc[gone, "stage"].eq("").all() and scores.loc[~gone, "stage"].isin(["SQL", "MQL", "lead"]).all()


def test_the_tier_fits_capacity_in_each_of_eight_weeks_of_the_later_period(layout: Layout) -> None:
    """With triggers, exclusions and the margin from list to list."""
    metrics = json.loads(layout.metrics.path.read_text())["tiers"]
    predictions = pd.read_parquet(layout.predictions.path)
    sizes = (predictions["tier"] == "hot").groupby(predictions["snapshot_at"]).sum().tail(8)
    assert len(sizes) == 8 and sizes.index.to_series().diff().dropna().eq(pd.Timedelta(days=7)).all()
    assert sizes.between(0.95 * 40, 1.05 * 40).all()
    assert [counts["tiers"]["hot"] for counts in metrics["lists"][-8:]] == sizes.tolist()
    assert metrics["margin"] == 5 and 0 < metrics["share_changed"] < 1


def test_wins_of_capacity_are_those_of_the_predictions(layout: Layout) -> None:
    metrics = json.loads(layout.metrics.path.read_text())["tiers"]
    predictions = pd.read_parquet(layout.predictions.path)
    called = predictions[predictions["tier"] == "hot"]
    less, as_it_is, more = metrics["realised"]
    assert as_it_is["wins"] == pytest.approx(called["label"].sum() / as_it_is["lists"])
    assert (less["leads"], as_it_is["leads"], more["leads"]) == (36, 40, 44)
    assert less["wins"] <= as_it_is["wins"] <= more["wins"]
    (certificate,) = metrics["certificates"]
    entered = called.sort_values("snapshot_at").drop_duplicates("lead_id")
    last = certificate["tests"][-1]
    if last["share"] == 1:
        assert (last["leads"], last["wins"]) == (len(entered), entered["label"].sum())
    assert certificate["sentence"] in layout.report.path.read_text(encoding="utf-8")


def test_a_rerun_writes_the_same_bytes_and_a_new_list_keeps_tiers_within_the_margin(
    layout: Layout, tmp_path: Path
) -> None:
    copy = Layout.folder(tmp_path / "out")
    shutil.copytree(layout.reports, copy.reports)
    params = tiny_params(tmp_path)
    score_leads(RunContext(params, copy))
    assert _digests(copy)["scores.parquet"] == _digests(layout)["scores.parquet"]
    last_week = pd.read_parquet(layout.scores.path)
    by_score = last_week[last_week["tier_reason"] == ""]
    weakest, next_ones = (by_score.index[by_score["tier"] == tier] for tier in ("hot", "warm"))
    swapped = dict.fromkeys(weakest[-3:], "warm") | dict.fromkeys(next_ones[:3], "hot")
    previous = last_week.assign(
        as_of=last_week["as_of"] - pd.Timedelta(days=7),
        earned_tier=last_week["earned_tier"].mask(last_week.index.isin(list(swapped)), pd.Series(swapped)),
    )
    write_parquet(previous, copy.scores.path)
    score_leads(RunContext(params, copy))
    first = pd.read_parquet(copy.scores.path)
    kept = first["tier_reason"] == "kept hot: within 5 points of the cut-off"
    assert kept.any() and set(first.index[kept]) <= set(next_ones[:3])
    assert (first["tier"] == "hot").sum() == 40
    assert first["previous_tier"].tolist() == previous["earned_tier"].tolist()
    bytes_of_first = _digests(copy)
    score_leads(RunContext(params, copy))
    assert _digests(copy) == bytes_of_first


def test_a_damaged_previous_list_is_named_and_kept(layout: Layout, tmp_path: Path) -> None:
    copy = Layout.folder(tmp_path / "out")
    shutil.copytree(layout.reports, copy.reports)
    copy.scores.path.write_bytes(b"half of a file")
    with pytest.raises(DataError, match=r"scores.parquet.*cannot be read.*remove it so that tiers start afresh"):
        score_leads(RunContext(tiny_params(tmp_path), copy))
    assert copy.scores.path.read_bytes() == b"half of a file"


def test_kpis_by_tier_equal_a_count_by_hand(layout: Layout) -> None:
    """Every KPI of the hot tier, from the contract's tables with nothing of the stage's own code."""
    tree = json.loads(layout.kpis.path.read_text())
    rows = pd.read_parquet(layout.predictions.path)
    leads, outcomes = pd.read_parquet(layout.leads.path), pd.read_parquet(layout.outcomes.path)
    hot = rows[rows["tier"] == "hot"].sort_values("snapshot_at")
    first = hot.drop_duplicates("lead_id").merge(outcomes.drop(columns="converted"), "left", "lead_id")
    tier_kpis = next(tier for tier in tree["tiers"] if tier["name"] == "hot")
    kpis, day = tier_kpis["all"], pd.Timedelta(days=1)
    assert (kpis["leads"], kpis["rows"], kpis["converted"]) == (len(first), len(hot), first["label"].sum())
    for period in tier_kpis["periods"]:
        of_month = hot[hot["snapshot_at"].dt.strftime("%Y-%m") == period["period"]].drop_duplicates("lead_id")
        assert (period["leads"], period["converted"]) == (len(of_month), of_month["label"].sum())
    won = rows[rows["label"] == 1].assign(hot=rows["tier"] == "hot")
    assert kpis["wins_caught"] == pytest.approx(won.groupby("lead_id")["hot"].any().mean())
    ends = first["snapshot_at"] + 14 * day
    lost = (first["lost_at"] >= first["snapshot_at"]) & (first["lost_at"] < ends)
    assert kpis["lost"] == pytest.approx(lost.mean())
    passed = first[first["snapshot_at"] + 30 * day <= pd.Timestamp(_until(layout))]
    assert kpis["engagement_rate_n"] == len(passed) < len(first)
    assert kpis["engagement_rate"] == pytest.approx(_engaged(passed, layout).mean())
    created = leads.merge(outcomes, "left", "lead_id")
    share = next(one for one in tree["velocity"]["from_creation"]["days"] if one["share"] == 0.05)
    by_then = (created["converted_at"] - created["created_at"]) <= share["days"] * day
    long_ago = created["created_at"] + share["days"] * day < pd.Timestamp("2026-06-28")
    assert by_then[long_ago].mean() == pytest.approx(0.05, abs=0.01)
    comparison = next(row for row in tree["comparisons"] if row["name"] == "hot")
    assert (comparison["leads"], comparison["rows"]) == (len(first), len(hot))
    assert [comparison[name] for name in ("predicted_rate", "observed_rate")] == pytest.approx(
        [hot["model"].mean(), hot["label"].mean()]
    )
    assert comparison["converted"] == hot.groupby("lead_id")["label"].max().sum()


def _engaged(first: pd.DataFrame, layout: Layout) -> np.ndarray:
    events = pd.read_parquet(layout.events.path).query("direction == 'inbound'")
    ends = first[["converted_at", "lost_at"]].assign(window=first["snapshot_at"] + pd.Timedelta(days=30)).min(axis=1)
    both = first.assign(ends=ends)[["lead_id", "snapshot_at", "ends"]].merge(events, "inner", "lead_id")
    inside = both[(both["event_at"] >= both["snapshot_at"]) & (both["event_at"] < both["ends"])]
    return first["lead_id"].isin(inside["lead_id"]).to_numpy()


def test_stages_and_the_sales_cycle_equal_a_count_by_hand(layout: Layout) -> None:
    tree = json.loads(layout.kpis.path.read_text())
    stages, events = pd.read_parquet(layout.stages.path), pd.read_parquet(layout.events.path)
    outcomes = pd.read_parquet(layout.outcomes.path)
    wins = outcomes[outcomes["converted_at"] <= pd.Timestamp(_until(layout)) - pd.Timedelta(days=2)]
    touches = events[events["direction"] == "outbound"].groupby("lead_id")["event_at"].min()
    worked = stages[stages["stage"].isin(["SAL", "SQL", "opportunity", "customer"])]
    taken = worked.groupby("lead_id")["entered_at"].min()
    first = pd.concat([touches, taken], axis=1).min(axis=1).rename("at").rename_axis("lead_id").reset_index()
    both = wins.merge(first, "inner", "lead_id")
    days = ((both["converted_at"] - both["at"]) / pd.Timedelta(days=1))[both["at"] < both["converted_at"]]
    cycle = tree["velocity"]["sales_cycle"]
    assert (cycle["wins"], cycle["all"]["n"], cycle["all"]["median"]) == (len(wins), len(days), days.median())
    qualified = stages[stages["stage"] != "lead"].groupby("lead_id")["entered_at"].min().dt.strftime("%Y-%m")
    reported = {month["period"]: month["qualified"] for month in tree["velocity"]["growth"]}
    assert reported == {month: int((qualified == month).sum()) for month in reported}
    assert len(reported) == 12
    stays = {one["stage"]: one["n"] for one in tree["velocity"]["in_stage"]}
    assert stays == stages["stage"].value_counts().to_dict()


def _until(layout: Layout) -> str:
    return str(json.loads(layout.profile.path.read_text())["data_until"])


def test_the_planted_leak_is_no_feature(layout: Layout) -> None:
    _, spec = read_matrix(layout)
    assert not [entry.name for entry in spec.catalogue if "crm_rating" in entry.name]


def test_the_model_beats_every_baseline_on_the_later_period(layout: Layout) -> None:
    metrics = json.loads(layout.metrics.path.read_text())
    assert metrics["test"]["auc"] > 0.65
    assert metrics["test"]["log_loss"] < metrics["baselines"]["prior"]["log_loss"]


def test_scoring_a_test_snapshot_gives_its_training_features(layout: Layout) -> None:
    """The same call makes both: features of a lead do not depend on the stage."""
    from pipelines.config.params import load
    from pipelines.storage.contract_store import Contract

    matrix, spec = read_matrix(layout)
    some = matrix[matrix["part"] == "test"].groupby("snapshot_at").head(3).reset_index(drop=True)
    contract = Contract.open(layout, load().project)
    again = pd.concat(contract.matrix(some[["lead_id", "snapshot_at"]], spec), ignore_index=True)
    names = [entry.name for entry in spec.catalogue]
    key = ["lead_id", "snapshot_at"]
    left, right = some.sort_values(key)[names], again.sort_values(key)[names]
    np.testing.assert_array_equal(left.to_numpy(), right.to_numpy())


def test_no_file_of_the_bundle_can_run_code(layout: Layout) -> None:
    for file in layout.bundle.iterdir():
        assert file.suffix in (".txt", ".json")
        file.read_bytes().decode("utf-8")
    assert load_bundle(layout.bundle, 1).model_id


BY_POLICY = {"artifacts/predictions.parquet", "artifacts/score_summary.json", "headline.json", "kpis.json",
             "metrics.json", "report.html", "scorecard.md", "scores.csv", "scores.parquet"}  # fmt: skip
POLICY = """
exploration: {share: 0.1}
nurture: {on: true}
money: {deal_value: company_size, rank_by: revenue}
tiers:
  ladder:
    - {name: hot, stage: SQL, share_of_capacity: 1.0, min_score: 60, min_value_ratio: 5.0}
    - {name: warm, stage: MQL, share_of_capacity: 2.0, min_score: 40, min_value_ratio: 1.0}
    - {name: cold, stage: lead, share_of_capacity: rest, min_score: 0, min_value_ratio: 0.0}
  triggers: [{name: visits, when: {types: [visit], days: 3}, tier: hot}]
  exclusions: []
"""


def test_neither_threads_nor_policy_move_what_is_learned(layout: Layout, tmp_path: Path) -> None:
    """The second run has one thread, and another policy until the list is made again by the first one."""
    params, other = tiny_params(tmp_path), tiny_params(tmp_path, POLICY)
    one_thread = {"project": params.project.model_copy(update={"threads": 1})}
    leads = params.source.leads.model_copy(update={"display": {"agent": "country"}})
    owners = {
        "source": params.source.model_copy(update={"leads": leads}),
        "lists": ListParams(owner="agent", max_new_per_day=2),
        "capacity": params.capacity.model_copy(update={"per_period": 25}),
    }
    overrides = Layout.folder(tmp_path / "again").reports / STORE
    best = pd.read_parquet(layout.scores.path)["lead_id"][0]
    add_override(overrides, {"lead_id": best, "tier": "cold", "who": "Ann", "why": "a friend"})
    again = tiny_run(other.model_copy(update=one_thread | owners), tmp_path / "again")
    first, second = _digests(layout), _digests(again)
    assert {name for name in first if second[name] != first[name]} == BY_POLICY
    assert {"nurture.csv", "by_owner/owners.csv"} < set(second)
    assert _of_the_model(again) == _of_the_model(layout)
    for left in (overrides, again.display.path):
        left.unlink()
    run = RunContext(params.model_copy(update=one_thread), again)
    for stage in ("evaluate", "kpis", "score", "report"):
        stages(run, again.raw)[stage]()
    assert _digests(again) == first


def _of_the_model(layout: Layout) -> dict[str, Any]:
    """The figures in metrics.json that do not depend on how many leads are called, and the predictions."""
    predictions = pd.read_parquet(layout.predictions.path).drop(columns="tier")
    metrics = json.loads(layout.metrics.path.read_text())
    called = ("precision_at_k", "capacity_lift")

    def kept(figures: dict[str, Any]) -> dict[str, Any]:
        return {
            name: kept(value) if isinstance(value, dict) else value
            for name, value in figures.items()
            if not name.startswith(called)
        }

    figures = {name: one for name, one in metrics.items() if name not in ("capacity", "tiers", "wins", "verdict")}
    return kept(figures) | {"predictions": predictions.to_dict("list")}


def _digests(layout: Layout) -> dict[str, str]:
    folders = (layout.data, layout.artifacts, layout.reports)
    every = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    files = sorted(file for file in every if layout.search not in file.parents)  # a journal holds times and worker ids
    root = layout.reports
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
