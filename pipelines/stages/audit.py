"""Stage audit: searches all matured data for fields that give the outcome away."""

from __future__ import annotations

import logging

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from models.checks import AuditResult, CheckResult
from models.leakage.audit import AuditInputs, audit
from pipelines.storage.contract_store import Contract, read_matrix
from pipelines.storage.results import write_result
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")


def audit_leakage(run: RunContext) -> AuditResult:
    """Write audit.json; training does not depend on it.

    Raises
    ------
    DataError
        Where ingest or build_features has not run.
    """
    matrix, spec = read_matrix(run.layout)
    contract = Contract.open(run.layout, run.params.project)
    inputs = AuditInputs(
        matrix,
        spec,
        contract.leads,
        contract.outcomes,
        contract.history,
        _events_at_outcome(contract),
        run.params.source.order,
        contract.data_until,
        run.params.promotion.accepted,
    )
    found = audit(inputs, run.params.project.seed, run.params.audit)
    result = found.model_copy(update={"fingerprint": contract.profile.fingerprint})
    write_result(result, run.layout.audit.path)
    for line in log_lines(result.checks):
        log.info("audit: %s", line)
    return result


def log_lines(checks: list[CheckResult]) -> list[str]:
    """Say which checks failed, or how many passed; one that is not applicable did neither."""
    failed = [f"{check.code} {check.title}: {', '.join(check.columns)}" for check in checks if check.failed]
    accepted = [check.code for check in checks if check.status == "accepted"]
    looked_into = f", {', '.join(accepted)} accepted" if accepted else ""
    passed = sum(check.status == "passed" for check in checks)
    return failed or [f"{passed} leakage checks passed{looked_into}"]


def _events_at_outcome(contract: Contract) -> pd.DataFrame | None:
    """Count events, and events at the moment of their lead's conversion, by event type; None without events.

    Where either of two times has no time of day, the same day counts as the same moment.
    """
    won = contract.outcomes.loc[contract.outcomes["converted_at"].notna(), ["lead_id", "converted_at"]]
    if won.empty:
        return None
    closes = ibis.memtable(pa.Table.from_pandas(won, preserve_index=False))
    both = contract.events.left_join(closes, "lead_id")
    counts = both.group_by("event_type").agg(
        events=both.count(), at_outcome=_same_moment(both.event_at, both.converted_at).fill_null(False).sum()
    )
    table: pd.DataFrame = counts.order_by("event_type").to_pyarrow().to_pandas()
    return None if table.empty else table


def _same_moment(one: ir.TimestampValue, other: ir.TimestampValue) -> ir.BooleanValue:
    days = one.truncate("D"), other.truncate("D")
    is_day = (one == days[0]) | (other == days[1])
    return (one == other) | (is_day & (days[0] == days[1]))
