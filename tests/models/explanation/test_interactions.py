"""Pairs of features: their points are those of the definition, and each is told once, with every row in one cell."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from models.explanation.interactions import GROUPS, interactions
from models.learners.tree_shap import interactions as of_trees
from tests.support.small_model import ENTRIES, NAMES, matrix, scorer

# Features that the small trees use.
USED = [
    "sector",
    "size",
    "stage",
    "lead_age",
    "count__visit__1d",
    "count__visit__7d",
    "recency__visit",
    "recency__call",
]

SPLIT = {"decision_type": "<=", "default_left": True, "missing_type": "None", "threshold": 0.0}


def leaf(value: float, rows: int) -> dict[str, Any]:
    return {"leaf_value": value, "leaf_count": rows}


def split(feature: int, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    rows = sum(side.get("internal_count", side.get("leaf_count", 0)) for side in (left, right))
    return SPLIT | {"split_feature": feature, "internal_count": rows, "left_child": left, "right_child": right}


TREE = split(
    0,
    split(1, split(2, leaf(1.0, 10), leaf(4.0, 5)), leaf(-2.0, 20)),
    split(1, leaf(0.5, 7), split(0, leaf(9.0, 2), leaf(3.0, 8))),
)


def worth(node: dict[str, Any], row: tuple[float, ...], known: frozenset[int]) -> float:
    """What the tree says of a row of which only some features are known."""
    if "leaf_value" in node:
        return float(node["leaf_value"])
    sides = [node["left_child"], node["right_child"]]
    if node["split_feature"] in known:
        return worth(sides[int(row[node["split_feature"]] > 0)], row, known)
    counts = [side.get("internal_count", side.get("leaf_count")) for side in sides]
    return sum(worth(side, row, known) * n for side, n in zip(sides, counts, strict=True)) / sum(counts)


def by_definition(row: tuple[float, ...], pair: tuple[int, int]) -> float:
    """Over every coalition of the other features: what both add, less what each adds alone."""
    others = [feature for feature in range(4) if feature not in pair]
    total = 0.0
    for size in range(len(others) + 1):
        weight = math.factorial(size) * math.factorial(len(others) - size) / math.factorial(len(others) + 1)
        for chosen in map(frozenset, itertools.combinations(others, size)):
            one, other = (worth(TREE, row, chosen | {feature}) for feature in pair)
            total += weight * (worth(TREE, row, chosen | {*pair}) - one - other + worth(TREE, row, chosen))
    return total


def test_a_pair_has_the_interaction_of_the_definition() -> None:
    rows = list(itertools.product([-1.0, 1.0], repeat=4))
    found = of_trees([[TREE]], np.array(rows), range(4))
    for values, pair in zip(found, itertools.combinations(range(4), 2), strict=True):
        assert values.tolist() == pytest.approx([by_definition(row, pair) for row in rows])
    assert np.abs(found).max() > 0.5
    assert not found[[2, 4, 5]].any(), "a feature that no split asks for acts with none"


def test_models_are_averaged_and_pairs_come_as_asked() -> None:
    rows = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
    alone = of_trees([[TREE]], rows, [0, 1, 2])
    assert of_trees([[TREE, TREE], [TREE]], rows, [0, 1, 2]) == pytest.approx(1.5 * alone)
    assert of_trees([[TREE]], rows, [1, 2])[0].tolist() == alone[2].tolist()


def test_sums_without_interactions_are_single_shares() -> None:
    stumps = [split(feature, leaf(1.0, 3), leaf(-1.0, 9)) for feature in range(3)]
    assert not of_trees([stumps], np.random.default_rng(0).normal(size=(9, 3)), range(3)).any()


def test_a_scorers_pairs_are_on_the_scale_of_the_score() -> None:
    rows, among = matrix().head(200), [NAMES.index(name) for name in ("sector", "count__visit__7d", "recency__call")]
    halved, whole, none = (scorer(linear_share=share).interactions(rows, among) for share in (0.5, 0.0, 1.0))
    assert halved is not None
    assert whole is not None
    assert none is not None
    assert whole == pytest.approx(2 * halved)
    assert not none.any()
    metadata, boosters = scorer().metadata, scorer().models.boosters
    raw = boosters.interactions(scorer().values(rows), among)
    assert whole == pytest.approx(metadata.points.factor * metadata.sigmoid.slope * raw)
    assert np.abs(whole).max() > 0.01


def test_the_strongest_pairs_are_listed_with_every_row_in_one_cell() -> None:
    rows = matrix().head(300)
    pairs = interactions(scorer(linear_share=0.0), rows, USED, 5)
    assert pairs
    assert len(pairs) <= 5
    strength = [pair.mean_points for pair in pairs]
    assert strength == sorted(strength, reverse=True)
    theme = {entry.name: entry.theme for entry in ENTRIES}
    among = sorted(NAMES.index(name) for name in USED)
    points = scorer(linear_share=0.0).interactions(rows, among)
    assert points is not None
    strongest = {
        frozenset((NAMES[one], NAMES[other])): np.abs(points[number]).mean()
        for number, (one, other) in enumerate(itertools.combinations(among, 2))
        if theme[NAMES[one]] != theme[NAMES[other]]
    }
    assert strength[0] == pytest.approx(max(strongest.values()))
    for pair in pairs:
        assert theme[pair.feature] != theme[pair.other]
        cells = [cell for row in pair.cells for cell in row]
        assert sum(cell.n for cell in cells) == pair.n == 300
        assert (len(pair.cells), len(pair.cells[0])) == (len(pair.rows), len(pair.columns))
        assert max(len(pair.rows), len(pair.columns)) <= GROUPS + 1
        weighted = sum(cell.n * (cell.points or 0.0) for cell in cells if cell.n)
        number = next(
            index
            for index, both in enumerate(itertools.combinations(among, 2))
            if {NAMES[both[0]], NAMES[both[1]]} == {pair.feature, pair.other}
        )
        assert weighted / 300 == pytest.approx(points[number].mean())
