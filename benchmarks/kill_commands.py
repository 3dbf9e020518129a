"""Kill `score`, `retrain`, `run` and `dvc repro` at random moments: is each file whole, do files of two runs pass for
one, and does the same command end like an undisturbed one when it is run again?

`.venv/bin/python -m benchmarks.kill_commands --work FOLDER --kills 50`, on a simulated market of a few hundred leads.
Half of the kills come after a random time; the others at a random one of the command's own file operations, where
faults would show. A killed process is a fork of this one, ended by SIGKILL; `dvc repro` is a process group of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import mlflow.store.model_registry.sqlalchemy_store  # imported once here, rather than by every process
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # alike
import pandas as pd
import yaml

from benchmarks.kill import count_operations, die_at, ended, forked, must
from benchmarks.scheduled import digests, last_day
from features.schema.errors import LeadScoreError
from models.checks import AuditResult  # noqa: F401  # alike
from pipelines.config.params import Params, load, with_as_of
from pipelines.registry.promote import promote
from pipelines.registry.registry import CHAMPION, Registry, download_bundle
from pipelines.scheduled.retrain import RetrainRequest, retrain
from pipelines.simulation.export import chunks
from pipelines.stages.report import ReportInputs
from pipelines.stages.run_all import run_all
from pipelines.stages.score import score_leads
from pipelines.stages.simulate import write
from pipelines.storage.bundle import load_bundle
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import versions

WORLD = """
simulate: {leads: 500, first_day: 2025-07-01, last_day: 2026-06-30}
snapshots: {horizon_days: 14, max_age_days: 90}
features: {windows_days: [30], half_lives_days: [7], min_event_count: 20, min_level_count: 20}
readiness: {min_rows: 50, min_positive: 10, min_negative: 10, min_periods: 3}
train: {boosters: 1, max_rounds: 20}
selection: {folds: {count: 2}, drift_limits: [1.0], recency_half_lives: [0], logistic_c: [0.01], linear_shares: [0.0]}
search: {trials: 0}
backtest: {cuts: 0}
scorecard: {max_lines: 4, l2: [20.0]}
capacity: {per_period: 20}
evaluate: {resamples: 10, segments: []}
explain: {sample_rows: 100, top_features: 2}
report: {top_leads: 3}
promotion: {min_positive: 1}
"""
AT = pd.Timestamp("2026-07-01 03:00")
State = dict[str, str]
EVERY = 10  # kills between two lines


@dataclass(frozen=True)
class Command:
    """A command and the folder that it changes.

    Attributes
    ----------
    base, live
        The folder as it stands before the command, and where that is put back before each kill.
    act
        The command, in this process.
    state
        What the folder holds, by name; files of the command, or what a registry says.
    sound
        What is wrong right after a kill, beyond single files; empty where nothing is.
    """

    base: Path
    live: Path
    act: Callable[[], object]
    state: Callable[[], State]
    sound: Callable[[], str]

    def reset(self) -> None:
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.base, self.live, symlinks=True)


def files(folder: Path) -> State:
    """Every file of a run but what is staged, locked, or the trials of a search, which a later run goes on with."""
    left = {".lock", "search"}
    return {name: of for name, of in digests(folder).items() if not any(part[:1] == "." for part in Path(name).parts)
            and not left & {*Path(name).parts}}  # fmt: skip


def readable(run: RunContext) -> str:
    """Read what the report reads: results of two runs are refused, or they are of one."""
    note = run.layout.reports.parent / "read"

    def read() -> None:
        try:
            inputs = ReportInputs.read(run)
        except LeadScoreError:
            note.write_text("refused")
            return
        same = (
            len(inputs.scores) == inputs.summary.n and f"{inputs.scores['as_of'].iloc[0]}"[:10] == inputs.summary.as_of
        )
        note.write_text("one" if same else "mixed: a list beside the summary of another")

    must(read)
    found = note.read_text()
    return found if found.startswith("mixed") else ""


def kill(name: str, command: Command, kills: int, seed: int, note: Path) -> Counter[str]:
    """Kill a command N times; return the counts of results."""
    rng = random.Random(f"{seed}/{name}")  # noqa: S311  # moments, no secrets
    command.reset()
    before = command.state()
    started = time.perf_counter()
    must(partial(count_operations, partial(_listing, command.act, note.with_name("modules")), command.live, note))
    seconds, operations = time.perf_counter() - started, int(note.read_text())
    after, counts = command.state(), Counter[str]()
    for module in note.with_name("modules").read_text().split():  # once here, rather than by every process
        with suppress(ImportError):
            import_module(module)
    print(f"{name}: an undisturbed one takes {seconds:.1f} s and {operations} file operations", flush=True)
    number = 0
    while counts["killed"] < kills:
        number += 1
        command.reset()
        if number % 2:
            process = forked(partial(_until, rng.randint(1, operations), command))
        else:
            process = forked(command.act)
            time.sleep(rng.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
        counts["killed" if ended(process) == -signal.SIGKILL else "had ended"] += 1
        for kind, fault in faults(command, before, after):
            counts[kind] += 1
            print(f"{name} {number} of seed {seed}: {kind}: {fault}", flush=True)
        if counts["killed"] % EVERY == 0:
            print(f"{name}: " + ", ".join(f"{what} {n}" for what, n in counts.items()), flush=True)
    return counts


def _listing(act: Callable[[], object], note: Path) -> None:
    act()
    note.write_text(" ".join(name for name, module in sys.modules.items() if module and "__main__" not in name))


def _until(operation: int, command: Command) -> None:
    die_at(operation, command.live)
    command.act()


def faults(command: Command, before: State, after: State) -> Iterator[tuple[str, str]]:
    """What is wrong after a kill, and after the same command has been run again."""
    now = command.state()
    for name, value in now.items():
        if value not in (before.get(name), after.get(name)):
            yield "partial", name
    if wrong := command.sound():
        yield "mixed", wrong
    again = ended(forked(command.act))
    then = command.state()
    other = sorted(name for name in {*then, *after} if then.get(name) != after.get(name))
    if again or other:
        yield (
            "not as undisturbed",
            f"the second one ended with {again}, and differs in {', '.join(other[:5]) or 'nothing'}",
        )


def score_command(run: RunContext, work: Path) -> Command:
    """Score the last day over the list of a week before."""
    live = Layout.folder(work / "score" / "live")
    base = work / "score" / "base"
    shutil.copytree(run.layout.reports, base)
    today = last_day(run.layout)
    then = with_as_of(run.params, f"{today - pd.Timedelta(days=7):%Y-%m-%d}")
    must(lambda: score_leads(RunContext(then, Layout.folder(base))))
    new = RunContext(with_as_of(run.params, f"{today:%Y-%m-%d}"), live)
    return Command(base, live.reports, lambda: score_leads(new), lambda: files(live.reports), lambda: readable(new))


def run_command(run: RunContext, work: Path) -> Command:
    """Run every stage over the results of an earlier capacity."""
    live = Layout.folder(work / "run" / "live")
    base = work / "run" / "base"
    shutil.copytree(run.layout.reports, base)
    capacity = run.params.capacity.model_copy(update={"per_period": 10})
    new = RunContext(run.params.model_copy(update={"capacity": capacity}), live)
    return Command(base, live.reports, lambda: run_all(new, run.layout.raw), lambda: files(live.reports),
                   lambda: readable(new))  # fmt: skip


def retrain_command(run: RunContext, work: Path) -> Command:
    """Retrain over a champion; the registry says which model stands where, and how often each is there."""
    live, base = work / "retrain" / "live", work / "retrain" / "base"
    base.mkdir(parents=True)
    store = {"uri": f"sqlite:///{live}/mlflow.db", "artifacts": str(live / "files")}
    params = run.params.model_copy(update={"track": run.params.track.model_copy(update=store)})
    request = RetrainRequest(run.layout.raw, live / "lists", AT.floor("D"), AT + pd.Timedelta(hours=1), force=False)
    shutil.copytree(base, live)
    must(lambda: promote(RunContext(params, run.layout), run.layout.bundle, AT))
    shutil.rmtree(base)
    shutil.copytree(live, base)
    more = params.train.model_copy(update={"max_rounds": 21})
    changed = params.model_copy(update={"train": more})
    note = work / "retrain" / "state"

    def record() -> None:
        registry = Registry.open(params)
        versions = registry.client.search_model_versions(f"name = '{registry.name}'")
        ids = {str(one.version): one.tags.get("model_id", "") for one in versions}
        bundle = download_bundle(f"models:/{registry.name}@{CHAMPION}", params, note.parent / "got")
        champion = ids[registry.aliases()[CHAMPION]]
        if load_bundle(bundle, 1).model_id != champion:
            champion = "not whole"
        answer = live / "lists" / "retrain" / "retrained.json"
        twice = sorted(one for one, n in Counter(ids.values()).items() if n > 1)
        note.write_text(json.dumps({
            "champion": champion, "twice": ", ".join(twice),
            "answer": json.loads(answer.read_text())["answer"] if answer.is_file() else "",
        }))  # fmt: skip

    def state() -> State:
        note.unlink(missing_ok=True)
        ended(forked(record))
        return dict(json.loads(note.read_text())) if note.is_file() else {"champion": "none"}

    return Command(base, live, lambda: retrain(changed, request, None), state, lambda: "")


def repro(work: Path, kills: int, seed: int) -> Counter[str]:
    """Kill `dvc repro` in a copy of the project, stages and DVC alike."""
    rng, counts = random.Random(f"{seed}/repro"), Counter[str]()  # noqa: S311  # moments, no secrets
    folder = work / "repro"
    made = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True).stdout  # noqa: S607
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x"], input=made, cwd=folder, check=True)  # noqa: S607
    tree = yaml.safe_load((folder / "params.yaml").read_text())
    for name, section in yaml.safe_load(WORLD).items():
        tree[name] = tree.get(name, {}) | section
    (folder / "params.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(tree, default=str))))
    (folder / "dvc.lock").unlink()
    (folder / ".venv").symlink_to(Path(".venv").resolve())
    dvc = [str(folder / ".venv/bin/dvc"), "repro", "-q"]
    environment = os.environ | {"PYTHONPATH": str(folder), "DVC_NO_ANALYTICS": "1"}
    for setup in (["git", "init", "-q"], [dvc[0], "init", "-q"]):
        subprocess.run(setup, cwd=folder, env=environment, check=True)  # noqa: S603  # words of this file
    run = partial(subprocess.run, dvc, cwd=folder, env=environment)

    def outputs() -> State:
        return {name: of for name, of in files(folder).items() if name.startswith(("artifacts", "reports", "data"))}

    def fresh() -> None:
        for name in ("artifacts", "reports", "data", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / "dvc.lock").unlink(missing_ok=True)

    started = time.perf_counter()
    run(check=True)
    seconds, after = time.perf_counter() - started, outputs()
    print(f"repro: an undisturbed one takes {seconds:.1f} s", flush=True)
    for number in range(1, kills + 1):
        fresh()
        process = subprocess.Popen(  # noqa: S603  # alike
            dvc, cwd=folder, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0, seconds))
        os.killpg(process.pid, signal.SIGKILL)
        counts["killed" if process.wait() == -signal.SIGKILL else "had ended"] += 1
        again = run(check=False).returncode
        other = sorted(name for name in {*outputs(), *after} if outputs().get(name) != after.get(name))
        if again or other:
            counts["not as undisturbed"] += 1
            print(f"repro {number}: the second one ended with {again}, and differs in {other[:5]}", flush=True)
    return counts


def market(work: Path) -> tuple[Params, Layout]:
    """Simulate the market, and run every stage on it once."""
    versions()  # of the program in memory: forks that read its files later might find others
    (work / "world.yaml").write_text(WORLD, encoding="utf-8")
    params, layout = load(work / "world.yaml"), Layout.folder(work / "made")
    write(chunks(params.simulate, params.project.seed, params.snapshots), layout.raw, layout.oracle.path)
    must(lambda: run_all(RunContext(params, layout), layout.raw))
    return params, layout


COMMANDS = {"score": score_command, "retrain": retrain_command, "run": run_command}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--command", choices=[*COMMANDS, "repro"], action="append", default=[])
    options = parser.parse_args()
    work, bad = options.work.resolve(), 0
    work.mkdir(parents=True, exist_ok=True)
    run = RunContext(*market(work))
    for name in options.command or [*COMMANDS, "repro"]:
        if name == "repro":
            counts = repro(work, options.kills, options.seed)
        else:
            counts = kill(name, COMMANDS[name](run, work), options.kills, options.seed, work / "operations")
        bad += counts["partial"] + counts["mixed"] + counts["not as undisturbed"]
        print(f"{name}: " + ", ".join(f"{what} {n}" for what, n in counts.items()), flush=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
