"""Revenue by owner asks for the owners that the mapping names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.schema.errors import DataError
from models.revenue.declarations import MoneyParams
from pipelines.revenue.list_revenue import write_revenue
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from tests.support.tables import PARAMS


def test_owners_that_ingest_has_not_read_are_asked_for(tmp_path: Path) -> None:
    leads = PARAMS.source.leads.model_copy(update={"display": {"agent": "agent"}})
    source = PARAMS.source.model_copy(update={"leads": leads})
    money = MoneyParams(deal_value="amount", owner="agent")
    run = RunContext(PARAMS.model_copy(update={"source": source, "money": money}), Layout.folder(tmp_path))
    nothing: Any = None
    with pytest.raises(DataError, match="stage ingest"):
        write_revenue(nothing, nothing, nothing, 1, nothing, run)
