"""Where overrides are kept: a file beside the lists, and the table of the source; each is replaced as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from features.schema.errors import DataError, first_line
from models.lists.overrides import as_overrides, no_overrides
from models.tiers.tier_rules import EXCLUDED
from pipelines.storage.files import file_digest, write_parquet
from pipelines.storage.layout import Layout

STORE = "overrides.parquet"


def stores(layout: Layout, folder: Path) -> list[Path]:
    """Return the files that hold overrides of the lists in a folder, those of the source first."""
    return [layout.overrides.path, folder / STORE]


def read_overrides(files: Sequence[Path], tiers: Sequence[str]) -> pd.DataFrame:
    """Read all overrides, those of the first file first.

    Raises
    ------
    DataError
        Where a file cannot be read, or an override gives a tier that is none of `tiers`, nor excluded.
    """
    given = [as_overrides(_read(path)) for path in files if path.is_file()]
    rows = pd.concat(given, ignore_index=True) if given else no_overrides()
    wrong = rows[(rows["tier"] != "") & ~rows["tier"].isin([*tiers, EXCLUDED])]
    empty = rows[(rows["tier"] == "") & rows["points"].isna()]
    for bad, found in ((wrong, "tier"), (empty, "neither a tier nor points")):
        if len(bad):
            tier, in_rows = bad["tier"].iloc[0], f" ({len(bad):,} such)"
            raise DataError(
                "overrides",
                "tier",
                found=f"{found} {tier!r}{in_rows}" if tier else f"{found}{in_rows}",
                expected=f"a tier ({', '.join([*tiers, EXCLUDED])}) or points",
                fix="Correct the table of source.overrides, or take the override back with `leadscore lead override`.",
            )
    return rows


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise DataError(
            "overrides",
            "",
            found=f"{path}, which cannot be read ({first_line(error)})",
            expected="what `leadscore lead override` writes",
            fix="Restore it, or remove it and give the overrides again.",
        ) from None


def digest(files: Sequence[Path]) -> str:
    """Return what tells one state of the files from another, "" where there is none of them."""
    return " ".join(file_digest(path) for path in files if path.is_file())


def add_override(file: Path, row: dict[str, object]) -> None:
    """Add one override to a file."""
    rows = as_overrides(_read(file)) if file.is_file() else no_overrides()
    write_parquet(as_overrides(pd.concat([rows.astype(object), pd.DataFrame([row])], ignore_index=True)), file)


def take_back(file: Path, lead_id: str, at: pd.Timestamp) -> int:
    """Mark the current overrides of a lead as taken back; return how many there were."""
    if not file.is_file():
        return 0
    rows = as_overrides(_read(file))
    meant = (rows["lead_id"] == lead_id) & rows["withdrawn_at"].isna()
    if meant.any():
        write_parquet(rows.assign(withdrawn_at=rows["withdrawn_at"].mask(meant, at)), file)
    return int(meant.sum())
