"""Key figures by tier and calendar period, from the lists as sales would have seen them.

Within a tier and a period each lead counts once, at its first list there, so that no two rows behind an interval belong
to one lead. Which list is its first is known on that day; the last one, or one drawn by chance, would depend on what
came after, because a lead that has converted is on no more lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from features.schema.spec import MOST_DAYS, Spec
from models.evaluation.intervals import clopper_pearson
from models.evaluation.rate_comparison import RateLimits
from models.kpis.results import PeriodMetrics, TierKpis, TierMetrics

PERIODS = {"week": "W", "month": "M", "quarter": "Q", "year": "Y"}
MOST_MINUTES = 525_600  # a year


class KpiParams(Spec):
    """Calendar periods, what counts as engaged, the order of lifecycle stages, and when a tier is too generous."""

    period: Literal["week", "month", "quarter", "year"] = Field(
        default="month", description="Calendar period of the figures; longer where few leads convert."
    )
    engagement_days: int = Field(
        default=30,
        ge=1,
        le=MOST_DAYS,
        description=(
            "A listed lead is engaged if it acts by itself within this many days: as long as a cadence of calls."
        ),
    )
    stages: list[str] = Field(
        default=["lead", "MQL", "SAL", "SQL", "opportunity", "customer"],
        description="Lifecycle stages as the data spell them, first to last.",
    )
    qualified_stage: str = Field(
        default="MQL", description="The lead velocity rate counts leads that enter this stage for the first time."
    )
    sales_stage: str = Field(
        default="SAL",
        description="From this stage on a lead is with sales: the sales cycle starts, unless sales touched it before.",
    )
    sales_events: list[str] = Field(
        default=[],
        description=(
            "Event types that are a touch by sales; []: any outbound event; set it where mailings are outbound too."
        ),
    )
    sla_minutes: int = Field(
        default=60,
        ge=1,
        le=MOST_MINUTES,
        description=(
            "Sales has agreed to contact a lead within this many minutes after it enters the best tier, or a "
            "trigger fires."
        ),
    )
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default=[0.05, 0.1, 0.25, 0.5],
        min_length=1,
        description="After how many days have such shares of the leads converted?",
    )
    tolerance: float = Field(
        default=0.1,
        ge=0,
        description=(
            "A tier is too generous if its predicted rate surely lies further above the actual one than"
            " this share of it; so are all leads together."
        ),
    )
    telling: float = Field(
        default=2.0,
        gt=1,
        description=(
            "A tier fits only where a predicted rate this many times too high would have been noticed; "
            "else: too few to say."
        ),
    )
    volume_tolerance: float = Field(
        default=0.1, ge=0, description="A list may be longer or shorter than its capacity by this share."
    )

    @property
    def limits(self) -> RateLimits:
        """How far predicted and actual rate may lie apart."""
        return RateLimits(self.tolerance, self.telling)

    @model_validator(mode="after")
    def _stages_are_named(self) -> KpiParams:
        if len(set(self.stages)) < len(self.stages):
            raise ValueError(f"stages must differ, found {self.stages}")
        if self.shares != sorted(set(self.shares)):
            raise ValueError(f"shares must ascend, found {self.shares}")
        for name in ("qualified_stage", "sales_stage"):
            if self.stages and getattr(self, name) not in self.stages:
                raise ValueError(f"{name} must be one of stages {self.stages}, found {getattr(self, name)!r}")
        return self


def as_listed(rows: pd.DataFrame, params: KpiParams) -> pd.DataFrame:
    """Order the rows of all lists, and name the period of each.

    Parameters
    ----------
    rows
        lead_id, snapshot_at (NaT throughout: all of them are one list), label (missing while immature), probability,
        score, tier; one row a lead and list.

    Returns
    -------
    DataFrame
        The rows, by list and lead_id, with `period`: the calendar period of the list, "" without dates; a week is
        called by its Monday.
    """
    ordered = rows.sort_values(["snapshot_at", "lead_id"], ignore_index=True)
    return ordered.assign(period=period_of(ordered["snapshot_at"], params))


def period_of(at: pd.Series[pd.Timestamp], params: KpiParams) -> pd.Series[str]:
    """Name the calendar period of each moment: 2026-03, 2026Q1, 2026, or a week's Monday; "" where there is none."""
    periods = at.dt.to_period(PERIODS[params.period])
    named = periods.dt.start_time.dt.strftime("%Y-%m-%d") if params.period == "week" else periods.astype("str")
    return named.where(at.notna(), "").astype("str")


def first_lists(listed: pd.DataFrame, by: Sequence[str] = ()) -> pd.DataFrame:
    """Keep each lead's first list, or its first in each group of `by`: the rows that may be counted as independent."""
    return listed.sort_values(["snapshot_at", "lead_id"]).drop_duplicates(["lead_id", *by])


def tier_metrics(listed: pd.DataFrame, facts: pd.DataFrame, ladder: Sequence[str], confidence: float) -> list[TierKpis]:
    """Compute the metrics of each tier, over all lists and period by period.

    Parameters
    ----------
    listed
        As from `as_listed`.
    facts
        The first list of each lead in each tier and period (a subset of `listed`), with what became of it: engaged,
        accepted, fell_back and lost, each 1, 0 or missing where it is not known or does not apply.
    ladder
        Names of the tiers, best first.
    confidence
        Of the Clopper-Pearson intervals.

    Returns
    -------
    list
        One a tier.
    """
    best = winners(listed, ladder)
    of_period = winners(listed, ladder, ["period"])
    once = first_lists(facts, ["tier"])
    periods = sorted(set(listed["period"]) - {""})

    def metrics_of(rows: pd.DataFrame, counted: pd.DataFrame, wins: pd.Series[str], name: str) -> TierMetrics:
        return _tier_metrics(
            counted[counted["tier"] == name], int((rows["tier"] == name).sum()), wins == name, confidence
        )

    def metrics_in(period: str, name: str) -> PeriodMetrics:
        rows, counted = (frame[frame["period"] == period] for frame in (listed, facts))
        wins = of_period.loc[of_period["period"] == period, "tier"]
        return PeriodMetrics(period=period, **dict(metrics_of(rows, counted, wins, name)))

    return [
        TierKpis(
            name=name,
            all=metrics_of(listed, once, best["tier"], name),
            periods=[metrics_in(period, name) for period in periods],
        )
        for name in ladder
    ]


def winners(listed: pd.DataFrame, ladder: Sequence[str], by: Sequence[str] = ()) -> pd.DataFrame:
    """Return each lead that converted within the horizon of a list, once, with the best tier it was in on such a list.

    So every win is in one tier, and the shares of wins add up to 1.
    """
    won = listed[listed["label"] == 1.0]
    rank = won["tier"].map({name: rank for rank, name in enumerate(ladder)})
    return won.assign(rank=rank).sort_values("rank", kind="stable").drop_duplicates(["lead_id", *by])


def _tier_metrics(counted: pd.DataFrame, rows: int, caught: pd.Series[bool], confidence: float) -> TierMetrics:
    """Return counts, and each rate with `_low`, `_high` and `_n`: the leads behind it."""
    matured = counted[counted["label"].notna()]
    rates = {
        "conversion_rate": counted["label"],
        "wins_caught": caught.astype("float64"),
        "engagement_rate": counted["engaged"],
        "stage_acceptance": counted["accepted"],
        "fell_back": counted["fell_back"],
        "lost": counted["lost"],
    }
    counts = {
        "leads": len(counted),
        "rows": rows,
        "matured": len(matured),
        "converted": int(matured["label"].sum()),
    }
    shares = {key: value for name, column in rates.items() for key, value in _rate(name, column, confidence).items()}
    return TierMetrics.model_validate(counts | shares)


def _rate(name: str, facts: pd.Series[float], confidence: float) -> dict[str, float]:
    """Return a share of yes among what is known, its interval and its n; not a number where nothing is known."""
    is_known = facts.dropna()
    low, high = clopper_pearson(int(is_known.sum()), len(is_known), confidence)
    return {name: float(is_known.mean()), f"{name}_low": low, f"{name}_high": high, f"{name}_n": len(is_known)}


def of_leads(lead_id: pd.Series[str], values: pd.Series[Any]) -> pd.Series[Any]:
    """Return each lead's value out of values by lead_id, by the index of `lead_id`; missing where there is none."""
    return values.reindex(lead_id.to_numpy()).set_axis(lead_id.index)


def within(at: pd.Series[pd.Timestamp], happened_at: pd.Series[pd.Timestamp], days: float) -> np.ndarray:
    """Whether something happened in the half-open window of `days` days from each moment on, shape (n,)."""
    return ((happened_at >= at) & (happened_at < at + pd.Timedelta(days=days))).to_numpy()


def known(happened: np.ndarray, at: pd.Series[pd.Timestamp], days: float, until: pd.Timestamp) -> pd.Series[float]:
    """Return 1 or 0 where the window has passed by the end of the data, else missing: not yet is not no."""
    return pd.Series(happened, index=at.index, dtype="float64").where(at + pd.Timedelta(days=days) <= until)
