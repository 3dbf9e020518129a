"""Reasons add up to the points, and what they say can be read back to the value they speak of."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.attributes.definitions import AttributeFeature
from features.events.definitions import Measure
from features.matrix.catalogue import Entry, catalogue
from models.scoring.reasons import BY_THEME, LEAST_POINTS, Themes, columns_by_theme, phrase, said_by, top_reasons
from tests.support.small_model import ENTRIES, matrix, scorer
from tests.support.tables import SPEC

BY_NAME = {entry.name: entry for entry in ENTRIES}
NUMBERS = [entry for entry in ENTRIES if entry.levels is None]
EVENT_MEASURES = set(get_args(Measure))


def entry_of(kind: str, **changes: object) -> Entry:
    return next(entry for entry in ENTRIES if entry.measure == kind).model_copy(update=changes)


def said(entry: Entry, value: float) -> str:
    """What is said after the label."""
    about = entry.theme_label if entry.measure in BY_THEME else entry.label
    text = phrase(entry, value)
    assert text.startswith(f"{about}: ")
    return text.removeprefix(f"{about}: ")


def test_the_catalogue_of_these_tests_has_every_measure() -> None:
    of_attributes = set(get_args(get_type_hints(AttributeFeature)["measure"]))
    assert {entry.measure for entry in ENTRIES} == EVENT_MEASURES | of_attributes


values = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, 3.0, 0.5, 0.02, 0.9999, 1.04, 2.96, 9.96, 99.96, 1e6, 0.0004]),
    st.floats(0, 5000, width=32),
    st.integers(0, 40).map(float),
)


@given(values)
@pytest.mark.parametrize("entry", NUMBERS, ids=lambda entry: entry.name)
def test_what_is_said_can_be_read_back(entry: Entry, value: float) -> None:
    if entry.measure in ("count", "active_days", "unanswered", "missing", "calendar"):
        value = float(math.ceil(value))
    if entry.measure == "calendar":
        value = value % 12 + 1
    if entry.measure == "trend":
        value -= 20
    low, high = read_back(entry, said(entry, value))
    assert low <= value <= high


def read_back(entry: Entry, text: str) -> tuple[float, float]:
    """The least and the largest value that a sentence allows."""
    days = entry.name.rsplit("__", 1)[-1].removesuffix("d")
    window = {"ever": "so far", "1": "in the last day"}.get(days, f"in the last {days} days")
    words = WORDS.get(entry.measure, {}) | {f"none {window}": (0, 0), f"no value {window}": (0, 0)}
    if text in words:
        return words[text]
    match entry.measure:
        case "count":
            return exactly(inside(text, rf"(\S+) times {window}"))
        case "active_days" if days == "1":
            assert text == window
            return (1, math.inf)
        case "active_days":
            return exactly(inside(text, rf"on (\S+)(?: days?)? (?:so far|of the last {days} days)"))
        case "value_sum":
            return about(inside(text, rf"{AMOUNT} in total {window}"))
        case "value_last":
            return about(inside(text, rf"{AMOUNT} the last time"))
        case "value_max":
            return about(inside(text, rf"up to {AMOUNT}"))
        case "frequency":
            return about(inside(text, r"shared by (\S+)% of leads") / 100)
        case "missing":
            return exactly(number(text))
        case "unanswered":
            return exactly(inside(text, r"the last (\S+) in a row unanswered"))
        case "recency":
            return duration(text.removeprefix("last one ").removesuffix(" ago"))
        case "mean_gap":
            gap = text.removesuffix(" apart on average")
            return (0, 1) if gap == "less than a day" else duration(gap)
        case "age":
            return duration(text)
        case "calendar" if entry.unit == "month":
            return exactly(MONTHS.index(text) + 1)
        case "calendar":
            return exactly(inside(text, r"(\d+):00 to \1:59"))
        case _:
            return about(inside(text, rf"(\S+)(?: {entry.unit[:-1]}s?)?"))


MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]  # fmt: skip
AMOUNT = r"(?:value )?(\S+)(?: minutes?)?"
WORDS: dict[str, dict[str, tuple[float, float]]] = {
    "count": {
        text: (value, value)
        for window in ("so far", "in the last day", "in the last 7 days")
        for text, value in {f"once {window}": 1.0, f"twice {window}": 2.0}.items()
    },
    "decayed": {
        "none in the last 7 days": (0, 0),
        "none in the last 7 days, some before": (math.ulp(0), 0.5),
        "some lately": (0.5, 3),
        "a lot lately": (3, math.inf),
    },
    "trend": {
        "slowing down": (-math.inf, -0.05),
        "no change in pace": (-0.05, 0.05),
        "picking up": (0.05, math.inf),
    },
    "unanswered": {"none unanswered": (0, 0), "the last one unanswered": (1, 1)},
    "missing": {"none": (0, 0)},
    "frequency": {"not seen before": (0, 0)},
}


def number(text: str) -> float:
    return float(text.replace(",", ""))


def inside(text: str, pattern: str) -> float:
    found = re.fullmatch(pattern, text)
    assert found, f"{text!r} is not {pattern!r}"
    return number(found[1])


def exactly(value: float) -> tuple[float, float]:
    return value, value


def about(value: float) -> tuple[float, float]:
    """Three digits of a value, or all of a whole one."""
    return value * (1 - 0.006), value * (1 + 0.006)


def duration(text: str) -> tuple[float, float]:
    if text == "less than an hour":
        return 0, 1 / 24
    count, unit = text.split(" ")
    value = number(count)
    assert unit == ("hour" if value == 1 else "hours") or unit == ("day" if value == 1 else "days")
    step = 0.5 / 24 if unit.startswith("hour") else 0.5 if value >= 10 else 0.05
    value = value / 24 if unit.startswith("hour") else value
    return value - step - 1e-6, value + step + 1e-6


HAPPENED = re.compile(r"\b(once|lately|unanswered|picking up|on 1 |in the last day)|^1\b")
DENIED = re.compile(
    r"(none|no value|0 minutes in total) (so far|in the last (day|7 days))|none unanswered|no change in pace|0(?: \w+)?"
)


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.empty == "0"], ids=lambda entry: entry.name)
def test_nothing_is_never_said_to_have_happened(entry: Entry) -> None:
    for zero in (0.0, -0.0):
        assert DENIED.fullmatch(said(entry, zero))
    assert entry.measure == "value_sum" or HAPPENED.search(said(entry, 1.0))
    assert not DENIED.fullmatch(said(entry, 1.0))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_missing_is_said(entry: Entry) -> None:
    words = {
        "recency": "never",
        "mean_gap": "once at most",
        "value_last": "value not known",
        "value_max": "value not known",
    }
    assert said(entry, math.nan) == words.get(entry.measure, "not known")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("count__visit__7d", 3, "site visit: 3 times in the last 7 days"),
        ("count__visit__7d", 1, "site visit: once in the last 7 days"),
        ("count__visit__1d", 2, "site visit: twice in the last day"),
        ("count__call__ever", 0, "call: none so far"),
        ("count__call__ever", 1200, "call: 1,200 times so far"),
        ("active_days__any_event__7d", 4, "activity of any kind: on 4 of the last 7 days"),
        ("active_days__any_event__ever", 1, "activity of any kind: on 1 day so far"),
        ("recency__call", 0.03, "call: last one less than an hour ago"),
        ("recency__call", 0.5, "call: last one 12 hours ago"),
        ("recency__call", 1, "call: last one 1 day ago"),
        ("recency__call", 1.4, "call: last one 1.4 days ago"),
        ("recency__call", 77.6, "call: last one 78 days ago"),
        ("mean_gap__any_inbound", 2, "activity by the lead: 2 days apart on average"),
        ("mean_gap__any_inbound", 0.4, "activity by the lead: less than a day apart on average"),
        ("decayed__call__7d", 0.75, "call: some lately"),
        ("decayed__call__7d", 0.1, "call: none in the last 7 days, some before"),
        ("trend__any_event__7d", -1.5, "activity of any kind: slowing down"),
        ("unanswered__any_outbound", 1, "outreach by sales: the last one unanswered"),
        ("unanswered__any_outbound", 4, "outreach by sales: the last 4 in a row unanswered"),
        ("value_sum__visit__7d", 51.25, "site visit: value 51.2 in total in the last 7 days"),
        ("size", 1, "company size: 1 employee"),
        ("size", 1035, "company size: 1,035 employees"),
        ("size", 0.25, "company size: 0.25 employees"),
        ("size", 0, "company size: 0 employees"),
        ("job__seniority", 1, "seniority in job title: vice president"),
        ("value_sum__call__7d", 1, "call: 1 minute in total in the last 7 days"),
        ("value_max__call", 51, "call: up to 51 minutes"),
        ("size", 0.0000213, "company size: 0.0000213 employees"),
        ("mail__kind", 1, "kind of mail domain: a free provider's"),
        ("sector__frequency", 0.034, "line of business: shared by 3.4% of leads"),
        ("sector__frequency", 0.0000558, "line of business: shared by 1 in 18,000 leads"),
        ("lead_age", 14.2, "age of the lead: 14 days"),
        ("created_weekday", 0, "weekday of creation: Monday"),
        ("created_month", 12, "month of creation: December"),
        ("created_hour", 9, "hour of creation: 9:00 to 9:59"),
        ("missing_attributes", 2, "fields left empty: 2"),
    ],
)
def test_sentences(name: str, value: float, text: str) -> None:
    assert phrase(BY_NAME[name], value) == text


@pytest.mark.parametrize(
    ("unit", "one", "two"),
    [
        ("minutes", "1 minute", "2 minutes"),
        ("EUR", "1 EUR", "2 EUR"),
        ("", "1", "2"),
        ("access", "1 access", "2 access"),
    ],
)
def test_units_stay_with_their_numbers(unit: str, one: str, two: str) -> None:
    assert [said(entry_of("value", unit=unit), value) for value in (1, 2)] == [one, two]
    assert said(entry_of("value_last", unit=unit), 2) == f"{two} the last time"
    assert said(entry_of("value_sum", unit=unit), 2).startswith(f"{two} in total")


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if entry.levels], ids=lambda entry: entry.name)
def test_levels_are_named(entry: Entry) -> None:
    words = {
        "other": "new, rare or other",
        "company": "a company's own",
        "free": "a free provider's",
        "academic": "a school's",
    }
    own = entry.name == entry.theme  # the data's own values, as they are spelt
    expected = [words.get(level, level if own else level.replace("_", " ")) for level in entry.levels or []]
    assert [said(entry, code) for code in range(len(entry.levels or []))] == expected
    assert {said(entry, code) for code in (-1.0, float(len(entry.levels or [])), 99.0)} == {"not known"}


@pytest.mark.parametrize("label", ["sales agent", "owner", "campaign", "city"])
def test_a_value_without_a_level_is_called_new(label: str) -> None:
    assert phrase(entry_of("level", label=label, levels=["ann", "other"]), 1.0) == f"{label}: new, rare or other"


def test_a_measure_without_words_of_its_own_is_said_by_its_label() -> None:
    share = entry_of("count", measure="share", label="site visit, share at night", unit="")
    assert phrase(share, 0.25) == "site visit, share at night: 0.25"
    assert phrase(share, math.nan) == "site visit, share at night: not known"


def test_labels_come_from_the_params() -> None:
    labels = {"visit": "visited pricing page", "call": "call by sales"}
    entries = catalogue(SPEC.attributes, labels, {}, SPEC.params, SPEC.vocabulary)
    entry = next(entry for entry in entries if entry.name == "count__visit__7d")
    assert phrase(entry, 3) == "visited pricing page: 3 times in the last 7 days"


@st.composite
def leads(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Points and values of a few leads; many points are small, zero, or cancel out."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 4))
    points = rng.normal(0, draw(st.sampled_from([0.01, 0.3, 5.0])), (n, len(ENTRIES)))
    points[rng.random(points.shape) < 0.3] = 0
    features = matrix()[[entry.name for entry in ENTRIES]].sample(n, random_state=rng).to_numpy("float32")
    return points, features


def sums_by_theme(points: np.ndarray) -> dict[str, float]:
    sums: dict[str, float] = {}
    for entry, value in zip(ENTRIES, points, strict=True):
        sums[entry.theme] = sums.get(entry.theme, 0.0) + value
    return sums


@given(leads(), st.integers(1, 40))
def test_reasons_are_the_strongest_themes_with_their_sums(drawn: tuple[np.ndarray, np.ndarray], n: int) -> None:
    points, features = drawn
    for lead, reasons in enumerate(top_reasons(points, features, Themes.of(ENTRIES), n)):
        sums = sums_by_theme(points[lead])
        strong = [theme for theme in sums if abs(sums[theme]) > LEAST_POINTS]
        strong = sorted(strong, key=lambda theme: -abs(sums[theme]))[:n]
        assert [reason.theme for reason in reasons] == strong
        assert [reason.points for reason in reasons] == pytest.approx([sums[theme] for theme in strong])
        left_out = sum(value for theme, value in sums.items() if theme not in strong)
        assert sum(reason.points for reason in reasons) + left_out == pytest.approx(points[lead].sum())


@given(leads())
def test_a_reason_tells_of_its_own_feature_with_the_sign_of_its_points(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    points, features = drawn
    place = {entry.name: column for column, entry in enumerate(ENTRIES)}
    for lead, reasons in enumerate(top_reasons(points, features, Themes.of(ENTRIES), 99)):
        for reason in reasons:
            entry, column = BY_NAME[reason.feature], place[reason.feature]
            value, sign = float(features[lead, column]), math.copysign(1, reason.points)
            assert reason.text == f"{'+' if sign > 0 else '-'}{abs(reason.points):.0f} {phrase(entry, value)}"
            assert "__" not in reason.text
            assert (entry.theme, entry.group) == (reason.theme, reason.group)
            of_theme = columns_by_theme(ENTRIES)[entry.theme]
            strongest = of_theme[int((points[lead, of_theme] * sign).argmax())]
            assert column == said_by(ENTRIES)[strongest]
            assert reason.value == pytest.approx(value, nan_ok=True, abs=0)


@given(leads(), st.integers(0, 40))
def test_all_leads_at_once_are_written_as_one_by_one(drawn: tuple[np.ndarray, np.ndarray], n: int) -> None:
    points, features = drawn
    features[0, 0] = np.inf
    reasons = top_reasons(points, features, Themes.of(ENTRIES), n)
    for lead, (text, line) in enumerate(zip(reasons.in_json(), reasons.in_words(), strict=True)):
        trees = [asdict(reason) for reason in reasons[lead]]
        for tree in trees:
            known = not math.isnan(tree["value"])
            tree["points"] = float(np.round(tree["points"], 4))
            tree["value"] = float(np.round(tree["value"], 6)) if known else None
        assert text == json.dumps(trees, ensure_ascii=False)
        signed = (tree["text"].split(" ", 1) for tree in trees)
        assert line == "; ".join(f"{said} ({points})" for points, said in signed)


def test_labels_are_escaped_in_json_and_nowhere_else() -> None:
    label = 'said "yes" \\ \n twice, é'
    entries = [entry.model_copy(update={"label": label, "theme_label": label}) for entry in ENTRIES]
    points = np.where(np.arange(len(ENTRIES)) == 0, 3.0, 0.0)[None]
    reasons = top_reasons(points, np.ones_like(points), Themes.of(entries), 5)
    (found,) = json.loads(reasons.in_json()[0])
    points_of, said = found["text"].split(" ", 1)
    assert f"{said} ({points_of})" == reasons.in_words()[0]
    assert label in found["text"]


def test_half_a_point_is_no_reason() -> None:
    points, features = np.zeros((2, len(ENTRIES))), np.zeros((2, len(ENTRIES)))
    points[:, 0] = [0.5, -0.51]
    reasons = top_reasons(points, features, Themes.of(ENTRIES), 5)
    assert [[reason.text[:3] for reason in lead] for lead in reasons] == [[], ["-1 "]]
    assert reasons.in_words()[0] == ""


def test_no_reasons_and_no_leads() -> None:
    features = np.zeros((3, len(ENTRIES)))
    assert top_reasons(np.ones_like(features), features, Themes.of(ENTRIES), 0).in_json() == ["[]"] * 3
    assert top_reasons(np.ones_like(features)[:0], features[:0], Themes.of(ENTRIES), 5).in_json() == []


def test_every_reason_of_a_scored_list_reads_well() -> None:
    for text in scorer().score(matrix(), reasons=9)["reasons_text"]:
        for reason in text.split("; "):
            assert re.fullmatch(r"[^_:]+(: [^_:]+){1,2}(:\d\d to \d+:59)? \([+-]\d+\)", reason)
            assert not re.search(r"(?<![.,])\b1 \w+s\b|\bnan\b|-0\b|  ", reason.rsplit(" ", 1)[0])


def test_a_decayed_count_is_said_by_the_count_of_a_window_that_holds_most_of_it() -> None:
    names = [entry.name for entry in ENTRIES]
    said = {name: names[column] for name, column in zip(names, said_by(ENTRIES), strict=True)}
    assert said["decayed__call__7d"] == "count__call__7d"
    assert all(name == of for name, of in said.items() if BY_NAME[name].measure != "decayed")
    points, features = np.zeros((1, len(ENTRIES))), np.zeros((1, len(ENTRIES)), "float32")
    points[0, names.index("decayed__call__7d")] = 20
    features[0, [names.index("decayed__call__7d"), names.index("count__call__7d")]] = 4.2, 12
    assert top_reasons(points, features, Themes.of(ENTRIES), 1)[0][0].text == "+20 call: 12 times in the last 7 days"
