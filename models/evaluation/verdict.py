"""The verdict in words: better than what is done today or not, how good, and how honest."""

from __future__ import annotations

from collections.abc import Sequence

from models.evaluation.rate_comparison import rates_text
from models.evaluation.results import JudgedMetrics, State, Verdict

NAMES = {
    "prior": "the base rate alone",
    "logistic": "logistic regression",
    "scorecard": "the scorecard",
    "rules": "the hand-written rules",
}
CONSTANT = "prior"  # puts nobody first
RULES = "rules"


def incumbent(log_losses: dict[str, float]) -> str:
    """Name the baseline that stands for what is done today: the hand-written rules, else the best that ranks."""
    ranking = {name: loss for name, loss in log_losses.items() if name != CONSTANT}
    return RULES if RULES in ranking else min(ranking, key=lambda name: ranking[name])


def verdict(metrics: JudgedMetrics, leaks: Sequence[str] = ()) -> Verdict:
    """Judge a run by its figures on the later period.

    Parameters
    ----------
    leaks
        Leakage checks that failed on what the model reads, each with its columns.

    Returns
    -------
    Verdict
        Better where the leads called surely win more than today's, or no fewer as measured while the ranking is surely
        better; worse where they surely win fewer, or a baseline predicts surely better; else no better. The lines are
        the suspicion of leakage, if there is one, four sentences, with dates the wins on no list, and with a contact
        log what its weights say.
    """
    state, against = _state(metrics)
    return Verdict(
        state=state,
        incumbent=metrics.wins.incumbent,
        best_baseline=_best(metrics, list(metrics.baselines)),
        leaks=list(leaks),
        lines=[
            *_suspicion(leaks),
            _gain(metrics, state, against),
            _ranking(metrics),
            _calls(metrics),
            _honesty(metrics),
            *_on_no_list(metrics),
            *_feedback(metrics),
        ],
        usable=_usable(metrics, state),
    )


def _best(metrics: JudgedMetrics, names: list[str]) -> str:
    return min(names, key=lambda name: metrics.baselines[name].log_loss.value)


def _state(metrics: JudgedMetrics) -> tuple[State, str]:
    """Return the state, and what the model is better than, no better than, or worse than."""
    wins, name = metrics.wins, NAMES.get(metrics.wins.incumbent, metrics.wins.incumbent)
    predicts_better = [name for name, baseline in metrics.baselines.items() if baseline.log_loss_gap.high < 0]
    if predicts_better:
        best = _best(metrics, predicts_better)
        return "worse", f"{NAMES.get(best, best)}, which predicted surely better"
    if wins.surely_fewer:
        return "worse", name
    if not metrics.test.auc.low > 0.5:
        return "no better", "chance, as its ranking may be"
    auc_gap = metrics.baselines[wins.incumbent].auc_gap
    ranks_better = wins.gained >= 0 and auc_gap is not None and auc_gap.low > 0
    return ("better", name) if wins.surely_more or ranks_better else ("no better", f"{name}; stay with what you have")


def _suspicion(leaks: Sequence[str]) -> list[str]:
    found = "; ".join(leaks)
    return [f"Leakage is suspected, so trust no figure before somebody has looked: {found}."] if leaks else []


def _gain(metrics: JudgedMetrics, state: State, against: str) -> str:
    """Say what is won by the model, before anything else."""
    wins, a_list = metrics.wins, " a list" if metrics.snapshots.order == "dates" else ""
    interval = f"{wins.gained_low or 0.0:+.1f} to {wins.gained_high or 0.0:+.1f}"
    return (
        f"{state.capitalize()} than {against}: of {wins.calls:,.0f} calls{a_list} the model wins {wins.wins:,.1f} and "
        f"{NAMES.get(wins.incumbent, wins.incumbent)} {wins.wins_today:,.1f}, {wins.gained:+.1f} ({interval})."
        f"{_instead(metrics, state)}"
    )


def _usable(metrics: JudgedMetrics, state: State) -> bool:
    return state == "better" or (state == "no better" and metrics.test.auc.low > 0.5)


def _instead(metrics: JudgedMetrics, state: State) -> str:
    """Say what to call by, where this model is not to be used."""
    if _usable(metrics, state):
        return ""
    if metrics.wins.incumbent != RULES:
        return " Not usable: stay with what you have."
    return " Not usable: rank by the hand-written rules instead, `leadscore score --by rules`."


def _not_beaten(metrics: JudgedMetrics) -> str:
    """Name the baselines whose probabilities the model's do not surely beat."""
    names = [name for name, baseline in metrics.baselines.items() if not baseline.log_loss_gap.low > 0]
    named = " or ".join(NAMES.get(name, name) for name in names)
    return f" Its probabilities are not surely better than those of {named}." if names else ""


def _ranking(metrics: JudgedMetrics) -> str:
    test, period = metrics.test, metrics.period
    when = f"{period.first} to {period.last}" if period.first else "the last in row order, without dates"
    rows = (
        f"{test.n:,} later rows of {test.n_leads:,} leads ({when}); {test.base_rate.value:.1%} of the rows converted."
    )
    if metrics.snapshots.order == "none":
        rows = (
            f"{test.n:,} held-out leads (no dates: this test is not chronological), of whom {test.base_rate.value:.1%} "
            "converted."
        )
    return f"AUC {test.auc.text('.3f')} on {rows}{_not_beaten(metrics)}"


def _calls(metrics: JudgedMetrics) -> str:
    test, baselines = metrics.test, metrics.baselines
    ordering = [name for name in baselines if name != CONSTANT]
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


def _on_no_list(metrics: JudgedMetrics) -> list[str]:
    """Say whom the figures above leave out: wins are counted on lists."""
    return [] if metrics.coverage is None else [metrics.coverage.sentence]


def _feedback(metrics: JudgedMetrics) -> list[str]:
    return [] if metrics.feedback is None else metrics.feedback.lines
