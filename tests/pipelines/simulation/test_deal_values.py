"""Deals of the simulated market have a value, whose mean is known, and nothing else changes by them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from pipelines.config.simulation import Deals
from pipelines.simulation.export import DEAL_VALUE, EVENT_SCHEMA, chunks, simulate
from pipelines.stages.simulate import write
from tests.support.tables import PARAMS

MARKET = PARAMS.simulate.model_copy(update={"leads": 1500, "deals": Deals(spread=0.6)})
PLAIN = MARKET.model_copy(update={"deals": None})


def test_the_truth_is_what_won_deals_bring_on_average_and_all_else_is_as_without() -> None:
    found, plain = (simulate(market, 5, PARAMS.snapshots) for market in (MARKET, PLAIN))
    won = found.outcomes.loc[found.outcomes["converted_at"].notna(), "lead_id"]
    assert set(found.leads.loc[found.leads[DEAL_VALUE].notna(), "lead_id"]) == set(won)
    mean = found.oracle.drop_duplicates("lead_id").set_index("lead_id")[DEAL_VALUE]
    known = found.leads.set_index("lead_id").loc[won[won.isin(mean.index)]]
    ratio = known[DEAL_VALUE] / mean[known.index]
    assert abs(ratio.mean() - 1) < 3 * ratio.std() / np.sqrt(len(ratio)) < 0.2
    small = known["company_size"].astype("float64").lt(100).to_numpy()
    by_size = np.log(known[DEAL_VALUE]) - np.log(mean[known.index])
    assert abs(by_size[small].mean() - by_size[~small].mean()) < 0.2, "the truth knows what the size is worth"
    pd.testing.assert_frame_equal(found.leads.drop(columns=DEAL_VALUE), plain.leads)
    pd.testing.assert_frame_equal(found.oracle.drop(columns=DEAL_VALUE), plain.oracle)
    pd.testing.assert_frame_equal(found.events, plain.events)
    assert MARKET.model_dump().keys() - PLAIN.model_dump().keys() == {"deals"}, "without, no stage runs again"


def test_it_is_written_to_the_leads_and_to_the_truth(tmp_path: Path) -> None:
    market, truth = MARKET.model_copy(update={"leads": 200}), tmp_path / "truth" / "oracle.parquet"
    write(chunks(market, 5, PARAMS.snapshots), tmp_path, truth, with_deals=True)
    assert pd.read_csv(tmp_path / "leads.csv").columns[-1] == DEAL_VALUE
    assert pq.read_schema(truth).names[-1] == DEAL_VALUE
    assert pq.read_schema(tmp_path / "events.parquet").names == EVENT_SCHEMA.names
