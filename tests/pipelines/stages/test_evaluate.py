"""Stage evaluate on a small run: what a row counts in learning is nothing to the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from pipelines.stages.evaluate import evaluate_model
from pipelines.stages.kpis import measure_kpis
from pipelines.storage.contract_store import read_matrix
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params


@pytest.mark.xdist_group("tiny")
def test_each_row_of_the_test_counts_once_however_much_it_teaches(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Conversions teach all, others are thinned and weighed back; the test has rows that are not learned from."""
    params, layout = tiny_params(tmp_path), tiny_copy(tmp_path_factory, tmp_path / "out")
    matrix, _ = read_matrix(layout)
    drawn = (matrix["label"] == 1) | (np.arange(len(matrix)) % 3 == 0)
    teaches = np.where(drawn, np.where(matrix["label"] == 1, 1.0, 3.0), 0.0)
    weight = matrix["weight"].where(matrix["part"] != "test", teaches)
    matrix.assign(weight=weight).to_parquet(layout.matrix.path)
    result = evaluate_model(RunContext(params, layout))
    rows = pd.read_parquet(layout.predictions.path)
    assert result.test.n == len(rows)
    assert result.test.auc.value == pytest.approx(roc_auc_score(rows["label"], rows["model"]))
    assert result.test.base_rate.value == pytest.approx(rows["label"].mean())
    assert result.calibration.predicted_rate == pytest.approx(rows["model"].mean())
    everybody = measure_kpis(RunContext(params, layout)).comparisons[0]
    assert (everybody.predicted_rate, everybody.observed_rate) == pytest.approx(
        (rows["model"].mean(), rows["label"].mean())
    )
