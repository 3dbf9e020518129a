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
from collections.abc import Callable, Iterator, Sequence
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
from benchmarks.kill_promotion import require_whole
from benchmarks.scheduled import digests, last_day
from features.schema.errors import LeadScoreError, RefusedError
from models.checks import AuditResult  # noqa: F401  # alike
from pipelines.config.params import Params, load, with_as_of
from pipelines.registry.promote import promote
from pipelines.registry.registry import CHAMPION, Registry, download_bundle
from pipelines.scheduled.retrain import RetrainRequest, read_record, retrain
from pipelines.simulation.export import chunks
from pipelines.stages.report import ReportInputs
from pipelines.stages.run_all import run_all
from pipelines.stages.score import score_leads
from pipelines.stages.simulate import write
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
promotion: {min_positive: 1, tolerance: 2.0, calibration_tolerance: 9.0, tier_changes: 1.0, segment_tolerance: 9.0}
"""
AT = pd.Timestamp("2026-07-01 03:00")
State = dict[str, str]
LASTING = {"decisions", "versions", "answer"}  # of a registry: what is recorded there stays, and is only added to
LISTS = ("scores.parquet", "scores.csv")
MIXED = 40  # an exit code
EVERY = 2  # kills between two lines


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
        What is mixed right after a kill, beyond single files; empty where nothing is.
    lasting
        The files that are there at every moment, of before or of after.
    """

    base: Path
    live: Path
    act: Callable[[], object]
    state: Callable[[], State]
    sound: Callable[[], str]
    lasting: Sequence[str] = ()

    def reset(self) -> None:
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.base, self.live, symlinks=True)


def files(folder: Path) -> State:
    """Every file of a run but what is staged, locked, or the trials of a search, which a later run goes on with."""
    left = {".lock", "search"}
    return {name: of for name, of in digests(folder).items() if not any(part[:1] == "." for part in Path(name).parts)
            and not left & {*Path(name).parts}}  # fmt: skip


def readable(run: RunContext) -> str:
    """Read what the report reads: results of two runs are refused, or they are of one; "" where nothing is wrong."""

    def read() -> None:
        with suppress(LeadScoreError):
            inputs = ReportInputs.read(run)
            day = f"{inputs.scores['as_of'].iloc[0]}"[:10]
            if (len(inputs.scores), day) != (inputs.summary.n, inputs.summary.as_of):
                os._exit(MIXED)

    ends = {0: "", MIXED: "a list beside the summary of another"}
    return ends.get(ended(forked(read)), "the report cannot be made, and does not say why")


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
        if number % 2 and operations:  # those of the stages of `dvc repro` are not this process's
            process = forked(partial(_until, rng.randint(1, operations), command))
        else:
            process = forked(partial(_grouped, command.act))
            time.sleep(rng.uniform(0, seconds))
            kill_group(process)
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


def _grouped(act: Callable[[], object]) -> None:
    os.setpgid(0, 0)
    act()


def kill_group(process: int) -> None:
    """Kill a process and all that it has started, in its group or not yet."""
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(process, process)
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _until(operation: int, command: Command) -> None:
    die_at(operation, command.live)
    command.act()


def faults(command: Command, before: State, after: State) -> Iterator[tuple[str, str]]:
    """What is wrong after a kill, and after the same command has been run again."""
    now = command.state()
    for name, value in now.items():
        if value not in (before.get(name), after.get(name)):
            yield "partial", name
    yield from (("lost", name) for name in command.lasting if name not in now)
    if wrong := command.sound():
        yield "mixed", wrong
    again = ended(forked(command.act))
    then = command.state()
    if lost := [name for name, value in now.items() if name in LASTING and not then.get(name, "").startswith(value)]:
        yield "lost", lost[0]
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
    return Command(
        base, live.reports, lambda: score_leads(new), lambda: files(live.reports), lambda: readable(new), LISTS
    )


def run_command(run: RunContext, work: Path) -> Command:
    """Run every stage over the results of an earlier capacity."""
    live = Layout.folder(work / "run" / "live")
    base = work / "run" / "base"
    shutil.copytree(run.layout.reports, base)
    capacity = run.params.capacity.model_copy(update={"per_period": 10})
    new = RunContext(run.params.model_copy(update={"capacity": capacity}), live)
    return Command(base, live.reports, lambda: run_all(new, run.layout.raw), lambda: files(live.reports),
                   lambda: readable(new), LISTS)  # fmt: skip


def retrain_command(run: RunContext, work: Path, name: str = "retrain", min_positive: int = 1) -> Command:
    """Retrain over a champion; the registry says which model stands where, and how often each is there."""
    live, base = work / name / "live", work / name / "base"
    base.mkdir(parents=True)
    store = {"uri": f"sqlite:///{live}/mlflow.db", "artifacts": str(live / "files")}
    params = run.params.model_copy(update={"track": run.params.track.model_copy(update=store)})
    request = RetrainRequest(run.layout.raw, live / "lists", AT.floor("D"), AT + pd.Timedelta(hours=1), force=False)
    shutil.copytree(base, live)
    must(lambda: promote(RunContext(params, run.layout), run.layout.bundle, AT))
    shutil.rmtree(base)
    shutil.copytree(live, base)
    more = params.train.model_copy(update={"max_rounds": 21})
    gate = params.promotion.model_copy(update={"min_positive": min_positive})
    changed = params.model_copy(update={"train": more, "promotion": gate})
    note = work / name / "state"

    def record() -> None:
        registry = Registry.open(params)
        versions = registry.client.search_model_versions(f"name = '{registry.name}'")
        numbered = sorted(versions, key=lambda one: int(one.version))
        ids = {str(one.version): one.tags["model_id"] for one in numbered if "model_id" in one.tags}
        mixed = ""
        for version, model_id in ids.items():
            try:
                require_whole(
                    download_bundle(f"models:/{registry.name}/{version}", params, note.parent / "got"), model_id
                )
            except LeadScoreError as error:
                mixed = str(error)
        answer = read_record(live / "lists" / "retrain")
        note.write_text(json.dumps({
            "champion": ids.get(registry.aliases()[CHAMPION], "not whole"),
            "versions": " ".join(ids.values()),
            "decisions": " ".join(f"{one['answer']}:{one['model_id']}" for one in registry.decisions()),
            "answer": answer.answer if answer else "", "mixed": mixed,
        }))  # fmt: skip

    def state() -> State:
        note.unlink(missing_ok=True)
        ended(forked(record))
        return dict(json.loads(note.read_text())) if note.is_file() else {"champion": "none"}

    def sound() -> str:
        folders = (live / "lists" / "retrain" / "runs").glob("*")
        return state()["mixed"] or "".join(readable(RunContext(changed, Layout.folder(one))) for one in folders)

    def act() -> None:
        with suppress(RefusedError):
            retrain(changed, request, None)

    return Command(base, live, act, state, sound)


def refused_command(run: RunContext, work: Path) -> Command:
    """The same where the gate refuses what was trained."""
    return retrain_command(run, work, "refused", 10_000)


def repro_command(run: RunContext, work: Path) -> Command:
    """`dvc repro` in a copy of the project, over the results of another seed: every stage runs."""
    live, base = work / "repro" / "live", work / "repro" / "base"
    live.mkdir(parents=True)
    made = subprocess.run(["git", "archive", "HEAD"], check=True, capture_output=True).stdout  # noqa: S607
    subprocess.run(["tar", "-x"], input=made, cwd=live, check=True)  # noqa: S607
    subprocess.run(["git", "init", "-q"], cwd=live, check=True)  # noqa: S607
    (live / "dvc.lock").unlink()
    (live / ".venv").symlink_to(Path(".venv").resolve())
    settings = live / "params.yaml"
    tree = yaml.safe_load(settings.read_text())
    for name, section in yaml.safe_load(WORLD).items():
        tree[name] = tree.get(name, {}) | section
    environment = os.environ | {"PYTHONPATH": str(live), "DVC_NO_ANALYTICS": "1"}
    dvc = [str(live / ".venv/bin/dvc"), "repro", "-q"]

    def act() -> None:
        subprocess.run(dvc, cwd=live, env=environment, check=True, stderr=subprocess.DEVNULL)  # noqa: S603  # as above

    def state() -> State:
        return {name: of for name, of in files(live).items() if name.startswith(("artifacts/", "reports/", "data/"))}

    def write_params(seed: int) -> None:
        tree["project"]["seed"] = seed
        settings.write_text(yaml.safe_dump(json.loads(json.dumps(tree, default=str))))

    write_params(run.params.project.seed + 1)
    act()
    write_params(run.params.project.seed)
    shutil.copytree(live, base, symlinks=True)
    new = RunContext(load(settings), Layout.workspace(live))
    return Command(base, live, act, state, lambda: readable(new))


def market(work: Path) -> tuple[Params, Layout]:
    """Simulate the market, and run every stage on it once."""
    versions()  # of the program in memory: forks that read its files later might find others
    (work / "world.yaml").write_text(WORLD, encoding="utf-8")
    params, layout = load(work / "world.yaml"), Layout.folder(work / "made")
    write(chunks(params.simulate, params.project.seed, params.snapshots), layout.raw, layout.oracle.path)
    must(lambda: run_all(RunContext(params, layout), layout.raw))
    return params, layout


COMMANDS = {
    "score": score_command,
    "retrain": retrain_command,
    "refused": refused_command,
    "run": run_command,
    "repro": repro_command,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--kills", type=int, default=50, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--command", choices=[*COMMANDS], action="append", default=[])
    options = parser.parse_args()
    work, bad = options.work.resolve(), 0
    work.mkdir(parents=True, exist_ok=True)
    run = RunContext(*market(work))
    for name in options.command or COMMANDS:
        counts = kill(name, COMMANDS[name](run, work), options.kills, options.seed, work / "operations")
        bad += counts["partial"] + counts["mixed"] + counts["lost"] + counts["not as undisturbed"]
        print(f"{name}: " + ", ".join(f"{what} {n}" for what, n in counts.items()), flush=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
