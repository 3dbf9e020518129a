"""What evaluate, backtest and the fallback by rules found: metrics.json and backtest.json as typed objects."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from features.schema.spec import Spec
from models.evaluation.estimate import BaselineMetrics, Figure, Figures, ModelMetrics
from models.evaluation.list_coverage import ListCoverage
from models.evaluation.rate_comparison import PredictedRate, TopRate
from models.evaluation.sensitive import SensitiveResult


class Period(Spec):
    """First and last day; None without dates."""

    first: str | None
    last: str | None


class PartCounts(Period):
    """What one part of the split holds; `drawn` of its rows are in the matrix, to learn from or to be tested."""

    drawn: int
    rows: int
    leads: int
    positive: int
    base_rate: float | None


class SnapshotCounts(Spec):
    """How many snapshots there are, how many have matured, and what is in each part of the split.

    Attributes
    ----------
    sampled
        Rows in the matrix.
    tested_share
        The share of the later leads that is tested; 1 unless they have more rows than `snapshots.max_test_rows`.
    fingerprint
        Of the data; "" in a file of an earlier version, as in every result.
    """

    order: Literal["dates", "rows", "none"]
    snapshots: int
    immature: int
    matured: int
    sampled: int
    tested_share: float
    parts: dict[str, PartCounts]
    fingerprint: str = ""


State = Literal["better", "no better", "worse", "not ready"]


class Verdict(Spec):
    """What a run is worth, in a word and in sentences.

    Attributes
    ----------
    state
        Compared with what is done today: better; no better, so stay with that; worse; not ready: too little to learn.
    incumbent
        The baseline that stands for today: the hand-written rules, or the best simple one where there are none.
    best_baseline
        By log-loss.
    leaks
        Leakage checks that failed on what the model reads, each with its columns.
    usable
        Whether the model may rank leads; False where the lines say what to call by instead.
    """

    state: State
    incumbent: str
    best_baseline: str
    leaks: list[str]
    lines: list[str]
    usable: bool = True


class WinsGained(Figures):
    """Wins on a list among the leads called, by the model and by what is done today, on the same rows.

    Attributes
    ----------
    incumbent
        The baseline that stands for today, see `verdict.incumbent`.
    calls, wins, wins_today
        A list, on average, of all leads where the rows are a sample of them.
    gained
        The model's wins less today's, with its interval over leads.
    """

    incumbent: str
    lists: int
    calls: float
    wins: float
    wins_today: float
    gained: float
    gained_low: Figure
    gained_high: Figure

    @property
    def surely_more(self) -> bool:
        return self.gained_low is not None and self.gained_low > 0

    @property
    def surely_fewer(self) -> bool:
        return self.gained_high is not None and self.gained_high < 0


class Feedback(BaseModel):
    """Held-out rows weighted by the contact log; its counts are those of `contact_weights.contact_metrics`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    as_worked: ModelMetrics | None
    if_called: ModelMetrics | None
    lines: list[str]


class RealisedStep(Spec):
    """What calling `capacity` leads from the top of each held-out list won; see `capacity.observed_wins`."""

    capacity: int
    lists: int
    leads: float
    wins: float
    wins_low: float
    wins_high: float
    rate: float
    rate_low: float
    rate_high: float


class TierResult(Figures):
    """What the tiers did on the held-out lists; see `tier_backtest.tier_metrics`."""

    policy: str
    margin: float
    capacity: int
    lists: list[dict[str, Any]]
    share_changed: float | None
    realised: list[RealisedStep]
    certificates: list[dict[str, Any]]


class GradeCell(Spec):
    """The conversion of one grade; see `grades.grade_matrix`."""

    grade: str
    n: int
    n_leads: int
    n_positive: int
    share: float
    rate: float | None
    rate_low: float | None
    rate_high: float | None


class GradeResult(Spec):
    """The conversion of all sixteen grades, measured on `n` rows."""

    n: int
    cuts: dict[str, tuple[float, float, float]] | None
    cells: list[GradeCell]


class ClippedScores(Spec):
    """How many test rows lie beyond the scale: their scores all read 0, or 100.

    Attributes
    ----------
    low, high
        Shares of the rows below 0 and above 100 points.
    most
        The share that a scale should not exceed.
    double_odds, fitting
        Of the scale, and what would keep all but this many rows on it.
    """

    low: float
    high: float
    most: float
    double_odds: float
    fitting: float

    @property
    def too_many(self) -> bool:
        return self.low + self.high > self.most

    @property
    def sentence(self) -> str:
        """Say it with what to do."""
        return (
            f"{self.low + self.high:.1%} of the test rows lie beyond the scale ({self.low:.1%} at score 0, "
            f"{self.high:.1%} at 100), so their scores tell them apart no more; points.double_odds: {self.fitting:g}, "
            f"rather than {self.double_odds:g}, would hold them."
        )


class MomentMetrics(Figures):
    """The model's figures at moments of one kind; leads of all days are ranked against each other.

    Attributes
    ----------
    moment
        Its kind, such as creation, 1 hour, or inbound event.
    rates
        Predicted and actual rate.
    """

    moment: str
    n: int
    n_leads: int
    n_positive: int
    auc: Figure
    auc_low: Figure
    auc_high: Figure
    log_loss: Figure
    log_loss_low: Figure
    log_loss_high: Figure
    rates: PredictedRate


class JudgedMetrics(Spec):
    """The figures that a verdict rests on.

    Attributes
    ----------
    calibration
        Predicted and actual rate of all rows of the test; the KPIs say the same of "all leads".
    coverage
        The wins that no list could hold, of which no other figure speaks; None without dates.
    """

    capacity: int
    confidence: float
    period: Period
    snapshots: SnapshotCounts
    test: ModelMetrics
    calibration: PredictedRate
    wins: WinsGained
    baselines: dict[str, BaselineMetrics]
    random_split: ModelMetrics
    coverage: ListCoverage | None
    feedback: Feedback | None


class EvaluationResult(JudgedMetrics):
    """metrics.json: model and baselines on the same rows of the untouched later period.

    Attributes
    ----------
    uncorrected
        The model's figures without recalibration.
    segments
        The model's figures by segment attribute and level.
    moments
        The model's figures between lists, by kind of moment; None where `snapshots.moments` names none.
    sensitive
        Groups of the attributes in `audit.sensitive`; None where it names none.
    """

    format: Literal[2] = 2
    model_id: str
    fingerprint: str
    horizon_days: int | None
    uncorrected: ModelMetrics
    clipped: ClippedScores
    calibration_top: list[TopRate]
    tiers: TierResult
    grades: GradeResult
    segments: dict[str, dict[str, ModelMetrics]]
    moments: list[MomentMetrics] | None = Field(default=None, exclude_if=lambda moments: moments is None)
    sensitive: list[SensitiveResult] | None = Field(default=None, exclude_if=lambda sensitive: sensitive is None)
    verdict: Verdict

    @property
    def best_baseline(self) -> BaselineMetrics:
        return self.baselines[self.verdict.best_baseline]


class RulesResult(Spec):
    """metrics.json where there is too little to learn from, and leads are ranked by the hand-written rules."""

    format: Literal[2] = 2
    model_id: str
    fingerprint: str
    horizon_days: int | None
    capacity: int
    snapshots: SnapshotCounts
    verdict: Verdict


class LeftOut(Spec):
    """A cut of the backtest that was left out, and the reason."""

    cut: str
    why: str


class BacktestPeriod(Spec):
    """One retraining, and the figures of the model and each baseline on the period after it."""

    cut: str
    training_rows: int
    training_rate: float
    linear_share: float
    left_out: int
    metrics: dict[str, ModelMetrics]


class BacktestResult(Spec):
    """backtest.json: each period, and all of them pooled."""

    format: Literal[2] = 2
    applicable: Literal[True] = True
    confidence: float
    choose: Literal["first", "each"]
    periods: list[BacktestPeriod]
    left_out: list[LeftOut]
    pooled: dict[str, ModelMetrics]
    mean_auc: float
    fingerprint: str = ""


class NoBacktest(Spec):
    """backtest.json where nothing was walked forward, and the reason."""

    format: Literal[2] = 2
    applicable: Literal[False] = False
    why: str
    left_out: list[LeftOut]
    fingerprint: str = ""
