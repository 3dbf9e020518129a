"""Exports as five CRMs write them: made up and seeded, with their own names of columns, formats and spellings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.spreadsheets import Cell, write_xlsx

Draw = np.random.Generator
Columns = dict[str, "Sequence[str] | np.ndarray | pd.Index[Any]"]
LEADS = 300
NUMBERS = ("No. of Employees", "Annual Revenue")
ALPHABET = np.array([*"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"])
CHECKS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


@dataclass(frozen=True)
class Story:
    """What became of leads, in whatever words a CRM tells it: -1 lost, 0 open, 1 won."""

    created: pd.DatetimeIndex
    closed: pd.DatetimeIndex
    end: np.ndarray

    @property
    def won(self) -> np.ndarray:
        return self.end == 1

    def told(self, won: str, lost: str, *open_: str) -> np.ndarray:
        """The ends in the words of a CRM; open leads take several in turn."""
        turn = np.array(open_)[np.arange(len(self.end)) % len(open_)]
        return np.select([self.end == 1, self.end == -1], [won, lost], turn)

    def at(self, ends: np.ndarray, form: str, hours: int = 0) -> np.ndarray:
        """The moments of closing where asked, "" elsewhere."""
        return np.where(ends, (self.closed + pd.Timedelta(hours=hours)).strftime(form), "")


@dataclass(frozen=True)
class Crm:
    """How a CRM writes its export, and what is true of it.

    Attributes
    ----------
    files
        The tables by the names of their files, without ending.
    roles
        The columns of the lead's id, of its creation, and of its outcome (a date, else a status).
    leaks
        Columns that were written with the outcome, or after it.
    """

    files: Callable[[Draw, Story], dict[str, Columns]]
    roles: tuple[str, str, str]
    dated: bool
    leaks: tuple[str, ...]
    separator: str = ","
    workbook: bool = False


def story(draw: Draw, leads: int = LEADS) -> Story:
    """Leads over eleven months: one in five wins and one in five is lost, some weeks after its creation."""
    start = pd.Timestamp("2024-01-02 08:00")
    created = start + pd.to_timedelta(np.sort(draw.integers(0, 330 * 1440, leads)), "min")
    end = np.array([1, -1, 0, 0, 0])[np.arange(leads) % 5]
    return Story(created, created + pd.to_timedelta(draw.integers(3 * 1440, 40 * 1440, leads), "min"), end)


def write(crm: Crm, folder: Path, leads: int = LEADS) -> Story:
    """Write the files of an export into a folder; return what is true of its leads."""
    draw = np.random.default_rng(7)
    true = story(draw, leads)
    for name, columns in crm.files(draw, true).items():
        if crm.workbook:
            write_xlsx(folder / f"{name}.xlsx", {"All Leads": workbook_rows(columns), "hiddenSheet": [["lead:9x+/="]]})
            continue
        frame = pd.DataFrame({column: np.asarray(cells, dtype=object) for column, cells in columns.items()})
        frame.to_csv(folder / f"{name}.csv", index=False, sep=crm.separator, quoting=1, lineterminator="\n")
    return true


def workbook_rows(columns: Columns) -> list[list[Cell]]:
    """Header and rows as a workbook keeps them: dates as dates, numbers as numbers, empty cells empty."""
    cells = [
        [dt.datetime.fromisoformat(cell) for cell in cells]
        if name.endswith(" On")
        else [float(cell) for cell in cells]
        if name in NUMBERS
        else [cell or None for cell in cells]
        for name, cells in columns.items()
    ]
    return [list(columns), *map(list, zip(*cells, strict=True))]


def some(draw: Draw, leads: int, *choices: str) -> np.ndarray:
    return draw.choice(choices, leads)


def numbered(pattern: str, leads: int) -> list[str]:
    return [pattern.format(row) for row in range(leads)]


def salesforce_ids(draw: Draw, prefix: str, leads: int) -> list[str]:
    """Ids of 18 characters: the last three say which of the others are capitals."""
    texts = [prefix + "".join(draw.choice(ALPHABET, 12)) for _ in range(leads)]
    return [
        text + "".join(CHECKS[sum(text[5 * part + at].isupper() << at for at in range(5))] for part in range(3))
        for text in texts
    ]


def salesforce(draw: Draw, true: Story) -> dict[str, Columns]:
    n, iso = len(true.end), "%Y-%m-%dT%H:%M:%S.000Z"
    ids, deals = salesforce_ids(draw, "00Q", n), np.array(salesforce_ids(draw, "006", n))
    won = np.flatnonzero(true.won)
    leads: Columns = {
        "Id": ids,
        "IsDeleted": ["false"] * n,
        "LastName": numbered("Name {}", n),
        "Company": numbered("Firm {}", n),
        "Email": numbered("p{0}@f{0}.com", n),
        "LeadSource": some(draw, n, "Web", "Phone", "Partner"),
        "Status": true.told(
            "Closed - Converted", "Closed - Not Converted", "Open - Not Contacted", "Working - Contacted"
        ),
        "Industry": some(draw, n, "Energy", "Retail", ""),
        "AnnualRevenue": [f"{revenue}000.0" for revenue in draw.integers(1, 900, n)],
        "NumberOfEmployees": draw.integers(1, 900, n).astype(str),
        "OwnerId": salesforce_ids(draw, "005", 3) * (n // 3),
        "IsConverted": np.where(true.won, "true", "false"),
        "ConvertedDate": true.at(true.won, "%Y-%m-%d"),
        "ConvertedOpportunityId": np.where(true.won, deals, ""),
        "CreatedDate": true.created.strftime(iso),
        "LastModifiedDate": true.closed.strftime(iso),
    }
    stages = np.array(["Closed Won", "Closed Lost", "Negotiation/Review"])[won % 3]
    opportunities: Columns = {
        "Id": deals[won],
        "Name": [f"Deal {row}" for row in won],
        "StageName": stages,
        "Amount": [f"{row}000.0" for row in won],
        "CloseDate": (true.closed[won] + pd.Timedelta(days=30)).strftime("%Y-%m-%d"),
        "IsClosed": np.where(stages == "Negotiation/Review", "false", "true"),
        "IsWon": np.where(stages == "Closed Won", "true", "false"),
        "CreatedDate": true.closed[won].strftime(iso),
    }
    return {"Lead": leads, "Opportunity": opportunities}


def hubspot(draw: Draw, true: Story) -> dict[str, Columns]:
    n, form = len(true.end), "%Y-%m-%d %H:%M"
    contacts: Columns = {
        "Record ID": numbered("5100{:05d}", n),
        "First Name": numbered("F{}", n),
        "Last Name": numbered("L{}", n),
        "Email": numbered("p{}@f.com", n),
        "Contact owner": some(draw, n, "Ann", "Bob"),
        "Last Activity Date": (true.closed + pd.Timedelta(days=9)).strftime(form),
        "Lead Status": true.told("Connected", "Unqualified", "New", "In Progress"),
        "Lifecycle Stage": true.told("Customer", "Lead", "Lead", "Marketing Qualified Lead"),
        "Original Source": some(draw, n, "Organic Search", "Direct Traffic", "Paid Search"),
        "Number of Pageviews": draw.integers(0, 60, n).astype(str),
        "Number of Sessions": draw.integers(0, 9, n).astype(str),
        "First Conversion Date": true.created.strftime(form),
        "Recent Conversion Date": np.where(np.arange(n) % 2, true.created.strftime(form), ""),
        "Became a Customer Date": true.at(true.won, form),
        "Close Date": true.at(true.won, form),
        "Days To Close": np.where(true.won, (true.closed - true.created).days.astype(str), ""),
        "Recent Deal Amount": np.where(true.won, draw.integers(1, 90, n).astype(str), ""),
        "Number of Employees": draw.integers(1, 400, n).astype(str),
        "Country/Region": some(draw, n, "Germany", "France"),
        "Create Date": true.created.strftime(form),
    }
    return {"hubspot-crm-exports-all-contacts-2024-12-20": contacts}


def pipedrive(draw: Draw, true: Story) -> dict[str, Columns]:
    n, form = len(true.end), "%Y-%m-%d %H:%M:%S"
    lost = true.end == -1
    deals: Columns = {
        "Deal - ID": numbered("{}", n + 1)[1:],
        "Deal - Title": numbered("Firm {} deal", n),
        "Deal - Creator": some(draw, n, "Ann", "Bob"),
        "Deal - Owner": some(draw, n, "Ann", "Bob", "Cy"),
        "Deal - Value": [f"{value},500.00" for value in draw.integers(1, 90, n)],
        "Deal - Currency of Value": ["EUR"] * n,
        "Deal - Weighted value": np.where(true.won, "1,500.00", "150.00"),
        "Deal - Currency of Weighted value": ["EUR"] * n,
        "Deal - Probability": np.where(true.won, "100", some(draw, n, "10", "40", "")),
        "Deal - Organization": numbered("Firm {}", n),
        "Deal - Pipeline": ["Sales"] * n,
        "Deal - Contact person": numbered("Person {}", n),
        "Deal - Stage": some(draw, n, "Qualified", "Contact Made", "Proposal Made"),
        "Deal - Label": some(draw, n, "Hot", "Cold", ""),
        "Deal - Status": true.told("Won", "Lost", "Open"),
        "Deal - Deal created": true.created.strftime(form),
        "Deal - Update time": true.closed.strftime(form),
        "Deal - Last stage change": true.closed.strftime(form),
        "Deal - Next activity date": np.where(true.end, "", "2025-01-15"),
        "Deal - Last activity date": true.closed.strftime("%Y-%m-%d"),
        "Deal - Won time": true.at(true.won, form),
        "Deal - Lost time": true.at(lost, form),
        "Deal - Deal closed on": true.at(true.end != 0, form),
        "Deal - Lost reason": np.where(lost, some(draw, n, "Price", "Timing"), ""),
        "Deal - Total activities": (draw.integers(0, 5, n) + 6 * true.won).astype(str),
        "Deal - Done activities": (draw.integers(0, 5, n) + 4 * true.won).astype(str),
        "Deal - Activities to do": draw.integers(0, 3, n).astype(str),
        "Deal - Email messages count": (draw.integers(0, 9, n) + 3 * true.won).astype(str),
        "Deal - Source channel": some(draw, n, "Web forms", "Import", "Prospector"),
        "Deal - Expected close date": (true.created + pd.Timedelta(days=60)).strftime("%Y-%m-%d"),
        "Organization - Country": some(draw, n, "DE", "AT"),
    }
    return {"deals-12345-1": deals}


def zoho(draw: Draw, true: Story) -> dict[str, Columns]:
    n, form = len(true.end), "%d/%m/%Y %I:%M %p"
    leads: Columns = {
        "Record Id": numbered("zcrm_4876000000{:09d}", n),
        "Lead Owner.id": some(draw, n, "zcrm_4876000000000111", "zcrm_4876000000000222"),
        "Lead Owner": some(draw, n, "Ann", "Bob"),
        "Is Converted": np.where(true.won, "true", "false"),
        "First Name": numbered("F{}", n),
        "Last Name": numbered("L{}", n),
        "Company": numbered("Firm {}", n),
        "Email": numbered("p{0}@f{0}.com", n),
        "Lead Source": some(draw, n, "Web Research", "Advertisement", "-None-"),
        "Lead Status": true.told("Contacted", "Lost Lead", "Not Contacted", "Attempted to Contact"),
        "No. of Employees": draw.integers(1, 400, n).astype(str),
        "Annual Revenue": [f"€ {revenue}.000,00" for revenue in draw.integers(1, 90, n)],
        "Rating": some(draw, n, "Active", "-None-"),
        "Created By.id": ["zcrm_4876000000000111"] * n,
        "Created By": some(draw, n, "Ann", "Bob"),
        "Modified By": some(draw, n, "Ann", "Bob"),
        "Created Time": true.created.strftime(form),
        "Modified Time": true.closed.strftime(form),
        "Email Opt Out": some(draw, n, "true", "false"),
        "Last Activity Time": true.closed.strftime(form),
        "Tag": some(draw, n, "fair", "", ""),
        "Days Visited": (draw.integers(0, 5, n) + 3 * true.won).astype(str),
        "Average Time Spent (Minutes)": [f"{minutes}.5" for minutes in draw.integers(0, 20, n)],
        "Number Of Chats": draw.integers(0, 4, n).astype(str),
        "Most Recent Visit": true.closed.strftime(form),
        "Visitor Score": (draw.integers(0, 50, n) + 40 * true.won).astype(str),
        "Converted Date Time": true.at(true.won, form),
        "Lead Conversion Time": np.where(true.won, (true.closed - true.created).days.astype(str), ""),
        "Converted Account.id": np.where(true.won, numbered("zcrm_4876000002{:09d}", n), ""),
        "Converted Account": np.where(true.won, numbered("Firm {}", n), ""),
        "Converted Deal.id": np.where(true.won, numbered("zcrm_4876000001{:09d}", n), ""),
    }
    return {"Leads_2024_12_20": leads}


def dynamics(draw: Draw, true: Story) -> dict[str, Columns]:
    """The file of "Export to Excel": an id, a checksum and a date in hidden columns, then what the view shows."""
    n, form = len(true.end), "%Y-%m-%d %H:%M:%S"
    ids = [f"{row:08x}-11ee-9966-000d-{int(draw.integers(2**40)):012x}" for row in range(n)]
    leads: Columns = {
        "(Do Not Modify) Lead": ids,
        "(Do Not Modify) Row Checksum": [f"{int(draw.integers(2**60)):015x}x+/=="[:20] for _ in range(n)],
        "(Do Not Modify) Modified On": true.closed.strftime(form),
        "Name": numbered("Person {}", n),
        "Topic": numbered("Topic {}", n),
        "Company Name": numbered("Firm {}", n),
        "Email": numbered("p{0}@f{0}.com", n),
        "Lead Source": some(draw, n, "Web", "Trade Show", "Advertisement"),
        "No. of Employees": draw.integers(1, 400, n).astype(str),
        "Annual Revenue": [f"{revenue}000" for revenue in draw.integers(1, 90, n)],
        "Rating": true.told("Hot", "Cold", "Warm", "Cold"),
        "Status": true.told("Qualified", "Disqualified", "Open"),
        "Status Reason": true.told("Qualified", "No Longer Interested", "New", "Contacted"),
        "Qualifying Opportunity": np.where(true.won, numbered("Topic {}", n), ""),
        "Owner": some(draw, n, "Ann", "Bob"),
        "Created On": true.created.strftime(form),
    }
    return {"All Leads 12-20-2024 9-30-00 AM": leads}


CRMS = {
    "salesforce": Crm(
        salesforce,
        ("Id", "CreatedDate", "ConvertedDate"),
        True,
        ("Status", "IsConverted", "ConvertedOpportunityId", "OwnerId"),
    ),
    "hubspot": Crm(
        hubspot,
        ("Record ID", "Create Date", "Became a Customer Date"),
        True,
        ("Lead Status", "Lifecycle Stage", "Days To Close", "Recent Deal Amount", "Contact owner"),
    ),
    "pipedrive": Crm(
        pipedrive,
        ("Deal - ID", "Deal - Deal created", "Deal - Won time"),
        True,
        (
            *("Deal - Status", "Deal - Lost reason", "Deal - Probability", "Deal - Stage", "Deal - Weighted value"),
            "Deal - Owner",
            *("Deal - Total activities", "Deal - Activities to do", "Deal - Email messages count"),
        ),
    ),
    "zoho": Crm(
        zoho,
        ("Record Id", "Created Time", "Converted Date Time"),
        True,
        (
            *("Lead Status", "Rating", "Is Converted", "Lead Conversion Time", "Converted Deal.id"),
            *("Lead Owner", "Lead Owner.id"),
            *("Converted Account", "Days Visited", "Number Of Chats", "Visitor Score"),
        ),
        ";",
    ),
    "dynamics": Crm(
        dynamics,
        ("(Do Not Modify) Lead", "Created On", "Status"),
        False,
        ("Rating", "Status Reason", "Qualifying Opportunity", "Owner"),
        workbook=True,
    ),
}
