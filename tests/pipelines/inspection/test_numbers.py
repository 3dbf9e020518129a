"""Numbers as people write them: proposed with their notation, read in by it, and never an id or a category."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.inspection.attributes import flow
from pipelines.inspection.column_facts import ColumnFacts, decimal_mark, describe, doubts
from tests.pipelines.inspection.test_column_roles import CREATED, IDS, ROWS, WON, WON_ON, look, taken
from tests.support.small_source import LEADS, run, table


def facts(values: list[str], name: str = "Revenue", decimal: str = "") -> ColumnFacts:
    return describe(name, pd.Series(values, dtype="str"), False, decimal)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        ("€{0}.234,50", '{decimal: ",", thousands: ".", ignore: ["€"]}'),
        ("${0},234.50", '{thousands: ",", ignore: ["$"]}'),
        ("{0}234,50", '{decimal: ","}'),
        ("{0}\u00a0234,50", '{decimal: ",", thousands: " "}'),
        ("{0}%", '{ignore: ["%"]}'),
        ("{0}.2k", '{multiples: {"k": 1000}}'),
        ("{0}'234.50 CHF", '{thousands: "\'", ignore: ["CHF"]}'),
        ("€ {0}.500,-", '{decimal: ",", thousands: ".", ignore: ["€"]}'),
        ("{0}.500 €", '{decimal: ",", thousands: ".", ignore: ["€"]}'),
        ("１{0}", "{}"),
        ("１{0}，５００．５", '{thousands: ","}'),
        ("٣{0}٫٥", "{}"),
        ("{0} T€", '{multiples: {"T€": 1000}}'),
        ("{0},5 Mio. €", '{decimal: ",", ignore: ["€"], multiples: {"Mio.": 1000000}}'),
        ("EUR {0}.234,50", '{decimal: ",", thousands: ".", ignore: ["EUR"]}'),
        ("{0}.234,50 EUR", '{decimal: ",", thousands: ".", ignore: ["EUR"]}'),
        ("US${0},234.50", '{thousands: ",", ignore: ["US$"]}'),
        ("(${0},234.50)", '{thousands: ",", ignore: ["$"]}'),
        ("${0},234", '{thousands: ",", ignore: ["$"]}'),
        ("{0},234 USD", '{thousands: ",", ignore: ["USD"]}'),
        ("Rs. {0},234", '{thousands: ",", ignore: ["Rs."]}'),
        ("-{0}234,50", '{decimal: ","}'),
        ("+{0}234,5", '{decimal: ","}'),
        ("{0}234,-", '{decimal: ","}'),
        ("{0}\u202f234,50", '{decimal: ",", thousands: " "}'),
        ("{0}\u2009234,50", '{decimal: ",", thousands: " "}'),
        ("{0} 234,50", '{decimal: ",", thousands: " "}'),
        ("{0} %", '{ignore: ["%"]}'),
        ("{0},5%", '{decimal: ",", ignore: ["%"]}'),
        ("{0}.5 %", '{ignore: ["%"]}'),
        ("{0}.2K", '{multiples: {"K": 1000}}'),
        ("{0}.2 Tsd.", '{multiples: {"Tsd.": 1000}}'),
        ("${0}.2M", '{ignore: ["$"], multiples: {"M": 1000000}}'),
        ("${0}/mo", '{ignore: ["$", "/mo"]}'),
    ],
)
def test_a_notation_is_proposed(write: str, expected: str) -> None:
    one = facts([write.format(row) for row in range(1, ROWS)])
    assert (one.look, one.bad) == ("number", "")
    assert one.numbers is not None
    assert one.numbers.written is not None
    assert flow(one.numbers.written) == expected


def test_a_few_words_among_numbers_are_bad_values() -> None:
    one = facts([*map(str, range(5000, 5120)), "ca. 5000", "#N/A"])
    assert (one.look, one.bad) == ("number", "1 of 121 values are no numbers: 'ca. 5000' in row 121")
    assert (one.placeholders, one.absent) == ({"#N/A": 1}, ["#N/A"])
    assert "go to the quarantine unless `missing`" in doubts(one)[0]


@pytest.mark.parametrize("empty", ["#NV", "#DIV/0!", "#WERT!", "n.a.", "k.A.", "-None-", "(blank)", "\\N", "tbd"])
def test_what_stands_for_no_number_is_proposed_as_missing(empty: str) -> None:
    one = facts([*map(str, range(5000, 5120)), empty])
    assert (one.look, one.bad, one.absent) == ("number", "", [empty])


@pytest.mark.parametrize("odd", ["~5000", "approx. 5000", "> 5000", "5000+", "5.000 - 6.000"])
def test_about_a_number_is_a_bad_value(odd: str) -> None:
    one = facts([*map(str, range(5000, 5120)), odd])
    assert (one.look, one.bad) == ("number", f"1 of 121 values are no numbers: {odd!r} in row 121")


@pytest.mark.parametrize("odd", ["€{0}.234;50", "{0}.234,50 €*", "ab {0},50", "{0}|234"])
@pytest.mark.parametrize("name", ["Annual Revenue", "Umsatz", "deal_value"])
def test_a_quantity_is_never_an_id(name: str, odd: str) -> None:
    one = facts([odd.format(row) for row in range(1, ROWS)], name)
    assert one.look == "mixed" and "no notation of numbers fits" in doubts(one)[0]


def test_numbers_in_two_notations_are_no_category() -> None:
    one = facts([f"€1.{row:03d},50" if row % 2 else f"$1,{row:03d}.50" for row in range(120)])
    assert one.look == "mixed"
    assert "export it in one notation" in doubts(one)[0]
    many = facts([*map(str, range(5000, 5100)), *(f"ca. {row}" for row in range(40))])
    assert many.look == "mixed"
    assert facts(["1", "2", "3", "4+"] * 30, "rooms").look == "category"
    assert facts(["1-10", "11-50", "51-200"] * 30, "employees").look == "category"


@pytest.mark.parametrize("units", [("USD", "EUR"), ("€", "zł"), ("%", "€")])
def test_amounts_in_several_currencies_are_no_number(units: tuple[str, str]) -> None:
    one = facts([f"{row + 100} {units[row % 2]}" for row in range(ROWS)])
    assert one.look == "mixed"
    assert "in more than one unit" in doubts(one)[0]
    assert facts([f"{row + 100} {('€', 'EUR')[row % 2]}" for row in range(ROWS)]).look == "number"


def test_one_that_may_be_two_is_said_and_the_other_columns_decide() -> None:
    values = [f"{row}.234" for row in range(1, ROWS)]
    alone = facts(values)
    assert "may be read in two ways: '.' is taken for the decimal mark" in doubts(alone)[0]
    other = pd.Series(["1,5", "2,25"] * 30, dtype="str")
    beside = facts(values, decimal=decimal_mark([pd.Series(values, dtype="str"), other]))
    assert doubts(beside) == []
    assert beside.numbers is not None
    assert beside.numbers.written is not None
    assert flow(beside.numbers.written) == '{decimal: ",", thousands: "."}'


@pytest.mark.parametrize(
    ("name", "values", "look"),
    [
        ("Annual Revenue", [str(10_000 + 7 * row) for row in range(ROWS)], "number"),
        ("No. of Employees", [str(row) for row in range(ROWS)], "number"),
        ("Region_Code", ["28", "3", "7"] * 20, "category"),
        ("Browser", ["1", "2", "13"] * 20, "category"),
        ("TrafficType", ["1", "2", "20"] * 20, "category"),
        ("Agent_ID", ["101", "102", "103"] * 20, "category"),
        ("plant", ["007", "008"] * 30, "category"),
        ("Region_Code", ["28.0", "3.0", "41.0"] * 20, "category"),
        ("Policy_Sales_Channel", ["26.0", "124.0"] * 30, "category"),
        ("Discount_Type", ["0.5", "1.0"] * 30, "number"),
        ("Lead Number", [str(row) for row in range(ROWS)], "id"),
        ("visits", ["1", "2", "3"] * 20, "number"),
        ("Postal Code", ["10115", "80331"] * 30, "category"),
        ("Device_ID", ["4", "5", "6"] * 20, "category"),
        ("Customer Segment", ["1", "2"] * 30, "category"),
        ("column 1", [str(row) for row in range(ROWS)], "id"),
        ("Unnamed: 0", [str(row) for row in range(ROWS)], "id"),
    ],
)
def test_codes_name_and_quantities_measure(name: str, values: list[str], look: str) -> None:
    assert facts(values, name).look == look


def test_what_is_proposed_is_read(tmp_path: Path) -> None:
    revenue = [f'"€{row + 1}.234,50"' if row else "k.A." for row in range(ROWS)]
    share = [f'"{row},5 %"' for row in range(ROWS)]
    leads = {"lead_id": IDS, "created_at": CREATED, "Umsatz": revenue, "Rabatt": share, "won_at": WON_ON}
    found, params = look(tmp_path, leads)
    assert 'umsatz: {column: "Umsatz", kind: number, number_format: {decimal: ",", thousands: ".", ignore: ["€"]}, ' \
        'missing: ["k.A."]' in found.mapping  # fmt: skip
    profile = taken(tmp_path, params)
    assert profile.tables["leads"].kept == ROWS
    umsatz = profile.tables["leads"].columns["umsatz"]
    assert (umsatz.missing, umsatz.min, umsatz.max) == (1, 2234.5, 60234.5)
    assert profile.tables["leads"].columns["rabatt"].max == 59.5


def test_values_of_events_have_a_notation_too(tmp_path: Path) -> None:
    events = {"lead_id": IDS, "at": ["2024-02-01 10:00"] * ROWS, "kind": ["a", "b"] * 30}
    events["amount"] = [f'"1.{row:03d},5"' for row in range(ROWS)]
    _, params = look(tmp_path, {"lead_id": IDS, "created_at": CREATED, "won_at": WON_ON}, events=events)
    assert params.source.events[0].columns == {
        "lead_id": "lead_id", "event_at": "at", "event_type": "kind", "value": "amount"
    }  # fmt: skip
    assert taken(tmp_path, params).tables["events"].columns["value"].max == 1059.5


def test_engagement_by_name(tmp_path: Path) -> None:
    counts = [str(row % 7) for row in range(ROWS)]
    found, _ = look(tmp_path, {"lead_id": IDS, "Page Views": counts, "size": counts, "converted": WON})
    assert 'page_views: {column: "Page Views", kind: number, group: engagement,' in found.mapping
    assert 'size: {column: "size", kind: number, known' in found.mapping


def test_codes_are_declared_as_categories_with_the_reason(tmp_path: Path) -> None:
    codes = [str(row % 7) for row in range(ROWS)]
    found, params = look(tmp_path, {"lead_id": IDS, "Browser": codes, "Land": ["DE", "FR"] * 30, "converted": WON})
    assert 'browser: {column: "Browser", kind: category, known: export, label: "browser"}  # codes: whole ' \
        "numbers, and named like one" in found.mapping  # fmt: skip
    assert 'land: {column: "Land", known: export' in found.mapping
    assert params.source.attributes["browser"].kind == "category"


def test_years_of_two_digits_are_named(tmp_path: Path) -> None:
    files = {
        "leads.csv": LEADS.replace("2024-", "24-"),
        "events.csv": "id,at,kind,minutes\n",
        "outcomes.csv": "id,won\n",
    }
    for written, advice in (
        ("iso", r'say in source.leads.time_format where they stand, such as "%y-%m-%d" or "%d-%m-%y"'),
        ("%Y-%m-%d", "write %y instead of %Y in source.leads.time_format"),
    ):
        with pytest.raises(DataError, match=f"The years have two digits, as in '24-01-01': {advice}"):
            run(tmp_path, files, leads=table("leads", time_format=written))


def test_the_error_of_a_nightly_run_says_what_to_set(tmp_path: Path) -> None:
    leads = "id,created,country,size\n" + "".join(f'{n},2024-01-01,DE,"1.{n:03d},50"\n' for n in range(9))
    with pytest.raises(
        DataError, match=r'in row 1.* Set source.attributes.size.number_format: \{"decimal": ",", "thous'
    ):
        run(tmp_path, {"leads.csv": leads, "events.csv": "id,at,kind,minutes\n", "outcomes.csv": "id,won\n"})
    some = LEADS.replace("10", "€1.234,50")
    for odd in ("€1.234,50", "$1,234.50", "1,2 Mio. €", "1 234,50"):
        with pytest.raises(
            DataError, match=rf"size is not a number, first '{re.escape(odd)}' in row 1 .*number_format"
        ):
            run(tmp_path, {"leads.csv": some.replace("€1.234,50", f'"{odd}"')})
