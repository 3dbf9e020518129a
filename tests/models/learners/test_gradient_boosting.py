"""Boosters are the same on any number of threads, survive as text, and their contributions are exact Shapley values."""

from __future__ import annotations

import warnings
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest

from models.learners.gradient_boosting import (
    BinnedCuts,
    Boosters,
    Shape,
    TrainingSample,
    TrainParams,
    grow,
    train_boosters,
)
from tests.support.small_model import ENTRIES, LEVELS, TRAIN, everything

EVERYTHING = everything()
FIT, LATER = (
    TrainingSample(EVERYTHING.features[part], EVERYTHING.label[part]) for part in (slice(400), slice(400, None))
)
CATEGORICAL = list(LEVELS)
USUAL = Shape(tuple(CATEGORICAL), (0,) * len(ENTRIES))


def free(k: int) -> Shape:
    """Of k numbers, each without a direction."""
    return Shape((), (0,) * k)


def trained(boosters: int = 3, threads: int = 2, seed: int = 7) -> Boosters:
    params = TRAIN.model_copy(update={"boosters": boosters})
    return train_boosters([EVERYTHING], 6, USUAL, params, seed, threads)


def test_the_number_of_threads_changes_no_byte() -> None:
    assert trained(threads=1).to_text() == trained(threads=2).to_text()
    for method in ("log_odds", "contributions"):
        one, two = (getattr(Boosters(trained().models, threads), method)(LATER.features) for threads in (1, 2))
        assert one.tobytes() == two.tobytes()


def test_each_booster_has_a_seed_of_its_own() -> None:
    assert len(set(trained(boosters=3).to_text())) == 3
    assert trained(seed=7).to_text() == trained(seed=7).to_text() != trained(seed=17).to_text()
    second, alone = trained(boosters=2, seed=7).models[1], trained(boosters=1, seed=8).models[0]
    assert np.array_equal(second.predict(LATER.features), alone.predict(LATER.features))


def test_log_odds_are_the_mean_of_the_models() -> None:
    boosters = trained()
    each = [np.asarray(model.predict(LATER.features, raw_score=True)) for model in boosters.models]
    assert boosters.log_odds(LATER.features) == pytest.approx(np.mean(each, axis=0), abs=1e-12)
    assert np.ptp(boosters.log_odds(LATER.features)) > 0.5


def test_contributions_add_up_to_the_log_odds() -> None:
    boosters = trained()
    rows = LATER.features.copy()
    assert np.isnan(rows).any()
    rows[:5, CATEGORICAL] = 99  # no level of training
    result = boosters.contributions(rows)
    assert result.shape == (len(rows), rows.shape[1] + 1)
    assert result.sum(axis=1) == pytest.approx(boosters.log_odds(rows), abs=1e-9)
    assert np.ptp(result[:, -1]) == 0


def test_contributions_are_shapley_values_counted_out_by_hand() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 3)).astype("float32")
    features[rng.random((300, 3)) < 0.2] = np.nan
    known = np.nan_to_num(features)
    label = (known[:, 0] * known[:, 1] + known[:, 2] + rng.normal(size=300) > 0.3).astype("float64")
    params = TRAIN.model_copy(update={"boosters": 2, "feature_fraction": 1.0, "bagging_fraction": 1.0})
    boosters = train_boosters([TrainingSample(features, label)], 4, free(3), params, 1, 1)
    result = boosters.contributions(features[:10])
    for row, parts in zip(features[:10], result, strict=True):
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

    numeric = [index for index in range(len(ENTRIES)) if index not in LEVELS]
    sample = TrainingSample(EVERYTHING.features[:, numeric], EVERYTHING.label)
    boosters = train_boosters([sample], 6, free(len(numeric)), TRAIN, 1, 1)
    explainers = [shap.TreeExplainer(model) for model in boosters.models]
    for explainer in explainers:
        explainer.model.model_type = "internal"  # its own code; otherwise it asks LightGBM
    values = np.mean([explainer.shap_values(sample.features[:50]) for explainer in explainers], axis=0)
    base = np.mean([explainer.expected_value for explainer in explainers])
    result = boosters.contributions(sample.features[:50])
    assert result[:, :-1] == pytest.approx(values, abs=1e-6)
    assert result[0, -1] == pytest.approx(base, abs=1e-6)
    assert np.abs(values).max() > 0.1


def test_text_brings_back_every_bit() -> None:
    boosters = trained()
    again = Boosters.from_text(boosters.to_text(), 1, boosters.models[0].num_feature())
    assert again.to_text() == boosters.to_text()
    assert again.log_odds(LATER.features).tobytes() == boosters.log_odds(LATER.features).tobytes()
    assert again.contributions(LATER.features).tobytes() == boosters.contributions(LATER.features).tobytes()


def test_a_row_alone_has_the_bits_it_has_among_others() -> None:
    boosters = trained(boosters=11)
    together, parts = boosters.log_odds(LATER.features), boosters.contributions(LATER.features)
    for number in range(20):
        row = LATER.features[number : number + 1]
        assert boosters.log_odds(row)[0] == together[number]
        assert boosters.contributions(row)[0].tobytes() == parts[number].tobytes()
    assert boosters.log_odds(LATER.features[:0]).shape == (0,)
    assert boosters.contributions(LATER.features[:0]).shape == (0, parts.shape[1])


@pytest.mark.parametrize("code", [99.0, -1.0, np.nan, 1e6])
def test_a_level_that_training_did_not_know_scores_as_missing(code: float) -> None:
    boosters = trained()
    rows, missing = LATER.features.copy(), LATER.features.copy()
    rows[:, CATEGORICAL], missing[:, CATEGORICAL] = code, np.nan
    assert boosters.log_odds(rows).tobytes() == boosters.log_odds(missing).tobytes()
    assert boosters.log_odds(rows).tobytes() != boosters.log_odds(LATER.features).tobytes()


def test_nothing_known_at_all_still_gives_a_number() -> None:
    assert np.isfinite(trained().log_odds(np.full((2, len(ENTRIES)), np.nan))).all()


def grown(params: TrainParams, threads: int = 2, cuts: int = 2) -> list[tuple[int, list[np.ndarray]]]:
    """All steps of growing on parts of the rows."""
    samples = [(FIT, LATER.features), (LATER, FIT.features[:30])][:cuts]
    return list(grow(BinnedCuts.of(samples, USUAL, params.max_bin, 7, threads), params, 7, threads))


def test_growing_ends_with_what_training_gives() -> None:
    params = TRAIN.model_copy(update={"max_rounds": 50, "boosters": 3})
    steps = grown(params)
    assert [rounds for rounds, _ in steps] == [20, 40, 50]
    for rounds, raw in steps:
        for (earlier, later), result in zip(((FIT, LATER.features), (LATER, FIT.features[:30])), raw, strict=True):
            trained_at_once = train_boosters([earlier], rounds, USUAL, params, 7, 1)
            assert result == pytest.approx(trained_at_once.log_odds(later), abs=1e-12)  # sums of sums: other last bits


def test_growing_gives_the_same_bytes_on_any_threads_and_beside_any_other_cut() -> None:
    params = TRAIN.model_copy(update={"max_rounds": 30})
    one, two, alone = grown(params, threads=1), grown(params, threads=2), grown(params, cuts=1)
    for (rounds, first), (again, second), (_, single) in zip(one, two, alone, strict=True):
        assert rounds == again
        assert [raw.tobytes() for raw in first] == [raw.tobytes() for raw in second]
        assert single[0].tobytes() == first[0].tobytes()


def test_growing_waits_for_the_caller() -> None:
    cuts = BinnedCuts.of([(FIT, LATER.features)], USUAL, TRAIN.max_bin, 7, 2)
    steps = grow(cuts, TRAIN.model_copy(update={"max_rounds": 10**9}), 7, 2)
    assert [next(steps)[0] for _ in range(7)] == [20, 40, 60, 80, 100, 120, 144]


@pytest.mark.parametrize("rows", [98, 300])
def test_boosters_that_find_nothing_to_split_in_some_or_all_rounds_grow_as_they_train(rows: int) -> None:
    params = TRAIN.model_copy(update={"max_rounds": 60, "min_child_samples": rows, "bagging_fraction": 0.5})
    for rounds, raw in grown(params, cuts=1):
        assert raw[0] == pytest.approx(train_boosters([FIT], rounds, USUAL, params, 7, 1).log_odds(LATER.features))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_declared_direction_is_obeyed(sign: int) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(1500, 3)).astype("float32")
    label = (np.sin(3 * features[:, 0]) + features[:, 1] * features[:, 0] + rng.normal(size=1500) > 0).astype("float64")
    whole = TRAIN.model_copy(update={"feature_fraction": 1.0, "max_depth": 4})
    rows = features[:200].repeat(25, axis=0)
    rows[:, 0] = np.tile(np.linspace(-3, 3, 25), 200)

    def steps(shape: Shape) -> np.ndarray:
        log_odds = train_boosters([TrainingSample(features, label)], 30, shape, whole, 1, 2).log_odds(rows)
        return sign * np.diff(log_odds.reshape(200, 25), axis=1)

    assert steps(Shape((), (sign, 0, 0))).min() >= -1e-12
    assert steps(Shape((), (sign, 0, 0))).max() > 0.01  # held, and yet learned from
    assert steps(free(3)).min() < -0.01


def unsampled(**changed: object) -> TrainParams:
    """Parameters under which nothing is random."""
    return TRAIN.model_copy(update={"boosters": 1, "bagging_fraction": 1.0, "feature_fraction": 1.0} | changed)


def test_a_row_that_weighs_nothing_changes_nothing() -> None:
    """Its label does not matter; where it lies still sets the cuts, which depend on values and not on labels."""
    weight = np.where(np.arange(len(FIT.label)) % 3 == 0, 0.0, 1.0)
    turned = np.where(weight == 0, 1 - FIT.label, FIT.label)
    first, second, unweighted = (
        train_boosters([TrainingSample(FIT.features, label, given)], 6, USUAL, unsampled(), 1, 1).log_odds(
            LATER.features
        )
        for label, given in ((FIT.label, weight), (turned, weight), (turned, None))
    )
    assert first.tolist() == second.tolist()
    assert np.abs(first - unweighted).max() > 0.1


def test_a_row_that_weighs_twice_counts_as_two() -> None:
    params = unsampled(min_child_samples=1)
    features = FIT.features[:, [index for index in range(len(ENTRIES)) if index not in LEVELS]].clip(0, 5).round()
    weight = 1.0 + (np.arange(len(FIT.label)) % 2)
    twice, shape = np.repeat(np.arange(len(weight)), weight.astype(int)), free(features.shape[1])
    weighted = train_boosters([TrainingSample(features, FIT.label, weight)], 3, shape, params, 1, 1)
    repeated = train_boosters([TrainingSample(features[twice], FIT.label[twice])], 3, shape, params, 1, 1)
    assert weighted.log_odds(features) == pytest.approx(repeated.log_odds(features), abs=1e-4)
    plain = train_boosters([TrainingSample(features, FIT.label)], 3, shape, params, 1, 1)
    assert np.abs(plain.log_odds(features) - weighted.log_odds(features)).max() > 0.05


def test_settings_reach_the_trees() -> None:
    def depth(node: dict[str, Any]) -> int:
        return 0 if "leaf_value" in node else 1 + max(depth(node["left_child"]), depth(node["right_child"]))

    for most in (1, 3):
        params = TRAIN.model_copy(update={"max_depth": most, "num_leaves": 16})
        trees = train_boosters([EVERYTHING], 4, USUAL, params, 1, 1).models[0].dump_model()["tree_info"]
        assert max(depth(tree["tree_structure"]) for tree in trees) == most
    shrunk = train_boosters([EVERYTHING], 4, USUAL, TRAIN.model_copy(update={"lambda_l2": 1e6}), 1, 1)
    assert np.ptp(shrunk.log_odds(LATER.features)) < 0.01


@pytest.mark.parametrize(("key", "value"), [("boosters", 0), ("feature_fraction", 1.1), ("cat_smooth", 0.0)])
def test_settings_that_cannot_be_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=key):
        TrainParams.model_validate(TRAIN.model_dump() | {key: value})
