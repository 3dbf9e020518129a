"""`leadscore lacks`: parts hidden on a small run, and the kinds of data that a source does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.explanation.data_parts import LacksResult
from pipelines.config.params import load
from pipelines.lacks.hidden_parts import absent_kinds, measure_lacks
from pipelines.storage.results import read_result
from pipelines.storage.run_context import RunContext
from tests.support.tiny import tiny_copy, tiny_params


def test_events_of_the_simulated_funnel_help_and_nothing_else_changes(
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


def test_what_a_source_does_not_have_is_named() -> None:
    source = load().source
    assert absent_kinds(source) == ["contacts"]
    bare = source.model_copy(update={"events": [], "attribute_history": [], "order": "dates"})
    assert absent_kinds(bare) == ["events", "edits", "contacts"]
    assert absent_kinds(bare.model_copy(update={"order": "none"})) == ["dates", "events", "contacts"]
    assert "lost dates" in absent_kinds(load(Path("examples/learning_365.yaml")).source)
