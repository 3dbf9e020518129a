"""The figures by tier as a table for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.table import Table

from models.kpis.results import KpiResult, TierMetrics

COLUMNS = {
    "conversion_rate": "converted",
    "wins_caught": "wins caught, of those on lists",
    "engagement_rate": "engaged",
    "stage_acceptance": "accepted",
    "fell_back": "fell back",
    "lost": "lost",
}


def tier_table(result: KpiResult) -> Table:
    """Lay out the figures of each tier over all lists, where available, for a terminal."""
    available = {
        name: label for name, label in COLUMNS.items() if any(getattr(tier.all, f"{name}_n") for tier in result.tiers)
    }
    table = Table("tier", "leads", *available.values(), box=SIMPLE)
    for tier in result.tiers:
        rates = [_interval(tier.all, name) for name in available]
        table.add_row(tier.name, f"{tier.all.leads:,}", *rates)
    return table


def _interval(metrics: TierMetrics, name: str) -> str:
    value, low, high = (_percent(getattr(metrics, name + end)) for end in ("", "_low", "_high"))
    return f"{value} ({low}-{high})" if getattr(metrics, f"{name}_n") else "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
