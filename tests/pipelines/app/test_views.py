"""What the app shows: the list, a lead, another capacity, the monitor's page; as the commands say it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipelines.app.server import built
from pipelines.app.views import AppRequest, AppViews, capacity_tables, wins_line
from pipelines.config.params import load
from pipelines.storage.run_context import RunContext
from tests.support.asgi import call
from tests.support.tiny import tiny_copy, tiny_params

pytestmark = pytest.mark.xdist_group("tiny")


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> AppViews:
    folder = tmp_path_factory.mktemp("views")
    return AppViews(RunContext(tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out")), folder / "lists")


def test_the_list_is_the_last_one_best_first(views: AppViews) -> None:
    scores = pd.read_parquet(views.run.layout.scores.path)
    assert list(views.leads["lead"]) == list(scores["lead_id"])
    assert views.leads["probability, %"].max() > 1


def test_another_capacity_is_what_tiers_says(views: AppViews) -> None:
    answer = views.with_capacity(3 * views.capacity)
    tiers, flows = capacity_tables(answer)
    assert tiers["leads now"].sum() == tiers["then"].sum() == len(views.leads)
    assert flows["leads"].sum() == len(answer.moved) > 0
    assert wins_line(answer).startswith(f"The best {3 * views.capacity:,} are expected to win")


def test_the_monitors_page_is_shown_where_there_is_one(views: AppViews) -> None:
    assert views.monitor is None
    folder = views.lists or Path()
    (folder / "monitor").mkdir(parents=True)
    (folder / "monitor" / "monitor.html").write_text("<p>moved</p>", encoding="utf-8")
    assert views.monitor == "<p>moved</p>"


def test_without_a_run_the_verdict_says_what_is_missing(tmp_path: Path) -> None:
    empty = AppViews.open(AppRequest(None, tmp_path, None).to_text())
    assert empty.run.params == load()
    assert "metrics.json" in empty.verdict[0]


def test_only_this_machine_by_its_own_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("marimo")
    app = built(AppRequest(None, tmp_path, None))
    answers = [call(app, "GET", "/", headers={"host": name}).status for name in ("127.0.0.1", "other.example")]
    assert answers[1] == 400 != answers[0]
