"""Exports of kinds that the generator does not combine: each is mapped right, or refused with the true reason."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.config.params import load
from pipelines.inspection.starter import look, write_starter
from pipelines.stages.ingest import ingest
from pipelines.storage.layout import Layout

LEADS = 60
WON = [row % 4 == 1 for row in range(LEADS)]
CREATED = [dt.datetime(2024, 1, 1, 9, 30) + dt.timedelta(days=2 * row, minutes=7 * row) for row in range(LEADS)]
CLOSED = [at + dt.timedelta(days=20, hours=3) for at in CREATED]
VALUES = [1000.25 + 731 * row for row in range(LEADS)]
HEADER = ["Lead ID", "Created At", "Revenue", "Won Date"]
MONTHS = ["janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre"]
Rows = list[list[str]]
Files = dict[str, str]


def iso(at: dt.datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def rows(time: Callable[[dt.datetime], str] = iso, open_: str = "") -> Rows:
    """Leads with an id, a creation, a value and the day on which they were won."""
    return [
        [f"K{row + 1001}", time(CREATED[row]), f"{VALUES[row]:.2f}", time(CLOSED[row]) if WON[row] else open_]
        for row in range(LEADS)
    ]


def csv(table: Rows, header: list[str] = HEADER, above: str = "", mark: str = ",") -> str:
    return above + "".join(mark.join(f'"{cell}"' for cell in row) + "\n" for row in [header, *table])


def leads(text: str) -> Files:
    return {"leads.csv": text}


def of_three(rest: Files) -> Files:
    return leads(csv([row[:3] for row in rows()], HEADER[:3])) | rest


def won(some: Rows) -> str:
    return csv([[row[0], row[3]] for row in some if row[3]], ["Lead ID", "Won Date"])


LOST = [[row[0], iso(at)] for row, at in list(zip(rows(), CLOSED, strict=True))[2::4]]
NESTED = [{"id": row[0], "properties": dict(zip(HEADER[1:], row[1:], strict=True))} for row in rows()]
RIGHT: dict[str, Files] = {
    "a zone behind times": leads(csv(rows(lambda at: (at + dt.timedelta(hours=1)).strftime("%Y-%m-%d %H:%M +01:00")))),
    "merged cells above the header": leads(csv(rows(), above='"Lead","","Deal",""\n')),
    "blank rows": leads(csv([one for row in rows() for one in (row, [""] * 4)])),
    "spaces around everything": leads(csv([[f" {c} " for c in row] for row in rows()], [f" {n} " for n in HEADER])),
    "1900 for no date": leads(csv(rows(open_="1900-01-01 00:00"))),
    "words for no date": leads(csv(rows(open_="not yet"))),
    "tabs": {"leads.tsv": csv(rows(), mark="\t")},
    "json with a level": {"leads.jsonl": "\n".join(map(json.dumps, NESTED))},
    "one file of wins a year": of_three({"deals_2023.csv": won(rows()[:30]), "deals_2024.csv": won(rows()[30:])}),
    "wins and losses apart": of_three(
        {"deals_lost.csv": csv(LOST, ["Lead ID", "Lost Date"]), "deals_won.csv": won(rows())}
    ),
    "one file of leads a month": {"leads-01.csv": csv(rows()[:30]), "leads-02.csv": csv(rows()[30:])},
}  # fmt: skip
READ_IN = ("merged cells above the header", "blank rows", "spaces around everything", "words for no date",
           "one file of wins a year")  # fmt: skip
TICKED = [[*row[:3], "✓" if row[3] else ""] for row in rows()]
REFUSED: dict[str, tuple[Files, str]] = {
    "a tick": (leads(csv(TICKED, [*HEADER[:3], "Converted"])), "'Converted': found 1 different values .*45 empty"),
    "GMT+1": (leads(csv(rows(lambda at: at.strftime("%d.%m.%Y %H:%M GMT+1")))), "GMT\\+1' in row 2.*no format"),
    "weekdays": (leads(csv(rows(lambda at: at.strftime("Mo., %d.%m.%Y")))), "'Mo., 23.01.2024' in row 2"),
    "French months": (leads(csv(rows(lambda at: f"{at.day} {MONTHS[at.month - 1]} {at.year}"))), "'23 janvier 2024'"),
    "24:00": (leads(csv(rows(lambda at: at.strftime("%Y-%m-%d 24:00")))), "'2024-01-23 24:00' in row 2"),
    "a web page": ({"leads.xls": f"<html><table>{rows()}</table></html>"}, "a web page"),
}  # fmt: skip


def put(folder: Path, files: Files) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("kind", RIGHT)
def test_what_can_be_read_is_mapped_right(tmp_path: Path, kind: str) -> None:
    put(tmp_path, RIGHT[kind])
    found = look(tmp_path)
    write_starter(tmp_path, tmp_path / "leadscore.yaml", found, 20)
    params = load(tmp_path / "leadscore.yaml")
    (number,) = [name for name, one in params.source.attributes.items() if one.column.strip().endswith("Revenue")]
    assert params.source.order == "dates" and params.source.attributes[number].kind == "number"
    assert kind != "wins and losses apart" or "deals_lost.csv: not looked at; another file" in found.warnings[0]
    if kind in READ_IN:
        layout = Layout.folder(tmp_path / "out")
        profile = ingest(params.source, params.ingest, params.project, tmp_path, layout)
        assert profile.tables["leads"].kept == LEADS and not profile.tables["leads"].quarantined
        read = pd.read_parquet(layout.leads.path)
        assert sorted(read["created_at"]) == CREATED
        assert pd.read_parquet(layout.outcomes.path)["converted_at"].notna().sum() == sum(WON)
        assert read[number].sum() == pytest.approx(sum(VALUES))


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_with_the_true_reason(tmp_path: Path, kind: str) -> None:
    files, reason = REFUSED[kind]
    put(tmp_path, files)
    with pytest.raises(DataError, match=reason):
        look(tmp_path)
