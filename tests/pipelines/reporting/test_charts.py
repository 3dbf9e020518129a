"""The charts and tables of the report: positions and labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from models.evaluation.results import SnapshotCounts
from models.explanation.results import DependencePoint
from pipelines.reporting import charts, tables
from tests.support.results import PART, evaluation, flat_metrics, snapshot_counts


def rows_of(values: list[str | float | None]) -> list[DependencePoint]:
    return [
        DependencePoint(
            value=value, n=10, points=-float(index), points_low=-index - 1, points_high=-index + 1, rate=0.1
        )
        for index, value in enumerate(values)
    ]


def test_numbers_run_in_their_order_and_missing_is_apart() -> None:
    chart = charts.dependence(rows_of([1.0, 2.5, 4000.0, None]), "fit", "not known")
    markers = [trace for trace in chart.data if isinstance(trace, go.Scatter) and trace.yaxis == "y"]
    assert [list(trace.x) for trace in markers] == [[0.0, 1.0, 2.0], [3.5]]
    assert list(chart.layout.xaxis.ticktext) == ["1", "2.5", "4,000", "not<br>known"]


def test_levels_are_sorted_by_points_and_distinct_when_cut_to_the_same_text() -> None:
    long = "a level with a name that goes on"
    chart = charts.dependence(rows_of([f"{long} one", f"{long} two", None]), "engagement", "not known")
    markers = [trace for trace in chart.data if isinstance(trace, go.Scatter) and trace.xaxis == "x"]
    assert list(markers[0].customdata) == [f"{long} two", f"{long} one"]
    assert list(markers[0].y) == [0.0, 1.0]
    assert markers[1].y[0] < 0
    cut = chart.layout.yaxis.ticktext[0]
    assert cut == chart.layout.yaxis.ticktext[1]
    assert cut.endswith("…")


def test_a_feature_that_is_always_missing_is_drawn() -> None:
    chart = charts.dependence(rows_of([None]), "fit", "not known")
    assert list(chart.data[0].customdata) == ["not known"]


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
    chart = charts.gain(curve, {"b": "<b>B</b>", "a": "A"})
    assert [trace.name for trace in chart.data] == ["&lt;b&gt;B&lt;/b&gt;", "A", "any order"]
    assert list(chart.data[0].y) == [0.2, 0.8]


def test_calibration_keeps_low_ends_above_zero() -> None:
    curve = pd.DataFrame({"n": [5, 5], "probability": [0.2, 0.1], "rate": [0.4, 0.0]})
    chart = charts.calibration(curve.assign(rate_low=[0.1, 0.0], rate_high=[0.5, 0.0]))
    spread = chart.data[1].error_y
    assert list(spread.array) == pytest.approx([0.1, 0.0])
    assert list(spread.arrayminus) == pytest.approx([0.3, 0.0])
    assert chart.layout.xaxis.range[1] >= 0.5


@pytest.mark.parametrize(("maximum", "ticks"), [(0.0, [0]), (0.061, [0, 0.06]), (640.0, [0, 600]), (1.0, [0, 1])])
def test_small_panels_label_zero_and_the_largest_round_number(maximum: float, ticks: list[float]) -> None:
    rows = [row.model_copy(update={"rate": maximum, "n": int(maximum)}) for row in rows_of([1.0])]
    assert list(charts.dependence(rows, "fit", "none").layout.yaxis2.tickvals) == pytest.approx(ticks)


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
