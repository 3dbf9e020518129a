"""Figures equal scikit-learn's and brute force, intervals draw whole leads, and thin data give NaN, not trouble."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from models.evaluation.estimate import Estimate
from models.evaluation.metrics import (
    EvaluateParams,
    calibration_curve,
    compare,
    compare_ranking,
    compare_wins,
    compute_metrics,
    evaluate,
    gain_curve,
)
from models.evaluation.ranked import Ranked
from tests.support.tables import MONDAY, PARAMS

SHARES = [0.05, 0.2, 0.5, 1.0]
CHOICE = PARAMS.evaluate.model_copy(update={"resamples": 40, "confidence": 0.9, "top_shares": SHARES})
CAPACITY, BINS = 3, 4


def rows_of(label: Any, lead: Any = None, moment: Any = 0) -> pd.DataFrame:
    """Rows of lead_id, snapshot_at and label; each a lead of its own unless `lead` is given."""
    frame = pd.DataFrame({"label": np.asarray(label, "float64")})
    number = np.arange(len(frame)) if lead is None else np.asarray(lead)
    frame["lead_id"] = pd.Series([f"lead {each:04d}" for each in number], dtype="str")
    frame["snapshot_at"] = MONDAY + pd.to_timedelta(np.broadcast_to(moment, len(frame)), "D")
    return frame


def rank(rows: pd.DataFrame, probability: np.ndarray, capacity: int = CAPACITY, bins: int = BINS) -> Ranked:
    return Ranked.of(rows, np.asarray(probability, "float64"), capacity, bins)


def once(rows: pd.DataFrame, probability: np.ndarray, **sizes: int) -> dict[str, float]:
    return compute_metrics(rank(rows, probability, **sizes), np.ones(len(rows)), CHOICE)


@st.composite
def predictions(draw: st.DrawFn, most: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, few distinct probabilities, and weights of which some are 0."""
    n = draw(st.integers(2, most))
    label = np.array(draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=n, max_size=n)))
    probability = np.array(draw(st.lists(st.sampled_from([0.1, 0.3, 0.35, 0.9]), min_size=n, max_size=n)))
    weight = np.array(draw(st.lists(st.sampled_from([0.0, 1.0, 1.0, 2.0, 0.5]), min_size=n, max_size=n)))
    return label, probability, weight


@given(predictions(), st.booleans())
def test_figures_equal_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, np.ndarray], weighted: bool) -> None:
    label, probability, weight = drawn
    weight = weight if weighted else np.ones(len(label))
    assume(len(set(label[weight > 0])) == 2)
    best_first = np.lexsort((np.arange(len(label)), -probability))
    found = compute_metrics(rank(rows_of(label), probability), weight[best_first], CHOICE)
    assert found["auc"] == pytest.approx(roc_auc_score(label, probability, sample_weight=weight))
    expected = average_precision_score(label, probability, sample_weight=weight)
    assert found["average_precision"] == pytest.approx(expected)
    assert found["log_loss"] == pytest.approx(log_loss(label, probability, sample_weight=weight))
    assert found["brier"] == pytest.approx(brier_score_loss(label, probability, sample_weight=weight))
    assert found["base_rate"] == pytest.approx(np.average(label, weights=weight))
    assert found["mean_probability"] == pytest.approx(np.average(probability, weights=weight))


def caught_by_chance_within_ties(label: np.ndarray, probability: np.ndarray, called: float) -> float:
    """Winners among the first `called` rows, rows of one probability being called in any order."""
    caught = 0.0
    for value in sorted(set(probability), reverse=True):
        tied = label[probability == value]
        taken = min(called, len(tied))
        caught, called = caught + taken * tied.mean(), called - taken
    return caught


@given(predictions())
def test_gain_and_lift_equal_brute_force(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    label, probability, _ = drawn
    assume(label.any())
    found = once(rows_of(label), probability)
    curve = gain_curve(rank(rows_of(label), probability), points=21).set_index("share_called")
    for share in SHARES:
        gain = caught_by_chance_within_ties(label, probability, share * len(label)) / label.sum()
        assert found[f"gain_at_{share * 100:g}"] == pytest.approx(gain)
        assert found[f"lift_at_{share * 100:g}"] == pytest.approx(gain / share)
        assert curve["gain"].loc[share] == pytest.approx(gain)
        assert curve["lift"].loc[share] == pytest.approx(gain / share)


def test_gain_counts_the_best_rows() -> None:
    label, probability = np.array([0, 1, 0, 1, 1, 0, 0, 0, 0, 0]), np.linspace(0.1, 0.9, 10)
    assert once(rows_of(label), probability)["gain_at_50"] == 0
    assert once(rows_of(label), 1 - probability)["gain_at_20"] == pytest.approx(1 / 3)
    assert once(rows_of(label), 1 - probability)["lift_at_50"] == pytest.approx(2)


def test_one_probability_for_all_is_worth_nothing_whatever_the_ids_of_the_winners() -> None:
    for label in ([1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]):
        found = once(rows_of(label), np.full(8, 0.3))
        assert found["auc"] == 0.5
        assert [found[f"lift_at_{share * 100:g}"] for share in SHARES] == pytest.approx([1, 1, 1, 1])
        assert found["calibration_error"] == pytest.approx(0.05)
        assert gain_curve(rank(rows_of(label), np.full(8, 0.3)))["gain"].to_numpy() == pytest.approx(
            np.linspace(0, 1, 101)
        )


@given(predictions(), st.integers(1, 6))
def test_precision_at_capacity_equals_brute_force(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], capacity: int
) -> None:
    label, probability, weight = drawn
    moment = (weight * 2).astype(int)
    rows = rows_of(label, moment=moment).assign(probability=probability)
    called = [
        best_first["label"].head(capacity)
        for _, group in rows.groupby("snapshot_at")
        for best_first in [group.sort_values(["probability", "lead_id"], ascending=[False, True])]
    ]
    found = once(rows.drop(columns="probability"), probability, capacity=capacity)
    assert found["precision_at_k"] == pytest.approx(np.concatenate(called).mean())
    if label.any():
        assert found["capacity_lift"] == pytest.approx(np.concatenate(called).mean() / label.mean())


def test_wins_gained_are_counted_a_list_and_paired_by_lead() -> None:
    """Of two lists of four leads two are called each; the model wins 3, today's rules 1."""
    rows = rows_of([1, 0, 1, 0, 1, 0, 0, 1], lead=[0, 1, 2, 3, 0, 1, 4, 5], moment=[0, 0, 0, 0, 7, 7, 7, 7])
    model = rank(rows, np.array([0.9, 0.1, 0.8, 0.2, 0.9, 0.1, 0.8, 0.2]), capacity=2)
    today = rank(rows, np.array([0.1, 0.9, 0.2, 0.8, 0.1, 0.2, 0.8, 0.9]), capacity=2)
    found = compare_wins(model, today, "rules", 0.5, CHOICE, seed=1)
    assert (found.incumbent, found.lists, found.calls) == ("rules", 2, 4), "the rows are half of the leads"
    assert (found.wins, found.wins_today, found.gained) == (3, 1, 2)
    assert found.gained_low is not None and found.gained_high is not None
    assert found.gained_low <= found.gained <= found.gained_high
    own = compare_wins(model, model, "rules", 1.0, CHOICE, seed=1)
    assert (own.gained, own.gained_low, own.gained_high) == (0, 0, 0), "the same calls, the same resamples"
    assert not own.surely_more and not own.surely_fewer


def test_the_interval_of_wins_gained_holds_as_often_as_it_says() -> None:
    rng, held = np.random.default_rng(3), []
    sure = CHOICE.model_copy(update={"resamples": 100})
    for _ in range(80):
        chance = rng.beta(1, 6, 400)
        rows = rows_of(rng.random(400) < chance)
        better, worse = chance + rng.normal(0, 0.1, 400), chance + rng.normal(0, 0.3, 400)
        found = compare_wins(rank(rows, better, 100), rank(rows, worse, 100), "rules", 1.0, sure, seed=1)
        best, other = np.argsort(-better, kind="stable")[:100], np.argsort(-worse, kind="stable")[:100]
        held.append(found.gained_low <= chance[best].sum() - chance[other].sum() <= found.gained_high)
    assert np.mean(held) > 0.83


def test_capacity_of_rows_without_dates_is_of_them_all() -> None:
    rows = rows_of([1, 0, 1, 0]).assign(snapshot_at=pd.Series(pd.NaT, index=range(4), dtype="datetime64[us]"))
    assert once(rows, np.array([0.9, 0.8, 0.7, 0.6]), capacity=2)["precision_at_k"] == 0.5
    assert once(rows, np.full(4, 0.5), capacity=1)["precision_at_k"] == 1  # ties are broken by lead_id


@given(predictions(), st.lists(st.integers(0, 3), min_size=8, max_size=8))
def test_drawing_leads_equals_repeating_their_rows(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], times: list[int]
) -> None:
    label, probability, _ = drawn
    number = np.arange(len(label))
    rows = rows_of(label, lead=number % 8, moment=number // 8)
    repeats = np.array(times)[number % 8]
    assume(repeats.sum() > 0)
    repeated, chosen = rows.loc[rows.index.repeat(repeats)], probability.repeat(repeats)
    ranked = rank(rows, probability)
    order = rows.assign(probability=probability).sort_values(
        ["probability", "lead_id", "snapshot_at"], ascending=[False, True, True]
    )
    found = compute_metrics(ranked, repeats[order.index].astype("float64"), CHOICE)
    assert found == pytest.approx(once(repeated.reset_index(drop=True), chosen), nan_ok=True)


def test_evaluate_draws_whole_leads() -> None:
    """With two leads, one of winners and one of losers, a resample has one of them or both: three base rates."""
    rows = rows_of([1, 1, 1, 0], lead=[0, 0, 0, 1])
    narrow = CHOICE.model_copy(update={"resamples": 200, "confidence": 0.4})
    wide = CHOICE.model_copy(update={"resamples": 200, "confidence": 0.9})
    probability = np.array([0.9, 0.8, 0.7, 0.6])
    found = evaluate(rank(rows, probability), wide, seed=1)
    assert found.base_rate == Estimate(0.75, 0.0, 1.0, n=4)
    assert found.auc == Estimate(1.0, 1.0, 1.0, n=4)  # over resamples of both classes
    found = evaluate(rank(rows, probability), narrow, seed=1)
    assert (found.base_rate.low, found.base_rate.high) == (0.75, 0.75)
    assert (found.n, found.n_leads, found.n_positive) == (4, 2, 3)


def test_intervals_cover_as_often_as_they_say_and_those_of_rows_would_not() -> None:
    truth, leads, copies, runs = 0.3, 60, 10, 60
    rng = np.random.default_rng(5)
    choice = CHOICE.model_copy(update={"resamples": 30, "top_shares": [0.5]})
    covered = {"leads": 0, "rows": 0}
    for run in range(runs):
        label = (rng.random(leads) < truth).astype("float64").repeat(copies)
        for who, lead in {"leads": np.arange(leads).repeat(copies), "rows": np.arange(leads * copies)}.items():
            found = evaluate(rank(rows_of(label, lead), np.full(len(label), truth)), choice, seed=run)
            covered[who] += found.base_rate.low <= truth <= found.base_rate.high
    assert 0.78 <= covered["leads"] / runs <= 0.99  # 0.9, give or take three standard errors
    assert covered["rows"] / runs < 0.5


@given(predictions(), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], chance: random.Random
) -> None:
    label, probability, _ = drawn
    number = np.arange(len(label))
    rows = rows_of(label, lead=number % 5, moment=number // 5)
    shuffled = [int(each) for each in number]
    chance.shuffle(shuffled)
    one, other = rank(rows, probability), rank(rows.iloc[shuffled], probability[shuffled])
    assert repr(evaluate(one, CHOICE, seed=1)) == repr(evaluate(other, CHOICE, seed=1))
    pd.testing.assert_frame_equal(calibration_curve(one, CHOICE, seed=1), calibration_curve(other, CHOICE, seed=1))
    pd.testing.assert_frame_equal(gain_curve(one), gain_curve(other))


@pytest.mark.parametrize("outcome", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 5])
def test_one_class_or_one_row_gives_nan_where_a_figure_does_not_exist(outcome: float, n: int) -> None:
    ranked = rank(rows_of([outcome] * n), np.linspace(0.2, 0.4, n))
    found = evaluate(ranked, CHOICE, seed=1)
    absent = {name for name, value in found.flat().items() if np.isnan(value)}
    expected = (
        {"auc"}
        if outcome
        else {"auc", "average_precision", "capacity_lift"}
        | {f"{kind}_at_{share * 100:g}" for kind in ("gain", "lift") for share in SHARES}
    )
    assert absent == {name + end for name in expected for end in ("", "_low", "_high")}
    assert found.precision_at_k.value == outcome
    assert len(gain_curve(ranked)) == 101
    curve = calibration_curve(ranked, CHOICE, seed=1)
    assert curve["rate"].tolist() == [outcome] * BINS
    assert curve.notna().all(axis=None)


def test_calibration_error_is_the_gap_of_predicted_and_actual_rate() -> None:
    rng = np.random.default_rng(2)
    probability = rng.uniform(0.1, 0.6, 40_000)
    label = rng.random(len(probability)) < probability
    rows = rows_of(label)
    assert once(rows, probability, bins=10)["calibration_error"] < 0.01
    assert once(rows, probability + 0.2, bins=10)["calibration_error"] == pytest.approx(0.2, abs=0.01)
    halves = np.where(probability > 0.35, probability + 0.1, probability - 0.1)
    assert once(rows, halves, bins=10)["calibration_error"] == pytest.approx(0.1, abs=0.01)
    assert once(rows, halves, bins=1)["calibration_error"] < 0.01


def test_calibration_groups_are_of_equal_size_and_best_first() -> None:
    label = [1, 1, 1, 0, 0, 1, 0, 0]
    probability = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2]
    curve = calibration_curve(rank(rows_of(label), np.array(probability)), CHOICE, seed=1)
    assert curve["n"].tolist() == [2, 2, 2, 2]
    assert curve["probability"].to_numpy() == pytest.approx([0.85, 0.65, 0.45, 0.25])
    assert curve["rate"].to_numpy() == pytest.approx([1, 0.5, 0.5, 0])
    assert (curve["rate_low"] <= curve["rate"]).all()
    assert (curve["rate_high"] >= curve["rate"]).all()
    found = once(rows_of(label), np.array(probability))
    assert found["calibration_error"] == pytest.approx(np.mean([0.15, 0.15, 0.05, 0.25]))


def test_shares_that_cannot_be_called_are_refused() -> None:
    for share in (0, -0.1, 1.5):
        with pytest.raises(ValueError, match="top_shares"):
            EvaluateParams.model_validate(CHOICE.model_dump() | {"top_shares": [share]})


def test_a_paired_comparison_is_the_difference_of_the_log_losses_and_turns_with_its_sides() -> None:
    rng = np.random.default_rng(5)
    rows = pd.DataFrame({"lead_id": [f"lead {n // 3}" for n in range(600)], "label": rng.random(600) < 0.3})
    rows = rows.assign(label=rows["label"].astype("float64"), snapshot_at=pd.Timestamp("2024-03-04"))
    model, rival = np.clip(0.3 + 0.1 * rows["label"], 0, 1).to_numpy(), np.full(600, 0.3)
    found, turned = (compare(rows, *pair, CHOICE, 1) for pair in ((model, rival), (rival, model)))
    ours, theirs = (evaluate(Ranked.of(rows, p, 10, 5), CHOICE, 1).log_loss.value for p in (model, rival))
    assert found.value == pytest.approx(theirs - ours)
    assert 0 < found.low < found.value < found.high
    assert turned.low == pytest.approx(-found.high)


def test_a_comparison_resamples_leads_not_rows() -> None:
    rng = np.random.default_rng(6)
    once = pd.DataFrame({"lead_id": [f"lead {n}" for n in range(100)], "label": (rng.random(100) < 0.4) * 1.0})
    model, rival = rng.uniform(0.1, 0.9, 100), np.full(100, 0.4)
    again = pd.concat([once] * 20, ignore_index=True)
    few = compare(once, model, rival, CHOICE, 2)
    many = compare(again, np.tile(model, 20), np.tile(rival, 20), CHOICE, 2)
    assert many.flat("gap") == pytest.approx(few.flat("gap"))


def ranking_rows(n_leads: int = 200, each: int = 3) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows of leads over three moments, a good prediction and a worse one."""
    rng = np.random.default_rng(7)
    n = n_leads * each
    label = (rng.random(n) < 0.3) * 1.0
    rows = pd.DataFrame({"lead_id": [f"lead {index % n_leads}" for index in range(n)], "label": label})
    rows = rows.assign(snapshot_at=pd.Timestamp("2024-03-04") + pd.to_timedelta(np.arange(n) // n_leads, "D"))
    good = 0.6 * label + rng.random(n)
    return rows, good / 2, (good + rng.normal(0, 0.2, n)) / 4 + 0.2


def test_a_paired_ranking_is_the_difference_of_the_figures_and_turns_with_its_sides() -> None:
    rows, model, rival = ranking_rows()
    ranked = [Ranked.of(rows, probability, 20, 5) for probability in (model, rival)]
    found, turned = compare_ranking(*ranked, CHOICE, 1), compare_ranking(*ranked[::-1], CHOICE, 1)
    ours, theirs = (evaluate(one, CHOICE, 1) for one in ranked)
    assert found.auc.value == pytest.approx(ours.auc.value - theirs.auc.value)
    lift = [one.precision_at_k.value / one.base_rate.value for one in (ours, theirs)]
    assert found.capacity_lift.value == pytest.approx(lift[0] - lift[1])
    for gap, reverse in zip(found, turned, strict=True):
        assert gap.low < gap.value < gap.high
        assert reverse.low == pytest.approx(-gap.high)
    same = compare_ranking(ranked[0], ranked[0], CHOICE, 1)
    assert {end for gap in same for end in (gap.value, gap.low, gap.high)} == {0.0}


def test_one_seed_draws_the_same_leads_for_every_prediction() -> None:
    """The paired range is narrower than that of two independent figures, and the order of the rows is forgotten."""
    rows, model, rival = ranking_rows()
    ranked = [Ranked.of(rows, probability, 20, 5) for probability in (model, rival)]
    found = compare_ranking(*ranked, CHOICE, 1)
    alone = [evaluate(one, CHOICE, 1) for one in ranked]
    widths = [one.auc.high - one.auc.low for one in alone]
    assert found.auc.high - found.auc.low < 0.8 * np.hypot(*widths)
    by_lead = [dict(zip(rows["lead_id"][np.argsort(-p, kind="stable")], one.lead, strict=True)) for p, one in
               zip((model, rival), ranked, strict=True)]  # fmt: skip
    assert by_lead[0] == by_lead[1]
    mixed = rows.sample(frac=1, random_state=3).index
    again = [Ranked.of(rows.loc[mixed].reset_index(drop=True), p[mixed], 20, 5) for p in (model, rival)]
    assert compare_ranking(*again, CHOICE, 1).auc.flat("gap") == pytest.approx(found.auc.flat("gap"))
    assert compare_ranking(*again, CHOICE, 1).capacity_lift.flat("gap") == pytest.approx(
        found.capacity_lift.flat("gap")
    )


def test_a_constant_rival_has_half_the_area_and_no_conversions_no_gap() -> None:
    rows, model, _ = ranking_rows()
    ranked, flat = Ranked.of(rows, model, 20, 5), Ranked.of(rows, np.full(len(rows), 0.3), 20, 5)
    assert compare_ranking(ranked, flat, CHOICE, 1).auc.value == pytest.approx(
        evaluate(ranked, CHOICE, 1).auc.value - 0.5
    )
    none = Ranked.of(rows.assign(label=0.0), model, 20, 5)
    assert not any(gap.exists for gap in compare_ranking(none, none, CHOICE, 1))


def test_intervals_overlap_where_they_touch() -> None:
    one = Estimate(0.65, 0.6, 0.7, n=10)
    assert one.overlaps(Estimate(0.75, 0.7, 0.8, n=10))
    assert not one.overlaps(Estimate(0.75, 0.71, 0.8, n=10))
