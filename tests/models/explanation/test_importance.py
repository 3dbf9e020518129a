"""Importances are mean absolute points, groups are summed before the mean, and dependences describe every row once."""

from __future__ import annotations

import numpy as np
import pytest

from features.matrix.catalogue import Entry
from models.explanation.importance import BINS, by_group, dependence, importance
from models.explanation.results import DependencePoint
from tests.support.small_model import ENTRIES, NAMES, matrix, scorer

PLACE = {name: place for place, name in enumerate(NAMES)}
NUMBER, CATEGORY = ENTRIES[PLACE["size"]], ENTRIES[PLACE["sector"]]


def table(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, len(ENTRIES))), matrix()[NAMES].head(n).to_numpy("float64", copy=True)


def test_importance_is_the_mean_of_absolute_points() -> None:
    points, features = table()
    points[:, PLACE["size"]] = np.where(np.arange(200) % 2, 40.0, -40.0)
    ranked = importance(points, features, ENTRIES)
    assert ranked["name"].iloc[0] == "size"
    assert ranked["mean_points"].iloc[0] == 40.0
    assert sorted(ranked["name"]) == sorted(NAMES)
    assert ranked["mean_points"].is_monotonic_decreasing
    assert ranked["share"].sum() == pytest.approx(1)
    found = ranked.set_index("name")["mean_points"]
    assert found[NAMES].to_numpy() == pytest.approx(np.abs(points).mean(axis=0))
    assert ranked[["label", "theme_label", "group", "channel"]].iloc[0].tolist() == [
        NUMBER.label,
        NUMBER.theme_label,
        "fit",
        "none",
    ]


def test_ties_are_ordered_by_name_and_nothing_at_all_has_no_share() -> None:
    points, features = np.zeros((5, len(ENTRIES))), table(5)[1]
    ranked = importance(points, features, ENTRIES)
    assert ranked["name"].tolist() == sorted(NAMES)
    assert ranked["share"].tolist() == [0.0] * len(NAMES)
    assert set(ranked["direction"]) == {"mixed", "by level"}


@pytest.mark.parametrize(
    ("points_of", "direction"),
    [
        (lambda values: values, "up"),
        (lambda values: -values, "down"),
        (lambda values: (values - 50) ** 2, "mixed"),
        (lambda values: 0 * values, "mixed"),
    ],
)
def test_the_direction_of_a_number(points_of: object, direction: str) -> None:
    points, features = table(100)
    features[:, PLACE["size"]] = np.arange(100.0)
    points[:, PLACE["size"]] = points_of(np.arange(100.0))  # type: ignore[operator]  # one of the functions above
    features[::2, PLACE["size"]] = np.nan  # what is missing has points, but no position along the values
    points[::2, PLACE["size"]] = 9000.0 if direction == "up" else -9000.0
    found = importance(points, features, ENTRIES).set_index("name")["direction"]
    assert found["size"] == direction
    assert found["sector"] == "by level"


def test_groups_are_summed_before_the_mean() -> None:
    points = np.zeros((2, len(ENTRIES)))
    fit = [place for place, entry in enumerate(ENTRIES) if entry.group == "fit"]
    points[:, fit[0]], points[:, fit[1]] = [3, 5], [-3, 1]
    points[:, PLACE["recency__call"]] = [-4, 4]
    assert by_group(points, ENTRIES, "group").to_dict("list") == {
        "name": ["engagement", "fit"],
        "mean_points": [4.0, 3.0],
    }
    points, _ = table()
    for column in ("theme_label", "channel", "group"):
        found = by_group(points, ENTRIES, column).set_index("name")["mean_points"]
        for name in found.index:
            inside = [place for place, entry in enumerate(ENTRIES) if getattr(entry, column) == name]
            assert found[name] == pytest.approx(np.abs(points[:, inside].sum(axis=1)).mean())


def described(entry: Entry, values: list[float], points: list[float], label: list[float]) -> list[DependencePoint]:
    return dependence(np.array(points, "float64"), np.array(values, "float64"), np.array(label, "float64"), entry)


def test_levels_are_described_by_name_and_missing_comes_last() -> None:
    nan = float("nan")
    found = described(CATEGORY, [1, 0, nan, 1, nan], [2, 5, -1, 4, -3], [1, 0, 0, 0, 1])
    assert [(row.value, row.n, row.points, row.rate) for row in found] == [
        ("steel", 1, 5.0, 0.0),
        ("food", 2, 3.0, 0.5),
        (None, 2, -2.0, 0.5),
    ]
    assert (found[1].points_low, found[1].points_high) == (pytest.approx(2.2), pytest.approx(3.8))


def test_numbers_are_described_in_groups_along_their_value() -> None:
    rng = np.random.default_rng(1)
    values = rng.permutation(1200.0 + np.arange(1200))
    values[:120] = np.nan
    points, label = np.nan_to_num(values) / 100, (rng.random(1200) < 0.3).astype("float64")
    found = described(NUMBER, values.tolist(), points.tolist(), label.tolist())
    assert len(found) == BINS + 1
    assert sum(row.n for row in found) == 1200
    assert {row.n for row in found[:-1]} == {90}
    known = [float(str(row.value)) for row in found[:-1]]
    assert known == sorted(known)
    assert [row.points for row in found[:-1]] == pytest.approx([value / 100 for value in known], rel=0.01)
    assert found[-1].value is None
    total = sum(row.rate * row.n for row in found)
    assert total == pytest.approx(label.sum())


def test_few_distinct_values_and_none_at_all() -> None:
    found = described(NUMBER, [0, 0, 0, 0, 0, 0, 0, 3], [1] * 8, [0] * 8)
    assert [(row.value, row.n) for row in found] == [(0.0, 7), (3.0, 1)]
    nothing = described(NUMBER, [float("nan")] * 3, [1, 2, 3], [0, 0, 1])
    assert [(row.value, row.n, row.points) for row in nothing] == [(None, 3, 2.0)]


def test_a_level_that_training_did_not_know_is_described_with_the_missing() -> None:
    found = described(CATEGORY, [0, 99, -1, float("nan")], [1, 2, 3, 4], [0, 0, 0, 1])
    assert [(row.value, row.n) for row in found] == [("steel", 1), (None, 3)]


def test_a_scorer_explains_itself() -> None:
    _, points = scorer().contributions(matrix())
    features = scorer().values(matrix()).astype("float64")
    ranked = importance(points, features, ENTRIES).set_index("name")
    assert ranked.loc["count__visit__7d", "direction"] == "up"
    assert ranked.loc["recency__call", "direction"] == "down"
    assert {"sector", "count__visit__7d", "recency__call"} <= set(ranked.head(8).index)
