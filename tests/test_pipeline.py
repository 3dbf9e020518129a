"""The whole pipeline on a small simulated funnel: what it leaves, and that it leaves the same every time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import tiny_params, tiny_run

from pipelines.artifacts import Layout
from pipelines.bundle import load_bundle
from pipelines.store import read_matrix

pytestmark = pytest.mark.xdist_group("tiny")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    folder = tmp_path_factory.mktemp("tiny")
    return tiny_run(tiny_params(folder), folder / "out")


def test_run_leaves_the_files_others_read(layout: Layout) -> None:
    for name in ("metrics.json", "scores.parquet", "scores.csv", "report.html", "catalogue.csv"):
        assert (layout.reports / name).stat().st_size > 0, name


def test_metrics_have_the_promised_keys_with_intervals(layout: Layout) -> None:
    metrics = json.loads(layout.metrics.path.read_text())
    figures = ["auc", "average_precision", "log_loss", "brier", "calibration_error", "lift_at_10", "base_rate"]
    for group in (metrics["test"], metrics["random_split"], metrics["baselines"]["logistic"]):
        for name in figures:
            assert group[f"{name}_low"] <= group[name] <= group[f"{name}_high"] or name == "calibration_error"
        assert group["n"] > 0
    assert metrics["period"]["first"] < metrics["period"]["last"]
    assert metrics["test"]["n"] == metrics["baselines"]["prior"]["n"]


def test_scores_hold_every_open_lead_once_best_first(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    leads = pd.read_parquet(layout.leads.path)
    outcomes = pd.read_parquet(layout.outcomes.path)
    as_of = scores["as_of"].iloc[0]
    closed = outcomes.loc[outcomes[["converted_at", "lost_at"]].min(axis=1) < as_of, "lead_id"]
    age = (as_of - leads["created_at"]) / pd.Timedelta(days=1)
    expected = leads.loc[age.between(1, 90) & ~leads["lead_id"].isin(closed), "lead_id"]
    assert sorted(scores["lead_id"]) == sorted(expected)
    assert scores["probability"].is_monotonic_decreasing
    assert scores["score"].between(0, 100).all()


def test_points_add_up_for_every_lead(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    total = scores["base_points"] + scores["fit"] + scores["engagement"]
    np.testing.assert_allclose(total, scores["points"], atol=1e-6)
    np.testing.assert_array_equal(scores["score"], np.rint(scores["points"].clip(0, 100)))


def test_the_csv_says_the_same_without_a_formula(layout: Layout) -> None:
    scores, sheet = pd.read_parquet(layout.scores.path), pd.read_csv(layout.scores_csv.path, dtype={"lead_id": str})
    assert sheet["lead_id"].tolist() == scores["lead_id"].tolist()
    assert not sheet["reasons_text"].dropna().str.startswith(("'", "=", "+", "-", "@")).any()
    first = json.loads(scores["reasons"].iloc[0])[0]["text"].split(" ", 1)
    assert sheet["reasons_text"].iloc[0].startswith(f"{first[1]} ({first[0]})")


def test_tiers_fill_capacity(layout: Layout) -> None:
    scores = pd.read_parquet(layout.scores.path)
    assert (scores["tier"] == "hot").sum() == 40
    assert (
        scores.loc[scores["tier"] == "hot", "probability"].min()
        >= scores.loc[scores["tier"] == "warm", "probability"].max()
    )


def test_the_planted_leak_is_no_feature(layout: Layout) -> None:
    _, spec = read_matrix(layout)
    assert not [entry.name for entry in spec.catalogue if "crm_rating" in entry.name]


def test_the_model_beats_every_baseline_on_the_later_period(layout: Layout) -> None:
    metrics = json.loads(layout.metrics.path.read_text())
    assert metrics["test"]["auc"] > 0.65
    assert metrics["test"]["log_loss"] < metrics["baselines"]["prior"]["log_loss"]


def test_scoring_a_test_snapshot_gives_its_training_features(layout: Layout) -> None:
    """The same call makes both: features of a lead do not depend on which stage asks."""
    from pipelines.params import load
    from pipelines.store import Contract

    matrix, spec = read_matrix(layout)
    some = matrix[matrix["part"] == "test"].groupby("snapshot_at").head(3).reset_index(drop=True)
    contract = Contract.open(layout, load().project)
    again = pd.concat(contract.matrix(some[["lead_id", "snapshot_at"]], spec), ignore_index=True)
    names = [entry.name for entry in spec.catalogue]
    key = ["lead_id", "snapshot_at"]
    left, right = some.sort_values(key)[names], again.sort_values(key)[names]
    np.testing.assert_array_equal(left.to_numpy(), right.to_numpy())


def test_no_file_of_the_bundle_can_run_code(layout: Layout) -> None:
    for file in layout.bundle.iterdir():
        assert file.suffix in (".txt", ".json")
        file.read_bytes().decode("utf-8")
    assert load_bundle(layout.bundle, 1).model_id


def test_two_runs_and_any_threads_leave_the_same_bytes(layout: Layout, tmp_path: Path) -> None:
    params = tiny_params(tmp_path)
    alone = params.model_copy(update={"project": params.project.model_copy(update={"threads": 1})})
    again = tiny_run(alone, tmp_path / "again")
    assert _digests(layout) == _digests(again)


def _digests(layout: Layout) -> dict[str, str]:
    folders = (layout.data, layout.artifacts, layout.reports)
    found = {file for folder in folders for file in folder.rglob("*") if file.is_file()}
    files = sorted(file for file in found if layout.search not in file.parents)  # a journal says when and by whom
    root = layout.reports
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
