"""The monitor on a small run: it tells what was planted, says the same twice, and knows nothing of what came later."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import mlflow
import numpy as np
import pandas as pd
import pytest

from features.schema.errors import AlertError, DataError
from models.monitoring.input_checks import ROW_CHECKS, scores
from models.monitoring.results import MonitorResult
from models.scoring import fresh_intercept
from models.scoring.scorer import Scorer
from pipelines.config.params import Params, with_as_of
from pipelines.reporting.monitor_page import checks_table, write_monitor_page
from pipelines.scheduled import monitor
from pipelines.scheduled.monitor import MonitorData, MonitoredLists, raise_alerts, run_monitor
from pipelines.stages.ingest import ingest
from pipelines.stages.track import track_monitoring
from pipelines.storage.bundle import load_bundle, load_tested
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import leadscore
from tests.support.small_job import job
from tests.support.tiny import empty_store, tiny_copy, tiny_params

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
DAY = pd.Timestamp("2026-06-29")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    folder = tmp_path_factory.mktemp("watched")
    tracking = f"\ntrack: {{uri: 'sqlite:///{folder}/mlflow.db', artifacts: '{folder}/files'}}\n"
    empty_store(tmp_path_factory, folder / "mlflow.db")
    params = tiny_params(folder, f"monitor: {{reference_lists: 6, max_rows: 100000}}{tracking}")
    return params, tiny_copy(tmp_path_factory, folder / "out")


def both(layout: Layout) -> tuple[Scorer, Scorer]:
    scorer = load_bundle(layout.bundle, 1)
    return scorer, load_tested(layout.bundle, scorer)


def watched(params: Params, layout: Layout, folder: Path, day: pd.Timestamp = DAY) -> MonitorResult:
    return run_monitor(RunContext(with_as_of(params, f"{day:%Y-%m-%d}"), layout), *both(layout), folder)


def changed(layout: Layout, params: Params, folder: Path, change: Any) -> Layout:
    """The same run after another export: `change` edits the tables of the user's files."""
    shutil.copytree(layout.raw, folder / "raw")
    events = pd.read_parquet(folder / "raw" / "events.parquet")
    leads = pd.read_csv(folder / "raw" / "leads.csv", dtype="str", keep_default_na=False)
    leads, events = change(leads.assign(created_at=pd.to_datetime(leads["created_at"])), events)
    leads.to_csv(folder / "raw" / "leads.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S")
    events.to_parquet(folder / "raw" / "events.parquet", index=False)
    other = Layout.folder(folder / "out")
    ingest(params.source, params.ingest, params.project, folder / "raw", other)
    shutil.copytree(layout.bundle, other.bundle)
    shutil.copytree(layout.tested_model, other.tested_model)
    return other


def outage(leads: pd.DataFrame, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tracker is down for the last two weeks; mails and calls go on."""
    online = ~events["event_type"].isin(["email_sent", "call_attempt", "email_open", "sales_call"])
    return leads, events[~(online & (events["event_at"] >= DAY - pd.Timedelta(days=14)))]


def market(leads: pd.DataFrame, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every third lead of the last month comes from a source that is new."""
    new = (leads["created_at"] >= DAY - pd.Timedelta(days=28)) & (leads.index % 3 == 0)
    return leads.assign(lead_source=leads["lead_source"].where(~new, "marketplace")), events


def silence(leads: pd.DataFrame, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """No event for the last ten days."""
    return leads, events[events["event_at"] < DAY - pd.Timedelta(days=10)]


def test_it_is_the_same_twice_on_a_page_and_in_the_terminal(trained: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = trained
    written = []
    for name in ("a", "b"):
        result = watched(params, layout, tmp_path / name)
        write_monitor_page(result, tmp_path / name, "<b>mine</b>")
        written.append([(tmp_path / name / file).read_bytes() for file in ("monitor.json", "monitor.html")])
    assert written[0] == written[1]
    page = written[0][1].decode()
    assert "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    for check in result.checks:
        assert check.code in page
    assert checks_table(result).row_count == len(result.checks) == 9 + len(ROW_CHECKS)
    assert result.reference.lists == 6
    assert result.tested_until[:10] <= str(result.reference.first) <= str(result.reference.last) < result.newest
    assert result.assumption in page


@pytest.mark.parametrize(("plant", "codes"), [(outage, {"MN02"}), (market, {"MN05"}), (silence, {"MN01", "MN02"})])
def test_what_was_planted_raises_alerts(
    plant: Any, codes: set[str], trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = trained
    before = set(watched(params, layout, tmp_path / "before").alerts)
    result = watched(params, changed(layout, params, tmp_path, plant), tmp_path / "after")
    assert codes <= set(result.alerts) - before
    with pytest.raises(AlertError, match=min(codes)) as alert:
        raise_alerts(result)
    assert alert.value.exit_code == 9


def test_what_came_later_changes_nothing(trained: tuple[Params, Layout], tmp_path: Path) -> None:
    """Looking back from a larger export gives the results of the day."""
    params, layout = trained
    day = DAY - pd.Timedelta(days=21)

    def cut(leads: pd.DataFrame, events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        return leads[leads["created_at"] < day], events[events["known_at"] < day]

    later, then = (
        watched(params, one, tmp_path / str(number), day)
        for number, one in enumerate([layout, changed(layout, params, tmp_path / "cut", cut)])
    )
    for name in ("volumes", "levels", "features", "estimate", "early", "tiers"):
        assert getattr(later, name) == getattr(then, name), name


def test_each_of_the_newest_lists_answers_for_its_own_days(trained: tuple[Params, Layout], tmp_path: Path) -> None:
    """On a Monday the newest list has nothing to tell yet; two days later the one of Monday still tells too little."""
    params, layout = trained
    for later, last in ((0, 7), (2, 7), (4, 7), (6, 0), (7, 0)):
        day = DAY - pd.Timedelta(days=21 - later)
        lists = MonitoredLists.of(
            load_bundle(layout.tested_model, 1), Contract.open(layout, params.project), day, params
        ).young
        newest = DAY - pd.Timedelta(days=21 + last)
        assert {age: (len(one), one[-1]) for age, one in lists.items()} == {14: (2, newest), 28: (4, newest)}
    result = watched(params, layout, tmp_path)
    early = [(row.days, row.lists, row.since) for row in result.early]
    assert early == [(14, 2, "2026-06-15"), (28, 4, "2026-06-01")]
    assert str(result.reference.last) < "2026-06-01"


class Seasonal(Scorer):
    """Finds leads that were created in June worth more."""

    worth: ClassVar[float] = 2.0

    @property
    def features_read(self) -> list[str]:  # type: ignore[override]  # computed once there
        return [*super().features_read, "created_month"]

    def log_odds(self, matrix: pd.DataFrame) -> np.ndarray:
        return super().log_odds(matrix) + self.worth * (matrix["created_month"] == 6).to_numpy()


class Level(Seasonal):
    """Finds all months alike."""

    worth = 0.0


def test_the_season_moves_no_score(trained: tuple[Params, Layout]) -> None:
    """June comes after the reference; what it adds to a score is in none of those that are compared."""
    params, layout = trained
    plain = load_bundle(layout.tested_model, 1)
    books = []
    for kind in (Seasonal, Level):
        contract, scorer = Contract.open(layout, params.project), kind(plain.metadata, plain.models, plain.scorecard)
        calendar = MonitoredLists.of(scorer, contract, DAY, params)
        books.append(MonitorData.read(contract, scorer, calendar, params))
    seasonal, level = books
    assert seasonal.newest["score"].mean() > level.newest["score"].mean() + 5
    pd.testing.assert_series_equal(seasonal.newest_any_season["score"], level.newest_any_season["score"])
    lent = seasonal.newest_any_season
    assert set(lent["created_month"]) <= set(seasonal.reference["created_month"])
    own = [name for name in lent if not name.startswith("created_") and name != "score"]
    pd.testing.assert_frame_equal(lent[own], seasonal.newest[own])


def test_a_level_that_follows_the_outcomes_moves_no_score(
    trained: tuple[Params, Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each list stands on an intercept of its own; what is compared is what leads look like, at one of them."""
    params, layout = trained
    tested = load_bundle(layout.tested_model, 1)
    contract = Contract.open(layout, params.project)
    calendar = MonitoredLists.of(tested, contract, DAY, params)

    def falling(scorer: Scorer, _: pd.DataFrame, moments: pd.Series[pd.Timestamp]) -> np.ndarray:
        return scorer.metadata.sigmoid.intercept - (pd.DatetimeIndex(moments) - calendar.reference[0]).days / 40

    for room in (fresh_intercept, monitor):
        monkeypatch.setattr(room, "list_intercepts", falling)
    fallen = MonitorData.read(contract, tested, calendar, params)
    assert fallen.reference["score"].mean() > fallen.newest["score"].mean() + 5
    checks = [
        *(check(fallen.list_rows(), params.monitor) for check in ROW_CHECKS),
    ]
    assert not any(check.failed for check in checks), checks
    assert scores(replace(fallen.list_rows(), reference_at_level=fallen.reference), params.monitor).failed


def test_a_young_model_and_tables_without_dates_are_distinguished(
    trained: tuple[Params, Layout], tmp_path: Path
) -> None:
    params, layout = trained
    scorer, tested = both(layout)
    early = with_as_of(params, str(pd.Timestamp(tested.metadata.trained_until).date()))
    result = run_monitor(RunContext(early, layout), scorer, tested, tmp_path)
    assert [check.status for check in result.checks] == ["passed", "not applicable"]
    write_monitor_page(result, tmp_path, "young")
    undated = tested.metadata.model_copy(update={"snapshots": None, "trained_until": None})
    with pytest.raises(DataError, match="without dates"):
        other = type(tested)(undated, tested.models, tested.scorecard)
        run_monitor(RunContext(params, layout), other, other, tmp_path)


def test_the_command_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the tables of a scheduled run, whose feed has been silent for a year."""
    made = job(tmp_path)
    words = [
        "nightly",
        "monitor",
        "--params",
        str(made.overlay),
        "--out",
        str(tmp_path / "out"),
        "--as-of",
        "2025-03-03",
    ]
    assert leadscore(monkeypatch, *words) == 9
    assert "MN01" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "monitor.json").read_text())["alerts"] == ["MN01"]
    assert (tmp_path / "out" / "monitor.html").is_file()


def test_metrics_over_time_in_one_run_a_model(trained: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = trained
    days = [DAY - pd.Timedelta(days=7), DAY]
    results = [watched(params, layout, tmp_path / "now", day) for day in days]
    runs = {track_monitoring(params, result) for result in [*results, results[1]]}
    assert len(runs) == 1
    history = mlflow.MlflowClient().get_metric_history(runs.pop(), "MN06/psi")
    learned = pd.Timestamp(results[0].tested_until)
    assert [one.step for one in history] == [(day - learned).days for day in days]
    assert [one.timestamp for one in history] == [int(day.timestamp() * 1000) for day in days]
    assert [one.value for one in history] == [
        next(check.metrics["psi"] for check in result.checks if check.code == "MN06") for result in results
    ]
