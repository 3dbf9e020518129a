"""What moves the scores: importance, direction and dependence of features, in points."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy

from features.matrix.catalogue import Catalogue, Entry
from models.explanation.results import DependencePoint

BINS = 12  # groups of about equal size along a numeric feature
CLEAR = 0.3  # a rank correlation below this is no direction


def importance(points: np.ndarray, features: np.ndarray, entries: Catalogue) -> pd.DataFrame:
    """Rank the features by how many points they move.

    Parameters
    ----------
    points, features
        Points and values of each feature, shape (n, k).

    Returns
    -------
    DataFrame
        name, label, group, theme, theme_label, channel, mean_points (mean |points|), share (of the total) and direction
        (up, down, mixed, or "by level" for a category); one row a feature, strongest first.
    """
    strength = np.abs(points).mean(axis=0)
    total = strength.sum()
    rows = [
        {
            "name": entry.name,
            "label": entry.label,
            "group": entry.group,
            "theme": entry.theme,
            "theme_label": entry.theme_label,
            "channel": entry.channel,
            "mean_points": float(strength[column]),
            "share": float(strength[column] / total) if total > 0 else 0.0,
            "direction": _direction(entry, features[:, column], points[:, column]),
        }
        for column, entry in enumerate(entries)
    ]
    return pd.DataFrame(rows).sort_values(["mean_points", "name"], ascending=[False, True], ignore_index=True)


def by_group(points: np.ndarray, entries: Catalogue, column: str) -> pd.DataFrame:
    """Sum points by `group`, `theme_label` or `channel`, then rank by mean |sum|: name, mean_points."""
    frame = pd.DataFrame(points.T, index=[getattr(entry, column) for entry in entries])
    strength = frame.groupby(level=0).sum().abs().mean(axis=1)
    table = strength.rename_axis("name").rename("mean_points").reset_index()
    return table.sort_values(["mean_points", "name"], ascending=[False, True], ignore_index=True)


def dependence(points: np.ndarray, features: np.ndarray, label: np.ndarray, entry: Entry) -> list[DependencePoint]:
    """Describe how one feature's points go with its value.

    Parameters
    ----------
    points, features, label
        Of this feature, shape (n,).

    Returns
    -------
    list of DependencePoint
        In the order of the values, missing last.
    """
    known = ~np.isnan(features) if entry.levels is None else (features >= 0) & (features < len(entry.levels))
    group = _bins(features) if entry.levels is None else features
    rows = []
    for code in np.unique(group[known]):
        inside = known & (group == code)
        value = float(np.median(features[inside])) if entry.levels is None else entry.levels[int(code)]
        rows.append(_describe(value, points[inside], label[inside]))
    return rows + ([] if known.all() else [_describe(None, points[~known], label[~known])])


def _bins(features: np.ndarray) -> np.ndarray:
    known = features[~np.isnan(features)]
    if len(known) == 0:
        return np.zeros(len(features))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, np.nan_to_num(features), side="right")


def _describe(value: str | float | None, points: np.ndarray, label: np.ndarray) -> DependencePoint:
    low, high = np.quantile(points, [0.1, 0.9])
    return DependencePoint(
        value=value,
        n=len(points),
        points=float(points.mean()),
        points_low=float(low),
        points_high=float(high),
        rate=float(label.mean()),
    )


def _direction(entry: Entry, values: np.ndarray, points: np.ndarray) -> str:
    if entry.levels is not None:
        return "by level"
    known = ~np.isnan(values)
    if known.sum() < 3 or np.ptp(values[known]) == 0 or np.ptp(points[known]) == 0:
        return "mixed"
    correlation = float(scipy.stats.spearmanr(values[known], points[known]).statistic)
    return "up" if correlation > CLEAR else "down" if correlation < -CLEAR else "mixed"
