"""Another policy on the list that is there: what scoring anew would give, and not a byte moves."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import ModelError
from models.lists.declarations import ListParams
from pipelines.analysis.what_if import what_if
from pipelines.stages.score import score_leads
from pipelines.storage.files import file_digest, write_parquet
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import leadscore
from tests.support.tiny import tiny_copy, tiny_params

CAPACITY = 40  # of the small run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    folder = tmp_path_factory.mktemp("what_if")
    return RunContext(tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out"))


def calling(run: RunContext, capacity: int) -> RunContext:
    asked = run.params.capacity.model_copy(update={"per_period": capacity})
    return replace(run, params=run.params.model_copy(update={"capacity": asked}))


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_digest(path) for path in folder.rglob("*") if path.is_file()}


def test_the_policy_as_it_is_moves_nobody(run: RunContext) -> None:
    answer = what_if(run)
    assert answer.moved.empty
    assert not answer.flows
    assert (answer.after.tiers, answer.after.capacity) == (answer.before.tiers, answer.before.capacity)


def test_it_is_the_list_that_scoring_anew_gives_and_writes_nothing(run: RunContext, tmp_path: Path) -> None:
    wider, before = calling(run, 2 * CAPACITY), digests(run.layout.reports)
    answer = what_if(wider)
    assert digests(run.layout.reports) == before
    listed = pd.read_parquet(run.layout.scores.path).set_index("lead_id")
    assert sum(flow.n for flow in answer.flows) == len(answer.moved) > CAPACITY
    moved = answer.moved.set_index("lead_id")["tier_to"]

    shutil.copytree(run.layout.reports, tmp_path / "out")
    again = replace(wider, layout=Layout.folder(tmp_path / "out"))
    again.layout.scores.path.unlink()  # the list that the published one was compared with: none
    score_leads(again)
    anew = pd.read_parquet(again.layout.scores.path).set_index("lead_id")
    expected = listed["tier"].mask(listed.index.isin(moved.index), moved.reindex(listed.index))
    assert expected.to_dict() == anew["tier"].to_dict()
    same = ["probability", "points", "score", "reasons_text"]
    pd.testing.assert_frame_equal(listed[same].sort_index(), anew[same].sort_index())
    assert file_digest(again.layout.bundle / "card.json") == file_digest(run.layout.bundle / "card.json")


def test_the_command_says_sizes_wins_and_who_moves(
    run: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--capacity", str(2 * CAPACITY), "--moved", str(tmp_path / "moved.csv")]
    overlay = run.layout.reports.parent / "tiny.yaml"
    assert leadscore(monkeypatch, "tiers", "--params", overlay, "--out", run.layout.reports, *asked) == 0
    text = capsys.readouterr().out
    assert re.search(rf"then: the best {2 * CAPACITY} are expected to win [\d.]+ \(\d+ to \d+, 90%\)", text)
    assert re.search(r"\d+ leads go from warm to hot", text)
    assert set(pd.read_csv(tmp_path / "moved.csv")) == {"lead_id", "score", "tier_from", "tier_to"}


def test_a_list_of_another_model_is_refused(run: RunContext, tmp_path: Path) -> None:
    shutil.copytree(run.layout.reports, tmp_path / "out")
    layout = Layout.folder(tmp_path / "out")
    shutil.rmtree(layout.bundle)
    shutil.copytree(layout.tested_model, layout.bundle)
    with pytest.raises(ModelError, match="leadscore stage score"):
        what_if(replace(run, layout=layout))


def test_owners_lists_are_asked_for_too_and_none_is_written(run: RunContext) -> None:
    """`owner` is a label that the small run does not show, so that all is asked of a display of its own."""
    layout = run.layout
    shown = pd.read_parquet(layout.scores.path)[["lead_id"]].assign(agent=lambda rows: rows["lead_id"].str[-1])
    source = run.params.source
    leads = source.leads.model_copy(update={"display": {"agent": "Agent"}})
    lists = ListParams(owner="agent", capacity=3)
    params = run.params.model_copy(update={"source": source.model_copy(update={"leads": leads}), "lists": lists})
    write_parquet(shown, layout.display.path)
    try:
        answer = what_if(replace(run, params=params))
    finally:
        layout.display.path.unlink()
    assert answer.owners is not None
    assert answer.owners.capacity == 3 * shown["agent"].nunique()
    assert answer.owners.leads == shown.groupby("agent").head(3).shape[0]
    assert not layout.owner_lists.exists()


def test_where_the_list_has_deal_values_the_value_policy_takes_them(run: RunContext, tmp_path: Path) -> None:
    shutil.copytree(run.layout.reports, tmp_path / "out")
    layout = Layout.folder(tmp_path / "out")
    scores = pd.read_parquet(layout.scores.path)
    write_parquet(scores.assign(deal_value=1e9), layout.scores.path)
    tiers = run.params.tiers
    worthless = tiers.value.model_copy(update={"deal_value": 1e-9})
    by_value = tiers.model_copy(update={"policy": "value", "value": worthless, "margin": 0.0, "exclusions": []})
    answer = what_if(RunContext(run.params.model_copy(update={"tiers": by_value}), layout))
    assert answer.after.tiers[tiers.names[0]] == len(scores), "all are worth a call"
