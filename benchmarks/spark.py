"""Spark in local mode against DuckDB on the same leads: is the list the same, and what does it cost?

`.venv-spark/bin/python -m benchmarks.spark out/scale/100000`, after `python -m benchmarks.scale --sizes 100000`,
computes the features and then scores every lead with its top 5 reasons, each engine in a process of its own, and
prints how far they are apart and the rows a second.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.scale_parts import open_snapshots
from pipelines.artifacts import Layout
from pipelines.bundle import load_bundle
from pipelines.params import load
from pipelines.score import score_leads
from pipelines.sinks import write_parquet
from pipelines.spark import SparkContract
from pipelines.store import Contract, Opener

ROOT = Path(__file__).resolve().parent.parent
ENGINES, PARTS = ("duckdb", "spark"), ("features", "score")
EXACT = ["lead_id", "score", "tier", "grade", "tier_reason", "reasons_text"]
CLOSE = ["probability", "points", "fit", "engagement", "raw_score"]
Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a size of benchmarks.scale: contract tables and a model")
    parser.add_argument("--part", choices=[f"{engine} {part}" for engine in ENGINES for part in PARTS])
    arguments = parser.parse_args()
    source, work = arguments.folder.resolve(), ROOT / "out" / "spark" / arguments.folder.name
    if arguments.part:
        sys.stdout.write(json.dumps(measured(*arguments.part.split(), source, work)) + "\n")
        return
    figures = {one: {part: run_part(arguments.folder, f"{one} {part}") for part in PARTS} for one in ENGINES}
    for line in [*costs(figures), *differences(work)]:
        sys.stdout.write(line + "\n")


def run_part(folder: Path, part: str) -> Figures:
    """Run a part in a process of its own; its CPU seconds hold those of Java and of Spark's Python workers."""
    sys.stderr.write(f"{part}\n")
    command = [sys.executable, "-m", "benchmarks.spark", str(folder), "--part", part]
    told = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 our own program
    figures: Figures = json.loads(told.splitlines()[-1])
    return figures


def measured(engine: str, part: str, source: Path, work: Path) -> Figures:
    """Do a part and say what it took, from opening the tables to the last file."""
    params = load()
    layout = Layout(source / "data", work / engine, work / engine)
    layout.artifacts.mkdir(parents=True, exist_ok=True)
    if not layout.bundle.exists():
        layout.bundle.symlink_to(Layout.folder(source).bundle)
    opened: Opener = Contract.open if engine == "duckdb" else partial(SparkContract.opened, params.spark)
    started, cpu = time.perf_counter(), cpu_seconds()
    if part == "score":
        score_leads(params, layout, opened)
    else:
        spec = load_bundle(layout.bundle, 1).card.matrix
        with closing(opened(layout, params.project)) as contract:
            for number, matrix in enumerate(contract.matrix(open_snapshots(params, layout), spec)):
                write_parquet(matrix, work / engine / "matrix" / f"{number:05d}.parquet")
    if engine == "spark":
        end_java()
    rows = pq.read_metadata(layout.scores.path).num_rows if part == "score" else len(features(work, engine))
    return {"rows": rows, "cpu": cpu_seconds() - cpu, "clock": time.perf_counter() - started}


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


def costs(figures: dict[str, dict[str, Figures]]) -> list[str]:
    return [
        f"{engine:>6} {part:>8}: {one['rows']:,} rows, {one['cpu']:,.0f} CPU seconds ({one['rows'] / one['cpu']:,.0f} "
        f"rows a CPU second), {one['clock']:,.0f} on the clock ({one['rows'] / one['clock']:,.0f} rows a second)"
        for engine, parts in figures.items()
        for part, one in parts.items()
    ]


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
