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
from models.nurture.results import NurtureSummary
from pipelines.config.params import Params, load
from pipelines.nurture.nurture_list import NAME, SHEET, NurtureInputs, NurtureList, build_nurture, write_nurture
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
    born = (lists["snapshot_at"] - lists["age"] * DAY).groupby(lists["lead_id"]).min().dt.as_unit("us")
    acts = (lists["snapshot_at"] - lists["quiet"] * DAY).dt.as_unit("us")
    events = lists[["lead_id"]].assign(
        event_at=acts, known_at=acts, event_type="visit", direction="inbound", channel="web"
    )
    contract = Contract(
        leads=born.rename("created_at").reset_index(), outcomes=pd.DataFrame(), history=pd.DataFrame(),
        events=ibis.memtable(pa.Table.from_pandas(events, preserve_index=False)), profile=DataProfile.model_construct(),
    )  # fmt: skip
    return NurtureInputs(listed, folder / "predictions.parquet", None, contract)


def test_the_list_has_waiting_leads_alone_and_moves_no_score(
    inputs: NurtureInputs, params: Params, tmp_path: Path
) -> None:
    before, tiers = inputs.listed.copy(), inputs.listed.set_index("lead_id")["tier"]
    found = build_nurture(inputs, params)
    leads, summary = found.leads, found.summary
    assert inputs.listed.equals(before) and leads is not None
    assert set(tiers[leads["lead_id"]]) == {COLD}
    assert len(leads) == sum(summary.leads.values()) == summary.leads["new"] > 0
    assert leads["chance"].min() >= params.nurture.least_chance
    assert summary.judged is not None and summary.judged.right
    assert [one.of for one in summary.next] == ["acted lately", "quiet", "before ready", "before not ready"]
    write_nurture(found, tmp_path, Display())
    assert pd.read_parquet(tmp_path / NAME).equals(leads)
    assert pd.read_csv(tmp_path / SHEET).columns[:4].tolist() == ["status", "lead_id", "review_on", "ready_chance"]
    again = build_nurture(replace(inputs, past=_with_a_later_list(inputs, tmp_path)), params)
    assert again.leads is not None and again.leads.equals(leads), "what came after the list is not read"
    write_nurture(NurtureList(None, NurtureSummary(missing="of an earlier run")), tmp_path, Display())
    assert not (tmp_path / NAME).exists() and not (tmp_path / SHEET).exists()


def _with_a_later_list(inputs: NurtureInputs, folder: Path) -> Path:
    past, listed = pd.read_parquet(inputs.past), inputs.listed
    later = listed.rename(columns={"probability": "model"}).assign(snapshot_at=listed["as_of"] + 7 * DAY, tier="hot")
    write_parquet(pd.concat([past, later[past.columns.tolist()]]), folder / "later.parquet")
    return folder / "later.parquet"


def test_where_there_is_nothing_to_learn_from_it_says_why(
    inputs: NurtureInputs, params: Params, tmp_path: Path
) -> None:
    few, past = tmp_path / "few.parquet", pd.read_parquet(inputs.past)
    weeks = np.sort(past["snapshot_at"].unique())
    assert "run evaluate" in _missing(replace(inputs, past=few), params)
    for rows, why in (
        (past[past["snapshot_at"] < weeks[3]], "too few"),
        (past[past["snapshot_at"] != weeks[5]], "7 days apart"),
        (past.assign(tier="lukewarm"), "'lukewarm'"),
    ):
        write_parquet(rows, few)
        assert why in _missing(replace(inputs, past=few), params)


def _missing(inputs: NurtureInputs, params: Params) -> str:
    found = build_nurture(inputs, params)
    assert found.leads is None
    return found.summary.missing
