"""One lead's score in full: its points from the base to the score, what would move it, and leads like it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy

from features.matrix.catalogue import scope_label
from features.matrix.counterfactual import NextEvent
from features.schema.declarations import AttributeSpec
from features.schema.vocabulary import Vocabulary
from models.points.scale import add_columns, score
from models.scoring.reasons import LEAST_POINTS, Themes, amount, columns_by_theme, top_reasons
from models.scoring.scorer import Scorer

Row = dict[str, Any]


@dataclass(frozen=True)
class WaterfallStep:
    """One bar of the waterfall: what a theme adds, and the sum of points before and after it."""

    text: str
    group: str
    start: float
    end: float

    @property
    def points(self) -> float:
        return self.end - self.start

    @property
    def shown(self) -> float:
        """The points to one decimal: the difference of rounded sums, so that what is shown adds up too."""
        return round(round(self.end, 1) - round(self.start, 1), 1)


@dataclass(frozen=True)
class LeadScore:
    """What the model predicts for one lead at one moment.

    Attributes
    ----------
    points
        Before they are rounded, and kept between 0 and 100, to be the score.
    """

    probability: float
    points: float
    score: int
    fit: float
    engagement: float
    steps: list[WaterfallStep]


@dataclass(frozen=True)
class EventEffect:
    """What the model would predict after one more event: never a claim about what the event would cause.

    Attributes
    ----------
    points
        The change of points, before they are kept between 0 and 100.
    error
        By how many points the boosters differ about the change: the standard deviation of what each alone would say.
    """

    label: str
    by: str
    points: float
    error: float
    score: int
    probability: float

    @property
    def clear(self) -> bool:
        """Whether the change is larger than its own error, and a tenth of a point at least."""
        return abs(self.points) > self.error and round(abs(self.points), 1) > 0


@dataclass(frozen=True)
class SimilarLeads:
    """Later snapshots of other leads near this one, one a lead, and how many of them converted.

    Attributes
    ----------
    predicted
        The mean probability that the model gave them.
    low, high
        Interval of `rate`.
    snapshots
        lead_id and snapshot_at of these leads, nearest first.
    """

    how: str
    n: int
    converted: int
    rate: float
    low: float
    high: float
    predicted: float
    lowest: float
    highest: float
    snapshots: pd.DataFrame

    @property
    def first(self) -> pd.Timestamp:
        return self.snapshots["snapshot_at"].min()

    @property
    def last(self) -> pd.Timestamp:
        return self.snapshots["snapshot_at"].max()


@dataclass(frozen=True)
class NextStep:
    """The share of some leads that did something in the days after."""

    label: str
    share: float


def standing(scorer: Scorer, row: pd.DataFrame) -> LeadScore:
    """Score the one row, and the points of each theme from the base to the sum."""
    scored = scorer.score(row, 0).iloc[0]
    return LeadScore(
        probability=float(scored["probability"]),
        points=float(scored["points"]),
        score=int(scored["score"]),
        fit=float(scored["fit"]),
        engagement=float(scored["engagement"]),
        steps=waterfall(scorer, row),
    )


def waterfall(scorer: Scorer, row: pd.DataFrame) -> list[WaterfallStep]:
    """Walk from nothing over the base points to the lead's points, strongest theme first.

    Returns
    -------
    list of WaterfallStep
        Each starts where the one before it ends; themes that round to no point are one last step together.
    """
    base, points = scorer.contributions(row)
    entries = scorer.catalogue
    reasons = top_reasons(points, scorer.values(row), Themes.of(entries), len(entries))[0]
    steps = [WaterfallStep("base points, the same for every lead", "base", 0.0, base)]
    for reason in reasons:
        text = reason.text.split(" ", 1)[1]
        steps.append(WaterfallStep(text, reason.group, steps[-1].end, steps[-1].end + reason.points))
    small = len(columns_by_theme(entries)) - len(reasons)
    total = base + float(add_columns(points, range(len(entries)))[0])
    if small:
        word = "themes" if small > 1 else "theme"
        rest = f"{small} {word} of less than {LEAST_POINTS:g} points each, together"
        steps.append(WaterfallStep(rest, "rest", steps[-1].end, total))
    return steps


def bars(steps: list[WaterfallStep]) -> list[Row]:
    """Lay each step out on one axis: left and width of its bar, in percent of the axis."""
    ends = [0.0, *(step.end for step in steps)]
    low, high = min(ends), max(ends)
    reach = (high - low) or 1.0
    return [
        {
            "step": step,
            "left": round(100 * (min(step.start, step.end) - low) / reach, 2),
            "width": round(100 * abs(step.points) / reach, 2),
            "side": "base" if step.group == "base" else "up" if step.points >= 0 else "down",
        }
        for step in steps
    ]


def event_effects(
    scorer: Scorer, row: pd.DataFrame, matrix: pd.DataFrame, more: Sequence[NextEvent], labels: Mapping[str, str]
) -> list[EventEffect]:
    """Compute what the model would predict after each event, most points gained first.

    Parameters
    ----------
    row, matrix
        The features of the lead, and with each event added; one row an event, in the order of `more`.
    """
    log_odds = scorer.log_odds(matrix)
    points, before = scorer.metadata.points.points(log_odds), _points(scorer, row)
    alone = [_points(one, matrix) - _points(one, row) for one in _one_booster_each(scorer)]
    errors = np.std(alone, axis=0, ddof=1) if len(alone) > 1 else np.zeros(len(matrix))
    effects = [
        EventEffect(
            label=scope_label(event.event_type, labels),
            by="the lead" if event.direction == "inbound" else "sales",
            points=float(points[number] - before[0]),
            error=float(errors[number]),
            score=int(score(points[number : number + 1])[0]),
            probability=float(scipy.special.expit(log_odds[number])),
        )
        for number, event in enumerate(more)
    ]
    return sorted(effects, key=lambda effect: (-effect.points, effect.label))


def _points(scorer: Scorer, matrix: pd.DataFrame) -> np.ndarray:
    return scorer.metadata.points.points(scorer.log_odds(matrix))


def _one_booster_each(scorer: Scorer) -> list[Scorer]:
    models = scorer.models
    alone = [replace(models, boosters=replace(models.boosters, models=[one])) for one in models.boosters.models]
    return [replace(scorer, models=one) for one in alone]


def next_steps(
    snapshots: pd.DataFrame, events: pd.DataFrame, horizon_days: int, labels: Mapping[str, str]
) -> list[NextStep]:
    """Count who did what in the days after a snapshot, what most did first.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at and converted_at (NaT where not); what comes after a conversion is no step to it.
    events
        The contract's events of these leads.
    """
    days = pd.Timedelta(days=horizon_days)
    own = snapshots.merge(events[events["direction"] == "inbound"], on="lead_id")
    after = own[(own["event_at"] >= own["snapshot_at"]) & (own["event_at"] < own["snapshot_at"] + days)]
    after = after[~(after["event_at"] >= after["converted_at"])].drop_duplicates(["lead_id", "event_type"])
    did = after["event_type"].value_counts().sort_values(ascending=False, kind="stable")
    return [NextStep(scope_label(str(name), labels), n / len(snapshots)) for name, n in did.items()]


def similar_in_score(rows: pd.DataFrame, probability: float, k: int, confidence: float) -> SimilarLeads | None:
    """Find the leads whose score was nearest, by the log-odds.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label and probability of later snapshots of other leads.
    """
    distance = np.abs(scipy.special.logit(rows["probability"].to_numpy("float64")) - scipy.special.logit(probability))
    return _nearest(rows, distance, "by score", k, confidence)


def similar_in_reasons(
    rows: pd.DataFrame, themes: np.ndarray, lead: np.ndarray, k: int, confidence: float
) -> SimilarLeads | None:
    """Find the leads that have their score for nearly the same reasons, by the points of each theme.

    Parameters
    ----------
    rows
        lead_id, snapshot_at, label and probability of later snapshots of other leads.
    themes, lead
        Points of each theme, of the rows, shape (n, k), and of the lead, shape (1, k).
    """
    distance = np.sqrt(((themes - lead) ** 2).sum(axis=1))
    return _nearest(rows, distance, "by reasons", k, confidence)


def theme_points(scorer: Scorer, matrix: pd.DataFrame) -> np.ndarray:
    """Sum the contributions of each row by theme, shape (n, themes)."""
    _, points = scorer.contributions(matrix)
    columns = columns_by_theme(scorer.catalogue).values()
    return np.column_stack([add_columns(points, of_theme) for of_theme in columns])


def _nearest(rows: pd.DataFrame, distance: np.ndarray, how: str, k: int, confidence: float) -> SimilarLeads | None:
    """Take the nearest snapshot of each lead, then the k nearest leads."""
    if rows.empty:
        return None
    order = rows.assign(distance=distance).sort_values(["distance", "lead_id", "snapshot_at"])
    near = order.drop_duplicates("lead_id").head(k)
    converted = int(near["label"].sum())
    low, high = _wilson(converted, len(near), confidence)
    return SimilarLeads(
        how=how,
        n=len(near),
        converted=converted,
        rate=converted / len(near),
        low=low,
        high=high,
        predicted=float(near["probability"].mean()),
        lowest=float(near["probability"].min()),
        highest=float(near["probability"].max()),
        snapshots=near[["lead_id", "snapshot_at"]].reset_index(drop=True),
    )


def _wilson(won: int, n: int, confidence: float) -> tuple[float, float]:
    """Return Wilson's interval (1927) as SciPy's `binomtest` does, whose import takes a second."""
    z = scipy.special.ndtri(0.5 + 0.5 * confidence)
    middle, reach = won + z**2 / 2, z * math.sqrt(won * (n - won) / n + z**2 / 4)
    low, high = ((middle + side * reach) / (n + z**2) for side in (-1, 1))
    return (0.0 if won == 0 else float(low)), (1.0 if won == n else float(high))


def attributes_known(frame: pd.DataFrame, attributes: Mapping[str, AttributeSpec], vocabulary: Vocabulary) -> list[Row]:
    """List each attribute that may be used: label, its value at the moment as text, and how it is read.

    Parameters
    ----------
    frame
        One row of `attributes_as_of`.
    """
    return [
        {"label": spec.label or spec.column, "group": spec.group, **_value(name, spec, frame[name].iloc[0], vocabulary)}
        for name, spec in attributes.items()
        if spec.known != "outcome"
    ]


def _value(name: str, spec: AttributeSpec, value: Any, vocabulary: Vocabulary) -> Row:
    if pd.isna(value):
        return {"value": "not known", "note": ""}
    if spec.kind == "number":
        return {"value": amount(value, spec.unit), "note": ""}
    rare = spec.kind == "category" and str(value) not in vocabulary.levels.get(name, [])
    return {"value": str(value), "note": "rare or new, counts as other" if rare else ""}


def timeline(events: pd.DataFrame, at: pd.Timestamp, vocabulary: Vocabulary, labels: Mapping[str, str]) -> list[Row]:
    """List the events that count at the moment, newest first, in words.

    Parameters
    ----------
    events
        The contract's events of this lead.

    Returns
    -------
    list of dict
        event_at, days (before the moment), label, by (the lead or sales), channel, value (or None), late (days between
        the event and our learning of it) and note.
    """
    known = events[(events["event_at"] < at) & (events["known_at"] <= at)]
    ordered = known.sort_values(["event_at", "event_type", "direction", "channel"], ascending=False, kind="stable")
    return [
        {
            "event_at": event["event_at"],
            "days": (at - event["event_at"]) / pd.Timedelta(days=1),
            "label": scope_label(event["event_type"], labels),
            "by": "the lead" if event["direction"] == "inbound" else "sales",
            "channel": event["channel"],
            "value": None if pd.isna(event["value"]) else float(event["value"]),
            "late": (event["known_at"] - event["event_at"]) / pd.Timedelta(days=1),
            "note": "" if event["event_type"] in vocabulary.event_types else "a type too rare to count on its own",
        }
        for event in ordered.to_dict("records")
    ]
