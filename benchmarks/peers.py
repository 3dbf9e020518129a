"""What others do with the same rows: each peer used as its documentation recommends, on two cores, with fixed seeds.

A peer gets training features, labels and test features; numbers are numbers, everything else is a category. It returns
the probability of each test row. A budget is in seconds; peers that know none ignore it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata

import numpy as np
import pandas as pd

THREADS = 2
SEED = 0
MANY_FEATURES = 50  # with more, EBM's default of three pairs a feature takes more than 7 minutes a month
FEW_PAIRS = 10


@dataclass(frozen=True)
class Work:
    """One cut as a peer sees it."""

    train: pd.DataFrame
    label: np.ndarray
    test: pd.DataFrame
    budget: float


@dataclass(frozen=True)
class Peer:
    """A peer: the function, the modules to import before the clock starts, and the distributions that it is."""

    name: str
    predict: Callable[[Work], np.ndarray]
    modules: tuple[str, ...]
    distribution: str

    def load(self) -> str:
        """Import what it needs and return its version."""
        for module in self.modules:
            import_module(module)
        return metadata.version(self.distribution)


def logistic(work: Work) -> np.ndarray:
    """Logistic regression: medians for missing numbers, standardised; categories one-hot; C = 1."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    columns = ColumnTransformer(
        [
            ("numbers", numbers, numeric(work.train)),
            ("categories", OneHotEncoder(handle_unknown="ignore"), categorical(work.train)),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=5000, random_state=SEED))
    return positive(model.fit(filled(work.train), work.label).predict_proba(filled(work.test)))


def lightgbm_default(work: Work) -> np.ndarray:
    """LightGBM as it comes, with its own handling of categories."""
    from lightgbm import LGBMClassifier

    train, test = as_categories(work.train, work.test)
    model = LGBMClassifier(random_state=SEED, n_jobs=THREADS, verbose=-1)
    return positive(model.fit(train, work.label).predict_proba(test))


def flaml(work: Work) -> np.ndarray:
    """FLAML's AutoML, minimising the log-loss within the budget."""
    from flaml import AutoML  # type: ignore[import-not-found]  # in .venv-peers alone

    train, test = as_categories(work.train, work.test)
    model = AutoML()
    model.fit(
        X_train=train,
        y_train=work.label.astype("int64"),
        task="classification",
        metric="log_loss",
        time_budget=work.budget,
        n_jobs=THREADS,
        seed=SEED,
        verbose=0,
        log_file_name="",
    )
    return positive(model.predict_proba(test))


def ebm(work: Work) -> np.ndarray:
    """Explainable boosting machine, as it comes, but with fewer pairs where features are many."""
    from interpret.glassbox import ExplainableBoostingClassifier  # type: ignore[import-not-found]  # in .venv-peers alone

    pairs = {"interactions": FEW_PAIRS} if work.train.shape[1] > MANY_FEATURES else {}
    model = ExplainableBoostingClassifier(random_state=SEED, n_jobs=THREADS, **pairs)
    return positive(model.fit(filled(work.train), work.label.astype("int64")).predict_proba(filled(work.test)))


def autogluon(work: Work) -> np.ndarray:
    """AutoGluon's preset best_quality, minimising the log-loss within the budget."""
    from autogluon.tabular import TabularPredictor  # type: ignore[import-not-found]  # in .venv-peers alone

    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor("label", problem_type="binary", eval_metric="log_loss", path=folder, verbosity=0)
        predictor.fit(
            work.train.assign(label=work.label.astype("int64")),
            presets="best_quality",
            time_limit=work.budget,
            num_cpus=THREADS,
            num_gpus=0,
        )
        return positive(predictor.predict_proba(work.test))


PEERS = (
    Peer("logistic", logistic, ("sklearn.compose", "sklearn.linear_model"), "scikit-learn"),
    Peer("lightgbm", lightgbm_default, ("lightgbm",), "lightgbm"),
    Peer("ebm", ebm, ("interpret.glassbox",), "interpret-core"),
    Peer("flaml", flaml, ("flaml", "catboost", "xgboost"), "flaml"),
    Peer("autogluon", autogluon, ("autogluon.tabular", "torch", "catboost", "xgboost"), "autogluon.tabular"),
)


def positive(probabilities: object) -> np.ndarray:
    """Take the probability to convert out of one column per class, shape (n,)."""
    return np.asarray(probabilities, "float64")[:, 1]


def numeric(frame: pd.DataFrame) -> list[str]:
    """Name the columns of numbers."""
    return [str(name) for name in frame if pd.api.types.is_numeric_dtype(frame[name])]


def categorical(frame: pd.DataFrame) -> list[str]:
    """Name the columns of anything else."""
    return [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]


def filled(frame: pd.DataFrame) -> pd.DataFrame:
    """Make "not known" a category of its own."""
    names = categorical(frame)
    return frame.assign(**{name: frame[name].astype(object).fillna("not known").astype(str) for name in names})


def as_categories(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give both frames the categories of the training rows; others are missing, as they would be later."""
    types = {name: pd.CategoricalDtype(sorted(train[name].dropna().unique())) for name in categorical(train)}
    return train.astype(types), test.astype(types)
