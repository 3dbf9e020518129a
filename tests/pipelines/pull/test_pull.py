"""`leadscore pull`: no record of a CRM is lost or doubled, whatever happens on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError, DeliveryError, ParamsError
from pipelines.config.params import Params, load
from pipelines.config.pull import HubSpotPull, Pull, SalesforcePull
from pipelines.pull.pull import pull
from pipelines.pull.salesforce import _soql
from pipelines.pull.store import Page, PullStore, forget_pulled, store_of
from tests.support.crm_reads import DAY, Reads, reading

LEADS = 25
PARAMS_FILE = load()
FIELDS = dict.fromkeys(
    ["Id", "IsDeleted", "MasterRecordId", "LastName", "CreatedDate", "ConvertedDate", "ConvertedContactId",
     "SystemModstamp", "AnnualRevenue"], "string"
) | {"Address": "address"}  # fmt: skip
PROPERTIES = dict.fromkeys(
    ["hs_object_id", "createdate", "lastmodifieddate", "company", "hs_lifecyclestage_customer_date",
     "hs_merged_object_ids", "hs_calculated_merged_vids", "hs_secret_score"], "theirs"
) | {"plan": "own"}  # fmt: skip


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reads]:
    monkeypatch.setenv("CRM_TOKEN", "first")
    with reading() as server:
        yield server


def lead_id(number: int) -> str:
    return f"00Q{number:015d}"


def salesforce(crm: Reads) -> Params:
    crm.fields = FIELDS
    for number in range(LEADS):
        put_lead(crm, number)
    crm.now += DAY
    section = SalesforcePull(base_url=crm.url, token="CRM_TOKEN", page=10)  # noqa: S106
    return with_pull(Pull(salesforce=section, timeout_s=5, attempts=3))


def put_lead(crm: Reads, number: int, **changed: object) -> None:
    created = "2024-01-02T08:00:00.000+0000"
    content = {"IsDeleted": False, "LastName": f"L{number}", "CreatedDate": created, "AnnualRevenue": 1000.5}
    crm.put("Lead", lead_id(number), **(content | changed))


def hubspot(crm: Reads) -> Params:
    crm.fields = PROPERTIES
    for number in range(1, LEADS + 1):
        crm.put("contacts", str(number), createdate="2024-01-02T08:00:00.000Z", company=f"F{number}", plan="a")
    crm.now += DAY
    section = HubSpotPull(base_url=crm.url, token="CRM_TOKEN", page=10)  # noqa: S106
    return with_pull(Pull(hubspot=section, timeout_s=5, attempts=3))


def with_pull(section: Pull) -> Params:
    return PARAMS_FILE.model_copy(update={"pull": section})


PARAMS = {"salesforce": salesforce, "hubspot": hubspot}


def read(params: Params, name: str, folder: Path, *, whole: bool = False) -> dict[str, pd.DataFrame]:
    pull(params, name, folder, lambda seconds: None, whole=whole)
    return {table: pd.read_parquet(folder / f"{table}.parquet") for table in ("leads", "events", "aliases")}


def bytes_of(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("name", PARAMS)
def test_all_pages_come_once_and_the_same_again_is_the_same_bytes(crm: Reads, tmp_path: Path, name: str) -> None:
    params, folder = PARAMS[name](crm), tmp_path / "crm"
    leads = read(params, name, folder)["leads"]
    assert len(leads) == LEADS and leads.iloc[:, 0].is_unique
    first, crm.now, asked = bytes_of(folder), crm.now + DAY, crm.pages
    read(params, name, folder)
    assert bytes_of(folder) == first
    assert crm.pages - asked < asked, "the second pull asks for what has changed alone"


def change(crm: Reads, name: str, number: int, text: str) -> None:
    """A lead gets this text, and another is new."""
    if name == "salesforce":
        put_lead(crm, number, LastName=text)
        put_lead(crm, 99)
    else:
        crm.put("contacts", str(number), company=text)
        crm.put("contacts", "99", company="More")


@pytest.mark.parametrize("name", PARAMS)
def test_only_what_changed_is_read_and_it_replaces(crm: Reads, tmp_path: Path, name: str) -> None:
    params = PARAMS[name](crm)
    read(params, name, tmp_path / "crm")
    crm.now += DAY
    change(crm, name, 3, "New")
    leads = read(params, name, tmp_path / "crm")["leads"]
    assert len(leads) == LEADS + 1
    assert (leads == "New").any(axis=None)


class Killed(BaseException):
    """Stands in for a kill: nothing catches it."""


@pytest.mark.parametrize("name", PARAMS)
@pytest.mark.parametrize("committed", [False, True])
def test_a_pull_that_was_killed_goes_on_and_misses_nothing(
    crm: Reads, tmp_path: Path, name: str, committed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    params, pages, take = PARAMS[name](crm), list[Page](), PullStore.take

    def die(store: PullStore, kind: str, page: Page) -> None:
        pages.append(page)
        if committed or len(pages) < 2:
            take(store, kind, page)
        if len(pages) == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(PullStore, "take", die)
        with pytest.raises(Killed):
            read(params, name, tmp_path / "crm")
    assert not (tmp_path / "crm").exists()
    # Meanwhile a lead that was read changes, and another is new.
    crm.now += 60
    change(crm, name, 0 if name == "salesforce" else 1, "Later")
    asked = crm.pages
    leads = read(params, name, tmp_path / "crm")["leads"]
    assert len(leads) == LEADS + 1 and leads.iloc[:, 0].is_unique
    assert (leads == "Later").any(axis=None)
    assert crm.pages > asked


@pytest.mark.parametrize("trouble", [429, 503, "torn"])
def test_what_passes_is_tried_again(crm: Reads, tmp_path: Path, trouble: int | str) -> None:
    params, waits = salesforce(crm), list[float]()
    crm.troubles = ["", trouble, trouble]
    pull(params, "salesforce", tmp_path / "crm", waits.append)
    assert len(pd.read_parquet(tmp_path / "crm/leads.parquet")) == LEADS
    assert waits and (trouble != 429 or min(waits) >= 3)


def test_an_answer_that_is_too_long_is_asked_for_in_halves(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    crm.troubles = ["", "long"]
    assert len(read(params, "salesforce", tmp_path / "crm")["leads"]) == LEADS


def test_a_server_that_fails_for_long_ends_the_run_and_what_was_read_stays(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    crm.troubles = ["", "", 503, 503, 503]
    with pytest.raises(DeliveryError, match="3 requests in a row failed, the last with 'HTTP 503'"):
        read(params, "salesforce", tmp_path / "crm")
    asked = len(crm.asked)
    assert len(read(params, "salesforce", tmp_path / "crm")["leads"]) == LEADS
    assert len(crm.asked) > asked


def test_fewer_records_than_asked_for_are_not_the_last(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    crm.most = 4
    assert len(read(params, "salesforce", tmp_path / "crm")["leads"]) == LEADS


def test_a_token_that_ends_on_the_way_is_renewed(crm: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = salesforce(crm)
    monkeypatch.setenv("SALESFORCE_CLIENT_ID", "key")
    monkeypatch.setenv("SALESFORCE_CLIENT_SECRET", "secret")
    crm.after = lambda page: setattr(crm, "tokens", [f"token{page}"]) if page == 2 else None
    assert len(read(params, "salesforce", tmp_path / "crm")["leads"]) == LEADS
    assert crm.asked.count("/services/oauth2/token") == 2


def test_a_token_that_cannot_be_renewed_ends_the_run_in_one_line_without_it(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    crm.tokens = ["other"]
    with pytest.raises(DeliveryError, match="answers HTTP 401: INVALID_SESSION_ID") as error:
        read(params, "salesforce", tmp_path / "crm")
    assert "first" not in str(error.value)


def test_deleted_and_merged_leads_leave_and_merges_become_aliases(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    read(params, "salesforce", tmp_path / "crm")
    crm.now += DAY
    put_lead(crm, 1, IsDeleted=True)
    put_lead(crm, 2, IsDeleted=True, MasterRecordId=lead_id(5))
    for whole in (False, True):  # the recycle bin is emptied before the second
        tables = read(params, "salesforce", tmp_path / "crm", whole=whole)
        assert set(tables["leads"]["Id"]) == {lead_id(n) for n in range(LEADS) if n not in (1, 2)}
        assert tables["aliases"].to_numpy().tolist() == [[lead_id(2), lead_id(5), "2024-06-03T00:00:00.000+0000"]]
        del crm.records["Lead"][lead_id(1)]
        crm.records["Lead"].pop(lead_id(2), None)
        crm.records["Lead"].setdefault(lead_id(1), {"IsDeleted": True, "SystemModstamp": "2024-06-02"})


def test_a_merged_lead_that_comes_back_out_of_the_bin_is_merged_no_more(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    put_lead(crm, 2, IsDeleted=True, MasterRecordId=lead_id(5))
    read(params, "salesforce", tmp_path / "crm")
    crm.now += DAY
    put_lead(crm, 2, IsDeleted=False, MasterRecordId=None)
    put_lead(crm, 5, IsDeleted=True, MasterRecordId=lead_id(2))  # and takes the other in: no circle of merges
    tables = read(params, "salesforce", tmp_path / "crm")
    assert tables["aliases"][["lead_id", "merged_into"]].to_numpy().tolist() == [[lead_id(5), lead_id(2)]]
    assert len(tables["leads"]) == LEADS - 1


def test_a_contact_that_hubspot_merged_since_is_no_lead(crm: Reads, tmp_path: Path) -> None:
    params = hubspot(crm)
    read(params, "hubspot", tmp_path / "crm")
    crm.now += DAY
    del crm.records["contacts"]["3"]  # neither found nor listed as archived
    crm.put("contacts", "5", hs_merged_object_ids="3")
    tables = read(params, "hubspot", tmp_path / "crm")
    assert "3" not in set(tables["leads"]["hs_object_id"]) and list(tables["aliases"]["lead_id"]) == ["3"]


@pytest.mark.parametrize("name", PARAMS)
def test_a_lead_that_is_forgotten_leaves_what_was_read_and_no_other_does(crm: Reads, tmp_path: Path, name: str) -> None:
    params, folder, at = PARAMS[name](crm), tmp_path / "crm", "2024-02-01T08:00:00.000Z"
    lead = lead_id(7) if name == "salesforce" else "7"
    put_lead(crm, 7, ConvertedContactId="003A")
    for key, who in {"00T1": lead, "00T2": "003A", "00T3": lead_id(8)}.items():
        crm.put("Task", key, WhoId=who, IsDeleted=False, IsClosed=True, CreatedDate=at)
    crm.put("calls", "7", hs_timestamp=at, hs_createdate=at)  # a call whose id is that of the lead
    crm.contacts_of = {"7": ["7", "8"]}
    crm.now += DAY
    before = read(params, name, folder)
    assert len(before["events"]) == (3 if name == "salesforce" else 2)
    assert forget_pulled(folder, lambda cell: cell == lead) == (3 if name == "salesforce" else 2)
    assert lead.encode() not in store_of(folder).read_bytes() or name == "hubspot"
    assert forget_pulled(folder, lambda cell: cell == lead) == 0
    crm.now += DAY
    after = read(params, name, folder)
    assert len(after["leads"]) == LEADS - 1 and len(after["events"]) == 1


def test_only_a_whole_pull_notices_what_was_deleted_for_good(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    read(params, "salesforce", tmp_path / "crm")
    del crm.records["Lead"][lead_id(4)]
    crm.now += DAY
    assert len(read(params, "salesforce", tmp_path / "crm")["leads"]) == LEADS
    assert len(read(params, "salesforce", tmp_path / "crm", whole=True)["leads"]) == LEADS - 1


def test_activities_of_a_converted_lead_are_found_at_its_contact(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    put_lead(crm, 1, ConvertedContactId="003A")
    put_lead(crm, 2, ConvertedContactId="003A", CreatedDate="2024-03-01T08:00:00.000+0000")
    at, later = "2024-02-01T08:00:00.000+0000", "2024-02-03T08:00:00.000+0000"
    call = {"IsDeleted": False, "IsClosed": True, "TaskSubtype": "Call", "CallType": "Inbound", "CreatedDate": at}
    crm.put("Task", "00T1", WhoId=lead_id(7), **call)
    crm.put("Task", "00T2", WhoId="003A", **call)
    crm.put("Task", "00T3", WhoId="003A", **(call | {"CompletedDateTime": "2024-03-05T08:00:00.000+0000"}))
    crm.put("Task", "00T4", WhoId=lead_id(7), **(call | {"IsClosed": False}))  # to do
    crm.put("Task", "00T5", WhoId="003Z", **call)  # of a contact that was no lead
    crm.put("Event", "00U1", WhoId=lead_id(8), IsDeleted=False, StartDateTime=at, CreatedDate=later)
    events = read(params, "salesforce", tmp_path / "crm")["events"]
    assert events[["lead_id", "event_type", "direction"]].to_numpy().tolist() == [
        [lead_id(7), "call", "inbound"],
        [lead_id(1), "call", "inbound"],
        [lead_id(2), "call", "inbound"],
        [lead_id(8), "meeting", "outbound"],
    ]
    assert events["known_at"].iloc[-1] == later


def test_events_merges_and_archived_contacts_of_hubspot(crm: Reads, tmp_path: Path) -> None:
    params = hubspot(crm)
    at = "2024-02-01T08:00:00.000Z"
    crm.put("contacts", "5", hs_merged_object_ids="31;32", hs_calculated_merged_vids="31:1706745600000")
    crm.put("calls", "501", hs_timestamp=at, hs_createdate=at, hs_call_direction="INBOUND")
    crm.put("emails", "601", hs_timestamp=at, hs_createdate=at, hs_email_direction="EMAIL")
    crm.put("meetings", "701", hs_timestamp=at, hs_createdate=at, hs_meeting_source="MEETINGS_PUBLIC")
    crm.contacts_of = {"501": ["2", "3"], "601": ["31"], "701": ["9"]}
    for number in (9, 10, 11):
        crm.put("contacts", str(number), archived=True)
    tables = read(params, "hubspot", tmp_path / "crm")
    assert len(tables["leads"]) == LEADS - 3
    assert "plan" in tables["leads"] and "hs_secret_score" not in tables["leads"]
    assert tables["aliases"].fillna("").to_numpy().tolist() == [["31", "5", "2024-02-01T00:00:00Z"], ["32", "5", ""]]
    assert tables["events"][["lead_id", "event_type", "direction", "channel"]].to_numpy().tolist() == [
        ["2", "call", "inbound", "offline"],
        ["3", "call", "inbound", "offline"],
        ["31", "email", "outbound", "online"],
    ]
    crm.now += DAY
    crm.put("contacts", "2", archived=True)
    tables = read(params, "hubspot", tmp_path / "crm")
    assert len(tables["leads"]) == LEADS - 4 and set(tables["events"]["lead_id"]) == {"3", "31"}


def test_a_new_field_is_read_of_every_record(crm: Reads, tmp_path: Path) -> None:
    params = salesforce(crm)
    read(params, "salesforce", tmp_path / "crm")
    for number in range(LEADS):
        crm.records["Lead"][lead_id(number)]["Size__c"] = 7
    crm.fields, crm.now = {**FIELDS, "Size__c": "double"}, crm.now + DAY
    leads = read(params, "salesforce", tmp_path / "crm")["leads"]
    assert (leads["Size__c"] == "7").all()


def pulled_before(folder: Path, crm: Reads) -> None:
    for name in ("leads.parquet", "pulled.json", "leadscore.yaml"):
        (folder / name).write_text("x")


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda folder, crm: (folder / "mine.csv").write_text("x"), ParamsError, "files that `pull` did not write"),
        (pulled_before, ParamsError, "did not write, such as leadscore.yaml"),
        (lambda folder, crm: setattr(crm, "troubles", ["long"]), DeliveryError, "more than 10,000,000 bytes"),
        (lambda folder, crm: crm.records.clear(), DataError, "found no record"),
        (lambda folder, crm: crm.fields.pop("IsDeleted"), ParamsError, "leads have no field IsDeleted"),
    ],
)  # fmt: skip
def test_what_is_refused(
    crm: Reads, tmp_path: Path, change: Callable[[Path, Reads], object], error: type[Exception], said: str
) -> None:
    params, folder = salesforce(crm), tmp_path / "crm"
    folder.mkdir()
    crm.fields = dict(crm.fields)
    change(folder, crm)
    with pytest.raises(error, match=said):
        read(params, "salesforce", folder)


def test_a_folder_is_of_one_system(crm: Reads, tmp_path: Path) -> None:
    read(salesforce(crm), "salesforce", tmp_path / "crm")
    with pytest.raises(ParamsError, match="holds records of salesforce"):
        read(hubspot(crm), "hubspot", tmp_path / "crm")


def test_no_text_of_a_crm_goes_into_a_query() -> None:
    with pytest.raises(DeliveryError, match="names of fields or an id"):
        _soql("Lead", ["Id"], None, "00Q' OR Id > '", 10)
    with pytest.raises(DeliveryError, match="names of fields or an id"):
        _soql("Lead", ["Id FROM User"], None, "", 10)
