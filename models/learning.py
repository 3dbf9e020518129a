"""From labelled snapshots to a scorer and its rivals. Sees the training parts only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.catalogue import Catalogue
from features.errors import DataError
from models.booster import Boosters, Sample, TrainParams, Watch, train_boosters, tune_rounds
from models.calibration import Sigmoid, fit_sigmoid
from models.linear import Linear
from models.metrics import LEAST_PROBABILITY
from models.split import TRAINING


@dataclass(frozen=True)
class Learned:
    """What training yields: the boosters, their sigmoid, and what the later period said while tuning."""

    boosters: Boosters
    sigmoid: Sigmoid
    rounds: int


def sample_of(matrix: pd.DataFrame, entries: Catalogue) -> Sample:
    """Take the features, in the catalogue's order, and the label."""
    names = [entry.name for entry in entries]
    return Sample(matrix[names].to_numpy("float32"), matrix["label"].to_numpy("float64"))


def learn(
    matrix: pd.DataFrame, entries: Catalogue, params: TrainParams, seed: int, threads: int, watch: Watch
) -> Learned:
    """Tune on the later part of training, then train on all of it.

    The number of rounds and the sigmoid come from "valid", which the tuned models did not train on. The final boosters
    are trained on "fit", "gap" and "valid" together, so that they know the latest outcomes.

    Parameters
    ----------
    matrix
        part, label and features; only rows of the training parts are read.
    """
    fit, valid = (sample_of(matrix[matrix["part"] == part], entries) for part in ("fit", "valid"))
    categorical = [index for index, entry in enumerate(entries) if entry.levels is not None]
    tuned, rounds = tune_rounds(fit, valid, categorical, params, seed, threads, watch)
    sigmoid = fit_sigmoid(tuned.log_odds(valid.features), valid.label)
    everything = sample_of(matrix[matrix["part"].isin(TRAINING)], entries)
    boosters = train_boosters(everything, rounds, categorical, params, seed, threads)
    watch(f"{params.boosters} boosters of {rounds} rounds on {len(everything.label):,} rows")
    return Learned(boosters, sigmoid, rounds)


def learn_logistic(matrix: pd.DataFrame, entries: Catalogue, params: TrainParams) -> Linear:
    """Choose the penalty on "valid", then fit the logistic baseline on all of training."""
    fit, valid = (sample_of(matrix[matrix["part"] == part], entries) for part in ("fit", "valid"))
    levels = {index: len(entry.levels) for index, entry in enumerate(entries) if entry.levels is not None}
    losses = {
        c: _log_loss(Linear.train(fit, levels, c).log_odds(valid.features), valid.label) for c in params.logistic_c
    }
    best = min(losses, key=lambda c: losses[c])
    return Linear.train(sample_of(matrix[matrix["part"].isin(TRAINING)], entries), levels, best)


def check_ready(matrix: pd.DataFrame, min_rows: int, min_positive: int, min_negative: int) -> None:
    """Refuse to learn from too little.

    Raises
    ------
    DataError
        With the verdict: which minimum is missed in which part, and what to do.
    """
    training = matrix[matrix["part"].isin(TRAINING)]
    positive = int(training["label"].sum())
    found = {"rows": len(training), "converted": positive, "not converted": len(training) - positive}
    needed = {"rows": min_rows, "converted": min_positive, "not converted": min_negative}
    short = [f"{found[name]} {name} (needs {needed[name]})" for name in needed if found[name] < needed[name]]
    if not short:
        short = [
            f"only {'winners' if rows['label'].all() else 'leads that did not convert'} in part {part!r}"
            for part, rows in matrix.groupby("part")
            if part in ("fit", "valid", "test") and rows["label"].nunique() < 2
        ]
    if short:
        raise DataError(
            "training snapshots",
            "label",
            found="; ".join(short),
            expected="enough of both outcomes to learn from",
            fix="Not usable yet: collect a longer history, shorten snapshots.horizon_days, or lower `readiness` if you "
            "know what you do.",
        )


def prior_log_odds(matrix: pd.DataFrame) -> float:
    """Return the log-odds of the training parts' base rate."""
    rate = float(np.clip(matrix.loc[matrix["part"].isin(TRAINING), "label"].mean(), LEAST_PROBABILITY, 1))
    return float(np.log(rate) - np.log1p(-min(rate, 1 - LEAST_PROBABILITY)))


def _log_loss(log_odds: np.ndarray, label: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0.0, log_odds) - label * log_odds))
