"""The training history on its forward folds: models trained on earlier rows, predictions of later ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from features.matrix.catalogue import Catalogue
from models.learners.calibration import losses_within
from models.learners.ensemble import EnsembleSettings, TrainingHistory
from models.learners.feature_shift import without
from models.learners.gradient_boosting import grow, side_by_side
from models.learners.logistic_regression import Linear
from models.scorecard.fitting import ScorecardParams
from models.scorecard.scorecard import Scorecard
from models.splitting.forward_folds import Fold

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
    """

    earlier: list[TrainingHistory]
    later: list[TrainingHistory]
    period: list[np.ndarray]
    seed: int
    threads: int
    grown: dict[EnsembleSettings, tuple[int, list[np.ndarray]]] = field(default_factory=dict, repr=False)

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

    @property
    def label(self) -> list[np.ndarray]:
        return [later.sample.label for later in self.later]

    def losses(self, raw: list[np.ndarray]) -> np.ndarray:
        """Return the loss within periods of every later row, fold after fold."""
        return np.concatenate([losses_within(*parts) for parts in zip(raw, self.label, self.period, strict=True)])

    def boosters(self, settings: EnsembleSettings) -> tuple[int, list[np.ndarray]]:
        """Grow boosters on all folds until they no longer gain; return the best number of rounds and its log-odds."""
        key = replace(settings, rounds=0, c=1.0, linear_share=0.0, slope=1.0, recalibration_half_life=0.0)
        if key not in self.grown:
            self.grown[key] = self._grow(settings)
        return self.grown[key]

    def _grow(self, settings: EnsembleSettings) -> tuple[int, list[np.ndarray]]:
        cuts = [
            (earlier.for_trees(settings), earlier.target_encoding(settings).apply(_kept(later, settings)))
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

    def linears(self, settings: EnsembleSettings, penalties: Iterable[float]) -> tuple[float, list[np.ndarray]]:
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
        self, entries: Catalogue, params: ScorecardParams, settings: EnsembleSettings, l2: float
    ) -> list[np.ndarray]:
        """Train a scorecard on each fold; return the log-odds of its later rows."""

        def work(fold: int) -> np.ndarray:
            card = Scorecard.train(without(self.earlier[fold].sample, settings.left_out), entries, params, l2)
            return card.log_odds(_kept(self.later[fold], settings))

        with threadpool_limits(1):
            return side_by_side(work, range(len(self.earlier)), self.threads)


def _kept(rows: TrainingHistory, settings: EnsembleSettings) -> np.ndarray:
    return without(rows.sample, settings.left_out).features
