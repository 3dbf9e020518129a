"""Why a lead has its score: contributions in points, summed by theme, as sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.catalogue import Catalogue, Entry

LEAST_POINTS = 0.5  # a reason that rounds to no point says nothing


@dataclass(frozen=True)
class Reason:
    """What one theme adds to a lead's score.

    Attributes
    ----------
    points
        The sum over the theme's features.
    feature, value
        The feature of the theme that pulls most in the direction of the sum, and its value.
    text
        The sentence, points first.
    """

    theme: str
    group: str
    points: float
    feature: str
    value: float
    text: str

    def to_json(self) -> dict[str, Any]:
        value = None if math.isnan(self.value) else round(self.value, 6)
        return {
            "theme": self.theme,
            "group": self.group,
            "points": round(self.points, 4),
            "feature": self.feature,
            "value": value,
            "text": self.text,
        }


@dataclass(frozen=True)
class Themes:
    """Which columns of the matrix belong to which theme."""

    entries: Catalogue

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(entry.theme for entry in self.entries))

    def sums(self, points: np.ndarray) -> np.ndarray:
        """Sum feature points (n, k) by theme, shape (n, number of themes)."""
        place = {name: index for index, name in enumerate(self.names)}
        member = np.zeros((len(self.entries), len(place)))
        for row, entry in enumerate(self.entries):
            member[row, place[entry.theme]] = 1.0
        return points @ member


def top_reasons(points: np.ndarray, features: np.ndarray, entries: Catalogue, n: int) -> list[list[Reason]]:
    """Return the strongest reasons of each lead, by absolute points.

    Parameters
    ----------
    points
        Points of each feature, shape (n_leads, k).
    features
        The matrix, shape (n_leads, k).
    n
        At most so many a lead; those under half a point are left out.
    """
    themes = Themes(entries)
    sums = themes.sums(points)
    columns = {name: [i for i, entry in enumerate(entries) if entry.theme == name] for name in themes.names}
    order = np.argsort(-np.abs(sums), axis=1, kind="stable")[:, :n]
    return [
        [
            _reason(themes.names[place], columns[themes.names[place]], points[lead], features[lead], entries)
            for place in order[lead]
            if abs(sums[lead, place]) >= LEAST_POINTS
        ]
        for lead in range(len(points))
    ]


def _reason(theme: str, columns: Sequence[int], points: np.ndarray, features: np.ndarray, entries: Catalogue) -> Reason:
    total = float(points[columns].sum())
    strongest = max(columns, key=lambda column: points[column] * np.sign(total))
    entry, value = entries[strongest], float(features[strongest])
    return Reason(theme, entry.group, total, entry.name, value, f"{total:+.0f} {phrase(entry, value)}")


def phrase(entry: Entry, value: float) -> str:
    """Say in words what the feature is for this lead; missing is said as such, and zero as "no"."""
    if math.isnan(value):
        return _phrase_missing(entry)
    if entry.levels is not None:
        return f"{entry.label}: {entry.levels[int(value)]}"
    if entry.group == "fit" or entry.measure == "value":
        return f"{entry.label}: {_number(value)}{_unit(entry.unit, value)}"
    return _phrase_events(entry, value)


def _phrase_missing(entry: Entry) -> str:
    if entry.measure in ("recency", "value_last", "value_max"):
        return f"{entry.theme_label}: never"
    if entry.measure == "mean_gap":
        return f"{entry.theme_label}: once at most"
    return f"{entry.label}: not known"


def _phrase_events(entry: Entry, value: float) -> str:
    what = entry.theme_label
    window = entry.label.removeprefix(f"{what}, times ").removeprefix(f"{what}, total value ")
    window = window.removeprefix(f"days with {what} ")
    match entry.measure:
        case "count":
            return f"{what}: {_number(value)} times {window}" if value else f"{what}: none {window}"
        case "decayed":
            return f"{what}: {'recent and often' if value >= 1 else 'some time ago' if value > 0 else 'none'}"
        case "recency":
            return f"{what}: last one {_number(value)} {'day' if value == 1 else 'days'} ago"
        case "active_days":
            return f"{what}: on {_number(value)} {'day' if value == 1 else 'days'} {window}"
        case "mean_gap":
            return f"{what}: every {_number(value)} days on average"
        case "trend":
            return f"{what}: {'more' if value > 0 else 'less' if value < 0 else 'as much'} than in the weeks before"
        case "unanswered":
            return f"{what}: {_number(value)} in a row unanswered" if value else f"{what}: none waits for an answer"
        case "value_sum":
            return f"{what}: {_number(value)} in total {window}"
        case _:
            return f"{entry.label}: {_number(value)}"


def _unit(unit: str, value: float) -> str:
    return f" {unit.removesuffix('s') if value == 1 else unit}" if unit else ""


def _number(value: float) -> str:
    rounded = round(value, 1)
    return f"{rounded:,.0f}" if rounded == int(rounded) else f"{rounded:,.1f}"
