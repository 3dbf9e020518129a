"""Checks of single fields: what stands out, what mirrors the label, what is named or filled after it, what vanishes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from models.leakage.predictive_power import auc_within, level_effects, univariate_strength
from models.leakage.rows import (
    AuditParams,
    LeakageCheck,
    Question,
    Rows,
    Subject,
    levels_of,
    one_row_a_lead,
    too_few_to_judge,
    training_rows,
)
from models.leakage.suspicious_names import named_leaky

UNIVARIATE_AUC = Question("LK01", "One field tells far more than the rest")
SIBLING = Question("LK02", "A field is a sibling of the label")
NAMED = Question("LK03", "A field is named like something written after the outcome")
FILLED = Question("LK04", "A field is filled only after the outcome")
ONE_STEP = Question("LK05", "Fields are filled in one step, and nothing says when")
VANISHED = Question("LK10", "What a field tells vanishes later")
ASK = "Ask who writes it and when. If that is after the outcome or because of it, declare it known: outcome."
ASK_STEP = "Ask when that step runs. If it runs while leads are worked, declare all of them known: outcome."
DOUBT = "Expect it to mislead again: it may only tell what time it was. Leave it out unless forward folds want it."
NO_FIELDS = "no attribute and no event type is used"


def stands_out(rows: Rows, params: AuditParams) -> LeakageCheck:
    """Name fields that alone rank too well and lie above all that do not; no strong one hides another."""
    if nothing := _nothing_to_judge(rows, rows.subjects):
        return UNIVARIATE_AUC.not_applicable(nothing)
    strong = [one for one in rows.subjects if rows.low_auc(one) >= params.strong_auc]
    highest = max((rows.best(one).auc for one in rows.subjects if one not in strong), default=0.5)
    found = {
        one.column: f"alone it ranks with an AUC of {_auc(rows, one)}, the strongest of the others with {highest:.2f}"
        for one in strong
        if rows.low_auc(one) >= highest + params.stands_out
    }
    top = max(rows.subjects, key=lambda one: rows.best(one).auc)
    return UNIVARIATE_AUC.answer(
        found, f"the strongest is {top.column} with an AUC of {_auc(rows, top)}; {rows.size}", ASK
    )


def mirrors_label(rows: Rows, params: AuditParams) -> LeakageCheck:
    """Name fields that alone remove much of the doubt about the outcome, as another spelling of it does."""
    if nothing := _nothing_to_judge(rows, rows.subjects):
        return SIBLING.not_applicable(nothing)
    told = {
        one: max((rows.strengths[entry.name] for entry in one.features), key=lambda best: best.uncertainty_coefficient)
        for one in rows.subjects
    }
    found = {
        one.column: f"alone it removes {best.uncertainty_coefficient:.0%} of the doubt about the outcome"
        for one, best in told.items()
        if best.uncertainty_coefficient - rows.critical * best.uncertainty_coefficient_error >= params.sibling_share
    }
    top = max(told, key=lambda one: told[one].uncertainty_coefficient)
    said = f"the most doubt is removed by {top.column}, {max(told[top].uncertainty_coefficient, 0):.0%}; {rows.size}"
    return SIBLING.answer(found, said, ASK)


def named_after_outcome(rows: Rows, params: AuditParams) -> LeakageCheck:
    """Name fields without dates of writing whose name speaks of the outcome and that do tell of it."""
    fields = [one for one in rows.subjects if one.is_undated]
    if nothing := _nothing_to_judge(rows, fields):
        return NAMED.not_applicable(nothing)
    reasons = {one: named_leaky(one.column) or named_leaky(one.name) for one in fields}
    suspects = [one for one in fields if reasons[one]]
    found = {
        one.column: f"{'; '.join(reasons[one])}; alone it ranks with an AUC of {_auc(rows, one)}"
        for one in suspects
        if rows.low_auc(one) >= params.named_auc
    }
    said = f"{len(suspects)} of {len(fields)} fields are named so, and {len(found)} of them tell of the outcome"
    return NAMED.answer(found, f"{said}; {rows.size}", ASK)


def filled_after_outcome(rows: Rows, params: AuditParams) -> LeakageCheck:
    """Name fields without dates of writing that are filled mostly for one outcome, whether won or lost."""
    fields = [one for one in rows.subjects if one.is_undated]
    if nothing := _nothing_to_judge(rows, fields):
        return FILLED.not_applicable(nothing)
    gaps = {one: _fill(one, rows) for one in fields}
    found = {
        one.column: f"filled for {won:.0%} of the leads that converted and {lost:.0%} of the others"
        for one, (gap, error, won, lost) in gaps.items()
        if gap - rows.critical * error >= params.fill_gap and max(won, lost) >= params.fill_ratio * min(won, lost)
    }
    top = max(fields, key=lambda one: gaps[one][0])
    said = f"the widest gap is that of {top.column}, filled for {gaps[top][2]:.0%} and {gaps[top][3]:.0%}"
    return FILLED.answer(found, f"{said}; {rows.size}", ASK)


def _fill(subject: Subject, rows: Rows) -> tuple[float, float, float, float]:
    """Gap in the share of filled cells within periods, its error, and the share of either outcome."""
    filled = _filled(subject, rows)
    auc, error = auc_within(filled.astype("float64"), rows.label, rows.period)
    won, lost = (float(filled[rows.label == outcome].mean()) for outcome in (1.0, 0.0))
    return abs(2 * auc - 1), 2 * error, won, lost


def _filled(subject: Subject, rows: Rows) -> np.ndarray:
    return rows.frame[subject.features[0].name].notna().to_numpy()


def filled_in_one_step(rows: Rows, params: AuditParams) -> LeakageCheck:
    """Name fields of an undated export that are empty in exactly the same rows and, where filled, tell of the outcome.

    Another system has written them in one go, on leads of its choice; no chance makes two fields agree so.
    """
    fields = [one for one in rows.subjects if one.known == "export"]
    if nothing := _nothing_to_judge(rows, fields):
        return ONE_STEP.not_applicable(nothing)
    blocks: dict[bytes, list[Subject]] = {}
    for one in fields:
        blocks.setdefault(np.packbits(_filled(one, rows)).tobytes(), []).append(one)
    together = [block for block in blocks.values() if len(block) > 1 and _is_partly_filled(block[0], rows, params)]
    found = {
        one.column: f"filled in the same {_filled(one, rows).mean():.0%} of the leads as {_others(one, block)}"
        for block in together
        if any(rows.low_auc(one) >= params.named_auc for one in block)
        for one in block
    }
    return ONE_STEP.answer(
        found, f"{len(together)} blocks of fields are filled in the same rows; {rows.size}", ASK_STEP
    )


def _is_partly_filled(subject: Subject, rows: Rows, params: AuditParams) -> bool:
    share = float(_filled(subject, rows).mean())
    return params.block_share <= share <= 1 - params.block_share


def _others(subject: Subject, block: Iterable[Subject]) -> str:
    return ", ".join(one.column for one in block if one is not subject)


def vanishes(matrix: pd.DataFrame, rows: Rows, order: str, seed: int, params: AuditParams) -> LeakageCheck:
    """Name fields that ranked the training period and, as learned there, do not rank the later one.

    Periods are not held apart here: a field that ranked because it told the time is just what is looked for.
    """
    if order == "none":
        return VANISHED.not_applicable("the rows have no order, so none is later")
    early, late = (one_row_a_lead(part, seed) for part in (training_rows(matrix), matrix[matrix["part"] == "test"]))
    too_few = [too_few_to_judge(frame["label"].to_numpy("float64"), params) for frame in (early, late)]
    if any(too_few) or not rows.subjects:
        return VANISHED.not_applicable("; ".join(filter(None, too_few)) or NO_FIELDS)
    both = pd.concat([early, late], ignore_index=True)
    moved = {one.column: _transfer(one, both, len(early), rows.critical, params) for one in rows.subjects}
    held = {column: one for column, one in moved.items() if one is not None}
    found = {
        column: f"AUC {before:.2f} in training, {after:.2f} later"
        for column, (before, after, ceiling) in held.items()
        if ceiling < 0.5 + params.vanished_share * (before - 0.5)
    }
    said = f"{len(found)} of {len(held)} fields that rank {len(early):,} training leads do not rank {len(late):,} later"
    return VANISHED.answer(found, f"{said} ones", DOUBT)


def _transfer(
    subject: Subject, both: pd.DataFrame, n_early: int, critical: float, params: AuditParams
) -> tuple[float, float, float] | None:
    """AUC before, AUC after as learned before, and its upper end; None where it did not surely rank before."""
    label, early = both["label"].to_numpy("float64"), np.arange(len(both)) < n_early
    nowhen = np.zeros(len(both), dtype=np.int64)
    levels = {entry.name: levels_of(both, entry) for entry in subject.features}
    strengths = {name: univariate_strength(level[early], label[early], nowhen[early]) for name, level in levels.items()}
    name = max(strengths, key=lambda one: strengths[one].auc)
    before, level = strengths[name], levels[name]
    if before.auc - critical * before.error < params.held_auc:
        return None
    effect = level_effects(level[early], label[early], nowhen[early], int(level.max()) + 1)
    after, error = auc_within(effect[level[~early]], label[~early], nowhen[~early])
    return before.auc, after, after + critical * error


def _nothing_to_judge(rows: Rows, fields: list[Subject]) -> str:
    if not rows.subjects:
        return NO_FIELDS
    return rows.too_few if fields else "no field is declared as it stood at export, or at creation, without its dates"


def _auc(rows: Rows, subject: Subject) -> str:
    found = rows.best(subject)
    reach = rows.critical * found.error
    return f"{found.auc:.2f} ({max(found.auc - reach, 0):.2f} to {min(found.auc + reach, 1):.2f})"
