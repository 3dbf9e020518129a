"""The hand-written rules as a business declares them in params.yaml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from features.schema.declarations import AttributeSpec
from features.schema.errors import ParamsError
from features.schema.spec import MOST_DAYS, Spec

MOST_POINTS = 1_000_000  # of a rule; sums over events stay whole numbers
START = "start"  # name in the log of the points that every lead has before any rule


class Cap(Spec):
    """At most `times` events count in each period of `days` days; a period of 7 days begins on a Monday (UTC)."""

    times: int = Field(ge=1, description="At most this many times.")
    days: int = Field(
        ge=1, le=MOST_DAYS, description="In each period of this many days, the latest of them; 7 begins on a Monday."
    )


class Decay(Spec):
    """How points fade with an event's age: to half after `days` days, linearly to zero, or all at once after them."""

    kind: Literal["half_life", "linear", "expiry"] = Field(
        description=(
            "half_life: half after this many days, a quarter after twice as many; linear: evenly to "
            "nothing; expiry: all at once."
        )
    )
    days: int = Field(ge=1, le=MOST_DAYS, description="This many days.")


class AttributeTest(Spec):
    """A test of a lead: its attribute is one of some texts, is at least or below a number, or is missing."""

    attribute: str = Field(
        description=(
            "One of source.attributes, or what is derived from it: job_title__seniority, "
            "job_title__function, email_domain__kind, lead_age, missing_attributes."
        )
    )
    test: Literal["is", "at_least", "below", "missing"] = Field(
        description="is: one of these texts; at_least or below: a number; missing: not known, and value is then []."
    )
    value: float | list[str] = Field(description="What it is compared with.")

    @model_validator(mode="after")
    def _value_fits_test(self) -> Self:
        texts = isinstance(self.value, list)
        fits = {"is": texts and self.value, "missing": self.value == []}.get(self.test, not texts)
        if not fits:
            wanted = {"is": "a list of texts", "missing": "an empty list"}.get(self.test, "a number")
            raise ValueError(f"test: {self.test} takes {wanted} as its value")
        return self


class AttributeRule(AttributeTest):
    """Points for what a lead is."""

    name: str = Field(min_length=1, description="In plain English, as the point log shows it; each name once.")
    points: int = Field(ge=-MOST_POINTS, le=MOST_POINTS, description="More for better leads, negative for worse ones.")


class EventRule(Spec):
    """Points for each event of some types."""

    name: str = Field(min_length=1, description="In plain English; each name once.")
    types: list[str] = Field(min_length=1, description="Event types as they are in the data.")
    points: int = Field(ge=-MOST_POINTS, le=MOST_POINTS, description="Points for each event.")
    cap: Cap | None = Field(
        default=None, description="At most this many events count in each period; null: every one counts."
    )
    decay: Decay | None = Field(default=None, description="How points fade; null: they stay.")

    @model_validator(mode="after")
    def _types_differ(self) -> EventRule:
        refuse_repeats(self.name, self.types)
        return self


class PatternRule(Spec):
    """Points, once, for `times` events since the last answer, and within `days` days where set.

    An answer takes them back: "four e-mails without a click" is over once a click comes.
    """

    name: str = Field(min_length=1, description="In plain English; each name once.")
    types: list[str] = Field(min_length=1, description="Event types that repeat.")
    answers: list[str] = Field(default=[], description="Event types that end it; []: nothing does.")
    times: int = Field(ge=1, description="This many since the last answer, or ever where none came.")
    days: int | None = Field(
        default=None, ge=1, le=MOST_DAYS, description="And no longer ago than this many days; null: however long ago."
    )
    points: int = Field(ge=-MOST_POINTS, le=MOST_POINTS, description="Points, once.")

    @model_validator(mode="after")
    def _types_differ(self) -> PatternRule:
        refuse_repeats(self.name, self.types + self.answers)
        return self


class Threshold(Spec):
    """A name for the leads with at least `at_least` points."""

    name: str = Field(min_length=1, description="Name of the leads.")
    at_least: float = Field(description="With at least this many points.")


class RulesParams(Spec):
    """The hand-written scorecard; without any rule every lead has `start` points."""

    start: int = Field(default=0, ge=-MOST_POINTS, le=MOST_POINTS, description="Points of every lead before any rule.")
    attributes: list[AttributeRule] = Field(
        default=[],
        description=(
            "Points for what a lead is, as the CRM showed it at the time; `rules: explain` shows each in the log."
        ),
    )
    events: list[EventRule] = Field(default=[], description="Points for each event of some types.")
    patterns: list[PatternRule] = Field(
        default=[], description="Points, once, for what repeats; taken back by an answer."
    )
    thresholds: list[Threshold] = Field(
        default=[], description="Names for leads with at least this many points, from the highest down."
    )

    @property
    def names(self) -> list[str]:
        """The rules' names, in the order of their columns."""
        return [rule.name for rules in (self.attributes, self.events, self.patterns) for rule in rules]

    @model_validator(mode="after")
    def _are_clear(self) -> RulesParams:
        twice = [name for name, n in Counter([*self.names, START]).items() if n > 1]
        if twice:
            raise ValueError(f"two rules are called {twice[0]!r}; the log could not distinguish them")
        limits = [threshold.at_least for threshold in self.thresholds]
        if limits != sorted(set(limits), reverse=True):
            raise ValueError(f"thresholds go from the highest down, found {limits}")
        return self


def refuse_repeats(rule: str, types: list[str]) -> None:
    """Refuse an event type that occurs twice in one rule; raises ValueError."""
    twice = [name for name, n in Counter(types).items() if n > 1]
    if twice:
        raise ValueError(f"event type {twice[0]!r} occurs twice in rule {rule!r}")


def check_attributes(rules: RulesParams, facts: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> None:
    """Refuse rules on attributes that this data set does not have, or that do not hold what the rule compares.

    Parameters
    ----------
    facts
        What rules may test; see `point_log.attribute_facts`.

    Raises
    ------
    ParamsError
        Naming the rule and the attribute.
    """
    for rule in rules.attributes:
        check_attribute_test(f"rules.attributes: rule {rule.name!r}", rule, facts, attributes)


def check_attribute_test(
    who: str, test: AttributeTest, facts: pd.DataFrame, attributes: Mapping[str, AttributeSpec]
) -> None:
    """Refuse one test as `check_attributes` does; `who` names its owner in the error."""
    fault = _fault(test, facts, attributes)
    if fault:
        raise ParamsError(f"{who} tests attribute {test.attribute!r}, {fault}")


def _fault(test: AttributeTest, facts: pd.DataFrame, attributes: Mapping[str, AttributeSpec]) -> str:
    if test.attribute in attributes and attributes[test.attribute].known == "outcome":
        return "which is known only after the outcome; drop the rule"
    if test.attribute not in facts:
        return f"which these data do not have; drop the rule, or choose one of: {', '.join(sorted(map(str, facts)))}"
    number = pd.api.types.is_numeric_dtype(facts[test.attribute])
    if test.test == "is" and number:
        return "which is a number; use test: at_least or below"
    if test.test in ("at_least", "below") and not number:
        return "which is text; use test: is"
    return ""


def unseen_types(rules: RulesParams, event_types: Iterable[str]) -> list[str]:
    """Return the event types of the rules that the data do not hold: not yet seen, or misspelt."""
    named = {name for rule in rules.events for name in rule.types}
    named |= {name for rule in rules.patterns for name in rule.types + rule.answers}
    return sorted(named.difference(event_types))
