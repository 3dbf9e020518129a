"""The embedded data is sane, repeatable, cut at the export, leaks where it should, and its truth is true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from features.cohort.snapshots import at_risk, grid
from features.schema.errors import ParamsError
from pipelines.config.params import load
from pipelines.config.simulation import Simulate
from pipelines.simulation import export as door
from pipelines.simulation.export import Simulated, chunks, simulate
from pipelines.simulation.market import FREE_DOMAINS
from pipelines.stages.simulate import write

PARAMS = load()
SHOT = PARAMS.snapshots
HORIZON = pd.Timedelta(days=SHOT.horizon_days)
END = pd.Timestamp(PARAMS.simulate.last_day) + pd.Timedelta(days=1)
STAGES = ["lead", "MQL", "SAL", "SQL", "opportunity", "customer"]
ATTRIBUTES = ["industry", "company_size", "job_title", "country", "lead_source", "email_domain"]


def changed(**values: object) -> Simulate:
    return PARAMS.simulate.model_copy(update=values)


def draw(seed: int = 7, **values: object) -> Simulated:
    return simulate(changed(**values), seed, SHOT)


def written(parts: Simulated | Iterator[Simulated], folder: Path) -> dict[str, bytes]:
    write(parts, folder / "raw", folder / "truth" / "oracle.parquet")
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def funnel() -> Simulated:
    return draw(seed=PARAMS.project.seed)


@pytest.fixture(scope="module")
def truth(funnel: Simulated) -> pd.DataFrame:
    """Oracle rows, what came true, and some of what could be known at the snapshot."""
    rows = funnel.oracle.merge(funnel.leads, "left", "lead_id").merge(funnel.outcomes, "left", "lead_id")
    events = funnel.events.drop_duplicates(["lead_id", "event_at", "event_type"])
    unsubscribes = events["event_type"] == "unsubscribe"
    answers = (events["direction"] == "inbound") & ~unsubscribes
    ever = pd.Timedelta(days=10_000)
    return rows.assign(
        converts=rows["converted_at"].between(rows["snapshot_at"], rows["snapshot_at"] + HORIZON, inclusive="left"),
        age=(rows["snapshot_at"] - rows["created_at"]).dt.days,
        answers=count_before(events[answers], rows, ever),
        answers_7d=count_before(events[answers], rows, pd.Timedelta(days=7)),
        touches=count_before(events[events["direction"] == "outbound"], rows, ever),
        demos=count_before(events[events["event_type"] == "demo_request"], rows, ever),
        unsubscribes=count_before(events[unsubscribes], rows, ever),
    )


def count_before(events: pd.DataFrame, rows: pd.DataFrame, window: pd.Timedelta) -> np.ndarray:
    """Events of the row's lead in [snapshot_at - window, snapshot_at), with one number line for all leads."""
    ids = pd.Index(rows["lead_id"].unique())
    happened = np.sort(on_line(ids, events["lead_id"], events["event_at"]))
    happened = happened[happened >= 0]
    until = on_line(ids, rows["lead_id"], rows["snapshot_at"])
    since = on_line(ids, rows["lead_id"], rows["snapshot_at"] - window)
    return np.searchsorted(happened, until, side="left") - np.searchsorted(happened, since, side="left")


def on_line(ids: pd.Index, lead_id: pd.Series, moment: pd.Series) -> np.ndarray:
    return ids.get_indexer(lead_id) * 100_000 + (moment - pd.Timestamp(0)) / pd.Timedelta(days=1)


def standard_errors_off(rows: pd.DataFrame) -> float:
    """Sum of (outcome - probability) in standard errors; snapshots of one lead are one draw."""
    surplus = (rows["converts"] - rows["probability"]).groupby(rows["lead_id"]).sum()
    return float(surplus.sum() / np.sqrt((surplus**2).sum()))


# --- the same and not the same ---


def test_simulate_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    once, again, other = (
        written(draw(seed, leads=400), tmp_path / str(number)) for number, seed in enumerate((7, 7, 8))
    )
    assert sorted(once) == [
        "attribute_history.csv",
        "events.parquet",
        "leads.csv",
        "oracle.parquet",
        "outcomes.csv",
        "stages.csv",
    ]
    assert once == again
    assert all(once[name] != other[name] for name in once)


def test_simulate_chunk_by_chunk_writes_the_same_bytes_as_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CHUNK_LEADS", 150)
    monkeypatch.setattr("pipelines.stages.simulate.ROW_GROUP", 1000)
    complete = written(draw(leads=400), tmp_path / "whole")
    parts = written(chunks(changed(leads=400), 7, SHOT), tmp_path / "parts")
    assert complete == parts
    assert pq.ParquetFile(tmp_path / "parts" / "raw" / "events.parquet").num_row_groups > 3


def test_simulate_files_read_back_as_the_tables(tmp_path: Path) -> None:
    drawn = draw(leads=300)
    written(drawn, tmp_path)
    leads = pd.read_csv(tmp_path / "raw" / "leads.csv", keep_default_na=False, na_values=[""], parse_dates=[1])
    pd.testing.assert_frame_equal(leads, drawn.leads, check_dtype=False)
    events = pd.read_parquet(tmp_path / "raw" / "events.parquet")
    pd.testing.assert_frame_equal(events, drawn.events, check_dtype=False)
    schema = pq.read_schema(tmp_path / "raw" / "events.parquet")
    assert str(schema.field("event_at").type) == str(schema.field("known_at").type) == "timestamp[us]"


def test_simulate_write_that_fails_midway_leaves_the_old_files(tmp_path: Path) -> None:
    before = written(draw(leads=200), tmp_path)

    def broken() -> Iterator[Simulated]:
        yield draw(seed=8, leads=200)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write(broken(), tmp_path / "raw", tmp_path / "truth" / "oracle.parquet")
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_simulate_refuses_a_period_that_ends_before_it_begins() -> None:
    with pytest.raises(ParamsError, match="last_day is 2024-01-01, before"):
        draw(last_day=dt.date(2024, 1, 1))


def test_simulate_period_shorter_than_the_horizon_has_no_truth(tmp_path: Path) -> None:
    drawn = draw(leads=100, last_day=PARAMS.simulate.first_day + dt.timedelta(days=SHOT.horizon_days - 2))
    assert len(drawn.leads) == 100
    assert drawn.oracle.empty
    assert "oracle.parquet" in written(drawn, tmp_path)


# --- rows are sane ---


def test_simulate_leads_have_a_key_and_the_shares_that_were_asked_for(funnel: Simulated) -> None:
    leads = funnel.leads
    assert leads["lead_id"].is_unique
    assert len(leads) == PARAMS.simulate.leads
    assert leads["created_at"].between(pd.Timestamp(PARAMS.simulate.first_day), END, inclusive="left").all()
    untouched = leads[~leads["lead_id"].isin(funnel.attribute_history["lead_id"])]
    missing = untouched[ATTRIBUTES].isna().mean()
    assert missing.between(0.8 * PARAMS.simulate.missing_share, 1.2 * PARAMS.simulate.missing_share).all()
    assert leads["email_domain"].isin(FREE_DOMAINS).mean() == pytest.approx(0.16, abs=0.02)
    assert leads["email_domain"].dropna().str.contains(r"\.(?:example|edu|com|de|me)$").all()
    assert set(FREE_DOMAINS) <= set(PARAMS.features.free_domains)
    assert leads["company_size"].mean() > 2 * leads["company_size"].median()


def test_simulate_fewer_leads_come_at_weekends_and_more_with_time(funnel: Simulated) -> None:
    created = funnel.leads["created_at"]
    assert (created.dt.day_of_week >= 5).mean() < 0.15
    assert (created > created.min() + (END - created.min()) / 2).mean() > 0.51


def test_simulate_mix_of_sources_shifts_with_drift_alone() -> None:
    def shift(drift: float) -> float:
        leads = draw(leads=6000, drift=drift).leads
        social = leads["lead_source"] == "social media"
        return float(social[3000:].mean() - social[:3000].mean())

    assert abs(shift(0.0)) < 0.03
    assert shift(2.0) > 0.08


def test_simulate_nothing_is_known_after_the_last_day(funnel: Simulated) -> None:
    times = [frame[column] for frame in vars(funnel).values() for column in frame.select_dtypes("datetime")]
    assert len(times) == 8
    assert all((time.dropna() < END).all() for time in times)
    assert (funnel.oracle["snapshot_at"] + HORIZON <= END).all()


def test_simulate_events_are_late_and_repeated_as_often_as_asked(funnel: Simulated) -> None:
    events, born = funnel.events, funnel.leads.set_index("lead_id")["created_at"]
    assert (events["event_at"] >= events["lead_id"].map(born)).all()
    delay = events["known_at"] - events["event_at"]
    late = delay[delay > pd.Timedelta(0)]
    assert len(late) / len(events) == pytest.approx(PARAMS.simulate.late_share, rel=0.1)
    assert late.between(pd.Timedelta(days=1), pd.Timedelta(days=10)).all()
    assert events.duplicated().mean() == pytest.approx(PARAMS.simulate.duplicate_share, rel=0.2)
    assert 20 < len(events) / len(funnel.leads) < 30
    assert events["lead_id"].is_monotonic_increasing
    clean = draw(leads=300, late_share=0.0, duplicate_share=0.0, missing_share=0.0)
    assert (clean.events["known_at"] == clean.events["event_at"]).all()
    assert not clean.leads[ATTRIBUTES].isna().any(axis=None)


def test_simulate_events_carry_direction_channel_and_value_by_type(funnel: Simulated) -> None:
    events = funnel.events
    kinds = events.groupby("event_type")[["direction", "channel"]].agg(["nunique", "first"])
    assert (kinds.xs("nunique", axis=1, level=1) == 1).all(axis=None)
    outbound = kinds.index[kinds["direction", "first"] == "outbound"]
    offline = kinds.index[kinds["channel", "first"] == "offline"]
    assert set(outbound) == {"email_sent", "call_attempt"}
    assert set(offline) == {"call_attempt", "sales_call", "fair"}
    assert set(events.loc[events["value"].notna(), "event_type"]) == {"visit", "webinar", "sales_call"}
    assert (events["value"].dropna() > 0).all()


def test_simulate_nobody_who_unsubscribed_is_mailed(funnel: Simulated) -> None:
    left = funnel.events[funnel.events["event_type"] == "unsubscribe"].groupby("lead_id")["event_at"].min()
    mails = funnel.events[funnel.events["event_type"].isin(["email_sent", "email_open", "email_click"])]
    later = mails["event_at"] > mails["lead_id"].map(left)
    assert len(left) > 500
    assert not later.any()


def test_simulate_lost_leads_are_silent_and_only_customers_are_onboarded(funnel: Simulated) -> None:
    events = funnel.events.merge(funnel.outcomes, "left", "lead_id")
    assert not (events["event_at"] >= events["lost_at"]).any()
    after = events["event_at"] > events["converted_at"]
    assert set(events.loc[after, "event_type"]) == {"visit", "onboarding"}
    assert after[events["event_type"] == "onboarding"].all()


def test_simulate_a_lead_has_one_outcome(funnel: Simulated) -> None:
    outcomes = funnel.outcomes.merge(funnel.leads[["lead_id", "created_at"]], "left", "lead_id")
    assert outcomes["lead_id"].is_unique
    assert (outcomes["converted_at"].isna() != outcomes["lost_at"].isna()).all()
    assert (outcomes["converted_at"].fillna(outcomes["lost_at"]) > outcomes["created_at"]).all()


def test_simulate_stages_are_entered_in_order_and_end_with_the_outcome(funnel: Simulated) -> None:
    stages = funnel.stages
    assert not stages.duplicated(["lead_id", "stage", "entered_at"]).any()
    entered = stages.pivot_table(index="lead_id", columns="stage", values="entered_at", aggfunc="min")[STAGES]
    steps = entered.ffill(axis=1)
    assert all((steps[after] >= steps[before]).all() for before, after in pairwise(STAGES))
    outcomes = funnel.outcomes.set_index("lead_id")
    won = outcomes["converted_at"].dropna()
    pd.testing.assert_series_equal(entered["customer"].dropna(), won, check_names=False)
    assert entered.loc[won.index].notna().all(axis=None)
    last = stages.groupby("lead_id")["entered_at"].max()
    assert (last.reindex(outcomes.index) <= outcomes.min(axis=1)).all()
    reached = entered.notna().mean()
    assert (reached.diff().dropna() < 0).all()
    assert stages.duplicated(["lead_id", "stage"]).sum() > 50


def test_simulate_history_starts_at_creation_and_ends_with_the_current_values(funnel: Simulated) -> None:
    history = funnel.attribute_history
    columns = ["company_size", "job_title"]
    versions = history.groupby("lead_id").size()
    assert not history.duplicated(["lead_id", "valid_from"]).any()
    assert versions.min() >= 2
    assert len(versions) / len(funnel.leads) == pytest.approx(0.08, abs=0.01)
    leads = funnel.leads.set_index("lead_id").loc[versions.index]
    edges = history.sort_values(["lead_id", "valid_from"]).groupby("lead_id")
    pd.testing.assert_series_equal(edges["valid_from"].min(), leads["created_at"], check_names=False)
    pd.testing.assert_frame_equal(edges[columns].nth(-1).set_axis(leads.index), leads[columns])
    assert (history.groupby("lead_id")[columns].nunique(dropna=False).max(axis=1) > 1).mean() > 0.9


# --- the leak ---


def single_power(leads: pd.DataFrame, column: str, won: pd.Series) -> float:
    """AUC of one attribute on half of the leads, each value scored by its rate in the other half."""
    values = leads[column]
    if pd.api.types.is_numeric_dtype(values):
        values = pd.qcut(values.astype(float), 20, duplicates="drop").astype(str)
    values, train = values.astype(object).fillna("empty"), np.arange(len(leads)) % 2 == 0
    rates = won[train].groupby(values[train]).mean()
    return float(roc_auc_score(won[~train], values[~train].map(rates).fillna(won[train].mean())))


def test_simulate_rating_leaks_the_outcome_and_nothing_else_does(funnel: Simulated) -> None:
    won = funnel.leads["lead_id"].isin(funnel.outcomes.loc[funnel.outcomes["converted_at"].notna(), "lead_id"])
    assert single_power(funnel.leads, "crm_rating", won) > 0.95
    powers = {column: single_power(funnel.leads, column, won) for column in ATTRIBUTES}
    assert max(powers.values()) < 0.7, powers
    still_open = ~funnel.leads["lead_id"].isin(funnel.outcomes["lead_id"])
    assert set(funnel.leads.loc[still_open, "crm_rating"].dropna()) == {"B", "C"}


# --- the truth ---


def test_oracle_rows_are_the_mature_snapshots_of_open_leads(funnel: Simulated) -> None:
    moments = grid(pd.Timestamp(PARAMS.simulate.first_day), END - HORIZON, SHOT)
    expected = at_risk(funnel.leads, funnel.outcomes, moments, SHOT)
    pd.testing.assert_frame_equal(funnel.oracle[["lead_id", "snapshot_at"]], expected, check_dtype=False)
    assert funnel.oracle["probability"].between(0, 1).all()


def test_oracle_base_rates_are_as_designed(funnel: Simulated, truth: pd.DataFrame) -> None:
    assert 0.10 < funnel.outcomes["converted_at"].notna().sum() / len(funnel.leads) < 0.13
    assert 0.03 < truth["converts"].mean() < 0.05


def test_oracle_is_calibrated_in_every_bin(truth: pd.DataFrame) -> None:
    bins = pd.qcut(truth["probability"], 12)
    off = truth.groupby(bins, observed=True)[["lead_id", "converts", "probability"]].apply(standard_errors_off)
    assert off.abs().max() < 3.5, off
    assert abs(standard_errors_off(truth)) < 3
    assert truth["converts"].mean() == pytest.approx(truth["probability"].mean(), rel=0.1)
    wrong = truth.assign(probability=1.2 * truth["probability"])
    assert abs(standard_errors_off(wrong)) > 4  # so the bounds above would notice


@pytest.mark.parametrize(
    "group",
    [
        "unsubscribes > 0",
        "email_domain in @FREE_DOMAINS",
        "email_domain != email_domain",
        "company_size >= 1000",
        "company_size < 50",
        "answers_7d >= 3",
        "answers_7d == 0",
        "answers == 0",
        "answers <= 2 and touches >= 10",
        "demos > 0",
        "age < 14",
        "age > 120",
        "industry == 'manufacturing'",
        "lead_source == 'partner' and company_size >= 1000",
        "lead_source != lead_source",
        "snapshot_at < '2025-03-01'",
        "snapshot_at >= '2026-01-01'",
    ],
)
def test_oracle_is_calibrated_in_groups(truth: pd.DataFrame, group: str) -> None:
    rows = truth.query(group)
    assert len(rows) > 500
    assert abs(standard_errors_off(rows)) < 3.5


def test_oracle_is_calibrated_over_another_horizon_and_drift() -> None:
    horizon = pd.Timedelta(days=75)
    grid_of_days = {"every_days": 3, "anchor": dt.date(2024, 1, 2), "min_age_days": 0, "max_age_days": 365}
    moments = SHOT.model_copy(update={"horizon_days": horizon.days} | grid_of_days)
    drawn = simulate(changed(leads=6000, drift=3.0), 5, moments)
    rows = drawn.oracle.merge(drawn.outcomes, "left", "lead_id")
    rows["converts"] = rows["converted_at"].between(
        rows["snapshot_at"], rows["snapshot_at"] + horizon, inclusive="left"
    )
    assert abs(standard_errors_off(rows)) < 3
    bins = pd.cut(rows["probability"], [0, 0.01, 0.05, 0.2, 1], include_lowest=True)
    off = rows.groupby(bins, observed=True)[["lead_id", "converts", "probability"]].apply(standard_errors_off)
    assert off.abs().max() < 3.5, off


def test_oracle_knows_much_more_than_the_base_rate(truth: pd.DataFrame) -> None:
    base_rate = np.full(len(truth), truth["converts"].mean())
    assert 0.80 < roc_auc_score(truth["converts"], truth["probability"]) < 0.86
    assert log_loss(truth["converts"], truth["probability"]) < 0.85 * log_loss(truth["converts"], base_rate)


def test_oracle_falls_with_silence_and_with_leaving_and_rises_with_interest(truth: pd.DataFrame) -> None:
    month = truth[truth["age"].between(24, 34)]
    reached = month[(month["unsubscribes"] == 0) & month["answers"].between(1, 3)]
    by_touches = reached.groupby(pd.cut(reached["touches"], [-1, 4, 6, 8, 100]))["probability"].mean()
    assert by_touches.is_monotonic_decreasing
    assert by_touches.iloc[-1] < 0.8 * by_touches.iloc[0]
    means = month["probability"].groupby([month["unsubscribes"] > 0, month["answers_7d"] > 2]).mean()
    assert means[True, False] < 0.4 * means[False, False]
    assert means[False, True] > 3 * means[False, False]
