"""Rows of the future move nothing, and rows of leads that were filtered on purpose are filtered too."""

from __future__ import annotations

import datetime as dt
import logging
import os
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.cohort.snapshots import at_risk
from features.schema.declarations import SnapshotParams
from features.schema.errors import DataError, ParamsError
from models.splitting.holdout import SplitParams, split_by_time
from pipelines.config.params import load
from pipelines.config.sections import Ingest, Project
from pipelines.scoring.history import labelled
from pipelines.stages.ingest import ingest
from pipelines.storage.contract_store import Contract
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout
from tests.support.small_source import reasons, run, table

END = dt.date(2024, 6, 30)
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(182)]
LEADS = "id,created,country,size\n" + "".join(f"L{n},{day},DE,{n}\n" for n, day in enumerate(DAYS))
EVENTS = "id,at,kind,minutes\n" + "".join(f"L{n},{day} 12:00:00,visit,5\n" for n, day in enumerate(DAYS))
WON = "id,won\n" + "".join(f"L{n},{day + dt.timedelta(days=9)}\n" for n, day in enumerate(DAYS[:-9]) if n % 2)
FILES: dict[str, str | bytes] = {"leads.csv": LEADS, "events.csv": EVENTS, "outcomes.csv": WON}
SNAPSHOTS = SnapshotParams(horizon_days=14, every_days=7, max_age_days=60, outcome_lag_days=0)


def more(name: str, *rows: str) -> dict[str, str | bytes]:
    return FILES | {name: str(FILES[name]) + "".join(row + "\n" for row in rows)}


def rows_learned(layout: Layout) -> pd.DataFrame:
    """Every snapshot with its label and part, and the leads of the list of the next day."""
    with closing(Contract.open(layout, Project(threads=1, memory_gb=1))) as contract:
        rows = labelled(contract, SNAPSHOTS)
        day = pd.DatetimeIndex([contract.data_until.floor("D") + pd.Timedelta(days=1)])
        listed = at_risk(contract.leads, contract.outcomes, day.as_unit("us"), SNAPSHOTS)
    rows["part"] = split_by_time(rows, SplitParams())
    return pd.concat([rows, listed.assign(part="list")], ignore_index=True)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataProfile, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("without")
    profile, layout = run(folder, FILES)
    assert profile.data_until == profile.outcomes_until == "2024-06-30T12:00:00"
    rows = rows_learned(layout)
    assert rows["label"].mean() > 0.1 and set(rows["part"]) == {"train", "embargo", "test", "list"}
    return profile, rows


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("events.csv", "L5,2024-08-14 10:00:00,meeting,30", "event_at lies after the end of the data"),
        ("events.csv", "L5,2031-01-01 10:00:00,visit,5", "event_at lies after the end of the data"),
        ("leads.csv", "L999,2052-01-01,DE,5", "created_at lies after the end of the data"),
        ("outcomes.csv", "L0,2025-03-31", "converted_at lies after the end of the data"),
        ("outcomes.csv", "L0,2099-12-31", "converted_at lies after the end of the data"),
        ("leads.csv", "L999,2024-09-01,DE,5", "created_at lies after the end of the data"),
        ("leads.csv", "L999,2099-12-31,DE,5", "created_at lies after the end of the data"),
        ("events.csv", "L5,2099-12-31 00:00:00,visit,5", "event_at lies after the end of the data"),
    ],
)
def test_one_row_of_the_future_changes_nothing_and_is_named(
    name: str,
    row: str,
    reason: str,
    tmp_path: Path,
    without: tuple[DataProfile, pd.DataFrame],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="leadscore"):
        profile, layout = run(tmp_path, more(name, row), limit=0.0)  # a row of the future is no bad row
    assert (profile.data_until, profile.fingerprint) == (without[0].data_until, without[0].fingerprint)
    assert reasons(profile, name.removesuffix(".csv")) == {reason: 1}
    quarantine = pd.read_parquet(layout.quarantine.path)
    assert quarantine["reason"].tolist() == [reason]
    [said] = caplog.messages
    assert "1 row lies after the end of the data, 2024-06-30" in said and f"first row {quarantine['row'][0]}" in said
    pd.testing.assert_frame_equal(rows_learned(layout), without[1])


def test_rows_of_a_lead_of_the_future_go_with_it(tmp_path: Path, without: tuple[DataProfile, pd.DataFrame]) -> None:
    files = more("leads.csv", "L999,2052-01-01,DE,5") | {"events.csv": EVENTS + "L999,2024-05-01 10:00:00,visit,5\n"}
    profile, _ = run(tmp_path, files, limit=0.0)
    assert profile.fingerprint == without[0].fingerprint
    assert reasons(profile, "events") == {"its lead lies after the end of the data": 1}


later = st.integers(1, 40_000).map(lambda day: END + dt.timedelta(days=day))
lead = st.sampled_from(["L0", "L5", "L7", "L181", "new"])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    created=st.lists(later, max_size=40),
    happened=st.lists(st.tuples(lead, later), max_size=40),
    won=st.lists(st.tuples(lead, later), max_size=40),
)
def test_whatever_is_added_after_the_export_changes_no_label_split_or_list(
    created: list[dt.date],
    happened: list[tuple[str, dt.date]],
    won: list[tuple[str, dt.date]],
    tmp_path_factory: pytest.TempPathFactory,
    without: tuple[DataProfile, pd.DataFrame],
) -> None:
    folder = tmp_path_factory.mktemp("later")
    created = [END + dt.timedelta(days=1), *created]  # the lead `new` and its rows
    leads = [f"{f'new{n}' if n else 'new'},{day},DE,1" for n, day in enumerate(created)]
    files = {
        "leads.csv": LEADS + "\n".join(leads) + "\n",
        "events.csv": EVENTS + "".join(f"{who},{day} 08:00:00,meeting,1\n" for who, day in happened),
        "outcomes.csv": WON + "".join(f"{who},{day}\n" for who, day in won),
    }
    profile, layout = run(folder, files, limit=0.0, exported_at="2024-06-30")
    assert (profile.data_until, profile.fingerprint) == (without[0].data_until, without[0].fingerprint)
    pd.testing.assert_frame_equal(rows_learned(layout), without[1])


@pytest.mark.parametrize(
    "exported_at", ["2024-06-30T09:00:00", "2024-06-30 09:00:00+00:00", "2024-06-30T11:00:00+02:00"]
)
def test_an_export_at_a_moment_knows_the_days_before_and_its_own_hours(exported_at: str, tmp_path: Path) -> None:
    profile, _ = run(tmp_path, more("events.csv", "L5,2024-06-30 08:59:00,visit,5"), exported_at=exported_at)
    assert reasons(profile, "events") == {"event_at lies after the end of the data": 1}
    assert profile.data_until == "2024-06-30T08:59:00"


def test_the_day_of_the_file_is_the_day_of_the_export(tmp_path: Path) -> None:
    files = more("events.csv", *(f"L5,2024-07-{day:02d} 08:00:00,meeting,5" for day in range(1, 29)))
    run(tmp_path, files)
    written = dt.datetime(2024, 6, 30, 18, tzinfo=dt.UTC).timestamp()
    data = tmp_path / "data"
    source = load(tmp_path / "overlay.yaml").source.model_copy(update={"exported_at": "file"})
    for name in FILES:
        os.utime(data / name, (written, written))
    profile = ingest(source, Ingest(), Project(threads=1, memory_gb=1), data, Layout.folder(tmp_path / "out"))
    assert (profile.data_until, sum(reasons(profile, "events").values())) == ("2024-06-30T12:00:00", 28)


def test_an_export_before_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"leads.csv.*'created': found 182 of 182 leads created after 2023-12-31.*exported_at"
    ):
        run(tmp_path, FILES, exported_at="2023-12-31")
    with pytest.raises(ParamsError, match="exported_at"):
        run(tmp_path, FILES, exported_at="last Monday")


def test_a_deal_lost_and_expected_later_is_lost(tmp_path: Path) -> None:
    columns = {"lead_id": "id", "converted_at": "won", "lost_at": "lost"}
    rows = "".join(f"{line},\n" for line in WON.splitlines()[1:]) + "L0,2024-12-31,2024-05-01\n"
    profile, layout = run(
        tmp_path, FILES | {"outcomes.csv": "id,won,lost\n" + rows}, outcomes=table("outcomes", columns=columns)
    )
    of_lead = pd.read_parquet(layout.outcomes.path).set_index("lead_id").loc["L0"]
    assert pd.isna(of_lead["converted_at"]) and of_lead["lost_at"] == pd.Timestamp("2024-05-01")
    assert profile.data_until == "2024-06-30T12:00:00"


@pytest.mark.parametrize("last", ["2024-04-30", "2024-03-31", "2024-06-05", "2024-05-20"])
def test_labels_stop_where_the_outcomes_do(last: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    known = [line for line in WON.splitlines()[1:] if line.split(",")[1] <= last]
    newest = max(line.split(",")[1] for line in known)
    with caplog.at_level(logging.WARNING, logger="leadscore"):
        profile, layout = run(tmp_path, FILES | {"outcomes.csv": "\n".join(["id,won", *known]) + "\n"})
    assert profile.data_until == "2024-06-30T12:00:00"
    assert profile.outcomes_until == f"{newest}T00:00:00"
    assert f"outcomes: the newest is of {newest}" in " ".join(caplog.messages)
    rows = rows_learned(layout)
    assert rows.loc[rows["matured"].eq(True), "known_at"].max() <= pd.Timestamp(newest)


@pytest.mark.parametrize("wanted", [["DE"], ["DE", "FR"], ["AT"], ["AT", "CH", "FR"]])
def test_rows_of_leads_that_where_leaves_out_are_left_out_too(wanted: list[str], tmp_path: Path) -> None:
    leads = "id,created,country,size\n" + "".join(
        f"L{n},{day},{'DE' if n % 3 else 'AT'},1\n" for n, day in enumerate(DAYS)
    )
    left = sum(("DE" if n % 3 else "AT") not in wanted for n in range(len(DAYS)))
    profile, _ = run(
        tmp_path,
        {"leads.csv": leads, "events.csv": EVENTS + "stranger,2024-05-05 10:00:00,visit,1\n", "outcomes.csv": WON},
        limit=0.02,
        leads=table("leads", where={"country": wanted}),
    )
    tables = profile.tables
    assert (tables["leads"].read, tables["leads"].filtered) == (len(DAYS) - left, left)
    assert (tables["events"].filtered, reasons(profile, "events")) == (left, {"lead_id is not in leads": 1})
    assert tables["outcomes"].filtered > 0 and not reasons(profile, "outcomes")
    for one in tables.values():
        assert one.read == one.kept + sum(one.quarantined.values()) + one.copies + one.repeats
