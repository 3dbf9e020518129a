"""Stage score: every open lead on one day, ranked, in tiers and with reasons."""

from __future__ import annotations

import logging
from contextlib import closing

from features.schema.errors import NoOpenLeadsError
from models.evaluation.results import EvaluationResult
from pipelines.lists.owner_lists import write_run_lists
from pipelines.nurture.nurture_list import write_run_nurture
from pipelines.scoring.fresh_list import stand_fresh
from pipelines.scoring.history import warn_of_days
from pipelines.scoring.override_store import read_overrides, stores
from pipelines.scoring.population import closed_leads, open_leads
from pipelines.scoring.rule_scoring import rule_list, tier_names
from pipelines.scoring.score_list import rank_leads, ranked_rows, summarise, write_no_list, write_scores
from pipelines.scoring.shards import count_new_values, score_shards
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, Opener
from pipelines.storage.files import working_folder, write_parquet
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
WORK = "score"  # of leads, so that a kill must not leave it for ever
BY_RULES = "the verdict is that the model is not usable, so the owners' lists follow the hand-written rules"


def score_leads(run: RunContext, opened: Opener = Contract.open) -> None:
    """Write scores.parquet, scores.csv and score_summary.json: one row an open lead, best first; see `write_no_list`.

    Then the owners' lists, where `lists.owner` asks for them, and the leads to look at again, with `nurture.on`.

    Parameters
    ----------
    opened
        Opens the contract tables, on the engine that computes.
    """
    tested_id = _write_list(run, opened)
    if run.params.lists.owner and _rules_instead(run, tested_id):
        _write_lists_by_rules(run)
    else:
        write_run_lists(run, run.params.tiers.names)
    write_run_nurture(run)


def _rules_instead(run: RunContext, tested_id: str) -> bool:
    """Whether the verdict on this very model says to rank by the hand-written rules."""
    if not run.params.rules.names or not run.layout.metrics.path.is_file():
        return False
    evaluated = read_result(EvaluationResult, run.layout.metrics.path, "evaluate")
    return evaluated.model_id == tested_id and not evaluated.verdict.usable and evaluated.verdict.incumbent == "rules"


def _write_lists_by_rules(run: RunContext) -> None:
    """Write the owners' lists by the rules' points; the score list stays the model's."""
    log.warning("score: %s", BY_RULES)
    with (
        closing(Contract.open(run.layout, run.params.project)) as contract,
        working_folder(run.layout.artifacts / WORK) as work,
    ):
        scored, _ = rule_list(run, contract)
        write_parquet(scored, work / "scores.parquet")
        write_run_lists(run, tier_names(run.params), work / "scores.parquet", BY_RULES)


def _write_list(run: RunContext, opened: Opener) -> str:
    """Write the score list, and return the id of the model that the run's figures are of."""
    scorer = load_bundle(run.layout.bundle, run.params.project.threads)
    run.layout.artifacts.mkdir(parents=True, exist_ok=True)
    with (
        closing(opened(run.layout, run.params.project)) as contract,
        working_folder(run.layout.artifacts / WORK) as work,
    ):
        try:
            snapshots, who = open_leads(contract, scorer.metadata.snapshots, run)
        except NoOpenLeadsError as error:
            write_no_list(error, contract, run, run.params.tiers.names, scorer.model_id)
            return ""
        warn_of_days(snapshots["snapshot_at"].max(), contract)
        scorer = stand_fresh(scorer, contract, snapshots["snapshot_at"].max(), run.params)
        parts = list(score_shards(contract, scorer, run.params.tiers, snapshots, run.params.score.reasons, work))
        given = read_overrides(stores(run.layout, run.layout.reports), run.params.tiers.names)
        listed = rank_leads(parts, scorer, snapshots, contract, run.layout.scores.path, run.params, given)
        unseen = count_new_values(parts)
        closed = closed_leads(listed.leads, contract, scorer.metadata.matrix)
        write_scores(ranked_rows(parts, listed), summarise(listed, who, unseen, closed), run)
    return scorer.tested_id
