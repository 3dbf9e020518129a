"""The hand-written rules as one of the scorers: the same snapshots, every leaderboard, and words for one lead."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.rules.declarations import RulesParams
from features.schema.errors import ParamsError
from models.points.groups import Part
from models.scoring.rule_points import RuleCurve, fit_curve
from models.scoring.rule_scorer import BELOW, rule_tiers, score_by_rules
from models.tiers.assignment import TierContext
from models.tiers.tier_rules import TierRule
from pipelines.config.params import Params, load
from pipelines.scoring.rule_scoring import explain_lead, score_leads_by_rules
from pipelines.scoring.score_list import COLUMNS
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.train import _rule_curve
from pipelines.storage.contract_store import Contract, read_matrix, read_spec
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.cli.test_app import OVERLAY, leadscore, write_tables
from tests.support.rules_reference import reference_points
from tests.support.small_source import EXAMPLES
from tests.support.tier_scenario import before, facts, ladder, tier_rule

RULES = """
rules:
  start: 2
  attributes:
    - {name: food, attribute: sector, test: is, value: [food], points: 7}
    - {name: small, attribute: size, test: below, value: 100, points: -4}
  events:
    - {name: visited, types: [visit], points: 30, cap: null, decay: {kind: half_life, days: 7}}
  patterns: []
  thresholds: []
"""
NO_RULES = load(EXAMPLES / "olist_funnel.yaml").rules.model_copy(update={"start": 0, "attributes": []})


def prepared(folder: Path, text: str = OVERLAY + RULES) -> tuple[Params, Layout]:
    """A run up to the features, in which every third lead buys."""
    write_tables(folder)
    curious(folder)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    params, layout = load(folder / "params.yaml"), Layout.folder(folder / "out")
    ingest(params.source, params.ingest, params.project, folder, layout)
    build_features(RunContext(params, layout))
    return params, layout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    return prepared(tmp_path_factory.mktemp("rules"))


def curious(folder: Path) -> None:
    """Let some leads visit that never buy, so that a visit does not say all."""
    created = pd.read_csv(folder / "leads.csv", parse_dates=["created"]).iloc[1::6]
    more = [
        f"{lead},{at + pd.Timedelta(days=5)},visit\n"
        for lead, at in zip(created["id"], created["created"], strict=True)
    ]
    with (folder / "events.csv").open("a", encoding="utf-8") as file:
        file.writelines(more)


def expected_points(rows: pd.DataFrame, layout: Layout, rules: RulesParams) -> np.ndarray:
    leads = pd.read_parquet(layout.leads.path).set_index("lead_id").loc[rows["lead_id"]]
    of_events = reference_points(rows, pd.read_parquet(layout.events.path), rules)
    return np.asarray(of_events + 7 * (leads["sector"] == "food") - 4 * (leads["size"] < 100))


def test_every_snapshot_has_the_points_of_its_day_and_they_are_no_feature(run: tuple[Params, Layout]) -> None:
    params, layout = run
    matrix, spec = read_matrix(layout)
    np.testing.assert_allclose(matrix["rule_points"], expected_points(matrix, layout, params.rules), atol=0.01)
    assert matrix["rule_points"].nunique() > 10
    assert "rule_points" not in [entry.name for entry in spec.catalogue]


def test_scoring_asks_the_same_points_as_training(run: tuple[Params, Layout]) -> None:
    params, layout = run
    matrix, spec = read_matrix(layout)
    some = matrix.groupby("snapshot_at").tail(2)
    contract = Contract.open(layout, params.project)
    again = pd.concat(contract.matrix(some[["lead_id", "snapshot_at"]], spec, params.rules), ignore_index=True)
    key = ["lead_id", "snapshot_at"]
    assert again.sort_values(key)["rule_points"].tolist() == some.sort_values(key)["rule_points"].tolist()


def test_without_rules_there_is_no_baseline_and_no_points(tmp_path: Path) -> None:
    params, layout = prepared(tmp_path, OVERLAY)
    matrix, _ = read_matrix(layout)
    assert params.rules == NO_RULES
    assert (matrix["rule_points"] == 0).all()
    assert _rule_curve(matrix, params) is None
    with pytest.raises(ParamsError, match="names no rule"):
        score_leads_by_rules(RunContext(params, layout))


def test_the_curve_finds_the_probabilities_behind_the_points() -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(20, 15, 60_000)
    true = RuleCurve(intercept=-3.0, slope=0.05)
    label = (rng.random(len(points)) < true.probability(points)).astype("float64")
    result = fit_curve(points, label, np.ones(len(points)))
    assert result.slope == pytest.approx(0.05, abs=0.003)
    assert result.probability(points) == pytest.approx(true.probability(points), abs=0.01)


@pytest.mark.parametrize("turn", [-1, 0])
def test_points_that_tell_nothing_or_the_wrong_way_round_are_flat_at_the_base_rate(turn: int) -> None:
    rng = np.random.default_rng(1)
    points = rng.normal(20, 15, 2_000)
    label = (rng.random(len(points)) < RuleCurve(intercept=-2.0, slope=0.05).probability(points)).astype("float64")
    result = fit_curve(turn * points, label, np.ones(len(points)))
    assert result.slope == 0
    assert result.probability(points) == pytest.approx(np.full(len(points), label.mean()), abs=1e-6)


def test_the_rules_stand_in_both_leaderboards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tables(tmp_path)
    curious(tmp_path)
    (tmp_path / "params.yaml").write_text(OVERLAY + RULES, encoding="utf-8")
    out = tmp_path / "out"
    where = ("--params", tmp_path / "params.yaml", "--out", out)
    assert leadscore(monkeypatch, "run", *where, "--data", tmp_path) == 0
    rules, prior = (json.loads((out / "metrics.json").read_text())["baselines"][name] for name in ("rules", "prior"))
    assert rules["auc"] > 0.6
    assert rules["log_loss"] < prior["log_loss"]
    walked = json.loads((out / "backtest.json").read_text())
    assert walked["pooled"]["rules"]["n"] == walked["pooled"]["model"]["n"]
    assert "hand-written rules" in (out / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert leadscore(monkeypatch, "score", *where, "--by", "rules") == 0
    assert pd.read_parquet(out / "scores.parquet")["model_id"].str.startswith("rules-").all()
    assert leadscore(monkeypatch, "lead", "rules", "a0399", *where) == 0
    assert "food" not in capsys.readouterr().out  # a0399 makes steel
    assert leadscore(monkeypatch, "lead", "rules", "nobody", *where) == 2
    shown = capsys.readouterr().err
    assert "error: no lead 'nobody' among the 400 of" in shown and "Traceback" not in shown


def test_every_open_lead_is_scored_by_its_points(run: tuple[Params, Layout]) -> None:
    params, layout = run
    params = params.model_copy(update={"capacity": params.capacity.model_copy(update={"per_period": 20})})
    scores = score_leads_by_rules(RunContext(params, layout))
    assert scores.columns.tolist() == COLUMNS
    pd.testing.assert_frame_equal(pd.read_parquet(layout.scores.path), scores)
    moments = scores[["lead_id"]].assign(snapshot_at=scores["as_of"])
    np.testing.assert_allclose(scores["points"], expected_points(moments, layout, params.rules), atol=0.01)
    np.testing.assert_allclose(scores["base_points"] + scores["fit"] + scores["engagement"], scores["points"])
    by_channel = scores["online"] + scores["offline"] + scores["other_engagement"]
    np.testing.assert_allclose(by_channel, scores["engagement"], atol=1e-9)
    assert scores["online"].gt(0).any()
    assert scores["score"].tolist() == np.rint(scores["points"].clip(0, 100)).astype(int).tolist()
    assert scores["points"].is_monotonic_decreasing
    assert scores["probability"].isna().all()
    assert (scores["tier"] == "hot").sum() == 20 < len(scores)
    for text, reasons in zip(scores["reasons_text"], scores["reasons"], strict=True):
        parts = [f"{reason['theme']} ({reason['points']:+.0f})" for reason in json.loads(reasons)]
        assert text == "; ".join(parts)


GROUP_OF = {"food": "fit", "small": "fit", "visited": "engagement"}


def test_thresholds_name_the_tiers_where_there_are_any(run: tuple[Params, Layout]) -> None:
    params, _ = run
    rules = RulesParams.model_validate(
        params.rules.model_dump() | {"thresholds": [{"name": "go", "at_least": 20}, {"name": "wait", "at_least": 0}]}
    )
    parts = np.array([[0.0, 0.0, 18.0, 2.0], [0.0, -4.0, 0.0, 2.0], [7.0, 0.0, 0.0, 2.0]])
    of = {name: Part(group, "online", name) for name, group in GROUP_OF.items()}
    result = score_by_rules(pd.Series(["a", "b", "c"]), parts, of, 1)
    assert result["lead_id"].tolist() == ["a", "c", "b"]
    triggers = [tier_rule("asked", "go")]
    tiers = params.tiers.model_validate(
        params.tiers.model_dump() | {"ladder": ladder(1.0, "rest").model_dump()["ladder"]}
    ).model_copy(update={"triggers": [TierRule.model_validate(one) for one in triggers], "margin": 3.0})
    alone = rule_tiers(result, rules, TierContext(tiers, 1))
    assert alone["tier"].tolist() == ["go", "wait", BELOW]
    held = facts(result, asked=[False, False, True])
    previous = before(result, ["wait", "go", None])
    moved = rule_tiers(result, rules, TierContext(tiers, 1, facts=held, previous=previous))
    assert moved["tier"].tolist() == ["wait", "wait", "go"]
    assert moved["tier_reason"].tolist() == ["kept wait: within 3 points of the cut-off", "", "trigger: asked"]
    assert result["reasons_text"].tolist() == ["visited (+18)", "food (+7)", "small (-4)"]
    assert result["score"].tolist() == [20, 9, 0]
    assert result["fit"].tolist() == [0.0, 7.0, -4.0]
    assert result["online"].tolist() == [18.0, 0.0, 0.0]
    assert result["negative"].tolist() == [0.0, 0.0, -4.0]
    assert result["grade"].eq("").all()


def test_triggers_and_exclusions_hold_for_the_rules_too(tmp_path: Path) -> None:
    overrides = """
tiers:
  triggers: [{name: came by, when: {types: [visit], days: 30}, tier: hot}]
  exclusions: [{name: makes steel, when: {attribute: sector, test: is, value: [steel]}, tier: excluded}]
"""
    params, layout = prepared(tmp_path, OVERLAY + RULES + overrides)
    scores = score_leads_by_rules(RunContext(params, layout))
    leads = pd.read_parquet(layout.leads.path).set_index("lead_id").loc[scores["lead_id"]]
    steel = (leads["sector"] == "steel").to_numpy()
    assert 0 < steel.sum() < len(scores)
    assert (scores["tier"] == "excluded").tolist() == steel.tolist()
    assert scores["tier_reason"][steel].eq("excluded: makes steel").all()
    came = scores["tier_reason"] == "trigger: came by"
    assert scores.loc[came, "tier"].eq("hot").all()
    as_of, events = scores["as_of"].iloc[0], pd.read_parquet(layout.events.path)
    recent = events[(events["event_at"] < as_of) & (events["event_at"] >= as_of - pd.Timedelta(days=30))]
    assert came.tolist() == (scores["lead_id"].isin(recent["lead_id"]) & ~steel).tolist()
    summary = json.loads(layout.score_summary.path.read_text())
    assert summary["tiers"]["excluded"] == steel.sum()


@pytest.mark.parametrize("excluded", [True, False])
def test_leads_that_the_crm_calls_lost_are_kept_off_or_named(
    excluded: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By an exclusion of today's status; without it, one line says so."""
    text = OVERLAY.replace("sector: {}", "sector: {}\n    status: {known: outcome, why: sales sets it}") + RULES
    closed = "{name: lost, when: {attribute: status, test: is, value: [Lost]}, tier: excluded}"
    write_tables(tmp_path)
    leads = pd.read_csv(tmp_path / "leads.csv")
    leads.assign(status=["Lost" if n % 5 else "New" for n in range(len(leads))]).to_csv(
        tmp_path / "leads.csv", index=False
    )
    (tmp_path / "params.yaml").write_text(text + (f"tiers: {{exclusions: [{closed}]}}\n" if excluded else ""))
    params, layout = load(tmp_path / "params.yaml"), Layout.folder(tmp_path / "out")
    ingest(params.source, params.ingest, params.project, tmp_path, layout)
    build_features(RunContext(params, layout))
    scores = score_leads_by_rules(RunContext(params, layout))
    lost = scores["lead_id"].isin(leads["id"][[n for n in range(len(leads)) if n % 5]])
    assert 0 < lost.sum() < len(scores)
    assert (scores["tier"] == "excluded").tolist() == (lost & excluded).tolist()
    said = f"{lost.sum()} of {len(scores)} leads on the list are closed by status (Lost); keep them off it"
    assert (said in caplog.text) != excluded
    summary = json.loads(layout.score_summary.path.read_text())
    assert summary["closed"] == ({} if excluded else {"status": {"Lost": lost.sum()}})


def test_one_lead_is_explained_to_its_very_points(run: tuple[Params, Layout]) -> None:
    params, layout = run
    params = params.model_copy(update={"capacity": params.capacity.model_copy(update={"per_period": 20})})
    scores = score_leads_by_rules(RunContext(params, layout))
    lead = scores.sort_values("engagement").iloc[-1]
    lines = explain_lead(str(lead["lead_id"]), RunContext(params, layout))
    values = [float(re.findall(r"[+-]\d+\.\d{3}", line)[0]) for line in lines[2:]]
    assert values[-1] == pytest.approx(lead["points"], abs=1e-9)
    assert sum(values[:-1]) == pytest.approx(values[-1], abs=1e-9)
    visited = next(line for line in lines if line.startswith("visited"))
    event = pd.read_parquet(layout.events.path).query("lead_id == @lead.lead_id")["event_at"].iloc[0]
    halved = event + pd.Timedelta(days=7) * (int((lead["as_of"] - event) / pd.Timedelta(days=7)) + 1)
    for word in (f"{event:%Y-%m-%d}", f"{halved:%Y-%m-%d}", "+30", "halves every 7 days"):
        assert word in visited


def test_a_lead_is_not_explained_before_it_came(run: tuple[Params, Layout]) -> None:
    params, layout = run
    day = params.model_copy(
        update={"score": params.score.model_copy(update={"as_of": pd.Timestamp("2025-01-01").date()})}
    )
    with pytest.raises(ParamsError, match=r"lead 'a0399' was created on .*later --as-of"):
        explain_lead("a0399", RunContext(day, layout))


def test_a_rule_on_an_attribute_that_is_not_there_is_named_when_params_are_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(OVERLAY + RULES.replace("attribute: size", "attribute: seize"), encoding="utf-8")
    with pytest.raises(
        ParamsError, match="rule 'small' tests attribute 'seize', which these data do not have"
    ) as error:
        load(file)
    assert str(file) in str(error.value)


def test_a_source_of_ones_own_leaves_the_rules_of_another_behind(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(OVERLAY, encoding="utf-8")
    assert load().rules.names
    assert load(file).rules == NO_RULES


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.yaml")))
def test_the_examples_have_rules_that_their_data_can_answer(name: str) -> None:
    assert load(EXAMPLES / f"{name}.yaml").rules.names


def test_a_type_that_no_event_has_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    prepared(tmp_path, OVERLAY + RULES.replace("types: [visit]", "types: [visit, viist]"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["build_features: rules name event type 'viist', which no event has"]


def test_the_spec_of_the_run_is_all_the_rules_need(run: tuple[Params, Layout]) -> None:
    _, layout = run
    assert not layout.bundle.exists()
    known: dict[str, Any] = read_spec(layout).attributes
    assert set(known) == {"sector", "size"}


def test_tables_without_dates_are_scored_and_explained_too(tmp_path: Path) -> None:
    text = OVERLAY.replace("order: dates", "order: none").replace(", created_at: created", "")
    text = text.replace("converted_at: won", "converted: won").replace("sector: {}", "sector: {known: export}")
    text = text.replace("size: {kind: number}", "size: {kind: number, known: export}")
    text = re.sub(r"  events:\n.*\n", "  events: []\n", text).replace("no_values: []", 'no_values: ["0"]')
    folder = write_tables(tmp_path)
    (folder / "outcomes.csv").write_text(
        "id,won\n" + "".join(f"a{number:04d},{number % 2}\n" for number in range(390)), encoding="utf-8"
    )
    (folder / "params.yaml").write_text(text.replace("yes_values: []", 'yes_values: ["1"]') + RULES, encoding="utf-8")
    params, layout = load(folder / "params.yaml"), Layout.folder(folder / "out")
    ingest(params.source, params.ingest, params.project, folder, layout)
    build_features(RunContext(params, layout))
    scores = score_leads_by_rules(RunContext(params, layout)).set_index("lead_id")
    assert sorted(scores.index) == [f"a{number:04d}" for number in range(390, 400)]
    assert scores["points"].to_dict() == {f"a{number:04d}": 2.0 if number % 2 else 9.0 for number in range(390, 400)}
    assert explain_lead("a0390", RunContext(params, layout))[-1].split() == ["sum", "+9.000"]


def test_the_command_says_what_goes_in_and_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leadscore(monkeypatch, "lead", "rules", "--help") == 0
    printed = capsys.readouterr().out
    assert "IN:" in printed and "OUT:" in printed
