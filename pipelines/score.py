"""Stage score: every open lead at one date, ranked, tiered and with reasons.

Phase one scores leads a shard at a time, and no figure of a lead depends on another lead. Phase two sees the whole list
by a few light columns, ranks it, puts each lead into a tier and writes the rows in that order, never held whole.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import DataError, ParamsError
from features.fit import attributes_as_of, count_unseen
from features.snapshots import at_risk, one_per_lead
from features.spec import SnapshotParams
from models.overrides import EXCLUDED
from models.scorer import Scorer
from models.tier_lists import list_figures, tier_columns
from pipelines.artifacts import Layout
from pipelines.bundle import load_bundle
from pipelines.params import Params, Project
from pipelines.shards import score_shards
from pipelines.sinks import ROW_GROUP, write_csv, write_json, write_parquet
from pipelines.sources import NO_EXTENSIONS
from pipelines.store import Contract, Opener, read_matrix
from pipelines.tiering import facts_of, lot_of, tiers_in_place

log = logging.getLogger("leadscore")
SCORES = pa.schema(
    {
        "lead_id": pa.string(),
        "as_of": pa.timestamp("us"),
        "probability": pa.float64(),
        "score": pa.int64(),
        "fit": pa.float64(),
        "engagement": pa.float64(),
        "grade": pa.string(),
        "tier": pa.string(),
        "stage": pa.string(),
        "tier_reason": pa.string(),
        "previous_tier": pa.string(),
        "earned_tier": pa.string(),
        "explored": pa.string(),
        "propensity": pa.float64(),
        "reasons_text": pa.string(),
        "reasons": pa.string(),
        "online": pa.float64(),
        "offline": pa.float64(),
        "other_engagement": pa.float64(),
        "negative": pa.float64(),
        "points": pa.float64(),
        "base_points": pa.float64(),
        "raw_score": pa.float64(),
        "model_id": pa.string(),
        "data_fingerprint": pa.string(),
    }
)
COLUMNS = SCORES.names
MEANING = {  # of each column, for the reference
    "lead_id": "the lead",
    "as_of": "the day the lead was scored for; empty without dates",
    "probability": "to convert within the horizon; empty where the rules alone score",
    "score": "`points` as whole points from 0 to 100",
    "fit": "points for what the lead is",
    "engagement": "points for what the lead did and did not do",
    "grade": "fit A to D by engagement 1 to 4; empty where the rules alone score",
    "tier": "of `tiers.ladder`, or excluded",
    "stage": "the lifecycle stage that the tier maps to",
    "tier_reason": "the trigger or exclusion that put the lead there; empty where its score did",
    "previous_tier": "on the list that was in place before; empty without one",
    "earned_tier": "the tier without the lot; `tier`, where the lead was not drawn",
    "explored": "yes where the lot drew the lead into the best tier, else no",
    "propensity": "chance with which the lead came into the best tier; copy it into the contact log",
    "reasons_text": "why, in words, strongest first, each with its points behind",
    "reasons": "the same as JSON: theme, group, points, feature, value and text of each; in the Parquet file alone",
    "online": "the part of engagement that happened online",
    "offline": "the part of engagement that happened offline",
    "other_engagement": "the part of engagement that has no channel of its own",
    "negative": "what all themes that count against the lead take away",
    "points": "base_points + fit + engagement, before the score is cut at 0 and 100",
    "base_points": "points of every lead before any feature",
    "raw_score": "calibrated log-odds; empty where the rules alone score",
    "model_id": "digest of the model",
    "data_fingerprint": "digest of the data that was scored",
}
LIGHT = ["lead_id", "probability", "points", "score"]  # what phase two reads of every lead at once
TIER = ["tier", "stage", "tier_reason", "previous_tier", "earned_tier", "explored", "propensity"]  # what it adds


@dataclass(frozen=True)
class Listed:
    """The whole list in its order, by light columns.

    Attributes
    ----------
    leads
        LIGHT and TIER; best first, ties broken by lead_id.
    figures
        What the tiers hold and what capacity buys; see `tier_lists.list_figures`.
    as_of
        The day stood at; NaT for tables without dates.
    """

    leads: pd.DataFrame
    figures: dict[str, Any]
    as_of: pd.Timestamp
    model_id: str
    fingerprint: str

    @property
    def day(self) -> str | None:
        """The day stood at, in ISO's way; None for tables without dates."""
        return None if pd.isna(self.as_of) else self.as_of.date().isoformat()


def score_leads(params: Params, layout: Layout, opened: Opener = Contract.open) -> None:
    """Write scores.parquet, scores.csv and score_summary.json: one row an open lead, best first.

    Parameters
    ----------
    opened
        Opens the contract tables, on the engine that computes.
    """
    scorer = load_bundle(layout.bundle, params.project.threads)
    layout.artifacts.mkdir(parents=True, exist_ok=True)
    with (
        closing(opened(layout, params.project)) as contract,
        tempfile.TemporaryDirectory(dir=layout.artifacts) as work,
    ):
        snapshots, who = open_leads(contract, scorer.card.snapshots, params, layout)
        parts = list(score_shards(contract, scorer, snapshots, params.score.reasons, Path(work)))
        listed = list_leads(parts, scorer, snapshots, contract, layout.scores.path, params)
        unseen = count_new_values(contract, snapshots, scorer)
        with ranked_rows(parts, listed, params.project, Path(work)) as rows:
            write_scores(rows, summarise(listed) | {"who": who, "unseen": unseen}, layout)


def write_scores(rows: pa.RecordBatchReader, summary: dict[str, Any], layout: Layout) -> None:
    """Write scores.parquet, scores.csv and score_summary.json, by whom ever; `rows` as SCORES, best first."""
    write_rows(rows, layout.scores.path, layout.scores_csv.path)
    write_json(summary, layout.score_summary.path)
    _log_list(summary)


def write_rows(rows: pa.RecordBatchReader, scores: Path, sheet: Path) -> None:
    """Write a list as Parquet and, without the JSON of the reasons, as CSV; `rows` as SCORES, best first."""
    write_parquet(rows, scores)
    columns = [name for name in SCORES.names if name != "reasons"]
    with pq.ParquetFile(scores) as written:
        write_csv((batch.to_pandas() for batch in written.iter_batches(ROW_GROUP, columns=columns)), sheet)


def _log_list(summary: dict[str, Any]) -> None:
    """Say how many leads were scored, and what the model does not know of them."""
    tiers = ", ".join(f"{name} {n:,}" for name, n in summary["tiers"].items())
    log.info("score: %s %s (%s)", f"{summary['n']:,}", summary["who"], tiers)
    for name, n in summary["unseen"].items():
        log.warning("score: %s: %s leads have a rare or new value, which counts as other", name, f"{n:,}")
    if summary["explored"]:
        log.info("score: %s leads of lower tiers drawn by lot into the best one, to learn", summary["explored"])
    for name, full in summary["overfull"].items():
        log.warning("score: triggers give %s %s leads for %s places; all stay", name, full["triggered"], full["places"])


def open_leads(
    contract: Contract, population: SnapshotParams | None, params: Params, layout: Layout
) -> tuple[pd.DataFrame, str]:
    """Return the leads to score (lead_id, snapshot_at) and what they are.

    `population` says how old a lead may be; it is None for tables without dates. With dates: those open at
    `score.as_of`. Without: those whose outcome is not known; where all are known, the held-out leads stand in, so that
    the list can still be looked at.
    """
    if population is None:
        known = contract.outcomes.loc[contract.outcomes["converted"].notna(), "lead_id"]
        unknown = contract.leads[~contract.leads["lead_id"].isin(known)]
        if len(unknown):
            return one_per_lead(unknown), "leads without an outcome"
        matrix, _ = read_matrix(layout)
        held_out = matrix.loc[matrix["part"] == "test", "lead_id"]
        rows = contract.leads[contract.leads["lead_id"].isin(held_out)]
        return one_per_lead(rows), "held-out leads, as none is without an outcome"
    as_of = scoring_day(params, contract)
    rows = at_risk(contract.leads, contract.outcomes, pd.DatetimeIndex([as_of]).as_unit("us"), population)
    if rows.empty:
        raise DataError(
            "leads",
            "created_at",
            found=f"no lead open on {as_of:%Y-%m-%d}",
            expected=f"leads at most {population.max_age_days} days old that have not closed",
            fix="Choose another score.as_of or a larger snapshots.max_age_days.",
        )
    return rows.sort_values("lead_id", ignore_index=True), f"leads open on {as_of:%Y-%m-%d}"


def scoring_day(params: Params, contract: Contract) -> pd.Timestamp:
    """Return the midnight to stand at, in UTC."""
    if params.score.as_of == "latest":
        return contract.data_until.floor("D") + pd.Timedelta(days=1)
    return pd.Timestamp(params.score.as_of).as_unit("us")


def one_lead(lead_id: str, contract: Contract, params: Params, layout: Layout) -> pd.DataFrame:
    """Return one lead at the scoring day, open or not: lead_id, snapshot_at (NaT for tables without dates).

    Raises
    ------
    ParamsError
        Where no lead has this id, or it was not there yet on that day.
    """
    lead = contract.leads[contract.leads["lead_id"] == lead_id]
    if lead.empty:
        raise ParamsError(
            f"no lead {lead_id!r} among the {len(contract.leads):,} of {layout.leads.path}; write its id as it stands "
            "there"
        )
    if params.source.order != "dates":
        return one_per_lead(lead)[["lead_id", "snapshot_at"]]
    at, created = scoring_day(params, contract), lead["created_at"].iloc[0]
    if created >= at:
        raise ParamsError(
            f"lead {lead_id!r} was created on {created:%Y-%m-%d}, so there is nothing to explain at the start of "
            f"{at:%Y-%m-%d}; give a later --as-of"
        )
    return pd.DataFrame({"lead_id": [lead_id], "snapshot_at": pd.Series([at], dtype="datetime64[us]")})


# Phase two


def list_leads(
    parts: Sequence[Path],
    scorer: Scorer,
    snapshots: pd.DataFrame,
    contract: Contract,
    in_place: Path | None,
    params: Params,
) -> Listed:
    """Rank all scored leads and put them into tiers.

    Parameters
    ----------
    parts
        What `score_shards` wrote.
    snapshots
        The leads that were scored: lead_id, snapshot_at.
    in_place
        The list before this one, whose tiers leads keep within the margin.
    params
        Of them only `exploration` and its seed, and the confidence of the interval of what capacity buys.
    """
    light = pa.concat_tables(pq.read_table(part, columns=LIGHT) for part in parts).to_pandas()
    ranked = light.sort_values(["probability", "lead_id"], ascending=[False, True], ignore_index=True)
    card, as_of = scorer.card, snapshots["snapshot_at"].max()
    facts = facts_of(ranked[["lead_id"]].merge(snapshots, "left", "lead_id"), contract, card.matrix, card.tiers)
    previous = None if in_place is None else tiers_in_place(in_place, as_of, scorer.model_id)
    quota = lot_of(as_of, card, params)
    tiers = tier_columns(
        ranked, card.tiers, card.capacity, scale=card.points, facts=facts, previous=previous, quota=quota
    )
    leads = ranked.assign(**tiers)
    figures = list_figures(leads, card.tiers, card.capacity, facts, params.evaluate.confidence)
    return Listed(leads, figures, as_of, scorer.model_id, contract.profile["fingerprint"])


@contextmanager
def ranked_rows(parts: Sequence[Path], listed: Listed, project: Project, work: Path) -> Iterator[pa.RecordBatchReader]:
    """Stream the scored rows in the order of the list, as SCORES.

    Parameters
    ----------
    parts
        What `score_shards` wrote.
    work
        A folder to spill into, what `project.memory_gb` does not hold.
    """
    beside = listed.leads[["lead_id", *TIER]].assign(place=range(len(listed.leads)))
    added = {"as_of": "$as_of::TIMESTAMP", "model_id": "$model_id", "data_fingerprint": "$fingerprint"}
    columns = ", ".join(f"{added.get(name, name)} AS {name}" for name in COLUMNS)
    day = None if pd.isna(listed.as_of) else listed.as_of.to_pydatetime()
    config: dict[str, Any] = {
        "threads": project.threads,
        "memory_limit": f"{project.memory_gb / 4}GB",  # the list and the tables of leads are in memory, too
        "temp_directory": str(work / "spill"),
    }
    with duckdb.connect(config=NO_EXTENSIONS | config) as connection:
        connection.register("listed", pa.Table.from_pandas(beside, preserve_index=False))
        bound = {"as_of": day, "model_id": listed.model_id, "fingerprint": listed.fingerprint}
        statement = f"SELECT {columns} FROM read_parquet($parts) JOIN listed USING (lead_id) ORDER BY place"
        rows = connection.sql(statement, params=bound | {"parts": [str(part) for part in parts]})
        batches = rows.to_arrow_reader(ROW_GROUP)
        yield pa.RecordBatchReader.from_batches(SCORES, (batch.cast(SCORES) for batch in batches))


def count_new_values(contract: Contract, snapshots: pd.DataFrame, scorer: Scorer) -> dict[str, int]:
    """Count, for each category attribute, the leads whose value is no level of its own in the model."""
    spec = scorer.card.matrix
    frame = attributes_as_of(snapshots, contract.leads, contract.history, spec.attributes)
    return count_unseen(frame, spec.attributes, spec.vocabulary)


def summarise(listed: Listed) -> dict[str, Any]:
    """Return the list in a few numbers: leads, expected conversions, and the lowest score that reached each tier."""
    leads = listed.leads
    by_tier = leads.groupby("tier")["probability"]
    by_score = (leads["tier_reason"] == "") | (leads["tier"] == EXCLUDED)  # triggers and the lot ask for no score
    lowest = leads[by_score].groupby("tier")["score"].min()
    return {
        "as_of": listed.day,
        "n": len(leads),
        "expected_conversions": {name: float(by_tier.get_group(name).sum()) for name in by_tier.groups},
        "lowest_score": {str(name): int(least) for name, least in lowest.items()},
        "model_id": listed.model_id,
        "data_fingerprint": listed.fingerprint,
    } | listed.figures
