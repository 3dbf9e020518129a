"""Learning refuses what is too little, sees the training part alone, and gives the same bytes again."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from features.cohort.moments import LIST
from features.schema.errors import DataError
from models.learners.calibration import fit_intercept, recency
from models.learners.gradient_boosting import TrainParams
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Order
from models.training.selection import SelectionParams
from models.training.training import (
    Chosen,
    Learned,
    TrainingSetup,
    check_ready,
    chosen,
    history_of,
    learn,
    learn_with,
)
from tests.support.small_model import CARD, ENTRIES, NAMES, SELECTION, TRAIN, WEEKS, history, matrix, no_search
from tests.support.tables import TICK

SETUP = TrainingSetup(ENTRIES, "dates", SELECTION, TRAIN, CARD, seed=4, threads=2)
ORDERS: list[Order] = ["dates", "rows", "none"]


def learned(
    rows: pd.DataFrame | None = None,
    order: Order = "dates",
    params: TrainParams = TRAIN,
    selection: SelectionParams = SELECTION,
    seed: int = 4,
    threads: int = 2,
) -> Learned:
    rows = matrix() if rows is None else rows
    setup = TrainingSetup(ENTRIES, order, selection, params, CARD, seed, threads)
    return learn(rows, setup, no_search, lambda line: None)


@cache
def plain(order: Order = "dates") -> Learned:
    return learned(order=order)


def training(rows: pd.DataFrame | None = None) -> pd.DataFrame:
    rows = matrix() if rows is None else rows
    return rows[rows["part"] == "train"]


def as_text(result: Learned) -> str:
    models = result.models
    parts = [
        models.linear.to_json(),
        models.target_encoding.to_json(),
        result.scorecard.to_json(),
        repr(result.settings),
        result.sigmoid.model_dump(),
        result.uncorrected.model_dump(),
        result.scorecard_l2,
        [decision.model_dump() for decision in result.decisions],
    ]
    return "".join(models.boosters.to_text()) + json.dumps(parts)


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_rows_give_the_same_bytes_on_any_threads_and_in_any_order(order: Order) -> None:
    shuffled = matrix().sample(frac=1, random_state=2)
    assert as_text(plain(order)) == as_text(learned(shuffled, order, threads=1))
    assert as_text(plain(order)) != as_text(learned(order=order, seed=5))


def scrambled(inside: pd.Series[bool]) -> pd.DataFrame:
    """The matrix with labels turned and features shuffled in some rows."""
    rows = matrix().copy()
    rows.loc[inside, "label"] = 1 - rows.loc[inside, "label"]
    rows.loc[inside, NAMES] = rows.loc[inside, NAMES].sample(frac=1, random_state=1).to_numpy() + 1
    return rows


@pytest.mark.parametrize("order", ORDERS)
def test_the_test_and_the_embargo_are_not_trained_on(order: Order) -> None:
    assert set(matrix()["part"]) == {"train", "embargo", "test"}
    assert as_text(learned(scrambled(matrix()["part"] != "train"), order)) == as_text(plain(order))
    assert as_text(learned(training(), order)) == as_text(plain(order))


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_every_row_of_training_is_used(share: float) -> None:
    row = training().index[int(share * len(training()))]
    assert as_text(learned(scrambled(pd.Series(matrix().index == row)))) != as_text(plain())


@pytest.mark.parametrize("order", ORDERS)
def test_final_models_know_all_of_training(order: Order) -> None:
    result = plain(order)
    assert as_text(retrained(result, order)) == as_text(replace(result, decisions=[]))
    rows = history(training(), order)
    assert result.scorecard == Scorecard.train(rows.sample, ENTRIES, CARD, result.scorecard_l2)
    assert result.settings.train.boosters == len(result.models.boosters.models) == TRAIN.boosters


def retrained(result: Learned, order: Order = "dates") -> Learned:
    """Train on all of training with what was chosen."""
    return learn_with(training(), replace(SETUP, order=order, threads=1), result.settings, result.scorecard_l2)


def test_choices_move_to_another_catalogue_by_name() -> None:
    result = replace(plain(), settings=replace(plain().settings, left_out=frozenset({0, 2, 5})))
    stored = Chosen.model_validate_json(chosen(result, ENTRIES).model_dump_json())
    other = [entry for entry in ENTRIES[::-1] if entry.name != ENTRIES[2].name]
    left_out = {other[index].name for index in stored.for_catalogue(other).left_out}
    assert left_out == {ENTRIES[0].name, ENTRIES[5].name}
    assert stored.for_catalogue(ENTRIES) == result.settings
    assert stored.scorecard_l2 == result.scorecard_l2


def test_the_folds_choose_on_a_share_of_the_rows_and_all_rows_train() -> None:
    few = SELECTION.model_copy(update={"folds": SELECTION.folds.model_copy(update={"max_rows": 230})})
    result = learned(selection=few)
    assert result.decisions != plain().decisions
    assert as_text(retrained(result)) == as_text(replace(result, decisions=[]))


def test_a_row_that_stands_for_three_is_the_row_three_times() -> None:
    rows = training()
    heavy = rows.assign(weight=np.where(np.arange(len(rows)) % 4 == 0, 3.0, 1.0))
    repeated = rows.loc[rows.index.repeat(heavy["weight"].astype(int))]
    settings = replace(plain().settings, linear_share=1.0)
    once, often = (learn_with(one, SETUP, settings, 1.0) for one in (heavy, repeated))
    values = rows[NAMES].to_numpy("float32")
    np.testing.assert_allclose(once.models.linear.log_odds(values), often.models.linear.log_odds(values), atol=1e-5)
    assert once.scorecard.rows == often.scorecard.rows
    assert once.uncorrected.intercept == pytest.approx(often.uncorrected.intercept, abs=1e-5)


def test_a_row_without_weight_teaches_nothing() -> None:
    rows = matrix().copy()
    inside = rows.index % 5 == 0
    rows.loc[inside, "weight"] = 0.0
    assert as_text(learned(rows)) == as_text(learned(rows[~inside]))


def test_what_it_learns_predicts_later_leads() -> None:
    rows = matrix(n=2400, seed=3)
    result, later = learned(rows), history(rows[rows["part"] == "test"]).sample
    probability = expit(result.models.log_odds(later.features, result.settings) + result.sigmoid.intercept)
    base = training(rows)["label"].mean()
    assert log_loss(later.label, probability) < log_loss(later.label, np.full(len(later.label), base)) - 0.1
    assert probability.mean() == pytest.approx(later.label.mean(), abs=0.05)
    by_card = expit(result.scorecard.log_odds(later.features))
    assert log_loss(later.label, by_card) < log_loss(later.label, np.full(len(later.label), base)) - 0.05


def test_the_sigmoids_share_a_slope_and_differ_in_their_intercept() -> None:
    level = SELECTION.model_copy(update={"level_half_lives": [0.1]})
    result = learned(selection=level)
    rows = history(training())
    log_odds = result.models.log_odds(rows.sample.features, result.settings)
    assert result.sigmoid.slope == result.uncorrected.slope == result.settings.slope
    assert result.uncorrected.intercept == fit_intercept(log_odds, rows.sample.label, np.ones(len(log_odds)))
    assert result.sigmoid.intercept == fit_intercept(log_odds, rows.sample.label, recency(rows.at, 0.1))
    assert result.sigmoid != result.uncorrected
    whole_period = learned(selection=SELECTION.model_copy(update={"level_half_lives": [0.0]}))
    assert whole_period.sigmoid == whole_period.uncorrected
    assert result.recalibration_half_life == pytest.approx(0.1 * np.ptp(rows.at))  # in days, as later lists count them
    assert whole_period.recalibration_half_life == 0.0
    assert plain("rows").recalibration_half_life is plain("none").recalibration_half_life is None


def test_progress_is_reported() -> None:
    lines: list[str] = []
    result = learn(matrix(), SETUP, no_search, lines.append)
    settings = result.settings
    assert lines[-1] == f"2 boosters of {settings.rounds} rounds and {settings.linear_share:.0%} logistic, 460 rows"
    for decision in result.decisions[:-1]:
        assert any(line.startswith(f"{decision.question}: {decision.chosen}") for line in lines)
    assert result.decisions[-1].question == "scorecard"


def test_the_matrix_is_not_changed() -> None:
    rows = matrix().copy()
    learned(rows)
    pd.testing.assert_frame_equal(rows, matrix())


def test_a_history_is_in_the_order_of_time_and_of_the_catalogue() -> None:
    mixed = matrix()[matrix().columns[::-1]].sample(frac=1, random_state=1)
    result = history(mixed)
    in_time = matrix().sort_values(["snapshot_at", "lead_id"])
    np.testing.assert_array_equal(result.sample.features, in_time[NAMES])
    assert result.sample.label.tolist() == in_time["label"].tolist()
    assert (result.known - result.at == 14).all()
    assert np.ptp(result.at) == 7 * (WEEKS - 1)
    by_row = history(mixed, "rows")
    np.testing.assert_array_equal(by_row.sample.features, matrix()[NAMES])
    assert (by_row.known == by_row.at).all()


def test_rows_of_a_lead_share_code_and_bucket() -> None:
    rows = matrix().assign(lead_id=[f"lead {number % 50}" for number in range(600)])
    result = history_of(rows, ENTRIES, "none", seed=1)
    pairs = set(zip(result.lead.tolist(), result.bucket.tolist(), strict=True))
    assert len(pairs) == 50
    assert len(set(result.bucket.tolist())) == 5


def refusal(rows: pd.DataFrame, least: tuple[int, int, int, int] = (400, 100, 100, 8)) -> str:
    with pytest.raises(DataError) as caught:
        check_ready(rows, *least)
    return str(caught.value)


def test_enough_is_enough() -> None:
    label = training()["label"]
    exactly = (len(label), int(label.sum()), int((1 - label).sum()), training()["snapshot_at"].nunique())
    assert exactly[3] == 23
    check_ready(matrix(), *exactly)
    for index, name in enumerate(["rows", "converted", "not converted", "periods"]):
        text = refusal(matrix(), tuple(each + (index == at) for at, each in enumerate(exactly)))  # type: ignore[arg-type]  # four numbers, as exactly has
        assert f"found {exactly[index]} {name} (needs {exactly[index] + 1}); expected" in text.replace("\n", " ")


def test_without_dates_no_periods_are_needed() -> None:
    undated = matrix().assign(snapshot_at=pd.Series(pd.NaT, index=matrix().index))
    check_ready(undated, 400, 100, 100, 10**6)
    assert "23 periods (needs 1000000)" in refusal(matrix(), (400, 100, 100, 10**6))


def test_thirty_leads_are_too_few_and_the_refusal_says_what_to_do() -> None:
    rows = matrix(n=30)
    n, converted = len(training(rows)), int(training(rows)["label"].sum())
    text = refusal(rows)
    assert text.startswith(f"table 'training snapshots', column 'label': found {n} rows (needs 400); ")
    assert f"{converted} converted (needs 100); {n - converted} not converted (needs 100)" in text
    assert "expected enough of both outcomes" in text
    assert "Not usable yet: collect a longer history" in text


def test_test_rows_do_not_count_as_history() -> None:
    assert "0 rows (needs 400)" in refusal(matrix().assign(part="test"))


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    ("label", "expected"), [(1.0, "only rows that converted"), (0.0, "only rows that did not convert")]
)
def test_one_outcome_in_a_part_is_refused(part: str, label: float, expected: str) -> None:
    rows = matrix().assign(label=matrix()["label"].where(matrix()["part"] != part, label))
    text = refusal(rows, least=(1, 0, 0, 1))
    assert f"{expected} in part {part!r}" in text
    other = "train" if part == "test" else "test"
    assert f"in part {other!r}" not in text


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_without_rows_is_refused(part: str) -> None:
    assert f"no rows in part {part!r}" in refusal(matrix()[matrix()["part"] != part], least=(0, 0, 0, 0))


def test_one_class_altogether_is_refused() -> None:
    assert "460 rows" not in refusal(matrix().assign(label=0.0))
    assert "0 converted (needs 100)" in refusal(matrix().assign(label=0.0))
    assert "0 not converted (needs 100)" in refusal(matrix().assign(label=1.0))


def test_conversions_that_all_came_first_leave_no_fold_and_are_refused() -> None:
    rows = matrix().copy()
    rows["label"] = (np.arange(len(rows)) < 18).astype("float64")  # of one week, the first
    with pytest.raises(DataError, match="no later part with both outcomes after an earlier part with both") as caught:
        learned(rows)
    assert "Not usable yet" in str(caught.value)


def test_rows_between_lists_teach_the_models_and_leave_intercept_and_scorecard_to_lists() -> None:
    lists, settings = training().assign(moment=LIST), replace(plain().settings, linear_share=1.0)
    between = lists.assign(moment="creation", label=1.0, snapshot_at=lists["snapshot_at"] + TICK)
    alone, both = (learn_with(rows, SETUP, settings, 1.0) for rows in (lists, pd.concat([lists, between])))
    values = lists[NAMES].to_numpy("float32")
    assert both.models.linear.log_odds(values).mean() > alone.models.linear.log_odds(values).mean() + 0.5
    assert both.scorecard == alone.scorecard
    raw = both.models.log_odds(values, settings)
    assert expit(both.uncorrected.log_odds(raw)).mean() == pytest.approx(lists["label"].mean(), abs=0.005)
    assert as_text(learn_with(lists, SETUP, settings, 1.0)) == as_text(learn_with(training(), SETUP, settings, 1.0))
