"""The learners of one model, trained together: boosters, logistic regression and how they are blended."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.learners.calibration import blend, recency
from models.learners.feature_shift import without
from models.learners.gradient_boosting import Boosters, Sample, Shape, TrainParams, train_boosters
from models.learners.logistic_regression import Linear
from models.learners.target_encoding import TargetStatistics, encode_in_time_order, encode_out_of_fold


@dataclass(frozen=True)
class Settings:
    """All that is chosen before the final training.

    Attributes
    ----------
    left_out
        Places of the features that do not transfer.
    half_life
        Of a row's weight, as a share of the training period; 0: all rows weigh alike.
    statistics
        Whether the boosters see categories as target statistics rather than as codes.
    monotone
        Whether the boosters are held to the directions that the catalogue declares.
    train, rounds
        How a booster is trained, and how many trees it has.
    c
        Inverse penalty of the logistic regression.
    linear_share, slope
        The logistic regression's weight in the blend, and what the blend's log-odds are multiplied with.
    level_half_life
        Of the outcomes behind the level, as a share of the training period; 0: all of them weigh alike.
    """

    left_out: frozenset[int]
    half_life: float
    statistics: bool
    monotone: bool
    train: TrainParams
    rounds: int
    c: float
    linear_share: float
    slope: float
    level_half_life: float


@dataclass(frozen=True)
class History:
    """Labelled rows in the order of time.

    Attributes
    ----------
    sample
        All rows; no weights.
    at, known
        When each row stood and when its outcome was known, in one unit, shape (n,); zeros without order.
    lead
        Code of each row's lead, shape (n,).
    bucket
        A number that is drawn for each row's lead, shape (n,); it stands in for time where there is no order.
    levels
        Number of levels of each categorical feature, by its place.
    directions
        What the catalogue declares: 1 up, -1 down, 0 none, shape (k,).
    ordered
        Whether time orders the rows.
    """

    sample: Sample
    at: np.ndarray
    known: np.ndarray
    lead: np.ndarray
    bucket: np.ndarray
    levels: dict[int, int]
    directions: tuple[int, ...]
    ordered: bool

    def rows(self, places: np.ndarray) -> History:
        """Return some of the rows."""
        sample = Sample(self.sample.features[places], self.sample.label[places])
        parts = {name: getattr(self, name)[places] for name in ("at", "known", "lead", "bucket")}
        return replace(self, sample=sample, **parts)

    def for_linear(self, settings: Settings) -> Sample:
        """Return the rows as the logistic regression learns from them: weighted, without what does not transfer."""
        return replace(without(self.sample, settings.left_out), weight=recency(self.at, settings.half_life))

    def for_trees(self, settings: Settings) -> Sample:
        """Return the rows as the boosters learn from them: categories encoded, too, where the settings say so."""
        sample, strength = self.for_linear(settings), settings.train.cat_smooth
        if not settings.statistics:
            return sample
        if self.ordered:
            return replace(sample, features=encode_in_time_order(sample, self.known, self.at, self.levels, strength))
        return replace(sample, features=encode_out_of_fold(sample, self.bucket, self.levels, strength))

    def statistics(self, settings: Settings) -> TargetStatistics:
        """Return what the levels are worth; of no level where the boosters see codes."""
        levels = self.levels if settings.statistics else {}
        return TargetStatistics.learn(self.sample, levels, settings.train.cat_smooth)

    def shape(self, settings: Settings) -> Shape:
        """Tell the boosters which features are codes, and which way each may go."""
        ways = tuple(0 if place in self.levels else way for place, way in enumerate(self.directions))
        codes = () if settings.statistics else tuple(self.levels)
        return Shape(codes, ways if settings.monotone else (0,) * len(ways))


@dataclass(frozen=True)
class Models:
    """Both learners, trained on the same history with the same settings."""

    boosters: Boosters
    statistics: TargetStatistics
    linear: Linear

    @classmethod
    def train(cls, history: History, settings: Settings, seed: int, threads: int) -> Models:
        """Train with settings that are already chosen."""
        boosters = train_boosters(
            history.for_trees(settings), settings.rounds, history.shape(settings), settings.train, seed, threads
        )
        linear = Linear.train(history.for_linear(settings), history.levels, settings.c)
        return cls(boosters, history.statistics(settings), linear)

    def log_odds(self, features: np.ndarray, settings: Settings) -> np.ndarray:
        """Return the blend's log-odds times the slope, without a level, shape (n,)."""
        values = without(Sample(features, np.empty(0)), settings.left_out).features
        return settings.slope * self.blended(values, settings.linear_share)

    def blended(self, values: np.ndarray, linear_share: float) -> np.ndarray:
        """Return the blend's log-odds, shape (n,), of features in which those left out are not known."""
        trees = self.boosters.log_odds(self.statistics.apply(values))
        return blend(trees, self.linear.log_odds(values), linear_share)
