"""The embedded default data: a simulated B2B funnel of any size, whose true probabilities are known.

Leads come in chunks, each with a random stream of its own, so a million of them need no more memory than a few.
What the export holds, and what it hides, is decided here: late and repeated events, the fields that the CRM overwrites,
a rating that sales sets after the outcome, and the end of the last day, after which nothing is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.schema.declarations import SnapshotParams
from features.schema.errors import ParamsError
from pipelines.config.simulation import Simulate
from pipelines.simulation import funnel, market, prospects
from pipelines.simulation import sales_feedback as sales
from pipelines.simulation.deal_values import draw_values, mean_values
from pipelines.simulation.fast_buyers import Hurry, draw_hurry
from pipelines.simulation.funnel import LABELS, LONG_VISIT, STAGES, VISITS, Ends, Events
from pipelines.simulation.market import DAY, NEVER, Floats, Ints, Strings
from pipelines.simulation.oracle import Grid, age_moments, snapshots, true_probability
from pipelines.simulation.prospects import Prospects
from pipelines.simulation.sales_feedback import Calls
from pipelines.simulation.shocks import known_from, share

CHUNK_LEADS = 10_000
WEEKDAY_LEADS = (1.15, 1.2, 1.15, 1.1, 0.9, 0.3, 0.35)  # Monday first
GROWTH = 0.15  # of the log-number of new leads a year
OUTBOUND = {"email_sent", "call_attempt"}
OFFLINE = {"call_attempt", "sales_call", "fair"}
SPELLED = {"short visit": "visit", "long visit": "visit"}
LATE_DAYS = (1, 10)
RATINGS = ("A", "B", "C", "D", "")
# chance of each rating; sales rates after the fact, which is why it must not be used
RATED = {"won": (0.85, 0.10, 0.03, 0.00, 0.02), "lost": (0.00, 0.05, 0.12, 0.78, 0.05), "open": (0, 0.2, 0.2, 0, 0.6)}

EVENT_SCHEMA = pa.schema(
    [
        ("lead_id", pa.string()),
        ("event_at", pa.timestamp("us")),
        ("known_at", pa.timestamp("us")),
        ("event_type", pa.string()),
        ("direction", pa.string()),
        ("channel", pa.string()),
        ("value", pa.float64()),
    ]
)
ORACLE_SCHEMA = pa.schema(
    [("lead_id", pa.string()), ("snapshot_at", pa.timestamp("us")), ("probability", pa.float64())]
)
DEAL_VALUE = "deal_value"  # a column of leads and of the oracle, where deals have a value
SHEETS = ("leads", "outcomes", "stages", "attribute_history")
CONTACTS = "contacts"  # a sheet too, where sales follows a score


@dataclass(frozen=True)
class Simulated:
    """The tables of one export, and the truth.

    leads: one row a lead; events: one a touch, by lead and time; outcomes: one a lead with an outcome; stages: one an
    entry into a stage; attribute_history: one a version of an edited lead, with the values from `valid_from` on;
    contacts: one a call that followed the score, none without `simulate.feedback`; oracle: one a mature snapshot of an
    open lead, with its true probability of converting within the horizon, if no call of a list to come reaches it.
    With `simulate.deals`, DEAL_VALUE: of leads, what a won deal brought; of the oracle, what it brings on average.
    """

    leads: pd.DataFrame
    events: pd.DataFrame
    outcomes: pd.DataFrame
    stages: pd.DataFrame
    attribute_history: pd.DataFrame
    contacts: pd.DataFrame
    oracle: pd.DataFrame


def simulate(params: Simulate, seed: int, moments: SnapshotParams) -> Simulated:
    """Simulate a complete funnel in memory; see `chunks`, which this concatenates."""
    parts = list(chunks(params, seed, moments))
    tables = (*SHEETS, CONTACTS, "events", "oracle")
    return Simulated(**{name: pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in tables})


def chunks(params: Simulate, seed: int, moments: SnapshotParams) -> Iterator[Simulated]:
    """Draw a funnel chunk by chunk, in the order of creation.

    Parameters
    ----------
    params
        Size, period and flaws of the export.
    seed
        The same seed and params give the same tables.
    moments
        Horizon and snapshot grid of the truth. A lead's age counts from
        `created_at` to the snapshot, both ends included.

    Raises
    ------
    ParamsError
        When the last day lies before the first.
    """
    if params.last_day < params.first_day:
        raise ParamsError(f"simulate.last_day is {params.last_day}, before simulate.first_day {params.first_day}")
    time = funnel.day_factors(params.first_day, params.last_day, params.drift, params.shocks)
    first_moment = (moments.anchor - params.first_day).days
    grid = Grid(first_moment, moments.every_days, moments.min_age_days, moments.max_age_days, moments.horizon_days)
    ages = [] if moments.moments is None else moments.moments.ages_hours
    for who, rng in draw_leads(params, seed, time):
        yield _simulate_chunk(who, params, World(time, grid, ages), rng)


def draw_leads(params: Simulate, seed: int, time: funnel.DayFactors) -> Iterator[tuple[Prospects, np.random.Generator]]:
    """Yield who the leads are, chunk by chunk, each with the random stream that the rest of its story is drawn from."""
    starts = range(0, params.leads, CHUNK_LEADS)
    first, *rest = np.random.SeedSequence(seed).spawn(1 + len(starts))
    companies = prospects.draw_companies(params.leads, np.random.default_rng(first))
    for start, child in zip(starts, rest, strict=True):
        rng, numbers = np.random.default_rng(child), np.arange(start, min(start + CHUNK_LEADS, params.leads))
        created = _draw_created(numbers, params.leads, time, rng)
        newcomers = share(params.shocks, "channel", params.first_day, created)
        drift, missing = params.drift, params.missing_share
        yield prospects.draw_prospects(numbers, created, companies, drift, missing, newcomers, rng), rng


@dataclass(frozen=True)
class World:
    """The days, and the moments whose truth is written: the grid, and hours after a lead's creation."""

    time: funnel.DayFactors
    grid: Grid
    ages_hours: Sequence[int]


def _simulate_chunk(who: Prospects, params: Simulate, world: World, rng: np.random.Generator) -> Simulated:
    time, grid = world.time, world.grid
    until = time.days * DAY
    behaviour = funnel.simulate_behaviour(who, time, rng)
    calls = None
    if params.feedback is not None:
        behaviour, calls = sales.follow_score(who, behaviour, time, grid, params.feedback, rng)
    ends = funnel.draw_ends(who, behaviour, rng)
    hurry = draw_hurry(who, params.fast_share, rng) if params.fast_share else None  # no draw without
    acts = behaviour.events
    if hurry is not None:
        ends, acts = hurry.ends(ends), funnel.stack(acts, hurry.asked)
    steps = funnel.draw_stages(who, behaviour, ends, rng)
    events = _seen(acts, funnel.customer_events(ends, until, rng), ends, until)
    if any(
        one.kind == "tracker" for one in params.shocks
    ):  # no draw without, so that the default data stay as they are
        events = _recorded(events, params, rng)
    clock = np.datetime64(params.first_day, "us")
    ids = pd.Series([f"L{number + 1:07d}" for number in who.number], dtype="str")
    truth = _oracle(who, behaviour, ends, hurry, world)
    simulated = Simulated(
        leads=_leads(who, ids, clock, until, _rate(ends, until, rng)),
        events=_events(events, ids, clock, until, params, rng),
        outcomes=_outcomes(ends, ids, clock, until),
        stages=_stages(steps, ids, clock, until),
        attribute_history=_history(who, ids, clock, until),
        contacts=pd.DataFrame() if calls is None else _contacts(sales.completed(calls, ends, until), ids, clock),
        oracle=pd.DataFrame(
            {
                "lead_id": _of(ids, truth["lead"].to_numpy()),
                "snapshot_at": _moments(truth["at"].to_numpy(), clock) + pd.to_timedelta(truth["ticks"], unit="us"),
                "probability": truth["probability"],
            }
        ),
    )
    if params.deals is None:  # no draw without
        return simulated
    value, mean = draw_values(who, params.deals.spread, rng), mean_values(who, params.deals.spread)
    return replace(
        simulated,
        leads=simulated.leads.assign(**{DEAL_VALUE: np.rint(np.where(ends.converted < until, value, np.nan))}),
        oracle=simulated.oracle.assign(**{DEAL_VALUE: mean[truth["lead"]]}),
    )


def _oracle(who: Prospects, behaviour: funnel.Behaviour, ends: Ends, hurry: Hurry | None, world: World) -> pd.DataFrame:
    """Return the truth: lead, at (seconds), ticks (microseconds after them), probability.

    Between midnights, what is not done in a hurry is known as of the midnight before.
    """
    lead, day = snapshots(who, ends, world.time, world.grid)
    between, moment = age_moments(who, ends, world.time, world.grid, world.ages_hours)
    lead, at = np.concatenate([lead, between]), np.concatenate([day * DAY, moment])
    horizon = world.grid.horizon
    probability = true_probability(who, behaviour, world.time, lead, at // DAY, horizon)
    if hurry is not None:
        probability = 1 - (1 - probability) * (1 - hurry.probability(who.created, lead, at, horizon))
    ticks = np.arange(len(lead)) >= len(day)
    return pd.DataFrame({"lead": lead, "at": at, "ticks": ticks.astype("int64"), "probability": probability})


def _draw_created(numbers: Ints, leads: int, time: funnel.DayFactors, rng: np.random.Generator) -> Ints:
    """Moments of creation in ascending order: this chunk's part of the period, steady but for week and growth."""
    day = np.arange(time.days)
    weekday = (day + time.first_day.weekday()) % 7
    edges = np.cumsum(np.array(WEEKDAY_LEADS)[weekday] * np.exp(GROWTH * day / 365.25))
    share = (numbers[0] + len(numbers) * rng.random(len(numbers))) / leads
    hour = 5 + 18 * rng.random((2, len(numbers))).mean(axis=0)
    created = np.searchsorted(edges / edges[-1], share, side="right").clip(max=time.days - 1) * DAY + np.rint(
        hour * 3600
    )
    return np.sort(created).astype(np.int64)


def _seen(before: Events, after: Events, ends: Ends, until: int) -> Events:
    """What happened until a lead's end, and after it what customers do, as far as it lies within the export."""
    early = before.moment < np.minimum(ends.closed, until)[before.lead]
    late = after.moment < until
    return Events(
        np.concatenate([before.lead[early], after.lead[late]]),
        np.concatenate([before.moment[early], after.moment[late]]),
        np.concatenate([before.code[early], after.code[late]]),
    )


def _recorded(events: Events, params: Simulate, rng: np.random.Generator) -> Events:
    """What the tracker writes down; what happens on the website is lost in an outage."""
    on_site = np.isin(events.code, [LABELS.index(kind.label) for kind in VISITS if kind.label != "fair"])
    lost = share(params.shocks, "tracker", params.first_day, events.moment) * on_site
    kept = rng.random(len(lost)) >= lost
    return Events(events.lead[kept], events.moment[kept], events.code[kept])


def _leads(who: Prospects, ids: pd.Series[Any], clock: np.datetime64, until: int, rating: Strings) -> pd.DataFrame:
    version = (who.edited < until).sum(axis=1)
    row = np.arange(len(ids))
    return pd.DataFrame(
        {
            "lead_id": ids,
            "created_at": _moments(who.created, clock),
            "industry": _text(market.names(market.INDUSTRIES, who.industry)),
            "company_size": _integers(who.employees[row, version]),
            "job_title": _text(who.title[row, version]),
            "country": _text(market.names(market.COUNTRIES, who.country)),
            "lead_source": _text(market.names(market.SOURCES, who.source)),
            "email_domain": _text(who.domain),
            "crm_rating": _text(rating),
        }
    )


def _history(who: Prospects, ids: pd.Series[Any], clock: np.datetime64, until: int) -> pd.DataFrame:
    """Every version of the leads that were edited, the one at creation included."""
    since = np.column_stack([who.created, who.edited])
    was_edited = who.edited[:, :1] < until
    lead, version = np.nonzero(was_edited & (since < until))
    return pd.DataFrame(
        {
            "lead_id": _of(ids, lead),
            "valid_from": _moments(since[lead, version], clock),
            "company_size": _integers(who.employees[lead, version]),
            "job_title": _text(who.title[lead, version]),
        }
    )


def _events(
    events: Events, ids: pd.Series[Any], clock: np.datetime64, until: int, params: Simulate, rng: np.random.Generator
) -> pd.DataFrame:
    """Order events by lead and time, let some arrive late and some twice, and leave out what is not known yet."""
    count = len(events.lead)
    delay = np.rint(rng.uniform(*LATE_DAYS, count) * DAY).astype(np.int64)
    known = events.moment + np.where(rng.random(count) < params.late_share, delay, 0)
    known = np.maximum(known, known_from(params.shocks, params.first_day, events.moment))
    value = _values(events.code, rng)
    times = np.where(known < until, 1 + (rng.random(count) < params.duplicate_share), 0)
    rows = np.lexsort((events.code, events.moment, events.lead))
    rows = np.repeat(rows, times[rows])
    labels = [SPELLED.get(label, label) for label in LABELS]
    code = events.code[rows]
    return pd.DataFrame(
        {
            "lead_id": _of(ids, events.lead[rows]),
            "event_at": _moments(events.moment[rows], clock),
            "known_at": _moments(known[rows], clock),
            "event_type": _of(pd.Series(labels, dtype="str"), code),
            "direction": _of(_either(labels, OUTBOUND, "outbound", "inbound"), code),
            "channel": _of(_either(labels, OFFLINE, "offline", "online"), code),
            "value": value[rows],
        }
    )


def _values(code: Ints, rng: np.random.Generator) -> Floats:
    """Seconds of visits, minutes of webinars and calls; none of other events."""
    short, long, webinar, call = (
        LABELS.index(label) for label in ("short visit", "long visit", "webinar", "sales_call")
    )
    some, tail = rng.random(len(code)), rng.exponential(size=len(code))
    kinds = [code == short, code == long, code == webinar, code == call]
    drawn = [3 + (LONG_VISIT - 4) * some, LONG_VISIT + 240 * tail, 5 + 55 * some, 1 + 12 * tail]
    return np.rint(np.select(kinds, drawn, np.nan))


def _outcomes(ends: Ends, ids: pd.Series[Any], clock: np.datetime64, until: int) -> pd.DataFrame:
    lead = np.flatnonzero(ends.closed < until)
    return pd.DataFrame(
        {
            "lead_id": _of(ids, lead),
            "converted_at": _moments(ends.converted[lead], clock),
            "lost_at": _moments(ends.lost[lead], clock),
        }
    )


def _stages(steps: Events, ids: pd.Series[Any], clock: np.datetime64, until: int) -> pd.DataFrame:
    rows = np.lexsort((steps.code, steps.moment, steps.lead))
    rows = rows[steps.moment[rows] < until]
    return pd.DataFrame(
        {
            "lead_id": _of(ids, steps.lead[rows]),
            "stage": _of(pd.Series(STAGES, dtype="str"), steps.code[rows]),
            "entered_at": _moments(steps.moment[rows], clock),
        }
    )


def _contacts(calls: Calls, ids: pd.Series[Any], clock: np.datetime64) -> pd.DataFrame:
    rows = np.lexsort((calls.moment, calls.lead))
    return pd.DataFrame(
        {
            "lead_id": _of(ids, calls.lead[rows]),
            "contacted_at": _moments(calls.moment[rows], clock),
            "as_of": _moments(calls.day[rows] * DAY, clock),
            "tier": "hot",
            "score": calls.score[rows],
            "explored": calls.explored[rows],
            "propensity": calls.propensity[rows],
        }
    )


def _rate(ends: Ends, until: int, rng: np.random.Generator) -> Strings:
    """The rating by sales at export: a leak, because it knows by then who bought."""
    state = np.where(ends.converted < until, 0, np.where(ends.lost < until, 1, 2))
    edges = np.cumsum([RATED[name] for name in ("won", "lost", "open")], axis=1)
    index = (rng.random(len(state))[:, None] >= edges[state]).sum(axis=1)
    ratings: Strings = np.array(RATINGS, dtype=object)[index.clip(max=len(RATINGS) - 1)]
    return ratings


def _moments(seconds: Ints, clock: np.datetime64) -> pd.Series[Any]:
    moments = clock + np.where(seconds < NEVER, seconds, 0).astype("timedelta64[s]")
    return pd.Series(np.where(seconds < NEVER, moments, np.datetime64("NaT", "us")))


def _of(values: pd.Series[Any], indices: Ints) -> pd.Series[Any]:
    return values.take(indices).reset_index(drop=True)


def _either(labels: list[str], chosen: set[str], yes: str, no: str) -> pd.Series[Any]:
    return pd.Series([yes if label in chosen else no for label in labels], dtype="str")


def _text(values: Strings) -> pd.Series[Any]:
    return pd.Series(values, dtype="str").replace("", np.nan)


def _integers(values: Floats) -> pd.Series[Any]:
    return pd.Series(values).astype("Int64")
