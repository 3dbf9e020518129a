"""Other people's classifiers, judged on the rows that the model is judged on; none of them is kept."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from features.schema.errors import ParamsError, first_line


def rivals(
    named: Mapping[str, str], training: pd.DataFrame, tested: pd.DataFrame, features: list[str], seed: int
) -> dict[str, np.ndarray]:
    """Train each rival on the rows that the model was trained on; return its probabilities of the tested rows.

    Parameters
    ----------
    named
        Name to the import path of a classifier of scikit-learn's kind, such as sklearn.svm.SVC.
    training
        label, weight and the features; a category is a code.

    Raises
    ------
    ParamsError
        Where a path leads to no such classifier, or it cannot be trained.
    """
    if not named:
        return {}
    values = training[features].nunique()
    told = values.index[values > 1].tolist()  # the rest tells nothing
    return {name: _probability(name, path, training, tested[told], seed) for name, path in named.items()}


def _probability(name: str, path: str, training: pd.DataFrame, tested: pd.DataFrame, seed: int) -> np.ndarray:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.utils import get_tags
    from sklearn.utils.validation import has_fit_parameter

    rival = _made(name, path, seed)
    weight = {}
    if has_fit_parameter(rival, "sample_weight"):
        weight = {f"{type(rival).__name__.lower()}__sample_weight": training["weight"].to_numpy("float64")}
    known = [] if get_tags(rival).input_tags.allow_nan else [SimpleImputer(add_indicator=True), StandardScaler()]
    pipeline = make_pipeline(*known, rival)
    try:
        pipeline.fit(training[tested.columns], training["label"].astype("int64"), **weight)
        return np.asarray(pipeline.predict_proba(tested)[:, 1], dtype="float64")
    except (ValueError, TypeError, AttributeError) as error:
        raise ParamsError(f"train.rivals.{name}: {path} cannot be judged: {first_line(error)}") from None


def _made(name: str, path: str, seed: int) -> Any:
    """Make the classifier with its own defaults, and the run's seed where it takes one."""
    from sklearn.base import is_classifier

    module, _, kind = path.rpartition(".")
    try:
        rival = getattr(import_module(module), kind)()
        fits = is_classifier(rival) and hasattr(rival, "predict_proba")
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ParamsError(f"train.rivals.{name}: {path} cannot be made: {error}") from None
    if not fits:
        raise ParamsError(
            f"train.rivals.{name}: {path} is no classifier with predict_proba; name one of scikit-learn's kind"
        )
    return rival.set_params(random_state=seed) if "random_state" in rival.get_params() else rival
