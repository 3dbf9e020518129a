"""What people are shown beside the scores: in scores.csv and on pages, and in nothing that is learned or logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from features.schema.errors import DataError
from pipelines.config.params import load
from pipelines.config.source import SCORED, LeadSource
from pipelines.reporting.tables import leads as first_leads
from pipelines.scoring.score_list import MONEY, SCORES
from pipelines.stages.ingest import ingest
from pipelines.storage.contract_store import Display, without_leads
from pipelines.storage.layout import Layout
from tests.support.small_job import OVERLAY, Job, digests, job
from tests.support.small_source import contract_bytes, run, table

NAME, FORMULA = "PLANTED <b>Zoe</b>", "=PLANTED()"
LEADS = "id,created,country,size,Full Name,Firm\n" + "".join(
    f"{lead},2024-01-0{day},DE,1,{name},{firm}\n"
    for lead, day, name, firm in (("a b/?", 1, NAME, FORMULA), ("b", 2, " ", "k.A."), ("c", 3, "Ann", "Acme"))
)
SHOWN: dict[str, Any] = {
    "display": {"name": "Full Name", "Their firm": "Firm"},
    "url_template": "https://crm.example/leads/{lead_id}?tab=1",
    "missing": ["", "k.A."],
}
FILES: dict[str, str | bytes] = {"leads.csv": LEADS, "events.csv": "id,at,kind,minutes\n", "outcomes.csv": "id,won\n"}


def test_ingest_keeps_it_in_a_file_of_its_own(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain, without = run(tmp_path, FILES, leads=table("leads", missing=["", "k.A."]), out="plain")
    assert Display.read(without).of("c") == {} and not without.display.path.exists()
    profile, layout = run(tmp_path, FILES, leads=table("leads", **SHOWN))
    display = Display.read(layout)
    address = "https://crm.example/leads/"
    assert display.of("a b/?") == {"name": NAME, "Their firm": FORMULA, "url": f"{address}a%20b%2F%3F?tab=1"}
    assert display.of("b") == {"url": f"{address}b?tab=1"}
    assert display.of("nobody") == {}
    assert contract_bytes(layout) == contract_bytes(without)
    assert profile == plain and "PLANTED" not in profile.model_dump_json() + caplog.text


def test_it_follows_the_row_that_is_kept(tmp_path: Path) -> None:
    again = LEADS + "c,2024-01-03,DE,1,Ben,Other\nc,2024-01-09,DE,1,Eve,Other\nx,never,DE,1,Bad,Bad\n"
    profile, layout = run(tmp_path, FILES | {"leads.csv": again}, limit=1.0, leads=table("leads", **SHOWN))
    assert Display.read(layout).cells.index.tolist() == ["a b/?", "b", "c"]
    assert Display.read(layout).of("c")["name"] == "Ann"
    assert profile.tables["leads"].copies == 1 and profile.tables["leads"].kept == 3
    assert "Eve" not in " ".join(pd.read_parquet(layout.quarantine.path)["reason"])


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = r"column 'Fullname': found only the columns .*as source.leads.display says. Did you mean 'Full Name'\?"
    with pytest.raises(DataError, match=said):
        run(tmp_path, FILES, leads=table("leads", display={"name": "Fullname"}))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"display": {"score": "x"}}, "the scores have a column 'score'"),
        ({"display": {"Tier": "x"}}, "the scores have a column 'tier'"),
        ({"display": {"name": "x", "Name": "y"}}, "two labels are 'name'"),
        ({"display": {" name": "x"}}, "no label"),
        ({"display": {"": "x"}}, "no label"),
        ({"display": {"a\nb": "x"}}, "no label"),
        ({"url_template": "javascript:alert({lead_id})"}, "no address of a lead"),
        ({"url_template": "ftp://crm.example/{lead_id}"}, "no address of a lead"),
        ({"url_template": "crm.example/{lead_id}"}, "no address of a lead"),
        ({"url_template": "https://{lead_id}.example/"}, "no address of a lead"),
        ({"url_template": "https://crm.example/leads"}, "no address of a lead"),
        ({"url_template": "https://crm.example/{lead_id}/{lead_id}"}, "no address of a lead"),
        ({"url_template": "https://crm.example/{id}/{lead_id}"}, "no address of a lead"),
        ({"url_template": 'https://crm.example/"onclick={lead_id}'}, "no address of a lead"),
    ],
)
def test_labels_and_addresses_are_checked(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LeadSource.model_validate({"path": "leads.csv"} | given)


def test_no_label_is_a_column_of_the_scores() -> None:
    assert {*SCORES.names, *MONEY.names, "url", "rank"} == SCORED  # rank: of the owners' files


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Job]:
    """A job as it is, and the same with a name for each lead."""
    plain = job(tmp_path_factory.mktemp("plain"))
    folder = tmp_path_factory.mktemp("shown")
    named = job(folder)
    rename(named, "PLANTED")
    return plain, Job(load(named.overlay), named.overlay, named.request)


SHEETS = {"scores.csv", "not_called.csv"}  # for people


def rename(one: Job, name: str) -> None:
    """Give each lead a name, and read the files again."""
    data = one.overlay.parent / "data"
    leads = pd.read_parquet(data / "leads.parquet")
    leads.assign(who=[f"{name} {n}" if n else FORMULA for n in range(len(leads))]).to_parquet(data / "leads.parquet")
    text = OVERLAY.replace("leads: {path", 'leads: {display: {who: who}, url_template: "http://c/{lead_id}", path')
    one.overlay.write_text(text, encoding="utf-8")
    params = load(one.overlay)
    ingest(params.source, params.ingest, params.project, data, Layout.folder(one.overlay.parent / "out"))


def files_with(folder: Path, word: str) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()}


def test_a_list_is_the_same_but_for_the_sheet_of_people(shown: tuple[Job, Job]) -> None:
    plain, named = shown
    (before, after) = (one.run()[0] for one in (plain, named))
    lists = [one.to / "current" for one in shown]
    alone, beside = (pd.read_csv(folder / "scores.csv", dtype=str, keep_default_na=False) for folder in lists)
    assert list(beside)[:4] == ["lead_id", "who", "url", "as_of"]
    pd.testing.assert_frame_equal(beside.drop(columns=["who", "url"]), alone)
    assert beside["who"].str.startswith("PLANTED").sum() == len(beside) - 1
    assert "'" + FORMULA in set(beside["who"]) and beside["url"].str.startswith("http://c/").all()
    same = [digests(folder) for folder in lists]
    assert {name for name in same[0] if same[0][name] != same[1][name]} == {*SHEETS, "manifest.json"}
    assert files_with(named.to, "PLANTED") == SHEETS
    assert files_with(named.layout.data, "PLANTED") <= {"display.parquet"}
    assert before.split(":")[1:] == after.split(":")[1:]


def test_another_name_makes_another_list(shown: tuple[Job, Job]) -> None:
    _, named = shown
    first = named.run()[0]
    assert named.run()[0] == first
    rename(named, "RENAMED")
    assert named.run()[0].split(":")[0] != first.split(":")[0]
    assert "RENAMED" in (named.to / "current" / "scores.csv").read_text(encoding="utf-8")
    with pytest.raises(DataError, match=r"expected \[\], as source.leads.display and url_template say"):
        Display.read_mapped(named.layout, LeadSource(path="leads.parquet"))


def test_what_the_model_learned_from_and_its_folder_hold_none_of_it(shown: tuple[Job, Job]) -> None:
    plain, named = shown
    same = [digests(one.layout.bundle) for one in (plain, named)]
    assert same[0] == same[1]
    leads = [pq.read_table(one.layout.leads.path) for one in shown]
    assert leads[0].schema == leads[1].schema and leads[0].equals(leads[1])


def test_a_page_can_be_told_apart_from_what_people_are_shown() -> None:
    row = {"lead_id": "c", "score": 1, "probability": 0.1, "tier": "hot", "tier_reason": "", "grade": "A1", "fit": 0.0}
    scores = pd.DataFrame([row | {"engagement": 0.0, "points": 1.0, "base_points": 1.0, "reasons": json.dumps([])}])
    display = Display(pd.DataFrame({"name": [NAME]}, index=pd.Index(["c"], name="lead_id")))
    assert first_leads(scores, 1, display)[0]["display"] == {"name": NAME}
    hidden = "<!--display--><br>PLANTED\n&lt;!--/display--&gt;<!--/display-->"
    assert without_leads(f"<p>{hidden}</p><i>{hidden}</i>") == "<p></p><i></i>"
