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
from models.nurture.history import Waits, cells
from models.nurture.judge import judge_days
from models.nurture.next_events import next_events, windows
from models.nurture.nurture_list import EXPIRED, STATUSES, Waiting, empty_list, line_of, nurture_list
from models.nurture.readiness import LEAST_READY, Readiness
from models.nurture.results import NurtureSummary
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
    scores
        The score list.
    past
        predictions.parquet: lists of the past with the tiers that the model would have given.
    previous
        NAME of the list before; there may be none.
    """

    scores: Path
    past: Path
    previous: Path
    contract: Contract
    display: Display


def write_run_nurture(run: RunContext) -> None:
    """Write the list beside the run's score list, or remove an old one where the parameters ask for none."""
    layout, folder = run.layout, run.layout.scores.path.parent
    if not run.params.nurture.on:
        for path in (folder / NAME, folder / SHEET):
            path.unlink(missing_ok=True)
        return
    display = Display.read_mapped(layout, run.params.source.leads)
    with closing(Contract.open(layout, run.params.project)) as contract:
        inputs = NurtureInputs(layout.scores.path, layout.predictions.path, folder / NAME, contract, display)
        found = add_nurture(folder, inputs, run.params)
    summary = read_result(ScoreSummary, layout.score_summary.path, "score")
    write_json(summary.model_copy(update={"nurture": found}).model_dump(), layout.score_summary.path)


def add_nurture(folder: Path, inputs: NurtureInputs, params: Params) -> NurtureSummary:
    """Write the list into a folder, log what it comes to, and return it; where it cannot be made, say why."""
    leads, summary = build_nurture(inputs, params)
    for line in summary.lines:
        log.info("nurture: %s", line)
    if leads is None:
        for path in (folder / NAME, folder / SHEET):
            path.unlink(missing_ok=True)
        return summary
    write_parquet(leads, folder / NAME)
    sheet = leads.loc[leads["status"] != EXPIRED, PEOPLE].round({"ready_chance": 3, "chance": 3})
    days = {name: sheet[name].dt.strftime("%Y-%m-%d").fillna("") for name in ("review_on", "expires_on", "acted_at")}
    write_csv(inputs.display.beside(sheet.assign(**days)), folder / SHEET)
    return summary


def build_nurture(inputs: NurtureInputs, params: Params) -> tuple[pd.DataFrame | None, NurtureSummary]:
    """Make the list and what it comes to; None where it cannot be made."""
    lowest, population = params.tiers.names[-1], params.population
    if population is None:
        return None, NurtureSummary(missing="the data carry no dates")
    past = _past(inputs, population)
    if isinstance(past, str):
        return None, NurtureSummary(missing=past)
    unknown = set(past["tier"]) - {*params.tiers.names, EXCLUDED}
    if unknown:
        return None, NurtureSummary(missing=f"past lists have the tier {min(unknown)!r}; run evaluate again")
    waits = Waits.of(_with_ages(past, inputs.contract), lowest)
    steps = min(params.nurture.expires_days // population.every_days, waits.last // 3)
    known = Readiness.learn(waits, steps) if steps > 1 else None
    if known is None:
        few = f"on {waits.last + 1} past lists fewer than {LEAST_READY} leads became ready, or the lists are too few"
        return None, NurtureSummary(missing=few)
    waiting, left = _waiting(inputs, params, population)
    leads = nurture_list(waiting, known)
    counts = leads["status"].value_counts()
    confidence, next_lists = params.evaluate.confidence, max(1, round(28 / population.every_days))
    looked_at = windows(waits, next_lists)
    return leads, NurtureSummary(
        leads={name: int(counts.get(name, 0)) for name in STATUSES},
        expired=int(counts.get(EXPIRED, 0)),
        ready=left,
        until_days=steps * population.every_days,
        judged=judge_days(waits, steps, params.nurture.least_chance, confidence),
        next_days=next_lists * population.every_days,
        next=next_events(looked_at, _seen(looked_at, inputs.contract, population.every_days), confidence),
    )


def nurture_line(lead_id: str, run: RunContext) -> str:
    """Say of one lead when to look at it again, and what usually comes next; "" where it is not on the list."""
    path = run.layout.nurture.path
    rows = pd.read_parquet(path, filters=[("lead_id", "==", lead_id)]) if path.is_file() else pd.DataFrame()
    if rows.empty:
        return ""
    summary = read_result(ScoreSummary, run.layout.score_summary.path, "score").nurture
    lead = {str(name): value for name, value in rows.iloc[0].items()}
    return line_of(lead, summary or NurtureSummary())


def _past(inputs: NurtureInputs, population: SnapshotParams) -> pd.DataFrame | str:
    """Read past lists: lead_id, snapshot_at, tier, probability; or say why there are none to learn from."""
    if not inputs.past.is_file():
        return "there are no lists of the later period; run evaluate"
    columns = ["lead_id", "snapshot_at", "model", "tier"]
    past = pd.read_parquet(inputs.past, columns=columns).rename(columns={"model": "probability"})
    gaps = np.diff(np.sort(past["snapshot_at"].unique())) / np.timedelta64(population.every_days, "D")
    return past if (gaps == 1).all() else f"past lists are not {population.every_days} days apart"


def _waiting(inputs: NurtureInputs, params: Params, population: SnapshotParams) -> tuple[Waiting, int | None]:
    """Return the leads of the last tier today, and how many of the list before are ready now."""
    lowest = params.tiers.names[-1]
    listed = pd.read_parquet(inputs.scores, columns=READ).rename(columns={"as_of": "snapshot_at"})
    at = listed["snapshot_at"].max()
    rows = _with_ages(listed, inputs.contract)
    rows = rows.assign(cell=cells(rows, lowest))
    before = pd.read_parquet(inputs.previous) if inputs.previous.is_file() else empty_list()
    before = before[before["as_of"] < at]  # a day made again begins anew
    ready = rows.loc[~rows["tier"].isin([lowest, EXCLUDED]), "lead_id"]
    came = before["status"].ne(EXPIRED) & before["lead_id"].isin(ready)
    waiting = rows[rows["tier"] == lowest].reset_index(drop=True)
    woke = _last_acts(waiting, inputs.contract, params.nurture.wake_on)
    nurture = params.nurture
    given = Waiting(
        waiting[["lead_id", "cell"]].assign(acted_at=woke), before, at, population.every_days, nurture.expires_days,
        nurture.least_chance,
    )  # fmt: skip
    return given, int(came.sum()) if len(before) else None


def _with_ages(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Add age and quiet, in days."""
    created = contract.leads.set_index("lead_id")["created_at"].reindex(rows["lead_id"]).to_numpy()
    quiet = (rows["snapshot_at"] - _last_acts(rows, contract, [])) / DAY
    return rows.assign(age=(rows["snapshot_at"] - created) / DAY, quiet=quiet.fillna(NEVER))


def _last_acts(rows: pd.DataFrame, contract: Contract, types: Sequence[str]) -> pd.Series[pd.Timestamp]:
    """Return when the last act of each lead began to count; missing where it has none. By the rows' index."""
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
