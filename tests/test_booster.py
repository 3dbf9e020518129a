"""Boosters are the same on any number of threads, survive as text, and their contributions are exact Shapley values."""

from __future__ import annotations

import warnings
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from small_model import ENTRIES, LEVELS, TRAIN, matrix

from models.booster import Boosters, Sample, TrainParams, train_boosters, tune_rounds
from models.learning import sample_of

EVERYTHING = sample_of(matrix(), ENTRIES)
FIT, VALID = (Sample(EVERYTHING.features[part], EVERYTHING.label[part]) for part in (slice(400), slice(400, None)))
CATEGORICAL = list(LEVELS)


def trained(boosters: int = 3, threads: int = 2, seed: int = 7) -> Boosters:
    params = TRAIN.model_copy(update={"boosters": boosters})
    return train_boosters(EVERYTHING, 6, CATEGORICAL, params, seed, threads)


def test_the_number_of_threads_changes_no_byte() -> None:
    assert trained(threads=1).to_text() == trained(threads=2).to_text()
    tuned = [tune_rounds(FIT, VALID, CATEGORICAL, TRAIN, 7, threads) for threads in (1, 2)]
    assert tuned[0][0].to_text() == tuned[1][0].to_text()
    assert tuned[0][1] == tuned[1][1]
    for method in ("log_odds", "contributions"):
        one, two = (getattr(Boosters(trained().models, threads), method)(VALID.features) for threads in (1, 2))
        assert one.tobytes() == two.tobytes()


def test_each_booster_has_a_seed_of_its_own() -> None:
    assert len(set(trained(boosters=3).to_text())) == 3
    assert trained(seed=7).to_text() == trained(seed=7).to_text() != trained(seed=17).to_text()
    assert trained(boosters=1, seed=8).to_text()[0] == trained(boosters=2, seed=7).to_text()[1]


def test_log_odds_are_the_mean_of_the_models() -> None:
    boosters = trained()
    each = [np.asarray(model.predict(VALID.features, raw_score=True)) for model in boosters.models]
    assert boosters.log_odds(VALID.features) == pytest.approx(np.mean(each, axis=0), abs=1e-12)
    assert np.ptp(boosters.log_odds(VALID.features)) > 0.5


def test_contributions_add_up_to_the_log_odds() -> None:
    boosters = trained()
    rows = VALID.features.copy()
    assert np.isnan(rows).any()
    rows[:5, CATEGORICAL] = 99  # no level of training
    found = boosters.contributions(rows)
    assert found.shape == (len(rows), rows.shape[1] + 1)
    assert found.sum(axis=1) == pytest.approx(boosters.log_odds(rows), abs=1e-9)
    assert np.ptp(found[:, -1]) == 0


def test_contributions_are_shapley_values_counted_out_by_hand() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 3)).astype("float32")
    features[rng.random((300, 3)) < 0.2] = np.nan
    known = np.nan_to_num(features)
    label = (known[:, 0] * known[:, 1] + known[:, 2] + rng.normal(size=300) > 0.3).astype("float64")
    params = TRAIN.model_copy(update={"boosters": 2, "feature_fraction": 1.0, "bagging_fraction": 1.0})
    boosters = train_boosters(Sample(features, label), 4, [], params, 1, 1)
    found = boosters.contributions(features[:10])
    for row, parts in zip(features[:10], found, strict=True):
        assert parts == pytest.approx(np.mean([shapley(model.dump_model(), row) for model in boosters.models], axis=0))


def shapley(model: dict[str, Any], row: np.ndarray) -> np.ndarray:
    """Shapley values of the path-dependent expectation, over every subset of the features; the base last."""
    k = len(row)
    subsets = [frozenset(subset) for size in range(k + 1) for subset in combinations(range(k), size)]
    worth = {
        subset: sum(expectation(tree["tree_structure"], row, subset) for tree in model["tree_info"])
        for subset in subsets
    }
    values = [
        sum(
            factorial(len(subset)) * factorial(k - len(subset) - 1) / factorial(k) * (worth[subset | {i}] - value)
            for subset, value in worth.items()
            if i not in subset
        )
        for i in range(k)
    ]
    return np.array([*values, worth[frozenset()]])


def expectation(node: dict[str, Any], row: np.ndarray, known: frozenset[int]) -> float:
    """The tree's value where some features are known; at the others both branches, weighted by their training rows."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    left, right = node["left_child"], node["right_child"]
    value = row[node["split_feature"]]
    if node["split_feature"] in known:
        goes_left = node["default_left"] if np.isnan(value) else value <= node["threshold"]
        return expectation(left if goes_left else right, row, known)
    rows = [child.get("leaf_count", child.get("internal_count")) for child in (left, right)]
    return sum(n / sum(rows) * expectation(child, row, known) for n, child in zip(rows, (left, right), strict=True))


def test_contributions_equal_those_of_shap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages it imports
        import shap

    numeric = [place for place in range(len(ENTRIES)) if place not in LEVELS]
    sample = Sample(EVERYTHING.features[:, numeric], EVERYTHING.label)
    boosters = train_boosters(sample, 6, [], TRAIN, 1, 1)
    explainers = [shap.TreeExplainer(model) for model in boosters.models]
    for explainer in explainers:
        explainer.model.model_type = "internal"  # its own code; otherwise it asks LightGBM
    values = np.mean([explainer.shap_values(sample.features[:50]) for explainer in explainers], axis=0)
    base = np.mean([explainer.expected_value for explainer in explainers])
    found = boosters.contributions(sample.features[:50])
    assert found[:, :-1] == pytest.approx(values, abs=1e-6)
    assert found[0, -1] == pytest.approx(base, abs=1e-6)
    assert np.abs(values).max() > 0.1


def test_text_brings_back_every_bit() -> None:
    boosters = trained()
    again = Boosters.from_text(boosters.to_text(), threads=1)
    assert again.to_text() == boosters.to_text()
    assert again.log_odds(VALID.features).tobytes() == boosters.log_odds(VALID.features).tobytes()
    assert again.contributions(VALID.features).tobytes() == boosters.contributions(VALID.features).tobytes()


def test_a_row_alone_has_the_bits_it_has_among_others() -> None:
    boosters = trained(boosters=11)
    together, parts = boosters.log_odds(VALID.features), boosters.contributions(VALID.features)
    for number in range(20):
        row = VALID.features[number : number + 1]
        assert boosters.log_odds(row)[0] == together[number]
        assert boosters.contributions(row)[0].tobytes() == parts[number].tobytes()
    assert boosters.log_odds(VALID.features[:0]).shape == (0,)
    assert boosters.contributions(VALID.features[:0]).shape == (0, parts.shape[1])


@pytest.mark.parametrize("code", [99.0, -1.0, np.nan, 1e6])
def test_a_level_that_training_did_not_know_scores_as_missing(code: float) -> None:
    boosters = trained()
    rows, missing = VALID.features.copy(), VALID.features.copy()
    rows[:, CATEGORICAL], missing[:, CATEGORICAL] = code, np.nan
    assert boosters.log_odds(rows).tobytes() == boosters.log_odds(missing).tobytes()
    assert boosters.log_odds(rows).tobytes() != boosters.log_odds(VALID.features).tobytes()


def test_nothing_known_at_all_still_gives_a_number() -> None:
    assert np.isfinite(trained().log_odds(np.full((2, len(ENTRIES)), np.nan))).all()


def test_tuning_stops_each_model_where_later_rows_improve_no_more() -> None:
    params = TRAIN.model_copy(update={"boosters": 3, "max_rounds": 200, "learning_rate": 0.5})
    tuned, rounds = tune_rounds(FIT, VALID, CATEGORICAL, params, 7, 2)
    trees = [model.num_trees() for model in tuned.models]
    assert rounds == np.median(trees)
    assert max(trees) < 100
    assert tuned.rounds == max(trees)
    log_odds = np.asarray(tuned.models[0].predict(VALID.features, raw_score=True))
    longer = train_boosters(FIT, trees[0] + 3, CATEGORICAL, params.model_copy(update={"boosters": 1}), 7, 1)
    assert loss(log_odds) < loss(longer.log_odds(VALID.features))


def loss(log_odds: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0, log_odds) - VALID.label * log_odds))


def test_settings_reach_the_trees() -> None:
    def depth(node: dict[str, Any]) -> int:
        return 0 if "leaf_value" in node else 1 + max(depth(node["left_child"]), depth(node["right_child"]))

    for most in (1, 3):
        params = TRAIN.model_copy(update={"max_depth": most, "num_leaves": 16})
        trees = train_boosters(EVERYTHING, 4, CATEGORICAL, params, 1, 1).models[0].dump_model()["tree_info"]
        assert max(depth(tree["tree_structure"]) for tree in trees) == most
    shrunk = train_boosters(EVERYTHING, 4, CATEGORICAL, TRAIN.model_copy(update={"lambda_l2": 1e6}), 1, 1)
    assert np.ptp(shrunk.log_odds(VALID.features)) < 0.01


@pytest.mark.parametrize(("key", "value"), [("logistic_c", [0.0]), ("linear_shares", [1.1]), ("boosters", 0)])
def test_settings_that_cannot_be_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        TrainParams.model_validate(TRAIN.model_dump() | {key: value})
