"""A source of three paths: columns by the contract's own names, those that must be there and those that are."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.stages.ingest import ingest
from pipelines.storage.layout import Layout

FILES = {
    "leads.csv": "lead_id,created_at,country\na,2024-01-01,DE\nb,2024-01-02,FR\n",
    "events.csv": "lead_id,event_at,event_type,value\na,2024-01-02 10:00:00,visit,5\n",
    "outcomes.csv": "lead_id,converted_at\na,2024-01-10\n",
}
SOURCE = "source:\n  leads: leads.csv\n  events: events.csv\n  outcomes: outcomes.csv\n"


def taken(folder: Path, text: str = SOURCE, **changed: str) -> dict[str, pd.DataFrame]:
    for name, content in FILES.items():
        (folder / name).write_text(changed.get(name.partition(".")[0], content), encoding="utf-8")
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    params, layout = load(folder / "mine.yaml"), Layout.folder(folder / "out")
    ingest(params.source, params.ingest, params.project, folder, layout)
    return {name: pd.read_parquet(layout.contract / f"{name}.parquet") for name in ("leads", "events", "outcomes")}


def test_three_paths_are_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "leadscore"):
        found = taken(tmp_path)
    assert found["leads"].columns.tolist() == ["lead_id", "position", "created_at"]
    assert found["events"]["value"].tolist() == [5.0]
    assert found["events"]["known_at"].tolist() == [pd.Timestamp("2024-01-02 10:00")]
    assert found["outcomes"]["converted_at"].tolist() == [pd.Timestamp("2024-01-10")]
    assert "source names no attributes" in caplog.text
    assert "leadscore inspect" in caplog.text


def test_a_constant_stands_for_a_column_that_is_not_there(tmp_path: Path) -> None:
    constant = SOURCE.replace("events.csv", "{path: events.csv, constants: {event_type: call}}")
    events = "lead_id,event_at\na,2024-01-02\n"
    assert taken(tmp_path, constant, events=events)["events"]["event_type"].tolist() == ["call"]


def test_a_yes_or_no_is_an_outcome_where_nothing_is_dated(tmp_path: Path) -> None:
    undated = "source:\n  order: none\n  leads: leads.csv\n  outcomes: outcomes.csv\n"
    found = taken(tmp_path, undated, outcomes="lead_id,converted\na,yes\nb,no\n")
    assert found["outcomes"]["converted"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("table", "content", "said"),
    [
        ("leads", "lead_id,made\na,2024-01-01\n", "created_at"),
        ("events", "lead_id,event_at\na,2024-01-01\n", "event_type"),
        ("outcomes", "lead_id,converted\na,yes\n", "converted_at"),
    ],
)
def test_a_column_that_must_be_there_is_named(tmp_path: Path, table: str, content: str, said: str) -> None:
    with pytest.raises((DataError, ParamsError), match=said):
        taken(tmp_path, **{table: content})
