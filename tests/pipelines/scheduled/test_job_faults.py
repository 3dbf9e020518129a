"""What may befall the scheduled run: kills, a full disk, another run at the same time, clocks. The last list stays."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import BusyError, DeliveryError, FeedError
from models.scoring.scorer import Scorer
from pipelines.cli import app as cli
from pipelines.config.params import load
from pipelines.scheduled.feed_checks import feed_at
from pipelines.scheduled.published import PublishedLists
from pipelines.stages.ingest import ingest
from pipelines.storage.contract_store import Contract
from pipelines.storage.lock import hold
from tests.support.paths import ROOT
from tests.support.small_job import TODAY, Job, digests, job, small_shards
from tests.support.tables import DAY, MONDAY, crowd

OPERATIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "shutil.rmtree"}
COMMAND = "from pipelines.cli.app import main; main()"


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job whose list of the day before is current."""
    one = job(tmp_path_factory.mktemp("faults"))
    one.run(TODAY - DAY)
    return one


@pytest.fixture(scope="module")
def undisturbed(ready: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run of TODAY leaves."""
    here = elsewhere(ready, tmp_path_factory.mktemp("undisturbed"))
    here.run()
    return digests(here.to)


def elsewhere(ready: Job, folder: Path) -> Job:
    shutil.copytree(ready.to, folder / "to", symlinks=True)
    return ready.request_with(to=folder / "to")


def command(here: Job, *words: str) -> list[str]:
    out = here.overlay.parent / "out"
    arguments = [
        "nightly",
        "score",
        "--params",
        here.overlay,
        "--out",
        out,
        "--lists",
        here.to,
        "--as-of",
        "2024-03-04",
        "--reasons",
        "top-3",
    ]
    return [sys.executable, "-c", COMMAND, *map(str, arguments), *words]


# Kills


class KillRecorder:
    """Copies a folder as a kill would leave it, before each file operation in it."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.copies: list[Path] = []
        sys.addaudithook(self._look)

    def _look(self, event: str, details: tuple[object, ...]) -> None:
        folder = self.folder
        if folder is not None and event in OPERATIONS and any(str(folder) in str(one) for one in details):
            self.folder = None  # the copy has operations of its own
            copy = folder.parent / "moments" / f"{len(self.copies):04d}"
            shutil.copytree(folder, copy, symlinks=True)
            self.copies.append(copy)
            self.folder = folder


RECORDER = KillRecorder()  # an audit hook stays for good


def test_a_kill_at_any_file_operation_leaves_complete_lists_and_a_rerun_ends_the_same(
    ready: Job, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch)
    here, before = elsewhere(ready, tmp_path), digests(ready.to)
    RECORDER.folder, RECORDER.copies = here.to, []
    try:
        here.run()
    finally:
        RECORDER.folder = None
    distinct: dict[tuple[tuple[str, str], ...], Path] = {}
    for copy in RECORDER.copies:
        now, published = digests(copy), PublishedLists(copy)
        assert now["current"] in (before["current"], undisturbed["current"])
        assert all(published.is_complete(run.name) for run in published.runs.glob("[!.]*"))
        assert {name: now[name] for name in before if name != "current"}.items() <= before.items()
        distinct[tuple(_all_bytes(copy).items())] = copy
    assert len(distinct) > 8
    for copy in list(distinct.values())[::4]:
        here.request_with(to=copy).run()
        assert digests(copy) == undisturbed


def _all_bytes(folder: Path) -> dict[str, str]:
    """Digests of the hidden files too."""
    hidden = {f"{path.name}/{name}": one for path in folder.glob(".[!l]*") for name, one in digests(path).items()}
    return digests(folder) | hidden


def test_finished_shards_are_taken_up(
    ready: Job, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch, 20)
    here, original, scored = elsewhere(ready, tmp_path), Scorer.score, []

    def score(self: Scorer, matrix: pd.DataFrame, reasons: int) -> pd.DataFrame:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(matrix["lead_id"].iloc[0])
        return original(self, matrix, reasons)

    monkeypatch.setattr(Scorer, "score", score)
    with pytest.raises(KeyboardInterrupt):
        here.run()
    shards = sorted((here.to / ".work").rglob("shard-*.arrow"))
    assert len(shards) == 2
    shards[0].write_bytes(shards[0].read_bytes()[:-9])  # damaged: done again
    first = scored.pop(0)
    monkeypatch.setattr(Scorer, "score", lambda *args: (scored.append(args[1]["lead_id"].iloc[0]), original(*args))[1])
    here.run()
    assert scored[1] == first and len(scored) == 3
    assert digests(here.to) == undisturbed


def test_sigkill_of_the_command_frees_the_lock_and_loses_nothing(
    ready: Job, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    here, before = elsewhere(ready, tmp_path), digests(ready.to)
    with subprocess.Popen(command(here), cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        while run.poll() is None and not list((here.to / ".work").glob("shards/*")):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    assert digests(here.to) == before
    here.run()
    assert digests(here.to) == undisturbed


# A full disk


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The kernel refuses to write more to any file than so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 20_000])
def test_what_cannot_be_written_is_a_delivery_error_and_changes_nothing(
    size: int, ready: Job, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    here, before = elsewhere(ready, tmp_path), digests(ready.to)
    with no_file_above(size), pytest.raises(DeliveryError, match="the last list stays current"):
        here.run()
    assert digests(here.to) == before
    here.run()
    assert digests(here.to) == undisturbed


@pytest.mark.parametrize("operation", ["fsync", "replace", "rename"])
def test_a_disk_that_fills_up_at_the_last_moment(
    operation: str, ready: Job, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, before = elsewhere(ready, tmp_path), digests(ready.to)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    owner = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "rename": "pathlib.Path.rename"}[operation]
    monkeypatch.setattr(owner, full)
    with pytest.raises(DeliveryError, match="No space left"):
        here.run()
    monkeypatch.undo()
    now = digests(here.to)
    assert {name: now[name] for name in before} == before
    here.run()
    assert digests(here.to) == undisturbed


def test_a_folder_that_is_a_file_is_a_delivery_error(ready: Job, tmp_path: Path) -> None:
    (tmp_path / "to").write_text("")
    with pytest.raises(DeliveryError, match="cannot write"), hold(tmp_path / "to"):
        pass


# Two at once


def test_a_second_run_ends_at_once_and_says_who_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["leadscore", "nightly", "score", "--lists", str(tmp_path), "--model", "no such model"]
    )
    with hold(tmp_path), pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == BusyError.exit_code == 7
    assert "held by process" in capsys.readouterr().err
    with hold(tmp_path):  # let go with the block
        pass


# Clocks


@pytest.mark.parametrize("zone", ["America/New_York"])
def test_the_machine_s_zone_changes_no_byte(
    zone: str, ready: Job, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = elsewhere(ready, tmp_path)
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        here.run()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert digests(here.to) == undisturbed


def test_on_the_day_the_clocks_change_each_event_counts_once(tmp_path: Path) -> None:
    """Berlin's 31 March 2024 has 23 hours and its 27 October 25; a day to stand at begins at midnight in UTC."""
    days = [pd.Timestamp("2024-03-31"), pd.Timestamp("2024-10-27")]
    one = crowd((MONDAY,), n_leads=5, n_events=1)
    hours = [day + number * pd.Timedelta(hours=1) for day in days for number in range(-24, 24)]
    rest = {"lead_id": one.leads[0]["lead_id"], "event_type": "visit", "direction": "inbound", "channel": "online"}
    here = job(tmp_path, replace(one, events=[rest | {"event_at": at, "known_at": at} for at in hours]))
    events = here.overlay.parent / "data" / "events.parquet"
    rows = pd.read_parquet(events)
    for name in ("event_at", "known_at"):
        rows[name] = rows[name].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    rows.to_parquet(events)
    here.overlay.write_text(here.overlay.read_text().replace("timezone: UTC", "timezone: Europe/Berlin"))
    params = load(here.overlay)
    ingest(params.source, params.ingest, params.project, events.parent, here.layout)
    with closing(Contract.open(here.layout, params.project)) as contract:
        counts = [feed_at(contract, day + late).events for day in days for late in (0 * DAY, DAY)]
    assert counts == [24, 48, 72, 96]


# Run after run


def test_runs_in_a_row_leave_no_handle_and_no_file_behind(ready: Job, tmp_path: Path) -> None:
    here = elsewhere(ready, tmp_path).params_with(keep_days=2)
    held = []
    for number in range(5):
        here.run(TODAY + number * DAY)
        files = len([path for path in here.to.rglob("*") if path.is_file()])
        held.append((len(list(Path("/proc/self/fd").iterdir())), files))
    assert held[2:] == held[2:3] * 3


def test_events_of_a_header_alone_stop_the_first_list_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = job(tmp_path, replace(crowd((MONDAY,)), events=[])).params_with(max_silence_days=400)
    assert "source.events[0] (events.parquet) holds no row" in caplog.text
    with pytest.raises(FeedError, match="no event at all, where the model learned from visit, call"):
        here.run()
    assert not list((here.to / "runs").glob("*"))
    here.params_with(min_volume_share=0.0).run()
    assert here.params_with(min_volume_share=0.0).run()[0].startswith("published")


def test_of_two_lists_of_a_day_the_second_counts_even_where_the_clock_went_back(tmp_path: Path) -> None:
    here = job(tmp_path)
    for day in (TODAY + DAY, TODAY):
        here.run(day)
    published = PublishedLists(here.to)
    first = published.days()[f"{TODAY:%Y-%m-%d}"]
    os.utime(published.run(first), (4e9, 4e9))  # as if the clock had been decades ahead then
    smaller = here.params.capacity.model_copy(update={"per_period": 5})
    replace(here, params=here.params.model_copy(update={"capacity": smaller})).run(TODAY)
    assert first not in published.days().values() and len(published.days()) == 2
