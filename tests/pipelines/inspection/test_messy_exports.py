"""Forty exports in which the faults of real ones are combined at random.

Each ends in the right mapping, or in one line that names the true reason; nothing is wrong in silence.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.config.params import load
from pipelines.inspection.proposal import inspect
from pipelines.stages.ingest import ingest
from pipelines.storage.layout import Layout

EXPORTS, LEADS = 40, 100
DATES = [
    "%Y-%m-%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M",
    "%d.%m.%y",
    "%B %d, %Y",
    "%m/%d/%Y, %I:%M %p",
    "%d-%b-%Y",
]
NAMES = [
    ("Lead ID", "Created At", "Revenue", "Won Date", "Converted"),
    ("Kundennr", "Erstellt am", "Umsatz", "Gewonnen am", "Gewonnen"),
]
ANSWERS = [("yes", "no"), ("WAHR", "FALSCH"), ("ja", "nein"), ("1", "0"), ("Sim", "Não")]
IDS = [
    ("K{0}", "K{0}", ""),
    ("{0:05d}", "{0}", ""),
    ("{0}", "{0}.0", ""),
    ("K{0}", "'K{0} ", ""),
    ("A{0}", "B{0}", "no column whose"),
]
SHAPES = ["plain", "sep line", "title", "blank column", "no header", "xml"]
NUMBERS = ["plain", "german", "american", "currency", "percent", "two ways"]
REASONS = {"no header": "values where the header is expected", "xml": "a file that is XML"}


@dataclass(frozen=True)
class Messy:
    """One export, what is true of it, and the reason for which it must be refused; "" where it can be read."""

    leads: Path
    outcomes: Path | None
    wins: int
    revenue: float
    reason: str
    doubt: str


def number(value: float, notation: str, row: int) -> str:
    english = f"{value:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    ways = {
        "plain": f"{value:.2f}",
        "german": german,
        "american": english,
        "currency": f"€ {german}",
        "percent": f"{value:.2f} %",
    }
    return ways.get(notation) or (german if row % 2 else english)


def export(folder: Path, seed: int) -> Messy:
    random = np.random.default_rng(seed)
    dates, notation = DATES[random.integers(len(DATES))], NUMBERS[random.integers(len(NUMBERS))]
    of_leads, of_outcomes, no_join = IDS[random.choice(len(IDS), p=[0.4, 0.2, 0.15, 0.15, 0.1])]
    shape = SHAPES[random.choice(len(SHAPES), p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])]
    names, (yes, no) = NAMES[random.integers(2)], ANSWERS[random.integers(len(ANSWERS))]
    separate, flagged, mark = random.random() < 0.5, random.random() < 0.5, str(random.choice([",", ";", "|"]))
    start = dt.datetime(2024, 1, 1, 9, 30)
    won = random.random(LEADS) < 0.25
    values = np.round(random.uniform(1_000, 90_000, LEADS), 2) + 0.01
    rows, wins = [], []
    for row in range(LEADS):
        at = start + dt.timedelta(days=int(random.integers(0, 120)))
        closed = (at + dt.timedelta(days=30)).strftime(dates) if won[row] else ""
        cells = [of_leads.format(row + 1), at.strftime(dates), number(float(values[row]), notation, row)]
        rows.append(cells + ([] if separate else [closed] + ([yes if won[row] else no] if flagged else [])))
        wins += [[of_outcomes.format(row + 1), closed]] if won[row] else []
    header = list(names[:3]) + ([] if separate else [names[3]] + ([names[4]] if flagged else []))
    if shape == "blank column":
        header, rows = [*header, ""], [[*row, ""] for row in rows]
    bad = random.random() < 0.3
    if bad:
        rows[7][1] = "soon"
    path = folder / f"leads_{seed}.csv"
    path.write_text(_text(shape, header, rows, mark), encoding="utf-8")
    outcomes = folder / f"won_{seed}.csv" if separate else None
    if outcomes:
        outcomes.write_text(_text("plain", [names[0], names[3]], wins, mark), encoding="utf-8")
    reason = REASONS.get(shape) or (no_join if separate else "")
    read = [float(value) for row, value in enumerate(values) if not (bad and row == 7)]
    doubt = "in more than one notation" if notation == "two ways" else ""
    return Messy(path, outcomes, int(won.sum() - (bad and won[7])), sum(read), reason, doubt)


def _text(shape: str, header: list[str], rows: list[list[str]], mark: str) -> str:
    lines = [mark.join(f'"{cell}"' for cell in row) for row in [header, *rows]]
    above = {"sep line": [f"sep={mark}"], "title": ["Export of all leads", ""], "xml": ["<?xml version='1.0'?>"]}.get(
        shape, []
    )
    return "\n".join([*above, *(lines[1:] if shape == "no header" else lines)]) + "\n"


def outcome_of(folder: Path, messy: Messy, seed: int) -> str:
    """What became of an export: read, or refused; raises AssertionError where it is wrong in silence."""
    try:
        found = inspect(messy.leads, None, messy.outcomes)
        (folder / "mine.yaml").write_text(found.mapping, encoding="utf-8")
        params = load(folder / "mine.yaml")
        layout = Layout.folder(folder / f"out_{seed}")
        profile = ingest(params.source, params.ingest, params.project, folder, layout)
    except DataError as error:
        assert messy.reason, f"export {seed} is refused, and could be read: {error}"
        assert messy.reason in str(error), f"export {seed}: {error}"
        return "refused with the true reason"
    assert not messy.reason, f"export {seed} is read, and should be refused"
    converted = pd.read_parquet(layout.outcomes.path)["converted_at"].notna().sum()
    assert (converted, profile.tables["leads"].quarantined.get("created_at is empty", 0)) == (messy.wins, 0), (
        f"export {seed}"
    )
    number = next(
        (
            name
            for name, spec in params.source.attributes.items()
            if spec.column in ("Revenue", "Umsatz") and spec.kind == "number"
        ),
        "",
    )
    if messy.doubt:
        assert not number, f"export {seed}"
        assert any(messy.doubt in warning for warning in found.warnings), f"export {seed}: {found.warnings}"
        return "read, and what could not be was said"
    total = pd.read_parquet(layout.leads.path)[number].sum()
    assert total == pytest.approx(messy.revenue), f"export {seed}"
    return "right"


def test_none_of_forty_is_wrong_in_silence(tmp_path: Path) -> None:
    counts = Counter(outcome_of(tmp_path, export(tmp_path, seed), seed) for seed in range(EXPORTS))
    assert counts == {
        "right": 25,
        "refused with the true reason": 11,
        "read, and what could not be was said": 4,
    }
