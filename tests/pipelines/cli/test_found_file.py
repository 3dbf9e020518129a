"""leadscore.yaml in the working folder stands in for the options that every command would repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from features.schema.errors import ParamsError
from pipelines.cli.app import app
from pipelines.config.params import load
from tests.pipelines.cli.test_app import OVERLAY, leadscore, write_tables

PATHS = "paths: {data: export, out: results, lists: published}\n"


def options(words: list[str]) -> dict[str, Any]:
    """What a command would be called with, read as click reads it, without calling it."""
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "commands"):
        context = command.make_context(words[0], [], parent=context, resilient_parsing=True)
        command, words = command.commands[words[0]], words[1:]
    return dict(command.make_context("test", words).params)


def project(folder: Path, text: str = PATHS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "leadscore.yaml").write_text(text + OVERLAY, encoding="utf-8")
    return folder


FOLDERS = {"data": Path("export"), "out": Path("results"), "lists": Path("published")}


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["run"], ("data", "out")),
        (["score"], ("out",)),
        (["explain"], ("out",)),
        (["report"], ("out",)),
        (["nightly", "score"], ("data", "out", "lists")),
        (["nightly", "monitor"], ("data", "out", "lists")),
        (["nightly", "retrain"], ("data", "lists")),
        (["nightly", "shadow"], ("data", "out", "lists")),
        (["lead", "explain", "L1"], ("out",)),
        (["lead", "change"], ("out",)),
        (["lead", "rules", "L1"], ("out",)),
        (["model", "promote"], ("out",)),
        (["model", "scorecard"], ("out",)),
        (["stage", "ingest"], ("data", "out")),
    ],
)
def test_every_command_takes_its_folders_from_the_file(
    words: list[str], taken: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project(tmp_path))
    found = options(words)
    assert {name: found[name] for name in FOLDERS if name in found} == {name: FOLDERS[name] for name in taken}
    assert found["params"] == Path("leadscore.yaml")


def test_deliver_sends_the_published_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path))
    assert options(["deliver", "duckdb"])["scores"] == Path("published/current")
    assert options(["deliver", "duckdb", "--scores", "x"])["scores"] == Path("x")


def test_an_option_goes_first_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path))
    found = options(["run", "--out", "other"])
    assert (found["out"], found["data"]) == (Path("other"), Path("export"))
    project(tmp_path / "away")
    found = options(["run", "--data", "mine", "--params", "away/leadscore.yaml"])
    assert (found["data"], found["out"]) == (Path("mine"), Path("away/results")), "relative to the file"


def test_without_a_file_nothing_is_assumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert (options(["score"])["params"], options(["score"])["out"]) == (None, None)
    (tmp_path / "leadscore.yaml").mkdir()
    assert options(["score"])["params"] is None, "a folder is no file"
    assert CliRunner().invoke(app, ["run"]).exit_code == 2, "--out is required"


def test_a_stage_that_dvc_runs_is_what_dvc_yaml_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train")
    assert (options(["stage", "train"])["params"], options(["stage", "train"])["out"]) == (None, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("paths: {dta: export}\n", "line 1: paths.dta is not a key; did you mean paths.data?"),
        ("paths: {out: 7}\n", "line 1: paths.out: Input should be a valid string"),
        ("paths: {out: ''}\n", "line 1: paths.out: String should have at least 1 character"),
        ("paths: results\n", "line 1: paths: Input should be"),
    ],
)
def test_paths_that_are_none_are_named(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project(tmp_path, text))
    assert leadscore(monkeypatch, "report", "--summary") == ParamsError.exit_code
    assert f"leadscore.yaml, {said}" in capsys.readouterr().err


def test_which_file_was_taken_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(project(write_tables(tmp_path), "paths: {data: ., out: results}\n"))
    assert leadscore(monkeypatch, "stage", "ingest") == 0
    assert "params of leadscore.yaml, --data ., --out results" in caplog.messages
    assert (tmp_path / "results" / "data" / "contract" / "leads.parquet").is_file()
    assert load(tmp_path / "leadscore.yaml").paths.out == "results"
