"""The chance that a lead is ready within a number of lists, learned from the lists of the past."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.nurture.history import BANDS, Waits

LATER = (1, 2, 4)  # lists from which waiting is another matter: the second, the third, the fifth
PENALTY = 1.0  # of the weights' squares, which draws rare cells to what is common
LEAST_READY = 50  # leads that became ready; fewer say too little


@dataclass(frozen=True)
class Readiness:
    """The chances of each cell: of being ready within 1, 2, ... lists.

    Attributes
    ----------
    chances
        Shape (cells, lists); rises along its rows.
    """

    chances: np.ndarray

    @classmethod
    def learn(cls, waits: Waits, steps: int) -> Readiness | None:
        """Learn from leads of past lists; None where too few became ready.

        A logistic regression of the chance to be ready on the next list, of those not ready before: by the lists
        waited, and by standing, age and days since the last act at the beginning. Who closes stays among those not
        ready, so that the chances are those of all who begin (the subdistribution hazard).

        Source: Fine and Gray 1999, A proportional hazards model for the subdistribution of a competing risk, JASA 94.
        """
        from sklearn.linear_model import LogisticRegression

        rows = waits.rows
        if rows.loc[rows["ready_in"] <= steps, "lead_id"].nunique() < LEAST_READY:
            return None
        seen, ready_in = (waits.last - rows["list"]).to_numpy(), rows["ready_in"].to_numpy()
        cell, size = rows["cell"].to_numpy(), int(np.prod(BANDS))
        left, hits = np.zeros((size, steps)), np.zeros((size, steps))
        for step in range(steps):
            risk = (seen > step) & (ready_in > step)
            hits[:, step] = np.bincount(cell[risk & (ready_in == step + 1)], minlength=size)
            left[:, step] = np.bincount(cell[risk], minlength=size) - hits[:, step]
        columns, answer = np.tile(_columns(steps), (2, 1)), np.repeat([1, 0], size * steps)
        weight = np.concatenate([hits.ravel(), left.ravel()])
        used = weight > 0
        model = LogisticRegression(C=1 / PENALTY, max_iter=2000).fit(columns[used], answer[used], weight[used])
        hazard = model.predict_proba(_columns(steps))[:, 1].reshape(size, steps)
        return cls(1 - np.cumprod(1 - hazard, axis=1))

    def look_again(self, cell: np.ndarray) -> np.ndarray:
        """Return after how many lists to look again, shape (n,): when half of those have come who come at all."""
        own = self.chances[cell]
        found: np.ndarray = (own >= own[:, -1:] / 2).argmax(axis=1) + 1
        return found

    def within(self, cell: np.ndarray, lists: np.ndarray) -> np.ndarray:
        """Return the chance of being ready within a number of lists, shape (n,)."""
        found: np.ndarray = self.chances[cell, lists - 1]
        return found

    def at_all(self, cell: np.ndarray) -> np.ndarray:
        """Return the chance of being ready within all lists that it knows, shape (n,)."""
        found: np.ndarray = self.chances[cell, -1]
        return found


def _columns(steps: int) -> np.ndarray:
    """Return the columns of the regression for each cell and list, shape (cells * steps, k)."""
    bands = np.unravel_index(np.arange(int(np.prod(BANDS))), BANDS)
    step = np.tile(np.arange(steps), len(bands[0]))
    spell = np.eye(len(LATER) + 1)[np.searchsorted(LATER, step, side="right")]
    columns = [np.eye(steps)[step]]
    for band, size in zip(bands, BANDS, strict=True):
        columns.append((np.eye(size)[np.repeat(band, steps)][:, :, None] * spell[:, None, :]).reshape(len(step), -1))
    return np.hstack(columns)
