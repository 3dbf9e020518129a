"""nurture.csv beside a score list: made of past lists, events and the list before, and no score moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.nurture import COLD, world
from models.nurture.declarations import NurtureParams
from pipelines.config.params import Params, load
from pipelines.nurture.nurture_list import NAME, SHEET, NurtureInputs, add_nurture, build_nurture
from pipelines.storage.contract_store import Contract, Display
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.files import write_parquet

DAY = pd.Timedelta(days=1)


@pytest.fixture(scope="module")
def params() -> Params:
    return load().model_copy(update={"nurture": NurtureParams(on=True, expires_days=56)})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> NurtureInputs:
    """A simulated world: all lists but the last are past, and the last is the score list."""
    folder, lists = tmp_path_factory.mktemp("nurture"), world(3)
    last = lists["snapshot_at"].max()
    past = lists[lists["snapshot_at"] < last].rename(columns={"probability": "model"})
    write_parquet(past[["lead_id", "snapshot_at", "model", "tier"]], folder / "predictions.parquet")
    listed = lists[lists["snapshot_at"] == last].rename(columns={"snapshot_at": "as_of"})
    write_parquet(listed[["lead_id", "as_of", "probability", "tier"]], folder / "scores.parquet")
    born = (lists["snapshot_at"] - lists["age"] * DAY).groupby(lists["lead_id"]).min().dt.as_unit("us")
    acts = (lists["snapshot_at"] - lists["quiet"] * DAY).dt.as_unit("us")
    events = lists[["lead_id"]].assign(
        event_at=acts, known_at=acts, event_type="visit", direction="inbound", channel="web"
    )
    contract = Contract(
        leads=born.rename("created_at").reset_index(), outcomes=pd.DataFrame(), history=pd.DataFrame(),
        events=ibis.memtable(pa.Table.from_pandas(events, preserve_index=False)), profile=DataProfile.model_construct(),
    )  # fmt: skip
    return NurtureInputs(
        folder / "scores.parquet", folder / "predictions.parquet", folder / "none.parquet", contract, Display()
    )


def test_the_list_has_waiting_leads_alone_and_moves_no_score(inputs: NurtureInputs, params: Params) -> None:
    folder, before = inputs.scores.parent, inputs.scores.read_bytes()
    summary = add_nurture(folder, inputs, params)
    leads, scores = pd.read_parquet(folder / NAME), pd.read_parquet(inputs.scores).set_index("lead_id")
    assert inputs.scores.read_bytes() == before
    assert set(scores.loc[leads["lead_id"], "tier"]) == {COLD}
    assert len(leads) == sum(summary.leads.values()) == summary.leads["new"] > 0
    assert leads["chance"].min() >= params.nurture.least_chance
    assert summary.judged is not None and summary.judged.right
    assert [one.of for one in summary.next] == ["acted lately", "quiet", "before ready", "before not ready"]
    assert pd.read_csv(folder / SHEET).columns[:4].tolist() == ["status", "lead_id", "review_on", "ready_chance"]
    again = inputs.scores.parent / "again"
    again.mkdir()
    add_nurture(again, inputs, params)
    assert (again / NAME).read_bytes() == (folder / NAME).read_bytes()


def test_where_there_is_nothing_to_learn_from_it_says_why(
    inputs: NurtureInputs, params: Params, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_text("of an earlier run")
    missing = add_nurture(tmp_path, replace(inputs, past=tmp_path / "none"), params)
    assert "run evaluate" in missing.lines[0] and not (tmp_path / NAME).exists()
    few = tmp_path / "few.parquet"
    past = pd.read_parquet(inputs.past)
    write_parquet(past[past["snapshot_at"] < past["snapshot_at"].min() + 20 * DAY], few)
    assert "too few" in build_nurture(replace(inputs, past=few), params)[1].missing
    write_parquet(past[past["snapshot_at"] != np.sort(past["snapshot_at"].unique())[5]], few)
    assert "7 days apart" in build_nurture(replace(inputs, past=few), params)[1].missing
    write_parquet(past.assign(tier="lukewarm"), few)
    assert "'lukewarm'" in build_nurture(replace(inputs, past=few), params)[1].missing
