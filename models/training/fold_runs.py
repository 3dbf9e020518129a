"""The training history on its forward folds: models trained on earlier rows, predictions of later ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

import numpy as np
import pandas as pd
import scipy
from threadpoolctl import threadpool_limits

from features.matrix.catalogue import Catalogue
from models.learners.calibration import HeldOut, MaturedRows, losses_within, recency
from models.learners.ensemble import EnsembleSettings, TrainingHistory
from models.learners.feature_shift import without
from models.learners.gradient_boosting import BinnedCuts, grow, side_by_side, train_boosters
from models.learners.logistic_regression import Fits
from models.scorecard.fitting import Criteria, ScorecardParams
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Fold

SCREEN_ROUNDS = 60  # trees that show which features tell at all
PATIENCE = 3  # evaluations without a gain before boosters stop growing


@dataclass(frozen=True)
class FoldRuns:
    """A history and the folds that candidates are evaluated on.

    Attributes
    ----------
    earlier, later
        Of each fold, the rows to train on and the rows to evaluate on.
    period
        Of each fold, the code of each later row's period.
    grown
        Boosters' predictions so far, by the settings that affect them: the same settings are evaluated repeatedly.
    linear, binned
        The same of the logistic regressions, and the folds' rows in bins.
    fits, criteria
        Of the last features and weights, each fold's logistic regressions, and what scorecards choose from.
    """

    earlier: list[TrainingHistory]
    later: list[TrainingHistory]
    period: list[np.ndarray]
    seed: int
    threads: int
    grown: dict[EnsembleSettings, tuple[int, list[np.ndarray]]] = field(default_factory=dict, repr=False)
    linear: dict[tuple[object, ...], list[np.ndarray]] = field(default_factory=dict, repr=False)
    binned: dict[tuple[object, ...], BinnedCuts] = field(default_factory=dict, repr=False)
    fits: dict[tuple[object, ...], list[Fits]] = field(default_factory=dict, repr=False)
    criteria: dict[tuple[object, ...], list[Criteria]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, history: TrainingHistory, folds: list[Fold], seed: int, threads: int) -> FoldRuns:
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

    def held_out(self, raw: list[np.ndarray]) -> list[HeldOut]:
        """Return the later rows of each fold with a model's log-odds."""
        return [
            HeldOut(values, later.sample.label, later.sample.weights, period, later.lead)
            for values, later, period in zip(raw, self.later, self.period, strict=True)
        ]

    def newest(self, raw: list[np.ndarray]) -> HeldOut:
        """Return the later rows of the newest fold; of all folds, each a period, where nothing orders the rows."""
        folds = self.held_out(raw)
        if self.earlier[0].ordered:
            return folds[-1]
        numbered = [replace(one, period=np.full(len(one.label), fold)) for fold, one in enumerate(folds)]
        names = [part.name for part in fields(HeldOut)]
        return HeldOut(**{name: np.concatenate([getattr(one, name) for one in numbered]) for name in names})

    def losses(self, raw: list[np.ndarray]) -> np.ndarray:
        """Return the loss within periods of every later row, fold after fold, times how often the row counts.

        Their mean is that of all the rows that the rows stand for.
        """
        folds = self.held_out(raw)
        loss = [fold.weight * losses_within(fold.raw, fold.label, fold.period, fold.weight) for fold in folds]
        return np.concatenate(loss) / np.concatenate([fold.weight for fold in folds]).mean()

    @property
    def span(self) -> float:
        """How much time lies between the first and the last row, in the unit of the history."""
        at = np.concatenate([self.earlier[0].at, self.later[-1].at])
        return float(np.ptp(at))

    def matured(self, raw: list[np.ndarray], settings: EnsembleSettings) -> MaturedRows:
        """Return the later rows of all folds as the outcomes that later lists may stand on.

        Each fold's model has the level of the rows that it was trained on. Lists stand on one model, so that the level
        is taken off: a fold after few conversions would otherwise count as a rate that has risen.
        """
        shown = [settings.slope * (values - level) for values, level in zip(raw, self._levels(settings), strict=True)]
        parts = [(one.sample.label, one.sample.weights, one.at, one.known) for one in self.later]
        return MaturedRows(np.concatenate(shown), *(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _levels(self, settings: EnsembleSettings) -> list[float]:
        """Return the log-odds of the base rate that each fold's model was trained at."""
        weights = [earlier.sample.weights * recency(earlier.at, settings.half_life) for earlier in self.earlier]
        rates = [np.average(one.sample.label, weights=of) for one, of in zip(self.earlier, weights, strict=True)]
        return [float(scipy.special.logit(rate)) for rate in rates]

    def list_moments(self) -> np.ndarray:
        """Return when each later row is on a list: without dates, before the first row of its period, shape (n,)."""
        return np.concatenate(
            [
                one.at if one.dated else _first_of_period(one.at, period) - 0.5
                for one, period in zip(self.later, self.period, strict=True)
            ]
        )

    def gains(self, settings: EnsembleSettings) -> np.ndarray:
        """Return what splits on each feature save, over one small booster of each fold's earlier rows, shape (k,)."""
        params, shape = settings.train.model_copy(update={"boosters": 1}), self.earlier[0].shape(settings)

        def work(earlier: TrainingHistory) -> np.ndarray:
            return train_boosters([earlier.for_trees(settings)], SCREEN_ROUNDS, shape, params, self.seed, 1).gains

        return np.asarray(np.sum(side_by_side(work, self.earlier, self.threads), axis=0))

    def boosters(self, settings: EnsembleSettings) -> tuple[int, list[np.ndarray]]:
        """Grow boosters on all folds until they no longer gain; return the best number of rounds and its log-odds."""
        key = replace(settings, rounds=0, c=1.0, linear_share=0.0, slope=1.0, recalibration_half_life=0.0)
        if key not in self.grown:
            self.grown[key] = self._grow(settings)
        return self.grown[key]

    def _cuts(self, settings: EnsembleSettings) -> BinnedCuts:
        """Sort each fold's rows into bins, once for all settings that differ in the boosters' training alone."""
        max_bin = settings.train.max_bin
        key = settings.left_out, settings.half_life, settings.target_encoding, settings.monotone, max_bin
        if key not in self.binned:
            cuts = [
                (earlier.for_trees(settings), earlier.target_encoding(settings).apply(_kept(later, settings)))
                for earlier, later in zip(self.earlier, self.later, strict=True)
            ]
            self.binned[key] = BinnedCuts.of(cuts, self.earlier[0].shape(settings), max_bin, self.seed, self.threads)
        return self.binned[key]

    def _grow(self, settings: EnsembleSettings) -> tuple[int, list[np.ndarray]]:
        best, rounds, kept, since = np.inf, 0, list[np.ndarray](), 0
        for grown, raw in grow(self._cuts(settings), settings.train, self.seed, self.threads):
            loss, since = self.losses(raw).mean(), since + 1
            if loss < best:
                best, rounds, kept, since = loss, grown, raw, 0
            if since == PATIENCE:
                break
        return rounds, kept

    def penalty(self, settings: EnsembleSettings, penalties: Iterable[float]) -> float:
        """Train logistic regressions with ever less penalty; return the last one that gained."""
        best, chosen = np.inf, 0.0
        for c in sorted(penalties):
            loss = self.losses(self.linears(replace(settings, c=c))).mean()
            if loss >= best:
                break
            best, chosen = loss, c
        return chosen

    def linears(self, settings: EnsembleSettings) -> list[np.ndarray]:
        """Train a logistic regression on each fold; return the log-odds of its later rows."""
        key = settings.left_out, settings.half_life, settings.c
        if key not in self.linear:
            self.linear[key] = self._linears(settings)
        return self.linear[key]

    def _linears(self, settings: EnsembleSettings) -> list[np.ndarray]:
        def work(fold: int) -> np.ndarray:
            return fits[fold].fit(settings.c).log_odds(_kept(self.later[fold], settings))

        with threadpool_limits(1):  # around all: a limit that one thread lifts is lifted for the others, too
            fits = self._fits(settings)
            return side_by_side(work, range(len(fits)), self.threads)

    def _fits(self, settings: EnsembleSettings) -> list[Fits]:
        """Make each fold's columns, once for all penalties of the same features and weights."""
        key = settings.left_out, settings.half_life
        if key not in self.fits:
            self.fits.clear()  # of other features; they take memory
            self.fits[key] = side_by_side(
                lambda rows: Fits.of(rows.for_linear(settings), rows.levels), self.earlier, self.threads
            )
        return self.fits[key]

    def scorecards(
        self, entries: Catalogue, params: ScorecardParams, settings: EnsembleSettings, l2: float
    ) -> list[np.ndarray]:
        """Train a scorecard on each fold; return the log-odds of its later rows."""

        def work(fold: int) -> np.ndarray:
            card = Scorecard.choose(criteria[fold], entries, params, l2)
            return card.log_odds(_kept(self.later[fold], settings))

        with threadpool_limits(1):
            criteria = self._criteria(entries, params, settings)
            return side_by_side(work, range(len(criteria)), self.threads)

    def _criteria(self, entries: Catalogue, params: ScorecardParams, settings: EnsembleSettings) -> list[Criteria]:
        """Sort each fold's rows by what scorecards may tell them apart by, once for all penalties."""
        key = settings.left_out, params.model_dump_json()
        if key not in self.criteria:
            self.criteria[key] = side_by_side(
                lambda rows: Criteria.of(without(rows.sample, settings.left_out), entries, params),
                self.earlier,
                self.threads,
            )
        return self.criteria[key]


def _kept(rows: TrainingHistory, settings: EnsembleSettings) -> np.ndarray:
    return without(rows.sample, settings.left_out).features


def _first_of_period(at: np.ndarray, period: np.ndarray) -> np.ndarray:
    return pd.Series(at).groupby(period).transform("min").to_numpy()
