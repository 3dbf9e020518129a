"""The event features once more, plain and slow: one snapshot at a time, from the definitions alone."""

from __future__ import annotations

import math
from collections.abc import Hashable
from itertools import pairwise
from typing import Any

import pandas as pd

from features.events.definitions import EventFeature, event_features
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import Vocabulary

Events = list[dict[Hashable, Any]]
DAY = pd.Timedelta(days=1)


def reference_matrix(
    snapshots: pd.DataFrame, events: pd.DataFrame, params: FeatureParams, vocabulary: Vocabulary
) -> pd.DataFrame:
    """Return `event_features(params, vocabulary)`, one row a snapshot in its order."""
    features = event_features(params, vocabulary)
    by_lead = {lead: rows.to_dict("records") for lead, rows in events.groupby("lead_id")}
    rows = []
    for lead, at in zip(snapshots["lead_id"], snapshots["snapshot_at"], strict=True):
        known = [event for event in by_lead.get(lead, []) if event["event_at"] < at and event["known_at"] <= at]
        rows.append([measure(one, known, at, params, vocabulary) for one in features])
    return pd.DataFrame(rows, columns=[one.name for one in features], dtype="float64")


def belongs(event: dict[Hashable, Any], scope: str, vocabulary: Vocabulary) -> bool:
    """Whether an event is of a type, of no type of its own ("other"), or of a group."""
    kept = event["event_type"] in vocabulary.event_types
    match scope:
        case "any_event":
            return True
        case "any_inbound" | "any_outbound":
            return event["direction"] == scope.removeprefix("any_")
        case "any_online" | "any_offline":
            return event["channel"] == scope.removeprefix("any_")
        case "other":
            return not kept
        case _:
            return event["event_type"] == scope


def measure(one: EventFeature, known: Events, at: pd.Timestamp, params: FeatureParams, vocabulary: Vocabulary) -> float:
    in_scope = sorted((event for event in known if belongs(event, one.scope, vocabulary)), key=lambda e: e["event_at"])
    recent = in_scope if one.days is None else [event for event in in_scope if event["event_at"] >= at - one.days * DAY]
    times = [event["event_at"] for event in in_scope]
    valued = [event for event in in_scope if not math.isnan(event["value"])]
    match one.measure:
        case "count":
            return len(recent)
        case "decayed":
            assert one.days
            return sum(0.5 ** ((at - time) / (one.days * DAY)) for time in times)
        case "recency":
            return (at - times[-1]) / DAY if times else math.nan
        case "active_days":
            first = pd.Timestamp.min if one.days is None else at.normalize() - one.days * DAY
            return len({time.date() for time in times if time.normalize() >= first})
        case "mean_gap":
            gaps = [(later - earlier) / DAY for earlier, later in pairwise(times)]
            return sum(gaps) / len(gaps) if gaps else math.nan
        case "trend":
            short, long = params.trend_days
            before = [time for time in times if at - long * DAY <= time < at - short * DAY]
            return len(recent) / (short / 7) - len(before) / ((long - short) / 7)
        case "unanswered":
            answers = [event["event_at"] for event in known if event["direction"] == "inbound"]
            return len([time for time in times if not answers or time > max(answers)])
        case "value_sum":
            return sum(event["value"] for event in recent if not math.isnan(event["value"]))
        case "value_last":
            return max((event["event_at"], event["value"]) for event in valued)[1] if valued else math.nan
        case "value_max":
            return max(event["value"] for event in valued) if valued else math.nan
