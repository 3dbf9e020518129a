"""How far the times of unknown files go: dates after the file was written, and single ones far after all others."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import numpy as np
import pandas as pd

from features.cohort.watermark import DaysOfRows
from pipelines.inspection.file_format import FileSample

MOSTLY_LATER = 0.5  # share of times after the file was written, from which the file's own time means nothing


def propose_export(columns: Iterable[tuple[FileSample, str]]) -> tuple[list[str], list[str]]:
    """The line `exported_at` where times lie after the day their file was written, and warnings of times of the future.

    Parameters
    ----------
    columns
        The files with their columns of what has happened.
    """
    lines: list[str] = []
    warnings: list[str] = []
    ends: list[tuple[str, DaysOfRows, np.datetime64]] = []
    for sample, column in columns:
        times, written = sample.moments(column).dropna(), _written_on(sample)
        late = times[times >= written + pd.Timedelta(days=1)]
        if len(late) and len(late) <= MOSTLY_LATER * len(times):
            what = f"{len(late):,} of {column} lie after the day {sample.path.name} was written, {written:%Y-%m-%d}"
            lines = lines or [f"  exported_at: file  # {what}: planned, not happened, so they are left out"]
            warnings.append(f"{sample.path.name}: {what} (newest {late.max():%Y-%m-%d}): left out as the future")
            times = times.drop(late.index)
        counts = times.dt.normalize().value_counts().sort_index()
        days = DaysOfRows(counts.index.to_numpy("datetime64[D]"), counts.to_numpy())
        if len(days.days):
            ends.append((f"{sample.path.name}: {column!r}", days, days.end))
    last = max((end for _, _, end in ends), default=np.datetime64("NaT", "D"))
    for name, days, _ in ends:
        if strays := int(days.rows[days.days > last].sum()):
            warnings.append(
                f"{name} holds {strays:,} times after {last}, where the data end (newest {days.days[-1]}): left out as "
                "the future; where they had happened, set source.exported_at"
            )
    return lines, warnings


def _written_on(sample: FileSample) -> pd.Timestamp:
    written = dt.datetime.fromtimestamp(sample.path.stat().st_mtime, dt.UTC)
    return pd.Timestamp(written.date()).as_unit("us")
