"""The groups of points divide what they should, whatever the features, and stand on the scale that stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from features.rules.declarations import RulesParams
from models.learners.ensemble import Ensemble
from models.points.groups import POINT_GROUPS, Part, PartSums, parts_of, point_groups
from models.points.scale import PointScale, scale_change
from models.scoring.rule_scorer import rule_parts
from models.scoring.scorer import Scorer
from tests.support.small_model import ENTRIES, SETTINGS, history, matrix, metadata, scorecard, scorer
from tests.support.tables import PARAMS, SCALE, SPEC

parts = st.lists(
    st.builds(
        Part,
        group=st.sampled_from(["fit", "engagement"]),
        channel=st.sampled_from(["online", "offline", "none"]),
        theme=st.sampled_from(["a", "b", "c", "d"]),
    ),
    min_size=1,
    max_size=12,
)


@given(parts, st.integers(0, 2**32 - 1))
def test_groups_divide_all_points_and_channels_divide_engagement(of: list[Part], seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 5, (7, len(of)))
    result = point_groups(points, PartSums.of(of))
    assert tuple(result) == POINT_GROUPS
    assert result["fit"] + result["engagement"] == pytest.approx(points.sum(axis=1))
    assert result["online"] + result["offline"] + result["other_engagement"] == pytest.approx(result["engagement"])
    for channel, name in (("online", "online"), ("offline", "offline"), ("none", "other_engagement")):
        mask = [one.group == "engagement" and one.channel == channel for one in of]
        assert result[name] == pytest.approx(points[:, mask].sum(axis=1))
    alone = [point_groups(points[row : row + 1], PartSums.of(of)) for row in range(len(points))]
    for name in POINT_GROUPS:
        assert [one[name][0] for one in alone] == result[name].tolist()


@given(parts, st.integers(0, 2**32 - 1))
def test_negative_is_what_the_themes_against_a_lead_take(of: list[Part], seed: int) -> None:
    points = np.random.default_rng(seed).normal(0, 5, (7, len(of)))
    by_theme = pd.DataFrame(points.T, index=[one.theme for one in of]).groupby(level=0).sum()
    against = point_groups(points, PartSums.of(of))["negative"]
    assert against == pytest.approx(by_theme.clip(upper=0).sum().to_numpy())
    in_favour = -point_groups(-points, PartSums.of(of))["negative"]
    assert against + in_favour == pytest.approx(points.sum(axis=1))


def test_the_catalogue_declares_the_channel_of_a_feature() -> None:
    of = dict(zip([entry.name for entry in ENTRIES], parts_of(ENTRIES), strict=True))
    assert of["count__visit__7d"] == Part("engagement", "online", "event:visit")
    assert of["count__any_offline__7d"].channel == "offline"
    assert of["count__any_event__7d"].channel == of["count__call__7d"].channel == "none"  # calls are of both here
    assert (of["stage"].group, of["stage"].channel) == ("engagement", "none")
    assert of["size"].group == "fit"


def test_every_sum_of_a_scored_list_reconciles() -> None:
    scored = scorer().score(matrix(), reasons=99)
    assert scored["online"].abs().max() > 1
    assert scored["other_engagement"].abs().max() > 1
    np.testing.assert_allclose(scored["base_points"] + scored["fit"] + scored["engagement"], scored["points"])
    np.testing.assert_allclose(scored["online"] + scored["offline"] + scored["other_engagement"], scored["engagement"])
    sums = pd.DataFrame(scorer().contributions(matrix())[1].T, index=[entry.theme for entry in ENTRIES])
    expected = sums.groupby(level=0).sum().clip(upper=0).sum().set_axis(matrix()["lead_id"])
    np.testing.assert_allclose(scored["negative"], expected.loc[scored["lead_id"]], atol=1e-9)


def test_a_rule_is_of_the_channel_that_all_its_types_are_of() -> None:
    decay = {"cap": None, "decay": None, "points": 5}
    rules = RulesParams.model_validate(
        PARAMS.rules.model_dump()
        | {
            "attributes": [
                {"name": "late", "attribute": "stage", "test": "is", "value": ["late"], "points": 3},
                {"name": "big", "attribute": "size", "test": "at_least", "value": 9, "points": 3},
            ],
            "events": [
                {"name": "came", "types": ["visit"]} | decay,
                {"name": "spoke", "types": ["call"]} | decay,
                {"name": "either", "types": ["visit", "call"]} | decay,
                {"name": "rare", "types": ["never seen"]} | decay,
            ],
            "patterns": [
                {"name": "often", "types": ["visit"], "answers": [], "times": 3, "days": None, "points": 2},
            ],
        }
    )
    result = {name: (part.group, part.channel) for name, part in rule_parts(rules, SPEC).items()}
    assert result == {
        "late": ("engagement", "none"),
        "big": ("fit", "none"),
        "came": ("engagement", "online"),
        "spoke": ("engagement", "none"),
        "either": ("engagement", "none"),
        "rare": ("engagement", "none"),
        "often": ("engagement", "online"),
    }


def test_a_retraining_at_another_base_rate_keeps_the_scale() -> None:
    """The same probability is the same score, by a model of many and by a model of few conversions."""
    rare = matrix()[(matrix()["label"] == 0) | (matrix().index % 5 == 0)].reset_index(drop=True)
    retrained = Ensemble.train(history(rare), replace(SETTINGS, rounds=9), seed=5, threads=2)
    level = {"sigmoid": metadata().sigmoid.model_copy(update={"intercept": -1.0}), "base_rate": rare["label"].mean()}
    models = [scorer(), Scorer(metadata(**level), retrained, scorecard())]
    lists = [model.score(matrix(), 0) for model in models]
    assert lists[1]["probability"].mean() < lists[0]["probability"].mean() - 0.05
    assert lists[0]["base_points"].iloc[0] != lists[1]["base_points"].iloc[0]
    scale = SCALE
    for scored in lists:
        at_anchor = logit(scored["probability"]) - logit(scale.anchor_probability)
        expected = scale.anchor_score + scale.double_odds * at_anchor / np.log(2)
        np.testing.assert_allclose(scored["points"], expected, atol=1e-6)
    both = pd.concat(lists).sort_values("probability")
    assert both["score"].is_monotonic_increasing


def test_a_change_of_the_scale_is_described_by_what_a_score_means() -> None:
    before = PointScale(anchor_score=50, anchor_probability=0.05, double_odds=12)
    after = PointScale(anchor_score=40, anchor_probability=0.05, double_odds=10)
    text = scale_change(before, after)  # 10 points above the new anchor: odds of 1/19 twice
    assert "50 points meant a probability of 0.05 and now mean 0.0952" in text
    assert "from 50 points at 0.05, 12 more double the odds to 40 points at 0.05, 10 more double the odds" in text
