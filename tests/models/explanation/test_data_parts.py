"""Which features come from which part of the data, and what is said of a part that was hidden."""

from __future__ import annotations

from models.explanation.data_parts import HiddenPart, absent_lines, data_parts
from tests.support.tables import SPEC

ENTRIES, VOCABULARY = SPEC.catalogue, SPEC.vocabulary


def names(part: frozenset[int]) -> set[str]:
    return {ENTRIES[number].name for number in part}


def test_a_part_takes_its_features_and_the_sums_that_hold_them() -> None:
    parts = data_parts(ENTRIES, VOCABULARY, {"size"}, {}, each=False)
    assert {"events", "attributes", "the history of edits", "the times of events"} <= set(parts)
    assert names(parts["the history of edits"]) == {entry.name for entry in ENTRIES if entry.theme == "size"}
    assert all(ENTRIES[number].theme.startswith("event:") for number in parts["events"])
    assert parts["the times of events"] < parts["events"]
    kept = names(parts["events"]) - names(parts["the times of events"])
    assert kept and all(name.endswith("__ever") and name.startswith(("count__", "value_sum__")) for name in kept)
    assert not parts["attributes"] & parts["events"]


def test_each_event_type_and_attribute_is_a_part_when_asked() -> None:
    few, many = (data_parts(ENTRIES, VOCABULARY, (), {}, each=each) for each in (False, True))
    assert len(many) > len(few)
    shown = {entry.theme: entry.theme_label for entry in ENTRIES}
    hidden = names(many[shown["event:call"]])
    assert {"count__call__ever", "count__any_event__ever"} <= hidden
    assert not any("__visit__" in name for name in hidden)


def test_a_table_of_events_is_a_part() -> None:
    parts = data_parts(ENTRIES, VOCABULARY, (), {"web.csv": {"visit"}, "calls.csv": {"call"}}, each=False)
    assert "recency__call" in names(parts["the events of calls.csv"])
    assert "recency__visit" not in names(parts["the events of calls.csv"])
    assert "the events of web.csv" not in parts, "they are the online events"


def test_parts_alike_are_one() -> None:
    parts = data_parts(ENTRIES, VOCABULARY, (), {"all.csv": VOCABULARY.event_types}, each=False)
    assert len(set(parts.values())) == len(parts)


def test_it_says_how_many_wins_are_fewer_and_whether_that_is_sure() -> None:
    part = HiddenPart(
        part="online events", features=9, fewer=11.0, fewer_low=8.0, fewer_high=14.0, auc=0.8, auc_without=0.7
    )
    assert part.sentence == "Without online events: 11.0 (8.0 to 14.0) wins a list fewer: helps."
    assert part.model_copy(update={"fewer_low": -1.0}).answer == "cannot tell"
    assert part.model_copy(update={"fewer_low": -3.0, "fewer_high": -1.0}).answer == "harms"
    assert "no history of edits" in absent_lines(["edits"])[0]
