"""The scale is anchored, its points double the odds, and the parts of a score add up to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.points.scale import PointScale, PointsParams, add_columns, clipped, score
from tests.support.small_model import matrix, scorer

BY_FIVE = PointScale(anchor_score=50, anchor_probability=0.05, double_odds=12)
scales = st.builds(
    PointScale,
    anchor_score=st.floats(0, 100),
    anchor_probability=st.floats(0.001, 0.999),
    double_odds=st.floats(0.5, 50),
)


@given(scales, st.floats(-15, 15))
def test_anchor_and_doubling(scale: PointScale, log_odds: float) -> None:
    at_anchor = math.log(scale.anchor_probability / (1 - scale.anchor_probability))
    one, twice, anchor = scale.points(np.array([log_odds, log_odds + math.log(2), at_anchor]))
    assert anchor == pytest.approx(scale.anchor_score, abs=1e-9)
    assert twice - one == pytest.approx(scale.double_odds, abs=1e-9)
    assert scale.points(np.zeros(1))[0] == pytest.approx(scale.offset)


@pytest.mark.parametrize("linear_share", [0.0, 0.3, 1.0])
def test_base_and_features_add_up_to_the_points(linear_share: float) -> None:
    model = scorer(linear_share=linear_share)
    base, parts = model.contributions(matrix())
    scored = model.score(matrix(), reasons=0)
    points = scored.set_index("lead_id")["points"].loc[matrix()["lead_id"]].to_numpy()
    assert base + parts.sum(axis=1) == pytest.approx(points, abs=1e-9)
    assert (scored["base_points"] + scored["fit"] + scored["engagement"]).to_numpy() == pytest.approx(
        scored["points"].to_numpy(), abs=1e-9
    )
    for group in ("fit", "engagement"):
        of_group = [index for index, entry in enumerate(model.catalogue) if entry.group == group]
        expected = parts[:, of_group].sum(axis=1)
        assert scored.set_index("lead_id")[group].loc[matrix()["lead_id"]].to_numpy() == pytest.approx(expected)
        assert np.ptp(expected) > 1


@given(st.lists(st.floats(-300, 400), min_size=1))
def test_only_the_score_is_clipped_and_rounded(points: list[float]) -> None:
    result = score(np.array(points))
    assert result.dtype == np.int64
    for value, whole in zip(points, result, strict=True):
        assert whole == (0 if value < 0 else 100 if value > 100 else pytest.approx(value, abs=0.5))
    assert PointScale(anchor_score=50, anchor_probability=0.5, double_odds=10).points(np.array([50.0]))[0] > 100


@pytest.mark.parametrize(("base_rate", "anchor"), [(0.036712, 0.037), (0.3853, 0.39), (0.0, 0.001), (1.0, 0.999)])
def test_without_an_anchor_it_is_the_base_rate_of_the_training_rows(base_rate: float, anchor: float) -> None:
    scale = PointsParams().scale(base_rate)
    assert scale == PointScale(anchor_score=50, anchor_probability=anchor, double_odds=12)
    assert PointsParams(anchor_probability=0.05, double_odds=20).scale(base_rate).anchor_probability == 0.05


def test_a_retraining_keeps_the_scale_unless_the_params_set_another() -> None:
    champion = PointScale(anchor_score=40, anchor_probability=0.037, double_odds=9)
    assert PointsParams().kept(champion).scale(0.2) == champion
    assert PointsParams(anchor_probability=0.1).kept(champion).scale(0.2).anchor_probability == 0.1


def test_where_many_convert_the_learned_anchor_keeps_scores_apart_and_a_steep_scale_is_told() -> None:
    """Of 2,381 leads of whom 38% convert 854 had a score of 100 by an anchor of 5%."""
    log_odds = np.random.default_rng(1).normal(-0.5, 2.0, 5000)
    by_five = clipped(points := PointsParams(anchor_probability=0.05).scale(0.38).points(log_odds), BY_FIVE)
    learned = PointsParams().scale(0.38)
    by_base = clipped(learned.points(log_odds), learned)
    assert (points > 100).mean() == by_five.high > 0.3
    assert by_base.low + by_base.high < 0.15
    assert by_base.too_many
    gentle = PointsParams(double_odds=by_base.fitting).scale(0.38)
    assert not clipped(gentle.points(log_odds), gentle).too_many
    assert f"points.double_odds: {by_base.fitting:g}, rather than 12" in by_base.sentence
    flat = clipped(learned.points(np.full(10, -0.5)), learned)
    assert (flat.too_many, flat.fitting) == (False, 12)


def test_columns_are_added_the_same_whatever_the_other_rows() -> None:
    points = np.random.default_rng(0).normal(size=(500, 40))
    columns = list(range(1, 40, 2))
    together = add_columns(points, columns)
    assert together == pytest.approx(points[:, 1::2].sum(axis=1))
    assert [add_columns(points[row : row + 1], columns)[0] for row in range(500)] == together.tolist()
    assert add_columns(points, []).tolist() == [0.0] * 500
