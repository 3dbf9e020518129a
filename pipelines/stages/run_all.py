"""All stages in order, in one process and without DVC: what `leadscore run` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from features.schema.errors import NotReadyError
from pipelines.config.params import Params
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
from pipelines.storage.layout import Layout

Stage = Callable[[], object]


def run_all(params: Params, data: Path, layout: Layout) -> bool:
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
        for stage in stages(params, data, layout).values():
            stage()
    except NotReadyError as not_ready:
        serve_by_rules(not_ready, params, layout)
        return False
    return True


def stages(params: Params, data: Path, layout: Layout) -> dict[str, Stage]:
    """Return every stage after simulation, by name, in the order they run."""
    return {
        "ingest": lambda: ingest(params.source, params.ingest, params.project, data, layout),
        "build_features": lambda: build_features(params, layout),
        "audit": lambda: audit_leakage(params, layout),
        "train": lambda: train(params, layout),
        "backtest": lambda: backtest(params, layout),
        "evaluate": lambda: evaluate_model(params, layout),
        "kpis": lambda: measure_kpis(params, layout),
        "explain": lambda: explain(params, layout),
        "score": lambda: score_leads(params, layout),
        "report": lambda: write_report(params, layout),
    }
