"""Predictions in their order, and the curve of conversions caught as more of them are called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
import scipy

SPARE = 2  # times capacity: leads that were not drawn again make room for further ones
ROUNDING = 1e-6
LEAST_PROBABILITY = 1e-9


@dataclass(frozen=True)
class Ranked:
    """Predictions sorted from the best down, ties broken by lead and moment, with what every figure needs.

    Attributes
    ----------
    label, probability
        Shape (n,), sorted.
    lead
        Code of each row's lead, 0 to n_leads - 1; resampling draws leads, because their snapshots depend on each other.
        Codes go by lead_id, so that one seed draws the same leads for every prediction of the same rows.
    tie_end
        For each distinct probability, the index of its last row. Rows of one probability have no order, so every curve
        runs straight across them; a constant prediction has lift 1, whatever the ids of the winners.
    by_moment, moment_start
        The rows in the order of their moments, best first in each; and for each row of that order, the index where its
        moment begins.
    capacity
        How many rows of a moment are called.
    bins
        Number of calibration groups.
    weight
        How often each row counts, shape (n,), sorted.
    """

    label: np.ndarray
    probability: np.ndarray
    lead: np.ndarray
    n_leads: int
    tie_end: np.ndarray
    by_moment: np.ndarray
    moment_start: np.ndarray
    capacity: int
    bins: int
    weight: np.ndarray

    @classmethod
    def of(
        cls, rows: pd.DataFrame, probability: np.ndarray, capacity: int, bins: int, weight: np.ndarray | None = None
    ) -> Self:
        """Sort rows of lead_id, snapshot_at and label by a probability; without a weight, all (n,) rows count once."""
        frame = rows[["lead_id", "snapshot_at", "label"]].assign(probability=probability)
        frame["weight"] = 1.0 if weight is None else weight
        frame = frame.sort_values(["probability", "lead_id", "snapshot_at"], ascending=[False, True, True])
        ordered = frame["probability"].to_numpy("float64")
        lead, leads = pd.factorize(frame["lead_id"], sort=True)
        moment, _ = pd.factorize(frame["snapshot_at"])
        by_moment = np.argsort(moment, kind="stable")
        return cls(
            label=frame["label"].to_numpy("float64"),
            probability=ordered,
            lead=lead,
            n_leads=len(leads),
            tie_end=np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1),
            by_moment=by_moment,
            moment_start=np.searchsorted(moment[by_moment], moment[by_moment]),
            capacity=capacity,
            bins=bins,
            weight=frame["weight"].to_numpy("float64"),
        )

    @cached_property
    def losses(self) -> np.ndarray:
        """The log-loss of each row, shape (n,)."""
        return row_losses(self.label, self.probability)

    @cached_property
    def gap(self) -> np.ndarray:
        """By how much each probability is too high, shape (n,)."""
        return self.probability - self.label

    @cached_property
    def squares(self) -> np.ndarray:
        """The squared gap of each row, shape (n,)."""
        return self.gap**2

    @cached_property
    def first(self) -> tuple[np.ndarray, np.ndarray, bool]:
        """The best rows of each moment, a few times its capacity; where each moment begins; whether those are all."""
        rank = np.arange(len(self.by_moment)) - self.moment_start
        kept = rank < SPARE * self.capacity
        rows = self.by_moment[kept]
        begin = np.maximum.accumulate(np.where(rank[kept] == 0, np.arange(len(rows)), 0))
        return rows, begin, bool(kept.all())

    @cached_property
    def winners(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows with a conversion, the tie of each; of those ties the first row, and the one after the last."""
        rows = np.flatnonzero(self.label)
        ties, tie = np.unique(np.searchsorted(self.tie_end, rows), return_inverse=True)
        return rows, tie, self.tie_start[ties], self.tie_end[ties] + 1

    @cached_property
    def tie_start(self) -> np.ndarray:
        """The first row of each distinct probability."""
        return np.concatenate([[0], self.tie_end[:-1] + 1])


@dataclass(frozen=True)
class Curve:
    """How many conversions are caught as more of the ranked rows are called, bent only at ties that hold some.

    Attributes
    ----------
    weight
        How often each row counts, shape (n,).
    seen
        Weight of the rows before each, and of all, shape (n + 1,).
    before, after
        Weight of all rows before each tie that holds a conversion, and with it.
    added, caught
        Weight of the conversions of each such tie, and with those of the better ones.
    """

    weight: np.ndarray
    seen: np.ndarray
    before: np.ndarray
    after: np.ndarray
    added: np.ndarray
    caught: np.ndarray

    @classmethod
    def of(cls, ranked: Ranked, weight: np.ndarray) -> Self:
        rows, tie, first, last = ranked.winners
        seen = from_zero(weight)
        added = np.bincount(tie, weight[rows] * ranked.label[rows], minlength=len(first))
        return cls(weight, seen, seen[first], seen[last], added, np.cumsum(added))

    @property
    def total(self) -> float:
        return float(self.seen[-1])

    @property
    def won(self) -> float:
        """Weight of all conversions."""
        return float(self.caught[-1]) if len(self.caught) else 0.0

    def mean(self, values: np.ndarray) -> float:
        """Average values of each row; summed in one order on any number of threads, as `@` is not."""
        return float((self.weight * values).sum() / self.total)

    def auc(self) -> float:
        """Area under the ROC curve, by parts: over the ties that hold a conversion."""
        lost = self.total - self.won
        if self.won <= 0 or lost <= 0:
            return float("nan")
        better = self.before + self.after - (self.caught + self.caught - self.added)
        return float(1 - self.added @ better / 2 / (self.won * lost))

    def average_precision(self) -> float:
        if self.won <= 0:
            return float("nan")
        precision = np.divide(self.caught, self.after, out=np.zeros_like(self.after), where=self.after > 0)
        return float(self.added @ precision / self.won)

    def gain(self, share: np.ndarray) -> np.ndarray:
        """Return the share of the conversions among the best `share` of the rows."""
        if self.won <= 0:
            return np.full(len(share), np.nan)
        seen, caught = np.stack([self.before, self.after], axis=1), np.stack([self.caught - self.added, self.caught], 1)
        return np.asarray(np.interp(share * self.total, seen.ravel(), caught.ravel()) / self.won)


def from_zero(values: np.ndarray) -> np.ndarray:
    """Cumulate values, beginning with 0, shape (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(values)])


def row_losses(label: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Return the log-loss of each row, shape (n,)."""
    p = np.clip(probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return -(scipy.special.xlogy(label, p) + scipy.special.xlog1py(1 - label, -p))


def precision_at_capacity(ranked: Ranked, weight: np.ndarray) -> float:
    """Return the share of winners among the best `capacity` of each moment, ties broken by lead."""
    rows, begin, all_rows = ranked.first
    chosen = _called(weight[rows], begin, ranked.capacity)
    if not all_rows and _some_moment_short(chosen, begin, ranked.capacity):
        rows = ranked.by_moment
        chosen = _called(weight[rows], ranked.moment_start, ranked.capacity)
    return float(chosen @ ranked.label[rows] / chosen.sum())


def _called(weight: np.ndarray, begin: np.ndarray, capacity: int) -> np.ndarray:
    """Return how much of each row is called, best first within moments that begin at `begin`, shape (n,)."""
    before = np.cumsum(weight) - weight
    return np.clip(capacity - (before - before[begin]), 0, weight)


def called(ranked: Ranked) -> np.ndarray:
    """Return how much of each row is called, in the order of `by_moment`, shape (n,)."""
    return _called(ranked.weight[ranked.by_moment], ranked.moment_start, ranked.capacity)


def _some_moment_short(chosen: np.ndarray, begin: np.ndarray, capacity: int) -> bool:
    starts = np.unique(begin)
    return bool((np.add.reduceat(chosen, starts) < capacity - ROUNDING).any())
