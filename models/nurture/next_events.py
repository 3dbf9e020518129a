"""What usually came next: events of leads that waited, and events before leads became ready. No effect is claimed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.evaluation.intervals import clopper_pearson
from models.nurture.history import BANDS, QUIET, Waits
from models.nurture.results import GROUPS, NextEvent

LATELY = 14.0  # days since the last act
LEAST = 30  # leads; a rate of fewer is not shown
MOST = 8  # event types of a group


def windows(waits: Waits, next_lists: int) -> pd.DataFrame:
    """Return what to look at: lead_id, of, snapshot_at (from that day on), lists (how long).

    Every list that is over counts, as to pick one of a lead by what came later would bias the rates.
    """
    rows = waits.rows
    lately = np.unravel_index(rows["cell"].to_numpy(), BANDS)[2] < QUIET.index(LATELY) + 1
    groups = rows.assign(of=np.where(lately, "acted lately", "quiet"), lists=next_lists)
    over = groups[groups["list"] + next_lists <= waits.last]
    later = rows[rows["list"] < waits.last]
    came = later.assign(of=np.where(later["ready_in"] == 1, "before ready", "before not ready"), lists=1)
    return pd.concat([over, came], ignore_index=True)[["lead_id", "of", "snapshot_at", "lists"]]


def next_events(looked_at: pd.DataFrame, seen: pd.DataFrame, confidence: float) -> list[NextEvent]:
    """Count how often each type of event came; the intervals are as if each lead were there once.

    Parameters
    ----------
    looked_at
        See `windows`.
    seen
        of, event_type, channel, direction, rows: how many of them have such an event in their window.
    """
    by_group = looked_at.groupby("of")["lead_id"]
    size, leads = by_group.size(), by_group.nunique()
    found: list[NextEvent] = []
    for name in GROUPS:
        n = int(leads.get(name, 0))
        own = seen[seen["of"] == name].sort_values(["rows", "event_type", "channel"], ascending=[False, True, True])
        for one in own.head(MOST if n >= LEAST else 0).to_dict("records"):
            rate = one.pop("rows") / int(size[name])
            low, high = clopper_pearson(rate * n, n, confidence)
            found.append(NextEvent.model_validate(one | {"n": n, "rate": rate, "rate_low": low, "rate_high": high}))
    return found
