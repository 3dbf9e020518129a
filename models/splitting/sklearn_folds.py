"""The forward folds as a splitter of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator

from models.splitting.forward_folds import FoldParams, Order, forward_folds, in_time

DEFAULT = FoldParams()


class ForwardFolds(BaseCrossValidator):  # type: ignore[misc]  # scikit-learn has no types
    """Folds that learn from earlier rows and are judged on later ones, as a run chooses by; made for some rows.

    Parameters
    ----------
    rows
        lead_id, label, and by `order` snapshot_at and known_at, or position; in any order.
    order, folds, seed
        As the run has them: `Run.folds` gives those.

    Examples
    --------
    >>> rows = pd.DataFrame({"lead_id": list("abcdef"), "position": range(6), "label": [1.0, 0.0, 0.0, 1.0, 0.0, 1.0]})
    >>> [(len(earlier), later) for earlier, later in ForwardFolds(rows, "rows", FoldParams(count=1)).split()]
    [(4, array([4, 5]))]
    """

    def __init__(self, rows: pd.DataFrame, order: Order = "dates", folds: FoldParams = DEFAULT, seed: int = 0) -> None:
        self.rows, self.order, self.folds, self.seed = rows, order, folds, seed

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:  # noqa: N803
        """Yield indices of the rows to train on and of the rows to judge, in the order of the rows given.

        Raises
        ------
        ValueError
            Where X has another number of rows than the folds were made for.
        """
        if X is not None and len(X) != len(self.rows):
            raise ValueError(f"the folds are of {len(self.rows):,} rows, and X has {len(X):,}")
        rows = in_time(self.rows.assign(index_given=np.arange(len(self.rows))), self.order)
        given = rows["index_given"].to_numpy()
        for fold in forward_folds(rows, self.order, self.folds, self.seed):
            yield np.sort(given[fold.earlier]), np.sort(given[fold.later])

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: N803
        """Count the folds that have both outcomes on either side."""
        return sum(1 for _ in self.split())
