"""The command `lead forget --postgres`, to a real server: every table of the database is searched before and after."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner

from features.schema.errors import DeliveryError
from pipelines.cli.app import app
from pipelines.config.delivery import PostgresTables
from pipelines.delivery.databases import read_list, to_postgres
from pipelines.privacy.databases import forget_in_postgres
from pipelines.storage.files import write_parquet
from tests.support.postgres_server import VARIABLE, Server

ID = "zoë-77Q"
LIST = pd.DataFrame({"lead_id": ["a", ID], "as_of": pd.to_datetime(["2024-01-06"] * 2).as_unit("us"), "score": [9, 8]})
PARAMS = "delivery: {postgres: {database: %s, schema: forgetting}}\n"


def texts(server: Server) -> str:
    """Every row of every table of the schema."""
    with server.connect() as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'forgetting'").fetchall()
        tables = [SQL("SELECT t::text FROM {} AS t").format(Identifier("forgetting", name)) for (name,) in names]
        return "\n".join(row for table in tables for (row,) in connection.execute(table).fetchall())


def test_the_command_forgets_a_lead_in_postgresql(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, server.conninfo)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(PARAMS % VARIABLE, encoding="utf-8")
    write_parquet(LIST, tmp_path / "scores.parquet")
    for day in ("2024-01-06", "2024-01-07"):
        write_parquet(LIST.assign(as_of=pd.Timestamp(day).as_unit("us")), tmp_path / "scores.parquet")
        to_postgres(read_list(tmp_path), PostgresTables(database=VARIABLE, schema="forgetting"))
    assert texts(server).count(ID) == 2
    (tmp_path / "out").mkdir()
    words = ["lead", "forget", ID, "--params", "mine.yaml", "--out", "out"]
    kept = CliRunner().invoke(app, words)
    assert kept.exit_code == 0 and texts(server).count(ID) == 2  # only where it is asked for
    done = CliRunner().invoke(app, [*words, "--postgres"])
    assert done.exit_code == 0 and "2  history in score_history (PostgreSQL)" in done.output, done.output
    assert ID not in texts(server) and texts(server).count("a,") == 2
    assert ID not in done.output
    again = CliRunner().invoke(app, [*words, "--postgres"])
    assert "forgotten: 0 rows" in again.output


def test_a_table_that_somebody_holds_ends_the_wait(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, server.conninfo)
    tables = PostgresTables(database=VARIABLE, schema="forgetting", lock_wait_s=0.2)
    write_parquet(LIST, tmp_path / "scores.parquet")
    to_postgres(read_list(tmp_path), tables)
    with server.connect() as other, other.transaction():
        other.execute("LOCK TABLE forgetting.score_history")
        with pytest.raises(DeliveryError, match="did not forget the lead: canceling statement due to lock timeout"):
            forget_in_postgres([ID], tables)
    assert texts(server).count(ID) >= 1
    assert forget_in_postgres([ID], tables) >= 1
