"""Who the lead is: demographic and firmographic features of each snapshot, with attributes as they stood then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.titles import TitleLevel, plain_words
from features.schema.vocabulary import OTHER, Vocabulary, paired

NOT_NAMED = "not named"
PAIR = "pair:"  # begins the theme of a pair of attributes
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
    features += [feature for name in vocabulary.pairs for feature in _of_pair(name, usable, vocabulary)]
    if vocabulary.dated:
        features += _of_creation()
    return [*features, _missing()] if usable else features


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
        if name in attributes and attributes[name].kind == "category"
    }
    return {name: n for name, n in unseen.items() if n}


def _of_pair(name: str, attributes: Mapping[str, AttributeSpec], vocabulary: Vocabulary) -> list[AttributeFeature]:
    first, second = (attributes[part] for part in vocabulary.pairs[name])
    label = f"{_label(first)} with {_label(second)}"
    group: Literal["fit", "engagement"] = "fit" if "fit" in (first.group, second.group) else "engagement"
    theme = f"{PAIR}{name}"  # an attribute may be called like the pair

    def feature(
        full_name: str, measure: Literal["level", "frequency"], text: str, levels: list[str] | None
    ) -> AttributeFeature:
        return AttributeFeature(full_name, name, measure, group, theme, label, text, "", "none", levels)

    return [
        feature(name, "level", label, vocabulary.levels[name]),
        feature(f"{name}__frequency", "frequency", f"how common {label} is", None),
    ]


def _label(spec: AttributeSpec) -> str:
    return spec.label or spec.column.replace("_", " ")


def _of_attribute(
    name: str, spec: AttributeSpec, params: FeatureParams, vocabulary: Vocabulary
) -> list[AttributeFeature]:
    label = _label(spec)

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
    values = _values(feature.attribute, frame, vocabulary)
    if feature.measure == "value":
        return values.to_numpy("float64")
    if feature.measure == "age":
        return (frame["snapshot_at"] - values).dt.total_seconds().to_numpy("float64") / SECONDS_A_DAY
    if feature.measure == "calendar":
        return _calendar(feature.name, values)
    return _by_value(values, number_of(feature, params, vocabulary))


def number_of(feature: AttributeFeature, params: FeatureParams, vocabulary: Vocabulary) -> Callable[[str], float]:
    """Return what makes a number of a text: its share of the training rows, or the code of its level."""
    if feature.measure == "frequency":
        shares = vocabulary.frequencies[feature.attribute]
        return lambda value: shares.get(value, 0.0)
    codes = {level: float(index) for index, level in enumerate(feature.levels or [])}
    rest, level = codes.get(OTHER, np.nan), _level_of(feature, params)
    return lambda value: codes.get(level(value), rest)


def _values(name: str, frame: pd.DataFrame, vocabulary: Vocabulary) -> pd.Series[Any]:
    if name in vocabulary.pairs:
        first, second = vocabulary.pairs[name]
        return paired(frame[first], frame[second])
    return frame[name]


def _calendar(name: str, created_at: pd.Series[pd.Timestamp]) -> np.ndarray:
    part = {
        "created_weekday": created_at.dt.day_of_week,
        "created_hour": created_at.dt.hour,
        "created_month": created_at.dt.month,
    }[name]
    return part.to_numpy("float64")


def _by_value(values: pd.Series[str], number: Callable[[str], float]) -> np.ndarray:
    """Return a number for every value, computed once for each distinct one, as text repeats; missing stays missing."""
    codes, distinct = pd.factorize(values)
    return np.array([*map(number, distinct.astype("str").to_list()), np.nan])[codes]


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
    """Classify a mail domain or address as a company's, a free provider's or a school's."""
    host = domain.rsplit("@", 1)[-1].strip().lower()
    if host in params.free_hosts:
        return "free"
    return "academic" if f".{host}".endswith(params.academic_endings) else "company"
