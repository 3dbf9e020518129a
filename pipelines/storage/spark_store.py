"""The engine for event logs that are too large for one machine: the same queries and the same tasks, on Spark.

The events lie in buckets by a hash of their lead, so that ordering and pairing a lead's events moves none of them.
The resulting groups are brought to their shards of leads, and each shard's task runs in Python inside Spark.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.schema.errors import ParamsError
from pipelines.config.sections import Project, SparkParams
from pipelines.storage.contract_store import (
    Contract,
    LeadShard,
    ShardTask,
    read_tables,
)
from pipelines.storage.data_profile import check_event_columns, read_profile
from pipelines.storage.files import staged_folder, write_parquet
from pipelines.storage.layout import Layout
from pipelines.storage.lock import hold

if TYPE_CHECKING:
    from pyspark import Broadcast
    from pyspark.sql import SparkSession

log = logging.getLogger("leadscore")
INDEX_BITS = 32  # of `row`: the index in its shard; the shard's number is above them
ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # an overflow is an error
    "spark.log.level": "ERROR",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.warehouse.dir": tempfile.gettempdir(),  # Spark makes the folder, and every table lies elsewhere
}
ON_THIS_MACHINE = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


@dataclass(frozen=True)
class SparkContract(Contract):
    """The contract tables with the events behind Spark.

    Attributes
    ----------
    work
        A folder that the driver and all executors see, under the same name.
    held
        The lock on it, as what another run left there is removed.
    """

    session: SparkSession
    work: Path
    held: ExitStack

    @classmethod
    def opened(cls, spark: SparkParams, layout: Layout, project: Project) -> Self:
        """Read what `ingest` wrote; the first time, write its events anew in buckets by lead.

        Raises
        ------
        BusyError
            Where another run on Spark has these tables open.
        """
        profile, work = read_profile(layout), (layout.artifacts / "spark").resolve()
        check_event_columns(profile, layout)
        events = max(profile.tables["events"].kept, 1)
        with ExitStack() as held:
            held.enter_context(hold(work))
            session = start(spark)
            table = _bucketed(session, layout, work, math.ceil(events / spark.bucket_events))
            rows = ibis.pyspark.connect(session).table(table)
            tables = read_tables(layout)
            return cls(**tables, events=rows, profile=profile, session=session, work=work, held=held.pop_all())

    def close(self) -> None:
        """Unlock the folder, and leave Spark to the process, which may open another contract."""
        self.held.close()

    def each(self, snapshots: pd.DataFrame, task: ShardTask) -> Iterator[pd.DataFrame]:
        """Do a task on every shard, and yield the results by lead_id."""
        with tempfile.TemporaryDirectory(dir=self.work) as name:
            folder = Path(name)
            finished: list[pd.DataFrame | None] = []
            for shard in self.shards(snapshots):
                finished.append(task.finished(shard))
                if finished[-1] is None:
                    _hand_over(shard, folder)
            todo = [number for number, one in enumerate(finished) if one is None]
            if todo:
                self._run(task, folder, todo)
            for number, one in enumerate(finished):
                yield pd.read_parquet(_file(folder, "results", number)) if one is None else one

    def _run(self, task: ShardTask, folder: Path, todo: Sequence[int]) -> None:
        """Query once for all shards, bring each its part of the result, and let it do the task."""
        spark = self.session
        shards = spark.createDataFrame([(number,) for number in todo], "shard bigint")
        query = task.expression(ibis.pyspark.connect(spark).read_parquet(folder / "moments"), self.events)
        if query is None:
            result = spark.createDataFrame([], "shard bigint")
        else:
            query.to_parquet(folder / "query")
            result = spark.read.parquet(str(folder / "query")).selectExpr("*", f"row >> {INDEX_BITS} AS shard")
        work = partial(_do, spark.sparkContext.broadcast(task), folder, query is not None)
        shards.groupBy("shard").cogroup(result.groupBy("shard")).applyInArrow(work, "shard bigint").collect()


def start(spark: SparkParams) -> SparkSession:
    """Start Spark, or take the session that this process has.

    Raises
    ------
    ParamsError
        Where PySpark or Java is missing.
    """
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise ParamsError("--engine spark needs Java 17 or later; install it, or leave the engine at duckdb")
    # PySpark warns wherever its pandas side is used; but for a few counts, only Arrow passes between the two.
    warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ParamsError(
            f"--engine spark needs PySpark ({error}); `make .venv-spark/.installed` makes .venv-spark/bin/leadscore, "
            "which has it, or leave the engine at duckdb"
        ) from None
    local = spark.master.startswith("local")
    if local:
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = ALWAYS | (ON_THIS_MACHINE if local else {}) | spark.settings
    return SparkSession.builder.master(spark.master).config(map=settings).getOrCreate()


def _bucketed(session: SparkSession, layout: Layout, work: Path, buckets: int) -> str:
    """Return the name of the table of events in buckets, written where they are not there yet."""
    status = layout.events.path.stat()
    identity = f"{layout.events.path.resolve()} {status.st_size} {status.st_mtime_ns} {buckets}"
    name = f"events_{hashlib.sha256(identity.encode()).hexdigest()[:12]}"
    events = session.read.parquet(str(layout.events.path))
    session.conf.set("spark.sql.shuffle.partitions", str(buckets))
    for left in work.iterdir():  # older events, and what a run that was killed handed over
        if left.is_dir() and left.name != name:
            shutil.rmtree(left)
    if not (work / name).is_dir():
        log.info("spark: events are written anew in %d buckets by lead", buckets)
        with staged_folder(work / name) as staged:
            writer = events.repartition(buckets, "lead_id").write.bucketBy(buckets, "lead_id").sortBy("lead_id")
            writer.mode("overwrite").option("path", str(staged)).saveAsTable(name)
        session.sql(f"DROP TABLE {name}")
    columns = ", ".join(f"`{field.name}` {field.dataType.simpleString()}" for field in events.schema)
    session.sql(
        f"CREATE TABLE IF NOT EXISTS {name} ({columns}) USING parquet CLUSTERED BY (lead_id) INTO {buckets} BUCKETS "
        f"LOCATION {_literal(str(work / name))}"
    )
    return name


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _file(folder: Path, what: str, number: int) -> Path:
    return folder / what / f"{number:05d}.parquet"


def _hand_over(shard: LeadShard, folder: Path) -> None:
    """Write what a task needs of its shard, and its snapshots as the query takes them, numbered over all shards."""
    row = (shard.number << INDEX_BITS) + np.arange(len(shard.rows))
    moments = shard.rows[["lead_id", "snapshot_at"]].assign(row=row)
    tables = {"moments": moments, "rows": shard.rows, "leads": shard.leads, "history": shard.history}
    for what, rows in tables.items():
        write_parquet(rows, _file(folder, what, shard.number))


def _do(task: Broadcast[ShardTask], folder: Path, queried: bool, shards: pa.Table, result: pa.Table) -> pa.Table:
    """Do the task on one shard, inside Spark."""
    number = int(shards["shard"][0].as_py())
    rows, leads, history = (pd.read_parquet(_file(folder, what, number)) for what in ("rows", "leads", "history"))
    answer = None
    if queried:
        index = pc.bit_wise_and(result["row"], (1 << INDEX_BITS) - 1)
        answer = result.drop_columns("shard").set_column(result.schema.get_field_index("row"), "row", index)
    computed = task.value.compute(LeadShard(number, rows, leads, history), answer)
    write_parquet(computed, _file(folder, "results", number))
    return shards
