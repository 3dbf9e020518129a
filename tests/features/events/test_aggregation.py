"""Event features follow their definitions and use nothing that was not yet known."""

from __future__ import annotations

import time
from typing import Any

import duckdb
import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings

from features.events import aggregation as event_sums
from features.events.aggregation import DECAY_UNIT, VALUE_UNIT, compute_event_features, visible_events
from features.events.definitions import count_events, event_features
from features.schema.contract import MOST_VALUE, TABLES, faults
from features.schema.declarations import FeatureParams
from features.schema.vocabulary import Vocabulary
from tests.support.pandas_reference import reference_matrix
from tests.support.tables import (
    DAY,
    FEATURES,
    HOUR,
    MONDAY,
    TICK,
    VOCABULARY,
    Row,
    Scenario,
    crowd,
    frame,
    moments,
    scenarios,
    table,
)

TIMES = (MONDAY, MONDAY + 7 * DAY, MONDAY + 30 * DAY)


def visit(age: pd.Timedelta = DAY, late: pd.Timedelta = 0 * DAY, **other: Any) -> Row:
    """A visit of lead a, some time before Monday, and known some time later."""
    rest = {"lead_id": "a", "event_type": "visit", "direction": "inbound", "channel": "online", "value": None}
    return rest | {"event_at": MONDAY - age, "known_at": MONDAY - age + late} | other


def computed(
    snapshots: pd.DataFrame,
    events: list[Row] | pa.Table,
    params: FeatureParams = FEATURES,
    vocabulary: Vocabulary = VOCABULARY,
) -> pd.DataFrame:
    log = table("events", events) if isinstance(events, list) else events
    rows = pa.Table.from_pandas(snapshots.assign(row=range(len(snapshots))))
    result = visible_events(ibis.memtable(rows), ibis.memtable(log), vocabulary)
    return added(result.to_pyarrow(), snapshots, params, vocabulary)


def added(result: pa.Table, snapshots: pd.DataFrame, params: FeatureParams, vocabulary: Vocabulary) -> pd.DataFrame:
    """Put the pieces of `compute_event_features` together; each must begin where the one before it ended."""
    pieces, end = [], 0
    for rows, values in compute_event_features(result, snapshots["snapshot_at"], params, vocabulary):
        assert rows.start == end
        pieces.append(pd.DataFrame(values))
        end = rows.stop
    assert end == len(snapshots) == sum(map(len, pieces))
    return pd.concat(pieces, ignore_index=True)


def test_one_lead_with_most_of_the_events_costs_no_more_than_the_same_events_of_many() -> None:
    """50,000 events of one lead, and of 500: a cost that grows with the square of a lead's would be a hundred times."""
    n, spent = 50_000, []
    for leads in (500, 1):
        pairs = [(f"l{number}", MONDAY) for number in range(leads)]
        ages = pd.to_timedelta(np.arange(n) % 20_000, "min") + HOUR
        names = [f"l{number}" for number in np.arange(n) % leads]
        rows = pd.DataFrame(visit() | {"lead_id": names, "event_at": MONDAY - ages, "known_at": MONDAY - ages})
        log = pa.Table.from_pandas(rows, table("events", []).schema, preserve_index=False)
        began = time.process_time()
        found = computed(moments(pairs), log)
        spent.append(time.process_time() - began)
    assert found["count__visit__ever"].tolist() == [n]
    assert spent[1] < 10 * spent[0] + 0.5


def of_a(*events: Row, at: pd.Timestamp = MONDAY, params: FeatureParams = FEATURES) -> pd.Series[float]:
    return computed(moments([("a", at)]), list(events), params).iloc[0]


def assert_equal_to_reference(
    snapshots: pd.DataFrame, events: list[Row], params: FeatureParams = FEATURES, vocabulary: Vocabulary = VOCABULARY
) -> None:
    result = computed(snapshots, events, params, vocabulary)
    expected = reference_matrix(snapshots, frame("events", events), params, vocabulary)
    assert list(result) == list(expected)
    for name in result:  # a decay weight is rounded to its unit, once for each event
        slack = (len(events) + 1) / DECAY_UNIT if name.startswith("decayed") else 1e-6
        np.testing.assert_allclose(result[name], expected[name], rtol=1e-6, atol=slack, err_msg=name)


@settings(max_examples=12)
@given(scenarios(TIMES))
def test_equal_to_the_reference(scenario: Scenario) -> None:
    assert_equal_to_reference(moments(scenario.pairs), scenario.events)


@pytest.mark.parametrize("clock", [0 * HOUR, 13 * HOUR])
def test_equal_to_the_reference_on_a_crowd(clock: pd.Timedelta) -> None:
    """Hundreds of leads at once, at midnight and in the middle of the day, with the project's own windows."""
    scenario = crowd(TIMES, 120, 900, clock)
    params = FEATURES.model_copy(update={"windows_days": [1, 7, 30, 90], "half_lives_days": [7, 30]})
    assert_equal_to_reference(moments(scenario.pairs), scenario.events, params)


def test_neither_pieces_nor_the_order_of_events_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = crowd(TIMES, 60, 900, 13 * HOUR)
    snapshots = moments(scenario.pairs)
    rows = ibis.memtable(pa.Table.from_pandas(snapshots.assign(row=range(len(snapshots)))))
    result = visible_events(rows, ibis.memtable(table("events", scenario.events)), VOCABULARY).to_pyarrow()
    expected = added(result, snapshots, FEATURES, VOCABULARY)
    for seed, size in enumerate((1, 7, 10_000)):
        monkeypatch.setattr(event_sums, "PIECE_EVENTS", size)
        shuffled = result.take(np.random.default_rng(seed).permutation(len(result)))
        pd.testing.assert_frame_equal(added(shuffled, snapshots, FEATURES, VOCABULARY), expected, check_exact=True)


@pytest.mark.parametrize(
    ("age", "late", "expected"),
    [
        (0 * DAY, 0 * DAY, (0, 0, 0)),  # at the snapshot
        (TICK, 0 * DAY, (1, 1, 1)),
        (-TICK, 0 * DAY, (0, 0, 0)),
        (DAY, 0 * DAY, (1, 1, 1)),  # exactly on the window's edge
        (DAY + TICK, 0 * DAY, (0, 1, 1)),
        (7 * DAY, 0 * DAY, (0, 1, 1)),
        (7 * DAY + TICK, 0 * DAY, (0, 0, 1)),
        (3 * DAY, 3 * DAY, (0, 1, 1)),  # known exactly at the snapshot
        (3 * DAY, 3 * DAY + TICK, (0, 0, 0)),
    ],
)
def test_windows_are_half_open(age: pd.Timedelta, late: pd.Timedelta, expected: tuple[int, int, int]) -> None:
    result = of_a(visit(age, late))
    assert tuple(result[f"count__visit__{window}"] for window in ("1d", "7d", "ever")) == expected


def test_an_empty_window_gives_what_is_declared() -> None:
    result = of_a(visit(lead_id="b"))
    for feature in event_features(FEATURES, VOCABULARY):
        assert (result[feature.name] == 0) if feature.fills_zero else np.isnan(result[feature.name]), feature


def test_no_events_and_no_snapshots_give_the_same_columns() -> None:
    names = [feature.name for feature in event_features(FEATURES, VOCABULARY)]
    assert list(computed(moments([("a", MONDAY)]), [])) == names
    assert computed(moments([]), [visit()]).shape == (0, len(names))


def test_a_late_arrival_never_takes_a_day_from_what_was_known_before() -> None:
    known, late = visit(DAY - HOUR), visit(DAY - TICK, 5 * DAY, event_type="call")  # late, but earlier on that day
    for at, days in ((MONDAY, 1), (MONDAY + 7 * DAY, 1)):
        assert of_a(known, late, at=at)["active_days__any_inbound__ever"] == days


def test_days_are_counted_separately_by_direction() -> None:
    result = of_a(visit(DAY, direction="outbound"), visit(DAY - HOUR), visit(DAY - 2 * HOUR), visit(2 * DAY))
    assert result["active_days__any_event__ever"] == 2
    assert result["active_days__any_inbound__ever"] == 2
    assert result["active_days__any_inbound__1d"] == 1


def test_outreach_is_unanswered_until_the_lead_acts() -> None:
    calls = [visit(days * DAY, event_type="call", direction="outbound") for days in (1, 2, 3, 5)]
    assert of_a(*calls)["unanswered__any_outbound"] == 4
    assert of_a(*calls, visit(3 * DAY))["unanswered__any_outbound"] == 2  # an answer of the same moment is one
    assert of_a(*calls, visit(3 * DAY, 4 * DAY))["unanswered__any_outbound"] == 4  # not known yet
    assert of_a(*calls, visit(HOUR))["unanswered__any_outbound"] == 0


def test_of_values_at_one_moment_the_highest_is_the_last() -> None:
    result = of_a(visit(value=1.0), visit(value=3.0), visit(value=2.0), visit(HOUR), visit(2 * DAY, value=9.0))
    assert (result["value_last__visit"], result["value_max__visit"]) == (3.0, 9.0)


def test_pace_is_in_events_a_week() -> None:
    """Two in the last 7 days are 2 a week; 23 in the 23 days before are 7 a week."""
    before = [visit(days * DAY) for days in range(8, 31)]
    assert of_a(visit(), visit(7 * DAY), *before)["trend__any_event__7d"] == pytest.approx(2 - 7)


def test_a_weight_halves_with_every_half_life() -> None:
    assert of_a(visit(7 * DAY), visit(14 * DAY))["decayed__visit__7d"] == 0.75


def test_sums_are_of_integers_so_that_their_order_changes_no_bit() -> None:
    result = of_a(visit(HOUR, value=0.1), visit(3 * HOUR, value=0.2), visit(5 * HOUR))
    assert (result["decayed__visit__7d"] * DECAY_UNIT).is_integer()
    assert result["value_sum__visit__ever"] == 300_000 / VALUE_UNIT


def test_any_value_that_the_contract_lets_in_can_be_added() -> None:
    most = float(MOST_VALUE)
    result = of_a(visit(value=most), visit(value=most), visit(DAY * 2, value=-most))
    assert (result["value_sum__visit__1d"], result["value_sum__visit__ever"]) == (2 * most, most)
    found_faults = {one.reason: one.test for one in faults("events", TABLES["events"], ["value"], "iso", dated=True)}
    test = found_faults["value is above a trillion"]
    rows = duckdb.sql(f"SELECT {test} FROM (VALUES ({most}), (-{most} - 1), (NULL)) AS t(value)").fetchall()
    assert rows == [(False,), (True,), (None,)]


def test_a_type_that_training_did_not_know_is_other() -> None:
    result = of_a(visit(event_type="never seen"), visit())
    assert (result["count__other__7d"], result["count__visit__7d"], result["count__any_event__7d"]) == (1, 1, 2)


def test_rare_types_alone_give_other_alone() -> None:
    rare = VOCABULARY.model_copy(update={"event_types": [], "valued_types": [], "channels": {}, "event_groups": []})
    result = computed(moments([("a", MONDAY)]), [visit(), visit(event_type="call")], vocabulary=rare).iloc[0]
    assert (result["count__other__7d"], result["count__any_event__ever"]) == (2, 2)
    assert event_features(FEATURES, rare.model_copy(update={"has_other": False})) == []


def test_what_is_counted_before_a_moment() -> None:
    events = [visit(value=1.0), visit(2 * DAY), visit(0 * DAY), visit(DAY, DAY), visit(DAY, DAY + TICK)]
    counts = count_events(ibis.memtable(table("events", events)), ibis.literal(MONDAY.to_pydatetime()))
    assert counts.to_pyarrow().to_pylist() == [
        {"event_type": "visit", "direction": "inbound", "channel": "online", "n": 3, "n_valued": 1}
    ]


def test_features_have_names_and_words_of_their_own() -> None:
    features = event_features(FEATURES, VOCABULARY)
    assert len({feature.name for feature in features}) == len(features)
    assert len({feature.describe(feature.scope) for feature in features}) == len(features)
    assert all("  " not in feature.describe("a visit") for feature in features)
