"""Owners' lists of the scheduled run: published with the score list, which they do not change."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from features.rules.declarations import RulesParams
from pipelines.scheduled.published import PublishedLists
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.stages import score
from pipelines.stages.score import score_leads
from pipelines.storage.bundle import load_bundle
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext
from tests.support import small_job
from tests.support.small_job import TODAY, Job, digests, job
from tests.support.tables import DAY

LISTS = "lists: {owner: agent, capacity: 4, max_new_per_day: 2}\n"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that shows the agent, and makes no owners' lists."""
    created = "created_at: created_at}}\n  attributes"
    shown = small_job.OVERLAY.replace(created, created.replace("}}", "}, display: {agent: sector}}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_job, "OVERLAY", shown)
        return job(tmp_path_factory.mktemp("job"))


def with_lists(plain: Job, to: Path) -> Job:
    """The same job with owners' lists."""
    overlay = to.parent / "lists.yaml"
    overlay.write_text(plain.overlay.read_text() + LISTS, encoding="utf-8")
    return Job(small_job.load(overlay), plain.overlay, plain.request_with(to=to).request)


def test_owners_lists_are_published_with_the_list_and_change_none_of_it(plain: Job, tmp_path: Path) -> None:
    without, here = plain.request_with(to=tmp_path / "without"), with_lists(plain, tmp_path / "to")
    without.run()
    here.run()
    for name in ("scores.parquet", "scores.csv", "inputs.parquet"):
        assert (here.to / "current" / name).read_bytes() == (without.to / "current" / name).read_bytes()
    manifest = json.loads((here.to / "current" / "manifest.json").read_text())
    owners = pd.read_csv(here.to / "current" / "by_owner" / "owners.csv")
    assert {f"by_owner/{name}" for name in owners["file"]} < set(manifest["outputs"])
    assert manifest["by_owner"]["leads"] == owners["leads"].sum() > 0
    assert owners["new"].le(2).all() and owners["leads"].le(2).all(), "on a first list all leads are new"
    name = (here.to / "current").readlink().name
    assert PublishedLists(here.to).is_complete(name)
    (here.to / "current" / "by_owner" / owners["file"][0]).write_text("")
    assert not PublishedLists(here.to).is_complete(name), "a damaged list of one owner is made again"


def test_the_next_day_adds_few_new_leads_and_a_day_made_again_is_the_same(plain: Job, tmp_path: Path) -> None:
    here = with_lists(plain, tmp_path / "to")
    here.run()
    here.run(TODAY + DAY)
    before = digests(here.to)
    owners = pd.read_csv(here.to / "current" / "by_owner" / "owners.csv")
    assert owners["new"].le(2).all() and owners["leads"].max() > 2
    here.run(TODAY + DAY)
    assert digests(here.to) == before


def test_without_the_section_an_old_folder_of_lists_is_removed(plain: Job, tmp_path: Path) -> None:
    here = with_lists(plain, tmp_path / "to")
    score_leads(RunContext(here.params, here.layout))
    assert (here.layout.owner_lists / "owners.csv").is_file()
    score_leads(RunContext(plain.params, here.layout))
    assert not here.layout.owner_lists.exists()


def test_where_the_verdict_says_rank_by_the_rules_the_lists_of_owners_do(
    plain: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = with_lists(plain, tmp_path / "to")
    monkeypatch.setattr(score, "_rules_instead", lambda run, tested_id: True)
    rule = {"name": "steel", "attribute": "sector", "test": "is", "value": ["steel"], "points": 10}
    rules = RulesParams.model_validate({"attributes": [rule]})
    vocabulary = here.layout.vocabulary.path
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text(load_bundle(here.layout.bundle, 1).metadata.matrix.model_dump_json(), encoding="utf-8")
    score_leads(RunContext(here.params.model_copy(update={"rules": rules}), here.layout))
    scores = pd.read_parquet(here.layout.scores.path)
    assert scores["probability"].notna().all(), "the score list stays the model's"
    owners = pd.read_csv(here.layout.owner_lists / "owners.csv")
    first = pd.read_csv(here.layout.owner_lists / owners["file"][0])
    assert first["probability"].isna().all() and len(first) > 0
    summary = read_result(ScoreSummary, here.layout.score_summary.path, "score")
    assert summary.by_owner is not None and summary.by_owner.notes[0] == score.BY_RULES
    assert summary.model_id == scores["model_id"][0]
