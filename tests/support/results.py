"""Results of an evaluation for tests: every figure is there, and those that matter are set by their flat names."""

from __future__ import annotations

from typing import Any

from models.evaluation.estimate import ModelMetrics
from models.evaluation.results import BacktestPeriod, EvaluationResult
from models.explanation.results import ExplanationResult, FeatureImportance, GroupImportance

NAMES = ("auc", "average_precision", "log_loss", "brier", "calibration_error", "precision_at_k", "capacity_lift",
         "base_rate", "mean_probability")  # fmt: skip
PART = {"drawn": 0, "rows": 0, "leads": 0, "positive": 0, "base_rate": None, "first": None, "last": None}


def flat_metrics(**values: float | None) -> dict[str, float | None]:
    """Figures as on disk; an interval that is not given lies 10% around its figure."""
    point: dict[str, float | None] = {"n": 100.0, "n_leads": 50.0, "n_positive": 10.0}
    point |= dict.fromkeys(NAMES, 0.5)
    point |= {name: value for name, value in values.items() if not name.endswith(("_low", "_high"))}
    ends: dict[str, float | None] = {}
    for name, value in point.items():
        if name not in ("n", "n_leads", "n_positive"):
            ends |= {f"{name}_low": None if value is None else value * 0.9}
            ends |= {f"{name}_high": None if value is None else value * 1.1}
    return point | ends | values


def model_metrics(**values: float | None) -> ModelMetrics:
    return ModelMetrics.model_validate(flat_metrics(**values))


def predicted_rate(**changed: Any) -> dict[str, Any]:
    """Predicted and actual rate of 100 rows, which fit."""
    rates = {"predicted_rate": 0.11, "observed_rate": 0.1, "observed_rate_low": 0.08, "observed_rate_high": 0.12}
    ratio = {"ratio": 1.1, "ratio_low": 0.92, "ratio_high": 1.38, "confidence": 0.95, "answer": "fits"}
    return {"rows": 100, "leads": 50, "converted": 5, "observed_rate_n": 50} | rates | ratio | changed


def wins_gained(gained: float = 8.0, low: float = 6.0, high: float = 10.0, today: str = "logistic") -> dict[str, Any]:
    """Wins a list of 200 calls, 21 of them by what is done today."""
    wins = {"incumbent": today, "lists": 4, "calls": 200.0, "wins": 21.0 + gained, "wins_today": 21.0}
    return wins | {"gained": gained, "gained_low": low, "gained_high": high}


def snapshot_counts(order: str = "dates") -> dict[str, Any]:
    parts = dict.fromkeys(("train", "embargo", "test"), PART)
    return {
        "order": order,
        "snapshots": 100,
        "immature": 0,
        "matured": 100,
        "sampled": 100,
        "tested_share": 1.0,
        "parts": parts,
    }


def evaluation(**changed: Any) -> EvaluationResult:
    """A result without segments and grades; keys of metrics.json may be changed."""
    tree = {
        "model_id": "model",
        "fingerprint": "f" * 64,
        "horizon_days": 30,
        "capacity": 20,
        "confidence": 0.9,
        "period": {"first": "2024-03-04", "last": "2024-03-04"},
        "snapshots": snapshot_counts(),
        "test": flat_metrics(),
        "calibration": predicted_rate(),
        "wins": wins_gained(),
        "baselines": {"prior": flat_metrics(log_loss_gap=0.1)},
        "uncorrected": flat_metrics(),
        "calibration_top": [],
        "clipped": {"low": 0.0, "high": 0.0, "most": 0.02, "double_odds": 12.0, "fitting": 12.0},
        "random_split": flat_metrics(),
        "coverage": None,
        "feedback": None,
        "tiers": {"policy": "capacity", "margin": 0.0, "capacity": 20, "lists": [], "share_changed": None,
                  "realised": [], "certificates": []},
        "grades": {"n": 0, "cuts": None, "cells": []},
        "segments": {},
        "verdict": {"state": "better", "incumbent": "logistic", "best_baseline": "prior", "leaks": [], "lines": []},
    }  # fmt: skip
    return EvaluationResult.model_validate(tree | changed)


def backtest_period(cut: str, metrics: dict[str, ModelMetrics]) -> BacktestPeriod:
    return BacktestPeriod(cut=cut, training_rows=1, training_rate=0.2, linear_share=0.5, left_out=0, metrics=metrics)


def explanation(features: dict[str, float], themes: dict[str, float]) -> ExplanationResult:
    """A result with the mean points of features and themes; a feature's label is its name in capitals."""
    about = {"group": "fit", "theme": "size", "theme_label": "size", "channel": "", "share": 0.5}
    return ExplanationResult(
        model_id="model",
        n=100,
        base_points=0.0,
        largest_gap=0.0,
        features=[
            FeatureImportance.model_validate(
                about | {"name": name, "label": name.upper(), "mean_points": points, "direction": "up"}
            )
            for name, points in features.items()
        ],
        themes=[GroupImportance(name=name, mean_points=points) for name, points in themes.items()],
        groups=[],
        dependence={},
        interactions=None,
        categories=[],
    )
