"""Why a score changed: points from time passing, edited attributes, new events and a new model, which add up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from models.explanation.results import ChangeTotals, PartMoves, ThemeMoves
from models.points.scale import add_columns
from models.scoring.reasons import LEAST_POINTS, columns_by_theme
from models.scoring.scorer import Scorer

PARTS = ("time_passing", "edited_attributes", "new_events", "newer_outcomes", "new_model")
WORDS = {"time_passing": "time passing", "newer_outcomes": "newer outcomes", "new_model": "the new model"}
BASE = ""  # the theme of the base points, which newer outcomes and another model change; no theme is called so
NAMED = 2  # themes that a sentence names for each part


@dataclass(frozen=True)
class ChangeStep:
    """The same leads as one model scores them in one state of knowledge.

    Attributes
    ----------
    part
        What is new since the step before, one of `PARTS`; empty for the first step.
    matrix
        lead_id and the scorer's features; the same leads in the same order in every step.
    """

    part: str
    scorer: Scorer
    matrix: pd.DataFrame


@dataclass(frozen=True)
class ScoreChange:
    """What moved the points of some leads between two steps; rows are the leads of the steps, indexed from 0.

    Attributes
    ----------
    start, end
        Points before the clip at the first and at the last step, shape (n,).
    parts
        Points from each of `PARTS`: start + their sum = end, to rounding.
    themes
        Of each part that has a step: points by theme, which sum to the part, to rounding.
    moved
        As `themes`: whether a feature of the theme has another value than before; always so for a new model. The points
        of the other themes come from features acting together.
    labels
        Theme to its words.
    """

    lead_id: pd.Series[str]
    start: np.ndarray
    end: np.ndarray
    parts: pd.DataFrame
    themes: dict[str, pd.DataFrame]
    moved: dict[str, pd.DataFrame]
    labels: dict[str, str]


@dataclass(frozen=True)
class _ScoredStep:
    """A step's points, in all and by theme, and the values they come from."""

    scorer: Scorer
    values: np.ndarray
    points: np.ndarray
    themes: pd.DataFrame


def explain_change(steps: Sequence[ChangeStep]) -> ScoreChange:
    """Walk from step to step and give each its part of the difference.

    Parameters
    ----------
    steps
        In the order of `PARTS`; a part that has no step has no points. What two things do only together goes to the
        later one. Time is first because nothing new can be seen before it passes. Events come after edits, so that one
        event more changes no part but that of the events; the model is last, so that the other parts are what the old
        model would have shown by itself.

    Returns
    -------
    Change
        Of the leads of the first step.
    """
    n = len(steps[0].matrix)
    parts = pd.DataFrame(0.0, index=range(n), columns=list(PARTS))
    themes: dict[str, pd.DataFrame] = {}
    moved: dict[str, pd.DataFrame] = {}
    standings = _standings(steps)
    for step, (before, after) in zip(steps[1:], pairwise(standings), strict=True):
        parts[step.part] = after.points - before.points
        themes[step.part] = _theme_differences(before, after)
        moved[step.part] = _moved(before, after, themes[step.part])
    return ScoreChange(
        lead_id=steps[0].matrix["lead_id"].reset_index(drop=True),
        start=standings[0].points,
        end=standings[-1].points,
        parts=parts,
        themes=themes,
        moved=moved,
        labels=_labels(steps),
    )


def table(change: ScoreChange, counts: pd.DataFrame, reasons: int) -> pd.DataFrame:
    """Return one row a lead.

    Parameters
    ----------
    counts
        n_edited_attributes and n_new_events of each lead of the change, in its order.
    reasons
        The largest number of reasons a lead in `reasons`.

    Returns
    -------
    DataFrame
        lead_id, points_from, points_to, difference, the parts, the counts, text (the difference in words, the
        parts that are worth a point named strongest first) and reasons (JSON: part, theme, label, points).
    """
    rows = pd.DataFrame(
        {
            "lead_id": change.lead_id.to_numpy(),
            "points_from": change.start,
            "points_to": change.end,
            "difference": change.end - change.start,
        }
    )
    rows = pd.concat([rows, change.parts, counts.reset_index(drop=True)], axis=1)
    rows = rows.assign(text=_sentences(rows, change), reasons=_reasons(change, reasons))
    return rows.astype({"lead_id": "str", "text": "str", "reasons": "str"})  # of no rows, pandas cannot tell


def theme_totals(change: ScoreChange) -> pd.DataFrame:
    """Sum the points of all leads: part, theme, label, points and absolute (of |points|); one row a part and theme."""
    sums = [
        pd.DataFrame(
            {
                "part": part,
                "theme": list(themes),
                "label": [change.labels[str(theme)] for theme in themes],
                "points": themes.sum().to_numpy(),
                "absolute": themes.abs().sum().to_numpy(),
            }
        )
        for part, themes in change.themes.items()
    ]
    return pd.concat(sums, ignore_index=True)


def totals(rows: pd.DataFrame, themes: pd.DataFrame) -> ChangeTotals:
    """Sum up the change of a score list.

    Parameters
    ----------
    rows
        The result of `table`, for all leads on both lists.
    themes
        The results of `theme_totals`, for the same leads.
    """
    n = max(len(rows), 1)
    ranked = themes.groupby(["part", "theme", "label"], as_index=False)[["points", "absolute"]].sum()
    ranked = ranked[ranked["absolute"] > 0].sort_values(["absolute", "theme"], ascending=[False, True])
    return ChangeTotals(
        n=len(rows),
        difference=_moves(rows["difference"]),
        parts={part: _moves(rows[part]) for part in PARTS},
        themes={
            part: [
                ThemeMoves(theme=theme, label=label, mean=points / n, mean_absolute=absolute / n)
                for _, theme, label, points, absolute in ranked[ranked["part"] == part].to_numpy().tolist()
            ]
            for part in PARTS
        },
    )


def _standings(steps: Sequence[ChangeStep]) -> list[_ScoredStep]:
    standings: list[_ScoredStep] = []
    for step in steps:
        before = standings[-1] if standings and standings[-1].scorer.metadata is step.scorer.metadata else None
        standings.append(_standing(step, before))
    return standings


def _standing(step: ChangeStep, before: _ScoredStep | None) -> _ScoredStep:
    """Score the step, where the model is that of the step before only the leads that look different to it.

    Explaining takes most of the time, and few leads are edited between two dates.
    """
    scorer, values = step.scorer, step.scorer.values(step.matrix)
    if before is not None and scorer is not before.scorer:
        return _with_intercept(step, values, before)
    rows = np.arange(len(values)) if before is None else np.flatnonzero(_differ(before.values, values).any(axis=1))
    matrix = step.matrix.iloc[rows]
    base, parts = scorer.contributions(matrix)
    columns = columns_by_theme(scorer.catalogue)
    by_theme = pd.DataFrame({theme: add_columns(parts, of_theme) for theme, of_theme in columns.items()})
    by_theme = by_theme.assign(**{BASE: base})
    points = scorer.metadata.points.points(scorer.log_odds(matrix))
    if before is None:
        return _ScoredStep(scorer, values, points, by_theme)
    all_points, themes = before.points.copy(), before.themes.copy()
    all_points[rows] = points
    themes.iloc[rows] = by_theme.to_numpy()
    return _ScoredStep(scorer, values, all_points, themes)


def _with_intercept(step: ChangeStep, values: np.ndarray, before: _ScoredStep) -> _ScoredStep:
    """Move the base: the model is that of the step before, and so is what each lead shows."""
    scorer = step.scorer
    points = scorer.metadata.points.points(scorer.log_odds(step.matrix))
    moved = scorer.metadata.points.factor * (scorer.sigmoid.intercept - before.scorer.sigmoid.intercept)
    return _ScoredStep(scorer, values, points, before.themes.assign(**{BASE: before.themes[BASE] + moved}))


def _theme_differences(before: _ScoredStep, after: _ScoredStep) -> pd.DataFrame:
    """Subtract theme by theme; a theme that one of two models does not have gives no points there."""
    names = [str(name) for name in dict.fromkeys([*before.themes, *after.themes])]
    return after.themes.reindex(columns=names, fill_value=0.0) - before.themes.reindex(columns=names, fill_value=0.0)


def _moved(before: _ScoredStep, after: _ScoredStep, themes: pd.DataFrame) -> pd.DataFrame:
    if before.scorer is not after.scorer:
        return pd.DataFrame(True, index=themes.index, columns=themes.columns)
    differ = _differ(before.values, after.values)
    columns = columns_by_theme(after.scorer.catalogue)
    return pd.DataFrame({theme: differ[:, columns.get(str(theme), [])].any(axis=1) for theme in themes})


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _labels(steps: Sequence[ChangeStep]) -> dict[str, str]:
    labels = {BASE: "base points"}
    for step in steps:
        labels |= {entry.theme: entry.theme_label for entry in step.scorer.catalogue}
    return labels


def _sentences(rows: pd.DataFrame, change: ScoreChange) -> list[str]:
    named = {part: _named(change, part) for part in PARTS if part in change.themes}
    return [
        _sentence(row, {part: themes[index] for part, themes in named.items()})
        for index, row in enumerate(rows.to_dict("records"))
    ]


def _named(change: ScoreChange, part: str) -> list[str]:
    """For each lead: the strongest themes of a part that are worth a point, with their points, among those that moved.

    The base of another model cannot be distinguished from the model itself.
    """
    themes = change.themes[part].drop(columns=BASE)
    points = themes.where(change.moved[part].drop(columns=BASE), 0.0).to_numpy("float64")
    words = [change.labels[str(theme)] for theme in themes]
    order = np.argsort(-np.abs(points), axis=1, kind="stable")[:, :NAMED]
    return [
        ", ".join(f"{words[column]} {lead[column]:+.0f}" for column in strongest if abs(lead[column]) > LEAST_POINTS)
        for lead, strongest in zip(points, order, strict=True)
    ]


def _sentence(row: dict[Any, Any], named: dict[str, str]) -> str:
    """Begin with a word: a cell that begins with a sign is a formula to a spreadsheet."""
    worth = [part for part in sorted(PARTS, key=lambda part: -abs(row[part])) if abs(row[part]) > LEAST_POINTS]
    causes = [f"{row[part]:+.0f} from {_cause(part, row)}" + _in_brackets(named[part]) for part in worth]
    direction = "up" if row["difference"] > 0 else "down"
    by = (
        f"{direction} {_points(row['difference'])}" if abs(row["difference"]) > LEAST_POINTS else "no change of a point"
    )
    return f"{by}: {', '.join(causes)}" if causes else by


def _points(difference: float) -> str:
    by = f"{abs(difference):.0f}"
    return f"{by} point{'' if by == '1' else 's'}"


def _cause(part: str, row: dict[Any, Any]) -> str:
    if part in WORDS:
        return WORDS[part]
    n = row[f"n_{part}"]
    words = part.replace("_", " ")
    return f"{n} {words.removesuffix('s') if n == 1 else words}"


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _reasons(change: ScoreChange, n: int) -> list[str]:
    names = [(part, str(theme)) for part, themes in change.themes.items() for theme in themes]
    points = np.column_stack([themes.to_numpy("float64") for themes in change.themes.values()])
    order = np.argsort(-np.abs(points), axis=1, kind="stable")[:, :n]
    return [
        json.dumps(
            [
                {"part": part, "theme": theme, "label": change.labels[theme], "points": round(float(lead[column]), 4)}
                for column in strongest
                for part, theme in [names[column]]
                if abs(lead[column]) > LEAST_POINTS
            ],
            ensure_ascii=False,
        )
        for lead, strongest in zip(points, order, strict=True)
    ]


def _moves(points: pd.Series[float]) -> PartMoves:
    n = max(len(points), 1)
    return PartMoves(
        sum=float(points.sum()),
        mean=float(points.sum() / n),
        mean_absolute=float(points.abs().sum() / n),
        up=int((points > LEAST_POINTS).sum()),
        down=int((points < -LEAST_POINTS).sum()),
    )
