"""From labelled snapshots to a scorer and its rivals. Sees the training parts only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.catalogue import Catalogue, level_counts
from features.errors import DataError
from models.booster import Boosters, Sample, TrainParams, train_boosters, tune_rounds
from models.calibration import Sigmoid, blend, fit_sigmoid
from models.linear import Linear
from models.split import TRAINING
from models.transfer import candidates, drifts, is_clear_gain, without

Watch = Callable[[str], None]


@dataclass(frozen=True)
class Learned:
    """What training yields.

    Attributes
    ----------
    boosters, linear
        Trained on all of the training period.
    left_out
        Names of the features that do not transfer.
    linear_share
        Weight of the logistic regression in the blend, on the log-odds scale.
    sigmoid
        Calibration of the blend.
    rounds, c
        Trees a booster, and the inverse penalty of the logistic regression.
    """

    boosters: Boosters
    linear: Linear
    left_out: list[str]
    linear_share: float
    sigmoid: Sigmoid
    rounds: int
    c: float


def sample_of(matrix: pd.DataFrame, entries: Catalogue) -> Sample:
    """Take the features, in the catalogue's order, and the label."""
    names = [entry.name for entry in entries]
    features = np.ascontiguousarray(matrix[names].to_numpy("float32"))  # sums depend on the layout in their last bits
    return Sample(features, matrix["label"].to_numpy("float64"))


def learn(
    matrix: pd.DataFrame, entries: Catalogue, params: TrainParams, seed: int, threads: int, watch: Watch
) -> Learned:
    """Tune on the later part of training, then train on all of it.

    Which features transfer, the number of rounds, the penalty, the blend and the sigmoid come from "valid", which the
    tuned models did not train on. The final models are trained on "fit", "gap" and "valid" together, so that they know
    the latest outcomes.

    Parameters
    ----------
    matrix
        lead_id, part, label and features; only rows of the training parts are read.
    """
    fit, valid = (sample_of(matrix[matrix["part"] == part], entries) for part in ("fit", "valid"))
    levels = level_counts(entries)
    lead = pd.factorize(matrix.loc[matrix["part"] == "valid", "lead_id"])[0]
    left_out = _choose_features(fit, valid, lead, levels, params, seed, threads)
    for index in sorted(left_out):
        watch(f"left out, as it does not transfer to the later part of training: {entries[index].label}")
    tuned = _tune(without(fit, left_out), without(valid, left_out), levels, params, seed, threads)
    everything = without(sample_of(matrix[matrix["part"].isin(TRAINING)], entries), left_out)
    boosters, linear = train_final(everything, levels, tuned.rounds, tuned.c, params, seed, threads)
    watch(
        f"{params.boosters} boosters of {tuned.rounds} rounds and {tuned.linear_share:.0%} logistic, "
        f"{len(everything.label):,} rows"
    )
    names = [entries[index].name for index in sorted(left_out)]
    return Learned(boosters, linear, names, tuned.linear_share, tuned.sigmoid, tuned.rounds, tuned.c)


def learn_again(
    matrix: pd.DataFrame, entries: Catalogue, learned: Learned, params: TrainParams, seed: int, threads: int
) -> tuple[Boosters, Linear]:
    """Train on other rows, whatever their part, with everything that was chosen before."""
    left_out = frozenset(place for place, entry in enumerate(entries) if entry.name in learned.left_out)
    sample = without(sample_of(matrix, entries), left_out)
    return train_final(sample, level_counts(entries), learned.rounds, learned.c, params, seed, threads)


def train_final(
    sample: Sample, levels: dict[int, int], rounds: int, c: float, params: TrainParams, seed: int, threads: int
) -> tuple[Boosters, Linear]:
    """Train both learners with settings that are already chosen."""
    boosters = train_boosters(sample, rounds, list(levels), params, seed, threads)
    return boosters, Linear.train(sample, levels, c)


@dataclass(frozen=True)
class _Tuned:
    linear_share: float
    sigmoid: Sigmoid
    rounds: int
    c: float
    losses: np.ndarray  # on "valid", row by row


def _tune(fit: Sample, valid: Sample, levels: dict[int, int], params: TrainParams, seed: int, threads: int) -> _Tuned:
    """Choose rounds, penalty, blend and sigmoid, each by its log-loss on "valid"."""
    boosters, rounds = tune_rounds(fit, valid, list(levels), params, seed, threads)
    c, linear = _tune_penalty(fit, valid, levels, params.logistic_c)
    share, sigmoid = _tune_blend(boosters, linear, valid, params.linear_shares)
    raw = blend(boosters.log_odds(valid.features), linear.log_odds(valid.features), share)
    return _Tuned(share, sigmoid, rounds, c, sigmoid.losses(raw, valid.label))


def _choose_features(
    fit: Sample,
    valid: Sample,
    lead: np.ndarray,
    levels: dict[int, int],
    params: TrainParams,
    seed: int,
    threads: int,
) -> frozenset[int]:
    """Leave out features that drifted, where "valid" is clearly better predicted without; one booster judges."""
    quick = params.model_copy(update={"boosters": 1})
    chosen, best = frozenset[int](), None
    for left_out in candidates(drifts(fit, valid, list(levels)), params.drift_limits):
        tuned = _tune(without(fit, left_out), without(valid, left_out), levels, quick, seed, threads)
        quick = quick.model_copy(update={"logistic_c": [tuned.c]})
        if best is None or is_clear_gain(best, tuned.losses, lead):
            chosen, best = left_out, tuned.losses
    return chosen


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
