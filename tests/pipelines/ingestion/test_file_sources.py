"""Files and mappings that cannot be read as they are: one clear error each, and the old contract stays."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.events.event_log import DERIVED_COLUMNS
from features.schema.contract import TABLES
from features.schema.errors import DataError, ParamsError
from pipelines.config.source import TableSource
from pipelines.ingestion import csv_source as sources
from pipelines.ingestion.file_sources import open_table
from tests.support.small_source import EVENTS, LEADS, as_typed, contract_bytes, reasons, run, table

# Files that cannot be read


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no file 'event.csv' in the data folder, which holds .*Did you mean 'events.csv'"
    ):
        run(tmp_path, events=[table("events", path="event.csv")])


def test_an_empty_file_is_not_a_table_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found an empty file; expected a header and rows"):
        run(tmp_path, {"events.csv": ""})
    profile, layout = run(tmp_path, {"events.csv": "id,at,kind,minutes"})
    assert profile.tables["events"].read == 0
    assert (
        pq.read_schema(layout.events.path).names == [field.name for field in TABLES["events"]] + DERIVED_COLUMNS.names
    )


def test_no_lead_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no lead"):
        run(tmp_path, {"leads.csv": "id,created,country,size\n"})


def test_latin_1_bytes(tmp_path: Path) -> None:
    leads = LEADS.replace("DE", "Österreich").encode("latin-1")
    with pytest.raises(DataError, match=r"byte 0xd6 at offset 56 \(line 3\), which is no utf-8.*Set encoding: latin-1"):
        run(tmp_path, {"leads.csv": leads})
    _, layout = run(tmp_path, {"leads.csv": leads}, leads=table("leads", encoding="latin-1"))
    assert pd.read_parquet(layout.leads.path)["country"].tolist()[1] == "Österreich"
    with pytest.raises(ParamsError, match="no encoding of files is called 'latin1x'"):
        run(tmp_path, leads=table("leads", encoding="latin1x"))


def test_a_bad_byte_far_into_a_file_is_found(tmp_path: Path) -> None:
    lines = "".join(f"l{row},2024-01-01,DE,1\n" for row in range(400_000)).encode()
    good = b"id,created,country,size\n" + lines
    with pytest.raises(DataError, match=rf"byte 0xe9 at offset {len(good) + 13} \(line 400002\)"):
        run(tmp_path, {"leads.csv": good + b"z,2024-01-01,\xe9,1\n"})


def test_a_byte_order_mark_and_gzip(tmp_path: Path) -> None:
    leads = gzip.compress(b"\xef\xbb\xbf" + LEADS.encode())
    profile, _ = run(tmp_path, {"leads.csv.gz": leads}, leads=table("leads", path="leads.csv.gz"))
    assert profile.tables["leads"].kept == 3
    with pytest.raises(DataError, match="found a file that cannot be read"):
        run(tmp_path, {"leads.csv.gz": leads[:-12]}, leads=table("leads", path="leads.csv.gz"))


def test_ragged_rows_are_quarantined_with_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", 256)
    lines = [f'l{row},2024-01-01,"a\nb",{row}' for row in range(1, 101)]
    for row in (10, 11, 60):
        lines[row - 1] += ",surplus"
    lines[79] = "l80"
    files: dict[str, str | bytes] = {"leads.csv": "id,created,country,size\n" + "\n".join(lines) + "\n"}
    files |= {"events.csv": "id,at,kind,minutes\n", "outcomes.csv": "id,won\n"}
    profile, layout = run(tmp_path, files)
    assert reasons(profile, "leads") == {
        "row has more fields than the header": 3,
        "row has fewer fields than the header": 1,
    }
    bad = pq.read_table(layout.quarantine.path).to_pylist()
    assert [row["row"] for row in bad] == [10, 11, 60, 80]
    assert json.loads(bad[3]["content"]) == {"line": "l80"}
    kept = pd.read_parquet(layout.leads.path)
    assert (kept["position"] + 1 == kept["size"]).all()


def test_a_quote_left_open_swallows_nothing_in_silence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a quote that is opened and never closed"):
        run(tmp_path, {"outcomes.csv": 'id,won\na,2024-01-10\nb,"2024-01-11\nc,2024-01-12\n'}, limit=1.0)
    with pytest.raises(DataError, match="a quote that is opened and never closed"):
        run(tmp_path, {"leads.csv": LEADS + 'd,2024-01-01,"DE,5\ne,2024-01-01,FR,6\n'}, limit=1.0)


def test_a_wrong_separator_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="The fields are not split: set separator: ';'"):
        run(tmp_path, {"leads.csv": LEADS.replace(",", ";")})


def test_headers_that_differ_only_in_case_are_two_columns(tmp_path: Path) -> None:
    leads = LEADS.replace("id,created,country,size", "id,created,country,Country")
    _, layout = run(
        tmp_path, {"leads.csv": leads}, attributes={"country": {}, "size": {"kind": "number", "column": "Country"}}
    )
    assert pd.read_parquet(layout.leads.path)["size"].tolist()[0] == 10.0
    with pytest.raises(DataError, match="column 'country': found 2 columns of that name"):
        run(tmp_path, {"leads.csv": LEADS.replace("size", "country")}, attributes={"country": {}})
    second = {"size": {"kind": "number", "column": "country (2)"}}
    _, layout = run(tmp_path, {"leads.csv": LEADS.replace("size", "country")}, attributes=second)
    assert pd.read_parquet(layout.leads.path)["size"].tolist()[0] == 10.0


@pytest.mark.parametrize("kind", ["parquet", "duckdb"])
def test_a_file_of_another_format(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"Correct its (format|path)"):
        run(tmp_path, leads=table("leads", format=kind, table="leads"))


def test_a_missing_table_of_a_duckdb_file(tmp_path: Path) -> None:
    run(tmp_path)
    changed = as_typed(tmp_path)["duckdb"]
    with pytest.raises(DataError, match=r"the tables events, leads, outcomes; .* Did you mean 'leads'\?"):
        run(tmp_path, **(changed | {"leads": changed["leads"] | {"table": "Lead"}}))


def test_spellings_and_names_cannot_leave_their_statement(tmp_path: Path) -> None:
    nasty = 'x" FROM t; DROP TABLE leads; --'
    quoted = nasty.replace('"', '""')
    leads = f"id,created,\"{quoted}\"\na,2024-01-01,O'Neill\nb,2024-01-02,'); DROP TABLE leads; --\nc,2024-01-02,x\n"
    attributes = {"name": {"column": nasty, "missing": ["'); DROP TABLE leads; --"]}}
    _, layout = run(tmp_path, {"leads.csv": leads}, attributes=attributes)
    assert pd.read_parquet(layout.leads.path)["name"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"leads": table("leads", columns={"lead_id": "id", "created_at": "created", "x": "x"})}, "no column of leads"),
        ({"events": [table("events", columns={"lead_id": "id", "event_at": "at"})]}, "does not map 'event_type'"),
        ({"events": [table("events", constants={"event_type": "x"})]}, "is in columns and in constants"),
        ({"outcomes": table("outcomes", columns={"lead_id": "id", "lost_at": "won"})}, "converted_at or closed"),
        ({"outcomes": table("outcomes", columns={"converted_at": "won"})}, "the row number can stand in"),
        ({"outcomes": table("outcomes", columns={"lead_id": "id", "converted": "won"})}, "does not say when"),
        ({"attributes": {"Lead_ID": {"column": "size"}}}, "'Lead_ID' is taken"),
        ({"attributes": {"size in people": {"column": "size"}}}, "is no name"),
        ({"attributes": {"size": {}, "Size": {"column": "size"}}}, "'Size' is taken"),
        ({"yes_values": ["1", "Yes"], "no_values": ["yes"]}, "share"),
        ({"timezone": "Europe/Bern"}, "no zone is called"),
        ({"leads": table("leads", separator="||")}, "expected one character"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_meant(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        run(tmp_path, **changed)


def test_a_refused_run_leaves_the_old_contract(tmp_path: Path) -> None:
    _, layout = run(tmp_path)
    before = contract_bytes(layout)
    with pytest.raises(DataError):
        run(tmp_path, {"events.csv": EVENTS.replace("2024-01-04", "soon")})
    assert contract_bytes(layout) == before
    assert [entry.name for entry in layout.data.iterdir()] == ["contract"]


# Ids


def test_ids_that_no_sink_takes_are_quarantined_with_the_reason(tmp_path: Path) -> None:
    bad = {
        "a\x00b": "holds control characters",
        "a\x85b": "holds control characters",
        "\u00a0\u200b ": "is only blanks",
        "x" * 20_000: "is longer than 2,000 bytes",
        "1.23457E+11": "is a rounded number, export it as text",
        "9007199254740992.0": "is a rounded number, export it as text",
    }
    good = ["1234567890123456.0", "1E5", "a b", "é" * 1000, "e+05"]
    leads = {"id": [*bad, *good], "created": ["2024-01-01"] * 11}
    pd.DataFrame(leads).to_parquet(tmp_path / "ids.parquet")
    mapped = table("leads", path="ids.parquet", format="parquet")
    events = "id,at,kind,minutes\nx,2024-01-01,visit,1\n".replace("x", good[0])
    files: dict[str, str | bytes] = {"ids.parquet": (tmp_path / "ids.parquet").read_bytes(), "events.csv": events}
    _, layout = run(tmp_path, files | {"outcomes.csv": "id,won\n"}, limit=0.9, leads=mapped, attributes={})
    quarantine = pd.read_parquet(layout.quarantine.path)
    assert quarantine["reason"].tolist() == [f"lead_id {reason}" for reason in bad.values()]
    assert sorted(pd.read_parquet(layout.leads.path)["lead_id"]) == sorted(good)


@pytest.mark.parametrize(("kind", "exact"), [("float64", 2**53 - 1), ("float32", 2**24 - 1)])
def test_floating_point_ids_that_are_not_exact_are_no_ids_in_any_table(tmp_path: Path, kind: str, exact: int) -> None:
    ids = pd.Series([exact + 2.0, 1e16, exact], dtype=kind)
    leads = pd.DataFrame({"id": ids, "created": ["2024-01-01"] * 3})
    leads.to_parquet(tmp_path / "leads.parquet")
    leads.assign(at="2024-01-02", kind="visit", minutes=1.0).to_parquet(tmp_path / "events.parquet")
    files: dict[str, str | bytes] = {file.name: file.read_bytes() for file in tmp_path.glob("*.parquet")} | {
        "outcomes.csv": "id,won\n"
    }
    changed = {name: table(name, path=f"{name}.parquet", format="parquet") for name in ("leads", "events")}
    profile, layout = run(tmp_path, files, limit=0.9, **changed, attributes={})
    reason = "lead_id is a number too large for floating point, export it as text"
    assert reasons(profile, "leads") == reasons(profile, "events") == {reason: 2}
    assert pd.read_parquet(layout.leads.path)["lead_id"].tolist() == [str(exact)]


def test_ids_that_look_alike_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    twins = [*"bbc", "é", "b ", "e\u0301", "c\u200b", "B"]
    leads = "id,created,country,size\na,2024-01-01,NA,10\n" + "".join(f"{twin},2024-01-01,DE,1\n" for twin in twins)
    profile, _ = run(tmp_path, {"leads.csv": leads})
    assert profile.tables["leads"].kept == 8
    assert (
        "source.leads (leads.csv): 6 leads have ids that differ only in blanks or in how accents are encoded, first in "
        "rows 2 and 6"
    ) in caplog.text
    caplog.clear()
    run(tmp_path)
    assert "blanks" not in caplog.text


def test_columns_that_the_file_holds_as_a_list_of_values_are_read_alike(tmp_path: Path) -> None:
    kinds = ["visit", "", None, " mail "]
    rows = [(["a", "b", "z"][n % 3], f"2024-01-0{2 + n % 5} {n % 24:02}:00:00", kinds[n % 4]) for n in range(600)]
    rows += [("", "", "")] * 3  # blank rows, as spreadsheets export them
    frame = pd.DataFrame(rows, columns=["id", "at", "kind"])
    (tmp_path / "data").mkdir()
    frame.to_parquet(tmp_path / "data" / "events.parquet")
    columns = {"lead_id": "id", "event_at": "at", "event_type": "kind"}
    tables = {
        name: [table("events", path=f"events.{name}", format=name, columns=columns)] for name in ("csv", "parquet")
    }
    found = [run(tmp_path, {"events.csv": frame.to_csv(index=False)}, out=name, events=events, limit=0.9)
             for name, events in tables.items()]  # fmt: skip
    assert found[0][0].fingerprint == found[1][0].fingerprint
    assert found[0][0].tables["events"] == found[1][0].tables["events"]
    assert found[0][0].tables["events"].read == 600
    with open_table(TableSource(path="events.parquet", format="parquet"), tmp_path / "data", "events") as raw:
        assert raw.of_few == {0, 2}
