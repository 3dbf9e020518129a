"""What a business declares about its attributes, snapshots and features, with the defaults."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from features.schema.number_format import NumberFormat
from features.schema.spec import MOST_DAYS, Spec
from features.schema.titles import FREE_DOMAINS, FUNCTION, SENIORITY, TitleLevel


class AttributeSpec(Spec):
    """One attribute of a lead: where it is, what it is, and when it is known."""

    column: str = Field(
        default="", description="Name of its column in your file; where it is left out, the attribute's own name."
    )
    kind: Literal["number", "category", "title", "domain"] = Field(
        default="category",
        description="number; category; title: a free-text job title; domain: a mail domain or address.",
    )
    part: Literal["", "weekday", "month", "hour"] = Field(
        default="", description="Of a column of dates: its weekday, month or hour, which then is the category."
    )
    known: Literal["creation", "history", "export", "outcome"] = Field(
        default="creation",
        description=(
            "When the value is known. creation: fixed when the lead was created; history: edits are in "
            "attribute_history; export: as it stood at export, fit for tables without dates; outcome: "
            "written after or because of the outcome, or left out for another reason in `why`; no model reads it."
        ),
    )
    group: Literal["fit", "engagement"] = Field(
        default="fit", description="fit: who the lead is; engagement: what it did."
    )
    label: str = Field(default="", description="Plain English for reports; empty: the column's name.")
    unit: str = Field(default="", description="What one of it is: employees, minutes, EUR.")
    number_format: NumberFormat | None = Field(
        default=None, description="How its numbers are written; left out: as the table's `number_format` says."
    )
    direction: Literal["up", "down", "none"] = Field(
        default="none", description="up: more is better; down: more is worse; none: let the data say."
    )
    why: str = Field(default="", description="For `known: outcome`: why it is left out.")
    missing: list[str] = Field(default=[], description='Further spellings of "not known" for this column alone.')

    @model_validator(mode="after")
    def _has_reason(self) -> AttributeSpec:
        if self.known == "outcome" and not self.why:
            raise ValueError("an attribute that is known: outcome needs the reason it is left out, in `why`")
        if self.part and self.kind != "category":
            raise ValueError(f"part: {self.part} makes a category of a date; leave out kind")
        return self


class MomentParams(Spec):
    """Moments between lists to learn from and to test at, beside the lists: for scores at the moment."""

    ages_hours: list[Annotated[int, Field(ge=0, le=24 * MOST_DAYS)]] = Field(
        default=[0, 1, 24, 168], description="Each lead this many hours after its creation; 0: as it is created."
    )
    after_inbound: bool = Field(
        default=True,
        description="Right after a lead has acted for the 1st, 2nd, 4th, 8th ... time, so that busy leads count little "
        "more than calm ones.",
    )

    @model_validator(mode="after")
    def _ages_ascend(self) -> MomentParams:
        if sorted(set(self.ages_hours)) != self.ages_hours:
            raise ValueError(f"ages_hours must ascend, found {self.ages_hours}")
        if not self.ages_hours and not self.after_inbound:
            raise ValueError("moments names none; leave it out, or give ages_hours or after_inbound")
        return self


class ReviveParams(Spec):
    """What brings a lead that is older than max_age_days back, and for how long."""

    types: list[str] = Field(default=[], description="Event types that do; left out: whatever a lead does (inbound).")
    days: int = Field(default=14, ge=1, le=MOST_DAYS, description="It is at risk again for this many days after that.")


class SnapshotParams(Spec):
    """The calendar grid of moments, the horizon of the label, and when a label is mature."""

    horizon_days: int = Field(
        default=30,
        ge=1,
        le=MOST_DAYS,
        description=(
            "A lead counts as converted if it converts within this many days of a snapshot; long enough for"
            " most sales, short enough to learn from."
        ),
    )
    every_days: int = Field(
        default=7,
        ge=1,
        le=MOST_DAYS,
        description="Days from one snapshot to the next: as often as sales gets a new list.",
    )
    anchor: dt.date = Field(
        default=dt.date(2024, 1, 1),
        description="A day the grid of snapshots passes through; a Monday makes every snapshot a Monday.",
    )
    min_age_days: int = Field(default=1, ge=0, le=MOST_DAYS, description="Younger leads are not scored yet.")
    max_age_days: int = Field(
        default=180,
        ge=1,
        le=MOST_DAYS,
        description="Older leads leave the population at risk: as long as sales would still call them.",
    )
    revive_on: ReviveParams | None = Field(
        default=None,
        exclude_if=lambda revive_on: revive_on is None,
        description="An older lead is at risk again once it acts: in training, on lists, and in the counts of wins "
        "on no list; left out: never.",
    )
    outcome_lag_days: int = Field(
        default=2,
        ge=0,
        le=3650,
        description=(
            "Days that a won deal takes to reach the CRM; a larger number waits longer before a label is "
            "taken as final."
        ),
    )
    moments: MomentParams | None = Field(
        default=None,
        exclude_if=lambda moments: moments is None,
        description=(
            "Moments between lists to learn from as well, for `leadscore serve`; `{}` is the usual choice; left out: "
            "the model learns from lists alone."
        ),
    )
    max_rows: int = Field(
        default=60000,
        ge=1,
        description=(
            "Snapshots that train the tested model: where there are more, all conversions and a share of the others, "
            "which stands for all of them. The model that scores learns from the same shares of later ones, too."
        ),
    )
    max_test_rows: int = Field(
        default=100000,
        ge=1,
        description="Snapshots to test on: where there are more, all those of a seeded share of the leads.",
    )

    @model_validator(mode="after")
    def _ages_leave_leads(self) -> SnapshotParams:
        if self.min_age_days > self.max_age_days:
            raise ValueError(
                f"min_age_days {self.min_age_days} lies above max_age_days {self.max_age_days}, which leaves no lead"
            )
        return self


class FeatureParams(Spec):
    """Windows, decay and vocabularies of the feature matrix."""

    windows_days: list[Annotated[int, Field(ge=1, le=MOST_DAYS)]] = Field(
        default=[1, 7, 30, 90],
        min_length=1,
        max_length=50,
        description='Events of this many days before the snapshot are counted; "ever" is always added.',
    )
    half_lives_days: list[Annotated[int, Field(ge=1, le=MOST_DAYS)]] = Field(
        default=[7, 30],
        max_length=50,
        description="Half-lives of decayed counts: an event counts half after this many days.",
    )
    trend_days: tuple[Annotated[int, Field(ge=1, le=MOST_DAYS)], Annotated[int, Field(ge=1, le=MOST_DAYS)]] = Field(
        default=(7, 30),
        description="A short and a longer window: pace in the short one against pace in the rest of the longer one.",
    )
    max_event_types: int = Field(
        default=20,
        ge=1,
        le=1000,
        description=(
            'The most frequent event types of the training period have features of their own; the rest are "other".'
        ),
    )
    min_event_count: int = Field(
        default=50, ge=1, description='An event type rarer than this in the training period is "other".'
    )
    max_levels: int = Field(
        default=40,
        ge=1,
        le=100_000,
        description=(
            'The most frequent values of a category in the training period are told apart; the rest are "other".'
        ),
    )
    min_level_count: int = Field(default=25, ge=1, description='A value with fewer training leads is "other".')
    max_pairs: int = Field(
        default=3,
        ge=0,
        le=1000,
        description=(
            "Pairs of categories with more than `max_levels` values get features of their own, at most this many: the "
            "pair of values, and how common it is. The forward folds choose whether they are used."
        ),
    )
    seniority: list[TitleLevel] = Field(
        default=SENIORITY,
        description=(
            "Job title to seniority: the first line with a word that occurs wins; a level may have several lines."
        ),
    )
    function: list[TitleLevel] = Field(default=FUNCTION, description="Job title to department, in the same way.")
    free_domains: list[str] = Field(
        default=FREE_DOMAINS, description="Mail domains that anybody can have; any other is a company's or a school's."
    )
    academic_suffixes: list[str] = Field(
        default=["edu", "ac.uk", "ac.in", "ac.jp", "edu.au"],
        description="Mail domains that end so are those of schools.",
    )

    @cached_property
    def free_hosts(self) -> frozenset[str]:
        return frozenset(self.free_domains)

    @cached_property
    def academic_endings(self) -> tuple[str, ...]:
        """The academic suffixes as ends of hosts that begin with a dot."""
        return tuple(f".{suffix}" for suffix in self.academic_suffixes)

    @field_validator("free_domains", "academic_suffixes")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            if not host or host != host.strip(" .@").lower():
                raise ValueError(f"{host!r} never matches; write {host.strip(' .@').lower()!r}")
        return hosts

    @model_validator(mode="after")
    def _windows_ascend(self) -> FeatureParams:
        if sorted(set(self.windows_days)) != self.windows_days:
            raise ValueError(f"windows_days must ascend from 1 or more, found {self.windows_days}")
        if not self.trend_days[0] < self.trend_days[1]:
            raise ValueError(f"trend_days must be a shorter and a longer window, found {list(self.trend_days)}")
        return self
