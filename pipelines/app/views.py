"""What the app shows of a run: the list, a lead's page, another capacity, the monitor's page."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd

from features.schema.errors import LeadScoreError
from pipelines.analysis.explain_lead import explain_lead
from pipelines.analysis.lead_page import lead_page
from pipelines.analysis.what_if import WhatIf, what_if
from pipelines.config.params import load
from pipelines.storage.contract_store import Display
from pipelines.storage.layout import Layout
from pipelines.storage.results import existing, read_verdict
from pipelines.storage.run_context import RunContext

VARIABLE = "LEADSCORE_APP"  # tells the notebook's process what to show
COLUMNS = ["lead_id", "score", "tier", "grade", "probability", "tier_reason", "reasons_text"]


@dataclass(frozen=True)
class AppRequest:
    """What the app is to show: folders and files as the command line names them."""

    params: Path | None
    out: Path | None
    lists: Path | None

    def to_text(self) -> str:
        """Return it as the text of an environment variable."""
        paths = {"params": self.params, "out": self.out, "lists": self.lists}
        return json.dumps({name: None if path is None else str(path.resolve()) for name, path in paths.items()})

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(**{name: None if path is None else Path(path) for name, path in json.loads(text).items()})


@dataclass(frozen=True)
class AppViews:
    """The run that the app shows. What cannot be shown is a line of text, as in the terminal."""

    run: RunContext
    lists: Path | None

    @classmethod
    def open(cls, text: str | None = None) -> Self:
        """Open what the request says; None: what the environment holds."""
        asked = AppRequest.from_text(os.environ[VARIABLE] if text is None else text)
        layout = Layout.workspace(Path()) if asked.out is None else Layout.folder(asked.out)
        return cls(RunContext(load(asked.params), layout), asked.lists)

    @property
    def project(self) -> str:
        return self.run.params.project.name

    @property
    def verdict(self) -> list[str]:
        """The verdict's lines, or why there are none."""
        try:
            return read_verdict(self.run.layout).lines
        except LeadScoreError as error:
            return [str(error)]

    @property
    def capacity(self) -> int:
        return self.run.params.capacity.per_period

    @cached_property
    def leads(self) -> pd.DataFrame:
        """The last list, best first, with what people are shown of each lead; probability in percent."""
        scores = pd.read_parquet(existing(self.run.layout.scores.path, "score"), columns=COLUMNS)
        display = Display.read_mapped(self.run.layout, self.run.params.source.leads)
        scores["probability"] = (100 * scores["probability"]).round(1)
        named = {
            "lead_id": "lead",
            "probability": "probability, %",
            "tier_reason": "tier by",
            "reasons_text": "reasons",
        }
        return display.beside(scores).rename(columns=named)

    def lead(self, lead_id: str) -> str:
        """Return the page of one lead as HTML, as `leadscore lead explain --save` writes it."""
        return lead_page(explain_lead(lead_id, self.run), self.project)

    def with_capacity(self, calls: int) -> WhatIf:
        """Return what the last list would be with another capacity, as `leadscore tiers` says."""
        asked = self.run.params.capacity.model_copy(update={"per_period": calls})
        params = self.run.params.model_copy(update={"capacity": asked})
        return what_if(replace(self.run, params=params))

    @property
    def monitor(self) -> str | None:
        """The monitor's page as HTML; None where it has not run."""
        folder = self.run.layout.reports if self.lists is None else self.lists / "monitor"
        page = folder / "monitor.html"
        return page.read_text(encoding="utf-8") if page.is_file() else None


def capacity_tables(answer: WhatIf) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the tiers now and then, and who moves, by tier."""
    names = dict.fromkeys([*answer.after.tiers, *answer.before.tiers])
    tiers = [
        {"tier": name, "leads now": answer.before.tiers.get(name, 0), "then": answer.after.tiers.get(name, 0)}
        for name in names
    ]
    flows = [{"from": flow.tier_from, "to": flow.tier_to, "leads": flow.n} for flow in answer.flows]
    return pd.DataFrame(tiers), pd.DataFrame(flows, columns=["from", "to", "leads"])


def wins_line(answer: WhatIf) -> str:
    """Say what the asked capacity is expected to win."""
    step = answer.after.capacity[len(answer.after.capacity) // 2]
    return (
        f"The best {step.leads:,} are expected to win {step.wins:.1f} ({step.wins_low:.0f} to {step.wins_high:.0f})"
        f"{step.down_to}."
    )
