"""Scores in a real PostgreSQL and in DuckDB: a history of complete lists, and a view of the newest."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from psycopg.sql import SQL, Identifier

from features.schema.errors import DataError, DeliveryError, ParamsError
from pipelines.config.delivery import DuckdbTables, PostgresTables
from pipelines.delivery import databases as score_tables
from pipelines.delivery.databases import ScoreList, read_list, to_duckdb, to_postgres
from pipelines.storage.files import write_parquet
from tests.support.postgres_server import VARIABLE, Server

AWKWARD = ["plain", "", None, "two\nlines", "\\.", 'a "quote"', "tab\there", "=1+1", "Ünïcode 💶", "\\N", "%s {0}"]


def frame(n: int, day: str, score: int = 0, prefix: str = "L") -> pd.DataFrame:
    """Scores as the stage writes them, awkward texts among them."""
    return pd.DataFrame(
        {
            "lead_id": [f"{prefix}{number:06d}" for number in range(n)],
            "as_of": pd.Series([pd.Timestamp(day)] * n, dtype="datetime64[us]"),
            "probability": np.arange(n) / 7.0,
            "score": np.arange(n) % 100 + score,
            "tier": pd.Series([AWKWARD[number % len(AWKWARD)] for number in range(n)], dtype="str"),
            "sure": np.arange(n) % 2 == 0,
        }
    )


def finished(folder: Path, rows: pd.DataFrame) -> ScoreList:
    write_parquet(rows, folder / "scores.parquet")
    return read_list(folder)


@dataclass(frozen=True)
class Sink:
    """One of the two databases, and its rows as frames."""

    kind: str
    tables: Any
    server: Server | None = None

    def write(self, scores: ScoreList) -> int:
        return to_postgres(scores, self.tables) if self.kind == "postgres" else to_duckdb(scores, self.tables)

    def rows(self, name: str) -> pd.DataFrame:
        table_name = (self.tables.schema_name, name)
        if self.server:
            with self.server.connect() as connection:
                query = SQL("SELECT * FROM {} ORDER BY as_of, lead_id").format(Identifier(*table_name))
                cursor = connection.execute(query)
                names = [column.name for column in cursor.description or []]
                table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
        else:
            quoted = ".".join('"' + part.replace('"', '""') + '"' for part in table_name)
            with duckdb.connect(self.tables.database) as connection:
                table = connection.sql(f"SELECT * FROM {quoted} ORDER BY as_of, lead_id").to_arrow_table()
        return table.to_pandas()

    @property
    def history(self) -> pd.DataFrame:
        return self.rows(self.tables.history)

    @property
    def current(self) -> pd.DataFrame:
        return self.rows(self.tables.current)


@pytest.fixture(params=["postgres", "duckdb"])
def sink(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sink:
    names = {"schema": 'Sco"res', "history": "all; DROP TABLE x --", "current": "Now %s"}
    if request.param == "duckdb":
        return Sink("duckdb", DuckdbTables.model_validate(names | {"database": str(tmp_path / "scores.duckdb")}))
    return postgres_sink(request.getfixturevalue("server"), monkeypatch, names)


@pytest.fixture
def postgres(server: Server, monkeypatch: pytest.MonkeyPatch) -> Sink:
    return postgres_sink(server, monkeypatch, {"schema": "scoring", "history": "history", "current": "current"})


def postgres_sink(server: Server, monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> Sink:
    monkeypatch.setenv(VARIABLE, server.conninfo)
    with server.connect() as connection:
        connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(names["schema"])))
    return Sink("postgres", PostgresTables.model_validate(names | {"database": VARIABLE}), server)


def same(rows: pd.DataFrame, wanted: pd.DataFrame) -> None:
    ordered = wanted.sort_values(["as_of", "lead_id"], ignore_index=True)
    pd.testing.assert_frame_equal(rows, ordered, check_dtype=False)


def test_history_holds_every_list_and_the_view_the_newest(sink: Sink, tmp_path: Path) -> None:
    first, second = frame(30, "2026-11-01"), frame(25, "2026-11-02", score=5)
    sink.write(finished(tmp_path, first))
    same(sink.history, first)
    same(sink.current, first)
    sink.write(finished(tmp_path, second))
    same(sink.current, second)  # five leads have left the list
    same(sink.history, pd.concat([first, second]))
    before = sink.history
    sink.write(finished(tmp_path, frame(3, "2026-10-31")))  # filled in later
    same(sink.current, second)
    assert len(sink.history) == len(before) + 3


def test_the_same_list_again_changes_nothing_and_a_mended_one_takes_its_place(sink: Sink, tmp_path: Path) -> None:
    first = frame(30, "2026-11-01")
    mended = pd.concat([first.iloc[:10].assign(score=77), first.iloc[10:20], frame(4, "2026-11-01", prefix="N")])
    sink.write(finished(tmp_path, first))
    again = sink.write(finished(tmp_path, first))
    assert again == (0 if sink.server else 30)
    same(sink.history, first)
    changed = sink.write(finished(tmp_path, mended))
    assert changed == (10 + 10 + 4 if sink.server else 24)  # ten other scores, ten gone, four new
    same(sink.history, mended)
    same(sink.current, mended)


def test_scores_that_have_learned_a_column_bring_it_along(sink: Sink, tmp_path: Path) -> None:
    first, second = frame(3, "2026-11-01"), frame(3, "2026-11-02").assign(grade=["A", "B", None], weight=0.5)
    sink.write(finished(tmp_path, first))
    sink.write(finished(tmp_path, second))
    same(sink.current, second)
    assert sink.history["grade"].isna().sum() == 4
    sink.write(finished(tmp_path, frame(3, "2026-11-03")))  # and one that has not
    assert sink.current["grade"].isna().all() and len(sink.history) == 9


def test_a_list_without_a_day_is_refused(sink: Sink, tmp_path: Path) -> None:
    undated = frame(2, "2026-11-01").assign(as_of=pd.Series([None, None], dtype="datetime64[us]"))
    with pytest.raises(DataError, match="found no day"):
        sink.write(finished(tmp_path, undated))


def broken(monkeypatch: pytest.MonkeyPatch, meanwhile: Any) -> None:
    """Let something happen when half of the list has been read."""
    original = ScoreList.batches

    def batches(self: ScoreList, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(original(self, columns)):
            if number == 1:
                meanwhile()
            yield batch

    monkeypatch.setattr(score_tables, "ROWS", 10)
    monkeypatch.setattr(ScoreList, "batches", batches)


def test_readers_see_all_of_a_list_or_none(postgres: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, seen = frame(30, "2026-11-01"), []
    postgres.write(finished(tmp_path, first))
    broken(monkeypatch, lambda: seen.append(postgres.current))
    postgres.write(finished(tmp_path, frame(30, "2026-11-02")))
    same(seen[0], first)


def end_backends(server: Server) -> None:
    with server.connect() as connection:
        others = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"""
        assert connection.execute(others).fetchall() == [(True,)]


@pytest.mark.parametrize("blow", ["the server restarts", "its backend is terminated"])
def test_a_blow_in_mid_write_leaves_no_part(
    blow: str, postgres: Sink, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart = partial(server.control, "restart", "-m", "immediate")
    act = restart if blow == "the server restarts" else partial(end_backends, server)
    first, second = frame(30, "2026-11-01"), frame(40, "2026-11-02")
    postgres.write(finished(tmp_path, first))
    with monkeypatch.context() as patch:
        broken(patch, act)
        with pytest.raises(DeliveryError, match=r"the scores: .*; nothing was written, run it again") as error:
            postgres.write(finished(tmp_path, second))
    assert error.value.exit_code == 6
    same(postgres.history, first)
    same(postgres.current, first)
    postgres.write(finished(tmp_path, second))
    same(postgres.history, pd.concat([first, second]))


def test_restarts_at_any_moment_lose_and_double_nothing(postgres: Sink, server: Server, tmp_path: Path) -> None:
    """Each night the server is restarted at another moment of the write: in the copy, the upsert or the commit."""
    expected = frame(50, "2026-11-01")
    postgres.write(finished(tmp_path, expected))
    began = time.monotonic()
    postgres.write(finished(tmp_path, frame(20_000, "2026-11-02")))
    took = time.monotonic() - began
    expected = pd.concat([expected, frame(20_000, "2026-11-02")])
    outcomes = set()
    for night, share in enumerate(np.random.default_rng(3).uniform(0.1, 1.1, 3)):
        new = frame(20_000, f"2026-11-{night + 3:02d}", score=night)
        scores = finished(tmp_path, new)
        restart = threading.Timer(share * took, server.control, ("restart", "-m", "immediate"))
        restart.start()
        try:
            postgres.write(scores)
            outcomes.add("written")
        except DeliveryError:
            outcomes.add("not written")
        restart.join()
        rows = postgres.history
        assert len(rows) in (len(expected), len(expected) + len(new))
        assert len(postgres.current) in (len(new), 20_000)
        postgres.write(scores)
        expected = pd.concat([expected, new])
        assert len(postgres.history) == len(expected)
        same(postgres.current, new)
    assert "not written" in outcomes
    same(postgres.history, expected)


def test_two_deliveries_at_once_come_one_after_the_other(postgres: Sink, tmp_path: Path) -> None:
    lists = {day: frame(200, day) for day in ("2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04")}
    faults: list[Exception] = []

    def write(day: str) -> None:
        try:
            (tmp_path / day).mkdir()
            postgres.write(finished(tmp_path / day, lists[day]))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=write, args=[day]) for day in lists]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    same(postgres.history, pd.concat(list(lists.values())))
    same(postgres.current, lists["2026-11-04"])


def test_a_duckdb_file_is_left_as_it_was_when_a_write_fails(tmp_path: Path) -> None:
    names = {"schema": "main", "history": "history", "current": "current"}
    sink = Sink("duckdb", DuckdbTables.model_validate(names | {"database": str(tmp_path / "scores.duckdb")}))
    sink.write(finished(tmp_path, frame(10, "2026-11-01")))
    wrong = frame(10, "2026-11-01", score=9).astype({"score": "str"}).assign(score="many")
    with pytest.raises(DeliveryError, match="nothing was written"):
        sink.write(finished(tmp_path, wrong))
    same(sink.history, frame(10, "2026-11-01"))


def test_a_database_that_does_not_take_it_is_said_without_secrets(
    server: Server, postgres: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = finished(tmp_path, frame(3, "2026-11-01"))
    monkeypatch.setenv(VARIABLE, "host=127.0.0.1 port=1 user=me password=s3cret")
    with pytest.raises(DeliveryError, match="no server there") as caught:
        postgres.write(scores)
    assert "s3cret" not in str(caught.value)
    with server.connect() as connection:
        connection.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN")
    monkeypatch.setenv(VARIABLE, server.conninfo.replace("user=leadscore", "user=reader"))
    with pytest.raises(DeliveryError, match="permission denied for database postgres"):
        postgres.write(scores)
    monkeypatch.setenv(VARIABLE, server.conninfo)
    postgres.write(scores)
    words = frame(3, "2026-11-02").assign(score="s3cret")
    with pytest.raises(DeliveryError, match="fault 22P02") as caught:
        postgres.write(finished(tmp_path, words))
    assert "s3cret" not in str(caught.value)


def test_without_psycopg_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = finished(tmp_path, frame(1, "2026-11-01"))
    for name in [name for name in sys.modules if name.split(".")[0] == "psycopg"]:
        monkeypatch.setitem(sys.modules, name, None)
    tables = PostgresTables.model_validate({"database": VARIABLE, "schema": "s", "history": "h", "current": "c"})
    with pytest.raises(ParamsError, match="install the extra `postgres`"):
        to_postgres(scores, tables)


def test_the_driver_speaks_of_the_server_that_the_tests_started(server: Server) -> None:
    with psycopg.connect(server.conninfo) as connection:
        assert connection.info.server_version >= 130000


def test_a_database_of_another_encoding_holds_what_it_can(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.connect() as connection:
        connection.execute("DROP DATABASE IF EXISTS latin")
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    monkeypatch.setenv(VARIABLE, server.conninfo.replace("dbname=postgres", "dbname=latin"))
    tables = PostgresTables.model_validate({"database": VARIABLE, "schema": "s", "history": "h", "current": "c"})
    assert to_postgres(finished(tmp_path, frame(1, "2026-11-01").assign(tier="Ünïcode")), tables) == 1
    with pytest.raises(DeliveryError, match="fault 22P05"):
        to_postgres(finished(tmp_path, frame(1, "2026-11-02").assign(tier="💶")), tables)


def test_rows_that_the_database_does_not_take_are_set_aside_by_name_and_the_rest_goes(
    postgres: Sink, tmp_path: Path
) -> None:
    rows = frame(30, "2026-11-01")
    rows.loc[4, "lead_id"] = "L4\0"
    rows.loc[9, "lead_id"] = "x" * 20_000
    rows.loc[20, "tier"] = "warm\0"
    with pytest.raises(DeliveryError, match=r"3 of 30 leads were set aside: .* in row 5, 10, 21 of scores.parquet"):
        postgres.write(finished(tmp_path, rows))
    same(postgres.current, rows.drop([4, 9, 20]))


def test_no_plan_is_quadratic_where_statistics_do_not_know_the_day(postgres: Sink, tmp_path: Path) -> None:
    """On the old plan the last two deliveries took 15 seconds each for 10,000 leads, and a minute for 20,000."""
    for day, leads in (("2026-11-01", 40_000), ("2026-11-02", 40_000)):
        scores = finished(tmp_path, frame(leads, day))
        began = time.monotonic()
        postgres.write(scores)
        postgres.write(scores)
        took = time.monotonic() - began
        assert postgres.server is not None
        with postgres.server.connect() as connection:  # as autovacuum does
            connection.execute(SQL("ANALYZE {}").format(Identifier("scoring", "history")))
    assert took < 60
    assert len(postgres.current) == 40_000


def test_a_delivery_that_waits_too_long_ends_and_leaves_nothing(postgres: Sink, server: Server, tmp_path: Path) -> None:
    postgres.write(finished(tmp_path, frame(3, "2026-11-01")))
    tables = postgres.tables.model_copy(update={"lock_wait_s": 0.2})
    hasty = Sink("postgres", tables, server)
    with server.connect() as other, other.transaction():
        other.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(Identifier("scoring", "history")))
        with pytest.raises(DeliveryError, match="lock timeout; nothing was written"):
            hasty.write(finished(tmp_path, frame(3, "2026-11-02")))
    same(postgres.history, frame(3, "2026-11-01"))


@pytest.mark.parametrize("name", ["history", "current"])
def test_a_table_of_somebody_else_is_not_touched(sink: Sink, tmp_path: Path, name: str) -> None:
    """On the old code 25 columns were added to it and a view was made, before "nothing was written"."""
    if name == "current":
        sink.write(finished(tmp_path, frame(3, "2026-11-01")))
    schema, table = sink.tables.schema_name, getattr(sink.tables, name)
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))
    statements = [
        f"CREATE SCHEMA IF NOT EXISTS {quoted.split('.')[0]}",
        *([f"DROP VIEW {quoted}"] if name == "current" else []),
        f"CREATE TABLE {quoted} (lead_id integer, as_of date, owner text)",
        f"INSERT INTO {quoted} VALUES (1, NULL, 'me')",
    ]
    connection: Any = sink.server.connect() if sink.server else duckdb.connect(sink.tables.database)
    with connection:
        for statement in statements:
            connection.execute(statement)
    with pytest.raises(ParamsError, match=f"delivery.{sink.kind}.{name}: .* is there and is not"):
        sink.write(finished(tmp_path, frame(3, "2026-11-02")))
    rows = sink.rows(table)
    assert list(rows.columns) == ["lead_id", "as_of", "owner"] and len(rows) == 1


def test_a_list_of_a_moment_is_not_kept_by_its_day(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a list of a moment, 2026-11-01T10:30:00Z"):
        finished(tmp_path, frame(2, "2026-11-01 10:30"))
