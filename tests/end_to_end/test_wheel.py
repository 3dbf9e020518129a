"""The wheel: it holds all that the program reads, and runs where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipelines.storage.versions import source_digest
from tests.support.paths import ROOT

BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
RUN = """
import sys
from pipelines.config import params
from pipelines.config.packaged import packaged
from pipelines.cli.app import main
print(params.DEFAULT, packaged("examples/bank_full.yaml").is_file())
main()
"""
SMALL = "simulate: {leads: 100, first_day: 2026-01-01, last_day: 2026-03-31}\nsnapshots: {max_age_days: 60}\n"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-c", BUILD, folder], cwd=ROOT, check=True, timeout=120)
    (wheel,) = folder.glob("leadscore-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_it_holds_the_program_its_defaults_and_the_examples(unpacked: Path) -> None:
    assert source_digest(unpacked) == source_digest(ROOT)
    room = unpacked / "pipelines" / "config"
    for path in (ROOT / "params.yaml", *(ROOT / "examples").iterdir()):
        assert (room / path.relative_to(ROOT)).read_bytes() == path.read_bytes()


def test_it_runs_in_an_empty_folder_with_a_params_file_of_any_place(unpacked: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    command = [sys.executable, "-c", RUN, "stage", "simulate", "--params", tmp_path / "small.yaml", "--out", "out"]
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    ended = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == [str(unpacked / "pipelines" / "config" / "params.yaml"), "True"]
    lines = (empty / "out" / "data" / "raw" / "leads.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 101
