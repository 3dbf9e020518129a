"""Stage report: writes the results of the other stages as one page that needs no network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from features.schema.errors import DataError
from models.checks import AuditResult
from models.evaluation.measures import measures
from models.evaluation.results import BacktestResult, EvaluationResult, NoBacktest
from models.explanation.data_parts import LacksResult
from models.explanation.results import ChangeResult, ExplanationResult
from models.kpis.results import KpiResult
from models.lists.results import OverridesResult
from models.scorecard.scorecard import Scorecard
from models.scoring.scorer import ModelMetadata
from models.tiers.declarations import TierParams
from pipelines.reporting import charts, scorecard_table, tables
from pipelines.reporting.first_screen import LEADS, first_screen
from pipelines.reporting.glossary import report_terms
from pipelines.reporting.overrides import judge_overrides
from pipelines.reporting.page import page, write_page
from pipelines.reporting.panels import PANELS
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.storage.bundle import load_trained
from pipelines.storage.contract_store import Display
from pipelines.storage.data_profile import DataProfile, read_profile
from pipelines.storage.layout import Layout
from pipelines.storage.results import (
    Provenance,
    check_data,
    existing,
    read_backtest,
    read_current,
    read_evaluation,
    read_result,
    read_selection,
    read_snapshot_counts,
)
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")


@dataclass(frozen=True)
class ReportInputs:
    """The artifacts that the page shows."""

    metrics: EvaluationResult
    explanation: ExplanationResult
    summary: ScoreSummary
    profile: DataProfile
    audit: AuditResult
    selection: dict[str, Any]
    backtest: BacktestResult | NoBacktest
    kpis: KpiResult
    metadata: ModelMetadata
    policy: TierParams
    capacity: int
    scorecard: Scorecard
    scores: pd.DataFrame
    catalogue: pd.DataFrame
    gain: pd.DataFrame
    lift: pd.DataFrame
    calibration: pd.DataFrame
    change: ChangeResult | None
    lacks: LacksResult | None
    display: Display
    owners: list[tables.Row]
    overrides: OverridesResult | None

    @classmethod
    def read(cls, run: RunContext) -> ReportInputs:
        """Read them; raises as `write_report` does."""
        layout, profile = run.layout, read_profile(run.layout)
        read_snapshot_counts(layout)  # which says whether the features are of these data
        scorer = load_trained(layout, layout.bundle, run.params.project.threads)
        inputs = cls(
            metrics=read_evaluation(layout, scorer.tested_id),
            explanation=tables.in_words(
                read_result(ExplanationResult, layout.explanation.path, "explain"), scorer.catalogue
            ),
            summary=read_result(ScoreSummary, layout.score_summary.path, "score"),
            profile=profile,
            audit=read_current(AuditResult, layout.audit.path, "audit", layout),
            selection=read_selection(layout, profile.fingerprint),
            backtest=read_backtest(layout),
            kpis=read_result(KpiResult, layout.kpis.path, "kpis"),
            metadata=scorer.metadata,
            policy=run.params.tiers,
            capacity=run.params.capacity.per_period,
            scorecard=scorer.scorecard,
            scores=pd.read_parquet(existing(layout.scores.path, "score")),
            catalogue=pd.read_csv(existing(layout.catalogue.path, "build_features"), dtype=str, keep_default_na=False),
            gain=pd.read_csv(existing(layout.plots / "gain.csv", "evaluate")),
            lift=pd.read_csv(existing(layout.plots / "lift.csv", "evaluate")),
            calibration=pd.read_csv(existing(layout.plots / "calibration.csv", "evaluate")),
            change=None,
            lacks=_lacks(layout, profile.fingerprint),
            display=Display.read(layout),
            overrides=judge_overrides(run),
            owners=tables.owners(layout.owners.path),
        )
        of = {"explanation.json": inputs.explanation.model_id, "the scores": inputs.summary.model_id}
        ids = {name: (model_id, scorer.model_id) for name, model_id in of.items()}
        for name, (model_id, expected) in (ids | {"kpis.json": (inputs.kpis.model_id, scorer.tested_id)}).items():
            own, stages = Provenance(expected), "evaluate, kpis, explain and score"
            Provenance(model_id).require_same(name, own, str(layout.bundle), stages)
        check_data("backtest.json", inputs.backtest.fingerprint, "backtest", profile.fingerprint)
        check_data("the scores", inputs.summary.data_fingerprint, "score", profile.fingerprint)
        return replace(inputs, change=_change(layout, inputs.summary))


def write_report(run: RunContext) -> Path:
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
        Where the model is damaged, or a result comes from another one or from other data.
    """
    text = render(ReportInputs.read(run), run.params.project.name, run.params.report.top_leads)
    return write_page(text, run.layout)


def render(run: ReportInputs, project: str, top_leads: int) -> str:
    """Assemble the page: equal runs give equal bytes."""
    return page("report.html.j2", _contents(run, top_leads), project)


def _contents(run: ReportInputs, top_leads: int) -> dict[str, Any]:
    attributes = run.metadata.matrix.attributes
    shown = len(run.explanation.dependence)
    evaluated = tables.evaluated(run.metrics)
    ranked = {entry.name: entry.label for entry in evaluated if entry.ranks}
    dependences = tables.dependences(run.explanation, run.metadata.matrix.catalogue)
    grades = tables.grade_rows(run.metrics)
    return {
        "panels": [
            panel.of({"change": run.change, "grades": grades, "sensitive": run.metrics.sensitive}) for panel in PANELS
        ],
        "first": first_screen(
            run.metrics,
            run.summary,
            run.capacity,
            run.metadata,
            run.audit.checks,
            run.explanation,
            tables.leads(run.scores, LEADS, run.display),
        ),
        "todays": tables.todays(run.metrics.verdict.incumbent),
        "metrics": run.metrics,
        "summary": run.summary,
        "metadata": run.metadata,
        "policy": run.policy,
        "capacity": run.capacity,
        "profile": run.profile,
        "audit": run.audit.checks,
        "selection": run.selection,
        "decisions": tables.decisions(run.selection),
        "backtest": run.backtest,
        "kpis": run.kpis,
        "explanation": run.explanation,
        "evaluated": evaluated,
        "ranked": ranked,
        "best": next(entry for entry in evaluated if entry.name == run.metrics.verdict.best_baseline),
        "measures": measures(run.metrics),
        "grades": grades,
        "criteria": scorecard_table.table(run.scorecard, run.metadata.matrix.catalogue).to_dict("records"),
        "card_notes": [scorecard_table.meaning(run.scorecard), *scorecard_table.against_model(run.metrics)],
        "segments": tables.segments(run.metrics, attributes),
        "tiers": tables.tiers(run.summary, run.metrics, run.policy, run.scores),
        "leads": tables.leads(run.scores, top_leads, run.display),
        "owners": run.owners,
        "overrides": run.overrides,
        "movers": tables.movers(run.explanation, shown),
        "dependences": dependences,
        "parts": tables.parts(run.metrics.snapshots),
        "attributes": tables.attributes_read(run.profile, attributes),
        "changed_values": tables.changed_values(run.explanation, run.summary.unseen),
        "pairs": tables.interactions(run.explanation),
        "change": run.change,
        "lacks": run.lacks,
        "catalogue": run.catalogue.to_dict("records"),
        "gain_rows": tables.every_tenth(run.gain, list(ranked), "gain"),
        "lift_rows": tables.every_tenth(run.lift, list(ranked), "lift"),
        "calibration_rows": run.calibration.to_dict("records"),
        "ladder": tables.ladder(run.metadata.points),
        "glossary": report_terms(),
        "best_in": tables.best_in,
        "value_text": charts.value_text,
        "charts": {name: charts.svg(chart) for name, chart in charts_of(run).items()},
    }


def charts_of(run: ReportInputs) -> dict[str, charts.Chart]:
    """Return what the page draws, by the id on the page."""
    ranked = {entry.name: entry.label for entry in tables.evaluated(run.metrics) if entry.ranks}
    ranked = dict(list(ranked.items())[: len(charts.COLOURS)])  # the best of them
    dependences = tables.dependences(run.explanation, run.metadata.matrix.catalogue)
    figures = {
        "gain": charts.gain(run.gain, ranked),
        "lift": charts.lift(run.lift, ranked),
        "calibration": charts.calibration(run.calibration),
    }
    if run.backtest.applicable:
        periods = run.backtest.periods
        figures |= {"walk-auc": charts.walk_auc(periods, ranked), "walk-rates": charts.walk_rates(periods)}
    if run.change is not None:
        figures |= tables.change_charts(run.change, run.policy.names)
    return figures | {
        f"dependence-{number}": charts.dependence(row["rows"], row["group"], row["absent"])
        for number, row in enumerate(dependences, start=1)
    }


def _lacks(layout: Layout, fingerprint: str) -> LacksResult | None:
    """Read what `leadscore lacks` measured, where that was on these data."""
    if not layout.lacks.path.is_file():
        return None
    found = read_result(LacksResult, layout.lacks.path, "lacks", "leadscore")
    return found if found.fingerprint == fingerprint else None


def _change(layout: Layout, summary: ScoreSummary) -> ChangeResult | None:
    """Read the results of `leadscore lead change`, if its newer list is the one that is shown."""
    path = layout.change_summary.path
    if not path.is_file():
        return None
    try:
        change = read_result(ChangeResult, path, "change", "leadscore lead")
    except DataError as error:  # the page is complete without it
        log.warning("report: what changed since the last list is not shown: %s", error)
        return None
    newer = Provenance(change.model_to, change.data_fingerprint, change.until)
    shown = Provenance(summary.model_id, summary.data_fingerprint, summary.as_of)
    return change if newer == shown else None
