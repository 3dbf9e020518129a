from __future__ import annotations

import csv
import datetime as dt
import io
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.storage.files import (
    FORMULA,
    PLAIN_NUMBER,
    ROW_GROUP,
    staged_file,
    staged_folder,
    write_csv,
    write_json,
    write_parquet,
)

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
CELL = st.one_of(TEXT, st.tuples(st.sampled_from("=+-@\t\r"), TEXT).map("".join))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(CELL, min_size=1, max_size=5), name=CELL)
def test_a_spreadsheet_finds_no_formula_and_no_text_is_lost(tmp_path: Path, cells: list[str], name: str) -> None:
    write_csv(pd.DataFrame({"id": range(len(cells)), name: cells}, dtype=object), tmp_path / "out.csv")
    text = (tmp_path / "out.csv").read_bytes().decode("utf-8")
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    for written, meant in zip([header[1], *(row[1] for row in rows)], [name, *cells], strict=True):
        assert not FORMULA.match(written) or PLAIN_NUMBER.fullmatch(written)
        assert written in (meant, "'" + meant)


@pytest.mark.parametrize("plain", ["-5", "+3.25", "-1e-05", "-.5"])
def test_a_plain_number_stays(tmp_path: Path, plain: str) -> None:
    write_csv(pd.DataFrame({"x": [plain, "-5+cmd"]}), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == f'"x"\n"{plain}"\n"\'-5+cmd"\n'


def test_numbers_times_and_gaps_keep_their_form(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "n": [-1.5, math.nan],
            "t": pd.to_datetime(["2024-01-01", None]),
            "c": pd.Categorical(["=x", None]),
            "s": ["ä", None],
        }
    )
    write_csv(frame, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == '"n","t","c","s"\n-1.5,"2024-01-01","\'=x","ä"\n,,,\n'.encode()
    assert frame["c"].tolist()[0] == "=x"  # the frame itself is as it was


def test_json_is_sorted_and_plain(tmp_path: Path) -> None:
    write_json({"b": np.float64(0.5), "a": [np.int64(1), dt.date(2024, 1, 2)], "ü": None}, tmp_path / "out.json")
    expected = '{\n  "a": [\n    1,\n    "2024-01-02"\n  ],\n  "b": 0.5,\n  "ü": null\n}\n'
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float32("nan")])
def test_json_refuses_numbers_that_are_not_finite_and_leaves_the_old_file(tmp_path: Path, number: float) -> None:
    write_json({"x": 1}, tmp_path / "out.json")
    with pytest.raises(ValueError, match="JSON"):
        write_json({"x": number}, tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text() == '{\n  "x": 1\n}\n'
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("size", [1_000, 50_000, 262_144])
def test_parquet_bytes_do_not_depend_on_how_rows_arrive(tmp_path: Path, size: int) -> None:
    ids = [f"lead-{number * 7919:012d}" for number in range(300_000)]  # too many for a dictionary page
    table = pa.table({"x": range(300_000), "s": [str(number % 7) for number in range(300_000)], "id": ids})
    batches = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=size)))
    assert write_parquet(batches, tmp_path / "stream.parquet") == 300_000
    write_parquet(table, tmp_path / "table.parquet")
    assert (tmp_path / "stream.parquet").read_bytes() == (tmp_path / "table.parquet").read_bytes()
    meta = pq.read_metadata(tmp_path / "table.parquet")
    assert [meta.row_group(group).num_rows for group in range(3)] == [ROW_GROUP, ROW_GROUP, 300_000 - 2 * ROW_GROUP]


def test_a_frame_comes_back_from_parquet_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2024-01-01"]), "c": pd.Categorical(["x"], ["y", "x"]), "s": ["z"]})
    write_parquet(frame, tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), frame)
    write_parquet(frame.head(0), tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet").columns.tolist() == ["t", "c", "s"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with staged_file(path) as staged:
        staged.write_text("old")
    with pytest.raises(KeyboardInterrupt), staged_file(path) as staged:
        staged.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def killed(code: str, *arguments: Path) -> None:
    """Run code that kills its own process."""
    source = f"import os, signal, sys\nfrom pathlib import Path\nfrom pipelines.storage import files\n{code}"
    done = subprocess.run([sys.executable, "-c", source, *map(str, arguments)], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_killed_write_leaves_the_old_file_and_the_next_one_sweeps(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json({"x": "old"}, path)
    killed(
        "with files.staged_file(Path(sys.argv[1])) as staged:\n"
        "    staged.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)",
        path,
    )
    assert path.read_text() == '{\n  "x": "old"\n}\n'
    assert len(list(tmp_path.iterdir())) == 2
    write_json({"x": "new"}, path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for name in ("first", "second"):
        with staged_folder(path) as staged:
            (staged / name).write_text(name)
    assert [entry.name for entry in path.iterdir()] == ["second"]
    with pytest.raises(ValueError, match="stop"), staged_folder(path) as staged:
        (staged / "third").write_text("third")
        raise ValueError("stop")
    assert [entry.name for entry in path.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_swap_killed_halfway_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with staged_folder(path) as staged:
        (staged / "file").write_text("old")
    killed(
        "replace = Path.rename\n"
        "def rename(self, target):\n"
        "    replace(self, target)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.rename = rename\n"
        "with files.staged_folder(Path(sys.argv[1])) as staged:\n"
        "    (staged / 'file').write_text('new')",
        path,
    )
    assert not path.exists()
    with pytest.raises(ValueError, match="stop"), staged_folder(path):
        assert (path / "file").read_text() == "old"
        raise ValueError("stop")
    assert (path / "file").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_staged_file_of_a_running_process_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / f".out.json.{os.getppid()}.staged"
    other.write_text("someone is writing")
    write_json({}, tmp_path / "out.json")
    assert other.exists()


def test_what_a_killed_run_left_goes_whatever_its_name_and_only_that(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    own, others = tmp_path / "list[1]*.json", ["list1.json", "list[1]*.json.old", "other.json"]
    for name in (own.name, *others[::2]):
        (tmp_path / f".{name}.{gone.pid}.staged").write_text("half")
    (tmp_path / others[1]).write_text("whole")
    write_json({}, own)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {own.name, others[1], *(f".{name}.{gone.pid}.staged" for name in others[::2])}


@pytest.mark.parametrize(
    "text",
    ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)", " =1+1", "\u3000=1", "\ufeff@A1", "\n=1", "\nx", "\u00a0+x"],
)
def test_what_some_spreadsheet_takes_for_a_formula_gets_an_apostrophe(tmp_path: Path, text: str) -> None:
    for dtype in ("str", "object"):
        write_csv(pd.DataFrame({"t": pd.Series([text, "a = b"], dtype=dtype)}), tmp_path / "x.csv")
        with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
            assert [row[0] for row in csv.reader(file)] == ["t", "'" + text, "a = b"]
