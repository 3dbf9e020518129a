"""Conditions on a lead at a moment: on its attributes, or on its events of the last N days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Discriminator, Field, Tag, model_validator

from features.attributes.as_of import attributes_as_of
from features.events.aggregation import seen_within, visible_events
from features.matrix.matrix import MatrixSpec, numbered
from features.rules.declarations import AttributeTest, refuse_repeats
from features.rules.point_log import attribute_facts, holds
from features.schema.spec import Spec


class EventSeen(Spec):
    """An event of one of some types happened in the last `days` days, or ever where `days` is null."""

    types: list[str] = Field(min_length=1, description="Event types as they are in the data.")
    days: int | None = Field(ge=1, description="Seen within so many days; null: ever.")

    @model_validator(mode="after")
    def _types_differ(self) -> EventSeen:
        refuse_repeats("when", self.types)
        return self


def _tag(when: Any) -> str:
    on_attribute = "attribute" in when if isinstance(when, dict) else isinstance(when, AttributeTest)
    return "attribute" if on_attribute else "event"


RuleCondition = Annotated[
    Annotated[AttributeTest, Tag("attribute")] | Annotated[EventSeen, Tag("event")], Discriminator(_tag)
]


def conditions_held(
    snapshots: pd.DataFrame,
    leads: pd.DataFrame,
    history: pd.DataFrame,
    events: ir.Table,
    spec: MatrixSpec,
    conditions: Mapping[str, AttributeTest | EventSeen],
) -> pd.DataFrame:
    """Evaluate each condition for each lead at its snapshot.

    Parameters
    ----------
    snapshots, leads, history, events, spec
        As `matrix.feature_matrix` takes them.

    Returns
    -------
    DataFrame
        One row a snapshot in the order of `snapshots`, one boolean column a condition.
    """
    query = condition_query(numbered(snapshots), events, spec, conditions)
    frame = attributes_as_of(snapshots, leads, history, spec.attributes)
    return conditions_from(frame, None if query is None else query.to_pyarrow(), spec, conditions)


def condition_query(
    moments: ir.Table, events: ir.Table, spec: MatrixSpec, conditions: Mapping[str, AttributeTest | EventSeen]
) -> ir.Table | None:
    """Return the events that the conditions need, as one expression; None where none is about events.

    Parameters
    ----------
    moments
        lead_id, snapshot_at, row; see `matrix.numbered`.
    """
    types = sorted({name for one in conditions.values() if isinstance(one, EventSeen) for name in one.types})
    return visible_events(moments, events.filter(events.event_type.isin(types)), spec.vocabulary) if types else None


def conditions_from(
    frame: pd.DataFrame,
    visible: pa.Table | None,
    spec: MatrixSpec,
    conditions: Mapping[str, AttributeTest | EventSeen],
) -> pd.DataFrame:
    """Evaluate each condition for each lead; the rest as in `conditions_held`.

    Parameters
    ----------
    frame
        The result of `attributes_as_of`.
    visible
        The result of `condition_query`, or of `matrix.matrix_query`, which holds more.
    """
    of_events = {name: one for name, one in conditions.items() if isinstance(one, EventSeen)}
    tests = {name: one for name, one in conditions.items() if isinstance(one, AttributeTest)}
    held: dict[str, np.ndarray] = {}
    if visible is not None:
        windows = [(one.types, one.days) for one in of_events.values()]
        held |= zip(of_events, seen_within(visible, len(frame), windows).T, strict=True)
    if tests:
        names = {one.attribute for one in tests.values()}
        facts = attribute_facts(frame, spec.attributes, spec.params, spec.vocabulary, names)
        held |= {name: holds(one, facts[one.attribute]) for name, one in tests.items()}
    return pd.DataFrame(held, columns=list(conditions), index=range(len(frame)), dtype="bool")
