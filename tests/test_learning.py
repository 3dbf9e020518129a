"""Learning refuses what is too little, sees the training parts alone, and gives the same bytes again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from small_model import ENTRIES, LEVELS, NAMES, TRAIN, matrix

from features.errors import DataError
from models.booster import TrainParams
from models.calibration import blend
from models.learning import Learned, check_ready, learn, sample_of, train_final
from models.split import TRAINING


def learned(rows: pd.DataFrame | None = None, params: TrainParams = TRAIN, seed: int = 4, threads: int = 2) -> Learned:
    return learn(matrix() if rows is None else rows, ENTRIES, params, seed, threads, lambda line: None)


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
    assert as_bytes(learned()) == as_bytes(learned(threads=1)) == as_bytes(learned())
    assert as_bytes(learned()) != as_bytes(learned(seed=5))


def scrambled(parts: list[str]) -> pd.DataFrame:
    """The matrix with labels turned and features shuffled in some parts."""
    rows = matrix().copy()
    inside = rows["part"].isin(parts)
    rows.loc[inside, "label"] = 1 - rows.loc[inside, "label"]
    rows.loc[inside, NAMES] = rows.loc[inside, NAMES].sample(frac=1, random_state=1).to_numpy() + 1
    return rows


def test_the_test_and_the_embargo_teach_nothing() -> None:
    assert as_bytes(learned(scrambled(["test", "embargo"]))) == as_bytes(learned())
    gone = matrix()[matrix()["part"].isin(TRAINING)]
    assert as_bytes(learned(gone)) == as_bytes(learned())


@pytest.mark.parametrize("part", ["fit", "gap", "valid"])
def test_every_training_part_teaches(part: str) -> None:
    assert as_bytes(learned(scrambled([part]))) != as_bytes(learned())


def test_the_gap_teaches_the_final_models_alone() -> None:
    other, plain = learned(scrambled(["gap"])), learned()
    assert (other.sigmoid, other.rounds, other.c, other.linear_share) == (
        plain.sigmoid,
        plain.rounds,
        plain.c,
        plain.linear_share,
    )
    assert other.boosters.to_text() != plain.boosters.to_text()


def test_final_models_know_all_of_training() -> None:
    model = learned()
    training = sample_of(matrix()[matrix()["part"].isin(TRAINING)], ENTRIES)
    boosters, linear = train_final(training, LEVELS, model.rounds, model.c, TRAIN, 4, 1)
    assert boosters.to_text() == model.boosters.to_text()
    assert linear.to_json() == model.linear.to_json()


def test_what_it_learns_predicts_later_leads() -> None:
    model = learned()
    rows = sample_of(matrix()[matrix()["part"] == "test"], ENTRIES)
    raw = blend(model.boosters.log_odds(rows.features), model.linear.log_odds(rows.features), model.linear_share)
    base = matrix().loc[matrix()["part"].isin(TRAINING), "label"].mean()
    assert model.sigmoid.loss(raw, rows.label) < -np.mean(np.log(np.where(rows.label > 0, base, 1 - base))) - 0.02
    assert expit(model.sigmoid.log_odds(raw)).mean() == pytest.approx(rows.label.mean(), abs=0.1)


def test_the_settings_are_chosen_by_the_later_part() -> None:
    only = TRAIN.model_copy(update={"logistic_c": [1e-9, 0.1], "linear_shares": [0.0, 1.0]})
    assert learned(params=only).c == 0.1
    noise = sample_of(matrix(), ENTRIES)
    assert noise.features.flags["C_CONTIGUOUS"]
    stumped = only.model_copy(update={"logistic_c": [0.1], "max_rounds": 1, "learning_rate": 0.001})
    assert learned(params=stumped).linear_share == 1.0


def test_it_says_what_it_did() -> None:
    lines: list[str] = []
    model = learn(matrix(), ENTRIES, TRAIN, 4, 2, lines.append)
    assert lines[-1] == f"2 boosters of {model.rounds} rounds and {model.linear_share:.0%} logistic, 450 rows"


def test_a_feature_that_does_not_transfer_is_left_out_and_said() -> None:
    rows, lines = matrix().copy(), list[str]()
    early = rows["part"].isin(["fit", "gap"])
    rows["size"] = np.where(early, 1000.0 * rows["label"], 5000.0 + np.arange(len(rows)) % 7).astype("float32")
    model = learn(rows, ENTRIES, TRAIN.model_copy(update={"drift_limits": [1.0, 0.5]}), 4, 2, lines.append)
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
