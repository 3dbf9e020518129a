"""`leadscore init`: files told apart by their names, a params file that loads as it stands, and nothing overwritten."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from features.schema.errors import DataError, ParamsError
from pipelines.cli import init as command
from pipelines.cli.app import app
from pipelines.config.params import load
from pipelines.inspection.proposal import inspect
from pipelines.inspection.report import Told
from pipelines.inspection.starter import look, tell_apart, write_starter
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
        (["deals-12345-1.csv"], "deals-12345-1.csv", None, None, []),
        (["deals.csv", "activities.csv"], "deals.csv", "activities.csv", None, []),
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


def test_a_folder_that_pull_wrote_is_mapped_with_its_merges_and_read_every_night(tmp_path: Path) -> None:
    folder = tmp_path / "crm"
    folder.mkdir()
    write_tables(folder)
    (folder / "aliases.csv").write_text("lead_id,merged_into,merged_at\n", encoding="utf-8")
    (folder / "pulled.json").write_text('{"crm": "salesforce", "base_url": "https://a.example"}', encoding="utf-8")
    found = look(folder)
    assert not any("not looked at" in said for said in found.warnings)
    write_starter(folder, tmp_path / "leadscore.yaml", found, 200)
    params = load(tmp_path / "leadscore.yaml")
    assert [one.path for one in params.source.aliases] == ["aliases.csv"]
    assert params.pull.salesforce.base_url == "https://a.example"
    (line,) = [one for one in (tmp_path / "leadscore.crontab").read_text().splitlines() if one[0].isdigit()]
    assert re.search(
        r"leadscore pull salesforce crm >> score.log 2>&1 && .*leadscore nightly score --as-of today", line
    )
    assert "/crm.pull/" in (tmp_path / ".gitignore").read_text().splitlines()
    with pytest.raises(ParamsError, match="replaced by each `pull`"):
        write_starter(folder, folder / "leadscore.yaml", found, 200)


def start(folder: Path, file: str = "leadscore.yaml") -> Path:
    write_starter(folder, folder / file, look(folder), 200)
    return folder / file


def test_the_file_loads_as_it_stands_and_with_its_comments_taken_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, file = write_tables(tmp_path / "my files"), tmp_path / "mine.yaml"
    assert leadscore(monkeypatch, "init", data, "--file", file) == 0
    assert f"cd {tmp_path} && leadscore run --params mine.yaml" in capsys.readouterr().out
    params = load(file)
    assert (params.source.leads.path, params.source.outcomes[0].path) == ("leads.csv", "outcomes.csv")
    assert [table.path for table in params.source.events] == ["events.csv"]
    assert set(params.source.attributes) == {"sector", "size"}
    assert params.paths.model_dump() == {"data": "my files", "out": "results", "lists": "lists"}
    text = file.read_text(encoding="utf-8")
    whole = re.sub(r"^# (?=project:)", "", text, flags=re.MULTILINE)
    assert whole != text
    file.write_text(whole, encoding="utf-8")
    assert load(file) == params, "what stands there is the default"


def test_a_project_is_made_beside_the_files_and_what_is_there_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tables(tmp_path / "100% mine")
    (folder / ".gitignore").write_text("mine\n", encoding="utf-8")
    assert leadscore(monkeypatch, "init", folder) == 0
    said = capsys.readouterr().out
    assert f"wrote {folder / 'leadscore.yaml'}, {folder / 'leadscore.crontab'}" in said
    assert f"{folder / '.gitignore'} is there already and stays as it is" in said
    assert (folder / ".gitignore").read_text(encoding="utf-8") == "mine\n"
    line = (folder / "leadscore.crontab").read_text(encoding="utf-8").splitlines()[-1]
    assert line.startswith(f"30 5 * * 1-5  cd '{tmp_path}/100\\% mine' && ") and "nightly score --as-of today" in line


def test_git_leaves_out_data_and_results_and_keeps_the_params(tmp_path: Path) -> None:
    write_tables(tmp_path)
    start(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for name in ("results/scores.csv", "lists/current/scores.csv", "mlflow.db", "score.log", "leads.2025.xlsx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.split()
    assert listed == [".gitignore", "leadscore.crontab", "leadscore.yaml", "params.yaml"]


def answering(monkeypatch: pytest.MonkeyPatch, folder: Path, *answers: str) -> str:
    monkeypatch.setattr(command, "_on_terminal", lambda: True)
    result = CliRunner().invoke(app, ["init", str(folder)], input="".join(f"{answer}\n" for answer in answers))
    assert result.exit_code == 0, result.output
    return result.output


def test_on_a_terminal_it_asks_what_no_file_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = answering(monkeypatch, write_tables(tmp_path), "0", "14", "35", "colour", "sector, size")
    assert "half of the wins came within 21.0 days of creation" in asked
    assert "at least 1" in asked and "no such column: colour" in asked and "Outcome" not in asked
    assert "assumed" not in asked
    params = load(tmp_path / "leadscore.yaml")
    assert (params.snapshots.horizon_days, params.capacity.per_period) == (14, 35)
    assert {one.known for one in params.source.attributes.values()} == {"outcome"}


DEALS = "lead_id,created_at,segment,won_at,upgrade_converted_at\n"


def test_the_outcome_is_asked_for_where_several_columns_may_be_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"L{n},2024-03-{n % 28 + 1:02d},{'ab'[n % 2]},{'2024-05-02' if n % 4 == 0 else ''},"
        f"{'2024-06-03' if n % 8 == 0 else ''}"
        for n in range(80)
    ]
    (tmp_path / "leads.csv").write_text(DEALS + "\n".join(rows) + "\n", encoding="utf-8")
    assert look(tmp_path).outcomes == ["won_at", "upgrade_converted_at"]
    asked = answering(monkeypatch, tmp_path, "segment", "upgrade_converted_at", "", "", "")
    assert "These columns may be the outcome: won_at, upgrade_converted_at" in asked
    assert "'segment' is none of them" in asked
    params = load(tmp_path / "leadscore.yaml")
    assert params.source.outcomes[0].columns == {"lead_id": "lead_id", "converted_at": "upgrade_converted_at"}
    assert "# not the outcome: won_at: not chosen" in (tmp_path / "leadscore.yaml").read_text(encoding="utf-8")
    (tmp_path / "leadscore.yaml").unlink()
    monkeypatch.setattr(command, "_on_terminal", lambda: False)
    assert leadscore(monkeypatch, "init", tmp_path) == 0
    assumed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("assumed: ")]
    assert assumed == [
        "assumed: the outcome is 'won_at', not 'upgrade_converted_at'",
        "assumed: a lead counts as converted if it converts within 30 days (snapshots.horizon_days)",
        "assumed: sales can work 200 leads between two lists (capacity.per_period)",
        "assumed: filled in when a lead is created: segment (source.attributes: known)",
        "assumed: times without an offset are UTC (source.timezone)",
    ]


def test_a_status_may_be_chosen_over_a_date(tmp_path: Path) -> None:
    rows = [
        f"L{n},2024-03-{n % 28 + 1:02d},{('Won', 'Lost', 'Open')[n % 3]},{'2024-05-02' if n % 6 == 0 else ''}"
        for n in range(90)
    ]
    head = "lead_id,created_at,stage,won_at\n"
    (tmp_path / "leads.csv").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    first = inspect(tmp_path / "leads.csv", None, None)
    assert first.outcomes == ["won_at", "stage"]
    chosen = inspect(tmp_path / "leads.csv", None, None, Told(outcome="stage"))
    assert 'status: "stage"' in chosen.mapping


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
    start(tmp_path, "mine.yaml")
    params, text = load(tmp_path / "mine.yaml"), (tmp_path / "mine.yaml").read_text()
    assert (params.snapshots.every_days, params.snapshots.min_age_days) == (every, youngest)
    assert said in text
    assert ("capacity.per_period is leads a day then" in text) is (every == 1)


def test_without_dates_no_interval_is_proposed(tmp_path: Path) -> None:
    rows = [f"L{n},{'yes' if n % 3 else 'no'}" for n in range(40)]
    (tmp_path / "leads.csv").write_text("lead_id,converted\n" + "\n".join(rows) + "\n")
    start(tmp_path, "mine.yaml")
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
