"""What the lead did and did not do: the event features that a vocabulary gives, and which events are known when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from features.events.event_log import contract_columns
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import ANY, OTHER, Vocabulary

if TYPE_CHECKING:
    import ibis.expr.types as ir


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
        active days begins at midnight, `days` days before the snapshot's day.
    """

    measure: Measure
    scope: str
    days: int | None = None

    @cached_property
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
        """The declared direction: more unanswered outreach is never a better sign."""
        return "down" if self.measure == "unanswered" else "none"

    def describe(self, what: str) -> str:
        """Describe the feature in plain English; `what` is its events in words."""
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


def known_events(events: ir.Table, at: ir.Value) -> ir.Table:
    """Keep the events that count at a moment; without derived columns, which do not hold for a part of the log."""
    return contract_columns(events).filter(counts_at(events, at))


def pair_known(snapshots: ir.Table, events: ir.Table) -> ir.Table:
    """Pair each snapshot (lead_id, snapshot_at, row) with those events of its lead that count then."""
    moments = snapshots.select("row", "snapshot_at", moment_lead="lead_id")
    return moments.join(events, [moments.moment_lead == events.lead_id, counts_at(events, moments.snapshot_at)])


def counts_at(events: ir.Table, at: ir.Value) -> ir.BooleanValue:
    """Whether an event counts at a moment: it happened before, and was known by then."""
    return (events.event_at < at) & (events.known_at <= at)


def count_events(events: ir.Table, before: ir.Value) -> ir.Table:
    """Count the events known before a moment by event_type, direction and channel: n, and n_valued with a value."""
    from ibis import _

    known = known_events(events, before)
    return known.group_by("event_type", "direction", "channel").aggregate(n=_.count(), n_valued=_.value.count())
