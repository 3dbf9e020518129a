"""The leads of one list that are not ready: the day to look at each again, what woke it, when it expires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.nurture.next_events import LATELY
from models.nurture.readiness import Readiness
from models.nurture.results import Group, NurtureSummary

DAY = pd.Timedelta(days=1)
COLUMNS = ["lead_id", "as_of", "status", "review_on", "ready_chance", "said_on", "chance", "since", "expires_on",
           "acted_at"]  # fmt: skip
EXPIRED = "expired"


@dataclass(frozen=True)
class Waiting:
    """The leads of the last tier on the list of a day.

    Attributes
    ----------
    rows
        lead_id, cell (see `history.cells`), acted_at: its last act that wakes it; missing where there is none.
    before
        COLUMNS of the list before; may be empty.
    """

    rows: pd.DataFrame
    before: pd.DataFrame
    as_of: pd.Timestamp
    every_days: int
    expires_days: int
    least_chance: float


def nurture_list(waiting: Waiting, known: Readiness) -> pd.DataFrame:
    """Return COLUMNS of the leads to look at again: those of today first, then by day; the expired ones last.

    A lead keeps its day until that has come (due) or until it acts (woken): then it is to be looked at today, and
    review_on is the next day after that. Who is on the list stays on it until it is ready, closes or expires. An
    expired lead comes back when it acts.
    """
    rows, at = waiting.rows.reset_index(drop=True), waiting.as_of
    before = waiting.before.set_index("lead_id").reindex(rows["lead_id"]).set_axis(rows.index)
    on_it = before["status"].notna()
    acted = on_it & (rows["acted_at"] > before["as_of"]).fillna(False)
    gone = on_it & ~acted & ((before["status"] == EXPIRED) | (before["expires_on"] <= at))
    waits = on_it & ~acted & ~gone & (before["review_on"] > at)
    cell = rows["cell"].to_numpy()
    chance, lists = known.at_all(cell), known.look_again(cell)
    since = before["since"].where(on_it & ~(acted & (before["status"] == EXPIRED)), at)
    status = np.select([gone, acted, waits, on_it], [EXPIRED, "woken", "waiting", "due"], "new")
    day = pd.Series(at + pd.to_timedelta(lists * waiting.every_days, "D"), index=rows.index)
    found = pd.DataFrame(
        {
            "lead_id": rows["lead_id"],
            "as_of": at,
            "status": pd.Series(status, index=rows.index, dtype="str"),
            "review_on": before["review_on"].where(waits, day).mask(gone),
            "ready_chance": before["ready_chance"].where(waits, known.within(cell, lists)).mask(gone),
            "said_on": before["said_on"].where(waits, at).mask(gone),
            "chance": pd.Series(chance).mask(gone),
            "since": since,
            "expires_on": since + waiting.expires_days * DAY,
            "acted_at": rows["acted_at"],
        }
    )
    kept = found[on_it | (chance >= waiting.least_chance)]
    times = ["as_of", "review_on", "said_on", "since", "expires_on", "acted_at"]
    typed = kept.astype(dict.fromkeys(times, "datetime64[us]") | dict.fromkeys(["ready_chance", "chance"], "float64"))
    today = ~typed["status"].isin(["woken", "due"])
    order = ["today", "review_on", "chance", "lead_id"]
    return typed.assign(today=today).sort_values(order, ascending=[True, True, False, True], ignore_index=True)[COLUMNS]


def line_of(lead: Mapping[str, Any], summary: NurtureSummary) -> str:
    """Say of one lead of the list when to look at it again, and what usually comes next."""
    if lead["status"] == EXPIRED:
        return f"Not ready, and no longer to be looked at since {lead['expires_on']:%Y-%m-%d}, until it acts."
    acted = lead["acted_at"]
    group: Group = "acted lately" if acted is not pd.NaT and lead["as_of"] - acted < LATELY * DAY else "quiet"
    today = {"woken": "it has acted, so look at it today; ", "due": "look at it today; "}.get(lead["status"], "")
    usual = summary.usual(group)
    return (
        f"Not ready: {today}look again on {lead['review_on']:%Y-%m-%d}. Of leads like it {lead['ready_chance']:.0%} "
        f"are ready by then, and {lead['chance']:.0%} within {summary.until_days} days; it leaves this list on "
        f"{lead['expires_on']:%Y-%m-%d}." + (f" What usually comes next, {usual}." if usual else "")
    )


def empty_list() -> pd.DataFrame:
    """Return the list before the first."""
    text, numbers = {"lead_id", "status"}, {"ready_chance", "chance"}
    kinds = {name: "str" if name in text else "float64" if name in numbers else "datetime64[us]" for name in COLUMNS}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
