"""Salesforce: leads, tasks, events, campaign members, opportunities and the history of leads by SOQL.

Query: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_queryall.htm
Token: https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_client_credentials_flow.htm

Pages go on by the last id, not by the locator of a query, which ends after some time: so a pull that was cut off goes
on days later. `queryAll` also gives records that were deleted or merged, for as long as the recycle bin keeps them.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from features.schema.errors import DeliveryError, ParamsError
from pipelines.config.pull import SalesforcePull
from pipelines.config.secrets import from_environment
from pipelines.delivery.crm import Bearer, bearer_of
from pipelines.pull.client import Client, ask_smaller
from pipelines.pull.history import Edit, states
from pipelines.pull.store import MERGED, Content, Page, PullStore

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # of a field; no other text goes into a query
SALESFORCE_ID = re.compile(r"[A-Za-z0-9]{15,18}")
UNREAD = {"address", "location", "base64", "anyType", "complexvalue"}  # parts of addresses are fields of their own
NEEDED = ("Id", "IsDeleted", "MasterRecordId", "ConvertedContactId", "CreatedDate", "SystemModstamp")
RESPONSE = "CampaignMember"
HISTORY = "LeadHistory"  # of fields that are tracked; its rows never change, so they have no SystemModstamp
FIELDS = {
    "Task": ("Id", "IsDeleted", "WhoId", "TaskSubtype", "CallType", "IsClosed", "CompletedDateTime", "CreatedDate"),
    "Event": ("Id", "IsDeleted", "WhoId", "StartDateTime", "CreatedDate"),
    RESPONSE: ("Id", "IsDeleted", "LeadId", "ContactId", "HasResponded", "FirstRespondedDate", "CreatedDate"),
    HISTORY: ("Id", "IsDeleted", "LeadId", "Field", "OldValue", "NewValue", "CreatedDate"),
    "Opportunity": ("Id", "IsDeleted", "StageName", "Amount", "IsClosed", "IsWon", "CloseDate", "CreatedDate"),
}
LONGEST_QUERY = 12_000  # characters in an address, of which Salesforce takes 16,384 bytes


@dataclass(frozen=True)
class Salesforce:
    """An org of Salesforce."""

    params: SalesforcePull

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is read, leads first."""
        more = {RESPONSE: self.params.campaigns, "Opportunity": self.params.deals, HISTORY: bool(self.params.history)}
        return ("Lead", "Task", "Event", *(kind for kind, wanted in more.items() if wanted))

    def columns(self, client: Client) -> tuple[list[str], int]:
        """The fields of leads, and the time of day there."""
        tree, now = client.get_with_time(f"/services/data/{self.params.version}/sobjects/Lead/describe")
        there = {field["name"] for field in tree["fields"] if field["type"] not in UNREAD}
        if missing := sorted({*self.params.fields, *NEEDED[:-2]} - there):
            raise ParamsError(f"pull.salesforce: leads have no field {missing[0]}, or this user may not see it")
        names = [field["name"] for field in tree["fields"] if field["name"] in there]
        return [name for name in names if not self.params.fields or name in {*self.params.fields, *NEEDED}], now

    def page(self, client: Client, kind: str, columns: list[str], since: int | None, last: str) -> Page:
        """The records behind an id that changed since a moment."""
        fields = columns if kind == "Lead" else list(FIELDS[kind])

        def ask(size: int) -> tuple[list[dict[str, Any]], bool]:
            tree = client.get(
                f"/services/data/{self.params.version}/queryAll?q={_soql(kind, fields, since, last, size)}"
            )
            # A short page that is not the last says that it is not done.
            return tree["records"], not tree["done"] or len(tree["records"]) == size

        records, more = ask_smaller(ask, self.params.page)
        contents = [(record["Id"], {name: record.get(name) for name in fields}) for record in records]
        gone = [(kind, key) for key, content in contents if content["IsDeleted"]]
        merges = [
            (MERGED, key, {"merged_into": content["MasterRecordId"], "merged_at": content["SystemModstamp"]})
            for key, content in contents
            if content["IsDeleted"] and content.get("MasterRecordId")
        ]
        kept = [(kind, key, content) for key, content in contents if not content["IsDeleted"]]
        gone += [(MERGED, key) for of, key, _ in kept if of == "Lead"]  # one may come back out of the recycle bin
        return Page([*kept, *merges], gone, records[-1]["Id"] if records else last, more and bool(records))

    def events(self, store: PullStore) -> Iterator[Content]:
        """What leads did and what sales did; the activities of a converted lead hang on its contact."""
        leads = {key for key, _ in store.records("Lead")} | {key for key, _ in store.records(MERGED)}
        of_contact: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for key, content in store.records("Lead"):
            if content.get("ConvertedContactId"):
                of_contact[content["ConvertedContactId"]].append((content["CreatedDate"], key))
        for converted in of_contact.values():
            converted.sort()
        for kind in ("Task", "Event"):
            for _, content in store.records(kind):
                event = _task(content) if kind == "Task" else _meeting(content)
                who = content["WhoId"]
                if event["event_at"] and who:
                    lead = who if who in leads else _lead_of(of_contact.get(who, []), event["event_at"])
                    if lead:
                        yield {"lead_id": lead} | event
        for _, content in store.records(RESPONSE) if self.params.campaigns else ():
            if content["HasResponded"] and (day := content["FirstRespondedDate"]):
                of = content["LeadId"]
                lead = of if of in leads else _lead_of(of_contact.get(content["ContactId"], []), day)
                if lead:
                    yield {"lead_id": lead} | _response(day, content["CreatedDate"])

    def deals(self, store: PullStore) -> Iterator[Content]:
        """The opportunities that leads were converted into; several leads may have become one."""
        if not self.params.deals:
            return
        of_deal: dict[str, list[str]] = defaultdict(list)
        for key, content in store.records("Lead"):
            if content.get("ConvertedOpportunityId"):
                of_deal[content["ConvertedOpportunityId"]].append(key)
        for key, content in store.records("Opportunity"):
            deal = {
                "deal_id": key,
                "status": "won" if content["IsWon"] else "lost" if content["IsClosed"] else "open",
                "stage": content["StageName"],
                "closed_at": content["CloseDate"] if content["IsClosed"] else None,
                "created_at": content["CreatedDate"],
                "amount": content["Amount"],
            }
            yield from ({"lead_id": lead} | deal for lead in of_deal.get(key, []))

    def history(self, store: PullStore) -> Iterator[Content]:
        """What the tracked fields of leads held, and from when on."""
        edits: dict[str, list[Edit]] = defaultdict(list)
        if self.params.history:
            for _, row in store.records(HISTORY):
                if row["Field"] in self.params.history:
                    edits[row["LeadId"]].append((row["CreatedDate"], row["Field"], row["OldValue"], row["NewValue"]))
        for key, lead in store.records("Lead"):
            yield from states(key, lead["CreatedDate"], edits.get(key, []), self.params.history)


def _soql(kind: str, fields: list[str], since: int | None, last: str, size: int) -> str:
    """The query in an address; names and ids are checked, as SOQL over HTTP binds no values."""
    if not all(map(NAME.fullmatch, fields)) or not (last == "" or SALESFORCE_ID.fullmatch(last)):
        raise DeliveryError(f"{kind}: names of fields or an id that Salesforce does not give")
    moment = None if since is None else dt.datetime.fromtimestamp(since, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    stamp = "CreatedDate" if kind == HISTORY else "SystemModstamp"
    conditions = [f"{stamp} >= {moment}"] * (moment is not None) + [f"Id > '{last}'"] * bool(last)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    query = quote(f"SELECT {', '.join(fields)} FROM {kind}{where} ORDER BY Id LIMIT {size}", safe="")
    if len(query) > LONGEST_QUERY:
        raise ParamsError(f"pull.salesforce: {len(fields)} fields of leads are too many for one query; name `fields`")
    return query


def _task(content: Content) -> Content:
    """A finished task; one that is still to do has not happened."""
    done = content["CompletedDateTime"] or content["CreatedDate"]
    inbound = str(content["CallType"]).lower() == "inbound"
    return {
        "event_at": done if content["IsClosed"] else None,
        "known_at": max(done, content["CreatedDate"]),
        "event_type": str(content["TaskSubtype"] or "task").lower(),
        "direction": "inbound" if inbound else "outbound",
        "channel": "offline" if content["TaskSubtype"] == "Call" else "online",
    }


def _meeting(content: Content) -> Content:
    at = content["StartDateTime"]
    return {
        "event_at": at,
        "known_at": max(at, content["CreatedDate"]) if at else None,
        "event_type": "meeting",
        "direction": "outbound",
        "channel": "offline",
    }


def _response(day: str, created: str) -> Content:
    """An answer to a campaign; Salesforce gives its day alone, at whose end it is known, or once it is entered."""
    over = (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()
    return {
        "event_at": day,
        "known_at": max(over, created),
        "event_type": "campaign_response",
        "direction": "inbound",
        "channel": "online",
    }


def _lead_of(converted: list[tuple[str, str]], at: str) -> str:
    """Of the leads that became one contact, the last that was there at the time, else the first."""
    if not converted:
        return ""
    return converted[max(bisect_right(converted, (at, "~")) - 1, 0)][1]


def token_of(params: SalesforcePull, client: Client) -> Bearer:
    """Fetch an access token by the client credentials flow."""
    fields = {
        "grant_type": "client_credentials",
        "client_id": from_environment(params.client_id, "pull.salesforce.client_id"),
        "client_secret": from_environment(params.client_secret, "pull.salesforce.client_secret"),
    }
    tree = client.post_form("/services/oauth2/token", fields)
    return bearer_of(str(tree["access_token"]), "Salesforce's token")


def renews(params: SalesforcePull) -> bool:
    """Whether tokens can be fetched."""
    return bool(os.environ.get(params.client_id, "").strip())
