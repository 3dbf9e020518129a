"""What ingest learned about the data, as profile.json holds it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from features.events.event_log import DERIVED_VERSION
from features.schema.errors import DataError
from pipelines.storage.files import write_json
from pipelines.storage.layout import Layout

Bound = int | float | str | None  # a number, or a time in ISO format; None where the column is empty


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class ColumnProfile(_Part):
    """One column; `min` and `max` only of numbers and times, `levels` (rows by value) only of categories."""

    type: str
    missing: int
    missing_share: float
    distinct: int
    min: Bound = None
    max: Bound = None
    levels: dict[str, int] = {}


class TableProfile(_Part):
    """What became of the rows of one contract table, and its columns; see `ingestion.profile.Tally`."""

    read: int
    filtered: int
    kept: int
    copies: int
    repeats: int
    quarantined: dict[str, int]
    columns: dict[str, ColumnProfile]

    @property
    def newest(self) -> str:
        """The newest time of the table in ISO format; empty without times."""
        times = (str(column.max) for column in self.columns.values() if column.type.startswith("timestamp"))
        return max((time for time in times if time != "None"), default="")


class DataProfile(_Part):
    """The contract tables in numbers, without showing any single person.

    Attributes
    ----------
    data_from, data_until
        First and last moment of the data in ISO format; None without times.
    outcomes_until
        The moment up to which outcomes are known: the same, or earlier where their table had stopped before.
    fingerprint
        Two ingests of the same data share it.
    tables_digest
        The fingerprint of the tables as they lie there, where leads have been forgotten since; else None.
    derived_version
        How the derived event columns were computed; also the version of this file.
    """

    tables: dict[str, TableProfile]
    data_from: str | None
    data_until: str | None
    outcomes_until: str | None = None
    fingerprint: str
    tables_digest: str | None = None
    derived_version: int | None = Field(
        default=None, validation_alias="marks_version", serialization_alias="marks_version"
    )


def write_profile(profile: DataProfile, path: Path) -> None:
    """Write profile.json."""
    write_json(profile.model_dump(mode="json", by_alias=True, exclude_unset=True), path)


def read_profile(layout: Layout) -> DataProfile:
    """Read profile.json; raises DataError where ingest has not run, or where another version of it has."""
    path = layout.profile.path
    if not path.is_file():
        raise DataError(
            "contract", "", found="no tables", expected="what ingest writes", fix="Run `leadscore stage ingest` first."
        )
    try:
        return DataProfile.model_validate_json(path.read_bytes())
    except ValidationError:
        raise DataError(
            "contract",
            "",
            found=f"a profile in {path} that this version does not know",
            expected="what ingest writes",
            fix="Run `leadscore stage ingest` again.",
        ) from None


def check_event_columns(profile: DataProfile, layout: Layout) -> None:
    """Raise DataError where another version of ingest wrote the log, whose derived columns mean something else."""
    if profile.derived_version != DERIVED_VERSION:
        raise DataError(
            "events",
            "",
            found=f"a log in {layout.contract} whose derived columns are of version {profile.derived_version}",
            expected=f"derived columns of version {DERIVED_VERSION}, which ingest adds to the contract's columns",
            fix="Run `leadscore stage ingest` again.",
        )
