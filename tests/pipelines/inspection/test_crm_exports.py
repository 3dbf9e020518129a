"""Exports as five CRMs write them: `init` proposes the right mapping, which is read in with no line by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipelines.config.params import load
from pipelines.inspection.starter import look, write_starter
from pipelines.stages.build_features import build_features
from pipelines.stages.ingest import ingest
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
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
