"""How long `leadscore deliver postgres` takes night after night: five days, each delivered twice, ANALYZE between.

`python -m benchmarks.deliver_postgres` writes to the database that LEADSCORE_DATABASE names, into a schema of its own,
and prints the seconds of each delivery. Without nested loops they grow with the leads and not with the days.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.config.delivery import PostgresTables
from pipelines.delivery.databases import read_list, to_postgres
from pipelines.storage.files import write_parquet
from pipelines.storage.postgres import connect

SIZES = (60_000, 1_000_000)
DAYS = 5
SCHEMA = "leadscore_benchmark"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=lambda text: [int(size) for size in text.split(",")], default=list(SIZES))
    for size in parser.parse_args().sizes:
        tables = PostgresTables.model_validate({"schema": SCHEMA})
        _execute(tables, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        for day in pd.date_range("2026-11-01", periods=DAYS):
            seconds = ", ".join(f"{_delivered(size, day, tables):.1f} s" for _ in ("new", "again"))
            print(f"{size:,} leads, {day:%d %B}: {seconds}", flush=True)
            _execute(tables, f"ANALYZE {SCHEMA}.{tables.history}")


def _delivered(size: int, day: pd.Timestamp, tables: PostgresTables) -> float:
    rows = pd.DataFrame({"lead_id": [f"L{number:08d}" for number in range(size)]})
    rows = rows.assign(as_of=day.as_unit("us"), score=np.arange(size) % 101, tier="warm", reasons_text="one (+3); two")
    with tempfile.TemporaryDirectory() as folder:
        write_parquet(rows, Path(folder) / "scores.parquet")
        scores = read_list(Path(folder))
        began = time.monotonic()
        to_postgres(scores, tables)
    return time.monotonic() - began


def _execute(tables: PostgresTables, statement: str) -> None:
    with connect(tables.database, "delivery.postgres.database") as connection:
        connection.execute(statement.encode())


if __name__ == "__main__":
    main()
