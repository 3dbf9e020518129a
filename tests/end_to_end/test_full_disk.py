"""A disk that is really full, at one moment after another: nothing half-written, nothing lost, nothing doubled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from features.schema.errors import DeliveryError
from pipelines.config.delivery import DuckdbTables
from pipelines.delivery import deliver
from pipelines.delivery.databases import read_list, to_duckdb
from tests.pipelines.cli.test_app import leadscore
from tests.pipelines.scheduled.test_job_faults import no_file_above
from tests.support.crm_server import serving
from tests.support.small_delivery import held, many, params_for, put
from tests.support.small_job import TODAY, digests, export, job
from tests.support.tables import DAY, MONDAY, crowd

MEGABYTES = 24


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small file system of its own."""
    place = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this user may not mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def leave(disk: Path, free: int) -> None:
    """Fill the disk but for so many kB."""
    (disk / "ballast").unlink(missing_ok=True)
    found = os.statvfs(disk)
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, max(found.f_bavail * found.f_frsize - free * 1024, 1))


@pytest.mark.parametrize(
    ("taking_in", "sizes", "stops"),
    [
        (False, (0, 20, 36, 56, 80, 512), {"scoring", "listing"}),
        (True, (0, 192, 4096), {"scoring"}),
    ],
)
def test_a_run_on_a_full_disk_leaves_the_last_list_and_is_done_once_there_is_room(
    taking_in: bool, sizes: tuple[int, ...], stops: set[str], disk: Path, tmp_path: Path
) -> None:
    ready = job(tmp_path / "job")
    ready.run(TODAY - DAY)
    data = export(tmp_path / "data", crowd((MONDAY,), n_events=700)) if taking_in else None
    whole, here = (ready.request_with(to=folder / "to", data=data) for folder in (tmp_path, disk))
    shutil.copytree(ready.to, whole.to, symlinks=True)
    whole.run()
    before, undisturbed, stopped = digests(ready.to), digests(whole.to), set()
    for free in sizes:
        shutil.rmtree(here.to, ignore_errors=True)
        shutil.copytree(ready.to, here.to, symlinks=True)
        leave(disk, free)
        try:
            here.run()
        except DeliveryError as error:
            assert "the last list stays current" in str(error)
            assert digests(here.to) == before
            stopped.add("listing" if list((here.to / ".work").rglob("shard-*.json")) else "scoring")
        (disk / "ballast").unlink()
        here.run()
        assert digests(here.to) == undisturbed
    assert stopped == stops


@pytest.mark.usefixtures("tokens")
def test_a_delivery_whose_books_find_no_room_changes_each_record_once(disk: Path, tmp_path: Path) -> None:
    stopped = 0
    for free in (0, 16, 32, 64, 80, 96, 112, 144, 2048):
        with serving("hubspot") as crm:
            params = params_for(crm, disk)
            for day, score in (("2026-11-01", 50), ("2026-11-02", 90)):
                scores = put(tmp_path, many(450, score), day)
                leave(disk, free)
                try:
                    deliver.deliver(params, scores, "hubspot", lambda _: None)
                except DeliveryError as error:
                    assert "make room" in str(error)
                    stopped += 1
                (disk / "ballast").unlink()
                deliver.deliver(params, scores, "hubspot", lambda _: None)
                assert held(crm) == many(450, score)
            assert crm.changes == Counter(dict.fromkeys(many(450), 2))
        shutil.rmtree(disk / "state")
    assert stopped > 4


def test_a_duckdb_file_without_room_keeps_the_lists_it_has(disk: Path, tmp_path: Path) -> None:
    names = {"schema": "main", "history": "history", "current": "current", "database": str(disk / "scores.duckdb")}
    tables = DuckdbTables.model_validate(names)
    to_duckdb(read_list(put(tmp_path, many(3_000))), tables)
    second = read_list(put(tmp_path, many(60_000, 90), "2026-11-02"))
    for free in (0, 64, 256):
        leave(disk, free)
        with pytest.raises(DeliveryError, match="nothing was written"):
            to_duckdb(second, tables)
        (disk / "ballast").unlink()
        with duckdb.connect(tables.database) as connection:
            assert connection.sql("SELECT count(*), max(score) FROM current").fetchall() == [(3_000, 56)]
    to_duckdb(second, tables)
    with duckdb.connect(tables.database) as connection:
        assert connection.sql("SELECT count(*), count(DISTINCT as_of) FROM history").fetchall() == [(63_000, 2)]


def test_a_command_that_finds_no_room_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = job(tmp_path)
    out = ready.overlay.parent / "out"
    before = digests(out)
    words = ("stage", "ingest", "--params", ready.overlay, "--out", out, "--data", tmp_path / "data")
    with no_file_above(2_000):
        assert leadscore(monkeypatch, *words) == DeliveryError.exit_code
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith("error: ") and told[-1].endswith("make room and run it again")
    assert digests(out) == before
