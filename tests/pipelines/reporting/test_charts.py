"""The charts and tables of the report: positions and labels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.evaluation.results import SnapshotCounts
from models.explanation.results import DependencePoint
from models.tiers.results import TierFlow
from pipelines.reporting import charts, tables
from tests.support.results import PART, evaluation, flat_metrics, snapshot_counts


def rows_of(values: list[str | float | None]) -> list[DependencePoint]:
    return [
        DependencePoint(
            value=value, n=10, points=-float(index), points_low=-index - 1, points_high=-index + 1, rate=0.1
        )
        for index, value in enumerate(values)
    ]


def values_of(chart: charts.Chart) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = chart["data"]["values"]
    return values


def places_of(chart: charts.Chart) -> list[str]:
    """The places along the axis of the values, in their order."""
    panel = (chart.get("vconcat") or chart["hconcat"])[0]
    axis = "x" if "vconcat" in chart else "y"
    places: list[str] = panel["layer"][-1]["encoding"][axis]["scale"]["domain"]
    return places


def test_numbers_run_in_their_order_and_missing_is_apart() -> None:
    chart = charts.dependence(rows_of([1.0, 2.5, 4000.0, None]), "fit", "not known")
    assert [row["label"] for row in values_of(chart)] == ["1", "2.5", "4,000", ["not", "known"]]
    assert [row["missing"] for row in values_of(chart)] == [False, False, False, True]
    assert places_of(chart) == ["0", "1", "2", "gap", "3"]


def test_levels_are_sorted_by_points_and_distinct_when_cut_to_the_same_text() -> None:
    long = "a level with a name that goes on"
    chart = charts.dependence(rows_of([f"{long} two", f"{long} one", None]), "engagement", "not known")
    first, second, missing = values_of(chart)
    assert first["text"].startswith(f"{long} two: ")
    assert second["text"].startswith(f"{long} one: ")
    assert missing["label"] == "not known"
    assert first["label"] == second["label"]
    assert first["label"].endswith("…")
    assert places_of(chart) == ["0", "1", "gap", "2"]


def test_a_feature_that_is_always_missing_is_drawn() -> None:
    chart = charts.dependence(rows_of([None]), "fit", "not known")
    assert [row["label"] for row in values_of(chart)] == [["not", "known"]]
    assert places_of(chart) == ["0"]


def test_a_curve_is_thinned_to_tenths() -> None:
    share = np.linspace(0, 1, 101)
    curve = pd.concat(
        [pd.DataFrame({"who": who, "share_called": share, "gain": share * k}) for who, k in [("a", 1), ("b", 2)]]
    )
    rows = tables.every_tenth(curve, ["b", "a"], "gain")
    assert [round(row["share"], 9) for row in rows] == [round(tenth / 10, 9) for tenth in range(11)]
    assert rows[3]["metrics"] == pytest.approx([0.6, 0.3])


def test_charts_draw_the_named_curves_in_that_order() -> None:
    curve = pd.DataFrame({"who": ["a", "b", "c"] * 2, "share_called": [0.5] * 3 + [1.0] * 3, "gain": np.arange(6) / 5})
    chart = charts.gain(curve, {"b": "B", "a": "A"})
    assert chart["layer"][-1]["encoding"]["color"]["scale"]["domain"] == ["B", "A"]
    assert [row["gain"] for row in values_of(chart) if row["name"] == "B"] == [0.2, 0.8]
    assert {row["name"] for row in values_of(chart)} == {"A", "B"}


def test_calibration_has_room_for_every_interval() -> None:
    curve = pd.DataFrame({"n": [5, 5], "probability": [0.2, 0.1], "rate": [0.4, 0.0]})
    chart = charts.calibration(curve.assign(rate_low=[0.1, 0.0], rate_high=[0.5, 0.0]))
    for axis in ("x", "y"):
        assert chart["layer"][-1]["encoding"][axis]["scale"]["domain"][1] >= 0.5
    assert values_of(chart)[0]["text"] == "predicted 20.0%, actual 40.0% (10.0% to 50.0%), 5 rows"


def test_text_stays_text_colours_follow_the_page_and_marks_have_tooltips() -> None:
    hostile = "</svg><script>alert(1)</script>"
    drawn = charts.svg(charts.dependence(rows_of([hostile, "b"]), "fit", "none"))
    assert "<script" not in drawn
    assert "&lt;/svg&gt;&lt;" in drawn
    assert ">−1" in drawn or ">-1" in drawn
    assert "var(--blue, #0072b2)" in drawn
    assert re.search(r"<title>b: -1\.0 points \(-2\.0 to \+0\.0\), 10\.0% converted, 10 rows</title>", drawn)
    assert not re.search(r"\b(id|aria-label|font-family|onload|href)=", drawn)
    assert drawn == charts.svg(charts.dependence(rows_of([hostile, "b"]), "fit", "none"))


def test_parts_without_rows_are_not_listed() -> None:
    parts = {"train": PART | {"rows": 3}, "embargo": PART, "test": PART | {"rows": 3}}
    rows = tables.parts(SnapshotCounts.model_validate(snapshot_counts("none") | {"parts": parts}))
    assert [row["name"] for row in rows] == ["train", "test"]
    assert all(row["words"] for row in rows)


def test_a_constant_probability_does_not_rank() -> None:
    low = {"auc_low": 0.5, "auc_high": 0.5, "log_loss": 0.3, "log_loss_gap": 0.1}
    baselines = {"prior": flat_metrics(**low), "logistic": flat_metrics(**(low | {"log_loss": 0.2, "auc_high": 0.6}))}
    listed = tables.evaluated(evaluation(test=flat_metrics(auc_low=0.5, auc_high=0.7), baselines=baselines))
    assert [(entry.name, entry.ranks) for entry in listed] == [("model", True), ("logistic", True), ("prior", False)]


def test_flows_show_every_tier_that_a_lead_left_or_came_to() -> None:
    flows = [TierFlow(tier_from="hot", tier_to="excluded", n=3), TierFlow(tier_from=None, tier_to="hot", n=2)]
    chart = charts.tier_flows(flows, ["hot", "cold"], "before", "now")
    drawn = [(row["from"], row["to"], row["n"], row["way"]) for row in chart["data"]["values"]]
    assert drawn == [("hot", "excluded", 3, "down"), (charts.OFF_LIST, "hot", 2, "up")]
    domain = chart["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert domain == ["hot", "cold", "excluded", charts.OFF_LIST]
