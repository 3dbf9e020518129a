"""The sections of params.yaml that no room of `features` or `models` declares."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, field_validator, model_validator

from features.schema.spec import MOST_DAYS, Spec


class Project(Spec):
    """The name of the work, its seed, and the machine."""

    name: str = Field(
        default="lead-scoring", min_length=1, description="Name of the MLflow experiment and of the registered model."
    )
    seed: int = Field(
        default=20260101,
        ge=0,
        le=2_000_000_000,
        description="Every random draw starts here; change it only to see how much chance matters.",
    )
    threads: int = Field(default=2, ge=1, le=512, description="Cores to use; the results are the same for any number.")
    memory_gb: float = Field(
        default=4.0,
        gt=0,
        le=1_000_000,
        description="What a stage may take, at any number of leads; DuckDB holds half of it and spills the rest to "
        "disk.",
    )
    quick: bool = Field(
        default=False,
        description="A first look, as `leadscore run --quick` takes it; the report says so.",
    )


class Ingest(Spec):
    """When bad rows stop the run."""

    max_quarantine_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="More bad rows than this in one table stops the run: the mapping is wrong then.",
    )


class Readiness(Spec):
    """Below any of these there is too little to learn from, and train refuses."""

    min_rows: int = Field(default=400, ge=1, description="Training rows.")
    min_positive: int = Field(default=100, ge=1, description="Of them converted.")
    min_negative: int = Field(default=100, ge=1, description="Of them not converted.")
    min_periods: int = Field(default=8, ge=1, description="Distinct snapshot dates, where there are dates.")


class Capacity(Spec):
    """What sales can work."""

    per_period: int = Field(
        default=200,
        ge=1,
        description="Leads that sales can work in one period: a snapshot interval, or the whole test set without "
        "dates.",
    )


class Explain(Spec):
    """How far explanations go."""

    sample_rows: int = Field(
        default=4000, ge=10, le=1_000_000, description="Rows of the later period behind the global importances."
    )
    top_features: int = Field(default=20, ge=1, le=1000, description="Features shown in dependence plots.")
    top_pairs: int = Field(
        default=6,
        ge=0,
        le=1000,
        description="Pairs of these features that act together most; more make the report longer.",
    )
    timeline: int = Field(default=40, ge=0, le=10_000, description="Events shown of one lead, newest first.")
    similar_leads: int = Field(
        default=200,
        ge=10,
        le=100_000,
        description="Other leads that one lead is compared with; more makes the interval narrower and the likeness "
        "less.",
    )


class Score(Spec):
    """When leads are scored, and how many reasons each gets."""

    as_of: dt.datetime | dt.date | Literal["latest"] = Field(
        default="latest",
        description="The moment to stand at: a day (its beginning, UTC), a time with its zone such as "
        "2026-11-01T10:30+01:00, or latest (the day after the last in the data). Published lists are of days.",
    )
    reasons: int = Field(default=5, ge=0, le=1000, description="Reasons a lead, strongest first.")
    recalibration_rows: int = Field(
        default=20000,
        ge=100,
        le=10_000_000,
        description="Matured snapshots, at most, that the intercept of a day's list is fitted to: all conversions, and "
        "a share of the others.",
    )

    @field_validator("as_of", mode="before")
    @classmethod
    def _read_time(cls, given: object) -> object:
        return read_moment(given) if isinstance(given, str) and given != "latest" else given

    @field_validator("as_of")
    @classmethod
    def _has_zone(cls, as_of: dt.datetime | dt.date | str) -> dt.datetime | dt.date | str:
        if isinstance(as_of, dt.datetime) and as_of.tzinfo is None:
            raise ValueError(f"{as_of.isoformat()} has no zone; write it as {as_of.isoformat()}Z")
        return as_of


def read_moment(text: str) -> dt.datetime | dt.date:
    """Read a day, or a time of day with its zone; raises ValueError for any other text."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return moment.astimezone(dt.UTC)


class Job(Spec):
    """The scheduled run: what stops or flags a list before it is published."""

    max_silence_days: int = Field(
        default=4,
        ge=1,
        le=MOST_DAYS,
        description="The newest event is older on the scoring day: the feed has stopped, and nothing is published; "
        "longer where nothing happens over holidays.",
    )
    min_volume_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Fewer leads or events than this share of the last list's: the feed has shrunk, and nothing is "
        "published; 0 for one run accepts what shrank on purpose.",
    )
    max_unseen_share: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="A flag in manifest.json: in this share of the leads a field has a value the model does not know.",
    )
    max_score_shift: float = Field(
        default=0.25,
        gt=0,
        description="A flag too: population stability index of the scores against the last list; 0.1 is little.",
    )
    keep_days: int = Field(
        default=14,
        ge=2,
        le=MOST_DAYS,
        description="Lists of this many days, the newest, are kept; with at least 2 a day can be repeated exactly.",
    )


class Retrain(Spec):
    """When a challenger is trained; `promotion` says whether it becomes the champion."""

    every_days: int = Field(
        default=28,
        ge=1,
        le=MOST_DAYS,
        description="At the latest this many days after the last one; as often as the walk-forward backtest says it "
        "pays.",
    )
    on_alert: bool = Field(
        default=True,
        description="Also when the monitor has found something since then, unless it is the feed that has stopped.",
    )
    rest_days: int = Field(
        default=7,
        ge=0,
        le=MOST_DAYS,
        description="But not sooner than this many days after the last one, whatever the alert.",
    )
    test_conversions: int = Field(
        default=200,
        ge=1,
        description="A challenger is tested on as few of the latest lists as hold this many conversions, so that it "
        "learns from what is newest; at most on split.test_share.",
    )

    @model_validator(mode="after")
    def _rest_ends_in_time(self) -> Retrain:
        if self.rest_days > self.every_days:
            raise ValueError(f"rest_days {self.rest_days} is longer than every_days {self.every_days}")
        return self


class Report(Spec):
    """The page that people read."""

    top_leads: int = Field(default=30, ge=0, le=10_000, description="Leads shown with their reasons.")


class Track(Spec):
    """Where MLflow keeps runs and models."""

    uri: str = Field(
        default="sqlite:///mlflow.db",
        description="Where MLflow keeps its books; the environment's MLFLOW_TRACKING_URI goes first.",
    )
    artifacts: str = Field(default="mlartifacts", description="Where MLflow keeps files.")
    prune: bool = Field(
        default=True,
        description="After each retraining, delete files of earlier ones that no alias points to; of a former champion "
        "the model stays. false: they are kept until `leadscore model prune`.",
    )


class SparkParams(Spec):
    """`--engine spark`, for more events than one machine can take; needs Java 17 and `make .venv-spark/.installed`."""

    master: str = Field(
        default="local[2]",
        min_length=1,
        description="Who works: cores of this machine, or a cluster, such as spark://host:7077, yarn or "
        "k8s://https://host.",
    )
    bucket_events: int = Field(
        default=2_000_000,
        ge=1,
        description="Events that one task takes at a time, about; fewer where executors have little memory.",
    )
    settings: dict[str, str | int | float | bool] = Field(
        default={"spark.driver.memory": "2g"}, description="Any settings of Spark, such as spark.executor.memory."
    )
