"""`inspect` reads a status before it takes a closing date for a conversion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from features.schema.lead_status import means_lost, means_won
from pipelines.inspection.proposal import inspect
from tests.support.paths import REAL

STAGES = ("Closed Won", "Closed Lost", "Negotiation", "Closed Lost")


def proposed(path: Path) -> dict[str, Any]:
    source: dict[str, Any] = yaml.safe_load(inspect(path, None, None).mapping)["source"]
    return source


def deals(header: str, stages: tuple[str, ...], row: str) -> str:
    lines = [row.format(n=n, day=1 + n % 28, month=1 + n % 9, stage=stages[n % len(stages)]) for n in range(80)]
    return "\n".join([header, *lines]) + "\n"


@pytest.mark.parametrize(
    "stages",
    [
        STAGES,
        ("closedwon", "closedlost", "appointmentscheduled"),
        ("Won", "Lost - price", "Open"),
        ("Gewonnen", "Verloren", "Angebot"),
        ("6 - Closed/Won", "7 - Closed/Lost", "2 - Demo"),
    ],
)
def test_one_table_of_deals_serves_both_ends(stages: tuple[str, ...], tmp_path: Path) -> None:
    header, row = "lead_id,created_on,stage,close_date", "L{n},2024-{month:02d}-{day:02d},{stage},2024-12-{day:02d}"
    (tmp_path / "deals.csv").write_text(deals(header, stages, row))
    source = proposed(tmp_path / "deals.csv")
    assert source["order"] == "dates"
    assert source["leads"]["columns"] == {"lead_id": "lead_id", "created_at": "created_on"}
    assert source["outcomes"] == {
        "path": "deals.csv",
        "columns": {"lead_id": "lead_id", "status": "stage", "closed_at": "close_date"},
        "won_values": [stages[0]],
        "lost_values": [stages[1]],
    }
    assert "stage" not in source["attributes"] and "close_date" not in source["attributes"]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("status", ("won", "lost", "open")),
        ("Esito", ("Vinta", "Persa", "Aperta")),
        ("Estado", ("Ganado", "Perdido", "En curso")),
        ("Result", ("SOLD", "NOT INTERESTED", "CALL BACK")),
    ],
)
def test_a_status_without_a_date_is_an_outcome(tmp_path: Path, name: str, stages: tuple[str, ...]) -> None:
    (tmp_path / "leads.csv").write_text(deals(f"lead_id,size,{name}", stages, "L{n},{day},{stage}"))
    source = proposed(tmp_path / "leads.csv")
    assert source["outcomes"]["columns"] == {"lead_id": "lead_id", "status": name}
    assert (source["outcomes"]["won_values"], source["outcomes"]["lost_values"]) == ([stages[0]], [stages[1]])


def test_a_date_that_only_won_leads_have_needs_no_status(tmp_path: Path) -> None:
    rows = deals("lead_id,created_on,stage,won_on", STAGES, "L{n},2024-{month:02d}-{day:02d},{stage},2024-12-{day:02d}")
    kept = [line if "Won" in line else line.rsplit(",", 1)[0] + "," for line in rows.splitlines()[1:]]
    (tmp_path / "leads.csv").write_text("\n".join([rows.splitlines()[0], *kept]) + "\n")
    assert proposed(tmp_path / "leads.csv")["outcomes"]["columns"]["converted_at"] == "won_on"


@pytest.mark.parametrize(
    ("value", "won", "lost"),
    [
        ("Closed Won", True, False),
        ("closedwon", True, False),
        ("Gewonnen", True, False),
        ("Customer", True, False),
        ("Closed Lost", False, True),
        ("Disqualified - no budget", False, True),
        ("Not interested", False, True),
        ("not converted", False, True),
        ("Dead lead", False, True),
        ("Perdu", False, True),
        ("Vendido", True, False),
        ("Vinta", True, False),
        ("Wygrana", True, False),
        ("成約", True, False),
        ("Kunde", True, False),
        ("Perdida", False, True),
        ("Przegrana", False, True),
        ("失注", False, True),
        ("kein Kunde", False, True),
        ("Cliente potencial", False, False),
        ("Aperta", False, False),
        ("Konvertiert", True, False),
        ("Junk-Lead", False, True),
        ("Bad Fit", False, True),
        ("Kazanıldı", True, False),
        ("Kaybedildi", False, True),
        ("已成交", True, False),
        ("已流失", False, True),
        ("Успешно реализовано", True, False),
        ("Закрыто и не реализовано", False, True),
        ("Negotiation", False, False),
        ("Qualified", False, False),
        ("Working", False, False),
        ("Potential customer", False, False),
        ("No longer a prospect", False, False),
    ],
)
def test_what_values_mean(value: str, won: bool, lost: bool) -> None:
    assert means_won(value) == won
    assert means_lost(value) == lost


@pytest.mark.parametrize(
    ("closed", "stages"),
    [
        ("Closed Date", ("Won", "New", "Qualified")),
        ("Abschlussdatum", ("Gewonnen", "Neu", "Angebot")),
        ("close_date", ("customer", "lead", "opportunity")),
    ],
)
def test_a_closing_date_that_lost_deals_have_too_is_no_conversion(
    tmp_path: Path, closed: str, stages: tuple[str, ...]
) -> None:
    """Odoo archives what is lost: its stage stays, and it has a closing date."""
    rows = [
        f"L{n},2024-01-{1 + n % 28:02d},{stages[n % 3]},{'' if n % 3 == 2 else f'2024-03-{1 + n % 28:02d}'}"
        for n in range(90)
    ]
    (tmp_path / "leads.csv").write_text("\n".join([f"id,created_on,Stage,{closed}", *rows]) + "\n")
    inspection = inspect(tmp_path / "leads.csv", None, None)
    outcomes = yaml.safe_load(inspection.mapping)["source"]["outcomes"]
    assert outcomes["columns"] == {"lead_id": "id", "status": "Stage", "closed_at": closed}
    assert (outcomes["won_values"], outcomes["lost_values"]) == ([stages[0]], [])
    assert "no value for lost; name those in lost_values" in inspection.mapping


def test_crm_opportunities() -> None:
    path = REAL / "crm_opportunities" / "sales_pipeline.csv"
    if not path.is_file():
        pytest.skip("the data set crm_opportunities is not beside the project, in ../shared/data")
    inspection = inspect(path, None, None)
    source = yaml.safe_load(inspection.mapping)["source"]
    assert source["outcomes"]["columns"] == {
        "lead_id": "opportunity_id",
        "status": "deal_stage",
        "closed_at": "close_date",
    }
    assert source["leads"]["columns"] == {"lead_id": "opportunity_id", "created_at": "engage_date"}
    assert source["leads"]["where"] == {"deal_stage": ["Engaging", "Lost", "Won"]}
    known = {name: one["known"] for name, one in source["attributes"].items()}
    assert known == {"sales_agent": "creation", "product": "creation", "account": "outcome", "close_value": "outcome"}
    assert "3 times after 2017-12-31" in " ".join(inspection.warnings)
