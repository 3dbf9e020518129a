"""One part of benchmarks.scale, in a process of its own: `python -m benchmarks.scale_parts PART FOLDER`.

Prints JSON: CPU seconds of the part alone on all cores, without imports and without reading its
inputs; seconds on the clock, rows, and the peak memory of the whole process in MB.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial, reduce
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from models.scoring.reasons import Themes, top_reasons
from models.scoring.scorer import Scorer
from pipelines.config.params import load
from pipelines.scoring.population import open_leads
from pipelines.stages.ingest import ingest
from pipelines.stages.score import score_leads
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract
from pipelines.storage.files import write_parquet
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

EXPLAINED_ROWS = 20_000  # by pred_contrib, which would take hours for all
JOINED = """FROM read_parquet($events) JOIN snapshots USING (lead_id)
    WHERE event_at < snapshot_at AND known_at <= snapshot_at
    GROUP BY lead_id"""
FLOOR = f"SELECT lead_id, count(*), max(event_type), max(direction), max(channel), sum(value) {JOINED}"
COUNT = f"SELECT lead_id, count(*) {JOINED}"  # does not read the columns that features are made of
Figures = dict[str, Any]


class Meter:
    """Adds up the CPU seconds of this process over the pieces of a part."""

    cpu = clock = 0.0

    def run(self, work: Callable[[], Any]) -> Any:
        cpu, clock = time.process_time(), time.perf_counter()
        result = work()
        self.cpu += time.process_time() - cpu
        self.clock += time.perf_counter() - clock
        return result


def log_to_contract(meter: Meter, run: RunContext) -> Figures:
    profile = meter.run(
        lambda: ingest(run.params.source, run.params.ingest, run.params.project, run.layout.raw, run.layout)
    )
    return {"rows": profile.tables["leads"].kept, "events": profile.tables["events"].kept}


def floor(meter: Meter, run: RunContext) -> Figures:
    """Bare DuckDB: join one snapshot a lead, and aggregate every column of the log by lead."""
    return by_lead(FLOOR, meter, run)


def bare_count(meter: Meter, run: RunContext) -> Figures:
    """The same, but only counting."""
    return by_lead(COUNT, meter, run)


def by_lead(statement: str, meter: Meter, run: RunContext) -> Figures:
    snapshots = open_snapshots(run)
    with duckdb.connect(config={"threads": run.params.project.threads}) as connection:
        connection.register("snapshots", pa.Table.from_pandas(snapshots, preserve_index=False))
        relation = connection.sql(statement, params={"events": str(run.layout.events.path)})
        return {"rows": meter.run(lambda: relation.to_arrow_table().num_rows)}


def features(meter: Meter, run: RunContext) -> Figures:
    contract, spec = Contract.open(run.layout, run.params.project), bundle(run).metadata.matrix
    shards = contract.matrix(open_snapshots(run), spec)
    rows = 0
    for number in range(sys.maxsize):
        matrix = meter.run(lambda: next(shards, None))
        if matrix is None:
            return {"rows": rows}
        write_parquet(matrix, matrices(run.layout) / f"{number:04d}.parquet")
        rows += len(matrix)
    raise AssertionError


def bare_predict(meter: Meter, run: RunContext) -> Figures:
    """LightGBM's own prediction of the same boosters, on their inputs."""
    models = bundle(run).models.boosters.models

    def each(_: pd.DataFrame, values: np.ndarray) -> None:
        margins = [np.asarray(model.predict(values, raw_score=True, num_threads=1)) for model in models]
        reduce(np.add, margins)

    return over_shards(meter, run, each)


def scoring(meter: Meter, run: RunContext) -> Figures:
    scorer = bundle(run)
    return over_shards(meter, run, lambda matrix, _: scorer.probability(matrix))


def reasons(meter: Meter, run: RunContext) -> Figures:
    """Contributions of both learners, and the top reasons as JSON and as text."""
    scorer = bundle(run)

    def each(matrix: pd.DataFrame, _: np.ndarray) -> None:
        top = top_reasons(scorer.contributions(matrix)[1], scorer.values(matrix), Themes.of(scorer.catalogue), 5)
        top.in_json(), top.in_words()

    return over_shards(meter, run, each)


def pred_contrib(meter: Meter, run: RunContext) -> Figures:
    """LightGBM's own contributions of a sample, and how far ours are from them."""
    boosters = bundle(run).models.boosters
    _, values = next(shards_of(run))
    values = values[:EXPLAINED_ROWS]
    models = boosters.models
    theirs = meter.run(lambda: [model.predict(values, pred_contrib=True, num_threads=1) for model in models])
    gap = np.abs(np.mean(theirs, axis=0) - boosters.contributions(values)).max()
    return {"rows": len(values), "largest_gap": float(gap)}


def end_to_end(meter: Meter, run: RunContext) -> Figures:
    """What `leadscore score` does: features, scores, reasons, tiers, ranked Parquet and CSV."""
    meter.run(lambda: score_leads(run))
    return {"rows": pd.read_parquet(run.layout.scores.path, columns=["score"]).shape[0]}


PARTS = {
    part.__name__: part
    for part in (log_to_contract, floor, bare_count, features, bare_predict, scoring, pred_contrib, reasons, end_to_end)
}


def bundle(run: RunContext) -> Scorer:
    return load_bundle(run.layout.bundle, run.params.project.threads)


def open_snapshots(run: RunContext) -> pd.DataFrame:
    contract = Contract.open(run.layout, run.params.project)
    return open_leads(contract, bundle(run).metadata.snapshots, run)[0]


def matrices(layout: Layout) -> Path:
    return layout.artifacts / "matrices"


def shards_of(run: RunContext) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Yield each shard's matrix, and the inputs of the boosters."""
    scorer = bundle(run)
    left_out = [scorer.feature_names.index(name) for name in scorer.metadata.left_out]
    for path in sorted(matrices(run.layout).glob("*.parquet")):
        matrix = pd.read_parquet(path)
        values = scorer.values(matrix).copy(order="K")
        values[:, left_out] = np.nan
        yield matrix, scorer.models.target_encoding.apply(values)


def over_shards(meter: Meter, run: RunContext, work: Callable[[pd.DataFrame, np.ndarray], object]) -> Figures:
    rows = 0
    for matrix, values in shards_of(run):
        meter.run(partial(work, matrix, values))
        rows += len(matrix)
    return {"rows": rows}


def peak_mb() -> int:
    """The most memory this program held; getrusage would count what the process was before it began."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    meter = Meter()
    figures = PARTS[arguments.part](meter, RunContext(load(), Layout.folder(arguments.folder)))
    figures |= {"cpu_seconds": round(meter.cpu, 2), "clock_seconds": round(meter.clock, 1), "peak_mb": peak_mb()}
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
