"""Stage report: what the other stages wrote becomes one page that opens offline and asks nothing of the network."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from features.schema.errors import DataError, ModelError
from models.evaluation.measures import measures
from models.scorecard.scorecard import Scorecard
from models.scoring.scorer import ModelMetadata
from pipelines.config.params import Params
from pipelines.reporting import charts as figures
from pipelines.reporting import scorecard_table as card_table
from pipelines.reporting import tables
from pipelines.reporting.glossary import report_terms
from pipelines.reporting.page import page, write_page
from pipelines.storage.bundle import load_bundle
from pipelines.storage.layout import Layout

log = logging.getLogger("leadscore")


@dataclass(frozen=True)
class Run:
    """The artifacts the page is made of."""

    metrics: dict[str, Any]
    explanation: dict[str, Any]
    summary: dict[str, Any]
    profile: dict[str, Any]
    audit: list[dict[str, Any]]
    selection: dict[str, Any]
    backtest: dict[str, Any]
    kpis: dict[str, Any]
    metadata: ModelMetadata
    scorecard: Scorecard
    scores: pd.DataFrame
    catalogue: pd.DataFrame
    gain: pd.DataFrame
    lift: pd.DataFrame
    calibration: pd.DataFrame
    change: dict[str, Any] | None

    @classmethod
    def read(cls, layout: Layout, threads: int) -> Run:
        """Read them; raises as `write_report` does."""
        scorer = load_bundle(layout.bundle, threads)
        run = cls(
            metrics=_json(layout.metrics.path, "evaluate"),
            explanation=_json(layout.explanation.path, "explain"),
            summary=_json(layout.score_summary.path, "score"),
            profile=_json(layout.profile.path, "ingest"),
            audit=_json(layout.audit.path, "audit")["checks"],
            selection=_json(layout.selection.path, "train"),
            backtest=_json(layout.backtest.path, "backtest"),
            kpis=_json(layout.kpis.path, "kpis"),
            metadata=scorer.metadata,
            scorecard=scorer.scorecard,
            scores=pd.read_parquet(_existing(layout.scores.path, "score")),
            catalogue=pd.read_csv(_existing(layout.catalogue.path, "build_features"), dtype=str, keep_default_na=False),
            gain=pd.read_csv(_existing(layout.plots / "gain.csv", "evaluate")),
            lift=pd.read_csv(_existing(layout.plots / "lift.csv", "evaluate")),
            calibration=pd.read_csv(_existing(layout.plots / "calibration.csv", "evaluate")),
            change=None,
        )
        made = {"metrics.json": run.metrics, "kpis.json": run.kpis, "explanation.json": run.explanation}
        for name, tree in (made | {"the scores": run.summary}).items():
            if tree["model_id"] != scorer.model_id:
                raise ModelError(
                    f"{name} come from model {tree['model_id']}, but {layout.bundle} holds {scorer.model_id}; run "
                    "evaluate, kpis, explain and score again"
                )
        return replace(run, change=_change(layout, run.summary))


def write_report(params: Params, layout: Layout) -> Path:
    """Write report.html.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    DataError
        Where a stage that it reads from has not run.
    ModelError
        Where the model is damaged, or figures and scores come from another one.
    """
    text = render(Run.read(layout, params.project.threads), params.project.name, params.report.top_leads)
    return write_page(text, layout)


def render(run: Run, project: str, top_leads: int) -> str:
    """Assemble the page: equal runs give equal bytes."""
    return page("report.html.j2", _contents(run, top_leads), project)


def _contents(run: Run, top_leads: int) -> dict[str, Any]:
    attributes = run.metadata.matrix.attributes
    shown = len(run.explanation["dependence"])
    judged = tables.judged(run.metrics)
    drawn = {entry.name: entry.label for entry in judged if entry.ranks}
    dependences = tables.dependences(run.explanation, run.metadata.matrix.catalogue)
    return {
        "metrics": run.metrics,
        "summary": run.summary,
        "metadata": run.metadata,
        "profile": run.profile,
        "audit": run.audit,
        "selection": run.selection,
        "decisions": tables.decisions(run.selection),
        "backtest": run.backtest,
        "kpis": run.kpis,
        "explanation": run.explanation,
        "judged": judged,
        "drawn": drawn,
        "best": next(entry for entry in judged if entry.name == run.metrics["verdict"]["best_baseline"]),
        "measures": measures(run.metrics),
        "grades": tables.grade_rows(run.metrics),
        "criteria": card_table.table(run.scorecard, run.metadata.matrix.catalogue).to_dict("records"),
        "card_says": [card_table.meaning(run.scorecard), *card_table.against_model(run.metrics)],
        "segments": tables.segments(run.metrics, attributes),
        "tiers": tables.tiers(run.summary, run.metrics, run.metadata.tiers),
        "leads": tables.leads(run.scores, top_leads),
        "movers": tables.movers(run.explanation, shown),
        "dependences": dependences,
        "parts": tables.parts(run.metrics["snapshots"]),
        "attributes": tables.attributes_read(run.profile, attributes),
        "came_and_went": tables.came_and_went(run.explanation, run.summary["unseen"]),
        "pairs": tables.interactions(run.explanation),
        "change": run.change,
        "catalogue": run.catalogue.to_dict("records"),
        "gain_rows": tables.every_tenth(run.gain, list(drawn), "gain"),
        "lift_rows": tables.every_tenth(run.lift, list(drawn), "lift"),
        "calibration_rows": run.calibration.to_dict("records"),
        "ladder": tables.ladder(run.metadata.points),
        "glossary": report_terms(),
        "overlap": tables.overlap,
        "best_in": tables.best_in,
        "value_text": figures.value_text,
        "charts": {name: _chart(chart) for name, chart in _figures(run, drawn, dependences).items()},
    }


def _figures(run: Run, drawn: dict[str, str], dependences: list[tables.Row]) -> dict[str, go.Figure]:
    charts = {
        "gain": figures.gain(run.gain, drawn),
        "lift": figures.lift(run.lift, drawn),
        "calibration": figures.calibration(run.calibration),
    }
    if run.backtest["applicable"]:
        periods = run.backtest["periods"]
        charts |= {"walk-auc": figures.walk_auc(periods, drawn), "walk-promise": figures.walk_promise(periods)}
    return charts | {
        f"dependence-{place}": figures.dependence(row["rows"], row["group"], row["absent"])
        for place, row in enumerate(dependences, start=1)
    }


def _chart(chart: go.Figure) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(chart.to_json())
    return {"data": tree["data"], "layout": tree["layout"]}


def _change(layout: Layout, summary: dict[str, Any]) -> dict[str, Any] | None:
    """Read what `leadscore lead change` wrote, if it did and its newer list is the one that is shown."""
    path = layout.change_summary.path
    tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    told = {"model_to": "model_id", "to": "as_of", "data_fingerprint": "data_fingerprint"}
    same = all(tree.get(name) == summary[ours] for name, ours in told.items())
    return tree if same else None


def _existing(path: Path, stage: str) -> Path:
    if not path.is_file():
        raise DataError(path.name, "", found="no file", expected=f"what {stage} writes", fix=f"Run {stage} first.")
    return path


def _json(path: Path, stage: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(_existing(path, stage).read_text(encoding="utf-8"))
    return tree
