"""The four real data sets through the pipeline: figures where they ought to be, and never too good to be true."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.config.params import Params, load
from pipelines.stages.run_all import stages
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.paths import ROOT

DATA = ROOT.parent / "shared" / "data"


def run_example(name: str, folder: Path, cuts: int = 0) -> Layout:
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the project")
    layout = Layout.folder(folder)
    params = quick(load(ROOT / "examples" / f"{name}.yaml"), cuts)
    for stage in stages(RunContext(params, layout), DATA / name).values():
        stage()
    return layout


def quick(params: Params, cuts: int) -> Params:
    """Search and walk only as long as it takes to see that both work; the small runs and the benchmark do more."""
    search, backtest = params.search.model_copy(update={"trials": 1}), params.backtest.model_copy(update={"cuts": cuts})
    folds = params.selection.folds.model_copy(update={"max_rows": 6_000})
    fewer = {"folds": folds, "logistic_c": [0.01, 0.1], "linear_shares": [0.0, 0.25, 0.5, 1.0]}
    return params.model_copy(
        update={
            "search": search,
            "backtest": backtest,
            "selection": params.selection.model_copy(update=fewer),
            "snapshots": params.snapshots.model_copy(update={"max_rows": 8_000, "max_test_rows": 15_000}),
            "train": params.train.model_copy(update={"boosters": 2}),
            "evaluate": params.evaluate.model_copy(update={"resamples": 20}),
            "explain": params.explain.model_copy(update={"sample_rows": 1_000, "top_features": 5}),
        }
    )


def metrics_of(layout: Layout) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(layout.metrics.path.read_text())
    return tree


def check_contract(layout: Layout, leads: int, converted: int, events: int, quarantined: int = 0) -> None:
    """Every row of the export is in the contract, or set aside."""
    tables = json.loads(layout.profile.path.read_text())["tables"]
    assert (tables["leads"]["kept"], tables["events"]["kept"]) == (leads, events)
    assert pd.read_parquet(layout.outcomes.path)["converted"].sum() == converted
    assert pq.read_metadata(layout.quarantine.path).num_rows == quarantined


def leaks_of(layout: Layout) -> dict[str, set[str]]:
    """Columns that each failed check of the audit names."""
    checks = json.loads(layout.audit.path.read_text())["checks"]
    return {check["code"]: set(check["columns"]) for check in checks if check["status"] == "failed"}


def check_outputs(layout: Layout) -> None:
    for name in ("metrics.json", "scores.parquet", "scores.csv", "scorecard.csv", "report.html", "catalogue.csv"):
        assert (layout.reports / name).stat().st_size > 0, name
    scores = pd.read_parquet(layout.scores.path)
    assert scores["lead_id"].is_unique
    total = scores["base_points"] + scores["fit"] + scores["engagement"]
    np.testing.assert_allclose(total, scores["points"], atol=1e-6)
    by_channel = scores["online"] + scores["offline"] + scores["other_engagement"]
    np.testing.assert_allclose(by_channel, scores["engagement"], atol=1e-6)
    np.testing.assert_array_equal(scores["score"], np.rint(scores["points"].clip(0, 100)))
    assert scores["grade"].str.fullmatch("[A-D][1-4]").all()
    check_reasons(scores, set(pd.read_csv(layout.catalogue.path)["name"]))


def check_reasons(scores: pd.DataFrame, names: set[str]) -> None:
    """Every reason is a part of the sum in words: no raw name, no more taken away than `negative` says."""
    raw = {name for name in names if "_" in name}
    for row in scores.to_dict("records"):
        reasons = json.loads(row["reasons"])
        assert sum(min(reason["points"], 0) for reason in reasons) >= row["negative"] - 0.001
        for reason in reasons:
            assert re.fullmatch(r"[+-]\d+ [^:]+: .+", reason["text"])
            assert not raw.intersection(re.findall(r"\w+", reason["text"])), reason["text"]


def check_scorecard(layout: Layout, most_lost: float) -> None:
    """The learned card has at most 25 lines and is about as good as the model at telling leads apart."""
    card = metrics_of(layout)["baselines"]["scorecard"]
    assert len(pd.read_csv(layout.scorecard_csv.path)) <= 25
    assert card["auc_gap_low"] <= card["auc_gap"] <= card["auc_gap_high"]
    assert card["auc_gap"] < most_lost


def test_learning_365_is_good_and_does_not_leak(tmp_path: Path) -> None:
    layout = run_example("learning_365", tmp_path)
    check_contract(layout, 35_230, 2_135, 64_535 + 23_225 + 14_298 + 64_501 + 34_030 + 827)
    check_outputs(layout)
    assert leaks_of(layout) == {}
    check_scorecard(layout, 0.025)  # 157 conversions: the interval is about as wide
    assert 0.72 <= metrics_of(layout)["test"]["auc"] <= 0.85
    levels = json.loads(layout.profile.path.read_text())["tables"]["leads"]["columns"]["country"]
    assert levels["missing"] == 0  # "NA" is Namibia


def test_olist_on_later_leads(tmp_path: Path) -> None:
    layout = run_example("olist_funnel", tmp_path, cuts=1)
    check_contract(layout, 8_000, 841, 0, 1)
    check_outputs(layout)
    assert leaks_of(layout) == {}
    assert metrics_of(layout)["test"]["auc"] >= 0.68


def test_x_education_without_what_the_outcome_wrote(tmp_path: Path) -> None:
    layout = run_example("x_education", tmp_path)
    check_contract(layout, 9_240, 3_561, 0)
    check_outputs(layout)
    assert leaks_of(layout) == {}
    check_scorecard(layout, 0.02)
    assert 0.872 <= metrics_of(layout)["test"]["auc"] < 0.93
    assert "not chronological" in metrics_of(layout)["verdict"]["lines"][1]


def test_bank_marketing_holds_where_the_base_rate_quadruples(tmp_path: Path) -> None:
    """In the order of time, beyond what logistic regression (.667) and AutoML (log-loss .554) reach on these rows."""
    layout = run_example("bank_marketing", tmp_path)
    check_contract(layout, 41_188, 4_640, 0)
    check_outputs(layout)
    assert set(leaks_of(layout)) == {"LK10"}
    metrics = metrics_of(layout)
    assert metrics["test"]["auc"] > 0.667
    assert metrics["test"]["log_loss"] < 0.554
    assert metrics["uncorrected"]["log_loss"] - metrics["test"]["log_loss"] > 0.05
    assert metrics["verdict"]["state"] != "better", "than the rules among the best 1,000: who took the last offer"
    left_out = json.loads(layout.selection.path.read_text())["left_out"]
    assert {"three-month Euribor", "month of the call", "consumer price index"} <= set(left_out)
