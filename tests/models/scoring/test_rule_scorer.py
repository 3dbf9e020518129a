"""Hand-written rules do what they say: caps hold, points decay, negatives recover, and the log is the sum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from features.attributes.as_of import attributes_as_of
from features.rules.declarations import START, RulesParams, check_attributes, unseen_types
from features.rules.point_log import attribute_entries, attribute_facts, event_entries, event_points
from features.schema.errors import ParamsError
from models.scoring.rule_points import contributions, explain, points
from tests.support.rules_reference import reference_points
from tests.support.tables import (
    ATTRIBUTES,
    DAY,
    FEATURES,
    HOUR,
    MONDAY,
    TICK,
    VOCABULARY,
    Row,
    Scenario,
    crowd,
    event_rows,
    frame,
    moments,
    scenarios,
    table,
)

TIMES = (MONDAY, MONDAY + 7 * DAY, MONDAY + 30 * DAY)
SOON = settings(max_examples=7)


def on_events(name: str, types: list[str], worth: int, cap: Any = None, decay: Any = None) -> Row:
    limit = None if cap is None else {"times": cap[0], "days": cap[1]}
    fading = None if decay is None else {"kind": decay[0], "days": decay[1]}
    return {"name": name, "types": types, "points": worth, "cap": limit, "decay": fading}


def on_pattern(name: str, types: list[str], answers: list[str], times: int, worth: int, days: int | None = None) -> Row:
    return {"name": name, "types": types, "answers": answers, "times": times, "days": days, "points": worth}


def rules(events: Any = (), patterns: Any = (), attributes: Any = (), start: int = 0) -> RulesParams:
    steps = [{"name": "hot", "at_least": 20}, {"name": "warm", "at_least": 5}]
    tree = {"start": start, "attributes": list(attributes), "events": list(events), "patterns": list(patterns)}
    return RulesParams.model_validate(tree | {"thresholds": steps})


EVERY_KIND = rules(
    [
        on_events("visits", ["visit"], 8, (2, 7), ("half_life", 7)),
        on_events("talks", ["call", "chat"], 5, (1, 1), ("linear", 30)),
        on_events("chats", ["chat"], -4, None, ("expiry", 7)),
        on_events("others", ["other"], -3, (3, 30)),
    ],
    [
        on_pattern("ignored", ["call"], ["visit"], 2, -30),
        on_pattern("busy", ["visit", "chat"], [], 3, 7, days=7),
        on_pattern("silent", ["other"], ["chat", "call"], 1, -6, days=30),
    ],
    start=3,
)
AGAINST = rules(
    [
        on_events("chats", ["chat"], -4, (1, 7), ("half_life", 7)),
        on_events("others", ["other"], -9, (2, 1), ("linear", 30)),
        on_events("both", ["chat", "other"], -2, None, ("expiry", 7)),
        on_events("visits", ["visit"], 5, (2, 7), ("half_life", 7)),
    ],
    [on_pattern("ignored", ["chat"], ["visit"], 2, -30), on_pattern("noisy", ["other"], [], 2, -6, days=7)],
)


def event(kind: str, age: pd.Timedelta = DAY, late: pd.Timedelta = 0 * DAY, **other: Any) -> Row:
    """An event of lead a, so long before Monday, and known so much later."""
    rest = {"lead_id": "a", "event_type": kind, "direction": "inbound", "channel": "online", "value": None}
    return rest | {"event_at": MONDAY - age, "known_at": MONDAY - age + late} | other


def log_of(pairs: list[tuple[str, pd.Timestamp]], events: list[Row], params: RulesParams) -> pd.DataFrame:
    rows = pa.Table.from_pandas(moments(pairs).assign(row=range(len(pairs))))
    found = event_entries(ibis.memtable(rows), ibis.memtable(table("events", events)), params).to_pyarrow().to_pandas()
    return found.sort_values(["row", "rule", "earned_at"], ignore_index=True)


def total_of(pairs: list[tuple[str, pd.Timestamp]], events: list[Row], params: RulesParams) -> np.ndarray:
    return points(log_of(pairs, events, params), len(pairs), params)


def of_a(params: RulesParams, *events: Row, at: pd.Timestamp = MONDAY) -> float:
    return float(total_of([("a", at)], list(events), params)[0])


@SOON
@given(scenarios(TIMES))
def test_equal_to_the_reference(scenario: Scenario) -> None:
    expected = reference_points(moments(scenario.pairs), frame("events", scenario.events), EVERY_KIND)
    assert total_of(scenario.pairs, scenario.events, EVERY_KIND) == pytest.approx(
        expected, abs=0.001 * (len(scenario.events) + 1)
    )


@pytest.mark.parametrize("clock", [0 * HOUR, 13 * HOUR])
def test_equal_to_the_reference_on_a_crowd(clock: pd.Timedelta) -> None:
    scenario = crowd(TIMES, 80, 600, clock)
    expected = reference_points(moments(scenario.pairs), frame("events", scenario.events), EVERY_KIND)
    assert len(np.unique(expected.round(2))) > 30
    assert total_of(scenario.pairs, scenario.events, EVERY_KIND) == pytest.approx(expected, abs=0.03)


@SOON
@given(scenarios(TIMES), st.data())
def test_more_negative_events_never_raise_the_sum(scenario: Scenario, data: st.DataObject) -> None:
    more = data.draw(event_rows(sorted({lead for lead, _ in scenario.pairs}), list(TIMES)))
    worse = [row for row in more if row["event_type"] in ("chat", "other")]
    assume(worse)
    before, after = (total_of(scenario.pairs, rows, AGAINST) for rows in (scenario.events, scenario.events + worse))
    assert (after <= before).all()


@SOON
@given(scenarios(TIMES))
def test_the_log_is_the_sum_to_the_last_bit(scenario: Scenario) -> None:
    n = len(scenario.pairs)
    log = log_of(scenario.pairs, scenario.events, EVERY_KIND)
    rows = pa.Table.from_pandas(moments(scenario.pairs).assign(row=range(n)))
    summed = event_points(event_entries(ibis.memtable(rows), scenario.event_table, EVERY_KIND)).to_pyarrow().to_pandas()
    total = points(summed, n, EVERY_KIND)
    assert points(log.sample(frac=1, random_state=1), n, EVERY_KIND).tobytes() == total.tobytes()
    assert contributions(summed, n, EVERY_KIND).sum(axis=1) == pytest.approx(total, abs=1e-9)
    for row, (_, at) in enumerate(scenario.pairs):
        shown = explain(log[log["row"] == row], at, EVERY_KIND)
        assert shown["points"].sum() == pytest.approx(total[row], abs=1e-9)
        assert (shown["earned_at"].dropna() < at).all()
        assert (shown["decays_at"].dropna() >= at).all()


@SOON
@given(scenarios(TIMES), st.data())
def test_what_is_not_known_yet_changes_nothing(scenario: Scenario, data: st.DataObject) -> None:
    pairs = [(lead, at) for lead, at in scenario.pairs if at == MONDAY]
    more = data.draw(event_rows(["a", "b"], [MONDAY]))
    late = [row | {"known_at": max(row["known_at"], MONDAY + TICK)} for row in more]
    coming = [row | {"event_at": max(row["event_at"], MONDAY)} for row in more]
    coming = [row | {"known_at": max(row["known_at"], row["event_at"])} for row in coming]
    alone = total_of(pairs, scenario.events, EVERY_KIND)
    assert total_of(pairs, scenario.events + late + coming, EVERY_KIND).tobytes() == alone.tobytes()


@given(
    kind=st.sampled_from(["half_life", "linear", "expiry"]),
    first=st.integers(1, 40),
    then=st.integers(0, 40),
    worth=st.sampled_from([-50, 50]),
)
@settings(max_examples=8)
def test_decay_is_monotone_and_composes(kind: str, first: int, then: int, worth: int) -> None:
    faded = rules([on_events("visits", ["visit"], worth, None, (kind, 14))])
    at = [MONDAY + days * HOUR * 6 for days in (first, then + 1, first + then, first + then + 1)]
    short, long, both, later = np.abs(total_of([("a", one) for one in at], [event("visit", 0 * DAY)], faded)) / 50
    assert later <= both <= short <= 1
    parts = {
        "half_life": 0.5 ** ((first + then) / 56),
        "linear": max(0.0, 1 - (first + then) / 56),
        "expiry": float(first + then <= 56),
    }
    assert both == pytest.approx(parts[kind], abs=0.0001)
    if kind == "half_life":
        assert short * long == pytest.approx(later, abs=0.0001)
    elif kind == "linear":
        assert later == pytest.approx(max(0.0, short + long - 1), abs=0.0001)


@SOON
@given(scenarios(TIMES))
def test_caps_hold_in_every_period(scenario: Scenario) -> None:
    log = log_of(scenario.pairs, scenario.events, EVERY_KIND)
    for rule in EVERY_KIND.events:
        if rule.cap is not None:
            mine = log[log["rule"] == rule.name]
            period = (mine["earned_at"].dt.floor("D") - pd.Timestamp("1900-01-01")).dt.days // rule.cap.days
            assert mine.groupby(["row", period]).size().max() <= rule.cap.times or mine.empty


def test_a_cap_of_a_week_begins_on_monday_and_keeps_the_latest() -> None:
    capped = rules([on_events("visits", ["visit"], 8, (1, 7), ("half_life", 7))])
    assert of_a(capped, event("visit", 7 * DAY), event("visit", TICK)) == pytest.approx(8, abs=0.001)
    before = event("visit", 7 * DAY + TICK)  # on the Sunday, so in a week of its own
    assert of_a(capped, before, event("visit", TICK)) == pytest.approx(8 + 4, abs=0.001)


def test_windows_are_half_open() -> None:
    plain = rules([on_events("visits", ["visit"], 8, None, ("expiry", 7))])
    assert of_a(plain, event("visit", 0 * DAY)) == 0
    assert of_a(plain, event("visit", TICK)) == 8
    assert of_a(plain, event("visit", 7 * DAY)) == 8
    assert of_a(plain, event("visit", 7 * DAY + TICK)) == 0
    assert of_a(plain, event("visit", DAY, DAY)) == 8
    assert of_a(plain, event("visit", DAY, DAY + TICK)) == 0


def test_four_e_mails_without_a_click_are_forgiven_once_a_click_comes() -> None:
    ignored = rules(patterns=[on_pattern("ignored", ["mail"], ["click"], 4, -30)])
    mails = [event("mail", days * DAY) for days in (1, 2, 3, 9)]
    assert of_a(ignored, *mails[:3]) == 0
    assert of_a(ignored, *mails) == -30
    assert of_a(ignored, *mails, event("mail", 12 * DAY)) == -30  # once, however many
    assert of_a(ignored, *mails, event("click", HOUR)) == 0
    once = rules(patterns=[on_pattern("ignored", ["mail"], ["click"], 1, -30)])
    assert of_a(once, event("mail"), event("click")) == 0  # at the same moment it is an answer
    assert of_a(ignored, *mails, event("click", 10 * DAY)) == -30
    assert of_a(ignored, *mails, event("click", DAY, 2 * DAY)) == -30  # not known yet
    again = [event("mail", -days * DAY) for days in (1, 2, 3, 4)]
    assert of_a(ignored, *mails, event("click", HOUR), *again, at=MONDAY + 7 * DAY) == -30


def test_the_log_says_when_a_pattern_was_earned_and_when_it_lapses() -> None:
    busy = rules(patterns=[on_pattern("busy", ["visit"], [], 2, 10, days=7)])
    log = log_of([("a", MONDAY)], [event("visit", days * DAY) for days in (1, 3, 5, 8)], busy)
    shown = explain(log, MONDAY, busy).iloc[1]
    assert shown["earned_at"] == MONDAY - 3 * DAY  # the second of those in the window
    assert shown["decays_at"] == MONDAY + 4 * DAY  # from then on only the latest is in the window
    visits = [event("visit", days * DAY) for days in (1, 3, 5, 8)]
    assert of_a(busy, *visits, at=MONDAY + 4 * DAY) == 10
    assert of_a(busy, *visits, at=MONDAY + 4 * DAY + TICK) == 0


def test_the_log_says_when_points_of_events_decay() -> None:
    params = rules(
        [
            on_events("half", ["visit"], 8, None, ("half_life", 7)),
            on_events("even", ["visit"], 8, None, ("linear", 30)),
            on_events("gone", ["visit"], 8, None, ("expiry", 14)),
            on_events("ever", ["visit"], 8),
        ],
        start=5,
    )
    shown = explain(log_of([("a", MONDAY)], [event("visit", 8 * DAY)], params), MONDAY, params).set_index("rule")
    assert shown["points"].to_dict() == pytest.approx(
        {START: 5, "half": 8 * 0.5 ** (8 / 7), "even": 8 * 22 / 30, "gone": 8, "ever": 8}, abs=0.001
    )
    earned = MONDAY - 8 * DAY
    assert shown.loc["half", "decays_at"] == earned + 14 * DAY
    assert shown.loc["even", "decays_at"] == earned + 30 * DAY
    assert shown.loc["gone", "decays_at"] == earned + 14 * DAY
    assert shown.loc["ever", "decays"] == "stays"
    assert pd.isna(shown.loc["ever", "decays_at"])


def override_facts(*leads: Row) -> pd.DataFrame:
    rows = [{"lead_id": str(n), "position": n, "created_at": MONDAY - DAY} | lead for n, lead in enumerate(leads)]
    snapshots = moments([(str(n), MONDAY) for n in range(len(leads))])
    full = attributes_as_of(snapshots, frame("leads", rows), frame("attribute_history", []), ATTRIBUTES)
    return attribute_facts(full, ATTRIBUTES, FEATURES, VOCABULARY)


def on_attribute(attribute: str, test: str, value: Any, worth: int = 10) -> Row:
    return {"name": f"{attribute} {test}", "attribute": attribute, "test": test, "value": value, "points": worth}


@pytest.mark.parametrize(
    ("attribute", "test", "value", "expected"),
    [
        ("sector", "is", ["toys", "steel"], [0, 0, 10]),  # toys is no level of its own, and still itself
        ("sector", "missing", [], [10, 0, 0]),
        ("size", "at_least", 100, [0, 10, 0]),
        ("size", "below", 100, [10, 0, 0]),
        ("size", "missing", [], [0, 0, 10]),
        ("job__seniority", "is", ["executive"], [10, 0, 0]),
        ("mail__kind", "is", ["free"], [0, 10, 0]),
        ("lead_age", "below", 2, [10, 10, 10]),
    ],
)
def test_points_for_what_a_lead_is(attribute: str, test: str, value: Any, expected: list[int]) -> None:
    facts = override_facts(
        {"size": 5.0, "job": "Chief Clown"},
        {"size": 100.0, "sector": "food", "mail": "Ann@GMAIL.com"},
        {"sector": "toys"},
    )
    params = rules(attributes=[on_attribute(attribute, test, value)], start=1)
    check_attributes(params, facts, ATTRIBUTES)
    entries = attribute_entries(facts, params)
    assert points(entries, 3, params).tolist() == [one + 1 for one in expected]
    for row in range(3):
        assert explain(entries[entries["row"] == row], MONDAY, params)["points"].sum() == expected[row] + 1


@pytest.mark.parametrize(
    ("attribute", "test", "value", "words"),
    [
        ("colour", "is", ["red"], "'colour', which these data do not have"),
        ("rating", "is", ["A"], "'rating', which is known only after the outcome"),
        ("size", "is", ["5"], "'size', which is a number"),
        ("sector", "at_least", 5, "'sector', which is text"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_named(attribute: str, test: str, value: Any, words: str) -> None:
    params = rules(attributes=[on_attribute(attribute, test, value)])
    with pytest.raises(ParamsError, match=words) as error:
        check_attributes(params, override_facts({}), ATTRIBUTES)
    assert f"{attribute} {test}" in str(error.value)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"attributes": [on_attribute("size", "is", 5)]}, "takes a list of texts"),
        ({"attributes": [on_attribute("size", "below", ["5"])]}, "takes a number"),
        ({"attributes": [on_attribute("size", "missing", ["5"])]}, "takes an empty list"),
        ({"events": [on_events("a", ["visit"], 1), on_events("a", ["call"], 1)]}, "two rules are called 'a'"),
        ({"events": [on_events("a", ["visit", "visit"], 1)]}, "'visit' occurs twice"),
        ({"patterns": [on_pattern("a", ["visit"], ["visit"], 1, 1)]}, "'visit' occurs twice"),
        ({"events": [on_events("a", ["visit"], 1, (0, 7))]}, "greater than or equal to 1"),
    ],
)
def test_a_rule_without_sense_is_refused(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        rules(**broken)


def test_without_rules_every_lead_has_the_start() -> None:
    nothing = rules(start=7)
    log = log_of([("a", MONDAY), ("b", MONDAY)], [event("visit")], nothing)
    everything = pd.concat([log, attribute_entries(override_facts({}, {}), nothing)])
    assert everything.empty
    assert points(everything, 2, nothing).tolist() == [7, 7]
    assert contributions(everything, 2, nothing).tolist() == [[7], [7]]


def test_thresholds_fall() -> None:
    with pytest.raises(ValidationError, match="from the highest down"):
        RulesParams.model_validate(
            rules().model_dump() | {"thresholds": [{"name": "a", "at_least": n} for n in (1, 2)]}
        )


def test_types_that_the_data_do_not_hold_are_known() -> None:
    assert unseen_types(EVERY_KIND, ["visit", "chat"]) == ["call", "other"]


def test_rows_of_other_leads_and_their_order_change_nothing() -> None:
    scenario = crowd(TIMES, 20, 200)
    total = total_of(scenario.pairs, scenario.events, EVERY_KIND)
    turned = replace(scenario, events=scenario.events[::-1])
    assert total_of(turned.pairs, turned.events, EVERY_KIND).tobytes() == total.tobytes()
    one = scenario.pairs[7]
    assert total_of([one], scenario.events, EVERY_KIND)[0] == total[7]
