"""The shapes in which exports come: spreadsheets, JSON, archives, folders, titles, odd headers; or what a file is."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.config.params import load
from pipelines.inspection.file_format import sniff
from pipelines.inspection.proposal import inspect
from pipelines.scheduled.input_files import digests
from pipelines.stages.ingest import ingest
from pipelines.storage.layout import Layout
from tests.support.small_source import reasons, run, table
from tests.support.spreadsheets import Rows, write_ods, write_xlsx

NAMES = ["Lead ID", "Created", "City", "Size", "Won On"]
ROWS = [
    [
        f"L{n}",
        f"2024-01-{n % 28 + 1:02d}",
        "Köln" if n % 2 else "Rome",
        f"{10 * n % 70 + 1}",
        "2024-03-01" * (n % 5 == 0),
    ]
    for n in range(60)
]


def lines(rows: list[list[str]], mark: str = ",") -> str:
    return "".join(mark.join(row) + "\n" for row in rows)


def kept(tmp_path: Path, path: Path) -> pd.DataFrame:
    """The leads that the proposed mapping of a file reads, with what is known of them."""
    found = inspect(path, None, None)
    (tmp_path / "mine.yaml").write_text(found.mapping, encoding="utf-8")
    params = load(tmp_path / "mine.yaml")
    layout = Layout.folder(tmp_path / "out")
    ingest(params.source, params.ingest, params.project, path.parent, layout)
    leads = pd.read_parquet(layout.leads.path).sort_values("position").reset_index(drop=True)
    outcomes = pd.read_parquet(layout.outcomes.path)
    return leads.drop(columns="position").merge(outcomes[["lead_id", "converted_at"]], "left", "lead_id")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("plain")
    (folder / "leads.csv").write_text(lines([NAMES, *ROWS]), encoding="utf-8")
    leads = kept(folder, folder / "leads.csv")
    assert leads.columns.tolist() == ["lead_id", "created_at", "city", "size", "converted_at"]
    assert (len(leads), leads["converted_at"].notna().sum()) == (60, 12)
    return leads


TYPED: Rows = [
    [one, dt.datetime.fromisoformat(day), city, float(size), dt.datetime.fromisoformat(won) if won else None]
    for one, day, city, size, won in ROWS
]


def write(folder: Path, shape: str) -> Path:
    records = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
    text = {
        "sep.csv": "sep=;\n" + lines([NAMES, *ROWS], ";"),
        "sep quoted.csv": '"sep=;"\n' + lines([NAMES, *ROWS], ";"),
        "sep tab.csv": "SEP=\t\r\n" + lines([NAMES, *ROWS], "\t"),
        "sep bar.csv": "sep=|\n" + lines([NAMES, *ROWS], "|"),
        "title.csv": "Export of 5 March\n\n" + lines([NAMES, *ROWS]),
        "header again.csv": lines([NAMES, *ROWS[:20], NAMES, *ROWS[20:40], NAMES, *ROWS[40:], NAMES]),
        "header twice.csv": lines([NAMES, NAMES, *ROWS]),
        "padded title.csv": "Export;;;;\n;;;;\n" + lines([NAMES, *ROWS], ";"),
        "blank header.csv": lines([[*NAMES, "", ""], *([*row, "", ""] for row in ROWS)]),
        "leads.json": json.dumps(records),
        "api.json": json.dumps({"count": 60, "results": records}),
        "leads.jsonl": "".join(json.dumps(record) + "\n" for record in records),
    }.get(shape)
    path = folder / shape
    if text is not None:
        path.write_text(text, encoding="utf-8")
    elif shape == "zipped.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("export/leads.csv", lines([NAMES, *ROWS]))
            archive.writestr("__MACOSX/._leads.csv", "x")
    elif shape in ("workbook.zip", "records.zip"):
        inside = write(folder, "leads.xlsx" if shape == "workbook.zip" else "leads.jsonl")
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(inside, f"export/{inside.name}")
    elif shape == "leads.xlsx.gz":
        path.write_bytes(gzip.compress(write(folder, "leads.xlsx").read_bytes(), mtime=0))
    elif shape == "monthly":
        path.mkdir()
        for month, part in enumerate((ROWS[:30], ROWS[30:]), 1):
            (path / f"2024-{month:02d}.csv").write_text(lines([NAMES, *part]), encoding="utf-8")
        turned = [[*NAMES[1:], NAMES[0]], *([*row[1:], row[0]] for row in ROWS[30:])]
        (path / "2024-02.csv").write_text(lines(turned), encoding="utf-8")
    elif shape == "leads.ods":
        write_ods(path, [NAMES, *TYPED])
    else:
        titles: Rows = [["Leads of March"], [None]] if "title" in shape else []
        write_xlsx(path, {"Leads": [*titles, NAMES, *TYPED], "Notes": [["x"]]})
    return path


SHAPES = [
    "sep tab.csv",
    "sep bar.csv",
    "header again.csv",
    "header twice.csv",
    "sep.csv",
    "sep quoted.csv",
    "title.csv",
    "padded title.csv",
    "blank header.csv",
    "leads.json",
    "api.json",
]
SHAPES += ["leads.jsonl", "zipped.zip", "monthly", "leads.ods", "leads.xlsx", "title.xlsx"]
SHAPES += ["workbook.zip", "records.zip", "leads.xlsx.gz"]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_leads(tmp_path: Path, plain: pd.DataFrame, shape: str) -> None:
    pd.testing.assert_frame_equal(kept(tmp_path, write(tmp_path, shape)), plain)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("leads.csv", b"<?xml version='1.0'?><leads/>", "a file that is XML"),
        ("leads.csv", b"\xef\xbb\xbf <html><table>", "a web page"),
        ("leads.csv", b"PK\x03\x04rest", "an Excel or zip file.*set format: excel"),
        ("leads.csv", b'[{"id": 1}]', "JSON.*set format: json"),
        ("leads.csv", b"%PDF-1.7", "a PDF"),
        ("leads.csv", b"\x1f\x8b\x08rest", "a gzip file"),
        ("leads.xlsx", b"<table><tr><td>1</td></tr></table>", "no spreadsheet: a web page"),
        ("leads.xlsx", b"id,size\n1,2\n", "no spreadsheet"),
        ("leads.zip", b"no zip", "cannot be read: File is not a zip file"),
        ("leads.json", b'{"a": [], "b": []}', "no list of records: 2 lists in it"),
        ("leads.jsonl", b'{"id": 1}\n{"id": \n', "line 2 is no JSON"),
        ("leads.json", b"[]", "no record"),
        ("leads.csv", b"K1,2024-01-05,3\nK2,2024-01-06,4\n", "values where the header is expected: 'K1', '2024-01-05'"),
        ("leads.csv", b"1,2\n3,4\n", "values where the header is expected"),
        (
            "leads.csv",
            b"anna,DE,no\nben,DE,yes\neva,FR,no\n",
            "values where the header is expected: 'anna', 'DE', 'no'",
        ),
        ("leads.csv", b"id,created,won\n", "a header and no row"),
        ("leads.csv", b"id,created\n1,2024-01-02,\n2,2024-01-03,\n", "2 rows whose number of fields is not the header"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        inspect(tmp_path / name, None, None)


@pytest.mark.parametrize("row", ["id,size,won", "x1,size,no", "id,3,yes"])
def test_a_header_that_stands_in_the_file_again_is_a_header(tmp_path: Path, row: str) -> None:
    rows = [f"x{n},{n % 4},{'yes' if n % 3 else 'no'}" for n in range(40)]
    (tmp_path / "leads.csv").write_text("\n".join(["id,size,won", *rows[:20], row, *rows[20:]]) + "\n")
    assert list(sniff(tmp_path / "leads.csv").frame) == ["id", "size", "won"]


def test_a_zip_with_several_files_and_a_sheet_that_is_not_there(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
        archive.writestr("b.csv", "id\n1\n")
    with pytest.raises(DataError, match=r"a zip file with a.csv, b.csv inside, where one file is expected"):
        inspect(tmp_path / "two.zip", None, None)
    (tmp_path / "data").mkdir()
    write_xlsx(tmp_path / "data" / "leads.xlsx", {"Leads": [NAMES, *TYPED]})
    with pytest.raises(DataError, match=r"found the sheets Leads; expected a sheet 'Lead'\. Did you mean 'Leads'"):
        run(tmp_path, leads=table("leads", path="leads.xlsx", table="Lead"))


def test_a_mapping_without_a_look_is_told_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names the separator: set skip_rows: 1 and separator: ';'"):
        run(tmp_path, {"leads.csv": "sep=;\nid;created;country;size\na;2024-01-01;NA;1\n"})
    with pytest.raises(DataError, match="The first row holds values, so the file has no header"):
        run(tmp_path, {"leads.csv": "a,2024-01-01,NA,1\nb,2024-01-02,NA,1\n"})
    with pytest.raises(DataError, match="A title stands above the header: set skip_rows"):
        run(tmp_path, {"leads.csv": "Leads,,,\nid,created,country,size\na,2024-01-01,NA,1\n"})


def test_bad_rows_of_several_files_keep_their_numbers(tmp_path: Path) -> None:
    head = "id,created,country,size\n"
    first, second = "a,2024-01-01,NA,1\nb,2024-01-02\n", "c,2024-01-03,DE,2\nd,2024-01-04,DE,3,4\n"
    files: dict[str, str | bytes] = {"leads_1.csv": head + first, "leads_2.csv": head + second}
    files |= {"events.csv": "id,at,kind,minutes\n", "outcomes.csv": "id,won\n"}
    profile, layout = run(tmp_path, files, leads=table("leads", path="leads_*.csv"), limit=1.0)
    assert pd.read_parquet(layout.leads.path)["position"].tolist() == [0, 2]
    assert sorted(reasons(profile, "leads")) == [
        "row has fewer fields than the header",
        "row has more fields than the header",
    ]
    assert pd.read_parquet(layout.quarantine.path)["row"].tolist() == [2, 4]
    (tmp_path / "data" / "leads_2.csv").write_text("id,created,country\nc,2024-01-03,DE\n")
    with pytest.raises(DataError, match=r"leads_2.csv.*found size missing; expected the columns of leads_1.csv"):
        run(tmp_path, leads=table("leads", path="leads_*.csv"))


def test_a_scheduled_run_sees_every_file_of_a_pattern(tmp_path: Path) -> None:
    path = write(tmp_path, "monthly")
    (tmp_path / "mine.yaml").write_text(inspect(path, None, None).mapping, encoding="utf-8")
    source = load(tmp_path / "mine.yaml").source
    assert sorted(digests(source, tmp_path)) == ["monthly/2024-01.csv", "monthly/2024-02.csv"]


@pytest.mark.parametrize(
    ("time_format", "days", "said"),
    [
        (
            "%d-%m-%y",
            ["20-10-16", "21-02-03", "20-12-28"],
            "2003-02-21 to 2028-12-20, and %y-%m-%d as well, 2020-10-16 to",
        ),
        (
            "%y.%m.%d",
            ["01.10.20", "28.02.21", "16.12.20"],
            "and %d.%m.%y as well, 2020-10-01 to 2021-02-28; set time_f",
        ),
        ("%d/%m/%y", ["01/10/20", "28/02/21", "16/12/20"], ""),
        ("%d-%m-%y", ["20-10-16", "21-02-03", "20-12-32"], ""),
        ("%d-%m-%Y", ["20-10-2016", "21-02-2003", "20-12-2028"], ""),
    ],
)
def test_a_day_that_may_be_the_year_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, time_format: str, days: list[str], said: str
) -> None:
    """Years first, 2020 to 2021, read as days first are 2003 to 2028 without a bad row."""
    rows = "".join(f"{lead},{day},DE,1\n" for lead, day in zip("abc", days, strict=True))
    files = {"leads.csv": f"id,created,country,size\n{rows}", "events.csv": "id,at,kind,minutes\n"}
    leads = table("leads", time_format=time_format)
    run(tmp_path, files | {"outcomes.csv": "id,won\n"}, leads=leads)
    warned = [one for one in caplog.messages if "set time_format to the one that is meant" in one]
    assert len(warned) == bool(said)
    assert not said or (
        said in warned[0] and warned[0].startswith("source.leads (leads.csv): all values of created fit")
    )
