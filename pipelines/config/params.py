"""All of params.yaml, typed: the file, what is laid over it, and the defaults of what neither says."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, ValidationError, model_validator

from features.rules.declarations import AttributeTest, RulesParams, check_attribute_test, check_attributes
from features.rules.point_log import empty_facts
from features.schema.declarations import AttributeSpec, FeatureParams, SnapshotParams
from features.schema.errors import ParamsError
from features.schema.spec import Spec
from models.evaluation.metrics import EvaluateParams
from models.kpis.tier_kpis import KpiParams
from models.leakage.rows import AuditParams
from models.lists.declarations import ListParams
from models.monitoring.input_checks import MonitorParams
from models.nurture.declarations import NurtureParams
from models.points.grades import GradeParams
from models.points.scale import PointsParams
from models.promotion.gate import GateParams
from models.revenue.declarations import MoneyParams
from models.scorecard.fitting import ScorecardParams
from models.splitting.holdout import SplitParams
from models.splitting.walk_forward import BacktestParams
from models.tiers.declarations import TierParams
from models.tiers.exploration import ExplorationParams
from models.tiers.tier_rules import EXCLUDED
from models.training.hyperparameter_search import SearchParams
from models.training.selection import SelectionParams
from pipelines.config.delivery import Delivery
from pipelines.config.faults import describe
from pipelines.config.packaged import packaged
from pipelines.config.paths import Paths
from pipelines.config.pull import Pull
from pipelines.config.sections import (
    Capacity,
    Explain,
    Ingest,
    Job,
    Project,
    Readiness,
    Report,
    Retrain,
    Score,
    SparkParams,
    Track,
    read_moment,
)
from pipelines.config.simulation import Simulate
from pipelines.config.source import Source
from pipelines.config.training import Train
from pipelines.config.yaml_files import Tree, lay_over, merge, read_yaml, where

QUICK: Tree = {
    "project": {"quick": True},
    "snapshots": {"max_rows": 15_000, "max_test_rows": 20_000},
    "train": {"boosters": 1},
    "selection": {"folds": {"count": 1, "max_rows": 10_000}},
    "search": {"trials": 0},
    "backtest": {"cuts": 0},
}
MOST = 1e15
EARLIEST, LATEST = 1900, 2100  # a century more lies within the calendar of pandas
DEFAULT = packaged("params.yaml")


class Params(Spec):
    """All of params.yaml after overlays and defaults have been applied."""

    project: Project = Field(default=Project(), description="The name of the work, its seed, and the machine.")
    paths: Paths = Field(
        default=Paths(),
        description="Folders, relative to the file that names them, so that no command needs them as options; an "
        "option goes first.",
    )
    simulate: Simulate = Field(
        default=Simulate(), description="The embedded default data: a simulated B2B funnel whose truth is known."
    )
    pull: Pull = Field(
        default=Pull(), description="`leadscore pull` reads tables from a CRM into a folder for `source`."
    )
    source: Source = Field(description="The user's own files, columns and spellings, mapped to the contract.")
    ingest: Ingest = Field(default=Ingest(), description="When bad rows stop the run.")
    snapshots: SnapshotParams = Field(
        default=SnapshotParams(), description="The moments at which we pretend to stand; needs `order: dates`."
    )
    features: FeatureParams = Field(default=FeatureParams(), description="What is computed of a lead.")
    split: SplitParams = Field(default=SplitParams(), description="What is held out for reporting.")
    audit: AuditParams = Field(
        default=AuditParams(),
        description="What looks like leakage is named in the report; the audit changes no model.",
    )
    readiness: Readiness = Field(
        default=Readiness(), description="Below any of these there is too little to learn from, and train refuses."
    )
    train: Train = Field(default=Train(), description="How the boosters are trained, and their rivals.")
    selection: SelectionParams = Field(
        default=SelectionParams(),
        description="What is chosen on forward folds inside the training period: learn from earlier rows, be judged "
        "on later ones.",
    )
    search: SearchParams = Field(
        default=SearchParams(),
        description="Of the boosters' settings, on the same folds; those of `train` are tried first and stay unless "
        "clearly beaten.",
    )
    backtest: BacktestParams = Field(
        default=BacktestParams(),
        description="Walk forward: at each cut train on what was known then, and score the period that follows.",
    )
    scorecard: ScorecardParams = Field(
        default=ScorecardParams(),
        description="The learned scorecard: a rival of the model with few whole points, that can be typed into a CRM.",
    )
    rules: RulesParams = Field(
        default=RulesParams(),
        description="The hand-written scorecard: a baseline beside the model, and the fallback where data are thin.",
    )
    points: PointsParams = Field(
        default=PointsParams(),
        description="The scale of the score, frozen across retrainings, so that 70 means the same next month; read by "
        "train alone, as a model keeps its scale.",
    )
    grades: GradeParams = Field(
        default=GradeParams(),
        description="Fit A to D by engagement 1 to 4, by points; cut-offs are learned in training and stay with the "
        "model.",
    )
    capacity: Capacity = Field(default=Capacity(), description="What sales can work.")
    tiers: TierParams = Field(
        default=TierParams(), description="From the best down; every scored lead is in one of them."
    )
    lists: ListParams = Field(
        default=ListParams(), description="One list for each owner of leads; policy alone, which trains nothing."
    )
    money: MoneyParams = Field(
        default=MoneyParams(),
        description="Expected revenue of leads, ranking by it, and revenue by tier; policy alone, no score moves.",
    )
    nurture: NurtureParams = Field(
        default=NurtureParams(),
        description="Leads that are not ready, each with the day to look again; policy alone, no score or tier moves.",
    )
    exploration: ExplorationParams = Field(
        default=ExplorationParams(),
        description="Whom sales calls decides what can be learned: some of the best tier's capacity goes to a random "
        "sample of the leads outside of it; the chance stands beside each tier as `propensity`, for the contact log.",
    )
    evaluate: EvaluateParams = Field(default=EvaluateParams(), description="Which metrics, and how sure they are.")
    kpis: KpiParams = Field(
        default=KpiParams(),
        description="Figures by tier and period, from the lists of the later period; intervals as in "
        "evaluate.confidence.",
    )
    explain: Explain = Field(default=Explain(), description="How far explanations go.")
    score: Score = Field(default=Score(), description="When leads are scored.")
    job: Job = Field(default=Job(), description="The scheduled run: what stops or flags a list.")
    monitor: MonitorParams = Field(
        default=MonitorParams(), description="What must have moved before the monitor raises an alert."
    )
    retrain: Retrain = Field(
        default=Retrain(),
        description="When a challenger is trained; `promotion` says whether it becomes the champion.",
    )
    delivery: Delivery = Field(
        default=Delivery(), description="`leadscore deliver` hands finished scores to other systems."
    )
    report: Report = Field(default=Report(), description="The page that people read.")
    promotion: GateParams = Field(
        default=GateParams(),
        description="What a challenger must hold against the champion and the baselines, on later rows.",
    )
    track: Track = Field(default=Track(), description="Where MLflow keeps runs and models.")
    spark: SparkParams = Field(
        default=SparkParams(),
        description="`--engine spark`, for more events than one machine can take; needs Java 17 and "
        "`make .venv-spark/.installed`.",
    )

    @model_validator(mode="after")
    def _search_holds_its_start(self) -> Params:
        for name, (low, high) in self.search.bounds.items():
            value = getattr(self.train, name)
            if self.search.trials and not low <= value <= high:
                raise ValueError(f"train.{name} is {value}, outside of search.{name} [{low}, {high}]; widen the bounds")
        return self

    @model_validator(mode="after")
    def _tier_rules_fit_the_rules(self) -> Params:
        named = [threshold.name for threshold in self.rules.thresholds]
        for one in self.tiers.triggers + self.tiers.exclusions:
            if named and one.tier not in [*named, EXCLUDED]:
                raise ValueError(
                    f"tiers: {one.name!r} gives tier {one.tier!r}, which rules.thresholds do not name; the rules rank "
                    "the leads where there is too little to learn from"
                )
        return self

    @model_validator(mode="after")
    def _lists_name_what_is_shown(self) -> Params:
        for key, label in self.lists.labels.items():
            if label not in self.source.leads.display:
                shown = ", ".join(self.source.leads.display) or "it shows nothing"
                raise ValueError(f"lists.{key}: {label!r} is no label of source.leads.display ({shown})")
        return self

    @model_validator(mode="after")
    def _money_names_what_there_is(self) -> Params:
        money, attributes = self.money, self.source.attributes
        if money.deal_value and self.source.order != "dates":
            raise ValueError("money needs order: dates, because deal values are learned from the deals won before")
        for key, name in (("deal_value", money.deal_value), ("hours_attribute", money.hours_attribute)):
            if name and (name not in attributes or attributes[name].kind != "number"):
                raise ValueError(f"money.{key}: {name!r} is no number in source.attributes")
        if money.hours_attribute and attributes[money.hours_attribute].known == "outcome":
            raise ValueError(f"money.hours_attribute: {money.hours_attribute!r} is known: outcome, too late for a list")
        for name in money.groups:
            if name not in attributes or attributes[name].kind == "number":
                raise ValueError(f"money.groups: {name!r} is no category in source.attributes")
        if money.owner and money.owner not in self.source.leads.display:
            raise ValueError(f"money.owner: {money.owner!r} is no label of source.leads.display")
        return self

    @model_validator(mode="after")
    def _sensitive_attributes_are_there(self) -> Params:
        attributes = self.source.attributes
        for name in self.audit.sensitive:
            if name not in attributes or attributes[name].kind not in ("number", "category"):
                raise ValueError(f"audit.sensitive: {name!r} is no number or category in source.attributes")
            if name in self.audit.bands and attributes[name].kind != "number":
                raise ValueError(f"audit.bands: {name!r} is no number in source.attributes")
        return self

    @property
    def population(self) -> SnapshotParams | None:
        """Which snapshots there are; None without dates."""
        return self.snapshots if self.source.order == "dates" else None


def load(overlay: Path | None = None, base: Path = DEFAULT) -> Params:
    """Read params.yaml, lay an overlay over it, and both over the defaults.

    Parameters
    ----------
    overlay
        A YAML file that states only what differs, or None.
    base
        The file that it is laid over; the project's own unless told.

    Raises
    ------
    ParamsError
        Naming the file, the line, the key, what was found and what was expected.
    """
    files, tree = [base], read_yaml(base)
    if overlay is not None and overlay.resolve() != base.resolve():
        files, tree = [base, overlay], lay_over(tree, read_yaml(overlay))
    try:
        params = Params.model_validate(merge(defaults(), tree))
        source = params.source
        facts = empty_facts(source.attributes, params.features, dated=source.order == "dates")
        check_attributes(params.rules, facts, source.attributes)
        _check_tiers(params.tiers, facts, source.attributes)
    except ValidationError as error:
        raise ParamsError(describe(error, files, Params)) from None
    except ParamsError as error:
        raise ParamsError(f"{files[-1]}: {error}") from None
    _check_numbers(params.model_dump(by_alias=True), (), files)
    return params


def _check_numbers(node: object, key: tuple[str | int, ...], files: list[Path]) -> None:
    """Refuse numbers and days that nothing computes with, wherever a field has no narrower bounds of its own."""
    if isinstance(node, dict | list | tuple):
        for name, value in node.items() if isinstance(node, dict) else enumerate(node):
            _check_numbers(value, (*key, name), files)
        return
    wanted = ""
    if isinstance(node, int | float) and not -MOST <= node <= MOST:  # nor is nan
        wanted = f"a number from -{MOST:g} to {MOST:g}"
    elif isinstance(node, dt.date) and not EARLIEST <= node.year <= LATEST:
        wanted = f"a day from {EARLIEST} to {LATEST}"
    if wanted:
        raise ParamsError(f"{where(key, files)}: {'.'.join(map(str, key))}: expected {wanted} (found {node})")


def defaults() -> Tree:
    """Return what holds where no file says otherwise, so that a mapping in a file adds to its default."""
    found: dict[str, Any] = {name: field.default for name, field in Params.model_fields.items() if name != "source"}
    return {name: section.model_dump(by_alias=True) for name, section in found.items()}


def _check_tiers(tiers: TierParams, facts: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> None:
    """Refuse triggers, exclusions and deal values that ask for what the data do not have, as rules are refused."""
    later = {name: spec for name, spec in attributes.items() if spec.known == "outcome"}
    dtypes = {name: "float64" if spec.kind == "number" else "str" for name, spec in later.items()}
    today = facts.assign(**{name: pd.Series([], dtype=dtype) for name, dtype in dtypes.items()})
    for one in tiers.triggers:
        if isinstance(one.when, AttributeTest):
            check_attribute_test(f"tiers.triggers: {one.name!r}", one.when, facts, attributes)
    for one in tiers.exclusions:  # a lead that is lost today is not called today, and needs no feature for that
        if isinstance(one.when, AttributeTest):
            check_attribute_test(f"tiers.exclusions: {one.name!r}", one.when, today, {})
    if tiers.value.attribute is not None:
        holds_a_number = AttributeTest(attribute=tiers.value.attribute, test="at_least", value=0.0)
        check_attribute_test("tiers.value", holds_a_number, facts, attributes)


def quickened(params: Params) -> Params:
    """Return the parameters of a first look: fewer rows, one fold, no search, no backtest."""
    return Params.model_validate(merge(params.model_dump(by_alias=True), QUICK))


def with_as_of(params: Params, as_of: str) -> Params:
    """Return the parameters with another scoring day or moment; raises ParamsError where it is neither."""
    try:
        moment = read_moment(as_of)
    except ValueError:
        raise ParamsError(
            f"--as-of {as_of!r} is not a date; write it as 2026-11-01, or with a time and its zone as 2026-11-01T10:30Z"
        ) from None
    return params.model_copy(update={"score": params.score.model_copy(update={"as_of": moment})})


def require_day(params: Params) -> None:
    """Refuse a time of day where lists are kept by their days: a second one of a day would replace the first.

    Raises
    ------
    ParamsError
        Where `score.as_of` is no day.
    """
    as_of = params.score.as_of
    if isinstance(as_of, dt.datetime):
        raise ParamsError(
            f"score.as_of is {as_of.isoformat()}, and lists that are kept are of days; give a day, or use "
            "`leadscore score` or `leadscore serve` for a moment"
        )


def reasons_asked(text: str) -> int:
    """Return how many reasons a lead `top-N`, `all` or `none` asks for; raises ParamsError for any other text."""
    words = {"all": sys.maxsize, "none": 0}
    if text in words:
        return words[text]
    number = text.removeprefix("top-")
    if number == text or not number.isdecimal():
        raise ParamsError(f"--reasons {text!r} is not understood; write top-5, all or none")
    return int(number)
