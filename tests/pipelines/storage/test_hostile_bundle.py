"""A bundle whose manifest agrees with it may still be no model: each fault is told before LightGBM reads a byte.

LightGBM ends the process, or never ends, on an edited text; every case here did that, ended with a traceback, or gave
scores without a word, before the texts were checked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from features.schema.errors import ModelError
from pipelines.storage.bundle import load_bundle, save_texts
from tests.support.small_model import scorer

Files = dict[str, str]
BOOSTER = "booster_0.txt"


def _line(key: str, change: Callable[[list[str]], list[str]], tree: int = 0) -> Callable[[Files], Files]:
    """Change the values of one line of one tree, and write the tree's size anew, as somebody would who means it."""

    def edit(files: Files) -> Files:
        parts = re.split(r"(?=^Tree=|^end of trees)", files[BOOSTER], flags=re.MULTILINE)
        old = re.search(rf"^{key}=(.*)$", parts[tree + 1], re.MULTILINE)
        assert old is not None
        parts[tree + 1] = parts[tree + 1].replace(old[0], f"{key}={' '.join(change(old[1].split(' ')))}")
        sizes = " ".join(str(len(part)) for part in parts[1:-1])
        parts[0] = re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", parts[0], flags=re.MULTILINE)
        return files | {BOOSTER: "".join(parts)}

    return edit


def _set(key: str, value: str, at: int = 0, tree: int = 0) -> Callable[[Files], Files]:
    return _line(key, lambda values: [*values[:at], value, *values[at + 1 :]], tree)


def _text(old: str, new: str) -> Callable[[Files], Files]:
    def edit(files: Files) -> Files:
        assert old in files[BOOSTER]
        return files | {BOOSTER: files[BOOSTER].replace(old, new, 1)}

    return edit


def _json(name: str, path: list[str | int], value: object) -> Callable[[Files], Files]:
    def edit(files: Files) -> Files:
        tree = json.loads(files[name])
        node = tree
        for part in path[:-1]:
            node = node[part]
        node[path[-1]] = value
        return files | {name: json.dumps(tree)}

    return edit


CASES: dict[str, Callable[[Files], Files]] = {
    "a child that is its own parent": _set("left_child", "0"),
    "two nodes in a circle": _set("left_child", "0", at=1),
    "a child past the last node": _set("left_child", "999999"),
    "a leaf past the last one": _set("right_child", "-999999"),
    "a leaf that two nodes lead to": _set("right_child", "-1"),
    "a feature out of range": _set("split_feature", "999999"),
    "a negative feature": _set("split_feature", "-5"),
    "fewer leaves than values": _set("num_leaves", "2"),
    "more leaves than values": _set("num_leaves", "5000"),
    "leaves without number": _set("num_leaves", "2000000000"),
    "a category set out of range": _set("threshold", "77", at=2),
    "category sets that end past their words": _set("cat_boundaries", "4000000", at=1),
    "category sets that fall": _set("cat_boundaries", "-1", at=1),
    "category sets that are not told": _set("num_cat", "9"),
    "a kind of split there is not": _set("decision_type", "255"),
    "a leaf that is no number": _set("leaf_value", "nan"),
    "a leaf without bound": _set("leaf_value", "inf"),
    "a leaf beyond all odds": _set("leaf_value", "1e300"),
    "a threshold that is no number": _set("threshold", "nan"),
    "nobody reached a node": _set("internal_count", "0"),
    "a negative count": _set("leaf_count", "-3"),
    "one value too few": _line("leaf_value", lambda values: values[1:]),
    "one value too many": _line("split_feature", lambda values: [*values, "1"]),
    "a word for a number": _set("leaf_value", "zero"),
    "a linear tree": _set("is_linear", "1"),
    "a shrinkage of nothing": _set("shrinkage", "nan"),
    "wrong sizes of trees": _text("tree_sizes=", "tree_sizes=1"),
    "sizes of trees beyond the text": _text("tree_sizes=", "tree_sizes=99999999 "),
    "no sizes of trees": lambda files: files | {BOOSTER: re.sub(r"tree_sizes=.*\n", "", files[BOOSTER])},
    "more features than names": _text("max_feature_idx=72", "max_feature_idx=72000000"),
    "fewer features": _text("max_feature_idx=72", "max_feature_idx=3"),
    "other names of features": _text("Column_0 Column_1", "Column_1 Column_0"),
    "ranges that are none": _text("feature_infos=", "feature_infos=[[[:"),
    "many classes": _text("num_class=1", "num_class=1000000"),
    "many trees a round": _text("num_tree_per_iteration=1", "num_tree_per_iteration=1000000"),
    "no tree a round": _text("num_tree_per_iteration=1", "num_tree_per_iteration=0"),
    "another objective": _text("objective=binary sigmoid:1", "objective=regression"),
    "another slope": _text("objective=binary sigmoid:1", "objective=binary sigmoid:nan"),
    "an averaged forest": _text("objective=", "average_output\nobjective="),
    "a parameter that is none": _text("[max_bin: 127]", "[max_bin: 127"),
    "a parameter with a quote": _text("[max_bin: 127]", '[max_bin: "]'),
    "categories of pandas": _text("pandas_categorical:null", "pandas_categorical:[[1]]"),
    "categories of pandas that are no JSON": _text("pandas_categorical:null", "pandas_categorical:["),
    "an empty booster": lambda files: files | {BOOSTER: ""},
    "a booster cut in the middle": lambda files: files | {BOOSTER: files[BOOSTER][:3000]},
    "text after the end": lambda files: files | {BOOSTER: files[BOOSTER] + "Tree=8\n"},
    "no trees": lambda files: files | {BOOSTER: re.sub(r"Tree=0[\s\S]*end of trees", "end of trees", files[BOOSTER])},
    "a booster that is left out": lambda files: files | {"booster_7.txt": files[BOOSTER]},
    "linear_share: 9": _json("card.json", ["linear_share"], 9),
    "linear_share: NaN": _json("card.json", ["linear_share"], math.nan),
    "capacity: -1": _json("card.json", ["capacity"], -1),
    "base_rate: 7": _json("card.json", ["base_rate"], 7),
    "a sigmoid that is no number": _json("card.json", ["sigmoid", "intercept"], math.nan),
    "a slope without bound": _json("card.json", ["sigmoid", "slope"], math.inf),
    "a scale without bound": _json("card.json", ["points", "double_odds"], math.inf),
    "grades that rise": _json("card.json", ["grades", "fit"], [1.0, 2.0, 3.0]),
    "grades that are no numbers": _json("card.json", ["grades", "fit"], [math.nan] * 3),
    "a feature left out that is none": _json("card.json", ["left_out"], ["no such feature"]),
    "trained until no day": _json("card.json", ["trained_until"], "yesterday"),
    "a list for a card": lambda files: files | {"card.json": "[]"},
    "a card without end": lambda files: files | {"card.json": "[" * 100_000},
    "a card that is no JSON": lambda files: files | {"card.json": "{"},
    "weights that are no numbers": _json("linear.json", ["weight", 0], math.nan),
    "a weight that is a word": _json("linear.json", ["weight", 0], "one"),
    "a weight beyond all odds": _json("linear.json", ["weight", 0], 1e300),
    "one weight too few": _json("linear.json", ["weight"], [0.0]),
    "a scale of nothing": _json("linear.json", ["scale", 0, 0], 0.0),
    "means of fewer features": _json("linear.json", ["mean"], [[0.0], [0.0]]),
    "levels of no feature": _json("linear.json", ["levels", "4000"], 3),
    "levels without number": _json("linear.json", ["levels", "0"], 2_000_000_000),
    "levels below nothing": _json("linear.json", ["levels", "0"], -3),
    "no weights": lambda files: files | {"linear.json": "{}"},
    "a null for weights": lambda files: files | {"linear.json": "null"},
    "an encoding of no feature": lambda files: files | {"statistics.json": '{"4000": [0.5]}'},
    "an encoding of a number": lambda files: files | {"statistics.json": '{"4": [0.5]}'},
    "an encoding that is no number": lambda files: files | {"statistics.json": json.dumps({"0": [math.nan] * 8})},
    "a list for encodings": lambda files: files | {"statistics.json": "[1]"},
    "a line of no feature": _json("scorecard.json", ["lines", 0, "condition", "feature"], 4000),
    "a line of no kind": _json("scorecard.json", ["lines", 0, "condition", "kind"], "anything"),
    "points that are no number": _json("scorecard.json", ["lines", 0, "points"], "many"),
    "a scorecard without rows": _json("scorecard.json", ["rows"], 0),
    "a scorecard of other features": _json("scorecard.json", ["k"], 7),
    "a base that is no number": _json("scorecard.json", ["base"], math.nan),
    "a slope that falls": _json("scorecard.json", ["slope"], -1.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused(case: str, tmp_path: Path) -> None:
    save_texts(CASES[case](scorer().to_files()), tmp_path / "model")
    with pytest.raises(ModelError, match="train again"):
        load_bundle(tmp_path / "model", 1)
