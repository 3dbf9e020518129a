"""Files that are damaged, or not what their mapping says: one line that names what they are and what to do."""

from __future__ import annotations

import gzip
import json
import lzma
import zipfile
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.schema.errors import DataError, ParamsError
from pipelines.ingestion import file_sources
from pipelines.inspection.file_format import sniff
from pipelines.inspection.proposal import inspect
from tests.support.small_source import LEADS, run, table

N = 20_000
COLUMNS = {"id": [f"l{n}" for n in range(N)], "created": ["2024-01-01"] * N, "country": ["DE"] * N}
COLUMNS_OF_LEADS = COLUMNS | {"size": [float(n * 7 % 1001) for n in range(N)]}


def refusal(tmp_path: Path, name: str, content: bytes, **source: object) -> str:
    with pytest.raises(DataError) as error:
        run(tmp_path, {name: content}, leads=table("leads", path=name, **source))
    assert "memory_gb" not in str(error.value)
    return str(error.value)


def parquet(folder: Path, columns: pa.Table) -> bytes:
    pq.write_table(columns, folder / "made.parquet")
    return (folder / "made.parquet").read_bytes()


def test_a_corrupt_page_is_no_lack_of_memory(tmp_path: Path) -> None:
    content = bytearray(parquet(tmp_path, pa.table(COLUMNS_OF_LEADS)))
    content[200:4000] = b"\xff" * 3800
    said = refusal(tmp_path, "leads.parquet", bytes(content), format="parquet")
    assert "found rows that cannot be read after row 0" in said
    assert said.endswith("Export or copy it again.")


@pytest.mark.parametrize("column", ["id", "country"])
def test_text_that_is_no_utf_8_names_its_column(tmp_path: Path, column: str) -> None:
    texts = pa.array([b"a", b"b\xff\xfe", b"c"], pa.binary()).view(pa.string())
    columns = pa.table({name: values[:3] for name, values in COLUMNS_OF_LEADS.items()})
    index = columns.schema.get_field_index(column)
    said = refusal(tmp_path, "leads.parquet", parquet(tmp_path, columns.set_column(index, column, texts)))
    assert f"column {column!r}: found text that is no UTF-8" in said


def test_half_a_character_of_json(tmp_path: Path) -> None:
    records = json.dumps([{"id": "\ud800", "created": "2024-01-01", "country": "DE", "size": 1}])
    assert "cannot be read after row 0: 'utf-8' codec" in refusal(tmp_path, "leads.json", records.encode())


def test_a_view_whose_table_is_gone(tmp_path: Path) -> None:
    content = duckdb_file(tmp_path, "CREATE TABLE t (id TEXT); CREATE VIEW v AS SELECT * FROM t; DROP TABLE t")
    said = refusal(tmp_path, "leads.duckdb", content, table="v")
    assert "'v'" in said


def duckdb_file(folder: Path, statements: str) -> bytes:
    with duckdb.connect(str(folder / "x.duckdb")) as connection:
        connection.execute(statements)
    return (folder / "x.duckdb").read_bytes()


def test_a_view_of_another_file_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    view = f"CREATE VIEW v AS SELECT content AS id, content AS country FROM read_text('{tmp_path}/secret')"
    said = refusal(tmp_path, "leads.duckdb", duckdb_file(tmp_path, view), table="v")
    assert "file system operations are disabled" in said and "hunter2" not in said


def test_a_view_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sources, "VIEW_S", 0.2)
    columns = "sum(range) AS id, '2024-01-01' AS created, 'DE' AS country, 1 AS size"
    view = f"CREATE VIEW v AS SELECT {columns} FROM range(1000000000000000)"
    said = refusal(tmp_path, "leads.duckdb", duckdb_file(tmp_path, view), table="v")
    assert "'v' that cannot be read: a view may take 0.2 s" in said


def test_inspect_takes_no_view_for_the_only_table(tmp_path: Path) -> None:
    duckdb_file(tmp_path, "CREATE VIEW v AS SELECT 1 AS id")
    with pytest.raises(DataError, match=r"found the tables \(none\)"):
        inspect(tmp_path / "x.duckdb", None, None)


@pytest.mark.parametrize("encoding", ["undefined", "hex", "idna", "punycode", "unicode_escape", "u\x00", ""])
def test_an_encoding_of_no_file_is_refused_with_its_line(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(ParamsError, match=r"line \d+: source.leads.encoding: no encoding of files is called"):
        run(tmp_path, leads=table("leads", encoding=encoding))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_characters_are_named_and_then_read(tmp_path: Path, encoding: str) -> None:
    content = LEADS.encode(encoding)
    said = refusal(tmp_path, "leads.csv", content)
    assert f"found a file that is text in {encoding}" in said
    assert said.endswith(f"Set encoding: {encoding}.")
    profile, _ = run(tmp_path, {"leads.csv": content}, leads=table("leads", encoding=encoding))
    assert profile.tables["leads"].kept == 3
    assert sniff(tmp_path / "data" / "leads.csv").source.encoding == encoding


def test_an_encoding_that_is_too_wide(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32"):
        said = refusal(tmp_path, "leads.csv", LEADS.encode(), encoding=encoding)
        assert said.endswith("Set encoding: utf-8, latin-1 or cp1252.")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(LEADS.encode(), mtime=0), "a gzip file.*Let its name end in .csv.gz"),
        (lzma.compress(LEADS.encode()), "compressed in a way that is not known here"),
        (b"PAR1" + bytes(40), "Parquet.*Name it .parquet"),
        (b"SQLite format 3\x00" + bytes(80), "an SQLite database"),
        (bytes(8) + b"DUCK" + bytes(80), "a DuckDB file"),
        (b"ARROW1\x00\x00" + bytes(80), "Arrow or Feather"),
        (b"id,created\x00\x00\x00\n", "no text, but zeros"),
    ],
    ids=["gzip", "xz", "parquet", "sqlite", "duckdb", "arrow", "zeros"],
)
def test_what_is_no_csv_is_named_in_any_encoding(tmp_path: Path, encoding: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"found a file that is {said}"):
        run(tmp_path, {"leads.csv": content}, leads=table("leads", encoding=encoding))


@pytest.mark.parametrize("ending", ["csv.gz", "json.gz"])
def test_half_an_archive(tmp_path: Path, ending: str) -> None:
    whole = gzip.compress(bytes(range(256)) * 40 if ending == "json.gz" else "".join(LEADS * 300).encode())
    for content in (whole[:60], whole[:30] + b"\xff" * 30 + whole[60:], LEADS.encode()):
        assert "separator" not in refusal(tmp_path, f"leads.{ending}", content, format=ending.split(".")[0])


def test_a_zip_that_is_damaged_inside(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.writestr("leads.csv", LEADS)
    content = (tmp_path / "made.zip").read_bytes().replace(b"DE,", b"FR,")
    assert "expected a whole zip file" in refusal(tmp_path, "leads.zip", content)


def test_a_whole_file_is_still_read(tmp_path: Path) -> None:
    columns = pa.table({name: values[:5] for name, values in COLUMNS_OF_LEADS.items()})
    run(tmp_path, {"leads.parquet": parquet(tmp_path, columns)}, leads=table("leads", path="leads.parquet"), limit=1.0)
    assert len(pd.read_parquet(tmp_path / "out" / "data" / "contract" / "leads.parquet")) == 5
