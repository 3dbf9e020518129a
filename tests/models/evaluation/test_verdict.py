"""The verdict says usable only where the model beats every baseline and chance, and its sentences tell no more."""

from __future__ import annotations

from typing import Any

import pytest

from models.evaluation.results import JudgedMetrics, Verdict
from models.evaluation.verdict import incumbent, verdict
from tests.models.evaluation.test_wins_on_no_list import example
from tests.support.results import flat_metrics, predicted_rate, snapshot_counts, wins_gained


def figures(**values: float) -> dict[str, Any]:
    point = {"auc": 0.75, "log_loss": 0.2, "precision_at_k": 0.3, "calibration_error": 0.0123, "mean_probability": 0.11}
    return flat_metrics(**(point | {"base_rate": 0.1, "n": 12_000.0, "n_leads": 900.0} | values))


def gap(low: float, high: float) -> dict[str, float]:
    return {"log_loss_gap": (low + high) / 2, "log_loss_gap_low": low, "log_loss_gap_high": high}


def metrics(order: str = "dates", **test: float) -> dict[str, Any]:
    return {
        "test": figures(**test),
        "calibration": predicted_rate(),
        "wins": wins_gained(),
        "baselines": {
            "prior": figures(auc=0.5, log_loss=0.3, precision_at_k=0.1) | gap(0.05, 0.15),
            "logistic": figures(auc=0.7, log_loss=0.25, precision_at_k=0.22) | gap(0.01, 0.09),
        },
        "random_split": figures(auc=0.85),
        "period": {"first": "2026-01-05", "last": "2026-03-02"} if order == "dates" else {"first": None, "last": None},
        "snapshots": snapshot_counts(order),
        "capacity": 1200,
        "confidence": 0.9,
        "coverage": None,
        "feedback": None,
    }


def judged(tree: dict[str, Any]) -> Verdict:
    return verdict(JudgedMetrics.model_validate(tree))


def auc_gap(low: float, high: float) -> dict[str, float]:
    return {"auc_gap": (low + high) / 2, "auc_gap_low": low, "auc_gap_high": high}


def test_a_model_that_wins_surely_more_is_better_and_the_gain_comes_first() -> None:
    found = judged(metrics())
    assert (found.state, found.incumbent, found.best_baseline, found.leaks) == ("better", "logistic", "logistic", [])
    assert found.lines == [
        "Better than logistic regression: of 200 calls a list the model wins 29.0 and logistic regression 21.0, +8.0 "
        "(+6.0 to +10.0).",
        "AUC 0.750 (0.675 to 0.825) on 12,000 later rows of 900 leads (2026-01-05 to 2026-03-02); 10.0% of the rows "
        "converted.",
        "The best 1,200 a period convert at 30.0% (27.0% to 33.0%), 3.0 times the average "
        "(logistic regression: 22.0%).",
        "Probabilities: fits (predicted 11.0%, actual 10.0% (8.0% to 12.0%), 1.10 times (0.92 to 1.38); calibration "
        "error 0.012). A random split would have shown AUC 0.850; this test says 0.750.",
    ]


@pytest.mark.parametrize(
    ("gained", "ranks", "state"),
    [
        ((8.0, 6.0, 10.0), (-0.02, 0.02), "better"),
        ((0.5, -1.0, 2.0), (0.01, 0.05), "better"),  # its ranking is surely better, and its calls win no fewer
        ((0.5, -1.0, 2.0), (-0.01, 0.05), "no better"),
        ((-0.5, -2.0, 1.0), (0.01, 0.05), "no better"),
        ((-8.0, -10.0, -6.0), (0.01, 0.05), "worse"),
    ],
)
def test_it_is_measured_by_the_wins_that_the_rules_of_today_would_bring(
    gained: tuple[float, float, float], ranks: tuple[float, float], state: str
) -> None:
    """ "Usable" was said in green where today's rules did better at the capacity of sales."""
    tree = metrics() | {"wins": wins_gained(*gained, today="rules")}
    tree["baselines"]["rules"] = figures(log_loss=0.28) | gap(0.01, 0.2) | auc_gap(*ranks)
    found = judged(tree)
    assert (found.state, found.incumbent) == (state, "rules")
    assert found.lines[0].startswith(f"{state.capitalize()} than the hand-written rules")
    assert ("stay with what you have" in found.lines[0]) is (state == "no better")
    assert found.usable is (state != "worse")
    assert ("Not usable: rank by the hand-written rules" in found.lines[0]) is not found.usable


def test_the_rules_stand_for_today_and_without_them_the_best_that_ranks() -> None:
    losses = {"prior": 0.1, "logistic": 0.3, "scorecard": 0.2}
    assert incumbent(losses) == "scorecard"
    assert incumbent(losses | {"rules": 0.9}) == "rules"


def test_a_model_that_a_baseline_surely_beats_is_worse_and_the_baseline_is_named() -> None:
    tree = metrics()
    tree["baselines"]["logistic"] |= gap(-0.09, -0.01)
    found = judged(tree)
    assert found.state == "worse"
    assert found.lines[0].startswith("Worse than logistic regression, which predicted surely better: of 200 calls")


def test_of_several_better_baselines_the_best_is_named() -> None:
    tree = metrics()
    tree["baselines"]["logistic"] |= gap(-0.09, -0.01)
    tree["baselines"]["prior"] |= {"log_loss": 0.1} | gap(-0.2, -0.05)
    found = judged(tree)
    assert found.best_baseline == "prior"
    assert "Worse than the base rate alone, which predicted surely better" in found.lines[0]


@pytest.mark.parametrize("low", [-0.01, 0.0, float("nan")])
def test_baselines_whose_probabilities_are_as_good_are_named(low: float) -> None:
    tree = metrics()
    tree["baselines"]["logistic"] |= gap(low, 0.09)
    found = judged(tree)
    assert found.state == "better"
    assert found.lines[1].endswith("Its probabilities are not surely better than those of logistic regression.")


@pytest.mark.parametrize("low", [0.5, 0.4, float("nan")])
def test_a_ranking_that_may_be_chance_is_no_better_and_no_baseline_is_blamed(low: float) -> None:
    found = judged(metrics(auc_low=low))
    assert found.state == "no better"
    assert found.lines[0].startswith("No better than chance, as its ranking may be: of 200 calls")
    assert judged(metrics(auc_low=0.501)).state == "better"


def test_wins_on_no_list_are_said_where_there_are_dates() -> None:
    """The figures count wins on lists alone."""
    coverage = example()
    found = judged(metrics() | {"coverage": coverage.model_dump()})
    assert found.lines[4:] == [coverage.sentence]
    assert len(judged(metrics()).lines) == 4


def test_a_leak_stands_before_every_figure() -> None:
    leak = "LK11 A field is filled at closing: account"
    found = verdict(JudgedMetrics.model_validate(metrics()), [leak])
    assert found.leaks == [leak]
    assert found.lines[0] == f"Leakage is suspected, so trust no figure before somebody has looked: {leak}."
    assert found.lines[1].startswith("Better than logistic regression")


def test_the_second_line_compares_with_the_baseline_that_calls_best() -> None:
    tree = metrics()
    tree["baselines"]["prior"]["precision_at_k"] = 0.9  # of the leads that come first by their ids
    assert "(logistic regression: 22.0%)" in judged(tree).lines[2]
    tree["baselines"]["scorecard"] = figures(precision_at_k=0.295, log_loss=0.4) | gap(0.1, 0.3)
    assert "(the scorecard: 29.5%)" in judged(tree).lines[2]


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("rows", "12,000 later rows of 900 leads (the last in row order, without dates)"),
        ("none", "12,000 held-out leads (no dates: this test is not chronological)"),
    ],
)
def test_tables_without_dates_are_said_to_be_such(order: str, said: str) -> None:
    lines = judged(metrics(order=order)).lines
    assert said in lines[1]
    assert order == "rows" or "later" not in " ".join(lines)


def test_no_conversion_at_all_divides_by_nothing() -> None:
    assert "nan times the average" in judged(metrics(base_rate=0.0)).lines[2]
