"""The walk-forward backtest: no model knows more than one would have known at its cut."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from models.evaluation.results import NoBacktest
from models.splitting.walk_forward import BacktestParams, cuts
from pipelines.config.params import Params
from pipelines.stages.backtest import backtest
from pipelines.storage.layout import Layout
from pipelines.storage.results import read_backtest
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params

DAY = pd.Timedelta(days=1)


def weekly(n: int, wait: int = 32) -> pd.DataFrame:
    at = pd.Series(pd.date_range("2024-01-01", periods=n, freq="7D", unit="us"))
    return pd.DataFrame({"snapshot_at": at, "known_at": at + wait * DAY})


def walk(count: int, every: int = 28) -> BacktestParams:
    return BacktestParams(cuts=count, every_days=every, every_rows=every, choose="each")


@given(count=st.integers(1, 6), every=st.integers(7, 60), wait=st.integers(0, 90))
def test_periods_follow_each_other_and_learn_only_from_what_was_known(count: int, every: int, wait: int) -> None:
    rows = weekly(80, wait)
    found = cuts(rows, "dates", walk(count, every))
    assert len(found) == count
    tested = pd.concat([rows["snapshot_at"][cut.part == "test"] for cut in found])
    assert tested.is_unique and tested.is_monotonic_increasing
    assert tested.max() == rows["snapshot_at"].max()
    for cut in found:
        start = pd.Timestamp(cut.at)
        assert (rows["known_at"][cut.part == "train"] <= start).all()
        assert (rows["known_at"][cut.part == ""] > start).all() or (rows["snapshot_at"][cut.part == ""] >= start).any()
        assert (rows["snapshot_at"][cut.part == "test"] >= start).all()


@given(count=st.integers(1, 6), every=st.integers(1, 30), n=st.integers(10, 100))
def test_rows_are_cut_by_their_place(count: int, every: int, n: int) -> None:
    rng = np.random.default_rng(n)
    rows = pd.DataFrame({"position": rng.permutation(n) * 3})
    for cut in cuts(rows, "rows", walk(count, every)):
        train, test = rows["position"][cut.part == "train"], rows["position"][cut.part == "test"]
        assert len(test) == every
        assert train.max() < test.min()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    folder = tmp_path_factory.mktemp("walk")
    return tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out")


def test_figures_are_those_of_the_predictions(small: tuple[Params, Layout]) -> None:
    _, layout = small
    tree = json.loads(layout.backtest.path.read_text())
    rows = pd.read_parquet(layout.backtest_predictions.path)
    assert [period["cut"] for period in tree["periods"]] == rows["cut"].drop_duplicates().tolist()
    for period in tree["periods"]:
        scored = rows[rows["cut"] == period["cut"]]
        assert period["metrics"]["model"]["n"] == len(scored)
        assert period["metrics"]["model"]["auc"] == pytest.approx(roc_auc_score(scored["label"], scored["model"]))
    assert tree["pooled"]["model"]["n"] == len(rows)
    assert {"model", "prior", "logistic", "scorecard", "uncorrected"} <= set(tree["pooled"])


def test_what_became_known_after_a_cut_changes_nothing_before_it(small: tuple[Params, Layout], tmp_path: Path) -> None:
    """Turn the outcomes and drop the events after the last cut: predictions of the periods before stay as they are."""
    params, layout = small
    before = pd.read_parquet(layout.backtest_predictions.path)
    last = pd.Timestamp(before["cut"].max())
    other = Layout.folder(tmp_path)
    for artifact in (layout.leads, layout.attribute_history, layout.stages):
        table = pd.read_parquet(artifact.path)
        target = other.contract / artifact.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(target)
    outcomes = pd.read_parquet(layout.outcomes.path)
    late = outcomes["converted_at"] > last
    outcomes.loc[late, "converted_at"] = outcomes.loc[late, "converted_at"] + 40 * DAY
    outcomes.to_parquet(other.outcomes.path)
    events = pd.read_parquet(layout.events.path)
    events[events["known_at"] <= last].to_parquet(other.events.path)
    other.profile.path.write_text(layout.profile.path.read_text())
    other.selection.path.parent.mkdir(parents=True)
    shutil.copy(layout.selection.path, other.selection.path)  # what train chose, from what was known at the first cut
    backtest(RunContext(params, other))
    after = pd.read_parquet(other.backtest_predictions.path)
    earlier = [rows[rows["cut"] < last.date().isoformat()].drop(columns="label") for rows in (before, after)]
    assert len(earlier[0]) > 0
    pd.testing.assert_frame_equal(*[rows.reset_index(drop=True) for rows in earlier])
    assert len(before) != len(after) or not before["model"].equals(after["model"])


def test_without_an_order_it_says_so(small: tuple[Params, Layout], tmp_path: Path) -> None:
    params, layout = small
    shutil.copytree(layout.contract, Layout.folder(tmp_path).contract)
    unordered = params.model_copy(update={"source": params.source.model_copy(update={"order": "none"})})
    result = backtest(RunContext(unordered, Layout.folder(tmp_path)))
    assert isinstance(result, NoBacktest) and "past" in result.why
    assert read_backtest(Layout.folder(tmp_path)) == result
