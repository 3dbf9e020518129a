"""The scorecard for people and a CRM: a table in plain English, Markdown, and a comparison with the model."""

from __future__ import annotations

import math
from html import escape

import pandas as pd

from features.matrix.catalogue import Catalogue, Entry
from models.evaluation.estimate import Estimate
from models.evaluation.results import JudgedMetrics
from models.scorecard.fitting import ScorecardCondition
from models.scorecard.scorecard import Line, Scorecard
from models.scoring.reasons import MONTHS, level_words, unit_of, window_of

CONDITION_WORDS = {"at_least": "at least", "below": "less than", "level": "is one of", "missing": "is not known"}
WINDOWED = ("count", "active_days", "value_sum")  # measures whose feature's name ends with a window


def table(card: Scorecard, entries: Catalogue) -> pd.DataFrame:
    """Return the card, one row for each line, most points first.

    Returns
    -------
    DataFrame
        group, criterion (plain English), points, then what a CRM needs: feature (its name in the catalogue),
        condition (at least, less than, is one of, is not known) and value (a number, or levels joined by a bar), and
        rows (training rows that meet it) and conversion_rate (theirs).
    """
    rows = [_row(line, entries[line.feature]) for line in ordered(card)]
    columns = ["group", "criterion", "points", "feature", "condition", "value", "rows", "conversion_rate"]
    return pd.DataFrame(rows, columns=columns)


def _row(line: Line, entry: Entry) -> dict[str, str | float]:
    condition = line.condition
    levels = " | ".join((entry.levels or [])[level] for level in condition.levels)
    bound = f"{condition.threshold:.10g}" if condition.kind in ("at_least", "below") else ""
    return {
        "group": entry.group,
        "criterion": describe(condition, entry),
        "points": line.points,
        "feature": entry.name,
        "condition": CONDITION_WORDS[condition.kind],
        "value": levels or bound,
        "rows": line.n,
        "conversion_rate": line.rate,
    }


def to_markdown(card: Scorecard, entries: Catalogue, notes: list[str]) -> str:
    """Return the table as Markdown, with a sentence on what its points mean, and the notes."""
    rows = [f"| {_cell(line, entries)} | {line.points:+d} | {line.n:,} | {line.rate:.1%} |" for line in ordered(card)]
    head = ["| criterion | points | rows | conversion rate |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *rows, "", meaning(card), *(f"\n{line}" for line in notes)]) + "\n"


def against_model(metrics: JudgedMetrics) -> list[str]:
    """Describe how much worse than the model the card ranked the later rows."""
    model, card = metrics.test, metrics.baselines["scorecard"]
    auc_gap, lift_gap = card.auc_gap, card.capacity_lift_gap
    if auc_gap is None or lift_gap is None or not (auc_gap.exists and lift_gap.exists):
        return ["No lead of the later rows converted, so card and model cannot be compared."]
    rows = "rows" if metrics.snapshots.order == "dates" else "leads"
    lifts = [one.precision_at_k.value / one.base_rate.value for one in (card, model)]
    lines = [
        f"On the {model.n:,} {rows} of the test, {model.n_positive:,} converted, the card has an AUC of "
        f"{card.auc.value:.3f} and the model {model.auc.value:.3f}: {_lost(auc_gap, 3)}.",
        f"The best {metrics.capacity:,} convert at {lifts[0]:.2f} times the average by the card and {lifts[1]:.2f} "
        f"times by the model: {_lost(lift_gap, 2)}. Ranges are {metrics.confidence:.0%} intervals of the difference, "
        "over leads.",
    ]
    chance = "The card's ranking is not significantly better than chance there."
    return lines if card.auc.low > 0.5 else [*lines, chance]


def _lost(estimate: Estimate, digits: int) -> str:
    gap, low, high = (round(end, digits) + 0.0 for end in (estimate.value, estimate.low, estimate.high))  # never -0
    return f"{abs(gap):.{digits}f} {'lost' if gap >= 0 else 'gained'} ({low:+.{digits}f} to {high:+.{digits}f})"


def _cell(line: Line, entries: Catalogue) -> str:
    """Replace bars in a level's name, which would end the cell, and escape HTML, which Markdown would pass on."""
    return escape(describe(line.condition, entries[line.feature]), quote=False).replace("|", "/").replace("\n", " ")


def meaning(card: Scorecard) -> str:
    """Explain the points of a card."""
    start = f"A lead without points converts at {1 / (1 + math.exp(-card.base)):.1%}"
    if not card.lines:
        return f"{start}; no criterion changes that."
    doubling = f"every {math.log(2) / card.slope:.0f} points more double the odds"
    return f"Every criterion that is met counts. {start}; {doubling}."


def describe(condition: ScorecardCondition, entry: Entry) -> str:
    """Describe a condition in plain English."""
    if condition.kind == "level":
        levels = [level_words(entry, level) for level in condition.levels]
        return f"{entry.label} is {levels[0] if len(levels) == 1 else ', '.join(levels[:-1]) + ' or ' + levels[-1]}"
    if condition.kind == "missing":
        never = {"recency": f"{entry.theme_label}, never", "mean_gap": f"{entry.theme_label}, once at most"}
        return never.get(entry.measure, f"{entry.label} is not known")
    if entry.measure == "recency":
        return f"{entry.theme_label}, last one {_bound(condition, 'days')} ago"
    if entry.measure in WINDOWED:
        unit = {"count": "", "active_days": "days"}.get(entry.measure, entry.unit.removeprefix("value"))
        total = " in total" if entry.measure == "value_sum" else ""
        return f"{entry.theme_label}, {_bound(condition, unit)}{total} {window_of(entry)}"
    if entry.measure == "calendar":
        return f"{entry.label}: {_since(condition, entry.unit)}"
    return f"{entry.label}: {_bound(condition, '' if entry.unit in ('value', 'events') else entry.unit)}"


def _bound(condition: ScorecardCondition, unit: str) -> str:
    number = f"{condition.threshold:,.10g}"
    if condition.kind == "at_least":
        return f"{number} or more {unit}".rstrip()
    return f"less than {number} {unit_of(number, unit)}".rstrip()


def _since(condition: ScorecardCondition, unit: str) -> str:
    number = round(condition.threshold)
    moment = MONTHS[number - 1] if unit == "month" else f"{number}:00"
    return f"from {moment} on" if condition.kind == "at_least" else f"before {moment}"


def ordered(card: Scorecard) -> list[Line]:
    """Return the lines, most points first."""
    return sorted(card.lines, key=lambda line: (-line.points, line.feature))
