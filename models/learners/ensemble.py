"""The learners of one model, trained together: boosters, logistic regression and how they are blended."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from models.learners.calibration import blend, recency
from models.learners.feature_shift import without
from models.learners.gradient_boosting import Boosters, Shape, TrainingSample, TrainParams, train_boosters
from models.learners.logistic_regression import Linear
from models.learners.target_encoding import TargetEncoding, encode_in_time_order, encode_out_of_fold


@dataclass(frozen=True)
class EnsembleSettings:
    """All that is chosen before the final training.

    Attributes
    ----------
    left_out
        Indices of the features that shift over time.
    half_life
        Of a row's weight, as a share of the training period; 0: all rows weigh alike.
    target_encoding
        Whether the boosters see categories by their target encoding rather than as codes.
    monotone
        Whether the boosters are held to the directions that the catalogue declares.
    train, rounds
        How a booster is trained, and how many trees it has.
    c
        Inverse penalty of the logistic regression.
    linear_share, slope
        The logistic regression's weight in the blend, and what the blend's log-odds are multiplied with.
    recalibration_half_life
        Of the weight of the outcomes that the intercept is fitted to, as a share of the training period: the
        recalibration window; 0: all of them weigh alike.
    """

    left_out: frozenset[int]
    half_life: float
    target_encoding: bool
    monotone: bool
    train: TrainParams
    rounds: int
    c: float
    linear_share: float
    slope: float
    recalibration_half_life: float


@dataclass(frozen=True)
class TrainingHistory:
    """Labelled rows in the order of time.

    Attributes
    ----------
    sample
        All rows; the weights say how many rows of the history each stands for.
    at, known
        Time of each row and when its outcome was known, in one unit, shape (n,); zeros without order.
    lead
        Code of each row's lead, shape (n,).
    bucket
        A pseudo-random number of each row's lead, from 0 on, shape (n,); it replaces time where there is no order.
    levels
        Number of levels of each categorical feature, by its index.
    directions
        What the catalogue declares: 1 up, -1 down, 0 none, shape (k,).
    pairs
        Indices of the features made of two categories.
    ordered
        Whether time orders the rows.
    """

    sample: TrainingSample
    at: np.ndarray
    known: np.ndarray
    lead: np.ndarray
    bucket: np.ndarray
    levels: dict[int, int]
    directions: tuple[int, ...]
    pairs: frozenset[int]
    ordered: bool

    @property
    def dated(self) -> bool:
        """Whether outcomes become known some time after their rows."""
        return bool((self.known > self.at).any())

    def rows(self, indices: np.ndarray) -> TrainingHistory:
        """Return some of the rows."""
        weight = None if self.sample.weight is None else self.sample.weight[indices]
        sample = TrainingSample(self.sample.features[indices], self.sample.label[indices], weight)
        parts = {name: getattr(self, name)[indices] for name in ("at", "known", "lead", "bucket")}
        return replace(self, sample=sample, **parts)

    def fold_models(self, boosters: int) -> list[tuple[TrainingHistory, np.ndarray]]:
        """Return what each of some boosters learns from: without any order all buckets but one, in turn.

        Returns
        -------
        list of (TrainingHistory, ndarray)
            The rows, and the indices of those left out; one pair, of all rows and none, where time orders the rows.
        """
        folds = 1 if self.ordered else min(boosters, int(self.bucket.max()) + 1)
        if folds == 1:
            return [(self, np.empty(0, "int64"))]
        fold = self.bucket % folds
        return [(self.rows(np.flatnonzero(fold != number)), np.flatnonzero(fold == number)) for number in range(folds)]

    def for_linear(self, settings: EnsembleSettings) -> TrainingSample:
        """Return the rows as the logistic regression learns from them: weighted, without features that shift."""
        kept = without(self.sample, settings.left_out)
        return replace(kept, weight=kept.weights * recency(self.at, settings.half_life))

    def for_trees(self, settings: EnsembleSettings) -> TrainingSample:
        """Return the rows as the boosters learn from them: categories encoded, too, where the settings say so.

        Statistics count older rows in full, as those that are applied later do.
        """
        sample, strength = self.for_linear(settings), settings.train.cat_smooth
        if not settings.target_encoding:
            return sample
        counted = replace(sample, weight=self.sample.weights)
        if self.ordered:
            return replace(sample, features=encode_in_time_order(counted, self.known, self.at, self.levels, strength))
        return replace(sample, features=encode_out_of_fold(counted, self.bucket, self.levels, strength))

    def target_encoding(self, settings: EnsembleSettings) -> TargetEncoding:
        """Return the target encoding; empty where the boosters see codes."""
        levels = self.levels if settings.target_encoding else {}
        return TargetEncoding.learn(self.sample, levels, settings.train.cat_smooth)

    def shape(self, settings: EnsembleSettings) -> Shape:
        """Return which features are codes, and the direction that each is held to."""
        signs = tuple(0 if index in self.levels else sign for index, sign in enumerate(self.directions))
        codes = () if settings.target_encoding else tuple(self.levels)
        return Shape(codes, signs if settings.monotone else (0,) * len(signs))


@dataclass(frozen=True)
class Ensemble:
    """Both learners, trained on the same history with the same settings."""

    boosters: Boosters
    target_encoding: TargetEncoding
    linear: Linear

    @classmethod
    def train(cls, history: TrainingHistory, settings: EnsembleSettings, seed: int, threads: int) -> Ensemble:
        """Train with settings that are already chosen.

        Where nothing orders the rows, each booster learns from all leads but those of a bucket, as on the folds that
        chose: their mean is no worse than that of boosters trained on all rows, and every row has a prediction by a
        booster that has not seen its outcome.
        """
        samples = [rows.for_trees(settings) for rows, _ in history.fold_models(settings.train.boosters)]
        shape, linear_sample = history.shape(settings), history.for_linear(settings)
        with ThreadPoolExecutor(min(threads, 2)) as pool:  # in the end boosters leave a thread free
            linear = pool.submit(Linear.train, linear_sample, history.levels, settings.c)
            boosters = pool.submit(train_boosters, samples, settings.rounds, shape, settings.train, seed, threads)
            return cls(boosters.result(), history.target_encoding(settings), linear.result())

    def log_odds(self, features: np.ndarray, settings: EnsembleSettings) -> np.ndarray:
        """Return the blend's log-odds times the slope, without an intercept, shape (n,)."""
        values = without(TrainingSample(features, np.empty(0)), settings.left_out).features
        return settings.slope * self.blended(values, settings.linear_share)

    def log_odds_of(self, history: TrainingHistory, settings: EnsembleSettings) -> np.ndarray:
        """Return what `log_odds` does of the rows trained on, by boosters that left them out where there are any."""
        values = without(history.sample, settings.left_out).features
        folds = history.fold_models(len(self.boosters.models))
        if len(folds) == 1:
            return settings.slope * self.blended(values, settings.linear_share)
        trees = np.empty(len(values))
        for number, (rows, left_out) in enumerate(folds):
            blind = replace(self.boosters, models=self.boosters.models[number :: len(folds)])
            trees[left_out] = blind.log_odds(rows.target_encoding(settings).apply(values[left_out]))
        return settings.slope * blend(trees, self.linear.log_odds(values), settings.linear_share)

    def blended(self, values: np.ndarray, linear_share: float) -> np.ndarray:
        """Return the blend's log-odds, shape (n,), of features in which those left out are not known."""
        trees = self.boosters.log_odds(self.target_encoding.apply(values))
        return blend(trees, self.linear.log_odds(values), linear_share)
