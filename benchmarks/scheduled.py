"""What the benchmarks of the scheduled run share: a finished `leadscore run`, and what a folder of lists holds."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import pandas as pd

from pipelines.config.params import load, with_as_of
from pipelines.scheduled.job import JobRequest, run_job
from pipelines.storage import contract_store as store
from pipelines.storage.data_profile import read_profile
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import versions

SHARD_LEADS = 200  # few, so that a run has a middle


def arguments(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of a `leadscore run`; default: the project's own")
    parser.add_argument("--params", type=Path, help="its params")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    return parser


def open_run(options: argparse.Namespace) -> RunContext:
    """The parameters and folders; small shards, and a feed check that passes any age of the data."""
    versions()  # of the program in memory: forks that read its files later might find others
    params = load(options.params)
    store.SHARD_LEADS = SHARD_LEADS
    job = params.job.model_copy(update={"max_silence_days": 10_000})
    layout = Layout.workspace(Path()) if options.out is None else Layout.folder(options.out)
    return RunContext(params.model_copy(update={"job": job}), layout)


def request(layout: Layout, to: Path, data: Path | None, *, since_last: bool = False) -> JobRequest:
    return JobRequest(str(layout.bundle), to, data, "top-5", since_last=since_last, dry_run=False)


def run_day(run: RunContext, job: JobRequest, day: pd.Timestamp) -> list[str]:
    return run_job(RunContext(with_as_of(run.params, f"{day:%Y-%m-%d}"), run.layout), job, lambda: 0.0)


def last_day(layout: Layout) -> pd.Timestamp:
    return pd.Timestamp(read_profile(layout).data_until or "NaT").floor("D")


def digests(folder: Path) -> dict[str, str]:
    """Every file and link of the lists; what is hidden, and how long it took, is left out."""
    entries: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            entries[name] = f"-> {path.readlink()}"
        elif path.is_file() and not name.startswith(".") and path.name != "timings.json":
            entries[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return entries
