"""A simulated market over years, with planted changes, and what an export of any day would hold."""

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

FIRST_DAY = "2024-07-01"  # of the world
PLACES = 4.3  # on the list, for each lead a day
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
capacity: {{per_period: {places}}}
evaluate: {{resamples: 200, segments: [lead_source]}}
explain: {{sample_rows: 200, top_features: 3}}
report: {{top_leads: 5}}
retrain: {{every_days: 28, on_alert: true, rest_days: 14}}
track: {{uri: "sqlite:///{work}/mlflow.db", artifacts: "{work}/mlartifacts"}}
"""


def overlay_of(leads: int, last_day: str, shocks: str, work: Path) -> str:
    """Return the parameters of a world of so many leads; places on the list grow with the leads of a day."""
    places = int(leads * PLACES / (pd.Timestamp(last_day) - pd.Timestamp(FIRST_DAY)).days)
    return OVERLAY.format(leads=leads, first_day=FIRST_DAY, last_day=last_day, shocks=shocks, work=work, places=places)


@dataclass(frozen=True)
class Place:
    """Where the benchmark works, and with which parameters."""

    work: Path
    overlay: Path
    params: Params
    number: int  # of the world; each has a seed of its own

    def scenario(self, shocks: Sequence[Shock]) -> Simulated:
        """Draw the world as it is with these changes alone."""
        asked = self.params.simulate.model_copy(update={"shocks": list(shocks)})
        return simulate(asked, self.params.project.seed + self.number, self.params.snapshots)

    @property
    def data(self) -> Path:
        return self.work / "data"

    @property
    def lists(self) -> Path:
        return self.work / "lists"

    @property
    def champion(self) -> str:
        return f"models:/{self.params.project.name}@champion"


def export(world: Simulated, day: pd.Timestamp, to: Path) -> None:
    """Write what an export at the first moment of a day would hold."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    history = world.attribute_history[world.attribute_history["valid_from"] < day]
    outcomes = world.outcomes[world.outcomes[["converted_at", "lost_at"]].min(axis=1) < day]
    leads = world.leads[world.leads["created_at"] < day].set_index("lead_id")
    latest = history.drop_duplicates("lead_id", keep="last").set_index("lead_id").drop(columns="valid_from")
    for name in latest.columns:
        leads[name] = latest[name].reindex(leads.index).where(leads.index.isin(latest.index), leads[name])
    leads["crm_rating"] = leads["crm_rating"].where(leads.index.isin(outcomes["lead_id"]))
    stages = world.stages[world.stages["entered_at"] < day]
    tables = {"leads": leads.reset_index(), "outcomes": outcomes, "stages": stages, "attribute_history": history}
    for name in SHEETS:
        tables[name].to_csv(to / f"{name}.csv", index=False, date_format="%Y-%m-%dT%H:%M:%S", lineterminator="\n")
    write_parquet(world.events[world.events["known_at"] < day].reset_index(drop=True), to / "events.parquet")
