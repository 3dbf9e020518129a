"""CRMs on this machine that give their records as Salesforce and HubSpot publish it, with faults to order."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.loopback import SilentHandler, on_loopback

DAY = 86_400
SOQL = re.compile(
    r"SELECT (?P<fields>[\w, ]+) FROM (?P<kind>\w+)(?: WHERE (?P<where>.+?))? ORDER BY Id LIMIT (?P<limit>\d+)"
)
MODIFIED = {"contacts": "lastmodifieddate"}
LONG = b"[" + b"0," * 5_500_000 + b"0]"  # more than an answer may have


@dataclass
class Reads:
    """A CRM's records by kind and id, its clock, and what goes wrong next.

    Attributes
    ----------
    records
        As the API gives them; Salesforce's with IsDeleted, HubSpot's properties with `archived`.
    now
        The CRM's clock, in seconds since 1970; a record that is put is modified then.
    troubles
        What happens to the next requests, in order: an HTTP status, "torn", "long" or "".
    tokens
        Those that are valid; one that is fetched is the newest.
    after
        Called after each page with its number, before it is sent.
    forms, submitted
        HubSpot's forms by id; the moments, in milliseconds, and the mail addresses of their submissions.
    most
        Salesforce gives fewer records than asked for where they are long.
    """

    records: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    contacts_of: dict[str, list[str]] = field(default_factory=dict)
    fields: dict[str, str] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)
    submitted: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    now: int = 1_717_200_000
    troubles: list[int | str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=lambda: ["first"])
    after: Callable[[int], object] = lambda page: None
    most: int = 2000
    pages: int = 0
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def put(self, kind: str, key: str, **content: Any) -> None:
        """Make or change a record."""
        old = self.records.setdefault(kind, {}).get(key, {})
        moment = dt.datetime.fromtimestamp(self.now, dt.UTC)
        stamps = {
            "SystemModstamp": moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000"),
            MODIFIED.get(kind, "hs_lastmodifieddate"): moment.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }
        self.records[kind][key] = old | content | stamps

    def query(self, soql: str) -> Any:
        """Salesforce's queryAll."""
        asked = SOQL.fullmatch(soql)
        assert asked, soql
        where = asked["where"] or ""
        stamp = "CreatedDate" if asked["kind"] == "LeadHistory" else "SystemModstamp"
        since, last = re.search(rf"{stamp} >= (\S+)", where), re.search(r"Id > '(\w+)'", where)
        names = asked["fields"].split(", ")
        rows = [
            {"attributes": {"type": asked["kind"]}, "Id": key} | {name: row.get(name) for name in names if name != "Id"}
            for key, row in sorted(self.records.get(asked["kind"], {}).items())
            if (not since or row[stamp][:19] >= since[1][:19]) and (not last or key > last[1])
        ]
        limited = rows[: int(asked["limit"])]
        sent = limited[: self.most]
        done = len(sent) == len(limited)
        more = {} if done else {"nextRecordsUrl": "/services/data/v62.0/query/01g-2000"}
        return {"totalSize": len(limited), "done": done, "records": sent} | more

    def search(self, kind: str, body: dict[str, Any]) -> Any:
        """HubSpot's search, which knows nothing of what is archived."""
        assert body["limit"] <= 200 and "after" not in body
        assert body["sorts"] == [{"propertyName": "hs_object_id", "direction": "ASCENDING"}]
        filters = {one["propertyName"]: (one["operator"], one["value"]) for one in body["filterGroups"][0]["filters"]}
        operator, last = filters.pop("hs_object_id")
        assert operator == "GT"
        since = filters.get(MODIFIED.get(kind, "hs_lastmodifieddate"), ("GTE", "0"))[1]
        moment = dt.datetime.fromtimestamp(int(since) / 1000, dt.UTC).isoformat()[:19]
        modified = MODIFIED.get(kind, "hs_lastmodifieddate")
        there = [
            (key, row)
            for key, row in sorted(self.records.get(kind, {}).items(), key=lambda one: int(one[0]))
            if not row.get("archived") and int(key) > int(last) and row[modified][:19] >= moment
        ]
        sent = [
            {"id": key, "archived": False, "properties": {"hs_object_id": key} | {
                name: row[name] for name in body["properties"] if name in row
            }}
            for key, row in there[: body["limit"]]
        ]  # fmt: skip
        paging = {"paging": {"next": {"after": str(len(sent))}}} if len(sent) < len(there) else {}
        return {"total": len(there), "results": sent} | paging

    def with_history(self, body: dict[str, Any]) -> Any:
        """HubSpot's batch read, which gives the history of 50 records at most, the newest value first."""
        assert len(body["inputs"]) <= 50
        rows = {one["id"]: self.records["contacts"][one["id"]].get("history", {}) for one in body["inputs"]}
        of = {
            key: {name: row[name] for name in body["propertiesWithHistory"] if name in row} for key, row in rows.items()
        }
        return {"status": "COMPLETE", "results": [{"id": key, "propertiesWithHistory": row} for key, row in of.items()]}

    def archived(self, kind: str, after: str) -> Any:
        """HubSpot's list of what was archived, two a page."""
        gone = [key for key, row in self.records.get(kind, {}).items() if row.get("archived")]
        begin = int(after or 0)
        following = {"paging": {"next": {"after": str(begin + 2)}}} if begin + 2 < len(gone) else {}
        return {"results": [{"id": key, "archived": True} for key in gone[begin : begin + 2]]} | following

    def listed(self, path: str, after: str) -> Any:
        """HubSpot's forms, one a page, or the submissions of one, the newest first and two a page."""
        begin, form = int(after or 0), path.rsplit("/", 1)[1]
        forms = [{"id": key, "name": name, "archived": False} for key, name in self.forms.items()]
        values = [
            {"submittedAt": at, "pageUrl": "https://a.example", "values": [
                {"name": "email", "value": mail}, {"name": "message", "value": "private words"}
            ]}
            for at, mail in sorted(self.submitted.get(form, []), reverse=True)
        ]  # fmt: skip
        rows, size = (forms, 1) if form == "forms" else (values, 2)
        following = {"paging": {"next": {"after": str(begin + size)}}} if begin + size < len(rows) else {}
        return {"results": rows[begin : begin + size]} | following

    def associations(self, body: dict[str, Any]) -> Any:
        """One contact an answer, so that who has more is asked for again."""
        results = []
        for one in body["inputs"]:
            contacts, begin = self.contacts_of.get(one["id"], []), int(one.get("after", 0))
            following = {"paging": {"next": {"after": str(begin + 1)}}} if begin + 1 < len(contacts) else {}
            to = [{"toObjectId": contact, "associationTypes": []} for contact in contacts[begin : begin + 1]]
            results += [{"from": {"id": one["id"]}, "to": to} | following] if to else []
        return {"status": "COMPLETE", "results": results}


class Handler(SilentHandler, BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    crm: Reads

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The CRM's clock."""
        return format_datetime(dt.datetime.fromtimestamp(self.crm.now, dt.UTC), usegmt=True)

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        crm, parts = self.crm, urlsplit(self.path)
        crm.asked.append(parts.path)
        if parts.path == "/services/oauth2/token":
            form = parse_qs(body.decode())
            assert form["grant_type"] == ["client_credentials"] and "Authorization" not in self.headers
            self._send(200, {"access_token": crm.tokens[-1], "token_type": "Bearer"})
        elif self.headers["Authorization"] not in {f"Bearer {token}" for token in crm.tokens}:
            self._send(401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired"}])
        elif trouble := crm.troubles.pop(0) if crm.troubles else "":
            if isinstance(trouble, int):
                self._send(trouble, {"category": "RATE_LIMITS"}, {"Retry-After": "3"} if trouble == 429 else {})
            else:
                self._write(200, LONG if trouble == "long" else b'{"records": [{')
        else:
            self._send(200, self._tree(parts.path, parse_qs(parts.query), body))

    def _tree(self, path: str, query: dict[str, list[str]], body: bytes) -> Any:
        crm, words = self.crm, path.split("/")
        if path.endswith("/describe"):
            return {"fields": [{"name": name, "type": kind} for name, kind in crm.fields.items()]}
        if path == "/crm/v3/properties/contacts":
            return {
                "results": [{"name": name, "hubspotDefined": kind == "theirs"} for name, kind in crm.fields.items()]
            }
        if path == "/crm/v3/objects/contacts/batch/read":
            return crm.with_history(json.loads(body))
        if "associations" in words:
            return crm.associations(json.loads(body))
        crm.pages += 1
        if path.endswith("/queryAll"):
            tree = crm.query(query["q"][0])
        elif "forms" in words:
            tree = crm.listed(path, query.get("after", [""])[0])
        elif path.endswith("/search"):
            tree = crm.search(words[4], json.loads(body))
        else:
            assert query["archived"] == ["true"]
            tree = crm.archived(words[4], query.get("after", [""])[0])
        crm.after(crm.pages)
        return tree

    def _send(self, status: int, tree: Any, headers: dict[str, str] | None = None) -> None:
        self._write(status, json.dumps(tree).encode(), headers)

    def _write(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content))}.items() | (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def reading() -> Iterator[Reads]:
    """A CRM on a free port of the loopback."""
    crm = Reads()
    with on_loopback(type("Bound", (Handler,), {"crm": crm})) as crm.url:
        yield crm
