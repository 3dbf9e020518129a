"""Exports of scores beside a small run: the right join, the leaks that stop it, and one line where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.schema.errors import DataError
from pipelines.analysis.audit_score import ScoreExport, audit_scores
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import leadscore
from tests.support.tiny import tiny_copy, tiny_params


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("audit_score")
    return RunContext(tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out"))


@pytest.fixture(scope="module")
def tested(run: RunContext) -> pd.DataFrame:
    return pd.read_parquet(run.layout.predictions.path)


def export(rows: pd.DataFrame, folder: Path, at: str | None = None, grades: tuple[str, ...] = ()) -> ScoreExport:
    rows.to_csv(folder / "scores.csv", sep=";", index=False)
    return ScoreExport(folder / "scores.csv", "Grade", "Lead", at, grades)


def test_the_model_s_own_probabilities_are_no_worse_than_the_model(
    run: RunContext, tested: pd.DataFrame, tmp_path: Path
) -> None:
    rows = pd.DataFrame({"Lead": tested["lead_id"], "Grade": tested["model"], "When": tested["snapshot_at"]})
    later = rows.assign(When=rows["When"] + pd.Timedelta(days=1), Grade=-1.0)  # the day after, and of no use
    found = audit_scores([export(pd.concat([rows, later]), tmp_path, "When")], run)[0]
    assert found.state in ("no worse", "tells nothing")
    assert (found.auc_gap.value, found.wins.gained, found.never_scored) == (0, 0, 0)
    assert (found.n, found.n_leads) == (len(tested), tested["lead_id"].nunique())


def test_scores_of_a_later_day_are_not_known_yet(run: RunContext, tested: pd.DataFrame, tmp_path: Path) -> None:
    rows = pd.DataFrame({"Lead": tested["lead_id"], "Grade": 1.0, "When": tested["snapshot_at"].max()})
    found = audit_scores([export(rows.drop_duplicates("Lead"), tmp_path, "When")], run)[0]
    assert found.never_scored == pytest.approx((tested["snapshot_at"] < tested["snapshot_at"].max()).mean())


def test_a_grade_that_was_raised_at_the_win_is_a_leak(run: RunContext, tested: pd.DataFrame, tmp_path: Path) -> None:
    won = set(pd.read_parquet(run.layout.outcomes.path).dropna(subset="converted_at")["lead_id"])
    leads = pd.read_parquet(run.layout.leads.path)["lead_id"]
    rows = pd.DataFrame({"Lead": leads, "Grade": np.where(leads.isin(won), "A", "B")})
    found = audit_scores([export(rows, tmp_path, grades=("A", "B"))], run)[0]
    assert found.state == "leaks"
    assert all(line.startswith("Grade gives the outcome away") for line in found.lines)


def test_scores_edited_after_the_outcome_are_a_leak(run: RunContext, tmp_path: Path) -> None:
    won = pd.read_parquet(run.layout.outcomes.path).dropna(subset="converted_at").drop_duplicates("lead_id")
    before = pd.DataFrame({"Lead": won["lead_id"], "Grade": 10, "When": won["converted_at"] - pd.Timedelta(days=40)})
    after = before.assign(Grade=90, When=won["converted_at"] + pd.Timedelta(hours=1))
    found = audit_scores([export(pd.concat([before, after]), tmp_path, "When")], run)[0]
    assert found.state == "leaks"
    assert "edits come at the outcome or after it" in found.lines[0]


@pytest.mark.parametrize(
    ("rows", "at", "said"),
    [
        ({"Lead": ["L1"]}, None, "Grade"),
        ({"Lead": ["nobody"], "Grade": [1]}, None, "ids of the leads of this run"),
        ({"Lead": ["{id}", "{id}"], "Grade": [1, 2]}, None, "one score a lead"),
        ({"Lead": ["{id}"], "Grade": ["hot"]}, None, "numbers, or --grades"),
        ({"Lead": ["{id}"], "Grade": [1], "When": ["soon"]}, "When", "the time of each score"),
    ],
)
def test_what_cannot_be_read_stops_with_one_line(
    rows: dict[str, list[object]], at: str | None, said: str, run: RunContext, tested: pd.DataFrame, tmp_path: Path
) -> None:
    known = tested["lead_id"].iloc[0]
    table = pd.DataFrame(rows)
    table["Lead"] = table["Lead"].str.replace("{id}", known)
    with pytest.raises(DataError, match=said):
        audit_scores([export(table, tmp_path, at)], run)


def test_the_command_judges_several_scores(
    run: RunContext,
    tested: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    last = tested.drop_duplicates("lead_id", keep="last")
    rows = pd.DataFrame({"lead_id": last["lead_id"], "Good": last["model"], "Reversed": -last["model"]})
    rows.to_csv(tmp_path / "scores.csv", index=False)
    words = ["--params", run.layout.reports.parent / "tiny.yaml", "--out", run.layout.reports]
    scores = ["--score", "Good", "--score", "Reversed", "--json", tmp_path / "audit.json"]
    assert leadscore(monkeypatch, "audit-score", tmp_path / "scores.csv", *scores, *words) == 0
    text = capsys.readouterr().out
    assert "Good ranks with an AUC of" in text
    assert "Reversed is the wrong way round" in text
    states = [one["state"] for one in json.loads((tmp_path / "audit.json").read_text())]
    assert states[1] == "reversed"
