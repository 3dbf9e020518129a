"""The rules on events once more, plain and slow: one snapshot and one rule at a time, from the definitions alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from features.rules.declarations import Decay, EventRule, PatternRule, RulesParams

Events = list[dict[Hashable, Any]]
DAY = pd.Timedelta(days=1)


def reference_points(snapshots: pd.DataFrame, events: pd.DataFrame, rules: RulesParams) -> np.ndarray:
    """Return the points of each snapshot, start included and attributes left out."""
    by_lead = {lead: rows.to_dict("records") for lead, rows in events.groupby("lead_id")}
    totals = []
    for lead, at in zip(snapshots["lead_id"], snapshots["snapshot_at"], strict=True):
        known = [event for event in by_lead.get(lead, []) if event["event_at"] < at and event["known_at"] <= at]
        earned = sum(of_events(rule, known, at) for rule in rules.events)
        totals.append(rules.start + earned + sum(of_pattern(rule, known, at) for rule in rules.patterns))
    return np.array(totals, dtype="float64")


def of_events(rule: EventRule, known: Events, at: pd.Timestamp) -> float:
    times = sorted((event["event_at"] for event in known if event["event_type"] in rule.types), reverse=True)
    if rule.cap is not None:
        periods: dict[int, list[pd.Timestamp]] = defaultdict(list)
        for time in times:
            periods[(time.normalize() - pd.Timestamp("1900-01-01")).days // rule.cap.days].append(time)
        times = [time for inside in periods.values() for time in inside[: rule.cap.times]]
    return sum(rule.points * left(rule.decay, at - time) for time in times)


def left(decay: Decay | None, age: pd.Timedelta) -> float:
    if decay is None:
        return 1.0
    spans = age / (decay.days * DAY)
    match decay.kind:
        case "half_life":
            return float(0.5**spans)
        case "linear":
            return max(0.0, 1.0 - spans)
        case "expiry":
            return float(spans <= 1)


def of_pattern(rule: PatternRule, known: Events, at: pd.Timestamp) -> float:
    answers = [event["event_at"] for event in known if event["event_type"] in rule.answers]
    run = [
        event
        for event in known
        if event["event_type"] in rule.types
        and (not answers or event["event_at"] > max(answers))
        and (rule.days is None or at - event["event_at"] <= rule.days * DAY)
    ]
    return rule.points if len(run) >= rule.times else 0
