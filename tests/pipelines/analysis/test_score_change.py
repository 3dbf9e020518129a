"""`leadscore lead change` on simulated leads: the scores of two scorings, and one clear line where it cannot answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from rich.console import Console

from features.schema.errors import ModelError, ParamsError
from models.explanation.score_change import PARTS
from pipelines.analysis.lead_change import explain_lead_change
from pipelines.analysis.score_change import ChangeRequest, explain_changes
from pipelines.config.params import Params, load, with_as_of
from pipelines.simulation.export import chunks
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.score import score_leads
from pipelines.stages.simulate import write
from pipelines.stages.train import train
from pipelines.storage import contract_store as store
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import OVERLAY, leadscore, write_tables

SMALL = """
simulate: {leads: 800, first_day: 2025-10-01, last_day: 2026-06-30}
snapshots: {horizon_days: 14, max_age_days: 60}
features: {windows_days: [7], half_lives_days: [7], min_event_count: 20, min_level_count: 20}
readiness: {min_rows: 100, min_positive: 10, min_negative: 20, min_periods: 4}
train: {boosters: 1, max_rounds: 20}
selection:
  folds: {count: 2}
  drift_limits: [1.0]
  recency_half_lives: [0]
  logistic_c: [0.01]
  linear_shares: [0.5]
  level_half_lives: [0]
search: {trials: 0}
scorecard: {max_lines: 3, l2: [20.0]}
capacity: {per_period: 40}
"""
NEWER = {  # older leads are on its list, too, and fewer of them are hot
    "features": {"windows_days": [3], "max_event_types": 5},
    "snapshots": {"horizon_days": 21, "max_age_days": 90},
    "capacity": {"per_period": 25},
}
DAYS = ("2026-05-04", "2026-06-01")


@dataclass(frozen=True)
class Trained:
    """A folder with contract tables and a model, and another model's folder."""

    params: Params
    layout: Layout
    newer: Path

    @property
    def request(self) -> ChangeRequest:
        return ChangeRequest(*DAYS, model_to=self.newer)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("change")
    (folder / "old.yaml").write_text(SMALL, encoding="utf-8")
    tree = yaml.safe_load(SMALL)
    (folder / "new.yaml").write_text(
        yaml.safe_dump(tree | {name: tree[name] | changed for name, changed in NEWER.items()}), encoding="utf-8"
    )
    params, newer = load(folder / "old.yaml"), load(folder / "new.yaml")
    layout, other = Layout.folder(folder / "out"), Layout(folder / "out" / "data", folder / "other", folder / "other")
    write(chunks(params.simulate, params.project.seed, params.snapshots), layout.raw, layout.oracle.path)
    ingest(params.source, params.ingest, params.project, layout.raw, layout)
    for settings, where in ((params, layout), (newer, other)):
        build_features(RunContext(settings, where))
        train(RunContext(settings, where))
    return Trained(params, layout, other.bundle)


@pytest.fixture(scope="module")
def changes(trained: Trained) -> pd.DataFrame:
    return explain_changes(trained.request, RunContext(trained.params, trained.layout))


def scored(trained: Trained, day: str, bundle: Path) -> pd.DataFrame:
    """The scores of `score` on that day with that model, without a previous list."""
    layout = Layout(trained.layout.data, bundle.parent, trained.layout.reports / f"{day} {bundle.parent.name}")
    score_leads(RunContext(with_as_of(trained.params, day), layout))
    scores = pd.read_parquet(layout.scores.path).set_index("lead_id")
    layout.scores.path.unlink()  # or the next one would keep tiers within the margin
    return scores


@pytest.fixture(scope="module")
def ends(trained: Trained) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The older model's list of the first day, and the newer one's of the second."""
    return scored(trained, DAYS[0], trained.layout.bundle), scored(trained, DAYS[1], trained.newer)


def test_both_ends_are_what_score_gives_and_the_parts_sum_to_the_difference(
    ends: tuple[pd.DataFrame, pd.DataFrame], changes: pd.DataFrame
) -> None:
    first, last = ends
    assert sorted(changes["lead_id"]) == sorted(set(first.index) & set(last.index))
    assert len(changes) > 30
    for side, scores in (("from", first), ("to", last)):
        ours, theirs = changes.set_index("lead_id"), scores.loc[changes["lead_id"]]
        for column in ("points", "score", "probability", "tier"):
            assert ours[f"{column}_{side}"].tolist() == theirs[column].tolist()
    assert changes["difference"].tolist() == (changes["points_to"] - changes["points_from"]).tolist()
    assert changes[list(PARTS)].sum(axis=1).to_numpy() == pytest.approx(changes["difference"].to_numpy(), abs=1e-9)
    assert (changes[list(PARTS)].abs().max() > 0.5).all()
    assert changes["difference"].abs().is_monotonic_decreasing


def test_a_lead_without_news_has_no_points_from_news(changes: pd.DataFrame) -> None:
    for part in ("new_events", "edited_attributes"):
        none = changes[f"n_{part}"] == 0
        assert (changes.loc[none, part] == 0).all()
        assert none.any() and (changes.loc[~none, part] != 0).any()


def test_counts_are_those_of_the_tables(trained: Trained, changes: pd.DataFrame) -> None:
    since, until = map(pd.Timestamp, DAYS)
    events = pd.read_parquet(trained.layout.events.path)
    seen = [(events["event_at"] < at) & (events["known_at"] <= at) for at in (since, until)]
    news = events[seen[1] & ~seen[0]]["lead_id"].value_counts()
    assert changes["n_new_events"].tolist() == changes["lead_id"].map(news).fillna(0).astype(int).tolist()
    history = pd.read_parquet(trained.layout.attribute_history.path)
    between = history[history["valid_from"].between(since, until, inclusive="left")]["lead_id"]
    assert set(changes.loc[changes["n_edited_attributes"] > 0, "lead_id"]) <= set(between)


def test_files_agree_and_no_cell_is_a_formula(trained: Trained, changes: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(trained.layout.change.path), changes)
    sheet = pd.read_csv(trained.layout.change_csv.path, dtype={"lead_id": str})
    assert sheet["text"].tolist() == changes["text"].tolist()
    assert sheet["text"].str.match(r"(up|down) \d+ points?: |no change of a point").all()


def test_totals_reconcile_with_the_rows_and_both_lists(
    trained: Trained, ends: tuple[pd.DataFrame, pd.DataFrame], changes: pd.DataFrame
) -> None:
    tree = json.loads(trained.layout.change_summary.path.read_text())
    lists = [set(end.index) for end in ends]
    assert (tree["from"], tree["to"]) == DAYS
    assert tree["n"] == len(changes)
    assert tree["entered"] == len(lists[1] - lists[0])
    gone = lists[0] - lists[1]
    outcomes = pd.read_parquet(trained.layout.outcomes.path).set_index("lead_id").reindex(sorted(gone))
    won = outcomes["converted_at"] < pd.Timestamp(DAYS[1])
    lost = ~won & (outcomes["lost_at"] < pd.Timestamp(DAYS[1]))
    counts = {"n": len(gone), "converted": int(won.sum()), "lost": int(lost.sum()), "other": int((~won & ~lost).sum())}
    assert tree["left"] == counts
    assert counts["converted"] > 0 and counts["lost"] > 0
    assert sum(flow["n"] for flow in tree["tiers"]) == len(lists[0] | lists[1])
    assert sum(flow["n"] for flow in tree["tiers"] if flow["tier_from"] is None) == tree["entered"]
    for part in PARTS:
        assert tree["parts"][part]["sum"] == pytest.approx(changes[part].sum(), abs=1e-6)
        assert tree["parts"][part]["down"] == (changes[part] < -0.5).sum()
    questions, scales, tiers = tree["notes"]
    assert scales.startswith("the models' scales differ")
    assert questions == "the models answer different questions: conversion within 14 and within 21 days"
    assert tiers.startswith("tiers are given here as if no list came before")


def test_shards_change_no_byte(trained: Trained, changes: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    before = trained.layout.change.path.read_bytes()
    listed = json.loads(trained.layout.change_summary.path.read_text())["tiers"]
    monkeypatch.setattr(store, "SHARD_LEADS", sum(flow["n"] for flow in listed) // 2)  # two shards and one lead or none
    explain_changes(trained.request, RunContext(trained.params, trained.layout))
    assert trained.layout.change.path.read_bytes() == before


def test_one_model_alone_and_one_day_alone(trained: Trained) -> None:
    same_model = explain_changes(ChangeRequest(*DAYS), RunContext(trained.params, trained.layout))
    assert (same_model["new_model"] == 0).all()
    assert (same_model["difference"] != 0).all()
    same_day = explain_changes(
        ChangeRequest(until=DAYS[1], model_to=trained.newer), RunContext(trained.params, trained.layout)
    )
    assert (same_day[list(PARTS[:3])] == 0).all(axis=None)
    assert same_day["new_model"].tolist() == same_day["difference"].tolist()
    nothing = explain_changes(ChangeRequest(DAYS[1], DAYS[1]), RunContext(trained.params, trained.layout))
    assert (nothing["difference"] == 0).all()


def printed(lead: str, request: ChangeRequest, trained: Trained) -> str:
    console = Console(width=500, file=StringIO())
    console.print(explain_lead_change(lead, request, RunContext(trained.params, trained.layout)))
    return console.file.getvalue()


def test_one_lead_is_shown_in_full_as_among_all(trained: Trained, changes: pd.DataFrame) -> None:
    row = changes[(changes["n_new_events"] > 0) & (changes["n_edited_attributes"] > 0)].iloc[0]
    text = printed(row["lead_id"], trained.request, trained)
    assert f"score {row['score_from']} to {row['score_to']}. {row['text']}" in text
    for part in PARTS:
        assert re.search(rf"^{part.replace('_', ' ')} +{re.escape(f'{row[part]:+.1f}')} *$", text, re.MULTILINE), part
    assert (
        len(re.findall(r"^\S.* 2026-\d\d-\d\d \d\d:\d\d +2026-\d\d-\d\d \d\d:\d\d", text, re.MULTILINE))
        == row["n_new_events"]
    )
    assert "edited attribute" in text


def test_a_request_without_an_answer_is_an_error(trained: Trained, changes: pd.DataFrame, tmp_path: Path) -> None:
    params, layout = trained.params, trained.layout
    before = layout.change.path.read_bytes()
    cases: list[tuple[ChangeRequest, type[Exception], str]] = [
        (ChangeRequest(), ParamsError, "nothing to compare.*--since is not given"),
        (ChangeRequest("2026-06-01", "2026-05-01"), ParamsError, "the earlier day comes first"),
        (ChangeRequest("May", "2026-05-01"), ParamsError, "'May' is not a date"),
        (ChangeRequest(*DAYS, model_from=tmp_path), ModelError, "no complete model"),
    ]
    for request, error, message in cases:
        with pytest.raises(error, match=message):
            explain_changes(request, RunContext(params, layout))
    with pytest.raises(ParamsError, match=r"lead 'nobody' is not on the earlier list .* nor on the later list"):
        explain_lead_change("nobody", trained.request, RunContext(params, layout))
    assert layout.change.path.read_bytes() == before


def test_an_attribute_that_the_tables_lack_is_named(trained: Trained, tmp_path: Path) -> None:
    bare = Layout(tmp_path / "data", trained.layout.artifacts, tmp_path)
    bare.contract.mkdir(parents=True)
    for file in trained.layout.contract.iterdir():
        (bare.contract / file.name).write_bytes(file.read_bytes())
    leads = pd.read_parquet(bare.leads.path)
    leads.drop(columns="industry").to_parquet(bare.leads.path)
    with pytest.raises(ModelError, match="reads attribute 'industry', which the tables do not have"):
        explain_changes(ChangeRequest(*DAYS), RunContext(trained.params, bare))


def test_without_dates_only_the_model_can_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = OVERLAY.replace("order: dates", "order: none").replace(", created_at: created", "")
    text = text.replace("converted_at: won", "converted: won").replace("sector: {}", "sector: {known: export}")
    text = text.replace("size: {kind: number}", "size: {kind: number, known: export}")
    text = re.sub(r"  events:\n.*\n", "  events: []\n", text).replace("no_values: []", 'no_values: ["0"]')
    folder = write_tables(tmp_path)
    won = np.random.default_rng(1).integers(0, 2, 390)
    lines = [f"a{number:04d},{max(one, number % 2)}\n" for number, one in enumerate(won)]
    (folder / "outcomes.csv").write_text("id,won\n" + "".join(lines), encoding="utf-8")
    (folder / "params.yaml").write_text(text.replace("yes_values: []", 'yes_values: ["1"]'), encoding="utf-8")
    params, layout = load(folder / "params.yaml"), Layout.folder(folder / "out")
    ingest(params.source, params.ingest, params.project, folder, layout)
    build_features(RunContext(params, layout))
    train(RunContext(params, layout))
    where = ("--params", folder / "params.yaml", "--out", folder / "out")
    assert leadscore(monkeypatch, "lead", "change", *where, "--model-since", layout.random_split) == 0
    changes = pd.read_parquet(layout.change.path)
    assert sorted(changes["lead_id"]) == [f"a{number:04d}" for number in range(390, 400)]
    assert changes["new_model"].tolist() == changes["difference"].tolist()
    assert changes["difference"].abs().max() > 0
    assert (
        "all of the difference comes from the model" in json.loads(layout.change_summary.path.read_text())["notes"][0]
    )
    assert leadscore(monkeypatch, "lead", "change", "a0390", *where, "--model-since", layout.random_split) == 0
    assert "new model" in capsys.readouterr().out
    assert leadscore(monkeypatch, "lead", "change", *where) == 2
    assert (
        leadscore(monkeypatch, "lead", "change", *where, "--since", "2026-01-01", "--model-since", layout.random_split)
        == 2
    )
    shown = capsys.readouterr().err
    assert "there is nothing to compare" in shown and "no dates" in shown and "Traceback" not in shown
