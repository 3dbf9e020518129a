"""`leadscore pull` reads who submitted a form or responded to a campaign, each once, wherever it was cut off."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DeliveryError
from pipelines.config.params import Params
from pipelines.pull.store import forget_pulled, store_of
from tests.pipelines.pull.test_deals import with_option
from tests.pipelines.pull.test_pull import bytes_of, crm, hubspot, lead_id, put_lead, read, salesforce
from tests.support.crm_reads import DAY, Reads

__all__ = ["crm"]  # the fixture
FIRST = 1_706_770_800_000  # 2024-02-01T07:00:00Z
SHOWN = ["lead_id", "event_at", "event_type", "direction"]


def with_forms(crm: Reads) -> Params:
    """Two forms with the submissions of three contacts and of a stranger."""
    params = hubspot(crm)
    crm.fields = crm.fields | {"email": "theirs", "hs_additional_emails": "theirs"}
    for number in (2, 3, 4):
        crm.put("contacts", str(number), email=f"p{number}@a.example")
    crm.put("contacts", "5", email="p5@a.example", hs_additional_emails="old5@a.example;p4@a.example")
    crm.forms = {"b-form": "Demo", "a-form": "Newsletter"}
    crm.submitted = {
        "a-form": [(FIRST + hour * 3_600_000, f"P{hour}@A.example") for hour in (2, 3, 4)],
        "b-form": [(FIRST, "old5@a.example"), (FIRST, "stranger@a.example"), (FIRST, "")],
    }
    return params


def events(folder: Path) -> list[list[str]]:
    return sorted(pd.read_parquet(folder / "events.parquet")[SHOWN].to_numpy().tolist())


def test_form_submissions_are_those_of_the_contact_with_the_address(crm: Reads, tmp_path: Path) -> None:
    params = with_forms(crm)
    read(params, "hubspot", tmp_path / "crm")
    first = [
        *([str(n), f"2024-02-01T{7 + n:02d}:00:00.000000Z", "form: Newsletter", "inbound"] for n in (2, 3, 4)),
        ["5", "2024-02-01T07:00:00.000000Z", "form: Demo", "inbound"],
    ]
    assert events(tmp_path / "crm") == first
    assert b"private words" not in store_of(tmp_path / "crm").read_bytes()
    crm.now += DAY
    crm.submitted["b-form"].append((crm.now * 1000, "p2@a.example"))
    crm.now += 60
    asked = len(crm.asked)
    read(params, "hubspot", tmp_path / "crm")
    assert len(events(tmp_path / "crm")) == 5
    assert sum("submissions" in path for path in crm.asked[asked:]) == 2, "one page a form where little is new"
    assert forget_pulled(tmp_path / "crm", lambda cell: cell == "5") == 2
    assert b"old5@a.example" not in store_of(tmp_path / "crm").read_bytes()
    read(with_option(params, "hubspot", "forms", value=False), "hubspot", tmp_path / "crm")
    assert events(tmp_path / "crm") == []


def test_form_submissions_go_on_where_they_were_cut_off(crm: Reads, tmp_path: Path) -> None:
    params = with_forms(crm)
    read(params, "hubspot", tmp_path / "whole")
    for number in range(1, crm.pages):
        crm.pages = 0
        crm.after = lambda asked, at=number: crm.troubles.extend([500] * 3) if asked == at else None  # type: ignore[misc]
        with pytest.raises(DeliveryError):
            read(params, "hubspot", tmp_path / f"cut{number}")
        crm.after = lambda asked: None
        crm.troubles.clear()
        read(params, "hubspot", tmp_path / f"cut{number}")
        assert bytes_of(tmp_path / f"cut{number}") == bytes_of(tmp_path / "whole")


def test_responses_to_campaigns_of_leads_and_of_what_they_became(crm: Reads, tmp_path: Path) -> None:
    params, entered = salesforce(crm), "2024-02-05T08:00:00.000+0000"
    put_lead(crm, 2, ConvertedContactId="003A")
    response = {"IsDeleted": False, "HasResponded": True, "FirstRespondedDate": "2024-02-01", "CreatedDate": entered}
    crm.put("CampaignMember", "00v1", LeadId=lead_id(1), **response)
    crm.put("CampaignMember", "00v2", ContactId="003A", **(response | {"CreatedDate": "2024-01-05T08:00:00.000+0000"}))
    crm.put("CampaignMember", "00v3", LeadId=lead_id(3), **(response | {"HasResponded": False}))
    crm.put("CampaignMember", "00v4", ContactId="003Z", **response)  # of a contact that was no lead
    read(params, "salesforce", tmp_path / "crm")
    assert events(tmp_path / "crm") == [[lead_id(n), "2024-02-01", "campaign_response", "inbound"] for n in (1, 2)]
    known = pd.read_parquet(tmp_path / "crm/events.parquet")["known_at"].tolist()
    assert known == [entered, "2024-02-02"], "known at the end of the day, or once it is entered"
    crm.now += DAY
    crm.put("CampaignMember", "00v3", HasResponded=True)
    crm.put("CampaignMember", "00v1", IsDeleted=True)
    read(params, "salesforce", tmp_path / "crm")
    assert [one[0] for one in events(tmp_path / "crm")] == [lead_id(2), lead_id(3)]
    assert forget_pulled(tmp_path / "crm", lambda cell: cell == lead_id(2)) == 2
    read(with_option(params, "salesforce", "campaigns", value=False), "salesforce", tmp_path / "crm")
    assert events(tmp_path / "crm") == []
