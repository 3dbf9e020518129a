"""The leakage audit: every check on what a run has built, failed ones first."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from features.matrix.matrix import MatrixSpec
from models.checks import AuditResult
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
    """

    matrix: pd.DataFrame
    spec: MatrixSpec
    leads: pd.DataFrame
    outcomes: pd.DataFrame
    history: pd.DataFrame
    moments: pd.DataFrame | None
    order: str


def audit(inputs: AuditInputs, seed: int, params: AuditParams) -> AuditResult:
    """Run every check; `seed` draws one snapshot of each lead."""
    matrix, order = inputs.matrix, inputs.order
    rows = judge_rows(matrix, inputs.spec, order, seed, params)
    attributes = inputs.spec.attributes.items()
    edited = {name: attribute.column for name, attribute in attributes if attribute.known == "history"}
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
    ]
    return AuditResult(checks=sorted(checks, key=lambda check: (not check.failed, check.code)))
