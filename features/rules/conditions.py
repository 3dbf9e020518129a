"""Conditions on a lead at a moment: on its attributes, or on its events of the last N days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Discriminator, Field, Tag, model_validator

from features.attributes.definitions import attribute_features
from features.attributes.one_lead import Cell
from features.events.aggregation import seen_within, visible_events
from features.events.one_lead import seen_by_lead
from features.matrix.matrix import MatrixSpec
from features.matrix.one_lead import LeadRow
from features.rules.declarations import AttributeTest, refuse_repeats
from features.rules.point_log import attribute_facts, holds, holds_for
from features.schema.spec import MOST_DAYS, Spec

if TYPE_CHECKING:
    import ibis.expr.types as ir


class EventSeen(Spec):
    """An event of one of some types happened in the last `days` days, or ever where `days` is null."""

    types: list[str] = Field(min_length=1, description="Event types as they are in the data.")
    days: int | None = Field(ge=1, le=MOST_DAYS, description="Seen within this many days; null: ever.")

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


@dataclass(frozen=True)
class ConditionQuery:
    """The query whether each condition holds for each lead at its snapshot: one boolean column a condition.

    An attribute that is known only with the outcome is what the CRM says today: a test of it holds for a `current`
    list alone, and never at an earlier moment.
    """

    spec: MatrixSpec
    conditions: Mapping[str, AttributeTest | EventSeen]
    current: bool = False

    def expression(self, moments: ir.Table, events: ir.Table) -> ir.Table | None:
        types = sorted({name for one in self._on_events().values() for name in one.types})
        if not types:
            return None
        return visible_events(moments, events.filter(events.event_type.isin(types)), self.spec.vocabulary)

    def result(self, frame: pd.DataFrame, answer: pa.Table | None) -> pd.DataFrame:
        """Evaluate the conditions; `answer` may also be that of a `MatrixQuery`, which holds more events."""
        spec, of_events = self.spec, self._on_events()
        tests = {name: one for name, one in self.conditions.items() if isinstance(one, AttributeTest)}
        held: dict[str, np.ndarray] = {}
        if answer is not None:
            windows = [(one.types, one.days) for one in of_events.values()]
            held |= zip(of_events, seen_within(answer, len(frame), windows).T, strict=True)
        if tests:
            names = {one.attribute for one in tests.values()}
            facts = attribute_facts(frame, spec.attributes, spec.params, spec.vocabulary, names)
            held |= {name: holds(one, facts[one.attribute]) for name, one in tests.items() if one.attribute in facts}
            held |= {
                name: holds(one, frame[one.attribute]) & self.current
                for name, one in tests.items()
                if one.attribute not in facts
            }
        return pd.DataFrame(held, columns=list(self.conditions), index=range(len(frame)), dtype="bool")

    def of_lead(self, row: LeadRow) -> dict[str, bool]:
        """Evaluate the conditions for one lead, as `result` does."""
        of_events = self._on_events()
        windows = [(one.types, one.days) for one in of_events.values()]
        held = dict(zip(of_events, seen_by_lead(row.visible, windows), strict=True))
        for name, one in self.conditions.items():
            if isinstance(one, AttributeTest):
                spec = self.spec.attributes.get(one.attribute)
                usable = self.current or spec is None or spec.known != "outcome"
                held[name] = usable and holds_for(one, self._cell(one.attribute, row))
        return held

    def _cell(self, name: str, row: LeadRow) -> Cell:
        """Return what rules may test of a lead: an attribute, or what is derived from it, in words."""
        if name in self.spec.attributes:
            return row.cells[name]
        number, levels = row.fit[name], self._levels[name]
        if math.isnan(number):
            return None
        return number if levels is None else levels[int(number)]

    @cached_property
    def _levels(self) -> dict[str, list[str] | None]:
        listed = attribute_features(self.spec.attributes, self.spec.params, self.spec.vocabulary)
        return {one.name: one.levels for one in listed}

    def _on_events(self) -> dict[str, EventSeen]:
        return {name: one for name, one in self.conditions.items() if isinstance(one, EventSeen)}
