"""HubSpot: contacts, calls, emails, meetings, form submissions and deals.

Search: https://developers.hubspot.com/docs/api-reference/search/guide
Associations: https://developers.hubspot.com/docs/api-reference/legacy/crm/associations/associate-records/batch/get-associations

A search gives 10,000 records at most, however it is paged, so each page asks for ids above the last one instead: a pull
of any size, which goes on where it was cut off. What was archived is listed apart, and kept by HubSpot for 90 days.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from features.schema.errors import ParamsError
from pipelines.config.pull import HubSpotPull
from pipelines.pull.client import Client, ask_smaller
from pipelines.pull.forms import SUBMISSIONS, submissions, submitted
from pipelines.pull.history import Edit, states
from pipelines.pull.store import MAILS, MERGED, Content, Page, PullStore

KINDS = ("contacts", "calls", "emails", "meetings")
DEALS = "deals"
ARCHIVED = "archived "
HISTORY = "with history"  # where a contact keeps what its properties held
WITH_HISTORY = 50  # records whose history one request gives
LISTED = 100  # records a page of a list
STANDARD = (
    "hs_object_id", "createdate", "lastmodifieddate", "firstname", "lastname", *MAILS, "phone", "company", "jobtitle",
    "industry", "numberofemployees", "annualrevenue", "website", "country", "state", "city", "zip", "hubspot_owner_id",
    "hs_analytics_source", "hs_analytics_num_visits", "hs_analytics_num_page_views", "num_conversion_events",
    "lifecyclestage", "hs_lead_status", "hs_lifecyclestage_lead_date", "hs_lifecyclestage_marketingqualifiedlead_date",
    "hs_lifecyclestage_salesqualifiedlead_date", "hs_lifecyclestage_opportunity_date",
    "hs_lifecyclestage_customer_date", "closedate", "num_associated_deals", "hs_merged_object_ids",
    "hs_calculated_merged_vids",
)  # fmt: skip
MERGES = ("hs_merged_object_ids", "hs_calculated_merged_vids")  # ids; ids and moments; of those merged into this one
FIELDS = {
    "calls": ("hs_timestamp", "hs_createdate", "hs_call_direction"),
    "emails": ("hs_timestamp", "hs_createdate", "hs_email_direction"),
    "meetings": ("hs_timestamp", "hs_createdate", "hs_meeting_start_time", "hs_meeting_source"),
    DEALS: ("createdate", "closedate", "dealstage", "amount", "hs_is_closed", "hs_is_closed_won"),
}


@dataclass(frozen=True)
class HubSpot:
    """An account of HubSpot."""

    params: HubSpotPull

    @property
    def kinds(self) -> tuple[str, ...]:
        """What is read, contacts first, and then of each what was archived."""
        read = (*KINDS, *([DEALS] if self.params.deals else []))
        return (*read, *(ARCHIVED + kind for kind in read), *([SUBMISSIONS] if self.params.forms else []))

    def columns(self, client: Client) -> tuple[list[str], int]:
        """The properties of contacts that are read, and the time of day there."""
        tree, now = client.get_with_time("/crm/v3/properties/contacts")
        there = {one["name"]: one for one in tree["results"] if not one.get("archived")}
        if missing := sorted(set(self.params.properties) - there.keys()):
            raise ParamsError(f"pull.hubspot.properties: contacts have no property {missing[0]}")
        own = sorted(name for name, one in there.items() if not one.get("hubspotDefined"))
        return [name for name in dict.fromkeys([*STANDARD, *(self.params.properties or own)]) if name in there], now

    def page(self, client: Client, kind: str, columns: list[str], since: int | None, last: str) -> Page:
        """The records behind an id that changed since a moment, or a page of what was archived."""
        if kind == SUBMISSIONS:
            return submissions(client, since, last)
        if kind.startswith(ARCHIVED):
            return _archived(client, kind.removeprefix(ARCHIVED), last)
        fields = columns if kind == "contacts" else list(FIELDS[kind])

        def ask(size: int) -> tuple[list[dict[str, Any]], bool]:
            tree = client.post(f"/crm/v3/objects/{kind}/search", _search(kind, fields, since, last, size))
            return tree["results"], len(tree["results"]) == size or bool(tree.get("paging"))

        records, more = ask_smaller(ask, self.params.page)
        contents = {str(one["id"]): {name: one["properties"].get(name) for name in fields} for one in records}
        kept = [(kind, key, content) for key, content in contents.items()]
        gone = []
        if kind == "contacts":
            contents |= self._with_history(client, contents)
            kept = [(kind, key, content) for key, content in contents.items()]
            kept += [merge for key, content in contents.items() for merge in _merges(key, content)]
            gone = [(kind, old) for of, old, _ in kept if of == MERGED]
        elif contents:
            leads = _contacts_of(client, kind, list(contents))
            kept = [(kind, key, content | {"contacts": leads.get(key, [])}) for _, key, content in kept]
        return Page(kept, gone, max(contents, key=int, default=last), more and bool(records))

    def events(self, store: PullStore) -> Iterator[Content]:
        """What leads did and what sales did; one with several contacts counts for each."""
        leads = {key for key, _ in store.records("contacts")} | {key for key, _ in store.records(MERGED)}
        for kind in KINDS[1:]:
            for _, content in store.records(kind):
                at = content.get("hs_meeting_start_time") or content["hs_timestamp"]
                event = {
                    "event_at": at,
                    "known_at": max(at, content["hs_createdate"] or at) if at else None,
                    "event_type": kind.removesuffix("s"),
                    "direction": "inbound" if _is_inbound(content) else "outbound",
                    "channel": "online" if kind == "emails" else "offline",
                }
                yield from ({"lead_id": lead} | event for lead in content["contacts"] if lead in leads and at)
        if self.params.forms:
            yield from submitted(store)

    def deals(self, store: PullStore) -> Iterator[Content]:
        """The deals of contacts; one of several contacts counts for each."""
        if not self.params.deals:
            return
        leads = {key for key, _ in store.records("contacts")} | {key for key, _ in store.records(MERGED)}
        for key, content in store.records(DEALS):
            closed, won = content["hs_is_closed"] == "true", content["hs_is_closed_won"] == "true"
            deal = {
                "deal_id": key,
                "status": "won" if won else "lost" if closed else "open",
                "stage": content["dealstage"],
                "closed_at": content["closedate"] if closed or won else None,
                "created_at": content["createdate"],
                "amount": content["amount"],
            }
            yield from ({"lead_id": lead} | deal for lead in content["contacts"] if lead in leads)

    def _with_history(self, client: Client, contents: dict[str, Content]) -> dict[str, Content]:
        """The contacts with what their properties held; HubSpot gives the history of 50 at once."""
        if not self.params.history:
            return contents
        keys, found = [*contents], dict[str, Content]()
        for begin in range(0, len(keys), WITH_HISTORY):
            body = {
                "properties": [],
                "propertiesWithHistory": self.params.history,
                "inputs": [{"id": key} for key in keys[begin : begin + WITH_HISTORY]],
            }
            for one in client.post("/crm/v3/objects/contacts/batch/read", body)["results"]:
                found[str(one["id"])] = one.get("propertiesWithHistory") or {}
        return {key: content | {HISTORY: found.get(key, {})} for key, content in contents.items()}

    def history(self, store: PullStore) -> Iterator[Content]:
        """What properties of contacts held, and from when on."""
        for key, content in store.records("contacts") if self.params.history else ():
            edits: list[Edit] = []
            for field, versions in content.get(HISTORY, {}).items():
                before = None
                for one in sorted(versions, key=lambda one: one["timestamp"]):
                    edits.append((one["timestamp"], field, before, one["value"]))
                    before = one["value"]
            yield from states(key, content["createdate"], edits, self.params.history)


def _search(kind: str, fields: list[str], since: int | None, last: str, size: int) -> dict[str, Any]:
    modified = "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"
    filters = [{"propertyName": "hs_object_id", "operator": "GT", "value": last or "0"}]
    if since is not None:
        filters.append({"propertyName": modified, "operator": "GTE", "value": str(since * 1000)})
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": fields,
        "limit": size,
    }


def _archived(client: Client, kind: str, after: str) -> Page:
    begin = f"&after={quote(after, safe='')}" if after else ""
    tree = client.get(f"/crm/v3/objects/{kind}?archived=true&limit={LISTED}{begin}")
    following = (tree.get("paging") or {}).get("next") or {}
    gone = [(kind, str(one["id"])) for one in tree["results"]]
    return Page([], gone, str(following.get("after", after)), "after" in following)


def _contacts_of(client: Client, kind: str, keys: list[str]) -> dict[str, list[str]]:
    """The contacts of each call, email or meeting; one with very many has them in several answers."""
    found: dict[str, list[str]] = {}
    inputs = [{"id": key} for key in keys]
    while inputs:
        tree = client.post(f"/crm/v4/associations/{kind}/contacts/batch/read", {"inputs": inputs})
        inputs = []
        for one in tree["results"]:
            key = str(one["from"]["id"])
            found.setdefault(key, []).extend(str(contact["toObjectId"]) for contact in one["to"])
            if following := (one.get("paging") or {}).get("next"):
                inputs.append({"id": key, "after": following["after"]})
    return found


def _merges(key: str, content: Content) -> Iterator[tuple[str, str, Content]]:
    """The ids that were merged into a contact, with the moment where HubSpot says it ("id:milliseconds;...")."""
    ids, dated = (str(content.get(name) or "").split(";") for name in MERGES)
    moments = dict(pair.split(":", 1) for pair in dated if ":" in pair)
    for old in dict.fromkeys([*ids, *moments]):
        if old and old != key:
            yield MERGED, old, {"merged_into": key, "merged_at": _moment(moments.get(old, ""))}


def _moment(milliseconds: str) -> str | None:
    if not milliseconds.isdecimal():
        return None
    return dt.datetime.fromtimestamp(int(milliseconds) / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_inbound(content: Content) -> bool:
    """A call or mail that came in, or a meeting that the lead booked on a page for it."""
    said = str(content.get("hs_call_direction") or content.get("hs_email_direction") or "")
    booked = str(content.get("hs_meeting_source") or "")
    return said.startswith("INCOMING") or said == "INBOUND" or booked == "MEETINGS_PUBLIC"
