"""From labelled snapshots to a scorer and its rivals. Sees the training parts only."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from features.catalogue import Catalogue
from features.errors import DataError
from models.booster import Boosters, Sample, TrainParams, Watch, train_boosters, tune_rounds
from models.calibration import Sigmoid, blend, fit_sigmoid
from models.linear import Linear
from models.split import TRAINING


@dataclass(frozen=True)
class Learned:
    """What training yields.

    Attributes
    ----------
    boosters, linear
        Trained on all of the training period.
    linear_share
        Weight of the logistic regression in the blend, on the log-odds scale.
    sigmoid
        Calibration of the blend.
    rounds, c
        Trees a booster, and the inverse penalty of the logistic regression.
    """

    boosters: Boosters
    linear: Linear
    linear_share: float
    sigmoid: Sigmoid
    rounds: int
    c: float


def sample_of(matrix: pd.DataFrame, entries: Catalogue) -> Sample:
    """Take the features, in the catalogue's order, and the label."""
    names = [entry.name for entry in entries]
    return Sample(matrix[names].to_numpy("float32"), matrix["label"].to_numpy("float64"))


def learn(
    matrix: pd.DataFrame, entries: Catalogue, params: TrainParams, seed: int, threads: int, watch: Watch
) -> Learned:
    """Tune on the later part of training, then train on all of it.

    The number of rounds, the penalty, the blend and the sigmoid come from "valid", which the tuned models did not train
    on. The final models are trained on "fit", "gap" and "valid" together, so that they know the latest outcomes.

    Parameters
    ----------
    matrix
        part, label and features; only rows of the training parts are read.
    """
    fit, valid = (sample_of(matrix[matrix["part"] == part], entries) for part in ("fit", "valid"))
    levels = {index: len(entry.levels) for index, entry in enumerate(entries) if entry.levels is not None}
    tuned, rounds = tune_rounds(fit, valid, list(levels), params, seed, threads, watch)
    c, linear = _tune_penalty(fit, valid, levels, params.logistic_c)
    share, sigmoid = _tune_blend(tuned, linear, valid, params.linear_shares)
    everything = sample_of(matrix[matrix["part"].isin(TRAINING)], entries)
    boosters, linear = train_final(everything, levels, rounds, c, params, seed, threads)
    watch(f"{params.boosters} boosters of {rounds} rounds and {share:.0%} logistic, {len(everything.label):,} rows")
    return Learned(boosters, linear, share, sigmoid, rounds, c)


def train_final(
    sample: Sample, levels: dict[int, int], rounds: int, c: float, params: TrainParams, seed: int, threads: int
) -> tuple[Boosters, Linear]:
    """Train both learners with settings that are already chosen."""
    boosters = train_boosters(sample, rounds, list(levels), params, seed, threads)
    return boosters, Linear.train(sample, levels, c)


def _tune_penalty(fit: Sample, valid: Sample, levels: dict[int, int], candidates: list[float]) -> tuple[float, Linear]:
    models = {c: Linear.train(fit, levels, c) for c in candidates}
    unchanged = Sigmoid(intercept=0.0, slope=1.0)
    best = min(models, key=lambda c: unchanged.loss(models[c].log_odds(valid.features), valid.label))
    return best, models[best]


def _tune_blend(boosters: Boosters, linear: Linear, valid: Sample, candidates: list[float]) -> tuple[float, Sigmoid]:
    """Choose the share of the logistic regression whose blend, once calibrated, loses least on "valid"."""
    ours, theirs = boosters.log_odds(valid.features), linear.log_odds(valid.features)
    raw = {share: blend(ours, theirs, share) for share in candidates}
    sigmoids = {share: fit_sigmoid(raw[share], valid.label) for share in candidates}
    best = min(candidates, key=lambda share: sigmoids[share].loss(raw[share], valid.label))
    return best, sigmoids[best]


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
        labels = {part: matrix.loc[matrix["part"] == part, "label"] for part in ("fit", "valid", "test")}
        short = [f"{_only(label)} in part {part!r}" for part, label in labels.items() if label.nunique() < 2]
    if short:
        raise DataError(
            "training snapshots",
            "label",
            found="; ".join(short),
            expected="enough of both outcomes to learn from",
            fix="Not usable yet: collect a longer history, shorten snapshots.horizon_days, or lower `readiness` if you "
            "know what you do.",
        )


def _only(label: pd.Series[float]) -> str:
    if label.empty:
        return "no rows"
    return "only rows that converted" if label.all() else "only rows that did not convert"
