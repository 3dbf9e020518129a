"""LightGBM's text of a booster, checked before LightGBM reads it: an edited one can end the process or never end it.

A node's children have higher numbers than the node itself, as LightGBM numbers them, so that no path is a circle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

LARGEST_LEAF = 1e6  # log-odds; LightGBM's own stay far below, and sums of these stay finite
MISSING_TYPES = 3  # none, zero, NaN
HEAD = re.compile(
    r"tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=(?P<last>\d{1,7})\n"
    r"objective=binary sigmoid:1\nfeature_names=(?P<names>[^\n]*)\n(?:monotone_constraints=(?P<monotone>[-01 ]*)\n)?"
    r"feature_infos=(?P<infos>[^\n]*)\ntree_sizes=(?P<sizes>[0-9 ]+)\n\n"
)
TAIL = re.compile(
    r"end of trees\n\nfeature_importances:\n(?:Column_\d+=\d+\n)*\nparameters:\n(?:\[\w+: [\w ,.:+/-]*\]\n)+\n"
    r"end of parameters\n\npandas_categorical:null\n"
)
INFO = re.compile(r"none|\[[-+.e\d]+:[-+.e\d]+\]|-?\d+(?::-?\d+)*")
INTEGER, NUMBER = r"-?\d{1,10}", r"-?\d+(?:\.\d+)?(?:e[-+]\d+)?"
INTEGERS, NUMBERS, THRESHOLDS = (re.compile(f"{one}(?: {one})*") for one in (INTEGER, NUMBER, rf"(?:{NUMBER}|-?inf)"))
PER_NODE = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
NODE_SUMS = ("internal_value", "internal_weight", "internal_count")
PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
MAY_BE_EMPTY = {*PER_NODE, *NODE_SUMS, "leaf_weight"}  # in a tree without a split
CATEGORIES = ("cat_boundaries", "cat_threshold")
REALS = {"split_gain", "threshold", "leaf_value", "leaf_weight", "internal_value", "internal_weight", "shrinkage"}

Values = dict[str, np.ndarray]


def check_tree_text(text: str, n_features: int) -> None:
    """Check that a text is what LightGBM writes of a booster for yes or no on this many features.

    Raises
    ------
    ValueError
        With the first thing that does not fit.
    """
    head = HEAD.match(text)
    _require(head is not None, "its head is not that of a booster for yes or no")
    assert head is not None  # noqa: S101 - for the type checker
    _check_features(head, n_features)
    at = head.end()
    for number, size in enumerate(map(int, head["sizes"].split())):
        block, at = text[at : at + size], at + size
        try:
            _check_tree(block, number, n_features)
        except ValueError as error:
            raise ValueError(f"tree {number}: {error}") from None
    _require(TAIL.fullmatch(text, at) is not None, "what follows its trees is not what LightGBM writes")


def _require(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _check_features(head: re.Match[str], n_features: int) -> None:
    trained = int(head["last"]) + 1
    _require(trained == n_features, f"trained on {trained} features, and this version computes {n_features}")
    _require(head["names"].split(" ") == [f"Column_{n}" for n in range(n_features)], "its features have other names")
    infos = head["infos"].split(" ")
    _require(len(infos) == n_features and all(map(INFO.fullmatch, infos)), "the ranges of its features")
    monotone = head["monotone"]
    _require(monotone is None or len(monotone.split()) == n_features, "the directions of its features")


def _check_tree(block: str, number: int, n_features: int) -> None:
    values = dict(_lines(block, number))
    leaves, sets = int(values["num_leaves"][0]), int(values["num_cat"][0])
    nodes = leaves - 1
    lengths = dict.fromkeys(PER_NODE + NODE_SUMS, nodes) | dict.fromkeys(PER_LEAF, leaves)
    if not nodes:  # a tree without a split holds its value and, in some versions, its count
        lengths |= {"leaf_weight": 0}
    for name, length in lengths.items():
        _require(len(values[name]) == length, f"{name} has {len(values[name])} values and not {length}")
    _require(np.abs(values["leaf_value"]).max() <= LARGEST_LEAF, "a leaf beyond all odds")
    _require(values["leaf_count"].min() >= 0 and (values["internal_count"] > 0).all(), "counts of no rows")
    _require(values["is_linear"].tolist() == [0], "a linear tree")
    _check_paths(values["left_child"], values["right_child"])
    _check_splits(values, sets, n_features)


def _lines(block: str, number: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the values of each line of a tree."""
    lines = block.split("\n")
    categories = CATEGORIES if any(line.startswith("cat_") for line in lines) else ()
    names = ["num_leaves", "num_cat", *PER_NODE, *PER_LEAF, *NODE_SUMS, *categories, "is_linear", "shrinkage"]
    _require(lines[0] == f"Tree={number}" and lines[len(names) + 1 :] == ["", "", ""], "it has other lines")
    for name, line in zip(names, lines[1:], strict=False):
        key, _, text = line.partition("=")
        _require(key == name, f"{key!r} stands where {name} is expected")
        yield name, _numbers(name, text)


def _numbers(name: str, text: str) -> np.ndarray:
    if not text and name in MAY_BE_EMPTY:
        return np.array([], dtype="float64" if name in REALS else "int64")
    pattern = THRESHOLDS if name == "threshold" else NUMBERS if name in REALS else INTEGERS
    _require(pattern.fullmatch(text) is not None, f"{name} holds what is no number of LightGBM's")
    numbers = np.array(text.split(" "), dtype="float64" if name in REALS else "int64")
    _require(name == "threshold" or np.isfinite(numbers).all(), f"{name} is not finite")
    return numbers


def _check_paths(left: np.ndarray, right: np.ndarray) -> None:
    """Check that every node but the root, and every leaf, has one way that leads to it."""
    nodes = len(left)
    children = np.sort(np.concatenate([left, right]))
    expected = np.concatenate([np.arange(-nodes - 1, 0), np.arange(1, nodes)]) if nodes else children
    _require(np.array_equal(children, expected), "its nodes and leaves are not each reached once")
    own = np.arange(nodes)
    _require(all(((child < 0) | (child > own)).all() for child in (left, right)), "a path that is a circle")


def _check_splits(values: Values, sets: int, n_features: int) -> None:
    features, kinds = values["split_feature"], values["decision_type"]
    _require(((features >= 0) & (features < n_features)).all(), "a split on a feature there is not")
    _require(((kinds >= 0) & (kinds >> 2 < MISSING_TYPES)).all(), "a split of a kind there is not")
    categorical = kinds & 1 == 1
    _require(np.array_equal(np.sort(values["threshold"][categorical]), np.arange(sets)), "sets of categories")
    if sets or CATEGORIES[0] in values:
        _require(sets > 0 and CATEGORIES[0] in values, "sets of categories")
        _check_categories(values["cat_boundaries"], values["cat_threshold"], sets)


def _check_categories(boundaries: np.ndarray, words: np.ndarray, sets: int) -> None:
    _require(len(boundaries) == sets + 1 and boundaries[0] == 0 and boundaries[-1] == len(words), "sets of categories")
    _require((np.diff(boundaries) > 0).all(), "sets of categories that fall")
    _require(((words >= 0) & (words < 2**32)).all(), "sets of categories that are no bits")
