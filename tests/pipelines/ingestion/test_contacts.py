"""The contact log as a table of the contract: what is read of it, what is kept out, and what it must not change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.schema.contract import TABLES
from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from tests.support.small_source import mapping, reasons, run

HEADER = "lead,called,heard,list,tier,score,lot,chance\n"
COLUMNS = {
    "lead_id": "lead",
    "contacted_at": "called",
    "known_at": "heard",
    "as_of": "list",
    "tier": "tier",
    "score": "score",
    "explored": "lot",
    "propensity": "chance",
}
GOOD = (
    "a,2024-01-09 10:00:00,2024-01-09 18:00:00,2024-01-08,hot,81,no,1\n"
    "b,2024-01-09 11:00:00,,2024-01-08,hot,12,Yes,0.05\n"
    "c,2024-01-10 09:00:00,,2024-01-08,warm,40,,0.05\n"
    "c,2024-01-11 09:00:00,,2024-01-08,excluded,40,no,0\n"
)


def log(**changed: Any) -> dict[str, Any]:
    return {"path": "calls.csv", "columns": COLUMNS} | changed


def taken(folder: Path, text: str, limit: float = 1.0, **changed: Any) -> tuple[dict[str, Any], pd.DataFrame]:
    profile, layout = run(folder, {"calls.csv": HEADER + text}, limit=limit, contacts=[log(**changed)])
    return profile, pd.read_parquet(layout.contacts.path)


def test_a_log_is_read_as_it_stands(tmp_path: Path) -> None:
    profile, contacts = taken(tmp_path, GOOD, limit=0.0)
    assert contacts.columns.tolist() == [field.name for field in TABLES["contacts"]]
    assert contacts["lead_id"].tolist() == ["a", "b", "c", "c"]
    assert contacts["explored"].tolist() == ["no", "yes", "no", "no"]
    assert contacts["propensity"].tolist() == [1.0, 0.05, 0.05, 0.0]
    assert contacts["known_at"].tolist()[:2] == [pd.Timestamp("2024-01-09 18:00"), pd.Timestamp("2024-01-09 11:00")]
    assert profile.tables["contacts"].columns["tier"].type == "string"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("z,2024-01-09,,,hot,1,no,1", "lead_id is not in leads"),
        ("a,,,,hot,1,no,1", "contacted_at is empty"),
        ("a,soon,,,hot,1,no,1", "contacted_at is not a time in the format iso"),
        ("c,2024-01-02,,,hot,1,no,1", "contacted_at is before created_at"),
        ("a,2024-01-09,2024-01-08,,hot,1,no,1", "known before it happened"),
        ("a,2024-01-07,,2024-01-08,hot,1,no,1", "contacted before the list that showed it"),
        ("a,2024-01-09,,,hot,1,perhaps,1", "explored is not one of yes, no"),
        ("a,2024-01-09,,,hot,1,no,1.5", "propensity is no chance from 0 to 1"),
        ("a,2024-01-09,,,hot,1,no,-0.1", "propensity is no chance from 0 to 1"),
        ("a,2024-01-09,,,hot,1,yes,", "explored without a propensity"),
        ("a,2024-01-09,,,hot,1,yes,0", "explored without a propensity"),
        ("a,2024-01-09,,,hot,much,no,1", "score is not a number"),
    ],
)
def test_a_row_that_breaks_the_contract_is_quarantined_with_its_reason(row: str, reason: str, tmp_path: Path) -> None:
    profile, contacts = taken(tmp_path, GOOD + row + "\n")
    assert reasons(profile, "contacts") == {reason: 1}
    assert len(contacts) == 4


def test_too_many_bad_rows_stop_the_run_and_name_the_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"source.contacts\[0\] \(calls.csv\).*propensity.*no chance from 0 to 1"):
        taken(tmp_path, GOOD + "a,2024-01-09,,,hot,1,no,7\n", limit=0.05)


def test_copies_count_once_and_a_short_log_will_do(tmp_path: Path) -> None:
    profile, contacts = taken(tmp_path, GOOD + GOOD)
    assert (len(contacts), profile.tables["contacts"].copies) == (4, 4)
    short = {name: COLUMNS[name] for name in ("lead_id", "contacted_at")}
    _, contacts = taken(tmp_path, GOOD, columns=short)
    assert contacts["propensity"].isna().all() and contacts["explored"].eq("no").all()


def test_a_log_says_nothing_of_how_far_outcomes_are_known(tmp_path: Path) -> None:
    without, _ = run(tmp_path)
    fresher, _ = taken(tmp_path, "a,2024-03-01,,,hot,81,no,1\n")
    assert fresher.data_until == without.data_until
    assert fresher.fingerprint != without.fingerprint


def test_a_chance_without_the_lot_and_a_log_without_dates_are_refused(tmp_path: Path) -> None:
    half = {name: column for name, column in COLUMNS.items() if name != "explored"}
    with pytest.raises(ParamsError, match=r"source.contacts\[0\].*explored and propensity"):
        taken(tmp_path, GOOD, columns=half)
    with pytest.raises(ParamsError, match="contacted_at"):
        taken(tmp_path, GOOD, columns={"lead_id": "lead"})
    with pytest.raises(ParamsError, match="contacts need order: dates"):
        taken_undated(tmp_path)


def taken_undated(folder: Path) -> None:
    import yaml

    file = folder / "undated.yaml"
    leads = {"path": "leads.csv", "columns": {"lead_id": "id"}}
    outcomes = {"path": "won.csv", "columns": {"lead_id": "id", "converted": "won"}}
    file.write_text(
        yaml.safe_dump({"source": mapping(order="none", leads=leads, outcomes=outcomes, events=[], contacts=[log()])})
    )
    load(file)
