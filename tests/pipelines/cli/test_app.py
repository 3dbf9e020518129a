"""The command line as a user meets it: whole runs, and one clear line for each thing wrong with an input."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import (
    BusyError,
    DataError,
    DeliveryError,
    FeedError,
    LeadScoreError,
    ModelError,
    ParamsError,
    RefusedError,
)
from pipelines.cli import app as cli
from pipelines.scoring.score_list import COLUMNS
from tests.support.paths import ROOT

OVERLAY = """
source:
  order: dates
  timezone: UTC
  leads: {path: leads.csv, columns: {lead_id: id, created_at: created}}
  attributes:
    sector: {}
    size: {kind: number}
  events:
    - {path: events.csv, columns: {lead_id: id, event_at: at, event_type: type}}
  event_labels: {}
  outcomes: {path: outcomes.csv, columns: {lead_id: id, converted_at: won}}
  yes_values: []
  no_values: []
  stages: []
  attribute_history: []
snapshots: {horizon_days: 14, every_days: 7, min_age_days: 1, max_age_days: 60, outcome_lag_days: 0}
features: {windows_days: [7], half_lives_days: [7], min_event_count: 5, min_level_count: 5}
readiness: {min_rows: 100, min_positive: 10, min_negative: 10}
train: {boosters: 1, max_rounds: 20}
selection: {folds: {count: 2}, drift_limits: [1.0], recency_half_lives: [0], logistic_c: [0.1], linear_shares: [0.5]}
search: {trials: 0}
backtest: {cuts: 1}
scorecard: {max_lines: 5, l2: [20.0]}
evaluate: {resamples: 10, segments: [sector]}
explain: {sample_rows: 200}
"""


def write_tables(folder: Path, n: int = 400, buyers: int = 3) -> Path:
    """Leads over a year; every `buyers`-th buys three weeks later if it visits, none where `buyers` is 0."""
    folder.mkdir(parents=True, exist_ok=True)
    created = pd.Timestamp("2025-01-01") + pd.to_timedelta([i * 360 // n for i in range(n)], unit="D")
    ids = [f"a{i:04d}" for i in range(n)]
    wins = [i for i in range(n) if buyers and i % buyers == 0]
    sector = ["steel" if i % 2 else "food" for i in range(n)]
    leads = pd.DataFrame({"id": ids, "created": created, "sector": sector, "size": range(n)})
    events = pd.DataFrame({"id": [ids[i] for i in wins], "at": created[wins] + pd.Timedelta(days=5), "type": "visit"})
    outcomes = pd.DataFrame({"id": [ids[i] for i in wins], "won": created[wins] + pd.Timedelta(days=21)})
    leads.to_csv(folder / "leads.csv", index=False)
    events.to_csv(folder / "events.csv", index=False)
    outcomes.to_csv(folder / "outcomes.csv", index=False)
    (folder / "params.yaml").write_text(OVERLAY, encoding="utf-8")
    return folder


def leadscore(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr("sys.argv", ["leadscore", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def run(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    return leadscore(monkeypatch, "run", "--params", folder / "params.yaml", "--data", folder, "--out", folder / "out")


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")

    return apply


def write_bytes(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def thirty_leads(folder: Path) -> None:
    write_tables(folder, n=30)
    edit("params.yaml", lambda text: re.sub(r"readiness: .*", "", text))(folder)


BAD = {
    "missing column": (
        edit("leads.csv", lambda text: text.replace("sector", "branch", 1)),
        3,
        ["leads", "sector", "branch"],
    ),
    "wrong type": (edit("leads.csv", lambda text: re.sub(r",\d+\n", ",big\n", text)), 3, ["leads", "size", "big"]),
    "two formats": (
        edit("leads.csv", lambda text: re.sub(r"2025-(0[1-6])-(\d\d)", r"\2/\1/2025", text)),
        3,
        ["leads", "created_at", "iso"],
    ),
    "0-byte file": (write_bytes("events.csv", b""), 3, ["events", "empty"]),
    "missing file": (lambda folder: (folder / "outcomes.csv").unlink(), 3, ["outcomes.csv"]),
    "only one class": (lambda folder: write_tables(folder, buyers=0) and None, 3, ["converted"]),
    "30 leads": (thirty_leads, 3, ["converted (needs 100)"]),
    "unknown params key": (edit("params.yaml", lambda text: text + "\nreport: {trees: 5}\n"), 2, ["report.trees"]),
    "YAML that is none": (edit("params.yaml", lambda text: text + "\n  - : : ["), 2, ["params.yaml"]),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with tables of which three rows are bad, after its run; and what the run printed."""
    folder = write_tables(tmp_path_factory.mktemp("ran"))
    for name, line in {
        "leads.csv": "a0001,2025-03-03,food,77",
        "events.csv": "nobody,2025-03-03,visit",
        "outcomes.csv": "a0005,2019-01-01",
    }.items():
        edit(name, lambda text, line=line: text + line + "\n")(folder)
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        assert run(patch, folder) == 0
    return folder, printed.getvalue()


def test_good_tables_run_and_say_where_the_results_are(
    ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, printed = ran
    for name in ("report.html", "scores.parquet", "scores.csv", "metrics.json", "catalogue.csv"):
        assert name in printed
    assert "AUC" in printed
    where = ("--params", folder / "params.yaml", "--out", folder / "out")
    page = (folder / "out" / "report.html").stat().st_mtime_ns
    assert leadscore(monkeypatch, "report", "--summary", *where) == 0
    assert capsys.readouterr().out == printed
    assert (folder / "out" / "report.html").stat().st_mtime_ns == page
    assert leadscore(monkeypatch, "explain", *where) == 0
    strongest = json.loads((folder / "out" / "artifacts" / "explanation.json").read_text())["features"][0]
    shown = capsys.readouterr().out.splitlines()
    assert shown[1].split() == ["feature", "group", "points", "direction"]
    assert strongest["label"] in shown[3] and f"{strongest['mean_points']:.2f}" in shown[3]


@pytest.mark.parametrize("case", [*BAD])
def test_bad_input_is_one_clear_error(
    case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, code, words = BAD[case]
    spoil(write_tables(tmp_path))
    assert run(monkeypatch, tmp_path) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    message = shown[shown.index("error: ") :]
    assert all(word in message for word in words), message
    assert not (tmp_path / "out" / "scores.parquet").exists()


def test_latin_1_bytes_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_tables(tmp_path) / "leads.csv"
    path.write_bytes(path.read_bytes().replace(b"steel", "Stahlträger".encode("latin-1")))
    assert run(monkeypatch, tmp_path) == 3
    message = capsys.readouterr().err
    assert "latin-1" in message and "leads.csv" in message


def test_bad_rows_are_quarantined_with_their_reasons(ran: tuple[Path, str]) -> None:
    quarantine = pd.read_parquet(ran[0] / "out" / "data" / "contract" / "quarantine.parquet")
    assert sorted(quarantine["table"]) == ["events", "leads", "outcomes"]
    assert quarantine["reason"].str.len().min() > 5


def test_no_events_at_all_still_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (write_tables(tmp_path) / "events.csv").write_text("id,at,type\n", encoding="utf-8")
    assert run(monkeypatch, tmp_path) == 0
    assert (tmp_path / "out" / "report.html").stat().st_size > 0


def finished(folder: Path) -> Path:
    """A history in which every lead is won or lost, so that nobody is left to call."""
    won = pd.read_csv(write_tables(folder) / "outcomes.csv")
    leads = pd.read_csv(folder / "leads.csv", parse_dates=["created"])
    lost = leads[~leads["id"].isin(won["id"])]
    rows = lost[["id"]].assign(lost=(lost["created"] + pd.Timedelta(days=33)).dt.strftime("%Y-%m-%d"))
    pd.concat([won, rows]).to_csv(folder / "outcomes.csv", index=False)
    more = "job: {max_silence_days: 60}\n"  # the feed ends before the last loss
    edit("params.yaml", lambda text: text.replace("converted_at: won", "converted_at: won, lost_at: lost") + more)(
        folder
    )
    return folder


def test_a_history_without_an_open_lead_has_a_report_and_an_empty_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, finished(tmp_path)) == 0
    shown, out = capsys.readouterr(), tmp_path / "out"
    assert "AUC" in shown.out
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "There is no list." in page and "no lead open on 2026-01-" in page
    scores = pd.read_parquet(out / "scores.parquet")
    assert scores.empty and list(scores) == COLUMNS
    assert list(pd.read_csv(out / "scores.csv")) == [name for name in COLUMNS if name != "reasons"]
    summary = json.loads((out / "artifacts" / "score_summary.json").read_text())
    assert (summary["n"], summary["no_list"][:13]) == (0, "table 'leads'")
    where = ("--params", tmp_path / "params.yaml", "--out", out)
    nightly = ("--lists", tmp_path / "lists", "--data", tmp_path, "--model", out / "artifacts" / "model")
    assert leadscore(monkeypatch, "nightly", "score", *where, *nightly) == DataError.exit_code
    before = (out / "artifacts" / "score_summary.json").stat().st_mtime_ns
    assert leadscore(monkeypatch, "score", *where, "--as-of", "2030-01-01") == DataError.exit_code
    assert "no lead open on 2030-01-01" in capsys.readouterr().err
    assert (out / "artifacts" / "score_summary.json").stat().st_mtime_ns == before


def test_a_label_with_three_values_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tables(tmp_path)
    wide = OVERLAY.replace("order: dates", "order: none").replace(", created_at: created", "")
    wide = wide.replace("converted_at: won", "converted: won").replace("sector: {}", "sector: {known: export}")
    wide = wide.replace("size: {kind: number}", "size: {kind: number, known: export}")
    wide = re.sub(r"  events:\n.*\n", "  events: []\n", wide)
    wide = wide.replace("yes_values: []", "yes_values: [won]").replace("no_values: []", "no_values: [lost]")
    (folder / "params.yaml").write_text(wide, encoding="utf-8")
    labels = "\n".join(f"a{i:04d},{('won', 'lost', 'perhaps')[i % 3]}" for i in range(400))
    (folder / "outcomes.csv").write_text(f"id,won\n{labels}\n", encoding="utf-8")
    assert run(monkeypatch, folder) == 3
    assert "perhaps" in capsys.readouterr().err


def test_a_failed_run_keeps_the_last_good_scores(
    ran: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = shutil.copytree(ran[0], tmp_path / "ran")
    before = (folder / "out" / "scores.parquet").read_bytes()
    (folder / "events.csv").write_bytes(b"")
    assert run(monkeypatch, folder) == 3
    assert (folder / "out" / "scores.parquet").read_bytes() == before


def test_a_scoring_date_that_is_none_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leadscore(monkeypatch, "score", "--as-of", "1.11.2026") == 2
    assert "2026-11-01" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--since-last"],
        ["--dry-run", "--reasons", "all"],
        ["--lists", "lists", "--by", "rules"],
        ["--lists", "lists", "--backfill", "2026-01-01", "2026-02-01", "--as-of", "2026-01-01"],
        ["--lists", "lists", "--every-days", "7"],
        ["--lists", "lists", "--as-of", "yesterday"],
        ["--lists", "lists", "--reasons", "five"],
        ["--lists", "lists", "--backfill", "2026-01-01"],
    ],
)
def test_a_scheduled_run_that_cannot_be_meant_is_a_usage_error(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert leadscore(monkeypatch, "nightly", "score", "--params", ROOT / "params.yaml", *words) == 2
    assert "--" in capsys.readouterr().err
    assert not (tmp_path / "lists" / "runs").exists()


def test_faults_have_exit_codes_of_their_own() -> None:
    faults = (LeadScoreError, ParamsError, DataError, ModelError, FeedError, DeliveryError, BusyError, RefusedError)
    assert [fault.exit_code for fault in faults] == list(range(1, 9))


@pytest.mark.parametrize(
    "command",
    [
        "explain",
        "score",
        "report",
        "model scorecard",
        *(f"stage {name}" for name in ("ingest", "build-features", "audit", "train", "evaluate", "score", "report")),
    ],
)
def test_a_stage_before_its_time_says_what_to_run_first(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leadscore(monkeypatch, *command.split(), "--out", tmp_path) in (3, 4)
    assert "Traceback" not in capsys.readouterr().err
