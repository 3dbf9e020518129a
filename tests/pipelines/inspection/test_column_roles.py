"""Which columns are the lead's id, its creation and its outcome, and what is said of those that are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features.schema.errors import DataError
from pipelines.config.params import Params, load
from pipelines.inspection.proposal import inspect
from pipelines.inspection.report import Inspection
from pipelines.stages.ingest import ingest
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout

ROWS = 60


def write(path: Path, columns: dict[str, list[str]]) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(",".join(row) for row in [tuple(columns), *rows]) + "\n", encoding="utf-8")
    return path


def look(tmp_path: Path, columns: dict[str, list[str]], **others: dict[str, list[str]]) -> tuple[Inspection, Params]:
    files = {name: write(tmp_path / f"{name}.csv", content) for name, content in others.items()}
    leads = write(tmp_path / "leads.csv", columns)
    found = inspect(leads, files.get("events"), files.get("outcomes"))
    (tmp_path / "mine.yaml").write_text(found.mapping, encoding="utf-8")
    return found, load(tmp_path / "mine.yaml")


def taken(tmp_path: Path, params: Params) -> DataProfile:
    return ingest(params.source, params.ingest, params.project, tmp_path, Layout.folder(tmp_path / "out"))


def outcome_of(params: Params) -> dict[str, str]:
    outcomes = params.source.outcomes
    table = outcomes[0] if isinstance(outcomes, list) else outcomes
    return {name: column for name, column in (table.columns or {}).items() if name != "lead_id"}


IDS = [f"L{row}" for row in range(ROWS)]
CREATED = [f"2024-01-{row % 28 + 1:02d}" for row in range(ROWS)]
WON = ["true" if row % 5 == 0 else "false" for row in range(ROWS)]
WON_ON = ["2024-03-01" if row % 5 == 0 else "" for row in range(ROWS)]
BASE = {"lead_id": IDS, "created_at": CREATED}


# The outcome


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("customer_type", ("B2B", "B2C")),
        ("Kundenart", ("privat", "gewerblich")),
        ("Client Segment", ("Enterprise", "SMB")),
        ("customer_group", ("new", "existing")),
        ("is_business_customer", ("true", "false")),
    ],
)
@pytest.mark.parametrize("answer", ["converted", "Won?"])
def test_a_customer_type_is_no_outcome(tmp_path: Path, name: str, kinds: tuple[str, str], answer: str) -> None:
    found, params = look(tmp_path, BASE | {name: [kinds[row % 3 == 0] for row in range(ROWS)], answer: WON})
    assert outcome_of(params) == {"converted": answer}
    shown = " and ".join(map(repr, sorted(kinds)))
    assert name == "Kundenart" or re.search(
        f"# not the outcome: {name}: ({shown} are no yes|named less)", found.mapping
    )


@pytest.mark.parametrize(
    ("flag", "date"),
    [
        ("Is Customer", "Became Customer On"),
        ("Vendu", "Date de vente"),
        ("IsConverted", "ConvertedDate"),
        ("won", "won_time"),
        ("Gewonnen", "Abschlussdatum"),
        ("Kunde", "Kunde seit"),
    ],
)
def test_a_date_that_agrees_with_the_flag_is_the_outcome(tmp_path: Path, flag: str, date: str) -> None:
    found, params = look(tmp_path, BASE | {flag: WON, date: WON_ON})
    assert outcome_of(params) == {"converted_at": date}
    assert params.source.order == "dates"
    assert f"# not the outcome: {flag}: says what {date} says, which has the date" in found.mapping


def test_rows_where_date_and_flag_disagree_go_to_the_quarantine(tmp_path: Path) -> None:
    dates = ["", *WON_ON[1:]]  # L0 is won, and no date says when
    found, params = look(tmp_path, BASE | {"IsConverted": WON, "ConvertedDate": dates})
    assert outcome_of(params) == {"converted_at": "ConvertedDate", "converted": "IsConverted"}
    assert "filled where IsConverted is 'true' in 98.3% of the rows" in found.mapping
    assert taken(tmp_path, params).tables["outcomes"].quarantined == {"converted without a converted_at": 1}


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("WAHR", "FALSCH"),
        ("ja", "nein"),
        ("Sí", "No"),
        ("oui", "non"),
        ("Sim", "Não"),
        ("verdadero", "falso"),
        ("J", "N"),
        ("VRAI", "FAUX"),
        ("tak", "nie"),
        ("Да", "Нет"),
    ],
)
def test_yes_is_yes_in_other_languages_even_where_it_is_common(tmp_path: Path, yes: str, no: str) -> None:
    answers = [no if row % 5 == 0 else yes for row in range(ROWS)]
    found, params = look(tmp_path, {"lead_id": IDS, "converted": answers})
    assert (params.source.yes_values, params.source.no_values) == ([yes], [no])
    assert not any("is read as converted" in warning for warning in found.warnings)
    assert taken(tmp_path, params).tables["outcomes"].kept == ROWS


def test_exact_names_come_first_and_recent_forms_are_no_outcome(tmp_path: Path) -> None:
    some = ["2024-02-01" if row % 2 else "" for row in range(ROWS)]
    names = {"Recent Conversion Date": some, "Close Date": some, "Became a Customer Date": WON_ON}
    found, params = look(tmp_path, BASE | names)
    assert outcome_of(params) == {"converted_at": "Became a Customer Date"}
    assert "# not the outcome: Close Date: named less like one" in found.mapping


def test_an_outcome_or_creation_that_no_format_fits_is_an_error(tmp_path: Path) -> None:
    odd = [f"{row % 28 + 1}. März 2024" for row in range(ROWS)]
    with pytest.raises(
        DataError, match=r"column 'created_at': found '1\. März 2024' in row 1, .* fit no format of dates"
    ):
        look(tmp_path, {"lead_id": IDS, "created_at": odd, "converted": WON})
    with pytest.raises(DataError, match=r"column 'converted_at': found '1\. März 2024' in row 1"):
        look(tmp_path, BASE | {"converted_at": odd})


@pytest.mark.parametrize("name", ["Owner", "Assigned To", "OwnerId", "Sales Rep", "Zuständiger Mitarbeiter"])
def test_who_works_a_lead_is_decided_later(tmp_path: Path, name: str) -> None:
    found, params = look(tmp_path, BASE | {name: ["Ann", "Bob"] * 30, "converted_at": WON_ON})
    (owner,) = params.source.attributes.values()
    assert (owner.column, owner.known) == (name, "outcome")
    assert any(f"{name!r} looks leaky: who works a lead is decided after its creation" in one for one in found.warnings)
    shown = name != "OwnerId"  # an id says nothing to people
    assert ("a list for each owner: lists.owner: " in found.mapping) == shown
    assert list(params.source.leads.display) == [name] * shown


# The lead's id


def test_one_repeated_lead_breaks_nothing(tmp_path: Path) -> None:
    ids = [*IDS[:-1], IDS[0]]
    mails = [f"p{row}@x.com" for row in range(ROWS)]
    found, params = look(tmp_path, {"email": mails, "lead_id": ids, "created_at": CREATED, "converted_at": WON_ON})
    assert params.source.leads.columns == {"lead_id": "lead_id", "created_at": "created_at"}
    assert "lead_id: named like an id, with 1 repeated of 60" in found.mapping


@pytest.mark.parametrize(
    ("name", "ids", "few"),
    [
        ("Record ID", [*IDS[:-2], *IDS[:2]], "2 repeated"),
        ("Lead No.", [*IDS[:-1], ""], "1 empty"),
        ("lead_uuid", [*IDS[:-2], IDS[0], ""], "1 repeated and 1 empty"),
        ("Kundennummer", [*IDS[:-3], *[IDS[5]] * 3], "3 repeated"),
    ],
)
def test_a_few_faults_of_an_id_are_said(tmp_path: Path, name: str, ids: list[str], few: str) -> None:
    found, params = look(tmp_path, {"email": [f"p{row}@x.com" for row in range(ROWS)], name: ids} | {"converted": WON})
    assert (params.source.leads.columns or {})["lead_id"] == name
    assert f"{name}: named like an id, with {few} of 60" in found.mapping


@pytest.mark.parametrize("name", ["Record ID", "Kundennummer", "leadId", "Lead No."])
def test_named_like_an_id_it_is_preferred(tmp_path: Path, name: str) -> None:
    revenue = [str(1000 + row * 7) for row in range(ROWS)]
    owners = [f"O{row}" for row in range(ROWS)]
    _, params = look(tmp_path, {"Owner ID": owners, "revenue": revenue, name: IDS, "converted": WON})
    assert (params.source.leads.columns or {})["lead_id"] == name


def test_a_column_that_another_file_joins_is_the_id(tmp_path: Path) -> None:
    mails = [f"p{row}@x.com" for row in range(ROWS)]
    won = {"who": mails[::5], "won_on": ["2024-03-01"] * 12}
    _, params = look(tmp_path, {"row_code": IDS, "mail": mails, "created_at": CREATED}, outcomes=won)
    assert (params.source.leads.columns or {})["lead_id"] == "mail"


def test_a_mail_address_or_a_revenue_is_no_id_by_itself(tmp_path: Path) -> None:
    mails = [f"p{row}@x.com" for row in range(ROWS)]
    revenue = [f"€{row}.234;50" for row in range(ROWS)]
    _, params = look(tmp_path, {"email": mails, "revenue": revenue, "converted": WON})
    assert params.source.leads.columns == {}


def test_many_repeats_are_named(tmp_path: Path) -> None:
    won = {"lead_id": IDS[:10], "won_on": ["2024-03-01"] * 10}
    with pytest.raises(DataError, match="nearly\\) every row: 'lead_id' has 50% different values"):
        look(tmp_path, {"lead_id": IDS[:30] * 2, "created_at": CREATED}, outcomes=won)


@pytest.mark.parametrize("name", ["lead_id", "Contact ID", "Kundennummer", "id", "Prospect Id"])
def test_several_rows_a_lead_are_no_list_of_leads(tmp_path: Path, name: str) -> None:
    ids = [IDS[row // 3] for row in range(ROWS)]
    with pytest.raises(DataError, match=f"{name!r} has 33% different values, so there are several rows a lead"):
        look(tmp_path, {name: ids, "created": CREATED, "event": ["visit", "mail", "call"] * 20, "converted": WON})


@pytest.mark.parametrize(
    ("of_leads", "of_outcomes", "normalise"),
    [
        ("{0:03d}", "{0}", ["integer"]),
        ("{0}", "{0}.0", ["integer"]),
        ("K{0}", "'K{0}", ["strip"]),
        ("K{0}", "K{0} ", ["strip"]),
        ("00{0}", "' {0}.0", ["strip", "integer"]),
    ],
)
def test_ids_in_two_spellings_are_joined(tmp_path: Path, of_leads: str, of_outcomes: str, normalise: list[str]) -> None:
    numbers = range(1, ROWS + 1)
    won = {"lead": [of_outcomes.format(n) for n in numbers][::5], "won_on": ["2024-03-01"] * 12}
    leads = {"id": [of_leads.format(n) for n in numbers], "created_at": CREATED}
    found, params = look(tmp_path, leads, outcomes=won)
    assert list(params.source.normalise) == normalise
    assert any("ids are spelled in more than one way" in warning for warning in found.warnings)
    assert taken(tmp_path, params).tables["outcomes"].kept == 12


@pytest.mark.parametrize("rounded", ["7.00002E+15", '"7,00002E+15"', "7.00002e15", "7E+15"])
def test_rounded_ids_are_said_to_be_lost(tmp_path: Path, rounded: str) -> None:
    leads = {"id": [str(7_000_020_000_000_000 + row) for row in range(ROWS)], "created_at": CREATED}
    won = {"id": [rounded] * 5, "won_on": ["2024-03-01"] * 5}
    with pytest.raises(DataError, match=f"A spreadsheet has rounded ids, as '{re.escape(rounded.strip(chr(34)))}'"):
        look(tmp_path, leads, outcomes=won)
