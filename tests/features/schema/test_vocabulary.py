"""A vocabulary does not depend on the order of the training rows, and never clashes with reserved names."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.schema.declarations import FeatureParams
from features.schema.errors import DataError
from features.schema.vocabulary import Vocabulary
from tests.support.tables import ATTRIBUTES, FEATURES, attribute

COUNTS = ["event_type", "direction", "channel", "n", "n_valued"]
LOW = FEATURES.model_copy(
    update={"max_event_types": 2, "min_event_count": 3, "max_levels": 2, "min_level_count": 2},
)
ONE = {"x": attribute("category")}


def counts(*rows: tuple[str, str, str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=COUNTS)


def learn(*rows: tuple[str, str, str, int, int], params: FeatureParams = LOW) -> Vocabulary:
    return Vocabulary.learn({}, pd.DataFrame({"lead_id": []}), counts(*rows), params)


def of_levels(*cells: Any, params: FeatureParams = LOW) -> Vocabulary:
    leads = pd.DataFrame({"x": pd.Series(cells, dtype="str")})
    return Vocabulary.learn(ONE, leads, counts(), params)


cells = st.lists(st.sampled_from(["a", "b", "c", "d", "other", "10", None]), min_size=1, max_size=20)
kinds = st.tuples(
    st.sampled_from(["visit", "call", "chat", "other"]),
    st.sampled_from(["inbound", "outbound"]),
    st.sampled_from(["online", "offline"]),
    st.integers(1, 5),
    st.integers(0, 1),
)


@given(cells, st.lists(kinds, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(cells: list[Any], rows: list[Any], random: Any) -> None:
    leads, table = pd.DataFrame({"x": pd.Series(cells, dtype="str")}), counts(*rows)
    mixed = leads.iloc[random.sample(range(len(leads)), len(leads))]
    shuffled = table.iloc[random.sample(range(len(table)), len(table))]
    first, second = Vocabulary.learn(ONE, leads, table, LOW), Vocabulary.learn(ONE, mixed, shuffled, LOW)
    assert first.model_dump_json() == second.model_dump_json()
    assert Vocabulary.model_validate_json(first.model_dump_json()) == first


def test_levels_are_the_most_frequent_values_and_ties_go_by_name() -> None:
    assert of_levels("b", "b", "a", "a").levels["x"] == ["a", "b"]
    assert of_levels("b", "b", "b", "a", "a").levels["x"] == ["b", "a"]
    assert of_levels("c", "c", "b", "b", "a", "a").levels["x"] == ["a", "b", "other"]  # too many


def test_of_ten_thousand_levels_the_most_frequent_are_kept() -> None:
    many = [f"level {number}" for number in range(10_000)] * 2
    assert of_levels(*many, "level 77").levels["x"] == ["level 77", "level 0", "other"]


def test_a_value_called_other_joins_the_others() -> None:
    assert of_levels("other", "other", "other", "a", "a").levels["x"] == ["a", "other"]


def test_shares_are_learned_where_there_are_many_values() -> None:
    assert of_levels("a", "b", "b", "c").frequencies == {"x": {"a": 0.25, "b": 0.5, "c": 0.25}}
    assert of_levels("a", "b", "b", None).frequencies == {}


def test_numbers_titles_domains_and_outcomes_have_no_levels() -> None:
    leads = pd.DataFrame({name: pd.Series(["1"], dtype="str") for name in ATTRIBUTES})
    assert set(Vocabulary.learn(ATTRIBUTES, leads, counts(), LOW).levels) == {"sector", "stage"}


def test_types_are_the_most_frequent_and_the_rest_is_other() -> None:
    few = ("visit", "inbound", "online", 3, 0), ("call", "inbound", "online", 3, 0)
    assert (learn(*few).event_types, learn(*few).has_other) == (["call", "visit"], False)
    many = learn(*few, ("chat", "inbound", "online", 9, 0))
    assert (many.event_types, many.has_other) == (["chat", "call"], True)
    rare = learn(("visit", "inbound", "online", 1, 0), ("visit", "outbound", "online", 1, 0))
    assert (rare.event_types, rare.has_other) == ([], True)
    assert (learn().event_types, learn().has_other) == ([], False)


def test_a_type_called_other_is_among_the_others() -> None:
    result = learn(("other", "inbound", "online", 99, 0), ("visit", "inbound", "online", 3, 0))
    assert (result.event_types, result.has_other) == (["visit"], True)


@pytest.mark.parametrize("name", ["any_event", "any_inbound", "any_offline"])
def test_a_type_called_like_a_group_is_refused(name: str) -> None:
    with pytest.raises(DataError, match=f"column 'event_type': found a type called '{name}'"):
        learn((name, "inbound", "online", 3, 0))
    assert learn((name, "inbound", "online", 2, 0)).event_types == []  # among the others it does no harm


def test_groups_that_hold_all_events_are_left_out() -> None:
    assert learn(("visit", "inbound", "online", 3, 0)).event_groups == []
    both = learn(("visit", "inbound", "online", 3, 0), ("call", "outbound", "online", 3, 0))
    assert both.event_groups == ["any_inbound", "any_outbound"]


def test_channels_and_values_of_types() -> None:
    result = learn(
        ("visit", "inbound", "online", 3, 0),
        ("visit", "inbound", "offline", 1, 2),
        ("call", "outbound", "offline", 3, 0),
    )
    assert result.channels == {"visit": "none", "call": "offline"}
    assert result.valued_types == ["visit"]


def test_dates_are_known_from_the_leads() -> None:
    dated = pd.DataFrame({"created_at": pd.to_datetime(["2024-01-01"])})
    assert Vocabulary.learn({}, dated, counts(), LOW).dated
    assert not learn().dated
