"""A scheduled run in a moment: sixty simulated leads as files of a user, a small model, and a folder of lists."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.config.params import Params, load, with_as_of
from pipelines.scheduled.job import JobRequest, run_job
from pipelines.stages.ingest import ingest
from pipelines.storage import contract_store as store
from pipelines.storage.bundle import save_bundle
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.small_model import scorer
from tests.support.tables import DAY, MONDAY, Scenario, crowd, table

OVERLAY = """
project: {threads: 2, memory_gb: 1}
source:
  order: dates
  timezone: UTC
  leads: {path: leads.parquet, format: parquet, columns: {lead_id: lead_id, created_at: created_at}}
  attributes:
    sector: {}
    size: {kind: number, known: history}
    job: {kind: title, known: history}
    stage: {known: history, group: engagement}
    mail: {kind: domain}
  events:
    - path: events.parquet
      format: parquet
      columns: {lead_id: lead_id, event_at: event_at, known_at: known_at, event_type: event_type,
                direction: direction, channel: channel, value: value}
  event_labels: {visit: site visit}
  outcomes:
    path: outcomes.parquet
    format: parquet
    columns: {lead_id: lead_id, converted_at: converted_at, lost_at: lost_at}
  yes_values: []
  no_values: []
  stages: []
  attribute_history:
    - {path: history.parquet, format: parquet, columns: {lead_id: lead_id, valid_from: valid_from}}
job: {max_silence_days: 30}
capacity: {per_period: 20}
"""
TODAY = MONDAY
MOVING = ("lead_age", "recency", "decayed", "mean_gap", "trend")  # measures that change from day to day by themselves
Clock = Callable[[], float]


@dataclass(frozen=True)
class Job:
    """Where one scheduled run reads and writes, and its request."""

    params: Params
    overlay: Path
    request: JobRequest

    @property
    def to(self) -> Path:
        return self.request.to

    @property
    def layout(self) -> Layout:
        """Contract tables and model, as a run with --out has them."""
        return Layout.folder(self.overlay.parent / "out")

    def request_with(self, **changed: Any) -> Job:
        """The same job with another request."""
        return replace(self, request=replace(self.request, **changed))

    def run(self, day: pd.Timestamp | str = TODAY, clock: Clock = lambda: 0.0) -> list[str]:
        return run_job(
            RunContext(with_as_of(self.params, f"{pd.Timestamp(day):%Y-%m-%d}"), self.layout), self.request, clock
        )

    def params_with(self, **job: Any) -> Job:
        """The same job with other values in `params.job`."""
        return replace(self, params=self.params.model_copy(update={"job": self.params.job.model_copy(update=job)}))


def export(folder: Path, scenario: Scenario) -> Path:
    """Write a scenario as the files a user would export."""
    folder.mkdir(parents=True, exist_ok=True)
    leads = table("leads", scenario.leads).drop_columns(["position", "rating"])
    won = [{"lead_id": row["lead_id"], "converted_at": TODAY + 20 * DAY} for row in scenario.leads[::9]]
    files = {"leads": leads, "events": table("events", scenario.events), "outcomes": table("outcomes", won)}
    files["history"] = table("attribute_history", scenario.history)
    for name, rows in files.items():
        pq.write_table(rows, folder / f"{name}.parquet")
    return folder


def job(folder: Path, scenario: Scenario | None = None, **metadata: Any) -> Job:
    """A job on tables that are already ingested; `metadata` changes words of the model's metadata."""
    if scenario is None and not metadata:
        shutil.copytree(_usual(OVERLAY), folder, dirs_exist_ok=True)
    else:
        _make(folder, OVERLAY, scenario or crowd((MONDAY,)), metadata)
    overlay, layout = folder / "params.yaml", Layout.folder(folder / "out")
    request = JobRequest(str(layout.bundle), folder / "to", None, "top-3", since_last=False, dry_run=False)
    return Job(load(overlay), overlay, request)


@cache
def _usual(overlay: str) -> Path:
    """The folder of the usual job, made once for these parameters."""
    folder = Path(tempfile.mkdtemp(prefix="leadscore-job-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _make(folder, overlay, crowd((MONDAY,)), {})
    return folder


def _make(folder: Path, overlay: str, scenario: Scenario, metadata: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(overlay, encoding="utf-8")
    params, layout = load(folder / "params.yaml"), Layout.folder(folder / "out")
    ingest(params.source, params.ingest, params.project, export(folder / "data", scenario), layout)
    model = scorer()
    save_bundle(replace(model, metadata=model.metadata.model_copy(update=metadata)), layout.bundle)


def still() -> list[str]:
    """Features that move by themselves: leave them out, and only news changes a lead."""
    return [entry.name for entry in scorer().catalogue if entry.measure in ("age", *MOVING)]


def digests(folder: Path) -> dict[str, str]:
    """Every file and link below a folder, what is hidden and how long it took left out."""
    digest_of: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            digest_of[name] = f"-> {path.readlink()}"
        elif path.is_file() and not name.startswith(".") and path.name != "timings.json":
            digest_of[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return digest_of


def small_shards(monkeypatch: pytest.MonkeyPatch, leads: int = 31) -> None:
    monkeypatch.setattr(store, "SHARD_LEADS", leads)
