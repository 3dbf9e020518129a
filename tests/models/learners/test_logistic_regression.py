"""The logistic regression equals scikit-learn's, survives JSON, and no other row and no thread moves its bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from models.learners.gradient_boosting import TrainingSample
from models.learners.logistic_regression import CLIP, Linear
from tests.support.small_model import LEVELS, NAMES, everything

EVERYTHING = everything()


def complete(n: int = 2000) -> TrainingSample:
    """Three numbers on very different scales and a category of three levels, nothing missing."""
    rng = np.random.default_rng(3)
    features = np.column_stack([rng.normal([4, 0, 0], [1, 1000, 0.01], (n, 3)), rng.integers(0, 3, n)]).astype(
        "float32"
    )
    log_odds = features[:, 0] - 4 - features[:, 1] / 1000 + (features[:, 3] == 2) - 1
    return TrainingSample(features, (rng.random(n) < expit(log_odds)).astype("float64"))


def trained(sample: TrainingSample = EVERYTHING, c: float = 0.1) -> Linear:
    return Linear.train(sample, LEVELS if sample is EVERYTHING else {3: 3}, c)


def test_it_equals_a_pipeline_of_scikit_learn() -> None:
    sample = complete()
    logarithm = FunctionTransformer(lambda x: np.sign(x) * np.log1p(np.abs(x)))
    for c in (0.01, 1.0):
        numbers = make_union(StandardScaler(), make_pipeline(logarithm, StandardScaler()))
        columns = make_column_transformer((numbers, [0, 1, 2]), (OneHotEncoder(), [3]))
        pipeline = make_pipeline(columns, LogisticRegression(C=c, tol=1e-8, max_iter=1000))
        expected = pipeline.fit(sample.features.astype("float64"), sample.label).decision_function(sample.features)
        assert trained(sample, c).log_odds(sample.features) == pytest.approx(expected, abs=0.02)


def test_json_brings_back_every_bit() -> None:
    linear = trained()
    again = Linear.from_json(json.loads(json.dumps(linear.to_json())), len(NAMES), LEVELS)
    assert again.to_json() == linear.to_json()
    rows = EVERYTHING.features
    assert again.log_odds(rows).tobytes() == linear.log_odds(rows).tobytes()
    assert again.contributions(rows).tobytes() == linear.contributions(rows).tobytes()


def test_the_number_of_threads_changes_no_bit() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 120)).astype("float32")
    sample = TrainingSample(features, (features[:, 0] + rng.normal(size=3000) > 0).astype("float64"))
    result = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            linear = Linear.train(sample, {}, 0.1)
            result.append(linear.weight.tobytes() + linear.log_odds(features).tobytes())
    assert result[0] == result[1]


def test_a_row_alone_has_the_bits_it_has_among_others() -> None:
    linear, rows = trained(), EVERYTHING.features
    together, parts = linear.log_odds(rows), linear.contributions(rows)
    for number in range(30):
        row = rows[number : number + 1]
        assert linear.log_odds(row)[0] == together[number]
        assert linear.contributions(row)[0].tobytes() == parts[number].tobytes()
    assert linear.log_odds(rows[:0]).shape == (0,)


def test_contributions_add_up_and_are_measured_from_the_mean_lead() -> None:
    linear, rows = trained(), EVERYTHING.features
    parts = linear.contributions(rows)
    assert parts.shape == (len(rows), rows.shape[1] + 1)
    assert parts.sum(axis=1) == pytest.approx(linear.log_odds(rows), abs=1e-9)
    assert parts[:, :-1].mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert np.ptp(parts[:, -1]) == 0


def test_a_contribution_depends_on_its_own_feature_alone() -> None:
    linear, rows = trained(), EVERYTHING.features
    changed = rows.copy()
    changed[:, 2] = np.where(np.isnan(rows[:, 2]), 1, np.nan)
    moved = np.abs(linear.contributions(changed) - linear.contributions(rows)).max(axis=0)
    assert np.flatnonzero(moved).tolist() == [2]


def test_missing_is_a_value_of_its_own() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(1000, 1)).astype("float32")
    features[:300] = np.nan
    label = (rng.random(1000) < np.where(np.isnan(features[:, 0]), 0.9, 0.1)).astype("float64")
    linear = Linear.train(TrainingSample(features, label), {}, 10.0)
    average = np.nanmean(features)
    known, missing = expit(linear.log_odds(np.array([[average], [np.nan]], "float32")))
    assert (known, missing) == (pytest.approx(0.1, abs=0.03), pytest.approx(0.9, abs=0.03))


def test_a_level_that_training_did_not_know_gives_no_level_its_weight() -> None:
    sample = complete()
    linear = trained(sample)
    rows = sample.features[:1].repeat(5, axis=0)
    rows[:, 3] = [0, 1, 2, 99, -1]
    matrix_rows, owner = linear.design.columns(rows)
    assert matrix_rows[:, owner == 3].sum(axis=1).tolist() == [1, 1, 1, 0, 0]
    assert len(set(linear.log_odds(rows))) == 4


def test_extreme_values_count_as_five_deviations() -> None:
    sample = complete()
    linear = trained(sample)
    mean, scale = linear.design.mean[:, 0], linear.design.scale[:, 0]
    both_beyond = max(mean[0] + CLIP * scale[0], np.expm1(mean[1] + CLIP * scale[1]))
    rows = sample.features[:1].repeat(3, axis=0)
    rows[:, 0] = [both_beyond * 1.001, 1e30, np.inf]
    assert linear.log_odds(rows) == pytest.approx(linear.log_odds(rows)[0], abs=1e-5)


def test_features_that_are_constant_or_never_known_do_no_harm() -> None:
    sample = complete()
    dull = np.column_stack([sample.features, np.full(len(sample.label), 7.0), np.full(len(sample.label), np.nan)])
    linear = Linear.train(TrainingSample(dull.astype("float32"), sample.label), {3: 3}, 0.1)
    expected = trained(sample).log_odds(sample.features)
    assert linear.log_odds(dull.astype("float32")) == pytest.approx(expected, abs=0.01)


def test_a_smaller_c_shrinks() -> None:
    spread = [np.ptp(trained(c=c).log_odds(EVERYTHING.features)) for c in (0.0001, 0.01, 1.0)]
    assert spread == sorted(spread)
    assert spread[0] < 0.2


def test_ratios_are_learned_from_amounts() -> None:
    """Log-odds that grow with the logarithm of an amount: a straight line alone would miss most of it."""
    rng = np.random.default_rng(8)
    amount = np.exp(rng.normal(0, 2, 4000))
    truth = 1.5 * np.log1p(amount) - 2.5
    sample = TrainingSample(amount[:, None].astype("float32"), (rng.random(4000) < expit(truth)).astype("float64"))
    result = Linear.train(sample, {}, 10.0).log_odds(sample.features)
    middle = (amount > np.quantile(amount, 0.05)) & (amount < np.quantile(amount, 0.95))
    assert np.abs(result - truth)[middle].max() < 0.4


def test_numbers_below_zero_keep_their_side() -> None:
    sample = complete()
    mirrored = TrainingSample(-sample.features * [1, 1, 1, -1], sample.label)
    result = trained(mirrored, 0.1).log_odds(mirrored.features.astype("float32"))
    assert result == pytest.approx(trained(sample, 0.1).log_odds(sample.features), abs=0.01)


def test_a_row_that_weighs_twice_counts_as_two_and_one_of_none_for_nothing() -> None:
    """Up to the standardisation, which sees rows and not weights: with a weak penalty it does not matter."""
    sample = complete()
    weight = np.arange(len(sample.label)) % 3.0
    repeated = np.repeat(np.arange(len(weight)), weight.astype(int))
    weighted = trained(TrainingSample(sample.features, sample.label, weight), 100.0).log_odds(sample.features)
    expected = trained(TrainingSample(sample.features[repeated], sample.label[repeated]), 100.0).log_odds(
        sample.features
    )
    assert np.clip(weighted, -6, 6) == pytest.approx(np.clip(expected, -6, 6), abs=0.1)
    assert np.abs(weighted - trained(sample, 100.0).log_odds(sample.features)).max() > 0.1
