"""What the lead did and did not do: the event features of each snapshot.

Two stages. `event_groups` is ONE Ibis expression, on any backend: the visible events grouped by snapshot, type,
direction, channel and how far back they lie. `pivot_groups` spreads the groups into columns with numpy, which is
several times faster than as many filtered aggregates in SQL and the same on every backend. All sums are of integers
(values in millionths, decay weights in 2**-20), so that the order in which a backend adds, and so the number of
threads, never changes a bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import accumulate
from operator import add
from typing import Literal

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd
from ibis import _

from features.event_marks import MICROSECONDS_A_DAY, unmarked, with_marks
from features.spec import FeatureParams
from features.vocabulary import ANY, GROUPS, OTHER, Vocabulary

VALUE_UNIT = 1_000_000  # values are added in millionths
DECAY_UNIT = 1 << 20
MOST_HALF_LIVES = 21  # after which an event's weight is less than half a unit
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
        The contract's events with their marks; see `event_marks.with_marks`. An event counts when
        event_at < snapshot_at and known_at <= snapshot_at.
    vocabulary
        Says whether anything is asked of values and of answers.

    Returns
    -------
    Table
        One row for each snapshot, event type, direction, channel and reach that has events, in no order. The reach is
        how many `_edges` the events lie within. Ages are in microseconds before the snapshot.
    """
    seen = _visible(snapshots, with_marks(events))
    edges = _edges(params, seen.clock)
    inside = reduce(add, [(seen.age <= edge).cast("int8") for edge in edges])
    seen = seen.mutate(reach=ibis.cases((seen.age <= edges[-1], inside), else_=0))  # most events lie beyond all
    columns: dict[str, ir.Value] = {
        "n": seen.count(),
        "active": seen.count(where=seen.opens_day),
        "active_of_direction": seen.count(where=seen.opens_day_of_direction),
        "first_age": seen.age.max(),
        "last_age": seen.age.min(),
    }
    columns |= {f"decayed_{days}": _weight(seen.age, days).sum() for days in params.half_lives_days}
    if "any_outbound" in vocabulary.event_groups:
        columns["unanswered"] = seen.count(where=seen.answered_at.isnull() | (seen.answered_at > seen.snapshot_at))
    if vocabulary.valued_types:
        amount = (seen.value * float(VALUE_UNIT)).round().cast("int64")
        columns |= {
            "value": amount.sum().fill_null(0).cast("float64"),  # 128-bit sums would reach pandas as objects
            "value_max": seen.value.max(),
            "value_last": seen.value.max(where=seen.surpassed_at.isnull() | (seen.surpassed_at > seen.snapshot_at)),
        }
    return seen.group_by([*GROUP_KEYS, "reach"]).aggregate(columns)


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
        `event_features(params, vocabulary)` as float64, one row a snapshot, by `row`. A type that the vocabulary does
        not keep is "other".
    """
    measures = groups.columns.difference([*GROUP_KEYS, "reach"])
    arrays = {name: groups[name].to_numpy("float64") for name in measures}  # numpy is slow to mix types
    arrays |= {name: groups[name].to_numpy("int64") for name in ("row", "reach")}
    by_scope: dict[str, Scope] = {}
    columns: dict[str, np.ndarray] = {}
    for feature in event_features(params, vocabulary):
        if feature.scope not in by_scope:
            mine = _in_scope(groups, feature.scope, vocabulary)
            by_scope[feature.scope] = Scope(arrays, mine, n, _windows(params))
        columns[feature.name] = _column(by_scope[feature.scope], feature, params)
    return pd.DataFrame(columns, copy=False)


def known_events(events: ir.Table, at: ir.Value) -> ir.Table:
    """Keep the events that count at a moment: event_at < at and known_at <= at; without marks, which do not."""
    return unmarked(events).filter((events.event_at < at) & (events.known_at <= at))


def count_events(events: ir.Table, before: ir.Value) -> ir.Table:
    """Count the events known before a moment by event_type, direction and channel: n, and n_valued with a value."""
    known = known_events(events, before)
    return known.group_by("event_type", "direction", "channel").aggregate(n=_.count(), n_valued=_.value.count())


def _visible(snapshots: ir.Table, events: ir.Table) -> ir.Table:
    """Pair each snapshot with the events known then, with their age and the snapshot's time of day in microseconds."""
    moments = snapshots.select(
        "row",
        "snapshot_at",
        moment_lead="lead_id",
        clock=snapshots.snapshot_at.delta(snapshots.snapshot_at.truncate("D"), unit="microsecond"),
    )
    pairs = moments.join(
        events,
        [
            moments.moment_lead == events.lead_id,
            events.event_at < moments.snapshot_at,
            events.known_at <= moments.snapshot_at,
        ],
    )
    return pairs.mutate(age=pairs.snapshot_at.delta(pairs.event_at, unit="microsecond"))


def _windows(params: FeatureParams) -> list[int]:
    return sorted({*params.windows_days, *params.trend_days})


def _edges(params: FeatureParams, clock: ir.IntegerValue) -> list[ir.IntegerValue]:
    """List the ages up to which windows reach, ascending: for each window, so many days, and so many whole days."""
    days = [ibis.literal(days * MICROSECONDS_A_DAY) for days in _windows(params)]
    return [edge for one in days for edge in (one, one + clock)]


def _weight(age: ir.IntegerValue, half_life: int) -> ir.FloatingValue:
    """Return the decay weight in whole units; beyond so many half-lives nothing is left of it, and none is computed."""
    half_lives = age.cast("float64") / float(half_life * MICROSECONDS_A_DAY)
    weight = ((ibis.literal(2.0) ** -half_lives) * float(DECAY_UNIT)).round()
    return ibis.cases((age <= MOST_HALF_LIVES * half_life * MICROSECONDS_A_DAY, weight), else_=0.0)


def _in_scope(groups: pd.DataFrame, scope: str, vocabulary: Vocabulary) -> np.ndarray:
    """Return the places of the groups of a scope."""
    if scope == ANY:
        return np.arange(len(groups))
    if scope == OTHER:
        return np.flatnonzero(~groups["event_type"].isin(vocabulary.event_types))
    column, value = GROUPS.get(scope, ("event_type", scope))
    return np.flatnonzero(groups[column] == value)


@dataclass(frozen=True)
class Scope:
    """The groups of some events, by snapshot.

    Attributes
    ----------
    groups
        The columns of `event_groups`' result as arrays.
    mine
        The places of the groups that count.
    n
        How many snapshots there are.
    windows
        In days, ascending.
    """

    groups: dict[str, np.ndarray]
    mine: np.ndarray
    n: int
    windows: list[int]
    sums: dict[str, list[np.ndarray]] = field(default_factory=dict)

    @cached_property
    def row(self) -> np.ndarray:
        return self.groups["row"].take(self.mine)

    def total(self, name: str) -> np.ndarray:
        return np.bincount(self.row, self.groups[name].take(self.mine), self.n).astype("float64", copy=False)

    def within(self, name: str, days: int | None, whole_days: bool = False) -> np.ndarray:
        """Add up what lies in a window, shape (n,); one of whole days begins with a day."""
        if name not in self.sums:
            self.sums[name] = self._by_least_reach(name)
        reach = 0 if days is None else 2 * (len(self.windows) - self.windows.index(days)) - whole_days
        return self.sums[name][reach]

    def extreme(self, name: str, pick: np.ufunc) -> np.ndarray:
        """Return the highest or lowest of the groups of a snapshot; missing where it has none."""
        best = np.full(self.n, np.nan)
        pick.at(best, self.row, self.groups[name].take(self.mine))
        return best

    def _by_least_reach(self, name: str) -> list[np.ndarray]:
        """Add up the groups that reach at least so far, each of shape (n,)."""
        reaches = 2 * len(self.windows) + 1
        place = self.groups["reach"].take(self.mine) * self.n + self.row
        sums = np.bincount(place, self.groups[name].take(self.mine), reaches * self.n).reshape(reaches, self.n)
        return list(accumulate(sums[::-1], np.add))[::-1]


def _column(scope: Scope, feature: EventFeature, params: FeatureParams) -> np.ndarray:
    match feature.measure:
        case "count":
            return scope.within("n", feature.days)
        case "decayed":
            return scope.total(f"decayed_{feature.days}") / DECAY_UNIT
        case "active_days":
            name = "active" if feature.scope == ANY else "active_of_direction"
            return scope.within(name, feature.days, whole_days=feature.days is not None)
        case "value_sum":
            return scope.within("value", feature.days) / VALUE_UNIT
        case "value_max":
            return scope.extreme("value_max", np.fmax)
        case "value_last":
            return scope.extreme("value_last", np.fmax)  # only one group has it
        case "recency":
            return scope.extreme("last_age", np.fmin) / MICROSECONDS_A_DAY
        case "unanswered":
            return scope.total("unanswered")
        case "mean_gap":
            gaps = scope.within("n", None) - 1
            span = scope.extreme("first_age", np.fmax) - scope.extreme("last_age", np.fmin)
            return np.divide(span / MICROSECONDS_A_DAY, gaps, out=np.full(scope.n, np.nan), where=gaps > 0)
        case "trend":
            short, long = params.trend_days
            recent, longer = scope.within("n", short), scope.within("n", long)
            return recent * (7 / short) - (longer - recent) * (7 / (long - short))  # events a week
