"""What a reason claims is held against the lead's own rows, read anew from the raw tables and never from a feature."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.attributes.definitions import AttributeFeature
from features.matrix.catalogue import catalogue
from features.matrix.matrix import feature_matrix
from features.schema.vocabulary import GROUPS, Vocabulary
from models.scorecard.fitting import ScorecardCondition
from models.scoring.reasons import BY_THEME, Themes, phrase, top_reasons
from pipelines.config.params import load
from pipelines.reporting.scorecard_table import describe
from tests.support.paths import ROOT
from tests.support.tables import DAY, HOUR, MONDAY, SPEC, TICK, Scenario, crowd

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
ENTRIES = SPEC.catalogue
OF_ATTRIBUTES = set(get_args(get_type_hints(AttributeFeature)["measure"]))
Event = dict[str, Any]

# What an independent reader holds a theme's name for.
SCOPES: dict[str, Callable[[Event], bool]] = {
    "site visit": lambda event: event["event_type"] == "visit",
    "call": lambda event: event["event_type"] == "call",
    "other activity": lambda event: event["event_type"] not in ("visit", "call"),
    "activity of any kind": lambda event: True,
    "activity by the lead": lambda event: event["direction"] == "inbound",
    "outreach by sales": lambda event: event["direction"] == "outbound",
    "online activity": lambda event: event["channel"] == "online",
    "offline activity": lambda event: event["channel"] == "offline",
}
WINDOW = r"(?:so far|in the last (?P<days>\d+ days|day))"
TIMES = r"(?P<n>none|once|twice|[\d,]+ times)"


@cache
def scenario() -> Scenario:
    return crowd((MONDAY,), n_leads=80, n_events=500)


@cache
def matrix() -> pd.DataFrame:
    return feature_matrix(scenario().tables, SPEC)


def known_events(lead: str) -> list[Event]:
    rows = [row for row in scenario().events if row["lead_id"] == lead]
    return [row for row in rows if row["event_at"] < MONDAY and row["known_at"] <= MONDAY]


def inside(events: list[Event], days: str | None) -> list[Event]:
    """Those of a window such as "7 days" or "day", or all."""
    if days is None:
        return events
    return [
        event for event in events if event["event_at"] >= MONDAY - float(days.split(" ")[0].replace("day", "1")) * DAY
    ]


def holds(theme: str, claim: str, every: list[Event]) -> bool:
    """Whether a claim about events is true of a lead with these events."""
    mine = [event for event in every if SCOPES[theme](event)]
    ages = sorted((MONDAY - event["event_at"]) / DAY for event in mine)
    for pattern, check in CLAIMS.items():
        if found := re.fullmatch(pattern, claim):
            return check(found.groupdict(), mine, ages, every)
    raise AssertionError(f"nobody can say what {claim!r} claims")


def number(text: str) -> float:
    return float(text.replace(",", ""))


def near(text: str, value: float) -> bool:
    """Three digits of it."""
    return number(text) == pytest.approx(value, rel=0.006, abs=1e-9)


def values_of(events: list[Event]) -> list[float]:
    ordered = sorted(events, key=lambda event: (event["event_at"], event["value"] or 0.0))
    return [event["value"] for event in ordered if event["value"] is not None]


def as_counted(text: str) -> float:
    words = {"none": 0.0, "once": 1.0, "twice": 2.0}
    return words[text] if text in words else number(text.split(" ")[0])


def span(text: str) -> tuple[float, float]:
    """Days that a duration in words may stand for."""
    if text in ("less than an hour", "less than a day"):
        return 0.0, 1 / 24 if "hour" in text else 1.0
    count, unit = text.split(" ")
    day = number(count) / (24 if unit.startswith("hour") else 1)
    slack = 0.51 / 24 if unit.startswith("hour") else 0.51 if day >= 10 else 0.051
    return day - slack, day + slack


def between(text: str, days: float) -> bool:
    low, high = span(text)
    return low - 1e-6 <= days <= high + 1e-6


def days_with(events: list[Event], days: str) -> int:
    first = MONDAY - number(days) * DAY
    return len({event["event_at"].date() for event in events if event["event_at"].normalize() >= first})


def unanswered(mine: list[Event], every: list[Event]) -> int:
    answers = [event["event_at"] for event in every if event["direction"] == "inbound"]
    return sum(not answers or event["event_at"] > max(answers) for event in mine)


def pace(mine: list[Event]) -> float:
    """Events a week in the last seven days, less those in the 23 days before."""
    last, before = len(inside(mine, "7 days")), len(inside(mine, "30 days")) - len(inside(mine, "7 days"))
    return last - before * 7 / 23


Check = Callable[[dict[str, Any], list[Event], list[float], list[Event]], bool]
CLAIMS: dict[str, Check] = {
    rf"{TIMES} {WINDOW}": lambda said, mine, ages, every: len(inside(mine, said["days"])) == as_counted(said["n"]),
    rf"none {WINDOW}, some before": lambda said, mine, ages, every: not inside(mine, said["days"]) and bool(mine),
    "some lately": lambda said, mine, ages, every: bool(mine) and ages[0] < 60,
    "a lot lately": lambda said, mine, ages, every: len(mine) >= 3 and ages[2] < 60,
    "never": lambda said, mine, ages, every: not mine,
    "once at most": lambda said, mine, ages, every: len(mine) <= 1,
    r"last one (?P<age>.+) ago": lambda said, mine, ages, every: bool(ages) and between(said["age"], ages[0]),
    r"(?P<gap>.+) apart on average": lambda said, mine, ages, every: (
        len(ages) > 1 and between(said["gap"], (ages[-1] - ages[0]) / (len(ages) - 1))
    ),
    r"on (?P<n>\d+) of the last (?P<days>\d+) days": lambda said, mine, ages, every: (
        days_with(mine, said["days"]) == number(said["n"])
    ),
    r"on (?P<n>\d+) days? so far": lambda said, mine, ages, every: (
        len({event["event_at"].date() for event in mine}) == number(said["n"])
    ),
    "in the last day": lambda said, mine, ages, every: days_with(mine, "1") > 0,
    "picking up": lambda said, mine, ages, every: pace(mine) > 0,
    "slowing down": lambda said, mine, ages, every: pace(mine) < 0,
    "no change in pace": lambda said, mine, ages, every: abs(pace(mine)) < 0.06,
    "none unanswered": lambda said, mine, ages, every: unanswered(mine, every) == 0,
    "the last one unanswered": lambda said, mine, ages, every: unanswered(mine, every) == 1,
    r"the last (?P<n>\d+) in a row unanswered": lambda said, mine, ages, every: (
        unanswered(mine, every) == number(said["n"]) > 1
    ),
    "value not known": lambda said, mine, ages, every: not values_of(mine),
    rf"no value {WINDOW}": lambda said, mine, ages, every: abs(sum(values_of(inside(mine, said["days"])))) < 1e-9,
    rf"(?:value )?(?P<n>\S+)(?: minutes?)? in total {WINDOW}": lambda said, mine, ages, every: near(
        said["n"], sum(values_of(inside(mine, said["days"])))
    ),
    r"(?:value )?(?P<n>\S+)(?: minutes?)? the last time": lambda said, mine, ages, every: near(
        said["n"], values_of(mine)[-1]
    ),
    r"up to (?:value )?(?P<n>\S+)(?: minutes?)?": lambda said, mine, ages, every: near(said["n"], max(values_of(mine))),
}


@given(st.integers(0, 2**32 - 1))
def test_no_reason_of_a_random_lead_contradicts_its_rows(seed: int) -> None:
    """Points are drawn, so that every feature comes to speak for its theme, in either direction."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(matrix()), 6)
    points = rng.normal(0, 4, (len(rows), len(ENTRIES)))
    features = matrix()[[entry.name for entry in ENTRIES]].to_numpy("float32")[rows]
    entry_of = {entry.name: entry for entry in ENTRIES}
    for row, reasons in zip(rows, top_reasons(points, features, Themes.of(ENTRIES), 99), strict=True):
        lead = scenario().pairs[row][0]
        for reason in reasons:
            if entry_of[reason.feature].measure not in {*BY_THEME, *OF_ATTRIBUTES}:
                continue  # said by its label and its number, which tests of the features hold
            _, sentence = reason.text.split(" ", 1)
            theme, claim = sentence.split(": ", 1)
            if entry_of[reason.feature].theme.startswith("event:"):
                assert holds(theme, claim, known_events(lead)), (lead, reason.text)
            else:
                assert stands(reason.feature, claim, lead), (lead, reason.text)


UNKNOWN = {None: "not known"}
SAID_OF: dict[str, tuple[dict[Any, str], str]] = {  # of each value of the crowd, and of every other
    "sector": (UNKNOWN | {"steel": "steel", "food": "food"}, "new, rare or other"),
    "sector__frequency": (
        UNKNOWN | {name: f"shared by {share}% of leads" for name, share in (("steel", 50), ("food", 30), ("toys", 20))},
        "not seen before",
    ),
    "stage": ({"early": "early", "late": "late"}, "not known"),
    "size": (UNKNOWN | {1.0: "1 employee", 0.3: "0.3 employees", 5000.0: "5,000 employees"}, ""),
    "job__seniority": (UNKNOWN | {"CEO & Founder": "executive", "Head of IT": "director"}, "not named"),
    "job__function": (
        UNKNOWN | {"CEO & Founder": "general management", "Head of IT": "information technology"},
        "not named",
    ),
    "mail__kind": (UNKNOWN | {"Ann@GMAIL.com": "a free provider's", "x@cs.mit.edu": "a school's"}, "a company's own"),
}


def stands(feature: str, claim: str, lead: str) -> bool:
    """Whether a claim about what a lead is holds against its row, and its history where the CRM overwrites."""
    row = next(row for row in scenario().leads if row["lead_id"] == lead)
    edits = [edit for edit in scenario().history if edit["lead_id"] == lead]
    if edits:
        past = [edit for edit in edits if edit["valid_from"] < MONDAY]
        latest = max(past, key=lambda edit: edit["valid_from"]) if past else dict.fromkeys(("size", "job", "stage"))
        row = row | {name: latest[name] for name in ("size", "job", "stage")}
    empty = sum(row[name] is None for name in ("sector", "size", "job", "stage", "mail"))
    truths = {name: words.get(row[name.split("__")[0]], rest) for name, (words, rest) in SAID_OF.items()}
    truths |= {
        "lead_age": "90 days",
        "created_weekday": "Tuesday",
        "created_hour": "0:00 to 0:59",
        "created_month": "December",
        "missing_attributes": str(empty or "none"),
    }
    return claim == truths[feature]


def test_the_leads_of_these_tests_call_for_every_kind_of_claim() -> None:
    features = matrix()[[entry.name for entry in ENTRIES]].to_numpy("float64")
    said = {
        phrase(entry, value).split(": ", 1)[1]
        for place, entry in enumerate(ENTRIES)
        if entry.theme.startswith("event:")
        for value in features[:, place]
    }
    assert [pattern for pattern in CLAIMS if not any(re.fullmatch(pattern, claim) for claim in said)] == []


def test_the_reader_would_find_a_contradiction() -> None:
    visit = {"event_type": "visit", "direction": "inbound", "channel": "online", "value": 5.0}
    events = [visit | {"event_at": MONDAY - age, "known_at": MONDAY - age} for age in (TICK, 6 * HOUR, 20 * DAY)]
    true = [
        "twice in the last 7 days",
        "3 times so far",
        "last one less than an hour ago",
        "picking up",
        "value 15 in total so far",
    ]
    false = [
        "none in the last 7 days",
        "once so far",
        "never",
        "last one 2 days ago",
        "slowing down",
        "none in the last 7 days, some before",
    ]
    assert [holds("site visit", claim, events) for claim in true] == [True] * len(true)
    assert [holds("site visit", claim, events) for claim in false] == [False] * len(false)
    with pytest.raises(AssertionError, match="nobody can say"):
        holds("site visit", "often lately", events)


@pytest.mark.parametrize("path", [None, *EXAMPLES], ids=lambda path: path.stem if path else "simulator")
def test_no_sentence_of_any_example_shows_a_raw_name(path: Path | None) -> None:
    """All that a reason and a line of the scorecard can say about these sources, with levels as a CRM spells them."""
    source, features = load(path).source, load(path).features
    usable = {name: spec for name, spec in source.attributes.items() if spec.known != "outcome"}
    categories = [name for name, spec in usable.items() if spec.kind == "category"]
    types = list(source.event_labels)
    vocabulary = Vocabulary(
        event_types=types,
        valued_types=types,
        channels=dict.fromkeys(types, "online"),
        event_groups=list(GROUPS) if types else [],
        has_other=bool(types),
        levels={name: ["new_york", "A&B", "other"] for name in categories},
        frequencies={name: {"new_york": 0.2} for name in categories},
        dated=source.order == "dates",
    )
    entries = catalogue(source.attributes, source.event_labels, source.event_units, features, vocabulary)
    for entry in entries:
        values = [np.nan, 0.0, 1.0, 2.0, 12.0, 0.3, 0.6, 1e-5, 4e5]
        values = values[:5] if entry.measure == "calendar" else values
        said = [phrase(entry, value) for value in values if entry.unit != "month" or value]
        said += [
            describe(ScorecardCondition(0, "at_least", 3.0), entry),
            describe(ScorecardCondition(0, "missing"), entry),
        ]
        for text in said:
            assert "_" not in text.replace("new_york", ""), text  # a value is said as it is spelt
            assert not re.search(r"\bnan\b|\de[-+]\d|-0\b|  |\b1 \w+s\b|: $", text), text
            assert text[0] == text[0].strip()
