"""What callers send and get: the contract's columns as JSON, checked at the door, with times that name their zone."""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from features.attributes.one_lead import Cell
from features.schema.cells import EARLIEST, ISO_DAY, LATEST, LOCAL_MOMENT
from features.schema.contract import MOST_VALUE

MOST_ROWS = 1_000  # of one batch, or of one lead's events
MOST_TEXT = 1_000  # characters of a cell
DAY, MOMENT = re.compile(ISO_DAY), re.compile(LOCAL_MOMENT + r"(Z| UTC|[+-]\d{2}(:?\d{2})?)")
FIRST, LAST = (dt.datetime.fromisoformat(end) for end in (EARLIEST, LATEST))


def _moment(given: object) -> str:
    """Return a time as the store and `ingest` read it: a day as it stands, a moment in UTC."""
    expected = "a day such as 2026-11-30, or a moment with its zone such as 2026-11-30T09:15:00Z"
    if not isinstance(given, str):
        raise ValueError(expected)
    by_day = DAY.fullmatch(given) is not None
    if not by_day and not MOMENT.fullmatch(given):
        raise ValueError(expected)
    try:
        moment = dt.datetime.fromisoformat(given.removesuffix("Z").removesuffix(" UTC"))
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise ValueError(expected) from None
    if not FIRST <= moment <= LAST:
        raise ValueError(f"a time from {EARLIEST} to {LATEST}")
    return given if by_day else in_text(moment)


def in_text(moment: dt.datetime) -> str:
    """Write a moment of UTC with its zone, so that whoever reads it needs no setting."""
    return f"{moment.isoformat(timespec='microseconds')}Z"


def in_time(text: str) -> pd.Timestamp:
    """Read what `in_text` wrote, or a day, as the contract holds it: in UTC, without a zone."""
    return pd.Timestamp(text.removesuffix("Z")).as_unit("us")


def is_day(text: str) -> bool:
    """Whether a time is a day without a time of day."""
    return len(text) == len("2026-11-30")


def _number(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError("a number")
    try:
        number = float(given)
    except OverflowError:  # a whole number of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("a number")
    return number + 0.0  # adding zero makes -0.0 the same bytes as 0.0


def _value(given: object) -> float:
    if abs(number := _number(given)) > float(MOST_VALUE):
        raise ValueError("a value of a trillion at most")
    return number


def _text(given: object) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= MOST_TEXT:
        raise ValueError(f"a text of 1 to {MOST_TEXT} characters")
    return given


def _cell(given: object) -> Cell:
    if given is None or given == "":
        return None
    if isinstance(given, str):
        return _text(given)
    try:
        return _number(given)
    except ValueError:
        raise ValueError("a text, a number or null") from None


GivenCell = Annotated[str | float | None, BeforeValidator(_cell, json_schema_input_type=str | float | None)]
Time = Annotated[str, BeforeValidator(_moment, json_schema_input_type=str)]
Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str)]
Value = Annotated[float, BeforeValidator(_value, json_schema_input_type=float)]


class Body(BaseModel):
    """Strict: an unknown key is an error, because a misspelt one would be left out in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EventFacts(Body):
    """One event, as `events` of the contract."""

    event_at: Time = Field(description="When it happened: a day, or a moment with its zone.")
    event_type: Text
    direction: Literal["inbound", "outbound"] | None = Field(default=None, description="Left out: the params' default.")
    channel: Literal["online", "offline"] | None = Field(default=None, description="Left out: the params' default.")
    value: Value | None = None


class KnownEvent(EventFacts):
    """An event of a body that is scored at once."""

    known_at: Time | None = Field(default=None, description="When it became known; left out: when it happened.")


class PostedEvent(EventFacts):
    """An event to keep; it is known from its arrival on."""

    id: Text = Field(description="Names the event for good: sent again, it counts once.")
    lead_id: Text


class Edit(Body):
    """Attributes that hold from a time on, as `attribute_history` of the contract."""

    valid_from: Time
    attributes: dict[Text, GivenCell]


class LeadFacts(Body):
    """One lead, as `leads` of the contract."""

    lead_id: Text
    created_at: Time
    attributes: dict[Text, GivenCell] = Field(
        default={}, description="By the names in `source.attributes`; null: not known."
    )


class LeadBatch(Body):
    """Leads to keep; a lead sent again with other attributes is edited from then on."""

    leads: list[LeadFacts] = Field(min_length=1, max_length=MOST_ROWS)


class EventBatch(Body):
    """Events to keep, all or none."""

    events: list[PostedEvent] = Field(min_length=1, max_length=MOST_ROWS)


class ScoreRequest(Body):
    """A lead with all that is known of it, to be scored without being kept."""

    lead: LeadFacts
    events: list[KnownEvent] = Field(default=[], max_length=MOST_ROWS)
    attribute_history: list[Edit] = Field(default=[], max_length=MOST_ROWS)
    as_of: Time | None = Field(default=None, description="The moment to score at; left out: now.")


class Kept(BaseModel):
    """How many rows of a batch were new, and how many were there already."""

    new: int
    repeated: int


class ReasonShown(BaseModel):
    """One reason."""

    theme: str
    group: str
    points: float
    feature: str
    value: float | None
    text: str


class MomentScore(BaseModel):
    """The score of one lead at one moment.

    Attributes
    ----------
    tier_by
        What decides tiers: cut-offs of a list, fixed scores, or the value of a call.
    earned_tier
        The tier before an override by a person; else `tier`.
    cautions
        What to know before believing the figures.
    """

    lead_id: str
    as_of: str
    probability: float
    score: int
    points: float
    fit: float
    engagement: float
    grade: str
    tier: str
    stage: str
    tier_reason: str
    tier_by: str
    earned_tier: str
    reasons: list[ReasonShown]
    reasons_text: str
    cautions: list[str]
    model_id: str


class Fault(BaseModel):
    """Why a request was refused, in one line."""

    error: str


def one_line(faults: list[dict[str, Any]]) -> str:
    """Say what is wrong first: where, what was found, what was expected."""
    fault = faults[0]
    path = [part for part in fault["loc"] if part != "body"]
    parts = (f"[{part}]" if isinstance(part, int) else f".{_shown(part)[1:-1]}" for part in path)
    where = "".join(parts).lstrip(".") or "body"
    expected = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    if fault["type"] == "missing":
        return f"{where}: found nothing, expected a value{more}"
    if fault["type"] == "extra_forbidden":
        return f"{where}: found a key that is not known, expected only those of the documentation{more}"
    return f"{where}: found {_shown(fault.get('input'))}, expected {expected}{more}"


def _shown(given: object) -> str:
    if isinstance(given, dict | list):
        return "an object" if isinstance(given, dict) else f"a list of {len(given):,}"
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."
