"""Stage evaluate: evaluates model and baselines once, on the same rows of the untouched later period."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import scipy

from features.cohort.moments import moment_kinds
from features.cohort.snapshots import last_list
from models.checks import AuditResult
from models.evaluation.estimate import BaselineMetrics, ModelMetrics
from models.evaluation.metrics import (
    calibration_curve,
    compare,
    compare_ranking,
    compare_wins,
    evaluate,
    gain_curve,
    moment_metrics,
    segment_levels,
)
from models.evaluation.ranked import Ranked
from models.evaluation.rate_comparison import compare_rate, compare_top, first_share
from models.evaluation.results import (
    EvaluationResult,
    Feedback,
    GradeCell,
    GradeResult,
    JudgedMetrics,
    MomentMetrics,
    Period,
    TierResult,
    WinsGained,
)
from models.evaluation.sensitive import GroupLimits, SensitiveResult, group_figures, groups_of
from models.evaluation.verdict import incumbent, verdict
from models.leakage.findings import suspicions
from models.leakage.proxies import proxies
from models.points.grades import grade, grade_matrix
from models.points.scale import clipped
from models.scoring.baselines import baselines
from models.scoring.fresh_intercept import fresh_log_odds
from models.scoring.rivals import rivals
from models.scoring.scorer import Scorer
from models.splitting.holdout import sample_leads, split_at_random, tested_rows
from models.tiers.capacity import sampled_capacity
from models.training.training import taught
from pipelines.config.params import Params
from pipelines.reporting.scorecard import write_scorecard
from pipelines.scoring.contact_log import measure_feedback
from pipelines.scoring.list_coverage import list_coverage
from pipelines.scoring.tier_backtest import tier_metrics
from pipelines.storage.bundle import load_trained
from pipelines.storage.contract_store import Contract, read_matrix, read_moments
from pipelines.storage.files import finite, write_csv, write_json, write_parquet
from pipelines.storage.results import read_current, read_snapshot_counts, write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
HEADLINE = ("auc", "average_precision", "log_loss", "brier", "calibration_error", "precision_at_k", "base_rate")


def evaluate_model(run: RunContext) -> EvaluationResult:
    """Write metrics.json, headline.json, predictions.parquet, the scorecard, and gain, lift and calibration plots."""
    matrix, _ = read_matrix(run.layout)
    audited = read_current(AuditResult, run.layout.audit.path, "audit", run.layout)
    scorer = load_trained(run.layout, run.layout.tested_model, run.params.project.threads)
    rows = tested_rows(matrix)
    log_odds = fresh_log_odds(scorer, rows, matrix[matrix["weight"] > 0])
    training, named = taught(matrix, ("train",)), run.params.train.rivals
    others = rivals(named, training, rows, scorer.feature_names, run.params.project.seed)
    probabilities = {"model": scipy.special.expit(log_odds)} | baselines(rows, scorer) | others
    counts = read_snapshot_counts(run.layout)
    sampled = counts.tested_share
    ranked = {name: _rank(rows, probability, run.params, sampled) for name, probability in probabilities.items()}
    contract = Contract.open(run.layout, run.params.project)
    tier_results, tiers = tier_metrics(rows, log_odds, scorer.metadata, run.params, contract, sampled)
    capacity = sampled_capacity(run.params.capacity.per_period, sampled)
    uncorrected = _rank(rows, scorer.uncorrected(rows), run.params, sampled)
    feedback = measure_feedback(rows, probabilities["model"], capacity, run)
    compared = _baselines(rows, probabilities, ranked, run.params)
    period = Period(first=counts.parts["test"].first, last=counts.parts["test"].last)
    predicted, limits = rows.assign(probability=probabilities["model"]), run.params.kpis.limits
    judged = JudgedMetrics(
        capacity=run.params.capacity.per_period,
        confidence=run.params.evaluate.confidence,
        period=period,
        snapshots=counts,
        test=_evaluate("model", ranked["model"], run.params),
        calibration=compare_rate(predicted, first_share(run.params.evaluate.confidence), limits),
        wins=_wins(ranked, compared, sampled, run.params),
        baselines=compared,
        random_split=_random_split(matrix, run, sampled),
        coverage=list_coverage(contract, run.params, period.first, period.last),
        feedback=None if feedback is None else Feedback.model_validate(feedback),
    )
    result = EvaluationResult(
        **dict(judged),
        model_id=scorer.model_id,
        fingerprint=scorer.metadata.fingerprint,
        horizon_days=run.params.snapshots.horizon_days if run.params.source.order == "dates" else None,
        uncorrected=_evaluate("without recalibration", uncorrected, run.params),
        clipped=clipped(scorer.metadata.points.points(log_odds), scorer.metadata.points),
        calibration_top=compare_top(predicted, run.params.evaluate.confidence, limits),
        tiers=TierResult.model_validate(tier_results),
        grades=_grades(rows, scorer, run.params),
        segments=_segments(rows, probabilities["model"], scorer, run.params, sampled),
        moments=_moments(scorer, matrix[matrix["weight"] > 0], run),
        sensitive=_sensitive(predicted.assign(tier=tiers), scorer, contract, capacity, run.params),
        verdict=verdict(judged, suspicions(audited.checks, scorer)),
    )
    write_result(result, run.layout.metrics.path)
    write_json(finite(_headline(result)), run.layout.headline.path)
    predictions = rows[["lead_id", "snapshot_at", "label"]].assign(**probabilities, tier=tiers)
    write_parquet(predictions, run.layout.predictions.path)
    _write_plots(ranked, run)
    write_scorecard(scorer, result, run.params.project.name, run.layout)
    for line in result.verdict.lines:
        log.info("evaluate: %s", line)
    for warning in (line for one in result.sensitive or [] for line in one.warnings):
        log.warning("evaluate: %s", warning)
    if result.clipped.too_many:
        log.warning("evaluate: %s", result.clipped.sentence)
    return result


def _headline(result: EvaluationResult) -> dict[str, float]:
    figures = {name: result.test[name].value for name in HEADLINE}
    return figures | {
        "n": float(result.test.n),
        "best_baseline_log_loss": result.best_baseline.log_loss.value,
        "random_split_auc": result.random_split.auc.value,
    }


def _baselines(
    rows: pd.DataFrame, probabilities: dict[str, np.ndarray], ranked: dict[str, Ranked], params: Params
) -> dict[str, BaselineMetrics]:
    """Evaluate each baseline, and compare it with the model."""
    choice, seed, results = params.evaluate, params.project.seed, {}
    for name in list(probabilities)[1:]:  # the model is the first
        flat = _evaluate(name, ranked[name], params).flat()
        gap = compare(rows, probabilities["model"], probabilities[name], choice, seed)
        flat |= gap.flat("log_loss_gap")
        if name in ("scorecard", "rules"):
            gaps = compare_ranking(ranked["model"], ranked[name], choice, seed)
            flat |= gaps.auc.flat("auc_gap") | gaps.capacity_lift.flat("capacity_lift_gap")
        results[name] = BaselineMetrics.model_validate(flat)
    return results


def _wins(
    ranked: dict[str, Ranked], baselines: dict[str, BaselineMetrics], sampled: float, params: Params
) -> WinsGained:
    """Compare the model's wins with those of the baseline that stands for today."""
    used = {name: one.log_loss.value for name, one in baselines.items() if name not in params.train.rivals}
    today = incumbent(used)
    return compare_wins(ranked["model"], ranked[today], today, sampled, params.evaluate, params.project.seed)


def _rank(rows: pd.DataFrame, probability: np.ndarray, params: Params, sampled: float) -> Ranked:
    """Rank with these rows' share of the capacity, where only a share of the leads was sampled."""
    capacity = sampled_capacity(params.capacity.per_period, sampled)
    return Ranked.of(rows, probability, capacity, params.evaluate.calibration_bins)


def _evaluate(name: str, ranked: Ranked, params: Params) -> ModelMetrics:
    log.info("evaluate: %s, %d bootstrap resamples of %s leads", name, params.evaluate.resamples, f"{ranked.n_leads:,}")
    return evaluate(ranked, params.evaluate, params.project.seed)


def _random_split(matrix: pd.DataFrame, run: RunContext, sampled: float) -> ModelMetrics:
    model = load_trained(run.layout, run.layout.random_split, run.params.project.threads)
    thinned = (matrix["weight"] != 1).any()  # rows that stand for others make no lists
    rows = tested_rows(matrix) if thinned else matrix.drop(columns="weight")
    held_out = split_at_random(rows, run.params.project.seed, run.params.split) == "test"
    rows = rows[held_out].reset_index(drop=True)
    # A random split tests a share of the leads of every moment, so they get that share of the capacity.
    dated = sampled * run.params.split.test_share if run.params.source.order == "dates" else sampled
    return _evaluate("random split", _rank(rows, model.probability(rows), run.params, dated), run.params)


def _grades(rows: pd.DataFrame, scorer: Scorer, params: Params) -> GradeResult:
    """Measure the conversion rate of each grade, on a sample of leads where there are many rows."""
    sample = sample_leads(rows, params.grades.sample_rows, params.project.seed, "grades")
    groups, cuts = scorer.point_groups(sample), scorer.metadata.grades
    grades = grade(groups["fit"], groups["engagement"], cuts)
    cells = grade_matrix(sample, grades, params.evaluate.confidence)
    return GradeResult(
        n=len(sample),
        cuts=None if cuts is None else cuts.model_dump(),
        cells=[GradeCell.model_validate(cell) for cell in cells],
    )


def _segments(
    rows: pd.DataFrame, probability: np.ndarray, scorer: Scorer, params: Params, sampled: float
) -> dict[str, dict[str, ModelMetrics]]:
    """Compute the figures by level of each segment attribute."""
    return {
        str(name): {
            level: evaluate(
                _rank(rows[inside].reset_index(drop=True), probability[inside], params, sampled),
                params.evaluate,
                params.project.seed,
            )
            for level, inside in ((level, (levels == level).to_numpy()) for level in sorted(levels.unique()))
        }
        for name, levels in segment_levels(rows, scorer.catalogue, params.evaluate).items()
    }


def _moments(scorer: Scorer, matured: pd.DataFrame, run: RunContext) -> list[MomentMetrics] | None:
    """Compute the figures between lists, each row with the intercept of the list before it; None without moments."""
    params, population = run.params, run.params.population
    moments = read_moments(run.layout, population)
    if moments is None or population is None or population.moments is None:
        return None
    rows = tested_rows(moments)
    log_odds = fresh_log_odds(scorer, rows, matured, last_list(rows["snapshot_at"], population))
    kinds = moment_kinds(population.moments)
    predicted = rows.assign(probability=scipy.special.expit(log_odds))
    return moment_metrics(predicted, kinds, params.evaluate, params.kpis.limits, params.project.seed)


def _sensitive(
    rows: pd.DataFrame, scorer: Scorer, contract: Contract, capacity: int, params: Params
) -> list[SensitiveResult] | None:
    """Compare the groups of each sensitive attribute, as the leads' table has it; None without one."""
    names, read = params.audit.sensitive, set(scorer.features_read)
    if not names:
        return None
    best_first = rows.sort_values(["probability", "lead_id"], ascending=[False, True])
    rank = best_first.groupby("snapshot_at", dropna=False).cumcount()
    rows = rows.assign(called=rank < capacity, best_tier=rows["tier"] == params.tiers.names[0])
    limits = GroupLimits(params.audit.min_each, params.evaluate.confidence, params.kpis.limits)
    values = contract.leads.set_index("lead_id").loc[rows["lead_id"], names].set_index(rows.index)
    results = []
    for name in names:
        groups = groups_of(values[name], params.audit.bands.get(name, ()))
        own = {entry.name for entry in scorer.catalogue if entry.theme == name}
        found = proxies(rows, groups, [entry for entry in scorer.catalogue if entry.name in read - own])
        spec = params.source.attributes[name]
        results.append(
            SensitiveResult(
                attribute=name,
                label=spec.label or spec.column.replace("_", " "),
                read=bool(read & own),
                confidence=limits.confidence,
                least=limits.least,
                groups=group_figures(rows, groups, limits),
                proxy_from=params.audit.proxy_from,
                proxies=[one for one in found if one.strength >= params.audit.proxy_from],
                strongest=next(iter(found), None),
            )
        )
    return results


def _write_plots(ranked: dict[str, Ranked], run: RunContext) -> None:
    curves = [gain_curve(ranking).assign(who=name) for name, ranking in ranked.items()]
    curve = pd.concat(curves, ignore_index=True)
    write_csv(curve[["who", "share_called", "gain"]], run.layout.plots / "gain.csv")
    write_csv(curve.dropna()[["who", "share_called", "lift"]], run.layout.plots / "lift.csv")
    calibration = calibration_curve(ranked["model"], run.params.evaluate, run.params.project.seed)
    write_csv(calibration, run.layout.plots / "calibration.csv")
