"""Leads to look at again of the scheduled run: published with the score list, which they do not change."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.nurture import world
from pipelines.config.params import load
from pipelines.privacy.forget import forget_lead
from pipelines.scheduled.published import PublishedLists
from pipelines.storage.files import write_parquet
from pipelines.storage.run_context import RunContext
from tests.support.small_job import TODAY, Job, digests, job
from tests.support.tables import DAY

SHORT = "capacity: {per_period: 5}\n"
NURTURE = "nurture: {on: true, expires_days: 30, least_chance: 0.001}\n"
FILES = {"nurture.csv", "nurture.parquet"}


def with_params(ready: Job, to: Path, text: str) -> Job:
    overlay = to.parent / f"{to.name}.yaml"
    overlay.write_text(ready.overlay.read_text().replace("capacity: {per_period: 20}\n", SHORT) + text)
    return replace(ready.request_with(to=to), params=load(overlay))


@pytest.fixture
def here(tmp_path: Path) -> Job:
    """A job whose run has tested its model on twenty lists of a simulated world, the last a week ago."""
    ready = job(tmp_path / "job")
    past = world(3).rename(columns={"probability": "model"})
    past = past[past["snapshot_at"] < past["snapshot_at"].min() + 20 * 7 * DAY]
    past["snapshot_at"] += TODAY - 7 * DAY - past["snapshot_at"].max()
    write_parquet(past[["lead_id", "snapshot_at", "model", "tier"]], ready.layout.predictions.path)
    return with_params(ready, tmp_path / "to", NURTURE)


def test_they_are_published_with_the_list_and_go_on_the_next_day(here: Job, tmp_path: Path) -> None:
    without = with_params(here, tmp_path / "without", "")
    without.run()
    here.run()
    current = here.to / "current"
    assert (current / "scores.parquet").read_bytes() == (without.to / "current" / "scores.parquet").read_bytes()
    assert not any((without.to / "current" / name).exists() for name in FILES)
    manifest = json.loads((current / "manifest.json").read_text())
    first = pd.read_parquet(current / "nurture.parquet")
    assert set(manifest["outputs"]) > FILES and manifest["nurture"]["leads"]["new"] == len(first) > 0
    here.run(TODAY + DAY)
    second, before = pd.read_parquet(current / "nurture.parquet").set_index("lead_id"), first.set_index("lead_id")
    waiting = second.index[second["status"] == "waiting"]
    assert len(waiting) and second["review_on"][waiting].equals(before["review_on"][waiting])
    done = digests(here.to)
    here.run(TODAY + DAY)
    assert digests(here.to) == done
    write_parquet(pd.read_parquet(here.layout.predictions.path).iloc[1:], here.layout.predictions.path)
    again = here.request_with(dry_run=True).run(TODAY + DAY)
    assert again[0].startswith("would publish"), "other past lists make another list"


def test_a_forgotten_lead_leaves_them(here: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here.run()
    current = here.to / "current"
    lead = pd.read_csv(current / "nurture.csv", dtype="str")["lead_id"][0]
    forget_lead(lead, RunContext(here.params, here.layout), [here.to], postgres=False)
    assert lead not in set(pd.read_csv(current / "nurture.csv", dtype="str")["lead_id"])
    assert lead not in set(pd.read_parquet(current / "nurture.parquet")["lead_id"])
    assert PublishedLists(here.to).is_complete(current.readlink().name)
