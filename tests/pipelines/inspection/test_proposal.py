from __future__ import annotations

import csv
import datetime as dt
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from features.schema.errors import DataError
from models.leakage.suspicious_names import words
from pipelines.config.params import Params, load
from pipelines.inspection.column_facts import describe, late_dates, leaks, univariate_auc
from pipelines.inspection.file_format import sniff
from pipelines.inspection.proposal import inspect
from pipelines.inspection.report import Inspection
from pipelines.stages.ingest import ingest
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout
from tests.support.paths import REAL


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def real(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip(f"{name} is not beside the project, in ../shared/data")
    return REAL / name


def loaded(tmp_path: Path, found: Inspection) -> Params:
    return load(written(tmp_path / "overlay.yaml", found.mapping))


def ingested(tmp_path: Path, found: Inspection, data: Path) -> DataProfile:
    params = loaded(tmp_path, found)
    return ingest(params.source, params.ingest, params.project, data, Layout.folder(tmp_path / "out"))


def suspects(found: Inspection) -> set[str]:
    return {warning.split("'")[1] for warning in found.warnings if "looks leaky" in warning}


# Files


@pytest.mark.parametrize(
    ("encoding", "cities"),
    [
        ("cp1252", "Köln Zürich Nîmes"),
        ("cp1252", "São Gießen Århus"),
        ("cp1252", "5€ 10€ 20€"),
        ("cp1251", "Москва Пермь Казань"),
        ("cp1253", "Αθήνα Θεσσαλονίκη Πάτρα"),
        ("cp932", "東京 大阪 横浜市"),
        ("cp949", "서울특별시 부산광역시 대구"),
        ("gb18030", "北京 上海 广州市"),
        ("big5", "臺北市 高雄市 臺中市"),
    ],
)
def test_a_legacy_encoding_is_recognised(tmp_path: Path, encoding: str, cities: str) -> None:
    lines = [f"{number},{city}" for number, city in enumerate(cities.split())]
    sample = sniff(written(tmp_path / "x.csv", "\n".join(["id,city", *lines, ""]), encoding))
    assert sample.source.encoding == encoding
    assert sample.frame["city"].tolist() == cities.split()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_separator_and_encoding(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = [["id", "name", "note"], *([str(row), "Zoë", '"a, b; c|d"'] for row in range(30))]
    path = written(tmp_path / "x.csv", "\n".join(separator.join(row) for row in rows), encoding)
    sample = sniff(path)
    assert (sample.source.separator, sample.source.encoding) == (separator, encoding)
    assert sample.frame["name"].unique().tolist() == ["Zoë"]
    assert sample.frame["note"].unique().tolist() == ["a, b; c|d"]


def test_gzip_parquet_and_duckdb(tmp_path: Path) -> None:
    text = "id,day\n1,2024-01-31\n2,2024-02-01\n"
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text.encode()))
    frame = pd.DataFrame({"id": [1, 2], "day": [dt.date(2024, 1, 31), dt.date(2024, 2, 1)]})
    frame.to_parquet(tmp_path / "x.parquet")
    samples = [sniff(tmp_path / "x.csv.gz"), sniff(tmp_path / "x.parquet")]
    assert samples[0].frame.to_dict("list") == samples[1].frame.to_dict("list")
    assert [sample.source.format for sample in samples] == ["csv", "parquet"]
    assert [list(sample.times) for sample in samples] == [["day"]] * 2


@pytest.mark.parametrize(
    "time_format", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y %H:%M", "%Y/%m/%d", "%d-%b-%Y", "%Y%m%d", "%m/%d/%y"]
)
def test_time_formats(tmp_path: Path, time_format: str) -> None:
    days = pd.date_range("2024-01-28", periods=20, freq="29h")
    path = written(tmp_path / "x.csv", "n,day\n" + "\n".join(f"7,{day.strftime(time_format)}" for day in days))
    sample = sniff(path)
    assert list(sample.times) == ["day"]
    assert sample.times["day"].formats == (time_format,)
    assert sample.times["day"].swapped == ""
    assert sample.moments("day").dt.date.tolist() == [day.date() for day in days]


def test_a_day_that_may_be_a_month_is_said(tmp_path: Path) -> None:
    lines = [f"l{row},{row % 12 + 1:02d}/{row % 9 + 1:02d}/2024,{row % 2}" for row in range(60)]
    found = inspect(written(tmp_path / "leads.csv", "id,created,converted\n" + "\n".join(lines)), None, None)
    assert any("'created' fits %d/%m/%Y and %m/%d/%Y: no day is above 12" in warning for warning in found.warnings)


def test_files_that_cannot_be_looked_at(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        sniff(tmp_path / "none.csv")
    with pytest.raises(DataError, match="an empty file"):
        sniff(written(tmp_path / "empty.csv", ""))
    with pytest.raises(DataError, match="no column that looks like an outcome"):
        inspect(written(tmp_path / "leads.csv", "id,size\n1,5\n2,6\n3,7\n"), None, None)
    leads = written(tmp_path / "leads.csv", "id,created\na,2024-01-01\nb,2024-01-02\n")
    with pytest.raises(DataError, match="no column whose values are leads"):
        inspect(leads, None, written(tmp_path / "won.csv", "who,won\nx,2024-02-01\ny,2024-02-02\n"))


@pytest.mark.parametrize("header", ["lead_id,event_at,type", "Lead;Datum;Art", "id\tat\tkind"])
def test_events_of_a_header_alone_are_said_and_leads_are_read(tmp_path: Path, header: str) -> None:
    rows = [f"l{row},2024-01-{row % 28 + 1:02d},{'2024-03-01' * (row % 4 == 0)}" for row in range(60)]
    leads = written(tmp_path / "leads.csv", "\n".join(["id,created,won_on", *rows]))
    events = written(tmp_path / "events.csv", header + "\n")
    found = inspect(leads, events, None)
    assert "events.csv: it holds a header and no event" in found.warnings
    assert loaded(tmp_path, found).source.events == []
    with pytest.raises(DataError, match=r"events.csv.*a header and no row"):
        inspect(leads, None, events)


# Columns


@pytest.mark.parametrize(
    ("name", "values", "look"),
    [
        ("size", ["10", "2.5", "-3e2"] * 20, "number"),
        ("Lead Number", [str(row) for row in range(60)], "id"),
        ("price", [str(row) for row in range(60)], "number"),
        ("token", [f"a{row}" for row in range(60)], "id"),
        ("mail", [f"p{row}@firm{row % 40}.com" for row in range(60)], "domain"),
        ("grade", ["01.High", "02.Low"] * 30, "category"),
        ("Job Title", [f"Head of {row}" for row in range(50)] + ["CEO"] * 10, "title"),
        ("note", [f"they said that call {row} went rather well" for row in range(60)], "text"),
        ("agreed", ["No"] * 60, "constant"),
        ("fax", [None] * 60, "empty"),
    ],
)
def test_looks(name: str, values: list[str | None], look: str) -> None:
    assert describe(name, pd.Series(values, dtype="str"), False).look == look


def test_placeholders_are_found_and_not_assumed() -> None:
    days = pd.Series(["999"] * 50 + [str(row) for row in range(50)], dtype="str")
    assert describe("days", days, False).placeholders == {"999": 50}
    level = pd.Series(["-1"] * 3 + ["0", "1", "-2", "2"] * 20, dtype="str")
    assert describe("level", level, False).placeholders == {}  # -1 is a value among others
    assert describe("city", pd.Series(["Select", "Rome", None] * 9, dtype="str"), False).placeholders == {"Select": 9}


def test_words_of_a_name() -> None:
    assert words("LastActivity") == words("last_activity") == words("Last  Activity") == ["last", "activity"]


def test_univariate_auc_is_out_of_fold() -> None:
    random = np.random.default_rng(1)
    converted = random.random(4000) < 0.1
    noise = pd.Series(random.integers(0, 2000, 4000).astype(str) + "x", dtype="str")
    assert abs(univariate_auc(noise, converted) - 0.5) < 0.05  # a target rate learned in fold would rank perfectly
    assert univariate_auc(pd.Series(np.where(converted, "a", "b"), dtype="str"), converted) == 1.0
    number = pd.Series((converted * 2 + random.normal(size=4000)).astype(str), dtype="str")
    assert 0.85 < univariate_auc(number, converted) < 0.97


def test_columns_that_give_the_outcome_away() -> None:
    random = np.random.default_rng(2)
    converted = pd.Series(random.random(1000) < 0.3)
    frame = pd.DataFrame(
        {
            "source": random.choice(["web", "fair"], 1000),
            "plan": np.where(converted, "paid", np.where(random.random(1000) < 0.9, "free", "paid")),
            "contract": np.where(converted & (random.random(1000) < 0.7), "12 months", None),
            "last_name": random.choice(["Li", "Ng"], 1000),
            "lead_status": random.choice(["a", "b"], 1000),
            "marital_status": random.choice(["a", "b"], 1000),
        },
        dtype="str",
    )
    found = leaks(frame, list(frame), converted)
    assert set(found) == {"plan", "contract", "lead_status"}
    assert "AUC" in found["plan"][0]
    assert found["contract"][-1].startswith("it is filled for ")
    assert leaks(frame, list(frame), pd.Series([True] * 1000)) == {"lead_status": found["lead_status"]}


def test_dates_after_the_conversion() -> None:
    won = pd.Series(pd.to_datetime(["2024-02-01", None, "2024-02-01", "2024-02-01"]))
    edited = pd.Series(pd.to_datetime(["2024-03-01", "2024-03-01", "2024-01-01", None]))
    assert late_dates(edited, won) == ["its date is after the conversion for 50% of the converted leads"]
    assert late_dates(edited.iloc[1:], won.iloc[1:]) == []


# The proposal


def test_the_proposal_of_a_funnel_is_ingested(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    day = pd.Timestamp("2024-01-15")
    created = [day + pd.Timedelta(days=int(row)) for row in random.integers(0, 90, 200)]
    leads = ["Lead ID;Created On;Mail;No;Title;Updated At;Plan"]
    events = ["lead;ts;action;direction;amount;received_at"]
    won = ["Lead ID;Won Date;Lost Date;Rep"]
    for row, at in enumerate(created):
        late = f"{at + pd.Timedelta(days=200):%d.%m.%Y}"
        plan = "Select" if row % 3 else "A"
        leads.append(f"L{row};{at:%d.%m.%Y};x@firm{row}.de;{row % 7};Chief {random.integers(60)};{late};{plan}")
        for kind in ("visit", "mail"):
            events.append(f"L{row};{at + pd.Timedelta(days=3):%d.%m.%Y %H:%M};{kind};inbound;{row};{late} 08:00")
        if row % 5 == 0:
            won.append(f"L{row};{at + pd.Timedelta(days=30):%d.%m.%Y};;R{row}")
    paths = [written(tmp_path / name, "\n".join(lines)) for name, lines in
             (("leads.csv", leads), ("events.csv", events), ("won.csv", won))]  # fmt: skip
    found = inspect(*paths)
    source = loaded(tmp_path, found).source
    assert source.leads.columns == {"lead_id": "Lead ID", "created_at": "Created On"}
    assert (source.leads.separator, source.leads.time_format) == (";", "%d.%m.%Y")
    assert source.events[0].columns == {
        "lead_id": "lead",
        "event_at": "ts",
        "known_at": "received_at",
        "direction": "direction",
        "event_type": "action",
        "value": "amount",
    }
    assert source.outcomes[0].columns == {"lead_id": "Lead ID", "converted_at": "Won Date"}
    assert {name: spec.kind for name, spec in source.attributes.items()} == {
        "mail": "domain",
        "no": "number",
        "title": "title",
        "plan": "category",
    }
    assert suspects(found) == {"Updated At"}
    assert "'Select' stands in 133 rows; where it means not known" in found.mapping
    profile = ingested(tmp_path, found, tmp_path)
    assert profile.tables["events"].kept == 400
    assert profile.tables["outcomes"].kept == 40


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [("Canceled", "true", "false"), ("IsDeleted", "1", "0"), ("storniert", "ja", "nein"), ("Cancelled?", "Y", "N")],
)
def test_rows_that_did_not_happen_are_said(tmp_path: Path, name: str, yes: str, no: str) -> None:
    leads = [f"l{row},2024-01-{row % 28 + 1:02d},{'2024-03-01' * (row % 4 == 0)}" for row in range(60)]
    events = [f"l{row},2024-02-02,demo,{yes if row % 3 == 0 else no}" for row in range(60)]
    files = (
        written(tmp_path / "leads.csv", "\n".join(["id,created,won_on", *leads])),
        written(tmp_path / "events.csv", "\n".join([f"id,at,kind,{name}", *events])),
    )
    said = f"events.csv: {name!r} says yes in 20 of 60 rows; leave them out: where: {{{name}: [{no}]}}"
    assert said in inspect(*files, None).warnings


def test_a_label_without_dates_is_ordered_by_creation(tmp_path: Path) -> None:
    rows = [f"{row},2024-01-{row % 28 + 1:02d},{'Yes' if row % 4 else 'No'}" for row in range(60)]
    found = inspect(written(tmp_path / "leads.csv", "id,created,is_customer\n" + "\n".join(rows)), None, None)
    source = loaded(tmp_path, found).source
    assert source.by_creation
    assert (source.yes_values, source.no_values) == (["Yes"], ["No"])
    assert any("every answer counts as final" in warning for warning in found.warnings)
    assert ingested(tmp_path, found, tmp_path).tables["outcomes"].kept == 60


ANY_NAME = st.text(st.characters(exclude_categories=["Cs", "Nd"], exclude_characters="\x00"), min_size=1, max_size=8)


@settings(max_examples=7, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(names=["a\nb: {c}", "d\u2028e", 'f"g', "# h", "y", "😀", "\x85"])
@given(names=st.lists(ANY_NAME, min_size=1, max_size=5, unique=True))
def test_any_column_names_make_a_mapping_that_loads(tmp_path: Path, names: list[str]) -> None:
    names = [name for name in names if not {"converted", "y"} & set(words(name)) and name != "id"] + ["rest"]
    frame = pd.DataFrame({"id": [f"l{row}" for row in range(30)], "converted": ["1", "0", "0"] * 10})
    frame = frame.join(pd.DataFrame({name: list("abc") * 10 for name in names}))
    frame.to_csv(tmp_path / "leads.csv", index=False, quoting=csv.QUOTE_ALL)
    found = inspect(tmp_path / "leads.csv", None, None)
    assert {spec.column for spec in loaded(tmp_path, found).source.attributes.values()} == set(names)
    assert ingested(tmp_path, found, tmp_path).tables["leads"].kept == 30


# Real data


def test_x_education(tmp_path: Path) -> None:
    path = real("x_education/Leads.csv")
    found = inspect(path, None, None)
    grades = {f"Asymmetrique {what}" for what in ("Activity Index", "Profile Index", "Activity Score", "Profile Score")}
    other = {"Tags", "Lead Quality", "Lead Profile", "Last Activity", "Last Notable Activity"}
    assert suspects(found) == grades | other
    source = loaded(tmp_path, found).source
    assert source.order == "none"
    assert {spec.column for spec in source.attributes.values() if spec.known == "outcome"} == grades | other
    assert not {"Prospect ID", "Magazine"} & {spec.column for spec in source.attributes.values()}
    profile = ingested(tmp_path, found, path.parent)
    assert profile.tables["leads"].kept == 9240


def test_bank_marketing(tmp_path: Path) -> None:
    path = real("bank_marketing/bank-additional-full.csv")
    found = inspect(path, None, None)
    assert suspects(found) == {"duration"}
    assert any("only 26 runs of 'month'" in warning for warning in found.warnings)
    source = loaded(tmp_path, found).source
    assert source.leads.columns == {}
    assert source.outcomes[0].columns == {"converted": "y"}
    assert "'999' stands in 39,673 rows" in found.mapping
    assert ingested(tmp_path, found, path.parent).tables["leads"].kept == 41_188


def test_learning_365(tmp_path: Path) -> None:
    path = real("learning_365/365_student_info.csv")
    events, outcomes = (path.parent / f"365_student_{name}.csv" for name in ("engagement", "purchases"))
    found = inspect(path, events, outcomes)
    assert suspects(found) == set()
    assert "'NA' stands in 13 rows (NA is Namibia too)" in found.mapping
    assert "engagement_quizzes, engagement_exams, engagement_lessons hold 0 and 1" in found.mapping
    assert "too late for 65.6%, daily ones for 47.7%" in found.mapping
    profile = ingested(tmp_path, found, path.parent)
    assert [profile.tables[name].kept for name in ("leads", "events", "outcomes")] == [35_230, 65_371, 2_135]


def test_olist_funnel(tmp_path: Path) -> None:
    path = real("olist_funnel/olist_marketing_qualified_leads_dataset.csv")
    found = inspect(path, None, path.parent / "olist_closed_deals_dataset.csv")
    source = loaded(tmp_path, found).source
    assert source.outcomes[0].columns == {"lead_id": "mql_id", "converted_at": "won_date"}
    assert list(source.attributes) == ["landing_page_id", "origin"]
    assert ingested(tmp_path, found, path.parent).tables["outcomes"].kept == 841
