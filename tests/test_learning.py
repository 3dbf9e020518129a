"""Learning refuses what is too little, sees the training parts alone, and gives the same bytes again."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss
from small_model import ENTRIES, LEVELS, NAMES, TRAIN, matrix

from features.errors import DataError
from models.booster import TrainParams, train_boosters
from models.calibration import blend
from models.learning import Learned, check_ready, learn, sample_of
from models.linear import Linear
from models.split import TRAINING


def learned(rows: pd.DataFrame | None = None, params: TrainParams = TRAIN, seed: int = 4, threads: int = 2) -> Learned:
    return learn(matrix() if rows is None else rows, ENTRIES, params, seed, threads, lambda line: None)


@cache
def plain() -> Learned:
    return learned()


def as_bytes(model: Learned) -> bytes:
    told = [
        model.linear.to_json(),
        model.left_out,
        model.linear_share,
        model.sigmoid.model_dump(),
        model.rounds,
        model.c,
    ]
    return ("".join(model.boosters.to_text()) + json.dumps(told)).encode()


def test_the_same_rows_give_the_same_bytes() -> None:
    assert as_bytes(plain()) == as_bytes(learned()) == as_bytes(learned(threads=1))
    assert as_bytes(plain()) != as_bytes(learned(seed=5))


def scrambled(parts: list[str]) -> pd.DataFrame:
    """The matrix with labels turned and features shuffled in some parts."""
    rows = matrix().copy()
    inside = rows["part"].isin(parts)
    rows.loc[inside, "label"] = 1 - rows.loc[inside, "label"]
    rows.loc[inside, NAMES] = rows.loc[inside, NAMES].sample(frac=1, random_state=1).to_numpy() + 1
    return rows


def test_the_test_and_the_embargo_teach_nothing() -> None:
    assert as_bytes(learned(scrambled(["test", "embargo"]))) == as_bytes(plain())
    gone = matrix()[matrix()["part"].isin(TRAINING)]
    assert as_bytes(learned(gone)) == as_bytes(plain())


@pytest.mark.parametrize("part", ["fit", "gap", "valid"])
def test_every_training_part_teaches(part: str) -> None:
    assert as_bytes(learned(scrambled([part]))) != as_bytes(plain())


def test_the_gap_teaches_the_final_models_alone() -> None:
    other = learned(scrambled(["gap"]))
    for chosen in ("sigmoid", "rounds", "c", "linear_share"):
        assert getattr(other, chosen) == getattr(plain(), chosen)
    assert other.boosters.to_text() != plain().boosters.to_text()


def test_final_models_know_all_of_training() -> None:
    model = plain()
    training = sample_of(matrix()[matrix()["part"].isin(TRAINING)], ENTRIES)
    boosters = train_boosters(training, model.rounds, list(LEVELS), TRAIN, 4, 1)
    assert boosters.to_text() == model.boosters.to_text()
    assert Linear.train(training, LEVELS, model.c).to_json() == model.linear.to_json()


def test_what_it_learns_predicts_later_leads() -> None:
    rows = matrix(n=2400, seed=3)
    model, later = learned(rows), sample_of(rows[rows["part"] == "test"], ENTRIES)
    raw = blend(model.boosters.log_odds(later.features), model.linear.log_odds(later.features), model.linear_share)
    base = rows.loc[rows["part"].isin(TRAINING), "label"].mean()
    assert model.sigmoid.loss(raw, later.label) < log_loss(later.label, np.full(len(later.label), base)) - 0.1
    assert expit(model.sigmoid.log_odds(raw)).mean() == pytest.approx(later.label.mean(), abs=0.05)


def test_the_penalty_is_the_one_that_predicts_the_later_part_best() -> None:
    assert learned(params=TRAIN.model_copy(update={"logistic_c": [1e-9, 0.1, 1e-7]})).c == 0.1


def test_the_blend_leaves_out_a_learner_that_knows_nothing() -> None:
    one_or_other = TRAIN.model_copy(update={"linear_shares": [0.5, 0.0, 1.0]})
    dull_trees = one_or_other.model_copy(update={"min_child_samples": 400})
    assert learned(params=dull_trees).linear_share > 0
    rows = matrix(n=2400, seed=3).copy()
    rows["size"] = np.abs(np.arange(len(rows)) * 0.618 % 1 - 0.5).astype("float32")
    rows["label"] = (rows["size"] * 4 % 1 > 0.5).astype("float64")  # up and down: no straight line finds it
    assert learned(rows, params=one_or_other.model_copy(update={"feature_fraction": 1.0})).linear_share == 0.0


def test_it_says_what_it_did() -> None:
    lines: list[str] = []
    model = learn(matrix(), ENTRIES, TRAIN, 4, 2, lines.append)
    assert lines[-1] == f"2 boosters of {model.rounds} rounds and {model.linear_share:.0%} logistic, 450 rows"


def test_a_feature_that_does_not_transfer_is_left_out_and_said() -> None:
    rows, lines = matrix().copy(), list[str]()
    early = rows["part"].isin(["fit", "gap"])
    rows["size"] = np.where(early, 1000.0 * rows["label"], 5000.0 + np.arange(len(rows)) % 7).astype("float32")
    trees = TRAIN.model_copy(update={"drift_limits": [1.0, 0.5], "linear_shares": [0.0], "feature_fraction": 1.0})
    model = learn(rows, ENTRIES, trees, 4, 2, lines.append)
    assert model.left_out == ["size"]
    assert any("left out" in line and "company size" in line for line in lines)
    assert learned(rows).left_out == []


def test_the_matrix_is_not_changed() -> None:
    rows = matrix().copy()
    learned(rows)
    pd.testing.assert_frame_equal(rows, matrix())


def test_features_come_in_the_order_of_the_catalogue() -> None:
    mixed = matrix()[matrix().columns[::-1]]
    assert np.array_equal(sample_of(mixed, ENTRIES).features, matrix()[NAMES].to_numpy(), equal_nan=True)
    assert sample_of(mixed, ENTRIES).label.tolist() == matrix()["label"].tolist()


def refusal(rows: pd.DataFrame, least: tuple[int, int, int] = (400, 100, 100)) -> str:
    with pytest.raises(DataError) as caught:
        check_ready(rows, *least)
    return str(caught.value)


def test_enough_is_enough() -> None:
    check_ready(matrix(), 400, 100, 100)
    training = matrix().loc[matrix()["part"].isin(TRAINING), "label"]
    exactly = (len(training), int(training.sum()), int((1 - training).sum()))
    check_ready(matrix(), *exactly)
    for place in range(3):
        least = tuple(each + (place == number) for number, each in enumerate(exactly))
        assert "needs" in refusal(matrix(), least)  # type: ignore[arg-type]  # three numbers, as exactly has


def test_thirty_leads_are_too_few_and_the_refusal_says_what_to_do() -> None:
    text = refusal(matrix(n=30))
    assert text.startswith("table 'training snapshots', column 'label': found 22 rows (needs 400); ")
    converted = int(matrix(n=30)["label"].head(22).sum())
    assert f"{converted} converted (needs 100); {22 - converted} not converted (needs 100)" in text
    assert "expected enough of both outcomes" in text
    assert "Not usable yet: collect a longer history" in text


def test_test_rows_do_not_count_as_history() -> None:
    assert "0 rows (needs 400)" in refusal(matrix().assign(part="test"))


@pytest.mark.parametrize("part", ["fit", "valid", "test"])
@pytest.mark.parametrize(
    ("label", "said"), [(1.0, "only rows that converted"), (0.0, "only rows that did not convert")]
)
def test_one_outcome_in_a_part_is_refused(part: str, label: float, said: str) -> None:
    rows = matrix().assign(label=matrix()["label"].where(matrix()["part"] != part, label))
    assert f"{said} in part {part!r}" in refusal(rows, least=(1, 1, 1))


@pytest.mark.parametrize("part", ["fit", "valid", "test"])
def test_a_part_without_rows_is_refused(part: str) -> None:
    assert f"no rows in part {part!r}" in refusal(matrix()[matrix()["part"] != part], least=(1, 1, 1))


def test_one_class_altogether_is_refused() -> None:
    assert "450 rows" not in refusal(matrix().assign(label=0.0))
    assert "0 converted (needs 100)" in refusal(matrix().assign(label=0.0))
    assert "0 not converted (needs 100)" in refusal(matrix().assign(label=1.0))
