"""The report's first screen: whom to call, how many will buy, is it better, can it be trusted, and why these leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.checks import CheckResult
from models.evaluation.results import EvaluationResult, State
from models.explanation.results import DependencePoint, ExplanationResult
from models.scoring.scorer import ModelMetadata
from pipelines.reporting import charts
from pipelines.reporting.tables import Row
from pipelines.scoring.score_summary import ScoreSummary

DRIVERS = 5
LEADS = 10
LEAST_SHARE = 0.05  # of the rows, that a value needs to be named
REASONS = 2  # of a lead; the list has all of them
CLASSES: dict[State | str, str] = {"better": "usable", "no better": "level", "worse": "unusable", "leaks": "unusable"}


@dataclass(frozen=True)
class Call:
    """What calling from the top of the list would win, and what as many calls won otherwise in the test period.

    Attributes
    ----------
    wins, wins_low, wins_high
        The sum of the leads' probabilities, with its interval.
    chance, today
        Of as many leads drawn at random, and of those that today's rules put first.
    """

    leads: int
    wins: float
    wins_low: float
    wins_high: float
    chance: float
    today: float


@dataclass(frozen=True)
class Driver:
    """What moves scores most, in words: a feature, and its values that converted most and least often."""

    label: str
    unit: str
    most: DependencePoint
    least: DependencePoint
    absent: str

    def text(self, point: DependencePoint) -> str:
        """Format a value, with its unit where it is a number."""
        unit = f" {self.unit}" if isinstance(point.value, float) and self.unit else ""
        return charts.value_text(point.value, self.absent) + unit


@dataclass(frozen=True)
class FirstScreen:
    """What the first screen shows.

    Attributes
    ----------
    state
        The verdict's, or "leaks" where leakage is suspected.
    when
        The period of one list, such as "this week"; "" without dates.
    passed, failed
        Leakage checks.
    """

    state: State | str
    call: Call | None
    when: str
    passed: int
    failed: int
    drivers: list[Driver]
    leads: list[Row]

    @property
    def style(self) -> str:
        """Return the CSS class of the verdict."""
        return CLASSES[self.state]


def first_screen(
    metrics: EvaluationResult,
    summary: ScoreSummary,
    capacity: int,
    metadata: ModelMetadata,
    audit: Sequence[CheckResult],
    explanation: ExplanationResult,
    leads: Sequence[Row],
) -> FirstScreen:
    """Choose what a reader needs before anything else; `leads` are the first of the list."""
    return FirstScreen(
        state="leaks" if metrics.verdict.leaks else metrics.verdict.state,
        call=_call(metrics, summary, capacity),
        when=_when(metadata.snapshots.every_days) if metadata.snapshots else "",
        passed=sum(check.status == "passed" for check in audit),
        failed=sum(check.failed for check in audit),
        drivers=drivers(explanation, metadata),
        leads=[lead | {"reasons": _strongest(lead["reasons"])} for lead in leads],
    )


def _call(metrics: EvaluationResult, summary: ScoreSummary, capacity: int) -> Call | None:
    step = next((step for step in summary.capacity if step.capacity == capacity and step.leads), None)
    if step is None:
        return None
    share = step.leads / metrics.wins.calls  # a short list is called to its end
    return Call(
        leads=step.leads,
        wins=step.wins,
        wins_low=step.wins_low,
        wins_high=step.wins_high,
        chance=step.leads * metrics.test.base_rate.value,
        today=share * metrics.wins.wins_today,
    )


def _strongest(reasons: list[Row]) -> list[Row]:
    return [reason for reason in reasons if reason["points"] > 0][:REASONS]


def _when(days: int) -> str:
    return {1: "today", 7: "this week"}.get(days, f"in the next {days} days")


def drivers(explanation: ExplanationResult, metadata: ModelMetadata) -> list[Driver]:
    """Describe the strongest themes, each by its strongest feature that a reader can picture."""
    entries = {entry.name: entry for entry in metadata.matrix.catalogue}
    found: list[Driver] = []
    for theme in explanation.themes:
        of_theme = [one for one in explanation.features if one.theme_label == theme.name]
        common = {one.name: _common(explanation.dependence.get(one.name, []), explanation.n) for one in of_theme}
        shown = [one for one in of_theme if len(common[one.name]) > 1]
        pictured = [one for one in shown if entries[one.name].measure != "decayed"] or shown
        if pictured:
            feature, entry = pictured[0], entries[pictured[0].name]
            least, most = (pick(common[feature.name], key=lambda row: row.rate) for pick in (min, max))
            absent = "none" if entry.empty == "missing" else "not known"
            found.append(Driver(feature.label, entry.unit, most, least, absent))
    return found[:DRIVERS]


def _common(rows: Sequence[DependencePoint], n: int) -> list[DependencePoint]:
    """Leave out values of so few rows that their rate is chance."""
    return [row for row in rows if row.n >= LEAST_SHARE * n]
