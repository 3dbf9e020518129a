"""Merged leads: an id counts as the lead it was merged into from that moment on, and never before."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from features.schema.errors import DataError, ParamsError
from pipelines.config.params import load
from pipelines.scheduled.input_files import digests
from pipelines.storage.data_profile import DataProfile
from pipelines.storage.layout import Layout
from tests.support.small_source import mapping, reasons, run, table

LEADS = "id,created,country,size\na,2024-01-01,DE,10\nb,2024-01-02,FR,20\nc,2024-01-03,IT,30\n"
EVENTS = (
    "id,at,kind,minutes\na,2024-01-05 10:00:00,visit,1\nb,2024-01-06 10:00:00,mail,2\n"
    "b,2024-02-10 10:00:00,visit,3\ngone,2024-01-07 10:00:00,visit,4\nc,2024-02-20 10:00:00,visit,5\n"
)
WON = "id,won\nb,2024-02-15\n"
LATER: dict[str, Any] = {"exported_at": "2024-12-31"}
AT = pd.Timestamp("2024-02-01")
COLUMNS = {"lead_id": "old", "merged_into": "new", "merged_at": "when"}


def merged(
    folder: Path, *rows: str, files: dict[str, str | bytes] | None = None, **changed: Any
) -> tuple[DataProfile, Layout]:
    aliases = "".join(f"{row}\n" for row in ("old,new,when", *rows))
    given: dict[str, str | bytes] = {"leads.csv": LEADS, "events.csv": EVENTS, "outcomes.csv": WON} | (files or {})
    given |= {"merges.csv": aliases}
    return run(folder, given, **({"aliases": {"path": "merges.csv", "columns": COLUMNS}} | LATER | changed))


def events(layout: Layout) -> pd.DataFrame:
    return pd.read_parquet(layout.events.path)[["lead_id", "event_at", "known_at", "value"]]


def seen(layout: Layout, lead: str, moment: str) -> set[float]:
    """The values of the events that a snapshot sees."""
    rows, at = events(layout), pd.Timestamp(moment)
    return set(rows.loc[(rows["lead_id"] == lead) & (rows["event_at"] < at) & (rows["known_at"] <= at), "value"])


def test_an_old_id_counts_from_the_merge_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    profile, layout = merged(tmp_path, "b,a,2024-02-01", "gone,a,")
    assert pd.read_parquet(layout.leads.path)["lead_id"].tolist() == ["a", "c"]
    assert seen(layout, "a", "2024-01-31") == {1.0, 4.0}  # no event of b; gone always was a
    assert seen(layout, "a", "2024-02-02") == {1.0, 2.0, 4.0}
    assert seen(layout, "a", "2024-02-12") == {1.0, 2.0, 3.0, 4.0}
    assert seen(layout, "c", "2024-03-01") == {5.0}
    outcomes = pd.read_parquet(layout.outcomes.path)
    assert outcomes[["lead_id", "converted_at"]].to_numpy().tolist() == [["a", pd.Timestamp("2024-02-15")]]
    assert reasons(profile, "leads") == {"merged into another lead": 1}
    assert "aliases: 2 ids stand for 1 leads; 1 leads left out as merged, 0 ids" in caplog.text


@pytest.mark.parametrize("moment", ["2024-01-06", "2024-01-20", "2024-01-31"])
def test_before_the_merge_nothing_of_the_other_is_seen(tmp_path: Path, moment: str) -> None:
    _, alone = run(
        tmp_path, {"leads.csv": LEADS, "events.csv": EVENTS.replace("gone", "c"), "outcomes.csv": WON}, **LATER
    )
    before = seen(alone, "a", moment)
    _, layout = merged(tmp_path, "b,a,2024-02-01", files={"events.csv": EVENTS.replace("gone", "c")})
    assert seen(layout, "a", moment) == before
    assert seen(layout, "a", "2024-02-01") == before | {2.0}


def test_a_chain_ends_at_its_last_lead_from_its_last_merge_on(tmp_path: Path) -> None:
    _, layout = merged(tmp_path, "gone,b,2024-01-20", "b,a,2024-02-01")
    rows = events(layout).set_index("value")
    assert rows.loc[4.0, "lead_id"] == "a" and rows.loc[4.0, "known_at"] == AT


def test_ids_are_compared_as_leads_spell_them(tmp_path: Path) -> None:
    aliases = {"path": "merges.csv", "columns": COLUMNS | {"lead_id": {"column": "old", "normalise": ["strip"]}}}
    _, layout = merged(tmp_path, "'b , a,2024-02-01", "gone,a,", aliases=aliases)
    assert set(events(layout)["lead_id"]) == {"a", "c"}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["b,a,", "b,c,"], "'b' merged into 'a' in row 1 and into 'c' in row 2; expected one lead for each old id"),
        (["b,a,", "a,b,"], "a circle: 'b' into 'a' into 'b'"),
        (["x,y,", "y,z,", "z,x,", "b,a,"], "a circle: 'x' into 'y' into 'z' into 'x'"),
        (["b,a,yesterday"], "times in the format iso"),
        (["b,,"], "merged_into is empty"),
        (["b,b,"], "merged into itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said) as refusal:
        merged(tmp_path, *rows)
    assert "source.aliases[0] (merges.csv)" in str(refusal.value) and "\n" not in str(refusal.value)


def test_merges_into_nobody_are_set_aside(tmp_path: Path) -> None:
    profile, layout = merged(tmp_path, "gone,a,", "b,nobody,2024-02-01", "x,y,")
    assert pd.read_parquet(layout.leads.path)["lead_id"].tolist() == ["a", "b", "c"]
    aside = pd.read_parquet(layout.quarantine.path)
    assert aside[["table", "row", "reason"]].to_numpy().tolist() == [
        ["aliases", 2, "merged_into is not in leads"],
        ["aliases", 3, "merged_into is not in leads"],
    ]
    assert reasons(profile, "leads") == {}


def test_a_loss_of_the_merged_id_does_not_close_the_lead(tmp_path: Path) -> None:
    lost = "id,won,lost\nb,,2024-02-02\nc,,2024-02-03\n"
    outcomes = table("outcomes", columns={"lead_id": "id", "converted_at": "won", "lost_at": "lost"})
    files: dict[str, str | bytes] = {"outcomes.csv": lost}
    profile, layout = merged(tmp_path, "b,a,2024-02-01", "gone,a,", files=files, outcomes=outcomes)
    assert pd.read_parquet(layout.outcomes.path)["lead_id"].tolist() == ["c"]
    assert reasons(profile, "outcomes") == {"no win of a lead that was merged": 1}


def test_edits_of_the_merged_id_count_from_the_merge_on(tmp_path: Path) -> None:
    history = "id,since,size\na,2024-01-01,10\nb,2024-01-02,20\nb,2024-02-05,25\n"
    edits = {"path": "history.csv", "columns": {"lead_id": "id", "valid_from": "since"}}
    attributes = {"country": {}, "size": {"kind": "number", "known": "history"}}
    files: dict[str, str | bytes] = {"history.csv": history}
    _, layout = merged(
        tmp_path, "b,a,2024-02-01", "gone,a,", files=files, attribute_history=[edits], attributes=attributes
    )
    assert pd.read_parquet(layout.attribute_history.path)[["lead_id", "size"]].to_numpy().tolist() == [
        ["a", 10],
        ["a", 25],
    ]


def test_the_mapping_is_checked_and_a_nightly_run_sees_the_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"source.aliases\[0\].columns does not map 'merged_into'"):
        merged(tmp_path, "b,a,", aliases={"path": "merges.csv", "columns": {"lead_id": "old"}})
    tree = {"source": mapping(aliases="merges.csv")}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    assert "merges.csv" in digests(load(tmp_path / "mine.yaml").source, tmp_path / "data")
