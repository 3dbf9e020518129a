"""What a business declares about its attributes, snapshots and features. Values come from params.yaml."""

from __future__ import annotations

import datetime as dt
import re
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Spec(BaseModel):
    """A frozen declaration that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AttributeSpec(Spec):
    """One attribute of a lead: where it is, what it is, and when it is known."""

    column: str
    kind: Literal["number", "category", "title", "domain"]
    known: Literal["creation", "history", "export", "outcome"]
    group: Literal["fit", "engagement"]
    label: str
    unit: str
    direction: Literal["up", "down", "none"]
    why: str
    missing: list[str]

    @model_validator(mode="after")
    def _says_why(self) -> AttributeSpec:
        if self.known == "outcome" and not self.why:
            raise ValueError("an attribute that is known: outcome says why it is left out, in `why`")
        return self


class SnapshotParams(Spec):
    """The calendar grid of moments, the horizon of the label, and when a label is mature."""

    horizon_days: int = Field(ge=1)
    every_days: int = Field(ge=1)
    anchor: dt.date
    min_age_days: int = Field(ge=0)
    max_age_days: int = Field(ge=1)
    outcome_lag_days: int = Field(ge=0)
    max_rows: int = Field(ge=1)


class TitleLevel(Spec):
    """A level of job titles and the words that show it; the first level of a list whose word occurs wins."""

    level: str = Field(min_length=1)
    words: list[str] = Field(min_length=1)

    @field_validator("words")
    @classmethod
    def _can_occur(cls, words: list[str]) -> list[str]:
        for word in words:
            if not word or word != plain_words(word):
                raise ValueError(f"{word!r} never occurs in a title as it is compared; write {plain_words(word)!r}")
        return words


def plain_words(text: str) -> str:
    """Return a title as it is compared: words of letters and digits in lower case, one space between them."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


class FeatureParams(Spec):
    """Windows, decay and vocabularies of the feature matrix."""

    windows_days: list[int] = Field(min_length=1)
    half_lives_days: list[int]
    trend_days: tuple[int, int]
    max_event_types: int = Field(ge=1)
    min_event_count: int = Field(ge=1)
    max_levels: int = Field(ge=1)
    min_level_count: int = Field(ge=1)
    seniority: list[TitleLevel]
    function: list[TitleLevel]
    free_domains: list[str]
    academic_suffixes: list[str]

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
        if sorted(set(self.windows_days)) != self.windows_days or self.windows_days[0] < 1:
            raise ValueError(f"windows_days must ascend from 1 or more, found {self.windows_days}")
        if not 0 < self.trend_days[0] < self.trend_days[1]:
            raise ValueError(f"trend_days must be a shorter and a longer window, found {list(self.trend_days)}")
        if any(days < 1 for days in self.half_lives_days):
            raise ValueError(f"half_lives_days must be 1 or more, found {self.half_lives_days}")
        return self
