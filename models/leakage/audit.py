"""The leakage audit: every check on what a run has built, failed ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from features.matrix.matrix import MatrixSpec
from models.checks import AuditResult
from models.leakage.closing_checks import filled_at_closing
from models.leakage.field_checks import (
    filled_after_outcome,
    filled_in_one_step,
    mirrors_label,
    named_after_outcome,
    outranks_rest,
    vanishes,
)
from models.leakage.rows import AuditParams, judge_rows
from models.leakage.timing_checks import edited_after_outcome, events_at_outcome, order_predicts_outcome, split_overlap


@dataclass(frozen=True)
class AuditInputs:
    """What a run has built, as far as the audit reads it.

    Attributes
    ----------
    matrix
        One row a matured snapshot: lead_id, snapshot_at, known_at, part, label and the catalogue's features.
    leads, outcomes, history
        The contract's tables.
    moments
        Event types at the outcome, see `events_at_outcome`; None without events.
    order
        `source.order`: dates, rows or none.
    until
        The end of the data.
    accepted
        Findings that somebody has looked into, see `CheckResult.without`.
    """

    matrix: pd.DataFrame
    spec: MatrixSpec
    leads: pd.DataFrame
    outcomes: pd.DataFrame
    history: pd.DataFrame
    moments: pd.DataFrame | None
    order: str
    until: pd.Timestamp
    accepted: Sequence[str] = ()


def audit(inputs: AuditInputs, seed: int, params: AuditParams) -> AuditResult:
    """Run every check; `seed` draws one snapshot of each lead."""
    matrix, order = inputs.matrix, inputs.order
    rows = judge_rows(matrix, inputs.spec, order, seed, params)
    asked = {name: attribute for name, attribute in inputs.spec.attributes.items() if attribute.known != "outcome"}
    edited = {name: attribute.column for name, attribute in asked.items() if attribute.known == "history"}
    checks = [
        outranks_rest(rows, params),
        mirrors_label(rows, params),
        named_after_outcome(rows, params),
        filled_after_outcome(rows, params),
        filled_in_one_step(rows, params),
        edited_after_outcome(inputs.history, inputs.outcomes, edited, params),
        events_at_outcome(inputs.moments, params),
        split_overlap(matrix, order),
        order_predicts_outcome(inputs.leads, matrix.groupby("lead_id")["label"].max(), order, params),
        vanishes(matrix, rows, order, seed, params),
        filled_at_closing(inputs.leads, inputs.outcomes, inputs.history, asked, order, inputs.until, params),
    ]
    checks = [check.without(inputs.accepted) for check in checks]
    return AuditResult(checks=sorted(checks, key=lambda check: (not check.failed, check.code)))
