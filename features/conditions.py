"""Questions with a yes or no about a lead at a moment: what it is, or what it lately did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import ibis.expr.types as ir
import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import Discriminator, Field, Tag, model_validator

from features.matrix import MatrixSpec, numbered
from features.rule_matrix import ask_sums, sums_of
from features.rule_spec import AttributeRule, AttributeTest, PatternRule, RulesParams, refuse_repeats
from features.spec import Spec


class EventSeen(Spec):
    """An event of one of some types came within the last so many days, or ever where `days` is null."""

    types: list[str] = Field(min_length=1)
    days: int | None = Field(ge=1)

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
        As `matrix.feature_matrix` takes them; what the hand-written rules see is seen here, by the same query.

    Returns
    -------
    DataFrame
        One row a snapshot in the order of `snapshots`, one column of true and false a condition.
    """
    asked = ask_conditions(numbered(snapshots), events, conditions)
    return conditions_of(snapshots, leads, history, None if asked is None else asked.to_pyarrow(), spec, conditions)


def ask_conditions(
    moments: ir.Table, events: ir.Table, conditions: Mapping[str, AttributeTest | EventSeen]
) -> ir.Table | None:
    """Return what the conditions ask of the event log, as one expression; None where none speaks of events.

    Parameters
    ----------
    moments
        lead_id, snapshot_at, row; see `matrix.numbered`.
    """
    return ask_sums(moments, events, _as_rules(list(conditions.values())))


def conditions_of(
    snapshots: pd.DataFrame,
    leads: pd.DataFrame,
    history: pd.DataFrame,
    of_events: pa.Table | None,
    spec: MatrixSpec,
    conditions: Mapping[str, AttributeTest | EventSeen],
) -> pd.DataFrame:
    """Say which conditions each lead met from the answer to `ask_conditions`; the rest as in `conditions_held`."""
    held = np.zeros((len(snapshots), len(conditions)), dtype=bool)
    if conditions and len(snapshots):
        met = sums_of(snapshots, leads, history, of_events, spec, _as_rules(list(conditions.values())))
        held[met["row"].to_numpy(), met["rule"].astype("int64").to_numpy()] = True
    return pd.DataFrame(held, columns=list(conditions))


def _as_rules(conditions: list[AttributeTest | EventSeen]) -> RulesParams:
    """Ask as rules of one point each, called by their place: an event seen once is a pattern of one event."""
    numbered = {str(place): one for place, one in enumerate(conditions)}
    tests = [
        AttributeRule(**one.model_dump(), name=name, points=1)
        for name, one in numbered.items()
        if isinstance(one, AttributeTest)
    ]
    seen = [
        PatternRule(name=name, types=one.types, answers=[], times=1, days=one.days, points=1)
        for name, one in numbered.items()
        if isinstance(one, EventSeen)
    ]
    return RulesParams(start=0, attributes=tests, events=[], patterns=seen, thresholds=[])
