"""The manifest of a list: what decides its bytes, and what is in it; nothing depends on when it was made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from features.schema.spec import Spec
from pipelines.config.params import Params
from pipelines.scoring.score_summary import ScoreSummary
from pipelines.storage.data_profile import read_profile
from pipelines.storage.files import file_digest
from pipelines.storage.layout import Layout

MANIFEST = "manifest.json"


class Policy(Spec):
    """Whom sales is to call: no part of a model, which knows nothing of it.

    Attributes
    ----------
    version
        Of all that the parameters say of it: tiers, triggers, exclusions, capacity, lists, share of exploration, money.
    capacity
        Leads a list.
    explored_share, seed
        Share of the best tier that is drawn at random, and by which numbers.
    """

    version: str
    capacity: int
    explored_share: float
    seed: int

    @classmethod
    def of(cls, params: Params) -> Self:
        # The rest of the exploration moves no list.
        text = params.model_dump_json(
            include={"tiers": True, "capacity": True, "lists": True, "exploration": {"share"}}
        )
        text += str(params.project.seed)
        if params.money.deal_value:  # what it ranks by, and the figures of money on the list
            text += params.model_dump_json(include={"money": True, "evaluate": {"confidence"}})
        if params.nurture.on:  # when to look at leads again, and the figures of that
            text += params.model_dump_json(
                include={"nurture": True, "evaluate": {"confidence"}, "snapshots": {"every_days"}}
            )
        if params.kpis.sales_events:  # which of the best tier wait for a call
            text += params.model_dump_json(include={"kpis": {"sales_events"}})
        version = hashlib.sha256(text.encode()).hexdigest()[:12]
        return cls(
            version=version,
            capacity=params.capacity.per_period,
            explored_share=params.exploration.share,
            seed=params.project.seed,
        )


class ListIdentity(Spec):
    """All that decides the bytes of a list.

    Attributes
    ----------
    as_of
        The scoring day in ISO format; None for tables without dates.
    profile
        Digest of profile.json.
    display
        Digest of what people are shown of leads; "" where they are shown nothing.
    overrides
        Digests of what people said of single leads.
    past
        Digest of the past lists that `nurture.on` learns from; "" without it, or where there are none.
    previous
        The list of the previous day.
    inputs
        Digests of the user's files, where the run has read them itself.
    recalibration_rows
        As `score.recalibration_rows`, which the list's intercept depends on.
    versions
        Of the program and the libraries that compute.
    """

    as_of: str | None
    model_id: str
    data_fingerprint: str
    profile: str
    display: str = ""
    overrides: str = ""
    past: str = ""
    reasons: str
    previous: str | None
    inputs: dict[str, str]
    policy: Policy
    recalibration_rows: int
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """The day and a digest of what decides the list."""
        digest = hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()
        return f"{self.as_of or 'undated'}-{digest[:12]}"


class FeedStatus(Spec):
    """What was known at a moment.

    Attributes
    ----------
    newest
        ISO time of the last event, of the last lead where there are no events; None without dates.
    """

    leads: int
    events: int
    newest: str | None


class ListDrift(Spec):
    """How far a list is from the training data of the model, and from the previous list.

    Attributes
    ----------
    unseen
        By attribute, leads with a value the model does not know.
    score_shift
        Population stability index; None without a previous list.
    flags
        Sentences, empty where all is within `job`.
    """

    unseen: dict[str, int]
    score_shift: float | None
    flags: list[str]


class RowCounts(Spec):
    """Rows of a table that were read, kept for scoring, and quarantined."""

    read: int
    kept: int
    quarantined: int


class ListManifest(ListIdentity, ScoreSummary):
    """manifest.json of a published list.

    Attributes
    ----------
    hindsight
        A sentence, where the model learned from outcomes after this day.
    outputs
        Digest of each file of the list.
    """

    feed: FeedStatus
    drift: ListDrift
    hindsight: str | None
    rows: dict[str, RowCounts]
    outputs: dict[str, str]


def read_manifest(folder: Path) -> ListManifest | None:
    """Read the manifest of a list; None where there is none, or one that is damaged or not this program's."""
    try:
        return ListManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def profile_digest(layout: Layout) -> str:
    """Return the digest of profile.json."""
    return hashlib.sha256(layout.profile.path.read_bytes()).hexdigest()


def display_digest(layout: Layout) -> str:
    """Return the digest of display.parquet; "" where there is none."""
    return file_digest(layout.display.path) if layout.display.path.is_file() else ""


def rows_in(layout: Layout) -> dict[str, RowCounts]:
    """Count the rows of each table."""
    return {
        name: RowCounts(read=table.read, kept=table.kept, quarantined=sum(table.quarantined.values()))
        for name, table in read_profile(layout).tables.items()
    }
