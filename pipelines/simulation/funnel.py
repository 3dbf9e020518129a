"""How the simulated leads of the embedded data behave and decide.

The model is a shot-noise Cox process on a grid of days. A lead has a latent interest g ~ Gamma(a, a). What it does
arrives as a Poisson process: visits at a rate of g times what its record, its age and the weekday say, answers at a
rate of g for each e-mail or call. What it did is remembered as heat, a sum of weights that halves every HALF_LIFE
days, and what was done to it as fatigue, a count of touches that halves alike. The hazard of deciding on a day is

    pace * exp(worth of the record) * demand of the day * exp(-annoyance * fatigue) * (idle + heat),

both as of midnight, and a fraction of it once unsubscribed. So a touch without an answer cools a lead.

The signature follows the decision after a fixed delay. Losing the lead is an independent hazard by age. What a lead
does never depends on its decision until it has signed, which keeps the truth in closed form (see `oracle`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from pipelines.config.simulation import Shock
from pipelines.simulation.market import DAY, LARGE, NEVER, Floats, Ints
from pipelines.simulation.prospects import Prospects, eagerness, effort, worth
from pipelines.simulation.shocks import factor


class EventRate(NamedTuple):
    """One kind of answer or visit: its rate (a day, or for each touch) at interest 1, and the heat it adds."""

    label: str
    rate: float
    weight: float


# constants of the simulation; chosen so that about 12% of leads ever convert
LIFE_DAYS = 210  # an older lead does nothing more
INTEREST_SHAPE = 0.7  # a of Gamma(a, a): the smaller, the more leads never do anything
PACE = 0.0013  # decisions a day at worth 0, demand 1 and heat 1
IDLE = 0.10  # heat of a lead that does nothing
HALF_LIFE = 9.0  # days, of heat and fatigue
KEEP = 0.5 ** (1 / HALF_LIFE)  # what a day leaves of them
ANNOYANCE = 0.12  # of one touch, in log-hazard
UNSUBSCRIBED_FACTOR = 0.15  # of the decision hazard, from the day after
UNSUBSCRIBE_CHANCE = 0.007  # for each e-mail, whatever the interest
DELAY_EDGES, DELAY_DAYS = (50, LARGE), (2, 6, 12)  # employees at creation; days from decision to signature
DELAY_UNKNOWN_SIZE = 6

VISITS = (
    EventRate("short visit", 0.080, 0.0),
    EventRate("long visit", 0.045, 0.3),
    EventRate("pricing_view", 0.018, 1.0),
    EventRate("download", 0.015, 0.3),
    EventRate("form", 0.006, 1.0),
    EventRate("webinar", 0.008, 1.0),
    EventRate("demo_request", 0.005, 4.0),
    EventRate("fair", 0.002, 1.0),
)
MAIL_ANSWERS = (
    EventRate("email_open", 0.50, 0.1),
    EventRate("email_click", 0.14, 0.3),
    EventRate("email_reply", 0.09, 1.0),
)
CALL_ANSWERS = (EventRate("sales_call", 0.30, 1.0),)
TOUCHES = ("email_sent", "call_attempt", "unsubscribe")
CUSTOMER_KINDS = ("short visit", "long visit", "onboarding")
LABELS = (*(kind.label for kind in (*VISITS, *MAIL_ANSWERS, *CALL_ANSWERS)), *TOUCHES, "onboarding", "quote_request")
LONG_VISIT = 120  # seconds; a longer one adds heat

AGE_FLOOR, AGE_DAYS = 0.2, 35.0  # visits fall from 1 to the floor with age
WEEKDAY_VISITS = (1.15, 1.2, 1.2, 1.15, 1.0, 0.6, 0.7)  # Monday first
MAIL_CADENCE = ((14, 0.34), (60, 0.17), (LIFE_DAYS, 0.08))  # (up to this age, chance of an e-mail on a workday)
CALL_CADENCE = ((10, 0.14), (60, 0.05), (LIFE_DAYS, 0.015))
CALL_FACTOR_LARGE, CALL_FACTOR = 1.5, 0.85
LOSS_CADENCE = ((15, 0.0), (60, 0.005), (LIFE_DAYS, 0.009))  # hazard a day of being marked as lost
STAGES = ("lead", "MQL", "SAL", "SQL", "opportunity", "customer")
QUALIFIED_HEAT = 1.2  # at midnight; enough to be called marketing-qualified the next day
CLIMB = ((0.85, 2.0), (0.65, 6.0), (0.55, 12.0))  # (chance, mean days) to SAL, then SQL, then opportunity
FALL_BACK_CHANCE, FALL_BACK_DAYS = 0.35, 25.0  # of an SQL that stalls, back to MQL
DEMAND_TREND, DEMAND_SEASON = -0.18, 0.15  # log-demand a year, and its yearly swing, at drift 1


@dataclass(frozen=True)
class DayFactors:
    """What depends on the day alone; arrays run over days since the first one and LIFE_DAYS after the export."""

    first_day: dt.date
    days: int
    demand: Floats
    visits: Floats
    workday: Floats
    effort: Floats


@dataclass(frozen=True)
class Events:
    """Events one by one: lead (its row), moment (seconds since midnight of the first day), code (index of LABELS)."""

    lead: Ints
    moment: Ints
    code: Ints


@dataclass(frozen=True)
class Behaviour:
    """What leads do until they decide, with its sums at each midnight, shape (n, LIFE_DAYS + 1).

    `answers` counts what interest drives, `exposure` how much of it interest 1 would have done, `hazard` sums the
    decision hazard; `heat` and `fatigue` are states at midnight, shape (n, LIFE_DAYS).
    """

    events: Events
    answers: Ints
    exposure: Floats
    heat: Floats
    fatigue: Floats
    hazard: Floats
    unsubscribed: Ints


@dataclass(frozen=True)
class Ends:
    """When leads sign or are lost, in seconds; NEVER where they do not. No lead does both."""

    converted: Ints
    lost: Ints

    @property
    def closed(self) -> Ints:
        return np.minimum(self.converted, self.lost)


def day_factors(first_day: dt.date, last_day: dt.date, drift: float, shocks: Sequence[Shock]) -> DayFactors:
    """Lay the days out; `drift` scales how demand changes from year to year and within one."""
    days = (last_day - first_day).days + 1
    day = np.arange(days + LIFE_DAYS + 1)
    years, weekday = day / 365.25, (day + first_day.weekday()) % 7
    return DayFactors(
        first_day=first_day,
        days=days,
        demand=np.exp(drift * (DEMAND_TREND * years + DEMAND_SEASON * np.sin(2 * np.pi * years)))
        * factor(shocks, "price", first_day, day),
        visits=np.array(WEEKDAY_VISITS)[weekday],
        workday=(weekday < 5).astype(np.float64),
        effort=factor(shocks, "sales", first_day, day),
    )


def simulate_behaviour(prospects: Prospects, time: DayFactors, rng: np.random.Generator) -> Behaviour:
    """Let leads live LIFE_DAYS as if none of them ever signed, were lost, or fell out of the export."""
    n = len(prospects.created)
    interest = rng.gamma(INTEREST_SHAPE, 1 / INTEREST_SHAPE, n)
    eager = eagerness(prospects)
    shape = _visit_shape(prospects, time)
    visits = _visit(interest * eager, shape, prospects, rng)
    calls = _touch("call_attempt", _call_chance(prospects, time), prospects, rng)
    mails = _touch("email_sent", _mail_chance(prospects, time), prospects, rng)
    mails, unsubscribes, unsubscribed = _unsubscribe(mails, prospects, rng)
    heard = _take(mails, _age(mails, prospects) < unsubscribed[mails.lead])
    mail_answers = _answer(heard, interest, MAIL_ANSWERS, rng)
    call_answers = _answer(calls, interest, CALL_ANSWERS, rng)
    driven = stack(visits, mail_answers, call_answers)
    exposure = (
        _total(VISITS) * eager[:, None] * shape
        + _total(MAIL_ANSWERS) * _by_day(heard, prospects)
        + _total(CALL_ANSWERS) * _by_day(calls, prospects)
    )
    heat = _fading(_by_day(driven, prospects, _weights()[driven.code]))
    fatigue = _fading(_by_day(stack(mails, calls), prospects))
    return Behaviour(
        events=stack(driven, mails, calls, unsubscribes),
        answers=running(_by_day(driven, prospects)).astype(np.int64),
        exposure=running(exposure),
        heat=heat,
        fatigue=fatigue,
        hazard=running(_daily_hazard(prospects, time, unsubscribed) * np.exp(-ANNOYANCE * fatigue) * (IDLE + heat)),
        unsubscribed=unsubscribed,
    )


def draw_ends(prospects: Prospects, behaviour: Behaviour, rng: np.random.Generator) -> Ends:
    """Draw each lead's signature and loss; of the two only the earlier one happens."""
    n = len(prospects.created)
    decision = (behaviour.hazard[:, 1:] < rng.exponential(size=n)[:, None]).sum(axis=1)
    signature = (prospects.created_day + decision + delay_days(prospects)) * DAY + rng.integers(9 * 3600, 17 * 3600, n)
    loss = np.searchsorted(np.cumsum(cadence(LOSS_CADENCE)), rng.exponential(size=n))
    dropped = (prospects.created_day + loss) * DAY + rng.integers(8 * 3600, 18 * 3600, n)
    converted = np.where(decision < LIFE_DAYS, signature, NEVER)
    lost = np.where(loss < LIFE_DAYS, dropped, NEVER)
    return Ends(np.where(converted <= lost, converted, NEVER), np.where(lost < converted, lost, NEVER))


def customer_events(ends: Ends, until: int, rng: np.random.Generator) -> Events:
    """What customers do once they have signed: some log in and are onboarded. No open lead ever does."""
    customers = np.flatnonzero((ends.converted < until) & (rng.random(len(ends.converted)) < 0.6))
    lead = np.repeat(customers, rng.poisson(12, len(customers)))
    after = np.rint(rng.exponential(30 * DAY, len(lead))).astype(np.int64) + 60
    code = np.array([LABELS.index(label) for label in CUSTOMER_KINDS])[np.digitize(rng.random(len(lead)), [0.4, 0.75])]
    return Events(lead, ends.converted[lead] + after, code)


def delay_days(prospects: Prospects) -> Ints:
    """Days from decision to signature, by size at creation, shape (n,)."""
    employees = prospects.employees[:, 0]
    known = np.array(DELAY_DAYS)[np.digitize(np.nan_to_num(employees), DELAY_EDGES)]
    return np.where(np.isnan(employees), DELAY_UNKNOWN_SIZE, known)


def draw_stages(prospects: Prospects, behaviour: Behaviour, ends: Ends, rng: np.random.Generator) -> Events:
    """Entries into lifecycle stages; `code` is an index of STAGES.

    Heat makes a lead marketing-qualified; chance and time decide on the rest, some stall, some fall back. So an open
    lead's stage tells nothing about its decision that its events do not. A deal won closes the gaps.
    """
    climbed = _stages_without_ends(prospects, behaviour, rng)
    qualified, sales_qualified, opportunity = climbed[:, 0], climbed[:, -2], climbed[:, -1]
    stalls = (sales_qualified < NEVER) & (opportunity == NEVER) & (rng.random(len(qualified)) < FALL_BACK_CHANCE)
    falls_back = sales_qualified + _waits(FALL_BACK_DAYS, stalls.shape, rng)
    until = np.where(ends.converted < NEVER, NEVER, ends.lost)
    climbed = np.minimum(climbed, ends.converted[:, None])
    rungs = np.where(climbed < until[:, None], climbed, NEVER)
    back = np.where(stalls & (falls_back < ends.closed), falls_back, NEVER)
    entered = np.column_stack([prospects.created, rungs, ends.converted, back])
    lead, index = np.nonzero(entered < NEVER)
    return Events(lead, entered[lead, index], np.array([*range(len(STAGES)), STAGES.index("MQL")])[index])


def call_factor(prospects: Prospects) -> Floats:
    """Multiplier of calls: by source, and large companies are called more often, shape (n,)."""
    return effort(prospects) * np.where(prospects.employees[:, 0] >= LARGE, CALL_FACTOR_LARGE, CALL_FACTOR)


def cadence(steps: tuple[tuple[int, float], ...]) -> Floats:
    """A value for each day of life from (up to this age, value) steps, shape (LIFE_DAYS,)."""
    ages = np.arange(LIFE_DAYS)
    values: Floats = np.array([value for _, value in steps])[np.digitize(ages, [age for age, _ in steps])]
    return values


def visit_ages() -> Floats:
    """How visits wear off with age, shape (LIFE_DAYS,)."""
    return AGE_FLOOR + (1 - AGE_FLOOR) * np.exp(-np.arange(LIFE_DAYS) / AGE_DAYS)


def running(daily: Floats) -> Floats:
    """Sums up to each midnight, shape (n, days) to (n, days + 1)."""
    return np.cumsum(np.pad(daily, ((0, 0), (1, 0))), axis=1)


def _stages_without_ends(prospects: Prospects, behaviour: Behaviour, rng: np.random.Generator) -> Ints:
    """Entries from MQL to opportunity if no lead ever ended, shape (n, 4); NEVER where a lead stalls before."""
    n = len(prospects.created)
    warm = behaviour.heat >= QUALIFIED_HEAT
    hour = rng.integers(8 * 3600, 18 * 3600, n)
    qualified = (prospects.created_day + np.argmax(warm, axis=1)) * DAY + hour
    chances, means = np.transpose(CLIMB)
    goes_on = np.cumprod(np.less(rng.random((n, len(CLIMB))), chances), axis=1) == 1
    steps = qualified[:, None] + np.cumsum(_waits(means, goes_on.shape, rng), axis=1)
    entered = np.column_stack([qualified, np.where(goes_on, steps, NEVER)])
    return np.where(np.any(warm, axis=1, keepdims=True), entered, NEVER)


def _waits(mean_days: Floats | float, shape: tuple[int, ...], rng: np.random.Generator) -> Ints:
    return np.rint(rng.exponential(mean_days, shape) * DAY).astype(np.int64)


def _daily_hazard(prospects: Prospects, time: DayFactors, unsubscribed: Ints) -> Floats:
    """Decision hazard of each day of life at heat 1; an edit and an unsubscribe count from the next midnight on."""
    day = _days_of_life(prospects)
    factors = np.exp(worth(prospects))
    pace = np.repeat(factors[:, :1], LIFE_DAYS, axis=1)
    for version in range(1, factors.shape[1]):
        pace = np.where(prospects.edited[:, version - 1, None] < day * DAY, factors[:, version, None], pace)
    left = np.where(unsubscribed[:, None] < np.arange(LIFE_DAYS), UNSUBSCRIBED_FACTOR, 1.0)
    hazard: Floats = PACE * pace * left * time.demand[day]
    return hazard


def _fading(added: Floats) -> Floats:
    """State at each midnight: what was added on earlier days, halved every HALF_LIFE days."""
    state: Floats = scipy.signal.lfilter([0.0, 1.0], [1.0, -KEEP], added, axis=1)
    return state


def _visit_shape(prospects: Prospects, time: DayFactors) -> Floats:
    """Rate of visits by day of life; the first day lasts from creation to midnight only."""
    shape = visit_ages() * time.visits[_days_of_life(prospects)]
    first_day_left = 1 - (prospects.created % DAY) / DAY
    return np.column_stack([shape[:, 0] * first_day_left, shape[:, 1:]])


def _mail_chance(prospects: Prospects, time: DayFactors) -> Floats:
    return effort(prospects)[:, None] * cadence(MAIL_CADENCE) * _at_work(prospects, time)


def _call_chance(prospects: Prospects, time: DayFactors) -> Floats:
    return call_factor(prospects)[:, None] * cadence(CALL_CADENCE) * _at_work(prospects, time)


def _at_work(prospects: Prospects, time: DayFactors) -> Floats:
    """How much sales does on each day of life: nothing on weekends, shape (n, LIFE_DAYS)."""
    day = _days_of_life(prospects)
    working: Floats = time.workday[day] * time.effort[day]
    return working


def _visit(rate: Floats, shape: Floats, prospects: Prospects, rng: np.random.Generator) -> Events:
    """A Poisson process: how many by the total rate, when by the share of each day, of which kind by its rate."""
    sums = np.cumsum(shape, axis=1)
    lead = np.repeat(np.arange(len(rate)), rng.poisson(rate * _total(VISITS) * sums[:, -1]))
    stacked = (sums / sums[:, -1:] + np.arange(len(rate))[:, None]).ravel()
    age = np.searchsorted(stacked, lead + rng.random(len(lead)), side="right") - lead * LIFE_DAYS
    age = np.minimum(age, LIFE_DAYS - 1)
    return Events(lead, _moment(lead, age, prospects, rng), _draw_kind(VISITS, len(lead), rng))


def _touch(label: str, chance: Floats, prospects: Prospects, rng: np.random.Generator) -> Events:
    """What we do, at most once a day."""
    lead, age = np.nonzero(rng.random(chance.shape) < chance)
    return Events(lead, _moment(lead, age, prospects, rng), np.full(len(lead), LABELS.index(label)))


def _unsubscribe(mails: Events, prospects: Prospects, rng: np.random.Generator) -> tuple[Events, Events, Ints]:
    """Mails that are still sent, the unsubscribes, and the day of life of each lead's, LIFE_DAYS if none."""
    age = _age(mails, prospects)
    chosen = rng.random(len(age)) < UNSUBSCRIBE_CHANCE
    day = np.full(len(prospects.created), LIFE_DAYS)
    np.minimum.at(day, mails.lead[chosen], age[chosen])
    last = _take(mails, age == day[mails.lead])
    left = Events(last.lead, _later_that_day(last.moment, rng), np.full(len(last.lead), LABELS.index("unsubscribe")))
    return _take(mails, age <= day[mails.lead]), left, day


def _answer(touches: Events, interest: Floats, kinds: tuple[EventRate, ...], rng: np.random.Generator) -> Events:
    """Answers to touches, a Poisson number for each, on the same day."""
    count = rng.poisson(interest[touches.lead] * _total(kinds))
    answered = _take(touches, np.repeat(np.arange(len(count)), count))
    return Events(answered.lead, _later_that_day(answered.moment, rng), _draw_kind(kinds, len(answered.lead), rng))


def _later_that_day(moment: Ints, rng: np.random.Generator) -> Ints:
    left = DAY - 1 - moment % DAY
    return moment + np.rint(left * rng.random(len(moment)) ** 2).astype(np.int64)


def _moment(lead: Ints, age: Ints, prospects: Prospects, rng: np.random.Generator) -> Ints:
    """A second of that day of life, most often in its middle, and on the first day after creation."""
    start = np.where(age == 0, prospects.created[lead] % DAY, 0)
    into = (DAY - 1 - start) * rng.random((2, len(lead))).mean(axis=0)
    moment: Ints = (prospects.created_day[lead] + age) * DAY + start + np.rint(into).astype(np.int64)
    return moment


def _draw_kind(kinds: tuple[EventRate, ...], count: int, rng: np.random.Generator) -> Ints:
    edges = np.cumsum([kind.rate for kind in kinds])
    first = LABELS.index(kinds[0].label)
    code: Ints = first + np.searchsorted(edges[:-1] / edges[-1], rng.random(count), side="right")
    return code


def _total(kinds: tuple[EventRate, ...]) -> float:
    return sum(kind.rate for kind in kinds)


def _weights() -> Floats:
    known = {kind.label: kind.weight for kind in (*VISITS, *MAIL_ANSWERS, *CALL_ANSWERS)}
    return np.array([known.get(label, 0.0) for label in LABELS])


def _days_of_life(prospects: Prospects) -> Ints:
    """DayFactors days, shape (n, LIFE_DAYS)."""
    days: Ints = prospects.created_day[:, None] + np.arange(LIFE_DAYS)
    return days


def _age(events: Events, prospects: Prospects) -> Ints:
    return events.moment // DAY - prospects.created_day[events.lead]


def _by_day(events: Events, prospects: Prospects, weight: Floats | None = None) -> Floats:
    """Sum of weights (count without any) by lead and day of life, shape (n, LIFE_DAYS)."""
    n = len(prospects.created)
    cell = events.lead * LIFE_DAYS + _age(events, prospects)
    return np.bincount(cell, weight, n * LIFE_DAYS).astype(np.float64).reshape(n, LIFE_DAYS)


def _take(events: Events, chosen: NDArray[np.bool_] | Ints) -> Events:
    return Events(events.lead[chosen], events.moment[chosen], events.code[chosen])


def stack(*parts: Events) -> Events:
    return Events(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("lead", "moment", "code")))
