"""The Python door opens a run of either layout, and says where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.matrix.point_in_time import point_in_time_features
from features.schema.errors import DataError
from pipelines.api import Run
from tests.support.tiny import tiny_copy


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("api") / "out"
    tiny_copy(tmp_path_factory, out)
    return Run.open(out)


def test_what_it_reads_belongs_together(run: Run) -> None:
    tested = run.tested
    assert len(tested) == run.metrics.test.n == len(run.predictions)
    assert run.metrics.model_id == run.scorer.tested_id
    assert run.explanation.model_id == run.scorer.model_id
    assert run.training["snapshot_at"].is_monotonic_increasing
    assert run.training["snapshot_at"].max() < tested["snapshot_at"].min()
    assert set(run.features) <= set(run.matrix)
    assert run.kpis.tiers and run.profile.tables["leads"].kept == len(run.table("leads"))


def test_its_folds_and_its_estimator_go_together(run: Run) -> None:
    rows = run.training
    earlier, later = next(run.folds(rows).split())
    estimator = run.estimator(random_state=1).fit(rows[run.features].iloc[earlier], rows["label"].iloc[earlier])
    probability = estimator.predict_proba(rows[run.features].iloc[later])[:, 1]
    label = rows["label"].to_numpy()[later]
    assert probability[label == 1].mean() > probability[label == 0].mean()


def test_features_of_its_tables_are_those_of_its_matrix(run: Run) -> None:
    leads = run.table("leads").drop(columns="position")
    edited = set(run.table("attribute_history")["lead_id"])
    rows = run.matrix[~run.matrix["lead_id"].isin(edited)].head(50)
    at = rows.set_index("lead_id")["snapshot_at"]
    found = point_in_time_features(leads, run.table("events"), at, run.spec)
    assert len(rows) == 50
    np.testing.assert_array_equal(found[run.features].to_numpy(), rows[run.features].to_numpy())


def test_where_there_is_no_run_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    with pytest.raises(DataError, match="Name the folder"):
        Run.open(tmp_path)
    monkeypatch.setenv("LEADSCORE_OUT", str(run.layout.reports))
    assert Run.open().layout == run.layout
    monkeypatch.delenv("LEADSCORE_OUT")
    below = run.layout.artifacts / "model"
    monkeypatch.chdir(below)
    assert Run.open().layout == run.layout
    assert isinstance(Run.open().predictions, pd.DataFrame)
