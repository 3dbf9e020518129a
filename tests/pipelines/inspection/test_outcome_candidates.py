"""Where no name says which column is the outcome: what may be it is named, and a person says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.schema.errors import DataError
from pipelines.inspection.proposal import inspect
from pipelines.inspection.report import Told
from pipelines.inspection.starter import look

HEADER = "ref,created_on,town,visited,Erledigt am,Prämie\n"


def write(folder: Path, yes: str = "A", no: str = "B") -> Path:
    rows = [
        f"r{n},2024-01-{n % 28 + 1:02d},Ulm,{'yes' if n % 2 else 'no'},{f'2024-03-{n % 28 + 1:02d}' * (n % 5 == 0)},"
        f"{no if n % 5 else yes}"
        for n in range(60)
    ]
    (folder / "leads.csv").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")
    return folder / "leads.csv"


def test_what_may_be_the_outcome_is_named_with_the_option(tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        inspect(write(tmp_path), None, None)
    assert '"visited", "Erledigt am"' in str(refused.value)
    assert '--outcome-column "visited"' in str(refused.value)


@pytest.mark.parametrize("chosen", ["Erledigt am", "visited"])
def test_a_person_says_which(tmp_path: Path, chosen: str) -> None:
    found = look(write(tmp_path).parent, Told(chosen))
    assert found.outcomes == [chosen]
    assert found.dated == (chosen == "Erledigt am")


@pytest.mark.parametrize("chosen", ["town", "created_on", "nothing"])
def test_one_that_cannot_be_it_is_refused(tmp_path: Path, chosen: str) -> None:
    with pytest.raises(DataError, match="expected the outcome: visited, Erledigt am"):
        inspect(write(tmp_path), None, None, Told(chosen))


def test_a_date_and_a_yes_that_agree_are_the_outcome(tmp_path: Path) -> None:
    found = inspect(write(tmp_path, "ja", "nein"), None, None)
    assert found.outcomes[0] == "Erledigt am"
    assert "no name says more: a guess" in found.mapping
