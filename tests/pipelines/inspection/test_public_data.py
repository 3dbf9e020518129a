"""`leadscore example bank-marketing`: what OpenML sends becomes the file that the example reads, or one clear error."""

from __future__ import annotations

from pathlib import Path
from urllib.error import HTTPError, URLError

import pandas as pd
import pytest

from pipelines.config.params import load
from pipelines.inspection import public_data
from pipelines.stages.ingest import ingest
from pipelines.storage.layout import Layout
from tests.pipelines.cli.test_app import leadscore
from tests.support.openml_stand_in import Spoil, bank, fail, serve
from tests.support.small_source import EXAMPLES


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """A tenth of the file, taken for the whole."""
    assert (public_data.BANK_ROWS, public_data.BANK_YES) == (45_211, 5_289)  # as published
    rows = bank()
    monkeypatch.setattr("pipelines.inspection.public_data.BANK_ROWS", len(rows))
    monkeypatch.setattr("pipelines.inspection.public_data.BANK_YES", 528)
    return rows


def test_the_file_is_what_was_sent_with_the_published_names(
    short: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = serve(monkeypatch, short)
    assert leadscore(monkeypatch, "example", "bank-marketing", tmp_path / "to here") == 0
    assert all("openml.org/" in address for address in asked)
    assert any("1461" in address for address in asked)
    written = tmp_path / "to here" / "bank-full.csv"
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    assert written.read_text().splitlines()[0] == ";".join(f'"{name}"' for name in short.columns)
    found = pd.read_csv(written, sep=";", keep_default_na=False)
    pd.testing.assert_frame_equal(found, short, check_dtype=False)
    printed = capsys.readouterr().out
    assert f"leadscore run --params examples/bank_full.yaml --data '{written.parent}' --out results" in printed


def test_the_example_reads_every_row_of_it(
    short: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve(monkeypatch, short)
    assert leadscore(monkeypatch, "example", "bank-marketing", tmp_path) == 0
    params, layout = load(EXAMPLES / "bank_full.yaml"), Layout.folder(tmp_path / "out")
    profile = ingest(params.source, params.ingest, params.project, tmp_path, layout)
    assert profile.tables["leads"].kept == len(short)
    outcomes = pd.read_parquet(layout.outcomes.path)
    assert outcomes["converted"].sum() == 528
    leads = pd.read_parquet(layout.leads.path)
    assert leads["days_since_contact"].isna().sum() == (short["pdays"] == -1).sum()
    declared = {spec.column for spec in params.source.attributes.values()}
    assert declared == {*short.columns} - {"y"}


WRONG: dict[str, tuple[Spoil, str]] = {
    "rows are lost": (lambda rows: rows.iloc[:-1], "4,520 rows"),
    "another outcome": (lambda rows: rows.assign(y=rows["y"].map({"no": "yes", "yes": "no"})), "of them yes"),
    "rows are shuffled": (lambda rows: rows.sample(frac=1, random_state=1), "date order"),
    "a formula": (lambda rows: rows.assign(job=rows["job"].replace("retired", "=1+1")), "'=1+1'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_the_published_file_is_refused(
    case: str,
    short: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil, words = WRONG[case]
    serve(monkeypatch, spoil(short))
    assert leadscore(monkeypatch, "example", "bank-marketing", tmp_path) == 3
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        URLError("[Errno -2] Name or service not known"),
        HTTPError("https://www.openml.org", 503, "Service Unavailable", {}, None),  # type: ignore[arg-type]
        HTTPError("https://www.openml.org", 412, "Precondition Failed", {}, None),  # type: ignore[arg-type]
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:24],
)
def test_offline_is_one_clear_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(monkeypatch, error)
    assert leadscore(monkeypatch, "example", "bank-marketing", tmp_path / "new") == 3
    shown = capsys.readouterr().err
    assert len(shown.strip().splitlines()) == 1
    assert "Go online and try again" in shown
    assert not (tmp_path / "new").exists()
