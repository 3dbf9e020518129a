"""A scorer's points as shap has them, against shap's own TreeExplainer on the boosters."""

from __future__ import annotations

import numpy as np
import pytest
import shap

from models.explanation.shap_values import shap_explanation
from models.scoring.scorer import Scorer
from tests.support.small_model import ENTRIES, matrix, scorer


def by_tree_explainer(model: Scorer, values: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of shap's own values over the boosters, and of its base value, in log-odds."""
    explainers = [shap.TreeExplainer(booster) for booster in model.models.boosters.models]
    parts = [explainer.shap_values(values) for explainer in explainers]
    assert all(part.shape == values.shape for part in parts)
    return np.mean(parts, axis=0), float(np.mean([explainer.expected_value for explainer in explainers]))


@pytest.mark.filterwarnings("ignore")  # of shap's own
@pytest.mark.parametrize("target_encoding", [False, True])
def test_of_trees_alone_it_is_what_tree_explainer_says(target_encoding: bool) -> None:
    model, rows = scorer(linear_share=0.0, target_encoding=target_encoding), matrix().head(60)
    explanation = shap_explanation(model, rows)
    learners = model.models
    expected, base = by_tree_explainer(model, learners.target_encoding.apply(model.values(rows)).astype("float64"))
    factor = model.metadata.points.factor * model.sigmoid.slope
    np.testing.assert_allclose(explanation.values / factor, expected, atol=1e-6)
    in_log_odds = (explanation.base_values[0] - model.metadata.points.offset) / model.metadata.points.factor
    assert in_log_odds == pytest.approx(model.sigmoid.log_odds(np.array([base]))[0], abs=1e-6)


def test_values_and_base_make_the_points_of_each_lead() -> None:
    model, rows = scorer(), matrix().head(60)
    explanation = shap_explanation(model, rows)
    points = model.score(rows, 0)["points"]
    np.testing.assert_allclose(explanation.values.sum(axis=1) + explanation.base_values, points, atol=1e-9)
    assert explanation.feature_names == [entry.label for entry in ENTRIES]
    np.testing.assert_array_equal(explanation.data, model.values(rows))
    sector = [entry.name for entry in ENTRIES].index("sector")
    assert set(explanation.display_data[:, sector]) <= {"steel", "food", "other", "not known"}
    assert explanation[0].values.shape == (len(ENTRIES),)  # as a waterfall takes it
