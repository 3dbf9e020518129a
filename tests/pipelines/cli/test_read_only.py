"""A file system that takes no writing is said in one line, with the path, and never as a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipelines.cli import app


@pytest.mark.parametrize("number", [errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES])
def test_a_folder_that_takes_no_writing_is_named(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "scores.csv"))

    monkeypatch.setattr(app, "app", fail)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path / "scores.csv") in line and "this user may read and write" in line


def test_another_error_of_the_system_is_a_fault_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error", "x")

    monkeypatch.setattr(app, "app", fail)
    with pytest.raises(OSError, match="Input/output"):
        app.main()
