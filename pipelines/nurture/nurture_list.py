"""Write nurture.parquet and nurture.csv beside a score list: which leads to look at again, and when."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from features.schema.declarations import SnapshotParams
from models.nurture.history import Waits, cells, ready
from models.nurture.judge import judge_days
from models.nurture.next_events import next_events, windows
from models.nurture.nurture_list import EXPIRED, Waiting, empty_list, line_of, nurture_list
from models.nurture.readiness import LEAST_READY, Readiness
from models.nurture.results import STATUSES, NurtureSummary
from models.tiers.tier_rules import EXCLUDED
from pipelines.config.params import Params
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.storage.contract_store import Contract, Display
from pipelines.storage.files import write_csv, write_json, write_parquet
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext

if TYPE_CHECKING:
    import ibis.expr.types as ir

log = logging.getLogger("leadscore")
NAME = "nurture.parquet"
SHEET = "nurture.csv"
PEOPLE = ["status", "lead_id", "review_on", "ready_chance", "chance", "expires_on", "acted_at"]
NEVER = 100_000.0  # days since the last act of a lead that never acted
DAY = pd.Timedelta(days=1)
READ = ["lead_id", "as_of", "probability", "tier"]


@dataclass(frozen=True)
class NurtureInputs:
    """What the list is made of.

    Attributes
    ----------
    listed
        READ of the score list.
    past
        predictions.parquet: lists of the past with the tiers that the model would have given; there may be none.
    previous
        The same list of the day before; None, or no such file: there is none.
    """

    listed: pd.DataFrame
    past: Path
    previous: Path | None
    contract: Contract


@dataclass(frozen=True)
class NurtureList:
    """The list, or None where it cannot be made, and what it comes to."""

    leads: pd.DataFrame | None
    summary: NurtureSummary


def write_run_nurture(run: RunContext) -> None:
    """Write the list beside the run's score list, or remove an old one where the parameters ask for none."""
    layout, folder = run.layout, run.layout.scores.path.parent
    if not run.params.nurture.on:
        _remove(folder)
        return
    with closing(Contract.open(layout, run.params.project)) as contract:
        listed = pd.read_parquet(layout.scores.path, columns=READ)
        inputs = NurtureInputs(listed, layout.predictions.path, folder / NAME, contract)
        found = build_nurture(inputs, run.params)
    write_nurture(found, folder, Display.read_mapped(layout, run.params.source.leads))
    summary = read_result(ScoreSummary, layout.score_summary.path, "score")
    write_json(summary.model_copy(update={"nurture": found.summary}).model_dump(), layout.score_summary.path)


def write_nurture(found: NurtureList, folder: Path, display: Display) -> None:
    """Write the list for programs and for people; where there is none, remove an old one."""
    leads = found.leads
    if leads is None:
        _remove(folder)
        return
    write_parquet(leads, folder / NAME)
    sheet = leads.loc[leads["status"] != EXPIRED, PEOPLE].round({"ready_chance": 3, "chance": 3})
    days = {name: sheet[name].dt.strftime("%Y-%m-%d").fillna("") for name in ("review_on", "expires_on", "acted_at")}
    write_csv(display.beside(sheet.assign(**days)), folder / SHEET)


def _remove(folder: Path) -> None:
    for name in (NAME, SHEET):
        (folder / name).unlink(missing_ok=True)


def build_nurture(inputs: NurtureInputs, params: Params) -> NurtureList:
    """Make the list, and log what it comes to, or why it cannot be made."""
    made = _build(inputs, params)
    found = NurtureList(None, NurtureSummary(missing=made)) if isinstance(made, str) else made
    for line in found.summary.lines:
        log.info("nurture: %s", line)
    return found


def _build(inputs: NurtureInputs, params: Params) -> NurtureList | str:
    lowest, population = params.tiers.names[-1], params.population
    if population is None:
        return "the data carry no dates"
    past = _past(inputs, params.tiers.names, population)
    if isinstance(past, str):
        return past
    waits = Waits.of(_with_ages(past, inputs.contract), lowest)
    steps = min(params.nurture.expires_days // population.every_days, waits.last // 3)
    known = Readiness.learn(waits, steps) if steps > 1 else None
    if known is None:
        return f"on {waits.last + 1} past lists fewer than {LEAST_READY} leads became ready, or the lists are too few"
    waiting, left = _waiting(inputs, params, population)
    leads = nurture_list(waiting, known)
    counts = leads["status"].value_counts()
    confidence, next_lists = params.evaluate.confidence, max(1, round(28 / population.every_days))
    looked_at, labels = windows(waits, next_lists), params.source.event_labels
    seen = _seen(looked_at, inputs.contract, population.every_days)
    seen = seen.assign(label=seen["event_type"].map(labels).fillna("").astype("str"))
    summary = NurtureSummary(
        leads={name: int(counts.get(name, 0)) for name in STATUSES},
        expired=int(counts.get(EXPIRED, 0)),
        ready=left,
        until_days=steps * population.every_days,
        judged=judge_days(waits, steps, params.nurture.least_chance, confidence),
        next_days=next_lists * population.every_days,
        next=next_events(looked_at, seen, confidence),
    )
    return NurtureList(leads, summary)


def nurture_line(lead_id: str, run: RunContext) -> str:
    """Say of one lead when to look at it again, and what usually comes next; "" where it is not on the list."""
    path = run.layout.nurture.path
    rows = pd.read_parquet(path, filters=[("lead_id", "==", lead_id)]) if path.is_file() else pd.DataFrame()
    if rows.empty:
        return ""
    summary = read_result(ScoreSummary, run.layout.score_summary.path, "score").nurture
    lead = {str(name): value for name, value in rows.iloc[0].items()}
    return line_of(lead, summary or NurtureSummary())


def _past(inputs: NurtureInputs, tiers: Sequence[str], population: SnapshotParams) -> pd.DataFrame | str:
    """Read past lists: lead_id, snapshot_at, tier, probability; or say why there are none to learn from.

    Later than the list is not past: a list of a day gone by learns what could be known then.
    """
    if not inputs.past.is_file():
        return "there are no lists of the later period; run evaluate"
    columns = ["lead_id", "snapshot_at", "model", "tier"]
    past = pd.read_parquet(inputs.past, columns=columns).rename(columns={"model": "probability"})
    past = past[past["snapshot_at"] <= inputs.listed["as_of"].max()]
    if unknown := set(past["tier"]) - {*tiers, EXCLUDED}:
        return f"past lists have the tier {min(unknown)!r}; run evaluate again"
    gaps = np.diff(np.sort(past["snapshot_at"].unique())) / np.timedelta64(population.every_days, "D")
    return past if (gaps == 1).all() else f"past lists are not {population.every_days} days apart"


def _waiting(inputs: NurtureInputs, params: Params, population: SnapshotParams) -> tuple[Waiting, int | None]:
    """Return the leads of the last tier today, and how many of the list before are ready now."""
    lowest = params.tiers.names[-1]
    listed, previous = inputs.listed.rename(columns={"as_of": "snapshot_at"}), inputs.previous
    at = listed["snapshot_at"].max()
    rows = _with_ages(listed, inputs.contract)
    rows = rows.assign(cell=cells(rows, lowest))
    before = pd.read_parquet(previous) if previous is not None and previous.is_file() else empty_list()
    before = before[before["as_of"] < at]  # a day made again begins anew
    came = before["status"].ne(EXPIRED) & before["lead_id"].isin(rows.loc[ready(rows["tier"], lowest), "lead_id"])
    waiting, nurture = rows[rows["tier"] == lowest].reset_index(drop=True), params.nurture
    woke = _last_acts(waiting, inputs.contract, nurture.wake_on) if nurture.wake_on else waiting["acted_at"]
    given = Waiting(
        waiting[["lead_id", "cell"]].assign(acted_at=woke), before, at, population.every_days, nurture.expires_days,
        nurture.least_chance,
    )  # fmt: skip
    return given, int(came.sum()) if len(before) else None


def _with_ages(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Add acted_at, when what a lead itself did last began to count, and age and quiet, in days."""
    created = contract.leads.set_index("lead_id")["created_at"].reindex(rows["lead_id"]).to_numpy()
    acted, at = _last_acts(rows, contract, []), rows["snapshot_at"]
    return rows.assign(acted_at=acted, age=(at - created) / DAY, quiet=((at - acted) / DAY).fillna(NEVER))


def _last_acts(rows: pd.DataFrame, contract: Contract, types: Sequence[str]) -> pd.Series[pd.Timestamp]:
    """Return when the last act of each lead began to count; missing where it has none. By the rows' index.

    An act is an event of `types`, or without types, whatever the lead itself does.
    """
    import ibis

    events, moments = contract.events, _table(rows[["lead_id", "snapshot_at"]].drop_duplicates())
    acts = events.filter(events.event_type.isin(list(types)) if types else events.direction == "inbound")
    pairs = moments.inner_join(acts, "lead_id")
    counts = ibis.greatest(pairs.event_at + ibis.interval(microseconds=1), pairs.known_at)
    counted = pairs.mutate(at=counts).filter(counts <= pairs.snapshot_at)
    last = counted.group_by("lead_id", "snapshot_at").agg(at=ibis._.at.max()).to_pyarrow().to_pandas()
    both = rows[["lead_id", "snapshot_at"]].merge(last, "left", ["lead_id", "snapshot_at"])
    return both["at"].astype("datetime64[us]").set_axis(rows.index)


def _seen(looked_at: pd.DataFrame, contract: Contract, every_days: int) -> pd.DataFrame:
    """Count, by group of `windows`, the rows that have each type of event in their window."""
    import ibis

    ends = looked_at["snapshot_at"] + pd.to_timedelta(looked_at["lists"] * every_days, "D")
    rows = looked_at[["lead_id", "of", "snapshot_at"]].assign(ends=ends, row=np.arange(len(looked_at)))
    moments, events = _table(rows), contract.events
    pairs = moments.inner_join(events.select("lead_id", "event_at", "event_type", "channel", "direction"), "lead_id")
    inside = pairs.filter(pairs.event_at >= pairs.snapshot_at, pairs.event_at < pairs.ends)
    counted = inside.group_by("of", "event_type", "channel", "direction").agg(rows=ibis._.row.nunique())
    seen = counted.to_pyarrow().to_pandas()
    return seen.fillna({"channel": "", "direction": ""}).astype({"channel": "str", "direction": "str"})


def _table(rows: pd.DataFrame) -> ir.Table:
    import ibis

    return ibis.memtable(pa.Table.from_pandas(rows, preserve_index=False))
