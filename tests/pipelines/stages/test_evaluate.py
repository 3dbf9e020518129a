"""Stage evaluate on a small run: what a row counts in learning is nothing to the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from features.cohort.moments import INBOUND
from features.schema.declarations import MomentParams
from models.evaluation.results import EvaluationResult
from pipelines.config.training import Train
from pipelines.stages.build_features import build_features
from pipelines.stages.evaluate import evaluate_model
from pipelines.stages.kpis import measure_kpis
from pipelines.storage.contract_store import read_matrix
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params

RIVALS = {"forest": "sklearn.ensemble.HistGradientBoostingClassifier"}
MOMENTS = MomentParams(ages_hours=[0, 24])


def assert_between_lists(moments: pd.DataFrame, matrix: pd.DataFrame, result: EvaluationResult) -> None:
    """Moments are divided where the lists are, and each kind has its figures."""
    first = matrix.loc[matrix["part"] == "test", "snapshot_at"].min()
    assert moments.loc[moments["part"] == "test", "snapshot_at"].min() >= first
    assert moments.loc[moments["part"] == "train", "known_at"].max() <= first
    assert (moments.loc[moments["moment"] == "creation", "lead_age"] < 1e-6).all()
    tested = moments[moments["part"] == "test"].groupby("moment")["label"].agg(["size", "sum"])
    assert result.moments is not None
    assert [one.moment for one in result.moments] == ["creation", "1 day", INBOUND]
    for one in result.moments:
        assert (one.n, one.n_positive) == tuple(tested.loc[one.moment])
        assert one.rates.observed_rate == pytest.approx(one.n_positive / one.n)


def assert_groups(result: EvaluationResult, rows: pd.DataFrame, capacity: int) -> None:
    """Groups divide the rows of the test; as many are called as capacity says."""
    assert result.sensitive is not None
    size, industry = result.sensitive
    assert (size.label, len(size.groups), size.read, size.groups[-1].group) == ("company size", 5, True, "not known")
    assert "company size" not in {one.label for one in size.proxies} and size.strongest is not None
    for one in (size, industry):
        assert sum(group.leads for group in one.groups) == rows["lead_id"].nunique()
        counted = [(group.calibration.rows, group.called.rate) for group in one.groups if group.calibration]
        if len(counted) == len(one.groups):
            called = sum(n * rate for n, rate in counted)
            assert called == pytest.approx(rows.groupby("snapshot_at").size().clip(upper=capacity).sum())


def test_each_row_of_the_test_counts_once_however_much_it_teaches(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Conversions teach all, others are thinned and weighed back; the test has rows that are not learned from."""
    params, layout = tiny_params(tmp_path), tiny_copy(tmp_path_factory, tmp_path / "out")
    changed = {"snapshots": params.snapshots.model_copy(update={"moments": MOMENTS}), "train": Train(rivals=RIVALS)}
    changed["audit"] = params.audit.model_copy(update={"sensitive": ["company_size", "industry"]})
    params = params.model_copy(update=changed)
    before = layout.matrix.path.read_bytes()
    build_features(RunContext(params, layout))
    assert layout.matrix.path.read_bytes() == before  # moments between lists stand in a file of their own
    matrix, _ = read_matrix(layout)
    drawn = (matrix["label"] == 1) | (np.arange(len(matrix)) % 3 == 0)
    teaches = np.where(drawn, np.where(matrix["label"] == 1, 1.0, 3.0), 0.0)
    weight = matrix["weight"].where(matrix["part"] != "test", teaches)
    matrix.assign(weight=weight).to_parquet(layout.matrix.path)
    result = evaluate_model(RunContext(params, layout))
    rows = pd.read_parquet(layout.predictions.path)
    moments = pd.read_parquet(layout.moments.path)
    assert_between_lists(moments, matrix, result)
    assert result.baselines["forest"].auc.value == pytest.approx(roc_auc_score(rows["label"], rows["forest"]))
    assert result.baselines["forest"].auc.value > 0.55 and result.wins.incumbent == "rules"
    assert result.test.n == len(rows)
    assert result.test.auc.value == pytest.approx(roc_auc_score(rows["label"], rows["model"]))
    assert result.test.base_rate.value == pytest.approx(rows["label"].mean())
    assert result.calibration.predicted_rate == pytest.approx(rows["model"].mean())
    assert_groups(result, rows, params.capacity.per_period)
    everybody = measure_kpis(RunContext(params, layout)).comparisons[0]
    assert (everybody.predicted_rate, everybody.observed_rate) == pytest.approx(
        (rows["model"].mean(), rows["label"].mean())
    )
