"""Any classifier of scikit-learn's kind is judged; what is none is refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from features.schema.errors import ParamsError
from models.scoring.rivals import rivals
from pipelines.config.training import Train
from tests.support.small_model import NAMES, matrix

FOREST = "sklearn.ensemble.HistGradientBoostingClassifier"


def judged(path: str) -> np.ndarray:
    rows = matrix()
    return rivals({"other": path}, rows[rows["part"] == "train"], rows[rows["part"] == "test"], NAMES, 1)["other"]


@pytest.mark.parametrize("path", [FOREST, "sklearn.naive_bayes.GaussianNB", "models.training.estimator.LeadScorer"])
def test_with_and_without_missing_values_it_ranks_the_later_rows(path: str) -> None:
    rows, probability = matrix(), judged(path)
    label = rows.loc[rows["part"] == "test", "label"].to_numpy()
    assert probability.shape == label.shape and np.all((probability >= 0) & (probability <= 1))
    assert probability[label == 1].mean() > probability[label == 0].mean()
    np.testing.assert_array_equal(probability, judged(path))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("sklearn.nothing.Here", "cannot be made: No module named"),
        ("sklearn.svm.Nobody", "cannot be made: module 'sklearn.svm' has no attribute 'Nobody'"),
        ("sklearn.linear_model.Ridge", "is no classifier with predict_proba"),
        ("forest", "cannot be made"),
    ],
)
def test_what_is_no_classifier_is_refused(path: str, words: str) -> None:
    with pytest.raises(ParamsError, match=r"train\.rivals\.other: .*" + words):
        judged(path)


def test_its_name_is_its_own_and_the_boosters_know_none_of_it() -> None:
    train = Train(boosters=3, rivals={"forest": FOREST})
    assert train.boosting.boosters == 3 and "rivals" not in train.boosting.model_dump()
    for name in ("model", "logistic", "Forest!"):
        with pytest.raises(ValidationError):
            Train(rivals={name: FOREST})
