"""`leadscore lacks`: parts hidden on a small run, and the kinds of data that a source does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.explanation.data_parts import LacksResult
from models.nurture.results import NurtureSummary
from pipelines.config.params import load
from pipelines.lacks.hidden_parts import absent_kinds, measure_lacks
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.stages.report import write_report
from pipelines.storage.files import write_json
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext
from tests.support.html_page import Page
from tests.support.tiny import tiny_copy, tiny_params


def test_events_of_the_simulated_funnel_help_nothing_else_changes_and_the_report_says_it(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    layout = tiny_copy(tmp_path_factory, tmp_path / "out")
    before = {path: path.read_bytes() for path in layout.reports.rglob("*") if path.is_file()}
    found = measure_lacks(RunContext(tiny_params(tmp_path), layout), each=False)
    assert [one.part for one in found.parts] == [one.part for one in sorted(found.parts, key=lambda one: -one.fewer)]
    assert found.parts[0].fewer > 0 and {"events", "attributes"} <= {one.part for one in found.parts}
    assert found.lines[0].startswith("With all data ") and "no contacts" in found.lines[-1]
    assert read_result(LacksResult, layout.lacks.path, "lacks", "leadscore") == found
    assert {path: path.read_bytes() for path in before} == before
    summary = read_result(ScoreSummary, layout.score_summary.path, "score")
    nurture = NurtureSummary(leads={"new": 3}, until_days=56)
    write_json(summary.model_copy(update={"nurture": nurture}).model_dump(), layout.score_summary.path)
    page = Page(write_report(RunContext(tiny_params(tmp_path), layout)).read_text(encoding="utf-8"))
    (shown,), (again,) = page.all("ul", id="lacks"), page.all("ul", id="nurture")
    assert [part["text"] for part in page.all("li") if shown in part["inside"]] == found.lines
    assert "3 leads are not ready but likely to be within 56 days" in again["text"]
    write_json(found.model_copy(update={"fingerprint": "of other data"}).model_dump(), layout.lacks.path)
    assert 'id="lacks"' not in write_report(RunContext(tiny_params(tmp_path), layout)).read_text(encoding="utf-8")


def test_what_a_source_does_not_have_is_named() -> None:
    source = load().source
    assert absent_kinds(source) == ["contacts"]
    bare = source.model_copy(update={"events": [], "attribute_history": [], "order": "dates"})
    assert absent_kinds(bare) == ["events", "edits", "contacts"]
    assert absent_kinds(bare.model_copy(update={"order": "none"})) == ["dates", "events", "contacts"]
    assert "lost dates" in absent_kinds(load(Path("examples/learning_365.yaml")).source)
