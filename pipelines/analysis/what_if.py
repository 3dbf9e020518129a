"""What another policy would make of the list that is there: tier sizes, expected wins, who moves. Publishes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from features.schema.errors import DataError
from models.lists.overrides import in_force, override_tiers
from models.lists.results import OwnersSummary
from models.scoring.scorer import Scorer
from models.tiers.assignment import TierContext
from models.tiers.results import ListSummary, TierFlow
from models.tiers.score_lists import flows, list_summary, tier_columns
from pipelines.lists.owner_lists import ASSIGNED, ListInputs, hand_out, read_ranked
from pipelines.scoring.override_store import read_overrides, stores
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.scoring.tier_inputs import DEAL_VALUE, exploration_quota, tier_facts
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, Display
from pipelines.storage.results import Provenance, existing, read_result
from pipelines.storage.run_context import RunContext

LISTED = ["lead_id", "as_of", "probability", "points", "score", "tier", "previous_tier"]


@dataclass(frozen=True)
class WhatIf:
    """The list as it is, and under the policy of the parameters.

    Attributes
    ----------
    owners
        What the lists of owners would come to; None where `lists.owner` asks for none.
    moved
        lead_id, score, tier_from and tier_to of the leads whose tier would be another, best first.
    """

    before: ScoreSummary
    after: ListSummary
    owners: OwnersSummary | None
    flows: list[TierFlow]
    moved: pd.DataFrame


def what_if(run: RunContext) -> WhatIf:
    """Put the leads of the last list into the tiers that the parameters ask for; nothing is trained or scored again.

    Raises
    ------
    DataError
        Where there is no list, or the rules alone made it.
    ModelError
        Where model and data are not those of the list.
    """
    before = read_result(ScoreSummary, run.layout.score_summary.path, "score")
    scorer = load_bundle(run.layout.bundle, run.params.project.threads)
    contract = Contract.open(run.layout, run.params.project)
    _check_same(before, scorer, contract, run)
    listed = read_ranked(existing(run.layout.scores.path, "score"), LISTED, run.params)
    if listed["probability"].isna().any():
        raise DataError(
            "scores",
            "probability",
            found="a list that the hand-written rules made",
            expected="a list of the model, whose probabilities say what capacity would win",
            fix="Run `leadscore stage score`.",
        )
    leads, summary = _tiered(listed, scorer, contract, run)
    moved = listed[["lead_id", "score"]].assign(tier_from=listed["tier"], tier_to=leads["tier"])
    changed = moved[moved["tier_from"] != moved["tier_to"]].reset_index(drop=True)
    return WhatIf(before, summary, _owners(leads, run), flows(changed["tier_from"], changed["tier_to"]), changed)


def _owners(leads: pd.DataFrame, run: RunContext) -> OwnersSummary | None:
    params, layout = run.params, run.layout
    if not params.lists.owner:
        return None
    display = Display.read_mapped(layout, params.source.leads)
    inputs = ListInputs(layout.scores.path, display, params.tiers.names, layout.owner_lists / ASSIGNED)
    return hand_out(leads, inputs, params).summary


def _tiered(
    listed: pd.DataFrame, scorer: Scorer, contract: Contract, run: RunContext
) -> tuple[pd.DataFrame, ListSummary]:
    """Return the leads with the tiers that a list of this day would have, compared with the same list before it."""
    params, metadata, as_of = run.params, scorer.metadata, listed["as_of"].max()
    moments = listed[["lead_id"]].assign(snapshot_at=listed["as_of"].astype("datetime64[us]"))
    facts = tier_facts(moments, contract, metadata.matrix, params.tiers, current=True)
    if DEAL_VALUE in listed:
        facts = replace(facts, deal_value=facts.deal_value.fillna(listed[DEAL_VALUE]))
    earlier = listed.set_index("lead_id")["previous_tier"]
    previous = earlier[earlier != ""] if (earlier != "").any() else None
    context = TierContext(params.tiers, params.capacity.per_period, metadata.points, facts, previous)
    tiers = tier_columns(listed, context, exploration_quota(as_of, metadata, params))
    given = read_overrides(stores(run.layout, run.layout.reports), params.tiers.names)
    stages = {one.name: one.stage for one in params.tiers.ladder}
    tiers = override_tiers(listed, tiers, in_force(given, as_of), stages)
    leads = listed.drop(columns=["tier", "previous_tier"]).join(tiers)
    summary = list_summary(leads, params.tiers, params.capacity.per_period, facts, params.evaluate.confidence)
    return leads, summary


def _check_same(before: ScoreSummary, scorer: Scorer, contract: Contract, run: RunContext) -> None:
    listed = Provenance(before.model_id, before.data_fingerprint)
    now = Provenance(scorer.model_id, contract.profile.fingerprint)
    listed.require_same(run.layout.score_summary.path.name, now, "the model and the tables", "`leadscore stage score`")
