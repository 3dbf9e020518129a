"""From labelled snapshots to a trained ensemble and scorecard. Reads the training part only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.matrix.catalogue import Catalogue, level_counts
from features.schema.errors import NotReadyError
from models.learners.calibration import Sigmoid, fit_intercept, recency
from models.learners.ensemble import Ensemble, EnsembleSettings, TrainingHistory
from models.learners.feature_shift import without
from models.learners.gradient_boosting import TrainingSample, TrainParams
from models.scorecard.fitting import ScorecardParams
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Order, days, forward_folds, in_time, when
from models.splitting.holdout import draw, sample_leads
from models.training.fold_runs import FoldRuns
from models.training.selection import Decision, ProgressCallback, Search, SelectionParams, select, select_scorecard

SIGNS = {"up": 1, "down": -1, "none": 0}
BUCKETS = 5  # of leads, for the target encoding where nothing orders the rows


@dataclass(frozen=True)
class TrainingSetup:
    """How models are trained, on whichever rows.

    Attributes
    ----------
    train
        How boosters are trained, from where the search for better settings starts.
    """

    catalogue: Catalogue
    order: Order
    selection: SelectionParams
    train: TrainParams
    scorecard: ScorecardParams
    seed: int
    threads: int


@dataclass(frozen=True)
class Learned:
    """What training yields.

    Attributes
    ----------
    models, scorecard
        Trained on all of the training part.
    settings, scorecard_l2, decisions
        What the forward folds chose, and why.
    sigmoid
        Slope from the forward folds, intercept from recent outcomes.
    uncorrected
        The same with the intercept of the complete training part, to show what the correction does.
    """

    models: Ensemble
    scorecard: Scorecard
    settings: EnsembleSettings
    scorecard_l2: float
    decisions: list[Decision]
    sigmoid: Sigmoid
    uncorrected: Sigmoid


def history_of(rows: pd.DataFrame, entries: Catalogue, order: Order, seed: int) -> TrainingHistory:
    """Bring labelled snapshots into the order of time and take what learners need.

    Parameters
    ----------
    rows
        lead_id, label, features, and by `order` snapshot_at and known_at, or position.
    """
    rows = in_time(rows, order)
    features = np.ascontiguousarray(rows[[entry.name for entry in entries]].to_numpy("float32"))
    at = when(rows, order)
    return TrainingHistory(
        sample=TrainingSample(features, rows["label"].to_numpy("float64")),
        at=at,
        known=days(rows["known_at"]) if order == "dates" else at,
        lead=pd.factorize(rows["lead_id"])[0],
        bucket=(draw(rows["lead_id"], seed, "statistics") * BUCKETS).astype("int64").to_numpy(),
        levels=level_counts(entries),
        directions=tuple(SIGNS[entry.direction] for entry in entries),
        ordered=order != "none",
    )


def learn(matrix: pd.DataFrame, setup: TrainingSetup, search: Search, progress: ProgressCallback) -> Learned:
    """Choose on forward folds inside the training part, then train on all of it.

    Parameters
    ----------
    matrix
        lead_id, part, label and features, and what `setup.order` needs; only rows of the training part are read.
    search
        Looks for better settings of the boosters than those of the setup.

    Raises
    ------
    DataError
        Where no fold holds both outcomes on either side.
    """
    training = matrix[matrix["part"] == "train"]
    folds = setup.selection.folds
    forward = _forward(training, setup, folds.max_rows)
    final = forward if len(training) <= folds.max_rows else _forward(training, setup, folds.final_rows)
    settings, decisions = select(forward, final, setup.selection, setup.train, search, progress)
    l2, decision = select_scorecard(forward, setup.catalogue, setup.scorecard, settings)
    learned = learn_with(training, setup, settings, l2)
    progress(
        f"{setup.train.boosters} boosters of {settings.rounds} rounds and {settings.linear_share:.0%} logistic, "
        f"{len(training):,} rows"
    )
    return replace(learned, decisions=[*decisions, decision])


def learn_with(training: pd.DataFrame, setup: TrainingSetup, settings: EnsembleSettings, l2: float) -> Learned:
    """Train on all rows given, with settings that are already chosen; the intercept is fitted to these rows."""
    history = history_of(training, setup.catalogue, setup.order, setup.seed)
    models = Ensemble.train(history, settings, setup.seed, setup.threads)
    card = Scorecard.train(without(history.sample, settings.left_out), setup.catalogue, setup.scorecard, l2)
    sigmoid, uncorrected = (
        calibrate(models, history, settings, half_life) for half_life in (settings.recalibration_half_life, 0.0)
    )
    return Learned(models, card, settings, l2, [], sigmoid, uncorrected)


def calibrate(
    models: Ensemble,
    history: TrainingHistory,
    settings: EnsembleSettings,
    half_life: float,
    counts: np.ndarray | float = 1.0,
) -> Sigmoid:
    """Return the sigmoid with the chosen slope and the intercept of a history that fades with this half-life.

    `counts` is how often each row counts, shape (n,).
    """
    log_odds, weight = models.log_odds(history.sample.features, settings), recency(history.at, half_life) * counts
    return Sigmoid(intercept=fit_intercept(log_odds, history.sample.label, weight), slope=settings.slope)


def remap_settings(settings: EnsembleSettings, before: Catalogue, after: Catalogue) -> EnsembleSettings:
    """Return the settings for another catalogue: features are left out by name, whatever their index."""
    names = {before[index].name for index in settings.left_out}
    return replace(settings, left_out=frozenset(index for index, entry in enumerate(after) if entry.name in names))


def _forward(training: pd.DataFrame, setup: TrainingSetup, most: int) -> FoldRuns:
    order, seed = setup.order, setup.seed
    rows = sample_leads(training, most, seed, "selection")
    folds = forward_folds(in_time(rows, order), order, setup.selection.folds, seed)
    if not folds:
        raise NotReadyError(
            "training snapshots",
            "label",
            found="no later part with both outcomes after an earlier part with both",
            expected="conversions spread over time",
            fix="Not usable yet: collect a longer history or shorten snapshots.horizon_days.",
        )
    return FoldRuns.of(history_of(rows, setup.catalogue, order, seed), folds, seed, setup.threads)


def check_ready(matrix: pd.DataFrame, min_rows: int, min_positive: int, min_negative: int, min_periods: int) -> None:
    """Refuse to train on too little data.

    Raises
    ------
    NotReadyError
        With the verdict: which minimum is missed, and what to do.
    """
    training = matrix[matrix["part"] == "train"]
    positive = int(training["label"].sum())
    available = {"rows": len(training), "converted": positive, "not converted": len(training) - positive}
    needed = {"rows": min_rows, "converted": min_positive, "not converted": min_negative}
    if matrix["snapshot_at"].notna().any():
        available["periods"], needed["periods"] = training["snapshot_at"].nunique(), min_periods
    short = [f"{available[name]} {name} (needs {needed[name]})" for name in needed if available[name] < needed[name]]
    if not short:
        labels = {part: matrix.loc[matrix["part"] == part, "label"] for part in ("train", "test")}
        short = [f"{_only(label)} in part {part!r}" for part, label in labels.items() if label.nunique() < 2]
    if short:
        raise NotReadyError(
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
