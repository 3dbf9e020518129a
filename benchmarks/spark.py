"""Spark in local mode against DuckDB on the same leads: is the score list the same, and what does it cost?

`.venv-spark/bin/python -m benchmarks.spark out/scale/100000`, after `python -m benchmarks.scale --sizes 100000`, scores
every lead with its top 5 reasons by each engine, in a session of its own, and prints how far features and score lists
differ and what each part took, in CPU seconds of all its processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.config.params import load
from pipelines.scoring.population import open_leads
from pipelines.scoring.score_list import rank_leads, ranked_rows, write_rows
from pipelines.scoring.shards import score_shards
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract, Display, Opener
from pipelines.storage.files import file_digest, write_parquet
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from pipelines.storage.spark_store import SparkContract

ROOT = Path(__file__).resolve().parent.parent
ENGINES = ("duckdb", "spark")
PARTS = ("open and, once, order by lead", "features", "features, scores and reasons", "rank", "write")
EXACT = ["lead_id", "score", "tier", "grade", "tier_reason", "reasons_text"]
TOLERANCE = 1e-6  # of a feature
CLOSE = ["probability", "points", "fit", "engagement", "raw_score"]
Costs = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a size of benchmarks.scale: contract tables and a model")
    parser.add_argument("--engine", choices=ENGINES, help="run only this one, without the comparison")
    arguments = parser.parse_args()
    work = ROOT / "out" / "spark" / arguments.folder.name
    if arguments.engine:
        sys.stdout.write(json.dumps(measured(arguments.engine, Layout.folder(arguments.folder.resolve()), work)) + "\n")
        return
    costs = {engine: run_engine(arguments.folder, engine) for engine in ENGINES}
    lines, differ = differences(work)
    sys.stdout.write("\n".join([*cost_lines(costs), *lines]) + "\n")
    sys.exit(differ)


def run_engine(folder: Path, engine: str) -> Costs:
    sys.stderr.write(f"{engine}\n")
    command = [sys.executable, "-m", "benchmarks.spark", str(folder), "--engine", engine]
    alone = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603 our own program
    costs: Costs = json.loads(alone.stdout.splitlines()[-1])
    return costs


def measured(engine: str, source: Layout, work: Path) -> Costs:
    """Compute every lead's features, then score every lead, and return what each part took."""
    params, layout = load(), Layout(source.data, work / engine, work / engine)
    shutil.rmtree(work / engine, ignore_errors=True)
    (work / engine).mkdir(parents=True)
    opener: Opener = Contract.open if engine == "duckdb" else partial(SparkContract.opened, params.spark)
    clock, cpu = [time.perf_counter()], [cpu_seconds()]

    def lap() -> None:
        clock.append(time.perf_counter())
        cpu.append(cpu_seconds())

    scorer = load_bundle(source.bundle, params.project.threads)
    with closing(opener(layout, params.project)) as contract:
        snapshots, _ = open_leads(contract, scorer.metadata.snapshots, RunContext(params, layout))
        lap()
        for number, matrix in enumerate(contract.matrix(snapshots, scorer.metadata.matrix)):
            write_parquet(matrix, work / engine / "matrix" / f"{number:05d}.parquet")
        lap()
        parts = list(score_shards(contract, scorer, params.tiers, snapshots, 5, work / engine))
        lap()
        listed = rank_leads(parts, scorer, snapshots, contract, None, params)
        lap()
        write_rows(ranked_rows(parts, listed), layout.scores.path, layout.scores_csv.path, Display())
        lap()
        events = contract.profile.tables["events"].kept
    laps = {"clock": np.diff(clock).round(1).tolist(), "cpu": np.diff(cpu).round(1).tolist()}
    return {"rows": len(snapshots), "events": events, "peak_mb": peak_mb()} | laps


def of_this_session() -> list[tuple[Path, list[str]]]:
    """Every process of this program, Java and its workers among them, and what the kernel counts of it."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may have ended meanwhile
            counts = (process / "stat").read_text().rsplit(")", 1)[1].split()
            if int(counts[3]) == os.getsid(0):
                processes.append((process, counts))
    return processes


def cpu_seconds() -> float:
    """CPU seconds of every process so far, those that have ended among them."""
    ticks = sum(int(count) for _, counts in of_this_session() for count in counts[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mb() -> dict[str, int]:
    """The most memory that each program that still runs has held, of several processes of one the largest."""
    peaks: dict[str, int] = {}
    for process, _ in of_this_session():
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        name = status["Name"].strip()
        peak = int(status.get("VmHWM", "0").split()[0]) // 1024  # a process that has ended has none
        peaks[name] = max(peak, peaks.get(name, 0))
    return peaks


def features(work: Path, engine: str) -> pd.DataFrame:
    return pd.read_parquet(work / engine / "matrix").sort_values("lead_id", ignore_index=True)


def cost_lines(costs: dict[str, Costs]) -> list[str]:
    lines = []
    for engine, cost in costs.items():
        size = f"{cost['rows']:,} leads, {cost['events']:,} events"
        lines.append(f"{engine}: {size}; peak memory in MB {cost['peak_mb']}")
        for name, cpu, clock in zip(PARTS, cost["cpu"], cost["clock"], strict=True):
            lines.append(f"  {name}: {cpu:,.1f} CPU seconds, {clock:,.1f} on the clock")
    return lines


def differences(work: Path) -> tuple[list[str], bool]:
    """Return lines on the differences, and whether they are too large: features by 1e-6, scores or tiers at all."""
    ours, theirs = (features(work, engine) for engine in ENGINES)
    names = [name for name in ours.columns if name not in ("lead_id", "snapshot_at")]
    gaps = np.abs(ours[names].to_numpy("float64") - theirs[names].to_numpy("float64"))
    missing = int((ours[names].isna() != theirs[names].isna()).to_numpy().sum())
    scores = [pd.read_parquet(work / engine / "scores.parquet") for engine in ENGINES]
    same_leads = ours["lead_id"].equals(theirs["lead_id"]) and len(scores[0]) == len(scores[1]) == len(ours)
    unequal = {name: int((scores[0][name] != scores[1][name]).sum()) for name in EXACT}
    furthest = {name: float(np.abs(scores[0][name] - scores[1][name]).max()) for name in CLOSE}
    files = [file_digest(work / engine / "scores.parquet") for engine in ENGINES]
    lines = [
        f"features: {gaps.size:,} numbers in {len(names)} columns, largest difference {np.nanmax(gaps):.3g}, "
        f"{int((gaps > 0).sum()):,} differ at all, {missing:,} missing in one alone",
        f"lists: {len(scores[0]):,} rows; unequal: {unequal}; largest difference: {furthest}",
        f"scores.parquet is {'' if files[0] == files[1] else 'not '}the same file byte for byte",
    ]
    return lines, not same_leads or bool(np.nanmax(gaps) > TOLERANCE or missing or any(unequal.values()))


if __name__ == "__main__":
    main()
