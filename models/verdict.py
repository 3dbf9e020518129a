"""The verdict in words: usable or not, how good, and how honest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {"prior": "the base rate alone", "logistic": "logistic regression", "scorecard": "the scorecard"}


def verdict(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a run by its figures on the later period.

    Parameters
    ----------
    metrics
        test, baselines, random_split, period, capacity and confidence, as in metrics.json.

    Returns
    -------
    dict
        usable (bool: its log-loss is under every baseline's, and its AUC surely above chance), best_baseline (by
        log-loss), and lines: three sentences.
    """
    baselines = metrics["baselines"]
    best = min(baselines, key=lambda name: baselines[name]["log_loss"])
    fault = _fault(metrics, best)
    return {
        "usable": not fault,
        "best_baseline": best,
        "lines": [_ranking(metrics, fault), _calls(metrics), _honesty(metrics)],
    }


def _fault(metrics: Mapping[str, Any], best: str) -> str:
    test = metrics["test"]
    if not test["log_loss"] < metrics["baselines"][best]["log_loss"]:
        return f"{NAMES.get(best, best)} predicts at least as well"
    return "" if test["auc_low"] > 0.5 else "its ranking may be chance"


def _ranking(metrics: Mapping[str, Any], fault: str) -> str:
    test, period = metrics["test"], metrics["period"]
    when = f"{period['first']} to {period['last']}" if period["first"] else "the last in row order, without dates"
    rows = f"{test['n']:,.0f} later rows of {test['n_leads']:,.0f} leads ({when})"
    if metrics["snapshots"]["order"] == "none":
        rows = f"{test['n']:,.0f} held-out leads (no dates: this test is not chronological)"
    word = f"Not usable, {fault}" if fault else "Usable"
    return f"{word}: AUC {_interval(test, 'auc')} on {rows}, of whom {test['base_rate']:.1%} converted."


def _calls(metrics: Mapping[str, Any]) -> str:
    test, baselines = metrics["test"], metrics["baselines"]
    ordering = [name for name in baselines if name != "prior"]  # a constant puts nobody first
    best = max(ordering, key=lambda name: baselines[name]["precision_at_k"])
    times = test["precision_at_k"] / test["base_rate"] if test["base_rate"] else float("nan")
    return (
        f"The best {metrics['capacity']:,} a period convert at {_percent(test, 'precision_at_k')}, {times:.1f} times "
        f"the average ({NAMES.get(best, best)}: {baselines[best]['precision_at_k']:.1%})."
    )


def _honesty(metrics: Mapping[str, Any]) -> str:
    test, flattering = metrics["test"], metrics["random_split"]
    return (
        f"Promised {test['mean_probability']:.1%} on average, came {test['base_rate']:.1%}; calibration error "
        f"{test['calibration_error']:.3f}. A random split would have shown AUC {flattering['auc']:.3f}; this "
        f"test says {test['auc']:.3f}."
    )


def _interval(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.3f} ({figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f})"


def _percent(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.1%} ({figures[f'{name}_low']:.1%} to {figures[f'{name}_high']:.1%})"
