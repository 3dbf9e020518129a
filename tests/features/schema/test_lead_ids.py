"""Ids that differ only in spelling: what makes them alike, and why ids are no leads."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.schema.lead_ids import (
    NORMALISERS,
    Normaliser,
    find_normalisers,
    is_salesforce,
    normal,
    normal_sql,
    reason,
    same_person,
)

SALESFORCE = ["0015000000GlVcKAAV", "00Q5e00001KpXyZEAA"]  # the second with a wrong end
OF_LEADS = ["101", "102", "103", "7"]


@pytest.mark.parametrize(
    ("ids", "leads", "expected"),
    [
        (["101.0", "102.0", "103.00"], OF_LEADS, ("integer",)),
        (["007", "0101"], OF_LEADS, ("integer",)),
        (["101.000", "102."], OF_LEADS, ("integer",)),
        (["00000007", "0000101"], OF_LEADS, ("integer",)),
        (["101\t", "102\u202f"], OF_LEADS, ("strip",)),
        (["'101", "'102"], OF_LEADS, ("strip",)),
        (["101 ", "\u00a0102"], OF_LEADS, ("strip",)),
        (["'007", "'102.0 "], OF_LEADS, ("strip", "integer")),
        (["\ufeff101", '"7"'], OF_LEADS, ("strip",)),
        (["0015000000GlVcKAAV"], ["0015000000GlVcK", "0015000000GlVck"], ("sf15",)),
        (["0015000000GlVcK"], ["0015000000GlVcKAAV"], ("sf15",)),
        (["0015000000GlVcKAAV "], ["0015000000GlVcK"], ("strip", "sf15")),
        (["0015000000GlVck"], ["0015000000GlVcKAAV"], ()),  # another lead: its last letter is small
        (["ABCDEFGHIJ12345XYZ"], ["ABCDEFGHIJ12345"], ()),  # 18 characters, and no Salesforce id
        (["Ann@F.com", "bob@f.com"], ["ann@f.com", "bob@f.com"], ("mail",)),
        (["Ann@f.com ", "bob@f.com"], ["ann@f.com", "bob@f.com"], ("strip", "mail")),
        (["ANN", "bob"], ["ann", "bob"], ()),  # capitals of an id tell leads apart
        (["101", "102"], OF_LEADS, ()),
        (["901", "902"], OF_LEADS, ()),
        ([], OF_LEADS, ()),
    ],
)
def test_the_fewest_normalisers_that_help(ids: list[str], leads: list[str], expected: tuple[str, ...]) -> None:
    assert find_normalisers(ids, leads) == expected


def test_salesforce_ids_repeat_their_case_at_the_end() -> None:
    assert [is_salesforce(text) for text in SALESFORCE] == [True, False]
    assert not is_salesforce("0015000000GlVcK")


def test_the_reason_is_computed() -> None:
    assert reason(["101.0"], OF_LEADS) == (
        "They differ in spelling, as '101.0' and '101': write lead_id: {column: ..., normalise: [integer]}."
    )
    assert "rounded ids, as '7.00002E+15'" in reason(["7.00002E+15"], ["7000021234567890"])
    assert "capital letters" in reason(["k1", "k2"], ["K1", "K2"])
    assert reason(["901"], OF_LEADS) == ""


@given(st.text("0123456789.,' \u00a0\"aZK@Ü\ufeff", max_size=20), st.lists(st.sampled_from(NORMALISERS), unique=True))
def test_sql_and_python_make_the_same_id(text: str, normalise: list[Normaliser]) -> None:
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT {normal_sql('x', normalise)} FROM (SELECT $x AS x)", {"x": text}).fetchall()
    assert rows == [(normal(text, normalise),)]


def test_all_ids_of_a_person_are_found_along_any_chain_of_merges() -> None:
    merges = [("B", "a"), ("gone", "B "), ("c", "gone"), ("x", "y")]
    assert same_person("a", merges, ("strip",)) == ("a", "B", "B ", "c", "gone")
    assert same_person("c", merges, ("strip",)) == ("c", "B", "B ", "a", "gone")
    assert same_person("nobody", merges, ()) == ("nobody",)
