"""A score that was given once is made again from the data of today and the model of then, two years back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.schema.errors import ModelError, ParamsError
from pipelines.cli.app import app
from pipelines.config.sections import Track
from pipelines.registry.prune import prune
from pipelines.registry.registry import Registry, open_experiment
from tests.pipelines.registry.test_prune import add_version
from tests.support.small_job import TODAY, Job, job
from tests.support.tables import DAY, MONDAY, Scenario, crowd
from tests.support.tiny import empty_store

NOW = TODAY + 730 * DAY


def of_then(scenario: Scenario) -> Scenario:
    """What an export of that day holds."""
    events = [row for row in scenario.events if row["known_at"] <= TODAY]
    return replace(scenario, events=events, history=[row for row in scenario.history if row["valid_from"] <= TODAY])


def of_today(scenario: Scenario) -> Scenario:
    """The same and two more years: other leads, late events, an edit and a win of each old lead."""
    late = [row | {"event_at": NOW - DAY, "known_at": NOW} for row in scenario.events[::3]]
    edits = [row | {"valid_from": NOW - DAY, "size": 7.0, "stage": "late"} for row in scenario.history[::4]]
    new = [row | {"lead_id": f"new{row['lead_id']}", "created_at": TODAY + 10 * DAY} for row in scenario.leads]
    return replace(
        scenario, leads=[*scenario.leads, *new], events=[*scenario.events, *late], history=[*scenario.history, *edits]
    )


def scores(made: Job) -> bytes:
    """The list's file without the digest of the data, which were others."""
    made.run()
    rows = pq.read_table(made.to / "current" / "scores.parquet")
    file = made.to / "compared.parquet"
    pq.write_table(rows.drop_columns(["data_fingerprint"]), file)
    return file.read_bytes()


def test_a_score_of_two_years_ago_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    scenario = crowd((MONDAY,))
    then, now = job(tmp_path / "then", of_then(scenario)), job(tmp_path / "now", of_today(scenario))
    assert scores(then) == scores(now)
    first, second = (pd.read_parquet(made.to / "current" / "scores.parquet") for made in (then, now))
    assert first["data_fingerprint"][0] != second["data_fingerprint"][0]
    assert len(first) == 60 and first["model_id"].equals(second["model_id"])
    now.run(TODAY + 12 * DAY)
    assert len(pd.read_parquet(now.to / "current" / "scores.parquet")) == 120  # the new ones are on today's list


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_score_of_a_former_champion_is_made_again_after_retrainings_and_pruning(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    scenario = crowd((MONDAY,))
    then = job(tmp_path / "then", of_then(scenario))
    retrained = [job(tmp_path / f"later{n}", of_today(scenario), base_rate=0.1 + n / 10) for n in (1, 2)]
    empty_store(tmp_path_factory, tmp_path / "mlflow.db")
    track = Track(uri=f"sqlite:///{tmp_path}/mlflow.db", artifacts=str(tmp_path / "files"))
    (tmp_path / "files").mkdir()
    now = replace(retrained[1], params=retrained[1].params.model_copy(update={"track": track}))
    registry, name = Registry.open(now.params), now.params.project.name
    open_experiment(now.params)
    versions = [add_version(registry, name, bundle=one.layout.bundle) for one in (then, *retrained)]
    for version, answer in zip(versions, ("promoted", "refused", "promoted"), strict=True):
        decision = {"action": "promote", "answer": answer, "version": version}
        registry.finish(registry.record(decision, [], NOW), NOW)
    registry.set_alias("champion", versions[2])
    prune(now.params, every=True)
    first = scores(then)
    assert scores(now.request_with(model=f"models:/{name}/{versions[0]}", to=tmp_path / "again")) == first
    assert scores(now.request_with(model=f"models:/{name}@champion", to=tmp_path / "champion")) != first
    with pytest.raises(ModelError, match=rf"models:/{name}/{versions[1]}"):  # it gave nobody a score
        now.request_with(model=f"models:/{name}/{versions[1]}", to=tmp_path / "refused").run()


def test_the_letter_of_a_published_list_is_of_its_day(tmp_path: Path) -> None:
    here = job(tmp_path).request_with(data=tmp_path / "data")
    for day in (TODAY, TODAY + DAY):
        here.run(day)
    lead = pd.read_parquet(here.to / "current/scores.parquet")["lead_id"][0]
    words = ["lead", "letter", lead, "--params", str(here.overlay), "--lists", str(here.to)]
    newest, older = (CliRunner().invoke(app, [*words, *more]) for more in ([], ["--day", f"{TODAY:%Y-%m-%d}"]))
    assert newest.exit_code == older.exit_code == 0, newest.output + older.output
    for text, day in ((newest.output, TODAY + DAY), (older.output, TODAY)):
        listed = next((here.to / "runs").glob(f"{day:%Y-%m-%d}-*"))
        scored = pd.read_parquet(listed / "scores.parquet").set_index("lead_id")
        row = scored.loc[lead]
        assert f"- Score: {row['score']} of 100, place {scored.index.get_loc(lead) + 1} of 60 on the list of" in text
        assert f"list of {day:%Y-%m-%d}" in text
        assert all(f"- {reason['text']}" in text for reason in json.loads(row["reasons"]))
    nobody = CliRunner().invoke(app, ["lead", "letter", "nobody", *words[3:]])
    assert isinstance(nobody.exception, ParamsError) and "none of 2 lists has that lead" in str(nobody.exception)
