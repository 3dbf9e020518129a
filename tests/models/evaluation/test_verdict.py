"""The verdict says usable only where the model beats every baseline and chance, and its sentences tell no more."""

from __future__ import annotations

from typing import Any

import pytest

from models.evaluation.results import JudgedMetrics, Verdict
from models.evaluation.verdict import verdict
from tests.support.results import flat_metrics, predicted_rate, snapshot_counts


def figures(**values: float) -> dict[str, Any]:
    point = {"auc": 0.75, "log_loss": 0.2, "precision_at_k": 0.3, "calibration_error": 0.0123, "mean_probability": 0.11}
    return flat_metrics(**(point | {"base_rate": 0.1, "n": 12_000.0, "n_leads": 900.0} | values))


def gap(low: float, high: float) -> dict[str, float]:
    return {"log_loss_gap": (low + high) / 2, "log_loss_gap_low": low, "log_loss_gap_high": high}


def metrics(order: str = "dates", **test: float) -> dict[str, Any]:
    return {
        "test": figures(**test),
        "calibration": predicted_rate(),
        "baselines": {
            "prior": figures(auc=0.5, log_loss=0.3, precision_at_k=0.1) | gap(0.05, 0.15),
            "logistic": figures(auc=0.7, log_loss=0.25, precision_at_k=0.22) | gap(0.01, 0.09),
        },
        "random_split": figures(auc=0.85),
        "period": {"first": "2026-01-05", "last": "2026-03-02"} if order == "dates" else {"first": None, "last": None},
        "snapshots": snapshot_counts(order),
        "capacity": 1200,
        "confidence": 0.9,
        "feedback": None,
    }


def judged(tree: dict[str, Any]) -> Verdict:
    return verdict(JudgedMetrics.model_validate(tree))


def test_a_model_that_beats_all_is_usable() -> None:
    found = judged(metrics())
    assert found.usable is True
    assert found.best_baseline == "logistic"
    assert found.lines == [
        "Usable: AUC 0.750 (0.675 to 0.825) on 12,000 later rows of 900 leads (2026-01-05 to 2026-03-02), of whom "
        "10.0% converted.",
        "The best 1,200 a period convert at 30.0% (27.0% to 33.0%), 3.0 times the average "
        "(logistic regression: 22.0%).",
        "Probabilities: fits (predicted 11.0%, actual 10.0% (8.0% to 12.0%), 1.10 times (0.92 to 1.38); calibration "
        "error 0.012). A random split would have shown AUC 0.850; this test says 0.750.",
    ]


def test_a_model_that_a_baseline_surely_beats_is_not_usable_and_the_baseline_is_named() -> None:
    tree = metrics()
    tree["baselines"]["logistic"] |= gap(-0.09, -0.01)
    found = judged(tree)
    assert found.usable is False
    assert found.lines[0].startswith("Not usable, logistic regression predicted surely better: AUC 0.750")


def test_of_several_better_baselines_the_best_is_named() -> None:
    tree = metrics()
    tree["baselines"]["logistic"] |= gap(-0.09, -0.01)
    tree["baselines"]["prior"] |= {"log_loss": 0.1} | gap(-0.2, -0.05)
    found = judged(tree)
    assert found.best_baseline == "prior"
    assert "Not usable, the base rate alone predicted surely better" in found.lines[0]


@pytest.mark.parametrize("low", [-0.01, 0.0, float("nan")])
def test_a_model_level_with_a_baseline_is_usable_and_the_baseline_is_named(low: float) -> None:
    tree = metrics()
    tree["baselines"]["logistic"] |= gap(low, 0.09)
    found = judged(tree)
    assert found.usable is True
    assert found.lines[0].startswith("Usable, though not surely better than logistic regression: AUC 0.750")


@pytest.mark.parametrize("low", [0.5, 0.4, float("nan")])
def test_a_ranking_that_may_be_chance_is_not_usable_and_no_baseline_is_blamed(low: float) -> None:
    found = judged(metrics(auc_low=low))
    assert found.usable is False
    assert found.lines[0].startswith("Not usable, its ranking may be chance: AUC 0.750")
    assert judged(metrics(auc_low=0.501)).usable is True


def test_the_second_line_compares_with_the_baseline_that_calls_best() -> None:
    tree = metrics()
    tree["baselines"]["prior"]["precision_at_k"] = 0.9  # of the leads that come first by their ids
    assert "(logistic regression: 22.0%)" in judged(tree).lines[1]
    tree["baselines"]["scorecard"] = figures(precision_at_k=0.295, log_loss=0.4) | gap(0.1, 0.3)
    assert "(the scorecard: 29.5%)" in judged(tree).lines[1]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("rows", "12,000 later rows of 900 leads (the last in row order, without dates)"),
        ("none", "12,000 held-out leads (no dates: this test is not chronological)"),
    ],
)
def test_tables_without_dates_are_said_to_be_such(order: str, said: str) -> None:
    lines = judged(metrics(order=order)).lines
    assert said in lines[0]
    assert order == "rows" or "later" not in " ".join(lines)


def test_no_conversion_at_all_divides_by_nothing() -> None:
    assert "nan times the average" in judged(metrics(base_rate=0.0)).lines[1]
