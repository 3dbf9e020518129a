"""A list is three files: killed between two of them, the new one never stands beside the summary of the old one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from features.schema.errors import DataError
from pipelines.config.params import load
from pipelines.scoring import score_list
from pipelines.scoring.score_list import SCORES, write_scores
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.files import working_folder
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_result, write_result
from pipelines.storage.run_context import RunContext


def nobody() -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(SCORES, [pa.RecordBatch.from_pylist([], SCORES)])


def summary_of(day: str) -> ScoreSummary:
    return ScoreSummary.of_nobody("nobody is open", day, ["hot"], "m", "f")


def test_no_list_stands_beside_the_summary_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunContext(load(), Layout.folder(tmp_path))
    write_result(DataProfile(tables={}, data_from=None, data_until=None, fingerprint="f"), run.layout.profile.path)
    write_scores(nobody(), summary_of("2026-01-05"), run)
    old = read_result(ScoreSummary, run.layout.score_summary.path, "score")
    assert old.as_of == "2026-01-05"

    def die(*_: object) -> None:
        raise KeyboardInterrupt  # as a kill: nothing is cleaned up after the list was swapped in

    with monkeypatch.context() as trap:
        trap.setattr(score_list, "write_json", die)
        with pytest.raises(KeyboardInterrupt):
            write_scores(nobody(), summary_of("2026-01-12"), run)
    with pytest.raises(DataError, match="score"):
        read_result(ScoreSummary, run.layout.score_summary.path, "score")
    write_scores(nobody(), summary_of("2026-01-12"), run)
    assert read_result(ScoreSummary, run.layout.score_summary.path, "score").as_of == "2026-01-12"


def test_what_fails_before_the_list_is_whole_leaves_the_old_one_and_its_summary(tmp_path: Path) -> None:
    run = RunContext(load(), Layout.folder(tmp_path))
    write_result(DataProfile(tables={}, data_from=None, data_until=None, fingerprint="f"), run.layout.profile.path)
    write_scores(nobody(), summary_of("2026-01-05"), run)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full() -> pa.RecordBatchReader:
        def rows():  # type: ignore[no-untyped-def]
            yield pa.RecordBatch.from_pylist([], SCORES)
            raise OSError(28, "No space left on device")

        return pa.RecordBatchReader.from_batches(SCORES, rows())

    with pytest.raises(OSError, match="No space"):
        write_scores(full(), summary_of("2026-01-12"), run)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_leads_that_a_killed_run_worked_on_are_removed_by_the_next(tmp_path: Path) -> None:
    kill = "import os, signal, sys; from pathlib import Path; from pipelines.storage.files import working_folder\n"
    kill += "with working_folder(Path(sys.argv[1])) as work:\n"
    kill += " (work / 'shard').write_text('L1'); os.kill(os.getpid(), signal.SIGKILL)\n"
    subprocess.run([sys.executable, "-c", kill, tmp_path / "score"], check=False, env=os.environ)
    (left,) = tmp_path.iterdir()
    assert (left / "shard").read_text() == "L1"
    with working_folder(tmp_path / "score") as work:
        assert [path.name for path in tmp_path.iterdir()] == [work.name] and list(work.iterdir()) == []
    assert list(tmp_path.iterdir()) == []
