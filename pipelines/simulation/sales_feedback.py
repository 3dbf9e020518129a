"""Simulated sales that follow a score: leads of the list are called, which brings decisions forward.

Every list day the best-scored share of the open leads is called, and any other lead at random. So the history shows
how the score had leads treated, not what they are: the bias of every history that a score has had a hand in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy

from pipelines.config.simulation import Feedback
from pipelines.simulation.funnel import IDLE, LIFE_DAYS, Behaviour, DayFactors, Ends, running
from pipelines.simulation.market import DAY, Floats, Ints, Strings
from pipelines.simulation.oracle import Grid
from pipelines.simulation.prospects import Prospects, worth

FIT_SHARE = 0.5  # of what a record is worth that the simulated score sees; it sees all of the heat
CALL_HOURS = (8, 17)


@dataclass(frozen=True)
class Calls:
    """Calls one by one: lead (its row), list day and moment of the call (days, seconds since the first day), the score
    that the list showed, and by what chance the lead was on it."""

    lead: Ints
    day: Ints
    moment: Ints
    score: Ints
    explored: Strings
    propensity: Floats


def follow_score(
    prospects: Prospects, behaviour: Behaviour, time: DayFactors, grid: Grid, params: Feedback, rng: np.random.Generator
) -> tuple[Behaviour, Calls]:
    """Call leads by the list, as if none of them ever ended, and let calls raise the decision hazard.

    The hazard of a called lead is multiplied by `call_factor` from the list day until the next list.
    """
    lead, day = _on_lists(prospects, time, grid)
    score = scipy.special.expit(_score(prospects, behaviour, lead, day))
    earned = score >= np.quantile(score, 1 - params.share_called)
    explored = ~earned & (rng.random(len(lead)) < params.explored)
    called = earned | explored
    lead, day, score, explored = lead[called], day[called], score[called], explored[called]
    calls = Calls(
        lead=lead,
        day=day,
        moment=day * DAY + rng.integers(CALL_HOURS[0] * 3600, CALL_HOURS[1] * 3600, len(lead)),
        score=np.rint(100 * score).astype(np.int64),
        explored=np.where(explored, "yes", "no").astype(object),
        propensity=np.where(explored, params.explored, 1.0),
    )
    factor = called_factor(prospects, lead, day, grid.every, params.call_factor)
    return replace(behaviour, hazard=running(np.diff(behaviour.hazard, axis=1) * factor)), calls


def called_factor(prospects: Prospects, lead: Ints, day: Ints, days: int, times: float) -> Floats:
    """Multiplier of each lead's hazard by day of life, shape (n, LIFE_DAYS): `times` for `days` days after a call."""
    factor = np.ones((len(prospects.created), LIFE_DAYS))
    for later in range(days):
        age = day + later - prospects.created_day[lead]
        alive = age < LIFE_DAYS
        factor[lead[alive], age[alive]] = times
    return factor


def completed(calls: Calls, ends: Ends, until: int) -> Calls:
    """The calls that were made: of leads still open at their moment, within the export."""
    open_then = (calls.moment < ends.closed[calls.lead]) & (calls.moment < until)
    return Calls(*(getattr(calls, name)[open_then] for name in Calls.__dataclass_fields__))


def _on_lists(prospects: Prospects, time: DayFactors, grid: Grid) -> tuple[Ints, Ints]:
    """Leads and list days on which they would be listed if they never ended; at least a day old, at most LIFE_DAYS."""
    days = np.arange(grid.first % grid.every, time.days, grid.every)
    age = days - prospects.created_day[:, None]
    oldest = min(grid.oldest, LIFE_DAYS - 1)
    lead, index = np.nonzero((age > grid.youngest) & (age <= oldest))
    return lead, days[index]


def _score(prospects: Prospects, behaviour: Behaviour, lead: Ints, day: Ints) -> Floats:
    version = (prospects.edited[lead] < day[:, None] * DAY).sum(axis=1)
    heat = behaviour.heat[lead, day - prospects.created_day[lead]]
    score: Floats = np.log(IDLE + heat) + FIT_SHARE * worth(prospects)[lead, version]
    return score
