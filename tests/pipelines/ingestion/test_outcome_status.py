"""A closing date is no conversion: a status tells won from lost, in one table or several."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout
from tests.support.small_source import LEADS, UNDATED, reasons, run, table

DEALS = "id,stage,close_date\na,Closed Won,2024-02-01\nb,Closed Lost,2024-02-02\nc,Negotiation,2024-02-03\n"
BY_STATUS: dict[str, Any] = {
    "columns": {"lead_id": "id", "status": "stage", "closed_at": "close_date"},
    "won_values": ["closed won"],
    "lost_values": ["Closed Lost"],
}
Outcome = tuple[str, bool | None, str | None, str | None]


def taken(folder: Path, content: str, **changed: Any) -> tuple[DataProfile, Layout]:
    return run(folder, {"outcomes.csv": content}, outcomes=table("outcomes", **BY_STATUS | changed))


def outcomes(layout: Layout) -> list[Outcome]:
    rows = pd.read_parquet(layout.outcomes.path)
    return [
        (
            str(row.lead_id),
            None if pd.isna(row.converted) else bool(row.converted),
            *(None if pd.isna(at) else f"{at:%Y-%m-%d}" for at in (row.converted_at, row.lost_at)),
        )
        for row in rows.itertuples()
    ]


@pytest.mark.parametrize("expected", ["2024-02-03", "2031-02-03", "2099-12-31", ""])
def test_a_closing_date_is_read_by_its_status(tmp_path: Path, caplog: pytest.LogCaptureFixture, expected: str) -> None:
    with caplog.at_level(logging.INFO, logger="leadscore"):
        profile, layout = taken(tmp_path, DEALS.replace("2024-02-03", expected))
    assert outcomes(layout) == [
        ("a", True, "2024-02-01", None),
        ("b", False, None, "2024-02-02"),
        ("c", None, None, None),
    ]
    assert (
        profile.data_until == "2024-02-02T00:00:00"
    )  # the date on which an open deal is expected to close says nothing
    assert "by stage 1 won, 1 lost, 1 open (Negotiation)" in " ".join(caplog.messages)


@pytest.mark.parametrize(
    ("won", "lost"), [("WON", "LOST"), ("7-Gewonnen", "Verloren"), ("customer", "not interested"), ("true", "false")]
)
def test_any_spelling_will_do(won: str, lost: str, tmp_path: Path) -> None:
    content = DEALS.replace("Closed Won", f" {won} ").replace("Closed Lost", lost)
    _, layout = taken(tmp_path, content, won_values=[won.lower()], lost_values=[lost])
    assert [converted for _, converted, *_ in outcomes(layout)] == [True, False, None]


def test_won_and_lost_may_have_a_date_each(tmp_path: Path) -> None:
    content = "id,stage,won_on,lost_on\na,Won,2024-02-01,\nb,Lost,2024-02-05,2024-02-02\nc,Open,2024-02-03,\n"
    columns = {"lead_id": "id", "status": "stage", "converted_at": "won_on", "lost_at": "lost_on"}
    _, layout = taken(tmp_path, content, columns=columns, won_values=["Won"], lost_values=["Lost"])
    assert outcomes(layout) == [
        ("a", True, "2024-02-01", None),
        ("b", False, None, "2024-02-02"),
        ("c", None, None, None),
    ]


def test_a_closed_deal_without_its_date_is_quarantined(tmp_path: Path) -> None:
    rows = "a,Closed Won,\nb,Closed Lost,\nc,Closed Won,soon\na,Closed Won,2024-03-01\n"
    profile, layout = run(
        tmp_path, {"outcomes.csv": "id,stage,close_date\n" + rows}, limit=1.0, outcomes=table("outcomes", **BY_STATUS)
    )
    assert reasons(profile, "outcomes") == {
        "converted without a converted_at": 1,
        "lost without a date": 1,
        "converted_at is not a time in the format iso": 1,
    }
    assert outcomes(layout) == [("a", True, "2024-03-01", None)]


def test_a_lead_of_several_deals_is_lost_only_where_none_is_open(tmp_path: Path) -> None:
    rows = "a,Closed Lost,2024-02-01\na,Closed Won,2024-03-01\nb,Closed Lost,2024-02-01\nb,Negotiation,2024-09-01\n"
    _, layout = taken(tmp_path, "id,stage,close_date\n" + rows + "c,Closed Lost,2024-02-02\nc,Closed Lost,2024-02-09\n")
    assert outcomes(layout) == [
        ("a", True, "2024-03-01", "2024-02-01"),
        ("b", None, None, None),
        ("c", False, None, "2024-02-02"),
    ]


@pytest.mark.parametrize("order", ["none", "rows"])
def test_a_status_of_three_values_needs_no_date(order: str, tmp_path: Path) -> None:
    own = {"path": "outcomes.csv", "columns": {"lead_id": "id", "status": "stage"}}
    undated = UNDATED | {"order": order, "outcomes": own | {"won_values": ["won"], "lost_values": ["lost"]}}
    content = "id,stage\na,Won\nb,Lost\nc,Open\n"
    _, layout = run(tmp_path, {"outcomes.csv": content}, **undated)
    assert outcomes(layout) == [("a", True, None, None), ("b", False, None, None), ("c", None, None, None)]


def test_outcomes_may_be_several_tables(tmp_path: Path) -> None:
    tables = [
        {"path": "outcomes.csv", "columns": {"lead_id": "id", "converted_at": "won"}},
        {"path": "lost.csv", "columns": {"lead_id": "id", "lost_at": "on"}},
        {"path": "deals.csv", **BY_STATUS},
    ]
    files: dict[str, str | bytes] = {
        "leads.csv": LEADS + "d,2024-01-03,,\n",
        "outcomes.csv": "id,won\na,2024-01-10\n",
        "lost.csv": "id,on\nb,2024-01-11\nnobody,2024-01-11\n",
        "deals.csv": "id,stage,close_date\nc,Closed Won,2024-01-12\nd,Qualification,\n",
    }
    profile, layout = run(tmp_path, files, limit=0.5, outcomes=tables)
    assert [row[:2] for row in outcomes(layout)] == [("a", True), ("b", False), ("c", True), ("d", None)]
    assert (profile.tables["outcomes"].read, reasons(profile, "outcomes")) == (5, {"lead_id is not in leads": 1})
    with pytest.raises(DataError, match=r"source.outcomes\[1\] \(lost.csv\)"):
        run(tmp_path, files, limit=0.0, outcomes=tables)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"won_values": []}, "go together"),
        ({"columns": {"lead_id": "id", "converted_at": "close_date"}}, "go together"),
        ({"lost_values": ["Closed Won"]}, "share.*closed won"),
        ({"columns": {"lead_id": "id", "status": "stage"}}, "does not map converted_at"),
        ({"columns": {"lead_id": "id", "closed_at": "close_date"}, "won_values": [], "lost_values": []}, "won or lost"),
        ({"columns": {"lead_id": "id", "status": "stage", "converted": "stage"}}, "map one"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=said):
        taken(tmp_path, DEALS, **changed)


def test_lost_leads_alone_are_no_label(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="which leads were won"):
        run(tmp_path, outcomes=table("outcomes", columns={"lead_id": "id", "lost_at": "won"}))


def test_no_won_value_at_all_is_a_misspelling(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'Closed Lost', 'Closed Won', 'Negotiation'.*won_values \['Won'\]"):
        taken(tmp_path, DEALS, won_values=["Won"])


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("1", "0"), ("YES", "No"), (" yes ", "0")])
def test_a_flag_beside_a_closing_date_says_what_to_map(tmp_path: Path, yes: str, no: str) -> None:
    content = f"id,is_won,close_date\na,{yes},2024-02-01\nb,{no},2024-02-02\nc,{no},2024-02-03\n"
    columns = {"lead_id": "id", "converted": "is_won", "converted_at": "close_date"}
    with pytest.raises(DataError, match=r"closing date is no conversion.*status.*won_values"):
        run(tmp_path, {"outcomes.csv": content}, outcomes=table("outcomes", columns=columns))


def test_a_table_with_the_contracts_names_needs_no_columns(tmp_path: Path) -> None:
    content = DEALS.replace("id,stage,close_date", "lead_id,status,closed_at")
    overlay = {"path": "outcomes.csv", "won_values": ["Closed Won"], "lost_values": ["Closed Lost"]}
    _, layout = run(tmp_path, {"outcomes.csv": content}, outcomes=overlay)
    assert [converted for _, converted, *_ in outcomes(layout)] == [True, False, None]
    tree = yaml.safe_load((tmp_path / "overlay.yaml").read_text())
    assert load(tmp_path / "overlay.yaml").source.outcomes[0].won_values == tree["source"]["outcomes"]["won_values"]
