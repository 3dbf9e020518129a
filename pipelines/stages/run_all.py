"""All stages in order, in one process and without DVC: what `leadscore run` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from features.schema.errors import NotReadyError
from pipelines.stages.audit import audit_leakage
from pipelines.stages.backtest import backtest
from pipelines.stages.build_features import build_features
from pipelines.stages.evaluate import evaluate_model
from pipelines.stages.explain import explain
from pipelines.stages.ingest import ingest
from pipelines.stages.kpis import measure_kpis
from pipelines.stages.report import write_report
from pipelines.stages.rules_fallback import serve_by_rules
from pipelines.stages.score import score_leads
from pipelines.stages.train import train
from pipelines.storage.run_context import RunContext

Stage = Callable[[], object]


def run_all(run: RunContext, data: Path) -> bool:
    """Run every stage; where there is too little to learn from, score by the hand-written rules instead.

    Returns
    -------
    bool
        Whether there is a model.

    Raises
    ------
    NotReadyError
        Where there is too little to learn from, and no rules either.
    """
    try:
        for stage in stages(run, data).values():
            stage()
    except NotReadyError as not_ready:
        serve_by_rules(not_ready, run)
        return False
    return True


def stages(run: RunContext, data: Path) -> dict[str, Stage]:
    """Return every stage after simulation, by name, in the order they run."""
    return {
        "ingest": lambda: ingest(run.params.source, run.params.ingest, run.params.project, data, run.layout),
        "build_features": lambda: build_features(run),
        "audit": lambda: audit_leakage(run),
        "train": lambda: train(run),
        "backtest": lambda: backtest(run),
        "evaluate": lambda: evaluate_model(run),
        "kpis": lambda: measure_kpis(run),
        "explain": lambda: explain(run),
        "score": lambda: score_leads(run),
        "report": lambda: write_report(run),
    }
