"""Kill the scheduled run at random moments: is the current list complete each time, and does the rerun end
with the files of an undisturbed run?

After `leadscore run --out OUT`: `.venv/bin/python -m benchmarks.kill --out OUT --params PARAMS --work FOLDER`. Half of
the kills come after a random time; the others at a random one of the run's own file operations, where mistakes would
show. Each second run takes in the user's files first. A killed process is a fork of this one, ended by SIGKILL.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pandas as pd

from benchmarks.scheduled import arguments, digests, last_day, open_run, request, run_day
from pipelines.scheduled.manifest import ListIdentity, read_manifest
from pipelines.scheduled.published import INPUTS, SCORES, SHEET, PublishedLists
from pipelines.storage.lock import hold

EVERY = 10  # kills between two lines
OPERATIONS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "shutil.rmtree", "fcntl.flock"}


def forked(work: Callable[[], object]) -> int:
    """Start a process that does the work and ends; returns its id."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    except Exception:  # a fork that ends by os._exit prints no traceback itself
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: int) -> int:
    """Wait for a process; returns its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def is_operation(event: str, details: object, folder: Path) -> bool:
    """Whether an audit event is about a file below a folder."""
    return event in OPERATIONS and str(folder) in str(details)


def die_at(operation: int, folder: Path) -> None:
    """Kill this process at its N-th file operation below a folder."""
    left = operation

    def count(event: str, details: object) -> None:
        nonlocal left
        if is_operation(event, details, folder):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def count_operations(work: Callable[[], object], folder: Path, note: Path) -> None:
    """Write down how many file operations below a folder the work has."""
    seen: list[str] = []
    sys.addaudithook(lambda event, details: seen.append(event) if is_operation(event, details, folder) else None)
    work()
    note.write_text(str(len(seen)))


def faults(to: Path, before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What is wrong with a folder of lists right after a kill."""
    now, published = digests(to), PublishedLists(to)
    wrong = [
        f"incomplete list: {run.name}" for run in published.runs.glob("[!.]*") if not published.is_complete(run.name)
    ]
    wrong += [f"mixed: {run.name}" for run in published.runs.glob("[!.]*") if mixed(run)]
    if now.get("current") not in (before["current"], after["current"]):
        wrong.append(f"current is {now.get('current')}")
    lost = [name for name in before if name != "current" and now.get(name) != before[name]]
    return wrong + [f"changed: {name}" for name in lost]


def mixed(run: Path) -> bool:
    """Whether files of a published list are not of the list that its manifest and its name say."""
    manifest = read_manifest(run)
    if manifest is None:
        return True
    identity = ListIdentity.model_validate(manifest.model_dump(include={*ListIdentity.model_fields}))
    rows = pd.read_parquet(run / SCORES, columns=["lead_id", "as_of"])
    others = pd.read_parquet(run / INPUTS)["lead_id"], pd.read_csv(run / SHEET, dtype=str)["lead_id"]
    days = {f"{day:%Y-%m-%d}" for day in rows["as_of"]}
    leads = sorted(rows["lead_id"])
    if identity.name != run.name or len(leads) != manifest.n:
        return True
    return days != {manifest.as_of} or any(sorted(other) != leads for other in others)


def must(work: Callable[[], object]) -> None:
    """Do the work in a process of its own, which has to succeed."""
    if ended(forked(work)):
        sys.exit("an undisturbed run failed; see above")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    context = open_run(options)
    layout = context.layout
    today, rng = last_day(layout), random.Random(options.seed)  # noqa: S311  # moments, no secrets
    base, undisturbed, to, note = (options.work / name for name in ("base", "undisturbed", "killed", "operations"))

    def run(to: Path, day: pd.Timestamp = today) -> None:
        with hold(to):
            run_day(context, request(layout, to, layout.raw), day)

    def run_until(operation: int) -> None:
        die_at(operation, to)
        run(to)

    must(lambda: run(base, today - pd.Timedelta(days=1)))
    shutil.copytree(base, undisturbed, symlinks=True)
    shutil.rmtree(undisturbed / ".work")
    started = time.perf_counter()
    must(lambda: count_operations(lambda: run(undisturbed), undisturbed, note))
    seconds, operations = time.perf_counter() - started, int(note.read_text())
    before, after = digests(base), digests(undisturbed)
    print(f"an undisturbed run: {seconds:.1f} s, {operations} file operations", flush=True)

    outcome: Counter[str] = Counter()
    for number in count():
        if outcome["killed"] == options.kills:
            break
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(base, to, symlinks=True)
        if number % 2:
            shutil.rmtree(to / ".work")
        if number % 4 < 2:
            process = forked(lambda: run(to))
            time.sleep(rng.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
        else:
            process = forked(partial(run_until, rng.randint(1, operations)))
        outcome["killed" if ended(process) == -signal.SIGKILL else "had ended"] += 1
        wrong = faults(to, before, after)
        outcome["after the new list was current"] += digests(to).get("current") == after["current"]
        outcome["with shards to reuse"] += any((to / ".work/shards").glob("*/*.json"))
        again = ended(forked(lambda: run(to)))
        if again or digests(to) != after:
            wrong.append(f"the rerun ended with {again}, or with other files")
        outcome["faults"] += bool(wrong)
        for fault in wrong:
            print(f"kill {number} of seed {options.seed}: {fault}", flush=True)
        if number % EVERY == EVERY - 1 or outcome["killed"] == options.kills:
            print(f"{number + 1} runs: " + ", ".join(f"{name} {n}" for name, n in outcome.items()), flush=True)
    sys.exit(bool(outcome["faults"]))


if __name__ == "__main__":
    main()
