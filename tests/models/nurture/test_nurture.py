"""Leads that are not ready: how long they waited, the day to look again, what wakes and what expires them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.nurture import COLD, LEAST, STEPS, world
from models.nurture.history import BANDS, Waits, cells
from models.nurture.judge import judge_days
from models.nurture.next_events import next_events, windows
from models.nurture.nurture_list import Waiting, empty_list, line_of, nurture_list
from models.nurture.readiness import Readiness
from models.nurture.results import NurtureSummary

DAY = pd.Timedelta(days=1)
FIRST = pd.Timestamp("2026-01-05")


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    return world(3)


@pytest.fixture(scope="module")
def waits(whole: pd.DataFrame) -> Waits:
    return Waits.of(whole, COLD)


@pytest.fixture(scope="module")
def known(waits: Waits) -> Readiness:
    found = Readiness.learn(waits, STEPS)
    assert found is not None
    return found


def lists(tiers: dict[str, list[str]]) -> pd.DataFrame:
    """Lists a week apart; "" where the lead is on none."""
    rows = [
        {"lead_id": lead, "snapshot_at": FIRST + 7 * at * DAY, "tier": tier, "probability": 0.1, "age": 5.0 + 7 * at,
         "quiet": 1.0}
        for lead, named in tiers.items() for at, tier in enumerate(named) if tier
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_lead_waits_until_the_next_list_on_which_it_is_ready() -> None:
    found = Waits.of(
        lists({"A": ["cold", "cold", "hot", "cold"], "B": ["hot", "cold", "", ""], "C": ["excluded"] * 4}), "cold"
    )
    assert found.last == 3
    assert found.rows[["lead_id", "list", "ready_in"]].to_numpy().tolist() == [
        ["A", 0, 2.0], ["A", 1, 1.0], ["A", 3, np.inf], ["B", 1, np.inf],
    ]  # fmt: skip
    earlier = found.until(1)
    assert earlier.rows[["list", "ready_in"]].to_numpy().tolist() == [[0, np.inf], [1, np.inf], [1, np.inf]]


def test_standing_is_the_same_when_all_scores_of_a_list_fall(waits: Waits, whole: pd.DataFrame) -> None:
    assert (cells(whole.assign(probability=whole["probability"] / 3), COLD) == cells(whole, COLD)).all()
    assert waits.rows["cell"].between(0, np.prod(BANDS) - 1).all()


def test_the_chances_of_a_past_are_those_that_came(waits: Waits, known: Readiness) -> None:
    rows = waits.rows[waits.rows["list"] + STEPS <= waits.last]
    for lists_ahead in (1, 3, STEPS):
        said = known.within(rows["cell"].to_numpy(), np.full(len(rows), lists_ahead))
        assert said.mean() == pytest.approx((rows["ready_in"] <= lists_ahead).mean(), rel=0.05)
    assert (np.diff(known.chances, axis=1) >= 0).all()


def test_days_said_of_past_lists_are_judged_by_what_came_later(waits: Waits) -> None:
    judged = judge_days(waits, STEPS, LEAST, 0.9)
    assert judged is not None
    assert judged.lists > 1 and judged.leads <= judged.n
    assert judged.right
    assert judged.said == pytest.approx(judged.come, rel=0.2)
    assert judge_days(waits, waits.last, LEAST, 0.9) is None


def test_a_leads_own_future_tells_nothing_before_it_has_come(whole: pd.DataFrame) -> None:
    cut = 20
    before = whole[whole["snapshot_at"] <= whole["snapshot_at"].min() + 7 * cut * DAY]
    now, then = Waits.of(before, COLD), Waits.of(whole, COLD).until(cut)
    pd.testing.assert_frame_equal(now.rows.reset_index(drop=True), then.rows.reset_index(drop=True))


def test_too_few_leads_that_became_ready_give_no_days() -> None:
    assert Readiness.learn(Waits.of(lists({"A": ["cold", "hot"]}), "cold"), 1) is None


def today(known: Readiness, before: pd.DataFrame, at: int, acted: dict[str, float] | None = None) -> pd.DataFrame:
    """The list of day `at` of five leads: the likeliest four and one that never is; acts by day."""
    order = np.argsort(-known.chances[:, -1], kind="stable")
    rows = pd.DataFrame({"lead_id": list("ABCDE"), "cell": [*order[:4], order[-1]]})
    days = {lead: FIRST + day * DAY for lead, day in (acted or {}).items()}
    rows["acted_at"] = pd.to_datetime(rows["lead_id"].map(days)).astype("datetime64[us]")
    return nurture_list(Waiting(rows, before, FIRST + at * DAY, 7, 60, LEAST), known)


def test_a_lead_keeps_its_day_until_it_has_come(known: Readiness) -> None:
    first = today(known, empty_list(), 0)
    assert set(first["status"]) == {"new"} and "E" not in set(first["lead_id"])
    assert (first["review_on"] > FIRST).all() and (first["expires_on"] == FIRST + 60 * DAY).all()
    second = today(known, first, 1).set_index("lead_id")
    assert set(second["status"]) == {"waiting"}
    assert second["review_on"].equals(first.set_index("lead_id")["review_on"].reindex(second.index))
    due = today(known, first, int((first["review_on"].max() - FIRST).days))
    assert set(due["status"]) == {"due"} and (due["review_on"] > due["as_of"]).all()


def test_an_act_wakes_a_lead_and_brings_an_expired_one_back(known: Readiness) -> None:
    first = today(known, empty_list(), 0, {"A": -3})
    woken = today(known, first, 1, {"A": -3, "B": 0.5}).set_index("lead_id")
    assert woken["status"].to_dict() == {"A": "waiting", "B": "woken", "C": "waiting", "D": "waiting"}
    assert woken.index[0] == "B"
    expired = today(known, first, 60)
    assert set(expired["status"]) == {"expired"} and expired["review_on"].isna().all()
    still = today(known, expired, 67, {"C": 65}).set_index("lead_id")
    assert still["status"].to_dict() == {"A": "expired", "B": "expired", "C": "woken", "D": "expired"}
    assert still.loc["C", "since"] == FIRST + 67 * DAY


def test_what_came_next_is_counted_over_all_lists_that_are_over() -> None:
    tiers = {f"L{n}": ["cold", "cold", "hot" if n < 40 else "cold"] for n in range(100)}
    looked_at = windows(Waits.of(lists(tiers), "cold"), 1)
    counts = {"acted lately": 200, "before not ready": 160, "before ready": 40}
    assert looked_at["of"].value_counts().to_dict() == counts
    kinds = {"of": ["before ready", "acted lately"], "event_type": ["visit", "form"], "channel": ["web", ""]}
    seen = pd.DataFrame(kinds | {"direction": "inbound", "rows": [30, 8]})
    one, two = next_events(looked_at, seen, 0.9)
    assert (one.of, one.n, one.rate) == ("acted lately", 100, 0.04)
    assert (two.of, two.n, two.rate) == ("before ready", 40, 0.75) and two.rate_low < 0.75 < two.rate_high
    assert "visit (web, inbound) 75%" in NurtureSummary(next=[one, two]).lines[-1]


def test_a_line_of_a_lead_says_the_day_and_the_chance(known: Readiness) -> None:
    lead = {str(name): value for name, value in today(known, empty_list(), 0).iloc[0].items()}
    line = line_of(lead, NurtureSummary(until_days=56))
    assert (
        f"look again on {lead['review_on']:%Y-%m-%d}" in line
        and f"{lead['ready_chance']:.0%} are ready by then" in line
    )
    assert "until it acts" in line_of(lead | {"status": "expired"}, NurtureSummary())
