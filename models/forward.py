"""The training history as learners see it, and what they would have said on its forward folds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from features.matrix.catalogue import Catalogue
from models.booster import Boosters, Sample, Shape, TrainParams, grow, side_by_side, train_boosters
from models.calibration import blend, losses_within, recency
from models.card_search import ScorecardParams
from models.folds import Fold
from models.linear import Linear
from models.scorecard import Scorecard
from models.target_statistics import TargetStatistics, encode_in_time_order, encode_out_of_fold
from models.transfer import without

PATIENCE = 3  # looks without a gain before boosters stop growing


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


@dataclass(frozen=True)
class Forward:
    """A history and the folds that judge.

    Attributes
    ----------
    earlier, later
        Of each fold, the rows to learn from and the rows to be judged on.
    period
        Of each fold, the code of each later row's period.
    grown
        What boosters said before, by the settings that move them: the same question comes up again and again.
    """

    earlier: list[History]
    later: list[History]
    period: list[np.ndarray]
    seed: int
    threads: int
    grown: dict[Settings, tuple[int, list[np.ndarray]]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, history: History, folds: list[Fold], seed: int, threads: int) -> Forward:
        return cls(
            [history.rows(fold.earlier) for fold in folds],
            [history.rows(fold.later) for fold in folds],
            [fold.period for fold in folds],
            seed,
            threads,
        )

    @property
    def lead(self) -> np.ndarray:
        return np.concatenate([later.lead for later in self.later])

    @property
    def label(self) -> list[np.ndarray]:
        return [later.sample.label for later in self.later]

    def losses(self, raw: list[np.ndarray]) -> np.ndarray:
        """Return the loss within periods of every later row, fold after fold."""
        return np.concatenate([losses_within(*parts) for parts in zip(raw, self.label, self.period, strict=True)])

    def boosters(self, settings: Settings) -> tuple[int, list[np.ndarray]]:
        """Grow boosters on all folds until they no longer gain; return the best number of rounds and its log-odds."""
        asked = replace(settings, rounds=0, c=1.0, linear_share=0.0, slope=1.0, level_half_life=0.0)
        if asked not in self.grown:
            self.grown[asked] = self._grow(settings)
        return self.grown[asked]

    def _grow(self, settings: Settings) -> tuple[int, list[np.ndarray]]:
        cuts = [
            (earlier.for_trees(settings), earlier.statistics(settings).apply(_kept(later, settings)))
            for earlier, later in zip(self.earlier, self.later, strict=True)
        ]
        shape, best, rounds, kept, since = self.earlier[0].shape(settings), np.inf, 0, list[np.ndarray](), 0
        for grown, raw in grow(cuts, shape, settings.train, self.seed, self.threads):
            loss, since = self.losses(raw).mean(), since + 1
            if loss < best:
                best, rounds, kept, since = loss, grown, raw, 0
            if since == PATIENCE:
                break
        return rounds, kept

    def linears(self, settings: Settings, penalties: Iterable[float]) -> tuple[float, list[np.ndarray]]:
        """Train logistic regressions on all folds with ever less penalty, until they no longer gain."""
        rising = sorted(penalties)
        paths = [Linear.path(rows.for_linear(settings), rows.levels, rising) for rows in self.earlier]
        later = [_kept(rows, settings) for rows in self.later]
        best, chosen, kept = np.inf, 0.0, list[np.ndarray]()
        for c in rising:
            with threadpool_limits(
                1
            ):  # around all of them: a limit that one thread lifts is lifted for the others, too
                raw = side_by_side(
                    lambda fold: next(paths[fold]).log_odds(later[fold]), range(len(paths)), self.threads
                )
            loss = self.losses(raw).mean()
            if loss >= best:
                break
            best, chosen, kept = loss, c, raw
        return chosen, kept

    def scorecards(
        self, entries: Catalogue, params: ScorecardParams, settings: Settings, l2: float
    ) -> list[np.ndarray]:
        """Train a scorecard on each fold; return the log-odds of its later rows."""

        def work(fold: int) -> np.ndarray:
            card = Scorecard.train(without(self.earlier[fold].sample, settings.left_out), entries, params, l2)
            return card.log_odds(_kept(self.later[fold], settings))

        with threadpool_limits(1):
            return side_by_side(work, range(len(self.earlier)), self.threads)


def _kept(rows: History, settings: Settings) -> np.ndarray:
    return without(rows.sample, settings.left_out).features
