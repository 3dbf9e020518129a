"""Leads that the CRM calls closed teach, and `inspect` proposes to keep them off the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.config.params import load
from pipelines.inspection.proposal import inspect

OPEN = ("New", "Working", "Nurture")


def export(folder: Path, status: str, closed: tuple[str, ...], dated: bool) -> Path:
    """A table of leads whose outcome is a flag, or a date, and whose status says more."""
    values, lines = (
        (*OPEN, *closed),
        [f"lead_id,created_at,country,{status},{'converted_at' if dated else 'converted'}"],
    )
    for n in range(240):
        won = n % 8 == 0
        outcome = (f"2024-{1 + n % 9:02d}-28" if won else "") if dated else ("yes" if won else "no")
        lines.append(f"L{n},2024-{1 + n % 9:02d}-{1 + n % 27:02d},{'DE' if n % 3 else 'FR'},{values[n % len(values)]},")
        lines[-1] += outcome
    (folder / "leads.csv").write_text("\n".join(lines) + "\n")
    return folder / "leads.csv"


def proposal(path: Path) -> tuple[dict[str, Any], list[str]]:
    found = inspect(path, None, None)
    (path.parent / "mine.yaml").write_text(found.mapping)
    load(path.parent / "mine.yaml")  # it is taken as it is
    return yaml.safe_load(found.mapping), found.warnings


@pytest.mark.parametrize("dated", [True, False])
@pytest.mark.parametrize(
    ("status", "closed"),
    [
        ("Lead_Status", ("Lost",)),
        ("lead status", ("Dead", "Disqualified")),
        ("lifecyclestage", ("customer",)),
        ("Status", ("Verloren",)),
        ("Lead Status", ("Closed - Not Converted", "Junk Lead")),
        ("Stage", ("Abandoned", "No longer interested")),
        ("Statut", ("Perdu",)),
        ("Estado", ("Descartado",)),
    ],
)
def test_a_status_is_no_feature_and_keeps_closed_leads_off_the_list(
    status: str, closed: tuple[str, ...], dated: bool, tmp_path: Path
) -> None:
    tree, warnings = proposal(export(tmp_path, status, closed, dated))
    name, spec = next((name, one) for name, one in tree["source"]["attributes"].items() if one["column"] == status)
    assert spec["known"] == "outcome" and closed[0] in spec["why"]
    exclusion = tree["tiers"]["exclusions"][0]
    assert exclusion["when"]["attribute"] == name and exclusion["tier"] == "excluded"
    assert set(exclusion["when"]["value"]) == set(closed)
    assert any(status in warning and closed[0] in warning for warning in warnings)


def test_a_status_that_is_the_outcome_needs_no_exclusion(tmp_path: Path) -> None:
    lines = ["lead_id,created_on,stage,close_date"]
    lines += [f"L{n},2024-01-{1 + n % 28:02d},Closed {('Won', 'Lost')[n % 2]},2024-03-01" for n in range(80)]
    (tmp_path / "deals.csv").write_text("\n".join(lines) + "\n")
    assert "tiers" not in proposal(tmp_path / "deals.csv")[0]


def test_values_that_only_sound_so_exclude_nobody(tmp_path: Path) -> None:
    path = export(tmp_path, "topic", ("Lost password",), dated=True)
    assert "tiers" not in proposal(path)[0]
