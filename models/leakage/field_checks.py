"""Checks of single fields: too predictive, a copy of the label, named or filled after it, or predictive only early."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from models.checks import MOST_NAMED, Check, CheckResult, enumerate_names
from models.leakage.predictive_power import auc_within, level_effects, univariate_strength
from models.leakage.rows import (
    AuditParams,
    Rows,
    Subject,
    levels_of,
    one_row_a_lead,
    too_few_to_judge,
    training_rows,
)
from models.leakage.suspicious_names import named_leaky

UNIVARIATE_AUC = Check("LK01", "One field is far more predictive than the rest")
SIBLING = Check("LK02", "A field is a sibling of the label")
NAMED = Check("LK03", "A field is named like something written after the outcome")
FILLED = Check("LK04", "A field is filled only after the outcome")
ONE_STEP = Check("LK05", "Fields are filled in one step, and nothing says when")
VANISHED = Check("LK10", "A field loses its predictive power later")
ASK = "Ask who writes it and when. If that is after the outcome or because of it, declare it known: outcome."
ASK_STEP = "Ask when that step runs. If it runs while leads are worked, declare all of them known: outcome."
DOUBT = "Expect it to mislead again: it may only reflect the time. Leave it out unless forward folds want it."
CERTAIN = 0.99  # AUC of one field alone that is a leak, however strong the others are
NO_FIELDS = "no attribute and no event type is used"


def outranks_rest(rows: Rows, params: AuditParams) -> CheckResult:
    """LK01: name fields that alone rank too well and lie above all that do not; no strong one hides another."""
    if why := _why_not(rows, rows.subjects):
        return UNIVARIATE_AUC.not_applicable(why)
    certain = [subject for subject in rows.subjects if rows.best(subject).auc >= CERTAIN]
    strong = [subject for subject in rows.subjects if subject in certain or rows.low_auc(subject) >= params.strong_auc]
    highest = max((rows.best(subject).auc for subject in rows.subjects if subject not in strong), default=0.5)
    columns = {
        subject.column: f"alone it ranks with an AUC of {_auc(rows, subject)}, "
        f"the strongest of the others with {highest:.2f}"
        for subject in strong
        if subject in certain or rows.low_auc(subject) >= highest + params.stands_out
    }
    top = max(rows.subjects, key=lambda subject: rows.best(subject).auc)
    detail = f"the strongest is {top.column} with an AUC of {_auc(rows, top)}; {rows.size}"
    return UNIVARIATE_AUC.of_columns(columns, detail, ASK)


def mirrors_label(rows: Rows, params: AuditParams) -> CheckResult:
    """LK02: name fields that alone remove much of the doubt about the outcome, as another spelling of it does."""
    if why := _why_not(rows, rows.subjects):
        return SIBLING.not_applicable(why)
    best = {
        subject: max(
            (rows.strengths[entry.name] for entry in subject.features), key=lambda one: one.uncertainty_coefficient
        )
        for subject in rows.subjects
    }
    columns = {
        subject.column: f"alone it removes {strength.uncertainty_coefficient:.0%} of the doubt about the outcome"
        for subject, strength in best.items()
        if strength.uncertainty_coefficient - rows.critical * strength.uncertainty_coefficient_error
        >= params.sibling_share
    }
    top = max(best, key=lambda subject: best[subject].uncertainty_coefficient)
    share = max(best[top].uncertainty_coefficient, 0)
    return SIBLING.of_columns(columns, f"the most doubt is removed by {top.column}, {share:.0%}; {rows.size}", ASK)


def named_after_outcome(rows: Rows, params: AuditParams) -> CheckResult:
    """LK03: name predictive fields without dates of writing whose name points to the outcome."""
    fields = [subject for subject in rows.subjects if subject.is_undated]
    if why := _why_not(rows, fields):
        return NAMED.not_applicable(why)
    reasons = {subject: named_leaky(subject.column) or named_leaky(subject.name) for subject in fields}
    suspects = [subject for subject in fields if reasons[subject]]
    columns = {
        subject.column: f"{'; '.join(reasons[subject])}; alone it ranks with an AUC of {_auc(rows, subject)}"
        for subject in suspects
        if rows.low_auc(subject) >= params.named_auc
    }
    detail = f"{len(suspects)} of {len(fields)} fields are named so, and {len(columns)} of them are predictive"
    return NAMED.of_columns(columns, f"{detail}; {rows.size}", ASK)


def filled_after_outcome(rows: Rows, params: AuditParams) -> CheckResult:
    """LK04: name fields without dates of writing that are filled mostly for one outcome, whether won or lost."""
    fields = [subject for subject in rows.subjects if subject.is_undated]
    if why := _why_not(rows, fields):
        return FILLED.not_applicable(why)
    gaps = {subject: _fill(subject, rows) for subject in fields}
    columns = {
        subject.column: f"filled for {won:.0%} of the leads that converted and {lost:.0%} of the others"
        for subject, (gap, error, won, lost) in gaps.items()
        if gap - rows.critical * error >= params.fill_gap and max(won, lost) >= params.fill_ratio * min(won, lost)
    }
    top = max(fields, key=lambda subject: gaps[subject][0])
    detail = f"the widest gap is that of {top.column}, filled for {gaps[top][2]:.0%} and {gaps[top][3]:.0%}"
    return FILLED.of_columns(columns, f"{detail}; {rows.size}", ASK)


def _fill(subject: Subject, rows: Rows) -> tuple[float, float, float, float]:
    """Gap in the share of filled cells within periods, its error, and the share of either outcome."""
    filled = _filled(subject, rows)
    auc, error = auc_within(filled.astype("float64"), rows.label, rows.period)
    won, lost = (float(filled[rows.label == outcome].mean()) for outcome in (1.0, 0.0))
    return abs(2 * auc - 1), 2 * error, won, lost


def _filled(subject: Subject, rows: Rows) -> np.ndarray:
    return rows.frame[subject.features[0].name].notna().to_numpy()


def filled_in_one_step(rows: Rows, params: AuditParams) -> CheckResult:
    """LK05: name fields of an undated export that are empty in exactly the same rows and, where filled, predictive.

    Another system has written them in one go, on leads of its choice; no chance makes two fields agree so. Of a large
    block, such as all that is known of a person, only the predictive ones are named: the rest would hide them.
    """
    fields = [subject for subject in rows.subjects if subject.known == "export"]
    if why := _why_not(rows, fields):
        return ONE_STEP.not_applicable(why)
    blocks: dict[bytes, list[Subject]] = {}
    for subject in fields:
        blocks.setdefault(np.packbits(_filled(subject, rows)).tobytes(), []).append(subject)
    together = [block for block in blocks.values() if len(block) > 1 and _is_partly_filled(block[0], rows, params)]
    columns = {
        subject.column: f"filled in the same {_filled(subject, rows).mean():.0%} of the leads as "
        f"{_others(subject, block)}"
        for block in together
        for subject in _suspects(block, rows, params)
    }
    detail = f"{len(together)} blocks of fields are filled in the same rows; {rows.size}"
    return ONE_STEP.of_columns(columns, detail, ASK_STEP)


def _suspects(block: list[Subject], rows: Rows, params: AuditParams) -> list[Subject]:
    if len(block) > MOST_NAMED:
        return [subject for subject in block if rows.low_auc(subject) >= params.named_auc]
    return block if any(rows.low_auc(subject) >= params.block_auc for subject in block) else []


def _is_partly_filled(subject: Subject, rows: Rows, params: AuditParams) -> bool:
    share = float(_filled(subject, rows).mean())
    return params.block_share <= share <= 1 - params.block_share


def _others(subject: Subject, block: Iterable[Subject]) -> str:
    return enumerate_names([other.column for other in block if other is not subject])


def vanishes(matrix: pd.DataFrame, rows: Rows, order: str, seed: int, params: AuditParams) -> CheckResult:
    """LK10: name fields that ranked the training period and, as learned there, do not rank the later one.

    Pairs are formed across periods here: a field that ranked because it reflects the time is just what is looked for.
    """
    if order == "none":
        return VANISHED.not_applicable("the rows have no order, so none is later")
    early, late = (one_row_a_lead(part, seed) for part in (training_rows(matrix), matrix[matrix["part"] == "test"]))
    too_few = [too_few_to_judge(frame["label"].to_numpy("float64"), params) for frame in (early, late)]
    if any(too_few) or not rows.subjects:
        return VANISHED.not_applicable("; ".join(filter(None, too_few)) or NO_FIELDS)
    both = pd.concat([early, late], ignore_index=True)
    aucs = {subject.column: _auc_later(subject, both, len(early), rows.critical, params) for subject in rows.subjects}
    predictive = {column: auc for column, auc in aucs.items() if auc is not None}
    columns = {
        column: f"AUC {before:.2f} in training, {after:.2f} later"
        for column, (before, after, ceiling) in predictive.items()
        if ceiling < 0.5 + params.vanished_share * (before - 0.5)
    }
    detail = f"{len(columns)} of {len(predictive)} fields that rank {len(early):,} training leads do not rank"
    return VANISHED.of_columns(columns, f"{detail} {len(late):,} later ones", DOUBT)


def _auc_later(
    subject: Subject, both: pd.DataFrame, n_early: int, critical: float, params: AuditParams
) -> tuple[float, float, float] | None:
    """AUC before, AUC after as learned before, and its upper end; None where it did not surely rank before."""
    label, early = both["label"].to_numpy("float64"), np.arange(len(both)) < n_early
    one_period = np.zeros(len(both), dtype=np.int64)
    levels = {entry.name: levels_of(both, entry) for entry in subject.features}
    strengths = {
        name: univariate_strength(level[early], label[early], one_period[early]) for name, level in levels.items()
    }
    name = max(strengths, key=lambda feature: strengths[feature].auc)
    before, level = strengths[name], levels[name]
    if before.auc - critical * before.error < params.held_auc:
        return None
    effect = level_effects(level[early], label[early], one_period[early], int(level.max()) + 1)
    after, error = auc_within(effect[level[~early]], label[~early], one_period[~early])
    return before.auc, after, after + critical * error


def _why_not(rows: Rows, fields: list[Subject]) -> str:
    """Say why fields cannot be checked; empty where they can."""
    if not rows.subjects:
        return NO_FIELDS
    return rows.too_few if fields else "no field is declared as it stood at export, or at creation, without its dates"


def _auc(rows: Rows, subject: Subject) -> str:
    best = rows.best(subject)
    margin = rows.critical * best.error
    return f"{best.auc:.2f} ({max(best.auc - margin, 0):.2f} to {min(best.auc + margin, 1):.2f})"
