"""The true probability of simulated leads, which no model can improve on.

Given what a lead did, its interest is Gamma again (conjugate to the Poisson counts), and the probability of no decision
is the Laplace functional of future arrivals (Kingman, Poisson Processes, 1993, section 3.2), in closed form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pipelines.simulation.funnel import (
    ANNOYANCE,
    CALL_ANSWERS,
    CALL_CADENCE,
    IDLE,
    INTEREST_SHAPE,
    KEEP,
    LIFE_DAYS,
    LOSS_CADENCE,
    MAIL_ANSWERS,
    MAIL_CADENCE,
    PACE,
    UNSUBSCRIBE_CHANCE,
    UNSUBSCRIBED_FACTOR,
    VISITS,
    Behaviour,
    DayFactors,
    Ends,
    cadence,
    call_factor,
    delay_days,
    running,
    visit_ages,
)
from pipelines.simulation.market import DAY, Floats, Ints
from pipelines.simulation.prospects import Prospects, eagerness, effort, worth

SECONDS_AN_HOUR, HOURS_A_DAY = 3600, 24
QUADRATURE_STEPS = 3  # parts of the horizon, within each of which the probability of having been lost is averaged


@dataclass(frozen=True)
class Grid:
    """The calendar of snapshots: a day of it (days since the first one), the distance between two, least and
    greatest age of a lead, and the horizon, all in days."""

    first: int
    every: int
    youngest: int
    oldest: int
    horizon: int


def snapshots(prospects: Prospects, ends: Ends, time: DayFactors, grid: Grid) -> tuple[Ints, Ints]:
    """Snapshots of open leads whose horizon ends within the export.

    Returns
    -------
    lead, day
        Row of the lead, and the day at whose first midnight the snapshot stands; shape (snapshots,) each.
    """
    first, every = grid.first * DAY, grid.every * DAY
    start = np.maximum(prospects.created + grid.youngest * DAY, prospects.created + 1)
    end = np.minimum(np.minimum(prospects.created + grid.oldest * DAY, ends.closed), (time.days - grid.horizon) * DAY)
    low = -((first - start) // every)
    count = np.maximum((end - first) // every - low + 1, 0)
    lead = np.repeat(np.arange(len(start)), count)
    index = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return lead, grid.first + grid.every * (low[lead] + index)


def age_moments(
    prospects: Prospects, ends: Ends, time: DayFactors, grid: Grid, ages_hours: Sequence[int]
) -> tuple[Ints, Ints]:
    """Return lead and seconds of leads that are open, and mature, this many hours after their creation."""
    until, hours = (time.days - grid.horizon) * DAY, np.asarray(ages_hours, dtype="int64")
    at = prospects.created[:, None] + hours * SECONDS_AN_HOUR
    is_open = (at < ends.closed[:, None]) & (at < until) & (hours <= grid.oldest * HOURS_A_DAY)
    lead, _ = np.nonzero(is_open)
    return lead, at[is_open]


def true_probability(
    prospects: Prospects, behaviour: Behaviour, time: DayFactors, lead: Ints, day: Ints, horizon: int
) -> Floats:
    """Probability that a lead, open at midnight, signs within the horizon, given its history, shape (snapshots,).

    With g ~ Gamma(alpha, beta) given the lead's history, no decision until a given day has the probability

        G = exp(-known hazard) * (beta / (beta + X)) ** alpha,   X = sum over days and kinds of rate * (1 - exp(-w K)),

    where K is the hazard that one unit of heat of that day still causes. A signature within e days is a decision
    before day e less the delay, so part of the window may lie in the past. Each third of the horizon counts by the
    probability of not having been lost by then.

    Neglected are future edits of the record, and the variance (not the mean) of the number of future e-mails, calls
    and unsubscribes. Compared with the realised hazards, the probabilities are too high by a relative 0.7% over 30
    days and 1.0% over 90. Events that are known late count from when they happened, and an
    event written twice counts once.
    """
    now = _state_at(prospects, behaviour, lead, day)
    probability, before, begin = np.zeros(len(lead)), np.ones(len(lead)), 0
    for end in np.unique(np.rint(np.linspace(0, horizon, QUADRATURE_STEPS + 1)).astype(int))[1:]:
        low = np.clip(now.age - now.delay, 0, LIFE_DAYS)
        high = np.clip(now.age - np.maximum(now.delay - end, 0), 0, LIFE_DAYS)
        known = behaviour.hazard[lead, high] - behaviour.hazard[lead, low]
        ahead, causes = _future_hazard(now, time, np.maximum(end - now.delay, 0))
        undecided = np.exp(-known - ahead) * (now.beta / (now.beta + causes)) ** now.alpha
        probability += (before - undecided) * _not_lost(now.age, begin, end)
        before, begin = undecided, end
    return probability


@dataclass(frozen=True)
class _State:
    """What is known of open leads at their snapshots, shape (snapshots,) each."""

    age: Ints
    day: Ints
    alpha: Floats
    beta: Floats
    delay: Ints
    pace: Floats
    heat: Floats
    fatigue: Floats
    mails: Floats
    eager: Floats
    calls: Floats

    def rows(self, chosen: NDArray[np.bool_]) -> _State:
        return _State(*(getattr(self, field.name)[chosen] for field in fields(self)))


def _state_at(prospects: Prospects, behaviour: Behaviour, lead: Ints, day: Ints) -> _State:
    age = day - prospects.created_day[lead]
    lived = np.minimum(age, LIFE_DAYS)
    version = (prospects.edited[lead] < day[:, None] * DAY).sum(axis=1)
    mailed = behaviour.unsubscribed[lead] >= age
    return _State(
        age=age,
        day=day,
        alpha=INTEREST_SHAPE + behaviour.answers[lead, lived],
        beta=INTEREST_SHAPE + behaviour.exposure[lead, lived],
        delay=delay_days(prospects)[lead],
        pace=PACE * np.exp(worth(prospects)[lead, version]) * np.where(mailed, 1.0, UNSUBSCRIBED_FACTOR),
        heat=behaviour.heat[lead, np.minimum(age, LIFE_DAYS - 1)],
        fatigue=behaviour.fatigue[lead, np.minimum(age, LIFE_DAYS - 1)],
        mails=np.where(mailed, effort(prospects)[lead], 0.0),
        eager=eagerness(prospects)[lead],
        calls=call_factor(prospects)[lead],
    )


def _not_lost(age: Ints, begin: int, end: int) -> Floats:
    """Mean probability, between two future days, that a lead that is open now has not been lost."""
    alive = np.exp(-running(cadence(LOSS_CADENCE)[None])[0])
    later = np.minimum(age[:, None] + np.arange(begin, end + 1), LIFE_DAYS)
    probability: Floats = alive[later].mean(axis=1) / alive[np.minimum(age, LIFE_DAYS)]
    return probability


def _future_hazard(now: _State, time: DayFactors, days: Ints) -> tuple[Floats, Floats]:
    """Future hazard that is known already, and X of `true_probability`, over `days` from the snapshot on."""
    ahead, causes = np.zeros(len(days)), np.zeros(len(days))
    for span in np.unique(days[days > 0]):
        chosen = days == span
        ahead[chosen], causes[chosen] = _future_hazard_of_span(now.rows(chosen), time, int(span))
    return ahead, causes


def _future_hazard_of_span(now: _State, time: DayFactors, span: int) -> tuple[Floats, Floats]:
    hazards = _hazards(now, time, span)
    ahead, causes, cost = (np.zeros(len(now.day)) for _ in range(3))
    for offset in range(span - 1, -1, -1):  # backwards: `cost` is K, what one unit of this day's heat still causes
        visits, mails, calls = _rates(now, time, offset)
        for weight, (by_visit, by_mail, by_call) in _rates_by_weight():
            causes -= (by_visit * visits + by_mail * mails + by_call * calls) * np.expm1(-weight * cost)
        ahead += hazards[offset] * (IDLE + now.heat * KEEP**offset)
        cost = hazards[offset] + KEEP * cost
    return ahead, causes


def _hazards(now: _State, time: DayFactors, span: int) -> list[Floats]:
    """Expected decision hazard of each future day at heat 1."""
    living, fatigue, hazards = _then_nothing(np.ones(LIFE_DAYS)), now.fatigue, []
    for offset in range(span):
        age, day = np.minimum(now.age + offset, LIFE_DAYS), now.day + offset
        hazards.append(
            now.pace * time.demand[day] * living[age] * _still_mailed(now, age, time) * np.exp(-ANNOYANCE * fatigue)
        )
        _, mails, calls = _rates(now, time, offset)
        fatigue = KEEP * fatigue + mails + calls
    return hazards


def _rates(now: _State, time: DayFactors, offset: int) -> tuple[Floats, Floats, Floats]:
    """Expected visits at interest 1 and rate 1, e-mails and calls on a future day."""
    age, day = np.minimum(now.age + offset, LIFE_DAYS), now.day + offset
    visits, mails, calls = (
        _then_nothing(table)[age] for table in (visit_ages(), cadence(MAIL_CADENCE), cadence(CALL_CADENCE))
    )
    workday = time.workday[day] * time.effort[day]
    return now.eager * visits * time.visits[day], now.mails * mails * workday, now.calls * calls * workday


def _still_mailed(now: _State, age: Ints, time: DayFactors) -> Floats:
    """Expected factor of the hazard for leads that unsubscribe between now and that age."""
    sent = running(5 / 7 * cadence(MAIL_CADENCE)[None])[0]
    mails = now.mails * time.effort[now.day] * (sent[age] - sent[np.minimum(now.age, LIFE_DAYS)])
    leaves = -np.expm1(-UNSUBSCRIBE_CHANCE * mails)
    factor: Floats = 1 - (1 - UNSUBSCRIBED_FACTOR) * leaves
    return factor


def _rates_by_weight() -> list[tuple[float, list[float]]]:
    """The distinct weights, and for each the rates of (visits, e-mail answers, call answers) that carry it."""
    sources = (VISITS, MAIL_ANSWERS, CALL_ANSWERS)
    weights = sorted({kind.weight for kinds in sources for kind in kinds} - {0.0})
    return [
        (weight, [sum(kind.rate for kind in kinds if kind.weight == weight) for kinds in sources]) for weight in weights
    ]


def _then_nothing(table: Floats) -> Floats:
    return np.append(table, 0.0)
