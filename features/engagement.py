"""What the lead did and did not do: the event features of each snapshot.

Two stages. `event_groups` is ONE Ibis expression, on any backend: the visible events grouped by snapshot, type,
direction and channel. `pivot_groups` spreads the groups into columns with numpy, which is several times faster than as
many filtered aggregates in SQL and the same on every backend. All sums are of integers (values in millionths, decay
weights in 2**-20), so that the order in which a backend adds, and so the number of threads, never changes a bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from features.spec import FeatureParams
from features.vocabulary import ANY, GROUPS, OTHER, Vocabulary

MICROSECONDS_A_DAY = 86_400_000_000
VALUE_UNIT = 1_000_000  # values are added in millionths
DECAY_UNIT = 1 << 20
GROUP_KEYS = ["row", "event_type", "direction", "channel"]

Measure = Literal[
    "count",
    "decayed",
    "recency",
    "active_days",
    "mean_gap",
    "trend",
    "unanswered",
    "value_sum",
    "value_last",
    "value_max",
]


@dataclass(frozen=True)
class EventFeature:
    """One event feature: what is measured, over which events, in which window.

    Attributes
    ----------
    scope
        An event type, "other", or a group such as "any_inbound".
    days
        The window, the half-life of a decayed count, the recent part of a trend, or None for all time. A window of
        active days begins with a whole day, the one so many days before the snapshot's.
    """

    measure: Measure
    scope: str
    days: int | None = None

    @property
    def name(self) -> str:
        window = (
            "" if self.measure in ("recency", "mean_gap", "unanswered", "value_last", "value_max") else self._window
        )
        return f"{self.measure}__{self.scope}" + (f"__{window}" if window else "")

    @property
    def _window(self) -> str:
        return "ever" if self.days is None else f"{self.days}d"

    @property
    def fills_zero(self) -> bool:
        """Whether a lead without such events has 0 rather than a missing value."""
        return self.measure not in ("recency", "mean_gap", "value_last", "value_max")

    @property
    def unit(self) -> str:
        days = ("recency", "active_days", "mean_gap")
        return "days" if self.measure in days else "value" if self.measure.startswith("value") else "events"

    @property
    def direction(self) -> Literal["up", "down", "none"]:
        """What the data may be held to: more unanswered outreach is never a better sign."""
        return "down" if self.measure == "unanswered" else "none"

    def describe(self, what: str) -> str:
        """Say in plain English what the feature is, `what` being its events in words."""
        window = "ever" if self.days is None else f"in the last {self.days} day{'s' if self.days > 1 else ''}"
        return {
            "count": f"{what}, times {window}",
            "decayed": f"{what}, recent counting more (half after {self.days} days)",
            "recency": f"days since the last: {what}",
            "active_days": f"days with {what} {window}",
            "mean_gap": f"mean days between: {what}",
            "trend": f"{what}, weekly pace in the last {self.days} days less the pace before",
            "unanswered": f"{what}, in a row without an answer",
            "value_sum": f"{what}, total value {window}",
            "value_last": f"{what}, value of the last",
            "value_max": f"{what}, highest value",
        }[self.measure]


def event_features(params: FeatureParams, vocabulary: Vocabulary) -> list[EventFeature]:
    """List the event features that this vocabulary gives; none where training knew no events."""
    types = vocabulary.event_types + ([OTHER] if vocabulary.has_other else [])
    if not types:
        return []
    scopes = [*types, ANY, *vocabulary.event_groups]
    windows: list[int | None] = [*params.windows_days, None]
    acting = [scope for scope in (ANY, "any_inbound") if scope in scopes]
    features = [EventFeature("count", scope, days) for scope in scopes for days in windows]
    features += [EventFeature("decayed", scope, days) for scope in scopes for days in params.half_lives_days]
    features += [EventFeature("recency", scope) for scope in scopes]
    features += [EventFeature("active_days", scope, days) for scope in acting for days in windows]
    features += [EventFeature("mean_gap", scope) for scope in acting]
    features += [EventFeature("trend", scope, params.trend_days[0]) for scope in acting]
    if "any_outbound" in scopes:
        features.append(EventFeature("unanswered", "any_outbound"))
    for scope in vocabulary.valued_types:
        features += [EventFeature("value_sum", scope, days) for days in windows]
        features += [EventFeature("value_last", scope), EventFeature("value_max", scope)]
    return features


def event_groups(snapshots: ir.Table, events: ir.Table, params: FeatureParams, vocabulary: Vocabulary) -> ir.Table:
    """Group the events that were known at each snapshot.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at and `row`, the snapshot's number from 0.
    events
        lead_id, event_at, known_at, event_type, direction, channel, value. An event counts when event_at < snapshot_at
        and known_at <= snapshot_at.

    Returns
    -------
    Table
        One row for each snapshot, event type (rare ones as "other"), direction and channel that has events, in no
        order. Ages are in microseconds before the snapshot.
    """
    seen = _visible(snapshots, _prepare(events, vocabulary))
    amount = (seen.value * float(VALUE_UNIT)).round().cast("int64")
    columns: dict[str, ir.Value] = {
        "n_ever": seen.count(),
        "value_ever": amount.sum(),
        "active_ever": seen.opens_day.sum(),
        "active_of_direction_ever": seen.opens_day_of_direction.sum(),
        "first_age": seen.age.max(),
        "last_age": seen.age.min(),
        "value_max": seen.value.max(),
    }
    for days in sorted({*params.windows_days, *params.trend_days}):
        inside = seen.age <= days * MICROSECONDS_A_DAY
        day_inside = seen.day_age <= days * MICROSECONDS_A_DAY
        columns[f"n_{days}"] = inside.sum()
        columns[f"value_{days}"] = amount.sum(where=inside)
        columns[f"active_{days}"] = (day_inside & seen.opens_day).sum()
        columns[f"active_of_direction_{days}"] = (day_inside & seen.opens_day_of_direction).sum()
    for days in params.half_lives_days:
        half_lives = seen.age.cast("float64") / float(days * MICROSECONDS_A_DAY)
        weight = (ibis.literal(2.0) ** -half_lives) * float(DECAY_UNIT)
        columns[f"decayed_{days}"] = weight.round().cast("int64").sum()
    # As doubles: sums of integers stay exact below 2**53, and DuckDB's 128-bit sums would reach pandas as objects.
    groups = seen.group_by(GROUP_KEYS).aggregate({name: column.cast("float64") for name, column in columns.items()})
    groups = groups.left_join(_last_value(seen), GROUP_KEYS).drop([f"{key}_right" for key in GROUP_KEYS])
    return groups.left_join(_unanswered(seen), "row").drop("row_right")


def pivot_groups(groups: pd.DataFrame, n: int, params: FeatureParams, vocabulary: Vocabulary) -> pd.DataFrame:
    """Spread the groups into the event features.

    Parameters
    ----------
    groups
        The result of `event_groups`.
    n
        How many snapshots there are.

    Returns
    -------
    DataFrame
        `event_features(params, vocabulary)` as float64, one row a snapshot, by `row`.
    """
    by_scope: dict[str, pd.DataFrame] = {}
    columns: dict[str, np.ndarray] = {}
    for feature in event_features(params, vocabulary):
        if feature.scope not in by_scope:
            by_scope[feature.scope] = _in_scope(groups, feature.scope)
        columns[feature.name] = _column(by_scope[feature.scope], feature, params, n)
    return pd.DataFrame(columns)


def known_events(events: ir.Table, at: ir.Value) -> ir.Table:
    """Keep the events that count at a moment: event_at < at and known_at <= at."""
    return events.filter((events.event_at < at) & (events.known_at <= at))


def count_events(events: ir.Table, before: ir.Value) -> ir.Table:
    """Count the events known before a moment by event_type, direction and channel: n, and n_valued with a value."""
    known = known_events(events, before)
    return known.group_by("event_type", "direction", "channel").aggregate(n=_.count(), n_valued=_.value.count())


def _prepare(events: ir.Table, vocabulary: Vocabulary) -> ir.Table:
    """Add to each event when it becomes visible, and whether it is the first visible one of its lead's day.

    "First" goes by when an event becomes visible, not by when it happened: an event learned of later can then never
    take the mark away from one that was known before, and distinct days are counted without a DISTINCT.
    """
    kept = events.event_type.isin(vocabulary.event_types)
    visible_at = ibis.greatest(events.known_at, events.event_at + ibis.interval(microseconds=1))
    day = events.event_at.truncate("D")
    order = ["visible_at", "event_at", "event_type", "direction", "channel", "value"]
    typed = events.mutate(event_type=kept.ifelse(events.event_type, OTHER), visible_at=visible_at, day=day)
    return typed.mutate(
        value_order=ibis.row_number().over(group_by="lead_id", order_by=["event_at", "value", "visible_at"]),
        opens_day=ibis.row_number().over(group_by=["lead_id", "day"], order_by=order) == 0,
        opens_day_of_direction=ibis.row_number().over(group_by=["lead_id", "day", "direction"], order_by=order) == 0,
    )


def _visible(snapshots: ir.Table, prepared: ir.Table) -> ir.Table:
    """Pair each snapshot with the events known then, with their age in microseconds."""
    moments = snapshots.select("row", "snapshot_at", moment_lead="lead_id")
    pairs = moments.join(
        prepared, [moments.moment_lead == prepared.lead_id, prepared.visible_at <= moments.snapshot_at]
    )
    return pairs.mutate(
        age=pairs.snapshot_at.delta(pairs.event_at, unit="microsecond"),
        day_age=pairs.snapshot_at.truncate("D").delta(pairs.day, unit="microsecond"),
    )


def _last_value(seen: ir.Table) -> ir.Table:
    """Find the value of each group's last event that has one; joins beat ordered aggregates, and are portable."""
    valued = seen.filter(seen.value.notnull())
    last = valued.group_by(GROUP_KEYS).aggregate(value_order=_.value_order.max())
    found = last.join(valued.select(*GROUP_KEYS, "value_order", "value"), [*GROUP_KEYS, "value_order"])
    return found.select(*GROUP_KEYS, value_last="value", value_last_order=found.value_order.cast("float64"))


def _unanswered(seen: ir.Table) -> ir.Table:
    """Count the outreach since the lead last acted; all of it where the lead never did."""
    inbound = seen.filter(seen.direction == "inbound").group_by("row").aggregate(answer_age=_.age.min())
    outbound = seen.filter(seen.direction == "outbound").select("row", "age")
    pairs = outbound.left_join(inbound, "row")
    later = pairs.answer_age.isnull() | (pairs.age < pairs.answer_age)
    return pairs.group_by("row").aggregate(unanswered=later.sum().cast("float64"))


def _in_scope(groups: pd.DataFrame, scope: str) -> pd.DataFrame:
    if scope == ANY:
        return groups
    column, value = GROUPS.get(scope, ("event_type", scope))
    return groups[groups[column] == value]


def _column(groups: pd.DataFrame, feature: EventFeature, params: FeatureParams, n: int) -> np.ndarray:
    row = groups["row"].to_numpy()

    def total(name: str) -> np.ndarray:
        weights = groups[name].to_numpy("float64", na_value=0.0)
        return np.bincount(row, weights, minlength=n).astype("float64")

    def extreme(name: str, pick: np.ufunc) -> np.ndarray:  # over the groups of a snapshot; missing where it has none
        best = np.full(n, np.nan)
        pick.at(best, row, groups[name].to_numpy("float64"))
        return best

    window = "ever" if feature.days is None else str(feature.days)
    match feature.measure:
        case "count":
            return total(f"n_{window}")
        case "decayed":
            return total(f"decayed_{window}") / DECAY_UNIT
        case "active_days":
            return total(f"active_{window}" if feature.scope == ANY else f"active_of_direction_{window}")
        case "value_sum":
            return total(f"value_{window}") / VALUE_UNIT
        case "value_max":
            return extreme("value_max", np.fmax)
        case "value_last":
            order = np.argsort(groups["value_last_order"].to_numpy(), kind="stable")
            order = order[groups["value_last_order"].notna().to_numpy()[order]]
            column = np.full(n, np.nan)
            column[row[order]] = groups["value_last"].to_numpy()[order]  # of repeated rows the last one stays
            return column
        case "recency":
            return extreme("last_age", np.fmin) / MICROSECONDS_A_DAY
        case "unanswered":
            return np.nan_to_num(extreme("unanswered", np.fmax))
        case "mean_gap":
            gaps = total("n_ever") - 1
            span = extreme("first_age", np.fmax) - extreme("last_age", np.fmin)
            return np.divide(span / MICROSECONDS_A_DAY, gaps, out=np.full(n, np.nan), where=gaps > 0)
        case "trend":
            short, long = params.trend_days
            recent, longer = total(f"n_{short}"), total(f"n_{long}")
            return recent * (7 / short) - (longer - recent) * (7 / (long - short))  # events a week
