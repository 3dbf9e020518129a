"""The folder of published lists: each complete in a folder of its own, and `current` points to the current one.

A list is written under a temporary name, synced to the disk and renamed; then one rename moves `current`. So whoever
reads `current/` finds one complete list at any moment, even if the run is killed.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipelines.scheduled.manifest import MANIFEST, ListManifest, read_manifest
from pipelines.storage.files import file_digest, staged_folder, sync_folder

log = logging.getLogger("leadscore")
SCORES = "scores.parquet"
SHEET = "scores.csv"
INPUTS = "inputs.parquet"


@dataclass(frozen=True)
class PublishedLists:
    """A folder of lists.

    Attributes
    ----------
    folder
        Holds `runs/NAME/` for each list, `current`, a link to one of them, and `.work/` for what is not done yet.
    """

    folder: Path

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def current(self) -> Path:
        return self.folder / "current"

    @property
    def work(self) -> Path:
        return self.folder / ".work"

    def run(self, name: str) -> Path:
        return self.runs / name

    def current_name(self) -> str | None:
        """The name of the list that `current` points to."""
        return self.current.readlink().name if self.current.is_symlink() and self.current.exists() else None

    def manifest(self, name: str) -> ListManifest | None:
        """The manifest of a list; None, and a warning, where it is damaged or not this program's."""
        manifest = read_manifest(self.run(name))
        if manifest is None and self._has_manifest(name):
            log.warning("score: %s is no manifest of a list; the folder counts as none", self.run(name) / MANIFEST)
        return manifest

    def _has_manifest(self, name: str) -> bool:
        return (self.run(name) / MANIFEST).exists()

    def is_complete(self, name: str) -> bool:
        """Whether every file of a list matches its manifest."""
        manifest = self.manifest(name)
        outputs = {} if manifest is None else manifest.outputs
        files = {file: self.run(name) / file for file in outputs}
        return bool(files) and all(path.is_file() and file_digest(path) == outputs[f] for f, path in files.items())

    def days(self) -> dict[str, str]:
        """The list of each day, oldest day first; of several the current one, else the one made last."""
        names = [*sorted((path.name for path in self.runs.glob("[!.]*")), key=self._made), self.current_name()]
        manifests = {name: self.manifest(name) for name in names if name is not None}
        days = {manifest.as_of or "": name for name, manifest in manifests.items() if manifest}
        return dict(sorted(days.items()))

    def _made(self, name: str) -> tuple[int, str]:
        return self.run(name).stat().st_mtime_ns, name

    def before(self, day: str | None) -> str | None:
        """The list of the last day before `day`; None for tables without dates."""
        earlier = [name for one, name in self.days().items() if day and one and one < day]
        return earlier[-1] if earlier else None

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        """A folder that becomes the list `name`, complete and on the disk, or nothing at all."""
        with staged_folder(self.run(name)) as staged:
            yield staged
            self._date_last(staged)
            sync_folder(staged)
        _sync_names(self.runs)

    def _date_last(self, staged: Path) -> None:
        """Let a list count as the one made last, even where the clock was set back."""
        newest = max((path.stat().st_mtime_ns for path in self.runs.glob("[!.]*")), default=0)
        if staged.stat().st_mtime_ns <= newest:
            os.utime(staged, ns=(newest + 1, newest + 1))

    def make_current(self, name: str) -> bool:
        """Point `current` to a list in one step, unless it is of an earlier day than the current one."""
        current = self.current_name()
        if current is not None and self._day(name) < self._day(current):
            return False
        if current != name:
            link = self.folder / ".current.staged"
            link.unlink(missing_ok=True)
            link.symlink_to(Path(self.runs.name) / name)
            link.replace(self.current)
            _sync_names(self.folder)
        return True

    def _day(self, name: str) -> str:
        manifest = self.manifest(name)
        return "" if manifest is None else manifest.as_of or ""

    def prune(self, keep: int, coming: str | None) -> None:
        """Remove what killed runs left, lists replaced by another of the same day, and all but the newest days.

        `coming` is the day about to be published, which counts among those kept. The current list stays, and so does a
        folder whose manifest is not this program's.
        """
        days = self.days()
        newest = sorted({*days, coming or ""})[-keep:]
        kept = {days.get(day) for day in newest} | {self.current_name()}
        for path in self.runs.glob("*"):
            is_foreign = self._has_manifest(path.name) and read_manifest(path) is None
            if path.name not in kept and not is_foreign:
                shutil.rmtree(path)


def _sync_names(folder: Path) -> None:
    """Sync the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
