"""Two runs side by side: figures, what differs between them, and what may not be compared, with the reason."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import scipy

from features.schema.spec import Spec
from models.evaluation.estimate import Estimate
from models.evaluation.measures import measures
from models.evaluation.metrics import EvaluateParams, compare, compare_ranking
from models.evaluation.ranked import Ranked
from models.evaluation.results import EvaluationResult, JudgedMetrics
from models.explanation.results import ExplanationResult, FeatureImportance, GroupImportance
from models.tiers.results import TierFlow
from models.tiers.score_lists import flows

Tree = Mapping[str, Any]
Row = dict[str, Any]
LEARNED = (
    "format",
    "fingerprint",
    "base_rate",
    "trained_until",
    "left_out",
    "sigmoid",
    "uncorrected",
    "rules",
    "grades",
)
#   keys of a model's metadata that training finds rather than somebody sets
KEY = ["lead_id", "snapshot_at"]


class ScoreComparison(Spec):
    """Two lists of one day; differences are B - A in points, of the `n` leads on both.

    Attributes
    ----------
    rank_correlation
        None where the leads are too few, or one list gives all of them the same points.
    tier_changed
        Leads on both lists.
    """

    as_of: str | None
    n: int
    only_a: int
    only_b: int
    rank_correlation: float | None
    mean_difference: float
    mean_absolute_difference: float
    tier_changed: int
    tiers: list[TierFlow]


@dataclass(frozen=True)
class ComparedRun:
    """What one run left.

    Attributes
    ----------
    metrics, selection, explanation, metadata
        metrics.json and explanation.json, and the trees of selection.json and the model's card.json.
    predictions, scores
        The tables of predictions.parquet and scores.parquet.
    """

    name: str
    metrics: EvaluationResult
    selection: Tree
    explanation: ExplanationResult
    metadata: Tree
    predictions: pd.DataFrame
    scores: pd.DataFrame


def side_by_side(a: ComparedRun, b: ComparedRun, params: EvaluateParams, seed: int) -> Row:
    """Compare two runs as far as they speak of the same thing.

    Returns
    -------
    dict
        The tree of compare.json: `runs` (what each is), `measures` (each on its own test rows, with intervals),
        `settings` (those that differ), `features` (only_a, only_b, left_out_a, left_out_b), `importance` (by theme and
        by feature, mean |points| in both), `paired` (B against A on the rows that both were tested on), `scores` (both
        lists of leads). What `refused` ({what, why}) names is None, or left out of the measures.
    """
    refused = {
        "paired": _why_not_paired(a, b),
        "scores": _why_scores_not_comparable(a, b),
        "precision_at_k": _why_not_capacity(a, b),
    }
    return {
        "runs": {"a": _about(a), "b": _about(b)},
        "confidence": {"a": a.metrics.confidence, "b": b.metrics.confidence, "paired": params.confidence},
        "measures": [one for one in _measures(a.metrics, b.metrics) if not refused.get(one["name"])],
        "settings": _settings(a, b),
        "features": _features(a, b),
        "importance": {
            "themes": _importance(*(_strengths(run.explanation.themes) for run in (a, b))),
            "features": _importance(*(_strengths(run.explanation.features) for run in (a, b))),
        },
        "paired": None if refused["paired"] else _paired(a, b, params, seed),
        "scores": None if refused["scores"] else scores_side_by_side(a.scores, b.scores).model_dump(),
        "refused": [{"what": what, "why": why} for what, why in refused.items() if why],
    }


def _about(run: ComparedRun) -> Row:
    metrics = run.metrics
    return {
        "name": run.name,
        "model_id": metrics.model_id,
        "fingerprint": metrics.fingerprint,
        "horizon_days": metrics.horizon_days,
        "order": metrics.snapshots.order,
        "trained_until": run.metadata["trained_until"],
        "period": metrics.period.model_dump(),
        "n": metrics.test.n,
        "n_leads": metrics.test.n_leads,
        "n_positive": metrics.test.n_positive,
        "best_baseline": metrics.verdict.best_baseline,
        "state": metrics.verdict.state,
    }


def _measures(a: JudgedMetrics, b: JudgedMetrics) -> list[Row]:
    """List the figures that both runs have: name, label, better, form, meaning, and value, low and high of each."""
    of_b = {measure.name for measure in measures(b)}
    return [
        {
            "name": measure.name,
            "label": measure.label,
            "better": measure.better,
            "form": measure.form,
            "meaning": measure.meaning,
            **{side: _estimate(metrics.test[measure.name]) for side, metrics in (("a", a), ("b", b))},
        }
        for measure in measures(a)
        if measure.name in of_b
    ]


def _estimate(estimate: Estimate) -> Row:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _settings(a: ComparedRun, b: ComparedRun) -> list[Row]:
    """List the settings and choices that differ: key, a, b; None where a run does not have it."""
    ours, theirs = _all_settings(a), _all_settings(b)
    keys = sorted(ours.keys() | theirs.keys())
    return [{"key": key, "a": ours.get(key), "b": theirs.get(key)} for key in keys if ours.get(key) != theirs.get(key)]


def _all_settings(run: ComparedRun) -> dict[str, str]:
    """Flatten what was set and what the folds chose; values as text."""
    metadata = {key: value for key, value in run.metadata.items() if key not in (*LEARNED, "matrix")}
    matrix = run.metadata["matrix"]
    tree = metadata | {
        "attributes": matrix["attributes"],
        "event_labels": matrix["event_labels"],
        "features": matrix["params"],
        "train": run.selection["settings"],
        "chosen": {one["question"]: one["chosen"] for one in run.selection["decisions"]},
    }
    return _flat(tree, "")


def _flat(tree: Any, key: str) -> dict[str, str]:
    if not isinstance(tree, Mapping):
        return {key: tree if isinstance(tree, str) else json.dumps(tree, ensure_ascii=False, sort_keys=True)}
    parts = [_flat(value, f"{key}.{name}" if key else str(name)) for name, value in tree.items()]
    return {name: value for part in parts for name, value in part.items()}


def _features(a: ComparedRun, b: ComparedRun) -> Row:
    ours, theirs = ([one.name for one in run.explanation.features] for run in (a, b))
    return {
        "both": len(set(ours) & set(theirs)),
        "only_a": sorted(set(ours) - set(theirs)),
        "only_b": sorted(set(theirs) - set(ours)),
        "left_out_a": sorted(a.selection["left_out"]),
        "left_out_b": sorted(b.selection["left_out"]),
    }


def _strengths(rows: Sequence[FeatureImportance] | Sequence[GroupImportance]) -> dict[str, tuple[str, float]]:
    return {row.name: (getattr(row, "label", row.name), row.mean_points) for row in rows}


def _importance(ours: Mapping[str, tuple[str, float]], theirs: Mapping[str, tuple[str, float]]) -> list[Row]:
    """Set mean |points| side by side: name, label, a, b (None: the model does not have it), strongest first.

    Parameters
    ----------
    ours, theirs
        Label and mean |points| by name.
    """
    labels = {name: label for side in (ours, theirs) for name, (label, _) in side.items()}
    absent = (None, None)
    rows = [
        {"name": name, "label": label, "a": ours.get(name, absent)[1], "b": theirs.get(name, absent)[1]}
        for name, label in labels.items()
    ]
    return sorted(rows, key=lambda row: (-max(row["a"] or 0.0, row["b"] or 0.0), row["name"]))


def _why_not_alike(a: ComparedRun, b: ComparedRun) -> str:
    ours, theirs = a.metrics, b.metrics
    if ours.fingerprint != theirs.fingerprint:
        return f"the data differ (fingerprint {ours.fingerprint[:8]} and {theirs.fingerprint[:8]})"
    if ours.horizon_days != theirs.horizon_days:
        return (
            f"the horizons differ ({ours.horizon_days} and {theirs.horizon_days} days), so the same lead may "
            "have another outcome"
        )
    return ""


def _why_not_paired(a: ComparedRun, b: ComparedRun) -> str:
    common = _common(a, b)
    if why := _why_not_alike(a, b):
        return why
    if common.empty:
        return "no row was a test row of both runs"
    if (common["label_a"] != common["label_b"]).any():
        return "the outcomes of the common rows differ, so the runs judged by other rules (snapshots.outcome_lag_days?)"
    return "" if common["label_a"].nunique() == 2 else "all common rows have the same outcome"


def _why_scores_not_comparable(a: ComparedRun, b: ComparedRun) -> str:
    if why := _why_not_alike(a, b):
        return why
    days = [run.scores["as_of"].max() for run in (a, b)]
    if days[0] != days[1] and not all(pd.isna(day) for day in days):
        return (
            f"the lists are of different days ({days[0]:%Y-%m-%d} and {days[1]:%Y-%m-%d}); "
            "`leadscore lead change` says why scores change between days"
        )
    if a.scores["probability"].isna().any() or b.scores["probability"].isna().any():
        return "one of the lists was scored by the hand-written rules"
    return "" if a.scores["lead_id"].isin(b.scores["lead_id"]).any() else "no lead is on both lists"


def _why_not_capacity(a: ComparedRun, b: ComparedRun) -> str:
    ours, theirs = a.metrics.capacity, b.metrics.capacity
    return "" if ours == theirs else f"the capacities differ ({ours:,} and {theirs:,})"


def _common(a: ComparedRun, b: ComparedRun) -> pd.DataFrame:
    columns = [*KEY, "label", "model"]
    return a.predictions[columns].merge(b.predictions[columns], "inner", KEY, suffixes=("_a", "_b")).sort_values(KEY)


def _paired(a: ComparedRun, b: ComparedRun, params: EvaluateParams, seed: int) -> Row:
    """Compare B with A on the rows that were test rows of both; gaps above 0: B is better."""
    common = _common(a, b)
    rows = common[KEY].assign(label=common["label_a"])
    ours, theirs = (common[name].to_numpy("float64") for name in ("model_a", "model_b"))
    first, second = (
        Ranked.of(rows, probability, a.metrics.capacity, params.calibration_bins) for probability in (ours, theirs)
    )
    ranking = compare_ranking(second, first, params, seed)
    gaps = compare(rows, theirs, ours, params, seed).flat("log_loss_gap")
    gaps |= ranking.auc.flat("auc_gap") | ranking.capacity_lift.flat("capacity_lift_gap")
    dated = rows["snapshot_at"].notna().any()
    return gaps | {
        "n": len(rows),
        "n_leads": int(rows["lead_id"].nunique()),
        "n_positive": int(rows["label"].sum()),
        "first": rows["snapshot_at"].min().date().isoformat() if dated else None,
        "last": rows["snapshot_at"].max().date().isoformat() if dated else None,
        "verdict": _verdict(gaps),
    }


def _verdict(gaps: Mapping[str, float]) -> str:
    """Say who is surely better by log-loss, which judges both order and level, and whether the order agrees."""
    sentences = []
    for name, words in (("log_loss_gap", "predicts"), ("auc_gap", "ranks")):
        better = "B" if gaps[f"{name}_low"] > 0 else "A" if gaps[f"{name}_high"] < 0 else ""
        sentences.append(f"{better} {words} surely better" if better else f"neither {words} surely better")
    return "; ".join(sentences)


def scores_side_by_side(ours: pd.DataFrame, theirs: pd.DataFrame) -> ScoreComparison:
    """Compare two lists of one day: how alike they rank the leads on both, and who changes tier."""
    columns = ["lead_id", "points", "score", "tier"]
    both = ours[columns].merge(theirs[columns], "outer", "lead_id", suffixes=("_a", "_b"))
    common = both.dropna(subset=["points_a", "points_b"])
    correlation = (
        float(scipy.stats.spearmanr(common["points_a"], common["points_b"]).statistic)
        if len(common) > 2
        else float("nan")
    )
    return ScoreComparison(
        as_of=None if pd.isna(day := ours["as_of"].max()) else day.date().isoformat(),
        n=len(common),
        only_a=int(both["points_b"].isna().sum()),
        only_b=int(both["points_a"].isna().sum()),
        rank_correlation=None if math.isnan(correlation) else correlation,
        mean_difference=float((common["points_b"] - common["points_a"]).mean()),
        mean_absolute_difference=float((common["points_b"] - common["points_a"]).abs().mean()),
        tier_changed=int((common["tier_a"] != common["tier_b"]).sum()),
        tiers=flows(both["tier_a"], both["tier_b"]),
    )
