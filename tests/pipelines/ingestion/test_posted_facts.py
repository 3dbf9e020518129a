"""The nightly run reads what was posted to `leadscore serve`: known from its arrival on, while the server goes on."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.config.source import TableSource
from pipelines.scheduled.input_files import digests
from pipelines.serving.bodies import LeadFacts, PostedEvent
from pipelines.serving.store import FactStore
from tests.support.small_server import DEFAULTS
from tests.support.small_source import run

AT = pd.Timestamp("2024-01-05 12:00:00.000001")
HOUR = pd.Timedelta(hours=1)


def of_store(table: str) -> dict[str, Any]:
    return {"path": "serve.sqlite", "format": "serve", "table": table}


SOURCE: dict[str, Any] = {
    "leads": of_store("leads"),
    "events": [of_store("events")],
    "attribute_history": [of_store("attribute_history")],
    "attributes": {"country": {"known": "history"}, "size": {"kind": "number", "known": "history"}},
}


@pytest.fixture
def store(tmp_path: Path) -> FactStore:
    (tmp_path / "data").mkdir()
    store = FactStore.open(FactStore.url_of(tmp_path / "data" / "serve.sqlite"), DEFAULTS)
    assert stat.S_IMODE((tmp_path / "data" / "serve.sqlite").stat().st_mode) == 0o600
    lead = LeadFacts(lead_id="a", created_at="2024-01-01T10:00:00+01:00", attributes={"country": "NA", "size": 0.1})
    store.keep_leads([lead, LeadFacts(lead_id="b", created_at="2024-01-02")], AT)
    store.keep_leads([lead.model_copy(update={"attributes": {"country": "DE", "size": 250.5}})], AT + HOUR)
    visit = {"lead_id": "a", "event_type": "visit"}
    store.keep_events([PostedEvent(id="1", event_at="2024-01-03T10:00:00Z", value=5.25, **visit)], AT)
    store.keep_events([PostedEvent(id="2", event_at="2024-01-04", **visit)], AT + HOUR)
    return store


def test_the_contract_holds_what_was_posted_known_from_its_arrival(store: FactStore, tmp_path: Path) -> None:
    _, layout = run(tmp_path, **SOURCE)  # the store is open still
    leads = pd.read_parquet(layout.leads.path)
    assert leads["created_at"].tolist() == [pd.Timestamp("2024-01-01 09:00"), pd.Timestamp("2024-01-02")]
    assert leads["country"].tolist()[0] == "DE" and leads["size"].tolist()[0] == 250.5
    assert leads[["country", "size"]].iloc[1].isna().all()
    events = pd.read_parquet(layout.events.path).sort_values("known_at")
    assert events["known_at"].tolist() == [AT, AT + HOUR]
    assert events["event_at"].tolist() == [pd.Timestamp("2024-01-03 10:00"), pd.Timestamp("2024-01-04")]
    assert events["value"].tolist()[0] == 5.25 and set(events["direction"]) == {"inbound"}
    history = pd.read_parquet(layout.attribute_history.path).query("lead_id == 'a'")
    assert dict(zip(history["valid_from"], history["size"], strict=True)) == {
        pd.Timestamp("2024-01-01 09:00"): 0.1,
        AT + HOUR: 250.5,
    }


def test_a_store_is_never_taken_for_unchanged_and_may_change_while_it_is_read(store: FactStore, tmp_path: Path) -> None:
    run(tmp_path, **SOURCE)
    from pipelines.config.params import load

    source = load(tmp_path / "overlay.yaml").source
    assert "serve.sqlite" not in digests(source, tmp_path / "data")
    assert TableSource(path="serve.sqlite", format="serve", table="events").is_live


def test_what_is_no_store_is_named(store: FactStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found table 'lead'; expected one of leads, attribute_history, events"):
        run(tmp_path, leads=of_store("lead"))
    with pytest.raises(DataError, match="holds no facts of a server"):
        run(tmp_path, {"other.sqlite": "lead_id\n"}, leads=of_store("leads") | {"path": "other.sqlite"})
