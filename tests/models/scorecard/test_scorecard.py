"""The learned card is short, integer, additive, never against the catalogue, and the same on every machine."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from features.matrix.catalogue import Catalogue, Entry
from features.schema.errors import ModelError
from models.evaluation.results import EvaluationResult
from models.learners.gradient_boosting import TrainingSample
from models.scorecard.fitting import ScorecardCondition, ScorecardParams
from models.scorecard.scorecard import Line, Scorecard
from pipelines.reporting.scorecard_hubspot import hubspot_draft
from pipelines.reporting.scorecard_table import against_model, describe, meaning, table, to_markdown
from pipelines.storage.files import write_csv
from tests.support.results import evaluation, flat_metrics
from tests.support.small_model import ENTRIES, history, matrix

CARD = ScorecardParams(
    max_lines=12, max_points=30, bins=16, max_levels=3, min_rows=20, min_gain=2.0, l2=[1.0, 50.0], left_out=["decayed"]
)
NAMES = [entry.name for entry in ENTRIES]
EVERYTHING = history(matrix(2000)).sample
NOBODY = np.empty((0, len(ENTRIES)), dtype="float32")


@cache
def trained() -> Scorecard:
    return Scorecard.train(EVERYTHING, ENTRIES, CARD, 1.0)


def entry(**changed: Any) -> Entry:
    """A number without a direction, except what a test sets."""
    return ENTRIES[NAMES.index("size")].model_copy(update=changed)


def of_one(value: np.ndarray, log_odds: np.ndarray, seed: int = 0, **changed: Any) -> tuple[Scorecard, np.ndarray]:
    """A card trained on one feature whose outcomes follow these log-odds."""
    features = value.astype("float32")[:, None]
    label = (np.random.default_rng(seed).random(len(value)) < expit(log_odds)).astype("float64")
    return Scorecard.train(TrainingSample(features, label), [entry(**changed)], CARD, 1.0), features


def planted() -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(5).integers(0, 6, (4000, 3)).astype("float32")
    return features, 1.5 * (features[:, 0] >= 4) + 0.75 * (features[:, 1] >= 3) - 1.5


def test_it_finds_the_card_that_made_the_data() -> None:
    features, log_odds = planted()
    label = (np.random.default_rng(6).random(len(log_odds)) < expit(log_odds)).astype("float64")
    strict = CARD.model_copy(update={"min_gain": 8.0})
    card = Scorecard.train(TrainingSample(features, label), [entry(name=name) for name in "abc"], strict, 1.0)
    strong, weak = sorted(card.lines, key=lambda line: -line.points)
    assert strong.condition == ScorecardCondition(0, "at_least", 4.0)
    assert weak.condition in (ScorecardCondition(1, "at_least", 3.0), ScorecardCondition(1, "below", 3.0))
    assert (strong.points, abs(weak.points)) == (30, pytest.approx(15, abs=4))
    assert np.abs(card.log_odds(features) - log_odds).max() < 0.25
    at_least_four = features[:, 0] >= 4
    assert (strong.n, strong.rate) == (at_least_four.sum(), pytest.approx(label[at_least_four].mean()))


def test_points_are_integers_few_and_rank_the_leads() -> None:
    card, total = trained(), trained().points(EVERYTHING.features)
    assert 3 <= len(card.lines) <= CARD.max_lines
    assert total.dtype == np.int64
    assert max(abs(line.points) for line in card.lines) == CARD.max_points
    assert all(line.points for line in card.lines)
    assert roc_auc_score(EVERYTHING.label, total) > 0.8
    third = np.argsort(total, kind="stable").reshape(4, -1)
    rates = EVERYTHING.label[third].mean(axis=1)
    assert rates.tolist() == sorted(rates)


def test_a_full_card_stops() -> None:
    assert len(Scorecard.train(EVERYTHING, ENTRIES, CARD.model_copy(update={"max_lines": 2}), 1.0).lines) == 2


def test_no_line_stands_twice_however_strong_the_penalty() -> None:
    conditions = [line.condition for line in Scorecard.train(EVERYTHING, ENTRIES, CARD, 300.0).lines]
    assert len(conditions) > 2
    assert len(set(conditions)) == len(conditions)


def test_contributions_are_exactly_additive_and_measured_from_the_mean_lead() -> None:
    card, rows = trained(), EVERYTHING.features
    parts = card.contributions(rows)
    assert parts.shape == (len(rows), rows.shape[1] + 1)
    assert parts.sum(axis=1) == pytest.approx(card.log_odds(rows), abs=1e-12)
    assert parts[:, :-1].mean(axis=0) == pytest.approx(0, abs=1e-12)
    assert np.ptp(parts[:, -1]) == 0
    assert card.log_odds(rows) == pytest.approx(card.base + card.slope * card.points(rows), abs=0)


def test_json_brings_back_every_bit() -> None:
    card, rows = trained(), EVERYTHING.features
    again = Scorecard.from_json(json.loads(json.dumps(card.to_json())), card.k)
    assert again == card
    assert again.log_odds(rows).tobytes() == card.log_odds(rows).tobytes()


def test_the_number_of_threads_and_the_layout_change_no_byte() -> None:
    result = []
    for threads, order in ((1, "C"), (2, "F")):
        with threadpool_limits(threads):
            sample = TrainingSample(np.array(EVERYTHING.features, order=order), EVERYTHING.label)  # type: ignore[call-overload]  # order is a literal
            result.append(json.dumps(Scorecard.train(sample, ENTRIES, CARD, 1.0).to_json()))
    assert result[0] == result[1]


def test_a_row_alone_has_the_bits_it_has_among_others() -> None:
    card, rows = trained(), EVERYTHING.features
    together = card.log_odds(rows)
    assert [card.log_odds(rows[number : number + 1])[0] for number in range(30)] == together[:30].tolist()
    assert card.points(NOBODY).shape == (0,)
    assert card.contributions(NOBODY).shape == (0, len(ENTRIES) + 1)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), direction=st.sampled_from(["up", "down"]), slope=st.floats(-2, 2))
def test_points_follow_the_declared_direction_whatever_the_data(seed: int, direction: str, slope: float) -> None:
    rng = np.random.default_rng(seed)
    value = np.where(rng.random(600) < 0.2, np.nan, rng.normal(size=600))
    log_odds = np.nan_to_num(slope * value + 2 * np.cos(3 * value)) - 1
    card, features = of_one(value, log_odds, seed, direction=direction)
    known = features[np.isfinite(features[:, 0])]
    steps = np.diff(card.points(known[np.argsort(known[:, 0])]))
    assert (steps >= 0).all() if direction == "up" else (steps <= 0).all()


def test_without_a_declared_direction_points_rise_and_fall() -> None:
    value = np.random.default_rng(7).normal(size=2000)
    card, features = of_one(value, 3.0 * (np.abs(value) < 0.7) - 2)
    by_value = card.points(features[np.argsort(value)])
    assert by_value[1000] > max(by_value[10], by_value[-10])


def test_missing_is_a_line_of_its_own_where_it_carries_news() -> None:
    rng = np.random.default_rng(4)
    value = np.where(rng.random(1000) < 0.3, np.nan, rng.normal(size=1000))
    card, _ = of_one(value, np.where(np.isnan(value), 2.0, -2.0))
    assert [line.condition for line in card.lines] == [ScorecardCondition(0, "missing")]
    assert card.lines[0].points == CARD.max_points
    assert {line.condition.kind for line in of_one(value, np.full(1000, -1.0))[0].lines} <= {"at_least", "below"}


def test_no_level_is_named_twice_and_few_in_a_line() -> None:
    level = np.random.default_rng(8).integers(0, 9, 6000)
    card, _ = of_one(level, level / 3.0 - 2, levels=[f"level {code}" for code in range(9)], measure="level")
    named = Counter(code for line in card.lines for code in line.condition.levels)
    assert len(card.lines) > 2
    assert set(named.values()) == {1}
    assert max(len(line.condition.levels) for line in card.lines) <= CARD.max_levels


def test_a_level_that_training_did_not_know_earns_nothing() -> None:
    level = np.random.default_rng(8).integers(0, 3, 2000)
    card, _ = of_one(level, 2.0 * (level == 1), levels=["a", "b", "c"], measure="level")
    assert card.points(np.array([[99.0], [-1.0]], dtype="float32")).tolist() == [0, 0]


def test_what_nobody_can_type_is_left_out() -> None:
    only = CARD.model_copy(update={"left_out": sorted({entry.measure for entry in ENTRIES} - {"level"})})
    card = Scorecard.train(EVERYTHING, ENTRIES, only, 1.0)
    assert {ENTRIES[line.feature].measure for line in card.lines} == {"level"}


@pytest.mark.parametrize("share", [0.0, 1.0, 0.3])
def test_nothing_to_learn_gives_a_card_without_lines(share: float) -> None:
    features = np.zeros((500, 2), dtype="float32")
    label = (np.arange(500) < share * 500).astype("float64")
    card = Scorecard.train(TrainingSample(features, label), [entry(), entry(name="b")], CARD, 1.0)
    assert card.lines == []
    assert expit(card.log_odds(features[:1]))[0] == pytest.approx(share, abs=0.002)
    assert card.contributions(features).sum(axis=1) == pytest.approx(card.log_odds(features))
    assert table(card, [entry(), entry(name="b")]).empty


def test_a_card_upside_down_is_refused() -> None:
    with pytest.raises(ModelError, match="more points mean fewer conversions"):
        replace(trained(), slope=-0.1)
    with pytest.raises(ModelError, match="more points"):
        Scorecard.from_json(trained().to_json() | {"slope": 0.0}, trained().k)


def test_cuts_are_numbers_that_people_type_and_hold_at_their_edge() -> None:
    value = np.random.default_rng(3).uniform(0, 40, 3000)
    days = {line.condition.threshold for line in of_one(value, value / 10 - 2, unit="days")[0].lines}
    assert days
    assert all(day.is_integer() for day in days if day >= 2)
    edge = ScorecardCondition(0, "at_least", 0.7)
    assert edge.holds(np.array([[0.7], [0.69]], dtype="float32")).tolist() == [True, False]


def test_the_table_describes_every_line_in_plain_english() -> None:
    shown = table(trained(), ENTRIES)
    assert list(shown) == [
        *("group", "criterion", "points", "feature", "condition", "value", "rows", "conversion_rate")
    ]
    assert shown["points"].is_monotonic_decreasing
    assert shown["criterion"].is_unique
    assert not shown["criterion"].str.contains("__|_").any()
    text = to_markdown(trained(), ENTRIES, ["It loses little.", "Surely."])
    assert len(text.splitlines()) == len(shown) + 8
    assert text.endswith("\n\nIt loses little.\n\nSurely.\n")
    assert "double the odds" in text


@pytest.mark.parametrize(
    ("name", "condition", "expected"),
    [
        ("count__visit__7d", ScorecardCondition(0, "at_least", 3.0), "site visit, 3 or more in the last 7 days"),
        ("count__visit__ever", ScorecardCondition(0, "below", 2.0), "site visit, less than 2 so far"),
        ("active_days__any_inbound__1d", ScorecardCondition(0, "at_least", 1.0), "1 or more days in the last day"),
        ("recency__visit", ScorecardCondition(0, "below", 14.0), "site visit, last one less than 14 days ago"),
        ("recency__visit", ScorecardCondition(0, "missing"), "site visit, never"),
        ("size", ScorecardCondition(0, "at_least", 1500.0), "company size: 1,500 or more employees"),
        ("size", ScorecardCondition(0, "missing"), "company size is not known"),
        ("sector", ScorecardCondition(0, "level", levels=(0, 2)), "line of business is steel or new, rare or other"),
        ("created_month", ScorecardCondition(0, "below", 6.0), "month of creation: before June"),
        ("created_hour", ScorecardCondition(0, "at_least", 9.0), "hour of creation: from 9:00 on"),
        ("unanswered__any_outbound", ScorecardCondition(0, "at_least", 4.0), "in a row without an answer: 4 or more"),
    ],
)
def test_conditions_in_words(name: str, condition: ScorecardCondition, expected: str) -> None:
    assert describe(condition, ENTRIES[NAMES.index(name)]).endswith(expected)


def test_a_bar_in_a_level_does_not_break_the_markdown() -> None:
    entries: Catalogue = [entry(levels=["a|b", "c"], measure="level")]
    card = Scorecard([Line(ScorecardCondition(0, "level", levels=(0,)), 5, 10, 0.5)], 1, 20, -1.0, 0.1)
    assert "a/b" in to_markdown(card, entries, [])
    assert "&lt;img src=x&gt;" in to_markdown(card, [entry(levels=["<img src=x>", "c"], measure="level")], [])
    assert meaning(replace(card, lines=[], slope=0.0)).endswith("no criterion changes that.")


def test_the_draft_for_hubspot_carries_every_line_once() -> None:
    draft = hubspot_draft(trained(), ENTRIES, "learned card")
    body = json.loads(json.dumps(draft["body"]))
    rules = [rule for group in body["groupConfigs"] for rule in group["ruleConfigurations"]]
    worth = [rule["configuration"]["calculation"]["value"] for rule in rules]
    assert sorted(worth) == sorted(line.points for line in trained().lines)
    assert body["maxScore"] == sum(group["maxValue"] for group in body["groupConfigs"])
    filters = [rule["configuration"]["filterBranch"]["filterBranches"][0]["filters"][0] for rule in rules]
    assert {one["property"] for one in filters} == {NAMES[line.feature] for line in trained().lines}
    assert draft["read_first"][0].startswith("This is a draft.")
    assert {part.split(":")[0] for part in draft["adapt"]} > {"groupCategory", "property"}
    assert set(draft["properties"]) == {one["property"] for one in filters}
    said = [line for lines in draft["properties"].values() for line in lines]
    assert sorted(int(line.rsplit(" ", 1)[1]) for line in said) == sorted(line.points for line in trained().lines)


def typed_in(rows: pd.DataFrame, sheet: pd.DataFrame) -> np.ndarray:
    """What a CRM would give, from the exported sheet and the levels' names alone."""
    total = np.zeros(len(rows))
    for line in sheet.to_dict("records"):
        known = dict(zip(NAMES, ENTRIES, strict=True))[str(line["feature"])].levels
        values = rows[line["feature"]]
        match line["condition"]:
            case "is not known":
                holds = values.isna()
            case "is one of":
                named = values.map(lambda code, known=known: (known or [])[int(code)], na_action="ignore")
                holds = named.isin(str(line["value"]).split(" | "))
            case "at least":
                holds = values >= np.float32(line["value"])
            case "less than":
                holds = values < np.float32(line["value"])
        total += holds.to_numpy() * int(line["points"])
    return total


def test_the_sheet_typed_into_a_crm_gives_the_cards_points(tmp_path: Path) -> None:
    sheets = {"trained": trained(), "longer": longer()}
    for name, card in sheets.items():
        write_csv(table(card, ENTRIES), tmp_path / f"{name}.csv")
        sheet = pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False)
        rows = matrix()[NAMES]
        assert typed_in(rows, sheet).tolist() == card.points(rows.to_numpy("float32")).tolist()
    kinds = set(table(longer(), ENTRIES)["condition"])
    assert kinds == {"at least", "less than", "is one of", "is not known"}


@cache
def longer() -> Scorecard:
    """A card with a line of every kind."""
    index = {name: number for number, name in enumerate(NAMES)}
    conditions = [
        ScorecardCondition(index["count__visit__7d"], "at_least", 2.0),
        ScorecardCondition(index["size"], "below", 12.5),
        ScorecardCondition(index["recency__call"], "missing"),
        ScorecardCondition(index["sector"], "level", levels=(0, 2)),
        ScorecardCondition(index["job__seniority"], "level", levels=(1,)),
    ]
    lines = [Line(one, worth, 100, 0.3) for one, worth in zip(conditions, (7, -3, -5, 11, 2), strict=True)]
    return Scorecard(lines, len(NAMES), 600, -1.0, 0.1)


def test_more_points_mean_more_conversions_or_the_card_is_refused() -> None:
    label = EVERYTHING.label
    trained().check_orientation(EVERYTHING)
    assert roc_auc_score(label, trained().points(EVERYTHING.features)) > 0.5
    turned = replace(trained(), lines=[replace(line, points=-line.points) for line in trained().lines])
    with pytest.raises(ModelError, match="no better than chance"):
        turned.check_orientation(EVERYTHING)
    replace(turned, lines=[], slope=0.0).check_orientation(EVERYTHING)
    turned.check_orientation(replace(EVERYTHING, label=np.zeros(len(label))))


def test_training_checks_the_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Scorecard] = []
    monkeypatch.setattr(Scorecard, "check_orientation", lambda card, sample: seen.append(card))
    assert seen == [Scorecard.train(EVERYTHING, ENTRIES, CARD, 1.0)]


def metrics_with(**card: float | None) -> EvaluationResult:
    rest: dict[str, float | None] = {"auc": 0.8, "auc_low": 0.75, "precision_at_k": 0.3, "base_rate": 0.1}
    gaps = {f"{name}{end}": value for name in ("auc_gap", "capacity_lift_gap") for end, value in GAP.items()}
    test = rest | {"auc": 0.81, "precision_at_k": 0.35, "n": 1234.0, "n_positive": 123.0}
    scorecard = flat_metrics(**(rest | gaps | {"log_loss_gap": 0.1} | card))
    return evaluation(test=flat_metrics(**test), baselines={"scorecard": scorecard}, capacity=50)


GAP = {"": 0.0125, "_low": -0.002, "_high": 0.03}


def test_what_is_lost_against_the_model_is_reported_with_its_interval() -> None:
    first, second = against_model(metrics_with())
    assert "1,234 rows of the test, 123 converted" in first
    assert first.endswith("AUC of 0.800 and the model 0.810: 0.013 lost (-0.002 to +0.030).")
    assert "50 convert at 3.00 times the average by the card and 3.50 times by the model: 0.01 lost" in second
    assert "90% intervals" in second
    assert "0.020 gained (-0.002 to +0.030)" in against_model(metrics_with(auc_gap=-0.02))[0]
    assert against_model(metrics_with(auc_low=0.49))[-1].endswith("not significantly better than chance there.")
    assert "cannot be compared" in against_model(metrics_with(auc_gap=None))[0]
