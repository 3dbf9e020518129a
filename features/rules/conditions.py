"""Questions with a yes or no about a lead at a moment: what it is, or what it lately did."""

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
    """An event of one of some types came within the last so many days, or ever where `days` is null."""

    types: list[str] = Field(min_length=1, description="Event types as they are in the data.")
    days: int | None = Field(ge=1, description="Seen within so many days; null: ever.")

    @model_validator(mode="after")
    def _types_differ(self) -> EventSeen:
        refuse_repeats("when", self.types)
        return self


def _kind(when: Any) -> str:
    asks_attribute = "attribute" in when if isinstance(when, dict) else isinstance(when, AttributeTest)
    return "attribute" if asks_attribute else "event"


Condition = Annotated[
    Annotated[AttributeTest, Tag("attribute")] | Annotated[EventSeen, Tag("event")], Discriminator(_kind)
]


def conditions_held(
    snapshots: pd.DataFrame,
    leads: pd.DataFrame,
    history: pd.DataFrame,
    events: ir.Table,
    spec: MatrixSpec,
    conditions: Mapping[str, AttributeTest | EventSeen],
) -> pd.DataFrame:
    """Say which conditions each lead met at its snapshot.

    Parameters
    ----------
    snapshots, leads, history, events, spec
        As `matrix.feature_matrix` takes them.

    Returns
    -------
    DataFrame
        One row a snapshot in the order of `snapshots`, one column of true and false a condition.
    """
    asked = ask_conditions(numbered(snapshots), events, spec, conditions)
    frame = attributes_as_of(snapshots, leads, history, spec.attributes)
    return conditions_of(frame, None if asked is None else asked.to_pyarrow(), spec, conditions)


def ask_conditions(
    moments: ir.Table, events: ir.Table, spec: MatrixSpec, conditions: Mapping[str, AttributeTest | EventSeen]
) -> ir.Table | None:
    """Return what the conditions ask of the event log, as one expression; None where none speaks of events.

    Parameters
    ----------
    moments
        lead_id, snapshot_at, row; see `matrix.numbered`.
    """
    types = sorted({name for one in conditions.values() if isinstance(one, EventSeen) for name in one.types})
    return visible_events(moments, events.filter(events.event_type.isin(types)), spec.vocabulary) if types else None


def conditions_of(
    frame: pd.DataFrame,
    found: pa.Table | None,
    spec: MatrixSpec,
    conditions: Mapping[str, AttributeTest | EventSeen],
) -> pd.DataFrame:
    """Say which conditions each lead met; the rest as in `conditions_held`.

    Parameters
    ----------
    frame
        The result of `fit.attributes_as_of`.
    found
        The answer to `ask_conditions`, or to `matrix.ask_matrix`, which holds more.
    """
    of_events = {name: one for name, one in conditions.items() if isinstance(one, EventSeen)}
    tests = {name: one for name, one in conditions.items() if isinstance(one, AttributeTest)}
    held: dict[str, np.ndarray] = {}
    if found is not None:
        asked = [(one.types, one.days) for one in of_events.values()]
        held |= zip(of_events, seen_within(found, len(frame), asked).T, strict=True)
    if tests:
        names = {one.attribute for one in tests.values()}
        facts = attribute_facts(frame, spec.attributes, spec.params, spec.vocabulary, names)
        held |= {name: holds(one, facts[one.attribute]) for name, one in tests.items()}
    return pd.DataFrame(held, columns=list(conditions), index=range(len(frame)), dtype="bool")
