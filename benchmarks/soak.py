"""Two hundred scheduled runs in a row, in one process: do memory, files and open handles stay level?

After `leadscore run --out OUT`: `.venv/bin/python -m benchmarks.soak --out OUT --params PARAMS --work FOLDER`. The runs
are as of the last days of the data, one after another; each ingests an export that differs by an event from the last.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.scheduled import arguments, last_day, open_run, request, run_day
from pipelines.storage.lock import hold

EVERY = 20  # runs between two lines


def held_by_this_process() -> dict[str, int]:
    """Resident memory in kB, threads and open handles, as the kernel counts them."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    handles = len(list(Path("/proc/self/fd").iterdir()))
    return {"memory_kb": int(status["VmRSS"].split()[0]), "threads": int(status["Threads"]), "handles": handles}


def left_in(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def exports(raw: Path, folder: Path) -> list[Path]:
    """The user's files, and the same without one event."""
    shutil.copytree(raw, folder)
    pd.read_parquet(raw / "events.parquet").iloc[1:].to_parquet(folder / "events.parquet", index=False)
    return [raw, folder]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    run = open_run(options)
    job = run.params.job.model_copy(update={"keep_days": 5})
    run = replace(run, params=run.params.model_copy(update={"job": job}))
    days = pd.date_range(end=last_day(run.layout), periods=options.runs, freq="D")
    usage, data, to = [], exports(run.layout.raw, options.work / "export"), options.work / "to"
    for number, day in enumerate(days, 1):
        with hold(to):
            run_day(run, request(run.layout, to, data[number % 2]), day)
        usage.append(held_by_this_process() | left_in(to))
        if number % EVERY == 0:
            print(f"{number:4d}: " + ", ".join(f"{name} {n:,}" for name, n in usage[-1].items()), flush=True)
    half = usage[len(usage) // 2 :]
    for name in usage[0]:
        slope = np.polyfit(range(len(half)), [row[name] for row in half], 1)[0]
        print(f"{name}: {slope:+.2f} a run over the last {len(half)} of {len(usage)} runs")


if __name__ == "__main__":
    main()
