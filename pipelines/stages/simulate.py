"""Stage simulate: the simulated funnel, written as a CRM and a tracker would export it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.simulation.export import CONTACTS, DEAL_VALUE, EVENT_SCHEMA, ORACLE_SCHEMA, SHEETS, Simulated
from pipelines.storage.files import ROW_GROUP, staged_file


def write(
    simulated: Simulated | Iterable[Simulated],
    raw: Path,
    oracle: Path,
    *,
    with_contacts: bool = False,
    with_deals: bool = False,
) -> None:
    """Write the export into the folder `raw` and the truth to the file `oracle`.

    Every file is written to a temporary file and renamed once all are complete; other files in the folder stay.
    The bytes are the same for a whole funnel and for its chunks.

    Parameters
    ----------
    simulated
        A funnel, or its chunks, which are then never all in memory.
    raw, oracle
        A folder, and a Parquet file outside of it.
    with_contacts
        Whether there is a contact log to write.
    with_deals
        Whether the truth says what deals bring.
    """
    truth = ORACLE_SCHEMA.append(pa.field(DEAL_VALUE, pa.float64())) if with_deals else ORACLE_SCHEMA
    written = (*SHEETS, CONTACTS) if with_contacts else SHEETS
    with ExitStack() as stack:
        sheets = {name: stack.enter_context(staged_file(raw / f"{name}.csv")) for name in written}
        logs = {
            "events": (stack.enter_context(staged_file(raw / "events.parquet")), EVENT_SCHEMA),
            "oracle": (stack.enter_context(staged_file(oracle)), truth),
        }
        _write_parts([simulated] if isinstance(simulated, Simulated) else simulated, sheets, logs)


def _write_parts(parts: Iterable[Simulated], sheets: dict[str, Path], logs: dict[str, tuple[Path, pa.Schema]]) -> None:
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(path.open("w", encoding="utf-8", newline="")) for name, path in sheets.items()
        }
        writers = {
            name: stack.enter_context(pq.ParquetWriter(path, schema, compression="zstd"))
            for name, (path, schema) in logs.items()
        }
        held = {name: schema.empty_table() for name, (_, schema) in logs.items()}
        for index, part in enumerate(parts):
            for name, file in files.items():
                frame: pd.DataFrame = getattr(part, name)
                frame.to_csv(file, index=False, header=index == 0, date_format="%Y-%m-%dT%H:%M:%S", lineterminator="\n")
            for name, writer in writers.items():
                rows = pa.Table.from_pandas(getattr(part, name), schema=writer.schema, preserve_index=False)
                held[name] = _write_full_groups(writer, pa.concat_tables([held[name], rows]))
        for name, writer in writers.items():
            writer.write_table(held[name].combine_chunks())


def _write_full_groups(writer: pq.ParquetWriter, rows: pa.Table) -> pa.Table:
    """Write as many row groups of a fixed size as there are; return the rest, so that chunks do not change bytes."""
    full = rows.num_rows // ROW_GROUP * ROW_GROUP
    for start in range(0, full, ROW_GROUP):
        writer.write_table(rows.slice(start, ROW_GROUP).combine_chunks())
    return rows.slice(full)
