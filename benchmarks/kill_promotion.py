"""Kill promote and rollback at random moments: does the champion's alias point to one complete model each
time, and does the command end like an undisturbed one when it is run again?

After `leadscore run --out OUT`:

    .venv/bin/python -m benchmarks.kill_promotion --out OUT --params PARAMS --work FOLDER

PARAMS must let the run's model pass its gate, and two with the same predictions and a little more capacity.
Half of the kills come after a random time; the others at a random one of the command's own SQL statements and commits,
where faults would show. A killed process is a fork of this one, ended by SIGKILL. At the end two promotions are
started at once.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import mlflow.store.model_registry.sqlalchemy_store  # imported once here, rather than by every process
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  # alike
import pandas as pd
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.kill import ended, forked, must
from benchmarks.scheduled import arguments, open_run
from features.schema.errors import BusyError, ModelError
from pipelines.registry.promote import promote, roll_back
from pipelines.registry.registry import CHAMPION, Registry, download_bundle
from pipelines.storage.bundle import load_bundle, load_tested, save_bundle
from pipelines.storage.run_context import RunContext

RegistryState = dict[str, Any]  # the model behind each alias, and how many decisions are unfinished
EVERY = 10  # kills between two lines
AT = pd.Timestamp("2026-07-01 03:00")


@dataclass(frozen=True)
class Sandbox:
    """A registry in a folder of its own, which is put back before each kill, and the commands that change it.

    Attributes
    ----------
    live, base
        The registry's folder, and its copy as it stands before a command.
    bundles
        The models in the order in which they become champion.
    """

    run: RunContext
    live: Path
    base: Path
    bundles: list[Path]

    @classmethod
    def of(cls, run: RunContext, work: Path) -> Sandbox:
        live = work / "live"
        store = {"uri": f"sqlite:///{live}/mlflow.db", "artifacts": str(live / "files")}
        track = run.params.track.model_copy(update=store)
        here = replace(run, params=run.params.model_copy(update={"track": track}))
        return cls(here, live, work / "base", [work / f"model_{number}" / "model" for number in range(3)])

    def prepare(self) -> None:
        """Save three models and promote the first two."""
        layout = self.run.layout
        scorer, tested = load_bundle(layout.bundle, 1), load_bundle(layout.tested_model, 1)
        before = tested.metadata.uncorrected
        for number, bundle in enumerate(self.bundles):
            own = {"uncorrected": before.model_copy(update={"intercept": before.intercept + number})}  # scores nobody
            sibling = replace(tested, metadata=tested.metadata.model_copy(update=own))
            metadata = scorer.metadata.model_copy(update=own | {"tested_as": sibling.model_id})
            save_bundle(sibling, bundle.with_name("tested_model"))
            save_bundle(replace(scorer, metadata=metadata), bundle)
        for number in (0, 1):
            self.command("promote", number)

    def reset(self) -> None:
        """Put the registry back to two promoted models."""
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.base, self.live)

    def command(self, name: str, number: int = 2) -> None:
        """Run a command; the third model is the one to be promoted."""
        at = AT + number * pd.Timedelta(minutes=1)
        if name == "promote":
            promote(self.run, self.bundles[number], at)
        else:
            roll_back(self.run.params, at)

    def record(self, note: Path) -> None:
        """Write down the aliases' models, the decisions and how many are unfinished, after loading every model."""
        registry = Registry.open(self.run.params)
        versions = registry.client.search_model_versions(f"name = '{registry.name}'")
        ids = {str(version.version): version.tags["model_id"] for version in versions if "model_id" in version.tags}
        models = {alias: ids[version] for alias, version in registry.aliases().items()}
        for version, model_id in ids.items():
            bundle = download_bundle(f"models:/{registry.name}/{version}", self.run.params, note.parent / "got")
            require_whole(bundle, model_id)
        decisions = sorted([one["answer"], one["model_id"]] for one in registry.decisions())  # some are of one moment
        note.write_text(
            json.dumps({"aliases": models, "unfinished": len(registry.unfinished()), "decisions": decisions})
        )


def watch_statements(act: Callable[[], None]) -> None:
    """Call a function before each SQL statement and each commit of this process."""
    event.listen(Engine, "before_cursor_execute", lambda *_: act())
    event.listen(Engine, "commit", lambda *_: act())


def count_statements(work: Callable[[], None], note: Path) -> None:
    """Write down how many statements the work has."""
    statements: list[int] = []
    watch_statements(lambda: statements.append(1))
    work()
    note.write_text(str(len(statements)))


def require_whole(bundle: Path, model_id: str) -> None:
    """Raise ModelError unless every file of a bundle, and of the model that was tested with it, is of this model."""
    scorer = load_bundle(bundle, 1)
    load_tested(bundle, scorer)
    if scorer.model_id != model_id:
        raise ModelError(f"files of {scorer.model_id} as version {model_id}")


def die_at(statement: int, work: Callable[[], None]) -> None:
    """Kill this process at its N-th statement."""
    left = [statement]

    def count() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    watch_statements(count)
    work()


def registry_state(sandbox: Sandbox, note: Path) -> RegistryState:
    """Return what the registry holds; empty where it cannot be opened, or an alias points to no complete model."""
    note.unlink(missing_ok=True)
    ended(forked(partial(sandbox.record, note)))
    return dict(json.loads(note.read_text())) if note.is_file() else {}


def try_both(sandbox: Sandbox) -> list[int]:
    """Start two promotions at once; the exit codes: 0, or 7 for the one that was locked out by the other."""

    def command() -> None:
        try:
            sandbox.command("promote")
        except BusyError as error:
            os._exit(error.exit_code)

    first, second = forked(command), forked(command)
    return sorted([ended(first), ended(second)])


def undisturbed(sandbox: Sandbox, name: str, note: Path) -> tuple[float, int, RegistryState]:
    """Run a command through; returns its seconds and statements, and what the registry holds then."""
    sandbox.reset()
    started = time.perf_counter()
    must(partial(count_statements, partial(sandbox.command, name), note))
    seconds, statements = time.perf_counter() - started, int(note.read_text())
    print(f"an undisturbed {name}: {seconds:.1f} s, {statements} statements", flush=True)
    return seconds, statements, registry_state(sandbox, note)


def kill(sandbox: Sandbox, names: Sequence[str], kills: int, seed: int, note: Path) -> Counter[str]:
    """Kill the commands N times in turn; return the counts of results, `faults` among them."""
    rng = random.Random(seed)  # noqa: S311  # moments, no secrets
    sandbox.reset()
    before = registry_state(sandbox, note)
    undisturbed_runs = {name: undisturbed(sandbox, name, note) for name in names}
    outcome: Counter[str] = Counter()
    for number in range(kills):
        name = names[number % len(names)]
        seconds, statements, after = undisturbed_runs[name]
        run = partial(sandbox.command, name)
        sandbox.reset()
        if number // len(names) % 2:
            process = forked(run)
            time.sleep(rng.uniform(0, seconds))
            os.kill(process, signal.SIGKILL)
        else:
            process = forked(partial(die_at, rng.randint(1, statements), run))
        outcome["killed" if ended(process) == -signal.SIGKILL else "had ended"] += 1
        now = registry_state(sandbox, note)
        wrong = faults(now, before, after)
        outcome["with a decision to complete"] += bool(now.get("unfinished"))
        outcome["with the decision made"] += now == after
        if now != after:  # a rollback that was done and is run again would be taken back
            again = ended(forked(run))
            if again or registry_state(sandbox, note) != after:
                wrong.append(f"lost or doubled: the second run ended with {again}, or in another state")
        outcome["faults"] += bool(wrong)
        for fault in wrong:
            print(f"kill {number} of seed {seed}, {name}: {fault}", flush=True)
        if number % EVERY == EVERY - 1 or number == kills - 1:
            print(f"{number + 1} runs: " + ", ".join(f"{name} {n}" for name, n in outcome.items()), flush=True)
    return outcome


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    work = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    sandbox, note = Sandbox.of(open_run(options), work), work / "note"
    must(sandbox.prepare)
    shutil.copytree(sandbox.live, sandbox.base)
    outcome = kill(sandbox, ("promote", "rollback"), options.kills, options.seed, note)
    sandbox.reset()
    codes = try_both(sandbox)
    both = codes in ([0, 0], [0, BusyError.exit_code])
    print(f"two promotions at once: exit codes {codes}; the registry then: {registry_state(sandbox, note)}", flush=True)
    sys.exit(bool(outcome["faults"]) or not both)


def faults(now: RegistryState, before: RegistryState, after: RegistryState) -> list[str]:
    """Return what is wrong with a registry right after a kill."""
    if not now:
        return ["a version is mixed or no complete model, or the registry cannot be opened"]
    champions = [state["aliases"][CHAMPION] for state in (before, after)]
    wrong = [] if now["aliases"][CHAMPION] in champions else ["the champion is neither the old nor the new one"]
    lost = Counter(map(tuple, before["decisions"])) - Counter(map(tuple, now["decisions"]))
    return wrong if not lost else [*wrong, "lost: a decision that was recorded before"]


if __name__ == "__main__":
    main()
