"""Tables of a real PostgreSQL: the same contract as from files of the same rows, in one snapshot, and clear faults."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.parquet as pq
import pytest
import yaml
from psycopg import sql

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.config.source import TableSource
from pipelines.ingestion import database_sources as postgres
from pipelines.ingestion.database_sources import Snapshots, open_postgres, open_snapshots
from pipelines.scheduled.input_files import ingest_if_changed
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.postgres_server import VARIABLE, Server
from tests.support.small_source import COLUMNS, EVENTS, LEADS, WON, contract_bytes, mapping, reasons, run, table

TABLES = """
    CREATE TABLE leads (id text PRIMARY KEY, created timestamp, country text, size numeric(8, 1));
    CREATE TABLE events (number serial PRIMARY KEY, id text, at timestamptz, kind varchar(9), minutes real);
    CREATE TABLE outcomes (id text, won date);
"""


@pytest.fixture
def database(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection[Any]]:
    """An empty database whose connection string stands in the environment."""
    monkeypatch.setenv(VARIABLE, server.conninfo)
    with server.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS public, other CASCADE; CREATE SCHEMA public")
        yield connection


def fill(connection: psycopg.Connection[Any], name: str, text: str) -> None:
    """Put a CSV text into a table, by its header."""
    columns = sql.SQL(", ").join(map(sql.Identifier, text.splitlines()[0].split(",")))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(sql.Identifier(name), columns)
    with connection.cursor().copy(statement) as copy:
        copy.write(text)


def dump(connection: psycopg.Connection[Any], query: str) -> str:
    with connection.cursor().copy(f"COPY ({query}) TO STDOUT (FORMAT csv, HEADER)") as copy:
        return b"".join(bytes(row) for row in copy).decode()


def of_database(name: str, **changed: Any) -> dict[str, Any]:
    return table(name, path=VARIABLE, format="postgres", table=name) | changed


def sources(**changed: Any) -> dict[str, Any]:
    """The three tables of the small export, in the database."""
    return {
        "leads": of_database("leads"),
        "events": [of_database("events")],
        "outcomes": of_database("outcomes"),
    } | changed


def small(connection: psycopg.Connection[Any]) -> None:
    connection.execute(TABLES)
    for name, text in (("leads", LEADS), ("events", EVENTS), ("outcomes", WON)):
        fill(connection, name, text)


def test_the_same_rows_give_the_same_contract_as_csv(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    database.execute(TABLES)
    database.execute("""
        INSERT INTO leads SELECT
          'L' || lpad((n * 7919 % 5000)::text, 5, '0'), '2024-01-01'::timestamp + n * interval '61 s',
          (ARRAY['Österreich', 'a "quoted", name', E'two\nlines', NULL, '', 'NA', '\\.'])[n % 7 + 1],
          CASE WHEN n % 5 > 0 THEN n / 10.0 END FROM generate_series(1, 5000) AS n;
        INSERT INTO events (id, at, kind, minutes) SELECT 'L' || lpad((n * 31 % 5003)::text, 5, '0'),
          '2024-03-30 23:10:00.123456+00'::timestamptz + n * interval '17 min', (ARRAY['visit', 'mail'])[n % 2 + 1],
          CASE WHEN n % 3 > 0 THEN n / 7.0 END FROM generate_series(1, 20000) AS n;
        INSERT INTO events (id, at, kind, minutes) SELECT id, at, kind, minutes FROM events WHERE number % 50 = 0;
        INSERT INTO outcomes SELECT id, (created + interval '20 days')::date FROM leads WHERE right(id, 1) = '3'""")
    files = {
        "leads.csv": dump(database, 'SELECT * FROM leads ORDER BY id COLLATE "C"'),
        "events.csv": dump(database, "SELECT * FROM events ORDER BY number"),
        "outcomes.csv": dump(database, "SELECT * FROM outcomes"),
    }
    database.execute("UPDATE leads SET size = size WHERE id < 'L02000'; CLUSTER events USING events_pkey")  # rows move
    by_files, files_layout = run(tmp_path, files, timezone="Europe/Berlin")
    by_tables, layout = run(tmp_path, out="tables", timezone="Europe/Berlin", **sources())
    assert contract_bytes(layout) == contract_bytes(files_layout)
    assert by_tables.tables == by_files.tables
    assert reasons(by_tables, "events") == {"lead_id is not in leads": 13}
    assert by_tables.tables["leads"].kept == 5000


def test_a_scheduled_run_reads_tables_anew_each_time(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    small(database)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"source": mapping(**sources())}), encoding="utf-8")
    own = RunContext(load(tmp_path / "mine.yaml"), Layout.folder(tmp_path / "out"))
    own.layout.contract.parent.mkdir(parents=True)
    ingest_if_changed(own, tmp_path)
    before = own.layout.leads.path.read_bytes()
    ingest_if_changed(own, tmp_path)
    assert own.layout.leads.path.read_bytes() == before
    database.execute("INSERT INTO leads VALUES ('new', '2024-01-04', 'DE', 5)")
    ingest_if_changed(own, tmp_path)
    assert "new" in pq.read_table(own.layout.leads.path).column("lead_id").to_pylist()


def test_types_are_read_for_what_they_mean(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    database.execute("""
        CREATE TYPE colour AS ENUM ('red', 'NA'); CREATE SCHEMA other;
        CREATE TABLE other."Ödd ""name" (
          id uuid PRIMARY KEY, "Created, at" timestamptz, truth bool, big bigint, exact numeric,
          wide double precision, colour colour, bytes bytea, many int[], padded char(4), nothing text);
        INSERT INTO other."Ödd ""name" VALUES
          ('00000000-0000-0000-0000-00000000000b', '2024-01-02 03:04:05.678901+02', true, 9007199254740993, 0.10,
           1e-300, 'red', 'x', '{1}', 'ab', NULL),
          ('00000000-0000-0000-0000-00000000000a', 'infinity', NULL, NULL, 'NaN',
           'Infinity', 'NA', NULL, NULL, '', '')""")
    own = TableSource.model_validate(
        load().source.leads.model_dump(include=set(TableSource.model_fields)) | {"path": VARIABLE, "format": "postgres"}
    )
    with open_snapshots() as snapshots:
        named = own.model_copy(update={"table": 'other.Ödd "name'})
        with open_postgres(named, snapshots, "source.leads", "leads") as raw:
            rows = raw.reader().read_all()
    assert raw.names[1] == "Created, at"
    assert raw.kinds == ["text", "moment", "truth", "whole", "text", "real", "text", "other", "other", "text", "text"]
    late, early = rows.to_pylist()[::1]
    assert late["0#"].endswith("a") and late["1#"].year == 9999 and late["4#"] == "NaN" and late["10#"] == ""
    assert early["1#"].isoformat() == "2024-01-02T01:04:05.678901+00:00" and early["2#"] is True
    assert (early["3#"], early["4#"], early["5#"], early["10#"]) == (9007199254740993, "0.10", 1e-300, None)


def test_settings_of_the_user_change_nothing(database: psycopg.Connection[Any]) -> None:
    """Amsterdam was 19 minutes and 32 seconds ahead of UTC until 1937, and German dates begin with the day."""
    database.execute("CREATE TABLE moments (at timestamptz, day date)")
    database.execute("INSERT INTO moments VALUES ('1930-01-02 Z', '1930-01-02')")
    database.execute("ALTER ROLE leadscore SET TimeZone = 'Europe/Amsterdam'")
    database.execute("ALTER ROLE leadscore SET DateStyle = 'German'")
    try:
        given = {"path": VARIABLE, "format": "postgres", "table": "moments"}
        own = TableSource.model_validate(load().source.leads.model_dump(include=set(TableSource.model_fields)) | given)
        with open_snapshots() as snapshots, open_postgres(own, snapshots, "source.leads", "leads") as raw:
            (row,) = raw.reader().read_all().to_pylist()
    finally:
        database.execute("ALTER ROLE leadscore RESET ALL")
    assert (row["0#"].isoformat(), row["1#"].isoformat()) == ("1930-01-02T00:00:00+00:00", "1930-01-02")


def test_a_time_without_end_goes_to_the_quarantine(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    small(database)
    database.execute("INSERT INTO outcomes VALUES ('b', 'infinity'), ('c', '0044-03-15 BC')")
    profile, _ = run(tmp_path, limit=1.0, **sources())
    assert reasons(profile, "outcomes") == {"converted_at is not a time in the format iso": 2}
    assert profile.tables["outcomes"].kept == 1


def test_all_tables_are_read_as_they_stood_at_one_moment(
    database: psycopg.Connection[Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lead and its events arrive while the leads have been read and the events have not."""
    small(database)
    plain, _ = run(tmp_path, **sources())
    original = Snapshots.connection

    def meanwhile(self: Snapshots, variable: str, key: str) -> psycopg.Connection[Any]:
        connection = original(self, variable, key)
        if key.startswith("source.events"):
            with server.connect() as other:
                other.execute("INSERT INTO leads VALUES ('z', '2024-01-01'); DELETE FROM outcomes")
                other.execute("INSERT INTO events (id, at, kind) VALUES ('z', '2024-01-02', 'visit')")
        return connection

    monkeypatch.setattr(Snapshots, "connection", meanwhile)
    profile, _ = run(tmp_path, out="again", **sources())
    assert profile.tables == plain.tables
    monkeypatch.undo()
    monkeypatch.setenv(VARIABLE, server.conninfo)
    assert run(tmp_path, out="later", **sources())[0].tables["leads"].kept == 4


def test_batches_do_not_depend_on_their_size(
    database: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(database)
    database.execute("CREATE TABLE one (cell text, n int)")
    database.execute("INSERT INTO one VALUES (NULL, 1), ('', 2), ('x', 3), (NULL, 4)")
    _, several = run(tmp_path, **sources())
    monkeypatch.setattr(postgres, "BATCH", 1)
    monkeypatch.setattr(postgres, "BLOCK_BYTES", 1)
    _, single = run(tmp_path, out="single", **sources())
    assert contract_bytes(single) == contract_bytes(several)
    one = TableSource.model_validate(
        load().source.leads.model_dump(include=set(TableSource.model_fields))
        | {"path": VARIABLE, "format": "postgres", "table": "one"}
    )
    with open_snapshots() as snapshots, open_postgres(one, snapshots, "source.leads", "leads") as raw:
        assert sorted(raw.reader().read_all()["0#"].to_pylist(), key=str) == ["", None, None, "x"]


# Faults


def test_a_table_or_column_that_is_not_there_is_named_with_what_is(
    database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    small(database)
    with pytest.raises(
        DataError, match=r"'source.leads \(lead\)'.*public.events, public.leads, .*Did you mean 'leads'"
    ):
        run(tmp_path, **sources(leads=of_database("leads", table="lead")))
    wrong = of_database("leads", columns=COLUMNS["leads"] | {"created_at": "craeted"})
    with pytest.raises(DataError, match=r"column 'craeted'.*only the columns 'id', 'created'.*mean 'created'"):
        run(tmp_path, **sources(leads=wrong))


def test_a_name_with_a_statement_in_it_is_only_a_name(database: psycopg.Connection[Any], tmp_path: Path) -> None:
    small(database)
    with pytest.raises(DataError, match="expected a table"):
        run(tmp_path, **sources(leads=of_database("leads", table='leads"; DROP TABLE leads; --')))
    assert database.execute("SELECT count(*) FROM leads").fetchone() == (3,)


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        ("postgresql://me:s3cret@host/db", "", ParamsError, "is to name an environment variable"),
        ("LEADSCORE_S3CRET", "", ParamsError, "LEADSCORE_S3CRET is not set"),
        (VARIABLE, "s3cret and no more", ParamsError, "is not a connection string"),
        (VARIABLE, "host=127.0.0.1 port=1 password=s3cret", DataError, "found no server there"),
        (VARIABLE, "postgresql://me:pa@s3cret@127.0.0.1:1/db", DataError, "found an unknown host"),
        (VARIABLE, "host=no.such.host.invalid password=s3cret", DataError, "found an unknown host"),
    ],
)
def test_no_secret_is_told(
    path: str, value: str, error: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, value or "unused")
    with pytest.raises(error, match=message) as caught:
        run(tmp_path, **sources(leads=of_database("leads", path=path)))
    assert "s3cret" not in str(caught.value)


def test_a_user_without_rights_sees_no_table(
    database: psycopg.Connection[Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(database)
    with suppress(psycopg.errors.DuplicateObject):
        database.execute("CREATE ROLE guest LOGIN")
    monkeypatch.setenv(VARIABLE, server.conninfo.replace("user=leadscore", "user=guest"))
    with pytest.raises(DataError, match="none that this user may read"):
        run(tmp_path, **sources())


def test_a_server_that_stops_while_it_is_read_leaves_the_old_contract(
    database: psycopg.Connection[Any], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(database)
    _, layout = run(tmp_path, **sources())
    before = contract_bytes(layout)
    database.execute(
        "INSERT INTO events (id, at, kind) SELECT 'a', '2024-02-01', 'visit' FROM generate_series(1, 60000)"
    )
    blocks = postgres._blocks

    def cut(rows: Iterator[bytes]) -> Iterator[bytes]:
        for number, block in enumerate(blocks(rows)):
            if number == 1:  # of the events, the only table with a second block
                server.control("restart", "-m", "immediate")
            yield block

    monkeypatch.setattr(postgres, "BATCH", 5000)
    monkeypatch.setattr(postgres, "_blocks", cut)
    with pytest.raises(DataError, match=r"source.events\[0\] \(events\).*found (a server|terminating)"):
        run(tmp_path, **sources())
    assert contract_bytes(layout) == before
    assert [entry.name for entry in layout.contract.parent.iterdir() if "staged" in entry.name] == []
    monkeypatch.setattr(postgres, "_blocks", blocks)
    profile, _ = run(tmp_path, **sources())
    assert profile.tables["events"].read == 60003
    gc.collect()  # the fixture's connection has died with the server


def test_rows_of_a_database_have_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "unused")
    undated = {"order": "rows", "events": [], "attributes": {}}
    columns = {"lead_id": "id", "converted": "won"}
    leads = of_database("leads", columns={"lead_id": "id"})
    with pytest.raises(ParamsError, match="has no order of rows"):
        run(tmp_path, **(mapping() | undated | {"leads": leads, "outcomes": of_database("outcomes", columns=columns)}))
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").rglob("*.parquet"))


def test_the_contract_can_be_read_after_the_database_is_gone(
    database: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small(database)
    _, layout = run(tmp_path, **sources())
    monkeypatch.delenv(VARIABLE)
    assert pq.read_table(layout.leads.path).column("lead_id").to_pylist() == ["a", "b", "c"]
