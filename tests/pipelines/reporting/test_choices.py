"""The report's backtest, choices and recalibration: every number equals its file, and what does not apply says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.schema.errors import DataError
from models.evaluation.estimate import ModelMetrics
from models.evaluation.measures import Measure
from models.evaluation.results import BacktestPeriod, BacktestResult, EvaluationResult, NoBacktest
from models.kpis.results import KpiResult
from models.training.selection import Candidate, Decision
from pipelines.config.params import Params
from pipelines.reporting import charts, tables
from pipelines.reporting.page import number, percent, points
from pipelines.reporting.tables import QUESTIONS
from pipelines.stages.report import ReportInputs, render, write_report
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.pipelines.stages.test_report import undated_run
from tests.support.html_page import Page, parsed
from tests.support.results import backtest_period, model_metrics
from tests.support.tiny import tiny_copy, tiny_params


@pytest.fixture(scope="module")
def dated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    folder = tmp_path_factory.mktemp("walked")
    return tiny_params(folder), tiny_copy(tmp_path_factory, folder / "out")


@pytest.fixture(scope="module")
def undated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout]:
    return undated_run(tmp_path_factory.mktemp("unwalked"))


@pytest.fixture(scope="module", params=["dated", "undated"])
def run(request: pytest.FixtureRequest) -> tuple[Params, Layout]:
    params_and_layout: tuple[Params, Layout] = request.getfixturevalue(request.param)
    return params_and_layout


def tree(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def page_of(layout: Layout) -> Page:
    return parsed(layout.report.path.read_text(encoding="utf-8"))


def section(page: Page, name: str) -> str:
    return str(page.all("section", id=name)[0]["text"])


def rendered(run: tuple[Params, Layout], **changed: Any) -> Page:
    """The page of a run with some artifacts changed; results are given as on disk."""
    params, layout = run
    for name, kind in (("metrics", EvaluationResult), ("backtest", BacktestResult), ("kpis", KpiResult)):
        if isinstance(changed.get(name), dict):
            changed[name] = kind.model_validate(changed[name])
    parts = ReportInputs.read(RunContext(params, layout)).__dict__ | changed
    return parsed(render(ReportInputs(**parts), params.project.name, params.report.top_leads))


def period(cut: str, **auc_of: float) -> BacktestPeriod:
    """One period of a backtest; `auc_of` gives the AUC of the model and of baselines."""
    return backtest_period(cut, {name: metrics(auc=auc) for name, auc in auc_of.items()})


def metrics(**values: float) -> ModelMetrics:
    return model_metrics(**({"base_rate": 0.2, "mean_probability": 0.1, "log_loss": 0.5} | values))


def test_the_first_screen_says_whom_to_call_and_what_it_wins(run: tuple[Params, Layout]) -> None:
    layout = run[1]
    metrics, page = tree(layout.metrics.path), page_of(layout)
    summary = tree(layout.score_summary.path)
    scores = pd.read_parquet(layout.scores.path)
    step = next(one for one in summary["capacity"] if one["capacity"] == metrics["capacity"])
    wins = f"about {step['wins']:,.{0 if step['wins'] >= 10 else 1}f} wins expected"
    title, lede = page.all("h1")[0]["text"], page.all("p", class_="lede")[0]["text"]
    first = {"better": f"Call these {step['leads']}", "no better": "Stay with ", "worse": "Do not call by this list"}
    assert title.startswith(first[metrics["verdict"]["state"]])
    assert f"{wins} ({step['wins_low']:.0f} to {step['wins_high']:.0f})" in title + lede
    wins_today = metrics["wins"]["wins_today"] * step["leads"] / metrics["wins"]["calls"]
    assert f"by chance {step['leads'] * metrics['test']['base_rate']:,.1f}; by " in lede.lower()
    assert f" {wins_today:,.1f}. {summary['n']:,} {summary['who']}." in lede
    start = page.all("section", id="start")[0]["text"]
    assert metrics["verdict"]["lines"][0] in start
    checks = tree(layout.audit.path)["checks"]
    assert f"{sum(one['status'] == 'passed' for one in checks)} leakage checks passed" in start or "failed" in start
    called = [one["text"] for one in page.all("span", class_="who")]
    assert called == scores["lead_id"].head(10).tolist()
    assert 3 <= start.count("worst at") <= 5
    for name, n in summary["tiers"].items():
        if name != "excluded":
            assert f"{name}: {n:,} lead" in start


def test_each_period_of_the_table_equals_the_backtest(dated: tuple[Params, Layout]) -> None:
    backtest, page = tree(dated[1].backtest.path), page_of(dated[1])
    rows = [
        [*row, *rates[1:]]
        for row, rates in zip(page.rows("walk")[1:], page.rows("walk-probabilities")[2:], strict=True)
    ]
    assert backtest["applicable"]
    assert len(rows) == len(backtest["periods"]) + 1
    for row, entry in zip(rows, backtest["periods"], strict=False):
        assert row[0] == f"{entry['cut']} from {entry['training_rows']:,} rows"
        assert_metrics(row[1:], entry["metrics"], page)
    assert rows[-1][0] == "All rows pooled"
    assert_metrics(rows[-1][1:], backtest["pooled"], page)


def assert_metrics(cells: list[str], metrics: dict[str, Any], page: Page) -> None:
    """Compare one row's cells with the metrics of its period."""
    cells_of = [element["attrs"] for element in page.all("td")]
    ranked = list(dict.fromkeys(cell["data-auc"] for cell in cells_of if "data-auc" in cell))
    evaluated = list(dict.fromkeys(cell["data-loss"] for cell in cells_of if "data-loss" in cell))
    model = metrics["model"]
    expected = [f"{number(model['n'])} {number(model['n_positive'])} converted"]
    for name in ranked:
        auc, low, high = (number(metrics[name][key], 3) for key in ("auc", "auc_low", "auc_high"))
        expected.append(f"{auc} {low} to {high}")
    expected += [number(metrics[name]["log_loss"], 3) for name in evaluated]
    expected += [percent(metrics[name]["mean_probability"]) for name in ("model", "uncorrected")]
    rate, low, high = (percent(model[key]) for key in ("base_rate", "base_rate_low", "base_rate_high"))
    assert cells == [*expected, f"{rate} {low} to {high}"]
    assert set(evaluated) == {"model", "prior", "logistic", "scorecard", "rules"}
    assert {"model", "logistic"} <= set(ranked) <= set(evaluated) - {"prior"}


def test_without_dates_the_reason_for_no_backtest_is_given(undated: tuple[Params, Layout]) -> None:
    page = page_of(undated[1])
    assert f"Not walked forward: {tree(undated[1].backtest.path)['why']}." in section(page, "backtest")
    assert not page.all("table", id="walk")
    assert not page.all("div", id="chart-walk-auc")


@pytest.mark.parametrize("applicable", [True, False])
def test_cuts_that_were_left_out_are_listed_with_the_reason(dated: tuple[Params, Layout], applicable: bool) -> None:
    reason = "found <3> converted (needs 100)"
    missing = {"left_out": [{"cut": "2025-09-01", "why": reason}]}
    backtest = tree(dated[1].backtest.path) | missing
    no_backtest = NoBacktest.model_validate({"why": "too little"} | missing)
    page = rendered(dated, backtest=backtest if applicable else no_backtest)
    inside = section(page, "backtest")
    assert "1 retraining left out" in inside
    assert f"2025-09-01: {reason}" in inside
    assert ("Not walked forward: too little." in inside) is not applicable


def test_each_decision_equals_the_selection(run: tuple[Params, Layout]) -> None:
    decisions, page = tree(run[1].selection.path)["decisions"], page_of(run[1])
    rows = page.rows("decisions")[1:]
    assert len(rows) == len(decisions)
    for row, decision in zip(rows, decisions, strict=True):
        question = decision["question"]
        chosen = next(one for one in decision["candidates"] if one["name"] == decision["chosen"])
        assert row[0] == f"{question.capitalize()} {QUESTIONS[question]}"
        assert row[1:] == [chosen["name"], number(chosen["loss"], 5), worse(chosen), str(len(decision["candidates"]))]


def test_every_candidate_is_there_and_the_chosen_one_marked(run: tuple[Params, Layout]) -> None:
    decisions = tree(run[1].selection.path)["decisions"]
    rows = [row[-3:] for row in page_of(run[1]).rows("candidates")[1:]]
    candidates = [(one, decision["chosen"]) for decision in decisions for one in decision["candidates"]]
    assert rows == [
        [one["name"] + (" chosen" if one["name"] == chosen else ""), number(one["loss"], 5), worse(one)]
        for one, chosen in candidates
    ]


def worse(candidate: dict[str, Any]) -> str:
    is_best = candidate["worse_by"] == candidate["error"] == 0
    return "best" if is_best else f"{number(candidate['worse_by'], 5)} ± {number(candidate['error'], 5)}"


def test_the_settings_equal_the_selection(run: tuple[Params, Layout]) -> None:
    page = page_of(run[1])
    inside = [part for part in page.elements if any(at["attrs"].get("id") == "settings" for at in part["inside"])]
    names = [part["text"] for part in inside if part["tag"] == "dt"]
    values = [float(part["text"]) for part in inside if part["tag"] == "dd"]
    settings = tree(run[1].selection.path)["settings"]
    assert dict(zip(names, values, strict=True)) == pytest.approx(settings, rel=1e-3)


def test_features_left_out_are_named_with_the_reason(dated: tuple[Params, Layout]) -> None:
    selection = tree(dated[1].selection.path)
    some = rendered(dated, selection=selection | {"left_out": ["month of <creation>", "region"]})
    text = some.all("p", id="left-out")[0]["text"]
    assert text.startswith("Left out: month of <creation>, region. Their values drift during the training period")
    assert text.endswith("predictions on later rows are not clearly worse without them.")
    none = rendered(dated, selection=selection | {"left_out": []})
    assert none.all("p", id="left-out")[0]["text"] == "No feature was left out."


def test_without_an_order_no_fold_is_called_forward(undated: tuple[Params, Layout]) -> None:
    text = section(page_of(undated[1]), "choices")
    assert text.strip().startswith("What the folds chose")
    assert "recalibration window" not in text
    assert "evaluated on later ones" not in text


def test_calibration_before_and_after_equals_the_metrics(dated: tuple[Params, Layout]) -> None:
    metrics = tree(dated[1].metrics.path)
    metadata = ReportInputs.read(RunContext(*dated)).metadata
    before = metadata.sigmoid.model_copy(update={"intercept": metadata.sigmoid.intercept - 1})
    worse_before = metrics["uncorrected"] | {"log_loss": metrics["test"]["log_loss"] + 0.25, "mean_probability": 0.01}
    changed = {"metadata": metadata.model_copy(update={"uncorrected": before})}
    page = rendered(dated, **changed, metrics=metrics | {"uncorrected": worse_before})
    rows = page.rows("correction")[1:]
    for row, of in zip(rows, (worse_before, metrics["test"]), strict=True):
        shares = [percent(of["mean_probability"]), percent(of["base_rate"])]
        assert row[1:] == [*shares, number(of["calibration_error"], 3), number(of["log_loss"], 3)]
    assert "it does not change the ranking. Here it lowers the log-loss by 0.250." in section(page, "quality")


def test_where_nothing_was_recalibrated_the_reason_is_given(
    dated: tuple[Params, Layout], undated: tuple[Params, Layout]
) -> None:
    assert "without an order of rows no outcome is more recent" in section(page_of(undated[1]), "quality")
    metadata = ReportInputs.read(RunContext(*dated)).metadata
    page = rendered(dated, metadata=metadata.model_copy(update={"uncorrected": metadata.sigmoid}))
    assert "on the forward folds, calibration on all training rows was best" in section(page, "quality")
    assert not page.all("table", id="correction")


def test_tiers_over_time_are_shown_as_they_were_measured(run: tuple[Params, Layout]) -> None:
    kpis, page = tree(run[1].kpis.path), page_of(run[1])
    assert all(line in section(page, "kpis") for line in kpis["verdict"]["lines"])
    for row, tier in zip(page.rows("kpi-tiers")[1:], kpis["tiers"], strict=True):
        kpis_of = tier["all"]
        assert row[:2] == [tier["name"], f"{kpis_of['leads']:,}"]
        assert row[2].startswith(percent(kpis_of["conversion_rate"]) + " " + percent(kpis_of["conversion_rate_low"]))
    comparisons = [one for one in kpis["comparisons"] if one["group"] == "tier"]
    shown = [row[:4] for row in page.rows("kpi-looks")[1:]]
    assert shown == [[one["name"], one["answer"], f"{one['rows']:,}", f"{one['leads']:,}"] for one in comparisons]
    verdict = tree(run[1].metrics.path)["verdict"]["lines"]
    assert sum(f"Probabilities: {comparisons[0]['answer']} " in line for line in verdict) == 1


def test_wins_on_no_list_are_shown_by_age_and_reason_with_what_the_interval_costs(
    dated: tuple[Params, Layout], undated: tuple[Params, Layout]
) -> None:
    coverage, page = tree(dated[1].kpis.path)["coverage"], page_of(dated[1])
    assert coverage == tree(dated[1].metrics.path)["coverage"], "computed once"
    for name, table in (("period", "kpi-no-list"), ("history", "kpi-no-list-history")):
        counted = coverage[name]
        ages = [[one["days"], f"{one['wins']:,}", f"{one['on_none']:,}"] for one in counted["ages"]]
        assert [row[:3] for row in page.rows(table)[1:]] == [
            *ages,
            ["all", f"{counted['wins']}", f"{counted['on_none']}"],
        ]
        assert page.rows(table)[0][3:] == [reason.capitalize() for reason, n in counted["reasons"].items() if n]
        shares = [row[2] for row in page.rows(f"{table}-cost")[1:]]
        for shown, key in zip(shares, ("on_none_share", "before_share", "daily_before_share"), strict=True):
            assert shown.startswith(percent(counted[key]) + " " + percent(counted[f"{key}_low"]))
    assert coverage["period"]["wins"] - coverage["period"]["on_none"] >= 1
    assert tree(undated[1].kpis.path)["coverage"] is None
    assert not page_of(undated[1]).all("table", id="kpi-no-list")


def test_velocity_is_shown_with_dates_and_its_absence_explained(
    dated: tuple[Params, Layout], undated: tuple[Params, Layout]
) -> None:
    velocity, page = tree(dated[1].kpis.path)["velocity"], page_of(dated[1])
    first, *tiers = page.rows("kpi-velocity")[1:]
    assert first[:3] == [f"creation {velocity['from_creation']['first']} to {velocity['from_creation']['last']}"] + [
        f"{velocity['from_creation'][name]:,}" for name in ("n", "happened")
    ]
    names = ("hot", "warm", "cold", "excluded")
    assert [row[1] for row in tiers] == [f"{velocity['from_tier'][name]['n']:,}" for name in names]
    assert "not reached" in " ".join(first)
    assert [row[0] for row in page.rows("kpi-stages")[1:]] == [one["stage"] for one in velocity["in_stage"]]
    assert page.rows("kpi-cycle")[1][1] == f"{velocity['sales_cycle']['all']['n']:,}"
    assert "Lead velocity is not available, because the data carry no dates." in section(page_of(undated[1]), "kpis")
    assert not page_of(undated[1]).all("table", id="kpi-velocity")


def test_a_tier_that_is_too_generous_is_shown_with_its_cutoff(dated: tuple[Params, Layout]) -> None:
    kpis = tree(dated[1].kpis.path)
    fix = {"tier": "hot", "new_cutoff": 77, "cutoff": 70.0, "per_list": 12.0, "predicted_rate": 0.3}
    fix |= {"observed_rate": 0.2, "observed_rate_low": 0.1, "observed_rate_high": 0.3, "observed_rate_n": 50}
    row_of_tier = kpis["comparisons"][1] | {"answer": "too generous", "points_off": 7.5, "fix": fix}
    page = rendered(dated, kpis=kpis | {"comparisons": [kpis["comparisons"][0], row_of_tier]})
    row = page.rows("kpi-looks")[2]
    assert row[1] == "too generous"
    assert row[-2:] == ["+7.5", "hot from 77 rather than 70: 12.0 leads on each list, of whom 20.0% converted"]
    assert "Points too high" not in section(
        rendered(dated, kpis=kpis | {"comparisons": kpis["comparisons"][:1]}), "kpis"
    )


def test_no_value_is_shown_as_nan_or_none(run: tuple[Params, Layout]) -> None:
    text = page_of(run[1]).all("main")[0]["text"]
    for name in ("backtest", "choices", "quality"):
        assert not re.search(r"\b(nan|None|null|undefined)\b", section(page_of(run[1]), name)), name
    assert "NaN" not in text


@pytest.mark.parametrize(("artifact", "stage"), [("backtest", "backtest"), ("selection", "train")])
def test_a_stage_that_has_not_run_is_named_by_its_file(
    dated: tuple[Params, Layout], artifact: str, stage: str, tmp_path: Path
) -> None:
    params, layout = dated
    path = getattr(layout, artifact).path
    kept = path.rename(tmp_path / "kept.json")
    try:
        with pytest.raises(DataError, match=rf"{artifact}\.json.*{stage} writes"):
            write_report(RunContext(params, layout))
    finally:
        kept.rename(path)


def test_the_auc_chart_draws_every_period_and_the_models_whiskers() -> None:
    periods = [period("2018-03-10", model=0.7, logistic=0.6), period("2018-04-07", model=0.8, logistic=0.65)]
    for entry in periods:
        entry.metrics["model"] = metrics(auc=entry.metrics["model"].auc.value, auc_low=0.5, auc_high=0.9)
    chart = charts.walk_auc(periods, {"model": "Model", "logistic": "Logistic"})
    rows = chart["data"]["values"]
    assert [[row["value"] for row in rows if row["name"] == name] for name in ("Model", "Logistic")] == [
        [0.7, 0.8],
        [0.6, 0.65],
    ]
    reference, whiskers = chart["layer"][:2]
    assert reference["data"]["values"] == [{"value": 0.5}]
    assert [(row["name"], row["low"], row["high"]) for row in whiskers["data"]["values"]] == [("Model", 0.5, 0.9)] * 2
    encoding = chart["layer"][-1]["encoding"]
    assert encoding["x"]["scale"]["domain"] == ["2018-03-10", "2018-04-07"]
    assert len(set(encoding["shape"]["scale"]["range"])) == len(set(encoding["color"]["scale"]["range"])) == 2


def test_the_rates_chart_draws_the_actual_and_both_predicted_rates() -> None:
    entry = period("row 1,200", model=0.7, uncorrected=0.7)
    entry.metrics["model"] = metrics(base_rate_low=0.15, base_rate_high=0.3)
    entry.metrics["uncorrected"] = metrics(mean_probability=0.05)
    rows = charts.walk_rates([entry])["data"]["values"]
    assert [(row["name"], row["value"]) for row in rows] == [
        ("actual", 0.2),
        ("predicted", 0.1),
        ("without recalibration", 0.05),
    ]
    assert (rows[0]["low"], rows[0]["high"]) == (0.15, 0.3)


def test_a_tie_is_no_win() -> None:
    periods = [period("a", model=0.7, logistic=0.6), period("b", model=0.7, logistic=0.7)]
    names = ["model", "logistic"]
    assert tables.best_in(periods, names, Measure("auc", "AUC", "higher", "number", "")) == 1
    periods[1].metrics["model"] = metrics(auc=0.7, log_loss=0.4)
    assert tables.best_in(periods, names, Measure("log_loss", "Log-loss", "lower", "number", "")) == 1


def test_a_question_without_an_explanation_is_listed() -> None:
    candidate = Candidate(name="yes", loss=0.5, worse_by=0.0, error=0.0)
    decision = Decision(question="a new one", chosen="yes", candidates=[candidate])
    row = tables.decisions({"decisions": [decision.model_dump()]})[0]
    assert row["words"] == ""
    assert row["choice"] == candidate.model_dump()


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(3.6, 0, "+4"), (-3.6, 0, "−4"), (0.2, 0, "0"), (-0.04, 1, "0.0"), (-0.05001, 1, "−0.1"), (10.0, 0, "+10")],
)
def test_points_have_a_sign_unless_they_are_zero(value: float, digits: int, text: str) -> None:
    assert points(value, digits) == text


def test_the_ladder_is_the_scale_of_the_score(dated: tuple[Params, Layout]) -> None:
    scale = ReportInputs.read(RunContext(*dated)).metadata.points
    at_anchor = next(row for row in tables.ladder(scale) if row["score"] == scale.anchor_score)
    assert at_anchor["probability"] == pytest.approx(scale.anchor_probability)
