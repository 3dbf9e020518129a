"""The file of an outbox: its owner alone reads it, and a file that is no outbox is said, not taken for an empty one."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from features.schema.errors import DeliveryError
from pipelines.delivery.outbox import open_outbox


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "x.sqlite"
    for _ in range(2):
        with open_outbox(path, "x") as outbox:
            outbox.put("2024-01-01", [("a", {"score": 1})], {})
            modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == {0o600}
        path.chmod(0o644)  # as versions before wrote it


@pytest.mark.parametrize(
    ("content", "said"), [(bytes(8192), "zeros"), (b"id,score\n1,2\n" * 99, "another kind of file")]
)
def test_what_is_no_outbox_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(content)
    with (
        pytest.raises(DeliveryError, match=f"holds {said}, no outbox; restore it, or remove it"),
        open_outbox(path, "x"),
    ):
        pass
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE alembic (version TEXT)")
    content = path.read_bytes()
    with (
        pytest.raises(DeliveryError, match="another program's database, with a table 'alembic'"),
        open_outbox(path, "x"),
    ):
        pass
    assert path.read_bytes() == content


def test_an_outbox_that_a_full_disk_left_half_made_is_completed(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as begun:
        begun.execute("CREATE TABLE target (name TEXT NOT NULL, as_of TEXT NOT NULL) STRICT")
    with open_outbox(path, "x") as outbox:
        outbox.put("2024-01-06", [("a", {"score": 80})], {})
