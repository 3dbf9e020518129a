"""A history that a score has had a hand in: plain figures are wrong, and those weighted by the contact log right."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from models.evaluation.metrics import Metrics, compute_metrics, evaluate
from models.evaluation.ranked import Ranked
from models.tiers.contact_weights import NEVER_CALLED, Weights, contact_metrics, contact_weights
from pipelines.config.simulation import Feedback
from pipelines.simulation import funnel
from pipelines.simulation.export import simulate
from tests.support.feedback_scenario import NO_LOSS, FedBack, fed_back
from tests.support.tables import DAY, HOUR, MONDAY, PARAMS

EVALUATE = PARAMS.evaluate.model_copy(update={"resamples": 40})
EXPLORATION = PARAMS.exploration
FIGURES = ["base_rate", "log_loss"]


@cache
def scenario() -> FedBack:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(funnel, "LOSS_CADENCE", NO_LOSS)
        return fed_back(seed=3, leads=2500, explored=0.05)


@cache
def weights() -> Weights:
    return contact_weights(scenario().rows, scenario().contacts, 7, EXPLORATION)


@cache
def found() -> dict[str, Metrics]:
    """Figures of all rows as they were worked, of contacts as they stand, and of contacts weighted."""
    rows, said = scenario().rows, scenario().rows["probability"].to_numpy()
    called = (weights().weight > 0).to_numpy()
    both = contact_metrics(rows, said, weights(), 100, EVALUATE, seed=1)
    contacts = evaluate(Ranked.of(rows[called], said[called], 100, 10), EVALUATE, seed=1).flat()
    return {"as worked": both["as_worked"], "contacts": contacts, "weighted": both["if_called"]}


def truth() -> Metrics:
    rows = scenario().rows.assign(label=scenario().if_called)
    ranked = Ranked.of(rows, rows["probability"].to_numpy(), 100, 10)
    return compute_metrics(ranked, ranked.weight, EVALUATE)


def holds(interval: Metrics, name: str) -> bool:
    return interval[f"{name}_low"] <= truth()[name] <= interval[f"{name}_high"]


@pytest.mark.parametrize("name", FIGURES)
def test_plain_figures_miss_the_truth_and_weighted_ones_hold_it(name: str) -> None:
    assert {way: holds(interval, name) for way, interval in found().items()} == {
        "as worked": False,
        "contacts": False,
        "weighted": True,
    }


def test_the_bias_goes_where_theory_says() -> None:
    """Uncalled leads convert less, calls at the top flatter the ranking, and contacts alone are the best leads."""
    as_worked, contacts, right = found()["as worked"], found()["contacts"], truth()
    assert as_worked["base_rate_high"] < right["base_rate"] < contacts["base_rate_low"]
    assert contacts["auc_high"] < right["auc"] < as_worked["auc"]
    assert holds(found()["weighted"], "auc")


def test_the_weights_add_up_to_the_leads_on_the_lists_and_tell_as_much_as_fewer_alike() -> None:
    called = weights().weight > 0
    assert weights().weight.sum() == pytest.approx(len(scenario().rows), rel=0.1)
    assert weights().explored.sum() < weights().effective < called.sum()
    assert set(weights().weight[called]) == {1.0, 20.0}
    assert not weights().clipped.any()


def test_a_row_that_stands_for_many_counts_as_one_in_the_effective_sample() -> None:
    """Thinned rows are weighed back: two rows of weights 1 and 9 tell as much as 10**2 / 82 rows alike, not as two."""
    rows = pd.DataFrame({"lead_id": ["a", "b"], "snapshot_at": MONDAY, "weight": [1.0, 9.0]})
    contacts = rows[["lead_id"]].assign(contacted_at=MONDAY + HOUR, as_of=MONDAY, explored="yes", propensity=0.5)
    assert contact_weights(rows, contacts, 7, EXPLORATION).effective == pytest.approx(100 / 82)
    assert contact_weights(rows.drop(columns="weight"), contacts, 7, EXPLORATION).effective == pytest.approx(2)


def test_clipping_is_counted_and_leans_towards_the_leads_called_anyway() -> None:
    clipped = contact_weights(
        scenario().rows, scenario().contacts, 7, EXPLORATION.model_copy(update={"max_weight": 4.0})
    )
    assert clipped.clipped.equals(clipped.explored)
    assert clipped.effective > weights().effective
    both = contact_metrics(scenario().rows, scenario().rows["probability"].to_numpy(), clipped, 100, EVALUATE, seed=1)
    share = clipped.explored.sum() / (clipped.weight > 0).sum()
    assert both["clipped"] == pytest.approx(share)
    assert both["if_called"]["base_rate"] > found()["weighted"]["base_rate"]  # type: ignore[index]  # a dict of figures


def contacts(*rows: tuple[str, pd.Timedelta, pd.Timestamp | None, str, float]) -> pd.DataFrame:
    names = ["lead_id", "contacted_at", "as_of", "explored", "propensity"]
    made = [(lead, MONDAY + after, as_of, lot, chance) for lead, after, as_of, lot, chance in rows]
    return pd.DataFrame(made, columns=names).astype({"contacted_at": "datetime64[us]", "as_of": "datetime64[us]"})


SNAPSHOTS = pd.DataFrame({"lead_id": ["a", "a", "b"], "snapshot_at": [MONDAY, MONDAY + 7 * DAY, MONDAY]})


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        (("a", 10 * HOUR, None, "no", 1.0), [1, 0, 0]),
        (("a", 7 * DAY - HOUR, None, "no", 1.0), [1, 0, 0]),
        (("a", 7 * DAY, None, "no", 1.0), [0, 1, 0]),
        (("a", 8 * DAY, MONDAY + DAY, "no", 1.0), [1, 0, 0]),  # the list, not the call, decides
        (("b", 10 * HOUR, None, "yes", 0.25), [0, 0, 4]),
        (("b", 8 * DAY, None, "yes", 0.25), [0, 0, 0]),
        (("b", -HOUR, None, "yes", 0.25), [0, 0, 0]),
    ],
)
def test_a_contact_belongs_to_the_list_before_it(
    contact: tuple[str, pd.Timedelta, pd.Timestamp | None, str, float], expected: list[int]
) -> None:
    assert contact_weights(SNAPSHOTS, contacts(contact), 7, EXPLORATION).weight.tolist() == expected


def test_what_sales_chose_itself_has_no_chance_and_no_weight() -> None:
    log = contacts(
        ("a", HOUR, None, "no", 0.02), ("b", HOUR, None, "no", 0.02), ("b", 2 * HOUR, None, "yes", 0.02),
        ("a", 8 * DAY, None, "no", 0.0),
    )  # fmt: skip
    given = contact_weights(SNAPSHOTS, log, 7, EXPLORATION)
    assert given.weight.tolist() == [0.0, 0.0, 50.0]
    assert given.by_sales.tolist() == [True, True, False]
    unknown = log.assign(propensity=np.nan, explored="no")
    assert contact_weights(SNAPSHOTS, unknown, 7, EXPLORATION).weight.sum() == 0


def test_without_a_lot_nothing_is_said_of_leads_that_nobody_called() -> None:
    only = scenario().contacts[scenario().contacts["explored"] == "no"]
    given = contact_weights(scenario().rows, only, 7, EXPLORATION)
    both = contact_metrics(scenario().rows, scenario().rows["probability"].to_numpy(), given, 100, EVALUATE, seed=1)
    assert both["if_called"] is None
    assert both["lines"] == [f"Contact log: {NEVER_CALLED}."]


def test_the_order_of_rows_and_contacts_changes_nothing() -> None:
    rows = scenario().rows.head(3000)
    plain = contact_weights(rows, scenario().contacts, 7, EXPLORATION)
    shuffled = contact_weights(rows.sample(frac=1, random_state=1), scenario().contacts[::-1], 7, EXPLORATION)
    pd.testing.assert_series_equal(shuffled.weight.sort_index(), plain.weight)


def test_a_weight_of_two_is_the_row_twice() -> None:
    rows, said = scenario().rows.head(500), scenario().rows["probability"].to_numpy()[:500]
    twice = np.where(np.arange(500) % 3, 1.0, 2.0)
    weighted = Ranked.of(rows, said, 20, 10, twice)
    copied = np.repeat(np.arange(500), twice.astype(int))
    doubled = Ranked.of(rows.iloc[copied].reset_index(drop=True), said[copied], 20, 10)
    one, other = (compute_metrics(ranked, ranked.weight, EVALUATE) for ranked in (weighted, doubled))
    assert one == pytest.approx(other)


# The simulated funnel


def test_the_default_scenario_hears_of_no_score() -> None:
    small = PARAMS.simulate.model_copy(update={"leads": 300})
    assert small.feedback is None
    assert simulate(small, 1, PARAMS.snapshots).contacts.empty


def test_calls_follow_the_score_and_bring_conversions_forward() -> None:
    asked = {name: Feedback(share_called=0.2, explored=0.1, call_factor=times) for name, times in
             {"idle": 1.0, "calls": 5.0}.items()}  # fmt: skip
    made = {
        name: simulate(PARAMS.simulate.model_copy(update={"leads": 2000, "feedback": one}), 1, PARAMS.snapshots)
        for name, one in asked.items()
    }
    idle, calls = made["idle"], made["calls"]
    assert calls.outcomes["converted_at"].notna().sum() > 1.2 * idle.outcomes["converted_at"].notna().sum()
    drawn = calls.contacts["explored"] == "yes"
    assert (calls.contacts["propensity"] == np.where(drawn, 0.1, 1.0)).all()
    assert calls.contacts["score"][drawn].max() <= calls.contacts["score"][~drawn].min()
    closed = calls.outcomes.set_index("lead_id")[["converted_at", "lost_at"]].min(axis=1)
    assert not (calls.contacts["contacted_at"] >= calls.contacts["lead_id"].map(closed)).any()
    assert calls.contacts["as_of"].dt.day_of_week.eq(0).all()
    pd.testing.assert_frame_equal(calls.leads.drop(columns="crm_rating"), idle.leads.drop(columns="crm_rating"))
