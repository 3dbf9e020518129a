"""The sample of the tutorial, and names of columns and files in other languages than English."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import ParamsError
from pipelines.config.params import Params, load
from pipelines.inspection.attributes import label_of
from pipelines.inspection.file_format import sniff
from pipelines.inspection.outcome_status import find_status
from pipelines.inspection.starter import look, tell_apart, write_starter
from pipelines.simulation.german_export import day_of, write_german_export
from pipelines.storage.layout import Layout
from tests.pipelines.inspection.test_column_roles import IDS, ROWS, taken, write
from tests.pipelines.inspection.test_column_roles import look as look_at

FEW = 150
BASE = {"lead_id": IDS, "created_at": [f"2024-01-{row % 28 + 1:02d}" for row in range(ROWS)]}
WON_ON = ["2024-03-01" if row % 5 == 0 else "" for row in range(ROWS)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Params]:
    folder = tmp_path_factory.mktemp("german")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.simulation.german_export.LEADS", FEW)
        write_german_export(folder / "june")
        write_german_export(folder / "july", dt.date(2026, 7, 1))
        write_german_export(folder / "again")
    june = folder / "june"
    write_starter(june, june / "leadscore.yaml", look(june), 200)
    return folder, load(june / "leadscore.yaml")


def test_what_init_proposes_for_the_sample_is_right(project: tuple[Path, Params]) -> None:
    source = project[1].source
    assert source.order == "dates" and source.leads.columns == {"lead_id": "Lead-Nr.", "created_at": "Angelegt am"}
    outcomes = source.outcomes[0]
    assert outcomes.columns == {"lead_id": "Lead-Nr.", "status": "Status", "closed_at": "Abgeschlossen am"}
    assert (outcomes.won_values, outcomes.lost_values) == (["Gewonnen"], ["Verloren"])
    assert source.events[0].columns == {
        "lead_id": "Lead-Nr.",
        "event_at": "Zeitpunkt",
        "event_type": "Art",
        "direction": "Richtung",
        "value": "Dauer (Min.)",
    }
    assert list(source.leads.display) == ["Vorname", "Nachname", "Firma", "E-Mail", "Zuständig"]
    read = {one.column: one.known for one in source.attributes.values()}
    assert read["Auftragswert"] == "outcome"
    assert not {"Vorname", "Nachname", "Status", "Abgeschlossen am"} & set(read)


def test_another_day_of_export_tells_the_same_story(project: tuple[Path, Params]) -> None:
    folder = project[0]
    for name in ("Leads.csv", "Aktivitaeten.csv"):
        assert (folder / "june" / name).read_bytes() == (folder / "again" / name).read_bytes()
    june, july = (
        pd.read_csv(folder / day / "Aktivitaeten.csv", sep=";", encoding="cp1252") for day in ("june", "july")
    )
    assert len(july) > len(june) == len(july.merge(june.drop_duplicates(), how="inner"))
    assert pd.to_datetime(june["Zeitpunkt"], format="%d.%m.%Y %H:%M:%S").max() < pd.Timestamp("2026-07-01")


@pytest.mark.parametrize("day", ["2026-06-31", "2024-01-01", "2026-08-01", "today"])
def test_a_day_outside_of_the_sample_is_refused(day: str) -> None:
    with pytest.raises(ParamsError, match="is no day from 2025-12-31 to 2026-07-31"):
        day_of(day)


@pytest.mark.parametrize(
    ("names", "leads", "events", "outcomes"),
    [
        (["Aktivitäten.csv", "Leads.csv"], "Leads.csv", "Aktivitäten.csv", None),
        (
            ["Abschlüsse.csv", "Interessenten.csv", "Ereignisse.csv"],
            "Interessenten.csv",
            "Ereignisse.csv",
            "Abschlüsse.csv",
        ),
        (["Kunden.xlsx", "Website-Besuche.csv"], "Kunden.xlsx", "Website-Besuche.csv", None),
        (["clientes.csv", "actividades.csv", "ventas.csv"], "clientes.csv", "actividades.csv", "ventas.csv"),
    ],
)
def test_files_are_told_apart_in_other_languages(
    tmp_path: Path, names: list[str], leads: str, events: str | None, outcomes: str | None
) -> None:
    for name in names:
        (tmp_path / name).touch()
    found = tell_apart(tmp_path)
    assert [path and path.name for path in (found.leads, found.events, found.outcomes)] == [leads, events, outcomes]


@pytest.mark.parametrize(
    "name", ["Abgeschlossen am", "Abschlussdatum", "Geschlossen am", "Fecha de cierre", "closedate", "Дата закрытия"]
)
def test_a_closing_date_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    status = ["Gewonnen" if row % 5 == 0 else "Verloren" if row % 5 == 1 else "Neu" for row in range(ROWS)]
    closed = ["2024-03-01" if row % 5 < 2 else "" for row in range(ROWS)]
    found = find_status(sniff(write(tmp_path / "deals.csv", BASE | {"Status": status, name: closed})))
    assert found is not None and found.closed_at == name


def test_names_and_phones_of_people_are_shown_and_never_learned_from(tmp_path: Path) -> None:
    people = {
        "First Name": [f"F{row % 12}" for row in range(ROWS)],
        "Last Name": [f"L{row % 9}" for row in range(ROWS)],
        "Phone": [f"{490300000 + row % 17}" for row in range(ROWS)],
        "Company": [f"Firm {row % 50}" for row in range(ROWS)],
        "Owner": ["Ann" if row % 2 else "Bob" for row in range(ROWS)],
        "converted_at": WON_ON,
    }
    found, params = look_at(tmp_path, BASE | people)
    assert {one.column for one in params.source.attributes.values()} == {"Owner"}
    assert list(params.source.leads.display) == ["First Name", "Last Name", "Company", "Phone", "Owner"]
    assert "# not read: Last Name (a person's name)" in found.mapping
    assert "# not read: Phone (a phone number)" in found.mapping
    assert "# not read: Company (a name that most rows have alone)" in found.mapping


def test_a_company_of_many_leads_is_read(tmp_path: Path) -> None:
    firms = {"Company": [f"Firm {row % 6}" for row in range(ROWS)], "converted_at": WON_ON}
    assert "company" in look_at(tmp_path, BASE | firms)[1].source.attributes


def test_directions_in_german_are_read(tmp_path: Path) -> None:
    events = {
        "lead_id": IDS,
        "Zeitpunkt": ["2024-02-01"] * ROWS,
        "Richtung": ["Eingehend" if row % 2 else "ausgehend " for row in range(ROWS)],
    }
    params = look_at(tmp_path, BASE | {"converted_at": WON_ON}, events=events)[1]
    assert (params.source.events[0].columns or {})["direction"] == "Richtung"
    profile = taken(tmp_path, params)
    assert profile.tables["events"].kept == ROWS
    read = pd.read_parquet(Layout.folder(tmp_path / "out").events.path)
    assert read["direction"].value_counts().to_dict() == {"inbound": ROWS // 2, "outbound": ROWS // 2}


@pytest.mark.parametrize(
    ("name", "label"), [("Zuständig", "zuständig"), ("LeadSource", "lead source"), ("Größe_in_m²", "größe in m²")]
)
def test_labels_keep_their_letters(name: str, label: str) -> None:
    assert label_of(name) == label
