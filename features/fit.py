"""Who the lead is: demographic and firmographic features of each snapshot, with attributes as they stood then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from features.errors import DataError
from features.spec import AttributeSpec, FeatureParams, TitleLevel, plain_words
from features.vocabulary import OTHER, Vocabulary

NOT_NAMED = "not named"
SECONDS_A_DAY = 86_400
DOMAIN_KINDS = ["company", "free", "academic"]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True)
class AttributeFeature:
    """One feature made of an attribute, or of the lead's creation."""

    name: str
    attribute: str
    measure: Literal["value", "level", "frequency", "age", "calendar", "missing"]
    group: Literal["fit", "engagement"]
    theme: str
    theme_label: str
    label: str
    unit: str
    direction: Literal["up", "down", "none"]
    levels: list[str] | None = None


def attribute_features(
    attributes: Mapping[str, AttributeSpec], params: FeatureParams, vocabulary: Vocabulary
) -> list[AttributeFeature]:
    """List the features of the attributes that may be used; those known only through the outcome never are."""
    usable = {name: spec for name, spec in attributes.items() if spec.known != "outcome"}
    features = [feature for name, spec in usable.items() for feature in _of_attribute(name, spec, params, vocabulary)]
    if vocabulary.dated:
        features += _of_creation()
    return [*features, _missing()] if usable else features


def attributes_as_of(
    snapshots: pd.DataFrame, leads: pd.DataFrame, history: pd.DataFrame, attributes: Mapping[str, AttributeSpec]
) -> pd.DataFrame:
    """Return each snapshot's lead with its attributes as they stood then.

    Parameters
    ----------
    snapshots
        lead_id, snapshot_at.
    leads
        One row a lead, with attributes as last known.
    history
        lead_id, valid_from and the attributes that are known: history; a row's values hold from valid_from on.

    Returns
    -------
    DataFrame
        One row a snapshot, in its order: the columns of `leads`. For a lead with a history, each historic attribute
        is taken from the last row with valid_from < snapshot_at and is missing before the first, because what the
        CRM shows today was written later. A history that does not begin with its lead so tells of edits to come.
    """
    current = snapshots[["lead_id", "snapshot_at"]].merge(leads, "left", "lead_id")
    edited = [name for name, spec in attributes.items() if spec.known == "history" and name in history]
    if not edited or history.empty:
        return current
    left = current[["lead_id", "snapshot_at"]].assign(row=np.arange(len(current))).sort_values("snapshot_at")
    right = history[["lead_id", "valid_from", *edited]].sort_values("valid_from", kind="stable")
    past = pd.merge_asof(
        left, right, left_on="snapshot_at", right_on="valid_from", by="lead_id", allow_exact_matches=False
    ).sort_values("row", ignore_index=True)
    has_history = pd.Index(history["lead_id"].unique()).get_indexer(pd.Index(current["lead_id"])) >= 0
    return current.assign(**{name: past[name].where(has_history, current[name]) for name in edited})


def check_history(leads: pd.DataFrame, history: pd.DataFrame) -> None:
    """Refuse a history that does not begin with its lead.

    Before the first row nothing is known of an edited attribute, so that a missing value would tell of an edit to come.

    Raises
    ------
    DataError
        With the number of such leads.
    """
    first = history.groupby("lead_id")["valid_from"].min().dt.floor("D")
    begins = leads.set_index("lead_id")["created_at"].reindex(first.index)
    late = int((first > begins).sum())
    if late:
        raise DataError(
            "attribute_history",
            "valid_from",
            found=f"{late:,} of {len(first):,} leads whose first row is later than their created_at",
            expected="a row with the values at creation for every lead that has a history",
            fix="Add the values at creation, or declare the attributes known: creation if they are never overwritten, "
            "or known: outcome to leave them out.",
        )


def fit_matrix(
    frame: pd.DataFrame,
    attributes: Mapping[str, AttributeSpec],
    params: FeatureParams,
    vocabulary: Vocabulary,
    only: Collection[str] | None = None,
) -> pd.DataFrame:
    """Compute the attribute features.

    Parameters
    ----------
    frame
        The result of `attributes_as_of`; one row a snapshot.
    only
        Names of those that are wanted; None: all.

    Returns
    -------
    DataFrame
        `attribute_features(...)` as float64, one row a snapshot in the frame's order. A category is the code of its
        level: a value that is no level of its own has the code of "other" where training had one, else none.
    """
    usable = [name for name, spec in attributes.items() if spec.known != "outcome"]
    columns = {
        feature.name: _column(feature, frame, usable, params, vocabulary)
        for feature in attribute_features(attributes, params, vocabulary)
        if only is None or feature.name in only
    }
    return pd.DataFrame(columns, index=frame.index)


def count_unseen(
    frame: pd.DataFrame, attributes: Mapping[str, AttributeSpec], vocabulary: Vocabulary
) -> dict[str, int]:
    """Count, for each category attribute, the rows whose value is no level of its own; zero counts are left out."""
    unseen = {
        name: int((frame[name].notna() & ~frame[name].isin(levels)).sum())
        for name, levels in vocabulary.levels.items()
        if attributes[name].kind == "category"
    }
    return {name: n for name, n in unseen.items() if n}


def _of_attribute(
    name: str, spec: AttributeSpec, params: FeatureParams, vocabulary: Vocabulary
) -> list[AttributeFeature]:
    label = spec.label or spec.column.replace("_", " ")

    def feature(
        measure: Literal["value", "level", "frequency"], suffix: str, text: str, levels: list[str] | None
    ) -> AttributeFeature:
        full_name, unit = name + suffix, spec.unit if measure == "value" else ""
        direction = spec.direction if measure == "value" else "none"
        return AttributeFeature(full_name, name, measure, spec.group, name, label, text, unit, direction, levels)

    if spec.kind == "number":
        return [feature("value", "", label, None)]
    if spec.kind == "title":
        return [
            feature("level", "__seniority", f"seniority in {label}", _title_levels(params.seniority)),
            feature("level", "__function", f"department in {label}", _title_levels(params.function)),
        ]
    if spec.kind == "domain":
        return [feature("level", "__kind", f"kind of {label}", DOMAIN_KINDS)]
    features = [feature("level", "", label, vocabulary.levels[name])]
    if name in vocabulary.frequencies:
        features.append(feature("frequency", "__frequency", f"how common the {label} is", None))
    return features


def _title_levels(rules: Sequence[TitleLevel]) -> list[str]:
    return list(dict.fromkeys([*(rule.level for rule in rules), NOT_NAMED]))


def _of_creation() -> list[AttributeFeature]:
    def feature(
        name: str, measure: Literal["age", "calendar"], label: str, unit: str, levels: list[str] | None
    ) -> AttributeFeature:
        theme, theme_label = ("lead_age", "age of the lead") if measure == "age" else ("created_at", "time of creation")
        return AttributeFeature(name, "created_at", measure, "fit", theme, theme_label, label, unit, "none", levels)

    return [
        feature("lead_age", "age", "age of the lead", "days", None),
        feature("created_weekday", "calendar", "weekday of creation", "", WEEKDAYS),
        feature("created_hour", "calendar", "hour of creation", "hours", None),
        feature("created_month", "calendar", "month of creation", "month", None),
    ]


def _missing() -> AttributeFeature:
    return AttributeFeature(
        name="missing_attributes",
        attribute="",
        measure="missing",
        group="fit",
        theme="missing_attributes",
        theme_label="completeness",
        label="fields left empty",
        unit="",
        direction="none",
    )


def _column(
    feature: AttributeFeature, frame: pd.DataFrame, usable: list[str], params: FeatureParams, vocabulary: Vocabulary
) -> np.ndarray:
    if feature.measure == "missing":
        return frame[usable].isna().sum(axis=1).to_numpy("float64")
    values = frame[feature.attribute]
    if feature.measure == "value":
        return values.to_numpy("float64")
    if feature.measure == "frequency":
        shares = vocabulary.frequencies[feature.attribute]
        return _by_value(values, lambda distinct: [shares.get(value, 0.0) for value in distinct])
    if feature.measure == "age":
        return (frame["snapshot_at"] - values).dt.total_seconds().to_numpy("float64") / SECONDS_A_DAY
    if feature.measure == "calendar":
        return _calendar(feature.name, values)
    codes = {level: float(index) for index, level in enumerate(feature.levels or [])}
    rest, level = codes.get(OTHER, np.nan), _level_of(feature, params)
    return _by_value(values, lambda distinct: [codes.get(level(value), rest) for value in distinct])


def _calendar(name: str, created_at: pd.Series[pd.Timestamp]) -> np.ndarray:
    part = {
        "created_weekday": created_at.dt.day_of_week,
        "created_hour": created_at.dt.hour,
        "created_month": created_at.dt.month,
    }[name]
    return part.to_numpy("float64")


def _by_value(values: pd.Series[str], numbers: Callable[[Sequence[str]], list[float]]) -> np.ndarray:
    """Return a number for every value, asked once for each distinct one: free text repeats. Missing stays missing."""
    codes, distinct = pd.factorize(values)
    return np.array([*numbers(distinct.astype("str").to_list()), np.nan])[codes]


def _level_of(feature: AttributeFeature, params: FeatureParams) -> Callable[[str], str]:
    """Return what makes a level of a value."""
    match feature.name.removeprefix(feature.attribute):
        case "__seniority":
            return partial(_first_match, rules=params.seniority)
        case "__function":
            return partial(_first_match, rules=params.function)
        case "__kind":
            return partial(domain_kind, params=params)
        case _:
            return str


def _first_match(title: str, rules: Sequence[TitleLevel]) -> str:
    text = f" {plain_words(title)} "
    for rule in rules:
        if any(f" {word} " in text for word in rule.words):
            return rule.level
    return NOT_NAMED


def domain_kind(domain: str, params: FeatureParams) -> str:
    """Say whether a mail domain or address is a company's, a free provider's or a school's."""
    host = domain.rsplit("@", 1)[-1].strip().lower()
    if host in params.free_hosts:
        return "free"
    return "academic" if f".{host}".endswith(params.academic_endings) else "company"
