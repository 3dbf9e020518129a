"""Exports as five CRMs write them, made up but with their own column names, formats and spellings.

For each, what `inspect` proposes is read in as it stands, with no line written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.config.params import load
from pipelines.config.source import Source
from pipelines.inspection.proposal import inspect
from pipelines.stages.ingest import ingest
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout

LEADS = 120
Rows = list[dict[str, str]]
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"


def write(path: Path, rows: Rows, separator: str = ",") -> Path:
    names = list(rows[0])
    text = [separator.join(names), *(separator.join(f'"{row[name]}"' for name in names) for row in rows)]
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
    return path


def salesforce_id(draw: np.random.Generator, prefix: str) -> str:
    text = prefix + "".join(draw.choice(list(ALPHABET), 12))
    ends = (sum(text[5 * part + index].isupper() << index for index in range(5)) for part in range(3))
    return text + "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[end] for end in ends)


def day(row: int, more: int = 0) -> tuple[int, int]:
    number = row % 28 + 1 + more
    return (number - 1) % 28 + 1, 1 + (row // 28 + (number - 1) // 28) % 12


def salesforce(folder: Path) -> tuple[Path, Path | None]:
    leads: Rows = []
    deals: Rows = []
    draw = np.random.default_rng(1)
    for row in range(LEADS):
        one, (number, month) = salesforce_id(draw, "00Q"), day(row)
        won = row % 5 == 0
        leads.append(
            {
                "Id": one,
                "IsDeleted": "false",
                "LastName": f"Name {row}",
                "Company": f"Firm {row}",
                "Email": f"p{row}@f{row}.com",
                "LeadSource": str(draw.choice(["Web", "Phone", "Partner"])),
                "Industry": str(draw.choice(["Energy", "Retail", ""])),
                "AnnualRevenue": f"{draw.integers(1, 900)}000.0",
                "NumberOfEmployees": str(draw.integers(1, 900)),
                "Status": "Closed - Converted"
                if won
                else str(draw.choice(["Open - Not Contacted", "Working - Contacted"])),
                "IsConverted": str(won).lower(),
                "ConvertedDate": f"2024-{month + 2:02d}-{number:02d}" if won else "",
                "OwnerId": salesforce_id(draw, "005"),
                "CreatedDate": f"2024-{month:02d}-{number:02d}T08:{row % 60:02d}:00.000Z",
                "LastModifiedDate": f"2024-{month + 3:02d}-{number:02d}T08:00:00.000Z",
            }
        )
        if row % 3 == 0:
            stage = "Closed Won" if row % 2 == 0 else "Closed Lost" if row % 9 == 0 else "Negotiation/Review"
            deals.append(
                {
                    "Id": salesforce_id(draw, "006"),
                    "Lead__c": one[:15],
                    "StageName": stage,
                    "Amount": f"{row}000.0",
                    "IsClosed": str(stage.startswith("Closed")).lower(),
                    "IsWon": str(stage == "Closed Won").lower(),
                    "CloseDate": f"2024-{month + 3:02d}-{number:02d}",
                }
            )
    return write(folder / "Lead.csv", leads), write(folder / "Opportunity.csv", deals)


def hubspot(folder: Path) -> tuple[Path, Path | None]:
    rows: Rows = []
    draw = np.random.default_rng(2)
    for row in range(LEADS):
        number, month = day(row)
        won = row % 5 == 0
        rows.append(
            {
                "Record ID": str(51_000_000 + 37 * row),
                "First Name": f"F{row}",
                "Last Name": f"L{row}",
                "Email": f"p{row}@f.com",
                "Lifecycle Stage": "Customer" if won else "Lead",
                "Original Source": str(draw.choice(["Organic", "Direct", "Paid"])),
                "Number of Pageviews": str(draw.integers(0, 60)),
                "Number of Sessions": str(draw.integers(0, 9)),
                "First Conversion Date": f"2024-{month:02d}-{number:02d} 09:00",
                "Country/Region": str(draw.choice(["DE", "FR"])),
                "Recent Conversion Date": f"2024-{month:02d}-{number:02d} 10:00" if row % 2 else "",
                "Became a Customer Date": f"2024-{month + 2:02d}-{number:02d} 11:30" if won else "",
                "Create Date": f"2024-{month:02d}-{number:02d} 08:{row % 60:02d}",
            }
        )
    return write(folder / "hubspot-crm-exports-all-contacts.csv", rows), None


def pipedrive(folder: Path) -> tuple[Path, Path | None]:
    rows: Rows = []
    draw = np.random.default_rng(3)
    for row in range(LEADS):
        number, month = day(row)
        status = "Won" if row % 5 == 0 else "Lost" if row % 5 == 1 else "Open"
        at = f"2024-{month:02d}-{number:02d} 08:{row % 60:02d}:00"
        done = f"2024-{month + 2:02d}-{number:02d} 12:00:00"
        rows.append(
            {
                "Deal - ID": str(row + 1),
                "Deal - Title": f"Firm {row} deal",
                "Deal - Value": f"{draw.integers(1, 90)},500.00",
                "Deal - Currency of Value": "EUR",
                "Deal - Status": status,
                "Deal - Deal created": at,
                "Deal - Update time": done,
                "Deal - Won time": done if status == "Won" else "",
                "Deal - Lost time": done if status == "Lost" else "",
                "Deal - Label": str(draw.choice(["Hot", "Cold", ""])),
                "Deal - Lost reason": "Price" if status == "Lost" else "",
                "Organization - Country": str(draw.choice(["DE", "AT"])),
            }
        )
    return write(folder / "deals-12345-1.csv", rows), None


def zoho(folder: Path) -> tuple[Path, Path | None]:
    rows: Rows = []
    draw = np.random.default_rng(4)
    for row in range(LEADS):
        number, month = day(row)
        won = row % 5 == 0
        rows.append(
            {
                "Record Id": f"zcrm_{4_876_000_000_000_000_000 + row}",
                "Lead Owner": str(draw.choice(["Ann", "Bob"])),
                "Company": f"Firm {row}",
                "Email": f"p{row}@f{row}.com",
                "Lead Source": str(draw.choice(["Web", "Advertisement"])),
                "No. of Employees": str(draw.integers(1, 400)),
                "Annual Revenue": f"€{draw.integers(1, 90)}.000,00",
                "Rating": str(draw.choice(["Active", "-None-"])),
                "Created Time": f"{number:02d}/{month:02d}/2024 08:{row % 60:02d} AM",
                "Is Converted": str(won).lower(),
                "Lead Conversion Time": str(row) if won else "",
                "Converted Date Time": f"{number:02d}/{month + 2:02d}/2024 11:30 AM" if won else "",
            }
        )
    return write(folder / "Leads_2024_06.csv", rows, ";"), None


def dynamics(folder: Path) -> tuple[Path, Path | None]:
    rows: Rows = []
    draw = np.random.default_rng(5)
    for row in range(LEADS):
        number, month = day(row)
        won = row % 5 == 0
        guid = f"{draw.integers(2**32):08X}-{row:04X}-EE11-9966-000D3A{row:06X}"
        rows.append(
            {
                "(Do Not Modify) Lead": guid,
                "(Do Not Modify) Row Checksum": f"{draw.integers(2**60):x}/A==",
                "Name": f"Person {row}",
                "Topic": f"Topic {row % 9}",
                "Lead Source": str(draw.choice(["Web", "Trade Show"])),
                "No. of Employees": str(draw.integers(1, 400)),
                "Annual Revenue": f"${draw.integers(1, 90)},000.00",
                "Status": "Qualified" if won else str(draw.choice(["Open", "Disqualified"])),
                "Created On": f"{month}/{number}/2024 8:{row % 60:02d} AM",
                "Qualified Opportunity Won On": f"{month + 2}/{number}/2024 1:15 PM" if won else "",
            }
        )
    return write(folder / "My Open Leads.csv", rows), None


def read_in(folder: Path, leads: Path, outcomes: Path | None) -> tuple[DataProfile, Source, str]:
    """Read a file in by the proposal as it stands."""
    proposed = inspect(leads, None, outcomes).mapping
    (folder / "mine.yaml").write_text(proposed, encoding="utf-8")
    params = load(folder / "mine.yaml")
    profile = ingest(params.source, params.ingest, params.project, folder, Layout.folder(folder / "out"))
    return profile, params.source, proposed


@pytest.mark.parametrize(
    ("export", "won", "kinds"),
    [
        (salesforce, 20, {"annual_revenue": "number", "number_of_employees": "number", "lead_source": "category"}),
        (hubspot, 24, {"number_of_sessions": "number", "original_source": "category"}),
        (pipedrive, 24, {"deal_value": "number", "organization_country": "category"}),
        (zoho, 24, {"annual_revenue": "number", "no_of_employees": "number"}),
        (dynamics, 24, {"annual_revenue": "number", "lead_source": "category"}),
    ],
)
def test_what_is_proposed_for_a_crm_is_read(
    tmp_path: Path, export: Callable[[Path], tuple[Path, Path | None]], won: int, kinds: dict[str, str]
) -> None:
    leads, outcomes = export(tmp_path)
    profile, source, proposed = read_in(tmp_path, leads, outcomes)
    assert source.order == "dates", proposed
    assert profile.tables["leads"].kept == LEADS
    outcome = profile.tables["outcomes"].columns["converted_at"]
    assert profile.tables["outcomes"].kept - outcome.missing == won, proposed
    assert sum(profile.tables["outcomes"].quarantined.values()) == 0
    assert {name: source.attributes[name].kind for name in kinds} == kinds
