"""Every feature: its name, group, plain-English label, unit and direction. The matrix's columns are this list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from features.attributes.definitions import AttributeFeature, attribute_features
from features.events.definitions import EventFeature, event_features
from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.errors import ParamsError
from features.schema.vocabulary import ANY, OTHER, Channel, Vocabulary


class Entry(BaseModel):
    """One feature in words.

    Attributes
    ----------
    theme
        What the feature is about (an attribute, an event type, a group of events); reasons are summed by theme.
    measure
        How it is measured, which decides how a reason is phrased.
    levels
        Of a category: the level of each code, in the order of the codes.
    empty
        Value of an empty window: 0 or missing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    group: Literal["fit", "engagement"]
    channel: Channel
    theme: str
    theme_label: str
    measure: str
    label: str
    unit: str
    direction: Literal["up", "down", "none"]
    levels: list[str] | None
    empty: Literal["0", "missing", "none"]


Catalogue = list[Entry]
RESERVED = {
    "lead_id",
    "snapshot_at",
    "known_at",
    "matured",
    "label",
    "moment",
    "part",
    "position",
    "rule_points",
}  # columns next to the features


def catalogue(
    attributes: Mapping[str, AttributeSpec],
    event_labels: Mapping[str, str],
    event_units: Mapping[str, str],
    params: FeatureParams,
    vocabulary: Vocabulary,
) -> Catalogue:
    """List the features that these declarations and this vocabulary give, in the order of the matrix's columns.

    Raises
    ------
    ParamsError
        Where two columns of the matrix would have one name.
    """
    fit = [_fit_entry(feature) for feature in attribute_features(attributes, params, vocabulary)]
    engagement = [
        _event_entry(feature, event_labels, event_units, vocabulary) for feature in event_features(params, vocabulary)
    ]
    _check_names([entry.name for entry in fit + engagement], attributes)
    return fit + engagement


def _check_names(names: list[str], attributes: Mapping[str, AttributeSpec]) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    clashes = twice + sorted(RESERVED.intersection([*names, *attributes]))
    if clashes:
        raise ParamsError(
            f"the feature matrix would have two columns called {clashes[0]!r}; give another name to the attribute in "
            "source.attributes that makes one of them"
        )


def to_frame(entries: Catalogue) -> pd.DataFrame:
    """Return the catalogue as a table, one row a feature, levels joined by a bar."""
    rows = [entry.model_dump() | {"levels": " | ".join(entry.levels or [])} for entry in entries]
    return pd.DataFrame(rows)


def level_counts(entries: Catalogue) -> dict[int, int]:
    """Return, for each feature whose numbers are codes of levels, its index and how many levels it has."""
    return {index: len(entry.levels) for index, entry in enumerate(entries) if entry.levels is not None}


GROUP_CHANNELS: dict[str, Channel] = {"any_online": "online", "any_offline": "offline"}
SCOPE_LABELS = {
    ANY: "activity of any kind",
    "any_inbound": "activity by the lead",
    "any_outbound": "outreach by sales",
    "any_online": "online activity",
    "any_offline": "offline activity",
    OTHER: "other activity",
}


def _fit_entry(feature: AttributeFeature) -> Entry:
    return Entry(
        name=feature.name,
        group=feature.group,
        channel="none",
        theme=feature.theme,
        theme_label=feature.theme_label,
        measure=feature.measure,
        label=feature.label,
        unit=feature.unit,
        direction=feature.direction,
        levels=feature.levels,
        empty="none",
    )


def _event_entry(
    feature: EventFeature, event_labels: Mapping[str, str], event_units: Mapping[str, str], vocabulary: Vocabulary
) -> Entry:
    what = scope_label(feature.scope, event_labels)
    channel = vocabulary.channels.get(feature.scope, GROUP_CHANNELS.get(feature.scope, "none"))
    return Entry(
        name=feature.name,
        group="engagement",
        channel=channel,
        theme=f"event:{feature.scope}",  # an attribute may be called like an event type
        theme_label=what,
        measure=feature.measure,
        label=feature.describe(what),
        unit=(event_units.get(feature.scope) if feature.unit == "value" else None) or feature.unit,
        direction=feature.direction,
        levels=None,
        empty="0" if feature.fills_zero else "missing",
    )


def scope_label(scope: str, event_labels: Mapping[str, str]) -> str:
    """Describe in words the events of a scope."""
    return event_labels.get(scope) or SCOPE_LABELS.get(scope) or scope.replace("_", " ")
