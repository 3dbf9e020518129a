"""What `ingest` costs beside DuckDB alone: `python -m benchmarks.ingest`, and benchmarks/ingest.json.

A log of 100,000 leads with 5 million events is read by `ingest` into the contract, and by DuckDB, which drops copies,
sorts and writes the same file. Each is a process of its own; CPU seconds count all cores and the imports that the work
brings. The order alternates, and the least of the runs of each is shown, as another program on the machine only adds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.scale_data import write_log
from pipelines.config.params import load
from pipelines.stages.ingest import ingest
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout

ROOT = Path(__file__).resolve().parent.parent
LEADS, RUNS = 100_000, 3
FLOOR = "COPY (SELECT DISTINCT * FROM read_parquet($log) ORDER BY ALL) TO '{out}' (FORMAT parquet, COMPRESSION zstd)"
PARTS = ("floor", "full")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=LEADS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--part", choices=PARTS, help="one part, in this process, on the log that is there")
    arguments = parser.parse_args()
    work = ROOT / "out" / "ingest" / str(arguments.leads)
    if arguments.part:
        sys.stdout.write(json.dumps(measure(arguments.part, work)))
        return
    if not (work / "raw").is_dir():
        write_log(arguments.leads, work / "raw", work / "oracle.parquet")
    runs = [{part: of_process(part, arguments.leads) for part in PARTS} for _ in range(arguments.runs)]
    found = {part: min(run[part] for run in runs) for part in PARTS}
    tree = {"runs": runs, "least": found, "full / floor": round(found["full"] / found["floor"], 2)}
    write_json(tree, (ROOT / "benchmarks" if arguments.leads == LEADS else work) / "ingest.json")
    sys.stdout.write(json.dumps(tree, indent=2) + "\n")


def of_process(part: str, leads: int) -> float:
    """Return the CPU seconds of one part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--leads", str(leads), "--part", part]
    return float(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)  # noqa: S603 # ours


def measure(part: str, work: Path) -> float:
    """Return the CPU seconds of one part in this process."""
    params, before = load(), cpu_seconds()
    if part == "floor":
        floor(work / "raw" / params.source.events[0].path, params.project.threads)
    else:
        ingest(params.source, params.ingest, params.project, work / "raw", Layout.folder(work / "full"))
    return round(cpu_seconds() - before, 2)


def floor(log: Path, threads: int) -> None:
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": threads}) as connection:
        connection.execute(FLOOR.format(out=Path(folder) / "log.parquet"), {"log": str(log)})


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
