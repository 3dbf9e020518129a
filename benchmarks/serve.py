"""What `leadscore serve` holds: `python -m benchmarks.serve --work FOLDER [--parts load,memory]`, a quarter of an hour.

Parts: kill (a server is killed again and again while events come in, and every acknowledged one is looked for), start,
load (50 requests a second, late or not), equal (answers compared with the batch at the same moments), memory (a long
run), mlflow (`mlflow models serve` with ready rows at the same rate). The model is that of examples/fast_funnel.yaml,
or of `--run` with `--params`. A part that is left out keeps its figures. Writes benchmarks/serve.json, and
benchmarks/serve.md from it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.kill import ended, forked
from benchmarks.published import ROOT, learning_code, marked
from benchmarks.serve_load import (
    RATE,
    Client,
    Tree,
    at_rate,
    bodies,
    family,
    free_port,
    moments,
    processor,
    resident,
    zoned,
)
from pipelines.config.params import load
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.serving.server import ServeRequest, serve
from pipelines.simulation.export import chunks
from pipelines.stages import run_all
from pipelines.stages.simulate import write
from pipelines.storage.bundle import load_bundle
from pipelines.storage.contract_store import Contract
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext

FILE, PAGE = ROOT / "benchmarks" / "serve.json", ROOT / "benchmarks" / "serve.md"
EXAMPLE = ROOT / "examples" / "fast_funnel.yaml"
STARTS = 3
LONGEST_S = 120  # of a start
SAMPLES = 20  # of the memory, in one run
PARTS = ("kill", "start", "load", "equal", "memory", "mlflow")
NEEDED = ("ingest", "build_features", "train", "score")
COMPARED = ("probability", "score", "points", "fit", "engagement", "grade", "reasons_text")
TEXT = """# What `leadscore serve` holds

<!-- made by: benchmarks/serve.json -->


`.venv/bin/python -m benchmarks.serve --work FOLDER`, server and callers together on two cores. Times are from when a
request was due, at an even rate, late or not, to the end of its answer. The model learned from moments
(`examples/fast_funnel.yaml`); a request holds a lead with all of its events, and asks for a moment a microsecond after
one of them or after its creation. MLflow's server gets the features of the same leads ready, which somebody has to
compute first.

| | |
|---|---|
"""
START = [sys.executable, "-c", "from pipelines.cli.app import main; main()", "serve", "--port", "0"]
MLFLOW = "import sys; from mlflow.cli import cli; sys.exit(cli())"


@dataclass(frozen=True)
class Bench:
    """What is measured: a run, the parameters it was made with, and a folder for what comes of it."""

    work: Path
    run: RunContext
    params: Path

    def trained(self) -> None:
        """Simulate, and train and list once; in a process of its own, as one that has computed cannot be forked."""
        if self.run.layout.score_summary.path.is_file():
            return

        def make() -> None:
            raw, params = self.run.layout.raw, self.run.params
            write(chunks(params.simulate, params.project.seed, params.snapshots), raw, self.run.layout.oracle.path)
            stages = run_all.stages(self.run, raw)
            for name in NEEDED:
                stages[name]()

        if ended(forked(make)):
            sys.exit("the run failed; see above")

    @contextmanager
    def started(self) -> Iterator[tuple[int, str, float]]:
        """A server on a free port: its process, its address, and the seconds until it was ready."""
        words = [*START, "--params", str(self.params), "--out", str(self.run.layout.artifacts.parent)]
        log, began = self.work / "serve.log", time.perf_counter()
        with log.open("w", encoding="utf-8") as file, _process(words, file) as process:
            while not (found := re.search(r"on http://([\d.:]+)", log.read_text(encoding="utf-8"))):
                time.sleep(0.02)
            Client(found[1]).get("/readyz")
            yield process, found[1], time.perf_counter() - began


@contextmanager
def _process(words: Sequence[str], log: Any) -> Iterator[int]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow looks for uvicorn there
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": path,
    }
    with subprocess.Popen(words, stdout=log, stderr=log, env=environment) as process:  # noqa: S603 our own command
        try:
            yield process.pid
        finally:
            for one in reversed(family(process.pid)):
                os.kill(one, signal.SIGTERM)


# Parts


def start_up(bench: Bench) -> Tree:
    """Start the server some times; each is the median."""
    seconds, cpu = [], []
    for _ in range(STARTS):
        with bench.started() as (process, _, until_ready):
            seconds.append(until_ready)
            cpu.append(processor(process))
    return {"seconds": float(np.median(seconds)), "cpu_s": float(np.median(cpu))}


def under_load(bench: Bench, asked: Sequence[bytes]) -> Tree:
    """Ask for scores at the even rate, after a second of warming up."""
    with bench.started() as (process, address, _):
        client = Client(address)
        at_rate(process, partial(client.post, "/score"), asked[:RATE])
        return at_rate(process, partial(client.post, "/score"), asked)


def over_time(bench: Bench, asked: Sequence[bytes], n: int) -> Tree:
    """Ask as fast as a few callers can, and look at the memory in between."""
    with bench.started() as (process, address, _), ThreadPoolExecutor(4) as pool:
        client, memory = Client(address), [(0, resident(process))]
        before, began = processor(process), time.perf_counter()
        for piece in np.array_split(np.arange(n), SAMPLES):
            list(pool.map(lambda number: client.post("/score", asked[number % len(asked)]), piece))
            memory.append((int(piece[-1]) + 1, resident(process)))
        seconds, cpu = time.perf_counter() - began, processor(process) - before
    return {"n": n, "memory_mb": memory, "per_second": n / seconds, "cpu_ms": cpu / n * 1000}  # fmt: skip


def replayed(bench: Bench, contract: Contract, rows: pd.DataFrame, asked: Sequence[bytes]) -> Tree:
    """Count the leads of which any figure is not that of the batch, to the last bit."""
    with bench.started() as (_, address, _), ThreadPoolExecutor(4) as pool:
        client = Client(address)
        answers = [json.loads(told) for told in pool.map(lambda body: client.post("/score", body), asked)]
    scorer = load_bundle(bench.run.layout.bundle, bench.run.params.project.threads)
    summary = ScoreSummary.model_validate_json(bench.run.layout.score_summary.path.read_bytes())
    fresh = scorer if summary.intercept is None else scorer.with_intercept(summary.intercept)
    matrix = pd.concat(contract.matrix(rows, scorer.metadata.matrix), ignore_index=True)
    batch = fresh.score(matrix, bench.run.params.score.reasons).assign(snapshot_at=matrix["snapshot_at"])
    known = {(row["lead_id"], zoned(row["snapshot_at"])): row for row in batch.to_dict("records")}
    pairs = [(answer, known[answer["lead_id"], answer["as_of"]]) for answer in answers]
    return {"n": len(pairs), "differ": sum(any(one[name] != row[name] for name in COMPARED) for one, row in pairs)}


def by_mlflow(bench: Bench, contract: Contract, rows: pd.DataFrame) -> Tree:
    """Ask MLflow's own server, of the same model, for the same leads with their features ready, one a request."""
    import mlflow

    folder, port = bench.work / "mlflow_model", free_port()
    scorer = load_bundle(bench.run.layout.bundle, 1)
    if not folder.exists():
        source = ROOT / "pipelines" / "serving" / "pyfunc_model.py"
        mlflow.pyfunc.save_model(folder, python_model=str(source), artifacts={"bundle": str(bench.run.layout.bundle)})
    matrix = pd.concat(contract.matrix(rows, scorer.metadata.matrix), ignore_index=True)
    ready = matrix[["lead_id", *scorer.feature_names]]
    asked = [f'{{"dataframe_split": {ready.iloc[[n]].to_json(orient="split")}}}'.encode() for n in range(len(ready))]
    words = [sys.executable, "-c", MLFLOW, "models", "serve", "-m", str(folder), "-p", str(port), "--env-manager"]
    began = time.perf_counter()
    with (bench.work / "mlflow.log").open("w") as log, _process([*words, "local"], log) as process:
        client = Client(f"127.0.0.1:{port}")
        while not answers(client):
            if time.perf_counter() - began > LONGEST_S:
                sys.exit(f"MLflow's server does not answer; see {bench.work / 'mlflow.log'}")
            time.sleep(0.05)
        start_s, start_cpu_s = time.perf_counter() - began, processor(process)
        at_rate(process, partial(client.post, "/invocations"), asked[:RATE])
        figures = at_rate(process, partial(client.post, "/invocations"), asked)
        return figures | {"start_s": start_s, "start_cpu_s": start_cpu_s, "memory_mb": resident(process)}


def answers(client: Client) -> bool:
    try:
        client.get("/ping")
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def killed(bench: Bench, kills: int) -> Tree:
    """Kill a server while events come in; returns how many were acknowledged, and how many of them are not there.

    A killed server is a fork of this process, which has read the program, ended by SIGKILL.
    """
    state, rng, number = bench.work / "killed.sqlite", random.Random(bench.run.params.project.seed), itertools.count()  # noqa: S311 moments, no secrets
    state.unlink(missing_ok=True)
    kept: set[str] = set()
    for _ in range(kills):
        port = free_port()
        process = forked(partial(serve, bench.run, ServeRequest("127.0.0.1", port, str(state), None)))
        kept |= posted(Client(f"127.0.0.1:{port}"), number, rng.uniform(0.05, 0.5), process)
        ended(process)
    with closing(sqlite3.connect(state)) as database:
        there = {name for (name,) in database.execute("SELECT id FROM events")}
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    return {"kills": kills, "acknowledged": len(kept), "lost": len(kept - there), "kept": len(there), "file": whole}


def posted(client: Client, number: Iterator[int], seconds: float, process: int) -> set[str]:
    """Post events until the server is killed, some time after its first answer; returns those acknowledged."""
    lead = json.dumps({"leads": [{"lead_id": "n1", "created_at": "2025-01-01T00:00:00Z"}]}).encode()
    while not answers_lead(client, lead):
        time.sleep(0.02)
    kept, killer = set[str](), forked(lambda: _kill_later(process, seconds))
    with contextlib.suppress(OSError, http.client.HTTPException):
        while True:
            name = f"e{next(number)}"
            event = {"id": name, "lead_id": "n1", "event_at": "2025-01-02T00:00:00Z", "event_type": "page_view"}
            client.post("/events", json.dumps({"events": [event]}).encode())
            kept.add(name)
    ended(killer)
    return kept


def answers_lead(client: Client, lead: bytes) -> bool:
    try:
        client.post("/leads", lead)
    except (OSError, http.client.HTTPException):
        return False
    return True


def _kill_later(process: int, seconds: float) -> None:
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)


# The page


def page(parts: Tree) -> str:
    """Write the figures as Markdown; a part that was never measured has no line."""
    rows = [row for name, lines in LINES.items() if name in parts for row in lines(parts[name])]
    return TEXT + "".join(f"| {name} | {value} |\n" for name, value in rows)


def _of_load(what: str, one: Tree) -> list[tuple[str, str]]:
    times = f"p50 {one['p50']:.0f} ms, p99 {one['p99']:.0f} ms, longest {one['longest']:.0f} ms"
    busy = f"{one['cpu_ms']:.1f} ms; {one['busy']:.1f} processes ran or waited"
    return [(f"{what} at {RATE} a second, {one['n']:,} requests", times), (f"{what}: processor time a request", busy)]


def _of_memory(one: Tree) -> list[tuple[str, str]]:
    mb = [size for _, size in one["memory_mb"]]
    half = mb[len(mb) // 2]
    told = f"{mb[0]:.0f} MB before, {half:.0f} MB half way, {mb[-1]:.0f} MB at the end, {max(mb):.0f} MB at most"
    return [(f"memory over {one['n']:,} requests, {one['per_second']:.0f} a second", told)]


LINES: dict[str, Callable[[Tree], list[tuple[str, str]]]] = {
    "start": lambda one: [
        ("start-up, until `/readyz` answers", f"{one['seconds']:.1f} s, {one['cpu_s']:.1f} s of processor")
    ],
    "load": partial(_of_load, "`POST /score`"),
    "memory": _of_memory,
    "equal": lambda one: [("answers that differ from the batch in any bit", f"{one['differ']} of {one['n']:,}")],
    "kill": lambda one: [
        ("SIGKILL while events come in", f"{one['kills']} times"),
        ("acknowledged events that are not there", f"{one['lost']} of {one['acknowledged']:,}"),
    ],
    "mlflow": lambda one: [
        *_of_load("`mlflow models serve`, ready rows", one),
        ("`mlflow models serve`: start-up", f"{one['start_s']:.1f} s, {one['start_cpu_s']:.1f} s of processor"),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--run", type=Path, help="a finished run; default: one is made in --work")
    parser.add_argument("--params", type=Path, default=EXAMPLE)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--leads", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    layout = Layout.folder(options.run or options.work / "run")
    bench = Bench(options.work, RunContext(load(options.params), layout), options.params)
    bench.trained()
    found = {"kill": killed(bench, options.kills)} if "kill" in options.parts else {}  # before anything is computed
    if others := [name for name in PARTS[1:] if name in options.parts]:
        found |= measured(bench, others, options)
    before = json.loads(FILE.read_text(encoding="utf-8"))["parts"] if FILE.is_file() else {}
    parts = before | {name: one | {"code": learning_code()} for name, one in found.items()}
    made = {one["code"] for one in parts.values()}
    code = made.pop() if len(made) == 1 else ""
    FILE.write_text(json.dumps({"code": code, "parts": parts}, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(marked(page(parts), ROOT, learning_code()), encoding="utf-8")
    print(page(parts))


def measured(bench: Bench, names: Sequence[str], options: argparse.Namespace) -> Tree:
    """Measure the parts that need requests."""
    contract = Contract.open(bench.run.layout, bench.run.params.project)
    rows = moments(contract, options.leads, bench.run.params.project.seed)
    asked = bodies(contract, rows, list(load_bundle(bench.run.layout.bundle, 1).metadata.matrix.attributes))
    n = options.seconds * RATE
    parts: dict[str, Callable[[], Tree]] = {
        "start": lambda: start_up(bench),
        "load": lambda: under_load(bench, asked[:n]),
        "equal": lambda: replayed(bench, contract, rows, asked),
        "memory": lambda: over_time(bench, asked, options.requests),
        "mlflow": lambda: by_mlflow(bench, contract, rows[:n]),
    }
    found = {name: parts[name]() for name in names}
    contract.close()
    return found


if __name__ == "__main__":
    main()
