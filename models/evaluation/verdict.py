"""The verdict in words: usable or not, how good, and how honest."""

from __future__ import annotations

from models.evaluation.rate_comparison import rates_text
from models.evaluation.results import JudgedMetrics, Verdict

NAMES = {
    "prior": "the base rate alone",
    "logistic": "logistic regression",
    "scorecard": "the scorecard",
    "rules": "the hand-written rules",
}


def verdict(metrics: JudgedMetrics) -> Verdict:
    """Judge a run by its figures on the later period.

    Returns
    -------
    Verdict
        Usable where no baseline's log-loss is surely lower, and the AUC is surely above chance; the lines are three
        sentences, and with a contact log what its weights say.
    """
    fault = _fault(metrics)
    return Verdict(
        usable=not fault,
        best_baseline=_best(metrics, list(metrics.baselines)),
        lines=[_ranking(metrics, fault), _calls(metrics), _honesty(metrics), *_feedback(metrics)],
    )


def _best(metrics: JudgedMetrics, names: list[str]) -> str:
    return min(names, key=lambda name: metrics.baselines[name].log_loss.value)


def _fault(metrics: JudgedMetrics) -> str:
    """Say why the model is not usable, if so: a baseline is surely better, or the ranking may be chance."""
    better = [name for name, baseline in metrics.baselines.items() if baseline.log_loss_gap.high < 0]
    if better:
        best = _best(metrics, better)
        return f"{NAMES.get(best, best)} predicted surely better"
    return "" if metrics.test.auc.low > 0.5 else "its ranking may be chance"


def _not_beaten(metrics: JudgedMetrics) -> str:
    """Name the baselines that the model does not surely beat."""
    names = [name for name, baseline in metrics.baselines.items() if not baseline.log_loss_gap.low > 0]
    return f", though not surely better than {' or '.join(NAMES.get(name, name) for name in names)}" if names else ""


def _ranking(metrics: JudgedMetrics, fault: str) -> str:
    test, period = metrics.test, metrics.period
    when = f"{period.first} to {period.last}" if period.first else "the last in row order, without dates"
    rows = f"{test.n:,} later rows of {test.n_leads:,} leads ({when})"
    if metrics.snapshots.order == "none":
        rows = f"{test.n:,} held-out leads (no dates: this test is not chronological)"
    word = f"Not usable, {fault}" if fault else f"Usable{_not_beaten(metrics)}"
    return f"{word}: AUC {test.auc.text('.3f')} on {rows}, of whom {test.base_rate.value:.1%} converted."


def _calls(metrics: JudgedMetrics) -> str:
    test, baselines = metrics.test, metrics.baselines
    ordering = [name for name in baselines if name != "prior"]  # a constant puts nobody first
    best = max(ordering, key=lambda name: baselines[name].precision_at_k.value)
    times = test.precision_at_k.value / test.base_rate.value if test.base_rate.value else float("nan")
    return (
        f"The best {metrics.capacity:,} a period convert at {test.precision_at_k.text('.1%')}, {times:.1f} times "
        f"the average ({NAMES.get(best, best)}: {baselines[best].precision_at_k.value:.1%})."
    )


def _honesty(metrics: JudgedMetrics) -> str:
    test = metrics.test
    return (
        f"Probabilities: {metrics.calibration.answer} ({rates_text(metrics.calibration)}; calibration error "
        f"{test.calibration_error.value:.3f}). A random split would have shown AUC "
        f"{metrics.random_split.auc.value:.3f}; this test says {test.auc.value:.3f}."
    )


def _feedback(metrics: JudgedMetrics) -> list[str]:
    return [] if metrics.feedback is None else metrics.feedback.lines
