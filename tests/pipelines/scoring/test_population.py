"""Where nobody is open, the error names both limits of age, and only the one that would have to move."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from features.schema.errors import NoOpenLeadsError
from pipelines.config.params import load
from pipelines.config.sections import Score
from pipelines.scoring.population import open_leads
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.small_source import run


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Layout]:
    """Leads of three mornings in January, of which none closed."""
    folder = tmp_path_factory.mktemp("three")
    mornings = "".join(f"{lead},2024-01-0{day} 08:00:00,DE,1\n" for day, lead in enumerate("abc", 1))
    _, layout = run(folder, {"leads.csv": f"id,created,country,size\n{mornings}", "outcomes.csv": "id,won\n"})
    return folder, layout


@pytest.mark.parametrize(
    ("youngest", "oldest", "said"),
    [
        (14, 180, "3 are younger and 0 older; expected leads 14 to 180 days old that have not closed. Choose another "
                  "score.as_of or a smaller snapshots.min_age_days."),
        (0, 1, "0 are younger and 3 older; expected leads 0 to 1 days old that have not closed. Choose another "
               "score.as_of or a larger snapshots.max_age_days."),
        *((days, days, f"{young} are younger and {old} older; expected leads exactly {days} days old at midnight that "
                       "have not closed, which no lead created at another time of day is (snapshots.min_age_days is "
                       "max_age_days).") for days, young, old in ((2, 0, 3), (3, 1, 2), (4, 2, 1), (5, 3, 0))),
    ],
)  # fmt: skip
def test_the_limit_of_age_that_keeps_leads_off_the_list_is_named(
    ingested: tuple[Path, Layout], youngest: int, oldest: int, said: str
) -> None:
    folder, layout = ingested
    params = load(folder / "overlay.yaml").model_copy(update={"score": Score(as_of="2024-01-06")})
    population = params.snapshots.model_copy(update={"min_age_days": youngest, "max_age_days": oldest})
    with closing(Contract.open(layout, params.project)) as contract, pytest.raises(NoOpenLeadsError) as error:
        open_leads(contract, population, RunContext(params, layout))
    assert said in str(error.value)
