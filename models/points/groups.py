"""Points of a lead by group: fit and engagement, online and offline, and what counts against the lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.matrix.catalogue import Catalogue
from models.points.scale import add_columns

POINT_GROUPS = ("fit", "engagement", "online", "offline", "other_engagement", "negative")


@dataclass(frozen=True)
class Part:
    """What one column of points is of: its group, its channel, and the theme it is summed with in reasons."""

    group: str
    channel: str
    theme: str


def parts_of(entries: Catalogue) -> list[Part]:
    """Return the part of each feature, in the catalogue's order."""
    return [Part(entry.group, entry.channel, entry.theme) for entry in entries]


def point_groups(points: np.ndarray, parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """Sum the points of each lead by group.

    Parameters
    ----------
    points
        Points of each part, shape (n, k).
    parts
        What each column is of.

    Returns
    -------
    dict
        `POINT_GROUPS`, each of shape (n,). `fit` and `engagement` hold every part once. `online`, `offline` and
        `other_engagement` divide engagement by the catalogue's channel; other is what has none, such as activity of any
        kind. `negative` is the sum of the themes that take points away, of either group; the rest of the points
        counts for the lead. So base_points + fit + engagement = points, and online + offline +
        other_engagement = engagement.
    """
    groups = {name: add_columns(points, _indices(parts, name)) for name in ("fit", "engagement")}
    channels = {"online": "online", "offline": "offline", "other_engagement": "none"}
    by_channel = {
        name: add_columns(points, _indices(parts, "engagement", channel)) for name, channel in channels.items()
    }
    return groups | by_channel | {"negative": _negative(points, parts)}


def _indices(parts: Sequence[Part], group: str, channel: str | None = None) -> list[int]:
    return [index for index, part in enumerate(parts) if part.group == group and channel in (None, part.channel)]


def _negative(points: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    themes: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        themes.setdefault(part.theme, []).append(index)
    total = np.zeros(len(points))
    for columns in themes.values():
        total += np.minimum(add_columns(points, columns), 0.0)
    return total
