"""CRMs behind their published HTTP APIs: what a batch of leads looks like there, and what the answer says of each lead.

HubSpot: https://developers.hubspot.com/docs/api-reference/legacy/crm/objects/contacts/batch/upsert-contacts
Salesforce: https://developer.salesforce.com/docs/platform/api-rest/guide/resources-composite-sobjects-collections-upsert
Dynamics 365: https://learn.microsoft.com/en-us/dynamics365/sales/populate-predictive-scores and, for many at once,
https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/reference/upsertmultiple
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

import requests

from features.schema.errors import DeliveryError, ParamsError
from pipelines.config.secrets import from_environment
from pipelines.delivery.http import MOST_BYTES, HttpRequest, Reply, TooLongError, exchange

if TYPE_CHECKING:
    from pipelines.config.delivery import Crm, Delivery, Dynamics, HubSpot, Salesforce

Cell = str | int | float | bool | None
LOOPBACK_NAME = "localhost"
PASSING = {  # what a CRM says of a single lead that may go well the next time
    "RATE_LIMITS", "INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", "LOCKED",
    "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG", "QUERY_TIMEOUT", "UNKNOWN_EXCEPTION",
}  # fmt: skip
LONGEST_REASON = 200
NO_TREND = 3  # msdyn_scoretrend: not enough info
ACCEPTED = (200, 201, 207)  # the answer says what became of each lead
EXPECTED = (400, 408, 409, 413, 422, 429)  # it says why there is none, or when to try again


@dataclass(frozen=True)
class Message:
    """What one lead's record is to hold.

    Attributes
    ----------
    key
        The same for the same system, lead and content, however often it is sent.
    attempts
        Failed attempts so far.
    """

    lead_id: str
    key: str
    fields: dict[str, Cell]
    attempts: int = 0


class LeadStatus(Enum):
    """What happened to a lead: accepted, to be sent again, or rejected for good."""

    accepted = 1
    retry = 2
    rejected = 3


class RequestStatus(Enum):
    """How a request as one ended."""

    ok = 0
    busy = 1  # the CRM asks to wait; says nothing about the leads
    silent = 2  # no answer: the request may have been carried out or not
    failed = 3  # the CRM failed to handle it
    rejected = 4  # the CRM does not accept it


@dataclass(frozen=True)
class Answer:
    """The result of one request, by lead or one fault of all of it, and how long the CRM asks to wait."""

    status: RequestStatus
    reason: str = ""
    wait_s: float = 0.0
    leads: dict[str, tuple[LeadStatus, str]] = field(default_factory=dict)


class Receiver(Protocol):
    """Who takes a batch of messages by HTTP, and how it answers."""

    @property
    def accepted(self) -> tuple[int, ...]:
        """The statuses of an answer after which `verdicts` says what became of each lead."""

    def request(self, batch: Sequence[Message]) -> HttpRequest:
        """The request that makes the records of these leads what they are to be."""

    def verdicts(self, batch: Sequence[Message], reply: Reply) -> dict[str, tuple[LeadStatus, str]]:
        """What an answer says of each lead; raises LookupError, TypeError or ValueError where it says nothing."""


class System(Receiver, Protocol):
    """A CRM's way of writing a batch and of answering."""

    @property
    def params(self) -> Crm:
        """Its section of `delivery`."""


@dataclass(frozen=True)
class HubSpotObjects:
    """Batch upsert by a unique property, answered with 200, or with 207 where some leads were refused."""

    params: HubSpot
    accepted: tuple[int, ...] = ACCEPTED

    def request(self, batch: Sequence[Message]) -> HttpRequest:
        path = f"/crm/v3/objects/{quote(self.params.object, safe='')}/batch/upsert"
        return HttpRequest(
            "POST", base_url(self.params.base_url) + path, {"inputs": [self._input(one) for one in batch]}
        )

    def _input(self, message: Message) -> dict[str, Any]:
        """HubSpot gives `objectWriteTraceId` back, with what it says of the lead."""
        properties = {name: _hubspot_text(value) for name, value in message.fields.items()}
        return {
            "id": message.lead_id,
            "idProperty": self.params.id_field,
            "objectWriteTraceId": message.key,
            "properties": {self.params.id_field: message.lead_id} | properties,
        }

    def verdicts(self, batch: Sequence[Message], reply: Reply) -> dict[str, tuple[LeadStatus, str]]:
        tree = reply.json()
        results, errors = tree["results"], tree.get("errors") or []
        faults: dict[str, tuple[LeadStatus, str]] = {}
        for error in errors:
            context = error.get("context") or {}
            verdict = _verdict(str(error.get("category", "")), str(error.get("message", "")))
            named = [*context.get("objectWriteTraceId", []), *context.get("ids", []), error.get("id")]
            faults |= {name: verdict for name in named if name}
        known = {name: one.lead_id for one in batch for name in (one.lead_id, one.key)}
        leads = [self._lead(result, known) for result in results]
        twice = repeated(result.get("id") for result in results)
        taken = {lead for lead, result in zip(leads, results, strict=True) if result.get("id") not in twice}
        # The names of leads are optional in an answer, the number of its results is not.
        complete = not errors and len(results) == len(batch) and not twice and not repeated(leads)
        unsaid = (LeadStatus.retry, "the answer says nothing of this lead")
        return {
            one.lead_id: faults.get(one.key)
            or faults.get(one.lead_id)
            or ((LeadStatus.accepted, "") if complete or one.lead_id in taken else unsaid)
            for one in batch
        }

    def _lead(self, result: Any, known: Mapping[Any, str]) -> str | None:
        """The lead that a result names, by its key or its id."""
        own = (result.get("properties") or {}).get(self.params.id_field)
        return known.get(result.get("objectWriteTraceId")) or known.get(own)


def repeated(names: Iterable[Any]) -> set[Any]:
    """The names that an answer gives more than once: it leaves another one out, or takes two leads for one record."""
    return {name for name, n in Counter(names).items() if n > 1 and name is not None}


def _hubspot_text(value: Cell) -> str:
    """HubSpot takes every property as text; an empty one clears it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


@dataclass(frozen=True)
class SalesforceRecords:
    """sObject collections, upsert by an external id; the answer has one result for each record, in the same order."""

    params: Salesforce
    accepted: tuple[int, ...] = ACCEPTED

    def request(self, batch: Sequence[Message]) -> HttpRequest:
        path = f"{quote(self.params.object, safe='')}/{quote(self.params.id_field, safe='')}"
        path = f"/services/data/{self.params.version}/composite/sobjects/{path}"
        record_type: dict[str, Any] = {"attributes": {"type": self.params.object}}
        records = [record_type | {self.params.id_field: one.lead_id} | one.fields for one in batch]
        return HttpRequest("PATCH", base_url(self.params.base_url) + path, {"allOrNone": False, "records": records})

    def verdicts(self, batch: Sequence[Message], reply: Reply) -> dict[str, tuple[LeadStatus, str]]:
        results = reply.json()
        twice = repeated(result.get("id") for result in results)
        pairs = zip(batch, results, strict=True)
        return {one.lead_id: self._one(result, twice) for one, result in pairs}

    def _one(self, result: Any, twice: set[Any]) -> tuple[LeadStatus, str]:
        if result["success"] is True:
            same = (LeadStatus.retry, "the answer names its record for another lead too")
            return same if result.get("id") in twice else (LeadStatus.accepted, "")
        error = (result.get("errors") or [{}])[0]
        return _verdict(str(error.get("statusCode", "")), str(error.get("message", "")))


@dataclass(frozen=True)
class DynamicsScores:
    """UpsertMultiple of msdyn_predictivescores, by the lead's id and its kind: all of a batch, 204, or none of it."""

    params: Dynamics
    accepted: tuple[int, ...] = (204,)

    def request(self, batch: Sequence[Message]) -> HttpRequest:
        path = f"/api/data/{self.params.version}/msdyn_predictivescores/Microsoft.Dynamics.CRM.UpsertMultiple"
        return HttpRequest(
            "POST", base_url(self.params.base_url) + path, {"Targets": [self._row(one) for one in batch]}
        )

    def _row(self, message: Message) -> dict[str, Any]:
        lead = quote(message.lead_id.replace("'", "''"), safe="")
        key = f"{self.params.id_field}='{lead}',msdyn_entitytype='{self.params.object}'"
        graded = {
            name: self.params.grades.get(str(value)) if name == "msdyn_grade" and isinstance(value, str) else value
            for name, value in message.fields.items()
        }
        return {
            "@odata.type": "Microsoft.Dynamics.CRM.msdyn_predictivescore",
            "@odata.id": f"msdyn_predictivescores({key})",
            "msdyn_scoretrend": NO_TREND,
        } | graded

    def verdicts(self, batch: Sequence[Message], reply: Reply) -> dict[str, tuple[LeadStatus, str]]:
        return {one.lead_id: (LeadStatus.accepted, "") for one in batch}


def _verdict(code: str, message: str) -> tuple[LeadStatus, str]:
    return (LeadStatus.retry if code in PASSING else LeadStatus.rejected), f"{code}: {message}"


def crm_named(params: Delivery, name: str) -> System:
    """Return the CRM of that name; raises ParamsError where there is none."""
    if name == "hubspot":
        return HubSpotObjects(params.hubspot)
    if name == "salesforce":
        return SalesforceRecords(params.salesforce)
    if name == "dynamics":
        return DynamicsScores(params.dynamics)
    raise ParamsError(f"deliver {name}: a database has no outbox; only CRMs do")


def base_url(url: str) -> str:
    """Return the URL without a slash at its end; raises ParamsError unless it is HTTPS or on this machine."""
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))
    if not parts.hostname or not safe or parts.username is not None or parts.query or parts.fragment:
        raise ParamsError("delivery: base_url of a CRM is to be https://host, without user, password and parameters")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == LOOPBACK_NAME or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# Sending


class Auth(requests.auth.AuthBase):
    """Says who we are, or, by itself, nothing; with one of our own requests asks no ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request

    def hide(self, text: str) -> str:
        """The text without the secret."""
        return text


class Bearer(Auth):
    """The token goes into the request and nowhere else."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def hide(self, text: str) -> str:
        """The text without the token."""
        return text.replace(self._token, "***")


def bearer(variable: str, section: str) -> Bearer:
    """Read a CRM's token; raises ParamsError where it is not set or cannot be one, without repeating it."""
    return bearer_of(from_environment(variable, f"{section}.token"), f"{section}.token: {variable}")


def bearer_of(token: str, name: str) -> Bearer:
    """A token that can stand in a header; raises ParamsError where it cannot, without repeating it."""
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ParamsError(f"{name} holds characters that no token has")
    return Bearer(token)


def send(system: Receiver, batch: Sequence[Message], session: requests.Session, auth: Auth, timeout_s: float) -> Answer:
    """Send one batch and say what came of it.

    Raises
    ------
    DeliveryError
        Where the CRM refuses the token, or has no such address: no lead is at fault then.
    """
    request = system.request(batch)
    try:
        reply = exchange(request, session, auth, timeout_s)
    except (TimeoutError, requests.Timeout):
        return Answer(RequestStatus.silent, "no answer in time")
    except TooLongError:
        return Answer(RequestStatus.failed, f"an answer of more than {MOST_BYTES:,} bytes")
    except requests.exceptions.SSLError:
        return Answer(RequestStatus.silent, "no TLS connection that can be trusted: its certificate, or no TLS at all")
    except requests.RequestException as error:  # its text repeats addresses, and is of no use to the reader
        return Answer(RequestStatus.silent, f"no answer ({type(error).__name__})")
    if reply.status not in (*system.accepted, *EXPECTED) and reply.status < 500:
        raise DeliveryError(
            f"{urlsplit(request.url).hostname} answers HTTP {reply.status}; check address, token or secret, "
            "rights and limits; what was not taken waits for the next run"
        )
    return _read(system, batch, reply, auth)


def _read(system: Receiver, batch: Sequence[Message], reply: Reply, auth: Auth) -> Answer:
    status, wait_s = reply.status, retry_after(reply.headers)
    if status == 429:
        return Answer(RequestStatus.busy, "HTTP 429", wait_s)
    if status == 408:
        return Answer(RequestStatus.silent, "HTTP 408", wait_s)
    if status >= 500:
        return Answer(RequestStatus.failed, f"HTTP {status}", wait_s)
    if status not in system.accepted:
        return Answer(RequestStatus.rejected, auth.hide(f"HTTP {status}: {error_text(reply)}")[:LONGEST_REASON])
    try:
        leads = system.verdicts(batch, reply)
    except (LookupError, TypeError, ValueError, AttributeError):
        return Answer(RequestStatus.failed, f"HTTP {status} with an answer that cannot be read", wait_s)
    hidden = {lead: (verdict, auth.hide(reason)[:LONGEST_REASON]) for lead, (verdict, reason) in leads.items()}
    return Answer(RequestStatus.ok, "", wait_s, hidden)


def error_text(reply: Reply) -> str:
    """What a refusal says: HubSpot answers with one object, Salesforce with a list, Dynamics with one in `error`."""
    try:
        tree = reply.json()
        first = tree[0] if isinstance(tree, list) else tree.get("error", tree)
        return f"{first.get('errorCode') or first.get('category') or first.get('code')}: {first.get('message')}"
    except (LookupError, TypeError, ValueError, AttributeError):
        return "no reason given"


def retry_after(headers: Any) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3), a date being seen from the answer's own Date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until, now = parsedate_to_datetime(text), parsedate_to_datetime(headers.get("Date", ""))
        return max((until - now).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0
