"""Look at files nobody has described yet: propose a `source` mapping, with the reason for every line, and warn.

Nothing is assumed: what may mean "not known", and whatever looks as if it gave the outcome away, is left for a person
to confirm in the text, which params.yaml takes as an overlay.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from features.contract import Field, cell_name, typed
from features.errors import DataError
from pipelines.column_facts import MOSTLY, Facts, describe, late_dates, leaks, words
from pipelines.mapping import RESERVED
from pipelines.sniffing import SAMPLE_ROWS, Sample, sniff

YES, NO = ["1", "yes", "y", "true", "t", "won", "converted"], ["0", "no", "n", "false", "f", "lost", "open"]
LABEL_WORDS = {"converted", "conversion", "convert", "target", "label", "outcome", "won", "subscribed", "bought"} | {
    "purchased", "purchase", "customer", "closed", "y", "response", "sold"
}  # fmt: skip
CREATED_WORDS = {"created", "create", "registered", "registration", "signup", "signed", "first", "added", "inserted"}
TYPE_WORDS = {"type", "event", "action", "activity", "kind"}
VALUE_WORDS = {"value", "amount", "minutes", "seconds", "duration", "score", "result", "quantity", "watched"}
JOINED = 0.5  # share of a column's values that are leads, from which it is the lead's id
LEFT_OUT = {"id": "an id", "constant": "tells nothing", "empty": "empty", "text": "free text", "time": "a date"}


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes
    ----------
    mapping
        YAML text with a `source` section and the reasons as comments; saved to a file, `--params` takes it.
    warnings
        What a person should know before trusting it.
    """

    mapping: str
    warnings: list[str]


@dataclass(frozen=True)
class Label:
    """Where the outcome is: a date or a yes/no, in which sample, and each lead's own."""

    sample: Sample
    lead_id: str
    column: str
    dated: bool
    why: str


def inspect(leads: Path, events: Path | None, outcomes: Path | None) -> Inspection:
    """Look at a file of leads, and of events and outcomes where there are any.

    Parameters
    ----------
    leads, events, outcomes
        CSV (gz too), Parquet, or DuckDB files with one table. Without outcomes, a column of leads is the outcome.

    Raises
    ------
    DataError
        Where a file cannot be read, or no column can be the outcome or the lead's id.
    """
    samples = {name: sniff(path) for name, path in (("leads", leads), ("events", events), ("outcomes", outcomes)) if path}
    return _Proposal(samples).inspection()
