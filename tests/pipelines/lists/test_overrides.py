"""Overrides from the command to the list: what they move, and that nothing which is learned or measured moves."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from features.schema.errors import DataError, ParamsError
from models.lists.overrides import as_overrides
from pipelines.analysis.lead_override import give_override, take_override_back
from pipelines.config.source import TableSource
from pipelines.privacy.files import Wanted, forget_in_folder
from pipelines.reporting.overrides import judge_overrides
from pipelines.scheduled import input_files
from pipelines.scoring.override_store import STORE, add_override, read_overrides
from pipelines.stages.ingest import ingest
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support import small_job
from tests.support.small_job import TODAY, Job, digests, job
from tests.support.tables import DAY, PARAMS

OURS = ["tier", "stage", "tier_reason", "propensity", "explored", "as_of", "previous_tier"]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return job(tmp_path_factory.mktemp("job"))


def wanted(**changed: str | float | None) -> dict[str, str | float | None]:
    given = f"{TODAY:%Y-%m-%d}"
    rest: dict[str, str | float | None] = {"tier": "hot", "points": None, "who": "Anna", "why": "=knows them"}
    return rest | {"until": f"{TODAY + 3 * DAY:%Y-%m-%d}", "given": given} | changed


def current(here: Job) -> pd.DataFrame:
    return pd.read_parquet(here.to / "current" / "scores.parquet").set_index("lead_id")


def test_from_the_command_to_the_list_and_back(ready: Job, tmp_path: Path) -> None:
    here = ready.request_with(to=tmp_path / "to")
    run, now = RunContext(here.params, here.layout), TODAY
    here.run()
    before = current(here)
    lead = str(before.index[before["tier"] == "warm"][-1])
    assert "by its score warm" in give_override(lead, wanted(), run, here.to, now)
    here.run()
    after = current(here)
    own = [name for name in before if name not in OURS]
    pd.testing.assert_frame_equal(after[own].sort_index(), before[own].sort_index())
    assert (after.loc[lead, "tier"], after.loc[lead, "earned_tier"]) == ("hot", "warm")
    assert after.loc[lead, "tier_reason"] == "override by Anna until 2024-03-07: =knows them"
    assert (after["tier"] != before["tier"].reindex(after.index)).sum() == 1
    stored = read_overrides([here.to / STORE], here.params.tiers.names).iloc[0]
    assert (stored["own_tier"], stored["own_probability"]) == ("warm", before.loc[lead, "probability"])
    assert take_override_back(lead, run, here.to, now) == f"{lead}: 1 override taken back"
    here.run()
    assert current(here).loc[lead, "tier"] == "warm"
    with pytest.raises(ParamsError, match="no current override"):
        take_override_back(lead, run, here.to, now)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tier": "hott"}, "--tier 'hott' is no tier; write one of hot, warm, cold"),
        ({"points": 5.0}, "--tier TIER, or --points N"),
        ({"tier": None}, "--tier TIER, or --points N"),
        ({"who": " "}, "--who is empty"),
        ({"until": None}, "--expires is missing"),
        ({"until": "soon"}, "--expires 'soon' is not a day"),
        ({"until": "2024-03-01"}, "lies before"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    changed: dict[str, str | float | None], said: str, ready: Job, tmp_path: Path
) -> None:
    run = RunContext(ready.params, Layout.folder(tmp_path))
    with pytest.raises(ParamsError, match=said):
        give_override("a", wanted(**changed), run, None, TODAY)
    with pytest.raises(ParamsError, match="there is no list"):
        give_override("a", wanted(), run, None, TODAY)


def test_a_table_of_the_source_changes_no_table_of_the_contract(ready: Job, tmp_path: Path) -> None:
    """So that no feature, label, model or figure can change: all of them are made of these tables."""
    data = ready.overlay.parent / "data"
    lead = str(pd.read_parquet(data / "leads.parquet")["lead_id"][0])
    rows = [{"lead_id": lead, "tier": "hot", "who": "Anna", "until": f"{TODAY + DAY:%Y-%m-%d}"},
            {"lead_id": "nobody's", "tier": "hot", "who": "Anna"}]  # fmt: skip
    pd.DataFrame(rows).to_csv(data / "overrides.csv", index=False)
    overlay = tmp_path / "with.yaml"
    overlay.write_text(ready.overlay.read_text().replace("  events:\n", "  overrides: overrides.csv\n  events:\n"))
    params, layout = small_job.load(overlay), Layout.folder(tmp_path / "out")
    limits = params.ingest.model_copy(update={"max_quarantine_share": 0.9})
    ingest(params.source, limits, params.project, data, layout)
    own = {"overrides.parquet", "quarantine.parquet"}
    before, after = (digests(one.contract) for one in (ready.layout, layout))
    assert {name for name in before | after if before.get(name) != after.get(name)} == own
    given = read_overrides([layout.overrides.path], params.tiers.names)
    assert given[["lead_id", "tier", "who"]].to_numpy().tolist() == [[lead, "hot", "Anna"]]
    assert judge_overrides(RunContext(params, layout)) is not None
    layout.overrides.path.unlink()
    assert judge_overrides(RunContext(params, layout)) is None


def test_a_tier_that_is_none_stops(tmp_path: Path) -> None:
    add_override(tmp_path / STORE, {"lead_id": "a", "who": "Anna", "tier": "boiling"})
    with pytest.raises(DataError, match=r"tier 'boiling' \(1 such\); expected a tier \(hot, cold, excluded\)"):
        read_overrides([tmp_path / STORE], ["hot", "cold"])


def test_a_forgotten_lead_leaves_the_store(tmp_path: Path) -> None:
    for lead in ("a 1", "a 2"):
        add_override(tmp_path / STORE, {"lead_id": lead, "who": "Anna", "tier": "hot"})
    assert forget_in_folder(tmp_path, Wanted(("a 1",))).gone == {STORE: 1}
    assert as_overrides(pd.read_parquet(tmp_path / STORE))["lead_id"].tolist() == ["a 2"]


def test_a_changed_table_of_overrides_is_read_again(tmp_path: Path) -> None:
    source = PARAMS.source.model_copy(update={"overrides": [TableSource(path="overrides.csv")]})
    (tmp_path / "overrides.csv").write_text("lead_id,tier,who\na,hot,Anna\n", encoding="utf-8")
    before = input_files.digests(source, tmp_path)
    (tmp_path / "overrides.csv").write_text("lead_id,tier,who\na,cold,Anna\n", encoding="utf-8")
    assert before.keys() == {"overrides.csv"}
    assert input_files.digests(source, tmp_path) != before


def test_every_table_of_a_source_is_among_its_tables() -> None:
    names = ["events", "outcomes", "stages", "attribute_history", "contacts", "aliases", "overrides"]
    tables = {name: [TableSource(path=f"{name}.csv")] for name in names}
    source = PARAMS.source.model_copy(update=tables)
    assert {one.path for one in source.tables} == {PARAMS.source.leads.path, *(f"{name}.csv" for name in names)}
