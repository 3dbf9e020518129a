"""Hostile inputs at every door: no traceback, no hang, no answer that breaks its promise.

`.venv/bin/python -m benchmarks.fuzz --work FOLDER --count 100000`; one case again: `--door csv --first 17 --count 1`.
Cases are seeded by door and number, so each can be made again. The suite runs 5,000 of them. Each door's cases run in a
process of their own: one that dies or hangs is counted, with the last case it began.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import math
import multiprocessing
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ValidationError

from benchmarks.fuzz_inputs import (
    TEXTS,
    as_json,
    changed_bytes,
    changed_text,
    changed_tree,
    changed_zip,
    csv_bytes,
    parquet_bytes,
)
from features.schema.cells import NAMED_FORMATS, Field, FieldKind, Written, clock_cases, typed
from features.schema.errors import LeadScoreError, ParamsError
from models.scoring.scorer import Scorer
from pipelines.config.delivery import Delivery
from pipelines.config.params import load
from pipelines.config.source import TableSource
from pipelines.config.yaml_files import read_yaml
from pipelines.delivery.crm import Bearer, Message, _read, crm_named, retry_after
from pipelines.delivery.http import Reply
from pipelines.ingestion.file_sources import open_table
from pipelines.ingestion.staging import read_tombstones, tombstones_path
from pipelines.lists.spreadsheet import write_excel
from pipelines.scheduled.manifest import MANIFEST, read_manifest
from pipelines.serving.bodies import EventBatch, LeadBatch, ScoreRequest, one_line
from pipelines.stages.ingest import ingest
from pipelines.storage.bundle import load_bundle, save_texts
from pipelines.storage.data_profile import read_profile
from pipelines.storage.layout import Layout

HANG_S = 10.0
EVENT = {"event_at": "2024-01-03", "event_type": "visit", "direction": "inbound", "channel": "online", "value": 1.5}
FACTS = {"lead_id": "a", "created_at": "2024-01-02T10:00:00Z", "attributes": {"size": 3.0, "sector": "steel"}}
BODIES: dict[type[BaseModel], Any] = {
    LeadBatch: {"leads": [FACTS, FACTS | {"lead_id": "b"}]},
    EventBatch: {"events": [EVENT | {"id": "1", "lead_id": "a"}]},
    ScoreRequest: {"lead": FACTS, "events": [EVENT | {"known_at": "2024-01-04"}], "as_of": "2024-02-01",
                   "attribute_history": [{"valid_from": "2024-01-05", "attributes": {"size": 4}}]},
}  # fmt: skip
OVERLAY: dict[str, Any] = {
    "project": {"threads": 2, "memory_gb": 1.0},
    "source": {
        "order": "dates", "timezone": "UTC", "yes_values": ["yes"], "no_values": ["no"],
        "leads": {"path": "leads.csv", "columns": {"lead_id": "id", "created_at": "created"}},
        "attributes": {"country": {}, "size": {"kind": "number"}},
        "events": [{"path": "events.csv", "columns": {"lead_id": "id", "event_at": "at", "event_type": "kind"}}],
        "outcomes": {"path": "outcomes.csv", "columns": {"lead_id": "id", "converted_at": "won"}},
    },
    "snapshots": {"horizon_days": 14, "min_age_days": 1, "max_age_days": 90, "anchor": "2024-01-01"},
    "features": {"windows_days": [7, 30], "half_lives_days": [7]},
    "capacity": {"per_period": 40},
    "train": {"boosters": 2, "max_rounds": 60, "learning_rate": 0.1},
    "delivery": {"timeout_s": 2.0, "hubspot": {"base_url": "https://api.example", "fields": {"score": "score"}}},
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "hubspot": {"status": "COMPLETE", "results": [{"id": "1", "properties": {"lead_id": "L0"}},
                                                   {"objectWriteTraceId": "k1"}],
                "errors": [{"category": "VALIDATION_ERROR", "message": "no", "context": {"ids": ["L1"]}}]},
    "salesforce": [{"id": "1", "success": True, "errors": []},
                   {"success": False, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "wait"}]}],
    "dynamics": {"error": {"code": "0x80", "message": "no"}},
}  # fmt: skip


class BrokenPromiseError(Exception):
    """An answer that a door must not give."""


def must(holds: bool, promise: str) -> None:
    if not holds:
        raise BrokenPromiseError(promise)


@dataclass
class World:
    """Where cases are laid, and what they change."""

    work: Path
    scorer: Scorer
    connection: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    @cached_property
    def files(self) -> dict[str, str]:
        """The texts of a small model."""
        return self.scorer.to_files()

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Ten leads that the small model can score."""
        catalogue = self.scorer.metadata.matrix.catalogue
        zeros = {one.name: np.zeros(10, float if one.levels is None else int) for one in catalogue}
        return pd.DataFrame({"lead_id": [f"L{index}" for index in range(10)]} | zeros)

    @cached_property
    def workbook(self) -> bytes:
        rows = pd.DataFrame({"id": ["a", "b"], "size": [1.5, 2.0], "country": ["DE", None]})
        write_excel(rows, self.work / "made.xlsx")
        return (self.work / "made.xlsx").read_bytes()

    def put(self, name: str, content: bytes) -> Path:
        path = self.work / name
        path.write_bytes(content)
        return path


Case = Callable[[random.Random, World], None]


# Doors: each reads one hostile input; LeadScoreError is a refusal, anything else that is raised a fault


def csv(rng: random.Random, world: World) -> None:
    path = world.put("case.csv", csv_bytes(rng))
    _read_table(TableSource(path=path.name, skip_rows=rng.choice([0, 0, 0, 1])), world)


def excel(rng: random.Random, world: World) -> None:
    path = world.put("case.xlsx", changed_zip(rng, world.workbook))
    _read_table(TableSource(path=path.name, format="excel"), world)


def json_file(rng: random.Random, world: World) -> None:
    records = [{"id": "a", "size": 1.5, "owner": {"name": "x", "tags": [1, 2]}}, {"id": "b", "size": None}]
    content = as_json(rng, changed_tree(rng, rng.choice([records, {"results": records, "next": None}])))
    path = world.put(rng.choice(["case.json", "case.jsonl"]), content)
    _read_table(TableSource(path=path.name, format="json"), world)


def parquet(rng: random.Random, world: World) -> None:
    path = world.put("case.parquet", parquet_bytes(rng))
    _read_table(TableSource(path=path.name, format="parquet"), world)


def _read_table(source: TableSource, world: World) -> None:
    with open_table(source, world.work, "case") as raw:
        try:
            read = sum(batch.num_rows for batch in raw.reader())
        except (pa.ArrowException, OSError):  # `ingest` asks for the failure that ended the stream
            if raw.failure is None:
                raise
            raise raw.failure from None
    must(read == raw.rows, "as many rows as were counted")
    must(len(set(raw.names)) == len(raw.names), "names tell columns apart")


def cells(rng: random.Random, world: World) -> None:
    """Texts as numbers, times and choices; the engine takes each, and what it gives is within bounds."""
    kind: FieldKind = rng.choice(["number", "time", "choice", "flag"])
    column = Field("x", kind, choices=("inbound", "outbound"))
    formats = [rng.choice([*NAMED_FORMATS, "%d.%m.%Y", "%m/%d/%y %I:%M %p", "%Y%m%d", "%d %b %Y %H:%M:%S %z"])]
    written = Written(tuple(formats))
    texts = [changed_text(rng, rng.choice([*TEXTS, "12.05.2024", "1716000000", "45000.5"])) for _ in range(5)]
    values = written.bindings() | {"texts": texts, "yes": ["yes"], "no": ["no"]}
    clocks = " ".join(clock_cases(column, "text", written, 0)) or "WHEN false THEN 0"
    sql = f"""SELECT {typed(column, "text", written)}, CASE {clocks} END
              FROM (SELECT unnest($texts) AS "x#")"""
    found = [
        value
        for value, _ in world.connection.execute(sql, {k: v for k, v in values.items() if f"${k}" in sql}).fetchall()
    ]
    if kind == "number":
        must(all(value is None or math.isfinite(value) for value in found), "numbers are finite")
    if kind == "time":
        must(all(value is None or 1900 <= value.year <= 2200 for value in found), "times are of 1900 to 2200")


def yaml(rng: random.Random, world: World) -> None:
    text = json.dumps(OVERLAY, indent=1) if rng.randrange(2) else "a: &x [1, 2]\nb: *x\nc: {d: 2024-01-01}\n"
    content = (
        changed_bytes(rng, text.encode()) if rng.randrange(2) else changed_text(rng, text).encode("utf-8", "replace")
    )
    must(isinstance(read_yaml(world.put("case.yaml", content)), dict), "sections")


def params(rng: random.Random, world: World) -> None:
    load(world.put("case.yaml", as_json(rng, changed_tree(rng, OVERLAY))))


def bundle(rng: random.Random, world: World) -> None:
    """A model whose manifest agrees with it: who may write it may write the digests."""
    files = dict(world.files)
    name = rng.choice([*sorted(files), "booster_0.txt"])
    if name.endswith(".json"):
        files[name] = as_json(rng, changed_tree(rng, json.loads(files[name]))).decode("utf-8", "replace")
    else:
        files[name] = changed_text(rng, files[name]).encode("utf-8", "replace").decode()
    save_texts(files, world.work / "bundle")
    scorer = load_bundle(world.work / "bundle", 1)
    if list(scorer.metadata.matrix.catalogue) == list(world.scorer.metadata.matrix.catalogue):
        scores = scorer.score(world.rows, reasons=1)
        must(bool(np.isfinite(scores["probability"]).all()), "chances are numbers")
        must(bool(scores["score"].between(0, 100).all()), "scores are of 0 to 100")


def answers(rng: random.Random, world: World) -> None:
    name = rng.choice(sorted(ANSWERS))
    system = crm_named(Delivery(), name)
    batch = [Message(f"L{index}", f"k{index}", {}) for index in range(2)]
    headers = {"Retry-After": rng.choice([*TEXTS, "5", "Wed, 21 Oct 2026 07:28:00 GMT"]), "Date": rng.choice(TEXTS)}
    must(retry_after(headers) >= 0, "no wait below 0")
    reply = Reply(rng.choice([200, 201, 204, 207, 400, 408, 409, 413, 422, 429, 500, 503, 599]), headers,
                  as_json(rng, changed_tree(rng, ANSWERS[name])))  # fmt: skip
    answer = _read(system, batch, reply, Bearer("t0ken"))
    must(not answer.leads or set(answer.leads) == {"L0", "L1"}, "a verdict for each lead")
    must("t0ken" not in answer.reason, "no token in a reason")


def bodies(rng: random.Random, world: World) -> None:
    model = rng.choice(list(BODIES))
    try:
        model.model_validate_json(as_json(rng, changed_tree(rng, BODIES[model])))
    except ValidationError as error:
        line = one_line([dict(fault) for fault in error.errors(include_url=False, include_context=False)])
        must("\n" not in line and len(line) < 2_000, "one line that says what is wrong")


def records(rng: random.Random, world: World) -> None:
    """Files that the program wrote itself, and that somebody damaged."""
    layout = Layout.folder(world.work / "records")
    layout.contract.mkdir(parents=True, exist_ok=True)
    manifest = {"as_of": "2024-03-04", "outputs": {"scores.csv": "0" * 64}, "n": 3, "tiers": {"hot": 1}}
    tree: dict[str, Any] = {"tables": {}, "data_from": None, "data_until": None, "fingerprint": "x"}
    (layout.contract / MANIFEST).write_bytes(as_json(rng, changed_tree(rng, manifest)))
    layout.profile.path.write_bytes(as_json(rng, changed_tree(rng, tree)))
    stones = {"salt": "0" * 64, "digests": ["1" * 64]}
    tombstones_path(layout).write_bytes(as_json(rng, changed_tree(rng, stones)))
    read_manifest(layout.contract)
    rng.choice([read_profile, read_tombstones])(layout)


def tables(rng: random.Random, world: World) -> None:
    """A whole ingest of three tables, of which some are damaged."""
    texts = {
        "leads.csv": "id,created,country,size\na,2024-01-01,NA,10\nb,2024-01-02,DE,\nc,2024-01-03,,250.5\n",
        "events.csv": "id,at,kind\na,2024-01-02 10:00:00,visit\na,2024-01-03 11:00:00,mail\nb,2024-01-04,visit\n",
        "outcomes.csv": "id,won\na,2024-01-10\n",
    }
    for name, text in texts.items():
        world.put(name, changed_bytes(rng, text.encode()) if rng.randrange(2) else text.encode())
    found = load(world.put("ingest.yaml", json.dumps(OVERLAY | {"ingest": {"max_quarantine_share": 0.9}}).encode()))
    profile = ingest(found.source, found.ingest, found.project, world.work, Layout.folder(world.work / "ingested"))
    for table in profile.tables.values():
        must(min(table.kept, table.copies, table.repeats) >= 0, "no row is counted twice")
        must(table.read >= table.kept + sum(table.quarantined.values()) or table.repeats > 0, "each row is somewhere")


DOORS: dict[str, tuple[Case, int]] = {  # with its share of the cases
    "csv": (csv, 500), "excel": (excel, 100), "json_file": (json_file, 250), "parquet": (parquet, 200),
    "cells": (cells, 300), "yaml": (yaml, 100), "params": (params, 15), "bundle": (bundle, 50),
    "answers": (answers, 1900), "bodies": (bodies, 1383), "records": (records, 200), "tables": (tables, 2),
}  # fmt: skip
SHARES = sum(share for _, share in DOORS.values())


@dataclass(frozen=True)
class Result:
    """How one case ended: `taken`, the exit code of its refusal, or its fault."""

    door: str
    number: int
    ended: str
    seconds: float


def run_case(door: str, number: int, seed: int, world: World) -> Result:
    """Run one case."""
    rng, started, ended = random.Random(f"{seed}/{door}/{number}"), time.process_time(), "taken"  # noqa: S311
    try:
        DOORS[door][0](rng, world)
    except LeadScoreError as error:
        lines = 1 if isinstance(error, ParamsError) else len(str(error).splitlines())  # params: a line a fault
        ended = f"exit {error.exit_code}" if lines == 1 else f"fault: a message of {lines} lines"
    except BrokenPromiseError as error:
        ended = f"fault: not {error}"
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        ended = f"fault: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error!s:.120}"
    seconds = time.process_time() - started  # others may have the machine; what waits meets the watchdog
    return Result(door, number, ended if seconds < HANG_S else f"fault: {seconds:.0f} s", seconds)


def numbers(count: int, only: Sequence[str] = ()) -> dict[str, int]:
    """How many cases each door gets."""
    return (
        {door: math.ceil(count * share / SHARES) for door, (_, share) in DOORS.items()}
        if not only
        else dict.fromkeys(only, count)
    )


def run_door(door: str, cases: range, seed: int, world: World) -> Iterator[Result]:
    for number in cases:
        yield run_case(door, number, seed, world)


def _child(door: str, cases: range, seed: int, work: Path, scorer: Scorer, queue: Any) -> None:
    work.mkdir(parents=True, exist_ok=True)
    world = World(work, scorer)
    for number in cases:
        faulthandler.dump_traceback_later(3 * HANG_S, exit=True)
        queue.put(run_case(door, number, seed, world))
    queue.put(None)


def watched(door: str, cases: range, seed: int, work: Path, scorer: Scorer) -> Iterator[Result]:
    """The cases of a door in a process of their own, begun anew after the case at which it dies."""
    context = multiprocessing.get_context("fork")
    while cases:
        queue = context.Queue()
        child = context.Process(target=_child, args=(door, cases, seed, work, scorer, queue))
        child.start()
        last = cases.start - 1
        while child.is_alive() or not queue.empty():
            try:
                result = queue.get(timeout=0.2)
            except Exception:  # noqa: S112  # nothing yet
                continue
            if result is None:
                break
            last = result.number
            yield result
        child.join()
        if child.exitcode == 0:
            return
        yield Result(door, last + 1, f"fault: the process ended with {child.exitcode}", 0.0)
        cases = range(last + 2, cases.stop)


def main() -> None:
    from tests.support.small_model import scorer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="an empty folder to work in")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--door", choices=sorted(DOORS), action="append", default=[])
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    options = parser.parse_args()
    model, bad = scorer(), 0
    for door, count in numbers(options.count, options.door).items():
        found: Counter[str] = Counter()
        longest = 0.0
        cases = range(options.first, options.first + count)
        for result in watched(door, cases, options.seed, options.work / door, model):
            found[result.ended if not result.ended.startswith("fault") else "fault"] += 1
            longest = max(longest, result.seconds)
            if result.ended.startswith("fault"):
                print(f"{door} {result.number}: {result.ended}", flush=True)
        bad += found["fault"]
        counts = ", ".join(f"{ended} {n:,}" for ended, n in sorted(found.items()))
        print(f"{door}: {found.total():,} cases: {counts}; longest {longest:.2f} s", flush=True)
    print(f"faults: {bad:,}")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
