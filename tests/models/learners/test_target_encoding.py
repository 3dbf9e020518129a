"""A category's encoding leaks to no row what was not known at its time, above all not its own outcome."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logit

from models.learners.gradient_boosting import TrainingSample
from models.learners.target_encoding import TargetEncoding, encode_in_time_order, encode_out_of_fold

LEVELS = {1: 3}  # the second of three features is a category
Timed = tuple[TrainingSample, np.ndarray, np.ndarray]


@st.composite
def timed(draw: st.DrawFn) -> Timed:
    """A sample, when each outcome was known, and the time of each row; ties are common, and so are missing levels."""
    n = draw(st.integers(2, 25))
    rows = st.tuples(st.sampled_from([0.0, 1.0, 2.0, np.nan]), st.booleans(), st.integers(0, 8), st.integers(0, 4))
    code, label, at, wait = (np.array(part) for part in zip(*draw(st.lists(rows, min_size=n, max_size=n)), strict=True))
    features = np.column_stack([np.arange(n), code, -np.arange(n)]).astype("float32")
    return TrainingSample(features, label.astype("float64")), (at + wait).astype("float64"), at.astype("float64")


def worth(n: int, won: float, n_all: int, won_all: float, strength: float) -> float:
    """Compute the value of a level by hand."""
    average = (won_all + 0.5) / (n_all + 1)
    return float(logit((won + strength * average) / (n + strength)) - logit(average))


@settings(max_examples=100)
@given(timed(), st.sampled_from([0.5, 20.0]))
def test_in_time_order_equals_counting_by_hand(rows: Timed, strength: float) -> None:
    sample, known, at = rows
    result = encode_in_time_order(sample, known, at, LEVELS, strength)
    code = sample.features[:, 1]
    for row in range(len(at)):
        seen = known < at[row]
        alike = seen & (code == code[row])
        expected = worth(alike.sum(), sample.label[alike].sum(), seen.sum(), sample.label[seen].sum(), strength)
        if np.isnan(code[row]):
            assert np.isnan(result[row, 1])
        else:
            assert result[row, 1] == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(result[:, [0, 2]], sample.features[:, [0, 2]])


@settings(max_examples=100)
@given(timed(), st.data())
def test_no_outcome_that_was_not_yet_known_moves_a_row(rows: Timed, data: st.DataObject) -> None:
    sample, known, at = rows
    row = data.draw(st.integers(0, len(at) - 1))
    others = np.array(data.draw(st.lists(st.booleans(), min_size=len(at), max_size=len(at))))
    turned = np.where((known >= at[row]) & others, 1 - sample.label, sample.label)
    turned[row] = 1 - turned[row]  # it is never its own past
    first = encode_in_time_order(sample, known, at, LEVELS, 2.0)
    second = encode_in_time_order(TrainingSample(sample.features, turned), known, at, LEVELS, 2.0)
    assert first[row].tobytes() == second[row].tobytes()


def test_an_outcome_that_was_known_moves_a_row() -> None:
    features = np.array([[0, 0], [0, 1], [0, 0]], dtype="float32")
    known, at = np.array([1.0, 1.0, 9.0]), np.array([0.0, 0.0, 2.0])
    lost, won = (
        encode_in_time_order(TrainingSample(features, np.array([y, 0.5, 0.0])), known, at, {1: 2}, 1.0)[2, 1]
        for y in (0, 1)
    )
    assert lost < 0 < won


@settings(max_examples=60)
@given(timed(), st.data())
def test_out_of_fold_no_outcome_of_its_own_fold_moves_a_row(rows: Timed, data: st.DataObject) -> None:
    sample, _, _ = rows
    n = len(sample.label)
    fold = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    number = data.draw(st.sampled_from(sorted(set(fold.tolist()))))
    turned = np.where(fold == number, 1 - sample.label, sample.label)
    encode = partial(encode_out_of_fold, fold=fold, levels=LEVELS, strength=2.0)
    first, second = encode(sample), encode(TrainingSample(sample.features, turned))
    assert first[fold == number].tobytes() == second[fold == number].tobytes()
    others = TrainingSample(sample.features[fold != number], sample.label[fold != number])
    expected = TargetEncoding.learn(others, LEVELS, 2.0).apply(sample.features[fold == number])
    np.testing.assert_array_equal(first[fold == number], expected)


@settings(max_examples=60)
@given(timed(), st.sampled_from([0.5, 20.0]))
def test_the_value_of_a_level_is_computed_over_all_rows(rows: Timed, strength: float) -> None:
    sample, known, at = rows
    learned = TargetEncoding.learn(sample, LEVELS, strength)
    n, won = len(sample.label), sample.label.sum()
    for level in range(3):
        alike = sample.features[:, 1] == level
        expected = worth(alike.sum(), sample.label[alike].sum(), n, won, strength)
        assert learned.values[1][level] == pytest.approx(expected)
    after_all = np.full(len(at), 100.0)  # rows that stand when everything is known are worth the same
    in_time = encode_in_time_order(sample, known, after_all, LEVELS, strength)
    np.testing.assert_allclose(in_time, learned.apply(sample.features), rtol=1e-5, atol=1e-6)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    features = rng.integers(0, 3, (200, 2)).astype("float32")
    sample, at = (
        TrainingSample(features, rng.integers(0, 2, 200).astype("float64")),
        rng.integers(0, 20, 200).astype("float64"),
    )
    mixed = rng.permutation(200)
    result = encode_in_time_order(sample, at + 3, at, {1: 3}, 5.0)
    again = encode_in_time_order(
        TrainingSample(features[mixed], sample.label[mixed]), at[mixed] + 3, at[mixed], {1: 3}, 5.0
    )
    np.testing.assert_array_equal(result[mixed], again)


def test_an_unseen_level_has_value_zero_and_a_strong_prior_shrinks_to_it() -> None:
    features = np.array([[0.0], [0.0], [1.0], [1.0], [2.0]], dtype="float32")
    sample = TrainingSample(features, np.array([1.0, 1.0, 0.0, 0.0, 1.0]))
    assert encode_in_time_order(sample, np.full(5, 9.0), np.arange(5.0), {0: 3}, 1.0).tolist() == [[0.0]] * 5
    values = [TargetEncoding.learn(sample, {0: 4}, strength).values[0] for strength in (0.1, 1.0, 100.0, 1e9)]
    sizes = np.abs(values)
    assert (np.diff(sizes[:, :3], axis=0) < 0).all()
    assert sizes[-1].max() < 1e-8
    assert (sizes[:, 3] == 0).all()  # a level without a row


def test_a_level_has_a_higher_value_where_more_of_it_converted() -> None:
    code = np.repeat([0.0, 1.0, 2.0], 100)
    label = (np.arange(300) % 100 < np.repeat([10, 30, 60], 100)).astype("float64")
    values = TargetEncoding.learn(TrainingSample(code[:, None], label), {0: 3}, 5.0).values[0]
    assert values.tolist() == sorted(values)
    assert values[0] < 0 < values[2]


def test_apply_keeps_what_is_not_known_and_knows_no_other_level() -> None:
    sample = TrainingSample(np.array([[0.0], [1.0]], dtype="float32"), np.array([0.0, 1.0]))
    learned = TargetEncoding.learn(sample, {0: 2}, 1.0)
    given_rows = np.array([[np.nan], [0.0], [1.0], [2.0], [-1.0], [np.inf], [99.0]], dtype="float32")
    result = learned.apply(given_rows)[:, 0]
    assert np.isnan(result).tolist() == [True, False, False, True, True, True, True]
    assert result[1] < 0 < result[2]
    assert np.isnan(given_rows[0, 0])  # what was given is as it was
    assert given_rows[6, 0] == 99.0


def test_one_row_is_encoded_as_among_others_and_json_brings_back_every_bit() -> None:
    rng = np.random.default_rng(5)
    features = rng.integers(0, 3, (50, 3)).astype("float32")
    learned = TargetEncoding.learn(TrainingSample(features, rng.integers(0, 2, 50).astype("float64")), LEVELS, 7.0)
    again = TargetEncoding.from_json(json.loads(json.dumps(learned.to_json())), LEVELS)
    assert again.apply(features).tobytes() == learned.apply(features).tobytes()
    assert learned.apply(features[3:4]).tobytes() == learned.apply(features)[3:4].tobytes()
    assert TargetEncoding({}).apply(features).tobytes() == features.tobytes()
