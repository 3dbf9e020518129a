"""Tables of very many columns: what is not mapped is not read, what is mapped costs in proportion, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.schema.errors import ParamsError
from pipelines.ingestion import profile as profiles
from pipelines.ingestion import raw_table
from pipelines.ingestion.file_sources import open_table
from pipelines.ingestion.mapping import ATTRIBUTES_PER_GB
from pipelines.ingestion.raw_table import WIDE, RawTable
from tests.support.small_source import contract_bytes, run, table

NAMES = ["id", "created", *(f"c{n}" for n in range(2 * WIDE)), "size", "country"]


def rows() -> dict[str, list[str]]:
    own = {"id": list("abc"), "created": ["2024-01-01"] * 3, "size": ["1", "2", "3"]}
    return {name: own.get(name, ["x"] * 3) for name in NAMES}


def write(folder: Path, kind: str) -> dict[str, Any]:
    columns = pa.table(rows())
    if kind == "parquet":
        pq.write_table(columns, folder / "w.parquet")
    elif kind == "duckdb":
        with duckdb.connect(str(folder / "w.duckdb")) as connection:
            connection.register("columns", columns)
            connection.execute("CREATE TABLE w AS SELECT * FROM columns")
    else:
        text = [",".join(NAMES), *(",".join(row) for row in zip(*rows().values(), strict=True))]
        for name in ["w.csv"] if kind == "csv" else ["w1.csv", "w2.csv"]:
            (folder / name).write_text("\n".join(text) + "\n", encoding="utf-8")
    path = "w?.csv" if kind == "several" else f"w.{kind}"
    return table("leads", path=path, table="w" if kind == "duckdb" else "")


@pytest.mark.parametrize("kind", ["csv", "several", "parquet", "duckdb"])
def test_unread_columns_of_a_wide_table_are_not_read(tmp_path: Path, kind: str) -> None:
    from pipelines.config.source import TableSource

    source = TableSource.model_validate(write(tmp_path, kind))
    with open_table(source, tmp_path, "leads") as raw:
        raw.want(["size", "id"])
        read = raw.reader().read_all()
    assert read.num_columns == WIDE + 1
    assert read.column(f"{NAMES.index('size')}#").to_pylist()[:3] == ["1", "2", "3"]
    assert read.column("0#").to_pylist()[:3] == list("abc")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_wide_table_gives_the_same_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    (tmp_path / "data").mkdir()
    leads = write(tmp_path / "data", kind)
    found = []
    for wide, at_once in ((WIDE, 2), (10_000, 64)):
        monkeypatch.setattr(raw_table, "WIDE", wide)
        monkeypatch.setattr(profiles, "AT_ONCE", at_once)
        profile, layout = run(tmp_path, leads=leads, out=f"out {wide}")
        found.append((profile, contract_bytes(layout)))
    assert found[0] == found[1]


def test_the_columns_read_are_the_mapped_ones_and_the_first_others() -> None:
    raw = RawTable("t", NAMES, [pa.string()] * len(NAMES), [])
    raw.want(["size"])
    assert len(raw.wanted) == WIDE
    assert NAMES.index("size") in raw.wanted
    raw.want(NAMES)
    assert len(raw.wanted) == len(NAMES)


def test_more_attributes_than_the_memory_is_enough_for_are_refused_at_once(tmp_path: Path) -> None:
    many: dict[str, Any] = {f"c{n}": {} for n in range(ATTRIBUTES_PER_GB + 1)}
    with pytest.raises(ParamsError, match=r"names 401 columns; project.memory_gb: 1 is enough for 400"):
        run(tmp_path, attributes=many)


def test_events_are_told_apart_by_every_column(tmp_path: Path) -> None:
    names = ["id", "at", "kind", "minutes", *(f"c{n}" for n in range(2 * WIDE)), "ticket", "last"]
    rows = [["a", "2024-01-02", "visit", "5", *["x"] * 2 * WIDE, ticket, "x"] for ticket in ("t1", "t2", "t2")]
    text = "\n".join(",".join(row) for row in [names, *rows]) + "\n"
    profile, _ = run(tmp_path, {"events.csv": text})
    assert (profile.tables["events"].kept, profile.tables["events"].copies) == (2, 1)
