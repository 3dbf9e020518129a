"""The parts of the app's page, drawn by marimo: what a fault says is shown in place of the part."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import Any

import marimo as mo
import pandas as pd

from features.schema.errors import LeadScoreError
from pipelines.app.views import AppViews, capacity_tables, wins_line

HEIGHT = "80vh"
WIDTHS = {"lead": 110, "score": 70, "tier": 80, "grade": 70, "probability, %": 120, "reasons": 590}
table = partial(mo.ui.table, show_download=False, show_column_summaries=False, show_data_types=False)


def lead_list(views: AppViews) -> Any:
    """Return the list as a table in which one lead can be chosen."""
    try:
        leads = views.leads
        return table(leads, selection="single", page_size=20, wrapped_columns=["reasons"], column_widths=WIDTHS)
    except LeadScoreError as error:
        return table(pd.DataFrame({"no list": [str(error)]}), selection=None)


def calls(views: AppViews) -> Any:
    """Return the field for another capacity."""
    return mo.ui.number(1, 1_000_000, step=1, value=views.capacity, debounce=True, label="Calls a list")


def tabs() -> Any:
    """Return the choice of what is shown."""
    return mo.ui.tabs(dict.fromkeys(("List", "Lead", "Another capacity", "Monitor"), ""))


def heading(views: AppViews, chosen: Any) -> Any:
    """Return what stands above every tab."""
    verdict = [mo.Html(f"<p>{escape(line)}</p>") for line in views.verdict[:1]]
    return mo.vstack([mo.md(f"# {views.project}"), *verdict, chosen])


def body(views: AppViews, tab: str, leads: Any, capacity: Any) -> Any:
    """Return the tab that is open; what it takes seconds to compute is computed for it alone."""
    try:
        if tab == "Lead":
            return _lead(views, leads.value)
        if tab == "Another capacity":
            return mo.vstack([capacity, _with_capacity(views, capacity.value)])
        return _monitor(views) if tab == "Monitor" else leads
    except LeadScoreError as error:
        return mo.callout(str(error), kind="warn")


def _lead(views: AppViews, chosen: pd.DataFrame | None) -> Any:
    if chosen is None or chosen.empty:
        return mo.md("Choose a lead in the list.")
    return mo.iframe(views.lead(str(chosen["lead"].iloc[0])), height=HEIGHT)


def _with_capacity(views: AppViews, capacity: int) -> Any:
    answer = views.with_capacity(capacity)
    tiers, flows = (table(one, selection=None) for one in capacity_tables(answer))
    moves = flows if answer.flows else mo.md("No lead changes its tier.")
    return mo.vstack([mo.md(wins_line(answer)), tiers, mo.md("### Who moves"), moves])


def _monitor(views: AppViews) -> Any:
    found = views.monitor
    if found is None:
        return mo.md("The monitor has not run: `leadscore nightly monitor`.")
    return mo.iframe(found, height=HEIGHT)
