"""What changed between two lists, as one page: who moved, why, and the flows between tiers."""

from __future__ import annotations

import logging

import pandas as pd

from models.explanation.results import ChangeResult
from pipelines.reporting import charts, tables
from pipelines.reporting.page import page
from pipelines.storage.contract_store import Display
from pipelines.storage.files import staged_file
from pipelines.storage.run_context import RunContext

log = logging.getLogger("leadscore")
SHOWN = 25  # leads; change.csv has all
COLUMNS = ["lead_id", "score_from", "score_to", "tier_from", "tier_to", "text"]


def write_change_page(change: ChangeResult, changes: pd.DataFrame, run: RunContext) -> None:
    """Write change.html, one file that needs no network.

    Parameters
    ----------
    changes
        The rows of change.parquet, the largest difference first.
    """
    display = Display.read_mapped(run.layout, run.params.source.leads)
    contents = {
        "change": change,
        "movers": [
            row | {"display": display.of(row["lead_id"])} for row in changes[COLUMNS].head(SHOWN).to_dict("records")
        ],
        "charts": {
            name: charts.svg(chart) for name, chart in tables.change_charts(change, run.params.tiers.names).items()
        },
        "metrics": {"model_id": change.model_to, "snapshots": {"order": "dates" if change.until else "none"}},
        "profile": {"fingerprint": change.data_fingerprint},
    }
    with staged_file(run.layout.change_page.path) as staged:
        text = page("change_page.html.j2", contents, run.params.project.name)
        staged.write_text(text, encoding="utf-8", newline="\n")
    log.info("change: %s", run.layout.change_page.path)
