"""Leads with a creation and an undated yes or no are ordered by the creation; rows that run backwards are refused."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.inspection.proposal import inspect
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout
from tests.support.small_source import reasons, run

DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=n) for n in range(120)]
BACKWARDS = [(n, day) for n, day in enumerate(DAYS)][::-1]


def leads(day: str = "%Y-%m-%d", rows: list[tuple[int, dt.date]] = BACKWARDS) -> str:
    lines = [f"L{n:03d},{at.strftime(day)},{n % 7},{'yes' if n % 3 == 0 else 'no'}" for n, at in rows]
    return "\n".join(["id,created,size,won", *lines]) + "\n"


def source(**changed: Any) -> dict[str, Any]:
    return {
        "order": "rows",
        "leads": {"path": "leads.csv", "columns": {"lead_id": "id", "created_at": "created"}},
        "attributes": {
            "size": {"kind": "number", "known": "export"},
            "weekday": {"column": "created", "part": "weekday"},
            "month": {"column": "created", "part": "month"},
            "hour": {"column": "created", "part": "hour"},
        },
        "events": [],
        "outcomes": {"path": "leads.csv", "columns": {"lead_id": "id", "converted": "won"}},
    } | changed


def taken(folder: Path, content: str, **changed: Any) -> tuple[DataProfile, Layout]:
    return run(folder, {"leads.csv": content}, **source(**changed))


@pytest.mark.parametrize("day", ["%Y-%m-%d", "%Y-%m-%d 08:30:00", "%d.%m.%Y"])
def test_leads_stand_in_the_order_of_their_creation(day: str, tmp_path: Path) -> None:
    table = {"path": "leads.csv", "columns": {"lead_id": "id", "created_at": "created"}}
    if day == "%d.%m.%Y":
        table["time_format"] = day
    profile, layout = taken(tmp_path, leads(day), leads=table)
    rows = pd.read_parquet(layout.leads.path).sort_values("position")
    assert rows["lead_id"].tolist() == [f"L{n:03d}" for n in range(120)]
    assert "created_at" not in rows and profile.data_until is None
    assert rows["weekday"].tolist()[:3] == ["Monday", "Tuesday", "Wednesday"]
    assert rows["month"].unique().tolist() == ["January", "February", "March", "April"]
    assert set(rows["hour"]) == {"08" if "08" in day else "00"}


def test_leads_of_one_day_share_their_place(tmp_path: Path) -> None:
    _, layout = taken(tmp_path, leads(rows=[(n, DAYS[n // 4]) for n in range(40)]))
    assert pd.read_parquet(layout.leads.path)["position"].tolist() == [n // 4 * 4 for n in range(40)]


def test_a_young_lead_that_has_not_converted_is_open(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="leadscore"):
        profile, layout = taken(tmp_path, leads(), outcome_after_days=30)
    outcomes = pd.read_parquet(layout.outcomes.path)
    assert outcomes["converted"].isna().sum() == 20  # of the 30 of the last 30 days
    assert len(pd.read_parquet(layout.leads.path)) == 110
    assert reasons(profile, "leads") == {"converted, but too young for outcome_after_days": 10}
    assert "20 that have not converted are open, 10 that have are left out" in " ".join(caplog.messages)
    later, layout = taken(tmp_path, leads(), outcome_after_days=30, exported_at="2024-07-01")
    assert pd.read_parquet(layout.outcomes.path)["converted"].isna().sum() == 0 and not reasons(later, "leads")


def test_a_lead_of_the_future_is_left_out_here_too(tmp_path: Path) -> None:
    profile, layout = taken(tmp_path, leads() + "L999,2052-01-01,3,no\n")
    assert reasons(profile, "leads") == {"created_at lies after the end of the data": 1}
    assert pd.read_parquet(layout.leads.path)["position"].max() == 119


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="outcome_after_days needs order: rows"):
        taken(tmp_path, leads(), outcome_after_days=30, leads={"path": "leads.csv", "columns": {"lead_id": "id"}})
    with pytest.raises(ParamsError, match=r"order is 'none' but leads.columns maps created_at"):
        taken(tmp_path, leads(), order="none")
    with pytest.raises(ParamsError, match="events need order: dates"):
        taken(tmp_path, leads(), events=[{"path": "events.csv"}])
    with pytest.raises(DataError, match="not one value that fits"):
        taken(tmp_path, leads(), attributes={"weekday": {"column": "size", "part": "weekday", "known": "export"}})


@pytest.mark.parametrize("day", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y-%m-%d 10:00:00", "%d %b %Y"])
def test_rows_that_run_backwards_are_refused(day: str, tmp_path: Path) -> None:
    undated = {
        "leads": {"path": "leads.csv", "columns": {"lead_id": "id"}},
        "attributes": {"size": {"known": "export"}},
    }
    with pytest.raises(DataError, match=r"'created': found rows from newest to oldest.*created_at: created"):
        taken(tmp_path, leads(day), **undated)
    forward, _ = taken(tmp_path, leads(day, BACKWARDS[::-1]), **undated)
    assert forward.tables["leads"].kept == 120
    shuffled = sorted(BACKWARDS, key=lambda pair: pair[0] * 77 % 120)
    assert taken(tmp_path, leads(day, shuffled), **undated)[0].tables["leads"].kept == 120


@pytest.mark.parametrize(
    "header",
    ["id,created,size,won", "id,Created Date,size,Converted", "id,date_added,size,is_won", "id,Anlage,size,Gewonnen"],
)
def test_inspect_orders_leads_by_their_creation(header: str, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text(leads().replace("id,created,size,won", header))
    inspection = inspect(tmp_path / "leads.csv", None, None)
    proposed = yaml.safe_load(inspection.mapping)["source"]
    created = header.split(",")[1]
    assert (proposed["order"], proposed["leads"]["columns"]["created_at"]) == ("rows", created)
    assert proposed["attributes"]["created_weekday"] == {
        "column": created,
        "part": "weekday",
        "known": "creation",
        "label": "weekday of creation",
    }
    assert "every answer counts as final" in " ".join(inspection.warnings)
    (tmp_path / "mine.yaml").write_text(inspection.mapping)
    assert load(tmp_path / "mine.yaml").source.by_creation
