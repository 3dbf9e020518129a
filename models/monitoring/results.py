"""What the monitor found: monitor.json as typed objects."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from features.schema.spec import Spec
from models.checks import CheckResult
from models.evaluation.results import Period
from models.kpis.results import RateComparison

Side = Literal["reference", "matured"]
Figures = dict[str, float | None]


class ListPeriod(Period):
    """How many lists, and the days of the first and the last one."""

    lists: int


class FeatureShift(Spec):
    """How far one feature has moved; see `drift.feature_drift`."""

    name: str
    label: str
    group: str
    psi: float
    ks: float | None
    missing_reference: float
    missing_current: float
    p_value: float
    adjusted_p_value: float
    alert: bool


class LevelChange(Spec):
    """A value of a category that is new, or has vanished; see `input_checks.level_rows`."""

    what: Literal["new", "vanished"]
    attribute: str
    value: str
    share: float
    p_value: float


class Volume(Spec):
    """How much came in of one kind of record; see `input_checks.volume_rows`."""

    name: str
    n: int
    expected: float
    ratio: float | None
    p_value: float


class EarlyConversions(Spec):
    """Conversions after the newest lists; see `outcome_checks.early_conversions`."""

    days: int
    lists: int
    since: str
    n: int
    predicted: float
    observed: int
    expected: float | None
    ratio: float | None
    p_value: float


class Comparison(Spec):
    """What was compared with the reference; empty where there is none.

    Attributes
    ----------
    tiers
        Predicted and actual rates, as from `outcome_checks.tier_comparisons`.
    performance
        Figures of matured lists; None where too few leads converted.
    estimate
        Figures of the newest list and of the reference from probabilities alone, and `assumption`: what they rest on.
    rows
        Rows of reference, newest and matured lists, and `sampled`: the share of leads that they are.
    """

    features: list[FeatureShift] = Field(default=[])
    levels: list[LevelChange] = Field(default=[])
    volumes: list[Volume] = Field(default=[])
    tiers: dict[Side, list[RateComparison]] = Field(default={"reference": [], "matured": []})
    performance: dict[Side, Figures | None] = Field(default={"reference": None, "matured": None})
    estimate: dict[Literal["reference", "newest"], Figures] | None = None
    early: list[EarlyConversions] = Field(default=[])
    rows: dict[str, int | float] = Field(default={})
    assumption: str = ""


class MonitorResult(Comparison):
    """What monitor.json holds.

    Attributes
    ----------
    newest
        The day of the list that was checked.
    tested_id, tested_until
        The model as it was tested, which scored the lists, and the day from which on it has learned no outcome.
    alerts
        Codes of the checks that failed.
    lines
        The checks in sentences, alerts first.
    """

    format: Literal[2] = 2
    as_of: str
    newest: str = Field(alias="list")
    model_id: str
    tested_id: str
    tested_until: str
    data_fingerprint: str
    reference: ListPeriod
    matured: ListPeriod
    checks: list[CheckResult]
    alerts: list[str]
    lines: list[str]
