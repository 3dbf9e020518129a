"""Whether past overrides of single leads were right, for the report."""

from __future__ import annotations

import pandas as pd

from models.lists.overrides import judge
from models.lists.results import OverridesResult
from pipelines.scoring.override_store import read_overrides, stores
from pipelines.storage.data_profile import read_profile
from pipelines.storage.run_context import RunContext


def judge_overrides(run: RunContext) -> OverridesResult | None:
    """Say whether past overrides were right; None where there are none, or outcomes have no dates."""
    params, layout = run.params, run.layout
    names = [*params.tiers.names, *(one.name for one in params.rules.thresholds)]
    given = read_overrides(stores(layout, layout.reports), names)
    if given.empty or params.source.order != "dates":
        return None
    won = pd.read_parquet(layout.outcomes.path, columns=["lead_id", "converted_at"]).set_index("lead_id")
    until = read_profile(layout).outcomes_until
    horizon = pd.Timedelta(days=params.snapshots.horizon_days)
    known = pd.Timestamp(until or "NaT") - pd.Timedelta(days=params.snapshots.outcome_lag_days)
    return judge(given, won["converted_at"], known, horizon, params.tiers.names, params.evaluate.confidence)
