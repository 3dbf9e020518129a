"""Money in a whole list, and revenue by owner, which asks for the owners that the mapping names."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.attributes.as_of import attributes_as_of
from features.schema.declarations import AttributeSpec
from features.schema.errors import DataError
from models.revenue.declarations import MoneyParams
from models.splitting import holdout
from pipelines.analysis.what_if import what_if
from pipelines.revenue.deal_values import REVENUE, on_lists
from pipelines.revenue.list_revenue import money_tiers, write_revenue
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.scoring.tier_inputs import tier_facts
from pipelines.stages.kpis import _predicted
from pipelines.stages.score import score_leads
from pipelines.storage.contract_store import Contract, read_matrix
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
    by_probability = pd.read_parquet(layout.predictions.path)["tier"]
    metadata, _, rows, _ = _predicted(run)
    with closing(Contract.open(layout, run.params.project)) as contract:
        facts = tier_facts(rows, contract, metadata.matrix, run.params.tiers)
        tiers = money_tiers(rows, facts, metadata, 40, contract, run.params)
    size = matrix_sizes(layout)
    assert tiers.value_counts()["hot"] == by_probability.value_counts()["hot"]
    assert size[tiers == "hot"].mean() > 1.2 * size[by_probability == "hot"].mean(), "KPIs were of tiers by probability"


def matrix_sizes(layout: Layout) -> pd.Series[float]:
    """The company's size of each row of the later period."""
    return holdout.tested_rows(read_matrix(layout)[0])["company_size"]


def test_what_is_written_with_the_win_teaches_no_deal_value() -> None:
    """Just before the win the amount was already the one signed, so that values looked exact."""
    created, won_at = pd.Timestamp("2026-01-01"), pd.Timestamp("2026-03-02")
    leads = pd.DataFrame({"lead_id": ["A", "B"], "created_at": [created, won_at], "amount": [900.0, 50.0]})
    won = pd.DataFrame({"lead_id": ["A", "B"], "converted_at": [won_at, won_at]})
    moments = won[["lead_id"]].assign(snapshot_at=on_lists(won, leads))
    assert moments["snapshot_at"].tolist() == [pd.Timestamp("2026-01-31"), won_at - pd.Timedelta(microseconds=1)]
    edits = pd.DataFrame({"lead_id": ["A", "A"], "valid_from": [created, won_at - pd.Timedelta(minutes=5)],
                          "amount": [500.0, 900.0]})  # fmt: skip
    spec = {"amount": AttributeSpec(column="amount", kind="number", known="history")}
    known = attributes_as_of(moments, leads.astype({"created_at": "datetime64[us]"}), edits, spec)
    assert known["amount"].iloc[0] == 500.0
