"""Exports as five CRMs write them: `init` proposes the right mapping, which is read in with no line by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from pipelines.config import params as of_params
from pipelines.config.params import load
from pipelines.config.yaml_files import merge
from pipelines.inspection.starter import look, write_starter
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.end_to_end.test_docs import QUICK as SHORT
from tests.pipelines.cli.test_app import leadscore
from tests.support.crm_exports import CRMS, write

KINDS = {
    "salesforce": {"annual_revenue": "number", "number_of_employees": "number", "lead_source": "category"},
    "hubspot": {"number_of_employees": "number", "original_source": "category"},
    "pipedrive": {"deal_value": "number", "organization_country": "category"},
    "zoho": {"annual_revenue": "number", "no_of_employees": "number"},
    "dynamics": {"annual_revenue": "number", "no_of_employees": "number", "lead_source": "category"},
}


@pytest.mark.parametrize("name", CRMS)
def test_what_init_proposes_for_a_crm_is_right_and_is_read(tmp_path: Path, name: str) -> None:
    crm = CRMS[name]
    true = write(crm, tmp_path)
    found = look(tmp_path)
    write_starter(tmp_path, tmp_path / "leadscore.yaml", found, 200)
    params = load(tmp_path / "leadscore.yaml")
    lead_id, created, outcome = crm.roles
    assert params.source.leads.columns == {"lead_id": lead_id, "created_at": created}
    assert found.outcomes[0] == outcome
    assert params.source.order == ("dates" if crm.dated else "rows")
    read = {one.column for one in params.source.attributes.values() if one.known != "outcome" and not one.part}
    assert not read & {*crm.leaks, *crm.roles}, found.mapping
    assert {key: params.source.attributes[key].kind for key in KINDS[name]} == KINDS[name]
    assert "title" not in {one.kind for one in params.source.attributes.values()}, "the title of a deal is no job"

    layout = Layout.folder(tmp_path / "results")
    profile = ingest(params.source, params.ingest, params.project, tmp_path, layout)
    assert profile.tables["leads"].kept == len(true.end)
    assert not any(sum(table.quarantined.values()) for table in profile.tables.values())
    outcomes = pd.read_parquet(layout.outcomes.path)
    won = outcomes["converted_at"].notna() if crm.dated else outcomes["converted"].fillna(False).astype(bool)
    assert won.sum() == true.won.sum()
    build_features(RunContext(params, layout), Contract.open)
    matrix = pd.read_parquet(layout.matrix.path)
    assert matrix["label"].nunique() == 2


def test_an_export_becomes_a_list_with_no_line_by_hand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The others of the five take the same way; a learner cut short and no charts, as they are tested elsewhere."""
    monkeypatch.setattr("pipelines.reporting.charts._drawn", lambda specification: "<svg/>")
    monkeypatch.setattr(of_params, "QUICK", merge(of_params.QUICK, YAML(typ="safe", pure=True).load(SHORT)))
    true = write(CRMS["hubspot"], tmp_path)
    monkeypatch.chdir(tmp_path)
    assert leadscore(monkeypatch, "init") == 0
    assert leadscore(monkeypatch, "run", "--quick") == 0
    scores = pd.read_csv("results/scores.csv")
    assert set(scores["lead_id"].astype(str)) <= {f"5100{row:05d}" for row in np.flatnonzero(true.end != 1)}
    assert len(scores) > 50 and "Last Name" in scores and Path("results/report.html").is_file()


def test_opportunities_that_name_no_lead_are_left_out_and_named(tmp_path: Path) -> None:
    write(CRMS["salesforce"], tmp_path)
    said = look(tmp_path).warnings[0]
    assert said.startswith("Opportunity.csv is not read, and the outcome is 'ConvertedDate' of Lead.csv: ")
    assert "no column whose values are leads" in said


def test_a_count_of_what_leads_do_is_no_fact_of_their_creation(tmp_path: Path) -> None:
    write(CRMS["hubspot"], tmp_path)
    found = look(tmp_path)
    assert 'number_of_pageviews: {column: "Number of Pageviews", kind: number, group: engagement, known: outcome' in (
        found.mapping
    )
    assert "Number of Sessions" not in found.at_creation
