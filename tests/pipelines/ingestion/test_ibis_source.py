"""Tables of a database through Ibis, here an SQLite file behind a URL: the contract as from files, and clear faults."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.scheduled.input_files import ingest_if_changed
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.small_source import EVENTS, LEADS, WON, contract_bytes, mapping, run, table

# Ibis 12 copies frames in a way that pandas will drop; nothing of ours to change.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
URL = "LEADSCORE_WAREHOUSE"


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "warehouse.sqlite"
    with closing(sqlite3.connect(path)) as database:
        for name, text in (("leads", LEADS), ("events", EVENTS), ("won", WON)):
            header, *rows = [line.split(",") for line in text.splitlines()]
            columns = ", ".join(f"{one} {'REAL' if one in ('size', 'minutes') else 'TEXT'}" for one in header)
            database.execute(f"CREATE TABLE {name} ({columns})")
            marks = ", ".join("?" * len(header))
            database.executemany(
                f"INSERT INTO {name} VALUES ({marks})", [[cell or None for cell in row] for row in rows]
            )
        database.commit()
    monkeypatch.setenv(URL, f"sqlite://{path}")
    return path


def of_ibis(name: str, **changed: Any) -> dict[str, Any]:
    contract = {"won": "outcomes"}.get(name, name)
    return table(contract, path=URL, format="ibis", **({"table": name} | changed))


SOURCE = {"leads": of_ibis("leads"), "events": [of_ibis("events")], "outcomes": of_ibis("won")}


def test_the_contract_is_that_of_the_same_rows_in_files(tmp_path: Path, warehouse: Path) -> None:
    files, database = tmp_path / "files", tmp_path / "database"
    for folder in (files, database):
        folder.mkdir()
    run(files)
    run(database, **SOURCE)
    layouts = [Layout.folder(folder / "out") for folder in (files, database)]
    assert contract_bytes(layouts[0]) == contract_bytes(layouts[1])


def test_a_table_that_is_not_there_names_the_nearest(tmp_path: Path, warehouse: Path) -> None:
    with pytest.raises(DataError, match=r"found the tables events, leads, won.*Did you mean 'leads'"):
        run(tmp_path, **SOURCE | {"leads": of_ibis("leads", table="leads2")})


def test_no_secret_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "nosuch://user:s3cret@host/db")
    with pytest.raises(DataError, match="no connection") as told:
        run(tmp_path, **SOURCE)
    assert "s3cret" not in str(told.value)
    monkeypatch.delenv(URL)
    with pytest.raises(ParamsError, match=f"{URL} is not set"):
        run(tmp_path, **SOURCE)


def test_a_scheduled_run_reads_a_database_again(tmp_path: Path, warehouse: Path) -> None:
    """No file says that its rows are others; the record of files alone took the tables of before for the newest."""
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"source": mapping(**SOURCE)}))
    own = RunContext(load(tmp_path / "mine.yaml"), Layout.folder(tmp_path / "out"))
    own.layout.contract.parent.mkdir(parents=True)
    ingest_if_changed(own, tmp_path)
    before = own.layout.leads.path.read_bytes()
    with closing(sqlite3.connect(warehouse)) as database:
        database.execute("INSERT INTO leads VALUES ('d', '2024-01-04', 'DE', 5)")
        database.commit()
    ingest_if_changed(own, tmp_path)
    assert own.layout.leads.path.read_bytes() != before


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("bigquery://project/data", "leadscore[bigquery]"),
        ("snowflake://user:s3cret@account/db", "leadscore[snowflake]"),
        ("postgres://user:s3cret@redshift.example/db", "leadscore[redshift]"),
        ("trino://user:s3cret@host/db", "ibis-framework[NAME]"),
    ],
)
def test_a_missing_driver_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    def no_driver(given: str) -> None:
        raise ImportError("Failed to import the backend")

    monkeypatch.setenv(URL, url)
    monkeypatch.setattr("ibis.connect", no_driver)
    with pytest.raises(DataError, match=r"no driver of [a-z]+; expected a database that Ibis reads") as error:
        run(tmp_path, **SOURCE)
    assert f"pip install '{package}'" in str(error.value) and "s3cret" not in str(error.value)
