"""The page of `leadscore app`, as marimo reads it: a function is a cell, run again when what it reads changes."""

from __future__ import annotations

from typing import Any

import marimo

app = marimo.App(width="full", app_title="Lead scoring")


@app.cell
def opened() -> Any:
    from pipelines.app import parts
    from pipelines.app.views import AppViews

    views = AppViews.open()
    return parts, views


@app.cell
def choices(parts: Any, views: Any) -> Any:
    leads, capacity, tabs = parts.lead_list(views), parts.calls(views), parts.tabs()
    return capacity, leads, tabs


@app.cell
def heading(parts: Any, tabs: Any, views: Any) -> None:
    parts.heading(views, tabs)


@app.cell
def body(capacity: Any, leads: Any, parts: Any, tabs: Any, views: Any) -> None:
    parts.body(views, tabs.value, leads, capacity)


if __name__ == "__main__":
    app.run()
