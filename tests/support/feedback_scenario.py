"""A scenario in which sales follows a score, and the true conversion rates if every lead were called."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from pipelines.config.simulation import Feedback
from pipelines.simulation import funnel, market, prospects
from pipelines.simulation import sales_feedback as sales
from pipelines.simulation.oracle import Grid, snapshots

FIRST = dt.date(2024, 1, 1)  # a Monday
GRID = Grid(first=0, every=7, youngest=1, oldest=90, horizon=28)
NO_LOSS = ((funnel.LIFE_DAYS, 0.0),)  # leads are never lost, so that the truth below is exact


@dataclass(frozen=True)
class FedBack:
    """Snapshots with their labels as the history shows them, the contact log, and the truth.

    Attributes
    ----------
    rows
        lead_id, snapshot_at, label, and probability: as a model may predict, right for leads nobody calls.
    if_called
        True chance of each row to convert within the horizon, were it called on its list.
    """

    rows: pd.DataFrame
    contacts: pd.DataFrame
    if_called: np.ndarray


def fed_back(seed: int, leads: int, explored: float, share_called: float = 0.2, call_factor: float = 4.0) -> FedBack:
    """Draw a scenario; `funnel.LOSS_CADENCE` must be NO_LOSS."""
    rng = np.random.default_rng(seed)
    time = funnel.day_factors(FIRST, FIRST + dt.timedelta(days=300), 0.0, ())
    created = np.sort(rng.integers(0, 200 * market.DAY, leads))
    who = prospects.draw_prospects(
        np.arange(leads), created, prospects.draw_companies(leads, rng), 0.0, 0.05, np.zeros(leads), rng
    )
    alone = funnel.simulate_behaviour(who, time, rng)
    settings = Feedback(share_called=share_called, explored=explored, call_factor=call_factor)
    behaviour, calls = sales.follow_score(who, alone, time, GRID, settings, rng)
    ends = funnel.draw_ends(who, behaviour, rng)
    lead, day = snapshots(who, ends, time, GRID)
    contacts = sales.completed(calls, ends, time.days * market.DAY)
    age, delay = day - who.created_day[lead], funnel.delay_days(who)[lead]
    called = np.diff(alone.hazard, axis=1)[lead] * call_factor
    days = np.arange(funnel.LIFE_DAYS)
    this_week = (days >= age[:, None]) & (days < age[:, None] + GRID.every)
    in_window = (days >= (age - delay)[:, None]) & (days < (age - delay)[:, None] + GRID.horizon)
    policy = np.diff(behaviour.hazard, axis=1)[lead]
    nobody = np.diff(alone.hazard, axis=1)[lead]
    chance = -np.expm1(-(in_window * np.where(this_week, called, policy)).sum(axis=1))
    converted = ends.converted[lead] - day * market.DAY
    ids, clock = pd.Series([f"lead {number:05d}" for number in range(leads)], dtype="str"), pd.Timestamp(FIRST)
    uncalled = -np.expm1(-(in_window * nobody).sum(axis=1))
    rows = pd.DataFrame(
        {
            "lead_id": ids.take(lead).to_numpy(),
            "snapshot_at": clock + pd.to_timedelta(day, unit="D"),
            "label": (converted < GRID.horizon * market.DAY).astype("float64"),
            "probability": expit(np.log(uncalled / (1 - uncalled)) + rng.normal(0, 1, leads)[lead]),
        }
    )
    log = pd.DataFrame(
        {
            "lead_id": ids.take(contacts.lead).to_numpy(),
            "contacted_at": clock + pd.to_timedelta(contacts.moment, unit="s"),
            "as_of": clock + pd.to_timedelta(contacts.day, unit="D"),
            "explored": contacts.explored,
            "propensity": contacts.propensity,
        }
    )
    return FedBack(rows, log, chance)
