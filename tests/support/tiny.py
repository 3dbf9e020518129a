"""A small run of the whole pipeline on simulated leads, shared by the tests that read its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from pipelines.config.params import Params, load
from pipelines.simulation.export import chunks
from pipelines.stages.run_all import stages
from pipelines.stages.simulate import write
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

OVERLAY = """
simulate: {leads: 1500, first_day: 2025-07-01, last_day: 2026-06-30}
snapshots: {horizon_days: 14, max_age_days: 90}
features: {windows_days: [7, 30], half_lives_days: [7], min_event_count: 20, min_level_count: 20}
readiness: {min_rows: 100, min_positive: 20, min_negative: 20, min_periods: 4}
train: {boosters: 2, max_rounds: 60}
selection:
  folds: {count: 2}
  drift_limits: [1.0]
  recency_half_lives: [0]
  logistic_c: [0.01]
  linear_shares: [0.0, 0.5]
search: {trials: 2}
backtest: {cuts: 2}
scorecard: {max_lines: 8, l2: [20.0]}
capacity: {per_period: 40}
evaluate: {resamples: 20, min_segment_rows: 300}
explain: {sample_rows: 500, top_features: 5}
report: {top_leads: 5}
"""


def tiny_params(folder: Path, more: str = "") -> Params:
    """Return the parameters of the small run; `more` is laid over by hand-written YAML of other sections."""
    overlay = folder / "tiny.yaml"
    overlay.write_text(OVERLAY + more, encoding="utf-8")
    return load(overlay)


def tiny_run(params: Params, out: Path) -> Layout:
    """Run simulate and every stage after it into one folder."""
    layout = Layout.folder(out)
    write(chunks(params.simulate, params.project.seed, params.snapshots), layout.raw, layout.oracle.path)
    for stage in stages(RunContext(params, layout), layout.raw).values():
        stage()
    return layout


def tiny_copy(factory: pytest.TempPathFactory, out: Path) -> Layout:
    """Copy the small run, which is made once for the tests of all workers."""
    with _shared(factory, "tiny") as made:
        if not (made / "whole").exists():
            made.mkdir()
            tiny_run(tiny_params(made), made / "out")
            (made / "whole").touch()
    shutil.copytree(made / "out", out)
    return Layout.folder(out)


@contextmanager
def _shared(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder of all workers, held by one of them."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(root / f"{name}.lock"):
        yield root / name


def empty_store(factory: pytest.TempPathFactory, file: Path) -> None:
    """Copy an empty store of MLflow, whose tables take seconds to make, and are made once."""
    with _shared(factory, "mlflow") as made:
        if not (made / "whole").exists():
            made.mkdir(exist_ok=True)
            from mlflow import MlflowClient  # takes seconds to import

            MlflowClient(f"sqlite:///{made}/mlflow.db").search_experiments()
            (made / "whole").touch()
    shutil.copy(made / "mlflow.db", file)
