"""A tiny export of leads, events and outcomes, and a run of `ingest` over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import yaml

from features.schema.contract import TABLES
from pipelines.config.params import load
from pipelines.stages.ingest import ingest
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout
from tests.support.paths import ROOT

LEADS = "id,created,country,size\na,2024-01-01,NA,10\nb,2024-01-02,DE,\nc,2024-01-03,,250.5\n"
EVENTS = (
    "id,at,kind,minutes\na,2024-01-02 10:00:00,visit,5\na,2024-01-03 11:00:00,mail,\nb,2024-01-04 12:00:00,visit,7\n"
)
WON = "id,won\na,2024-01-10\n"
COLUMNS: dict[str, Any] = {
    "leads": {"lead_id": "id", "created_at": "created"},
    "events": {"lead_id": "id", "event_at": "at", "event_type": "kind", "value": "minutes"},
    "outcomes": {"lead_id": "id", "converted_at": "won"},
}
UNDATED: dict[str, Any] = {
    "order": "none",
    "leads": {"path": "leads.csv", "columns": {"lead_id": "id"}},
    "attributes": {"size": {"kind": "number", "known": "export"}},
    "events": [],
    "outcomes": {"path": "outcomes.csv", "columns": {"lead_id": "id", "converted": "won"}},
}
EXAMPLES = ROOT / "examples"


def table(name: str, **changed: Any) -> dict[str, Any]:
    return {"path": f"{name}.csv", "columns": COLUMNS[name]} | changed


def mapping(**changed: Any) -> dict[str, Any]:
    return {
        "order": "dates",
        "timezone": "UTC",
        "leads": table("leads"),
        "attributes": {"country": {}, "size": {"kind": "number"}},
        "events": [table("events")],
        "event_labels": {},
        "outcomes": table("outcomes"),
        "yes_values": ["yes", "1"],
        "no_values": ["no", "0"],
        "stages": [],
        "attribute_history": [],
    } | changed


def run(
    folder: Path,
    files: dict[str, str | bytes] | None = None,
    *,
    limit: float = 0.05,
    threads: int = 2,
    out: str = "out",
    **changed: Any,
) -> tuple[DataProfile, Layout]:
    data = folder / "data"
    data.mkdir(exist_ok=True)
    for name, content in ({"leads.csv": LEADS, "events.csv": EVENTS, "outcomes.csv": WON} | (files or {})).items():
        (data / name).write_bytes(content.encode() if isinstance(content, str) else content)
    overlay = folder / "overlay.yaml"
    project = {"threads": threads, "memory_gb": 1}
    tree = {"source": mapping(**changed), "ingest": {"max_quarantine_share": limit}, "project": project}
    overlay.write_text(yaml.safe_dump(tree, sort_keys=False))
    params = load(overlay)
    layout = Layout.folder(folder / out)
    return ingest(params.source, params.ingest, params.project, data, layout), layout


def contract_bytes(layout: Layout) -> dict[str, bytes]:
    return {name: (layout.contract / f"{name}.parquet").read_bytes() for name in TABLES}


def reasons(profile: DataProfile, name: str) -> dict[str, int]:
    return profile.tables[name].quarantined


def as_typed(folder: Path) -> dict[str, Any]:
    """The three CSV files as typed Parquet files and as tables of a DuckDB file."""
    data = folder / "data"
    with duckdb.connect(str(data / "all.duckdb")) as connection:
        for name in COLUMNS:
            csv = f"read_csv('{data / name}.csv', nullstr='', header=true)"
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM {csv}")
            connection.execute(f"COPY {name} TO '{data / name}.parquet' (FORMAT parquet)")
    parquet = {name: table(name, path=f"{name}.parquet", format="parquet") for name in COLUMNS}
    tables = {name: table(name, path="all.duckdb", format="duckdb", table=name) for name in COLUMNS}
    return {"parquet": parquet | {"events": [parquet["events"]]}, "duckdb": tables | {"events": [tables["events"]]}}
