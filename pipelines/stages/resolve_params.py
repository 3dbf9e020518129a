"""Stage resolve_params: the values that each stage reads, one file a stage, because DVC does not see defaults in code.

A stage depends on its own file, so that a changed value runs again just those stages that read it, wherever it stands.
"""

from __future__ import annotations

from pipelines.storage.files import staged_folder, write_json
from pipelines.storage.run_context import RunContext

_FEATURES = ("project", "source", "snapshots", "features", "split", "rules")
_TRAINING = (*_FEATURES, "readiness", "train", "selection", "search", "scorecard", "points", "grades",
             "exploration", "evaluate")  # fmt: skip
READS = {
    "simulate": ("project", "simulate", "snapshots"),
    "ingest": ("project", "source", "ingest"),
    "build_features": _FEATURES,
    "audit": ("project", "source", "audit", "promotion"),
    "train": _TRAINING,
    "backtest": (*_TRAINING, "backtest"),
    "evaluate": ("project", "source", "snapshots", "split", "train", "grades", "capacity", "tiers", "exploration",
                 "audit", "evaluate", "kpis"),
    "kpis": ("project", "source", "snapshots", "split", "rules", "grades", "capacity", "tiers", "exploration",
             "evaluate", "score", "kpis", "money"),
    "explain": ("project", "evaluate", "explain"),
    "score": ("project", "source", "snapshots", "features", "rules", "capacity", "tiers", "lists", "nurture",
              "exploration", "evaluate", "money", "score"),
    "report": ("project", "source", "snapshots", "rules", "capacity", "tiers", "exploration",
               "evaluate", "report"),
    "track": ("project", "source", "snapshots", "features", "split", "train", "selection", "scorecard", "points",
              "capacity", "tiers", "track"),
}  # fmt: skip


def resolve_params(run: RunContext) -> None:
    """Write the sections that each stage reads, defaults and all."""
    with staged_folder(run.layout.resolved) as folder:
        for stage, sections in READS.items():
            write_json(
                run.params.model_dump(mode="json", by_alias=True, include=set(sections)), folder / f"{stage}.json"
            )
