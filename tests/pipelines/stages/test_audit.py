"""The audit as a stage: what it names on real and simulated leads, what it stays silent about, and what it writes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from features.schema.errors import DataError
from models.checks import CheckResult
from models.leakage.audit import AuditInputs, audit
from pipelines.config.params import Params, load
from pipelines.simulation.export import chunks
from pipelines.stages.audit import audit_leakage, log_lines
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.stages.simulate import write
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.leakage_scenario import AUDIT, labels, scenario, signal
from tests.support.paths import ROOT

DATA = ROOT.parent / "shared" / "data"
Fired = dict[str, set[str]]  # the columns that each failed check names
CODES = [f"LK{number:02d}" for number in range(1, 12)]
ASYMMETRIQUE = {
    f"Asymmetrique {what}" for what in ("Activity Index", "Activity Score", "Profile Index", "Profile Score")
}
DEALS = """
source:
  order: dates
  timezone: UTC
  leads: {path: deals.csv, columns: {lead_id: opportunity_id, created_at: engage_date}}
  attributes: {sales_agent: {}, product: {}, account: {}}
  events: []
  event_labels: {}
  outcomes: {path: deals.csv, columns: {lead_id: opportunity_id, converted_at: won_at, lost_at: lost_at}}
  stages: []
  attribute_history: []
ingest: {max_quarantine_share: 0.1}
snapshots: {horizon_days: 60, every_days: 7, min_age_days: 1, max_age_days: 365, outcome_lag_days: 0}
"""
OVERWRITTEN = {"Last Activity", "Last Notable Activity"}


def audited(params: Params, data: Path, layout: Layout) -> Fired:
    """Run what the audit needs, and the audit."""
    ingest(params.source, params.ingest, params.project, data, layout)
    build_features(RunContext(params, layout))
    return fired_by(params, layout)


def fired_by(params: Params, layout: Layout) -> Fired:
    """The columns that each failed check names."""
    return {
        check.code: set(check.columns) for check in audit_leakage(RunContext(params, layout)).checks if check.failed
    }


def opened(base: Path, known: str, folder: Path) -> Params:
    """The parameters of a file with nothing left out as known: outcome."""
    source = yaml.safe_load(base.read_text(encoding="utf-8"))["source"]
    for spec in source["attributes"].values():
        if spec.get("known") == "outcome":
            spec["known"] = known
    overlay = folder / "opened.yaml"
    rest = {} if base.parent == ROOT else yaml.safe_load(base.read_text(encoding="utf-8"))
    overlay.write_text(yaml.safe_dump(rest | {"source": source}), encoding="utf-8")
    return load(overlay)


def real(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"the data set {name} is not beside the project")
    return DATA / name


def test_x_education_with_nothing_left_out(tmp_path: Path) -> None:
    data = real("x_education")
    params = opened(ROOT / "examples" / "x_education.yaml", "export", tmp_path)
    fired = audited(params, data, Layout.folder(tmp_path))
    assert fired["LK01"] == fired["LK02"] == {"Tags"}
    named = {"Tags", "Lead Quality", "Lead Profile", "Asymmetrique Activity Score"} | OVERWRITTEN
    assert fired["LK03"] == named, "the other three of their block rank hardly better than chance: LK05 names them"
    assert fired["LK04"] == {"Lead Quality", "Lead Profile"}
    assert fired["LK05"] == ASYMMETRIQUE
    assert set(fired) == {"LK01", "LK02", "LK03", "LK04", "LK05"}  # nothing of Lead Source or the time on the website


def test_x_education_is_seen_by_its_figures_without_any_name(tmp_path: Path) -> None:
    """The same columns under names that say nothing."""
    data = real("x_education")
    tree = yaml.safe_load((ROOT / "examples" / "x_education.yaml").read_text(encoding="utf-8"))
    given = {name: spec.get("column", name) for name, spec in tree["source"]["attributes"].items()}
    blank = {column: f"column {place}" for place, column in enumerate(given.values())}
    frame = pd.read_csv(data / "Leads.csv", dtype=str, keep_default_na=False).rename(columns=blank)
    frame.to_csv(tmp_path / "Leads.csv", index=False)
    tree["source"]["attributes"] = {
        f"column_{place}": spec | {"column": blank[given[name]], "known": "export"}
        for place, (name, spec) in enumerate(tree["source"]["attributes"].items())
    }
    tree.pop("rules")  # they speak of the attributes by their names
    (tmp_path / "blank.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    fired = audited(load(tmp_path / "blank.yaml"), tmp_path, Layout.folder(tmp_path / "out"))
    named = set().union(*fired.values())
    assert named == {blank[column] for column in {"Tags", "Lead Quality", "Lead Profile"} | ASYMMETRIQUE}


def test_bank_marketing_with_nothing_left_out(tmp_path: Path) -> None:
    data = real("bank_marketing")
    params = opened(ROOT / "examples" / "bank_marketing.yaml", "export", tmp_path)
    fired = audited(params, data, Layout.folder(tmp_path))
    assert fired["LK01"] == fired["LK03"] == {"duration"}
    # Economic indicators that followed the calendar: what they said until 2008 was wrong from 2009 on.
    assert fired["LK10"] == {"cons.price.idx", "nr.employed", "emp.var.rate", "euribor3m"}
    assert set(fired) == {"LK01", "LK03", "LK10"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of a small simulated funnel."""
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "small.yaml").write_text("simulate: {leads: 4000}\n", encoding="utf-8")
    params, layout = load(folder / "small.yaml"), Layout.folder(folder)
    write(chunks(params.simulate, params.project.seed, params.snapshots), layout.raw, layout.oracle.path)
    return layout.raw


@pytest.fixture(scope="module")
def shipped(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Fired]:
    layout = Layout.folder(tmp_path_factory.mktemp("shipped"))
    return layout, audited(load(), raw, layout)


@pytest.fixture(scope="module")
def planted(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Params, Layout, Fired]:
    """A run with the planted field declared as if it were known when the lead was created."""
    folder = tmp_path_factory.mktemp("planted")
    params, layout = opened(ROOT / "params.yaml", "creation", folder), Layout.folder(folder)
    return params, layout, audited(params, raw, layout)


def test_the_simulator_with_its_planted_field(planted: tuple[Params, Layout, Fired]) -> None:
    assert planted[-1] == {code: {"crm_rating"} for code in ("LK01", "LK02", "LK03", "LK11")}


def test_the_simulator_as_shipped(shipped: tuple[Layout, Fired]) -> None:
    assert shipped[-1] == {}


def test_events_with_the_outcome_and_late_edits_are_seen(shipped: tuple[Layout, Fired], tmp_path: Path) -> None:
    """An invoice in each converted lead, and an edit of its title on the day after, are added to the contract."""
    shutil.copytree(shipped[0].reports, tmp_path / "run")
    layout = Layout.folder(tmp_path / "run")
    won = (
        pd.read_parquet(layout.outcomes.path).dropna(subset=["converted_at"]).merge(pd.read_parquet(layout.leads.path))
    )
    invoice = won[["lead_id"]].assign(event_at=won["converted_at"], known_at=won["converted_at"], event_type="invoice")
    invoice = invoice.assign(direction="outbound", channel="offline")
    pd.concat([pd.read_parquet(layout.events.path), invoice]).to_parquet(layout.events.path, index=False)
    began = won[["lead_id", "company_size"]].assign(valid_from=won["created_at"], job_title="clerk")
    edited = began.assign(valid_from=won["converted_at"] + pd.Timedelta(days=1), job_title="client")
    pd.concat([began, edited]).to_parquet(layout.attribute_history.path, index=False)
    assert fired_by(load(), layout) == {"LK06": {"job_title"}, "LK07": {"invoice"}}


def test_the_stage_writes_every_check_those_that_fire_first_by_any_threads(
    planted: tuple[Params, Layout, Fired], caplog: pytest.LogCaptureFixture
) -> None:
    params, layout, _ = planted
    alone = params.model_copy(update={"project": params.project.model_copy(update={"threads": 1})})
    once = layout.audit.path.read_bytes()
    with caplog.at_level(logging.INFO, "leadscore"):
        audit_leakage(RunContext(alone, layout))
    assert layout.audit.path.read_bytes() == once
    checks: list[dict[str, Any]] = json.loads(once)["checks"]
    assert sorted(check["code"] for check in checks) == CODES
    answers = [check["status"] == "failed" for check in checks]
    assert answers == sorted(answers, reverse=True)
    for check in checks:
        assert bool(check["columns"]) == bool(check["fix"]) == (check["status"] == "failed")
        assert check["detail"]
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"audit: {check['code']} {check['title']}: crm_rating" for check in checks[: sum(answers)]]


def test_what_somebody_has_looked_into_is_not_raised_again(
    planted: tuple[Params, Layout, Fired], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    params, layout, _ = planted
    copy = Layout.folder(tmp_path / "run")
    shutil.copytree(layout.reports, copy.reports)
    accepted = ["LK01", "LK02 crm_rating", "LK03 another", "LK11"]
    answered = params.model_copy(update={"promotion": params.promotion.model_copy(update={"accepted": accepted})})
    with caplog.at_level(logging.INFO, "leadscore"):
        checks = {check.code: check for check in audit_leakage(RunContext(answered, copy)).checks}
    assert [checks[code].status for code in ("LK01", "LK02", "LK03")] == ["accepted", "accepted", "failed"]
    assert "accepted in promotion.accepted: crm_rating" in checks["LK01"].detail
    assert caplog.records[-1].getMessage().startswith("audit: LK03")


def test_a_check_that_is_not_applicable_did_not_pass() -> None:
    states = ("passed", "not applicable", "passed", "accepted")
    checks = [CheckResult(code=f"LK0{n}", title="a", status=status, detail="b") for n, status in enumerate(states)]
    assert log_lines(checks) == ["2 leakage checks passed, LK03 accepted"]


def test_a_field_filled_at_any_closing_is_named_on_real_deals(tmp_path: Path) -> None:
    """An account is empty for 68% of the deals still open and for none of the won and lost: it ranks nobody."""
    deals = real("crm_opportunities")
    frame = pd.read_csv(deals / "sales_pipeline.csv", dtype=str, keep_default_na=False)
    won, lost = (frame["close_date"].where(frame["deal_stage"] == stage, "") for stage in ("Won", "Lost"))
    frame.assign(won_at=won, lost_at=lost).to_csv(tmp_path / "deals.csv", index=False)
    (tmp_path / "params.yaml").write_text(DEALS, encoding="utf-8")
    fired = audited(load(tmp_path / "params.yaml"), tmp_path, Layout.folder(tmp_path / "out"))
    assert fired.get("LK11") == {"account"}
    assert "account" not in set().union(*(names for code, names in fired.items() if code != "LK11"))


def test_a_stage_that_has_not_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="build-features"):
        audit_leakage(RunContext(load(), Layout.folder(tmp_path)))
    assert not Layout.folder(tmp_path).audit.path.exists()


def test_nothing_of_the_input_is_changed() -> None:
    label = labels(500)
    made = scenario({"call": signal(label, 3.0), "age": signal(label, 0.2)}, label, "rows")
    before = made.matrix.copy()
    ask(made.matrix, made.spec, "rows")
    pd.testing.assert_frame_equal(made.matrix, before)


def ask(matrix: pd.DataFrame, spec: Any, order: str) -> list[str]:
    """Codes of the failed checks, where there are no events and no history."""
    leads = matrix[["lead_id", "position"]]
    nothing = pd.DataFrame({"lead_id": [], "valid_from": []})
    outcomes = pd.DataFrame({"lead_id": [], "converted": [], "converted_at": [], "lost_at": []})
    inputs = AuditInputs(matrix, spec, leads, outcomes, nothing, None, order, pd.Timestamp("2026-01-01"))
    result = audit(inputs, 3, AUDIT)
    return [check.code for check in result.checks if check.failed]


@pytest.mark.parametrize("order", ["none", "rows"])
def test_honest_leads_raise_no_alarm(order: str) -> None:
    """Sets of up to thirty columns, some telling, some empty in parts, some moving with time."""
    draws: list[Callable[[np.random.Generator, int], np.ndarray]] = [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: np.where(rng.random(n) < 0.4, np.nan, rng.normal(size=n)),
        lambda rng, n: rng.normal(size=n) + np.linspace(0, 2, n),
        lambda rng, n: rng.choice(np.array(["a", "b", "c", "d"]), n, p=[0.6, 0.3, 0.08, 0.02]),
    ]
    alarms = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(150, 3000))
        columns = {f"c{place}": draws[place % 4](rng, n) for place in range(int(rng.integers(2, 30)))}
        odds = np.nan_to_num(columns["c0"]) * rng.uniform(0, 1.2) - rng.uniform(0, 2.5)
        label = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype("float64")
        made = scenario(columns, label, order)
        alarms += [(seed, code) for code in ask(made.matrix, made.spec, order)]
    assert alarms == []
