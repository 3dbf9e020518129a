"""The user's files of a scheduled run: read once into the run's own folder, and again only after a change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from features.schema.errors import DataError
from pipelines.config.source import Source
from pipelines.ingestion.file_sources import files_of
from pipelines.ingestion.profile import fingerprint
from pipelines.stages.ingest import ingest
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import file_digest, write_json
from pipelines.storage.layout import Layout
from pipelines.storage.run_context import RunContext
from pipelines.storage.versions import versions


def ingest_if_changed(run: RunContext, data: Path) -> dict[str, str]:
    """Bring the contract tables of a layout up to the user's files.

    Returns
    -------
    dict
        The digest of each file by its path in `source`.

    Raises
    ------
    DataError
        Where a file changed while it was read, or as `ingest` does.
    """
    files = digests(run.params.source, data)
    settings = run.params.model_dump(mode="json", include={"source", "ingest"})
    proof: dict[str, Any] = {"files": files, "versions": versions()} | settings
    record = run.layout.contract.parent / "ingested.json"
    live = any(table.is_live for table in run.params.source.tables)
    if live or _read(record) != proof or not _is_complete(run.layout):
        record.unlink(missing_ok=True)
        ingest(run.params.source, run.params.ingest, run.params.project, data, run.layout)
        changed = [path for path, digest in digests(run.params.source, data).items() if files.get(path) != digest]
        if changed:
            raise DataError(
                changed[0],
                "",
                found="a file that changed while it was read",
                expected="files that are complete before the run begins",
                fix="Export to another name and rename when complete; then run again.",
            )
        write_json(proof, record)
    return files


def check_contract(layout: Layout) -> None:
    """Check that the contract tables are what `ingest` wrote: neither cut off nor replaced in part.

    Raises
    ------
    DataError
    """
    if not _is_complete(layout):
        raise DataError(
            "contract",
            "",
            found=f"tables in {layout.contract} that are missing or not as they were written",
            expected="what ingest writes",
            fix="Run `leadscore stage ingest` again, or give --data.",
        )


def digests(source: Source, data: Path) -> dict[str, str]:
    """The digest of each of the user's files; those that are missing are left for `ingest` to name."""
    paths = sorted({path for table in source.tables if not table.is_live for path in files_of(table.path, data)})
    return {path: file_digest(data / path) for path in paths if (data / path).is_file()}


def _is_complete(layout: Layout) -> bool:
    try:
        profile = read_profile(layout)
        return (profile.tables_digest or profile.fingerprint) == fingerprint(layout.contract)
    except (OSError, ValueError, KeyError, DataError):
        return False


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
