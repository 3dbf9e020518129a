"""The rows that are learned from: every conversion, and other rows that stand for all of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from models.learners.gradient_boosting import Shape, TrainingSample, train_boosters
from models.splitting.holdout import draw_rows, learning_weights
from tests.support.small_model import TRAIN
from tests.support.tables import MONDAY

ROWS, ROOM = 20_000, 6_000


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Of 2,000 leads on ten lists, the last two of them tested; about one row in twelve converts."""
    rng = np.random.default_rng(4)
    week, signal = np.repeat(np.arange(10), 2_000), rng.normal(size=ROWS)
    lead = pd.Series(np.tile(np.arange(2_000), 10)).map("a{:04d}".format)
    label = (rng.random(ROWS) < expit(-3 + signal)).astype("float64")
    part = np.where(week < 7, "train", np.where(week < 8, "embargo", "test"))
    at = MONDAY + week * pd.Timedelta(days=7)
    return pd.DataFrame({"lead_id": lead, "snapshot_at": at, "label": label, "part": part, "signal": signal})


def slope_and_intercept(rows: pd.DataFrame, weight: np.ndarray) -> list[float]:
    fitted = LogisticRegression(C=np.inf).fit(rows[["signal"]], rows["label"], sample_weight=weight)
    return [float(fitted.coef_[0, 0]), float(fitted.intercept_[0])]


def test_no_conversion_is_left_out_and_the_others_stand_for_all(rows: pd.DataFrame) -> None:
    weight = learning_weights(rows, ROOM, seed=1, purpose="test")
    won = rows["label"] == 1
    assert (weight[won] == 1).all()
    assert (weight > 0).sum() == pytest.approx(ROOM, rel=0.03)
    assert len(set(weight[~won & (weight > 0)].tolist())) == 1
    assert np.average(rows["label"], weights=weight) == pytest.approx(rows["label"].mean(), rel=0.03)


def test_a_model_of_the_drawn_rows_is_that_of_all_rows(rows: pd.DataFrame) -> None:
    weight = learning_weights(rows, ROOM, seed=1, purpose="test").to_numpy()
    drawn = weight > 0
    result = slope_and_intercept(rows[drawn], weight[drawn])
    assert result == pytest.approx(slope_and_intercept(rows, np.ones(ROWS)), abs=0.06)


def test_trees_of_the_drawn_rows_are_as_near_the_truth_as_those_of_all_rows(rows: pd.DataFrame) -> None:
    weight = learning_weights(rows, ROOM, seed=1, purpose="test").to_numpy()
    features, label = rows[["signal"]].to_numpy("float32"), rows["label"].to_numpy()
    params, shape = TRAIN.model_copy(update={"min_child_samples": 200}), Shape(categorical=(), monotone=(0,))
    drawn = weight > 0
    full, thin, unweighted = (
        train_boosters([TrainingSample(features[one], label[one], of)], 30, shape, params, 1, 1).log_odds(features)
        for one, of in ((slice(None), None), (drawn, weight[drawn]), (drawn, None))
    )
    off, off_thin, off_unweighted = (np.abs(each + 3 - rows["signal"]).mean() for each in (full, thin, unweighted))
    assert expit(thin).mean() == pytest.approx(label.mean(), rel=0.03)
    assert off_thin < off + 0.05
    assert off_unweighted > 1.0


def test_where_conversions_fill_the_room_they_are_thinned_to_half(rows: pd.DataFrame) -> None:
    weight = learning_weights(rows, 1_000, seed=1, purpose="test")
    assert weight[rows["label"] == 1].gt(0).sum() == pytest.approx(500, rel=0.15)
    assert weight.gt(0).sum() == pytest.approx(1_000, rel=0.1)
    assert weight.sum() == pytest.approx(ROWS, rel=0.1)


def test_where_there_is_room_for_all_each_row_stands_for_itself(rows: pd.DataFrame) -> None:
    assert (learning_weights(rows, ROWS, seed=1, purpose="test") == 1).all()
    again = learning_weights(rows.assign(weight=2.5), ROWS, seed=1, purpose="test")
    assert (again == 2.5).all(), "rows that stand for others go on doing so"


def test_rows_drawn_from_drawn_rows_stand_for_all(rows: pd.DataFrame) -> None:
    once = rows.assign(weight=learning_weights(rows, 12_000, seed=1, purpose="first"))
    twice = learning_weights(once, ROOM, seed=1, purpose="second")
    assert (twice[rows["label"] == 1] == 1).all()
    assert twice.sum() == pytest.approx(ROWS, rel=0.04)


def test_neither_order_nor_what_happens_later_changes_who_is_drawn(rows: pd.DataFrame) -> None:
    """Each row has a number of its own; that as many convert later, but others, moves no earlier row."""
    weight = learning_weights(rows, ROOM, seed=1, purpose="test")
    shuffled = rows.sample(frac=1, random_state=3)
    pd.testing.assert_series_equal(learning_weights(shuffled, ROOM, 1, "test").sort_index(), weight)
    later = rows["part"] == "test"
    others = rows.copy()
    others.loc[later, "label"] = rows.loc[later, "label"].to_numpy()[::-1]
    others.loc[later, "signal"] = 0.0
    pd.testing.assert_series_equal(learning_weights(others, ROOM, 1, "test")[~later], weight[~later])
    assert not learning_weights(rows, ROOM, 2, "test").equals(weight)


def test_a_longer_history_draws_fewer_of_the_earlier_rows_and_no_others(rows: pd.DataFrame) -> None:
    """What is added later moves the share alone, as each row has a number of its own."""
    earlier = rows["part"] != "test"
    alone, among = learning_weights(rows[earlier], ROOM, 1, "test"), learning_weights(rows, ROOM, 1, "test")[earlier]
    other = rows.loc[earlier, "label"] == 0
    assert set(among.index[among > 0]) <= set(alone.index[alone > 0])
    assert 0 < (among[other] > 0).sum() < (alone[other] > 0).sum()
    assert (among[~other] == 1).all() and (alone[~other] == 1).all()


def test_test_rows_are_all_rows_of_their_leads_whether_learned_from_or_not(rows: pd.DataFrame) -> None:
    drawn = draw_rows(rows, ROOM, max_test_rows=1_000, seed=1)
    tested = drawn[drawn["part"] == "test"]
    later = rows[(rows["part"] == "test") & rows["lead_id"].isin(tested["lead_id"])]
    assert sorted(zip(tested["lead_id"], tested["snapshot_at"], strict=True)) == sorted(
        zip(later["lead_id"], later["snapshot_at"], strict=True)
    )
    assert len(tested) == pytest.approx(1_000, rel=0.1)
    assert tested["weight"].eq(0).any() and tested["weight"].gt(0).any()
    others = drawn[drawn["part"] != "test"]
    assert others["weight"].gt(0).all()
    assert set(others["part"]) == {"train", "embargo", "untested"}
    assert not others.loc[others["part"] == "untested", "lead_id"].isin(tested["lead_id"]).any()
    assert drawn.loc[drawn["weight"] > 0, "label"].sum() == rows["label"].sum()


@pytest.mark.parametrize("wins", [0.0, 0.4])
def test_the_outcomes_and_the_number_of_later_rows_move_no_weight_of_an_earlier_row(
    rows: pd.DataFrame, wins: float
) -> None:
    """What is converted after the test began, and how many rows there are then, were unknown to the tested model."""
    later = rows["part"] != "train"
    other = rows.assign(label=rows["label"].mask(later, (rows["signal"] < wins).astype("float64") * (wins > 0)))
    other = other[~later | (other["signal"] > -wins)]
    before, after = (draw_rows(one, ROOM, 1_000, 1).query("part == 'train'") for one in (rows, other))
    pd.testing.assert_frame_equal(before.reset_index(drop=True), after.reset_index(drop=True))
    assert len(before) == pytest.approx(ROOM, rel=0.03)
