"""What is posted, kept in PostgreSQL by several servers at once: each row once, as SQLite keeps it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sql

from pipelines.serving.bodies import LeadFacts, PostedEvent
from pipelines.serving.store import ConflictError, FactStore
from tests.support.postgres_server import Server
from tests.support.small_server import DEFAULTS
from tests.support.tables import ATTRIBUTES, MONDAY

T = TypeVar("T")
WRITERS, BATCHES = 6, 3
IDS = [f"n{number}" for number in range(30)]
CREATED = "2024-01-01T00:00:00.000000Z"


def leads(sector: str) -> list[LeadFacts]:
    return [LeadFacts(lead_id=one, created_at=CREATED, attributes={"sector": sector}) for one in IDS]


def event(name: str, value: float | None = None) -> PostedEvent:
    return PostedEvent(
        id=name, lead_id=IDS[int(name.split("-")[-1]) % 30], event_at=CREATED, event_type="visit", value=value
    )


def shuffled(rows: Sequence[T], seed: int) -> list[T]:
    return [rows[index] for index in np.random.default_rng(seed).permutation(len(rows))]


@pytest.fixture
def stores(server: Server) -> Iterator[list[FactStore]]:
    """Two servers on one database."""
    with server.connect() as connection:
        connection.execute("CREATE DATABASE serve")
    url = f"postgresql+psycopg://leadscore@/serve?host={server.folder}"
    opened = [FactStore.open(url, DEFAULTS, watched=True) for _ in range(2)]
    yield opened
    for store in opened:
        store.close()
    with server.connect() as connection:
        connection.execute("DROP DATABASE serve")


def count(store: FactStore, table: sql.Table) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(sql.select(sql.func.count()).select_from(table)).scalar_one())


def test_many_writers_keep_each_row_once_in_any_order(stores: list[FactStore]) -> None:
    def write(writer: int) -> tuple[int, int]:
        store, new = stores[writer % 2], [0, 0]
        new[0] += store.keep_leads(shuffled(leads("steel"), writer), MONDAY).new
        new[0] += store.keep_leads(shuffled(leads("wood"), 50 + writer), MONDAY + pd.Timedelta(seconds=1)).new
        for batch in range(BATCHES):
            same = [event(f"same-{batch * 20 + number}") for number in range(20)]
            own = [event(f"own-{writer}-{batch * 5 + number}") for number in range(5)]
            new[1] += store.keep_events(shuffled(same + own, writer * 100 + batch), MONDAY).new
        return new[0], new[1]

    with ThreadPoolExecutor(WRITERS) as pool:
        kept = list(pool.map(write, range(WRITERS)))
    store, own, same = stores[0], WRITERS * BATCHES * 5, BATCHES * 20
    assert count(store, store.leads) == 30 and count(store, store.events) == own + same
    assert count(store, store.edits) == sum(new for new, _ in kept)
    assert sum(new for _, new in kept) == own + same
    with pytest.raises(ConflictError, match="as it was posted before"):
        stores[1].keep_events([event("same-0", value=1.0)], MONDAY)


def test_a_lead_is_that_of_sqlite(stores: list[FactStore], tmp_path: Path) -> None:
    kept = []
    for store in (stores[0], FactStore.open(FactStore.url_of(tmp_path / "s.sqlite"), DEFAULTS, watched=True)):
        store.keep_leads(leads("steel"), MONDAY)
        store.keep_leads(leads("wood")[:1], MONDAY + pd.Timedelta(hours=1))
        store.keep_events([event("a-0", value=0.1), event("b-0")], MONDAY + pd.Timedelta(hours=2))
        lead = store.lead("n0", ATTRIBUTES)
        assert lead is not None and store.answers()
        rows = lead.events.sort_by("value").to_pylist()
        kept.append((lead.cells, lead.history, rows, store.waiting(MONDAY + pd.Timedelta(days=1))))
    assert kept[0] == kept[1]
