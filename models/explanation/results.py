"""What explain and a comparison of two lists found: explanation.json and change.json as typed objects."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from features.schema.spec import Spec
from models.tiers.results import TierFlow


class FeatureImportance(Spec):
    """How many points one feature moves; see `importance.importance`."""

    name: str
    label: str
    group: str
    theme: str
    theme_label: str
    channel: str
    mean_points: float
    share: float
    direction: Literal["up", "down", "mixed", "by level"]


class GroupImportance(Spec):
    """How many points the features of one group or theme move together."""

    name: str
    mean_points: float


class DependencePoint(Spec):
    """The rows with one value of a feature.

    Attributes
    ----------
    value
        A level's name, the median of a group, or None for missing and for no level of training.
    points, points_low, points_high
        Mean, 10th and 90th percentile.
    rate
        Of conversion.
    """

    value: str | float | None
    n: int
    points: float
    points_low: float
    points_high: float
    rate: float


class PairCell(Spec):
    """The rows of one group of values of both features; None where there is no row."""

    n: int
    points: float | None


class FeaturePair(Spec):
    """Two features that act together: mean |points|, and the mean points by groups of values of both.

    Attributes
    ----------
    rows, columns
        Names of the groups of values of the first and of the second feature.
    cells
        For each row its columns.
    """

    feature: str
    other: str
    label: str
    other_label: str
    n: int
    mean_points: float
    rows: list[str]
    columns: list[str]
    cells: list[list[PairCell]]


class ValueRate(Spec):
    """How the rows with one value of a category converted; `times` is the rate over that of all rows."""

    value: str
    n: int
    n_leads: int
    n_positive: int
    rate: float
    rate_low: float
    rate_high: float
    times: float | None


class CategoryRates(Spec):
    """The values of one category, the most frequent first, and those of training of which there is no later row."""

    name: str
    label: str
    group: str
    levels: list[ValueRate]
    vanished: list[str]


class ExplanationResult(Spec):
    """explanation.json: what moves the scores of the later period.

    Attributes
    ----------
    n
        How many rows it was measured on.
    largest_gap
        Between the sum of a row's contributions and its log-odds.
    dependence
        Of the strongest features, strongest first.
    interactions
        None where the trees are too deep.
    """

    format: Literal[1] = 1
    model_id: str
    n: int
    base_points: float
    largest_gap: float
    features: list[FeatureImportance]
    themes: list[GroupImportance]
    groups: list[GroupImportance]
    dependence: dict[str, list[DependencePoint]]
    interactions: list[FeaturePair] | None
    categories: list[CategoryRates]


class PartMoves(Spec):
    """Points of all leads in one part of a change; `up` and `down`: leads that it moves by more than half a point."""

    sum: float
    mean: float
    mean_absolute: float
    up: int
    down: int


class ThemeMoves(Spec):
    """Mean points of one theme in a part of a change."""

    theme: str
    label: str
    mean: float
    mean_absolute: float


class ChangeTotals(Spec):
    """The change of a score list in sums over the `n` leads on both lists.

    Attributes
    ----------
    parts
        By part; their means add up to the mean difference.
    themes
        By part, strongest first.
    """

    n: int
    difference: PartMoves
    parts: dict[str, PartMoves]
    themes: dict[str, list[ThemeMoves]]


class LeadsLeft(Spec):
    """Why leads are no longer on the list; `other`: too old, or not of the new model's population."""

    n: int
    converted: int
    lost: int
    other: int


class ChangeResult(ChangeTotals):
    """change.json: what changed between two lists.

    Attributes
    ----------
    since, until
        The days of the lists, in ISO format: `from` and `to` in the file; None for tables without dates.
    entered
        Leads on the later list alone.
    notes
        What a reader must know of the parts.
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    format: Literal[1] = 1
    since: str | None = Field(validation_alias="from", serialization_alias="from")
    until: str | None = Field(validation_alias="to", serialization_alias="to")
    model_from: str
    model_to: str
    data_fingerprint: str
    tier_changed: int
    tiers: list[TierFlow]
    entered: int
    left: LeadsLeft
    notes: list[str]
