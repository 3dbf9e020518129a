"""Why scores changed between two dates, two models, or both: every lead on both lists, and one lead in full."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import scipy

from features.cohort.moments import moment_text
from features.matrix.counterfactual import attributes_then, counterfactuals, edits, new_events
from features.matrix.matrix import feature_matrix
from features.schema.errors import ModelError, ParamsError
from models.explanation.results import ChangeResult, LeadsLeft
from models.explanation.score_change import ChangeStep, ScoreChange, explain_change, table, theme_totals, totals
from models.points.scale import score
from models.scoring.scorer import Scorer
from models.tiers.assignment import TierContext
from models.tiers.declarations import TierParams
from models.tiers.score_lists import flows, tier_columns
from pipelines.analysis.change_page import write_change_page
from pipelines.config.params import Params, with_as_of
from pipelines.scoring.fresh_list import stand_fresh
from pipelines.scoring.population import open_leads
from pipelines.scoring.tier_inputs import exploration_quota, tier_facts
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, Shard
from pipelines.storage.files import write_csv, write_parquet
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
COLUMNS = ["lead_id", "score_from", "score_to", "tier_from", "tier_to", "difference", "time_passing",
           "edited_attributes", "new_events", "newer_outcomes", "new_model", "text", "reasons", "n_edited_attributes",
           "n_new_events", "points_from", "points_to", "probability_from", "probability_to"]  # fmt: skip


@dataclass(frozen=True)
class ChangeRequest:
    """What to compare: two days, and two folders of models; None: the scoring day, and the project's own model."""

    since: str | None = None
    until: str | None = None
    model_from: Path | None = None
    model_to: Path | None = None


@dataclass(frozen=True)
class End:
    """One of the two lists.

    Attributes
    ----------
    scorer
        The model as it stands on the list's day.
    leads
        The open leads, with the moment of the list; NaT without dates.
    """

    scorer: Scorer
    leads: pd.DataFrame

    @property
    def at(self) -> pd.Timestamp:
        return self.leads["snapshot_at"].max()

    def moments(self, lead_ids: pd.Series[str]) -> pd.DataFrame:
        """Return lead_id and snapshot_at."""
        at = pd.Series(self.at, index=lead_ids.index, dtype="datetime64[us]")
        return pd.DataFrame({"lead_id": lead_ids, "snapshot_at": at}).reset_index(drop=True)


@dataclass(frozen=True)
class Explained:
    """What a shard gives: the leads of either list, and why the points of those on both changed."""

    listed_from: pd.DataFrame
    listed_to: pd.DataFrame
    change: ScoreChange
    counts: pd.DataFrame


def explain_changes(request: ChangeRequest, run: RunContext) -> pd.DataFrame:
    """Write change.parquet, change.csv, change.json and change.html.

    Returns
    -------
    DataFrame
        One row a lead on both lists, the largest difference first.

    Raises
    ------
    ParamsError
        Where there is nothing to compare, or the days cannot be meant.
    ModelError
        Where a model does not fit the data.
    """
    contract = Contract.open(run.layout, run.params.project)
    old, new, later = ends(request, contract, run)
    listed: dict[str, list[pd.DataFrame]] = {"from": [], "to": []}
    rows, themes = [], []
    for one in explained(contract, old, new, later, union(old, new)):
        listed["from"].append(one.listed_from)
        listed["to"].append(one.listed_to)
        rows.append(table(one.change, one.counts, run.params.score.reasons))
        themes.append(theme_totals(one.change))
    lists = _join(*(_tiered(listed[side], end, contract, run.params) for side, end in (("from", old), ("to", new))))
    changes = pd.concat(rows, ignore_index=True).merge(lists, "left", "lead_id", validate="one_to_one")
    changes = (
        changes.sort_values("lead_id")
        .sort_values("difference", key=lambda points: -points.abs(), kind="stable", ignore_index=True)[COLUMNS]
        .astype({"score_from": "int64", "score_to": "int64"})
    )
    result = _summary(changes, lists, pd.concat(themes, ignore_index=True), contract, old, new)
    result = result.model_copy(update={"notes": [*result.notes, *_margin_note(run.params.tiers)]})
    write_parquet(changes, run.layout.change.path)
    write_csv(changes.drop(columns="reasons"), run.layout.change_csv.path)
    write_result(result, run.layout.change_summary.path)
    write_change_page(result, changes, run)
    for line in summary_lines(result):
        log.info("change: %s", line)
    return changes


def summary_lines(result: ChangeResult) -> list[str]:
    """Say change.json in a few sentences."""
    parts = ", ".join(f"{name.replace('_', ' ')} {part.mean:+.2f}" for name, part in result.parts.items())
    difference, left = result.difference, result.left
    return [
        f"{result.n:,} leads on both lists, {difference.mean:+.2f} points on average: {parts}",
        f"{difference.up:,} up and {difference.down:,} down by more than half a point; "
        f"{result.tier_changed:,} change tier; {result.entered:,} came onto the list, {left.n:,} left it "
        f"({left.converted:,} converted, {left.lost:,} lost)",
        *result.notes,
    ]


def ends(request: ChangeRequest, contract: Contract, run: RunContext) -> tuple[End, End, Scorer]:
    """Load both models and list both days' leads; the third is the first's model as it stands on the second day."""
    folders = [folder or run.layout.bundle for folder in (request.model_from, request.model_to)]
    old, new = (load_bundle(folder, run.params.project.threads) for folder in folders)
    for folder, scorer in zip(folders, (old, new), strict=True):
        _check_fits(folder, scorer, contract)
    new = old if new.model_id == old.model_id else new  # one object: what both have in common is computed once
    dated = "created_at" in contract.leads
    if not dated and (request.since or request.until):
        raise ParamsError("these tables have no dates, so only the model can change: leave out --since and --until")
    if new is old and (request.since is None or not dated):
        raise ParamsError(
            "there is nothing to compare: the model is the same"
            + (", and --since is not given; name the earlier day with --since, or" if dated else ";")
            + " give another model's folder with --model-since"
        )
    last = run.params if request.until is None else with_as_of(run.params, request.until)
    to = End(new, open_leads(contract, new.metadata.snapshots, RunContext(last, run.layout))[0])
    first = last if request.since is None else with_as_of(run.params, request.since)
    start = End(old, open_leads(contract, old.metadata.snapshots, RunContext(first, run.layout))[0])
    if dated and start.at > to.at:
        raise ParamsError(
            f"--since is {moment_text(start.at)} and --until is {moment_text(to.at)}; the earlier day comes first"
        )
    then, now = (stand_fresh(end.scorer, contract, end.at, run.params) for end in (start, to))
    later = now if new is old else stand_fresh(old, contract, to.at, run.params)
    return replace(start, scorer=then), replace(to, scorer=now), later


def _check_fits(folder: Path, scorer: Scorer, contract: Contract) -> None:
    read = [name for name, spec in scorer.metadata.matrix.attributes.items() if spec.known != "outcome"]
    lacking = [name for name in read if name not in contract.leads]
    dated = "created_at" in contract.leads
    if lacking:
        raise ModelError(f"the model in {folder} reads attribute {lacking[0]!r}, which the tables do not have")
    if (scorer.metadata.snapshots is not None) != dated:
        raise ModelError(
            f"the model in {folder} is for tables {'without' if dated else 'with'} dates, and these are tables "
            f"{'with' if dated else 'without'}"
        )


def union(old: End, new: End) -> pd.DataFrame:
    """Return lead_id, on_from and on_to of every lead on either list."""
    both = old.leads[["lead_id"]].merge(new.leads[["lead_id"]], "outer", "lead_id", indicator="side")
    side = both["side"].astype("str")
    return both[["lead_id"]].assign(on_from=side != "right_only", on_to=side != "left_only")


def explained(contract: Contract, old: End, new: End, later: Scorer, leads: pd.DataFrame) -> Iterator[Explained]:
    """Score both lists and every state between, a shard of leads at a time.

    `later` is the old list's model as it stands on the new list's day.
    """
    for shard in contract.shards(leads):
        rows = shard.rows
        both = rows.loc[rows["on_from"] & rows["on_to"], "lead_id"].reset_index(drop=True)
        first, last = (
            _matrix(shard, rows.loc[rows[on], "lead_id"], end) for on, end in (("on_from", old), ("on_to", new))
        )
        steps = [ChangeStep("", old.scorer, _of(first, both))]
        if pd.notna(old.at) and old.at < new.at:
            tables = replace(shard.tables, snapshots=new.moments(both))
            between = counterfactuals(tables, old.scorer.metadata.matrix, old.at)
            steps += [ChangeStep(part, old.scorer, matrix.assign(lead_id=both)) for part, matrix in between.items()]
            steps.append(ChangeStep("newer_outcomes", later, steps[-1].matrix))
        steps.append(ChangeStep("new_model", new.scorer, _of(last, both)))
        yield Explained(_listed(first, old), _listed(last, new), explain_change(steps), _counts(shard, both, old, new))


def _matrix(shard: Shard, lead_ids: pd.Series[str], end: End) -> pd.DataFrame:
    moments = end.moments(lead_ids)
    features = feature_matrix(replace(shard.tables, snapshots=moments), end.scorer.metadata.matrix)
    return pd.concat([moments[["lead_id"]], features], axis=1)


def _of(matrix: pd.DataFrame, lead_ids: pd.Series[str]) -> pd.DataFrame:
    return lead_ids.to_frame().merge(matrix, "left", "lead_id", validate="one_to_one")


def _listed(matrix: pd.DataFrame, end: End) -> pd.DataFrame:
    log_odds = end.scorer.log_odds(matrix)
    points = end.scorer.metadata.points.points(log_odds)
    return pd.DataFrame(
        {"lead_id": matrix["lead_id"], "probability": scipy.special.expit(log_odds), "score": score(points)}
    )


def _counts(shard: Shard, both: pd.Series[str], old: End, new: End) -> pd.DataFrame:
    """Count what became known between the lists: edited attributes that the old model reads, and events."""
    if not (pd.notna(old.at) and old.at < new.at):
        return pd.DataFrame({"n_edited_attributes": 0, "n_new_events": 0}, index=range(len(both)))
    edited = edits_between(shard, both, old, new)["lead_id"].value_counts()
    counts = new_events(shard.events, old.at, new.at).group_by("lead_id").aggregate(n=lambda events: events.count())
    events = counts.to_pyarrow().to_pandas().set_index("lead_id")["n"]
    counts = {"n_edited_attributes": both.map(edited), "n_new_events": both.map(events)}
    return pd.DataFrame(counts).fillna(0).astype("int64")


def edits_between(shard: Shard, lead_ids: pd.Series[str], old: End, new: End) -> pd.DataFrame:
    attributes = old.scorer.metadata.matrix.attributes
    then, now = (attributes_then(lead_ids, shard.leads, shard.history, attributes, end.at) for end in (old, new))
    return edits(then, now, attributes)


def _tiered(parts: list[pd.DataFrame], end: End, contract: Contract, params: Params) -> pd.DataFrame:
    """Give each list's tiers as if there were no previous list; randomised leads keep the tier they were drawn into."""
    listed, metadata = pd.concat(parts, ignore_index=True), end.scorer.metadata
    moments = end.moments(listed["lead_id"])
    facts = tier_facts(moments, contract, metadata.matrix, params.tiers, current=True)
    context = TierContext(params.tiers, params.capacity.per_period, metadata.points, facts)
    columns = tier_columns(listed, context, exploration_quota(end.at, metadata, params))
    return listed.assign(tier=columns["tier"])


def _join(first: pd.DataFrame, last: pd.DataFrame) -> pd.DataFrame:
    return first.merge(last, "outer", "lead_id", suffixes=("_from", "_to"), validate="one_to_one")


def _summary(
    changes: pd.DataFrame, lists: pd.DataFrame, themes: pd.DataFrame, contract: Contract, old: End, new: End
) -> ChangeResult:
    return ChangeResult(
        **dict(totals(changes, themes)),
        since=None if pd.isna(old.at) else old.at.date().isoformat(),
        until=None if pd.isna(new.at) else new.at.date().isoformat(),
        model_from=old.scorer.model_id,
        model_to=new.scorer.model_id,
        data_fingerprint=contract.profile.fingerprint,
        tier_changed=int((changes["tier_from"] != changes["tier_to"]).sum()),
        tiers=flows(lists["tier_from"], lists["tier_to"]),
        entered=int(lists["tier_from"].isna().sum()),
        left=_left(lists.loc[lists["tier_to"].isna(), "lead_id"], contract, new),
        notes=_notes(old, new),
    )


def _left(gone: pd.Series[str], contract: Contract, new: End) -> LeadsLeft:
    outcomes = contract.outcomes[contract.outcomes["lead_id"].isin(gone)]
    converted = int((outcomes["converted_at"] < new.at).sum())
    lost = int(((outcomes["lost_at"] < new.at) & ~(outcomes["converted_at"] < new.at)).sum())
    return LeadsLeft(n=len(gone), converted=converted, lost=lost, other=len(gone) - converted - lost)


def _notes(old: End, new: End) -> list[str]:
    """Say what a reader must know of the parts."""
    before, after = old.scorer.metadata, new.scorer.metadata
    notes = []
    if before.snapshots is None or after.snapshots is None:
        notes.append("the tables have no dates, so all of the difference comes from the model")
    elif before.snapshots.horizon_days != after.snapshots.horizon_days:
        notes.append(
            f"the models answer different questions: conversion within {before.snapshots.horizon_days} and within "
            f"{after.snapshots.horizon_days} days"
        )
    if before.points != after.points:
        notes.append("the models' scales differ (`points` in the params), which is part of the new model's points")
    return notes


def _margin_note(tiers: TierParams) -> list[str]:
    if not tiers.margin:
        return []
    return [
        "tiers are given here as if no list came before: on a published list, leads within tiers.margin of a "
        "cut-off may stand in another"
    ]
