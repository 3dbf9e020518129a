"""Kill `deliver` at random moments, to PostgreSQL and to both CRMs: is nothing partial, mixed, lost or doubled?

    .venv/bin/python -m benchmarks.kill_delivery --work FOLDER --kills 100

Each round delivers another list to the same target: a third of its leads have a new score. Half of the kills come after
a random time, the others at a random one of the process's own requests, file operations and connections. Right after a
kill each record is as one of the two lists says, as a whole, and PostgreSQL shows one whole list; the same command
again then ends with all records as the new list says, and each changed lead was changed once. The CRMs are those of the
tests, on this machine; the database is a private cluster.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
from psycopg.sql import SQL

from benchmarks.kill import ended, forked
from pipelines.config.delivery import Delivery
from pipelines.config.params import Params
from pipelines.delivery.deliver import deliver
from pipelines.storage.files import write_parquet
from tests.support.crm_server import TOKEN, CrmServer, serving
from tests.support.postgres_server import VARIABLE, Server, running
from tests.support.small_delivery import VARIABLES, held
from tests.support.tables import PARAMS

LEADS = 450  # five batches of HubSpot, three of Salesforce
EVENTS = ("http.client.", "sqlite3.", "socket.connect", "open", "os.rename", "fcntl.flock")
FIRST_DAY = pd.Timestamp("2026-01-01")
FAULTS = ("partial", "mixed", "lost", "doubled", "not taken")
Scores = dict[str, tuple[int, str]]


@dataclass
class Target:
    """Where lists go, and what it shows of them.

    Attributes
    ----------
    state
        What the target holds now, by lead.
    updates
        How often each lead's record has changed.
    """

    name: str
    params: Params
    folder: Path
    state: Callable[[], Scores]
    updates: Callable[[], Counter[str]]
    rounds: int = 0
    listed: Scores = field(default_factory=dict)

    def next_list(self, rng: random.Random) -> Scores:
        """Another list, of the next day."""
        self.rounds += 1
        new = {f"L{index:04d}": (rng.randrange(101), rng.choice(["hot", "warm", "cold"])) for index in range(LEADS)}
        kept = {lead: row for lead, row in self.listed.items() if rng.random() > 1 / 3}
        scores = new | kept
        rows = pd.DataFrame(
            {
                "lead_id": list(scores),
                "as_of": pd.Series([FIRST_DAY + pd.Timedelta(days=self.rounds)] * LEADS).astype("datetime64[us]"),
                "score": [score for score, _ in scores.values()],
                "tier": [tier for _, tier in scores.values()],
                "probability": [score / 100 for score, _ in scores.values()],
            }
        )
        write_parquet(rows, self.folder / "scores.parquet")
        return scores

    def deliver(self) -> None:
        deliver(self.params, self.folder, self.name, time.sleep)


def die_at(operation: int, work: Callable[[], None]) -> None:
    """Kill this process at its N-th request, connection or file operation."""
    left = [operation]

    def count(event: str, _: object) -> None:
        if event.startswith(EVENTS):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    work()


def count_operations(work: Callable[[], None], note: Path) -> None:
    seen: list[int] = []
    sys.addaudithook(lambda event, _: seen.append(1) if event.startswith(EVENTS) else None)
    work()
    note.write_text(str(len(seen)))


def killed(target: Target, rng: random.Random, seconds: float, operations: int, counts: Counter[str]) -> list[str]:
    """Deliver the next list, kill it, and deliver it again; return what was wrong."""
    before, updates = target.listed, target.updates()
    after = target.next_list(rng)
    if rng.randrange(2):
        process = forked(target.deliver)
        time.sleep(rng.uniform(0, 1.2 * seconds))
        os.kill(process, signal.SIGKILL)
    else:
        process = forked(partial(die_at, rng.randint(1, operations), target.deliver))
    counts["killed" if ended(process) == -signal.SIGKILL else "had ended"] += 1
    now = target.state()
    wrong = [f"mixed: {lead}" for lead, row in now.items() if row not in (before.get(lead), after[lead])]
    if target.name == "postgres" and now not in (before, after):
        wrong.append("partial: the view shows no whole list")
    wrong += [f"lost: {lead}" for lead in before if lead not in now]
    counts["after some of it had arrived"] += now != before
    if ended(forked(target.deliver)):
        wrong.append("not taken: the same command again failed")
    now, changed = target.state(), target.updates() - updates
    wrong += [f"lost: {lead}" for lead, row in after.items() if now.get(lead) != row]
    wrong += [f"doubled: {lead}" for lead, n in changed.items() if n != (after[lead] != before.get(lead))]
    target.listed = after
    return wrong


def measure(target: Target, rng: random.Random) -> tuple[float, int]:
    """Deliver two lists undisturbed; the seconds and the operations of the second."""
    seconds = 0.0
    for _ in range(2):
        target.listed = target.next_list(rng)
        started = time.perf_counter()
        if ended(forked(partial(count_operations, target.deliver, target.folder / "note"))):
            sys.exit("an undisturbed delivery failed; see above")
        seconds = time.perf_counter() - started
    return seconds, int((target.folder / "note").read_text())


@contextmanager
def crm_target(kind: str, work: Path) -> Iterator[Target]:
    with serving(kind) as crm:  # type: ignore[arg-type]  # one of its two names
        settings = {"state": str(work / "state"), "timeout_s": 20.0, kind: {"base_url": crm.url}}
        yield Target(kind, _params(settings), work, partial(held, crm), partial(_changes, crm))


def _changes(crm: CrmServer) -> Counter[str]:
    return Counter(crm.changes)


@contextmanager
def postgres_target(work: Path) -> Iterator[Target]:
    with running() as server:
        os.environ[VARIABLE] = server.conninfo
        settings = {"state": str(work / "state"), "postgres": {"database": VARIABLE, "schema": "killed"}}
        yield Target("postgres", _params(settings), work, partial(_shown, server), Counter)


def _shown(server: Server) -> Scores:
    with server.connect() as connection:
        there = connection.execute("SELECT to_regclass('killed.current_scores')").fetchone()
        if not there or there[0] is None:
            return {}
        rows = connection.execute(SQL("SELECT lead_id, score, tier FROM killed.current_scores")).fetchall()
    if len({lead for lead, *_ in rows}) != len(rows):
        raise AssertionError("a lead stands twice in the list")
    return {lead: (score, tier) for lead, score, tier in rows}


def _params(settings: Mapping[str, object]) -> Params:
    return PARAMS.model_copy(update={"delivery": Delivery.model_validate(settings)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--kills", type=int, default=100, help="of each target")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["NO_PROXY"] = "127.0.0.1"
    os.environ.update(dict.fromkeys(VARIABLES.values(), TOKEN))
    targets = {"postgres": postgres_target} | {kind: partial(crm_target, kind) for kind in VARIABLES}
    bad = 0
    for name, opened in targets.items():
        rng, counts = random.Random(f"{options.seed}/{name}"), Counter[str]()  # noqa: S311
        work = options.work.resolve() / name
        work.mkdir(parents=True)
        with opened(work) as target:
            seconds, operations = measure(target, rng)
            print(f"{name}: an undisturbed delivery: {seconds:.2f} s, {operations} operations", flush=True)
            while counts["killed"] < options.kills:
                wrong = killed(target, rng, seconds, operations, counts)
                counts.update({kind: any(one.startswith(kind) for one in wrong) for kind in FAULTS})
                for one in wrong[:3]:
                    print(f"{name}, round {target.rounds} of seed {options.seed}: {one}", flush=True)
                bad += bool(wrong)
        print(f"{name}: " + ", ".join(f"{what} {n:,}" for what, n in counts.items()), flush=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
