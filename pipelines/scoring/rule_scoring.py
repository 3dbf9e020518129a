"""Scoring by the hand-written rules: every open lead scored by them alone, and one lead's points explained."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pyarrow as pa

from features.cohort.moments import is_day, moment_text
from features.matrix.matrix import run_query
from features.rules.declarations import START, RulesParams
from features.rules.point_log import RuleQuery, rule_log
from features.schema.errors import NoOpenLeadsError, ParamsError
from models.lists.overrides import in_force, override_tiers
from models.scoring.rule_points import contributions, points
from models.scoring.rule_points import explain as explain_log
from models.scoring.rule_scorer import BELOW, rule_parts, rule_tiers, rules_id, score_by_rules
from models.tiers.assignment import TierContext
from models.tiers.tier_rules import EXCLUDED
from pipelines.config.params import Params
from pipelines.scoring.override_store import read_overrides, stores
from pipelines.scoring.population import closed_leads, one_lead, open_leads
from pipelines.scoring.score_list import COLUMNS, SCORES, write_no_list, write_scores
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.scoring.tier_inputs import read_previous_tiers, tier_facts
from pipelines.storage.contract_store import Contract, read_spec
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")


def score_leads_by_rules(run: RunContext) -> pd.DataFrame:
    """Write scores.parquet, scores.csv and score_summary.json as `score` does, by the rules and without a model.

    Returns
    -------
    DataFrame
        One row an open lead, most points first; probability and raw_score are missing.

    Raises
    ------
    ParamsError
        Where there are no rules.
    """
    contract = Contract.open(run.layout, run.params.project)
    try:
        scored, summary = rule_list(run, contract)
    except NoOpenLeadsError as error:
        write_no_list(error, contract, run, tier_names(run.params), rules_id(run.params.rules))
        return pd.read_parquet(run.layout.scores.path)
    write_scores(pa.Table.from_pandas(scored, SCORES, preserve_index=False).to_reader(), summary, run)
    return scored


def rule_list(run: RunContext, contract: Contract) -> tuple[pd.DataFrame, ScoreSummary]:
    """Return the list by the rules, and its summary, and write nothing; see `score_leads_by_rules`.

    Raises
    ------
    NoOpenLeadsError
        Where nobody is open.
    """
    rules = run.params.rules
    if not rules.names:
        raise ParamsError("`rules` in the params names no rule, so nothing can be scored; write some there")
    spec, dated = read_spec(run.layout), run.params.source.order == "dates"
    snapshots, who = open_leads(contract, run.params.snapshots if dated else None, run)
    parts = rule_parts(rules, spec)
    shards = [
        (shard.rows["lead_id"], contributions(run_query(RuleQuery(spec, rules), shard.tables), len(shard.rows), rules))
        for shard in contract.shards(snapshots)
    ]
    scored = score_by_rules(
        pd.concat([ids for ids, _ in shards], ignore_index=True),
        np.concatenate([of_shard for _, of_shard in shards]),
        parts,
        run.params.score.reasons,
    )
    as_of = snapshots["snapshot_at"].max()
    moments = scored[["lead_id"]].merge(snapshots, "left", "lead_id")
    facts = tier_facts(moments, contract, spec, run.params.tiers, current=True)
    previous = read_previous_tiers(run.layout.scores.path, as_of, rules_id(rules))
    context = TierContext(run.params.tiers, run.params.capacity.per_period, facts=facts, previous=previous)
    names = tier_names(run.params)
    given = read_overrides(stores(run.layout, run.layout.reports), names)
    known = {one.name: one.stage for one in run.params.tiers.ladder}
    stages = {name: known.get(name, "") for name in names if name != EXCLUDED}
    tiers = override_tiers(scored, rule_tiers(scored, rules, context), in_force(given, as_of), stages)
    scored = scored.assign(
        as_of=pd.Series(as_of, index=scored.index, dtype="datetime64[us]"),
        **tiers,
        model_id=rules_id(rules),
        data_fingerprint=contract.profile.fingerprint,
    )[COLUMNS]
    closed = closed_leads(scored, contract, spec)
    return scored, _summary(scored, run.params, who).model_copy(update={"closed": closed})


def _summary(scored: pd.DataFrame, params: Params, who: str) -> ScoreSummary:
    """Summarise the list as the model's; what needs a probability or a vocabulary is empty."""
    as_of = scored["as_of"].iloc[0]
    lowest = scored.groupby("tier")["score"].min()
    return ScoreSummary(
        who=who,
        intercept=None,
        as_of=None if pd.isna(as_of) else moment_text(as_of),
        n=len(scored),
        tiers={name: int((scored["tier"] == name).sum()) for name in tier_names(params)},
        overfull={},
        explored=0,
        capacity=[],
        expected_conversions={},
        lowest_score={str(name): int(one) for name, one in lowest.items()},
        unseen={},
        model_id=scored["model_id"].iloc[0],
        data_fingerprint=scored["data_fingerprint"].iloc[0],
    )


def tier_names(params: Params) -> list[str]:
    """Return the tiers that rules give, best first, and last the excluded where leads may be."""
    named = [one.name for one in params.rules.thresholds]
    outside = [EXCLUDED] * any(one.tier == EXCLUDED for one in params.tiers.exclusions)
    return [*([*named, BELOW] if named else params.tiers.names), *outside]


def explain_lead(lead_id: str, run: RunContext) -> list[str]:
    """Return, line by line, each point that a lead earned by the scoring day, when it decays, and the sum.

    Raises
    ------
    ParamsError
        Where no lead has this id, or it was created later.
    """
    contract, spec = Contract.open(run.layout, run.params.project), read_spec(run.layout)
    moment = one_lead(lead_id, contract, run)
    at = moment["snapshot_at"].iloc[0]
    shard = next(contract.shards(moment))
    entries = rule_log(shard.tables, spec, run.params.rules)
    rows = explain_log(entries, at, run.params.rules)
    rows = rows.assign(original=rows["rule"].map(_original_points(run.params.rules)).astype("float64"))
    return _table(rows, float(points(entries, 1, run.params.rules)[0]), lead_id, at)


def _original_points(rules: RulesParams) -> dict[str, int]:
    """Return the points of each rule before anything decays."""
    points = {START: rules.start} | {rule.name: rule.points for rule in rules.attributes}
    return (
        points | {rule.name: rule.points for rule in rules.events} | {rule.name: rule.points for rule in rules.patterns}
    )


def _table(rows: pd.DataFrame, total: float, lead_id: str, at: pd.Timestamp) -> list[str]:
    """Write the log as a table of text."""
    day = "" if pd.isna(at) else f" at {'the start of ' if is_day(at) else ''}{moment_text(at)}"
    cells = {
        "criterion": [*rows["rule"], "sum"],
        "earned": [*_minutes(rows["earned_at"]), ""],
        "points then": [*(f"{one:+.0f}" for one in rows["original"]), ""],
        "points now": [*(f"{one:+.3f}" for one in rows["points"]), f"{total:+.3f}"],
        "changes": [*_minutes(rows["decays_at"]), ""],
        "how": [*rows["decays"], ""],
    }
    columns = [
        [cell.rjust(width) if name.startswith("points") else cell.ljust(width) for cell in (name, *column)]
        for name, column in cells.items()
        for width in [max(map(len, (name, *column)))]
    ]
    lines = ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
    return [f"Points of lead {lead_id} by the hand-written rules{day}.", *lines]


def _minutes(times: pd.Series[pd.Timestamp]) -> list[str]:
    return ["" if pd.isna(time) else f"{time:%Y-%m-%d %H:%M}" for time in times]
