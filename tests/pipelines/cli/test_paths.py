"""Folders that are files, and results that are not there yet: one line and an exit code, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.schema.errors import DataError, DeliveryError, ParamsError
from tests.pipelines.cli.test_app import leadscore


@pytest.mark.parametrize("out", ["file", "file/below"])
@pytest.mark.parametrize("words", [["run"], ["stage", "simulate"], ["score"], ["report", "--summary"]])
def test_out_that_leads_to_a_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    out: str,
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert leadscore(monkeypatch, *words, "--out", tmp_path / out) == ParamsError.exit_code
    assert f"{tmp_path / 'file'} is a file; name a folder" in capsys.readouterr().err


def test_a_file_where_a_folder_of_the_run_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "artifacts").write_text("x", encoding="utf-8")
    assert leadscore(monkeypatch, "stage", "resolve-params", "--out", tmp_path) == DeliveryError.exit_code
    assert "name a folder or a file that this user may read and write" in capsys.readouterr().err


def test_results_are_asked_for_before_a_run_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leadscore(monkeypatch, "report", "--summary", "--out", tmp_path / "new") == DataError.exit_code
    assert "metrics.json': found no file; expected what evaluate writes" in capsys.readouterr().err
