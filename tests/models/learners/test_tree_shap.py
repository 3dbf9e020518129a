"""Tables equal LightGBM: the same log-odds to the last bit, the same SHAP values, whatever a value is."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import cache
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from models.learners import gradient_boosting as booster
from models.learners import tree_shap as tree_tables
from models.learners.gradient_boosting import Boosters
from models.learners.tree_paths import deepest_path
from models.learners.tree_shap import TreeTables

K = 7
KINDS = ["numbers", "gaps", "categories", "deep"]


def rows(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, K)).round(1)
    features[:, 4:] = rng.integers(0, 40, (n, K - 4))
    return features.astype("float32")


def with_gaps(features: np.ndarray) -> np.ndarray:
    return np.where(np.random.default_rng(1).random(features.shape) < 0.2, np.nan, features).astype("float32")


@cache
def boosters(kind: str) -> Boosters:
    features = rows(3000) if kind == "numbers" else with_gaps(rows(3000))
    known = np.nan_to_num(features, nan=0.5)
    worth = known[:, 0] * known[:, 1] + np.sin(known[:, 4]) + (known[:, 5] % 3) - known[:, 2] * (known[:, 6] > 20)
    label = (np.random.default_rng(2).random(3000) < 1 / (1 + np.exp(-worth))).astype("float64")
    settings = {"objective": "binary", "num_leaves": 31, "max_depth": 9 if kind == "deep" else 5, "verbose": -1,
                "min_child_samples": 5, "num_threads": 1, "feature_fraction": 0.7, "deterministic": True}  # fmt: skip
    codes = [4, 5] if kind in ("categories", "deep") else []
    data = lgb.Dataset(features, label, categorical_feature=codes, free_raw_data=False)
    return Boosters(tuple(lgb.train(settings | {"seed": seed}, data, 12) for seed in range(3)), 2)


def by_lightgbm(kind: str, features: np.ndarray, contributions: bool = False) -> np.ndarray:
    models = boosters(kind).models
    return sum(model.predict(features, raw_score=True, pred_contrib=contributions) for model in models) / len(models)


@cache
def tables(kind: str) -> TreeTables:
    result = boosters(kind).explaining
    assert result is not None
    return result


def strange(kind: str) -> np.ndarray:
    """Rows with every kind of value: on thresholds, beside them, missing, infinite, unknown and broken codes."""
    odd = np.array([np.nan, np.inf, -np.inf, -1, -0.5, 99, 2.5, 0, 1e-36, -1e-36, 1e-35, 3e38])
    sampled = np.random.default_rng(3).choice(odd, (400, K))
    return np.concatenate([sampled, tables(kind).corner_cases(400, K), with_gaps(rows(400, seed=9))])


@pytest.mark.parametrize("kind", KINDS)
def test_log_odds_are_those_of_lightgbm_to_the_last_bit(kind: str) -> None:
    features = strange(kind)
    assert tables(kind).log_odds(features, 1).tobytes() == by_lightgbm(kind, features).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_contributions_are_those_of_lightgbm(kind: str) -> None:
    features = strange(kind)
    ours, theirs = tables(kind).contributions(features, 1), by_lightgbm(kind, features, contributions=True)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert np.abs(theirs[:, :-1]).max() > 0.3


def test_a_small_tree_gives_the_mean_over_all_orders_of_its_features() -> None:
    """The definition, worked out: what a feature adds, averaged over the orders in which features become known."""
    leaf = [{"leaf_value": value, "leaf_count": count} for value, count in ((1.0, 10), (5.0, 30), (-2.0, 60))]
    below = {"split_feature": 1, "threshold": 0.0, "decision_type": "<=", "default_left": True, "missing_type": "None",
             "internal_count": 40, "left_child": leaf[0], "right_child": leaf[1]}  # fmt: skip
    tree = below | {"split_feature": 0, "internal_count": 100, "left_child": below, "right_child": leaf[2]}

    def worth(node: dict[str, Any], row: np.ndarray, known: set[int]) -> float:
        if "leaf_value" in node:
            return float(node["leaf_value"])
        sides = [node["left_child"], node["right_child"]]
        if node["split_feature"] in known:
            return worth(sides[int(row[node["split_feature"]] > node["threshold"])], row, known)
        counts = [side.get("internal_count", side.get("leaf_count")) for side in sides]
        return sum(worth(side, row, known) * n for side, n in zip(sides, counts, strict=True)) / sum(counts)

    for row in itertools.product([-1.0, 1.0], repeat=2):
        values, adds = np.array(row), np.zeros(2)
        for order in itertools.permutations(range(2)):
            for step, feature in enumerate(order):
                before, after = set(order[:step]), set(order[: step + 1])
                adds[feature] += (worth(tree, values, after) - worth(tree, values, before)) / math.factorial(2)
        result = TreeTables.of([[tree]]).contributions(values[None], 1)[0]
        assert result.tolist() == pytest.approx([*adds, worth(tree, values, set())])


def test_a_row_has_the_same_bits_alone_in_other_blocks_and_on_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    features = strange("categories")
    together = [method(features, 1) for method in (tables("categories").log_odds, tables("categories").contributions)]
    monkeypatch.setattr(tree_tables, "BLOCK_ROWS", 64)
    for method, expected in zip(
        (tables("categories").log_odds, tables("categories").contributions), together, strict=True
    ):
        assert method(features, 2).tobytes() == expected.tobytes()
        assert method(features[300:301], 1).tobytes() == expected[300:301].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_the_same_bits_alone(kind: str) -> None:
    features = strange(kind)
    log_odds, parts = tables(kind).explained(features, 1)
    alone = [tables(kind).explained(features[row : row + 1], 1) for row in range(0, len(features), 3)]
    assert np.concatenate([one for one, _ in alone]).tobytes() == log_odds[::3].tobytes()
    assert np.concatenate([one for _, one in alone]).tobytes() == np.ascontiguousarray(parts[::3]).tobytes()


def test_a_tree_with_many_states_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [[tree["tree_structure"] for tree in model.dump_model()["tree_info"]] for model in boosters("deep").models]
    features, whole = strange("deep"), tables("deep")
    monkeypatch.setattr(tree_tables, "MOST_CELLS", 20)
    cut = TreeTables.of(trees)
    assert len(cut.tables) > 1.5 * len(whole.tables)
    assert cut.log_odds(features, 1).tobytes() == whole.log_odds(features, 1).tobytes()
    np.testing.assert_allclose(cut.contributions(features, 1), whole.contributions(features, 1), rtol=0, atol=1e-12)


def test_many_rows_have_the_bits_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    features = strange("categories")
    few = boosters("categories").log_odds(features)
    monkeypatch.setattr(booster, "MANY_ROWS", 10)
    monkeypatch.setattr(booster, "_predict", lambda *_: pytest.fail("many rows go by tables"))
    assert boosters("categories").log_odds(features).tobytes() == few.tobytes()


@pytest.mark.parametrize("fault", ["leaf_value", "leaf_count"])
def test_where_tables_and_lightgbm_disagree_lightgbm_explains(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Changed(lgb.Booster):
        def dump_model(self, *given: Any, **named: Any) -> dict[str, Any]:
            tree = super().dump_model(*given, **named)
            node = tree["tree_info"][0]["tree_structure"]
            while "left_child" in node:
                node = node["left_child"]
            return (tree, node.update({fault: node[fault] * 2}))[0]

    models = tuple(Changed(model_str=model.model_to_string()) for model in boosters("gaps").models)
    changed = replace(boosters("gaps"), models=models)
    assert changed.explaining is None
    assert changed.tables is None
    monkeypatch.setattr(booster, "MANY_ROWS", 1)
    features = strange("gaps")
    assert changed.log_odds(features).tolist() == boosters("gaps").log_odds(features).tolist()
    assert changed.contributions(features).tolist() == by_lightgbm("gaps", features, contributions=True).tolist()


def test_lightgbm_explains_trees_too_deep_for_tables() -> None:
    """A leaf behind many features has so many states that its table would not fit into memory."""
    features = np.random.default_rng(0).integers(0, 2, (4000, 12)).astype("float64")
    label = (features.prod(axis=1, where=np.arange(12) < 11) > 0).astype("float64")
    label[:40], features[:40, :11] = 1.0, 1.0
    settings = {"objective": "binary", "num_leaves": 12, "min_child_samples": 1, "verbose": -1, "num_threads": 1}
    deep = Boosters((lgb.train(settings, lgb.Dataset(features, label), 2),), 1)
    trees = [tree["tree_structure"] for tree in deep.models[0].dump_model()["tree_info"]]
    assert max(map(deepest_path, trees)) > tree_tables.LONGEST_PATH
    assert deep.tables is None
    np.testing.assert_allclose(deep.contributions(features[:9]).sum(axis=1), deep.log_odds(features[:9]), atol=1e-12)


def test_trees_without_a_split_and_no_rows() -> None:
    constant = TreeTables.of([[{"leaf_value": 0.25, "leaf_count": 9}], [{"leaf_value": -0.75}]])
    assert constant.log_odds(rows(3), 1).tolist() == [-0.25] * 3
    assert constant.contributions(rows(2), 1).tolist() == [[0.0] * K + [-0.25]] * 2
    assert constant.contributions(rows(1), 1).tolist() == [[0.0] * K + [-0.25]]
    assert tables("gaps").contributions(rows(0), 2).shape == (0, K + 1)
