"""The scheduled run: one day's list, scored, checked and published completely, or the last one stays current.

A list depends on its day, the model, the data, the previous list and this program alone, and so does its name.
A run that finds its list published has nothing to do; one that was killed goes on with its finished shards.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from features.cohort.snapshots import grid
from features.schema.errors import DataError, DeliveryError, first_line
from models.scoring.scorer import Scorer
from models.tiers.tier_rules import EXCLUDED
from pipelines.config.params import Params, reasons_asked, require_day, with_as_of
from pipelines.lists.not_called import not_called
from pipelines.nurture.nurture_list import NAME, NurtureInputs, NurtureList, build_nurture
from pipelines.registry.named_model import find_bundle
from pipelines.scheduled.drafts import Draft, publish
from pipelines.scheduled.feed_checks import check_feed, check_first_feed, drift, feed_at
from pipelines.scheduled.input_files import check_contract, ingest_if_changed
from pipelines.scheduled.manifest import (
    FeedStatus,
    ListIdentity,
    ListManifest,
    Policy,
    display_digest,
    profile_digest,
    rows_in,
)
from pipelines.scheduled.progress import with_progress
from pipelines.scheduled.published import INPUTS, SCORES, PublishedLists
from pipelines.scoring.fresh_list import stand_fresh
from pipelines.scoring.override_store import digest, read_overrides, stores
from pipelines.scoring.population import closed_leads, list_day, open_leads
from pipelines.scoring.score_list import RankedList, rank_leads, summarise
from pipelines.scoring.shards import EarlierList, count_new_values, score_shards
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, Display, Opener
from pipelines.storage.files import disk_full, file_digest
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import versions

log = logging.getLogger("leadscore")
Clock = Callable[[], float]


@dataclass(frozen=True)
class JobRequest:
    """The request for a scheduled run.

    Attributes
    ----------
    model
        A bundle's folder, or a model in MLflow's registry, such as models:/lead-scoring@champion.
    to
        The folder of lists.
    data
        The folder of the user's files; None: the contract tables as they are.
    reasons
        top-N, all or none.
    since_last
        Score only leads whose inputs differ from the current list; the bytes are the same.
    dry_run
        Do everything but publish.
    prune
        Whether lists older than `job.keep_days` are removed.
    opened
        Opens the contract tables, on the engine that computes.
    """

    model: str
    to: Path
    data: Path | None
    reasons: str
    since_last: bool
    dry_run: bool
    prune: bool = True
    opened: Opener = Contract.open


@dataclass(frozen=True)
class PreparedJob:
    """What every day of a request shares.

    Attributes
    ----------
    stamp
        Identifies the contract tables that were checked.
    past
        predictions.parquet of the run that made the model; there may be none.
    """

    request: JobRequest
    published: PublishedLists
    layout: Layout
    stamp: tuple[int, int]
    contract: Contract
    past: Path
    scorer: Scorer
    reasons: int
    files: dict[str, str]


def run_job(run: RunContext, request: JobRequest, clock: Clock) -> list[str]:
    """Publish the list of `score.as_of`. The caller has locked the folder.

    Parameters
    ----------
    run
        Its contract tables are read, unless the request names the user's files.
    clock
        Seconds from any start; goes into timings.json and nowhere else.

    Returns
    -------
    list
        What was done, or would be, in lines for people.

    Raises
    ------
    DataError, ModelError, FeedError, DeliveryError
        In each case the current list stays current.
    """
    with _prepared(run, request) as ready:
        return _score_day(run.params, ready, clock)


def backfill(
    run: RunContext, request: JobRequest, first: str, last: str, every_days: int | None, clock: Clock
) -> list[str]:
    """Publish a list for each day of the grid in [first, last], oldest first; see `run_job`.

    Parameters
    ----------
    every_days
        From one list to the next, through `snapshots.anchor`; None: as the model's snapshots.
    """
    ends = [with_as_of(run.params, day) for day in (first, last)]
    for params in ends:
        require_day(params)
    begin, end = (pd.Timestamp(params.score.as_of).as_unit("us") for params in ends)
    lines = []
    with _prepared(run, replace(request, prune=False)) as ready:
        snapshots = ready.scorer.metadata.snapshots
        if snapshots is None:
            raise DataError(
                "leads",
                "created_at",
                found="tables without dates",
                expected="dates, as each list of a backfill is of one day",
                fix="Run without --backfill.",
            )
        step = snapshots.every_days if every_days is None else every_days
        for day in grid(begin, end, snapshots.model_copy(update={"every_days": step})):
            lines += _score_day(with_as_of(run.params, f"{day:%Y-%m-%d}"), ready, clock)
    return lines or [f"no day of the grid lies between {first} and {last}"]


def feed_layout(to: Path) -> Layout:
    """Where the user's files are read into, below a folder of lists."""
    return Layout.folder(PublishedLists(to).work / "feed")


@contextmanager
def _prepared(run: RunContext, request: JobRequest) -> Iterator[PreparedJob]:
    published, reasons, past = PublishedLists(request.to), reasons_asked(request.reasons), run.layout.predictions.path
    with _delivering(request.to):
        scorer = load_bundle(
            find_bundle(request.model, run.params, published.work / "model"), run.params.project.threads
        )
        files: dict[str, str] = {}
        if request.data is not None:
            run = replace(run, layout=feed_layout(request.to))
            files = ingest_if_changed(run, request.data)
        stamp = _stamp(run.layout)
        check_contract(run.layout)
        with closing(request.opened(run.layout, run.params.project)) as contract:
            yield PreparedJob(request, published, run.layout, stamp, contract, past, scorer, reasons, files)


@contextmanager
def _delivering(folder: Path) -> Iterator[None]:
    """Turn errors of a disk that fails or is full into a DeliveryError."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if not (isinstance(error, OSError | duckdb.IOException) or disk_full(error)):
            raise
        reason = first_line(error)
        raise DeliveryError(f"cannot write to {folder}: {reason}; the last list stays current") from error


@contextmanager
def _unchanged_tables(ready: PreparedJob) -> Iterator[None]:
    """Check that the contract tables are not replaced while they are read."""
    try:
        yield
    finally:
        if _stamp(ready.layout) != ready.stamp:
            raise DataError(
                "contract",
                "",
                found=f"tables in {ready.layout.contract} that were replaced while they were read",
                expected="the same tables from the first lead to the last",
                fix="Run again once ingest has ended.",
            )


def _stamp(layout: Layout) -> tuple[int, int]:
    """Identify one version of the contract tables."""
    status = layout.profile.path.stat() if layout.profile.path.is_file() else None
    return (status.st_ino, status.st_mtime_ns) if status else (0, 0)


def _score_day(params: Params, ready: PreparedJob, clock: Clock) -> list[str]:
    """Publish one day's list, or find it published."""
    request, published, dated = ready.request, ready.published, ready.scorer.metadata.snapshots is not None
    as_of = list_day(params, ready.contract) if dated else None
    day = f"{as_of:%Y-%m-%d}" if as_of is not None else None
    if request.prune and not request.dry_run:
        published.prune(params.job.keep_days, day)
    previous = published.before(day)
    latest = previous if dated else published.current_name()
    feed = feed_at(ready.contract, as_of)
    last = published.manifest(latest) if latest else None
    check_feed(feed, last.feed if last else None, as_of, params.job)
    if last is None:
        check_first_feed(ready.contract, ready.scorer.metadata.matrix.vocabulary.event_types, params.job)
    identity = _identity(params, ready, day, previous)
    if published.is_complete(identity.name):
        return [_make_current(params, ready, identity.name)]
    draft = _score_draft(params, ready, identity, feed, clock)
    if request.dry_run:
        shutil.rmtree(draft.work)
        counts = _counts(draft.manifest, params)
        return [f"would publish {draft.name}: {counts}", _changes(published, draft.listed.leads)]
    publish(draft, published, params)
    return [_make_current(params, ready, draft.name)]


def _identity(params: Params, ready: PreparedJob, day: str | None, previous: str | None) -> ListIdentity:
    return ListIdentity(
        as_of=day,
        model_id=ready.scorer.model_id,
        data_fingerprint=ready.contract.profile.fingerprint,
        profile=profile_digest(ready.layout),
        display=display_digest(ready.layout),
        overrides=digest(stores(ready.layout, ready.request.to)),
        past=file_digest(ready.past) if params.nurture.on and ready.past.is_file() else "",
        reasons=ready.request.reasons,
        previous=previous,
        inputs=ready.files,
        policy=Policy.of(params),
        recalibration_rows=params.score.recalibration_rows,
        versions=versions(),
    )


def _score_draft(params: Params, ready: PreparedJob, identity: ListIdentity, feed: FeedStatus, clock: Clock) -> Draft:
    """Score what is not scored yet, rank it, and summarise it."""
    started, contract, name = clock(), ready.contract, identity.name
    work, run = _work(ready.published, name), RunContext(params, ready.layout)
    last = ready.published.run(identity.previous) if identity.previous else None
    with _unchanged_tables(ready):
        snapshots, who = open_leads(contract, ready.scorer.metadata.snapshots, run)
        scorer = stand_fresh(ready.scorer, contract, snapshots["snapshot_at"].max(), params)
        earlier = _earlier(ready.published, identity, scorer) if ready.request.since_last else None
        shards = score_shards(contract, scorer, params.tiers, snapshots, ready.reasons, work, earlier)
        parts = list(with_progress(shards, contract.count_shards(snapshots), f"score {name}"))
        rows, display = rows_in(ready.layout), Display.read_mapped(ready.layout, params.source.leads)
        timings = {"score": clock() - started, "unchanged": earlier.count(parts) if earlier else 0}
        given = read_overrides(stores(ready.layout, ready.request.to), params.tiers.names)
        listed = rank_leads(parts, scorer, snapshots, contract, last / SCORES if last else None, params, given)
        closed = closed_leads(listed.leads, contract, scorer.metadata.matrix)
        waiting = not_called(listed, contract, run, last)
        nurture = _nurture(listed, ready, last, params) if params.nurture.on else None
    unseen = count_new_values(parts)
    shift = drift(listed.leads, unseen, _scores(ready.published, identity.previous), params.job)
    hindsight = _hindsight(scorer, identity.as_of)
    summary = summarise(listed, who, unseen, closed)
    for line in [*shift.flags, *([hindsight] if hindsight else []), *summary.warnings]:
        log.warning("score: %s", line)
    known = vars(summary) | vars(identity) | {"nurture": nurture.summary if nurture else None}
    manifest = ListManifest(**known, feed=feed, drift=shift, hindsight=hindsight, rows=rows, outputs={})
    return Draft(name, work, parts, listed, manifest, timings, display, waiting, nurture)


def _nurture(listed: RankedList, ready: PreparedJob, last: Path | None, params: Params) -> NurtureList:
    leads = listed.leads[["lead_id", "probability", "tier"]].assign(as_of=listed.as_of)
    inputs = NurtureInputs(leads, ready.past, last / NAME if last else None, ready.contract)
    return build_nurture(inputs, params)


def _make_current(params: Params, ready: PreparedJob, name: str) -> str:
    """Make a published list the current one, and describe it."""
    published = ready.published
    manifest = published.manifest(name)
    what = f"{name}: {_counts(manifest, params)}" if manifest else name
    if ready.request.dry_run:
        return f"already published {what}"
    if published.make_current(name):
        return f"published {what}"
    return f"published {what}; a list of a later day stays current"


def _counts(manifest: ListManifest, params: Params) -> str:
    """Count the leads of each tier, best first."""
    best_first = [*params.tiers.names, EXCLUDED]
    tiers = ", ".join(f"{name} {manifest.tiers[name]:,}" for name in best_first if name in manifest.tiers)
    return f"{manifest.n:,} {manifest.who} ({tiers})"


def _work(published: PublishedLists, name: str) -> Path:
    """The folder of a list's shards; those of other lists, which no run will finish, are removed."""
    shards = published.work / "shards"
    for other in shards.glob("*"):
        if other.name != name:
            shutil.rmtree(other)
    (shards / name).mkdir(parents=True, exist_ok=True)
    return shards / name


def _earlier(published: PublishedLists, identity: ListIdentity, scorer: Scorer) -> EarlierList | None:
    """The current list, where the same model and program made it with the same reasons and intercept."""
    name = published.current_name()
    if name is None or not published.is_complete(name):
        return None
    manifest = published.manifest(name)
    if manifest is None or manifest.intercept != scorer.sigmoid.intercept:
        return None
    if any(getattr(manifest, key) != getattr(identity, key) for key in ("model_id", "reasons", "versions")):
        return None
    return EarlierList.open(published.run(name) / SCORES, published.run(name) / INPUTS)


def _scores(published: PublishedLists, name: str | None) -> pd.Series[int] | None:
    if name is None:
        return None
    return pq.read_table(published.run(name) / SCORES, columns=["score"]).to_pandas()["score"]


def _hindsight(scorer: Scorer, day: str | None) -> str | None:
    until = scorer.metadata.trained_until
    if day is None or until is None or until[: len(day)] <= day:
        return None
    return f"the model learned from outcomes up to {until}, after this day: the list does not show how well it would do"


def _changes(published: PublishedLists, leads: pd.DataFrame) -> str:
    """Count what a list would change against the current one."""
    current = published.current_name()
    if current is None:
        return "there is no current list yet"
    old = pq.read_table(published.run(current) / SCORES, columns=["lead_id", "tier", "score"]).to_pandas()
    both = old.merge(leads[["lead_id", "tier", "score"]], on="lead_id", suffixes=("_old", ""))
    tier, points = ((both[f"{name}_old"] != both[name]).sum() for name in ("tier", "score"))
    new, gone = len(leads) - len(both), len(old) - len(both)
    return (
        f"against {current}: {new:,} leads new, {gone:,} gone, {tier:,} in another tier, {points:,} with another score"
    )
