"""What exists: event types and category levels, learned from the training period and then fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict

from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.errors import DataError

OTHER = "other"
Channel = Literal["online", "offline", "none"]
ANY = "any_event"
GROUPS = {
    "any_inbound": ("direction", "inbound"),
    "any_outbound": ("direction", "outbound"),
    "any_online": ("channel", "online"),
    "any_offline": ("channel", "offline"),
}


class Vocabulary(BaseModel):
    """Everything the feature matrix needs to have seen before; saved with the model as JSON.

    Attributes
    ----------
    event_types
        Kept types, most frequent first; any other type counts as "other".
    valued_types
        Kept types whose events carry a value.
    channels
        Kept type to online or offline, "none" where its events are of both.
    event_groups
        Directions and channels that some but not all events have: where all are inbound, "inbound" is redundant.
    has_other
        Whether training saw events outside `event_types`; only then has "other" features of its own.
    levels
        Category feature to its levels, most frequent first; "other" stands last where rare values were seen.
    frequencies
        High-cardinality attribute, or pair of them, to the training share of each value, of their own level or not.
    pairs
        Name of a pair to its two attributes: which values occur together may tell what neither of them does.
    dated
        Whether leads carry created_at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    event_types: list[str]
    valued_types: list[str]
    channels: dict[str, Channel]
    event_groups: list[str]
    has_other: bool
    levels: dict[str, list[str]]
    frequencies: dict[str, dict[str, float]]
    pairs: dict[str, tuple[str, str]] = {}
    dated: bool

    @classmethod
    def learn(
        cls,
        attributes: Mapping[str, AttributeSpec],
        leads: pd.DataFrame,
        event_counts: pd.DataFrame,
        params: FeatureParams,
    ) -> Self:
        """Learn from the training period.

        Parameters
        ----------
        attributes
            The declared attributes; those known only through the outcome are passed over.
        leads
            Leads of the training period with their attributes as last known in it; one row a lead.
        event_counts
            Events of the training period: event_type, direction, channel, n, n_valued.

        Raises
        ------
        DataError
            Where an event type is called like a group of events.
        """
        by_type = event_counts.groupby("event_type", observed=True)[["n", "n_valued"]].sum().reset_index()
        by_type = by_type.sort_values(["n", "event_type"], ascending=[False, True])
        frequent = (by_type["n"] >= params.min_event_count) & (by_type["event_type"] != OTHER)
        kept = by_type[frequent].head(params.max_event_types)
        _check_types(kept["event_type"])
        categories = {
            name: leads[name].dropna().astype(str).value_counts()
            for name, spec in attributes.items()
            if spec.kind == "category" and spec.known != "outcome"
        }
        pairs = _pairs(categories, params)
        categories |= {
            name: paired(leads[first], leads[second]).dropna().value_counts() for name, (first, second) in pairs.items()
        }
        return cls(
            event_types=[str(name) for name in kept["event_type"]],
            valued_types=[str(name) for name in kept.loc[kept["n_valued"] > 0, "event_type"]],
            channels={str(name): _channel(event_counts, str(name)) for name in kept["event_type"]},
            event_groups=[group for group in GROUPS if _divides(event_counts, group)],
            has_other=len(kept) < len(by_type),
            levels={name: _levels(counts, params) for name, counts in categories.items()},
            frequencies={
                name: {str(value): float(share) for value, share in sorted((counts / counts.sum()).items())}
                for name, counts in categories.items()
                if len(counts) > params.max_levels
            },
            pairs=pairs,
            dated="created_at" in leads,
        )


def paired(first: pd.Series[str], second: pd.Series[str]) -> pd.Series[str]:
    """Return both values as one, such as "North, web"; missing where either is."""
    return first.astype("str").str.cat(second.astype("str"), sep=", ")


def _pairs(categories: Mapping[str, pd.Series[int]], params: FeatureParams) -> dict[str, tuple[str, str]]:
    """Pair the categories with more values than can be told apart, those with most values first."""
    many = [name for name, counts in categories.items() if len(counts) > params.max_levels]
    ranked = sorted(many, key=lambda name: (-len(categories[name]), name))
    pairs = [{first, second} for index, second in enumerate(ranked) for first in ranked[:index]][: params.max_pairs]
    declared = [tuple(name for name in categories if name in pair) for pair in pairs]
    return {f"{first}__with__{second}": (first, second) for first, second in declared}


def _check_types(kept: pd.Series[str]) -> None:
    taken = [name for name in kept if name in (ANY, *GROUPS)]
    if taken:
        raise DataError(
            "events",
            "event_type",
            found=f"a type called {taken[0]!r}",
            expected="another name, because this one stands for a group of events",
            fix="Rename the type in the file.",
        )


def _divides(event_counts: pd.DataFrame, group: str) -> bool:
    column, value = GROUPS[group]
    inside = event_counts.loc[event_counts[column] == value, "n"].sum()
    return bool(0 < inside < event_counts["n"].sum())


def _channel(event_counts: pd.DataFrame, event_type: str) -> Channel:
    channels = set(event_counts.loc[event_counts["event_type"] == event_type, "channel"])
    return "none" if len(channels) > 1 else "online" if channels == {"online"} else "offline"


def _levels(counts: pd.Series[int], params: FeatureParams) -> list[str]:
    """Order by frequency, then by name, so that ties do not depend on the order of the rows."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    kept = [str(level) for level, n in ranked if n >= params.min_level_count and level != OTHER][: params.max_levels]
    return [*kept, OTHER] if len(kept) < len(ranked) else kept
