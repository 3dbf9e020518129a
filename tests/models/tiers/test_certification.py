"""Certified rates: the exact bound, each lead counted once, a fixed order of tests, and true as often as they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from scipy.stats import binom

from models.evaluation.intervals import rate_lower_bounds
from models.tiers.assignment import TierContext
from models.tiers.certification import Certificate, certify, entries
from models.tiers.declarations import TierParams
from models.tiers.score_lists import assign_lists, working_ranks
from tests.support.tables import DAY, MONDAY
from tests.support.tier_scenario import SCALE, ladder

RATE, CONFIDENCE, WEEKS, HORIZON = 0.2, 0.9, 6, 12
AVERAGE = 0.12  # of the training rows


def lower_bound(wins: int, n: int, confidence: float) -> float:
    return float(rate_lower_bounds(np.array(wins), n, confidence))


def asking(*asked: dict[str, Any] | None, **changed: Any) -> TierParams:
    """Tiers of one capacity each that ask for certificates."""
    tree = ladder(*[1.0] * (len(asked) - 1), "rest").model_dump()
    tiers = [tier | {"certify": one} for tier, one in zip(tree["ladder"], asked, strict=True)]
    return TierParams.model_validate(tree | {"ladder": tiers} | changed)


def ask(rate: float, steps: int = 1, confidence: float = CONFIDENCE) -> dict[str, Any]:
    return {"rate": rate, "confidence": confidence, "steps": steps}


@given(st.integers(1, 300), st.data())
def test_the_bound_is_where_so_many_wins_become_too_many_for_chance(n: int, data: st.DataObject) -> None:
    wins = data.draw(st.integers(1, n))
    rate = lower_bound(wins, n, 0.9)
    assert binom.sf(wins - 1, n, rate) == pytest.approx(0.1, abs=1e-9)
    assert lower_bound(0, n, 0.9) == 0
    assert rate < wins / n


def one_list(labels: list[int], tiers: list[str], chance: float = 0.5) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Leads of one list, best first, with their tiers and working places."""
    n = len(labels)
    rows = pd.DataFrame(
        {
            "lead_id": [f"lead {number:05d}" for number in range(n)],
            "snapshot_at": MONDAY,
            "label": np.asarray(labels, dtype="float64"),
            "probability": np.full(n, chance),
        }
    )
    return rows, pd.Series(tiers), pd.Series(np.arange(n, dtype="float64"))


def certificates(params: TierParams, *of_list: Any, sampled: float = 1.0) -> list[Certificate]:
    return certify(*of_list, params.ladder, average=AVERAGE, sampled=sampled, horizon_days=30)


def test_a_tier_is_certified_from_the_wins_that_the_bound_asks_for() -> None:
    needed = next(wins for wins in range(101) if binom.sf(wins - 1, 100, 0.2) <= 0.1)
    for wins, expected in ((needed, True), (needed - 1, False)):
        (one,) = certificates(asking(ask(0.2), None), *one_list([1] * wins + [0] * (100 - wins), ["tier 0"] * 100))
        assert one.certified is expected
        assert (one.tests[-1].leads, one.tests[-1].wins, one.tests[-1].share) == (100, wins, 1)
    assert one.sentence == (
        "tier 0 is not certified: of its 100 leads 25 converted within 30 days on lists of 2024-03-04 to 2024-03-04, "
        "which shows 19.4% or more, not 20.0%, 90% confidence."
    )


@pytest.mark.parametrize(("average", "rate"), [(0.026, 0.052), (0.38, 0.76)])
def test_without_a_rate_twice_the_average_is_certified(average: float, rate: float) -> None:
    """10% where 38% convert would be no news, and where 2.6% do nearly nobody could reach it."""
    params, wins = asking({"confidence": 0.9, "steps": 1}, None), round(100 * rate) + 10
    of_list = one_list([1] * wins + [0] * (100 - wins), ["tier 0"] * 100)
    (one,) = certify(*of_list, params.ladder, average=average, sampled=1.0, horizon_days=30)
    assert (one.rate, one.certified) == (pytest.approx(rate), True)
    said = f"converts at {rate:.1%} (2 times the average of {average:.1%} in training) or more within 30 days"
    assert said in one.sentence


def test_a_multiple_of_more_than_all_is_said_to_be_impossible() -> None:
    (one,) = certify(
        *one_list([1] * 100, ["tier 0"] * 100), asking({}, None).ladder, average=0.6, sampled=1.0, horizon_days=None
    )
    assert (one.certified, one.tests) == (False, [])
    assert "120.0% (2 times the average of 60.0% in training) cannot be; set certify.rate" in one.sentence


def test_each_lead_counts_once_by_the_first_list_that_shows_it_there() -> None:
    rows = pd.DataFrame(
        {
            "lead_id": ["a", "a", "a", "b", "b"],
            "snapshot_at": [MONDAY + 14 * DAY, MONDAY, MONDAY + 7 * DAY, MONDAY, MONDAY + 7 * DAY],
            "label": [1.0, 0.0, 1.0, 1.0, 0.0],
        }
    )
    inside = pd.Series([True, False, True, False, True])
    found = entries(rows, inside).set_index("lead_id")
    assert found["snapshot_at"].to_dict() == {"a": MONDAY + 7 * DAY, "b": MONDAY + 7 * DAY}
    many = pd.concat(
        [one_list([1] * 5, ["tier 0"] * 5)[0].assign(snapshot_at=MONDAY + week * DAY) for week in range(50)]
    )
    listed = many.reset_index(drop=True)
    place = pd.Series(np.tile(np.arange(5.0), 50))
    (one,) = certificates(asking(ask(0.9), None), listed, pd.Series(["tier 0"] * 250), place)
    assert (one.tests[0].leads, one.tests[0].wins, one.certified) == (5, 5, False)


def test_a_worse_tier_is_tested_only_after_every_better_one() -> None:
    tiers = ["tier 0"] * 100 + ["tier 1"] * 100
    params = asking(ask(0.5), ask(0.1), None)
    good, bad = [1] * 90 + [0] * 10, [1] * 20 + [0] * 80
    first, second = certificates(params, *one_list(good + good, tiers))
    assert (first.certified, second.certified) == (True, True)
    first, second = certificates(params, *one_list(bad + good, tiers))
    assert (first.certified, second.certified, second.tests) == (False, False, [])
    assert second.sentence == "tier 1 is not certified: not tested, because tier 0 comes first and is not certified."
    only = certificates(asking(None, ask(0.1), None), *one_list(bad + good, tiers))
    assert [one.tier for one in only] == ["tier 1"] and only[0].certified


def test_the_best_part_is_told_where_the_whole_fails() -> None:
    labels = [1] * 80 + [0] * 120
    (one,) = certificates(asking(ask(0.5, steps=5), None), *one_list(labels, ["tier 0"] * 200, 0.9), sampled=0.5)
    assert not one.certified
    assert [(test.share, test.leads_per_list, test.passed) for test in one.tests] == [
        (0.2, 80, True), (0.4, 160, True), (0.6, 240, True), (0.8, 320, False),
    ]  # fmt: skip
    assert one.sentence.endswith("The best 240 a list do convert at 50.0% or more (80 of 120 leads).")


def test_the_tests_begin_where_the_promises_would_pass_and_never_look_at_outcomes_for_it() -> None:
    tiers = ["tier 0"] * 100
    for labels in ([0] * 100, [1] * 100):
        (one,) = certificates(asking(ask(0.5, steps=10), None), *one_list(labels, tiers, chance=0.8))
        assert one.tests[0].share == pytest.approx(0.2)  # 10 leads at 80% would pass too rarely, 20 often enough
    (one,) = certificates(asking(ask(0.5, steps=10), None), *one_list([1] * 100, tiers, chance=0.3))
    assert [test.share for test in one.tests] == [1.0]


def test_an_empty_tier_has_no_guarantee() -> None:
    (one,) = certificates(asking(ask(0.5, steps=3), None), *one_list([1, 1], ["tier 1", "tier 1"]))
    assert (one.certified, one.tests) == (False, [])
    assert one.sentence == "tier 0 is not certified: no lead of the test entered it."
    rows, tiers, place = one_list([1] * 100, ["tier 0"] * 100)
    (undated,) = certify(
        rows.assign(snapshot_at=pd.NaT),
        tiers,
        place,
        asking(ask(0.5), None).ladder,
        average=AVERAGE,
        sampled=1.0,
        horizon_days=None,
    )
    assert undated.sentence == "tier 0 converts at 50.0% or more, 90% confidence (100 of 100 leads)."


@dataclass(frozen=True)
class Truth:
    """A scenario whose probabilities are known: rows of open leads on weekly lists, tiers, and what was certified."""

    rows: pd.DataFrame
    tiers: pd.Series
    certificates: list[Certificate]

    def rate(self, inside: pd.Series) -> float:
        return float(entries(self.rows, inside)["true"].mean())


def scenario(seed: int, level: float, params: TierParams) -> Truth:
    """Leads convert by a weekly chance of their own; a lead stands on many lists, and its labels overlap.

    The model sees the chance with noise that changes from list to list, and is off by a factor.
    """
    rng = np.random.default_rng(seed)
    n = 150
    log_odds = logit(level) + rng.normal(0, 0.8, n)
    weekly = 1 - (1 - expit(log_odds)) ** (1 / HORIZON)
    arrives = rng.integers(-4, WEEKS, n)
    converts = arrives + rng.geometric(weekly)  # in the week that ends then
    noisy = log_odds + rng.normal(0, 0.3, (WEEKS, n)) + rng.normal(0, 0.3)
    frames = [
        pd.DataFrame(
            {
                "lead_id": np.arange(n).astype(str),
                "snapshot_at": MONDAY + week * 7 * DAY,
                "label": (converts <= week + HORIZON).astype("float64"),
                "true": expit(log_odds),
                "probability": expit(noisy[week]),
                "points": SCALE.points(noisy[week]),
            }
        )[(arrives <= week) & (converts > week)]
        for week in range(WEEKS)
    ]
    rows = pd.concat(frames, ignore_index=True)
    tiers = assign_lists(rows, TierContext(params, 15, scale=SCALE))
    place = working_ranks(rows, tiers, params, None)
    return Truth(rows, tiers, certify(rows, tiers, place, params.ladder, average=AVERAGE, sampled=1.0, horizon_days=28))


@pytest.fixture(scope="module")
def scenarios() -> list[Truth]:
    """A hundred scenarios, in most of which the rate asked for is a little too high."""
    params = asking(ask(RATE), ask(RATE / 2), None, margin=5)
    levels = np.random.default_rng(0).uniform(0.06, 0.1, 100)
    return [scenario(seed, level, params) for seed, level in enumerate(levels)]


def test_in_100_worlds_what_is_certified_is_true_as_often_as_it_says(scenarios: list[Truth]) -> None:
    def is_false(one: Truth) -> bool:
        return any(found.certified and one.rate(one.tiers == found.tier) < found.rate for found in one.certificates)

    too_high = [one for one in scenarios if one.rate(one.tiers == "tier 0") < RATE]
    certified = [one for one in scenarios if one.certificates[0].certified]
    assert len(too_high) > 37 and len(certified) > 5, "the test says nothing where nothing is at stake"
    assert np.mean([is_false(one) for one in scenarios]) <= 1 - CONFIDENCE
    assert np.mean([is_false(one) for one in too_high]) <= 1 - CONFIDENCE


def test_in_100_worlds_the_bound_lies_above_the_truth_as_rarely_as_it_says(scenarios: list[Truth]) -> None:
    """The hardest rate to ask for is always the true one. Counting every row of a lead breaks the promise."""
    missed, missed_by_rows = [], []
    for one in scenarios:
        hot = one.tiers == "tier 0"
        missed.append(one.certificates[0].tests[-1].rate_lower_bound > one.rate(hot))
        rows = one.rows[hot]
        missed_by_rows.append(lower_bound(int(rows["label"].sum()), len(rows), CONFIDENCE) > rows["true"].mean())
    assert np.mean(missed) <= 1 - CONFIDENCE
    assert np.mean(missed_by_rows) > 1.5 * (1 - CONFIDENCE)
