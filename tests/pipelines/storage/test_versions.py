"""The digest of the program knows every file of it, whatever its depth."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pipelines.storage.versions import PACKAGES, ROOT, source_digest, source_files


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of one module and one template, both two folders deep."""
    for name in ("features/schema/deep/a.py", "pipelines/reporting/templates/a.html.j2"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("one\n")
    return tmp_path


@pytest.mark.parametrize("name", ["features/schema/deep/a.py", "pipelines/reporting/templates/a.html.j2"])
def test_a_changed_file_changes_the_digest_whatever_its_depth(program: Path, name: str) -> None:
    before = source_digest(program)
    (program / name).write_text("two\n")
    assert source_digest(program) != before


def test_a_moved_file_changes_the_digest(program: Path) -> None:
    before = source_digest(program)
    (program / "features/schema/deep/a.py").rename(program / "features/schema/a.py")
    assert source_digest(program) != before


def test_what_the_program_writes_beside_itself_does_not(program: Path) -> None:
    before = source_digest(program)
    (program / "features/schema/a.pyc").write_text("compiled")
    assert source_digest(program) == before


def test_every_source_file_of_this_checkout_is_in_it() -> None:
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of files to hold it against")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    assert tracked <= {path.relative_to(ROOT).as_posix() for path in source_files(ROOT)}
