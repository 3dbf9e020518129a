"""The forward folds as scikit-learn takes them are those of a run, in any order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from models.splitting.forward_folds import FoldParams, forward_folds
from models.splitting.sklearn_folds import ForwardFolds
from tests.support.small_model import NAMES, matrix

FOLDS = FoldParams(count=2, first_share=0.5)


def test_they_are_the_folds_of_a_run_whatever_the_order_of_the_rows() -> None:
    rows = matrix().sort_values(["snapshot_at", "lead_id"], ignore_index=True)
    expected = [
        (rows["lead_id"][one.earlier], rows["lead_id"][one.later]) for one in forward_folds(rows, "dates", FOLDS, 0)
    ]
    shuffled = rows.sample(frac=1, random_state=1)
    found = list(ForwardFolds(shuffled, "dates", FOLDS).split(shuffled))
    assert len(found) == len(expected) == ForwardFolds(shuffled, "dates", FOLDS).get_n_splits() == 2
    for (earlier, later), (before, after) in zip(found, expected, strict=True):
        assert set(shuffled["lead_id"].iloc[earlier]) == set(before)
        assert set(shuffled["lead_id"].iloc[later]) == set(after)
        assert shuffled["known_at"].iloc[earlier].max() <= shuffled["snapshot_at"].iloc[later].min()


def test_scikit_learn_judges_any_classifier_on_them() -> None:
    rows = matrix()
    features = rows[NAMES].fillna(0.0)
    scores = cross_val_score(LogisticRegression(max_iter=50, solver="liblinear"), features, rows["label"],
                             cv=ForwardFolds(rows, "dates", FOLDS), scoring="roc_auc")  # fmt: skip
    assert np.all(scores > 0.5)
    with pytest.raises(ValueError, match="600 rows, and X has 5"):
        next(ForwardFolds(rows, "dates", FOLDS).split(features.head(5)))
