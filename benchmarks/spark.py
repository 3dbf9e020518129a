"""Spark in local mode against DuckDB on the same leads: is the list the same, and what does it cost?

`.venv-spark/bin/python -m benchmarks.spark out/scale/100000`, after `python -m benchmarks.scale --sizes 100000`, scores
every lead with its top 5 reasons by each engine, in a process of its own, and prints how far features and lists are
apart and the rows a second.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.matrix import matrix_of
from pipelines.artifacts import Layout
from pipelines.bundle import load_bundle
from pipelines.params import load
from pipelines.score import list_leads, open_leads, ranked_rows, write_rows
from pipelines.shards import Scoring
from pipelines.sinks import write_parquet
from pipelines.spark import SparkContract
from pipelines.store import Contract, LeadShard, Opener

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("duckdb", "spark")
EXACT = ["lead_id", "score", "tier", "grade", "tier_reason", "reasons_text"]
CLOSE = ["probability", "points", "fit", "engagement", "raw_score"]
Figures = dict[str, Any]


@dataclass(frozen=True)
class KeptFeatures(Scoring):
    """The step of scoring, which also writes the features that it scores, beside the scores."""

    def answer(self, shard: LeadShard, found: pa.Table | None) -> pd.DataFrame:
        features = matrix_of(shard.rows, shard.leads, shard.history, found, self.scorer.card.matrix)
        matrix = pd.concat([shard.rows[["lead_id"]], features], axis=1)
        write_parquet(matrix, self.work / "matrix" / f"{shard.number:05d}.parquet")
        return super().answer(shard, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a size of benchmarks.scale: contract tables and a model")
    parser.add_argument("--engine", choices=ENGINES, help="one alone, without the comparison")
    arguments = parser.parse_args()
    work = ROOT / "out" / "spark" / arguments.folder.name
    if arguments.engine:
        sys.stdout.write(json.dumps(measured(arguments.engine, Layout.folder(arguments.folder.resolve()), work)) + "\n")
        return
    figures = {engine: run_engine(arguments.folder, engine) for engine in ENGINES}
    for line in [*costs(figures), *differences(work)]:
        sys.stdout.write(line + "\n")


def run_engine(folder: Path, engine: str) -> Figures:
    sys.stderr.write(f"{engine}\n")
    command = [sys.executable, "-m", "benchmarks.spark", str(folder), "--engine", engine]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 our own program
    figures: Figures = json.loads(told.splitlines()[-1])
    return figures


def measured(engine: str, source: Layout, work: Path) -> Figures:
    """Score every lead and say what it took, in seconds on the clock by part and in CPU seconds of all processes."""
    params, layout = load(), Layout(source.data, work / engine, work / engine)
    shutil.rmtree(work / engine, ignore_errors=True)
    (work / engine / "matrix").mkdir(parents=True)
    opened: Opener = Contract.open if engine == "duckdb" else partial(SparkContract.opened, params.spark)
    clock, cpu = [time.perf_counter()], [cpu_seconds()]

    def lap() -> None:
        clock.append(time.perf_counter())
        cpu.append(cpu_seconds())

    scorer = load_bundle(source.bundle, params.project.threads)
    with closing(opened(layout, params.project)) as contract:
        snapshots, _ = open_leads(contract, scorer.card.snapshots, params, layout)
        lap()
        scoring = KeptFeatures(scorer, 5, work / engine, None)
        parts = [Path(one["file"].iloc[0]) for one in contract.each(snapshots, scoring)]
        lap()
        listed = list_leads(parts, scorer, snapshots, contract, None, params.evaluate.confidence)
        lap()
        with ranked_rows(parts, listed, params.project, work / engine) as rows:
            write_rows(rows, layout.scores.path, layout.scores_csv.path)
        lap()
    if engine == "spark":
        end_java()
    lap()
    events = contract.profile["tables"]["events"]["kept"]
    laps = {"clock": np.diff(clock).round(2).tolist(), "cpu": np.diff(cpu).round(2).tolist()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"rows": len(snapshots), "events": events, "peak_mb_driver": peak} | laps


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def end_java() -> None:
    """Wait for Spark's processes to end, because only then are their CPU seconds known."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    SparkContext._active_spark_context.stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def features(work: Path, engine: str) -> pd.DataFrame:
    return pd.read_parquet(work / engine / "matrix").sort_values("lead_id", ignore_index=True)


def costs(figures: dict[str, Figures]) -> list[str]:
    lines = []
    for engine, one in figures.items():
        cpu, clock = sum(one["cpu"]), sum(one["clock"])
        lines += [
            f"{engine}: {one['rows']:,} leads, {one['events']:,} events: {cpu:,.0f} CPU seconds "
            f"({one['rows'] / cpu:,.0f} leads a CPU second), {clock:,.0f} on the clock",
            f"  open, shards, rank, write, end: {one['cpu']} CPU seconds (Java's count at the end), {one['clock']} on "
            f"the clock; peak of this process {one['peak_mb_driver']:,} MB",
        ]
    return lines


def differences(work: Path) -> list[str]:
    """Say how far the engines are apart; raises where scores or tiers differ at all."""
    ours, theirs = (features(work, engine) for engine in ENGINES)
    names = [name for name in ours.columns if name not in ("lead_id", "snapshot_at")]
    gaps = np.abs(ours[names].to_numpy("float64") - theirs[names].to_numpy("float64"))
    missing = int((ours[names].isna() != theirs[names].isna()).to_numpy().sum())
    lists = [pd.read_parquet(Layout(work, work, work / engine).scores.path) for engine in ENGINES]
    unequal = {name: int((lists[0][name] != lists[1][name]).sum()) for name in EXACT}
    furthest = {name: float(np.abs(lists[0][name] - lists[1][name]).max()) for name in CLOSE}
    whole = [pq.read_table(work / engine / "scores.parquet") for engine in ENGINES]
    return [
        f"features: {gaps.size:,} of {len(names)} columns, largest difference {np.nanmax(gaps):.3g}, "
        f"{int((gaps > 0).sum()):,} differ at all, {missing:,} missing in one alone",
        f"lists: {len(lists[0]):,} rows; unequal: {unequal}; largest difference: {furthest}",
        f"the list is {'' if whole[0].equals(whole[1]) else 'not '}the same to the bit",
    ]


if __name__ == "__main__":
    main()
