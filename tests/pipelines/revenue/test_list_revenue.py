"""Money in a whole list, and revenue by owner, which asks for the owners that the mapping names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.schema.errors import DataError
from models.revenue.declarations import MoneyParams
from pipelines.analysis.what_if import what_if
from pipelines.revenue.deal_values import REVENUE
from pipelines.revenue.list_revenue import write_revenue
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.stages.score import score_leads
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.tables import PARAMS
from tests.support.tiny import tiny_copy, tiny_params


def test_owners_that_ingest_has_not_read_are_asked_for(tmp_path: Path) -> None:
    leads = PARAMS.source.leads.model_copy(update={"display": {"agent": "agent"}})
    source = PARAMS.source.model_copy(update={"leads": leads})
    money = MoneyParams(deal_value="amount", owner="agent")
    run = RunContext(PARAMS.model_copy(update={"source": source, "money": money}), Layout.folder(tmp_path))
    nothing: Any = None
    with pytest.raises(DataError, match="stage ingest"):
        write_revenue(nothing, nothing, nothing, 1, nothing, run)


def test_a_list_ranked_by_revenue_has_its_columns_order_and_cut_offs(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    params, layout = tiny_params(tmp_path), tiny_copy(tmp_path_factory, tmp_path / "out")
    money = MoneyParams(deal_value="company_size", rank_by="revenue")  # a deal is as large as its company
    run = RunContext(params.model_copy(update={"money": money}), layout)
    layout.scores.path.unlink()
    score_leads(run)
    listed = pd.read_parquet(layout.scores.path)
    assert list(listed.columns[-len(REVENUE) :]) == REVENUE
    assert listed["expected_revenue"].is_monotonic_decreasing
    summary = ScoreSummary.model_validate_json(layout.score_summary.path.read_bytes())
    assert summary.revenue is not None and summary.capacity[0].cut_off is None
    called = listed[listed["tier"] != "excluded"]
    by_score = (called["score"] >= summary.lowest_score["hot"]).sum()
    assert summary.tiers["hot"] <= by_score < 1.2 * summary.tiers["hot"], "as many as on the list, but for ties"
    assert called[called["tier"] == "hot"]["score"].min() < summary.lowest_score["hot"]
    assert what_if(run).moved.empty
