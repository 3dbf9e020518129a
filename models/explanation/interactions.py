"""How features act together: the pairs whose points depend most on each other, and where in their values."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from features.matrix.catalogue import Catalogue, Entry
from models.explanation.results import FeaturePair, PairCell
from models.scoring.scorer import Scorer

GROUPS = 4  # groups of values along each side of a pair; more leave too few rows in a cell


def interactions(scorer: Scorer, matrix: pd.DataFrame, names: list[str], most: int) -> list[FeaturePair] | None:
    """Describe the pairs of features that act together most.

    A pair's points of a row are what the trees add because both values are as they are, in addition to what each value
    adds without the other: the Shapley interaction index on the scale of the score. The logistic regression is
    additive and has no part in it. Pairs within one theme are left out: two measures of one thing mostly tell the
    trees the same.

    Parameters
    ----------
    matrix
        The feature rows to look at.
    names
        The features whose pairs are described.
    most
        The largest number of pairs.

    Returns
    -------
    list of FeaturePair
        The strongest first. None where the trees are too deep.

    Source: Grabisch and Roubens 1999, International Journal of Game Theory 28, 547-565; Lundberg et al. 2020, Nature
    Machine Intelligence 2, 56-67, who give half of it to either feature of the pair.
    """
    column_of = {entry.name: column for column, entry in enumerate(scorer.catalogue)}
    among = sorted(column_of[name] for name in names)
    points = scorer.interactions(matrix, among)
    if points is None:
        return None
    entries, values = scorer.catalogue, scorer.values(matrix).astype("float64")
    pairs = [pair for pair in enumerate(itertools.combinations(among, 2)) if _differ(entries, *pair[1])]
    strength = {pair: float(np.abs(points[number]).mean()) for number, pair in pairs}
    number_of = {pair: number for number, pair in pairs}
    ranked = sorted((pair for pair in strength if strength[pair] > 0), key=lambda pair: (-strength[pair], pair))
    return [_describe(entries, values, points[number_of[pair]], pair) for pair in ranked[:most]]


def _differ(entries: Catalogue, one: int, other: int) -> bool:
    return entries[one].theme != entries[other].theme


def _describe(entries: Catalogue, values: np.ndarray, points: np.ndarray, pair: tuple[int, int]) -> FeaturePair:
    one, other = pair
    (rows, row), (columns, column) = (_grouped(entries[side], values[:, side]) for side in pair)
    cells = [
        [_cell(points[(row == down) & (column == across)]) for across in range(len(columns))]
        for down in range(len(rows))
    ]
    return FeaturePair(
        feature=entries[one].name,
        other=entries[other].name,
        label=entries[one].label,
        other_label=entries[other].label,
        n=len(points),
        mean_points=float(np.abs(points).mean()),
        rows=rows,
        columns=columns,
        cells=cells,
    )


def _cell(points: np.ndarray) -> PairCell:
    return PairCell(n=len(points), points=float(points.mean()) if len(points) else None)


def _grouped(entry: Entry, values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Sort values into at most GROUPS groups, and one more for what is missing: their names, and each row's group."""
    names, group = _levels(entry.levels, values) if entry.levels is not None else _ranges(values)
    missing = group < 0
    if not missing.any():
        return names, group
    absent = "none" if entry.empty == "missing" else "not known"
    return [*names, absent], np.where(missing, len(names), group)


def _levels(levels: list[str], codes: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Keep the most frequent levels apart, the rest together; -1 for what is no level."""
    known = (codes >= 0) & (codes < len(levels))
    counts = np.bincount(codes[known].astype("intp"), minlength=len(levels))
    seen = [code for code in np.argsort(-counts, kind="stable") if counts[code]]
    own = seen if len(seen) <= GROUPS else seen[: GROUPS - 1]
    group_of = np.full(len(levels), len(own))
    group_of[own] = np.arange(len(own))
    names = [levels[code] for code in own] + (["any other"] if len(seen) > len(own) else [])
    return names, np.where(known, group_of[np.where(known, codes, 0).astype("intp")], -1)


def _ranges(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Cut numbers into groups of about equal size, named by their least and largest; -1 for missing."""
    known = ~np.isnan(values)
    if not known.any():
        return [], np.full(len(values), -1)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, np.nan_to_num(values), side="left")
    filled = np.unique(group[known])
    inside = [values[known & (group == one)] for one in filled]
    names = [_range(float(part.min()), float(part.max())) for part in inside]
    return names, np.where(known, np.searchsorted(filled, group), -1)


def _range(low: float, high: float) -> str:
    return _short(low) if _short(low) == _short(high) else f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
