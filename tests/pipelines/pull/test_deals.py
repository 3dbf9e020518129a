"""`leadscore pull` reads how deals ended; and a pull that is killed by the system goes on and gives the same tables."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pandas as pd
import pytest

from pipelines.config.params import Params
from pipelines.pull.pull import pull
from pipelines.pull.store import forget_pulled, store_of
from tests.pipelines.pull.test_pull import PARAMS, bytes_of, crm, hubspot, lead_id, put_lead, read, salesforce
from tests.support.crm_reads import DAY, Reads

__all__ = ["crm"]  # the fixture
AT, CLOSED = "2024-02-01T08:00:00.000+0000", "2024-03-01"
SHOWN = ["lead_id", "deal_id", "status", "closed_at"]


def deals(folder: Path) -> list[list[str]]:
    return pd.read_parquet(folder / "deals.parquet")[SHOWN].fillna("").to_numpy().tolist()


def test_opportunities_of_converted_leads_say_how_they_ended(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    crm.fields = {**crm.fields, "ConvertedOpportunityId": "reference"}
    for number, deal in ((1, "006A"), (2, "006B"), (3, "006C"), (4, "006A")):
        put_lead(crm, number, ConvertedOpportunityId=deal)
    for deal, closed, won in (
        ("006A", True, True),
        ("006B", True, False),
        ("006C", False, False),
        ("006D", True, True),
    ):
        crm.put("Opportunity", deal, IsDeleted=False, IsClosed=closed, IsWon=won, CloseDate=CLOSED, CreatedDate=AT)
    read(params, "salesforce", tmp_path / "crm")
    assert deals(tmp_path / "crm") == [
        [lead_id(1), "006A", "won", CLOSED],
        [lead_id(4), "006A", "won", CLOSED],
        [lead_id(2), "006B", "lost", CLOSED],
        [lead_id(3), "006C", "open", ""],  # the date that an open one carries is hoped for
    ]
    crm.now += DAY
    crm.put("Opportunity", "006C", IsClosed=True, IsWon=True)
    read(params, "salesforce", tmp_path / "crm")
    assert deals(tmp_path / "crm")[-1] == [lead_id(3), "006C", "won", CLOSED]


def test_deals_of_contacts_say_how_they_ended(crm: Reads, tmp_path: Path) -> None:
    params = hubspot(crm)
    for deal, closed, won in (("801", "true", "true"), ("802", "true", "false"), ("803", "false", "false")):
        crm.put("deals", deal, hs_is_closed=closed, hs_is_closed_won=won, closedate=CLOSED, createdate=AT)
    crm.contacts_of = {"801": ["2", "3"], "802": ["4"], "803": ["5"]}
    read(params, "hubspot", tmp_path / "crm")
    assert deals(tmp_path / "crm") == [
        ["2", "801", "won", CLOSED],
        ["3", "801", "won", CLOSED],
        ["4", "802", "lost", CLOSED],
        ["5", "803", "open", ""],
    ]
    crm.now += DAY
    crm.put("deals", "801", archived=True)
    read(params, "hubspot", tmp_path / "crm")
    assert [one[1] for one in deals(tmp_path / "crm")] == ["802", "803"]


@pytest.mark.parametrize("name", PARAMS)
def test_deals_may_be_left_out(crm: Reads, tmp_path: Path, name: str) -> None:
    params = PARAMS[name](crm)
    params = with_option(params, name, "deals", value=False)
    read(params, name, tmp_path / "crm")
    assert not any("deals" in path for path in crm.asked)
    assert not (tmp_path / "crm/deals.parquet").exists()
    crm.put("deals", "801", hs_is_closed="true", hs_is_closed_won="true", closedate=CLOSED, createdate=AT)
    crm.put("Opportunity", "006A", IsDeleted=False, IsClosed=True, IsWon=True, CloseDate=CLOSED, CreatedDate=AT)
    crm.contacts_of, crm.fields = {"801": ["2"]}, {**crm.fields, "ConvertedOpportunityId": "reference"}
    put_lead(crm, 1, ConvertedOpportunityId="006A")
    crm.now += 30 * DAY
    read(with_option(params, name, "deals", value=False), name, tmp_path / "crm")
    read(with_option(params, name, "deals", value=True), name, tmp_path / "crm")
    assert len(deals(tmp_path / "crm")) == 1, "those that have not changed since the last pull are read too"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("name", PARAMS)
def test_a_pull_that_the_system_kills_gives_the_same_tables_when_run_again(
    crm: Reads, tmp_path: Path, name: str
) -> None:
    params = PARAMS[name](crm)
    read(params, name, tmp_path / "whole")
    for page in (1, 2, 3):
        crm.pages, (go, ready) = 0, os.pipe()
        victim = os.fork()
        if victim == 0:  # the child dies by the parent's hand, or at the end without any of pytest's clean-up
            try:
                os.read(go, 1)
                pull(params, name, tmp_path / f"killed{page}", lambda seconds: None)
            finally:
                os._exit(0)
        crm.after = lambda asked, at=page, pid=victim: os.kill(pid, signal.SIGKILL) if asked == at else None
        os.write(ready, b"1")
        _, status = os.waitpid(victim, 0)
        crm.after = lambda asked: None
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert store_of(tmp_path / f"killed{page}").is_file()
        assert not (tmp_path / f"killed{page}").exists()
        read(params, name, tmp_path / f"killed{page}")
        assert bytes_of(tmp_path / f"killed{page}") == bytes_of(tmp_path / "whole")


def with_option(params: Params, name: str, option: str, *, value: object) -> Params:
    section = getattr(params.pull, name).model_copy(update={option: value})
    return params.model_copy(update={"pull": params.pull.model_copy(update={name: section})})


def test_the_history_of_tracked_fields_of_leads(crm: Reads, tmp_path: Path) -> None:
    params = with_option(salesforce(crm), "salesforce", "history", value=["Status", "Rating"])
    created, day, later = "2024-01-02T08:00:00.000+0000", "2024-01-09T08:00:00.000+0000", "2024-06-20T08:00:00.000+0000"
    for key, at, what, old, new in (
        ("017A", day, "Status", "New", "Working"),
        ("017B", day, "Rating", None, "Hot"),
        ("017C", day, "Company", "A", "B"),  # not asked for
    ):
        row = {"LeadId": lead_id(3), "Field": what, "OldValue": old, "NewValue": new, "CreatedDate": at}
        crm.put("LeadHistory", key, IsDeleted=False, **row)
    read(params, "salesforce", tmp_path / "crm")
    first = [[lead_id(3), created, "New", None], [lead_id(3), day, "Working", "Hot"]]
    history = pd.read_parquet(tmp_path / "crm/history.parquet").astype(object)
    assert history.where(history.notna(), None).to_numpy().tolist() == first
    crm.now += 30 * DAY
    row = {"LeadId": lead_id(3), "Field": "Status", "OldValue": "Working", "NewValue": "Lost", "CreatedDate": later}
    crm.put("LeadHistory", "017D", IsDeleted=False, **row)
    read(params, "salesforce", tmp_path / "crm")
    assert pd.read_parquet(tmp_path / "crm/history.parquet").iloc[-1].tolist() == [lead_id(3), later, "Lost", "Hot"]
    assert forget_pulled(tmp_path / "crm", lambda cell: cell == lead_id(3)) == 5


def test_the_history_of_properties_of_contacts(crm: Reads, tmp_path: Path) -> None:
    params = with_option(hubspot(crm), "hubspot", "history", value=["lifecyclestage"])
    crm.put("contacts", "2", history={"lifecyclestage": [
        {"value": "customer", "timestamp": "2024-03-01T08:00:00.000Z", "sourceType": "CRM_UI"},
        {"value": "lead", "timestamp": "2024-01-02T08:00:00.000Z", "sourceType": "FORM"},
    ]})  # fmt: skip
    leads = read(params, "hubspot", tmp_path / "crm")["leads"]
    assert "with history" not in leads
    assert pd.read_parquet(tmp_path / "crm/history.parquet").to_numpy().tolist() == [
        ["2", "2024-01-02T08:00:00.000Z", "lead"],
        ["2", "2024-03-01T08:00:00.000Z", "customer"],
    ]
