"""Simulated years with planted changes, and the export of any day: what two_years and false_alarms share."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipelines.config.params import Params
from pipelines.config.simulation import Shock
from pipelines.simulation.export import SHEETS, Simulated, simulate
from pipelines.storage.files import write_parquet

FIRST_DAY = "2024-07-01"
CAPACITY_PER_LEAD = 4.3  # on a score list, for each new lead a day
OVERLAY = """
project: {{threads: 1, memory_gb: 2}}
simulate:
  leads: {leads}
  first_day: "{first_day}"
  last_day: "{last_day}"
  drift: 0.0
  shocks: {shocks}
snapshots: {{max_age_days: 120, max_rows: 80000}}
features: {{windows_days: [7, 30], half_lives_days: [7]}}
split: {{test_share: 0.1}}
readiness: {{min_rows: 200, min_positive: 50, min_negative: 50}}
train: {{boosters: 1, max_rounds: 60, num_leaves: 6, max_depth: 3}}
selection:
  folds: {{count: 2, max_rows: 10000}}
  drift_limits: [1.0]
  recency_half_lives: [0]
  logistic_c: [0.01]
  linear_shares: [0.0, 0.5]
search: {{trials: 0}}
backtest: {{cuts: 0}}
scorecard: {{max_lines: 5, l2: [20.0]}}
grades: {{sample_rows: 2000}}
capacity: {{per_period: {capacity}}}
evaluate: {{resamples: 200, segments: [lead_source]}}
explain: {{sample_rows: 200, top_features: 3}}
report: {{top_leads: 5}}
retrain: {{every_days: 28, on_alert: true, rest_days: 14}}
track: {{uri: "sqlite:///{work}/mlflow.db", artifacts: "{work}/mlartifacts"}}
"""


def overlay_of(leads: int, last_day: str, shocks: str, work: Path) -> str:
    """Return the parameters of a scenario; the capacity grows with the number of new leads a day."""
    capacity = int(leads * CAPACITY_PER_LEAD / (pd.Timestamp(last_day) - pd.Timestamp(FIRST_DAY)).days)
    return OVERLAY.format(
        leads=leads, first_day=FIRST_DAY, last_day=last_day, shocks=shocks, work=work, capacity=capacity
    )


@dataclass(frozen=True)
class Scenario:
    """One simulated history, and the folder in which it is worked on.

    Attributes
    ----------
    overlay
        The file of `params`, for commands.
    number
        Added to the project's seed: each scenario is drawn with a seed of its own.
    """

    work: Path
    overlay: Path
    params: Params
    number: int

    def draw(self, shocks: Sequence[Shock]) -> Simulated:
        """Draw the scenario with these changes alone."""
        settings = self.params.simulate.model_copy(update={"shocks": list(shocks)})
        return simulate(settings, self.params.project.seed + self.number, self.params.snapshots)

    @property
    def shocks(self) -> Sequence[Shock]:
        return self.params.simulate.shocks

    @property
    def data(self) -> Path:
        return self.work / "data"

    @property
    def lists(self) -> Path:
        return self.work / "lists"

    @property
    def kept_models(self) -> Path:
        return self.work / "kept"

    @property
    def champion(self) -> str:
        return f"models:/{self.params.project.name}@champion"


def export(history: Simulated, day: pd.Timestamp, to: Path) -> None:
    """Write what an export at the first moment of a day would hold."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    edits = history.attribute_history[history.attribute_history["valid_from"] < day]
    outcomes = history.outcomes[history.outcomes[["converted_at", "lost_at"]].min(axis=1) < day]
    stages = history.stages[history.stages["entered_at"] < day]
    leads = _current_leads(history.leads[history.leads["created_at"] < day], edits, outcomes)
    tables = {"leads": leads, "outcomes": outcomes, "stages": stages, "attribute_history": edits}
    for name in SHEETS:
        tables[name].to_csv(to / f"{name}.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S", lineterminator="\n")
    write_parquet(history.events[history.events["known_at"] < day].reset_index(drop=True), to / "events.parquet")


def _current_leads(leads: pd.DataFrame, edits: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return the leads with their attributes as last edited; sales rates a lead only after its outcome."""
    leads = leads.set_index("lead_id")
    latest = edits.drop_duplicates("lead_id", keep="last").set_index("lead_id").drop(columns="valid_from")
    for name in latest.columns:
        leads[name] = latest[name].reindex(leads.index).where(leads.index.isin(latest.index), leads[name])
    leads["crm_rating"] = leads["crm_rating"].where(leads.index.isin(outcomes["lead_id"]))
    return leads.reset_index()
