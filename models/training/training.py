"""From labelled snapshots to a trained ensemble and scorecard. Reads the training part only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from features.attributes.definitions import PAIR
from features.matrix.catalogue import Catalogue, level_counts
from features.schema.errors import NotReadyError
from models.learners.calibration import Sigmoid, fit_intercept, recency
from models.learners.ensemble import Ensemble, EnsembleSettings, TrainingHistory
from models.learners.feature_shift import without
from models.learners.gradient_boosting import TrainingSample, TrainParams
from models.scorecard.fitting import ScorecardParams
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Order, days, forward_folds, in_time, of_lists, when
from models.splitting.holdout import Part, draw, learning_weights
from models.training.fold_runs import FoldRuns
from models.training.selection import Decision, ProgressCallback, Search, SelectionParams, select, select_scorecard

SIGNS = {"up": 1, "down": -1, "none": 0}
BUCKETS = 5  # of leads, for the target encoding and the fold models where nothing orders the rows


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
    recalibration_half_life
        The outcomes that a list's intercept is fitted to count half after this many days; 0: all alike; None: without
        dates there are no later lists.
    """

    models: Ensemble
    scorecard: Scorecard
    settings: EnsembleSettings
    scorecard_l2: float
    decisions: list[Decision]
    sigmoid: Sigmoid
    uncorrected: Sigmoid
    recalibration_half_life: float | None


def history_of(rows: pd.DataFrame, entries: Catalogue, order: Order, seed: int) -> TrainingHistory:
    """Bring labelled snapshots into the order of time and take what learners need.

    Parameters
    ----------
    rows
        lead_id, label, features, and by `order` snapshot_at and known_at, or position; weight: how many rows of the
        history each stands for, without it one.
    """
    rows = in_time(rows, order)
    features = np.ascontiguousarray(rows[[entry.name for entry in entries]].to_numpy("float32"))
    at = when(rows, order)
    weight = rows["weight"].to_numpy("float64") if "weight" in rows else np.ones(len(rows))
    return TrainingHistory(
        sample=TrainingSample(features, rows["label"].to_numpy("float64"), weight),
        at=at,
        known=days(rows["known_at"]) if order == "dates" else at,
        lead=pd.factorize(rows["lead_id"])[0],
        bucket=(draw(rows["lead_id"], seed, "statistics") * BUCKETS).astype("int64").to_numpy(),
        levels=level_counts(entries),
        directions=tuple(SIGNS[entry.direction] for entry in entries),
        pairs=frozenset(index for index, entry in enumerate(entries) if entry.theme.startswith(PAIR)),
        ordered=order != "none",
    )


def learn(matrix: pd.DataFrame, setup: TrainingSetup, search: Search, progress: ProgressCallback) -> Learned:
    """Choose on forward folds inside the training part, then train on all of it.

    Parameters
    ----------
    matrix
        lead_id, part, label and features, and what `setup.order` needs; only rows of the training part are read. With
        `moment`, those between lists are learned from, and all else is that of lists, see `learn_with`.
    search
        Looks for better settings of the boosters than those of the setup.

    Raises
    ------
    DataError
        Where no fold holds both outcomes on either side.
    """
    training = taught(matrix, ("train",))
    forward = _forward(training, setup)
    settings, decisions = select(forward, setup.selection, setup.train, search, progress)
    l2, decision = select_scorecard(forward, setup.catalogue, setup.scorecard, settings)
    learned = learn_with(training, setup, settings, l2)
    progress(
        f"{setup.train.boosters} boosters of {settings.rounds} rounds and {settings.linear_share:.0%} logistic, "
        f"{len(training):,} rows"
    )
    return replace(learned, decisions=[*decisions, decision])


def taught(matrix: pd.DataFrame, parts: Sequence[Part]) -> pd.DataFrame:
    """Return the rows of some parts that are there to learn from."""
    drawn = matrix["part"].isin(parts)
    return matrix[drawn & (matrix["weight"] > 0)] if "weight" in matrix else matrix[drawn]


def listed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of lists."""
    return rows[of_lists(rows)] if "moment" in rows else rows


def learn_with(
    training: pd.DataFrame, setup: TrainingSetup, settings: EnsembleSettings, l2: float, card: Scorecard | None = None
) -> Learned:
    """Train on all rows given, with settings that are already chosen; the intercept is fitted to those of lists.

    The scorecard is that of lists, too; one that is given stays as it is.
    """
    history = history_of(training, setup.catalogue, setup.order, setup.seed)
    models = Ensemble.train(history, settings, setup.seed, setup.threads)
    if "moment" in training:
        history = history_of(listed(training), setup.catalogue, setup.order, setup.seed)
    if card is None:
        card = Scorecard.train(without(history.sample, settings.left_out), setup.catalogue, setup.scorecard, l2)
    log_odds = models.log_odds_of(history, settings)
    sigmoid, uncorrected = (
        calibrate(log_odds, history, settings, half_life) for half_life in (settings.recalibration_half_life, 0.0)
    )
    half_life = round(settings.recalibration_half_life * float(np.ptp(history.at)), 6) if history.dated else None
    return Learned(models, card, settings, l2, [], sigmoid, uncorrected, half_life)


def calibrate(
    log_odds: np.ndarray,
    history: TrainingHistory,
    settings: EnsembleSettings,
    half_life: float,
    counts: np.ndarray | float = 1.0,
) -> Sigmoid:
    """Return the sigmoid with the chosen slope and the intercept of a history that fades with this half-life.

    Parameters
    ----------
    log_odds
        As from `Ensemble.log_odds_of`, shape (n,).
    counts
        How often each row counts, shape (n,).
    """
    weight = recency(history.at, half_life) * history.sample.weights * counts
    return Sigmoid(intercept=fit_intercept(log_odds, history.sample.label, weight), slope=settings.slope)


class Chosen(BaseModel):
    """What the forward folds chose, by names, so that it holds for another catalogue, too; see `EnsembleSettings`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    left_out: list[str]
    half_life: float
    target_encoding: bool
    monotone: bool
    train: TrainParams
    rounds: int
    c: float
    linear_share: float
    slope: float
    recalibration_half_life: float
    scorecard_l2: float

    def for_catalogue(self, entries: Catalogue) -> EnsembleSettings:
        """Return the settings; features are left out by name, whatever their index."""
        named, kept = set(self.left_out), dict(self)
        del kept["scorecard_l2"]
        left_out = frozenset(index for index, entry in enumerate(entries) if entry.name in named)
        return EnsembleSettings(**kept | {"left_out": left_out})


def chosen(learned: Learned, entries: Catalogue) -> Chosen:
    """Return what was chosen, by names."""
    left_out = [entries[index].name for index in sorted(learned.settings.left_out)]
    return Chosen(**vars(learned.settings) | {"left_out": left_out, "scorecard_l2": learned.scorecard_l2})


def _forward(training: pd.DataFrame, setup: TrainingSetup) -> FoldRuns:
    order, seed, params = setup.order, setup.seed, setup.selection.folds
    weight = learning_weights(training, params.max_rows, seed, "selection")
    rows = training.assign(weight=weight)[weight > 0]
    folds = forward_folds(in_time(rows, order), order, params, seed)
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
