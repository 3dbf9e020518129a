"""Where data end: the newest day that is no stray, and whether a table had stopped before that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 20  # rows from which a table can tell its own strays
FEW = 0.01  # share of a table's rows that may be strays, and at least one row
AFTER_DAYS, STOPPED_DAYS = 14, 3  # a gap is a gap only beyond this many days, and beyond twice the usual one


@dataclass(frozen=True)
class DaysOfRows:
    """How many rows of a table each day has; days ascend.

    Examples
    --------
    Rows on each day of June, and one on 14 August: the data end on 30 June.
    """

    days: np.ndarray  # datetime64[D]
    rows: np.ndarray

    @property
    def end(self) -> np.datetime64:
        """The newest day, without the few rows that follow a gap like no other: booked meetings, years mistyped."""
        following = self.rows.sum() - self.rows.cumsum()
        gaps = np.append(np.diff(self.days).astype("int64"), 0)
        before_strays = (following <= self._strays) & (gaps > max(AFTER_DAYS, 2 * self._usual_gap))
        newest = before_strays.argmax() if before_strays.any() else len(self.days) - 1
        return np.datetime64(self.days[newest], "D")

    def stopped_before(self, until: np.datetime64) -> bool:
        """Whether the rows end so long before a day that more of them must be missing."""
        silent = int((until - self.days[-1]).astype("int64"))
        return len(self.days) > 2 and silent > max(STOPPED_DAYS, 2 * self._usual_gap)

    @property
    def _strays(self) -> int:
        """How many rows may be strays."""
        total = int(self.rows.sum())
        return max(1, int(total * FEW)) if total >= FEWEST else 0

    @property
    def _usual_gap(self) -> int:
        """The longest time without a row, in days, between the first and the last few rows."""
        upto = self.rows.cumsum()
        inner = self.days[(upto > self._strays) & (upto <= upto[-1] - self._strays)]
        return int(np.diff(inner).astype("int64").max(initial=0))
