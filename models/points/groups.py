"""Points of a lead by group: fit and engagement, online and offline, and what counts against the lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from features.matrix.catalogue import Catalogue
from models.points.scale import Sums, add_columns

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


class PartSums(NamedTuple):
    """What is summed together: by group, and engagement by channel, in the order of `POINT_GROUPS`; and by theme."""

    group: Sums
    channel: Sums
    theme: Sums

    @classmethod
    def of(cls, parts: Sequence[Part]) -> Self:
        channels = [one.channel if one.group == "engagement" else "" for one in parts]
        return cls(
            Sums.by([one.group for one in parts], ["fit", "engagement"]),
            Sums.by(channels, ["online", "offline", "none"]),
            Sums.by([one.theme for one in parts]),
        )


def point_groups(points: np.ndarray, parts: PartSums) -> dict[str, np.ndarray]:
    """Sum the points of each lead by group.

    Parameters
    ----------
    points
        Points of each part, shape (n, k).

    Returns
    -------
    dict
        `POINT_GROUPS`, each of shape (n,). `fit` and `engagement` hold every part once. `online`, `offline` and
        `other_engagement` divide engagement by the catalogue's channel; other is what has none, such as activity of any
        kind. `negative` is the sum of the themes that take points away, of either group; the rest of the points
        counts for the lead. So base_points + fit + engagement = points, and online + offline +
        other_engagement = engagement.
    """
    against = np.minimum(parts.theme.of(points), 0.0)
    sums = (*parts.group.of(points).T, *parts.channel.of(points).T, add_columns(against, range(against.shape[1])))
    return dict(zip(POINT_GROUPS, sums, strict=True))
