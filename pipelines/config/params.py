"""params.yaml, typed. The only place that knows its keys; every value comes from the file, none from here."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from features.rules.declarations import AttributeTest, RulesParams, check_attribute_test, check_attributes
from features.rules.point_log import empty_facts
from features.schema.declarations import AttributeSpec, FeatureParams, SnapshotParams
from features.schema.errors import ParamsError
from models.evaluation.metrics import EvaluateParams
from models.kpis.tier_kpis import KpiParams
from models.leakage.rows import AuditParams
from models.learners.gradient_boosting import TrainParams
from models.monitoring.input_checks import MonitorParams
from models.points.grades import GradeParams
from models.points.scale import PointsParams
from models.promotion.gate import GateParams
from models.scorecard.fitting import ScorecardParams
from models.splitting.holdout import SplitParams
from models.splitting.walk_forward import BacktestParams
from models.tiers.declarations import TierParams
from models.tiers.exploration import ExplorationParams
from models.tiers.overrides import EXCLUDED
from models.training.hyperparameter_search import SearchParams
from models.training.selection import SelectionParams
from pipelines.config.simulation import Simulate

DEFAULT = Path(__file__).resolve().parents[2] / "params.yaml"
REPLACED_WHOLE = ("source", "rules")


class Section(BaseModel):
    """A frozen section that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Project(Section):
    name: str = Field(min_length=1)
    seed: int = Field(ge=0)
    threads: int = Field(ge=1)
    memory_gb: float = Field(gt=0)

    @property
    def duckdb_memory(self) -> str:
        """What DuckDB may hold: half, because it goes over by a fifth, and Python, Arrow and LightGBM need the rest."""
        return f"{self.memory_gb / 2}GB"


class TableSource(Section):
    """One file or database table and how its columns map to the contract."""

    path: str
    format: Literal["csv", "parquet", "duckdb", "postgres"]
    table: str
    separator: str
    encoding: str
    time_format: str
    where: dict[str, list[str]]
    columns: dict[str, str]
    constants: dict[str, str]
    missing: list[str]


class EventDefaults(Section):
    direction: Literal["inbound", "outbound"]
    channel: Literal["online", "offline"]


class SourceDefaults(Section):
    """What a table, an event table or an attribute means where it does not say otherwise."""

    table: dict[str, Any]
    event: EventDefaults
    event_units: dict[str, str]
    contacts: list[Any]
    attribute: dict[str, Any]


class Defaults(Section):
    """The part of params.yaml that is folded into `source`."""

    source_defaults: SourceDefaults


class Source(Section):
    order: Literal["dates", "rows", "none"]
    timezone: str
    leads: TableSource
    attributes: dict[str, AttributeSpec]
    events: list[TableSource]
    event_defaults: EventDefaults
    event_labels: dict[str, str]
    event_units: dict[str, str]
    outcomes: TableSource
    yes_values: list[str]
    no_values: list[str]
    stages: list[TableSource]
    attribute_history: list[TableSource]
    contacts: list[TableSource]

    @model_validator(mode="after")
    def _order_is_possible(self) -> Source:
        has_dates = "created_at" in self.leads.columns
        if (self.order == "dates") != has_dates:
            raise ValueError(
                f"order is {self.order!r} but leads.columns {'maps' if has_dates else 'does not map'} created_at; "
                "use order: dates with a created_at column, order: rows or none without"
            )
        if self.attribute_history and not has_dates:
            raise ValueError("attribute_history needs order: dates, as an edit counts only before a snapshot's date")
        if self.contacts and not has_dates:
            raise ValueError("contacts need order: dates, because a call follows from the list before it")
        if self.events and not has_dates:
            raise ValueError("events need order: dates, because an event counts only before a snapshot's date")
        return self

    @model_validator(mode="after")
    def _attributes_are_knowable(self) -> Source:
        for name, attribute in self.attributes.items():
            if attribute.known == "export" and self.order == "dates":
                raise ValueError(
                    f"attribute {name!r} is known: export, so with dates its value may come from after the snapshot; "
                    "use creation, history (with attribute_history) or outcome"
                )
            if attribute.known == "history" and not self.attribute_history:
                raise ValueError(f"attribute {name!r} is known: history, but source.attribute_history lists no table")
        return self


class Ingest(Section):
    max_quarantine_share: float = Field(ge=0, le=1)


class Readiness(Section):
    min_rows: int = Field(ge=1)
    min_positive: int = Field(ge=1)
    min_negative: int = Field(ge=1)
    min_periods: int = Field(ge=1)


class Capacity(Section):
    per_period: int = Field(ge=1)


class Explain(Section):
    sample_rows: int = Field(ge=10)
    top_features: int = Field(ge=1)
    top_pairs: int = Field(ge=0)
    timeline: int = Field(ge=0)
    similar_leads: int = Field(ge=10)


class Score(Section):
    as_of: dt.date | Literal["latest"]
    reasons: int = Field(ge=0)


class Job(Section):
    max_silence_days: int = Field(ge=1)
    min_volume_share: float = Field(ge=0, le=1)
    max_unseen_share: float = Field(ge=0, le=1)
    max_score_shift: float = Field(gt=0)
    keep_days: int = Field(ge=2)


class ScoreTables(Section):
    """Where a database keeps scores: every list ever delivered, and a view of the newest."""

    database: str
    schema_name: str = Field(alias="schema", min_length=1)
    history: str = Field(min_length=1)
    current: str = Field(min_length=1)


class Crm(Section):
    """A CRM's HTTP API, and which of its fields get which column of the scores."""

    base_url: str
    token: str
    object: str = Field(min_length=1)
    id_field: str = Field(min_length=1)
    batch: int = Field(ge=1)
    fields: dict[str, str] = Field(min_length=1)
    gone: dict[str, str | float | None]


class HubSpot(Crm):
    batch: int = Field(ge=1, le=100)


class Salesforce(Crm):
    version: str = Field(pattern=r"^v\d+\.0$")
    batch: int = Field(ge=1, le=200)


class Retrain(Section):
    every_days: int = Field(ge=1)
    on_alert: bool
    rest_days: int = Field(ge=0)


class Delivery(Section):
    state: str = Field(min_length=1)
    timeout_s: float = Field(gt=0)
    attempts: int = Field(ge=2)
    first_wait_s: float = Field(ge=0)
    longest_wait_s: float = Field(gt=0)
    postgres: ScoreTables
    duckdb: ScoreTables
    hubspot: HubSpot
    salesforce: Salesforce


class Report(Section):
    top_leads: int = Field(ge=0)


class Track(Section):
    uri: str
    artifacts: str


class SparkParams(Section):
    master: str = Field(min_length=1)
    bucket_events: int = Field(ge=1)
    settings: dict[str, str | int | float | bool]


class Params(Section):
    """All of params.yaml after overlays and source defaults have been applied."""

    project: Project
    simulate: Simulate
    source: Source
    ingest: Ingest
    snapshots: SnapshotParams
    features: FeatureParams
    split: SplitParams
    audit: AuditParams
    readiness: Readiness
    train: TrainParams
    selection: SelectionParams
    search: SearchParams
    backtest: BacktestParams
    scorecard: ScorecardParams
    rules: RulesParams
    points: PointsParams
    grades: GradeParams
    capacity: Capacity
    tiers: TierParams
    exploration: ExplorationParams
    evaluate: EvaluateParams
    kpis: KpiParams
    explain: Explain
    score: Score
    job: Job
    monitor: MonitorParams
    retrain: Retrain
    delivery: Delivery
    report: Report
    promotion: GateParams
    track: Track
    spark: SparkParams

    @model_validator(mode="after")
    def _search_holds_its_start(self) -> Params:
        for name, (low, high) in self.search.bounds.items():
            value = getattr(self.train, name)
            if self.search.trials and not low <= value <= high:
                raise ValueError(f"train.{name} is {value}, outside of search.{name} [{low}, {high}]; widen the bounds")
        return self

    @model_validator(mode="after")
    def _overrides_fit_the_rules(self) -> Params:
        named = [threshold.name for threshold in self.rules.thresholds]
        for one in self.tiers.triggers + self.tiers.exclusions:
            if named and one.tier not in [*named, EXCLUDED]:
                raise ValueError(
                    f"tiers: {one.name!r} gives tier {one.tier!r}, which rules.thresholds do not name; the rules rank "
                    "the leads where there is too little to learn from"
                )
        return self


def load(overlay: Path | None = None, base: Path = DEFAULT) -> Params:
    """Read params.yaml and lay an overlay over it.

    Parameters
    ----------
    overlay
        A YAML file that states only what differs, or None.
    base
        The file with every key; the project's own unless told.

    Raises
    ------
    ParamsError
        Naming the file, the key, what was found and what was expected.
    """
    tree, files = _read_yaml(base), str(base)
    if overlay is not None and overlay.resolve() != base.resolve():
        tree, files = _lay_over(tree, _read_yaml(overlay)), f"{overlay}, laid over {base},"
    try:
        params = Params.model_validate(_apply_source_defaults(tree))
        source = params.source
        facts = empty_facts(source.attributes, params.features, dated=source.order == "dates")
        check_attributes(params.rules, facts, source.attributes)
        _check_tiers(params.tiers, facts, source.attributes)
    except ValidationError as error:
        raise ParamsError(_describe(error, files)) from None
    except ParamsError as error:
        raise ParamsError(f"{files} does not fit:\n  {error}") from None
    return params


def _check_tiers(tiers: TierParams, facts: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> None:
    """Refuse triggers, exclusions and deal values that ask for what the data do not have, as rules are refused."""
    for key, overrides in {"triggers": tiers.triggers, "exclusions": tiers.exclusions}.items():
        for one in overrides:
            if isinstance(one.when, AttributeTest):
                check_attribute_test(f"tiers.{key}: {one.name!r}", one.when, facts, attributes)
    if tiers.value.attribute is not None:
        holds_a_number = AttributeTest(attribute=tiers.value.attribute, test="at_least", value=0.0)
        check_attribute_test("tiers.value", holds_a_number, facts, attributes)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ParamsError(f"no params file at {path}; give one with --params or run inside the project's folder")
    try:
        # YAML 1.2, as DVC writes it: a bare yes is text, 1e-3 a number. A key that stands twice is refused.
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except DuplicateKeyError as error:
        line = path.read_text(encoding="utf-8").splitlines()[error.problem_mark.line].strip()
        raise ParamsError(f"{path} says a key twice, again in line {error.problem_mark.line + 1}: {line}") from None
    except (OSError, YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date such as 2026-02-30
        raise ParamsError(f"{path} is not readable as YAML: {error}") from None
    if not isinstance(tree, dict):
        raise ParamsError(f"{path} holds {type(tree).__name__}; expected sections such as `source:` and `train:`")
    return tree


def _lay_over(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Lay an overlay over the base; what speaks of the source's attributes and events goes when the source does."""
    return _merge(_without_words_of_source(base) if "source" in overlay else base, overlay)


def _without_words_of_source(base: dict[str, Any]) -> dict[str, Any]:
    rules: dict[str, Any] = {key: 0 if key == "start" else [] for key in RulesParams.model_fields}
    left = base | ({"rules": rules} if "rules" in base else {})
    tiers = base.get("tiers")
    if isinstance(tiers, dict):
        value = tiers.get("value")
        own = {"value": value | {"attribute": None}} if isinstance(value, dict) else {}
        left = left | {"tiers": tiers | {"triggers": [], "exclusions": []} | own}
    return left


def _merge(under: dict[str, Any], over: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        old = under.get(key)
        whole = depth == 0 and key in REPLACED_WHOLE
        nested = isinstance(value, dict) and not whole
        merged[key] = _merge(old, value, depth + 1) if isinstance(old, dict) and nested else value
    return merged


def _apply_source_defaults(tree: dict[str, Any]) -> dict[str, Any]:
    """Fold `source_defaults` into each table and attribute of `source`, so that the typed tree is complete."""
    defaults = Defaults.model_validate({"source_defaults": tree.get("source_defaults")}).source_defaults
    rest, source = {key: value for key, value in tree.items() if key != "source_defaults"}, tree.get("source")
    if not isinstance(source, dict):
        return rest
    left_out = {"event_units": defaults.event_units, "contacts": defaults.contacts}
    filled: dict[str, Any] = left_out | source | {"event_defaults": defaults.event}
    for name in ("leads", "outcomes"):
        filled[name] = _over(defaults.table, source.get(name))
    for name in ("events", "stages", "attribute_history", "contacts"):
        if isinstance(source.get(name), list):
            filled[name] = [_over(defaults.table, entry) for entry in source[name]]
    if isinstance(source.get("attributes"), dict):
        filled["attributes"] = {
            name: _over(defaults.attribute | {"column": name}, entry) for name, entry in source["attributes"].items()
        }
    return rest | {"source": filled}


def _over(defaults: dict[str, Any], entry: Any) -> Any:
    """Fill what a mapping leaves out; anything else stays as it is, for the types to refuse."""
    return defaults | entry if isinstance(entry, dict) else entry


def _describe(error: ValidationError, files: str) -> str:
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        found = "nothing" if fault["type"] == "missing" else repr(fault["input"])
        wanted = fault["msg"].removeprefix("Value error, ")
        lines.append(f"  {key}: {wanted}" + ("" if len(found) > 80 else f" (found {found})"))
    return f"{files} does not fit:\n" + "\n".join(lines)


def with_as_of(params: Params, as_of: str) -> Params:
    """Return the parameters with another scoring date; raises ParamsError where it is not a date."""
    try:
        day = dt.date.fromisoformat(as_of)
    except ValueError:
        raise ParamsError(f"--as-of {as_of!r} is not a date; write it as 2026-11-01") from None
    return params.model_copy(update={"score": params.score.model_copy(update={"as_of": day})})


def reasons_asked(text: str) -> int:
    """Return how many reasons a lead `top-N`, `all` or `none` asks for; raises ParamsError for any other text."""
    words = {"all": sys.maxsize, "none": 0}
    if text in words:
        return words[text]
    number = text.removeprefix("top-")
    if number == text or not number.isdecimal():
        raise ParamsError(f"--reasons {text!r} is not understood; write top-5, all or none")
    return int(number)
