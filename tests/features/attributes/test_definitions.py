"""Attributes stand as they stood at the snapshot, and become the features that they are declared to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from features.attributes.as_of import attributes_as_of, check_history
from features.attributes.definitions import attribute_features, count_unseen, domain_kind, fit_matrix
from features.schema.declarations import AttributeSpec, FeatureParams
from features.schema.errors import DataError
from features.schema.titles import TitleLevel
from features.schema.vocabulary import Vocabulary
from tests.support.tables import (
    ATTRIBUTES,
    DAY,
    FEATURES,
    HOUR,
    MONDAY,
    PARAMS,
    TICK,
    VOCABULARY,
    Row,
    Scenario,
    attribute,
    frame,
    moments,
    scenarios,
)

TIMES = (MONDAY, MONDAY + 7 * DAY)
HISTORIC = [name for name, spec in ATTRIBUTES.items() if spec.known == "history"]


def lead(**values: object) -> Row:
    return {"lead_id": "a", "position": 0, "created_at": MONDAY - 10 * DAY - 9 * HOUR} | values


def edit(age: pd.Timedelta, **values: object) -> Row:
    return {"lead_id": "a", "valid_from": MONDAY - age} | values


def as_of(leads: list[Row], history: list[Row], at: pd.Timestamp = MONDAY) -> pd.Series[Any]:
    rows = moments([("a", at)])
    return attributes_as_of(rows, frame("leads", leads), frame("attribute_history", history), ATTRIBUTES).iloc[0]


def column(name: str, kind: str, cells: list[Any], vocabulary: Vocabulary = VOCABULARY) -> pd.DataFrame:
    """The features of one attribute called x, one row a cell."""
    spec = {"x": attribute(kind)}
    leads = frame("leads", [lead(lead_id=str(i), x=cell) for i, cell in enumerate(cells)], spec)
    rows = leads.assign(snapshot_at=pd.Series([MONDAY] * len(cells), dtype="datetime64[us]"))
    return fit_matrix(rows, spec, FEATURES, vocabulary)[name]


def level(name: str, kind: str, cells: list[Any]) -> list[str | None]:
    """The levels behind the codes of one attribute's feature."""
    levels = {one.name: one.levels for one in attribute_features({"x": attribute(kind)}, FEATURES, VOCABULARY)}[name]
    assert levels is not None
    return [None if np.isnan(code) else levels[int(code)] for code in column(name, kind, cells)]


# Attributes as they stood


@given(scenarios(TIMES))
def test_as_of_is_the_last_edit_before(scenario: Scenario) -> None:
    tables = scenario.tables
    result = attributes_as_of(tables.snapshots, tables.leads, tables.history, ATTRIBUTES)
    current = {row["lead_id"]: row for row in scenario.leads}
    assert list(result["lead_id"]) == [who for who, _ in scenario.pairs]
    for index, (who, at) in enumerate(scenario.pairs):
        edits = [row for row in scenario.history if row["lead_id"] == who]
        before = [row for row in edits if row["valid_from"] < at]
        stood = max(before, key=lambda row: row["valid_from"]) if before else {}
        expected = current[who] | ({name: stood.get(name) for name in HISTORIC} if edits else {})
        for name in ATTRIBUTES:
            cell = result.loc[index, name]
            assert (None if pd.isna(cell) else cell) == expected.get(name), (name, who, at)


@pytest.mark.parametrize(("age", "size"), [(TICK, 2.0), (0 * DAY, 1.0), (-TICK, 1.0)])
def test_an_edit_counts_from_after_its_moment(age: pd.Timedelta, size: float) -> None:
    assert as_of([lead(size=9.0)], [edit(9 * DAY, size=1.0), edit(age, size=2.0)])["size"] == size


def test_what_the_crm_shows_today_counts_only_for_leads_never_edited() -> None:
    later = edit(-DAY, size=2.0)
    assert as_of([lead(size=9.0)], [edit(9 * DAY, size=1.0), later])["size"] == 1.0
    assert np.isnan(as_of([lead(size=9.0)], [later])["size"])  # what it was before its first edit is not known
    assert as_of([lead(size=9.0)], [later | {"lead_id": "b"}])["size"] == 9.0
    assert as_of([lead(size=9.0)], [])["size"] == 9.0


def test_an_emptied_field_is_missing() -> None:
    assert np.isnan(as_of([lead(size=9.0)], [edit(9 * DAY, size=1.0), edit(DAY, stage="early")])["size"])


# Job titles and domains

TITLES = [
    ("Vice President Sales", "vice_president", "sales"),
    ("VP of Engineering", "vice_president", "information_technology"),
    ("Vice-President, Legal", "vice_president", "not named"),
    ("SVP Finance", "vice_president", "finance"),
    ("President", "executive", "general_management"),
    ("CEO & Founder", "executive", "general_management"),
    ("Co-Founder", "executive", "general_management"),
    ("Managing Director", "executive", "general_management"),
    ("Chief Operating Officer", "executive", "operations"),
    ("Chief Financial Officer", "executive", "finance"),
    ("Chief People Officer", "executive", "human_resources"),
    ("Head of IT", "director", "information_technology"),
    ("Dir. of Ops", "director", "operations"),
    ("  HEAD  OF   MARKETING (acting)", "director", "marketing"),
    ("IT Manager", "manager", "information_technology"),
    ("Sales Lead", "manager", "sales"),
    ("Marketing Mgr.", "manager", "marketing"),
    ("Assistant Manager", "manager", "not named"),
    ("Channel Partner Manager", "manager", "not named"),
    ("Student Success Manager", "manager", "not named"),
    ("Human Resources Manager", "manager", "human_resources"),
    ("Assistant to the CEO", "junior", "general_management"),
    ("Executive Assistant", "junior", "not named"),
    ("Junior Account Manager", "junior", "sales"),
    ("PhD Student", "junior", "not named"),
    ("Product Owner", "specialist", "information_technology"),
    ("HR Business Partner", "specialist", "human_resources"),
    ("Account Executive", "specialist", "sales"),
    ("Sales Engineer", "specialist", "sales"),
    ("Senior Data Scientist", "specialist", "information_technology"),
    ("Leadership Coach", "not named", "not named"),
    ("Italian Teacher", "not named", "not named"),
    ("n/a", "not named", "not named"),
]


@pytest.mark.parametrize(("title", "seniority", "function"), TITLES)
def test_titles(title: str, seniority: str, function: str) -> None:
    assert level("x__seniority", "title", [title]) == [seniority]
    assert level("x__function", "title", [title]) == [function]


def test_a_level_with_several_lines_is_one_level() -> None:
    names = [rule.level for rule in PARAMS.features.seniority]
    features = attribute_features({"x": attribute("title")}, FEATURES, VOCABULARY)
    assert len(set(names)) < len(names)
    assert all(len(set(one.levels)) == len(one.levels) for one in features if one.levels)


@pytest.mark.parametrize("word", ["VP", "vice-president", " head", ""])
def test_a_word_that_never_occurs_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="never occurs"):
        TitleLevel(level="director", words=["director", word])


@pytest.mark.parametrize("host", ["Gmail.com", ".edu", "@web.de", ""])
def test_a_host_that_never_matches_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="never matches"):
        FeatureParams.model_validate(FEATURES.model_dump() | {"free_domains": [host]})


@pytest.mark.parametrize(
    ("domain", "kind"),
    [
        ("gmail.com", "free"),
        ("Ann.Lee@GMAIL.com", "free"),
        (" ann@web.de ", "free"),
        ("gmail.com.example", "company"),
        ("notgmail.com", "company"),
        ("acme.example", "company"),
        ("it@mail.acme.example", "company"),
        ("mit.edu", "academic"),
        ("cs.ox.ac.uk", "academic"),
        ("x@CS.MIT.EDU", "academic"),
        ("education.example", "company"),
        ("notac.uk", "company"),
    ],
)
def test_kinds_of_domains(domain: str, kind: str) -> None:
    assert domain_kind(domain, FEATURES) == kind
    assert level("x__kind", "domain", [domain]) == [kind]


# Categories, numbers, dates


def words_of(**levels: list[str]) -> Vocabulary:
    return VOCABULARY.model_copy(update={"levels": levels, "frequencies": {}})


def test_an_unseen_value_is_other_where_training_had_one() -> None:
    cells = ["steel", "new", None, "other"]
    assert column("x", "category", cells, words_of(x=["steel", "other"])).tolist()[1::2] == [1.0, 1.0]
    result = column("x", "category", cells, words_of(x=["food", "steel"]))
    np.testing.assert_array_equal(result, [1.0, np.nan, np.nan, np.nan])


def test_unseen_values_are_counted() -> None:
    rows = pd.DataFrame({"sector": ["steel", "new", None, "newer"], "stage": ["early"] * 4})
    assert count_unseen(rows, ATTRIBUTES, VOCABULARY) == {"sector": 2}


def test_a_value_that_looks_like_a_number_stays_a_name() -> None:
    assert column("x", "category", ["1", "01", "1.0"], words_of(x=["1.0", "1", "01"])).tolist() == [1.0, 2.0, 0.0]


@pytest.mark.parametrize("name", ["job__seniority", "own__kind", "its__function"])
def test_a_category_may_be_called_like_a_feature_of_a_title(name: str) -> None:
    spec = {name: attribute("category")}
    rows = frame("leads", [lead(**{name: "CEO"})], spec).assign(snapshot_at=MONDAY)
    assert fit_matrix(rows, spec, FEATURES, words_of(**{name: ["clown", "CEO"]}))[name].tolist() == [1.0]


@pytest.mark.parametrize(
    ("kind", "names"),
    [("category", ["x"]), ("number", ["x"]), ("title", ["x__seniority", "x__function"]), ("domain", ["x__kind"])],
)
def test_a_column_without_any_value_is_missing(kind: str, names: list[str]) -> None:
    for name in names:
        assert column(name, kind, [None, None], words_of(x=["steel"])).isna().all()


def test_how_common_a_value_is() -> None:
    vocabulary = VOCABULARY.model_copy(update={"levels": {"x": ["a"]}, "frequencies": {"x": {"a": 0.75, "b": 0.25}}})
    result = column("x__frequency", "category", ["a", "b", "c", None], vocabulary)
    np.testing.assert_array_equal(result, [0.75, 0.25, 0.0, np.nan])


def test_age_and_calendar() -> None:
    rows = frame("leads", [lead()]).assign(snapshot_at=MONDAY)  # created 11 days before Monday 4 March, at 15:00
    result = fit_matrix(rows, ATTRIBUTES, FEATURES, VOCABULARY).iloc[0]
    assert result["lead_age"] == 10.375
    assert (result["created_weekday"], result["created_hour"], result["created_month"]) == (3, 15, 2)


def test_missing_values_are_counted_over_what_may_be_used() -> None:
    rows = frame("leads", [lead(), lead(size=1.0, rating="hot"), lead(sector="steel", mail="a.example", job="x")])
    result = fit_matrix(rows.assign(snapshot_at=MONDAY), ATTRIBUTES, FEATURES, VOCABULARY)
    assert result["missing_attributes"].tolist() == [5.0, 4.0, 2.0]


def test_what_is_known_through_the_outcome_is_no_feature() -> None:
    features = attribute_features(ATTRIBUTES, FEATURES, VOCABULARY)
    assert not [one.name for one in features if one.attribute == "rating"]
    only: dict[str, AttributeSpec] = {"rating": ATTRIBUTES["rating"]}
    assert attribute_features(only, FEATURES, VOCABULARY.model_copy(update={"dated": False})) == []


def test_leads_without_dates_have_no_age() -> None:
    undated = VOCABULARY.model_copy(update={"dated": False})
    names = [one.name for one in attribute_features(ATTRIBUTES, FEATURES, undated)]
    assert not {"lead_age", "created_hour", "created_weekday", "created_month"} & set(names)


def test_a_history_that_does_not_begin_with_its_lead_is_refused() -> None:
    leads = pd.DataFrame({"lead_id": ["a", "b"], "created_at": [MONDAY, MONDAY]})
    whole = pd.DataFrame({"lead_id": ["a", "a"], "valid_from": [MONDAY, MONDAY + DAY]})
    check_history(leads, whole)
    with pytest.raises(DataError, match="1 of 1 leads whose first row is later"):
        check_history(leads, whole[whole["valid_from"] > MONDAY])
