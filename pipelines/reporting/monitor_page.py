"""The monitor's results for people: a table in the terminal and an HTML page."""

from __future__ import annotations

import logging
from pathlib import Path

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from models.monitoring.results import MonitorResult
from pipelines.reporting.page import page
from pipelines.storage.files import staged_file

log = logging.getLogger("leadscore")
SHOWN = 20  # features and values on the page; monitor.json has all
STYLES = {"failed": "bold red", "passed": "green", "not applicable": "dim"}


def checks_table(result: MonitorResult) -> Table:
    """Lay out every check for a terminal; what comes from data is never markup."""
    table = Table("", "check", "result", "details", box=SIMPLE, title=f"{result.newest}, model {result.model_id}")
    for check in result.checks:
        status = check.status + (" (early)" if check.early else "")
        detail = "".join(character if character.isprintable() else " " for character in check.detail)
        table.add_row(check.code, check.title, Text(status, STYLES[check.status]), Text(detail))
    return table


def write_monitor_page(result: MonitorResult, folder: Path, project: str) -> None:
    """Write monitor.html, one file that needs no network; equal results give equal bytes."""
    contents = {
        "result": result,
        "shown": SHOWN,
        "metrics": {"model_id": result.model_id, "snapshots": {"order": "dates"}},
        "profile": {"fingerprint": result.data_fingerprint},
    }
    text = page("monitor.html.j2", contents, project)
    with staged_file(folder / "monitor.html") as staged:
        staged.write_text(text, encoding="utf-8", newline="\n")
    log.info("monitor: %s", folder / "monitor.html")
