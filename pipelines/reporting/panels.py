"""The tabs of the report, and the sections in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Panel:
    """One tab; `sections` by the id that is also the name of their template."""

    name: str
    title: str
    sections: Mapping[str, str]

    def of(self, optional: Mapping[str, Any]) -> Panel:
        """Return the panel without the optional sections that would be empty."""
        shown = {name: title for name, title in self.sections.items() if optional.get(name, True)}
        return replace(self, sections=shown)


PANELS = [
    Panel("now", "At a glance", {"start": "At a glance"}),
    Panel("list", "List", {"leads": "Whom to call", "change": "What changed"}),
    Panel(
        "why",
        "Why",
        {
            "drivers": "What moves scores",
            "values": "Conversion by value",
            "grades": "Grades",
            "scorecard": "Scorecard",
        },
    ),
    Panel(
        "evidence",
        "Evidence",
        {
            "verdict": "Verdict",
            "quality": "How good it is",
            "sensitive": "Sensitive attributes",
            "kpis": "Tiers over time",
            "backtest": "Walk forward",
            "choices": "What was chosen",
        },
    ),
    Panel(
        "facts",
        "Data",
        {"data": "What the data is", "catalogue": "Feature catalogue", "reading": "How to read this"},
    ),
]
