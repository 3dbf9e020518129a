"""`leadscore init`: files told apart by their names, a params file that loads as it stands, and nothing overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.config.params import load
from pipelines.inspection.starter import tell_apart, write_starter
from tests.pipelines.cli.test_app import leadscore, write_tables


@pytest.mark.parametrize(
    ("names", "leads", "events", "outcomes", "rest"),
    [
        (["x.csv"], "x.csv", None, None, []),
        (["leads.csv", "events.csv", "outcomes.csv"], "leads.csv", "events.csv", "outcomes.csv", []),
        (["Lead_Events.parquet", "crm-leads.csv.gz"], "crm-leads.csv.gz", "Lead_Events.parquet", None, []),
        (["ClosedDeals.csv", "prospects.csv"], "prospects.csv", None, "ClosedDeals.csv", []),
        (["Activities.csv", "Contacts.csv", "Leads.csv"], "Leads.csv", "Activities.csv", None, ["Contacts.csv"]),
        (["leads.csv", "notes.txt", "prices.csv"], "leads.csv", None, None, ["prices.csv"]),
    ],
)
def test_files_are_told_apart_by_their_names(
    tmp_path: Path, names: list[str], leads: str, events: str | None, outcomes: str | None, rest: list[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    found = tell_apart(tmp_path)
    assert [path and path.name for path in (found.leads, found.events, found.outcomes)] == [leads, events, outcomes]
    assert [path.name for path in found.rest] == rest


@pytest.mark.parametrize("names", [[], ["a.csv", "b.csv"], ["events.csv"]])
def test_no_leads_are_named_with_a_way_out(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match="leadscore inspect LEADS") as told:
        tell_apart(tmp_path)
    assert all(name in str(told.value) for name in names)


def test_the_file_loads_as_it_stands_and_with_its_comments_taken_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = write_tables(tmp_path / "my files"), tmp_path / "mine.yaml"
    assert leadscore(monkeypatch, "init", data, "--file", file) == 0
    printed = capsys.readouterr().out
    assert f"leadscore run --params {file} --data '{data}' --out results" in printed
    params = load(file)
    assert (params.source.leads.path, params.source.outcomes[0].path) == ("leads.csv", "outcomes.csv")
    assert [table.path for table in params.source.events] == ["events.csv"]
    assert set(params.source.attributes) == {"sector", "size"}
    text = file.read_text(encoding="utf-8")
    whole = re.sub(r"^# (?=(project|snapshots|capacity):)", "", text, flags=re.MULTILINE)
    assert whole != text
    file.write_text(whole, encoding="utf-8")
    assert load(file) == params, "what stands there is the default"


@pytest.mark.parametrize(
    ("days", "every", "youngest", "said"),
    [
        (
            (0, 0, 1, 40),
            1,
            0,
            "of 4 wins half came within 0.5 days of creation, 50.0% within a day, 75.0% within a week",
        ),
        (
            (9, 20, 30, 41),
            7,
            1,
            "of 4 wins half came within 25.0 days of creation, 0.0% within a day, 0.0% within a week",
        ),
    ],
)
def test_the_interval_follows_from_how_soon_wins_come(
    tmp_path: Path, days: tuple[int, ...], every: int, youngest: int, said: str
) -> None:
    """Weekly lists were proposed to an online school of whose buyers two in three bought before any of them."""
    created = pd.Timestamp("2024-03-05")
    rows = [f"L{n},2024-03-05,{created + pd.Timedelta(days=day):%Y-%m-%d}" for n, day in enumerate(days)]
    rows += [f"L{n},2024-03-0{n % 9 + 1}," for n in range(4, 40)]
    (tmp_path / "leads.csv").write_text("lead_id,created_at,converted_at\n" + "\n".join(rows) + "\n")
    write_starter(tmp_path, tmp_path / "mine.yaml")
    params, text = load(tmp_path / "mine.yaml"), (tmp_path / "mine.yaml").read_text()
    assert (params.snapshots.every_days, params.snapshots.min_age_days) == (every, youngest)
    assert said in text
    assert ("capacity.per_period is leads a day then" in text) is (every == 1)


def test_without_dates_no_interval_is_proposed(tmp_path: Path) -> None:
    rows = [f"L{n},{'yes' if n % 3 else 'no'}" for n in range(40)]
    (tmp_path / "leads.csv").write_text("lead_id,converted\n" + "\n".join(rows) + "\n")
    write_starter(tmp_path, tmp_path / "mine.yaml")
    assert "snapshots" not in (tmp_path / "mine.yaml").read_text()


def test_what_is_there_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write_tables(tmp_path))
    Path("leadscore.yaml").write_text("mine", encoding="utf-8")
    assert leadscore(monkeypatch, "init", ".") == 2
    assert "--file" in capsys.readouterr().err
    assert Path("leadscore.yaml").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_cannot_be_read_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert leadscore(monkeypatch, "init", tmp_path) == 3
    assert not Path("leadscore.yaml").exists()
