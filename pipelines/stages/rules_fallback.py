"""The fallback while there is too little to learn from: scores by the hand-written rules, and a page that says so.

One model serves all leads, so even a small segment is scored by what was learned from all of them; the rules alone are
used only where all segments together are too small.
"""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from features.schema.errors import NotReadyError
from models.checks import AuditResult
from models.evaluation.results import RulesResult, Verdict
from models.kpis.results import KpiResult
from models.scoring.rule_scorer import rules_id
from pipelines.lists.owner_lists import write_run_lists
from pipelines.reporting import tables
from pipelines.reporting.overrides import judge_overrides
from pipelines.reporting.page import page, write_page
from pipelines.scoring.rule_scoring import score_leads_by_rules, tier_names
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.stages.kpis import measure_kpis_by_rules
from pipelines.storage.contract_store import Display
from pipelines.storage.data_profile import read_profile
from pipelines.storage.results import read_current, read_result, read_snapshot_counts, write_result
from pipelines.storage.run_context import RunContext

PART_WORDS = {
    "train": "What a model would learn from, once there is enough of it.",
    "embargo": "Outcomes not yet known on the first day of the test.",
    "test": "What a model would be tested on.",
}
log = logging.getLogger("leadscore")


def serve_by_rules(not_ready: NotReadyError, run: RunContext) -> None:
    """Score by the rules, and write metrics.json, kpis.json and report.html without a model's metrics.

    Raises
    ------
    NotReadyError
        The same error, where there are no rules to use instead.
    """
    if not run.params.rules.names:
        raise not_ready
    scored = score_leads_by_rules(run)
    write_run_lists(run, tier_names(run.params))
    metrics = _metrics(not_ready, run, len(scored))
    for line in metrics.verdict.lines:
        log.warning("readiness: %s", line)
    write_result(metrics, run.layout.metrics.path)
    kpis = measure_kpis_by_rules(run)
    write_page(page("not_ready.html.j2", _contents(metrics, kpis, scored, run), run.params.project.name), run.layout)


def _metrics(not_ready: NotReadyError, run: RunContext, n: int) -> RulesResult:
    lines = [
        f"Not usable yet: {not_ready.found}.",
        f"The {n:,} leads are ranked by the hand-written rules alone: by points, without a probability.",
        "A longer history or a shorter snapshots.horizon_days gives more to learn from; readiness sets the minimum.",
    ]
    return RulesResult(
        verdict=Verdict(state="not ready", incumbent="rules", best_baseline="rules", leaks=[], lines=lines),
        model_id=rules_id(run.params.rules),
        fingerprint=read_profile(run.layout).fingerprint,
        horizon_days=run.params.snapshots.horizon_days if run.params.source.order == "dates" else None,
        capacity=run.params.capacity.per_period,
        snapshots=read_snapshot_counts(run.layout),
    )


def _contents(metrics: RulesResult, kpis: KpiResult, scored: pd.DataFrame, run: RunContext) -> dict[str, Any]:
    profile = read_profile(run.layout)
    catalogue = pd.read_csv(run.layout.catalogue.path, dtype=str, keep_default_na=False)
    return {
        "metrics": metrics,
        "summary": read_result(ScoreSummary, run.layout.score_summary.path, "score"),
        "profile": profile,
        "audit": read_current(AuditResult, run.layout.audit.path, "audit", run.layout).checks,
        "kpis": kpis,
        "metadata": {"snapshots": run.params.snapshots},
        "start": run.params.rules.start,
        "tiers": tier_names(run.params),
        "leads": tables.leads(scored, run.params.report.top_leads, Display.read(run.layout)),
        "overrides": judge_overrides(run),
        "owners": tables.owners(run.layout.owners.path),
        "parts": [part | {"words": PART_WORDS[part["name"]]} for part in tables.parts(metrics.snapshots)],
        "attributes": tables.attributes_read(profile, run.params.source.attributes),
        "changed_values": [],
        "catalogue": catalogue.to_dict("records"),
    }
