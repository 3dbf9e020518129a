"""Trees as LightGBM dumps them, read as codes of the features' values and as paths to the leaves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ZERO = float(np.float32(1e-35))  # LightGBM reads values no further from 0 as 0
INFINITE = 1e300  # is how it writes a threshold without bounds

Tree = dict[str, Any]  # a node as LightGBM's `dump_model` gives it


@dataclass(frozen=True)
class SplitCondition:
    """One split on a leaf's path: which of a feature's codes pass, and the share of the training rows that did.

    Attributes
    ----------
    passes
        Whether each code of the feature passes, shape (n_codes,).
    share
        Training rows that passed, of those that reached the split.
    """

    feature: int
    passes: np.ndarray
    share: float


@dataclass(frozen=True)
class Leaf:
    """A leaf and all splits on its path from the root."""

    value: float
    path: tuple[SplitCondition, ...]

    @property
    def share(self) -> float:
        """Of the training rows."""
        return math.prod(condition.share for condition in self.path)


@dataclass(frozen=True)
class Codes:
    """How a feature's values become codes: values with one code take one branch at every node of every tree.

    Attributes
    ----------
    thresholds
        Ascending; a value's code is the number of those below it, and one code more stands for missing. None: the
        values are categories, coded as they are, and one code more stands for all values no tree knows.
    n
        How many codes there are.
    """

    thresholds: np.ndarray | None
    n: int

    def of(self, values: np.ndarray) -> np.ndarray:
        """Return the code of each value, shape (n,)."""
        if self.thresholds is None:
            known = (values > -1) & (values < self.n - 1)  # LightGBM cuts decimals off
            return np.where(known, values, self.n - 1).astype("intp")
        codes = np.searchsorted(self.thresholds, np.where(np.abs(values) <= ZERO, 0, values))
        codes[np.isnan(values)] = self.n - 1
        return codes


def deepest_path(node: Tree, features: frozenset[int] = frozenset()) -> int:
    """Return the most features on the path to one leaf; tables double with each."""
    if "split_feature" not in node:
        return len(features)
    further = features | {node["split_feature"]}
    return max(deepest_path(node[child], further) for child in ("left_child", "right_child"))


def feature_codes(trees: Sequence[Tree]) -> dict[int, Codes]:
    """Find the codes of every feature that some tree splits on."""
    thresholds: dict[int, set[float]] = {}
    categories: dict[int, int] = {}
    for node in itertools.chain.from_iterable(map(_splits, trees)):
        feature = node["split_feature"]
        if node["decision_type"] == "==":
            categories[feature] = max(categories.get(feature, 0), *_categories(node))
        else:
            thresholds.setdefault(feature, set()).add(_threshold(node))
    numbers = {feature: Codes(np.array(sorted(cuts)), len(cuts) + 2) for feature, cuts in thresholds.items()}
    return numbers | {feature: Codes(None, last + 2) for feature, last in categories.items()}


def _splits(node: Tree) -> Iterator[Tree]:
    if "split_feature" in node:
        yield node
        yield from _splits(node["left_child"])
        yield from _splits(node["right_child"])


def _categories(node: Tree) -> list[int]:
    return [int(code) for code in str(node["threshold"]).split("||")]


def _threshold(node: Tree) -> float:
    cut = float(node["threshold"])
    return math.copysign(math.inf, cut) if abs(cut) >= INFINITE else cut


def _goes_left(node: Tree, codes: Codes) -> np.ndarray:
    """Flag the codes of the node's feature that go left, shape (n_codes,)."""
    left = np.zeros(codes.n, dtype=bool)
    if codes.thresholds is None:
        left[_categories(node)] = True
        return left
    left[: np.searchsorted(codes.thresholds, _threshold(node)) + 1] = True
    left[-1] = node["default_left"] if node["missing_type"] == "NaN" else _threshold(node) >= 0  # missing is 0 then
    return left


def _rows(node: Tree) -> int:
    return int(node["internal_count"] if "split_feature" in node else node["leaf_count"])


def leaves_of(node: Tree, path: tuple[SplitCondition, ...], codes: dict[int, Codes]) -> Iterator[Leaf]:
    """Yield the leaves below a node from left to right; `path` leads to the node."""
    if "split_feature" not in node:
        yield Leaf(node["leaf_value"], path)
        return
    feature = node["split_feature"]
    left = _goes_left(node, codes[feature])
    for child, passes in ((node["left_child"], left), (node["right_child"], ~left)):
        yield from leaves_of(child, (*path, SplitCondition(feature, passes, _rows(child) / _rows(node))), codes)
