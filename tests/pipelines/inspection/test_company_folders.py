"""Ten folders of small companies in several countries: each ends in the mapping that was written down first.

None is read wrongly without a word: what no name says is a warning.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.config.params import load
from pipelines.inspection.starter import look, write_starter
from tests.support.company_folders import FOLDERS

MAIL = "leads are told apart by 'e-mail', which are mail addresses"  # the true reason in the one folder without ids


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_a_small_company_is_understood(tmp_path: Path, name: str) -> None:
    right = FOLDERS[name](tmp_path)
    found = look(tmp_path)
    if right.reason:
        assert any(MAIL in warning for warning in found.warnings)
        return
    write_starter(tmp_path, tmp_path / "leadscore.yaml", found, 100)
    source = load(tmp_path / "leadscore.yaml").source
    kinds = {spec.column: spec.kind for spec in source.attributes.values() if not spec.part}
    late = {spec.column for spec in source.attributes.values() if spec.known == "outcome"}
    outcomes = dict(source.outcomes[0].columns)
    events = dict(source.events[0].columns) if source.events else {}
    assert (Path(source.leads.path).match(right.leads), dict(source.leads.columns)) == (True, dict(right.columns))
    assert {key: column for key, column in outcomes.items() if key != "lead_id"} == dict(right.outcomes)
    assert {key: events.get(key) for key in right.events} == dict(right.events), found.mapping
    assert (source.order, right.yes in source.yes_values) == (right.order, bool(right.yes))
    for column, kind in right.kinds.items():
        assert kinds.get(column, "left out") == kind if kind != "not number" else kinds.get(column) != "number", column
    assert not {column for column in right.late if column in kinds} - late, found.mapping
