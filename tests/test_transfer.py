"""Features that moved within training: measured rightly, and left out only where the later part gains by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import PARAMS
from scipy.special import expit
from scipy.stats import ks_2samp

from features.catalogue import Catalogue, Entry
from models.booster import Sample
from models.learning import learn
from models.transfer import candidates, drift, is_clear_gain, without

TRAIN = PARAMS.train.model_copy(
    update={"boosters": 1, "max_rounds": 40, "early_stopping_rounds": 10, "learning_rate": 0.1, "logistic_c": [0.1]}
)


def test_drift_of_a_number_is_the_kolmogorov_smirnov_distance() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.5, 3.0):
        earlier, later = rng.normal(size=300), rng.normal(shift, size=200).round(1)
        assert drift(earlier, later, is_categorical=False) == pytest.approx(ks_2samp(earlier, later).statistic)


def test_drift_of_a_category_is_the_share_that_would_have_to_move() -> None:
    earlier, later = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 2.0, 2.0])
    assert drift(earlier, later, is_categorical=True) == pytest.approx(0.5)
    assert drift(earlier, earlier, is_categorical=True) == 0.0


@pytest.mark.parametrize("is_categorical", [True, False])
def test_a_field_that_begins_to_fill_has_drifted(is_categorical: bool) -> None:
    earlier, later = np.full(50, np.nan), np.full(50, 3.0)
    assert drift(earlier, later, is_categorical) == 1.0


def test_candidates_grow_are_never_repeated_and_never_all() -> None:
    drifts = np.array([0.9, 0.5, 0.1])
    assert candidates(drifts, [0.05, 1.0, 0.3, 0.95, 0.6]) == [frozenset(), frozenset({0}), frozenset({0, 1})]


def test_without_hides_only_the_features_left_out() -> None:
    sample = Sample(np.arange(6, dtype="float32").reshape(2, 3), np.array([0.0, 1.0]))
    hidden = without(sample, frozenset({1})).features
    assert np.isnan(hidden[:, 1]).all()
    np.testing.assert_array_equal(hidden[:, [0, 2]], sample.features[:, [0, 2]])
    assert np.isfinite(sample.features).all()  # the sample itself is as it was


def test_a_gain_within_the_noise_is_none() -> None:
    rng = np.random.default_rng(0)
    losses, lead = rng.random(1000), np.arange(1000)
    assert not is_clear_gain(losses, losses, lead)
    assert not is_clear_gain(losses, losses + rng.normal(0.01, 1, 1000), lead)
    assert is_clear_gain(losses, losses - 0.1, lead)


def test_repeating_the_rows_of_a_lead_makes_no_gain_clearer() -> None:
    rng = np.random.default_rng(1)
    difference = rng.normal(0.02, 1, 200)  # far within its error of about .07
    losses, lead = np.zeros(200), np.arange(200)
    assert not is_clear_gain(losses, losses - difference, lead)
    many = np.repeat(difference, 100)
    assert not is_clear_gain(np.zeros(len(many)), -many, np.repeat(lead, 100))


def entry(name: str) -> Entry:
    return Entry(
        name=name, group="fit", channel="none", theme=name, theme_label=name, measure="value", label=name, unit="",
        direction="none", levels=None, empty="none",
    )  # fmt: skip


def drifting(turns: bool, n: int = 4000) -> tuple[pd.DataFrame, Catalogue]:
    """A steady feature, and one whose level rises over time and whose meaning, perhaps, turns round."""
    rng = np.random.default_rng(5)
    time = np.arange(n) / n
    steady, rising = rng.normal(size=n), rng.normal(size=n) + 6 * (time > 0.7)
    sign = np.where(turns & (time > 0.7), -1.0, 1.0)
    label = rng.random(n) < expit(steady + 2.0 * sign * (rising - 6 * (time > 0.7)) - 1)
    part = np.where(time < 0.7, "fit", "valid")
    return pd.DataFrame({"steady": steady, "rising": rising, "label": label * 1.0, "part": part}).assign(
        lead_id=[f"lead {row}" for row in range(n)]
    ), [
        entry("steady"),
        entry("rising"),
    ]


def test_a_feature_whose_meaning_turned_is_left_out_and_named() -> None:
    matrix, entries = drifting(turns=True)
    said: list[str] = []
    learned = learn(matrix, entries, TRAIN, seed=1, threads=1, watch=said.append)
    assert learned.left_out == ["rising"]
    assert any("rising" in line for line in said)


def test_a_feature_that_did_not_move_stays_whatever_it_means() -> None:
    matrix, entries = drifting(turns=True)
    matrix["rising"] -= 6 * (matrix["part"] == "valid")
    assert learn(matrix, entries, TRAIN, seed=1, threads=1, watch=print).left_out == []


def test_what_is_left_out_has_no_contribution() -> None:
    matrix, entries = drifting(turns=True)
    learned = learn(matrix, entries, TRAIN, seed=1, threads=1, watch=print)
    values = without(
        Sample(matrix[["steady", "rising"]].to_numpy("float32"), matrix["label"].to_numpy()), frozenset({1})
    )
    for learner in (learned.boosters, learned.linear):
        np.testing.assert_array_equal(learner.contributions(values.features)[:, 1], 0.0)
