"""Leads and an event log of any size for benchmarks.scale: the simulator's, thickened to 50 events a lead.

Of nine leads that the simulator draws five are kept, and the events of the others become those of the lead before them.
Nobody has an outcome, so that every lead is open and is scored.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipelines.config.params import load
from pipelines.simulation.export import Simulated, chunks
from pipelines.stages.simulate import write

DRAWN, KEPT = 9, 5  # the simulator's leads have 28 events on average


def write_log(leads: int, raw: Path, oracle: Path) -> None:
    """Write the files that `ingest` reads, chunk by chunk."""
    params = load()
    settings = params.simulate.model_copy(update={"leads": leads * DRAWN // KEPT})
    write(map(thickened, chunks(settings, params.project.seed, params.snapshots)), raw, oracle)


def thickened(part: Simulated) -> Simulated:
    """Give the events of leads that are not kept to the lead before them, who was created no later."""
    number = part.leads["lead_id"].str[1:].astype("int64") - 1
    owner = number * KEPT // DRAWN
    kept = set(part.leads["lead_id"][owner != (number - 1) * KEPT // DRAWN])
    ids = pd.Series(("L" + owner.astype("str").str.zfill(7)).to_numpy(), index=part.leads["lead_id"])

    def of_kept(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows[rows["lead_id"].isin(kept)]
        return rows.assign(lead_id=rows["lead_id"].map(ids))

    return replace(
        part,
        leads=of_kept(part.leads),
        events=part.events.assign(lead_id=part.events["lead_id"].map(ids)),
        outcomes=part.outcomes.head(0),
        stages=of_kept(part.stages).head(0),
        attribute_history=of_kept(part.attribute_history),
        oracle=part.oracle.head(0),
    )
