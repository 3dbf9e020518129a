"""The verdict in words: usable or not, how good, and how honest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAMES = {
    "prior": "the base rate alone",
    "logistic": "logistic regression",
    "scorecard": "the scorecard",
    "rules": "the hand-written rules",
}


def verdict(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a run by its figures on the later period.

    Parameters
    ----------
    metrics
        test, baselines, random_split, period, capacity, confidence and, with a contact log, feedback, as in
        metrics.json.

    Returns
    -------
    dict
        usable (bool: no baseline's log-loss is surely lower, and its AUC is surely above chance), best_baseline (by
        log-loss), and lines: three sentences, and with a contact log what its weights say.
    """
    baselines = metrics["baselines"]
    best = min(baselines, key=lambda name: baselines[name]["log_loss"])
    fault = _fault(metrics)
    return {
        "usable": not fault,
        "best_baseline": best,
        "lines": [_ranking(metrics, fault), _calls(metrics), _honesty(metrics), *_feedback(metrics)],
    }


def _fault(metrics: Mapping[str, Any]) -> str:
    """Say why the model is not usable, if so: a baseline is surely better, or the ranking may be chance."""
    better = [name for name, figures in metrics["baselines"].items() if figures["log_loss_gap_high"] < 0]
    if better:
        best = min(better, key=lambda name: metrics["baselines"][name]["log_loss"])
        return f"{NAMES.get(best, best)} predicted surely better"
    return "" if metrics["test"]["auc_low"] > 0.5 else "its ranking may be chance"


def _level_with(metrics: Mapping[str, Any]) -> str:
    """Name the baselines that the model does not surely beat."""
    level = [name for name, figures in metrics["baselines"].items() if not figures["log_loss_gap_low"] > 0]
    return f", though not surely better than {' or '.join(NAMES.get(name, name) for name in level)}" if level else ""


def _ranking(metrics: Mapping[str, Any], fault: str) -> str:
    test, period = metrics["test"], metrics["period"]
    when = f"{period['first']} to {period['last']}" if period["first"] else "the last in row order, without dates"
    rows = f"{test['n']:,.0f} later rows of {test['n_leads']:,.0f} leads ({when})"
    if metrics["snapshots"]["order"] == "none":
        rows = f"{test['n']:,.0f} held-out leads (no dates: this test is not chronological)"
    word = f"Not usable, {fault}" if fault else f"Usable{_level_with(metrics)}"
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
        f"Predicted {test['mean_probability']:.1%} on average, actual {test['base_rate']:.1%}; calibration error "
        f"{test['calibration_error']:.3f}. A random split would have shown AUC {flattering['auc']:.3f}; this "
        f"test says {test['auc']:.3f}."
    )


def _feedback(metrics: Mapping[str, Any]) -> list[str]:
    found = metrics.get("feedback")
    return [] if found is None else list(found["lines"])


def _interval(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.3f} ({figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f})"


def _percent(figures: Mapping[str, float], name: str) -> str:
    return f"{figures[name]:.1%} ({figures[f'{name}_low']:.1%} to {figures[f'{name}_high']:.1%})"
