"""What each part of the data adds: the features that come from it, and the wins a list that are fewer without them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from features.matrix.catalogue import Catalogue, Entry
from features.schema.spec import Spec
from features.schema.vocabulary import ANY, GROUPS, Vocabulary
from models.evaluation.estimate import Figure, Figures

EVENT = "event:"
SUMS = {f"{EVENT}{name}" for name in (ANY, *GROUPS)}  # of several types: they are hidden with each of them
OF_ITSELF = {"created_at", "lead_age", "missing_attributes"}  # themes that no column of the source is needed for
Answer = Literal["helps", "harms", "cannot tell"]
Kind = Literal["dates", "events", "edits", "lost dates", "contacts"]

# Figures by `leadscore lacks` on the default run, see docs/how-to/what-you-lack.md, which says how to make them again.
ABSENT: dict[Kind, str] = {
    "dates": "no dates of leads and outcomes: nothing can be tested on a later time, and there are no lists by day",
    "events": "no events (what leads did, with times): on the simulated funnel they add 14.9 wins a list of 200 calls "
    "(11.8 to 17.6) to 19.3; their times, beside their number, 2.4 (1.1 to 3.6)",
    "edits": "no history of edits: what a column was on a past day is not known; on the simulated funnel the two "
    "attributes that people edit add 3.8 wins a list of 200 calls (2.1 to 5.6)",
    "lost dates": "no dates of lost leads: they stay on lists until they are too old; these dates decide who is on a "
    "list, so that hiding features cannot measure them",
    "contacts": "no contacts: who was called is not known, so wins by calls and wins without are not told apart; no "
    "feature is made of them, so that hiding features cannot measure them",
}


class HiddenPart(Figures):
    """The model without one part of the data, on the same later rows.

    Attributes
    ----------
    features
        How many were hidden.
    fewer
        Wins a list, at capacity, that are fewer without the part, with the interval over leads.
    auc, auc_without
        Of the model with everything, and without the part.
    """

    part: str
    features: int
    fewer: float
    fewer_low: Figure
    fewer_high: Figure
    auc: float
    auc_without: float

    @property
    def answer(self) -> Answer:
        """Whether the part surely adds wins, surely costs some, or neither."""
        if self.fewer_low is not None and self.fewer_low > 0:
            return "helps"
        return "harms" if self.fewer_high is not None and self.fewer_high < 0 else "cannot tell"

    @property
    def sentence(self) -> str:
        """Say it for people."""
        known = ""
        if self.fewer_low is not None and self.fewer_high is not None:
            known = f" ({self.fewer_low:.1f} to {self.fewer_high:.1f})"
        return f"Without {self.part}: {self.fewer:.1f}{known} wins a list fewer: {self.answer}."


class LacksResult(Spec):
    """What parts of the data add, the most first, and which kinds the source has not at all.

    Attributes
    ----------
    wins, lists, calls
        Of the model with everything: wins a list, the later lists, and the calls of each.
    absent
        Kinds that the source does not have.
    """

    format: Literal[1] = 1
    model_id: str
    fingerprint: str
    confidence: float
    wins: float
    calls: float
    lists: int
    parts: list[HiddenPart]
    absent: list[Kind]

    @property
    def lines(self) -> list[str]:
        """Say it for people, a sentence a line."""
        first = (
            f"With all data {self.wins:.1f} wins a list of {self.calls:,.0f} calls, on {self.lists} later lists. Each "
            f"part is hidden, the model trained again, and wins compared on the same leads ({self.confidence:.0%} "
            "intervals)."
        )
        return [first, *(one.sentence for one in self.parts), *absent_lines(self.absent)]


def absent_lines(kinds: Collection[Kind]) -> list[str]:
    """Say of kinds of data that are not there what they add elsewhere; a sentence a line."""
    return [f"The source has {ABSENT[kind]}." for kind in kinds]


def data_parts(
    entries: Catalogue,
    vocabulary: Vocabulary,
    edited: Collection[str],
    tables: Mapping[str, Collection[str]],
    each: bool,
) -> dict[str, frozenset[int]]:
    """Return the features that come from each part of the data, by index; parts without any, or alike, are left out.

    Parameters
    ----------
    edited
        Attributes that are `known: history`: without their edits nobody knows what they were on a past day.
    tables
        Event types by the table that they come from.
    each
        Whether each attribute and each event type is a part too.
    """
    types = {name: {f"{EVENT}{name}"} for name in vocabulary.event_types}
    channels = {
        f"{channel} events": {f"{EVENT}{name}" for name, of in vocabulary.channels.items() if of == channel}
        for channel in ("online", "offline")
    }
    themes = {entry.theme for entry in entries}
    attributes = {entry.theme for entry in entries if entry.group == "fit"} - OF_ITSELF
    named: dict[str, set[str]] = {
        "events": {theme for theme in themes if theme.startswith(EVENT)},
        **channels,
        **{f"the events of {table}": {f"{EVENT}{name}" for name in known} for table, known in tables.items()},
        "attributes": attributes,
        "the history of edits": attributes & set(edited),
    }
    if each:
        labels = {entry.theme: entry.theme_label for entry in entries}
        named |= {labels[theme]: {theme} for theme in sorted(attributes | themes & set().union(*types.values()))}
    found = {part: _indices(entries, wanted) for part, wanted in named.items()}
    found["the times of events"] = frozenset(number for number, entry in enumerate(entries) if _needs_times(entry))
    kept: dict[str, frozenset[int]] = {}
    for part, columns in found.items():
        if columns and len(columns) < len(entries) and columns not in kept.values():
            kept[part] = columns
    return kept


def _indices(entries: Catalogue, themes: set[str]) -> frozenset[int]:
    wanted = themes | (SUMS if any(theme.startswith(EVENT) for theme in themes) else set())
    return frozenset(number for number, entry in enumerate(entries) if entry.theme in wanted)


def _needs_times(entry: Entry) -> bool:
    """Whether a feature of events says more than how many there were, or how much, until the day."""
    total = entry.measure in ("count", "value_sum") and entry.name.endswith("__ever")
    return entry.theme.startswith(EVENT) and not total
