"""Five thousand hostile inputs at the doors: refused or taken, never a traceback; `benchmarks.fuzz` has more."""

from __future__ import annotations

import json
import logging
import re
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.fuzz import DOORS, World, numbers, run_case
from features.schema.errors import DataError, ModelError, ParamsError, first_line
from pipelines.config.params import load
from pipelines.config.source import TableSource
from pipelines.config.yaml_files import read_yaml
from pipelines.ingestion.file_sources import open_table
from pipelines.serving.bodies import LeadFacts, one_line
from pipelines.storage.bundle import load_bundle, save_texts
from tests.support.small_model import scorer
from tests.support.spreadsheets import write_xlsx

COUNT, SEED = 5_000, 1


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("fuzz"), scorer())


@pytest.mark.parametrize("door", DOORS)
def test_no_hostile_input_ends_in_a_traceback(door: str, world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    results = [run_case(door, number, SEED, world) for number in range(numbers(COUNT)[door])]
    assert [result for result in results if result.ended.startswith("fault")] == []
    documented = {"csv": "exit 3", "excel": "exit 3", "json_file": "exit 3", "parquet": "exit 3", "tables": "exit 3",
                  "yaml": "exit 2", "params": "exit 2", "bundle": "exit 4", "records": "exit 3"}  # fmt: skip
    assert {result.ended for result in results} <= {"taken", documented.get(door, "taken")}


# What it found, one by one


def test_yaml_that_is_none_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: [1, 2\nb: 3\n", encoding="utf-8")
    with pytest.raises(ParamsError, match=r"^\S+mine\.yaml is not readable as YAML: line 2: .*$") as caught:
        read_yaml(tmp_path / "mine.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_a_key_that_is_a_mapping_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text('"x": {1: 2, {"a": 1}: 2}\n', encoding="utf-8")
    with pytest.raises(ParamsError, match="is not readable as YAML"):
        read_yaml(tmp_path / "mine.yaml")


def test_a_column_whose_name_is_no_text_is_said(tmp_path: Path) -> None:
    pq.write_table(pa.table({"quantity": [1.5]}), tmp_path / "x.parquet")
    content = (tmp_path / "x.parquet").read_bytes().replace(b"quantity", b"\xd8uantity")
    (tmp_path / "x.parquet").write_bytes(content)
    with (
        pytest.raises(DataError, match="no Parquet: 'utf-8' codec"),
        open_table(TableSource(path="x.parquet", format="parquet"), tmp_path, "t"),
    ):
        pass


def test_an_error_without_a_text_is_said_by_its_name(tmp_path: Path) -> None:
    assert first_line(KeyError()) == "KeyError" and first_line(ValueError("a\nb")) == "a"
    with zipfile.ZipFile(write_xlsx(tmp_path / "x.xlsx", {"list": [["id"]]})) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(tmp_path / "y.xlsx", "w") as new:
        for name, part in parts.items():
            new.writestr(name, part.replace(b"<sheets>", b"<sheets & <<"))
    with (
        pytest.raises(DataError, match="no spreadsheet: "),
        open_table(TableSource(path="y.xlsx", format="excel"), tmp_path, "t"),
    ):
        pass


def test_a_key_with_a_line_break_does_not_break_the_line_and_many_faults_are_cut(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(json.dumps({"train": {f"x\n{index}": 1 for index in range(30)}}))
    with pytest.raises(ParamsError) as caught:
        load(tmp_path / "mine.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21 and lines[-1] == "and 10 more" and "x\\n0 is not a key" in lines[0]


def test_a_whole_number_beyond_floats_is_no_number() -> None:
    text = json.dumps({"lead_id": "a", "created_at": "2024-01-02", "attributes": {"size": 10**400}})
    with pytest.raises(ValueError, match="a text, a number or null"):
        LeadFacts.model_validate_json(text)
    assert one_line([{"loc": ("a\n" * 900,), "type": "missing", "msg": ""}]).count("\n") == 0


def test_a_booster_that_lightgbm_does_not_read_is_no_model(world: World, tmp_path: Path) -> None:
    for old, new, error in (
        (r"(\[poisson_max_delta_step: )[\d.]+", r"\1xx", "Unknown token xx"),
        (r"(monotone_constraints: 0)[-,01]*", r"\1,,0", "Expecting value"),
    ):
        save_texts(world.files | {"booster_0.txt": re.sub(old, new, world.files["booster_0.txt"])}, tmp_path / "bundle")
        with pytest.raises(ModelError, match=rf"booster does not fit \({error}"):
            load_bundle(tmp_path / "bundle", 1).score(world.rows, reasons=1)


def test_a_time_beyond_microseconds_is_said_with_its_row(tmp_path: Path) -> None:
    pq.write_table(pa.table({"at": pa.array([2**61 + 10**12], pa.timestamp("ms"))}), tmp_path / "x.parquet")
    with open_table(TableSource(path="x.parquet", format="parquet"), tmp_path, "t") as raw:
        with pytest.raises(DataError):
            list(raw.reader())
        assert "rows that cannot be read after row 0: Casting" in str(raw.failure)


def test_a_bad_byte_in_a_row_of_too_many_fields_prints_no_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.csv").write_bytes(b"id,x\n" + b"a,1\n" * 4_000 + b"b,2,\xd2\nc,3\n")
    bad = r"byte 0xd2 at offset 16009 \(line 4002\), which is no utf-8"
    with open_table(TableSource(path="x.csv"), tmp_path, "t") as raw, pytest.raises(DataError, match=bad):
        list(raw.reader())
    assert capfd.readouterr().err == ""


def test_a_workbook_without_a_sheet_is_said(tmp_path: Path) -> None:
    with zipfile.ZipFile(write_xlsx(tmp_path / "x.xlsx", {"list": [["id"]]})) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(tmp_path / "y.xlsx", "w") as new:
        for name, part in parts.items():
            new.writestr(name, re.sub(rb"<sheets>.*</sheets>", b"<sheets></sheets>", part))
    with (
        pytest.raises(DataError, match="no sheet in it"),
        open_table(TableSource(path="y.xlsx", format="excel"), tmp_path, "t"),
    ):
        pass
