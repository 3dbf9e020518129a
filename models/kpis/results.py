"""The KPIs by tier and period as kpis.json holds them; a figure that does not exist is None."""

from __future__ import annotations

from typing import Literal

from features.schema.spec import Spec
from models.evaluation.estimate import Figure, Figures
from models.evaluation.list_coverage import IntervalCoverage, ListCoverage
from models.evaluation.rate_comparison import ObservedRate, PredictedRate
from models.kpis.revenue import RevenueResult


class ListSpan(Spec):
    """The lists that are looked at: how many, their rows and leads, and their first and last day."""

    n: int
    rows: int
    leads: int
    first: str | None
    last: str | None


class TierMetrics(Figures):
    """The figures of a tier; `_n` is the number of leads behind a rate. See `tier_kpis.tier_metrics`."""

    leads: int
    rows: int
    matured: int
    converted: int
    conversion_rate: Figure
    conversion_rate_low: Figure
    conversion_rate_high: Figure
    conversion_rate_n: int
    wins_caught: Figure
    wins_caught_low: Figure
    wins_caught_high: Figure
    wins_caught_n: int
    engagement_rate: Figure
    engagement_rate_low: Figure
    engagement_rate_high: Figure
    engagement_rate_n: int
    stage_acceptance: Figure
    stage_acceptance_low: Figure
    stage_acceptance_high: Figure
    stage_acceptance_n: int
    fell_back: Figure
    fell_back_low: Figure
    fell_back_high: Figure
    fell_back_n: int
    lost: Figure
    lost_low: Figure
    lost_high: Figure
    lost_n: int


class PeriodMetrics(TierMetrics):
    """The figures of a tier in one calendar period."""

    period: str


class TierKpis(Spec):
    """A tier over all lists, and period by period."""

    name: str
    all: TierMetrics
    periods: list[PeriodMetrics]


class CutoffFix(ObservedRate):
    """The cut-off from which a tier would have reached its predicted rate."""

    tier: str
    predicted_rate: float
    cutoff: float
    new_cutoff: int
    per_list: float


class RateComparison(PredictedRate):
    """Predicted against actual rate of a tier, a segment or an age; see `calibration_check.compare_rates`.

    Attributes
    ----------
    points_off
        By how many points the scores are too high; None unless too generous or too strict.
    """

    group: str
    name: str
    points_off: Figure
    fix: CutoffFix | None


class ListVolume(Spec):
    """The length of a tier's list against its capacity; see `calibration_check.volumes`."""

    tier: str
    lists: int
    capacity: float
    mean: float
    least: int
    most: int
    answer: Literal["over capacity", "room left", "fills capacity"]
    filling: int


class DaysUntil(Figures):
    """After how many days a share has had its event."""

    share: float
    days: Figure
    low: Figure
    high: Figure


class Survival(Figures):
    """Days until an event, the rest being censored; see `velocity.survival`."""

    first: str | None
    last: str | None
    n: int
    happened: int
    longest: Figure
    reached: Figure
    reached_low: Figure
    reached_high: Figure
    days: list[DaysUntil]


class StageTime(Survival):
    """Days in a lifecycle stage."""

    stage: str


class Growth(Figures):
    """How many leads were newly qualified in a period, against the period before."""

    period: str
    qualified: int
    growth: Figure
    growth_low: Figure
    growth_high: Figure


class SalesCycle(Figures):
    """Days from the first touch by sales to the win; see `velocity.sales_cycle`."""

    n: int
    lower_quartile: Figure
    lower_quartile_low: Figure
    lower_quartile_high: Figure
    median: Figure
    median_low: Figure
    median_high: Figure
    upper_quartile: Figure
    upper_quartile_low: Figure
    upper_quartile_high: Figure


class PeriodCycle(SalesCycle):
    """The sales cycle of one calendar period's wins."""

    period: str


class SalesCycles(Spec):
    """The sales cycle of all wins, by period, and by the tier that caught them."""

    wins: int
    all: SalesCycle
    periods: list[PeriodCycle]
    tiers: dict[str, SalesCycle]


class MinutesUntil(Figures):
    """After how many minutes a share has been contacted."""

    share: float
    minutes: Figure
    low: Figure
    high: Figure


class ResponseTimes(Figures):
    """Time from entering the best tier, or a trigger, to the first contact; see `response.response_times`.

    Attributes
    ----------
    by_day
        The contacts have days alone.
    until
        Contacts are known until then.
    triggers
        How many of the starts are triggers; all others are entries into the tier.
    open_without_contact
        Nobody has contacted them, and they are still open.
    """

    by: Literal["contact log", "events of sales"]
    by_day: bool
    until: str
    sla_minutes: int
    triggers: int
    within_sla: Figure
    within_sla_low: Figure
    within_sla_high: Figure
    within_sla_n: int
    open_without_contact: int
    n: int
    contacted: int
    minutes: list[MinutesUntil]


class Velocity(Spec):
    """How long it takes from creation and from a tier to conversion, in each stage, and from first touch to win."""

    from_creation: Survival
    from_tier: dict[str, Survival]
    in_stage: list[StageTime]
    growth: list[Growth]
    sales_cycle: SalesCycles | None


class KpiVerdict(Spec):
    """What the figures say, in sentences."""

    lines: list[str]


class KpiResult(Spec):
    """kpis.json.

    Attributes
    ----------
    by
        Who put the leads into tiers.
    sampled
        Share of the leads that the lists hold.
    missing
        Why a part is not available, by part.
    stages
        The lifecycle stage of each tier, best first.
    coverage
        The wins that no list could hold, which no tier could catch, as in metrics.json; None without dates.
    revenue
        None without `money.deal_value`, and where the rules alone score.
    intervals
        How many wins of the whole history lists of other intervals, and scores at the moment, could have held.
    """

    format: Literal[2] = 2
    by: Literal["model", "rules"]
    model_id: str
    fingerprint: str
    order: str
    horizon_days: int | None
    engagement_days: int
    period: str
    confidence: float
    sampled: float
    lists: ListSpan
    missing: dict[str, str]
    order_of_stages: list[str]
    stages: dict[str, str]
    tiers: list[TierKpis]
    velocity: Velocity | None
    response: ResponseTimes | None
    coverage: ListCoverage | None
    intervals: list[IntervalCoverage]
    comparisons: list[RateComparison]
    volumes: list[ListVolume]
    revenue: RevenueResult | None = None
    verdict: KpiVerdict
