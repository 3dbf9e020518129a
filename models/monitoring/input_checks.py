"""Checks of inputs, scores and tiers: has anything moved that the model was not made for?

Each check has its share of `monitor.false_alarms`, and shares it among what it looks at. So on leads that come from one
unchanging population, and that do not depend on each other, at most that share of days has an alert, whatever the
checks have in common (Bonferroni, and Holm within a check).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import scipy
from pydantic import Field

from features.matrix.catalogue import Entry
from features.schema.spec import MOST_DAYS, Spec
from models.checks import Check, CheckResult, enumerate_names
from models.monitoring.drift import DriftSample, Row, feature_drift, independent_leads, shift

LEAST_ROWS = 5  # a value that fewer leads have is not named: it may name a person
CALENDAR = "calendar"  # measures that tell the time of the year move by themselves
FRESH = Check("MN01", "The feed is fresh")
VOLUME = Check("MN02", "As much comes in as is usual")
ENGAGEMENT = Check("MN03", "What open leads do is as it was")
FIT = Check("MN04", "Who comes in is as it was")
LEVELS = Check("MN05", "Values of categories are those that are known")
SCORES = Check("MN06", "Scores are spread as they were, whatever the season")
TIERS = Check("MN07", "As many leads as before reach the best tier's cut-off, whatever the season")


class MonitorParams(Spec):
    """What is compared with what, and how much must have moved for an alert."""

    reference_lists: int = Field(
        default=12,
        ge=4,
        le=10_000,
        description=(
            "This many first score lists that the model has not learned from say what is usual; at "
            "least 4 are needed, so that a model is watched from its first month or two on; more see "
            "smaller shifts and wait longer."
        ),
    )
    arrival_days: int = Field(
        default=28,
        ge=1,
        le=MOST_DAYS,
        description="Leads created within this many days before a list are those that come in now.",
    )
    matured_lists: int = Field(
        default=4,
        ge=1,
        le=10_000,
        description="This many of the newest lists whose outcome is known are compared with what was predicted.",
    )
    early_days: list[Annotated[int, Field(ge=1, le=MOST_DAYS)]] = Field(
        default=[14, 28],
        description=(
            "Conversions after the lists of this many days are compared with those after lists of "
            "the reference; more days see smaller changes, fewer see large ones sooner; []: wait until "
            "lists have matured."
        ),
    )
    false_alarms: float = Field(
        default=0.04,
        gt=0,
        lt=1,
        description=(
            "Share of days with an alert where nothing has moved, over all checks together; smaller sees later."
        ),
    )
    psi: float = Field(
        default=0.2,
        gt=0,
        description=(
            "Population stability index of a feature or of the scores; what moved less raises no alert, however sure."
        ),
    )
    ks: float = Field(default=0.2, gt=0, lt=1, description="The same by Kolmogorov-Smirnov distance; either is enough.")
    volume_change: float = Field(
        default=1.5,
        gt=1,
        description=(
            "Alert where there are this many times as many records of a kind per lead and period as usual, or as few."
        ),
    )
    min_events: int = Field(
        default=30, ge=1, description="Kinds of records of which fewer come before a list are not counted."
    )
    level_share: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description=(
            "Alert where this share of the leads that come in has a value that none had before, or the reverse."
        ),
    )
    tier_change: float = Field(
        default=1.5,
        gt=1,
        description=(
            "Alert where this many times as many leads as usual reach the usual cut-off of the best tier, or as few."
        ),
    )
    rate_change: float = Field(
        default=1.25,
        gt=1,
        description="Alert where conversions are this many times as many as predicted, or as few; see early_days.",
    )
    lift_loss: float = Field(
        default=0.25, gt=0, lt=1, description="Alert where this share of the lift at capacity is lost."
    )
    min_positive: int = Field(
        default=10, ge=1, description="Converted leads, or expected ones, below which outcomes are not checked."
    )
    max_rows: int = Field(
        default=60000, ge=1000, description="A seeded share of the leads is used where the lists hold more rows."
    )

    @property
    def each(self) -> float:
        """The chance of a false alarm that one check may have."""
        return self.false_alarms / TESTED


@dataclass(frozen=True)
class ListRows:
    """Rows of score lists, all scored by the tested model, of which a check compares two tables.

    Each has lead_id, snapshot_at, the features of the catalogue, probability, score, tier, and by_rule: whether a
    trigger or exclusion decides on the tier.

    Attributes
    ----------
    reference, newest
        Rows of the reference's lists, and of the newest list.
    reference_at_level, newest_any_season
        The same with scores at one intercept and by the reference's calendar, which move scores by themselves.
    arrivals_before, arrivals
        Leads that were new on lists of the reference, each once, and those that are new now; scores as of these.
    best_tier
        Name of the best tier.
    """

    reference: pd.DataFrame
    newest: pd.DataFrame
    reference_at_level: pd.DataFrame
    newest_any_season: pd.DataFrame
    arrivals_before: pd.DataFrame
    arrivals: pd.DataFrame
    best_tier: str


def fresh(newest: pd.Timestamp | None, as_of: pd.Timestamp, max_silence_days: int) -> CheckResult:
    """MN01: check that the feed has not stopped."""
    if newest is None:
        return FRESH.result(False, "no record at all is known")
    days = (as_of - newest) / pd.Timedelta(days=1)
    detail = f"the newest record is of {newest:%Y-%m-%d %H:%M}, {days:.1f} days back, of {max_silence_days} allowed"
    return FRESH.result(days <= max_silence_days, detail, {"days": days})


def volume_rows(weekly: pd.DataFrame, params: MonitorParams) -> list[Row]:
    """Compare how much came in before the newest list with what came before each list of the reference.

    Parameters
    ----------
    weekly
        One row a list in the order of time, the newest last; one column a kind of record, and `leads`, the length of
        the list. Kinds are counted by lead on the list, because a longer list has more events.

    Returns
    -------
    list
        One a kind: name, n (newest), expected (mean rate of the reference times the leads of the newest list), ratio,
        p_value: of the newest rate against a normal distribution whose mean and spread the reference lists
        give (prediction interval of Student's t), times the number of kinds. Kinds of which fewer than `min_events`
        came and were expected are left out.
    """
    kinds = [name for name in weekly.columns if name != "leads"]
    rates = weekly[kinds].div(weekly["leads"], axis=0)
    before, now, leads = rates.iloc[:-1], rates.iloc[-1], float(weekly["leads"].iloc[-1])
    mean, spread = before.mean(), before.std()
    counted = [name for name in kinds if max(weekly[name].iloc[-1], mean[name] * leads) >= params.min_events]
    return [
        {
            "name": name,
            "n": int(weekly[name].iloc[-1]),
            "expected": float(mean[name] * leads),
            "ratio": float(now[name] / mean[name]) if mean[name] else float("inf"),
            "p_value": min(
                1.0, len(counted) * _p_value(now[name] - mean[name], spread[name], mean[name] / leads, len(before))
            ),
        }
        for name in counted
    ]


def _p_value(gap: float, spread: float, poisson: float, n: int) -> float:
    """Return the two-sided p-value of a new value; a spread below that of independent events is not believed."""
    width = np.sqrt(max(spread**2, poisson) * (1 + 1 / n))
    return float(2 * scipy.stats.t.sf(abs(gap) / width, n - 1)) if width > 0 else float(gap == 0)


def volume(rows: Sequence[Row], params: MonitorParams) -> CheckResult:
    """MN02: check that no kind of record has dried up or multiplied; `rows` as from `volume_rows`."""
    if not rows:
        return VOLUME.not_applicable(f"no kind of record comes {params.min_events:,} times before a list")
    low, high = 1 / params.volume_change, params.volume_change
    bad = [row for row in rows if not low <= row["ratio"] <= high and row["p_value"] <= params.each]
    named = [f"{row['name']} {row['n']:,} for {row['expected']:,.0f}" for row in bad]
    detail = (
        enumerate_names(named) or f"each of {len(rows)} kinds of records within {low:.2f} to {high:.2f} times the usual"
    )
    return VOLUME.result(not bad, detail, {f"ratio {row['name']}": row["ratio"] for row in rows})


def inputs(
    check: Check,
    reference: pd.DataFrame,
    current: pd.DataFrame,
    entries: Sequence[Entry],
    params: MonitorParams,
) -> tuple[CheckResult, list[Row]]:
    """MN03, MN04: check the features that the model reads.

    Parameters
    ----------
    check
        ENGAGEMENT or FIT.
    reference, current
        lead_id and the features.
    entries
        Features to compare; those of the calendar are left out.

    Returns
    -------
    result, rows
        The rows are those of `drift.feature_drift`, each with `alert`.
    """
    read = [entry for entry in entries if entry.measure != CALENDAR]
    rows = feature_drift(DriftSample.of(reference), DriftSample.of(current), read)
    if not rows:
        return check.not_applicable("the model reads no such feature, or there is no lead to look at"), []
    rows = [row | {"alert": _moved(row, params) and row["adjusted_p_value"] <= params.each} for row in rows]
    bad = [row for row in rows if row["alert"]]
    named = [f"{row['label']} (PSI {row['psi']:.2f})" for row in bad]
    detail = (
        enumerate_names(named) or f"none of {len(rows)} features has surely moved; largest PSI {rows[0]['psi']:.2f}"
    )
    return check.result(not bad, detail, {"psi": rows[0]["psi"], "moved": float(len(bad))}), rows


def _moved(row: Row, params: MonitorParams) -> bool:
    return row["psi"] >= params.psi or (row["ks"] is not None and row["ks"] >= params.ks)


def level_rows(before: Mapping[str, pd.Series[str]], now: Mapping[str, pd.Series[str]]) -> list[Row]:
    """List the values of categories that are new among the leads that came in, and those that have vanished.

    Parameters
    ----------
    before, now
        By attribute: the value of each lead that came in, missing where it is not known; `before` holds every lead
        from before.

    Returns
    -------
    list
        attribute, value, share (of the leads that came in; of a vanished value, of those before), and what: "new" or
        "vanished", with p_value: the chance that none of the new leads has a value as frequent as it was, or that none
        of those before had it; times the number of values.
    """
    rows = []
    for name in now:
        sides = {"new": (now[name], before[name]), "vanished": (before[name], now[name])}
        for what, (here, there) in sides.items():
            counts, gone = here.value_counts(), set(there.dropna())
            for value in sorted(str(one) for one in counts.index if one not in gone and counts[one] >= LEAST_ROWS):
                share = float(counts[value] / len(here))
                chance = min(1.0, float((1 - share) ** len(there)) * len(counts) * len(now))
                rows.append({"what": what, "attribute": name, "value": value, "share": share, "p_value": chance})
    return sorted(rows, key=lambda row: (-row["share"], row["attribute"], row["value"]))


def levels(rows: Sequence[Row], params: MonitorParams) -> CheckResult:
    """MN05: check that no frequent value is new or has vanished; `rows` as from `level_rows`."""
    bad = [row for row in rows if row["share"] >= params.level_share and row["p_value"] <= params.each]
    named = [f"{row['what']}: {row['attribute']} {row['value']} ({row['share']:.1%})" for row in bad]
    largest = max((row["share"] for row in rows if row["what"] == "new"), default=0.0)
    detail = enumerate_names(named) or f"no value that {params.level_share:.0%} of leads have is new or has vanished"
    metrics = {"largest new share": largest}
    return LEVELS.result(not bad, detail, metrics)


def scores(rows: ListRows, params: MonitorParams) -> CheckResult:
    """MN06: check that scores lie where they did."""
    before, now = (side["score"].to_numpy("float64") for side in (rows.reference_at_level, rows.newest_any_season))
    leads = [independent_leads(side["lead_id"]) for side in (rows.reference_at_level, rows.newest_any_season)]
    moved = shift(before, now, leads[0], leads[1], codes=None)
    detail = (
        f"mean score {now.mean():.1f}, it was {before.mean():.1f}; PSI {moved['psi']:.2f}, Kolmogorov-Smirnov distance "
        f"{moved['ks']:.2f}"
    )
    metrics = {"psi": moved["psi"], "ks": moved["ks"], "mean": now.mean(), "reference mean": before.mean()}
    failed = _moved(moved, params) and moved["p_value"] <= params.each
    return SCORES.result(not failed, detail, metrics)


def tiers(rows: ListRows, params: MonitorParams) -> CheckResult:
    """MN07: check that as many leads as before lie above what was the cut-off of the best tier.

    A tier that capacity fills is as long whatever happens, so that its length tells nothing; what reaches its usual
    cut-off does.
    """
    reference, current = rows.reference_at_level, rows.newest_any_season
    listed = reference[(reference["tier"] == rows.best_tier) & ~reference["by_rule"]]
    if listed.empty:
        return TIERS.not_applicable(f"no lead of the reference is {rows.best_tier} by its score")
    cutoff = float(listed.groupby("snapshot_at")["score"].min().median())
    was, now = (float((side["score"] >= cutoff).mean()) for side in (reference, current))
    leads = [independent_leads(side["lead_id"]) for side in (reference, current)]
    pooled = (was * leads[0] + now * leads[1]) / sum(leads)
    width = np.sqrt(pooled * (1 - pooled) * (1 / leads[0] + 1 / leads[1]))
    chance = 2 * float(scipy.stats.norm.sf(abs(now - was) / width)) if width > 0 else 1.0
    ratio = now / was
    moved = not 1 / params.tier_change <= ratio <= params.tier_change
    detail = (
        f"{now:.1%} of the leads have a score of {cutoff:.0f} or more, the usual cut-off of {rows.best_tier}; it was "
        f"{was:.1%}"
    )
    metrics = {"share": now, "reference share": was, "cutoff": cutoff}
    return TIERS.result(not (moved and chance <= params.each), detail, metrics)


# A new check of rows is added here; it shares the false alarms with the others, which become a little stricter.
ROW_CHECKS: tuple[Callable[[ListRows, MonitorParams], CheckResult], ...] = (scores, tiers)
# MN02 to MN05 and MN08 to MN10 share them too; MN01 is a fact, and MN11 never alerts.
TESTED = 7 + len(ROW_CHECKS)


def summary_lines(checks: Sequence[CheckResult]) -> list[str]:
    """Sum up the checks in lines for people: alerts first."""
    alerts = [check for check in checks if check.failed]
    applicable = [check for check in checks if check.status != "not applicable"]
    early = {True: " (early: not matured)", False: ""}
    lines = [f"{check.code} {check.title}: no. {check.detail}{early[check.early]}" for check in alerts]
    return lines or [f"No alert: {len(applicable)} of {len(checks)} checks apply, and all passed."]
