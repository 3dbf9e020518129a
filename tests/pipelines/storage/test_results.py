"""Results are read as they were written, keep the keys that other programs read, and other formats are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from features.schema.errors import DataError, ModelError
from models.evaluation.results import BacktestResult, EvaluationResult, NoBacktest
from models.kpis.results import KpiResult
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_backtest, read_evaluation, read_result, read_verdict, write_result
from tests.support.results import backtest_period, evaluation, flat_metrics, model_metrics

PROTECTED = ("auc", "average_precision", "log_loss", "brier", "calibration_error", "lift_at_10", "base_rate")
GAPS = {"log_loss_gap": 0.1, "auc_gap": 0.02, "capacity_lift_gap": 0.3}


def full() -> EvaluationResult:
    shares = {"lift_at_10": 2.0, "gain_at_10": 0.2}
    baselines = {"prior": flat_metrics(log_loss_gap=0.1), "rules": flat_metrics(**GAPS)}
    return evaluation(test=flat_metrics(**shares), baselines=baselines, segments={"sector": {"steel": flat_metrics()}})


def written(result: EvaluationResult, folder: Path) -> Layout:
    layout = Layout.folder(folder)
    write_result(result, layout.metrics.path)
    return layout


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    layout = written(full(), tmp_path)
    assert read_evaluation(layout, "model") == full()
    assert read_verdict(layout) == full().verdict


def test_metrics_keep_the_keys_that_other_programs_read(tmp_path: Path) -> None:
    tree = json.loads(written(full(), tmp_path).metrics.path.read_text(encoding="utf-8"))
    ends = {f"{name}{end}" for name in PROTECTED for end in ("", "_low", "_high")}
    assert ends | {"n", "n_leads", "n_positive"} <= tree["test"].keys()
    assert all(isinstance(tree["test"][name], float) for name in ends)
    assert {"auc", "auc_low", "auc_high", "n"} <= tree["random_split"].keys()
    assert {f"{name}{end}" for name in GAPS for end in ("", "_low", "_high")} <= tree["baselines"]["rules"].keys()
    assert tree["period"] == {"first": "2024-03-04", "last": "2024-03-04"}


def test_a_figure_that_does_not_exist_is_null_on_disk_and_nan_when_read(tmp_path: Path) -> None:
    layout = written(evaluation(test=flat_metrics(auc=None)), tmp_path)
    assert json.loads(layout.metrics.path.read_text(encoding="utf-8"))["test"]["auc_low"] is None
    auc = read_evaluation(layout, "model").test.auc
    assert not auc.exists and math.isnan(auc.low)


def test_a_backtest_is_read_by_its_kind(tmp_path: Path) -> None:
    layout = Layout.folder(tmp_path)
    metrics = {"model": model_metrics()}
    walked = BacktestResult(
        confidence=0.9, choose="each", periods=[backtest_period("2024-03-04", metrics)], left_out=[], pooled=metrics,
        mean_auc=0.7,
    )  # fmt: skip
    for result in (walked, NoBacktest(why="no past", left_out=[])):
        write_result(result, layout.backtest.path)
        assert read_backtest(layout) == result


def test_another_format_is_refused_with_the_stage_to_run(tmp_path: Path) -> None:
    layout = written(full(), tmp_path)
    tree = json.loads(layout.metrics.path.read_text(encoding="utf-8"))
    for changed, found in (
        (tree | {"format": 0}, "found format 0; expected format 2"),
        ({name: value for name, value in tree.items() if name != "format"}, "expected format 2"),
        (tree | {"capacity": "many"}, "'capacity': found"),
    ):
        layout.metrics.path.write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(DataError, match=rf"metrics\.json.*{found}.*`leadscore stage evaluate` again"):
            read_result(EvaluationResult, layout.metrics.path, "evaluate")


def test_what_is_missing_or_of_another_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Run `leadscore stage evaluate` first"):
        read_evaluation(Layout.folder(tmp_path), "model")
    with pytest.raises(ModelError, match=r"metrics\.json: model id model, but .*: model id another; run `leadscore"):
        read_evaluation(written(full(), tmp_path), "another")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_a_result_that_is_no_json_object_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "kpis.json").write_bytes(content)
    with pytest.raises(DataError, match="Run `leadscore stage kpis` again"):
        read_result(KpiResult, tmp_path / "kpis.json", "kpis")
