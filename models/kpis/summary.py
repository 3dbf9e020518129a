"""The figures by tier in words: which tiers are too generous, what would put them right, what became of their leads."""

from __future__ import annotations

from collections.abc import Sequence

from models.evaluation.estimate import Figure
from models.evaluation.list_coverage import ListCoverage
from models.evaluation.rate_comparison import MISFITS, Answer, rates_text
from models.kpis.calibration_check import AGE_OF_LEAD, AGE_OF_MODEL, TIER
from models.kpis.results import CutoffFix, ListVolume, RateComparison, ResponseTimes, TierMetrics

NAMED = 5  # segments that a sentence names
AS_WORKED = (
    "Rates are of leads as sales worked them: how much of a tier's rate is owed to being called, they do not say."
)
DAY_MINUTES = 1440
TENTHS_BELOW = 20  # leads a list from which tenths say nothing more


def lines(
    comparisons: Sequence[RateComparison],
    volumes: Sequence[ListVolume],
    best: tuple[str, TierMetrics],
    horizon: str,
    confidence: float,
) -> list[str]:
    """Say which predicted rates were reached and which were not.

    Parameters
    ----------
    comparisons, volumes
        As from `compare_rates` and `volumes`.
    best
        The best tier and its figures over all lists.
    horizon
        Such as "within 30 days".
    confidence
        With which all comparisons together are free of a false alarm.
    """
    return [
        *_misfits(comparisons),
        _fits(comparisons),
        *(_fix(one.fix) for one in comparisons if one.group == TIER and one.fix is not None),
        *_filled(volumes),
        *sent(best, horizon),
        f"{len(comparisons)} comparisons were made; a calibrated model is called too generous anywhere in at most "
        f"{(1 - confidence) / 2:.0%} of such reports.",
        AS_WORKED,
    ]


def sent(best: tuple[str, TierMetrics], horizon: str) -> list[str]:
    """Say what became of the leads of the best tier, which are sent to sales, where anything is known of it."""
    name, metrics = best
    fell = _rate(metrics.fell_back, metrics.fell_back_low, metrics.fell_back_high) if metrics.fell_back_n else ""
    lost = _rate(metrics.lost, metrics.lost_low, metrics.lost_high) if metrics.lost_n else ""
    fates = [*([f"{fell} fell back a stage"] if fell else []), *([f"{lost} were lost"] if lost else [])]
    return [f"Of {metrics.leads:,} leads listed as {name}, {' and '.join(fates)} {horizon}."] if fates else []


def caught(wins: int, coverage: ListCoverage | None) -> list[str]:
    """Say of which wins the tiers' wins caught are shares, and which no list could hold."""
    if coverage is None:
        return []
    return [f"Wins caught are shares of the {wins:,} wins on these lists. {coverage.sentence}"]


def answered(times: ResponseTimes, tier: str) -> str:
    """Say how fast sales answers."""
    half = next(one for one in times.minutes if one.share == 0.5).minutes
    median = (
        "fewer than half were ever contacted" if half is None else f"half were contacted within {half:,.0f} minutes"
    )
    share = _rate(times.within_sla, times.within_sla_low, times.within_sla_high)
    agreed = f"{share} within the agreed {times.sla_minutes:,} minutes" if times.within_sla_n else (
        "whether within the agreed time, contacts by the day do not say"
        if times.by_day and times.sla_minutes < DAY_MINUTES
        else "too early to say"
    )  # fmt: skip
    return (
        f"Of {times.n:,} entries into {tier} ({times.triggers:,} by a trigger) {median}; {agreed}; "
        f"{times.open_without_contact:,} are open and were never contacted (by {times.by}, until {times.until[:10]})."
    )


def _misfits(comparisons: Sequence[RateComparison]) -> list[str]:
    words = [_of_answer(answer, comparisons) for answer in MISFITS]
    return [word for word in words if word] or ["Nothing is surely too generous or too strict."]


def _of_answer(answer: Answer, comparisons: Sequence[RateComparison]) -> str:
    """Name the tiers with their figures, and of the segments the first few."""
    tiers = [_rates_of(one) for one in comparisons if one.answer == answer and one.group == TIER]
    segments = [_part(one) for one in comparisons if one.answer == answer and one.group != TIER]
    more = [f"and {len(segments) - NAMED} more segments"] if len(segments) > NAMED else []
    named = "; ".join([*tiers, *(["by segment " + ", ".join([*segments[:NAMED], *more])] if segments else [])])
    return f"{answer.capitalize()}: {named}." if named else ""


def _part(one: RateComparison) -> str:
    return f"{one.group} {one.name}{' days' if one.group in (AGE_OF_LEAD, AGE_OF_MODEL) else ''}"


def _rates_of(one: RateComparison) -> str:
    return f"{one.name} ({rates_text(one)}; {one.rows:,} rows of {one.leads:,} leads)"


def _fits(comparisons: Sequence[RateComparison]) -> str:
    fits = [one for one in comparisons if one.answer == "fits"]
    tiers = [one.name for one in fits if one.group == TIER]
    few = sum(one.answer == "too few to say" for one in comparisons)
    named = f" ({', '.join(tiers)}{' and segments' if len(fits) > len(tiers) else ''})" if tiers else ""
    return f"Of {len(comparisons)} comparisons {len(fits)} fit{named}, and in {few} the leads are too few to say."


def _fix(fix: CutoffFix) -> str:
    return (
        f"{fix.tier.capitalize()} would have reached its predicted rate of {fix.predicted_rate:.1%} from a score "
        f"of {fix.new_cutoff} on, rather than {fix.cutoff:.0f}: {_count(fix.per_list)} leads a list, with an "
        f"actual rate of {_rate(fix.observed_rate, fix.observed_rate_low, fix.observed_rate_high)}."
    )


def _filled(volumes: Sequence[ListVolume]) -> list[str]:
    """Put the length of each list beside its capacity."""
    lists = [
        f"{one.tier} {_count(one.mean)} for a capacity of {_count(one.capacity)} ({one.answer}"
        + (")" if one.answer == "fills capacity" else f"; from a score of {one.filling} on they would fill)")
        for one in volumes
    ]
    return [f"Leads a list: {', '.join(lists)}."] if lists else []


def _count(leads: float) -> str:
    return f"{leads:,.0f}" if leads >= TENTHS_BELOW else f"{leads:,.1f}"


def _rate(value: Figure, low: Figure, high: Figure) -> str:
    return f"{value or 0.0:.1%} ({low or 0.0:.1%} to {high or 0.0:.1%})"
