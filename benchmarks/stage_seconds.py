"""What each stage of `leadscore run` takes: the same calls in a process of their own, timed one by one.

`python -m benchmarks.stage_seconds --out FOLDER [--params FILE --data FOLDER]` prints one line of JSON, CPU seconds of
all cores by stage; without --data it simulates leads first, as `leadscore run` does. `benchmarks.examples` calls it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from pipelines.cli import stages as commands
from pipelines.cli.options import loaded
from pipelines.stages.run_all import Stage, stages


def seconds(named: dict[str, Stage]) -> dict[str, float]:
    """Call each stage; return the CPU seconds of this process that it took."""
    taken = {}
    for name, stage in named.items():
        before = time.process_time()
        stage()
        taken[name] = round(time.process_time() - before, 1)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--params", type=Path)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    run = loaded(options.params, options.out)
    start: dict[str, Stage] = {}
    if options.data is None:
        start = {"simulate": lambda: commands.simulate(options.params, options.out)}
    started = {"start": round(time.process_time(), 1)}  # what importing takes
    taken = started | seconds(start | stages(run, options.data or run.layout.raw))
    sys.stdout.write(f"{json.dumps(taken)}\n")


if __name__ == "__main__":
    main()
